"""Retrieved series against the truth of a simulated volcano: rows of numbers."""

from typing import Final

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.core.results import CalibrationRecord, EmissionSeries
from so2cam.core.site import Site
from so2cam.core.truth import CalibrationTruth, TruthRow, TruthSeries
from so2cam.simulate import Truth

RECOMMENDED_METHOD: Final = "flow_raw"
"""The speed method that is recommended."""
_ONE_LAG: Final = "cross_correlation"
"""All pairs of a window of this method share one lag, so that a mean over it does not shrink the lag's error."""

_NAN = float("nan")


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
) -> TruthRow:
    """Return how ``values`` with their 1 sigma compare with what is ``expected``, all (T,) [kg s-1].

    ``names`` are scenario, variant, speed method. Pairs without a value take no part, nor does their truth.
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
    of_mean = mean_sigma(random[good], systematic[good], shared=method == _ONE_LAG)
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
        random_within=_shares(left, random[good]),
        recommended=recommended,
    )


def mean_sigma(random: FloatArray, systematic: FloatArray, *, shared: bool = False) -> float:
    """Return 1 sigma of the mean of values with these 1 sigma (T,): random parts shrink unless all is ``shared``."""
    by_chance = float(np.sqrt(np.mean(random**2) / (1 if shared else random.size)))
    return float(np.hypot(by_chance, systematic.mean()))


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
