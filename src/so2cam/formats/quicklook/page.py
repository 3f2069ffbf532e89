"""The page of the quicklook: its panels in their places, its header and its footer."""

from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from so2cam.core.constants import TONNES_PER_DAY_PER_KG_PER_S
from so2cam.core.errors import OutputError
from so2cam.core.results import CalibrationSummary, EmissionSeries, ExampleImage
from so2cam.formats.quicklook.calibration import draw_calibration, write_calibration
from so2cam.formats.quicklook.image import draw_image, draw_profiles
from so2cam.formats.quicklook.series import draw_amount, draw_rate, draw_speed, draw_strip, write_strip_key
from so2cam.formats.quicklook.style import (
    ALERT,
    DPI,
    FONT,
    FONT_SMALL,
    INK,
    METHOD_COLOURS,
    MUTED,
    POINTS_PER_PIXEL,
    RULE,
    SIZE_IN,
    nth,
    shorten_legends,
)
from so2cam.formats.quicklook.times import INTERVALS, SECONDS_PER_DAY, TimeAxis, format_times
from so2cam.formats.quicklook.values import mean_of, total_reasons, with_digits
from so2cam.formats.quicklook.words import Writer, write_summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure


def write_quicklook(
    path: Path,
    series: EmissionSeries,
    *,
    site_name: str,
    volcano: str,
    example: ExampleImage | None,
    calibration: CalibrationSummary | None,
    summary: Sequence[tuple[str, str]],
) -> None:
    """Write the page to ``path`` as PNG, whatever the path's suffix.

    ``summary`` are pairs of a label and a value for the text panel. What is missing is said on the page: a series
    without pairs or valid values, no example image, no calibration. Raises OutputError where the file cannot be
    written.
    """
    figure = draw_quicklook(
        series, site_name=site_name, volcano=volcano, example=example, calibration=calibration, summary=summary
    )
    try:
        figure.savefig(path, format="png", dpi=DPI, metadata={"Title": f"so2cam quicklook, {site_name}"})
    except OSError as error:
        raise OutputError(f"the quicklook cannot be written: {error}", file=path) from error


def draw_quicklook(
    series: EmissionSeries,
    *,
    site_name: str,
    volcano: str,
    example: ExampleImage | None,
    calibration: CalibrationSummary | None,
    summary: Sequence[tuple[str, str]],
) -> "Figure":
    """Return the page as a figure; the arguments are those of ``write_quicklook``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(
        rect=(0.008, 0.006, 0.984, 0.984), w_pad=0.05, h_pad=0.04, wspace=0.02, hspace=0.015
    )
    figure = Figure(figsize=SIZE_IN, dpi=DPI, layout=layout, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    methods = max(len(series.speed_methods), 1)
    grid = GridSpec(
        6,
        3,
        figure=figure,
        width_ratios=(6.95, 5.35, 3.7),
        height_ratios=(0.78, 3.65, 0.15 * min(methods, 6), 1.7, 1.7, 0.12),
    )
    header = figure.add_subplot(grid[0, :])
    rate = figure.add_subplot(grid[1, 0])
    strip = figure.add_subplot(grid[2, 0], sharex=rate)
    speed = figure.add_subplot(grid[3, 0], sharex=rate)
    amount = figure.add_subplot(grid[4, 0], sharex=rate)
    image = figure.add_subplot(grid[1, 1])
    scale = figure.add_subplot(grid[2, 1])
    profile = figure.add_subplot(grid[3:5, 1])
    words = figure.add_subplot(grid[1:3, 2])
    cells = figure.add_subplot(grid[3:5, 2])
    footer = figure.add_subplot(grid[5, :])

    axis = TimeAxis.of(series.times)
    reasons = total_reasons(series)
    draw_rate(rate, series, axis, reasons)
    draw_strip(strip, series, axis, reasons)
    draw_speed(speed, series, axis)
    draw_amount(amount, series, axis)
    format_times((rate, strip, speed, amount), axis)
    draw_image(image, scale, example, series)
    draw_profiles(profile, example, series.lines)
    draw_calibration(cells, calibration)
    for panel in (header, words, footer):
        panel.set_axis_off()

    # Words are set last, into the room that the layout leaves: they must not move the panels.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for panel in (rate, speed, amount, profile, cells):
        shorten_legends(panel)
    _write_header(canvas, header, words, series, volcano, site_name)
    write_summary(canvas, words, series, reasons, summary)
    write_strip_key(canvas, strip, image, reasons)
    write_calibration(canvas, cells, calibration)
    _write_footer(canvas, footer, axis)
    return figure


def _write_header(
    canvas: "FigureCanvasAgg", axes: "Axes", below: "Axes", series: EmissionSeries, volcano: str, site_name: str
) -> None:
    """Write whose run it is at the left, and what came out of it at the right, in line with the panel ``below``."""
    count = min(len(series.speed_methods), 3)
    block = 172.0
    first = (below.get_window_extent().x0 - axes.get_window_extent().x0) * POINTS_PER_PIXEL - (count - 1) * block
    title = Writer(canvas, axes)
    title.width = first - 20
    title.paragraph(volcano, INK, 22, weight="bold")
    title.y += 2
    title.paragraph(f"{site_name}  ·  {_period(series)}", MUTED, 11)
    for m in range(count):
        result = Writer(canvas, axes, inset=first + m * block)
        result.width = block - 14
        _write_result(result, series, m)
    axes.axhline(0.0, color=RULE, linewidth=1.0, clip_on=False)
    axes.set_ylim(0, 1)


def _period(series: EmissionSeries) -> str:
    """Return when the pairs were taken, and how many they are."""
    if not series.times:
        return "no image pairs"
    first, last = min(series.times).astimezone(UTC), max(series.times).astimezone(UTC)
    pairs = f"{len(series.times):,} image pair{'s' if len(series.times) > 1 else ''}".replace(",", "\u202f")
    if first == last:
        return f"{first:%Y-%m-%d %H:%M:%S} UTC  ·  {pairs}"
    end = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    return f"{first:%Y-%m-%d %H:%M:%S} to {end} UTC  ·  {pairs}"


def _write_result(writer: Writer, series: EmissionSeries, m: int) -> None:
    """Write a method's mean as a headline, and of how many pairs it is."""
    value = series.total_emission_rate_kg_s[:, m]
    mean, valid = mean_of(value), np.count_nonzero(np.isfinite(value))
    writer.y = 1.0
    name = series.speed_methods[m].replace("_", " ")
    writer.paragraph(f"mean, {name}", nth(METHOD_COLOURS, m), FONT, weight="bold")
    share = f"{valid} of {value.size} pairs valid"
    if valid:
        writer.paragraph(f"{with_digits(mean)} kg s⁻¹", INK, 15, weight="bold")
        share = f"{with_digits(mean * TONNES_PER_DAY_PER_KG_PER_S)} t d⁻¹  ·  {share}"
    else:
        writer.paragraph("no valid value", ALERT, 15, weight="bold")
    writer.paragraph(share, MUTED, FONT_SMALL)


def _write_footer(canvas: "FigureCanvasAgg", axes: "Axes", axis: TimeAxis) -> None:
    """Write how the page is to be read."""
    text = (
        "All uncertainties are 1 sigma. Bands: random part. Dots with whiskers right of the emission rate: mean and "
        "typical systematic part. Curves break where values are missing; the strip below says why."
    )
    if axis.dense:
        low, high = axis.limits
        minutes = (high - low) * SECONDS_PER_DAY / 60 / INTERVALS
        text += f" Faint: pairs; strong: medians of {with_digits(minutes, 2)} min."
    Writer(canvas, axes).paragraph(text, MUTED, FONT_SMALL)
