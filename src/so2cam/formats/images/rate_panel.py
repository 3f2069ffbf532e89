"""The emission rate below the images of a video: a curve that grows to the time of the image."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from so2cam.core.constants import TONNES_PER_DAY_PER_KG_PER_S
from so2cam.core.records import FloatArray
from so2cam.core.results import IntArray
from so2cam.formats.images.canvas import Canvas
from so2cam.formats.images.record import RateCurve
from so2cam.formats.provenance import to_milliseconds
from so2cam.formats.quicklook.style import (
    FONT,
    FONT_TITLE,
    INK,
    METHOD_COLOURS,
    MUTED,
    add_second_scale,
    plain,
    set_labels,
    set_style,
)
from so2cam.formats.quicklook.values import with_digits

if TYPE_CHECKING:
    from matplotlib.artist import Artist

PANEL_HEIGHT: Final = 200
_PLOT_TOP, _PLOT_HEIGHT = 30, 138
_MS_PER_DAY: Final = 86_400_000.0
_LARGEST_GAP: Final = 6.0
"""A curve is broken where times are further apart than this multiple of their typical distance."""
_DENSE: Final = 1000
_INTERVALS: Final = 200
"""From so many rates on, the curve is faint, and medians of so many intervals stand over it."""


class RatePanel:
    """The panel below the image on ``canvas``, for rates at the times of a run from ``start`` to ``end``."""

    def __init__(self, canvas: Canvas, rates: RateCurve, start: datetime, end: datetime) -> None:
        order = np.argsort([to_milliseconds(time) for time in rates.times], kind="stable")
        self._ms = np.array([to_milliseconds(rates.times[i]) for i in order], np.int64)
        self._rate = rates.rate_kg_s[order]
        sigma = np.nan_to_num(rates.uncertainty_kg_s[order], nan=0.0)
        self._low, self._high = self._rate - sigma, self._rate + sigma
        self._sigma = rates.uncertainty_kg_s[order]
        self._colour = METHOD_COLOURS[0]
        self._medians = interval_medians(self._ms, self._rate) if self._ms.size > _DENSE else None
        left, width = canvas.panel_span
        top = canvas.panel_top
        self._axes = canvas.add_axes(left, top + _PLOT_TOP, width, _PLOT_HEIGHT)
        set_style(self._axes)
        set_labels(self._axes, y="[kg s⁻¹]")
        text: Any = canvas.figure.text
        title = text(
            *canvas.at(left, top + 14),
            "SO₂ emission rate",
            fontsize=FONT_TITLE,
            fontweight="bold",
            color=INK,
            va="center",
        )
        self._value = text(
            *canvas.at(left + width, top + 14),
            "",
            fontsize=FONT_TITLE,
            color=INK,
            va="center",
            ha="right",
            animated=True,
        )
        beside = title.get_window_extent(canvas.renderer).x1
        text(
            *canvas.at(beside + 10, top + 15),
            f"{plain(rates.name, 32)}; {self._legend()}",
            fontsize=FONT,
            color=MUTED,
            va="center",
            parse_math=False,
        )
        self._set_range(to_milliseconds(start), to_milliseconds(end))
        add_second_scale(self._axes, TONNES_PER_DAY_PER_KG_PER_S, "[t d⁻¹]")
        dense = self._medians is not None
        thickness, alpha = (0.6, 0.35) if dense else (1.5, 1.0)
        (self._curve,) = self._axes.plot([], [], color=self._colour, linewidth=thickness, alpha=alpha, animated=True)
        (self._bold,) = self._axes.plot([], [], color=self._colour, linewidth=1.8, animated=True)
        (self._dot,) = self._axes.plot([], [], "o", color=self._colour, markersize=5, mec="white", animated=True)
        self._now = self._axes.axvline(0, color=MUTED, linewidth=0.8, animated=True)
        self._band: Artist | None = None

    def _legend(self) -> str:
        if self._medians is None:
            return "band: random 1 σ"
        return f"bold: medians of {with_digits(np.diff(self._medians[0])[0] / 1000, 2)} s"

    def _set_range(self, start: int, end: int) -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        axes = self._axes
        room = max(0.01 * (end - start), 500)
        axes.set_xlim((start - room) / _MS_PER_DAY, (end + room) / _MS_PER_DAY)
        locator: Any = AutoDateLocator(minticks=3, maxticks=8, tz=UTC)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC, show_offset=False))  # type: ignore[no-untyped-call]
        finite = np.concatenate((self._low[np.isfinite(self._low)], self._high[np.isfinite(self._high)], [0.0]))
        low, high = float(finite.min()), float(finite.max())
        span = max(high - low, 1e-6)
        axes.set_ylim(low - (0.05 * span if low < 0 else 0), high + 0.08 * span)

    def show(self, time: datetime) -> "tuple[Artist, ...]":
        """Return what is to be drawn at ``time``: the curve up to then, its end, and the value in words."""
        now = to_milliseconds(time)
        count = int(np.searchsorted(self._ms, now, side="right"))
        x, rate, low, high = self._broken(count)
        self._curve.set_data(x, rate)
        self._now.set_xdata([now / _MS_PER_DAY] * 2)
        if self._band is not None:
            self._band.remove()
        if self._medians is not None:
            # A band around thousands of rates would hide them; medians are drawn once their interval is over.
            ends, medians = self._medians
            over = int(np.searchsorted(ends[1:], now, side="right"))
            self._bold.set_data((ends[:over] + ends[1 : over + 1]) / (2 * _MS_PER_DAY), medians[:over])
            low = high = np.full(x.shape, np.nan)
        self._band = self._axes.fill_between(x, low, high, color=self._colour, alpha=0.2, linewidth=0, animated=True)
        known = count > 0 and self._ms[count - 1] == now and bool(np.isfinite(self._rate[count - 1]))
        if known:
            self._dot.set_data([now / _MS_PER_DAY], [self._rate[count - 1]])
            self._value.set_text(_in_words(float(self._rate[count - 1]), float(self._sigma[count - 1])))
        else:
            self._dot.set_data([], [])
            self._value.set_text("no value")
        self._value.set_color(INK if known else MUTED)
        return self._band, self._now, self._curve, self._bold, self._dot, self._value

    def _broken(self, count: int) -> tuple[FloatArray, ...]:
        """Return days, rates and both sides of the band of the first ``count``, with NaN where a gap is."""
        days = self._ms[:count] / _MS_PER_DAY
        columns = (self._rate[:count], self._low[:count], self._high[:count])
        steps = np.diff(self._ms)
        if count < 2 or not steps.size:
            return days, *columns
        gaps = np.flatnonzero(steps[: count - 1] > _LARGEST_GAP * np.median(steps)) + 1
        middle = (days[gaps - 1] + days[gaps]) / 2
        return np.insert(days, gaps, middle), *(np.insert(column, gaps, np.nan) for column in columns)


def interval_medians(ms: IntArray, rate: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the ends (n + 1) of equal intervals [ms] and the median rate of each (n), NaN where fewer than half count.

    ``ms`` increases.
    """
    ends = np.linspace(float(ms[0]), float(ms[-1]), _INTERVALS + 1)
    medians = np.full(_INTERVALS, np.nan)
    bounds = np.searchsorted(ms, ends)
    bounds[-1] = ms.size
    for index, (first, last) in enumerate(pairwise(bounds)):
        values = rate[first:last]
        finite = values[np.isfinite(values)]
        if finite.size and 2 * finite.size >= values.size:
            medians[index] = np.median(finite)
    return ends, medians


def _in_words(rate: float, sigma: float) -> str:
    """Return a rate and its 1 sigma [kg s-1] with two digits of the latter."""
    if not (np.isfinite(sigma) and sigma > 0):
        return f"{with_digits(rate)} kg s⁻¹"
    digits = min(max(0, 1 - int(np.floor(np.log10(sigma)))), 4)
    return f"{rate:.{digits}f} ± {sigma:.{digits}f} kg s⁻¹".replace("-", "−")
