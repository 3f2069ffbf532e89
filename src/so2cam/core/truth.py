"""What a comparison of retrieved with true emission rates holds: rows of its tables, series of its plots."""

from dataclasses import dataclass

from so2cam.core.records import FloatArray

_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class TruthRow:
    """How the total emission rate by one way of processing and one speed method compares with the truth.

    ``bias`` and ``scatter`` are relative: mean retrieved over mean true less 1, over the pairs with a value, and the
    standard deviation of the pairs' relative errors about it. ``stated_random`` and ``stated_systematic`` are the
    median 1 sigma of a pair, ``stated_mean`` 1 sigma of the mean of the run, all over the true mean. ``within`` is the
    share of pairs whose truth lies within 1 and 2 sigma of all that is stated; ``random_within`` the same of the random
    part alone, about the run's own bias. NaN without values.
    """

    scenario: str
    variant: str
    method: str
    seed: int
    pairs: int
    values: int
    true_kg_s: float
    bias: float
    scatter: float
    stated_random: float
    stated_systematic: float
    stated_mean: float
    within: tuple[float, float]
    random_within: tuple[float, float]
    recommended: bool

    @property
    def retrieved_kg_s(self) -> float:
        """Mean retrieved emission rate [kg s-1]."""
        return self.true_kg_s * (1 + self.bias)

    @property
    def bias_in_sigma(self) -> float:
        """The bias in units of the mean's stated 1 sigma."""
        return self.bias / self.stated_mean if self.stated_mean > 0 else _NAN


@dataclass(frozen=True, slots=True)
class CalibrationTruth:
    """How a calibration compares with the truth: the slope near zero absorbance, and the spectrometer's view.

    ``slope_bias`` is relative; ``slope_sigma`` is the fit's relative 1 sigma, ``common_sigma`` that of what all
    columns share (cross section). ``x_error``, ``y_error``, ``radius_error`` are found less true [px], with their
    stated 1 sigma and the true radius; NaN where there is no view.
    """

    scenario: str
    variant: str
    slope_bias: float
    slope_sigma: float
    common_sigma: float = _NAN
    x_error: float = _NAN
    y_error: float = _NAN
    radius_error: float = _NAN
    x_sigma: float = _NAN
    y_sigma: float = _NAN
    radius_sigma: float = _NAN
    radius_px: float = _NAN
    correlation: float = _NAN


@dataclass(frozen=True, slots=True)
class TruthSeries:
    """One way of processing as a plot needs it: seconds since the start, true and retrieved totals [kg s-1] (T,)."""

    scenario: str
    variant: str
    method: str
    seconds: FloatArray
    true_kg_s: FloatArray
    retrieved_kg_s: FloatArray
    sigma_kg_s: FloatArray


@dataclass(frozen=True, slots=True)
class TruthCase:
    """All of one scenario. ``notes`` say which way of processing gave nothing, and why."""

    scenario: str
    description: str
    rows: tuple[TruthRow, ...]
    calibrations: tuple[CalibrationTruth, ...]
    series: tuple[TruthSeries, ...]
    notes: tuple[str, ...]
