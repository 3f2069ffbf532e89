"""Curves over time: with bands, broken where values are missing, readable for six pairs and for thousands."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.formats.quicklook.times import TimeAxis

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(slots=True)
class Curves:
    """The curves of one panel, and the range of values that it has to show."""

    axes: "Axes"
    axis: TimeAxis
    low: float = field(default=0.0, init=False)
    high: float = field(default=0.0, init=False)
    empty: bool = field(default=True, init=False)
    """Whether nothing finite was added."""

    def add(
        self,
        value: FloatArray,
        sigma: FloatArray | None,
        colour: str,
        *,
        style: str = "-",
        width: float = 1.3,
        alpha: float = 1.0,
        band: float = 0.22,
    ) -> None:
        """Draw a curve that breaks where values are missing, its band, and dots for values that stand alone."""
        spread = np.full_like(value, np.nan) if sigma is None else sigma
        self.include(value, spread)
        value, spread = self.axis.sorted(value), self.axis.sorted(spread)
        x, y, s = self.axis.broken(value, spread)
        if self.axis.dense:
            self.axes.plot(x, y, color=colour, linewidth=0.5, alpha=0.22 * alpha)
            x, y, s = self.axis.medians(value, spread)
        finite = np.isfinite(y)
        if not finite.any():
            return
        pairs = self.axis.x.size
        marker = 4.5 if np.count_nonzero(finite) <= 40 else 2.6 if pairs <= 150 else 0.0
        if width < 1:
            marker *= 0.55
        if pairs > 300 and not self.axis.dense:
            width *= 0.65
        alone = finite & ~np.append(False, finite[:-1]) & ~np.append(finite[1:], False)
        dots = finite if marker else alone
        self.axes.plot(x, y, color=colour, linestyle=style, linewidth=width, alpha=alpha, solid_joinstyle="round")
        self.axes.plot(x[dots], y[dots], "o", color=colour, markersize=marker or 2.2, markeredgewidth=0, alpha=alpha)
        if sigma is not None:
            self.axes.fill_between(x, y - s, y + s, color=colour, alpha=band, linewidth=0)
            x, y, s = (column[alone & np.isfinite(s)] for column in (x, y, s))
            self.axes.vlines(x, y - s, y + s, color=colour, alpha=2.2 * band, linewidth=2.4 if marker else 0.8)

    def include(self, value: FloatArray, sigma: FloatArray) -> None:
        """Let the panel hold every value and the usual error bars: a few huge ones may not flatten the rest."""
        finite = np.isfinite(value)
        if not finite.any():
            return
        self.empty = False
        value, sigma = value[finite], np.nan_to_num(sigma[finite], nan=0.0, posinf=0.0)
        self.low = min(self.low, float(value.min()), float(np.percentile(value - sigma, 2)))
        self.high = max(self.high, float(value.max()), float(np.percentile(value + sigma, 98)))

    def set_limits(self) -> None:
        """Scale the panel to hold zero and what was added."""
        if self.high == self.low:
            self.high = self.low + 1.0
        room = 0.06 * (self.high - self.low)
        self.axes.set_ylim(self.low - (room if self.low < 0 else 0.0), self.high + room)
