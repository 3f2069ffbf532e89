"""``so2cam wavelengths``: from files of the sky to a setting that puts wavelengths right, and what is refused."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from so2cam.cli.main import run
from so2cam.core.records import FloatArray
from so2cam.core.spectrometer import Fit, LineShapeSettings
from so2cam.formats.sitefile import load_spectrometer
from so2cam.pipeline.lamp_spectra import read_lamp
from so2cam.pipeline.spectral_models import SpectralModels
from so2cam.science.spectra.fit import fit_spectra
from so2cam.science.spectra.forward import model_spectra
from so2cam.science.spectra.model import build_fit

STORED = 295 + 0.075 * np.arange(600)
TRUE = STORED + 0.18 - 0.003 * (STORED - 320)
SITE = 'format = 1\nname = "Sky"\n[spectrometer.files]\nformat = "picam"\n'
KEYS = '[spectrometer.line_shape]\nfit = ["width"]\n'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(SITE + KEYS, encoding="utf-8")
    return path


def save(folder: Path, name: str, counts: FloatArray, wavelengths: FloatArray = STORED) -> Path:
    np.save(folder / name, np.stack([wavelengths, counts]))
    return folder / name


def sky_and_dark(site: Path, seed: int = 0) -> tuple[Path, Path]:
    """Files of a clear sky at ``TRUE`` wavelengths, stored with others, and of its dark."""
    model = build_fit(
        TRUE,
        fit=Fit(background_order=0, offset_order=-1),
        line_shape=LineShapeSettings(width_nm=0.6),
        tables=SpectralModels(load_spectrometer(site).spectrometer, site.parent).tables,
        window_nm=(300.0, 336.0),
    )
    values = np.zeros(len(model.names))
    for name, value in (("o3", 9e18), ("ring", 0.08), ("background_0", 20000.0)):
        values[model.names.index(name)] = value
    light = np.zeros(STORED.size)
    light[model.window] = model_spectra(model, values)[0]
    noise = np.random.default_rng(seed).standard_normal(STORED.size)
    dark = 900 + 20 * np.sin(np.arange(STORED.size))
    return save(site.parent, "Sky.npy", light + dark + noise * np.sqrt(16 + 0.01 * light)), save(
        site.parent, "Dark.npy", dark
    )


def test_wavelengths_are_right_with_what_is_printed(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sky, dark = sky_and_dark(site)
    plot = site.parent / "page.png"
    code = run(["wavelengths", str(site), "--sky", str(sky), "--dark", str(dark), "--range", "304", "334"])
    assert code == 0
    assert run(["wavelengths", str(site), "--sky", str(sky), "--dark", str(dark), "--plot", str(plot)]) == 0
    out = capsys.readouterr().out
    assert plot.read_bytes().startswith(b"\x89PNG")
    printed = re.findall(r"\[spectrometer\.detector\]\nwavelength_correction = \[.*\]", out)
    assert len(printed) == 2
    correction = tomllib.loads(printed[1])["spectrometer"]["detector"]["wavelength_correction"]
    assert correction[1] == pytest.approx(-0.003, abs=3e-4)

    site.write_text(SITE + KEYS + printed[1] + "\n", encoding="utf-8")
    settings = load_spectrometer(site).spectrometer
    spectrum = read_lamp(settings, [sky], [dark], what="sky")
    inside = (STORED > 306) & (STORED < 330)
    assert np.abs(spectrum.wavelengths_nm - TRUE)[inside].max() < 0.006
    model = build_fit(
        spectrum.wavelengths_nm,
        fit=settings.fit,
        line_shape=settings.line_shape,
        tables=SpectralModels(settings, site.parent).tables,
    )
    found = fit_spectra(model, spectrum.counts)
    assert found.ok.all()
    assert abs(found.parameter("shift_0")[0][0]) < 0.006

    # A second time the same is found: stored wavelengths are what is corrected.
    assert run(["wavelengths", str(site), "--sky", str(sky), "--dark", str(dark)]) == 0
    assert printed[1] in capsys.readouterr().out


def test_columns_do_not_change_with_the_correction_but_the_shift_does(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sky_and_dark(site)
    (site.parent / "Sky.npy").rename(site.parent / "2024-01-01T120100_1000ss_1coadd_Plume.npy")
    (site.parent / "Dark.npy").rename(site.parent / "2024-01-01T120000_1000ss_1coadd_Dark.npy")
    shifts, columns = [], []
    for correction in ("", "[spectrometer.detector]\nwavelength_correction = [0.21, -0.003]\n"):
        site.write_text(SITE + KEYS + correction, encoding="utf-8")
        assert run(["spectra", str(site), "--spectra", str(site.parent), "--out", str(site.parent / "out")]) == 0
        lines = [
            line
            for line in (site.parent / "out" / "columns.csv").read_text(encoding="utf-8").splitlines()
            if not line.startswith("#")
        ]
        row = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
        assert row["status"] == "ok"
        shifts.append(float(row["shift_nm"]))
        columns.append((float(row["so2_molec_cm2"]), float(row["so2_uncertainty_molec_cm2"])))
    capsys.readouterr()
    assert shifts[0] == pytest.approx(0.2, abs=0.02)
    assert abs(shifts[1]) < 0.006
    assert abs(columns[0][0] - columns[1][0]) < 0.5 * columns[0][1]  # a pixel more or less in the window


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--sky", "Dark.npy", "--dark", "Dark.npy"], ["is given twice"]),
        (["--sky", "Night.npy"], ["too little light"]),
        (["--sky", "absent.npy"], ["cannot be read", "absent.npy"]),
        (["--sky", "Sky.npy", "--dark", "Dark.npy", "--range", "310", "315"], ["holds 0 pieces", "--range"]),
        (["--sky", "Sky.npy", "--dark", "Dark.npy", "--range", "310", "400"], ["outside the spectrum"]),
        (["--sky", "Sky.npy", "--dark", "Dark.npy", "--plot", "Sky.npy"], ["would be overwritten"]),
    ],
)
def test_what_is_wrong_is_said(
    site: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    parts: list[str],
) -> None:
    monkeypatch.chdir(site.parent)
    sky_and_dark(site)
    save(site.parent, "Night.npy", np.full(STORED.size, 5.0))
    before = {path.name: path.read_bytes() for path in site.parent.iterdir()}
    assert run(["wavelengths", str(site), *arguments]) == 2
    error = capsys.readouterr().err
    assert "What to do:" in error
    assert "Traceback" not in error
    for part in parts:
        assert part in error
    assert before == {path.name: path.read_bytes() for path in site.parent.iterdir()}


def test_a_correction_of_another_spectrometer_is_refused(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sky, _ = sky_and_dark(site)
    site.write_text(SITE + KEYS + "[spectrometer.detector]\nwavelength_correction = [0.0, -1.5]\n", encoding="utf-8")
    assert run(["line-shape", str(site), "--lamp", str(sky), "--out", str(site.parent / "shape.txt")]) == 2
    assert "spectrometer.detector.wavelength_correction" in capsys.readouterr().err
