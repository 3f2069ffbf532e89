"""The left side of the quicklook: total emission rate, where and why it is missing, plume speed, column amounts."""

import math
from typing import TYPE_CHECKING

import numpy as np

from so2cam.core.constants import TONNES_PER_DAY_PER_KG_PER_S
from so2cam.core.records import FloatArray
from so2cam.core.results import EmissionSeries
from so2cam.core.status import STATUS_TEXT, EmissionStatus
from so2cam.formats.quicklook.curves import Curves
from so2cam.formats.quicklook.style import (
    ALERT,
    FONT,
    FONT_SMALL,
    LINE_COLOURS,
    LINE_STYLES,
    METHOD_COLOURS,
    MUTED,
    POINTS_PER_PIXEL,
    ROW,
    STATUS_COLOURS,
    VALID,
    add_legend,
    add_line_legend,
    add_note,
    add_second_scale,
    handle,
    method_name,
    nth,
    plain,
    set_labels,
    set_style,
    set_title,
    title_rows,
)
from so2cam.formats.quicklook.times import INTERVALS, TimeAxis
from so2cam.formats.quicklook.values import IntStatus, count_missing, mean_of, median_of, with_digits
from so2cam.formats.quicklook.words import Writer, wrap_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg


# --- emission rate -----------------------------------------------------------------------------------------------


def draw_rate(axes: "Axes", series: EmissionSeries, axis: TimeAxis, reasons: IntStatus) -> None:
    """Draw the total for each method, thin curves of its lines, and its mean with the systematic part at the right."""
    set_style(axes)
    set_title(axes, "SO₂ emission rate, total", rows=title_rows(series))
    set_labels(axes, y="emission rate [kg s⁻¹]")
    curves = Curves(axes, axis)
    several = len(series.lines) > 1
    for m in range(len(series.speed_methods)):
        colour = nth(METHOD_COLOURS, m)
        for i in range(len(series.lines) if several else 0):
            line = series.emission_rate_kg_s[:, i, m]
            curves.add(line, None, colour, style=nth(LINE_STYLES, i), width=0.8, alpha=0.55)
        curves.add(series.total_emission_rate_kg_s[:, m], series.total_random_uncertainty_kg_s[:, m], colour, width=1.8)
        mean, systematic = _mean_and_systematic(series, m)
        curves.include(np.array([mean]), np.array([systematic]))
    curves.set_limits()
    methods = [
        handle(_rate_label(series, m), nth(METHOD_COLOURS, m), width=2.2) for m in range(len(series.speed_methods))
    ]
    add_legend(axes, methods, "left", columns=1)
    if several:
        lines = [
            handle(f"line {plain(name)}", MUTED, width=1.0, style=style)
            for name, style in zip(series.lines, LINE_STYLES, strict=False)
        ]
        add_legend(axes, lines, "right", rise=ROW * title_rows(series))
    add_second_scale(axes, TONNES_PER_DAY_PER_KG_PER_S, "emission rate [t d⁻¹]")
    if axis.x.size == 0:
        add_note(axes, "This run has no image pairs.", colour=ALERT, size=13)
        return
    if not np.isfinite(series.total_emission_rate_kg_s).any():
        add_note(axes, _why_empty(reasons), colour=ALERT, size=13)
    _draw_means(axes, series, axis)


def _draw_means(axes: "Axes", series: EmissionSeries, axis: TimeAxis) -> None:
    from matplotlib.transforms import blended_transform_factory

    end = axis.limits[1]
    axes.axvspan(end, end + 1e3, color="#f3f3f3", linewidth=0, zorder=0)
    place = blended_transform_factory(axes.transAxes, axes.transData)
    count = len(series.speed_methods)
    for m in range(count):
        x = 0.972 + 0.014 * (m - (count - 1) / 2)
        colour = nth(METHOD_COLOURS, m)
        mean, systematic = _mean_and_systematic(series, m)
        if math.isfinite(systematic):
            ends = [mean - systematic, mean + systematic]
            axes.plot([x, x], ends, transform=place, color=colour, linewidth=2, alpha=0.55)
        axes.plot([x], [mean], transform=place, color=colour, marker="o", markersize=5, markeredgecolor="white")


def _mean_and_systematic(series: EmissionSeries, m: int) -> tuple[float, float]:
    """Return a method's mean total and the typical systematic part of its uncertainty."""
    systematic = series.total_systematic_uncertainty_kg_s[:, m]
    return mean_of(series.total_emission_rate_kg_s[:, m]), median_of(systematic)


def _rate_label(series: EmissionSeries, m: int) -> str:
    name = method_name(series.speed_methods[m])
    mean, systematic = _mean_and_systematic(series, m)
    if not math.isfinite(mean):
        return f"{name}: no valid value"
    median = median_of(series.total_emission_rate_kg_s[:, m])
    random = median_of(series.total_random_uncertainty_kg_s[:, m])
    return (
        f"{name}: mean {with_digits(mean)}, median {with_digits(median)} kg s⁻¹;  "
        f"± {with_digits(random, 2)} random, ± {with_digits(systematic, 2)} systematic"
    )


def _why_empty(reasons: IntStatus) -> str:
    lines = ["No valid emission rate in this run"]
    for status, count in count_missing(reasons)[:1]:
        lines += wrap_text(f"{count} of {reasons.size} totals: {STATUS_TEXT[status]}", 52, len, 3)
    return "\n".join(lines)


# --- the strip: why totals are missing ---------------------------------------------------------------------------


def draw_strip(axes: "Axes", series: EmissionSeries, axis: TimeAxis, reasons: IntStatus) -> None:
    """Draw one row for each method: pale where the total is valid, the reason's colour where it is missing."""
    from matplotlib.collections import PolyCollection

    axes.spines[:].set_visible(False)
    count = len(series.speed_methods)
    axes.set_ylim(max(count, 1), 0)
    axes.tick_params(axis="both", length=0, labelsize=FONT_SMALL)
    axes.set_xlabel(" ", fontsize=FONT, labelpad=13)  # room for the key and the image's colour scale
    if axis.x.size == 0:
        axes.set_yticks([])
        return
    axes.set_yticks([m + 0.5 for m in range(count)], [method_name(name) for name in series.speed_methods])
    for m, label in enumerate(axes.get_yticklabels()):
        label.set_parse_math(False)
        label.set_color(nth(METHOD_COLOURS, m))
    for m in range(count):
        left, widths, shares = _strip_cells(axis, axis.sorted(reasons[:, m]))
        top = np.full(left.size, m + 0.12)
        for status, share in shares.items():
            bottom = top + 0.76 * share
            right = left + widths
            corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
            cells = np.moveaxis(corners, 2, 0)[share > 0]
            colour = VALID if status == EmissionStatus.OK else STATUS_COLOURS[status]
            axes.add_collection(PolyCollection(list(cells), facecolors=colour, linewidths=0, antialiaseds=False))
            top = bottom


def _strip_cells(axis: TimeAxis, reasons: IntStatus) -> tuple[FloatArray, FloatArray, dict[EmissionStatus, FloatArray]]:
    """Return left edges, widths, and of each status its share: a cell for each pair or, of many, for each interval."""
    left, widths = axis.cells()
    cell = np.arange(axis.x.size)
    if axis.dense:
        edges = axis.interval_edges
        cell = np.clip(np.searchsorted(edges, axis.x, side="right") - 1, 0, INTERVALS - 1)
        left, widths = edges[:-1], np.diff(edges)
    number = np.maximum(np.bincount(cell, minlength=left.size), 1)
    shares = {
        EmissionStatus(status): np.bincount(cell[reasons == status], minlength=left.size) / number
        for status in np.unique(reasons).tolist()
    }
    return left, widths, shares


def write_strip_key(canvas: "FigureCanvasAgg", axes: "Axes", right: "Axes", reasons: IntStatus) -> None:
    """Name the colours of the strip below it, the most frequent first, as many as fit left of the panel ``right``."""
    if reasons.size == 0:
        return
    writer = Writer(canvas, axes)
    writer.y = writer.height + 3.5
    writer.width = (right.get_window_extent().x0 - axes.get_window_extent().x0) * POINTS_PER_PIXEL - 8
    valid = np.count_nonzero(reasons == EmissionStatus.OK)
    missing = [
        (STATUS_COLOURS[status], f"{status.name.lower().replace('_', ' ')} ({count})")
        for status, count in count_missing(reasons)
    ]
    writer.key([(VALID, f"valid ({valid})"), *missing])


# --- speed and column amount -------------------------------------------------------------------------------------


def draw_speed(axes: "Axes", series: EmissionSeries, axis: TimeAxis) -> None:
    """Draw the plume speed of every method at every line."""
    set_style(axes)
    set_title(axes, "Plume speed")
    set_labels(axes, y="speed [m s⁻¹]")
    curves = Curves(axes, axis)
    several = len(series.lines) > 1
    for m in range(len(series.speed_methods)):
        for i in range(len(series.lines)):
            curves.add(
                series.plume_speed_m_s[:, i, m],
                series.plume_speed_uncertainty_m_s[:, i, m],
                nth(METHOD_COLOURS, m),
                style=nth(LINE_STYLES, i),
                band=0.13 if several else 0.20,
            )
    curves.set_limits()
    handles = [
        handle(method_name(name), colour) for name, colour in zip(series.speed_methods, METHOD_COLOURS, strict=False)
    ]
    if several:
        handles += [
            handle(plain(name), MUTED, width=1.2, style=style)
            for name, style in zip(series.lines, LINE_STYLES, strict=False)
        ]
    add_legend(axes, handles, "right")
    if curves.empty:
        axes.set_yticks([])
        add_note(axes, "no valid plume speed")


def draw_amount(axes: "Axes", series: EmissionSeries, axis: TimeAxis) -> None:
    """Draw the column amount of every line."""
    set_style(axes)
    set_title(axes, "Integrated column amount")
    set_labels(axes, y="amount [kg m⁻¹]")
    curves = Curves(axes, axis)
    colours = {name: nth(LINE_COLOURS, i) for i, name in enumerate(series.lines)}
    for i, colour in enumerate(colours.values()):
        sigma = series.integrated_column_amount_uncertainty_kg_m[:, i]
        curves.add(series.integrated_column_amount_kg_m[:, i], sigma, colour)
    curves.set_limits()
    add_line_legend(axes, colours)
    if curves.empty:
        axes.set_yticks([])
        add_note(axes, "no valid column amount")
