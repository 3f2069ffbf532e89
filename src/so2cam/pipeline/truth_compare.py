"""Retrieved series against the truth of a simulated volcano: rows of numbers."""

from typing import Final

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.results import CalibrationRecord, EmissionSeries
from so2cam.core.site import Site
from so2cam.core.truth import CalibrationTruth, TruthRow, TruthSeries
from so2cam.core.uncertainty import Term
from so2cam.pipeline.lag_window import window_index
from so2cam.simulate import Truth

RECOMMENDED_METHOD: Final = "flow_raw"
"""The speed method that is recommended."""
_ONE_LAG: Final = "cross_correlation"
"""All pairs of a window of this method share one lag, and with it the error of that."""

_NAN = float("nan")

Shared = tuple[FloatArray, npt.NDArray[np.int64]]
"""1 sigma (T,) [kg s-1] of an error that is one and the same in a window of time, and the number of the window."""


def true_total(series: EmissionSeries, truth: Truth, site: Site) -> FloatArray:
    """Return the true total [kg s-1] at the times of ``series`` (T,), along the lines that the total is made of."""
    total = np.sum([truth.line(name).emission_rate_kg_s for name in site.total_lines], axis=0)
    wanted = {time: index for index, time in enumerate(truth.times)}
    return np.asarray(total[[wanted[time] for time in series.times]], np.float64)


def compare_rates(
    series: EmissionSeries, truth: Truth, site: Site, *, scenario: str, variant: str, recommended: bool
) -> tuple[list[TruthRow], TruthSeries]:
    """Return a row for each speed method, and the series of the recommended one (or the first) for a plot.

    ``recommended`` says whether ``variant`` is the way that is recommended.
    """
    expected = true_total(series, truth, site)
    parts = [series.lines.index(name) for name in site.total_lines]
    by_speed = series.uncertainty_terms_kg_s[..., list(Term).index(Term.SPEED)]
    by_lag = np.sqrt(np.sum(by_speed[:, parts, :] ** 2, axis=1))
    windows = np.array([window_index(site, time) for time in series.times], np.int64)
    rows = []
    for index, method in enumerate(series.speed_methods):
        rows.append(
            compare_series(
                series.total_emission_rate_kg_s[:, index],
                series.total_random_uncertainty_kg_s[:, index],
                series.total_systematic_uncertainty_kg_s[:, index],
                expected,
                names=(scenario, variant, method),
                seed=truth.seed,
                recommended=recommended and method == RECOMMENDED_METHOD,
                shared=(by_lag[:, index], windows) if method == _ONE_LAG else None,
            )
        )
    shown = series.speed_methods.index(RECOMMENDED_METHOD) if RECOMMENDED_METHOD in series.speed_methods else 0
    drawn = TruthSeries(
        scenario=scenario,
        variant=variant,
        method=series.speed_methods[shown],
        seconds=np.array([(time - truth.times[0]).total_seconds() for time in series.times], np.float64),
        true_kg_s=expected,
        retrieved_kg_s=series.total_emission_rate_kg_s[:, shown],
        sigma_kg_s=np.hypot(
            series.total_random_uncertainty_kg_s[:, shown], series.total_systematic_uncertainty_kg_s[:, shown]
        ),
    )
    return rows, drawn


def compare_series(
    values: FloatArray,
    random: FloatArray,
    systematic: FloatArray,
    expected: FloatArray,
    *,
    names: tuple[str, str, str],
    seed: int,
    recommended: bool,
    shared: Shared | None = None,
) -> TruthRow:
    """Return how ``values`` with their 1 sigma compare with what is ``expected``, all (T,) [kg s-1].

    ``names`` are scenario, variant, speed method. Pairs without a value take no part, nor does their truth. Of the
    random part, that which is ``shared`` by all pairs of a window is one error there: it shrinks with the number of
    windows, and what is left of the random part is judged about the bias of each window.
    """
    good = np.isfinite(values) & np.isfinite(random) & np.isfinite(systematic)
    count = int(good.sum())
    scenario, variant, method = names
    if count == 0:
        return TruthRow(
            scenario=scenario,
            variant=variant,
            method=method,
            seed=seed,
            pairs=values.size,
            values=0,
            true_kg_s=float(expected.mean()),
            bias=_NAN,
            scatter=_NAN,
            stated_random=_NAN,
            stated_systematic=_NAN,
            stated_mean=_NAN,
            within=(_NAN, _NAN),
            random_within=(_NAN, _NAN),
            recommended=recommended,
        )
    value, true = values[good], expected[good]
    mean = float(true.mean())
    bias = float(value.mean()) / mean - 1
    left = value - true * (1 + bias)
    own, about = random[good], left
    common, windows = np.zeros(count), np.zeros(count, np.int64)
    if shared is not None:
        common, windows = shared[0][good], shared[1][good]
        own, about = np.sqrt(np.maximum(own**2 - common**2, 0)), _about_windows(value, true, windows)
    of_mean = mean_sigma(own, systematic[good], shared=(common, windows))
    return TruthRow(
        scenario=scenario,
        variant=variant,
        method=method,
        seed=seed,
        pairs=values.size,
        values=count,
        true_kg_s=mean,
        bias=bias,
        scatter=float(np.std(left / true)),
        stated_random=float(np.median(random[good])) / mean,
        stated_systematic=float(np.median(systematic[good])) / mean,
        stated_mean=of_mean / mean,
        within=_shares(value - true, np.hypot(random[good], systematic[good])),
        random_within=_shares(about, own),
        recommended=recommended,
    )


def mean_sigma(random: FloatArray, systematic: FloatArray, *, shared: Shared | None = None) -> float:
    """Return 1 sigma of the mean of values with these 1 sigma (T,): random parts shrink with their number.

    What is ``shared`` by the values of a window comes on top, and shrinks with the number of windows.
    """
    by_chance = float(np.sum(random**2)) / random.size**2
    if shared is not None:
        sums = [float(np.sum(shared[0][shared[1] == window])) for window in np.unique(shared[1])]
        by_chance += sum(one**2 for one in sums) / random.size**2
    return float(np.hypot(np.sqrt(by_chance), systematic.mean()))


def _about_windows(value: FloatArray, true: FloatArray, windows: npt.NDArray[np.int64]) -> FloatArray:
    """Return what is left of the errors of ``value`` where the relative bias of each window is taken off."""
    left = np.empty(value.size)
    for window in np.unique(windows):
        inside = windows == window
        left[inside] = value[inside] - true[inside] * float(value[inside].mean()) / float(true[inside].mean())
    return left


def compare_calibration(
    series: EmissionSeries, record: CalibrationRecord | None, truth: Truth, *, scenario: str, variant: str
) -> CalibrationTruth:
    """Return how the slope, and the view where one was searched, compare with the truth."""
    slope = float(np.nanmedian(series.calibration_slope_molec_cm2))
    sigma = float(np.nanmedian(series.calibration_slope_uncertainty_molec_cm2))
    bias = slope / truth.calibration_slope_molec_cm2 - 1
    fits = [] if record is None else [fit for fit in record.fits if fit.status == "ok"]
    common = fits[-1].scale_uncertainty if fits else 0.0
    found = [] if record is None else [view for view in record.views if view.status == "ok"]
    if not found:
        return CalibrationTruth(scenario, variant, bias, sigma / slope, common)
    view, true = found[-1], truth.spectra.view
    return CalibrationTruth(
        scenario=scenario,
        variant=variant,
        slope_bias=bias,
        slope_sigma=sigma / slope,
        common_sigma=common,
        x_error=view.x - true.x,
        y_error=view.y - true.y,
        radius_error=view.radius_px - true.radius_px,
        x_sigma=view.x_uncertainty,
        y_sigma=view.y_uncertainty,
        radius_sigma=view.radius_uncertainty,
        radius_px=true.radius_px,
        correlation=view.correlation,
    )


def _shares(error: FloatArray, sigma: FloatArray) -> tuple[float, float]:
    return float(np.mean(np.abs(error) <= sigma)), float(np.mean(np.abs(error) <= 2 * sigma))
