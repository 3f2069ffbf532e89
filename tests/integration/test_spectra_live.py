"""Watched folders of spectra: files that arrive, grow, are locked or removed; what is left equals a batch."""

import errno
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from so2cam.cli.main import run
from so2cam.core.errors import InputError, OutputError
from so2cam.core.spectra import FitStatus
from so2cam.core.spectrometer import Fit, LineShapeSettings
from so2cam.formats.reference_spectra import reference_table
from so2cam.formats.sitefile import load_spectrometer
from so2cam.pipeline import spectra_batch, spectra_live
from so2cam.pipeline.spectra_batch import process_spectra
from so2cam.pipeline.spectra_live import SpectraWatch
from so2cam.pipeline.spectrum_processor import SpectrumProcessor
from so2cam.science.spectra.forward import model_spectra
from so2cam.science.spectra.model import FitTables, build_fit
from so2cam.science.spectra.table import SpectralTable

WAVELENGTHS = np.linspace(290.0, 326.0, 361)
PRODUCTS = ["columns.csv", "columns.nc", "quicklook.png"]
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
def light() -> np.ndarray[Any, Any]:
    """Counts (6, 361) above the dark, with more SO2 from one to the next."""
    tables = FitTables(table("solar-sao2010"), table("so2-bogumil2003-293k"), (table("o3-serdyuchenko2014-223k"),))
    model = build_fit(
        WAVELENGTHS,
        fit=Fit(window_nm=(299, 323), model_spacing_nm=0.02),
        line_shape=LineShapeSettings(width_nm=0.6),
        tables=tables,
    )
    rows = np.tile(np.where(np.isfinite(model.start), model.start, 0.0), (6, 1))
    rows[:, model.names.index("background_0")] = 3e4
    rows[:, model.names.index("so2")] = np.arange(6) * 3e17
    out = np.zeros((6, WAVELENGTHS.size))
    out[:, model.window] = model_spectra(model, rows)
    return np.asarray(out + np.random.default_rng(2).normal(0, 8, out.shape))


@dataclass
class Live:
    """A folder that fills, and the watch over it."""

    folder: Path
    light: Any
    told: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.data.mkdir()
        (self.folder / "site.toml").write_text(SITE)
        self.watch = self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def start(self) -> SpectraWatch:
        self.loaded = load_spectrometer(self.folder / "site.toml")
        return SpectraWatch(self.loaded, (self.data,), self.out, command="so2cam spectra")

    def add(self, second: int, kind: str = "Plume", level: Any = 1000.0, number: int = 0) -> Path:
        path = self.data / f"2026-03-01T1200{second:02d}_100ss_1coadd_{kind}.npy"
        counts = np.full(WAVELENGTHS.size, level) + (self.light[number] if kind in ("Plume", "Test") else 0.0)
        np.save(path, np.stack([WAVELENGTHS, counts]))
        return path

    def steps(self, count: int = 2) -> None:
        for _ in range(count):
            found = self.watch.step()
            if found is not None:
                self.told.append((len(found[0].times), found[1]))

    def arrays(self, out: Path | None = None) -> dict[str, bytes]:
        with xr.open_dataset((out or self.out) / "columns.nc") as found:
            names = [name for name in found.variables if found[name].dims == ("spectrum",) and name != "file"]
            return {str(name): found[name].values.tobytes() for name in names}

    def equals_a_batch(self) -> None:
        batch = self.folder / "batch"
        process_spectra(self.loaded, (self.data,), batch, command="so2cam spectra")
        assert self.arrays() == self.arrays(batch)
        assert (self.out / "columns.csv").read_bytes() == (batch / "columns.csv").read_bytes()

    def statuses(self) -> list[int]:
        with xr.open_dataset(self.out / "columns.nc") as found:
            return [int(code) for code in found["fit_status"].values]


@pytest.fixture
def live(light: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Live:
    monkeypatch.setattr(
        spectra_batch, "write_columns_quicklook", lambda path, *_, **__: path.write_bytes(b"quicklook") and None
    )
    return Live(tmp_path, light)


def test_files_that_arrive(live: Live) -> None:
    live.steps(1)
    assert not live.out.exists(), "an empty folder is waited for"
    live.add(0, "Dark")
    live.steps()
    assert live.told == []
    for number in range(3):
        live.add(number + 1, number=number)
        live.steps(3)
    assert live.told == [(1, 1), (2, 1), (3, 1)]
    assert live.statuses() == [0, 0, 0]
    assert sorted(path.name for path in live.out.iterdir()) == PRODUCTS
    live.equals_a_batch()


def test_a_file_counts_once_it_stops_growing(live: Live) -> None:
    live.add(0, "Dark")
    path = live.add(1)
    whole = path.read_bytes()
    for size in (0, 100, 2000, len(whole)):
        path.write_bytes(whole[:size])
        live.steps(1)
    assert live.told == []
    live.steps(1)
    assert live.told == [(1, 1)]
    live.equals_a_batch()


def test_a_file_that_pauses_half_written(live: Live) -> None:
    live.add(0, "Dark")
    live.add(1)
    path = live.add(2, number=3)
    whole = path.read_bytes()
    path.write_bytes(whole[:2000])
    live.steps(3)
    assert live.told == [(1, 1)]
    path.write_bytes(whole)
    live.steps(3)
    assert live.told[-1] == (2, 1)
    live.equals_a_batch()


def test_a_text_that_pauses_between_rows_is_fitted_again(live: Live) -> None:
    site = SITE + '\n[spectrometer.files]\nformat = "columns"\nname_pattern = "{time:%Y-%m-%dT%H%M%S}_{kind}.txt"\n'
    (live.folder / "site.toml").write_text(site)
    live.watch = live.start()
    for kind, counts in (("dark", np.full(361, 1000.0)), ("plume", 1000 + live.light[2])):
        np.savetxt(live.data / f"2026-03-01T120001_{kind}.txt", np.column_stack([WAVELENGTHS, counts]))
    path = live.data / "2026-03-01T120001_plume.txt"
    whole = path.read_text()
    path.write_text("\n".join(whole.splitlines()[:300]) + "\n")
    live.steps()
    assert live.statuses() == [FitStatus.NO_DARK]
    path.write_text(whole)
    live.steps()
    assert live.statuses() == [FitStatus.OK]
    live.equals_a_batch()


def test_a_locked_file_waits(live: Live) -> None:
    live.add(0, "Dark")
    path = live.add(1)
    lock = path.with_suffix(".lock")
    lock.touch()
    live.steps(3)
    assert live.told == []
    lock.unlink()
    live.steps()
    assert live.told == [(1, 1)]


def test_a_spectrum_before_its_dark(live: Live) -> None:
    live.add(1)
    live.add(2, number=2)
    live.steps()
    assert live.statuses() == [FitStatus.NO_DARK] * 2
    live.add(3, "Dark")
    live.steps()
    assert live.statuses() == [FitStatus.OK] * 2
    assert live.told == [(2, 2), (2, 0)]
    live.equals_a_batch()


def test_newer_darks_change_what_they_belong_to(live: Live) -> None:
    site = SITE + "\n[spectrometer.detector]\ndark_averaging_s = 0\n"
    (live.folder / "site.toml").write_text(site)
    live.watch = live.start()
    live.add(0, "Dark", 1000)
    for second in (1, 8):
        live.add(second, number=second // 2)
    live.steps()
    before = live.arrays()
    live.add(9, "Dark", 1000 + 20 * (WAVELENGTHS - 290))
    live.steps()
    after = live.arrays()
    assert after["so2_column"][:8] == before["so2_column"][:8]
    assert after["so2_column"][8:] != before["so2_column"][8:]
    live.equals_a_batch()


def test_a_damaged_dark_that_is_copied_again(live: Live) -> None:
    live.add(0, "Dark")
    dark = live.add(5, "Dark", 1200)
    whole = dark.read_bytes()
    dark.write_bytes(whole[:-8])
    live.add(4)
    live.steps()
    assert live.statuses() == [FitStatus.OK]
    live.equals_a_batch()
    dark.write_bytes(whole)
    live.steps(3)
    live.equals_a_batch()


def test_removed_files_stay_in_the_products(live: Live) -> None:
    live.add(0, "Dark")
    first = live.add(1)
    live.add(2, number=1)
    live.steps()
    before = live.arrays()
    first.unlink()
    live.steps()
    live.add(3, number=2)
    live.steps()
    assert live.statuses() == [0, 0, 0]
    after = live.arrays()
    assert after["so2_column"][:16] == before["so2_column"]


def test_all_files_removed(live: Live) -> None:
    live.add(0, "Dark")
    live.add(1)
    live.steps()
    for path in live.data.iterdir():
        path.unlink()
    live.steps(3)
    assert live.told == [(1, 1)]


def test_a_file_that_vanishes_between_the_look_and_the_reading(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    live.add(0, "Dark")
    live.add(1)
    gone = live.add(2)
    live.steps(1)
    plan_spectra = spectra_live.plan_spectra

    def plan_then_remove(*arguments: Any) -> Any:
        plan = plan_spectra(*arguments)
        gone.unlink(missing_ok=True)
        return plan

    monkeypatch.setattr(spectra_live, "plan_spectra", plan_then_remove)
    live.steps(2)
    assert live.told == [(1, 1)]


def test_a_restart_gives_the_same(live: Live) -> None:
    for second in (3, 1, 4, 2):
        live.add(second, number=second)
        live.steps()
    live.add(0, "Dark")
    live.add(9, "Test", number=5)
    live.steps()
    before = live.arrays()
    live.equals_a_batch()
    live.watch = live.start()
    live.steps()
    assert live.arrays() == before


def test_nothing_is_done_or_kept_where_nothing_is_new(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    live.add(0, "Dark")
    live.add(1)
    live.steps()

    def never(*_: object, **__: object) -> Any:
        raise AssertionError("nothing is new")

    def sizes() -> list[int]:
        return [len(value) for value in vars(live.watch).values() if isinstance(value, (dict, list, set, tuple))]

    monkeypatch.setattr(SpectrumProcessor, "process", never)
    monkeypatch.setattr(spectra_live, "write_products", never)
    before = sizes()
    live.steps(20)
    assert sizes() == before


def test_unreadable_files_are_not_read_again_and_again(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    live.add(0, "Dark")
    path = live.add(1)
    path.write_bytes(path.read_bytes()[:500])
    live.steps()
    reads: list[Path] = []
    read = spectra_live.SpectrumReader.read

    def counted(self: Any, info: Any) -> Any:
        reads.append(info.path)
        return read(self, info)

    monkeypatch.setattr(spectra_live.SpectrumReader, "read", counted)
    live.steps(5)
    assert reads == []
    assert not live.out.exists()


def test_what_is_wrong_is_said_at_the_start(live: Live) -> None:
    with pytest.raises(OutputError, match="among the raw data"):
        SpectraWatch(live.loaded, (live.data,), live.data, command="")
    (live.folder / "site.toml").write_text(SITE + "[spectrometer.references]\nso2 = { file = 'none.txt' }\n")
    with pytest.raises(InputError, match="cannot be read"):
        live.start()


def test_a_missing_folder_is_an_error(live: Live) -> None:
    live.data.rmdir()
    with pytest.raises(InputError, match="does not exist"):
        live.watch.step()


def test_a_full_disk_leaves_older_products(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    live.add(0, "Dark")
    live.add(1)
    live.steps()
    before = {path.name: path.read_bytes() for path in live.out.iterdir()}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spectra_batch, "write_columns_csv", full)
    live.add(2)
    with pytest.raises(OutputError, match="No space left"):
        live.steps()
    assert {path.name: path.read_bytes() for path in live.out.iterdir()} == before


def test_ctrl_c_ends_a_watch_well(
    live: Live, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    live.add(0, "Dark")
    live.add(1, number=2)
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", nap)
    arguments = ("spectra", live.folder / "site.toml", "--spectra", live.data, "--out", live.out)
    assert run([*map(str, arguments), "--watch", "--every", "2"]) == 0
    printed = capsys.readouterr()
    assert naps == [2, 2, 2]
    assert printed.err == ""
    assert "1 new, 1 in all; last: 2" in printed.out
    assert sorted(path.name for path in live.out.iterdir()) == PRODUCTS
    live.equals_a_batch()


def test_what_cannot_be_used_is_told_once(
    live: Live, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            live.add(0, "Dark")
            path = live.add(1)
            path.write_bytes(path.read_bytes()[:500])
            for number in range(8):
                (live.data / f"picture{number}.npy").write_bytes(b"x")
            (live.data / "2026-03-01T120002_100ss_1coadd_Plume.npy").write_bytes(b"x")
            (live.data / "2026-03-01T120002_100ss_1coadd_Plume.lock").touch()
        if len(naps) == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", nap)
    arguments = ("spectra", live.folder / "site.toml", "--spectra", live.data, "--out", live.out, "--watch")
    assert run([str(argument) for argument in arguments]) == 0
    warnings = capsys.readouterr().err.replace("\n", " ").split("Warning: ")[1:]
    assert len(warnings) == 8, warnings
    assert "holds no .npy file, in itself or below: waiting for files" in warnings[0]
    assert all(
        f"picture{number}.npy is not used: the name is not made of" in warnings[1 + number] for number in range(5)
    )
    assert "and 3 more like these" in warnings[6]
    assert "2026-03-01T120001_100ss_1coadd_Plume.npy is cut short" in warnings[7]


def test_ctrl_c_in_the_middle_of_writing(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    live.add(0, "Dark")
    live.add(1)
    live.steps()
    before = {path.name: path.read_bytes() for path in live.out.iterdir()}
    live.add(2)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(spectra_batch, "write_columns_quicklook", interrupt)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    arguments = ("spectra", live.folder / "site.toml", "--spectra", live.data, "--out", live.out, "--watch")
    assert run([str(argument) for argument in arguments]) == 0
    assert {path.name: path.read_bytes() for path in live.out.iterdir()} == before
