"""``so2cam line-shape``: from files of a lamp to a table that gives right columns, and what is refused."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from so2cam.cli.main import run
from so2cam.core.records import FloatArray
from so2cam.core.spectrometer import Fit, LineShapeSettings, Spectrometer
from so2cam.formats.reference_spectra import read_reference_file
from so2cam.formats.sitefile import load_spectrometer
from so2cam.pipeline.spectra_batch import fit_files, plan_spectra
from so2cam.pipeline.spectral_models import SpectralModels
from so2cam.science.spectra.forward import model_spectra
from so2cam.science.spectra.lamp import super_gaussian_centroid_nm
from so2cam.science.spectra.lamp_lines import HG_LINES
from so2cam.science.spectra.line_shape import full_width_half_maximum_nm, super_gaussian
from so2cam.science.spectra.model import build_fit

PIXELS = 285 + 0.085 * np.arange(700)
SHAPE = (0.61, 2.3, 0.15, 0.2)
SHAPE_KEYS = "width_nm = 0.61\nexponent = 2.3\nwidth_asymmetry = 0.15\nexponent_asymmetry = 0.2"
SHIFT_NM = -0.05
DARK = 1000 + 40 * np.sin(np.arange(PIXELS.size))
SITE = 'format = 1\nname = "Lamp [/red] laboratory"\n[spectrometer.files]\nformat = "picam"\n'


def lamp_counts(counts: float = 20000.0, shift_nm: float = SHIFT_NM) -> FloatArray:
    spectrum = np.zeros(PIXELS.size)
    for line in HG_LINES:
        top_nm = line.vacuum_nm + shift_nm - super_gaussian_centroid_nm(*SHAPE)
        spectrum += counts * line.relative_intensity / 3000 * super_gaussian(PIXELS - top_nm, *SHAPE)
    return spectrum


@dataclass
class Laboratory:
    """A folder with a site file, to which lamps and darks are added."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    code: int = 0
    out: str = ""
    err: str = ""

    @property
    def site(self) -> Path:
        return self.folder / "site.toml"

    @property
    def table(self) -> Path:
        return self.folder / "line-shape.txt"

    def save(self, name: str, counts: FloatArray, wavelengths: FloatArray = PIXELS) -> Path:
        np.save(self.folder / name, np.stack([wavelengths, counts]))
        return self.folder / name

    def lamp(self, name: str = "Hg.npy", counts: float = 20000.0, seed: int = 0, shift_nm: float = SHIFT_NM) -> Path:
        signal = lamp_counts(counts, shift_nm)
        noise = np.random.default_rng(seed).standard_normal(PIXELS.size) * np.sqrt(36 + 0.1 * signal)
        return self.save(name, np.minimum(signal + DARK + noise, 65535.0))

    def line_shape(self, *arguments: object) -> "Laboratory":
        self.code = run(["line-shape", *map(str, arguments)])
        captured = self.capsys.readouterr()
        self.out, self.err = captured.out, captured.err
        return self

    def measure(self, *arguments: object) -> "Laboratory":
        return self.line_shape(self.site, *arguments, "--out", self.table)

    def refused(self, *parts: str) -> None:
        assert self.code == 2, self.out
        assert self.err.count("Error:") == 1
        assert "What to do:" in self.err
        assert "Traceback" not in self.err
        for part in parts:
            assert part in self.err, f"{part!r} is not in: {self.err}"
        assert not self.table.exists()
        assert not [path for path in self.folder.rglob("*") if path.name.endswith(".tmp")]


@pytest.fixture
def laboratory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Laboratory:
    (tmp_path / "site.toml").write_text(SITE)
    return Laboratory(tmp_path, capsys)


def test_lamps_and_darks_become_table_page_and_settings(laboratory: Laboratory) -> None:
    lamps = [laboratory.lamp(f"Hg {number}.npy", seed=number) for number in range(3)]
    darks = [laboratory.save(f"Dark {number}.npy", DARK) for number in range(2)]
    page = laboratory.folder / "new" / "page.png"
    done = laboratory.measure("--lamp", *lamps, "--dark", *darks, "--plot", page)
    assert (done.code, done.err) == (0, "")
    assert page.read_bytes().startswith(b"\x89PNG")
    for part in ("Hg 296.73", "296.8149 nm", "wavelength error", "FWHM", '"line-shape.txt"', "width_nm = 0.61"):
        assert part in done.out
    assert "used" in done.out
    head = [row for row in laboratory.table.read_text().splitlines() if row.startswith("#")]
    text = "\n".join(head)
    for part in (
        "3 lamp spectra and 2 darks",
        "Hg 2.npy",
        "Dark 1.npy",
        "sha256",
        "so2cam line-shape",
        'source = "file"',
    ):
        assert part in text
    offsets, response = read_reference_file(laboratory.table)
    assert offsets[0] == pytest.approx(-offsets[-1])
    assert np.trapezoid(response, offsets) == pytest.approx(1, abs=1e-6)
    assert np.trapezoid(response * offsets, offsets) == pytest.approx(0, abs=2e-3)
    assert full_width_half_maximum_nm(offsets, response) == pytest.approx(SHAPE[0], abs=0.01)


def test_a_line_can_be_asked_for_and_an_older_table_gives_way(laboratory: Laboratory) -> None:
    laboratory.table.write_text("old")
    done = laboratory.measure("--lamp", laboratory.lamp(), "--near", "302.15")
    assert done.code == 0, done.err
    assert "302.2384 nm" in done.out
    assert "Hg 302.35, Hg 302.75" in done.out
    assert "old" not in laboratory.table.read_text()


def test_settings_name_the_table_relative_to_the_site_file(laboratory: Laboratory) -> None:
    out = laboratory.folder / "shapes" / "Hg.txt"
    done = laboratory.line_shape(laboratory.site, "--lamp", laboratory.lamp(), "--out", out)
    assert 'file = "shapes/Hg.txt"' in done.out
    site = laboratory.folder / "with.toml"
    settings = done.out[done.out.index("[spectrometer.line_shape]") : done.out.index("or with the super-Gaussian")]
    site.write_text(SITE + settings)
    assert SpectralModels(load_spectrometer(site).spectrometer, laboratory.folder).inputs == [out]
    shape = done.out[done.out.rindex("[spectrometer.line_shape]") : done.out.rindex("\n\n")]
    site.write_text(SITE + shape)
    assert load_spectrometer(site).spectrometer.line_shape.width_nm == pytest.approx(SHAPE[0], abs=0.01)


def test_columns_with_the_table_are_those_with_the_true_shape(laboratory: Laboratory) -> None:
    """Simulated plume spectra, at wavelengths that are off as the lamp's are."""
    lamps = [laboratory.lamp(f"Hg {number}.npy", seed=number) for number in range(5)]
    assert laboratory.measure("--lamp", *lamps, "--dark", laboratory.save("Dark.npy", DARK)).code == 0
    width, exponent, width_asymmetry, exponent_asymmetry = SHAPE
    settings = Spectrometer(
        line_shape=LineShapeSettings(
            width_nm=width,
            exponent=exponent,
            width_asymmetry=width_asymmetry,
            exponent_asymmetry=exponent_asymmetry,
        ),
        fit=Fit(window_nm=(306.0, 320.0), shift_order=-1),
    )
    tables = SpectralModels(settings, laboratory.folder).tables
    model = build_fit(PIXELS - SHIFT_NM, fit=settings.fit, line_shape=settings.line_shape, tables=tables)
    wanted = {"so2": 0.0, "o3": 8e18, "ring": 0.05, "background_0": 30000.0, "background_1": 4000.0}
    so2 = (2e17, 1e18, 3e18)
    values = np.array([[{**wanted, "so2": column}.get(name, 0.0) for name in model.names] for column in so2])
    spectra = laboratory.folder / "spectra"
    spectra.mkdir()
    for number, simulated in enumerate(model_spectra(model, values)):
        counts = np.zeros(PIXELS.size)
        counts[model.window] = simulated
        laboratory.save(f"spectra/2026-01-01T12000{number}_1000ss_1coadd_Plume.npy", counts)
    found = []
    for shape in ('source = "file"\nfile = "line-shape.txt"', SHAPE_KEYS):
        site = laboratory.folder / "columns.toml"
        detector = "[spectrometer.detector]\nsubtract_dark = false\n"
        site.write_text(
            f"{SITE}{detector}[spectrometer.line_shape]\n{shape}\n[spectrometer.fit]\nwindow_nm = [308, 318]\n"
        )
        loaded = load_spectrometer(site)
        records, _ = fit_files(loaded, plan_spectra(loaded, [spectra]), jobs=1, progress=None)
        found.append([record.parameters["so2"][0] for record in records])
    with_table, with_truth = np.array(found)
    assert with_truth == pytest.approx(so2, rel=1e-3)
    assert with_table == pytest.approx(with_truth, rel=5e-3, abs=2e15)


# --- formats -----------------------------------------------------------------------------------------------------


def test_text_files_of_any_name(laboratory: Laboratory) -> None:
    path = laboratory.folder / "lamp.txt"
    np.savetxt(path, np.stack([PIXELS, lamp_counts()], axis=1))
    for files in ('format = "ifit"', 'format = "columns"\nname_pattern = "{time:%Y%m%d%H%M%S}_{kind}.txt"'):
        laboratory.site.write_text(f'format = 1\nname = "Text"\n[spectrometer.files]\n{files}\n')
        done = laboratory.measure("--lamp", path)
        assert done.code == 0, done.err
        assert "Hg 296.73" in done.out


def test_wavelengths_in_air_are_recognised(laboratory: Laboratory) -> None:
    done = laboratory.measure("--lamp", laboratory.lamp(shift_nm=-0.0866))
    assert "are those in air" in done.out
    assert "are those in air" not in laboratory.measure("--lamp", laboratory.lamp()).out


def test_wavelengths_that_the_fit_cannot_follow_are_warned_of(laboratory: Laboratory) -> None:
    laboratory.site.write_text(SITE + "[spectrometer.fit]\nmaximum_shift_nm = 0.05\n")
    assert "beyond spectrometer.fit.maximum_shift_nm" in laboratory.measure("--lamp", laboratory.lamp()).err
    laboratory.site.write_text(SITE + "[spectrometer.fit]\nshift_order = -1\n")
    assert "the fit has no shift" in laboratory.measure("--lamp", laboratory.lamp()).err


def test_saturated_lines_and_bad_pixels_are_left_out(laboratory: Laboratory) -> None:
    path = laboratory.lamp(counts=70000.0)
    done = laboratory.measure("--lamp", path)
    assert done.code == 0, done.err
    row = next(row for row in done.out.splitlines() if row.startswith("Hg 296.73"))
    assert row.rstrip().endswith("is saturated")
    counts = np.load(path)[1]
    counts[[0, 300]] = 5e4
    laboratory.save("Hg.npy", counts)
    laboratory.site.write_text(SITE + "[spectrometer.detector]\nbad_pixels = [0, 300]\n")
    assert laboratory.measure("--lamp", path, "--plot", laboratory.folder / "p.png").code == 0


def test_one_saturated_spectrum_among_several_counts(laboratory: Laboratory) -> None:
    lamps = [laboratory.lamp("a.npy"), laboratory.lamp("b.npy", counts=70000.0)]
    laboratory.measure("--lamp", *lamps, "--near", "296.7").refused("a.npy", "--near", "saturated", "shorter")


# --- refused -----------------------------------------------------------------------------------------------------


def test_files_that_are_no_lamp(laboratory: Laboratory) -> None:
    good = laboratory.lamp()
    laboratory.measure("--lamp", laboratory.folder / "nothing.npy").refused("nothing.npy", "No such file")
    laboratory.measure("--lamp", laboratory.folder).refused("cannot be read")
    laboratory.measure("--lamp", laboratory.site).refused("site.toml", "not a NumPy array")
    laboratory.measure("--lamp", laboratory.save("flat.npy", DARK)).refused("flat.npy", "no mercury line stands out")
    laboratory.measure("--lamp", good, good).refused("Hg.npy", "given twice")
    laboratory.measure("--lamp", good, "--near", "330").refused("--near", "those that do", "296.8")
    other = laboratory.save("other.npy", lamp_counts(), PIXELS + 0.01)
    laboratory.measure("--lamp", good, other).refused("other.npy", "other wavelengths than Hg.npy")
    laboratory.measure("--lamp", good, "--dark", other).refused("other.npy", "other wavelengths")


def test_all_lines_saturated(laboratory: Laboratory) -> None:
    laboratory.measure("--lamp", laboratory.lamp(counts=3e6)).refused("Hg.npy", "saturated", "two thirds")


def test_darks_of_another_integration_time(laboratory: Laboratory) -> None:
    lamp = laboratory.lamp("2026-01-01T120000_100ss_1coadd_Lamp.npy")
    for time_ms, fits in ((100, True), (1000, False)):
        dark = laboratory.save(f"2026-01-01T120100_{time_ms}ss_1coadd_Dark.npy", DARK)
        done = laboratory.measure("--lamp", lamp, "--dark", dark)
        if fits:
            assert done.code == 0, done.err
            laboratory.table.unlink()
        else:
            done.refused("1000ss", "another integration time", "0.1 s")


def test_inputs_are_not_overwritten(laboratory: Laboratory) -> None:
    lamp = laboratory.lamp()
    before = lamp.read_bytes()
    laboratory.line_shape(laboratory.site, "--lamp", lamp, "--out", lamp).refused("--out", "would be overwritten")
    laboratory.measure("--lamp", lamp, "--plot", laboratory.site).refused("--plot", "would be overwritten")
    laboratory.measure("--lamp", lamp, "--plot", laboratory.table).refused("is the table and the plot")
    assert (lamp.read_bytes(), laboratory.site.read_text()) == (before, SITE)


def test_no_table_without_its_page(laboratory: Laboratory) -> None:
    blocked = laboratory.folder / "page.png"
    blocked.mkdir()
    laboratory.measure("--lamp", laboratory.lamp(), "--plot", blocked).refused("page.png")


def test_wrong_usage(laboratory: Laboratory) -> None:
    lamp = laboratory.lamp()
    done = laboratory.line_shape("--lamp", lamp, laboratory.site, "--out", laboratory.table)
    assert (done.code, "SITE) is missing" in done.err) == (2, True)
    done = laboratory.measure()
    assert (done.code, "--lamp" in done.err) == (2, True)
    done = laboratory.line_shape(laboratory.site, "--lamp", lamp, "--out", ".")
    assert (done.code, "name of a file" in done.err) == (2, True)
    laboratory.site.write_text('format = 1\nname = "x"\n')
    laboratory.measure("--lamp", lamp).refused("spectrometer")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["line-shape", "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Usage: so2cam line-shape")
    assert "Exit codes: 0" in text
