"""The quicklook: one page by which a person can judge a run, as PNG.

Left, on one time axis: the total emission rate, where and why it is missing, plume speed and column amounts.
Middle: an example image with the lines and the apparent motion, and the column density along each line. Right: a
summary in words and the calibration. Colours mean the same everywhere on the page: one set for speed methods, one
for lines, one for reasons why a value is missing.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M, TONNES_PER_DAY_PER_KG_PER_S
from so2cam.core.errors import OutputError
from so2cam.core.records import BoolImage, FloatArray
from so2cam.core.results import CalibrationSummary, EmissionSeries, ExampleImage
from so2cam.core.status import QUALITY_TEXT, STATUS_TEXT, EmissionStatus, QualityFlag

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

SIZE_IN: Final = (16.0, 10.0)
"""Width and height of the page [inch]."""
DPI: Final = 110

METHOD_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#000000", "#56B4E9", "#E69F00")
"""Of the speed methods, in their order: the palette of Okabe and Ito, told apart by colour-blind readers too."""
LINE_COLOURS: Final = ("#AA3377", "#E69F00", "#009E73", "#56B4E9", "#000000", "#999933")
"""Of the plume cross-section lines."""
LINE_STYLES: Final = ("-", "--", ":", "-.")

STATUS_COLOURS: Final[dict[EmissionStatus, str]] = {
    EmissionStatus.NO_DARK: "#000000",
    EmissionStatus.NO_SKY: "#88CCEE",
    EmissionStatus.LINE_NOT_COVERED: "#332288",
    EmissionStatus.LINE_MASKED: "#882255",
    EmissionStatus.NO_NEXT_PAIR: "#888888",
    EmissionStatus.GAP_TOO_LONG: "#DDCC77",
    EmissionStatus.FLOW_UNRELIABLE: "#AA4499",
    EmissionStatus.NO_SECOND_LINE: "#6699CC",
    EmissionStatus.TOO_FEW_SAMPLES: "#44AA99",
    EmissionStatus.NO_CORRELATION: "#CC6677",
    EmissionStatus.LAG_NOT_RESOLVED: "#999933",
    EmissionStatus.PART_MISSING: "#555555",
    EmissionStatus.TIME_NOT_INCREASING: "#661100",
    EmissionStatus.NO_PLUME: "#117733",
}

_INK: Final = "#1a1a1a"
_MUTED: Final = "#6b6b6b"
_RULE: Final = "#d9d9d9"
_ALERT: Final = "#b00020"
_VALID: Final = "#d9e3e8"
_FONT_SMALL: Final = 7.5
_FONT: Final = 8.5
_FONT_TITLE: Final = 10.5
_ROW: Final = 12.5
"""Height of a row of small text between a title and its panel [point]."""
_SECONDS_PER_DAY: Final = 86400.0
_DENSE: Final = 1000
"""More pairs than this are drawn as medians of ``_INTERVALS`` intervals, over faint curves of the pairs."""
_INTERVALS: Final = 160

IntStatus = npt.NDArray[np.int64]


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

    figure = Figure(figsize=SIZE_IN, dpi=DPI, layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0.008, 0.006, 0.984, 0.984), w_pad=0.05, h_pad=0.04, wspace=0.02, hspace=0.015)  # type: ignore[call-arg]
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

    axis = _TimeAxis.of(series.times)
    reasons = total_reasons(series)
    _draw_rate(rate, series, axis, reasons)
    _draw_strip(strip, series, axis, reasons)
    _draw_speed(speed, series, axis)
    _draw_amount(amount, series, axis)
    _format_times((rate, strip, speed, amount), axis)
    _draw_image(image, scale, example, series)
    _draw_profiles(profile, example, series.lines)
    _draw_calibration(cells, calibration)
    for panel in (header, words, footer):
        panel.set_axis_off()

    # Words are set last, into the room that the layout leaves: they must not move the panels.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for panel in (rate, speed, amount, profile, cells):
        _shorten_legends(panel)
    _write_header(canvas, header, words, series, volcano, site_name)
    _write_words(canvas, words, series, reasons, summary)
    _write_strip_key(canvas, strip, image, reasons)
    _write_calibration(canvas, cells, calibration)
    _write_footer(canvas, footer, axis)
    return figure


def total_reasons(series: EmissionSeries) -> IntStatus:
    """Return why each total is missing (times x methods): ``part_missing`` replaced by the first line's reason."""
    reasons = np.array(series.total_status, np.int64)
    for line in range(len(series.lines) - 1, -1, -1):
        of_line = series.status[:, line, :]
        replace = (series.total_status == EmissionStatus.PART_MISSING) & (of_line != EmissionStatus.OK)
        reasons = np.where(replace, of_line, reasons)
    return reasons


# --- time -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _TimeAxis:
    """The pairs on the time axis: increasing days since 1970 in ``x``, and the order that sorts the series."""

    x: FloatArray
    order: npt.NDArray[np.intp]
    step: float
    """Typical time between two pairs [days]."""
    first: datetime | None
    last: datetime | None

    @classmethod
    def of(cls, times: tuple[datetime, ...]) -> "_TimeAxis":
        from matplotlib.dates import date2num

        x = np.array([date2num(time) for time in times], np.float64)  # type: ignore[no-untyped-call]
        order = np.argsort(x, kind="stable")
        x = x[order]
        steps = np.diff(x)
        steps = steps[steps > 0]
        step = float(np.median(steps)) if steps.size else 60 / _SECONDS_PER_DAY
        return cls(x, order, step, min(times, default=None), max(times, default=None))

    def sorted(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return ``values`` (one per pair) in the order of ``x``."""
        return np.asarray(values)[self.order]

    def broken(self, *columns: FloatArray) -> list[FloatArray]:
        """Return ``x`` and ``columns``, with NaN in between where pairs are far apart, so that no curve joins them."""
        gaps = np.flatnonzero(np.diff(self.x) > 6 * self.step) + 1
        middle = (self.x[gaps - 1] + self.x[gaps]) / 2
        return [np.insert(self.x, gaps, middle), *(np.insert(column, gaps, np.nan) for column in columns)]

    def medians(self, *columns: FloatArray) -> list[FloatArray]:
        """Return the middles of intervals and the medians of ``columns`` in them, NaN where nothing is finite."""
        edges = np.linspace(*self.data_limits, _INTERVALS + 1)
        ends = np.searchsorted(self.x, edges)
        parts = [[column[a:b] for a, b in pairwise(ends)] for column in columns]
        return [(edges[1:] + edges[:-1]) / 2, *(np.array([_typical(part) for part in row]) for row in parts)]

    def cells(self) -> tuple[FloatArray, FloatArray]:
        """Return left edges and widths of the time that each pair stands for."""
        half = 0.75 * self.step
        before = np.minimum(np.diff(self.x, prepend=-np.inf) / 2, half)
        after = np.minimum(np.diff(self.x, append=np.inf) / 2, half)
        return self.x - before, before + after

    @property
    def data_limits(self) -> tuple[float, float]:
        """Both ends of the time that is covered."""
        left, widths = self.cells()
        return float(left[0]), float(left[-1] + widths[-1])


def _format_times(axes: Sequence["Axes"], axis: _TimeAxis) -> None:
    """Give the stacked panels one UTC axis, labelled at the first and the last."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    for panel in axes[1:-1]:
        panel.tick_params(axis="x", which="both", labelbottom=False)
    if axis.x.size == 0:
        axes[0].set_xticks([])
        return
    low, high = axis.data_limits
    axes[0].set_xlim(low - 0.01 * (high - low), high + 0.06 * (high - low))
    locator = AutoDateLocator(tz=UTC, minticks=4, maxticks=8)  # type: ignore[no-untyped-call]
    formatter = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator,
        tz=UTC,
        show_offset=False,
        formats=["%Y", "%Y-%m", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S.%f"],
        zero_formats=["%Y", "%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M:%S.%f"],
    )
    axes[0].xaxis.set_major_locator(locator)
    axes[0].xaxis.set_major_formatter(formatter)
    axes[-1].set_xlabel("time, UTC", fontsize=_FONT, color=_INK)


# --- small things that all panels share ---------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _drawable() -> frozenset[int]:
    """Return the characters that the page's fonts have."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(weight=weight))) for weight in ("normal", "bold")]
    return frozenset.intersection(*(frozenset(font.get_charmap()) for font in fonts))


def _plain(text: str, limit: int | None = None) -> str:
    """Return ``text`` on one line, as it can be drawn: cut to ``limit``, ``?`` for what the fonts lack."""
    line = " ".join(text.split())
    if limit is not None and len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return "".join(c if ord(c) in _drawable() else "?" for c in line)


def _method_name(name: str) -> str:
    return _plain(name.replace("_", " "), 24)


def _colour(colours: Sequence[str], index: int) -> str:
    return colours[index % len(colours)]


def _digits(value: float, significant: int = 3) -> str:
    """Return ``value`` with ``significant`` digits, without an exponent where that stays readable."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if not -4 <= magnitude < 6:
        return f"{value:.{significant - 1}e}"
    return f"{value:.{max(0, significant - 1 - magnitude)}f}".replace("-", "−")


def _style(axes: "Axes") -> None:
    """Quiet frame, light grid behind the data, readable ticks."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9a9a9a")
    axes.tick_params(labelsize=_FONT, color="#9a9a9a", labelcolor=_INK, length=3)
    axes.set_axisbelow(True)
    axes.grid(visible=True, color="#e9e9e9", linewidth=0.7)


def _title_rows(series: EmissionSeries) -> int:
    """Return how many rows of small text stand between title and frame in the upper panels."""
    return max(len(series.speed_methods), 1)


def _title(axes: "Axes", title: str, *, rows: int = 0) -> None:
    """Set a panel's title flush with its frame, with room for ``rows`` of small text below it."""
    title_text = axes.set_title(
        title, loc="left", fontsize=_FONT_TITLE, fontweight="bold", color=_INK, pad=5 + _ROW * rows
    )
    title_text.set_gid("title")


def _legend(
    axes: "Axes",
    handles: Sequence["Artist"],
    side: Literal["left", "right"],
    *,
    columns: int = 0,
    rise: float = 0.0,
) -> None:
    """Add a legend ``rise`` points above a panel, at one side; in one row unless ``columns`` says otherwise."""
    from matplotlib.legend import Legend
    from matplotlib.transforms import ScaledTranslation

    figure = axes.get_figure(root=True)
    if figure is None or not handles:
        return
    legend = Legend(
        axes,
        handles,
        [str(handle.get_label()) for handle in handles],
        loc="lower left" if side == "left" else "lower right",
        bbox_to_anchor=(0.0 if side == "left" else 1.0, 1.0),
        bbox_transform=axes.transAxes + ScaledTranslation(0, rise / 72, figure.dpi_scale_trans),
        ncols=columns or len(handles),
        frameon=False,
        fontsize=_FONT,
        labelcolor=_INK,
        handlelength=1.8,
        handletextpad=0.6,
        columnspacing=1.4,
        labelspacing=0.3,
        borderaxespad=0.25,
        borderpad=0.0,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    axes.add_artist(legend)
    legend.set_in_layout(False)
    legend.set_gid(side)


def _shorten_legends(axes: "Axes") -> None:
    """Cut the names in the legend beside a panel's title until it keeps clear of the title."""
    from matplotlib.legend import Legend

    for legend in axes.findobj(Legend):
        if not isinstance(legend, Legend) or legend.get_gid() != "right":
            continue
        texts = legend.get_texts()
        names = [text.get_text() for text in texts]
        end = max(title.get_window_extent().x1 for title in axes.findobj(lambda artist: artist.get_gid() == "title"))
        for limit in range(24, 2, -1):
            for text, name in zip(texts, names, strict=True):
                text.set_text(_plain(name, limit))
            if legend.get_window_extent().x0 > end + 8:
                break


def _note(axes: "Axes", text: str, *, colour: str = _MUTED, size: float = 11.0) -> None:
    """Say in the middle of a panel why it is empty."""
    note = axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=size, color=colour, linespacing=1.5
    )
    note.set_in_layout(False)


def _empty(axes: "Axes", text: str) -> None:
    """Turn ``axes`` into an empty frame that says why."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(_RULE)
    _note(axes, text)


def _label(axes: "Axes", *, x: str | None = None, y: str | None = None) -> None:
    if x is not None:
        axes.set_xlabel(x, fontsize=_FONT, color=_INK)
    if y is not None:
        axes.set_ylabel(y, fontsize=_FONT, color=_INK)


def _second_scale(axes: "Axes", factor: float, label: str) -> None:
    """Label the right side of ``axes`` with its values times ``factor``."""

    def forward(values: Any) -> Any:
        return values * factor

    def backward(values: Any) -> Any:
        return values / factor

    scale = axes.secondary_yaxis("right", functions=(forward, backward))
    scale.spines["right"].set_color("#9a9a9a")
    scale.tick_params(labelsize=_FONT, color="#9a9a9a", labelcolor=_INK, length=3)
    scale.set_ylabel(label, fontsize=_FONT, color=_INK)


def _value_limits(values: Sequence[FloatArray], sigmas: Sequence[FloatArray], axes: "Axes") -> None:
    """Scale ``axes`` to hold zero, every value, and the usual error bars: a few huge ones may not flatten the rest."""
    low, high = 0.0, 0.0
    for value, sigma in zip(values, sigmas, strict=True):
        finite = np.isfinite(value)
        if not finite.any():
            continue
        spread = np.where(np.isfinite(sigma[finite]), sigma[finite], 0.0)
        low = min(low, float(value[finite].min()), float(np.percentile(value[finite] - spread, 2)))
        high = max(high, float(value[finite].max()), float(np.percentile(value[finite] + spread, 98)))
    if high == low:
        high = low + 1.0
    room = 0.06 * (high - low)
    axes.set_ylim(low - (room if low < 0 else 0.0), high + room)


def _curve(
    axes: "Axes",
    axis: _TimeAxis,
    value: FloatArray,
    sigma: FloatArray | None,
    colour: str,
    *,
    style: str = "-",
    width: float = 1.6,
    alpha: float = 1.0,
    band: float = 0.22,
) -> None:
    """Draw one series: a curve that breaks where values are missing, its band, and dots for values that stand alone."""
    value = axis.sorted(value).astype(np.float64)
    spread = np.full_like(value, np.nan) if sigma is None else axis.sorted(sigma).astype(np.float64)
    x, y, s = axis.broken(value, spread)
    if axis.x.size > _DENSE:
        axes.plot(x, y, color=colour, linewidth=0.5, alpha=0.22 * alpha)
        x, y, s = axis.medians(value, spread)
    finite = np.isfinite(y)
    if not finite.any():
        return
    before = np.concatenate(([False], finite[:-1]))
    after = np.concatenate((finite[1:], [False]))
    alone = finite & ~before & ~after
    many = np.count_nonzero(finite)
    marker = 4.5 if many <= 40 else 2.6 if axis.x.size <= 150 else 0.0
    if width < 1:
        marker *= 0.55
    if 300 < axis.x.size <= _DENSE:
        width *= 0.65
    axes.plot(x, y, color=colour, linestyle=style, linewidth=width, alpha=alpha, solid_joinstyle="round")
    if marker:
        axes.plot(x, y, color=colour, linestyle="none", marker="o", markersize=marker, markeredgewidth=0, alpha=alpha)
    elif alone.any():
        axes.plot(
            x[alone],
            y[alone],
            color=colour,
            linestyle="none",
            marker="o",
            markersize=2.2,
            markeredgewidth=0,
            alpha=alpha,
        )
    if sigma is not None and band > 0:
        axes.fill_between(x, y - s, y + s, color=colour, alpha=band, linewidth=0)
        bars = alone & np.isfinite(s)
        axes.vlines(
            x[bars],
            y[bars] - s[bars],
            y[bars] + s[bars],
            color=colour,
            alpha=min(1.0, 2.2 * band),
            linewidth=2.4 if marker else 0.8,
        )


# --- left: the series ---------------------------------------------------------------------------------------------


def _draw_rate(axes: "Axes", series: EmissionSeries, axis: _TimeAxis, reasons: IntStatus) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.transforms import blended_transform_factory

    _style(axes)
    several = len(series.lines) > 1
    _title(axes, "SO₂ emission rate, total", rows=_title_rows(series))
    _label(axes, y="emission rate [kg s⁻¹]")
    handles: list[Artist] = []
    values, sigmas = [], []
    for m, method in enumerate(series.speed_methods):
        colour = _colour(METHOD_COLOURS, m)
        value = series.total_emission_rate_kg_s[:, m]
        random = series.total_random_uncertainty_kg_s[:, m]
        values.append(value)
        sigmas.append(random)
        if several:
            for i in range(len(series.lines)):
                line_value = series.emission_rate_kg_s[:, i, m]
                values.append(line_value)
                sigmas.append(np.zeros_like(line_value))
                _curve(axes, axis, line_value, None, colour, style=LINE_STYLES[i % 4], width=0.8, alpha=0.55, band=0.0)
        _curve(axes, axis, value, random, colour, width=1.8)
        handles.append(Line2D([], [], color=colour, linewidth=2.2, label=_rate_label(series, m, method)))
        mean, whisker = _mean(value), _typical(series.total_systematic_uncertainty_kg_s[:, m])
        values.append(np.array([mean]))
        sigmas.append(np.array([whisker]))
    _value_limits(values, sigmas, axes)
    _legend(axes, handles, "left", columns=1)
    if several:
        thin: list[Artist] = [
            Line2D([], [], color=_MUTED, linewidth=1.0, linestyle=LINE_STYLES[i], label=f"line {_plain(name)}")
            for i, name in enumerate(series.lines[:4])
        ]
        _legend(axes, thin, "right", rise=_ROW * _title_rows(series))
    _second_scale(axes, TONNES_PER_DAY_PER_KG_PER_S, "emission rate [t d⁻¹]")
    if axis.x.size == 0:
        _note(axes, "This run has no image pairs.", colour=_ALERT, size=13)
        return
    if not np.isfinite(series.total_emission_rate_kg_s).any():
        _note(axes, _why_empty(reasons), colour=_ALERT, size=13)
    high = axis.data_limits[1]
    axes.axvspan(high, high + 1e3, color="#f3f3f3", linewidth=0, zorder=0)
    place = blended_transform_factory(axes.transAxes, axes.transData)
    count = len(series.speed_methods)
    for m in range(count):
        value = series.total_emission_rate_kg_s[:, m]
        systematic = series.total_systematic_uncertainty_kg_s[:, m]
        mean, whisker = _mean(value), _typical(systematic)
        x = 0.972 + 0.014 * (m - (count - 1) / 2)
        colour = _colour(METHOD_COLOURS, m)
        if math.isfinite(whisker):
            axes.plot([x, x], [mean - whisker, mean + whisker], transform=place, color=colour, linewidth=2, alpha=0.55)
        axes.plot([x], [mean], transform=place, color=colour, marker="o", markersize=5, markeredgecolor="white")


def _mean(values: FloatArray) -> float:
    """Return the mean of what is finite, NaN if nothing is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan


def _typical(values: FloatArray) -> float:
    """Return the median of what is finite, NaN if nothing is."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else math.nan


def _rate_label(series: EmissionSeries, m: int, method: str) -> str:
    value = series.total_emission_rate_kg_s[:, m]
    name = _method_name(method)
    if not np.isfinite(value).any():
        return f"{name}: no valid value"
    random = _typical(series.total_random_uncertainty_kg_s[:, m])
    systematic = _typical(series.total_systematic_uncertainty_kg_s[:, m])
    return (
        f"{name}: mean {_digits(_mean(value))}, median {_digits(_typical(value))} kg s⁻¹;  "
        f"± {_digits(random, 2)} random, ± {_digits(systematic, 2)} systematic"
    )


def _why_empty(reasons: IntStatus) -> str:
    counts = Counter(reasons[reasons != EmissionStatus.OK].tolist())
    lines = ["No valid emission rate in this run"]
    if counts:
        status, count = counts.most_common(1)[0]
        text = f"{count} of {reasons.size} totals: {STATUS_TEXT[EmissionStatus(status)]}"
        lines += wrap_text(text, 52, len, 3)
    return "\n".join(lines)


def _draw_strip(axes: "Axes", series: EmissionSeries, axis: _TimeAxis, reasons: IntStatus) -> None:
    """Draw one row for each method: pale where the total is valid, the reason's colour where it is missing."""
    from matplotlib.collections import PolyCollection

    for spine in axes.spines.values():
        spine.set_visible(False)
    count = len(series.speed_methods)
    axes.set_ylim(max(count, 1), 0)
    axes.tick_params(axis="both", length=0, labelsize=_FONT_SMALL)
    axes.set_xlabel(" ", fontsize=_FONT, labelpad=13)  # room for the legend and the image's colour scale
    if axis.x.size == 0:
        axes.set_yticks([])
        return
    axes.set_yticks([m + 0.5 for m in range(count)], [_method_name(name) for name in series.speed_methods])
    for m, label in enumerate(axes.get_yticklabels()):
        label.set_parse_math(False)
        label.set_color(_colour(METHOD_COLOURS, m))
    for m in range(count):
        left, widths, shares = _strip_cells(axis, axis.sorted(reasons[:, m]))
        top = np.full(left.size, m + 0.12)
        for status, share in shares.items():
            here = share > 0
            right, bottom = left + widths, top + 0.76 * share
            corners = ((left, top), (right, top), (right, bottom), (left, bottom))
            colour = _VALID if status == EmissionStatus.OK else STATUS_COLOURS[status]
            cells = np.stack([np.stack((x[here], y[here]), axis=-1) for x, y in corners], axis=1)
            axes.add_collection(PolyCollection(list(cells), facecolors=colour, linewidths=0, antialiaseds=False))
            top = top + 0.76 * share


def _strip_cells(
    axis: _TimeAxis, reasons: npt.NDArray[np.int64]
) -> tuple[FloatArray, FloatArray, dict[EmissionStatus, FloatArray]]:
    """Return left edges, widths, and of each status its share: a cell for each pair or, of many, for each interval."""
    left, widths = axis.cells()
    cell = np.arange(axis.x.size)
    if axis.x.size > _DENSE:
        edges = np.linspace(*axis.data_limits, _INTERVALS + 1)
        cell = np.clip(np.searchsorted(edges, axis.x, side="right") - 1, 0, _INTERVALS - 1)
        left, widths = edges[:-1], np.diff(edges)
    number = np.bincount(cell, minlength=left.size)
    shares = {
        EmissionStatus(status): np.bincount(cell[reasons == status], minlength=left.size) / np.maximum(number, 1)
        for status in sorted(set(reasons.tolist()))
    }
    return left, widths, shares


def _draw_speed(axes: "Axes", series: EmissionSeries, axis: _TimeAxis) -> None:
    from matplotlib.lines import Line2D

    _style(axes)
    _title(axes, "Plume speed")
    _label(axes, y="speed [m s⁻¹]")
    values, sigmas = [], []
    for m in range(len(series.speed_methods)):
        for i in range(len(series.lines)):
            value, sigma = series.plume_speed_m_s[:, i, m], series.plume_speed_uncertainty_m_s[:, i, m]
            values.append(value)
            sigmas.append(sigma)
            _curve(
                axes,
                axis,
                value,
                sigma,
                _colour(METHOD_COLOURS, m),
                style=LINE_STYLES[i % 4],
                width=1.3,
                band=0.20 if len(series.lines) == 1 else 0.13,
            )
    _value_limits(values, sigmas, axes)
    handles: list[Artist] = [
        Line2D([], [], color=_colour(METHOD_COLOURS, m), linewidth=2.0, label=_method_name(name))
        for m, name in enumerate(series.speed_methods[:6])
    ]
    if len(series.lines) > 1:
        handles += [
            Line2D([], [], color=_MUTED, linewidth=1.2, linestyle=LINE_STYLES[i], label=_plain(name))
            for i, name in enumerate(series.lines[:4])
        ]
    _legend(axes, handles, "right")
    if not any(np.isfinite(value).any() for value in values):
        axes.set_yticks([])
        _note(axes, "no valid plume speed")


def _draw_amount(axes: "Axes", series: EmissionSeries, axis: _TimeAxis) -> None:
    _style(axes)
    _title(axes, "Integrated column amount")
    _label(axes, y="amount [kg m⁻¹]")
    values, sigmas = [], []
    for i in range(len(series.lines)):
        colour = _colour(LINE_COLOURS, i)
        value, sigma = (
            series.integrated_column_amount_kg_m[:, i],
            series.integrated_column_amount_uncertainty_kg_m[:, i],
        )
        values.append(value)
        sigmas.append(sigma)
        _curve(axes, axis, value, sigma, colour, width=1.3)
    _value_limits(values, sigmas, axes)
    _line_legend(axes, {name: _colour(LINE_COLOURS, i) for i, name in enumerate(series.lines)})
    if not any(np.isfinite(value).any() for value in values):
        axes.set_yticks([])
        _note(axes, "no valid column amount")


def _line_legend(axes: "Axes", colours: dict[str, str]) -> None:
    """Name up to six lines beside the panel's title."""
    from matplotlib.lines import Line2D

    handles: list[Artist] = [
        Line2D([], [], color=colour, linewidth=2.0, label=_plain(name)) for name, colour in list(colours.items())[:6]
    ]
    _legend(axes, handles, "right")


# --- middle: the example image ------------------------------------------------------------------------------------


def _draw_image(axes: "Axes", scale: "Axes", example: ExampleImage | None, series: EmissionSeries) -> None:
    rows = _title_rows(series)
    _title(axes, "Apparent absorbance", rows=rows)
    if example is None:
        scale.set_axis_off()
        _empty(axes, "no example image")
        return
    subtitle = f"{example.time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    axes.annotate(
        subtitle,
        (0, 1),
        (0, 5 + _ROW * (rows - 1)),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=_FONT,
        color=_MUTED,
    )
    usable = example.valid & np.isfinite(example.absorbance)
    low, high = 0.0, 0.1
    if usable.any():
        low = min(0.0, float(np.percentile(example.absorbance[usable], 1)))
        high = max(float(np.percentile(example.absorbance[usable], 99.8)), low + 1e-3)
    axes.set_facecolor("#d4d4d4")
    axes.patch.set_hatch("////")
    axes.patch.set_edgecolor("#ababab")
    axes.patch.set_linewidth(0)
    shown = axes.imshow(
        np.ma.masked_array(example.absorbance, ~usable), cmap="viridis", vmin=low, vmax=high, interpolation="nearest"
    )
    axes.set_anchor("SW")
    axes.tick_params(labelsize=_FONT_SMALL, color="#9a9a9a", labelcolor=_MUTED, length=3)
    for spine in axes.spines.values():
        spine.set_color("#9a9a9a")
    figure = axes.get_figure(root=True)
    if figure is not None:
        bar = figure.colorbar(shown, cax=scale, orientation="horizontal", extend="both", extendfrac=0.02)
        bar.outline.set_visible(False)
        scale.tick_params(labelsize=_FONT_SMALL, color="#9a9a9a", labelcolor=_INK, length=2)
        masked = 100 * (1 - float(np.mean(usable)))
        _label(scale, x=f"apparent absorbance; hatched: masked, {masked:.0f} % of the image")
        scale.xaxis.label.set_in_layout(False)
    _draw_flow(axes, example, usable, low, high)
    _draw_lines(axes, example, series.lines)
    height, width = example.absorbance.shape
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)


def _draw_lines(axes: "Axes", example: ExampleImage, lines: tuple[str, ...]) -> None:
    from matplotlib.patheffects import AbstractPathEffect, withStroke

    height, width = example.absorbance.shape
    for number, line in enumerate(example.lines):
        colour = _colour(LINE_COLOURS, lines.index(line.name) if line.name in lines else number)
        halo: list[AbstractPathEffect] = [withStroke(linewidth=4.0, foreground="white")]
        axes.plot(
            [line.start[0], line.end[0]], [line.start[1], line.end[1]], color=colour, linewidth=2.2, path_effects=halo
        )
        middle = ((line.start[0] + line.end[0]) / 2, (line.start[1] + line.end[1]) / 2)
        tip = (middle[0] + 0.07 * width * line.normal[0], middle[1] + 0.07 * width * line.normal[1])
        arrow = axes.annotate(
            "",
            tip,
            middle,
            arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2.0, "mutation_scale": 13, "shrinkA": 0},
        )
        if arrow.arrow_patch is not None:
            arrow.arrow_patch.set_path_effects(halo)
        # Names at alternating ends, so that those of two lines side by side keep apart, and inside the image.
        ends = sorted((line.start, line.end), key=lambda point: (point[1], point[0]))
        end = ends[number % 2]
        name = axes.text(
            min(max(end[0], 0.1 * width), 0.9 * width),
            min(max(end[1], 0.05 * height), 0.95 * height),
            _plain(line.name, 18 if len(example.lines) < 3 else 10),
            parse_math=False,
            fontsize=_FONT,
            fontweight="bold",
            color="white",
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.25", "facecolor": colour, "edgecolor": "white", "linewidth": 1.0},
        )
        name.set_in_layout(False)


def _draw_flow(axes: "Axes", example: ExampleImage, usable: BoolImage, low: float, high: float) -> None:
    """Draw the mean apparent velocity of coarse blocks, where there is plume and the velocity is known."""
    if example.flow_px_s is None:
        return
    columns = usable.shape[1]
    step = max(4, round(columns / 26))
    plume = usable & (example.absorbance > low + 0.3 * (high - low)) & np.isfinite(example.flow_px_s).all(axis=2)
    counts = _block_sums(plume.astype(np.float64), step)
    u, v = (_block_sums(np.where(plume, example.flow_px_s[..., k], 0.0), step) for k in (0, 1))
    full = counts > 0.5 * step * step
    if not full.any():
        return
    u, v = u[full] / counts[full], v[full] / counts[full]
    typical = float(np.percentile(np.hypot(u, v), 95))
    if typical <= 0:
        return
    y, x = np.nonzero(full)
    arrows = axes.quiver(
        (x + 0.5) * step - 0.5,
        (y + 0.5) * step - 0.5,
        u,
        v,
        angles="xy",
        scale_units="xy",
        scale=typical / (1.25 * step),
        width=0.0045,
        headwidth=4,
        headlength=4.5,
        headaxislength=4,
        color="black",
        edgecolor="white",
        linewidth=0.35,
    )
    exponent = math.floor(math.log10(typical))
    nice = max(factor * 10.0**exponent for factor in (1, 2, 5) if factor * 10.0**exponent <= typical * (1 + 1e-9))
    wide = columns > 0.8 * usable.shape[0]
    axes.quiverkey(
        arrows,
        0.955 if wide else 0.10,
        1.03,
        nice,
        f"apparent motion, {nice:g} px s⁻¹",
        coordinates="axes",
        labelpos="W" if wide else "E",
        labelsep=0.06,
        labelcolor=_MUTED,
        fontproperties={"size": _FONT},
    )


def _block_sums(image: npt.NDArray[Any], step: int) -> FloatArray:
    """Return sums over blocks of ``step`` x ``step`` pixels; an incomplete last row or column is left out."""
    rows, columns = image.shape[0] // step, image.shape[1] // step
    blocks = image[: rows * step, : columns * step].reshape(rows, step, columns, step)
    return np.asarray(blocks.sum(axis=(1, 3), dtype=np.float64))


def _draw_profiles(axes: "Axes", example: ExampleImage | None, lines: tuple[str, ...]) -> None:
    _style(axes)
    _title(axes, "Column density")
    profiles = {} if example is None else example.profiles
    if not any(np.isfinite(column).any() for column, _ in profiles.values()):
        _empty(axes, "no column density" if profiles else "no example image")
        return
    highest = max(float(np.nanmax(np.abs(column))) for column, _ in profiles.values() if np.isfinite(column).any())
    exponent, factor = _power_of_ten(highest)
    colours: dict[str, str] = {}
    low = high = 0.0
    for number, (name, (column, length_m)) in enumerate(profiles.items()):
        colour = _colour(LINE_COLOURS, lines.index(name) if name in lines else number)
        x = np.linspace(0, length_m, column.size)
        y = column / factor
        axes.plot(x, y, color=colour, linewidth=1.4)
        axes.fill_between(x, 0, y, color=colour, alpha=0.10, linewidth=0)
        colours[name] = colour
        finite = y[np.isfinite(y)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    axes.axhline(0, color="#9a9a9a", linewidth=0.8, zorder=1)
    room = 0.06 * max(high - low, 1e-9)
    axes.set_ylim(low - room, high + room)
    axes.margins(x=0.01)
    _line_legend(axes, colours)
    _label(axes, x="distance along the line [m]", y=f"column density [{exponent} molecules cm⁻²]")
    _second_scale(axes, factor / MOLEC_CM2_PER_PPM_M, "[ppm m]")


def _power_of_ten(value: float) -> tuple[str, float]:
    """Return the power of ten of ``value``, in words and as a number."""
    exponent = math.floor(math.log10(value)) if value > 0 else 18
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")), 10.0**exponent


# --- right: words and calibration ---------------------------------------------------------------------------------


def _draw_calibration(axes: "Axes", calibration: CalibrationSummary | None) -> None:
    from matplotlib.lines import Line2D

    _style(axes)
    _title(axes, "Calibration")
    if calibration is None:
        _empty(axes, "no calibration")
        return
    columns = np.concatenate((calibration.column_molec_cm2, calibration.curve_column_molec_cm2))
    finite = np.abs(columns[np.isfinite(columns)])
    exponent, factor = _power_of_ten(float(finite.max()) if finite.size else 0.0)
    handles: list[Artist] = []
    curve = calibration.curve_column_molec_cm2 / factor
    if curve.size:
        sigma = calibration.curve_uncertainty_molec_cm2 / factor
        axes.fill_between(
            calibration.curve_absorbance, curve - sigma, curve + sigma, color=METHOD_COLOURS[0], alpha=0.18, linewidth=0
        )
        axes.plot(calibration.curve_absorbance, curve, color=METHOD_COLOURS[0], linewidth=1.6)
        handles.append(Line2D([], [], color=METHOD_COLOURS[0], linewidth=2.0, label="fit"))
    if calibration.absorbance.size:
        axes.errorbar(
            calibration.absorbance,
            calibration.column_molec_cm2 / factor,
            xerr=calibration.absorbance_uncertainty,
            yerr=calibration.column_uncertainty_molec_cm2 / factor,
            fmt="o",
            color=_INK,
            markersize=5,
            elinewidth=1.1,
            capsize=2.5,
            zorder=4,
        )
        handles.append(Line2D([], [], color=_INK, marker="o", linestyle="none", markersize=5, label="gas cells"))
    _legend(axes, handles, "right")
    _label(axes, x="apparent absorbance", y=f"column density [{exponent} molecules cm⁻²]")


def _write_calibration(canvas: "FigureCanvasAgg", axes: "Axes", calibration: CalibrationSummary | None) -> None:
    """Write the warnings and the fit's description into the two corners that a rising curve leaves free."""
    if calibration is None:
        return
    writer = _Writer(canvas, axes, share=0.6, inset=6)
    for number, warning in enumerate(calibration.warnings):
        if writer.y > 0.36 * writer.height:
            more = len(calibration.warnings) - number
            writer.paragraph(f"and {more} more warning{'s' if more > 1 else ''}", _ALERT, _FONT_SMALL, lines=1)
            break
        writer.paragraph(warning, _ALERT, _FONT_SMALL, lines=5 if len(calibration.warnings) < 3 else 3)
        writer.skip(3)
    writer = _Writer(canvas, axes, share=0.6, inset=6)
    lines = writer.wrap(calibration.description, writer.width, _FONT_SMALL, "normal", 5)
    writer.skip(writer.height - 1.32 * _FONT_SMALL * len(lines) - 6)
    writer.paragraph(calibration.description, _MUTED, _FONT_SMALL, lines=5, align="right")


def _write_header(
    canvas: "FigureCanvasAgg", axes: "Axes", below: "Axes", series: EmissionSeries, volcano: str, site_name: str
) -> None:
    """Write whose run it is at the left, and what came out of it at the right, in line with the panel ``below``."""
    count = min(len(series.speed_methods), 3)
    page, column = axes.get_window_extent(), below.get_window_extent()
    block = 172.0
    first = (column.x0 - page.x0) * 72 / DPI - (count - 1) * block
    title = _Writer(canvas, axes)
    title.width = first - 20
    title.paragraph(volcano, _INK, 22, weight="bold", lines=1)
    title.skip(2)
    title.paragraph(f"{site_name}  ·  {_period(series)}", _MUTED, 11, lines=1)
    for m in range(count):
        result = _Writer(canvas, axes, inset=first + m * block)
        result.width = block - 14
        _write_result(result, series, m)
    axes.axhline(0.0, color=_RULE, linewidth=1.0, clip_on=False)
    axes.set_ylim(0, 1)


def _period(series: EmissionSeries) -> str:
    if not series.times:
        return "no image pairs"
    first, last = min(series.times).astimezone(UTC), max(series.times).astimezone(UTC)
    pairs = f"{len(series.times):,} image pair{'s' if len(series.times) > 1 else ''}".replace(",", "\u202f")
    if first == last:
        return f"{first:%Y-%m-%d %H:%M:%S} UTC  ·  {pairs}"
    end = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    return f"{first:%Y-%m-%d %H:%M:%S} to {end} UTC  ·  {pairs}"


def _write_result(writer: "_Writer", series: EmissionSeries, m: int) -> None:
    """Write a method's mean as a headline, and of how many pairs it is."""
    value = series.total_emission_rate_kg_s[:, m]
    mean, valid = _mean(value), int(np.isfinite(value).sum())
    writer.y = 1.0
    name = series.speed_methods[m].replace("_", " ")
    writer.paragraph(f"mean, {name}", _colour(METHOD_COLOURS, m), _FONT, weight="bold", lines=1)
    share = f"{valid} of {value.size} pairs valid"
    if valid:
        writer.paragraph(f"{_digits(mean)} kg s⁻¹", _INK, 15, weight="bold", lines=1)
        share = f"{_digits(mean * TONNES_PER_DAY_PER_KG_PER_S)} t d⁻¹  ·  {share}"
    else:
        writer.paragraph("no valid value", _ALERT, 15, weight="bold", lines=1)
    writer.paragraph(share, _MUTED, _FONT_SMALL, lines=1)


def _write_words(
    canvas: "FigureCanvasAgg",
    axes: "Axes",
    series: EmissionSeries,
    reasons: IntStatus,
    summary: Sequence[tuple[str, str]],
) -> None:
    """Write the summary as a table, why totals are missing, and the quality flags; the summary gives way first."""
    writer = _Writer(canvas, axes)
    missing = [
        (STATUS_COLOURS[EmissionStatus(status)], count, STATUS_TEXT[EmissionStatus(status)])
        for status, count in Counter(reasons[reasons != EmissionStatus.OK].tolist()).most_common()
    ]
    set_flags = [
        (None, int(np.count_nonzero(series.quality_flags & int(flag))), QUALITY_TEXT[flag])
        for flag in QualityFlag
        if flag
    ]
    flags = sorted((item for item in set_flags if item[1]), key=lambda item: -item[1])
    below = 24 + writer.height_of(missing, 5) + (24 + writer.height_of(flags, 3) if flags else 0)

    writer.y = -(5 + _ROW * _title_rows(series) + 0.80 * _FONT_TITLE)
    writer.paragraph("Summary", _INK, _FONT_TITLE, weight="bold", lines=1)
    writer.skip(4)
    writer.table(summary, writer.height + 16 - below)
    writer.skip(9)
    count = int(np.count_nonzero(reasons != EmissionStatus.OK))
    writer.paragraph(f"Missing totals: {count} of {reasons.size}", _INK, _FONT, weight="bold", lines=1)
    writer.skip(2)
    writer.items(missing, 5)
    if flags:
        writer.skip(9)
        writer.paragraph(f"Quality flags, of {len(series.times)} pairs", _INK, _FONT, weight="bold", lines=1)
        writer.skip(2)
        writer.items(flags, 3)


def _write_strip_key(canvas: "FigureCanvasAgg", axes: "Axes", right: "Axes", reasons: IntStatus) -> None:
    """Name the colours of the strip below it, the most frequent first, as many as fit left of the panel ``right``."""
    if reasons.size == 0:
        return
    writer = _Writer(canvas, axes)
    writer.y = writer.height + 3.5
    writer.width = (right.get_window_extent().x0 - axes.get_window_extent().x0) * 72 / DPI - 8
    missing = Counter(reasons[reasons != EmissionStatus.OK].tolist()).most_common()
    entries = [(_VALID, f"valid ({reasons.size - sum(count for _, count in missing)})")]
    for status, count in missing:
        reason = EmissionStatus(status)
        entries.append((STATUS_COLOURS[reason], f"{reason.name.lower().replace('_', ' ')} ({count})"))
    writer.key(entries)


def _write_footer(canvas: "FigureCanvasAgg", axes: "Axes", axis: _TimeAxis) -> None:
    text = (
        "All uncertainties are 1 sigma. Bands: random part. Dots with whiskers right of the emission rate: mean and "
        "typical systematic part. Curves break where values are missing; the strip below says why."
    )
    if axis.x.size > _DENSE:
        low, high = axis.data_limits
        minutes = (high - low) * _SECONDS_PER_DAY / 60 / _INTERVALS
        text += f" Faint: pairs; strong: medians of {_digits(minutes, 2)} min."
    _Writer(canvas, axes).paragraph(text, _MUTED, _FONT_SMALL, lines=1)


Item = tuple[str | None, int, str]
"""The colour of its square (or none), count and text of a counted item."""


class _Writer:
    """Sets text from the top of a panel downwards, wrapped by its measured width. Lengths are points."""

    def __init__(self, canvas: "FigureCanvasAgg", axes: "Axes", *, share: float = 1.0, inset: float = 0.0) -> None:
        """Start ``inset`` from the panel's edge, for lines as wide as ``share`` of the panel."""
        self._renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
        self._axes = axes
        self._inset = inset
        box = axes.get_window_extent()
        self.width = share * box.width * 72 / DPI
        self.height = box.height * 72 / DPI
        self.y = min(inset, 4.0)

    def skip(self, points: float) -> None:
        """Leave room."""
        self.y += points

    def paragraph(
        self,
        text: str,
        colour: str,
        size: float,
        *,
        weight: str = "normal",
        lines: int,
        align: Literal["left", "right"] = "left",
    ) -> None:
        """Write up to ``lines`` lines; what does not fit ends in an ellipsis."""
        for line in self.wrap(text, self.width, size, weight, lines):
            self._put(0, line, colour, size, weight, align)
            self.y += 1.32 * size

    def table(self, rows: Sequence[tuple[str, str]], bottom: float) -> None:
        """Write rows of a label and a value, as many as end above ``bottom``, and say how many do not."""
        labels = [self.wrap(label, 0.4 * self.width, _FONT, "normal", 1) for label, _ in rows]
        column = 12 + max((self._measure(text, _FONT, "normal") for label in labels for text in label), default=0.0)
        for number, (label, (_, value)) in enumerate(zip(labels, rows, strict=True)):
            values = self.wrap(value, self.width - column, _FONT, "normal", 2)
            height = 1.32 * _FONT * max(len(values), 1) + 2.2
            left = len(rows) - number
            if self.y + height + (0 if left == 1 else 1.32 * _FONT) > bottom:
                self.paragraph(f"and {left} more", _MUTED, _FONT, lines=1)
                return
            for i in range(max(len(values), 1)):
                self._put(0, label[i] if i < len(label) else "", _MUTED, _FONT)
                self._put(column, values[i] if i < len(values) else "", _INK, _FONT)
                self.y += 1.32 * _FONT
            self.skip(2.2)

    def items(self, items: Sequence[Item], limit: int) -> None:
        """Write the first ``limit`` counted items, and how many more there are."""
        for colour, count, text in items[:limit]:
            if colour is not None:
                self._put(0, "■", colour, _FONT)
            self._put(self._text_left - 6, str(count), _INK, _FONT_SMALL, align="right")
            for line in self._item_lines(text):
                self._put(self._text_left, line, _INK, _FONT_SMALL)
                self.y += 1.32 * _FONT_SMALL
            self.skip(1.5)
        if len(items) > limit:
            self._put(self._text_left, f"and {len(items) - limit} more", _MUTED, _FONT_SMALL)
            self.y += 1.32 * _FONT_SMALL

    def key(self, entries: Sequence[tuple[str, str]]) -> None:
        """Write squares of a colour with their names side by side, and how many more there are."""
        x = 0.0
        for number, (colour, text) in enumerate(entries):
            width = 24 + self._measure(text, _FONT, "normal")
            rest = 0.0 if number == len(entries) - 1 else 52.0
            if x + width + rest > self.width:
                self._put(x, f"and {len(entries) - number} more", _MUTED, _FONT)
                return
            self._put(x, "■", colour, _FONT + 1)
            self._put(x + 11, text, _INK, _FONT)
            x += width

    def height_of(self, items: Sequence[Item], limit: int) -> float:
        """Return the height that ``items`` will take."""
        lines = sum(len(self._item_lines(text)) for _, _, text in items[:limit]) + (len(items) > limit)
        return 1.32 * _FONT_SMALL * lines + 1.5 * len(items[:limit])

    _text_left = 46.0

    def _item_lines(self, text: str) -> list[str]:
        return self.wrap(text, self.width - self._text_left, _FONT_SMALL, "normal", 2)

    def _put(
        self,
        x: float,
        text: str,
        colour: str,
        size: float,
        weight: str = "normal",
        align: Literal["left", "right"] = "left",
    ) -> None:
        at_edge = align == "right" and x == 0
        self._axes.annotate(
            text,
            (1 if at_edge else 0, 1),
            (-self._inset if at_edge else self._inset + x, -self.y),
            xycoords="axes fraction",
            textcoords="offset points",
            ha=align,
            va="top",
            fontsize=size,
            fontweight=weight,
            color=colour,
            parse_math=False,
            annotation_clip=False,
        ).set_in_layout(False)

    def _measure(self, text: str, size: float, weight: str) -> float:
        from matplotlib.font_manager import FontProperties

        font = FontProperties(size=size, weight=weight)
        return float(self._renderer.get_text_width_height_descent(text, font, ismath=False)[0]) * 72 / DPI

    def wrap(self, text: str, width: float, size: float, weight: str, lines: int) -> list[str]:
        """Return ``text`` in up to ``lines`` lines of at most ``width``."""
        return wrap_text(_plain(text), width, lambda part: self._measure(part, size, weight), lines)


def wrap_text(text: str, width: float, measure: Callable[[str], float], lines: int) -> list[str]:
    """Return ``text`` in up to ``lines`` lines not wider than ``width``; a long word is cut, a rest ends in ``…``."""
    out: list[str] = []
    rest = text
    while rest and len(out) < lines:
        if measure(rest) <= width:
            return [*out, rest]
        last = len(out) == lines - 1
        end = _longest(rest, width, measure, "…" if last else "")
        space = rest.rfind(" ", 0, end + 1)
        if space > end // 2:
            end = space
        out.append(rest[:end].rstrip() + ("…" if last else ""))
        rest = rest[end:].lstrip()
    return out


def _longest(text: str, width: float, measure: Callable[[str], float], tail: str) -> int:
    """Return how many characters of ``text``, at least one, fit into ``width`` with ``tail`` behind them."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle] + tail) <= width:
            low = middle
        else:
            high = middle - 1
    return low
