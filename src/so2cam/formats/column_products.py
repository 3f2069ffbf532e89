"""The products of spectra: ``columns.nc`` (CF-1.11) and ``columns.csv``, written and read back.

Spectra may share a stamp of 1 s, so the netCDF dimension is ``spectrum`` and the time an auxiliary coordinate. The
CSV holds the most used numbers to six significant digits. The writers write to exactly the path they are handed.
"""

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from so2cam.core.errors import InputError, OutputError
from so2cam.core.records import FloatArray, Provenance
from so2cam.core.spectra import FIT_STATUS_TEXT, ColumnSeries, FitStatus
from so2cam.core.times import format_utc, parse_utc
from so2cam.formats.column_evidence import read_evidence, write_evidence
from so2cam.formats.products import TIME_UNITS
from so2cam.formats.provenance import from_milliseconds, provenance_attributes, to_milliseconds

REFERENCES: Final = (
    "Platt and Stutz 2008, doi:10.1007/978-3-540-75776-4; Esse et al. 2020, doi:10.1016/j.jvolgeores.2020.107000; "
    "Varnam et al. 2020, doi:10.3389/feart.2020.528753"
)

CSV_COLUMNS: Final = (
    "time",
    "file",
    "so2_molec_cm2",
    "so2_uncertainty_molec_cm2",
    "light_dilution",
    "o3_molec_cm2",
    "ring",
    "shift_nm",
    "residual_rms",
    "chi2",
    "status",
    "latitude",
    "longitude",
    "so2_systematic_molec_cm2",
)

_REMEDY: Final = "write the product again with so2cam"
_D: Final = "spectrum"
_COORDINATES: Final = "time latitude longitude altitude"

PARAMETERS: Final = {"o3": "o3_molec_cm2", "ring": "ring", "shift": "shift_nm"}
"""Parameters of the fit that have a column of their own in the CSV: name, and column. Either is taken for the name."""

_CSV_FIELDS: Final = {
    "so2_molec_cm2": "so2_molec_cm2",
    "so2_uncertainty_molec_cm2": "so2_random_molec_cm2",
    "light_dilution": "light_dilution",
    "residual_rms": "residual_rms",
    "chi2": "chi2",
    "latitude": "latitude_deg",
    "longitude": "longitude_deg",
    "so2_systematic_molec_cm2": "so2_systematic_molec_cm2",
}
"""Columns of the CSV, and the fields of ``ColumnSeries`` they hold."""

_VARIABLES: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "so2_column": (
        "so2_molec_cm2",
        {
            "long_name": "SO2 slant column density, in molecules per square centimetre",
            "units": "cm-2",
            "ancillary_variables": "so2_column_random_uncertainty so2_column_systematic_uncertainty fit_status",
        },
    ),
    "so2_column_random_uncertainty": (
        "so2_random_molec_cm2",
        {
            "long_name": "random standard uncertainty of the SO2 slant column density, in molecules per square "
            "centimetre",
            "units": "cm-2",
            "comment": "1 sigma, from the fit; missing, as the column is, wherever fit_status is not 0 (valid)",
        },
    ),
    "so2_column_systematic_uncertainty": (
        "so2_systematic_molec_cm2",
        {
            "long_name": "systematic standard uncertainty of the SO2 slant column density, in molecules per square "
            "centimetre",
            "units": "cm-2",
            "comment": "1 sigma; the part that all spectra share, of the cross section and other common causes",
        },
    ),
    "light_dilution": (
        "light_dilution",
        {
            "long_name": "share of the light at 310 nm that was scattered in between instrument and plume",
            "units": "1",
            "ancillary_variables": "light_dilution_uncertainty fit_status",
        },
    ),
    "light_dilution_uncertainty": (
        "light_dilution_uncertainty",
        {"long_name": "standard uncertainty of the light dilution", "units": "1", "comment": "1 sigma"},
    ),
    "residual_rms": (
        "residual_rms",
        {"long_name": "root mean square of the residual of the fit, relative to the spectrum", "units": "1"},
    ),
    "chi_squared": ("chi2", {"long_name": "sum of squares of the residual of the fit", "units": "count2"}),
    "latitude": (
        "latitude_deg",
        {"long_name": "latitude of the spectrometer", "units": "degrees_north", "standard_name": "latitude"},
    ),
    "longitude": (
        "longitude_deg",
        {"long_name": "longitude of the spectrometer", "units": "degrees_east", "standard_name": "longitude"},
    ),
    "altitude": (
        "altitude_m",
        {
            "long_name": "altitude of the spectrometer above sea level",
            "units": "m",
            "standard_name": "altitude",
            "positive": "up",
        },
    ),
}
"""netCDF variables of floating-point numbers: the field of ``ColumnSeries`` they hold, and their attributes."""

_UNITS: Final = (
    (re.compile(r"(?:so2|o3|no2|bro|hcho)(?:_[0-9]+)?(?:_molec_cm2)?"), "cm-2"),
    (re.compile(r"(?:shift|shift_0|width)(?:_nm)?"), "nm"),
    (re.compile(r"ring|light_dilution|stretch|shift_1|exponent|width_asymmetry|exponent_asymmetry"), "1"),
)


# --- CSV ---------------------------------------------------------------------------------------------------------


def write_columns_csv(path: Path, series: ColumnSeries) -> None:
    """Write ``series`` to ``path``: one row per spectrum, in its order.

    Six significant digits; a missing value is an empty field; times to the millisecond; the uncertainty is the random
    part. Raises ValueError for a series whose arrays do not fit its times, OutputError where the file cannot be
    written.
    """
    _check_shapes(series)
    try:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(CSV_COLUMNS)
            writer.writerows(_csv_rows(series))
    except OSError as error:
        raise OutputError(f"the CSV product cannot be written: {error}", file=path) from error


def read_columns_csv(path: Path) -> ColumnSeries:
    """Return the series in ``path`` as far as the CSV holds it; what it does not hold is NaN.

    Of the parameters these are o3, ring and shift, without uncertainties, where any row has a value. Raises
    InputError, with the row and column, for a file that is not a table of columns of so2cam.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            if tuple(header) != CSV_COLUMNS:
                raise InputError(
                    "is not a table of SO2 columns: its header differs",
                    file=path,
                    key="row 1",
                    value=",".join(header),
                    remedy=f"the header must be {','.join(CSV_COLUMNS)}",
                )
            rows = [_parse_row(cells, path, reader.line_num) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read as CSV: {error}", file=path, remedy=_REMEDY) from error
    table = {name: np.array([numbers[name] for _, _, numbers, _ in rows], np.float64) for name in _NUMERIC}
    missing = np.full(len(rows), np.nan)
    return ColumnSeries(
        times=tuple(time for time, _, _, _ in rows),
        files=tuple(file for _, file, _, _ in rows),
        status=np.array([status for _, _, _, status in rows], np.int64),
        light_dilution_uncertainty=missing.copy(),
        altitude_m=missing.copy(),
        parameters={
            name: (table[column], missing.copy())
            for name, column in PARAMETERS.items()
            if np.isfinite(table[column]).any()
        },
        **dict[str, Any]({field: table[column] for column, field in _CSV_FIELDS.items()}),
    )


_NUMERIC: Final = (*_CSV_FIELDS, *PARAMETERS.values())


def parameter_values(series: ColumnSeries, name: str) -> FloatArray:
    """Return the values (T,) of the fit's parameter ``name`` (a key of ``PARAMETERS``); NaN where it was not fitted."""
    for key in (name, PARAMETERS.get(name, name)):
        if key in series.parameters:
            return series.parameters[key][0]
    return np.full(len(series.times), np.nan)


def _csv_rows(series: ColumnSeries) -> Iterator[list[str]]:
    numbers = {column: getattr(series, field) for column, field in _CSV_FIELDS.items()}
    numbers |= {column: parameter_values(series, name) for name, column in PARAMETERS.items()}
    for t, (time, file) in enumerate(zip(series.times, series.files, strict=True)):
        words = {
            "time": format_utc(time),
            "file": file,
            "status": FitStatus(int(series.status[t])).name.lower(),
        }
        yield [words[column] if column in words else _number(numbers[column][t]) for column in CSV_COLUMNS]


def _number(value: float) -> str:
    """Return ``value`` with six significant digits, or nothing where it is missing (adding 0 turns -0 into 0)."""
    return f"{value + 0.0:.6g}" if math.isfinite(value) else ""


def _parse_row(cells: list[str], path: Path, row: int) -> tuple[datetime, str, dict[str, float], FitStatus]:
    if len(cells) != len(CSV_COLUMNS):
        raise InputError(
            f"the row has {len(cells)} fields, not {len(CSV_COLUMNS)}", file=path, key=f"row {row}", remedy=_REMEDY
        )
    text = dict(zip(CSV_COLUMNS, cells, strict=True))
    numbers: dict[str, float] = {}
    for column in _NUMERIC:
        try:
            numbers[column] = float(text[column]) if text[column] else math.nan
        except ValueError:
            raise InputError(
                "is not a number", file=path, key=f"row {row}, {column}", value=text[column], remedy=_REMEDY
            ) from None
    try:
        time = parse_utc(text["time"])
    except (ValueError, OverflowError) as error:
        raise InputError(str(error), file=path, key=f"row {row}, time", remedy=_REMEDY) from None
    status = FitStatus.__members__.get(text["status"].upper())
    if status is None:
        raise InputError(
            "is no known status", file=path, key=f"row {row}, status", value=text["status"], remedy="update so2cam"
        )
    return time, text["file"], numbers, status


# --- netCDF ------------------------------------------------------------------------------------------------------


def write_columns_netcdf(path: Path, series: ColumnSeries, provenance: Provenance) -> None:
    """Write ``series`` with all parameters to ``path`` as netCDF-4 with CF-1.11 metadata, and ``provenance`` beside it.

    Times are rounded to the millisecond. Raises ValueError for a series whose arrays do not fit its times, OutputError
    where the file cannot be written.
    """
    from netCDF4 import Dataset

    _check_shapes(series)
    try:
        with Dataset(path, "w", format="NETCDF4") as dataset:
            dataset.setncatts(
                provenance_attributes(
                    provenance,
                    title="SO2 slant column densities",
                    instrument="ultraviolet spectrometer",
                    references=REFERENCES,
                )
            )
            dataset.createDimension(_D, None)
            dataset.createDimension("input", len(provenance.input_sha256))
            time = {
                "units": TIME_UNITS,
                "calendar": "standard",
                "standard_name": "time",
                "long_name": "mid-exposure of the spectrum, UTC",
            }
            _write(dataset, "time", np.array([to_milliseconds(moment) for moment in series.times], np.int64), time)
            _write_strings(dataset, "file", _D, series.files, "file of the spectrum")
            for name, (field, attributes) in _VARIABLES.items():
                placed = {} if name in _COORDINATES.split() else {"coordinates": _COORDINATES}
                _write(dataset, name, getattr(series, field), attributes | placed)
            _write(dataset, "fit_status", series.status.astype(np.int8), _status_attributes())
            _write_parameters(dataset, series.parameters)
            if series.evidence is not None:
                write_evidence(dataset, _D, series.evidence, {"coordinates": _COORDINATES})
            inputs = tuple(zip(*provenance.input_sha256, strict=True)) or ((), ())
            _write_strings(dataset, "input_file", "input", inputs[0], "file whose content entered the results")
            _write_strings(dataset, "input_sha256", "input", inputs[1], "SHA-256 of the input file")
    except (OSError, RuntimeError) as error:
        raise OutputError(f"the netCDF product cannot be written: {error}", file=path) from error


def read_columns_netcdf(path: Path) -> ColumnSeries:
    """Return the series in ``path``, exactly as it was written (times to the millisecond).

    Raises InputError for a file that is missing, damaged or not a product of columns of so2cam.
    """
    from netCDF4 import Dataset

    try:
        with Dataset(path, "r") as dataset:
            dataset.set_auto_maskandscale(False)
            time = _variable_of(dataset, "time", path)
            units = getattr(time, "units", None)
            if units != TIME_UNITS:
                raise InputError(
                    f"the time should be in {TIME_UNITS}", file=path, key="time", value=units, remedy=_REMEDY
                )
            values = {field: _floats(dataset, name, path) for name, (field, _) in _VARIABLES.items()}
            return ColumnSeries(
                times=tuple(from_milliseconds(int(value)) for value in time[...]),
                files=tuple(str(value) for value in _variable_of(dataset, "file", path)[...]),
                status=np.asarray(_variable_of(dataset, "fit_status", path)[...], np.int64),
                parameters=_read_parameters(dataset, path),
                evidence=read_evidence(dataset, _D, path),
                **values,
            )
    except (OSError, RuntimeError, OverflowError) as error:
        raise InputError(f"cannot be read as netCDF: {error}", file=path, remedy=_REMEDY) from error


def _check_shapes(series: ColumnSeries) -> None:
    expected = (len(series.times),)
    arrays = {item.name: getattr(series, item.name) for item in fields(series) if item.name not in _NOT_ARRAYS}
    for name, (values, sigma) in series.parameters.items():
        arrays |= {f"parameter {name}": values, f"uncertainty of parameter {name}": sigma}
    arrays["files"] = np.empty(len(series.files))
    for name, values in arrays.items():
        if values.shape != expected:
            raise ValueError(f"{name} has the shape {values.shape}, expected {expected}, one for each time")


_NOT_ARRAYS: Final = ("times", "files", "parameters", "evidence")


def _status_attributes() -> dict[str, Any]:
    meanings = "; ".join(f"{status.name.lower()}: {text}" for status, text in FIT_STATUS_TEXT.items())
    return {
        "long_name": "status of the fit",
        "standard_name": "quality_flag",
        "flag_values": np.array(list(FitStatus), np.int8),
        "flag_meanings": " ".join(status.name.lower() for status in FitStatus),
        "comment": f"A column is missing (NaN) where its status is not ok. {meanings}",
        "coordinates": _COORDINATES,
    }


def _write_parameters(dataset: Any, parameters: Mapping[str, tuple[FloatArray, FloatArray]]) -> None:
    """Write every parameter and its uncertainty; ``fit_parameter`` keeps the name as it was."""
    for name, (values, sigma) in parameters.items():
        stem = "parameter_" + (re.sub(r"[^A-Za-z0-9_]", "_", name) or "_")
        while stem in dataset.variables or f"{stem}_uncertainty" in dataset.variables:
            stem += "_"
        common: dict[str, Any] = {"coordinates": _COORDINATES}
        unit = next((unit for expression, unit in _UNITS if expression.fullmatch(name)), None)
        if unit is not None:
            common["units"] = unit
        also = f"{stem}_uncertainty fit_status"
        attributes = {"long_name": f"parameter {name} of the fit", "fit_parameter": name, "ancillary_variables": also}
        _write(dataset, stem, values, attributes | common)
        attributes = {"long_name": f"standard uncertainty of the parameter {name} of the fit", "comment": "1 sigma"}
        _write(dataset, f"{stem}_uncertainty", sigma, attributes | common)


def _read_parameters(dataset: Any, path: Path) -> dict[str, tuple[FloatArray, FloatArray]]:
    names = {stem: getattr(variable, "fit_parameter", None) for stem, variable in dataset.variables.items()}
    return {
        str(name): (_floats(dataset, stem, path), _floats(dataset, f"{stem}_uncertainty", path))
        for stem, name in names.items()
        if name is not None
    }


def _write(dataset: Any, name: str, values: npt.NDArray[Any], attributes: Mapping[str, Any]) -> None:
    target = dataset.createVariable(
        name,
        values.dtype,
        (_D,),
        compression="zlib",
        complevel=4,
        shuffle=True,
        chunksizes=(min(max(values.size, 1), 4096),),
        fill_value=np.nan if values.dtype.kind == "f" else False,
    )
    target.setncatts(dict(attributes))
    if values.size:
        target[:] = values


def _write_strings(dataset: Any, name: str, dimension: str, values: tuple[str, ...], long_name: str) -> None:
    variable = dataset.createVariable(name, str, (dimension,))
    variable.long_name = long_name
    if values:
        variable[:] = np.array(values, object)


def _variable_of(dataset: Any, name: str, path: Path) -> Any:
    variable = dataset.variables.get(name)
    if variable is None or variable.dimensions != (_D,):
        raise InputError(
            f"is not a file of SO2 columns: a variable over {_D} is missing", file=path, key=name, remedy=_REMEDY
        )
    return variable


def _floats(dataset: Any, name: str, path: Path) -> FloatArray:
    return np.asarray(_variable_of(dataset, name, path)[...], np.float64)
