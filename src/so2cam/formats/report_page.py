"""One page that tells of a run: who reads it knows what came out, how sure that is, and how it can be made again.

A4, upright, as PDF: title, key numbers with their uncertainties, the series with the reasons for what is missing, an
example image with the lines, the calibration, quality flags, and where it all comes from. The panels are those of the
quicklook.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from so2cam.core.constants import TONNES_PER_DAY_PER_KG_PER_S
from so2cam.core.errors import OutputError
from so2cam.core.records import FloatArray, Provenance
from so2cam.core.results import CalibrationSummary, EmissionSeries, ExampleImage
from so2cam.core.status import QUALITY_TEXT, STATUS_TEXT, QualityFlag
from so2cam.formats.quicklook.calibration import draw_calibration
from so2cam.formats.quicklook.image import draw_image
from so2cam.formats.quicklook.series import draw_rate, draw_speed, draw_strip
from so2cam.formats.quicklook.style import (
    ALERT,
    DPI,
    FONT,
    FONT_SMALL,
    FONT_TITLE,
    INK,
    METHOD_COLOURS,
    MUTED,
    RULE,
    STATUS_COLOURS,
    leave_empty,
    method_name,
    nth,
    plain,
    set_title,
    shorten_legends,
)
from so2cam.formats.quicklook.times import TimeAxis, format_times
from so2cam.formats.quicklook.values import count_missing, mean_of, median_of, total_reasons, with_digits
from so2cam.formats.quicklook.words import Item, Writer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

SIZE_IN: Final = (8.27, 11.69)
"""Width and height of A4 [inch]."""
_LEFT: Final = 0.06
_IMAGE_HIGH: Final = 0.145
"""Height of the image, as a share of the page's."""
_IMAGE_WIDEST: Final = 0.42
_MOST_METHODS: Final = 3


@dataclass(frozen=True, slots=True)
class ReportPage:
    """What the page tells of. ``origin``: where the results come from, as pairs of a label and a value."""

    series: EmissionSeries
    site: str
    volcano: str
    provenance: Provenance
    origin: Sequence[tuple[str, str]]
    example: ExampleImage | None
    calibration: CalibrationSummary | None
    warnings: Sequence[str] = ()


def write_report(path: Path, page: ReportPage) -> None:
    """Write the page to ``path`` as PDF, whatever the path's suffix. Raises OutputError where the disk refuses."""
    figure = draw_report(page)
    metadata = {
        "Title": f"SO2 emission rate of {page.volcano}",
        "Creator": f"so2cam {page.provenance.software_version}",
        "Subject": f"{page.site}, settings {page.provenance.settings_sha256}",
        "CreationDate": page.provenance.created,
    }
    try:
        figure.savefig(path, format="pdf", dpi=DPI, metadata=metadata)
    except OSError as error:
        raise OutputError(f"the report cannot be written: {error}", file=path) from error


def draw_report(page: ReportPage) -> "Figure":
    """Return the page as a figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    series = page.series
    figure = Figure(figsize=SIZE_IN, dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    wide = _image_width(page.example)
    head = figure.add_axes((_LEFT, 0.922, 0.88, 0.05))
    keys = figure.add_axes((_LEFT, 0.822, 0.88, 0.085))
    rate = figure.add_axes((0.15, 0.605, 0.76, 0.155))
    strip = figure.add_axes((0.15, 0.578, 0.76, 0.019), sharex=rate)
    speed = figure.add_axes((0.15, 0.462, 0.76, 0.078), sharex=rate)
    image = figure.add_axes((0.10, 0.232, wide, _IMAGE_HIGH))
    scale = figure.add_axes((0.10, 0.201, wide, 0.008))
    curve = figure.add_axes((0.62, 0.232, 0.29, _IMAGE_HIGH))
    flags = figure.add_axes((_LEFT, 0.02, 0.40, 0.135))
    source = figure.add_axes((0.50, 0.02, 0.44, 0.135))
    for words in (head, keys, flags, source):
        words.set_axis_off()

    axis = TimeAxis.of(series.times)
    reasons = total_reasons(series)
    draw_rate(rate, series, axis, reasons)
    draw_strip(strip, series, axis, reasons)
    draw_speed(speed, series, axis)
    format_times((rate, strip, speed), axis)
    rate.tick_params(axis="x", which="both", labelbottom=False)
    strip.set_xlabel("")
    draw_image(image, scale, page.example, series)
    if page.calibration is None:
        _draw_slope(curve, series)
    else:
        draw_calibration(curve, page.calibration)
    figure.draw_without_rendering()
    for panel in (rate, speed, curve):
        shorten_legends(panel)
    _write_head(canvas, head, page)
    _write_numbers(canvas, keys, series)
    _write_flags(canvas, flags, page, [(STATUS_COLOURS[s], n, STATUS_TEXT[s]) for s, n in count_missing(reasons)])
    _write_source(canvas, source, page)
    return figure


def _image_width(example: ExampleImage | None) -> float:
    """Return how wide the image is, as a share of the page's width, at its height."""
    if example is None:
        return _IMAGE_WIDEST
    rows, columns = example.absorbance.shape
    return min(_IMAGE_WIDEST, _IMAGE_HIGH * SIZE_IN[1] / SIZE_IN[0] * float(columns / rows))


def _write_head(canvas: "FigureCanvasAgg", axes: "Axes", page: ReportPage) -> None:
    writer = Writer(canvas, axes)
    writer.paragraph(f"SO₂ emission rate of {page.volcano}", INK, 19, weight="bold")
    writer.y += 2
    times = page.series.times
    first, last = min(times).astimezone(UTC), max(times).astimezone(UTC)
    end = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    count = f"{len(times)} image pair{'s' if len(times) > 1 else ''}"
    text = f"{page.site}  ·  {first:%Y-%m-%d %H:%M:%S} to {end} UTC  ·  {count}  ·  ± is 1 sigma"
    writer.paragraph(text, MUTED, 10)
    axes.axhline(0.0, color=RULE, linewidth=1.0, clip_on=False)


def _write_numbers(canvas: "FigureCanvasAgg", axes: "Axes", series: EmissionSeries) -> None:
    """Write the mean of each method as a headline, and below it what it is made of."""
    count = min(len(series.speed_methods), _MOST_METHODS)
    width = axes.get_window_extent().width * 72 / DPI / max(count, 1)
    for m in range(count):
        value = series.total_emission_rate_kg_s[:, m]
        random, systematic = mean_uncertainty(series, m)
        writer = Writer(canvas, axes, inset=m * width)
        writer.width, writer.y = width - 14, 1.0
        writer.paragraph(
            f"mean total by {method_name(series.speed_methods[m])}", nth(METHOD_COLOURS, m), FONT, weight="bold"
        )
        valid = int(np.isfinite(value).sum())
        if not valid:
            writer.paragraph("no valid value", ALERT, 15, weight="bold")
            writer.paragraph(f"of {value.size} pairs", MUTED, FONT)
            continue
        mean, both = mean_of(value), float(np.hypot(random, systematic))
        writer.paragraph(f"{with_digits(mean)} ± {with_digits(both, 2)} kg s⁻¹", INK, 15, weight="bold")
        day = TONNES_PER_DAY_PER_KG_PER_S
        writer.paragraph(f"{with_digits(mean * day)} ± {with_digits(both * day, 2)} t d⁻¹", INK, 10.5)
        writer.y += 1
        parts = f"± {with_digits(random, 2)} random, ± {with_digits(systematic, 2)} systematic"
        writer.paragraph(f"{parts}; {valid} of {value.size} valid", MUTED, FONT_SMALL)
        speeds = [median_of(series.plume_speed_m_s[:, i, m]) for i in range(len(series.lines))]
        median = f"median {with_digits(median_of(value))} kg s⁻¹"
        writer.paragraph(f"{median}; plume speed {with_digits(mean_of(np.array(speeds)))} m s⁻¹", MUTED, FONT_SMALL)
    more = len(series.speed_methods) - count
    if more > 0:
        writer = Writer(canvas, axes)
        writer.y = writer.height - 8
        writer.paragraph(f"and {more} more methods, drawn below", MUTED, FONT_SMALL)


def mean_uncertainty(series: EmissionSeries, m: int) -> tuple[float, float]:
    """Return 1 sigma of the mean total by method number ``m``: what scatters from pair to pair, and what all share."""
    value = series.total_emission_rate_kg_s[:, m]
    return mean_parts(value, series.total_random_uncertainty_kg_s[:, m], series.total_systematic_uncertainty_kg_s[:, m])


def mean_parts(value: FloatArray, random: FloatArray, systematic: FloatArray) -> tuple[float, float]:
    """Return 1 sigma of the mean of what is finite in ``value``: random and systematic part; all (N,)."""
    known = np.isfinite(value)
    if not known.any():
        return float("nan"), float("nan")
    scatter = random[known & np.isfinite(random)]
    shared = systematic[known & np.isfinite(systematic)]
    return (
        float(np.sqrt(np.sum(scatter**2)) / scatter.size) if scatter.size else float("nan"),
        float(shared.mean()) if shared.size else float("nan"),
    )


def _draw_slope(axes: "Axes", series: EmissionSeries) -> None:
    """Say which calibration held, where no curve of it is at hand."""
    set_title(axes, "Calibration")
    slope = median_of(series.calibration_slope_molec_cm2)
    sigma = median_of(series.calibration_slope_uncertainty_molec_cm2)
    text = "no calibration"
    if np.isfinite(slope):
        text = f"median slope\n{slope:.3g} ± {sigma:.1g}\nmolecules cm⁻²\nper absorbance"
    leave_empty(axes, text)


def _write_flags(canvas: "FigureCanvasAgg", axes: "Axes", page: ReportPage, missing: Sequence[Item]) -> None:
    series = page.series
    counts = [(flag, int(np.count_nonzero(series.quality_flags & flag))) for flag in QualityFlag if flag]
    flags: list[Item] = [
        (None, count, QUALITY_TEXT[flag]) for flag, count in sorted(counts, key=lambda item: -item[1]) if count
    ]
    writer = Writer(canvas, axes)
    writer.y = 0
    writer.paragraph("Quality", INK, FONT_TITLE, weight="bold")
    writer.y += 2
    lost = sum(count for _, count, _ in missing)
    writer.paragraph(
        f"Totals missing: {lost}" if lost else "No total is missing.",
        INK,
        FONT_SMALL,
        weight="bold" if lost else "normal",
    )
    writer.items(missing, 2)
    writer.paragraph(
        "Flagged pairs" if flags else "No pair is flagged.", INK, FONT_SMALL, weight="bold" if flags else "normal"
    )
    writer.items(flags, 3)
    for number, warning in enumerate(page.warnings):
        if writer.y > writer.height - 12:
            left = len(page.warnings) - number
            writer.paragraph(f"and {left} more warning{'s' if left > 1 else ''} in the log", ALERT, FONT_SMALL)
            break
        writer.paragraph(warning, ALERT, FONT_SMALL, lines=2)


def _write_source(canvas: "FigureCanvasAgg", axes: "Axes", page: ReportPage) -> None:
    provenance = page.provenance
    rows = [
        *page.origin,
        ("settings hash", provenance.settings_sha256[:32]),
        ("input files", f"{len(provenance.input_sha256)}; their hashes are in emission_rates.nc"),
        ("made", f"{provenance.created.astimezone(UTC):%Y-%m-%d %H:%M} UTC, by so2cam {provenance.software_version}"),
    ]
    writer = Writer(canvas, axes)
    writer.y = 0
    writer.paragraph("Where it comes from", INK, FONT_TITLE, weight="bold")
    writer.y += 2
    room = writer.height - writer.y
    writer.table(writer.wrap_table([(plain(label), plain(value)) for label, value in rows], room), room)
