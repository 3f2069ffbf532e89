"""``calibration.png``: one page to judge a calibration by the spectrometer by."""

import textwrap
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.errors import OutputError
from so2cam.core.records import FloatArray
from so2cam.core.results import NO_FIT, CalibrationRecord, CalibrationSummary
from so2cam.formats.quicklook.calibration import COUNTS_LITTLE, draw_calibration, open_circle
from so2cam.formats.quicklook.style import (
    ALERT,
    DPI,
    FONT,
    FONT_SMALL,
    FRAME,
    INK,
    METHOD_COLOURS,
    MUTED,
    add_legend,
    handle,
    leave_empty,
    plain,
    set_labels,
    set_style,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GAP = 8.0
"""Points further apart than this many of their usual distances are not joined."""
_LINE_CHARACTERS = 105


def write_calibration_page(
    path: Path, record: CalibrationRecord, summary: CalibrationSummary | None, *, site_name: str
) -> None:
    """Write the page to ``path`` as PNG. Raises OutputError where the file cannot be written."""
    figure = draw_calibration_page(record, summary, site_name=site_name)
    try:
        figure.savefig(path, format="png", dpi=DPI, metadata={"Title": f"so2cam calibration, {site_name}"})
    except OSError as error:
        raise OutputError(f"the calibration's page cannot be written: {error}", file=path) from error


def draw_calibration_page(record: CalibrationRecord, summary: CalibrationSummary | None, *, site_name: str) -> "Figure":
    """Return the page as a figure: points and curve, both series over time, field of view, slope over time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 9), layout="constrained")
    FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(w_pad=0.18, h_pad=0.14, wspace=0.02, hspace=0.03)  # type: ignore[call-arg]
    name = plain(site_name, 60)
    title = figure.suptitle(f"{name}: calibration by the spectrometer", x=0.013, ha="left", weight="bold", color=INK)
    title.set_parse_math(False)
    panels = figure.subplots(2, 2, width_ratios=(1, 1.25))
    draw_calibration(panels[0, 0], summary)
    if summary is not None:
        _write_below(panels[0, 0], [(summary.description, MUTED), *((text, ALERT) for text in summary.warnings)])
    _draw_series(panels[0, 1], record)
    _draw_view(panels[1, 0], record)
    _draw_slopes(panels[1, 1], record)
    return figure


def _write_below(axes: "Axes", texts: Sequence[tuple[str, str]]) -> None:
    """Write texts, each with its colour, below what names the panel's axis."""
    down = 31.0
    for text, colour in texts:
        for line in textwrap.wrap(plain(text), _LINE_CHARACTERS):
            note = axes.annotate(
                line,
                (0, 0),
                xycoords="axes fraction",
                xytext=(0, -down),
                textcoords="offset points",
                va="top",
                fontsize=FONT_SMALL,
                color=colour,
            )
            note.set_parse_math(False)
            down += 1.35 * FONT_SMALL


def _draw_series(axes: "Axes", record: CalibrationRecord) -> None:
    set_style(axes)
    set_title(axes, "Columns and absorbance in the field of view")
    if not record.points:
        leave_empty(axes, "no image with a column beside it")
        return
    times = _days([point.time for point in record.points])
    columns = np.array([point.column_molec_cm2 for point in record.points]) / MOLEC_CM2_PER_PPM_M
    absorbance = np.array([point.absorbance for point in record.points])
    weight = np.array([point.weight for point in record.points])
    left, right = METHOD_COLOURS[0], METHOD_COLOURS[1]
    axes.plot(*_with_gaps(times, columns), color=left, marker=".", markersize=3.5, linewidth=0.9)
    little = (weight < COUNTS_LITTLE) & (np.array([point.fit for point in record.points]) != NO_FIT)
    axes.plot(
        times[little], columns[little], "o", markersize=4.5, markerfacecolor="none", markeredgecolor=ALERT, zorder=4
    )
    _time_axis(axes)
    set_labels(axes, y="SO₂ column [ppm m]")
    axes.yaxis.label.set_color(left)
    if not np.isfinite(absorbance).any():
        set_title(axes, "Columns of the spectrometer; no field of view, so no absorbance")
        return
    twin = axes.twinx()
    twin.spines[:].set_visible(False)
    twin.plot(*_with_gaps(times, absorbance), color=right, linewidth=0.9, marker=".", markersize=2.5)
    twin.set_ylabel("apparent absorbance", fontsize=FONT, color=right)
    twin.tick_params(labelsize=FONT, color=FRAME, labelcolor=INK, length=3)
    if little.any():
        add_legend(axes, [open_circle("counts for little")], "right")


def _with_gaps(times: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return both with NaN where points are so far apart that a line between them would say too much."""
    steps = np.diff(times)
    if not steps.size:
        return times, values
    gaps = np.flatnonzero(steps > _GAP * float(np.median(steps))) + 1
    return np.insert(times, gaps, np.nan), np.insert(values, gaps, np.nan)


def _draw_view(axes: "Axes", record: CalibrationRecord) -> None:
    from matplotlib.patches import Circle

    set_title(axes, "Field of view")
    set_style(axes)
    found = [view for view in record.views if np.isfinite(view.x)]
    last = record.views[-1] if record.views else None
    if record.correlation_map is None:
        text = "given in the site file, or not searched" if last is None else f"not found: {last.status}"
        leave_empty(axes, text)
        return
    axes.grid(visible=False)
    axes.set_facecolor("#ececec")
    rows, columns = record.correlation_map.shape
    block = record.block_px
    image = axes.imshow(
        record.correlation_map,
        extent=(-0.5, columns * block - 0.5, rows * block - 0.5, -0.5),
        cmap="viridis",
        vmin=-0.2,
        vmax=1,
    )
    figure = axes.figure
    if figure is not None:
        bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.015, aspect=28)
        bar.set_label("correlation with the columns", fontsize=FONT, color=INK)
        bar.ax.tick_params(labelsize=FONT, color=FRAME, labelcolor=INK, length=3)
        bar.outline.set_visible(False)
    texts = []
    if found:
        view = found[-1]
        for width, colour in ((3.0, "black"), (1.4, "white")):
            axes.add_patch(Circle((view.x, view.y), view.radius_px, fill=False, color=colour, linewidth=width))
        text = (
            f"({view.x:.1f} ± {view.x_uncertainty:.1f}, {view.y:.1f} ± {view.y_uncertainty:.1f}) px, "
            f"radius {view.radius_px:.1f} ± {view.radius_uncertainty:.1f} px, r = {view.correlation:.2f}, "
            f"{view.images} images"
        )
        texts.append((text, MUTED))
    if last is not None and not np.isfinite(last.x):
        texts.append((f"{'the last search found none' if found else 'none found'}: {last.status}", ALERT))
    set_labels(axes, x="x [px]", y="y [px]")
    _write_below(axes, texts)


def _draw_slopes(axes: "Axes", record: CalibrationRecord) -> None:
    set_style(axes)
    set_title(axes, "Slope near zero absorbance")
    good = [fit for fit in record.fits if fit.status == "ok"]
    lost = [fit for fit in record.fits if fit.status != "ok"]
    if not good:
        unseen = record.views and not any(np.isfinite(view.x) for view in record.views)
        reason = plain(lost[-1].status, 60) if lost else "no field of view" if unseen else "too few points for a fit"
        leave_empty(axes, reason)
        return
    times = _days([fit.time for fit in good])
    slope = np.array([fit.slope_molec_cm2 for fit in good])
    own = np.array([fit.slope_uncertainty_molec_cm2 for fit in good])
    total = np.hypot(own, slope * np.array([fit.scale_uncertainty for fit in good]))
    unit, colour = 1e18, METHOD_COLOURS[0]
    for sigma, alpha, cap in ((total, 0.4, 6), (own, 1.0, 3)):
        if len(good) == 1:
            axes.errorbar(times, slope / unit, yerr=sigma / unit, fmt="o", color=colour, alpha=alpha, capsize=cap)
        else:
            low, high = (slope - sigma) / unit, (slope + sigma) / unit
            axes.fill_between(times, low, high, color=colour, alpha=0.35 * alpha, linewidth=0)
    handles: list[Artist] = [
        handle("of the fit", colour, width=5),
        handle("with what all columns share", colour, width=5),
    ]
    for entry, alpha in zip(handles, (0.5, 0.16), strict=True):
        entry.set_alpha(alpha)
    if lost:
        # At the foot of the panel, whatever its values.
        transform = axes.get_xaxis_transform()
        axes.plot(_days([fit.time for fit in lost]), [0.02] * len(lost), "x", color=ALERT, transform=transform, ms=5)
        handles.append(handle("no curve", ALERT))
    if len(good) == 1 and not lost:
        axes.set_xticks(times, [f"{good[0].time:%Y-%m-%d %H:%M} UTC"], fontsize=FONT)
    else:
        axes.plot(times, slope / unit, color=colour, linewidth=1.4, marker=".", markersize=4)
        _time_axis(axes)
    set_labels(axes, y="column per absorbance [10¹⁸ molecules cm⁻²]")
    add_legend(axes, handles, "right")


def _days(times: Sequence[datetime]) -> FloatArray:
    """Return times in matplotlib's unit: days since 1970, UTC."""
    return np.array([time.timestamp() / 86400 for time in times], np.float64)


def _time_axis(axes: "Axes") -> None:
    from matplotlib import dates

    locator = dates.AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    offset = axes.xaxis.get_offset_text()
    offset.set_fontsize(FONT)
    offset.set_color(MUTED)
    set_labels(axes, x="UTC")
