"""What a run learnt of its calibration, as files: ``calibration.csv`` (points) and ``calibration.nc`` (everything)."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from so2cam.core.errors import OutputError
from so2cam.core.records import Provenance
from so2cam.core.results import CalibrationFit, CalibrationRecord
from so2cam.core.times import format_utc
from so2cam.formats.products import TIME_UNITS
from so2cam.formats.provenance import provenance_attributes, to_milliseconds

REFERENCES: Final = "Luebcke et al. 2013, doi:10.5194/amt-6-677-2013; York et al. 2004, doi:10.1119/1.1632486"
CSV_COLUMNS: Final = (
    "time",
    "absorbance",
    "absorbance_uncertainty",
    "so2_molec_cm2",
    "so2_uncertainty_molec_cm2",
    "weight",
    "calibration",
)


@dataclass(frozen=True, slots=True)
class _Column:
    field: str
    name: str
    units: str | None
    long_name: str


_POINTS: Final = (
    _Column("time", "point_time", None, "mid-exposure of the on-band frame, UTC"),
    _Column("absorbance", "point_absorbance", "1", "mean apparent absorbance in the spectrometer's field of view"),
    _Column("absorbance_uncertainty", "point_absorbance_uncertainty", "1", "its random standard uncertainty"),
    _Column("column_molec_cm2", "point_column", "cm-2", "SO2 column density by the spectrometer at that time"),
    _Column("column_uncertainty_molec_cm2", "point_column_uncertainty", "cm-2", "its random standard uncertainty"),
    _Column("weight", "point_weight", "1", "what is left of the point in its first fit: outliers count less"),
    _Column(
        "fit", "point_calibration", None, "number of the first fit that saw it; -1 where no field of view was known"
    ),
)
_FITS: Final = (
    _Column("time", "calibration_time", None, "when the calibration was made, UTC"),
    _Column("status", "calibration_status", None, "ok, or why there is no curve"),
    _Column("points", "calibration_points", "1", "points that it was made of"),
    _Column("model", "calibration_model", None, "model of the curve"),
    _Column("slope_molec_cm2", "calibration_slope", "cm-2", "SO2 column density per apparent absorbance near zero"),
    _Column("slope_uncertainty_molec_cm2", "calibration_slope_uncertainty", "cm-2", "its standard uncertainty"),
    _Column(
        "scale_uncertainty",
        "calibration_scale_uncertainty",
        "1",
        "relative standard uncertainty that all columns share: cross section, field of view, shape of the curve",
    ),
    _Column("correlation", "calibration_correlation", "1", "correlation of absorbance and column of the points"),
    _Column("reduced_chi2", "calibration_reduced_chi_squared", "1", "scatter over what the uncertainties explain"),
    _Column("maximum_absorbance", "calibration_maximum_absorbance", "1", "largest absorbance of the points"),
)
_VIEWS: Final = (
    _Column("time", "search_time", None, "when the field of view was searched, UTC"),
    _Column("status", "search_status", None, "ok, or why none was found"),
    _Column("x", "field_of_view_x", "pixel", "centre of the spectrometer's field of view in the on-band image"),
    _Column("y", "field_of_view_y", "pixel", "its row, from the top"),
    _Column("radius_px", "field_of_view_radius", "pixel", "its radius"),
    _Column("x_uncertainty", "field_of_view_x_uncertainty", "pixel", "standard uncertainty"),
    _Column("y_uncertainty", "field_of_view_y_uncertainty", "pixel", "standard uncertainty"),
    _Column("radius_uncertainty", "field_of_view_radius_uncertainty", "pixel", "standard uncertainty"),
    _Column("correlation", "field_of_view_correlation", "1", "correlation of its absorbance with the columns"),
    _Column("images", "search_images", "1", "images that the search saw"),
)


def write_calibration_csv(path: Path, record: CalibrationRecord) -> None:
    """Write the points, one a row, to six significant digits. Raises OutputError where the file cannot be written."""
    try:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(CSV_COLUMNS)
            for point in record.points:
                numbers = (
                    point.absorbance,
                    point.absorbance_uncertainty,
                    point.column_molec_cm2,
                    point.column_uncertainty_molec_cm2,
                    point.weight,
                )
                row = [f"{number:.6g}" if np.isfinite(number) else "" for number in numbers]
                writer.writerow([format_utc(point.time), *row, point.fit])
    except OSError as error:
        raise OutputError(f"the calibration's table cannot be written: {error}", file=path) from error


def write_calibration_netcdf(path: Path, record: CalibrationRecord, provenance: Provenance) -> None:
    """Write points, calibrations, searches of the field of view and the newest correlation map as netCDF-4, CF-1.11.

    Raises OutputError where the file cannot be written.
    """
    from netCDF4 import Dataset

    try:
        with Dataset(path, "w", format="NETCDF4") as dataset:
            dataset.setncatts(
                provenance_attributes(
                    provenance,
                    title="Calibration of an SO2 camera by its spectrometer",
                    instrument="ultraviolet SO2 camera and spectrometer",
                    references=REFERENCES,
                )
            )
            for dimension, columns, rows in (
                ("point", _POINTS, record.points),
                ("calibration", _FITS, record.fits),
                ("search", _VIEWS, record.views),
            ):
                dataset.createDimension(dimension, len(rows))
                for column in columns:
                    _write(dataset, dimension, column, [getattr(row, column.field) for row in rows])
            _write_parameters(dataset, record.fits)
            if record.correlation_map is not None:
                _write_map(dataset, record.correlation_map, record.block_px)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"the calibration cannot be written as netCDF: {error}", file=path) from error


def _write(dataset: Any, dimension: str, column: _Column, values: Sequence[Any]) -> None:
    attributes = {"long_name": column.long_name}
    if column.units is not None:
        attributes["units"] = column.units
    if column.field == "time":
        data: npt.NDArray[Any] = np.array([to_milliseconds(value) for value in values], np.int64)
        attributes |= {"units": TIME_UNITS, "calendar": "standard", "standard_name": "time"}
    elif column.field in ("status", "model"):
        target = dataset.createVariable(column.name, str, (dimension,))
        target.setncatts(attributes)
        if values:
            target[:] = np.array(values, object)
        return
    elif column.field in ("fit", "points", "images"):
        data = np.array(values, np.int32)
    else:
        data = np.array(values, np.float64)
    fill = np.nan if data.dtype.kind == "f" else False
    target = dataset.createVariable(column.name, data.dtype, (dimension,), compression="zlib", fill_value=fill)
    target.setncatts(attributes)
    if data.size:
        target[:] = data


def _write_parameters(dataset: Any, fits: Sequence[CalibrationFit]) -> None:
    dataset.createDimension("parameter", 3)
    for name, field, text in (
        ("calibration_parameters", "parameters", "parameters of the curve, from the constant up"),
        ("calibration_parameter_uncertainties", "parameter_uncertainties", "standard uncertainties of the parameters"),
    ):
        values = np.full((len(fits), 3), np.nan)
        for row, fit in enumerate(fits):
            given = getattr(fit, field)
            values[row, : len(given)] = given
        target = dataset.createVariable(name, "f8", ("calibration", "parameter"), fill_value=np.nan)
        target.long_name = text
        if values.size:
            target[:] = values


def _write_map(dataset: Any, correlation: npt.NDArray[np.float32], block_px: int) -> None:
    for dimension, size in zip(("y", "x"), correlation.shape, strict=True):
        dataset.createDimension(dimension, size)
        axis = dataset.createVariable(dimension, "f8", (dimension,))
        axis.setncatts({"units": "pixel", "long_name": f"{dimension} in the on-band image, middle of the block"})
        axis[:] = (np.arange(size) + 0.5) * block_px - 0.5
    target = dataset.createVariable("correlation", "f4", ("y", "x"), compression="zlib", fill_value=np.nan)
    target.setncatts({"units": "1", "long_name": "correlation of each block's absorbance with the columns"})
    target[:] = correlation
