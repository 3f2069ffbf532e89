"""The product files of a run: ``emission_rates.nc`` (CF-1.11) and ``emission_rates.csv``, written and read back.

One table, ``VARIABLES``, says everything about the netCDF variables; the CSV holds the same numbers to six
significant digits. The writers write to exactly the path they are handed.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from so2cam.core.errors import InputError, OutputError
from so2cam.core.records import Band, Provenance
from so2cam.core.results import EmissionSeries
from so2cam.core.status import QUALITY_TEXT, STATUS_TEXT, EmissionStatus, QualityFlag
from so2cam.core.times import format_utc, parse_utc
from so2cam.core.uncertainty import RANDOM_TERMS, TERM_TEXT, Term
from so2cam.formats.dilution_product import read_agreement, write_agreement
from so2cam.formats.provenance import from_milliseconds, provenance_attributes, to_milliseconds

TIME_UNITS: Final = "milliseconds since 1970-01-01 00:00:00"
"""Unit of ``time``: whole milliseconds in 64 bits, so that a time is read back exactly."""


REFERENCES: Final = (
    "Mori and Burton 2006, doi:10.1029/2006GL027916; Gliss et al. 2017, doi:10.3390/geosciences7040134; "
    "Gliss et al. 2018, doi:10.5194/amt-11-781-2018"
)

TOTAL: Final = "total"
"""What the CSV's ``line`` says in a row of the sum over lines."""

_REMEDY: Final = "write the product again with so2cam"

Dimensions = tuple[Literal["time", "line", "speed_method", "band", "uncertainty_term"], ...]

_T: Final[Dimensions] = ("time",)
_TL: Final[Dimensions] = ("time", "line")
_TM: Final[Dimensions] = ("time", "speed_method")
_TLM: Final[Dimensions] = ("time", "line", "speed_method")
_TB: Final[Dimensions] = ("time", "band")
_TLMU: Final[Dimensions] = ("time", "line", "speed_method", "uncertainty_term")
_BANDS: Final = tuple(band.value for band in Band)


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of the netCDF product: its name, the field of ``EmissionSeries`` it holds, and its metadata."""

    name: str
    field: str
    dimensions: Dimensions
    long_name: str
    units: str | None = None
    """A UDUNITS string; None for flags."""
    data_type: Literal["f8", "i1", "i4"] = "f8"
    standard_name: str | None = None
    """Only where a name of the CF table truly applies."""
    ancillary: tuple[str, ...] = ()
    comment: str | None = None
    flags: type[IntEnum] | type[IntFlag] | None = None


_STATUS_COMMENT: Final = "A value is missing (NaN) exactly where its status is not ok. " + "; ".join(
    f"{status.name.lower()}: {text}" for status, text in STATUS_TEXT.items()
)
_QUALITY_COMMENT: Final = "Things to know about a pair whose values may still be valid. " + "; ".join(
    f"{str(flag.name).lower()}: {text}" for flag, text in QUALITY_TEXT.items()
)
_TERM_COMMENT: Final = (
    "1 sigma; the root sum of squares of the random terms is the random part, of the others the systematic part. "
    + "; ".join(
        f"{term.value} ({'random' if term in RANDOM_TERMS else 'systematic'}): {TERM_TEXT[term]}" for term in Term
    )
)
_RANDOM: Final = "1 sigma; the part that differs from pair to pair"
_SYSTEMATIC: Final = "1 sigma; the part that all pairs of a run share, which averaging does not reduce"

VARIABLES: Final[tuple[Variable, ...]] = (
    Variable(
        "emission_rate",
        "emission_rate_kg_s",
        _TLM,
        "SO2 emission rate through the line",
        "kg s-1",
        ancillary=(
            "emission_rate_random_uncertainty",
            "emission_rate_systematic_uncertainty",
            "emission_rate_status",
        ),
    ),
    Variable(
        "emission_rate_random_uncertainty",
        "random_uncertainty_kg_s",
        _TLM,
        "random standard uncertainty of the SO2 emission rate",
        "kg s-1",
        comment=_RANDOM,
    ),
    Variable(
        "emission_rate_systematic_uncertainty",
        "systematic_uncertainty_kg_s",
        _TLM,
        "systematic standard uncertainty of the SO2 emission rate",
        "kg s-1",
        comment=_SYSTEMATIC,
    ),
    Variable(
        "emission_rate_status",
        "status",
        _TLM,
        "status of the SO2 emission rate",
        data_type="i1",
        standard_name="quality_flag",
        comment=_STATUS_COMMENT,
        flags=EmissionStatus,
    ),
    Variable(
        "plume_speed",
        "plume_speed_m_s",
        _TLM,
        "plume speed along the normal of the line",
        "m s-1",
        ancillary=("plume_speed_uncertainty",),
        comment="mean along the line, weighted with the column density",
    ),
    Variable(
        "plume_speed_uncertainty",
        "plume_speed_uncertainty_m_s",
        _TLM,
        "standard uncertainty of the plume speed",
        "m s-1",
        comment="1 sigma",
    ),
    Variable(
        "plume_direction",
        "plume_direction_deg",
        _TLM,
        "direction of motion of the plume in the image",
        "degree",
        comment="where the plume moves to, as seen in the image: 0 up, 90 right",
    ),
    Variable(
        "integrated_column_amount",
        "integrated_column_amount_kg_m",
        _TL,
        "SO2 column density integrated along the line",
        "kg m-1",
        ancillary=("integrated_column_amount_uncertainty",),
    ),
    Variable(
        "integrated_column_amount_uncertainty",
        "integrated_column_amount_uncertainty_kg_m",
        _TL,
        "random standard uncertainty of the integrated column amount",
        "kg m-1",
        comment=_RANDOM,
    ),
    Variable(
        "total_emission_rate",
        "total_emission_rate_kg_s",
        _TM,
        "total SO2 emission rate, the sum over the lines that belong to it",
        "kg s-1",
        ancillary=(
            "total_emission_rate_random_uncertainty",
            "total_emission_rate_systematic_uncertainty",
            "total_emission_rate_status",
        ),
        comment="a total with a missing part is missing",
    ),
    Variable(
        "total_emission_rate_random_uncertainty",
        "total_random_uncertainty_kg_s",
        _TM,
        "random standard uncertainty of the total SO2 emission rate",
        "kg s-1",
        comment=_RANDOM,
    ),
    Variable(
        "total_emission_rate_systematic_uncertainty",
        "total_systematic_uncertainty_kg_s",
        _TM,
        "systematic standard uncertainty of the total SO2 emission rate",
        "kg s-1",
        comment=_SYSTEMATIC,
    ),
    Variable(
        "total_emission_rate_status",
        "total_status",
        _TM,
        "status of the total SO2 emission rate",
        data_type="i1",
        standard_name="quality_flag",
        comment=_STATUS_COMMENT,
        flags=EmissionStatus,
    ),
    Variable(
        "background_level",
        "background_level",
        _T,
        "on- minus off-band level of the sky behind the plume, relative to the clear-sky frames",
        "1",
        comment="a difference of optical depths, natural logarithm",
    ),
    Variable(
        "background_noise",
        "background_noise",
        _T,
        "noise of the apparent absorbance of a pixel in plume-free sky",
        "1",
        comment="1 sigma",
    ),
    Variable(
        "image_quality_flags",
        "quality_flags",
        _T,
        "quality flags of the image pair",
        data_type="i4",
        standard_name="quality_flag",
        comment=_QUALITY_COMMENT,
        flags=QualityFlag,
    ),
    Variable(
        "calibration_slope",
        "calibration_slope_molec_cm2",
        _T,
        "SO2 column density per apparent absorbance, in molecules per square centimetre",
        "cm-2",
        ancillary=("calibration_slope_uncertainty",),
        comment="near zero absorbance",
    ),
    Variable(
        "calibration_slope_uncertainty",
        "calibration_slope_uncertainty_molec_cm2",
        _T,
        "standard uncertainty of the calibration slope, in molecules per square centimetre",
        "cm-2",
        comment="1 sigma",
    ),
    Variable(
        "calibration_offset",
        "calibration_offset_molec_cm2",
        _T,
        "SO2 column density at zero apparent absorbance, in molecules per square centimetre",
        "cm-2",
        ancillary=("calibration_offset_uncertainty",),
    ),
    Variable(
        "calibration_offset_uncertainty",
        "calibration_offset_uncertainty_molec_cm2",
        _T,
        "standard uncertainty of the calibration offset, in molecules per square centimetre",
        "cm-2",
        comment="1 sigma",
    ),
    Variable(
        "calibration_number",
        "calibration_number",
        _T,
        "number of the calibration that holds, in calibration.csv",
        data_type="i4",
        comment="-1: the run was given one, by gas cells or as a known slope",
    ),
    Variable(
        "extinction",
        "extinction_per_m",
        _TB,
        "extinction between camera and plume, by which light dilution is corrected",
        "m-1",
        ancillary=("extinction_uncertainty",),
        comment="missing where light dilution is not corrected",
    ),
    Variable(
        "extinction_uncertainty",
        "extinction_uncertainty_per_m",
        _TB,
        "standard uncertainty of the extinction between camera and plume",
        "m-1",
        comment="1 sigma",
    ),
    Variable(
        "emission_rate_uncertainty_term",
        "uncertainty_terms_kg_s",
        _TLMU,
        "term of the budget of the SO2 emission rate's standard uncertainty",
        "kg s-1",
        comment=_TERM_COMMENT,
    ),
    Variable(
        "pair_time_offset",
        "pair_offset_s",
        _T,
        "mid-exposure of the off-band frame minus that of the on-band frame",
        "s",
    ),
)
"""Every variable of the netCDF product but its coordinates and inputs, in the order of the file."""

CSV_COLUMNS: Final = (
    "time",
    "line",
    "speed_method",
    "emission_rate_kg_s",
    "random_uncertainty_kg_s",
    "systematic_uncertainty_kg_s",
    "plume_speed_m_s",
    "plume_speed_uncertainty_m_s",
    "plume_direction_deg",
    "integrated_column_amount_kg_m",
    "status",
)


@dataclass(frozen=True, slots=True)
class EmissionRow:
    """One row of ``emission_rates.csv``. An empty field is NaN; ``line`` is ``total`` for the sum over lines."""

    time: datetime
    line: str
    speed_method: str
    emission_rate_kg_s: float
    random_uncertainty_kg_s: float
    systematic_uncertainty_kg_s: float
    plume_speed_m_s: float
    plume_speed_uncertainty_m_s: float
    plume_direction_deg: float
    integrated_column_amount_kg_m: float
    status: EmissionStatus


def write_emission_netcdf(path: Path, series: EmissionSeries, provenance: Provenance) -> None:
    """Write ``series`` to ``path`` as netCDF-4 with CF-1.11 metadata, and ``provenance`` beside it.

    Times are rounded to the millisecond. Raises ValueError for a series whose arrays do not fit its times, lines
    and speed methods, OutputError where the file cannot be written.
    """
    from netCDF4 import Dataset

    _check_shapes(series)
    try:
        with Dataset(path, "w", format="NETCDF4") as dataset:
            dataset.setncatts(
                provenance_attributes(
                    provenance, title="SO2 emission rates", instrument="ultraviolet SO2 camera", references=REFERENCES
                )
            )
            dataset.createDimension("time", None)
            dataset.createDimension("line", len(series.lines))
            dataset.createDimension("speed_method", len(series.speed_methods))
            dataset.createDimension("band", len(_BANDS))
            dataset.createDimension("uncertainty_term", len(Term))
            dataset.createDimension("input", len(provenance.input_sha256))
            _write_coordinates(dataset, series)
            for variable in VARIABLES:
                _write_variable(dataset, variable, getattr(series, variable.field))
            if series.dilution is not None:
                write_agreement(dataset, series.dilution)
            _write_inputs(dataset, provenance)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"the netCDF product cannot be written: {error}", file=path) from error


def read_emission_netcdf(path: Path) -> EmissionSeries:
    """Return the series in ``path``, exactly as it was written (times to the millisecond).

    Raises InputError for a file that is missing, damaged or not an emission-rate product of so2cam.
    """
    from netCDF4 import Dataset

    try:
        with Dataset(path, "r") as dataset:
            dataset.set_auto_maskandscale(False)
            fields = {variable.field: _read_variable(dataset, variable, path) for variable in VARIABLES}
            return EmissionSeries(
                times=_read_times(dataset, path),
                lines=_read_names(dataset, "line", path),
                speed_methods=_read_names(dataset, "speed_method", path),
                **fields,
                dilution=read_agreement(dataset),
            )
    except (OSError, RuntimeError) as error:
        raise InputError(f"cannot be read as netCDF: {error}", file=path, remedy=_REMEDY) from error


def write_emission_csv(path: Path, series: EmissionSeries) -> None:
    """Write ``series`` to ``path``: one row per time, line and speed method, the sums (``total``) after the lines.

    Six significant digits; a missing value is an empty field. Raises ValueError for a series whose arrays do not
    fit its times, lines and speed methods, OutputError where the file cannot be written.
    """
    _check_shapes(series)
    try:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(CSV_COLUMNS)
            writer.writerows(_csv_rows(series))
    except OSError as error:
        raise OutputError(f"the CSV product cannot be written: {error}", file=path) from error


def read_emission_csv(path: Path) -> list[EmissionRow]:
    """Return the rows of ``path`` in their order.

    Raises InputError, with the row and column, for a file that is not an emission-rate table of so2cam.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            if tuple(header) != CSV_COLUMNS:
                raise InputError(
                    "is not a table of emission rates: its header differs",
                    file=path,
                    key="row 1",
                    value=",".join(header),
                    remedy=f"the header must be {','.join(CSV_COLUMNS)}",
                )
            return [_parse_row(fields, path, reader.line_num) for fields in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read as CSV: {error}", file=path, remedy=_REMEDY) from error


def _check_shapes(series: EmissionSeries) -> None:
    sizes = {
        "time": len(series.times),
        "line": len(series.lines),
        "speed_method": len(series.speed_methods),
        "band": len(_BANDS),
        "uncertainty_term": len(Term),
    }
    for variable in VARIABLES:
        expected = tuple(sizes[dimension] for dimension in variable.dimensions)
        found = getattr(series, variable.field).shape
        if found != expected:
            raise ValueError(f"{variable.field} has the shape {found}, expected {expected} {variable.dimensions}")


def _write_coordinates(dataset: Any, series: EmissionSeries) -> None:
    time = dataset.createVariable("time", "i8", ("time",), compression="zlib", chunksizes=_chunks((len(series.times),)))
    time.setncatts(
        {
            "units": TIME_UNITS,
            "calendar": "standard",
            "standard_name": "time",
            "long_name": "mid-exposure of the on-band frame, UTC",
            "axis": "T",
        }
    )
    if series.times:
        time[:] = np.array([to_milliseconds(moment) for moment in series.times], np.int64)
    _write_strings(dataset, "line", "line", series.lines, "name of the plume cross-section line")
    _write_strings(dataset, "speed_method", "speed_method", series.speed_methods, "name of the plume-speed method")
    _write_strings(dataset, "band", "band", _BANDS, "spectral band of the camera")
    terms = tuple(term.value for term in Term)
    _write_strings(dataset, "uncertainty_term", "uncertainty_term", terms, "source of uncertainty")


def _write_inputs(dataset: Any, provenance: Provenance) -> None:
    files = tuple(file for file, _ in provenance.input_sha256)
    hashes = tuple(digest for _, digest in provenance.input_sha256)
    _write_strings(dataset, "input_file", "input", files, "file whose content entered the results")
    _write_strings(dataset, "input_sha256", "input", hashes, "SHA-256 of the input file")


def _write_strings(dataset: Any, name: str, dimension: str, values: Sequence[str], long_name: str) -> None:
    variable = dataset.createVariable(name, str, (dimension,))
    variable.long_name = long_name
    if values:
        variable[:] = np.array(values, object)


def _write_variable(dataset: Any, variable: Variable, values: npt.NDArray[Any]) -> None:
    target = dataset.createVariable(
        variable.name,
        variable.data_type,
        variable.dimensions,
        compression="zlib",
        complevel=4,
        shuffle=True,
        chunksizes=_chunks(values.shape),
        fill_value=np.nan if variable.data_type == "f8" else False,
    )
    attributes: dict[str, Any] = {"long_name": variable.long_name}
    if variable.standard_name is not None:
        attributes["standard_name"] = variable.standard_name
    if variable.units is not None:
        attributes["units"] = variable.units
    if variable.flags is not None:
        attributes |= _flag_attributes(variable.flags, np.dtype(variable.data_type))
    labels = [dimension for dimension in variable.dimensions if dimension != "time"]
    if labels:
        attributes["coordinates"] = " ".join(labels)
    if variable.ancillary:
        attributes["ancillary_variables"] = " ".join(variable.ancillary)
    if variable.comment is not None:
        attributes["comment"] = variable.comment
    target.setncatts(attributes)
    if values.size:
        target[:] = values


def _flag_attributes(flags: type[IntEnum] | type[IntFlag], data_type: np.dtype[Any]) -> dict[str, Any]:
    """Return CF's description of ``flags``: values of an enumeration, or masks of bits."""
    members = [member for member in flags.__members__.values() if member or not issubclass(flags, IntFlag)]
    return {
        "flag_masks" if issubclass(flags, IntFlag) else "flag_values": np.array(members, data_type),
        "flag_meanings": " ".join(str(member.name).lower() for member in members),
    }


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return chunks of up to 4096 times that hold all lines and methods (an unlimited time would get chunks of 1)."""
    return (min(max(shape[0], 1), 4096), *(max(size, 1) for size in shape[1:]))


def _variable_of(dataset: Any, name: str, dimensions: tuple[str, ...], path: Path) -> Any:
    variable = dataset.variables.get(name)
    if variable is None:
        raise InputError("is not a file of emission rates: a variable is missing", file=path, key=name, remedy=_REMEDY)
    if variable.dimensions != dimensions:
        raise InputError(
            f"the variable should have the dimensions {', '.join(dimensions)}",
            file=path,
            key=name,
            value=variable.dimensions,
            remedy=_REMEDY,
        )
    return variable


def _read_variable(dataset: Any, variable: Variable, path: Path) -> npt.NDArray[Any]:
    values = _variable_of(dataset, variable.name, variable.dimensions, path)[...]
    return np.asarray(values, np.float64 if variable.data_type == "f8" else np.int64)


def _read_times(dataset: Any, path: Path) -> tuple[datetime, ...]:
    variable = _variable_of(dataset, "time", ("time",), path)
    units = getattr(variable, "units", None)
    if units != TIME_UNITS:
        raise InputError(f"the time should be in {TIME_UNITS}", file=path, key="time", value=units, remedy=_REMEDY)
    return tuple(from_milliseconds(int(value)) for value in variable[...])


def _read_names(dataset: Any, name: str, path: Path) -> tuple[str, ...]:
    return tuple(str(value) for value in _variable_of(dataset, name, (name,), path)[...])


def _csv_rows(series: EmissionSeries) -> Iterator[list[str]]:
    for t, moment in enumerate(series.times):
        time = format_utc(moment)
        for i, line in enumerate(series.lines):
            for m, method in enumerate(series.speed_methods):
                at = (t, i, m)
                yield [
                    time,
                    line,
                    method,
                    _number(series.emission_rate_kg_s[at]),
                    _number(series.random_uncertainty_kg_s[at]),
                    _number(series.systematic_uncertainty_kg_s[at]),
                    _number(series.plume_speed_m_s[at]),
                    _number(series.plume_speed_uncertainty_m_s[at]),
                    _number(series.plume_direction_deg[at]),
                    _number(series.integrated_column_amount_kg_m[t, i]),
                    EmissionStatus(series.status[at]).name.lower(),
                ]
        for m, method in enumerate(series.speed_methods):
            yield [
                time,
                TOTAL,
                method,
                _number(series.total_emission_rate_kg_s[t, m]),
                _number(series.total_random_uncertainty_kg_s[t, m]),
                _number(series.total_systematic_uncertainty_kg_s[t, m]),
                "",
                "",
                "",
                "",
                EmissionStatus(series.total_status[t, m]).name.lower(),
            ]


def _number(value: float) -> str:
    """Return ``value`` with six significant digits, or nothing where it is missing (adding 0 turns -0 into 0)."""
    return f"{value + 0.0:.6g}" if math.isfinite(value) else ""


def _parse_row(fields: list[str], path: Path, row: int) -> EmissionRow:
    if len(fields) != len(CSV_COLUMNS):
        raise InputError(
            f"the row has {len(fields)} fields, not {len(CSV_COLUMNS)}", file=path, key=f"row {row}", remedy=_REMEDY
        )
    numbers: dict[str, float] = {}
    for column, text in zip(CSV_COLUMNS[3:-1], fields[3:-1], strict=True):
        try:
            numbers[column] = float(text) if text else math.nan
        except ValueError:
            raise InputError(
                "is not a number", file=path, key=f"row {row}, {column}", value=text, remedy=_REMEDY
            ) from None
    try:
        time = parse_utc(fields[0])
    except ValueError as error:
        raise InputError(str(error), file=path, key=f"row {row}, time", remedy=_REMEDY) from None
    status = EmissionStatus.__members__.get(fields[-1].upper())
    if status is None:
        raise InputError(
            "is no known status", file=path, key=f"row {row}, status", value=fields[-1], remedy="update so2cam"
        )
    return EmissionRow(time, fields[1], fields[2], **numbers, status=status)
