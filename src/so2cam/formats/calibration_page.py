"""``calibration.png``: one page to judge a calibration by the spectrometer by."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.errors import OutputError
from so2cam.core.records import FloatArray
from so2cam.core.results import CalibrationRecord, CalibrationSummary
from so2cam.core.times import format_utc
from so2cam.formats.quicklook.calibration import draw_calibration
from so2cam.formats.quicklook.style import (
    ALERT,
    DPI,
    FONT,
    FONT_SMALL,
    INK,
    METHOD_COLOURS,
    MUTED,
    leave_empty,
    set_labels,
    set_style,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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

    figure = Figure(figsize=(14, 8.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{site_name}: calibration by the spectrometer", x=0.01, ha="left", weight="bold", color=INK)
    panels = figure.subplots(2, 2, width_ratios=(1, 1.25))
    draw_calibration(panels[0, 0], summary)
    if summary is not None:
        _note(panels[0, 0], [summary.description, *summary.warnings], bool(summary.warnings))
    _draw_series(panels[0, 1], record)
    _draw_view(panels[1, 0], record)
    _draw_slopes(panels[1, 1], record)
    return figure


def _note(axes: "Axes", lines: list[str], alert: bool) -> None:
    text = "\n".join(line for line in lines if line)
    axes.text(
        0.98,
        0.03,
        text,
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        fontsize=FONT_SMALL,
        color=ALERT if alert else MUTED,
        wrap=True,
    )


def _draw_series(axes: "Axes", record: CalibrationRecord) -> None:
    set_style(axes)
    set_title(axes, "Columns and absorbance in the field of view")
    if not record.points:
        leave_empty(axes, "no image with a column beside it")
        return
    times = _days([point.time for point in record.points])
    columns = np.array([point.column_molec_cm2 for point in record.points]) / MOLEC_CM2_PER_PPM_M
    absorbance = np.array([point.absorbance for point in record.points])
    left, right = METHOD_COLOURS[0], METHOD_COLOURS[1]
    axes.plot(times, columns, color=left, marker=".", markersize=4, linewidth=1)
    set_labels(axes, x="", y="SO2 column [ppm m]")
    axes.yaxis.label.set_color(left)
    twin = axes.twinx()
    twin.plot(times, absorbance, color=right, linewidth=1, marker=".", markersize=3)
    twin.set_ylabel("apparent absorbance", fontsize=FONT, color=right)
    twin.tick_params(labelsize=FONT)
    twin.spines[["top"]].set_visible(False)
    _time_axis(axes)


def _draw_view(axes: "Axes", record: CalibrationRecord) -> None:
    from matplotlib.patches import Circle

    set_title(axes, "Field of view")
    axes.tick_params(labelsize=FONT)
    found = [view for view in record.views if np.isfinite(view.x)]
    if record.correlation_map is None:
        set_style(axes)
        leave_empty(axes, "field of view given" if not record.views else f"not found: {record.views[-1].status}")
        return
    rows, columns = record.correlation_map.shape
    block = record.block_px
    image = axes.imshow(
        record.correlation_map,
        extent=(-0.5, columns * block - 0.5, rows * block - 0.5, -0.5),
        cmap="viridis",
        vmin=-0.2,
        vmax=1,
    )
    if axes.figure is not None:
        bar = axes.figure.colorbar(image, ax=axes, shrink=0.85)
        bar.set_label("correlation with the columns", fontsize=FONT)
        bar.ax.tick_params(labelsize=FONT)
    text = f"none found: {record.views[-1].status}" if record.views else ""
    if found:
        view = found[-1]
        axes.add_patch(Circle((view.x, view.y), view.radius_px, fill=False, color="white", linewidth=1.6))
        text = (
            f"({view.x:.1f} ± {view.x_uncertainty:.1f}, {view.y:.1f} ± {view.y_uncertainty:.1f}) px, "
            f"radius {view.radius_px:.1f} ± {view.radius_uncertainty:.1f} px, r = {view.correlation:.2f}"
        )
    axes.set_xlabel(f"x [px]\n{text}", fontsize=FONT)
    axes.set_ylabel("y [px]", fontsize=FONT)


def _draw_slopes(axes: "Axes", record: CalibrationRecord) -> None:
    set_style(axes)
    set_title(axes, "Slope near zero absorbance")
    good = [fit for fit in record.fits if fit.status == "ok"]
    if not good:
        reason = record.fits[-1].status if record.fits else "too few points for a fit"
        leave_empty(axes, reason)
        return
    times = _days([fit.time for fit in good])
    slope = np.array([fit.slope_molec_cm2 for fit in good])
    own = np.array([fit.slope_uncertainty_molec_cm2 for fit in good])
    total = np.hypot(own, slope * np.array([fit.scale_uncertainty for fit in good]))
    unit = 1e18
    if len(good) == 1:
        axes.errorbar(times, slope / unit, yerr=total / unit, fmt="none", color=METHOD_COLOURS[0], alpha=0.4, capsize=6)
        axes.errorbar(times, slope / unit, yerr=own / unit, fmt="o", color=METHOD_COLOURS[0], capsize=3)
        axes.set_xticks(times, [format_utc(good[0].time)], fontsize=FONT)
    else:
        axes.fill_between(times, (slope - total) / unit, (slope + total) / unit, color=METHOD_COLOURS[0], alpha=0.12)
        axes.fill_between(times, (slope - own) / unit, (slope + own) / unit, color=METHOD_COLOURS[0], alpha=0.3)
        axes.plot(times, slope / unit, color=METHOD_COLOURS[0], linewidth=1.4)
        _time_axis(axes)
    set_labels(axes, x="", y="column per absorbance [10¹⁸ molecules cm⁻²]")
    _note(axes, ["dark: of the fit; light: with what all columns share (cross section, field of view)"], False)


def _days(times: Sequence[datetime]) -> FloatArray:
    """Return times in matplotlib's unit: days since 1970, UTC."""
    return np.array([time.timestamp() / 86400 for time in times], np.float64)


def _time_axis(axes: "Axes") -> None:
    from matplotlib import dates

    locator = dates.AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_xlabel("UTC", fontsize=FONT)
