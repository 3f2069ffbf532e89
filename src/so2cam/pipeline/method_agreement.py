"""Whether the speed methods of a run agree: over all of it in words, and pair by pair as a quality flag.

Compared are the totals of two methods at times where both are valid, at 2 sigma of their mean random and of the
methods' own systematic parts. What is common to both (calibration, distance) is no reason to differ: of the relative
systematic parts only what one has beyond the other, as that of a wind that is little known, is.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.core.results import EmissionSeries
from so2cam.core.site import Site
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.pipeline.lag_window import window_index
from so2cam.pipeline.records import Emission, PairRecord

_SIGMAS: Final = 2.0
_METHODS: Final = 0.06
"""Relative 1 sigma by which two good methods differ: their own systematic parts (``speed_method``) together."""
FEWEST: Final = 3
"""Pairs of a window that two methods must have in common before one is flagged."""


def differ(mean: FloatArray, random: FloatArray, systematic: FloatArray) -> bool:
    """Return whether two means (2,) are further apart than what is stated of them lets expect, all in one unit.

    ``random`` and ``systematic`` (2,) are 1 sigma of single values. The random part is not shrunk by a mean: it lasts
    from pair to pair.
    """
    largest = float(np.abs(mean).max())
    beyond = abs((systematic[0] * mean[1]) ** 2 - (systematic[1] * mean[0]) ** 2) / max(largest, 1e-9) ** 2
    sigma = np.sqrt(np.sum(random**2) + (_METHODS * largest) ** 2 + beyond)
    return bool(abs(mean[0] - mean[1]) > _SIGMAS * sigma)


def method_disagreement(series: EmissionSeries) -> tuple[str, ...]:
    """Return a warning for each two speed methods whose mean totals of a run differ beyond their uncertainties."""
    warnings = []
    for first, second in combinations(range(len(series.speed_methods)), 2):
        values = series.total_emission_rate_kg_s[:, (first, second)]
        both = np.isfinite(values).all(axis=1)
        if not both.any():
            continue
        mean = values[both].mean(axis=0)
        random = series.total_random_uncertainty_kg_s[both][:, (first, second)].mean(axis=0)
        systematic = series.total_systematic_uncertainty_kg_s[both][:, (first, second)].mean(axis=0)
        if differ(mean, random, systematic):
            warnings.append(
                f"{series.speed_methods[first]} ({mean[0]:.2f} kg/s) and {series.speed_methods[second]} "
                f"({mean[1]:.2f} kg/s) disagree beyond their uncertainties"
            )
    return tuple(warnings)


class MethodComparison:
    """Compares the methods of complete records, in order of time, over the window of time so far.

    Windows are those of cross-correlation, whether it is among the methods or not: nothing passes from one to the next,
    so that a run may be cut there, and a pair's flag hangs on no later pair of its window.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._pairs = tuple(combinations(site.processing.speed.methods, 2))
        self._window: int | None = None
        self._sums: dict[tuple[str, str], FloatArray] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def of(self, record: PairRecord) -> QualityFlag:
        """Return ``METHODS_DISAGREE`` where any two methods do, with ``record`` and those of its window before it."""
        if not self._pairs:
            return QualityFlag.NONE
        window = window_index(self._site, record.time)
        if window != self._window:
            self._window, self._sums, self._counts = window, {}, {}
        flags = QualityFlag.NONE
        for pair in self._pairs:
            totals = [self._total(record, method) for method in pair]
            if any(total is None for total in totals):
                continue
            # Rows are rate, random and systematic part; columns the two methods.
            self._sums[pair] = self._sums.get(pair, np.zeros((3, 2))) + np.array(totals, np.float64).T
            self._counts[pair] = self._counts.get(pair, 0) + 1
            if self._counts[pair] >= FEWEST and differ(*(self._sums[pair] / self._counts[pair])):
                flags |= QualityFlag.METHODS_DISAGREE
        return flags

    def _total(self, record: PairRecord, method: str) -> tuple[float, float, float] | None:
        parts = [record.emissions[name, method] for name in self._site.total_lines]
        if any(part.status is not EmissionStatus.OK for part in parts):
            return None
        return _total(parts)


def _total(parts: Sequence[Emission]) -> tuple[float, float, float]:
    """Return rate, random and systematic part of the sum, as the series' totals have them."""
    rate = sum(part.rate for part in parts)
    random = sum(part.random**2 for part in parts) ** 0.5
    return rate, random, sum(part.systematic for part in parts)
