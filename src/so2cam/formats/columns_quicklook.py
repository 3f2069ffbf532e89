"""The quicklook of SO2 columns: one page that shows a run of spectra at a glance."""

import math
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.errors import OutputError
from so2cam.core.spectra import FIT_STATUS_TEXT, ColumnSeries, ExampleFit
from so2cam.formats.column_panels import (
    FIT_COLOURS,
    SO2_COLOUR,
    count_failed,
    draw_fit,
    draw_map,
    draw_parameter,
    draw_so2,
    draw_status,
    find_parameters,
    has_track,
    is_valid,
    write_status_key,
)
from so2cam.formats.quicklook.style import (
    ALERT,
    DPI,
    FONT,
    FONT_SMALL,
    FONT_TITLE,
    INK,
    MUTED,
    POINTS_PER_PIXEL,
    RULE,
    SIZE_IN,
    leave_empty,
)
from so2cam.formats.quicklook.times import INTERVALS, SECONDS_PER_DAY, TimeAxis, format_times
from so2cam.formats.quicklook.values import median_of, power_of_ten, with_digits
from so2cam.formats.quicklook.words import Item, Writer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

MAXIMUM_EXAMPLES: Final = 2


def write_columns_quicklook(
    path: Path,
    series: ColumnSeries,
    *,
    site_name: str,
    examples: Sequence[ExampleFit],
    summary: Sequence[tuple[str, str]],
) -> None:
    """Write the page to ``path`` as PNG, whatever the path's suffix.

    ``examples`` are up to two fits, as a rule the best and the worst; ``summary`` are pairs of a label and a value.
    What is missing is said on the page. Raises OutputError where the file cannot be written.
    """
    figure = draw_columns_quicklook(series, site_name=site_name, examples=examples, summary=summary)
    try:
        figure.savefig(path, format="png", dpi=DPI, metadata={"Title": f"so2cam quicklook of columns, {site_name}"})
    except OSError as error:
        raise OutputError(f"the quicklook cannot be written: {error}", file=path) from error


def draw_columns_quicklook(
    series: ColumnSeries,
    *,
    site_name: str,
    examples: Sequence[ExampleFit],
    summary: Sequence[tuple[str, str]],
) -> "Figure":
    """Return the page as a figure; the arguments are those of ``write_columns_quicklook``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(
        rect=(0.008, 0.006, 0.984, 0.984), w_pad=0.05, h_pad=0.04, wspace=0.02, hspace=0.015
    )
    figure = Figure(figsize=SIZE_IN, dpi=DPI, layout=layout, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    parameters = find_parameters(series)
    fits = examples[:MAXIMUM_EXAMPLES]
    track = has_track(series)
    grid = GridSpec(3, 3, figure=figure, width_ratios=(7.0, 5.3, 3.7), height_ratios=(0.78, 7.3, 0.12))
    left = GridSpecFromSubplotSpec(
        2 + len(parameters),
        1,
        subplot_spec=grid[1, 0],
        height_ratios=(2.9, 0.22, *(4.1 / len(parameters) for _ in parameters)),
    )
    header = figure.add_subplot(grid[0, :])
    so2 = figure.add_subplot(left[0])
    status = figure.add_subplot(left[1], sharex=so2)
    lower = [figure.add_subplot(left[2 + number], sharex=so2) for number in range(len(parameters))]
    right = GridSpecFromSubplotSpec(2, 1, subplot_spec=grid[1, 2], height_ratios=(1, 1))
    words = figure.add_subplot(right[0] if track else right[:])
    footer = figure.add_subplot(grid[2, :])

    axis = TimeAxis.of(series.times)
    draw_so2(so2, series, axis)
    draw_status(status, series, axis)
    for panel, parameter in zip(lower, parameters, strict=True):
        draw_parameter(panel, parameter, axis)
    format_times((so2, status, *lower), axis)
    if axis.x.size:
        low, high = axis.limits
        so2.set_xlim(low - 0.01 * (high - low), high + 0.01 * (high - low))
    _draw_fits(figure, grid[1, 1], fits)
    if track:
        draw_map(figure.add_subplot(right[1]), series)
    for panel in (header, words, footer):
        panel.set_axis_off()

    # Words are set last, into the room that the layout leaves: they must not move the panels.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    figure.align_ylabels([so2, *lower])
    _write_header(canvas, header, words, series, site_name)
    _write_summary(canvas, words, series, summary)
    write_status_key(canvas, status, series)
    _write_footer(canvas, footer, axis)
    return figure


def _draw_fits(figure: "Figure", place: "SubplotSpec", fits: Sequence[ExampleFit]) -> None:
    """Draw the single fits one below the other, each with its residual."""
    from matplotlib.gridspec import GridSpecFromSubplotSpec

    if not fits:
        leave_empty(figure.add_subplot(place), "no fit to show")
        return
    ratios = [part for _ in fits for part in (2.4, 1.2)]
    rows = GridSpecFromSubplotSpec(len(ratios), 1, subplot_spec=place, height_ratios=ratios)
    for number, example in enumerate(fits):
        top = figure.add_subplot(rows[2 * number])
        draw_fit(top, figure.add_subplot(rows[2 * number + 1], sharex=top), example)


def _write_header(canvas: "FigureCanvasAgg", axes: "Axes", below: "Axes", series: ColumnSeries, site_name: str) -> None:
    """Write whose spectra they are at the left, and what came out of them at the right."""
    valid = is_valid(series)
    count = int(np.count_nonzero(np.isfinite(valid)))
    results = [("largest SO₂ column", float(np.nanmax(valid)) if count else math.nan)]
    results.append(("median SO₂ column", median_of(valid)))
    block = 172.0
    first = (below.get_window_extent().x0 - axes.get_window_extent().x0) * POINTS_PER_PIXEL - len(results) * block
    title = Writer(canvas, axes)
    title.width = first - 20
    title.paragraph(site_name, INK, 22, weight="bold")
    title.y += 2
    title.paragraph(f"SO₂ columns from spectra  ·  {_period(series)}", MUTED, 11)
    for number, (label, value) in enumerate(results):
        headline, colour, detail = "no valid value", ALERT, "no fit is valid"
        if count:
            ppm_m = with_digits(value / MOLEC_CM2_PER_PPM_M)
            headline, colour, detail = _molec(value), INK, f"molec cm⁻²  ·  {ppm_m} ppm m"
        _write_result(Writer(canvas, axes, inset=first + number * block), block, label, headline, detail, colour)
    last = Writer(canvas, axes, inset=first + len(results) * block)
    share = f"{count / valid.size:.0%} of {_grouped(valid.size)} spectra" if valid.size else "no spectra"
    _write_result(last, block, "valid fits", _grouped(count), share, INK if count else ALERT)
    axes.axhline(0.0, color=RULE, linewidth=1.0, clip_on=False)
    axes.set_ylim(0, 1)


def _write_result(writer: Writer, block: float, label: str, headline: str, detail: str, colour: str) -> None:
    writer.width = block - 14
    writer.y = 1.0
    writer.paragraph(label, SO2_COLOUR, FONT, weight="bold")
    writer.paragraph(headline, colour, 15, weight="bold")
    writer.paragraph(detail, MUTED, FONT_SMALL)


def _molec(value: float) -> str:
    """Return ``value`` with three digits and a power of ten."""
    word, factor = power_of_ten(abs(value))
    return f"{with_digits(value / factor)} × {word}" if value else "0"


def _grouped(count: int) -> str:
    return f"{count:,}".replace(",", "\u202f")


def _period(series: ColumnSeries) -> str:
    """Return when the spectra were taken, and how many they are."""
    if not series.times:
        return "no spectra"
    first, last = min(series.times).astimezone(UTC), max(series.times).astimezone(UTC)
    spectra = f"{_grouped(len(series.times))} spectr{'a' if len(series.times) > 1 else 'um'}"
    if first == last:
        return f"{first:%Y-%m-%d %H:%M:%S} UTC  ·  {spectra}"
    end = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    return f"{first:%Y-%m-%d %H:%M:%S} to {end} UTC  ·  {spectra}"


def _write_summary(
    canvas: "FigureCanvasAgg", axes: "Axes", series: ColumnSeries, summary: Sequence[tuple[str, str]]
) -> None:
    """Write the summary as a table, and why spectra have no column."""
    writer = Writer(canvas, axes)
    failed: list[Item] = [
        (FIT_COLOURS[status], count, FIT_STATUS_TEXT[status]) for status, count in count_failed(series)
    ]
    writer.y = 3.0
    writer.paragraph("Summary", INK, FONT_TITLE, weight="bold")
    writer.y += 4
    room = writer.height - writer.y - 30 - writer.height_of(failed, len(failed))
    writer.table(writer.wrap_table(summary, room), room)
    writer.y += 9
    count = sum(item[1] for item in failed)
    writer.paragraph(
        f"Spectra without a column: {_grouped(count)} of {_grouped(series.status.size)}", INK, FONT, weight="bold"
    )
    writer.y += 2
    writer.items(failed, len(failed))


def _write_footer(canvas: "FigureCanvasAgg", axes: "Axes", axis: TimeAxis) -> None:
    """Write how the page is to be read."""
    text = (
        f"All uncertainties are 1 sigma. Bands: random part. 1 ppm m = {MOLEC_CM2_PER_PPM_M / 1e15:.4f} · 10¹⁵ molec "
        "cm⁻² (20 °C, 1 atm). Curves break where values are missing; the strip says why."
    )
    if axis.dense:
        low, high = axis.limits
        minutes = (high - low) * SECONDS_PER_DAY / 60 / INTERVALS
        text += f" Faint: spectra; strong: medians of {with_digits(minutes, 2)} min."
    Writer(canvas, axes).paragraph(text, MUTED, FONT_SMALL)
