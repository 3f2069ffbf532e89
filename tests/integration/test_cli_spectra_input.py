"""``so2cam spectra`` on simulated spectra: what is wrong is said once, and nothing is half written."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from so2cam.cli.main import run
from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.spectra import FitStatus
from so2cam.formats.column_products import read_columns_csv
from so2cam.formats.sitefile import load_spectrometer
from so2cam.pipeline.spectra_live import SpectraWatch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import spectra_dilution as bench

SITE = """format = 1
name = "simulated"
[spectrometer.detector]
stray_light_nm = [291, 295]
minimum_counts = 100
[spectrometer.fit]
window_nm = [310, 320]
"""
OFFSET = 1500.0


def write(folder: Path, second: int, kind: str, counts: np.ndarray, milliseconds: int = 1000) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    time = datetime(2026, 1, 15, 14, tzinfo=UTC) + timedelta(seconds=second)
    path = folder / f"{time:%Y-%m-%dT%H%M%S}_{milliseconds}ss_1coadd_{kind}.npy"
    np.save(path, np.stack([bench.PIXELS_NM, counts]))
    return path


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A folder with a site file and 8 spectra with a dark."""
    counts, _, _ = bench.simulated(8, 100, 3)
    (tmp_path / "site.toml").write_text(SITE, encoding="utf-8")
    write(tmp_path / "data", 0, "Dark", np.full(counts.shape[1], OFFSET))
    for number, row in enumerate(counts):
        write(tmp_path / "data", 10 + number, "Plume", np.nan_to_num(row) + OFFSET)
    return tmp_path


def go(case: Path, *more: str) -> int:
    return run(["spectra", str(case / "site.toml"), "--spectra", str(case / "data"), "--out", str(case / "out"), *more])


def with_setting(case: Path, old: str, new: str) -> None:
    text = (case / "site.toml").read_text(encoding="utf-8")
    assert old in text
    (case / "site.toml").write_text(text.replace(old, new), encoding="utf-8")


def test_columns_are_those_that_were_put_in(case: Path) -> None:
    _, so2, dilution = bench.simulated(8, 100, 3)
    assert go(case) == 0
    series = read_columns_csv(case / "out" / "columns.csv")
    assert (series.status == FitStatus.OK).all()
    # What is not corrected for dilution reads low, the more the more there is of it.
    assert (series.so2_molec_cm2 < so2 + 20 * MOLEC_CM2_PER_PPM_M).all()
    assert (series.so2_molec_cm2 > 0.2 * so2 * (1 - dilution)).all()
    assert {path.name for path in (case / "out").iterdir()} == {"columns.nc", "columns.csv", "quicklook.png"}


def test_damaged_files_are_left_out_and_counted(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = sorted((case / "data").glob("*Plume.npy"))
    good[1].write_bytes(good[1].read_bytes()[:700])
    good[2].write_bytes(b"")
    counts = np.load(good[3])
    counts[1, 50] = np.nan
    np.save(good[3], counts)
    assert go(case) == 0
    assert "3 unreadable files" in capsys.readouterr().out
    assert len(read_columns_csv(case / "out" / "columns.csv").times) == 5


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda counts: np.full_like(counts, 65535.0), FitStatus.SATURATED),
        (lambda counts: np.full_like(counts, OFFSET), FitStatus.TOO_DARK),
    ],
)
def test_light_that_cannot_be_fitted_has_a_status(case: Path, change: object, status: FitStatus) -> None:
    first = min((case / "data").glob("*Plume.npy"))
    both = np.load(first)
    np.save(first, np.stack([both[0], change(both[1])]))  # type: ignore[operator]
    assert go(case) == 0
    series = read_columns_csv(case / "out" / "columns.csv")
    assert series.status[0] == status
    assert np.isnan(series.so2_molec_cm2[0])
    assert (series.status[1:] == FitStatus.OK).all()


def test_a_reversed_axis_is_the_same_spectrum(case: Path) -> None:
    assert go(case) == 0
    before = (case / "out" / "columns.csv").read_bytes()
    for path in (case / "data").glob("*.npy"):
        np.save(path, np.load(path)[:, ::-1])
    assert go(case) == 0
    assert (case / "out" / "columns.csv").read_bytes() == before


def test_a_window_beside_the_spectrum_is_no_column(case: Path) -> None:
    with_setting(case, "window_nm = [310, 320]", "window_nm = [330, 345]")
    assert go(case) == 3
    assert (read_columns_csv(case / "out" / "columns.csv").status == FitStatus.WINDOW_OUTSIDE).all()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("window_nm = [310, 320]", "window_nm = [320, 310]", "window_nm"),
        ("[spectrometer.fit]", "[spectrometer.fits]", "did you mean fit?"),
        (
            "[spectrometer.fit]",
            '[spectrometer.references]\nso2 = { file = "none.txt" }\n[spectrometer.fit]',
            "none.txt",
        ),
        ("[spectrometer.fit]", '[spectrometer.references]\nso2 = { file = "bad.txt" }\n[spectrometer.fit]', "bad.txt"),
        ("[spectrometer.fit]", '[spectrometer.references]\nso2 = { table = "so3" }\n[spectrometer.fit]', "so2-bogumil"),
        ("minimum_counts = 100", "bad_pixels = [99999]", "bad pixel"),
    ],
)
def test_wrong_settings_are_said_once(
    case: Path, old: str, new: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (case / "bad.txt").write_text("300 1e-19\n299 1e-19\n" + "301 1e-19\n" * 20, encoding="utf-8")
    with_setting(case, old, new)
    assert go(case) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "What to do" in error
    assert "Traceback" not in error
    assert not (case / "out").exists()


def test_no_dark_is_said(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (case / "data").glob("*Dark.npy"):
        path.unlink()
    assert go(case) == 2
    assert "no dark spectrum" in capsys.readouterr().err
    write(case / "data", 0, "Dark", np.full(600, OFFSET), milliseconds=500)
    assert go(case) == 3
    assert (read_columns_csv(case / "out" / "columns.csv").status == FitStatus.NO_DARK).all()


def test_spectra_that_come_later_give_the_same_columns(case: Path) -> None:
    assert go(case) == 0
    whole = (case / "out" / "columns.csv").read_bytes()
    kept = {path: path.read_bytes() for path in sorted((case / "data").glob("*Plume.npy"))}
    for path in list(kept)[2:]:
        path.unlink()
    watch = SpectraWatch(
        load_spectrometer(case / "site.toml"), [case / "data"], case / "live", command="so2cam spectra --watch"
    )
    assert watch.step() is None  # files are trusted once their size stands still
    found = watch.step()
    assert found is not None
    assert len(found[0].times) == 2
    for path in list(kept)[2:]:
        path.write_bytes(kept[path][:300])
    assert watch.step() is None
    for path in list(kept)[2:]:
        path.write_bytes(kept[path])
    watch.step()
    found = watch.step()
    assert found is not None
    assert len(found[0].times) == 8
    assert (case / "live" / "columns.csv").read_bytes() == whole
    assert watch.step() is None
