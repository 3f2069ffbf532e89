"""Two series of emission rates beside each other: runs with different settings, or a run and the live results.

Values belong together where line and time (to the millisecond) are the same; both must be valid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.core.results import EmissionSeries, IntArray
from so2cam.formats.products import read_emission_netcdf
from so2cam.formats.provenance import to_milliseconds
from so2cam.formats.report_page import mean_parts
from so2cam.science.calibration.total_least_squares import york_line
from so2cam.station.catalogue import TOTAL, Catalogue
from so2cam.station.context import StationSite
from so2cam.station.drafts import KeyChange, compare
from so2cam.station.live_day import NOT_PROCESSING
from so2cam.station.run_store import RunRecord, RunStore

LIVE: Final = "live"
"""How the results of the catalogue are called."""
_LEAST_POINTS: Final = 3


@dataclass(frozen=True, slots=True)
class RateSeries:
    """Emission rates [kg s-1] of one line by one method. All (N,), NaN is missing; times in ms since 1970, rising."""

    time_ms: IntArray
    rate: FloatArray
    random: FloatArray
    systematic: FloatArray

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Where there is a value."""
        return np.isfinite(self.rate)


@dataclass(frozen=True, slots=True)
class Results:
    """What one side of a comparison has, by (line, method)."""

    key: str
    title: str
    text: str
    """the site file it was made with"""
    series: Mapping[tuple[str, str], RateSeries] = field(default_factory=dict)

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines, the total first."""
        found = list(dict.fromkeys(line for line, _ in self.series))
        return tuple(sorted(found, key=lambda line: line != TOTAL))

    @property
    def methods(self) -> tuple[str, ...]:
        """The speed methods."""
        return tuple(dict.fromkeys(method for _, method in self.series))


@dataclass(frozen=True, slots=True)
class SideStatistics:
    """One side: values, how many are valid, their median and mean, with 1 sigma of the mean [kg s-1]."""

    values: int
    valid: int
    median: float
    mean: float
    random: float
    systematic: float

    @property
    def sigma(self) -> float:
        """1 sigma of the mean, of all uncertainties."""
        return float(np.hypot(self.random, self.systematic))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Values of both sides at the same times, and what is to be said of them.

    ``a``, ``b`` (N,) are valid on both sides. ``difference`` is b - a; ``ratio`` the median of b / a. ``slope`` and
    ``offset`` are those of b over a with errors on both axes (York), ``slope_uncertainty`` 1 sigma by the scatter;
    NaN where there are fewer than three points or they do not vary.
    """

    time_ms: IntArray
    a: FloatArray
    b: FloatArray
    side_a: SideStatistics
    side_b: SideStatistics
    mean_difference: float
    difference_scatter: float
    median_difference: float
    ratio: float
    slope: float
    slope_uncertainty: float
    offset: float
    correlation: float

    def scatter(self, most: int) -> tuple[list[float], list[float]]:
        """Return at most ``most`` points (a, b), evenly chosen."""
        step = max(1, -(-self.a.size // most))
        return self.a[::step].tolist(), self.b[::step].tolist()

    @property
    def has_line(self) -> bool:
        """Whether a line was found."""
        return bool(np.isfinite(self.slope))

    @property
    def difference(self) -> FloatArray:
        """B - a [kg s-1]."""
        return self.b - self.a


def results_of_run(store: RunStore, record: RunRecord) -> Results:
    """Return what a run made. Raises InputError where it is not done, or its product cannot be read."""
    if record.state != "done":
        raise InputError(f"the run is {record.state}: there is nothing to compare", key="run", value=record.id)
    if not record.has_rates:
        raise InputError(
            "the run has no emission rates to compare", key="run", value=record.id, remedy="choose one over images"
        )
    series = read_emission_netcdf(store.path(record.id, "emission_rates.nc"))
    return Results(str(record.id), f"run {record.title}", store.text(record.id), split(series))


def live_results(catalogue: Catalogue, site: StationSite, record: RunRecord) -> Results:
    """Return the live results of a run's time. The settings are those of the site file now."""
    rows = catalogue.rates(site.name, start=record.start, end=record.end)
    found: dict[tuple[str, str], list[tuple[int, float, float, float]]] = {}
    for row in rows:
        values = (row.rate, row.random, row.systematic)
        known = [np.nan if value is None else value for value in values]
        found.setdefault((row.line, row.method), []).append((to_milliseconds(row.time), known[0], known[1], known[2]))
    series = {}
    for key, entries in found.items():
        table = np.array([entry[1:] for entry in entries], np.float64)
        times = np.array([entry[0] for entry in entries], np.int64)
        series[key] = RateSeries(times, table[:, 0], table[:, 1], table[:, 2])
    text = site.loaded.path.read_text(encoding="utf-8")
    return Results(LIVE, "live results", text, series)


def split(series: EmissionSeries) -> dict[tuple[str, str], RateSeries]:
    """Return a series line by line and method by method, the total among them."""
    times = np.array([to_milliseconds(time) for time in series.times], np.int64)
    order = np.argsort(times, kind="stable")
    found: dict[tuple[str, str], RateSeries] = {}
    for m, method in enumerate(series.speed_methods):
        found[TOTAL, method] = RateSeries(
            times[order],
            series.total_emission_rate_kg_s[order, m],
            series.total_random_uncertainty_kg_s[order, m],
            series.total_systematic_uncertainty_kg_s[order, m],
        )
        for i, line in enumerate(series.lines):
            found[line, method] = RateSeries(
                times[order],
                series.emission_rate_kg_s[order, i, m],
                series.random_uncertainty_kg_s[order, i, m],
                series.systematic_uncertainty_kg_s[order, i, m],
            )
    return found


def compare_series(a: RateSeries, b: RateSeries) -> Comparison:
    """Compare two series. Raises InputError where no time is in both."""
    common, at_a, at_b = np.intersect1d(a.time_ms, b.time_ms, return_indices=True)
    if not common.size:
        raise InputError("no time is in both", key="compare", remedy="choose runs over the same time")
    known = a.valid[at_a] & b.valid[at_b]
    at_a, at_b = at_a[known], at_b[known]
    x, y = a.rate[at_a], b.rate[at_b]
    difference = y - x
    slope, slope_sigma, offset = _line(x, y, a.random[at_a], b.random[at_b])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = y / x
    return Comparison(
        time_ms=common[known],
        a=x,
        b=y,
        side_a=_side(a),
        side_b=_side(b),
        mean_difference=_of(np.mean, difference),
        difference_scatter=float(np.std(difference, ddof=1)) if difference.size > 1 else float("nan"),
        median_difference=_of(np.median, difference),
        ratio=_of(np.median, ratios[np.isfinite(ratios)]),
        slope=slope,
        slope_uncertainty=slope_sigma,
        offset=offset,
        correlation=float(np.corrcoef(x, y)[0, 1]) if _varies(x) and _varies(y) else float("nan"),
    )


def settings_that_differ(a: Results, b: Results, path: Path) -> tuple[KeyChange, ...]:
    """Return the settings in which both sides differ and on which numbers may depend. Raises SiteFileError."""
    return processing_changes(a.text, b.text, path)


def processing_changes(a: str, b: str, path: Path) -> tuple[KeyChange, ...]:
    """Return the settings in which two site files differ and on which numbers may depend. Raises SiteFileError."""
    return tuple(change for change in compare(a, b, path) if change.key[0] not in NOT_PROCESSING)


def thinned(x: Sequence[float] | npt.NDArray[Any], values: FloatArray, most: int) -> tuple[list[float], list[Any]]:
    """Return at most ``most`` points of a series for a plot: means over equally many neighbours; None is missing."""
    size = len(x)
    group = max(1, -(-size // most))
    times, means = [], []
    for first in range(0, size, group):
        part = values[first : first + group]
        good = part[np.isfinite(part)]
        times.append(float(np.mean(x[first : first + group])))
        means.append(float(good.mean()) if good.size else None)
    return times, means


def _side(series: RateSeries) -> SideStatistics:
    good = series.rate[series.valid]
    random, systematic = mean_parts(series.rate, series.random, series.systematic)
    return SideStatistics(series.rate.size, good.size, _of(np.median, good), _of(np.mean, good), random, systematic)


def _line(x: FloatArray, y: FloatArray, sigma_x: FloatArray, sigma_y: FloatArray) -> tuple[float, float, float]:
    """Return slope, its 1 sigma and offset of y over x."""
    nothing = (float("nan"),) * 3
    usable = np.isfinite(sigma_x) & np.isfinite(sigma_y) & (sigma_x + sigma_y > 0)
    if usable.sum() < _LEAST_POINTS or not _varies(x[usable]):
        return nothing
    try:
        parameters, covariance, chi2 = york_line(x[usable], y[usable], sigma_x[usable], sigma_y[usable])
    except (ValueError, np.linalg.LinAlgError):
        return nothing
    # The random parts of both sides are mostly those of the same frames: the scatter says how far the points differ.
    scale = np.sqrt(chi2 / max(int(usable.sum()) - 2, 1))
    return float(parameters[1]), float(np.sqrt(covariance[1, 1]) * scale), float(parameters[0])


def _varies(values: FloatArray) -> bool:
    return values.size > 1 and bool(np.ptp(values) > 1e-12 * max(1e-300, float(np.abs(values).max())))


def _of(what: Any, values: FloatArray) -> float:
    return float(what(values)) if values.size else float("nan")
