"""The products of columns: what the files must be, and that each can be read back."""

import csv
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from netCDF4 import Dataset

from so2cam.core.errors import InputError, OutputError
from so2cam.core.records import Provenance
from so2cam.core.spectra import ColumnSeries, DilutionEvidence, FitStatus
from so2cam.formats.column_products import (
    CSV_COLUMNS,
    read_columns_csv,
    read_columns_netcdf,
    write_columns_csv,
    write_columns_netcdf,
)

START = datetime(2018, 1, 14, 15, 25, 53, 250000, UTC)
HEADER = (
    "time,file,so2_molec_cm2,so2_uncertainty_molec_cm2,light_dilution,o3_molec_cm2,ring,shift_nm,residual_rms,chi2,"
    "status,latitude,longitude,so2_systematic_molec_cm2"
)
PROVENANCE = Provenance(
    software_version="1.2.3",
    site_name="Masaya",
    settings={"name": "Masaya", "spectrometer": {"fit": {"window_nm": [310, 320]}}},
    settings_sha256="ab" * 32,
    input_sha256=(("site.toml", "cd" * 32), ("a, b.txt", "ef" * 32)),
    command="so2cam columns",
    created=datetime(2024, 1, 1, tzinfo=UTC),
)


def make_series(count: int = 10) -> ColumnSeries:
    rng = np.random.default_rng(3)
    status = np.zeros(count, np.int64)
    status[::4] = int(FitStatus.TOO_DARK)
    failed = status != 0

    def values(low: float, high: float) -> np.ndarray:
        return np.where(failed, np.nan, rng.uniform(low, high, count))

    random = values(1e16, 2e17)
    if count > 1:
        random[1] = np.inf
    return ColumnSeries(
        times=tuple(START + timedelta(seconds=i // 2) for i in range(count)),
        files=tuple(f'spectrum "{i}", é.txt' for i in range(count)),
        so2_molec_cm2=values(-1e17, 3e18),
        so2_random_molec_cm2=random,
        so2_systematic_molec_cm2=values(1e15, 2e17),
        light_dilution=values(0, 0.5),
        light_dilution_uncertainty=values(0, 0.1),
        residual_rms=values(1e-3, 1e-2),
        chi2=values(1e5, 1e7),
        status=status,
        parameters={
            "so2": (values(-1e17, 3e18), values(1e16, 2e17)),
            "o3": (values(5e18, 1e19), values(1e17, 2e17)),
            "ring": (values(0, 0.2), values(0, 0.01)),
            "shift": (values(-0.1, 0.1), values(0, 0.01)),
            "background 0": (values(0, 1), values(0, 1)),
            "background_0": (values(0, 1), values(0, 1)),
        },
        latitude_deg=rng.uniform(11, 12, count),
        longitude_deg=rng.uniform(-87, -86, count),
        altitude_m=rng.uniform(200, 600, count),
    )


def assert_same(found: ColumnSeries, expected: ColumnSeries, **tolerance: Any) -> None:
    assert found.times == expected.times
    assert found.files == expected.files
    assert list(found.parameters) == list(expected.parameters)
    for field in dataclasses.fields(ColumnSeries):
        if field.name not in ("times", "files", "parameters", "evidence"):
            np.testing.assert_allclose(getattr(found, field.name), getattr(expected, field.name), **tolerance)
    for name, pair in expected.parameters.items():
        for mine, theirs in zip(found.parameters[name], pair, strict=True):
            np.testing.assert_allclose(mine, theirs, **tolerance)
    assert (found.evidence is None) == (expected.evidence is None)
    if found.evidence is not None and expected.evidence is not None:
        for item in dataclasses.fields(DilutionEvidence):
            mine, theirs = getattr(found.evidence, item.name), getattr(expected.evidence, item.name)
            np.testing.assert_allclose(mine, theirs, **tolerance)


def with_evidence(series: ColumnSeries, depths: int = 7) -> ColumnSeries:
    rng = np.random.default_rng(5)
    count = len(series.times)
    misfit = rng.uniform(0, 90, (count, depths))
    misfit[::3] = np.nan
    evidence = DilutionEvidence(
        rng.uniform(0, 3e18, count), rng.uniform(1e15, 1e17, count), np.linspace(-0.2, 1, depths), misfit
    )
    return dataclasses.replace(series, evidence=evidence)


@pytest.mark.parametrize("count", [0, 1, 10, 5000])
def test_netcdf_gives_back_what_was_written(tmp_path: Path, count: int) -> None:
    series = make_series(count)
    write_columns_netcdf(tmp_path / "c.nc", series, PROVENANCE)
    assert_same(read_columns_netcdf(tmp_path / "c.nc"), series, rtol=0, atol=0)


@pytest.mark.parametrize("count", [0, 1, 40])
def test_netcdf_keeps_what_spectra_tell_of_light_dilution_together(tmp_path: Path, count: int) -> None:
    series = with_evidence(make_series(count))
    write_columns_netcdf(tmp_path / "c.nc", series, PROVENANCE)
    assert_same(read_columns_netcdf(tmp_path / "c.nc"), series, rtol=0, atol=0)
    with Dataset(tmp_path / "c.nc") as dataset:
        assert dataset["light_dilution_misfit"].dimensions == ("spectrum", "dilution_depth")
        assert all(variable.long_name for variable in dataset.variables.values())


def test_evidence_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    series = with_evidence(make_series(4))
    assert series.evidence is not None
    short = dataclasses.replace(series.evidence, misfit=series.evidence.misfit[:2])
    with pytest.raises(ValueError, match="evidence of 4 spectra"):
        write_columns_netcdf(tmp_path / "c.nc", dataclasses.replace(series, evidence=short), PROVENANCE)
    write_columns_netcdf(tmp_path / "c.nc", series, PROVENANCE)
    with Dataset(tmp_path / "c.nc", "a") as dataset:
        dataset.renameVariable("so2_column_without_dilution", "else")
    with pytest.raises(InputError, match="variable over spectrum"):
        read_columns_netcdf(tmp_path / "c.nc")


def test_netcdf_says_what_it_holds(tmp_path: Path) -> None:
    write_columns_netcdf(tmp_path / "c.nc", make_series(), PROVENANCE)
    with Dataset(tmp_path / "c.nc") as dataset:
        assert dataset.Conventions == "CF-1.11"
        assert dataset.settings_sha256 == "ab" * 32
        assert "310" in dataset.settings
        assert list(dataset["input_file"][:]) == ["site.toml", "a, b.txt"]
        assert dataset.dimensions["spectrum"].isunlimited()
        for name, variable in dataset.variables.items():
            assert variable.long_name, name
        status = dataset["fit_status"]
        assert list(status.flag_values) == [int(member) for member in FitStatus]
        assert status.flag_meanings.split() == [member.name.lower() for member in FitStatus]
        assert status.standard_name == "quality_flag"
        assert dataset["so2_column"].units == "cm-2"
        for name in dataset["so2_column"].ancillary_variables.split() + dataset["so2_column"].coordinates.split():
            assert name in dataset.variables
        units = {name: getattr(dataset[f"parameter_{name}"], "units", None) for name in ("o3", "shift", "ring")}
        assert units == {"o3": "cm-2", "shift": "nm", "ring": "1"}
        assert dataset["latitude"].standard_name == "latitude"


def test_xarray_decodes_times_and_places(tmp_path: Path) -> None:
    series = make_series()
    write_columns_netcdf(tmp_path / "c.nc", series, PROVENANCE)
    with xr.open_dataset(tmp_path / "c.nc") as dataset:
        assert {"time", "latitude", "longitude", "altitude"} <= set(dataset.coords)
        assert dataset["time"].values[0] == np.datetime64("2018-01-14T15:25:53.250")
        np.testing.assert_array_equal(dataset["so2_column"].values, series.so2_molec_cm2)


@pytest.mark.parametrize("count", [0, 1, 10])
def test_csv_gives_back_what_it_holds(tmp_path: Path, count: int) -> None:
    series = make_series(count)
    write_columns_csv(tmp_path / "c.csv", series)
    lost = np.full(count, np.nan)
    kept = {name: (series.parameters[name][0], lost) for name in ("o3", "ring", "shift")} if count > 1 else {}
    random = np.where(np.isfinite(series.so2_random_molec_cm2), series.so2_random_molec_cm2, np.nan)
    expected = dataclasses.replace(
        series,
        so2_random_molec_cm2=random,
        light_dilution_uncertainty=lost,
        altitude_m=lost,
        parameters=kept,
    )
    assert_same(read_columns_csv(tmp_path / "c.csv"), expected, rtol=1e-5)


def test_csv_rows(tmp_path: Path) -> None:
    write_columns_csv(tmp_path / "c.csv", make_series())
    lines = (tmp_path / "c.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == HEADER == ",".join(CSV_COLUMNS)
    first, second = list(csv.DictReader(lines))[:2]
    assert first["time"] == "2018-01-14T15:25:53.250Z"
    assert first["file"] == 'spectrum "0", é.txt'
    assert first["status"] == "too_dark"
    assert first["so2_molec_cm2"] == first["chi2"] == ""
    assert first["latitude"] != ""
    assert second["status"] == "ok"
    assert second["so2_uncertainty_molec_cm2"] == ""  # infinite
    assert float(second["shift_nm"]) == pytest.approx(make_series().parameters["shift"][0][1], rel=1e-5)


def test_parameters_may_bear_the_names_of_their_columns(tmp_path: Path) -> None:
    series = make_series()
    renamed = {"o3_molec_cm2": series.parameters["o3"], "shift_nm": series.parameters["shift"]}
    write_columns_csv(tmp_path / "a.csv", dataclasses.replace(series, parameters=renamed))
    found = read_columns_csv(tmp_path / "a.csv")
    assert list(found.parameters) == ["o3", "shift"]
    np.testing.assert_allclose(found.parameters["o3"][0], series.parameters["o3"][0], rtol=1e-5)


@pytest.mark.parametrize("name", ["chi2", "status", "latitude_deg", "files", "ring"])
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, name: str) -> None:
    series = make_series()
    if name == "ring":
        wrong = dataclasses.replace(series, parameters={"ring": (np.zeros(3), np.zeros(10))})
    else:
        wrong = dataclasses.replace(series, **{name: getattr(series, name)[:-1]})
    for write in (
        lambda: write_columns_csv(tmp_path / "c", wrong),
        lambda: write_columns_netcdf(tmp_path / "c", wrong, PROVENANCE),
    ):
        with pytest.raises(ValueError, match=name):
            write()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("time,file", "file,time"), "row 1: is not a table of SO2 columns"),
        (("too_dark", "too_bright"), "row 2, status: is no known status"),
        (("2018-01-14T15:25:53.250Z", "noon"), "row 2, time"),
        ((",too_dark,", ",1,too_dark,"), "row 2: the row has 15 fields"),
        ((",,too_dark,", ",x,too_dark,"), "row 2, chi2: is not a number"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    path = tmp_path / "c.csv"
    write_columns_csv(path, make_series())
    path.write_text(path.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    with pytest.raises(InputError, match=reason):
        read_columns_csv(path)


def test_files_that_are_no_products(tmp_path: Path) -> None:
    path = tmp_path / "c.nc"
    path.write_bytes(b"\xff\x00no")
    for read in (read_columns_netcdf, read_columns_csv):
        with pytest.raises(InputError, match="cannot be read"):
            read(path)
        with pytest.raises(InputError, match="cannot be read"):
            read(tmp_path / "none")
    with Dataset(tmp_path / "other.nc", "w"):
        pass
    with pytest.raises(InputError, match="is not a file of SO2 columns"):
        read_columns_netcdf(tmp_path / "other.nc")
    write_columns_netcdf(path, make_series(), PROVENANCE)
    with Dataset(path, "a") as dataset:
        dataset["time"].units = "days since 2000-01-01"
    with pytest.raises(InputError, match="the time should be in"):
        read_columns_netcdf(path)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="CSV"):
        write_columns_csv(tmp_path / "none" / "c.csv", make_series())
    with pytest.raises(OutputError, match="netCDF"):
        write_columns_netcdf(tmp_path / "none" / "c.nc", make_series(), PROVENANCE)
