"""The products of a calibration by the spectrometer: what the files hold, and that they are whole."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from netCDF4 import Dataset

from so2cam.core.errors import OutputError
from so2cam.core.records import Provenance
from so2cam.core.results import CalibrationFit, CalibrationPoint, CalibrationRecord, ViewRecord
from so2cam.core.times import format_utc
from so2cam.formats.calibration_products import CSV_COLUMNS, write_calibration_csv, write_calibration_netcdf

START = datetime(2026, 1, 15, 14, 0, 0, 250000, UTC)
NAN = float("nan")
PROVENANCE = Provenance(
    software_version="1.2.3",
    site_name="Volcán",
    settings={"name": "Volcán"},
    settings_sha256="ab" * 32,
    input_sha256=(("site.toml", "cd" * 32),),
    command="so2cam process site.toml",
    created=datetime(2026, 2, 1, tzinfo=UTC),
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def make_fit(number: int, status: str = "ok", parameters: tuple[float, ...] = (1e16, 8e18)) -> CalibrationFit:
    good = status == "ok"
    return CalibrationFit(
        number=number,
        time=at(600 * number),
        status=status,
        points=40 + number,
        model="line" if good else "",
        parameters=parameters if good else (),
        parameter_uncertainties=tuple(abs(value) / 50 for value in parameters) if good else (),
        slope_molec_cm2=8e18 + 1e17 * number if good else NAN,
        slope_uncertainty_molec_cm2=2e17 if good else NAN,
        scale_uncertainty=0.03 if good else NAN,
        correlation=0.95 if good else NAN,
        reduced_chi2=1.2 if good else NAN,
        maximum_absorbance=0.4 if good else NAN,
    )


def make_record() -> CalibrationRecord:
    points = [
        CalibrationPoint(at(8 * n), 0.01 * n, 0.001, 8e16 * n, 1e16, 1.0 if n % 4 else 0.2, n // 10) for n in range(20)
    ]
    found = ViewRecord(at(300), "ok", 101.5, 77.25, 9.5, 0.4, 0.5, 0.8, 0.93, 40)
    lost = ViewRecord(at(900), "too little variation", NAN, NAN, NAN, NAN, NAN, NAN, NAN, 12)
    grid = np.linspace(-0.1, 0.9, 6 * 8).reshape(6, 8).astype(np.float32)
    grid[0, 0] = np.nan
    fits = [make_fit(0), make_fit(1, "too few points"), make_fit(2, parameters=(1e16, 8e18, 2e18))]
    return CalibrationRecord(points, fits, [found, lost], grid, 4)


def test_csv_has_one_row_for_each_point(tmp_path: Path) -> None:
    record = make_record()
    record.points[3] = replace(record.points[3], absorbance=NAN, weight=0.0)
    path = tmp_path / "calibration.csv"
    write_calibration_csv(path, record)
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert len(rows) == len(record.points)
    assert rows[3]["absorbance"] == ""
    for row, point in zip(rows, record.points, strict=True):
        assert row["time"] == format_utc(point.time)
        assert float(row["so2_molec_cm2"]) == pytest.approx(point.column_molec_cm2, rel=1e-5)
        assert float(row["so2_uncertainty_molec_cm2"]) == pytest.approx(point.column_uncertainty_molec_cm2)
        assert float(row["weight"]) == point.weight
        assert int(row["calibration"]) == point.fit
        if row["absorbance"]:
            assert float(row["absorbance"]) == pytest.approx(point.absorbance)


def test_netcdf_holds_everything(tmp_path: Path) -> None:
    record = make_record()
    path = tmp_path / "calibration.nc"
    write_calibration_netcdf(path, record, PROVENANCE)
    with xr.open_dataset(path) as dataset:
        assert dataset.sizes == {"point": 20, "calibration": 3, "search": 2, "parameter": 3, "y": 6, "x": 8}
        times = dataset["point_time"].values.astype("datetime64[ms]")
        assert times[1] == np.datetime64("2026-01-15T14:00:08.250")
        np.testing.assert_array_equal(dataset["point_column"], [point.column_molec_cm2 for point in record.points])
        np.testing.assert_array_equal(dataset["point_calibration"], [point.fit for point in record.points])
        assert dataset["calibration_status"].values.tolist() == ["ok", "too few points", "ok"]
        assert dataset["calibration_points"].values.tolist() == [40, 41, 42]
        np.testing.assert_array_equal(dataset["calibration_slope"], [8e18, np.nan, 8.2e18])
        np.testing.assert_array_equal(
            dataset["calibration_parameters"], [[1e16, 8e18, np.nan], [np.nan] * 3, [1e16, 8e18, 2e18]]
        )
        np.testing.assert_array_equal(dataset["field_of_view_x"], [101.5, np.nan])
        assert dataset["search_status"].values.tolist() == ["ok", "too little variation"]
        np.testing.assert_array_equal(dataset["correlation"], record.correlation_map)
        # Block 0 of 4 pixels, 0 to 3: its middle is at 1.5.
        np.testing.assert_allclose(dataset["x"], 4 * np.arange(8) + 1.5)
        np.testing.assert_allclose(dataset["y"], 4 * np.arange(6) + 1.5)


def test_netcdf_describes_itself(tmp_path: Path) -> None:
    path = tmp_path / "calibration.nc"
    write_calibration_netcdf(path, make_record(), PROVENANCE)
    with Dataset(path) as dataset:
        assert dataset.Conventions == "CF-1.11"
        assert dataset.site == "Volcán"
        assert json.loads(dataset.settings) == PROVENANCE.settings
        for name, variable in dataset.variables.items():
            assert variable.long_name, name
            if variable.dtype == np.float64 and name not in ("calibration_parameters", "x", "y"):
                assert name.startswith("calibration_parameter") or variable.units, name
        for name in ("point_time", "calibration_time", "search_time"):
            assert dataset[name].units == "milliseconds since 1970-01-01 00:00:00"
            assert dataset[name].standard_name == "time"


def test_a_run_that_learnt_nothing_gives_whole_files(tmp_path: Path) -> None:
    nothing = CalibrationRecord()
    write_calibration_csv(tmp_path / "calibration.csv", nothing)
    assert (tmp_path / "calibration.csv").read_text() == ",".join(CSV_COLUMNS) + "\n"
    write_calibration_netcdf(tmp_path / "calibration.nc", nothing, PROVENANCE)
    with xr.open_dataset(tmp_path / "calibration.nc") as dataset:
        assert dataset.sizes["point"] == dataset.sizes["calibration"] == dataset.sizes["search"] == 0
        assert "correlation" not in dataset


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "calibration"
    with pytest.raises(OutputError, match="table cannot be written") as caught:
        write_calibration_csv(path, make_record())
    assert caught.value.file == path
    with pytest.raises(OutputError, match="as netCDF") as caught:
        write_calibration_netcdf(path, make_record(), PROVENANCE)
    assert caught.value.file == path
