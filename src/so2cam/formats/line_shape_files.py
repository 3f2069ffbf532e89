"""The files of a measured line shape: a table that site files can name, and a page that shows it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from so2cam.core.errors import OutputError
from so2cam.core.records import FloatArray
from so2cam.formats.quicklook.style import (
    DPI,
    FONT,
    FONT_SMALL,
    FONT_TITLE,
    INK,
    METHOD_COLOURS,
    MUTED,
    RULE,
    SIZE_IN,
    add_legend,
    handle,
    plain,
    set_labels,
    set_style,
    set_title,
)
from so2cam.formats.quicklook.words import Writer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

FIT_COLOUR: Final = METHOD_COLOURS[1]
CHOSEN_COLOUR: Final = METHOD_COLOURS[0]
MARK_COLOUR: Final = "#c8c8c8"

Measured = tuple[float, float]
"""A value and its 1 sigma."""


@dataclass(frozen=True, slots=True)
class LampLineMark:
    """A line seen in the lamp's spectrum; ``chosen`` is the one that gave the shape."""

    name: str
    found_nm: float
    chosen: bool


@dataclass(frozen=True, slots=True)
class LineShapeRecord:
    """A measured line shape and what it was made from. Pairs are a value and its 1 sigma.

    ``offsets_nm`` and ``response`` (n,) are the table: offsets from the line's centroid, which is in their middle, and
    the response, area 1 [nm-1]; ``residual`` (n,) is what the fitted shape leaves of it, relative to the fit's top.
    ``curve_offsets_nm`` and ``curve`` (c,) are the fitted shape on a fine grid, in the table's unit. ``spectrum_nm``
    and ``spectrum_counts`` (N,) are the lamp's whole spectrum, NaN where it says nothing. ``inputs`` are files with
    their SHA-256, ``settings`` the lines for a site file: those for the table, those for the super-Gaussian.
    """

    site_name: str
    line: str
    vacuum_nm: float
    found_nm: Measured
    wavelength_error_nm: float
    fwhm_nm: Measured
    exponent: Measured
    width_asymmetry: Measured
    exponent_asymmetry: Measured
    peak_counts: float
    signal_to_noise: float
    residual_rms: float
    other_lines: tuple[str, ...]
    offsets_nm: FloatArray
    response: FloatArray
    residual: FloatArray
    curve_offsets_nm: FloatArray
    curve: FloatArray
    spectrum_nm: FloatArray
    spectrum_counts: FloatArray
    marks: tuple[LampLineMark, ...]
    inputs: tuple[tuple[str, str], ...]
    settings: tuple[str, str]
    made_from: str
    software: str
    created: str
    command: str


def parameter_rows(record: LineShapeRecord) -> list[tuple[str, str]]:
    """Return what was found, as labels and values with 1 sigma."""

    def measured(value: Measured, unit: str = "", digits: int = 4) -> str:
        return f"{value[0]:.{digits}f} ± {value[1]:.{digits}f}{unit}"

    rows = [
        ("line", record.line),
        ("wavelength in vacuum", f"{record.vacuum_nm:.4f} nm"),
        ("wavelength as found", measured(record.found_nm, " nm")),
        ("wavelength error", f"{record.wavelength_error_nm:+.4f} ± {record.found_nm[1]:.4f} nm"),
        ("FWHM", measured(record.fwhm_nm, " nm")),
        ("exponent", measured(record.exponent, digits=3)),
        ("asymmetry of width", measured(record.width_asymmetry)),
        ("asymmetry of exponent", measured(record.exponent_asymmetry, digits=3)),
        ("residual, r.m.s.", f"{100 * record.residual_rms:.2f} % of the top"),
        ("signal to noise", f"{record.signal_to_noise:.0f}"),
        ("peak", f"{record.peak_counts:.0f} counts"),
    ]
    if record.other_lines:
        rows.append(("fitted together with", ", ".join(record.other_lines)))
    return rows


# --- the table ---------------------------------------------------------------------------------------------------


def format_line_shape(record: LineShapeRecord) -> str:
    """Return the text of the table: comments that tell where it comes from, then offset [nm] and response [nm-1].

    Every part stands on lines of its own, whatever signs names hold, so that only the table is read as numbers.
    """
    head = [
        f"Line shape of a spectrometer, measured with a calibration lamp: {record.site_name}",
        f"made by {record.software}, {record.created}, from {record.made_from}",
        f"command: {record.command}",
        *(f"input: {file}  sha256 {digest}" for file, digest in record.inputs),
        "",
        "to use it, set in the site file",
        *(f"  {line}" for line in record.settings[0].splitlines()),
        "",
        *(f"{label}: {value}" for label, value in parameter_rows(record)),
        "uncertainties are 1 sigma; what is below is as measured, less background and other lines",
        "",
        "offset from the line's centroid [nm], response [nm-1], area 1",
    ]
    lines = ["# " + "".join(c if c.isprintable() else "?" for c in line) if line else "#" for line in head]
    lines += [f"{x:.6f} {y:.8e}" for x, y in zip(record.offsets_nm, record.response, strict=True)]
    return "\n".join(lines) + "\n"


def write_line_shape_table(path: Path, record: LineShapeRecord) -> None:
    """Write the table to ``path``. Raises OutputError where the file cannot be written."""
    try:
        path.write_text(format_line_shape(record), encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError(f"the line shape cannot be written: {error}", file=path) from error


# --- the page ----------------------------------------------------------------------------------------------------


def write_line_shape_page(path: Path, record: LineShapeRecord) -> None:
    """Write the page to ``path`` as PNG, whatever the path's suffix. Raises OutputError where that is not possible."""
    figure = draw_line_shape(record)
    try:
        figure.savefig(path, format="png", dpi=DPI, metadata={"Title": f"so2cam line shape, {record.site_name}"})
    except OSError as error:
        raise OutputError(f"the plot cannot be written: {error}", file=path) from error


def draw_line_shape(record: LineShapeRecord) -> "Figure":
    """Return the page as a figure: the shape and its residual, the lamp's spectrum, and what was found in words."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(
        rect=(0.008, 0.006, 0.984, 0.984), w_pad=0.05, h_pad=0.04, wspace=0.03, hspace=0.02
    )
    figure = Figure(figsize=SIZE_IN, dpi=DPI, layout=layout, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    grid = GridSpec(3, 2, figure=figure, width_ratios=(8.0, 4.0), height_ratios=(0.72, 7.3, 0.12))
    left = GridSpecFromSubplotSpec(3, 1, subplot_spec=grid[1, 0], height_ratios=(4.0, 1.4, 1.9))
    header = figure.add_subplot(grid[0, :])
    shape = figure.add_subplot(left[0])
    residual = figure.add_subplot(left[1], sharex=shape)
    spectrum = figure.add_subplot(left[2])
    words = figure.add_subplot(grid[1, 1])
    footer = figure.add_subplot(grid[2, :])
    _draw_shape(shape, record)
    _draw_residual(residual, record)
    _draw_spectrum(spectrum, record)
    for panel in (header, words, footer):
        panel.set_axis_off()
    # Words are set last, into the room that the layout leaves.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    figure.align_ylabels([shape, residual, spectrum])
    _write_header(canvas, header, record)
    _write_words(canvas, words, record)
    Writer(canvas, footer).paragraph(
        "All uncertainties are 1 sigma. The shape is centred on its centroid and has area 1.",
        MUTED,
        FONT_SMALL,
    )
    return figure


def _draw_shape(axes: "Axes", record: LineShapeRecord) -> None:
    from matplotlib.lines import Line2D

    set_style(axes)
    set_title(axes, f"Line shape at {record.vacuum_nm:.2f} nm")
    set_labels(axes, y="response [nm⁻¹]")
    high = record.curve_offsets_nm[record.curve >= 0.5 * record.curve.max()]
    axes.axhline(0.0, color="#b5b5b5", linewidth=0.8, zorder=1)
    axes.axvspan(float(high[0]), float(high[-1]), color="#f2f2f2", linewidth=0, zorder=0)
    axes.plot(record.curve_offsets_nm, record.curve, color=FIT_COLOUR, linewidth=1.6)
    axes.plot(record.offsets_nm, record.response, color=INK, marker="o", markersize=4.5, linestyle="none", zorder=4)
    axes.tick_params(axis="x", labelbottom=False)
    axes.margins(x=0.01)
    points = Line2D([], [], color=INK, marker="o", linestyle="none", markersize=4.5, label="measured")
    shaded = handle("full width at half maximum", "#dddddd", width=7.0)
    add_legend(axes, [points, handle("super-Gaussian", FIT_COLOUR), shaded], "right")


def _draw_residual(axes: "Axes", record: LineShapeRecord) -> None:
    set_style(axes)
    set_labels(axes, x="offset from the line's centroid [nm]", y="residual\n[% of the top]")
    residual = 100 * record.residual
    axes.axhline(0.0, color="#b5b5b5", linewidth=0.8, zorder=1)
    axes.plot(record.offsets_nm, residual, color=MUTED, linewidth=0.9, marker="o", markersize=3.0)
    reach = 1.15 * float(np.abs(residual).max(initial=0.0)) or 1.0
    axes.set_ylim(-reach, reach)


def _draw_spectrum(axes: "Axes", record: LineShapeRecord) -> None:
    """Draw the lamp's spectrum on a scale that is linear near zero, with its lines named."""
    set_style(axes)
    set_title(axes, "Lamp", rows=1)
    set_labels(axes, x="wavelength, as the spectrometer has it [nm]", y="counts")
    counts = record.spectrum_counts
    finite = counts[np.isfinite(counts)]
    spread = float(np.percentile(np.abs(finite - np.median(finite)), 60)) if finite.size else 0.0
    linear = max(10 * spread, 1e-3 * float(np.abs(finite).max(initial=0.0)), 1.0)
    axes.set_yscale("symlog", linthresh=10 ** math.ceil(math.log10(linear)), linscale=0.5)
    axes.plot(record.spectrum_nm, counts, color=INK, linewidth=0.8)
    axes.margins(x=0.01, y=0.08)
    transform = axes.get_xaxis_transform()
    last = -np.inf
    width = float(np.ptp(record.spectrum_nm))
    for mark in sorted(record.marks, key=lambda one: (not one.chosen, one.found_nm)):
        colour = CHOSEN_COLOUR if mark.chosen else MARK_COLOUR
        axes.axvline(mark.found_nm, color=colour, linewidth=1.6 if mark.chosen else 0.7, zorder=1)
    chosen_nm = [mark.found_nm for mark in record.marks if mark.chosen]
    for mark in record.marks:
        crowded = mark.found_nm - last < 0.075 * width
        beside = any(abs(mark.found_nm - at) < 0.075 * width for at in chosen_nm) and not mark.chosen
        if crowded or beside:
            continue
        last = mark.found_nm
        text = axes.text(
            mark.found_nm,
            1.02,
            plain(mark.name),
            transform=transform,
            ha="center",
            va="bottom",
            fontsize=FONT_SMALL,
            color=CHOSEN_COLOUR if mark.chosen else MUTED,
            fontweight="bold" if mark.chosen else "normal",
        )
        text.set_in_layout(False)


def _write_header(canvas: "FigureCanvasAgg", axes: "Axes", record: LineShapeRecord) -> None:
    title = Writer(canvas, axes)
    title.paragraph(record.site_name, INK, 22, weight="bold")
    title.y += 2
    title.paragraph(
        f"Line shape from {record.line}  ·  {record.made_from}  ·  FWHM {record.fwhm_nm[0]:.3f} nm, wavelength error "
        f"{record.wavelength_error_nm:+.3f} nm".replace("-", "−"),
        MUTED,
        11,
    )
    axes.axhline(0.0, color=RULE, linewidth=1.0, clip_on=False)
    axes.set_ylim(0, 1)


def _write_words(canvas: "FigureCanvasAgg", axes: "Axes", record: LineShapeRecord) -> None:
    """Write the parameters, the settings to paste, and the files."""
    writer = Writer(canvas, axes, inset=10)
    writer.width -= 10
    writer.y = 3.0
    writer.paragraph("Found", INK, FONT_TITLE, weight="bold")
    writer.y += 4
    rows = [(label, value.replace("-", "−") if label != "line" else value) for label, value in parameter_rows(record)]
    writer.table(writer.wrap_table(rows, writer.height), writer.height)
    for title, settings in zip(("Settings with the table", "or with the super-Gaussian"), record.settings, strict=True):
        writer.y += 12
        writer.paragraph(title, INK, FONT_TITLE, weight="bold")
        writer.y += 3
        for line in settings.splitlines():
            writer.paragraph(line, INK, FONT, lines=2)
    writer.y += 12
    writer.paragraph("Files", INK, FONT_TITLE, weight="bold")
    writer.y += 3
    room = max(int((writer.height - writer.y - 40) / (1.32 * FONT_SMALL)), 1)
    for number, (file, _) in enumerate(record.inputs):
        if number == room - 1 and len(record.inputs) > room:
            writer.paragraph(f"and {len(record.inputs) - number} more", MUTED, FONT_SMALL)
            break
        writer.paragraph(Path(file).name, MUTED, FONT_SMALL)
    writer.y += 8
    writer.paragraph(f"{record.software}, {record.created}", MUTED, FONT_SMALL)
