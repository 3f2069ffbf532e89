"""The calibration panel of the quicklook: the fit, the gas cells, and what is to be said about them."""

from typing import TYPE_CHECKING

import numpy as np

from so2cam.core.results import CalibrationSummary
from so2cam.formats.quicklook.style import (
    ALERT,
    FONT_SMALL,
    FONT_TINY,
    INK,
    METHOD_COLOURS,
    MUTED,
    add_legend,
    handle,
    leave_empty,
    set_labels,
    set_style,
    set_title,
)
from so2cam.formats.quicklook.values import power_of_ten
from so2cam.formats.quicklook.words import LEADING, Writer

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg


COUNTS_LITTLE = 0.3
"""Weight below which a point is drawn as one that counts for little."""


def draw_calibration(axes: "Axes", calibration: CalibrationSummary | None) -> None:
    """Draw column density over absorbance: the fit with its band, and the gas cells."""
    from matplotlib.lines import Line2D

    set_style(axes)
    set_title(axes, "Calibration")
    if calibration is None:
        leave_empty(axes, "no calibration")
        return
    columns = np.concatenate((calibration.column_molec_cm2, calibration.curve_column_molec_cm2))
    finite = np.abs(columns[np.isfinite(columns)])
    exponent, factor = power_of_ten(float(finite.max(initial=0.0)))
    handles: list[Artist] = []
    if calibration.curve_absorbance.size:
        curve = calibration.curve_column_molec_cm2 / factor
        sigma = calibration.curve_uncertainty_molec_cm2 / factor
        x, colour = calibration.curve_absorbance, METHOD_COLOURS[0]
        axes.fill_between(x, curve - sigma, curve + sigma, color=colour, alpha=0.18, linewidth=0)
        axes.plot(x, curve, color=colour, linewidth=1.6)
        handles.append(handle("fit", colour))
    if calibration.absorbance.size and calibration.points == "spectrometer":
        _draw_points(axes, calibration, factor)
        handles.append(Line2D([], [], color=INK, marker=".", linestyle="none", label="spectrometer"))
        if calibration.weights is not None and np.any(calibration.weights < COUNTS_LITTLE):
            handles.append(open_circle("counts for little"))
    elif calibration.absorbance.size:
        axes.errorbar(
            calibration.absorbance,
            calibration.column_molec_cm2 / factor,
            xerr=calibration.absorbance_uncertainty,
            yerr=calibration.column_uncertainty_molec_cm2 / factor,
            fmt="o",
            color=INK,
            markersize=5,
            elinewidth=1.1,
            capsize=2.5,
            zorder=4,
        )
        handles.append(Line2D([], [], color=INK, marker="o", linestyle="none", markersize=5, label="gas cells"))
    # A curve rises to the right: its upper left corner is free, and three names are too long beside the title.
    add_legend(axes, handles, "inside" if len(handles) > 2 else "right")
    set_labels(axes, x="apparent absorbance", y=f"column density [{exponent} molecules cm⁻²]")


def _draw_points(axes: "Axes", calibration: CalibrationSummary, factor: float) -> None:
    """Draw the spectrometer's points; those that count for little, as open circles."""
    weights = np.ones(calibration.absorbance.size) if calibration.weights is None else calibration.weights
    x, y = calibration.absorbance, calibration.column_molec_cm2 / factor
    axes.errorbar(
        x,
        y,
        xerr=calibration.absorbance_uncertainty,
        yerr=calibration.column_uncertainty_molec_cm2 / factor,
        fmt="none",
        ecolor=MUTED,
        elinewidth=0.5,
        alpha=0.5,
        zorder=3,
    )
    counts = weights >= COUNTS_LITTLE
    axes.plot(x[counts], y[counts], ".", color=INK, markersize=4, zorder=4)
    axes.plot(x[~counts], y[~counts], "o", markersize=4, markerfacecolor="none", markeredgecolor=ALERT, zorder=4)


def open_circle(label: str) -> "Artist":
    """Return the mark of a point that counts for little, for a legend."""
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], marker="o", linestyle="none", markersize=4, markerfacecolor="none", markeredgecolor=ALERT, label=label
    )


def write_calibration(canvas: "FigureCanvasAgg", axes: "Axes", calibration: CalibrationSummary | None) -> None:
    """Write the warnings and the fit's description into the two corners that a rising curve leaves free."""
    if calibration is None:
        return
    writer = Writer(canvas, axes, share=0.7, inset=6)
    for number, warning in enumerate(calibration.warnings):
        if writer.y > 0.36 * writer.height:
            more = len(calibration.warnings) - number
            writer.paragraph(f"and {more} more warning{'s' if more > 1 else ''}", ALERT, FONT_TINY)
            break
        writer.paragraph(warning, ALERT, FONT_TINY, lines=5)
        writer.y += 3
    writer = Writer(canvas, axes, share=0.6, inset=6)
    lines = writer.wrap(calibration.description, writer.width, FONT_SMALL, lines=5)
    writer.y += writer.height - LEADING * FONT_SMALL * len(lines) - 6
    writer.paragraph(calibration.description, MUTED, FONT_SMALL, lines=5, align="right")
