"""``so2cam spectra`` on real measurements, against the columns of iFit."""

import csv
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from so2cam.cli.main import run
from so2cam.formats.column_products import read_columns_netcdf

pytestmark = pytest.mark.data
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
IFIT_PPM_M = 2.652e15
"""Molecules cm-2 of iFit's ppm m."""


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def columns(site: str, folder: Path, out: Path) -> list[dict[str, str]]:
    assert run(["spectra", str(EXAMPLES / site), "--spectra", str(folder), "--out", str(out)]) == 0
    return rows_of(out / "columns.csv")


def test_masaya_is_ifits(data_dir: Path, tmp_path: Path) -> None:
    found = columns("masaya/site-as-ifit.toml", data_dir / "masaya", tmp_path / "out")
    reference = {row["file"]: row for row in rows_of(data_dir / "masaya" / "reference_columns.csv")}
    assert len(found) == len(reference) == 82
    for row in found:
        known = reference[row["file"]]
        assert row["status"] == "ok"
        assert abs(float(row["so2_molec_cm2"]) - float(known["SO2"])) < 0.05 * IFIT_PPM_M
        assert float(row["so2_uncertainty_molec_cm2"]) == pytest.approx(float(known["SO2_err"]), rel=0.02)
        assert float(row["chi2"]) <= float(known["chisq"]) * (1 + 1e-6)


def test_masaya_with_our_own_tables(data_dir: Path, tmp_path: Path) -> None:
    found = columns("masaya/site.toml", data_dir / "masaya", tmp_path / "out")
    reference = {row["file"]: row for row in rows_of(data_dir / "masaya" / "reference_columns.csv")}
    residual = np.median([100 * float(row["residual_rms"]) for row in found])
    assert residual <= np.median([float(reference[row["file"]]["resid_pct_std"]) for row in found])
    difference = [float(row["so2_molec_cm2"]) - float(reference[row["file"]]["SO2"]) for row in found]
    assert 0 < np.median(difference) < 4 * IFIT_PPM_M
    series = read_columns_netcdf(tmp_path / "out" / "columns.nc")
    # The track begins after the first spectrum.
    assert np.isfinite(series.latitude_deg[1:]).all()
    assert np.ptp(series.latitude_deg[1:]) > 0.02
    with xr.open_dataset(tmp_path / "out" / "columns.nc") as product:
        assert "MasayaTraverseGPS" in " ".join(str(name) for name in product.input_file.values)


def test_flame_is_ifits(data_dir: Path, tmp_path: Path) -> None:
    found = columns("flame/site-as-ifit.toml", data_dir / "spectra_flame", tmp_path / "out")
    reference = {row["time"]: row for row in rows_of(data_dir / "spectra_flame" / "reference_columns.csv")}
    compared = 0
    for row in found:
        known = reference.get(row["time"][:19].replace("T", " "))
        if known is None:
            continue
        value, expected = float(row["so2_molec_cm2"]), float(known["so2_molec_cm2"])
        compared += 1
        if expected > 5e17:
            assert value == pytest.approx(expected, rel=5e-4)
        else:
            assert abs(value - expected) < 0.3 * IFIT_PPM_M
    assert compared == len(reference)


def test_several_processes_give_the_same_bytes(data_dir: Path, tmp_path: Path) -> None:
    site, folder = str(EXAMPLES / "flame" / "site.toml"), str(data_dir / "spectra_flame")
    for jobs, out in (("1", "one"), ("2", "two")):
        assert run(["spectra", site, "--spectra", folder, "--jobs", jobs, "--out", str(tmp_path / out)]) == 0
    assert (tmp_path / "one" / "columns.csv").read_bytes() == (tmp_path / "two" / "columns.csv").read_bytes()
