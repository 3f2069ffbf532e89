"""The panels of the quicklook of columns: SO2 and its status in time, parameters of the fits, single fits."""

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import FloatArray
from so2cam.core.spectra import FIT_STATUS_TEXT, ColumnSeries, ExampleFit, FitStatus
from so2cam.formats.column_products import PARAMETERS
from so2cam.formats.quicklook.curves import Curves
from so2cam.formats.quicklook.style import (
    ALERT,
    FONT,
    FONT_SMALL,
    FRAME,
    INK,
    METHOD_COLOURS,
    MUTED,
    POINTS_PER_PIXEL,
    VALID,
    add_legend,
    add_note,
    add_second_scale,
    handle,
    plain,
    set_labels,
    set_style,
    set_title,
)
from so2cam.formats.quicklook.times import INTERVALS, TimeAxis
from so2cam.formats.quicklook.values import median_of, power_of_ten, with_digits
from so2cam.formats.quicklook.words import Writer, wrap_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

SO2_COLOUR: Final = METHOD_COLOURS[0]
PARAMETER_COLOUR: Final = "#4d4d4d"
MODEL_COLOUR: Final = METHOD_COLOURS[1]

FIT_COLOURS: Final[dict[FitStatus, str]] = {
    FitStatus.NO_DARK: "#000000",
    FitStatus.SATURATED: "#CC6677",
    FitStatus.TOO_DARK: "#332288",
    FitStatus.BAD_PIXELS: "#AA4499",
    FitStatus.NOT_CONVERGED: "#999933",
    FitStatus.AT_BOUND: "#44AA99",
    FitStatus.NO_INFORMATION: "#888888",
    FitStatus.WINDOW_OUTSIDE: "#661100",
    FitStatus.DILUTION_NOT_UNIQUE: "#88CCEE",
}
"""Of the reasons why a spectrum has no column."""

_TRACK_DEG: Final = 1e-3
"""Places this far apart [degrees], about 100 m, are a track."""

Parameter = tuple[str, str, FloatArray, FloatArray]
"""Title, unit, values (T,) and 1 sigma (T,) of one panel."""


def count_failed(series: ColumnSeries) -> list[tuple[FitStatus, int]]:
    """Return why spectra have no column and how many, the most frequent reason first."""
    counts = Counter(series.status[series.status != FitStatus.OK].tolist())
    return [(FitStatus(status), count) for status, count in counts.most_common()]


def is_valid(series: ColumnSeries) -> FloatArray:
    """Return the SO2 columns (T,) of valid fits, NaN elsewhere."""
    return np.where(series.status == FitStatus.OK, series.so2_molec_cm2, np.nan)


# --- series ------------------------------------------------------------------------------------------------------


def draw_so2(axes: "Axes", series: ColumnSeries, axis: TimeAxis) -> None:
    """Draw the SO2 column with its random uncertainty, in molecules cm-2 and in ppm m."""
    set_style(axes)
    set_title(axes, "SO₂ column", rows=1)
    valid = is_valid(series)
    word, factor = power_of_ten(float(np.nanmax(np.abs(valid))) if np.isfinite(valid).any() else 0.0)
    set_labels(axes, y=f"SO₂ column [{word} molec cm⁻²]")
    curves = Curves(axes, axis)
    curves.add(valid / factor, series.so2_random_molec_cm2 / factor, SO2_COLOUR, width=1.5)
    curves.set_limits()
    axes.axhline(0.0, color="#b5b5b5", linewidth=0.8, zorder=1)
    add_second_scale(axes, factor / MOLEC_CM2_PER_PPM_M, "SO₂ column [ppm m]")
    if axis.x.size == 0:
        add_note(axes, "This run has no spectra.", colour=ALERT, size=13)
    elif curves.empty:
        add_note(axes, _why_empty(series), colour=ALERT, size=13)
    else:
        random = with_digits(median_of(series.so2_random_molec_cm2[np.isfinite(valid)]) / factor, 2)
        systematic = with_digits(median_of(series.so2_systematic_molec_cm2[np.isfinite(valid)]) / factor, 2)
        label = f"typical uncertainty ± {random} random (band), ± {systematic} systematic  [{word} molec cm⁻²]"
        add_legend(axes, [handle(label, SO2_COLOUR, width=2.2)], "left")


def _why_empty(series: ColumnSeries) -> str:
    lines = ["No valid SO₂ column in this run"]
    for status, count in count_failed(series)[:1]:
        lines += wrap_text(f"{count} of {series.status.size} spectra: {FIT_STATUS_TEXT[status]}", 52, len, 3)
    return "\n".join(lines)


def draw_status(axes: "Axes", series: ColumnSeries, axis: TimeAxis) -> None:
    """Draw a strip: pale where the fit is valid, the reason's colour where it is not."""
    from matplotlib.collections import PolyCollection

    axes.spines[:].set_visible(False)
    axes.set_ylim(1, 0)
    axes.tick_params(axis="both", length=0, labelsize=FONT_SMALL)
    axes.set_xlabel(" ", fontsize=FONT, labelpad=13)  # room for the key
    axes.set_yticks([0.5], ["fits"])
    if axis.x.size == 0:
        axes.set_yticks([])
        return
    status = axis.sorted(series.status)
    left, widths = axis.cells()
    cell = np.arange(axis.x.size)
    if axis.dense:
        edges = axis.interval_edges
        cell = np.clip(np.searchsorted(edges, axis.x, side="right") - 1, 0, INTERVALS - 1)
        left, widths = edges[:-1], np.diff(edges)
    number = np.maximum(np.bincount(cell, minlength=left.size), 1)
    top = np.full(left.size, 0.12)
    for value in np.unique(status).tolist():
        share = np.bincount(cell[status == value], minlength=left.size) / number
        bottom = top + 0.76 * share
        right = left + widths
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        cells = np.moveaxis(corners, 2, 0)[share > 0]
        colour = VALID if value == FitStatus.OK else FIT_COLOURS[FitStatus(value)]
        axes.add_collection(PolyCollection(list(cells), facecolors=colour, linewidths=0, antialiaseds=False))
        top = bottom


def write_status_key(canvas: "FigureCanvasAgg", axes: "Axes", series: ColumnSeries) -> None:
    """Name the colours of the strip below it, the most frequent first."""
    if series.status.size == 0:
        return
    writer = Writer(canvas, axes)
    writer.y = writer.height + 3.5
    writer.width = axes.get_window_extent().width * POINTS_PER_PIXEL
    valid = int(np.count_nonzero(series.status == FitStatus.OK))
    failed = [
        (FIT_COLOURS[status], f"{status.name.lower().replace('_', ' ')} ({count})")
        for status, count in count_failed(series)
    ]
    writer.key([(VALID, f"valid ({valid})"), *failed])


def find_parameters(series: ColumnSeries) -> list[Parameter]:
    """Return what is drawn below the columns: those of shift, O3, Ring and light dilution that were fitted, and the
    residual.
    """
    missing = np.full(len(series.times), np.nan)
    found: list[Parameter] = []
    for name, title, unit in (
        ("shift", "Wavelength shift", "nm"),
        ("o3", "O₃ column", "molec cm⁻²"),
        ("ring", "Ring", ""),
    ):
        key = next((key for key in (name, PARAMETERS[name]) if key in series.parameters), None)
        if key is not None:
            found.append((title, unit, *series.parameters[key]))
    if np.isfinite(series.light_dilution).any():
        found.append(("Light dilution", "", series.light_dilution, series.light_dilution_uncertainty))
    found.append(("Residual, root mean square", "%", 100 * series.residual_rms, missing))
    return found


def draw_parameter(axes: "Axes", parameter: Parameter, axis: TimeAxis) -> None:
    """Draw one parameter in time, scaled to its values; the residual and shares from zero."""
    title, unit, values, sigma = parameter
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    if largest >= 1e5:
        word, factor = power_of_ten(largest)
        values, sigma, unit = values / factor, sigma / factor, f"{word} {unit}"
    set_style(axes)
    set_title(axes, title)
    set_labels(axes, y=f"[{unit}]" if unit else None)
    curves = Curves(axes, axis)
    curves.add(values, sigma, PARAMETER_COLOUR, width=1.1)
    curves.set_limits()
    if curves.empty:
        axes.set_yticks([])
        add_note(axes, "no valid value")
    elif unit != "%" and title != "Light dilution":
        finite = np.isfinite(values)
        value, spread = values[finite], np.nan_to_num(sigma[finite], nan=0.0, posinf=0.0)
        low = min(float(value.min()), float(np.percentile(value - spread, 2)))
        high = max(float(value.max()), float(np.percentile(value + spread, 98)))
        room = max(0.08 * (high - low), 0.01 * abs(high), 1e-9)
        axes.set_ylim(low - room, high + room)


# --- places ------------------------------------------------------------------------------------------------------


def has_track(series: ColumnSeries) -> bool:
    """Tell whether the spectra were taken at several places, which a map can show."""
    known = np.isfinite(series.latitude_deg) & np.isfinite(series.longitude_deg)
    places = np.column_stack((series.latitude_deg[known], series.longitude_deg[known]))
    return bool(places.size) and float(np.ptp(places, axis=0).max()) > _TRACK_DEG


def draw_map(axes: "Axes", series: ColumnSeries) -> None:
    """Draw where the spectra were taken, in the colour of their column; small and grey where there is none."""
    from matplotlib.ticker import MaxNLocator

    set_style(axes)
    set_title(axes, "Places")
    set_labels(axes, x="longitude [°]", y="latitude [°]")
    valid = is_valid(series)
    good = np.isfinite(valid)
    finite = valid[good]
    word, factor = power_of_ten(float(np.abs(finite).max(initial=0.0)))
    axes.scatter(series.longitude_deg[~good], series.latitude_deg[~good], s=4, color="#b5b5b5", linewidths=0)
    if finite.size:
        order = np.argsort(finite)  # the largest columns on top
        dots = axes.scatter(
            series.longitude_deg[good][order],
            series.latitude_deg[good][order],
            c=finite[order] / factor,
            s=14,
            cmap="viridis",
            linewidths=0,
            vmin=min(0.0, float(finite.min())) / factor,
        )
        bar = axes.figure.colorbar(dots, ax=axes, orientation="horizontal", shrink=0.9, aspect=30, pad=0.03)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=FONT, color=FRAME, labelcolor=INK, length=3)
        bar.set_label(f"SO₂ column [{word} molec cm⁻²]", fontsize=FONT, color=INK)
    middle = float(np.nanmean(series.latitude_deg))
    axes.set_aspect(1 / max(math.cos(math.radians(middle)), 0.02), adjustable="datalim")
    axes.ticklabel_format(useOffset=False)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(6))


# --- single fits -------------------------------------------------------------------------------------------------


def draw_fit(axes: "Axes", below: "Axes", example: ExampleFit) -> None:
    """Draw a measured and a modelled spectrum, and the residual relative to the model in ``below``."""
    for panel in (axes, below):
        set_style(panel)
    set_title(axes, plain(example.label, 46))
    set_labels(axes, y="counts")
    set_labels(below, x="wavelength [nm]", y="residual [%]")
    x = example.wavelengths_nm
    axes.plot(x, example.measured, color=INK, linewidth=1.8, label="measured")
    axes.plot(x, example.model, color=MODEL_COLOUR, linewidth=1.0, label="model")
    axes.legend(loc="upper left", frameon=False, fontsize=FONT, labelcolor=INK, handlelength=1.8)
    axes.tick_params(axis="x", labelbottom=False)
    axes.margins(x=0.01)
    residual = 100 * example.residual
    below.axhline(0.0, color="#b5b5b5", linewidth=0.8)
    below.plot(x, residual, color=MUTED, linewidth=0.9)
    finite = residual[np.isfinite(residual)]
    reach = 1.15 * float(np.abs(finite).max(initial=0.0)) or 1.0
    below.set_ylim(-reach, reach)
    below.margins(x=0.01)
