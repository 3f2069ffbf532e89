"""The pictures of the public page: the emission rate of the last 24 hours, and the latest image. PNG as bytes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import cv2
import numpy as np

from so2cam.core.constants import TONNES_PER_DAY_PER_KG_PER_S
from so2cam.core.records import FloatArray
from so2cam.core.times import require_utc, to_unix_s
from so2cam.formats.images.canvas import Canvas, Labels, Moment
from so2cam.formats.images.colours import CodeCounts, colour_scale
from so2cam.formats.images.packing import LAYERS, pack
from so2cam.formats.images.record import ImageRecord
from so2cam.formats.quicklook.style import FONT, INK, METHOD_COLOURS, MUTED, RULE, set_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DAY: Final = timedelta(hours=24)
_SIZE: Final = (960, 330)
_DPI: Final = 100
_BINS: Final = 288
"""Medians of five minutes stand for the pairs, which are thousands."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG file, and its (width, height) in pixels."""

    data: bytes
    size: tuple[int, int]


def draw_image(record: ImageRecord, *, site: str, metres_per_pixel: float | None = None) -> Picture:
    """Return a picture of a pair: columns where there are any, otherwise the apparent absorbance, with the lines."""
    columns = record.column_molec_cm2
    with_columns = columns is not None and bool(np.isfinite(columns).any())
    layer, image = (LAYERS[1], columns) if with_columns and columns is not None else (LAYERS[0], record.absorbance)
    codes, _ = pack(image, layer)
    counts = CodeCounts(layer)
    counts.add(codes)
    canvas = Canvas(
        record.absorbance.shape,
        colour_scale(layer, counts.limits()),
        Labels(site, metres_per_pixel),
        typical_speed=float("nan"),
    )
    pixels = canvas.draw(Moment(record.time, codes, record.lines))
    whole, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGR))
    if not whole:
        raise OSError("the picture cannot be encoded")
    return Picture(encoded.tobytes(), (canvas.width, canvas.height))


def draw_last_day(
    times: Sequence[datetime],
    rates_kg_s: FloatArray,
    uncertainties_kg_s: FloatArray,
    *,
    now: datetime,
    unit: Literal["kg/s", "t/d"] = "kg/s",
) -> Picture:
    """Return a plot of the 24 hours before ``now``: medians of five minutes, and the median of their 1 sigma as a band.

    Arrays of shape (T,), NaN where there is no rate. Where nothing is known in the time, the plot says so.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    end = require_utc(now)
    start = end - DAY
    factor = 1.0 if unit == "kg/s" else TONNES_PER_DAY_PER_KG_PER_S
    figure = Figure(figsize=(_SIZE[0] / _DPI, _SIZE[1] / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.055, 0.13, 0.915, 0.77))
    set_style(axes)
    seconds = np.array([to_unix_s(time) for time in times], np.float64)
    edges = np.linspace(to_unix_s(start), to_unix_s(end), _BINS + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    rate = factor * binned_median(seconds, np.asarray(rates_kg_s, np.float64), edges)
    sigma = factor * binned_median(seconds, np.asarray(uncertainties_kg_s, np.float64), edges)
    days = middle / 86_400
    colour = METHOD_COLOURS[0]
    known = np.isfinite(rate)
    band = np.where(np.isfinite(sigma), sigma, 0.0)
    axes.fill_between(days, rate - band, rate + band, where=known, color=colour, alpha=0.2, linewidth=0)
    axes.plot(days, rate, color=colour, linewidth=1.8, solid_capstyle="round")
    alone = known & ~np.r_[False, known[:-1]] & ~np.r_[known[1:], False]
    axes.plot(days[alone], rate[alone], ".", color=colour, markersize=5)
    _set_axes(axes, start, end, rate, band, unit)
    if not known.any():
        axes.text(
            0.5,
            0.5,
            "no emission rates in these 24 hours",
            transform=axes.transAxes,
            ha="center",
            color=MUTED,
            fontsize=11,
        )

    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": "so2cam"})
    return Picture(stream.getvalue(), _SIZE)


def binned_median(x: FloatArray, values: FloatArray, edges: FloatArray) -> FloatArray:
    """Return the median of the finite ``values`` in each bin of ``edges`` (N + 1,), NaN where there are none, (N,)."""
    known = np.isfinite(values)
    number = np.searchsorted(edges, x[known], side="right") - 1
    found = np.full(edges.size - 1, np.nan)
    for index in np.unique(number[(number >= 0) & (number < edges.size - 1)]):
        found[index] = np.median(values[known][number == index])
    return found


def _set_axes(
    axes: "Axes", start: datetime, end: datetime, rate: FloatArray, band: FloatArray, unit: Literal["kg/s", "t/d"]
) -> None:
    from matplotlib.dates import DateFormatter, HourLocator, date2num

    low, high = (float(date2num(time)) for time in (start, end))  # type: ignore[no-untyped-call]
    axes.set_xlim(low, high)
    locator: Any = HourLocator(byhour=range(0, 24, 3), tz=UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M", tz=UTC))  # type: ignore[no-untyped-call]
    finite = np.concatenate(((rate + band)[np.isfinite(rate)], (rate - band)[np.isfinite(rate)], [0.0]))
    top, bottom = float(finite.max()), float(finite.min())
    span = max(top - bottom, 1e-3)
    axes.set_ylim(bottom - (0.05 * span if bottom < 0 else 0.0), top + 0.1 * span)
    if bottom < 0:
        axes.axhline(0, color=RULE, linewidth=1)
    shown = "kg s⁻¹" if unit == "kg/s" else "t d⁻¹"
    axes.set_title(f"SO₂ emission rate [{shown}]", loc="left", fontsize=FONT + 1.5, fontweight="bold", color=INK)
    span_words = f"{start:%d %b} to {end:%d %b %Y}, UTC; medians of 5 minutes, band: 1 σ"
    axes.set_title(span_words, loc="right", fontsize=FONT, color=MUTED)
