"""The examples Masaya and Flame on the command line, against the columns of existing software."""

import csv
from pathlib import Path

import numpy as np
import pytest

from so2cam.cli.main import run
from so2cam.formats.sitefile import load_spectrometer
from so2cam.pipeline import spectra_batch

ROOT = Path(__file__).resolve().parents[2]
REFERENCE_PPM_M = 2.652e15
"""molecules cm-2 in iFit's ppm m, in which the agreement is stated"""

pytestmark = pytest.mark.data


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def numbers(rows: list[dict[str, str]], key: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([float(row[key]) for row in rows])


def columns(example: str, spectra: Path, out: Path, *extra: str) -> list[dict[str, str]]:
    site = ROOT / "examples" / example
    assert run(["spectra", str(site), "--spectra", str(spectra), "--out", str(out), *extra]) == 0
    return read_rows(out / "columns.csv")


@pytest.fixture(autouse=True)
def no_quicklook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        spectra_batch, "write_columns_quicklook", lambda path, *_, **__: path.write_bytes(b"quicklook") and None
    )


@pytest.mark.parametrize("name", ["masaya/site.toml", "masaya/site-as-ifit.toml", "flame/site.toml"])
def test_examples_are_valid(name: str) -> None:
    assert load_spectrometer(ROOT / "examples" / name).spectrometer.detector.subtract_dark


def test_masaya_as_ifit(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = read_rows(data_dir / "masaya" / "reference_columns.csv")
    rows = columns("masaya/site-as-ifit.toml", data_dir / "masaya", tmp_path)
    assert [row["file"] for row in rows] == [row["file"] for row in reference]
    assert {row["status"] for row in rows} == {"ok"}
    difference = numbers(rows, "so2_molec_cm2") - numbers(reference, "SO2")
    assert np.abs(difference).max() / REFERENCE_PPM_M < 0.05
    assert np.abs(numbers(rows, "so2_uncertainty_molec_cm2") / numbers(reference, "SO2_err") - 1).max() < 0.02
    assert (numbers(rows, "chi2") / numbers(reference, "chisq")).max() < 1 + 1e-5
    assert np.abs(numbers(rows, "ring") - numbers(reference, "Ring")).max() < 2e-4
    assert rows[0]["time"] == "2018-01-14T15:25:53.000Z", "headers are 6 h behind UTC"
    assert "82 spectra" in capsys.readouterr().out


def test_masaya_with_two_processes_is_the_same(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = ("--start", "2018-01-14T15:25Z", "--end", "2018-01-14T15:56Z")
    columns("masaya/site-as-ifit.toml", data_dir / "masaya", tmp_path / "one", *extra)
    monkeypatch.setattr(spectra_batch, "_CHUNK", 3)
    columns("masaya/site-as-ifit.toml", data_dir / "masaya", tmp_path / "two", *extra, "--jobs", "2")
    one, two = ((tmp_path / name / "columns.csv").read_bytes() for name in ("one", "two"))
    assert one == two


def test_masaya_with_own_tables(data_dir: Path, tmp_path: Path) -> None:
    reference = read_rows(data_dir / "masaya" / "reference_columns.csv")
    rows = columns("masaya/site.toml", data_dir / "masaya", tmp_path)
    assert {row["status"] for row in rows} == {"ok"}
    assert 100 * np.median(numbers(rows, "residual_rms")) < np.median(numbers(reference, "resid_pct_std"))
    near = np.abs(numbers(rows, "so2_molec_cm2") - numbers(reference, "SO2"))
    assert np.median(near) < 1.5 * np.median(numbers(reference, "SO2_err"))
    placed = [row for row in rows if row["latitude"]]
    assert len(placed) > 0.9 * len(rows)
    assert np.abs(numbers(placed, "latitude") - 11.98).max() < 0.2
    assert np.abs(numbers(placed, "longitude") + 86.16).max() < 0.2


def test_flame_as_pycam(data_dir: Path, tmp_path: Path) -> None:
    reference = read_rows(data_dir / "spectra_flame" / "reference_columns.csv")
    rows = columns("flame/site-as-ifit.toml", data_dir / "spectra_flame", tmp_path)
    by_time = {row["file"].partition("_")[0]: row for row in rows}
    found = [by_time[row["time"].replace(" ", "T").replace(":", "")] for row in reference]
    so2, expected = numbers(found, "so2_molec_cm2"), numbers(reference, "so2_molec_cm2")
    plume = expected > 5e17
    assert 0 < plume.sum() < plume.size
    assert np.abs(so2[plume] / expected[plume] - 1).max() < 5e-4
    assert np.abs(so2 - expected)[~plume].max() / REFERENCE_PPM_M < 0.3


def test_flame_with_own_tables(data_dir: Path, tmp_path: Path) -> None:
    own = columns("flame/site.toml", data_dir / "spectra_flame", tmp_path / "own")
    given = columns("flame/site-as-ifit.toml", data_dir / "spectra_flame", tmp_path / "given")
    assert {row["status"] for row in own} == {"ok"}
    ours, theirs = numbers(own, "residual_rms"), numbers(given, "residual_rms")
    assert np.median(ours / theirs) < 1.0
    plume = numbers(given, "so2_molec_cm2") > 5e17
    for kind in (plume, ~plume):
        assert np.median(ours[kind]) < np.median(theirs[kind])
