"""The spectrometer's columns that calibrate images: from spectra beside the frames, or from an earlier run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.core.spectra import FIT_STATUS_TEXT, ColumnSeries, FitStatus
from so2cam.formats.column_products import read_columns_csv, read_columns_netcdf
from so2cam.formats.sitefile import LoadedSite, spectrometer_of
from so2cam.pipeline.output import hash_file
from so2cam.pipeline.spectra_batch import fit_files, plan_spectra, require_spectra
from so2cam.pipeline.spectrum_processor import ColumnRecord

COLUMN_MARGIN = timedelta(minutes=5)
"""Spectra this long before the first and after the last frame wanted are fitted too."""


@dataclass(frozen=True, slots=True)
class ColumnPoint:
    """A column of the spectrometer. ``time`` is mid-exposure, UTC, ``exposure_s`` all of it, coadds included.

    ``sigma_molec_cm2`` is the random part. ``light_dilution`` is the share at 310 nm with its 1 sigma, NaN where it was
    not found; ``light`` the shape of the spectrum, by which similar illumination is told, where it is known.
    """

    time: datetime
    exposure_s: float
    column_molec_cm2: float
    sigma_molec_cm2: float
    light_dilution: tuple[float, float] = (float("nan"), float("nan"))
    light: FloatArray | None = None

    @property
    def end(self) -> datetime:
        """End of the exposure, UTC: when it can be known."""
        return self.time + timedelta(seconds=self.exposure_s / 2)


@dataclass(frozen=True, slots=True)
class ColumnSet:
    """Columns in order of the ends of their exposures, the hashes of what they come from, and what to say of them."""

    points: tuple[ColumnPoint, ...]
    hashes: dict[str, str]
    notes: tuple[str, ...] = ()


def point_of(record: ColumnRecord) -> ColumnPoint | None:
    """Return the point of one spectrum's column, or None where it has none."""
    value, sigma = record.parameters.get("so2", (float("nan"), float("nan")))
    if record.status is not FitStatus.OK or not (np.isfinite(value) and np.isfinite(sigma) and sigma > 0):
        return None
    exposure = (record.info.integration_time_s or 0.0) * (record.info.coadds or 1)
    return ColumnPoint(record.info.time, exposure, value, sigma, record.light_dilution, record.light)


def columns_from_spectra(
    loaded: LoadedSite,
    folders: Sequence[Path],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ColumnSet:
    """Return the columns of the spectra in ``folders``. Raises InputError where there is none to calibrate with."""
    spectrometer = spectrometer_of(loaded)
    plan = plan_spectra(
        spectrometer,
        folders,
        start=None if start is None else start - COLUMN_MARGIN,
        end=None if end is None else end + COLUMN_MARGIN,
    )
    require_spectra(spectrometer, plan, folders)
    records, reader = fit_files(spectrometer, plan, jobs=jobs, progress=progress)
    points = [point for record in records if (point := point_of(record)) is not None]
    if not points:
        statuses = [FIT_STATUS_TEXT[record.status] for record in records]
        reason = max(set(statuses), key=statuses.count) if statuses else "none could be read"
        raise InputError(
            f"none of {len(plan.plume)} spectra gives a column to calibrate with ({reason})",
            remedy="look at them with `so2cam spectra`, and correct [spectrometer] of the site file",
        )
    lost = len(plan.plume) - len(points)
    notes = () if lost == 0 else (f"{lost} of {len(plan.plume)} spectra have no column and calibrate nothing",)
    return ColumnSet(_in_order(points), reader.hashes, notes)


def columns_from_product(path: Path) -> ColumnSet:
    """Return the columns in a product of ``so2cam spectra``, columns.nc or columns.csv.

    The CSV knows neither exposures nor the uncertainty of light dilution. Raises InputError for any other file.
    """
    series = read_columns_netcdf(path) if path.suffix.lower() == ".nc" else read_columns_csv(path)
    points = [point for index in range(len(series.times)) if (point := _point_at(series, index)) is not None]
    if not points:
        raise InputError("holds no valid column", file=path, remedy="name columns.nc or columns.csv of another run")
    return ColumnSet(_in_order(points), {str(path): hash_file(path)})


def _point_at(series: ColumnSeries, index: int) -> ColumnPoint | None:
    value, sigma = float(series.so2_molec_cm2[index]), float(series.so2_random_molec_cm2[index])
    if series.status[index] != FitStatus.OK or not (np.isfinite(value) and sigma > 0):
        return None
    dilution = (float(series.light_dilution[index]), float(series.light_dilution_uncertainty[index]))
    return ColumnPoint(series.times[index], 0.0, value, sigma, dilution)


def _in_order(points: Sequence[ColumnPoint]) -> tuple[ColumnPoint, ...]:
    return tuple(sorted(points, key=lambda point: (point.end, point.time)))
