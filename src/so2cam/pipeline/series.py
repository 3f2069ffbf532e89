"""Records of a run as the series that products hold, and what a reader of the run should know of it."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from so2cam.core.results import EmissionSeries
from so2cam.core.site import Site
from so2cam.core.status import QUALITY_TEXT, STATUS_TEXT, EmissionStatus, QualityFlag
from so2cam.core.times import format_utc
from so2cam.core.uncertainty import Term
from so2cam.pipeline.plan import RunPlan
from so2cam.pipeline.records import Emission, PairRecord


def assemble(site: Site, records: Sequence[PairRecord]) -> EmissionSeries:
    """Return records as arrays over time, line and speed method, with totals."""
    lines = tuple(line.name for line in site.lines)
    methods = tuple(site.processing.speed.methods)
    shape = (len(records), len(lines), len(methods))

    def table(get: Callable[[Emission], float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        values = [[[get(r.emissions[line, m]) for m in methods] for line in lines] for r in records]
        return np.array(values, np.float64).reshape(shape)

    def per_line(uncertainty: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        values = []
        for record in records:
            amounts = [record.lines[line].ica for line in lines]
            values.append([np.nan if a is None else (a.random if uncertainty else a.value) for a in amounts])
        return np.array(values, np.float64).reshape(shape[:2])

    rate, random = table(lambda e: e.rate), table(lambda e: e.random)
    systematic, status = table(lambda e: e.systematic), table(lambda e: e.status).astype(np.int64)
    parts = [lines.index(name) for name in site.total_lines]
    part_status = status[:, parts, :]
    missing = np.any(part_status != EmissionStatus.OK, axis=1)
    only = part_status[:, 0, :] if len(parts) == 1 else np.full(missing.shape, int(EmissionStatus.PART_MISSING))
    waits = np.all((part_status == EmissionStatus.OK) | (part_status == EmissionStatus.PENDING), axis=1)
    only = np.where(waits, int(EmissionStatus.PENDING), only)
    terms = [[[_terms(r.emissions[line, m]) for m in methods] for line in lines] for r in records]
    extinction = np.array([record.extinction_per_m for record in records], np.float64).reshape(-1, 4)
    slope = np.array([record.slope for record in records], np.float64).reshape(-1, 2)
    offset = np.array([record.offset for record in records], np.float64).reshape(-1, 2)
    return EmissionSeries(
        times=tuple(record.time for record in records),
        lines=lines,
        speed_methods=methods,
        emission_rate_kg_s=rate,
        random_uncertainty_kg_s=random,
        systematic_uncertainty_kg_s=systematic,
        status=status,
        plume_speed_m_s=table(lambda e: e.speed),
        plume_speed_uncertainty_m_s=table(lambda e: e.speed_uncertainty),
        plume_direction_deg=table(lambda e: e.direction_deg),
        integrated_column_amount_kg_m=per_line(False),
        integrated_column_amount_uncertainty_kg_m=per_line(True),
        total_emission_rate_kg_s=np.where(missing, np.nan, rate[:, parts, :].sum(axis=1)),
        total_random_uncertainty_kg_s=np.where(missing, np.nan, np.sqrt((random[:, parts, :] ** 2).sum(axis=1))),
        # Calibration, distance and method are common to all lines: their errors add up.
        total_systematic_uncertainty_kg_s=np.where(missing, np.nan, systematic[:, parts, :].sum(axis=1)),
        total_status=np.where(missing, only, int(EmissionStatus.OK)).astype(np.int64),
        background_level=np.array([record.background_level for record in records]),
        background_noise=np.array([record.noise for record in records]),
        quality_flags=np.array([int(record.flags) for record in records], np.int64),
        pair_offset_s=np.array([record.pair.offset_s for record in records]),
        calibration_slope_molec_cm2=slope[:, 0],
        calibration_slope_uncertainty_molec_cm2=slope[:, 1],
        calibration_offset_molec_cm2=offset[:, 0],
        calibration_offset_uncertainty_molec_cm2=offset[:, 1],
        calibration_number=np.array([record.calibration_number for record in records], np.int64),
        extinction_per_m=extinction[:, :2],
        extinction_uncertainty_per_m=extinction[:, 2:],
        uncertainty_terms_kg_s=np.array(terms, np.float64).reshape(*shape, len(Term)),
    )


def _terms(emission: Emission) -> list[float]:
    """Return 1 sigma of every term of the budget [kg s-1]; 0 for a term that has no part in it, NaN without a value."""
    if not emission.budget:
        return [np.nan] * len(Term)
    return [emission.budget.get(term, 0.0) for term in Term]


def negative_rates(series: EmissionSeries) -> tuple[str, ...]:
    """Return a warning where most of the totals are negative: the plume drifts against the lines' normals."""
    totals = series.total_emission_rate_kg_s
    good = np.isfinite(totals)
    if not good.any() or np.mean(totals[good] < 0) <= 0.5:
        return ()
    text = (
        "most emission rates are negative: the plume drifts against the lines' normals; if the wind was not from the "
        "other side, lines.normal in the site file is the wrong way round"
    )
    return (text,)


def summary_lines(
    site: Site, plan: RunPlan, series: EmissionSeries, failures: int, calibration: str
) -> list[tuple[str, str]]:
    """Return what a reader of the run wants to know first, as label and text."""
    known = np.flatnonzero(np.isfinite(series.calibration_slope_molec_cm2))
    middle = known[known.size // 2] if known.size else 0
    slope = series.calibration_slope_molec_cm2[middle]
    slope_sigma = series.calibration_slope_uncertainty_molec_cm2[middle]
    lines = [
        ("pairs", f"{len(series.times)} of {len(plan.pairs)}; {len(plan.unpaired)} frames unpaired"),
        ("left out", f"{failures} unreadable, {len(plan.skipped)} skipped, {plan.test_frames} test frames"),
        ("period", f"{format_utc(series.times[0])} to {format_utc(series.times[-1])}"),
        ("total of", ", ".join(site.total_lines)),
        ("calibration", f"{slope:.3g} ± {slope_sigma:.1g} molec cm-2 ({calibration})" if known.size else calibration),
        ("background", site.processing.background.mode),
    ]
    for index, method in enumerate(series.speed_methods):
        values = series.total_emission_rate_kg_s[:, index]
        good = values[np.isfinite(values)]
        if good.size:
            systematic = float(np.nanmean(series.total_systematic_uncertainty_kg_s[:, index]))
            text = (
                f"median {np.median(good):.2f} kg/s (systematic ± {systematic:.2f}), {good.size} of {values.size} valid"
            )
        else:
            text = f"no valid value: {_commonest(series.total_status[:, index])}"
        lines.append((method, text))
    return lines


def _commonest(status: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> str:
    return STATUS_TEXT[EmissionStatus(Counter(status.tolist()).most_common(1)[0][0])]


def flag_counts(series: EmissionSeries) -> list[tuple[str, int]]:
    """Return the meaning and the number of pairs of every quality flag that was raised."""
    return [
        (QUALITY_TEXT[flag], int(np.sum((series.quality_flags & flag) != 0)))
        for flag in QualityFlag
        if flag and np.any(series.quality_flags & flag)
    ]
