"""The spectrometer's columns that calibrate images: from spectra beside the frames, or from an earlier run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.core.spectra import FIT_STATUS_TEXT, ColumnSeries, DilutionEvidence, FitStatus, SpectrumInfo
from so2cam.core.times import format_utc
from so2cam.formats.column_products import read_columns_csv, read_columns_netcdf
from so2cam.formats.sitefile import LoadedSite, spectrometer_of
from so2cam.pipeline.output import hash_file
from so2cam.pipeline.spectra_batch import FittedSpectra, SpectrumSource, fit_files, plan_spectra, require_spectra
from so2cam.pipeline.spectrum_processor import ColumnRecord
from so2cam.science.spectra.dilution import DEPTHS

COLUMN_MARGIN = timedelta(minutes=5)
"""Spectra this long before the first and after the last frame wanted are fitted too."""


OTHER_TIME_REMEDY = (
    "give the spectra of the same time; if the time zones of the two kinds of files differ, set "
    "files.utc_offset_hours or spectrometer.files.utc_offset_hours"
)


@dataclass(frozen=True, slots=True)
class ColumnPoint:
    """A column of the spectrometer. ``time`` is mid-exposure, UTC, ``exposure_s`` all of it, coadds included.

    ``sigma_molec_cm2`` is the random part. ``light_dilution`` is the share at 310 nm with its 1 sigma, NaN where it was
    not found; ``light`` the shape of the spectrum, by which similar illumination is told, where it is known.
    ``diluted``: the column is that of a fit that knows no dilution, and the run is to find one from all spectra
    together; ``misfit`` is what this one tells (``science.spectra.dilution_pool``), None where it tells nothing.
    """

    time: datetime
    exposure_s: float
    column_molec_cm2: float
    sigma_molec_cm2: float
    light_dilution: tuple[float, float] = (float("nan"), float("nan"))
    light: FloatArray | None = None
    diluted: bool = False
    misfit: tuple[float, ...] | None = None

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

    @property
    def diluted(self) -> bool:
        """Whether light dilution is to be found from all of them together."""
        return any(point.diluted for point in self.points)


def pools_dilution(loaded: LoadedSite) -> bool:
    """Return whether a site finds light dilution from many spectra together."""
    return loaded.site.processing.light_dilution.mode == "spectrum"


def point_of(record: ColumnRecord, *, pooled: bool = False) -> ColumnPoint | None:
    """Return the point of one spectrum's column, or None where it has none.

    ``pooled``: the column without light dilution, whatever the spectrum tells of it by itself.
    """
    exposure = (record.info.integration_time_s or 0.0) * (record.info.coadds or 1)
    if pooled:
        found = record.evidence
        if found is None or not (np.isfinite(found.column) and np.isfinite(found.sigma) and found.sigma > 0):
            return None
        return ColumnPoint(
            record.info.time,
            exposure,
            found.column,
            found.sigma,
            record.light_dilution,
            record.light,
            diluted=True,
            misfit=found.misfit,
        )
    value, sigma = record.parameters.get("so2", (float("nan"), float("nan")))
    if record.status is not FitStatus.OK or not (np.isfinite(value) and np.isfinite(sigma) and sigma > 0):
        return None
    return ColumnPoint(record.info.time, exposure, value, sigma, record.light_dilution, record.light)


def columns_from_spectra(
    loaded: LoadedSite,
    source: SpectrumSource | FittedSpectra,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ColumnSet:
    """Return the columns of the spectra of ``source``, fitted now where they are not yet.

    Raises InputError where there is none to calibrate with.
    """
    first = None if start is None else start - COLUMN_MARGIN
    last = None if end is None else end + COLUMN_MARGIN
    if isinstance(source, FittedSpectra):
        near = source.within(first, last)
        _require_some(near.plan.plume, source.plan.plume, start, end)
        return _column_set(loaded, near)
    spectrometer = spectrometer_of(loaded)
    plan = plan_spectra(spectrometer, source, start=first, end=last)
    if not plan.plume:
        _require_some((), plan_spectra(spectrometer, source).plume, start, end)
    require_spectra(spectrometer, plan, source)
    records, reader = fit_files(spectrometer, plan, jobs=jobs, progress=progress)
    return _column_set(loaded, FittedSpectra(plan, tuple(records), reader))


def _require_some(
    near: Sequence[SpectrumInfo], others: Sequence[SpectrumInfo], start: datetime | None, end: datetime | None
) -> None:
    """Raise InputError where none is near the images, and there are others."""
    if near or not others:
        return
    times = sorted(info.time for info in others)
    raise InputError(
        f"all {len(others)} spectra of the plume lie beside the time of the images: they are from "
        f"{format_utc(times[0])} to {format_utc(times[-1])}, the images from "
        f"{'the beginning' if start is None else format_utc(start)} to "
        f"{'the end' if end is None else format_utc(end)}",
        remedy=OTHER_TIME_REMEDY,
    )


def _column_set(loaded: LoadedSite, fitted: FittedSpectra) -> ColumnSet:
    plan, records = fitted.plan, fitted.records
    pooled = pools_dilution(loaded)
    points = [point for record in records if (point := point_of(record, pooled=pooled)) is not None]
    if not points:
        reason, remedy = _why_none([record.status for record in records])
        raise InputError(
            f"none of {len(plan.plume)} spectra gives a column to calibrate with ({reason})", remedy=remedy
        )
    lost = len(plan.plume) - len(points)
    notes = () if lost == 0 else (f"{lost} of {len(plan.plume)} spectra have no column and calibrate nothing",)
    return ColumnSet(_in_order(points), fitted.reader.hashes, notes)


def columns_from_product(path: Path, *, pooled: bool = False) -> ColumnSet:
    """Return the columns in a product of ``so2cam spectra``, columns.nc or columns.csv.

    The CSV knows neither exposures nor the uncertainty of light dilution. ``pooled``: those without light dilution,
    with what each spectrum tells of it, where the product has them. Raises InputError for any other file.
    """
    series = read_columns_netcdf(path) if path.suffix.lower() == ".nc" else read_columns_csv(path)
    evidence = series.evidence if pooled else None
    if evidence is not None and not np.array_equal(evidence.depth, DEPTHS):
        raise InputError(
            "tells light dilution at other depths than this version of so2cam looks at",
            file=path,
            key="dilution_depth",
            remedy="run `so2cam spectra` again",
        )
    found = (_point_at(series, evidence, index) for index in range(len(series.times)))
    points = [point for point in found if point is not None]
    if not points:
        reason, remedy = _why_none([FitStatus(int(status)) for status in series.status])
        raise InputError(f"holds no valid column ({reason})", file=path, remedy=remedy)
    return ColumnSet(_in_order(points), {str(path): hash_file(path)})


def _why_none(statuses: Sequence[FitStatus]) -> tuple[str, str]:
    """Return the commonest reason for which spectra have no column, and what to do."""
    if not statuses:
        return "none could be read", "look at the files with `so2cam spectra`"
    reason = max(sorted(set(statuses)), key=list(statuses).count)
    remedy = "look at them with `so2cam spectra`, and correct [spectrometer] of the site file"
    if reason is FitStatus.DILUTION_NOT_UNIQUE:
        remedy = (
            'alone they tell none: set processing.light_dilution.mode = "spectrum", which finds one from many '
            'together; or spectrometer.light_dilution.mode = "none", with processing.light_dilution.mode = "terrain" '
            'or "fixed" if it is to be corrected'
        )
    return FIT_STATUS_TEXT[reason], remedy


def _point_at(series: ColumnSeries, evidence: DilutionEvidence | None, index: int) -> ColumnPoint | None:
    dilution = (float(series.light_dilution[index]), float(series.light_dilution_uncertainty[index]))
    if evidence is not None:
        value, sigma = float(evidence.so2_molec_cm2[index]), float(evidence.so2_random_molec_cm2[index])
        misfit = tuple(evidence.misfit[index].tolist()) if np.isfinite(evidence.misfit[index]).all() else None
        if not (np.isfinite(value) and sigma > 0):
            return None
        return ColumnPoint(series.times[index], 0.0, value, sigma, dilution, diluted=True, misfit=misfit)
    value, sigma = float(series.so2_molec_cm2[index]), float(series.so2_random_molec_cm2[index])
    if series.status[index] != FitStatus.OK or not (np.isfinite(value) and sigma > 0):
        return None
    return ColumnPoint(series.times[index], 0.0, value, sigma, dilution)


def _in_order(points: Sequence[ColumnPoint]) -> tuple[ColumnPoint, ...]:
    return tuple(sorted(points, key=lambda point: (point.end, point.time)))
