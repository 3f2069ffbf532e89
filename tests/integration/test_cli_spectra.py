"""``so2cam spectra``: folders, the site file, damaged spectra, interruption, products and exit codes."""

import csv
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from so2cam.cli.main import run
from so2cam.core.spectra import ExampleFit, FitStatus
from so2cam.core.spectrometer import Fit, LineShapeSettings
from so2cam.formats.column_products import CSV_COLUMNS
from so2cam.formats.reference_spectra import reference_table
from so2cam.pipeline import spectra_batch
from so2cam.pipeline.spectrum_processor import SpectrumProcessor
from so2cam.science.spectra.forward import model_spectra
from so2cam.science.spectra.kernel import fit_batch
from so2cam.science.spectra.model import FitTables, build_fit
from so2cam.science.spectra.table import SpectralTable

COLUMNS = (0.0, 2e17, 5e17, 1e18, 3e18)
"""SO2 of the five spectra [molecules cm-2]"""
PRODUCTS = ["columns.csv", "columns.nc", "quicklook.png"]
WAVELENGTHS = np.linspace(290.0, 326.0, 361)
SITE = """
format = 1
name = "Test"

[spectrometer.line_shape]
width_nm = 0.6

[spectrometer.fit]
window_nm = [309, 317]
model_spacing_nm = 0.05
"""


def table(name: str) -> SpectralTable:
    found = reference_table(name)
    return SpectralTable(found.wavelengths_nm, found.values)


@pytest.fixture(scope="session")
def counts() -> np.ndarray[Any, Any]:
    """Raw counts (5, 361) of spectra with ``COLUMNS``; 1000 counts are the dark."""
    tables = FitTables(
        solar=table("solar-sao2010"),
        so2=table("so2-bogumil2003-293k"),
        o3=(table("o3-serdyuchenko2014-223k"),),
        ring=table("ring"),
    )
    fit = Fit(window_nm=(299, 323), model_spacing_nm=0.02)
    model = build_fit(WAVELENGTHS, fit=fit, line_shape=LineShapeSettings(width_nm=0.6), tables=tables)
    values = np.where(np.isfinite(model.start), model.start, 0.0)
    values[model.names.index("background_0")] = 3e4
    values[model.names.index("ring")] = 0.1
    rows = np.tile(values, (len(COLUMNS), 1))
    rows[:, model.names.index("so2")] = COLUMNS
    light = np.full((len(COLUMNS), WAVELENGTHS.size), 40.0)
    light[:, model.window] += model_spectra(model, rows)
    rng = np.random.default_rng(1)
    return np.asarray(1000.0 + light + rng.normal(0, 8, light.shape))


def save(path: Path, values: Any, wavelengths: Any = WAVELENGTHS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.stack([wavelengths, values]))
    return path


def name_of(second: int, kind: str = "Plume", integration_ms: int = 100) -> str:
    return f"2026-03-01T1200{second:02d}_{integration_ms}ss_1coadd_{kind}.npy"


@dataclass
class Call:
    code: int
    out: str
    err: str

    def explained(self, *parts: str) -> None:
        """Check for one clear message with the parts in it, exit code 2, and no traceback."""
        assert self.code == 2, self.out + self.err
        assert self.err.count("Error:") == 1, self.err
        assert "Traceback" not in self.err + self.out
        for part in (*parts, "What to do:"):
            assert part in self.err, f"{part!r} is not in: {self.err}"


@dataclass
class Case:
    """A folder with a site file, one dark and five spectra of the plume."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def site(self) -> Path:
        return self.folder / "site.toml"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def plume(self) -> list[Path]:
        return sorted(self.data.glob("*_Plume.npy"))

    def settings(self, text: str) -> None:
        self.site.write_text(SITE + text)

    def run(self, *extra: object, data: Path | None = None, out: Path | None = None) -> Call:
        arguments = ("spectra", self.site, "--spectra", data or self.data, "--out", out or self.out, *extra)
        code = run([str(argument) for argument in arguments])
        printed = self.capsys.readouterr()
        return Call(code, printed.out, printed.err)

    def fails(self, *parts: str, extra: tuple[object, ...] = (), **where: Path) -> None:
        self.run(*extra, **where).explained(*parts)
        assert not self.out.exists()

    def rows(self) -> list[dict[str, str]]:
        with (self.out / "columns.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))

    def statuses(self) -> list[str]:
        return [row["status"] for row in self.rows()]

    def arrays(self) -> bytes:
        """All numbers of the netCDF product, as bytes."""
        with xr.open_dataset(self.out / "columns.nc") as found:
            return b"".join(
                found[name].values.tobytes() for name in sorted(found.data_vars) if found[name].dtype.kind in "fiM"
            )


@pytest.fixture
def case(
    counts: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Case]:
    """The quicklook, which takes longer than all else, is a stand-in."""

    def stand_in(path: Path, *_: object, **__: object) -> None:
        path.write_bytes(b"quicklook")

    monkeypatch.setattr(spectra_batch, "write_columns_quicklook", stand_in)
    found = Case(tmp_path, capsys)
    found.settings("")
    save(found.data / name_of(0, "Dark"), np.full(WAVELENGTHS.size, 1000.0))
    for second, values in enumerate(counts, start=1):
        save(found.data / name_of(second), values)
    yield found
    assert not list(tmp_path.rglob("*.tmp"))


# --- a good run --------------------------------------------------------------------------------------------------


def test_columns_are_those_of_the_simulation(case: Case) -> None:
    result = case.run()
    assert result.code == 0, result.err
    assert result.err == ""
    assert "5 spectra" in result.out
    assert sorted(path.name for path in case.out.iterdir()) == PRODUCTS
    for row, truth in zip(case.rows(), COLUMNS, strict=True):
        sigma = float(row["so2_uncertainty_molec_cm2"])
        assert 0 < sigma < 5e16  # 8 nm tell O3 and SO2 apart no better
        assert abs(float(row["so2_molec_cm2"]) - truth) < 4 * sigma + 0.01 * truth
        assert float(row["so2_systematic_molec_cm2"]) == pytest.approx(
            0.07 * abs(float(row["so2_molec_cm2"])), rel=1e-4
        )
        assert row["status"] == "ok"


def test_the_table(case: Case) -> None:
    case.run()
    assert tuple((case.out / "columns.csv").read_text().splitlines()[0].split(",")) == CSV_COLUMNS
    first = case.rows()[0]
    assert first["time"] == "2026-03-01T12:00:01.050Z", "mid-exposure"
    assert first["file"] == name_of(1)
    assert first["latitude"] == first["light_dilution"] == ""


def test_the_netcdf_product(case: Case) -> None:
    case.run()
    with xr.open_dataset(case.out / "columns.nc") as found:
        assert found["so2_column"].dims == ("spectrum",)
        assert found["time"].dtype.kind == "M"
        status = found["fit_status"]
        meanings = dict(
            zip(np.atleast_1d(status.attrs["flag_values"]).tolist(), status.attrs["flag_meanings"].split(), strict=True)
        )
        assert meanings == {int(code): code.name.lower() for code in FitStatus}
        assert set(found["so2_column"].attrs["ancillary_variables"].split()) <= set(found.variables)
        assert "so2cam spectra" in found.attrs["history"]


def test_provenance_names_every_input(case: Case) -> None:
    shape = case.folder / "shape.txt"
    offsets = np.linspace(-2, 2, 81)
    np.savetxt(shape, np.column_stack([offsets, np.exp(-4 * np.log(2) * (offsets / 0.6) ** 2)]))
    case.site.write_text(SITE.replace("width_nm = 0.6", 'source = "file"\nfile = "shape.txt"'))
    assert case.run().code == 0
    with xr.open_dataset(case.out / "columns.nc") as found:
        named = dict(zip(found["input_file"].values.tolist(), found["input_sha256"].values.tolist(), strict=True))
    expected = {case.site, shape, *case.data.iterdir()}
    assert named == {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in expected}


def test_a_quicklook_is_drawn(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert case.run().code == 0
    assert (case.out / "quicklook.png").read_bytes().startswith(b"\x89PNG")


def test_a_quicklook_without_any_column(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    case.settings("[spectrometer.detector]\nsaturation_counts = 900\n")
    assert case.run().code == 3
    assert (case.out / "quicklook.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_run_replaces_the_first(case: Case) -> None:
    case.run()
    before = case.arrays()
    case.plume[-1].unlink()
    assert case.run().code == 0
    assert len(case.rows()) == len(COLUMNS) - 1
    assert case.arrays() != before
    assert sorted(path.name for path in case.out.iterdir()) == PRODUCTS


def test_several_processes_give_the_same_bits(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectra_batch, "_CHUNK", 2)
    case.run()
    before, text = case.arrays(), (case.out / "columns.csv").read_bytes()
    assert case.run("--jobs", 2).code == 0
    assert case.arrays() == before
    assert (case.out / "columns.csv").read_bytes() == text


@pytest.mark.parametrize("chunk", [1, 3])
def test_neither_batches_nor_order_matter(case: Case, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    case.run()
    before = case.arrays()
    monkeypatch.setattr(spectra_batch, "_CHUNK", chunk)
    for path in reversed(case.plume):  # listed in another order, and by another path
        path.rename(path.parent / path.name.replace("_Plume", "_x"))
    for path in sorted(case.data.glob("*_x.npy"), reverse=True):
        folder = case.data / path.name[17]
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name.replace("_x", "_Plume"))
    assert case.run().code == 0
    assert case.arrays() == before


def so2_of(case: Case) -> np.ndarray[Any, Any]:
    return np.array([float(row["so2_molec_cm2"]) for row in case.rows()])


def test_another_table_of_so2(case: Case) -> None:
    case.run()
    bogumil = so2_of(case)
    case.settings('[spectrometer.references]\nso2 = { table = "so2-vandaele2009-298k" }\n')
    assert case.run().code == 0
    vandaele = so2_of(case)
    assert 0.85 < np.median(vandaele[2:] / bogumil[2:]) < 0.95
    systematic = np.array([float(row["so2_systematic_molec_cm2"]) for row in case.rows()])
    assert systematic == pytest.approx(0.07 * np.abs(vandaele), rel=1e-4), "the choice of table is carried by any table"


def test_own_reference_files_and_their_shift(case: Case) -> None:
    case.run()
    before = case.rows()
    for kind, name in (("solar", "solar-sao2010"), ("so2", "so2-bogumil2003-293k"), ("ring", "ring")):
        found = table(name)
        np.savetxt(case.folder / f"{kind}.txt", np.column_stack([found.wavelengths_nm, found.values]), fmt="%.9e")
    own = '[spectrometer.references]\nsolar = { file = "solar.txt" }\nring = { file = "ring.txt" }\n'
    case.settings(own + 'so2 = { file = "so2.txt" }\n')
    assert case.run().code == 0
    for old, new in zip(before, case.rows(), strict=True):
        assert float(new["so2_molec_cm2"]) == pytest.approx(float(old["so2_molec_cm2"]), rel=1e-3, abs=1e13)
    case.settings(own + 'so2 = { file = "so2.txt", shift_nm = 0.1 }\n')
    assert case.run().code == 0
    assert abs(float(case.rows()[4]["so2_molec_cm2"]) / float(before[4]["so2_molec_cm2"]) - 1) > 0.01
    with xr.open_dataset(case.out / "columns.nc") as found:
        assert all(f"{kind}.txt" in str(found.attrs) for kind in ("solar", "so2", "ring"))


def test_no2_and_a_second_ozone_are_fitted(case: Case) -> None:
    case.settings(
        '[spectrometer.references]\nno2 = { table = "no2-vandaele1998-294k" }\n'
        'o3 = [{ table = "o3-serdyuchenko2014-223k" }, { table = "o3-serdyuchenko2014-243k" }]\n'
    )
    assert case.run().code == 0
    with xr.open_dataset(case.out / "columns.nc") as found:
        good = found["fit_status"].values == FitStatus.OK
        assert good.any()
        for name in ("no2", "o3_2"):
            value, sigma = (found[f"parameter_{name}{end}"].values[good] for end in ("", "_uncertainty"))
            assert (np.abs(value) < 4 * sigma).all(), "there is none"
            assert found[f"parameter_{name}"].attrs["units"] == "cm-2"


# --- kinds and formats -------------------------------------------------------------------------------------------


def test_spectra_of_a_lamp_are_neither_plume_nor_dark(case: Case, counts: Any) -> None:
    case.run()
    before = case.arrays()
    save(case.data / name_of(7, "Calibration"), counts[4])
    save(case.data / name_of(8, "Lamp"), counts[4])
    result = case.run()
    assert "2 spectra of a lamp not used" in result.out
    assert case.arrays() == before


TRACK = "time,lat,lon,alt\n2026-03-01 11:59:50,10.0,-80.0,100\n2026-03-01 12:00:10,10.2,-80.4,200\n"
HEADERS = {
    "first": "# Ocean optics spectrum file\n# Integration time: 100 (ms)\n# Number of coadds: 1\n"
    "# Date/Time (end of read): 2026-03-01 06:00:{second:02d}.100000\n# Electronic dark correction: True\n",
    "second": "# Integration time (ms): 100\n# Number of coadds: 1\n# Timestamp: 2026-03-01 06:00:{second:02d}.100\n",
    "third": "# iFit\n# integration_time: 100\n# coadds: 1\n# timestamp: 2026-03-01T06:00:{second:02d}.100000\n"
    "# lat: ?\n# lon: ?\n# alt: ?\n",
}


def test_texts_give_the_columns_of_arrays(case: Case) -> None:
    """The same spectra as text: three generations of iFit, and columns by a pattern, with places from a track."""
    case.run()
    before = case.rows()
    (case.folder / "track.csv").write_text(TRACK)
    track = 'gps_track = "track.csv"\n'
    ifit = '[spectrometer.files]\nformat = "ifit"\nutc_offset_hours = -6\ndark_files = ["dark*.txt"]\n' + track
    columns = (
        '[spectrometer.files]\nformat = "columns"\ndelimiter = ";"\nwavelength_column = 2\ncounts_column = 3\n'
        'name_pattern = "{time:%Y%m%d_%H%M%S}_{kind}_{integration_ms}ms.csv"\ncoadds = 1\nkinds = { sky = "plume" }\n'
    ) + track
    for generation in (*HEADERS, "columns"):
        data = case.folder / generation
        data.mkdir()
        for path in case.data.glob("*.npy"):
            second = int(path.name[15:17])
            pairs = np.load(path).T
            dark = "_Dark" in path.name
            if generation == "columns":
                kind = "dark" if dark else "sky"
                rows = [f"{n};{x!r};{y!r}\n".replace(".", ",") for n, (x, y) in enumerate(pairs.tolist())]
                name, text = f"20260301_1200{second:02d}_{kind}_100ms.csv", "Pixel;Wavelength;Counts\n" + "".join(rows)
            else:
                text = HEADERS[generation].format(second=second)
                text += "".join(f"{x!r} {y!r}\n" for x, y in pairs.tolist())
                name = "dark1.txt" if dark else f"spectrum_{second:05d}.txt"
            (data / name).write_text(text)
        case.settings(columns if generation == "columns" else ifit)
        assert case.run(data=data).code == 0, generation
        for old, new in zip(before, case.rows(), strict=True):
            own = {"file", "latitude", "longitude"}
            assert {k: v for k, v in new.items() if k not in own} == {k: v for k, v in old.items() if k not in own}
            share = (float(new["time"][-7:-1]) + 10) / 20
            assert float(new["latitude"]) == pytest.approx(10 + 0.2 * share, abs=1e-5)
            assert float(new["longitude"]) == pytest.approx(-80 - 0.4 * share, abs=1e-5)


def test_the_detector_is_made_linear(case: Case) -> None:
    """Counts of a detector that loses up to 10 % of its strongest signal, and the polynomial that says so."""
    case.run()
    before = so2_of(case)
    dark = np.load(next(case.data.glob("*_Dark.npy")))[1]
    for path in case.plume:
        wavelengths, values = np.load(path)
        linear = values - dark
        measured = linear.copy()
        for _ in range(60):
            measured = linear * (1 - 3e-6 * np.maximum(measured, 0))
        save(path, dark + measured, wavelengths)
    assert case.run().code == 0
    off = so2_of(case)
    case.settings("[spectrometer.detector]\nnonlinearity = [1.0, -3e-6]\n")
    assert case.run().code == 0
    assert so2_of(case) == pytest.approx(before, rel=1e-5, abs=1e12)
    assert np.abs(off[4] / before[4] - 1) > 1e-3


def test_the_time_range(case: Case) -> None:
    assert case.run("--start", "2026-03-01T12:00:02Z", "--end", "2026-03-01T12:00:04.050Z").code == 0
    assert [row["file"] for row in case.rows()] == [name_of(2), name_of(3)]


# --- interruption ------------------------------------------------------------------------------------------------


def interrupt(*_: object, **__: object) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["fit", "write"])
def test_an_interrupted_run_writes_nothing(case: Case, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    if where == "fit":
        monkeypatch.setattr(SpectrumProcessor, "process", interrupt)
    else:
        monkeypatch.setattr(spectra_batch, "write_columns_csv", interrupt)
    result = case.run()
    assert result.code == 130
    assert "interrupted: nothing was written" in result.err
    assert not case.out.exists() or not list(case.out.iterdir())


def test_an_interrupted_run_leaves_older_products(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.run()
    before = {path.name: path.read_bytes() for path in case.out.iterdir()}
    monkeypatch.setattr(spectra_batch, "write_columns_quicklook", interrupt)
    case.plume[0].unlink()
    assert case.run().code == 130
    assert {path.name: path.read_bytes() for path in case.out.iterdir()} == before


def test_a_process_that_is_killed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectra_batch, "_CHUNK", 2)
    monkeypatch.setattr(SpectrumProcessor, "process", lambda *_: os._exit(9))
    case.fails("--jobs", "was ended from outside", extra=("--jobs", 2))


# --- the command line --------------------------------------------------------------------------------------------


def test_the_end_before_the_start(case: Case) -> None:
    case.fails("--end is not after --start", extra=("--start", "2026-03-02T00:00Z", "--end", "2026-03-01T00:00Z"))


def test_no_spectrum_in_the_time_range(case: Case) -> None:
    case.fails("no spectra of the plume", "1 dark", "check the time range", extra=("--start", "2027-01-01T00:00Z"))


@pytest.mark.parametrize("extra", [("--jobs", "-1"), ("--jobs", "1e99"), ("--every", "nan"), ("--start", "soon")])
def test_arguments_that_mean_nothing(case: Case, extra: tuple[str, str]) -> None:
    result = case.run(*extra)
    assert result.code == 2
    assert "Usage: so2cam spectra" in result.err
    assert extra[0] in result.err
    assert not case.out.exists()


def test_watching_takes_no_time_range(case: Case) -> None:
    result = case.run("--watch", "--start", "2026-03-01T12:00Z")
    assert (result.code, "leave out --start and --end" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("extra", "message"), [(("--watch", "--jobs", 2), "leave out --jobs"), (("--every", 2), "goes with --watch only")]
)
def test_options_that_do_not_go_together(case: Case, extra: tuple[object, ...], message: str) -> None:
    result = case.run(*extra)
    assert result.code == 2
    assert message in result.err
    assert not case.out.exists()


def test_a_missing_folder(case: Case) -> None:
    case.fails("gone", "does not exist", data=case.folder / "gone")


def test_a_folder_without_spectra(case: Case) -> None:
    (case.folder / "empty").mkdir()
    case.fails("empty", "holds no .npy file", data=case.folder / "empty")


def test_only_darks(case: Case) -> None:
    for path in case.plume:
        path.unlink()
    case.fails("no spectra of the plume", "found: 1 dark")


def test_out_is_a_file(case: Case) -> None:
    case.run(out=case.site).explained("site.toml", "is a file")
    assert case.site.read_text() == SITE


@pytest.mark.parametrize("extra", [(), ("--watch",)])
def test_out_is_the_folder_of_the_spectra(case: Case, extra: tuple[str, ...]) -> None:
    before = sorted(case.data.iterdir())
    case.run(*extra, out=case.data).explained("among the raw data", "--out")
    assert sorted(case.data.iterdir()) == before


def test_out_cannot_be_written(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, *_, **__: Path(path) != case.folder)
    case.fails("nothing can be written", "--out")


# --- the site file -----------------------------------------------------------------------------------------------


def test_a_site_without_spectrometer(case: Case) -> None:
    case.site.write_text('format = 1\nname = "Test"\n')
    case.fails("site.toml", "spectrometer: is missing")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[spectrometer.detector]\nminimum_count = 3\n", ("spectrometer.detector.minimum_count",)),
        ("[spectrometer.detector]\nsaturation_counts = inf\n", ("spectrometer.detector.saturation_counts",)),
        ("[spectrometer.detector]\nsaturation_counts = 0\n", ("spectrometer.detector.saturation_counts",)),
        ("[spectrometer.detector]\nbad_pixels = [1.5]\n", ("spectrometer.detector.bad_pixels",)),
        ("[spectrometer.detector]\nstray_light_nm = [312, 314]\n", ("stray_light_nm", "must lie below")),
        ("[spectrometer.light_dilution]\nmode = 'fixed'\nvalue = 1\n", ("light_dilution.value",)),
        ("[spectrometer.files]\nformat = 'columns'\n", ("needs name_pattern",)),
        ("[spectrometer.references]\nso2 = { file = 'a', table = 'b' }\n", ("give either table or file",)),
    ],
)
def test_wrong_keys_and_values(case: Case, text: str, parts: tuple[str, ...]) -> None:
    case.settings(text)
    case.fails("site.toml", *parts)


@pytest.mark.parametrize("pixel", [361, -1, 10**30])
def test_bad_pixels_beyond_the_detector(case: Case, pixel: int) -> None:
    case.settings(f"[spectrometer.detector]\nbad_pixels = [{pixel}]\n")
    case.fails("bad", str(pixel)[:20])


def test_stray_light_outside_the_spectrum(case: Case) -> None:
    case.settings("[spectrometer.detector]\nstray_light_nm = [270, 280]\n")
    case.fails("spectrometer.detector", "stray_light_nm", "290.0 to 326.0 nm")


def rows_of(*rows: tuple[float, float]) -> str:
    return "\n".join(f"{x} {y}" for x, y in rows)


GRID = [(250.0 + n, 1e-19) for n in range(100)]


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (None, ("cannot be read",)),
        ("", ("at least 10 rows",)),
        ("\n".join(f"{x} 1 2" for x in range(20)), ("row 1 has 3 columns",)),
        (rows_of(*GRID, (300.0, 1.0)), ("wavelengths must increase", "row 101")),
        (rows_of(*GRID).replace("1e-19", "nan", 1), ("row 1", "not finite")),
        (rows_of(*GRID[:20]), ("spectrometer.references.so2", "covers 250.00 to 269.00 nm")),
        ("wave value\n" + rows_of(*GRID), ("row 1 is not two numbers",)),
    ],
)
def test_bad_reference_files(
    case: Case, text: str | None, parts: tuple[str, ...], jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spectra_batch, "_CHUNK", 2)
    if text is not None:
        (case.folder / "own.txt").write_text(text)
    case.settings('[spectrometer.references]\nso2 = { file = "own.txt" }\n')
    case.fails(*parts, extra=("--jobs", jobs))


def test_an_unknown_table(case: Case) -> None:
    case.settings('[spectrometer.references]\no3 = [{ table = "ozone" }]\n')
    case.fails("spectrometer.references.o3[0].table", "'ozone'", "o3-serdyuchenko2014-223k")


@pytest.mark.parametrize("values", [np.zeros(40), -np.ones(40), np.ones(40)])
def test_bad_line_shapes(case: Case, values: Any) -> None:
    np.savetxt(case.folder / "shape.txt", np.column_stack([np.linspace(-2, 2, 40), values]))
    case.site.write_text(SITE.replace("width_nm = 0.6", 'source = "file"\nfile = "shape.txt"'))
    result = case.run()
    if result.code == 2:
        result.explained("line shape")
    else:  # a flat shape is one, if a poor one
        assert values[0] == 1
        assert "Traceback" not in result.err


def test_a_missing_track(case: Case) -> None:
    case.settings('[spectrometer.files]\ngps_track = "track.txt"\n')
    case.fails("track.txt")


# --- spectra -----------------------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def changed(change: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        x, y = np.load(path)
        x, y = change(x.copy(), y.copy())
        np.save(path, np.stack([x, y]))

    return damage


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut short": (cut, "is cut short"),
    "empty": (empty, "is empty"),
    "text": (lambda path: path.write_text("310 1\n") and None, "is not a NumPy array"),
    "nan counts": (changed(lambda x, y: (x, np.where(x > 312, np.nan, y))), "no finite number"),
    "nan wavelengths": (changed(lambda x, y: (np.where(x > 312, np.nan, x), y)), "no finite number"),
    "doubled wavelength": (changed(lambda x, y: (np.where(x > 325, x.max(), x), y)), "do not increase"),
    "no wavelengths": (changed(lambda x, y: (np.arange(x.size), y)), "outside 100 to 2500 nm"),
    "one pixel": (lambda path: np.save(path, np.ones((2, 1))), "has the shape"),
    "objects": (lambda path: np.save(path, np.array([{}], object), allow_pickle=True), "not an array of plain numbers"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_one_damaged_spectrum_is_left_out(case: Case, damage: str) -> None:
    case.run()
    good = case.rows()
    make, message = DAMAGES[damage]
    make(case.plume[2])
    result = case.run()
    assert result.code == 0, result.err
    assert f"1 unreadable files: {name_of(3)}" in result.out
    assert message in result.out
    assert case.rows() == good[:2] + good[3:]


def test_all_spectra_damaged(case: Case) -> None:
    for path in case.plume:
        cut(path)
    case.fails(name_of(1), "none of 5 spectra could be read", "is cut short")


def test_a_reversed_axis_changes_nothing(case: Case) -> None:
    case.run()
    before = case.arrays()
    for path in case.data.iterdir():
        changed(lambda x, y: (x[::-1], y[::-1]))(path)
    assert case.run().code == 0
    assert case.arrays() == before


def everything(case: Case, expected: FitStatus, code: int = 3) -> None:
    result = case.run()
    assert result.code == code, result.err
    assert set(case.statuses()) == {expected.name.lower()}
    for row in case.rows():
        assert row["so2_molec_cm2"] == row["so2_uncertainty_molec_cm2"] == row["so2_systematic_molec_cm2"] == ""
    assert "no column: 5 x" in result.out


def test_a_window_outside_the_detector(case: Case) -> None:
    case.site.write_text(SITE.replace("[309, 317]", "[319, 329]"))
    everything(case, FitStatus.WINDOW_OUTSIDE)


def test_saturated_spectra(case: Case) -> None:
    case.settings("[spectrometer.detector]\nsaturation_counts = 2000\n")
    everything(case, FitStatus.SATURATED)


def test_spectra_without_light(case: Case) -> None:
    for path in case.plume:
        changed(lambda x, y: (x, np.full(x.size, 1000.0)))(path)
    everything(case, FitStatus.TOO_DARK)


def test_constant_light_gives_no_column_but_a_status(case: Case) -> None:
    for path in case.plume:
        changed(lambda x, y: (x, np.where(x > 300, 20000.0, 1000.0)))(path)
    case.run()
    for row in case.rows():
        assert row["status"] == "ok" or row["so2_molec_cm2"] == ""


def test_counts_at_the_edge_of_numbers(case: Case) -> None:
    case.settings("[spectrometer.detector]\nsaturation_counts = 1e300\n")
    for path, factor in zip(case.plume, (1e100, -1e100, 1e-300, 1e9, 0.0), strict=True):
        changed(lambda x, y, f=factor: (x, y * f))(path)  # type: ignore[misc]
    result = case.run()
    assert result.code in (0, 3), result.err
    for row in case.rows():
        assert row["status"] == "ok" or row["so2_molec_cm2"] == ""


def test_a_line_shape_wider_than_the_window_holds_pixels(case: Case) -> None:
    case.site.write_text(SITE.replace("[309, 317]", "[310, 311]"))
    case.fails("spectrometer.fit", "too few")


# --- darks, clear sky, test spectra ------------------------------------------------------------------------------


def test_no_dark(case: Case) -> None:
    (case.data / name_of(0, "Dark")).unlink()
    case.fails("no dark spectrum", "spectrometer.detector.require_dark")
    case.settings("[spectrometer.detector]\nrequire_dark = false\n")
    assert case.run().code == 0


def test_a_dark_of_another_integration_time(case: Case, counts: Any) -> None:
    save(case.data / name_of(8, integration_ms=200), counts[3])
    assert case.run().code == 0
    assert case.statuses() == ["ok"] * 5 + ["no_dark"]
    before = case.rows()
    save(case.data / name_of(9, "Dark", 200), np.full(WAVELENGTHS.size, 1000.0))
    assert case.run().code == 0
    rows = case.rows()
    assert rows[:5] == before[:5]
    assert rows[5]["so2_molec_cm2"] == rows[3]["so2_molec_cm2"]


@pytest.mark.parametrize("make", [cut, changed(lambda x, y: (x[:300], y[:300]))])
def test_a_bad_dark_among_good_ones(case: Case, make: Callable[[Path], None]) -> None:
    case.run()
    before = case.arrays()
    other = save(case.data / name_of(6, "Dark"), np.full(WAVELENGTHS.size, 7000.0))
    make(other)
    assert case.run().code == 0
    assert case.arrays() == before


def test_all_darks_of_another_detector(case: Case) -> None:
    changed(lambda x, y: (x[:300], y[:300]))(case.data / name_of(0, "Dark"))
    everything(case, FitStatus.NO_DARK)


def test_test_spectra_never_enter(case: Case, counts: Any) -> None:
    case.run()
    before = case.arrays()
    save(case.data / name_of(7, "Test"), counts[4])
    result = case.run()
    assert "1 test spectra not used" in result.out
    assert case.arrays() == before


OPTICAL_DENSITY = SITE + 'method = "optical-density"\n'


def test_optical_density_without_clear_spectra(case: Case) -> None:
    case.site.write_text(OPTICAL_DENSITY)
    case.fails("spectrometer.fit.method", "needs a clear-sky spectrum")


def test_optical_density(case: Case, counts: Any) -> None:
    case.site.write_text(OPTICAL_DENSITY)
    clear = save(case.data / name_of(9, "Clear"), counts[0])
    assert case.run().code == 0
    before = case.arrays()
    for row, truth in zip(case.rows()[1:], COLUMNS[1:], strict=True):
        assert float(row["so2_molec_cm2"]) == pytest.approx(truth, rel=0.03, abs=5e16)
    cut(save(case.data / name_of(10, "Clear"), counts[4]))  # a bad one does not matter
    assert case.run().code == 0
    assert case.arrays() == before
    save(clear, np.where(WAVELENGTHS > 312, 65000.0, counts[0]))
    before_run = (case.out / "columns.csv").read_bytes()
    case.run().explained(name_of(9, "Clear"), "saturated within the fit window")
    assert (case.out / "columns.csv").read_bytes() == before_run


def test_a_clear_spectrum_without_its_dark_is_not_used(case: Case, counts: Any) -> None:
    case.site.write_text(OPTICAL_DENSITY)
    save(case.data / name_of(9, "Clear", 300), counts[0])
    case.fails("needs a clear-sky spectrum", "has a dark")


def test_examples_for_the_quicklook(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[ExampleFit] = []

    def keep(path: Path, *_: object, examples: list[ExampleFit], **__: object) -> None:
        path.write_bytes(b"quicklook")
        kept.extend(examples)

    monkeypatch.setattr(spectra_batch, "write_columns_quicklook", keep)
    case.run()
    assert [example.label.partition(",")[0] for example in kept] == ["best fit", "worst fit"]
    assert all(np.nanmax(np.abs(example.residual)) < 0.2 for example in kept)
    kept.clear()
    case.site.write_text(OPTICAL_DENSITY)
    save(case.data / name_of(9, "Clear"), np.load(case.plume[0])[1] + 1)
    case.run()
    assert [example.label.partition(",")[0] for example in kept] == ["best fit", "worst fit"]
    kept.clear()
    case.site.write_text(SITE + "maximum_shift_nm = 0.01\n")
    for path in case.plume:
        changed(lambda x, y: (x + 0.2, y))(path)
    everything(case, FitStatus.AT_BOUND)
    assert len(kept) == 2, "fits without a column tell why there is none"
    assert all(" fit, no column, 2026" in example.label for example in kept)
    kept.clear()
    for path in case.plume:
        changed(lambda x, y: (x, np.full(x.size, 1000.0)))(path)
    everything(case, FitStatus.TOO_DARK)
    assert kept == []


def test_fits_are_compiled_beforehand(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compile"]) == 0
    shown = capsys.readouterr().out
    assert "the fits of columns" in shown
    assert "dilution" not in shown, "only where it is asked for"
    assert fit_batch.signatures  # type: ignore[attr-defined]
