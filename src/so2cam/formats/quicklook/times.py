"""The time axis that the panels of the series share."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.formats.quicklook.style import set_labels
from so2cam.formats.quicklook.values import median_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SECONDS_PER_DAY: Final = 86400.0
INTERVALS: Final = 160
"""So many intervals stand for the pairs of a dense series."""
_DENSE: Final = 1000


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """The pairs on the time axis: increasing days since 1970 in ``x``, and the order that sorts the series."""

    x: FloatArray
    order: npt.NDArray[np.intp]
    step: float
    """Typical time between two pairs [days]."""

    @classmethod
    def of(cls, times: tuple[datetime, ...]) -> "TimeAxis":
        """Return the axis of pairs at ``times``, in whatever order they are."""
        from matplotlib.dates import date2num

        x = np.array([date2num(time) for time in times], np.float64)  # type: ignore[no-untyped-call]
        order = np.argsort(x, kind="stable")
        x = x[order]
        steps = np.diff(x)
        steps = steps[steps > 0]
        return cls(x, order, float(np.median(steps)) if steps.size else 60 / SECONDS_PER_DAY)

    @property
    def dense(self) -> bool:
        """Whether the pairs are too many to draw each: medians of intervals are, over faint curves of the pairs."""
        return self.x.size > _DENSE

    def sorted(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return ``values`` (one per pair) in the order of ``x``."""
        return np.asarray(values)[self.order]

    def broken(self, *columns: FloatArray) -> list[FloatArray]:
        """Return ``x`` and ``columns``, with NaN in between where pairs are far apart, so that no curve joins them."""
        gaps = np.flatnonzero(np.diff(self.x) > 6 * self.step) + 1
        middle = (self.x[gaps - 1] + self.x[gaps]) / 2
        return [np.insert(self.x, gaps, middle), *(np.insert(column, gaps, np.nan) for column in columns)]

    def medians(self, *columns: FloatArray) -> list[FloatArray]:
        """Return the middles of intervals and the medians of ``columns`` in them, NaN where nothing is finite."""
        edges = self.interval_edges
        ends = np.searchsorted(self.x, edges)
        parts = [[column[a:b] for a, b in pairwise(ends)] for column in columns]
        return [(edges[1:] + edges[:-1]) / 2, *(np.array([median_of(part) for part in row]) for row in parts)]

    def cells(self) -> tuple[FloatArray, FloatArray]:
        """Return left edges and widths of the time that each pair stands for."""
        half = 0.75 * self.step
        before = np.minimum(np.diff(self.x, prepend=-np.inf) / 2, half)
        after = np.minimum(np.diff(self.x, append=np.inf) / 2, half)
        return self.x - before, before + after

    @property
    def limits(self) -> tuple[float, float]:
        """Both ends of the time that is covered."""
        left, widths = self.cells()
        return float(left[0]), float(left[-1] + widths[-1])

    @property
    def interval_edges(self) -> FloatArray:
        """The edges of ``INTERVALS`` equal intervals of the time that is covered."""
        return np.linspace(*self.limits, INTERVALS + 1)


def format_times(panels: Sequence["Axes"], axis: TimeAxis) -> None:
    """Give the stacked panels one UTC axis, labelled at the first and the last."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    for panel in panels[1:-1]:
        panel.tick_params(axis="x", which="both", labelbottom=False)
    if axis.x.size == 0:
        panels[0].set_xticks([])
        return
    low, high = axis.limits
    panels[0].set_xlim(low - 0.01 * (high - low), high + 0.06 * (high - low))
    # Four units of time need up to nine ticks in steps of the next smaller one (30 s, 30 min, 12 h, 6 months).
    locator = AutoDateLocator(tz=UTC, minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    formatter = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator,
        tz=UTC,
        show_offset=False,
        formats=["%Y", "%Y-%m", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S.%f"],
        zero_formats=["%Y", "%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M:%S.%f"],
    )
    panels[0].xaxis.set_major_locator(locator)
    panels[0].xaxis.set_major_formatter(formatter)
    set_labels(panels[-1], x="time, UTC")
