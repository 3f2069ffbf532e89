"""``truth.png``: retrieved and true emission rates of simulated volcanoes on one page."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from so2cam.core.errors import OutputError
from so2cam.core.truth import TruthCase, TruthRow
from so2cam.formats.quicklook.style import (
    DPI,
    FONT,
    FONT_SMALL,
    FRAME,
    INK,
    METHOD_COLOURS,
    MUTED,
    ROW,
    RULE,
    add_legend,
    handle,
    leave_empty,
    method_name,
    plain,
    set_labels,
    set_style,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS: Final = 3
_WIDTH_IN: Final = 14.0
_PANEL_IN: Final = 1.75
_ROW_IN: Final = 0.165
_RETRIEVED: Final = METHOD_COLOURS[0]
_OTHER: Final = METHOD_COLOURS[1]


def write_truth_page(path: Path, cases: Sequence[TruthCase]) -> None:
    """Write the page to ``path`` as PNG. Raises OutputError where the file cannot be written."""
    figure = draw_truth_page(cases)
    try:
        figure.savefig(path, format="png", dpi=DPI, metadata={"Title": "so2cam: retrieved and true emission rates"})
    except OSError as error:
        raise OutputError(f"the page cannot be written: {error}", file=path) from error


def draw_truth_page(cases: Sequence[TruthCase]) -> "Figure":
    """Return the page as a figure: all biases with their stated sigma on the left, each scenario's series beside."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for case in cases for row in case.rows]
    across = min(_COLUMNS, max(len(cases), 1))
    lines = max(math.ceil(len(cases) / across), 1)
    tall = max(1.2 + _PANEL_IN * lines, 1.6 + _ROW_IN * (len(rows) + len(cases)), 4.2)
    figure = Figure(figsize=(_WIDTH_IN, tall), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.0, 1.75)).ravel()
    figure.suptitle("Retrieved and true emission rates of simulated volcanoes", x=0.01, ha="left", weight="bold",
                    color=INK)  # fmt: skip
    _draw_biases(left.subplots(), rows)
    figure.legend(
        handles=[handle("true", INK), handle("retrieved, with its stated 1 σ", _RETRIEVED)],
        loc="upper right",
        ncols=2,
        frameon=False,
        fontsize=FONT,
    )
    panels = np.asarray(right.subplots(lines, across, squeeze=False)).ravel()
    for index, axes in enumerate(panels):
        if index < len(cases):
            _draw_case(axes, cases[index], left=index % across == 0, below=index + across >= len(cases))
        else:
            axes.set_axis_off()
    return figure


# --- summary -----------------------------------------------------------------------------------------------------


def _draw_biases(axes: "Axes", rows: Sequence[TruthRow]) -> None:
    set_style(axes)
    set_title(axes, "Bias of the mean, stated 1 σ", rows=1)
    if not rows:
        leave_empty(axes, "no emission rate")
        return
    axes.grid(visible=False, axis="y")
    axes.axvline(0.0, color=FRAME, linewidth=1.0, zorder=1)
    place, ticks, names = 0.0, [], []
    limit = _limit(rows)
    before = ""
    for row in rows:
        if row.scenario != before:
            if before:
                place += 0.3
                axes.axhline(place - 0.45, color=RULE, linewidth=0.6)
                place += 0.3
            before = row.scenario
            names.append(_row_name(row, with_scenario=True))
        else:
            names.append(_row_name(row, with_scenario=False))
        ticks.append(place)
        _draw_bias(axes, row, place, limit)
        place += 1.0
    axes.set_yticks(ticks, names)
    axes.tick_params(axis="y", labelsize=FONT_SMALL, length=0)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row.recommended else "normal")
        label.set_color(INK if row.recommended else MUTED)
    axes.set_ylim(place - 0.4, -0.8)
    axes.set_xlim(-limit, limit)
    set_labels(axes, x="bias [%]")
    add_legend(axes, [handle("recommended", _RETRIEVED), handle("others", _OTHER)], "left")


def _limit(rows: Sequence[TruthRow]) -> float:
    """Return the half width of the axis [%]: what holds the recommended rows, and most of the others."""
    ends = sorted(100 * (abs(row.bias) + row.stated_mean) for row in rows if math.isfinite(row.bias + row.stated_mean))
    wanted = [100 * (abs(row.bias) + row.stated_mean) for row in rows if row.recommended and math.isfinite(row.bias)]
    usual = ends[int(0.85 * (len(ends) - 1))] if ends else 1.0
    return 1.1 * max([usual, 2.0, *wanted])


def _draw_bias(axes: "Axes", row: TruthRow, place: float, limit: float) -> None:
    colour = _RETRIEVED if row.recommended else _OTHER
    bias, sigma = 100 * row.bias, 100 * row.stated_mean
    if not math.isfinite(bias):
        axes.text(0.0, place, " no value", va="center", fontsize=FONT_SMALL, color=MUTED)
        return
    if abs(bias) > limit:
        side = math.copysign(1.0, bias)
        text = f"{bias:+.0f} %".replace("-", "−")
        axes.annotate(
            text,
            xy=(side * limit, place),
            xytext=(side * 0.80 * limit, place),
            ha="right" if side > 0 else "left",
            va="center",
            fontsize=FONT_SMALL,
            color=colour,
            arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.0},
        )
        return
    axes.errorbar(
        bias,
        place,
        xerr=sigma,
        fmt="o",
        markersize=5.0 if row.recommended else 3.5,
        color=colour,
        elinewidth=1.8 if row.recommended else 1.0,
        zorder=3,
    )


def _row_name(row: TruthRow, *, with_scenario: bool) -> str:
    what = plain(f"{row.variant}, {method_name(row.method)}", 58)
    return f"{plain(row.scenario, 20)}:  {what}" if with_scenario else what


# --- a scenario --------------------------------------------------------------------------------------------------


def _draw_case(axes: "Axes", case: TruthCase, *, left: bool, below: bool) -> None:
    set_style(axes)
    set_title(axes, plain(case.scenario, 30), rows=1)
    if not case.series:
        leave_empty(axes, "\n".join(plain(note, 60) for note in case.notes[:2]) or "no emission rate")
        return
    chosen = case.series[0]
    minutes = chosen.seconds / 60
    low, high = chosen.retrieved_kg_s - chosen.sigma_kg_s, chosen.retrieved_kg_s + chosen.sigma_kg_s
    axes.fill_between(minutes, low, high, color=_RETRIEVED, alpha=0.18, linewidth=0)
    axes.plot(minutes, chosen.true_kg_s, color=INK, linewidth=1.6)
    axes.plot(minutes, chosen.retrieved_kg_s, color=_RETRIEVED, linewidth=1.1)
    axes.margins(x=0.01)
    top = np.nanmax([np.nanmax(high, initial=0.0), float(chosen.true_kg_s.max())])
    axes.set_ylim(0.0, 1.12 * float(top) if top > 0 else 1.0)
    row = next((row for row in case.rows if row.variant == chosen.variant and row.method == chosen.method), None)
    if row is not None and math.isfinite(row.bias):
        text = f"{100 * row.bias:+.1f} ± {100 * row.stated_mean:.1f} %".replace("-", "−")
        axes.set_title(text, loc="right", fontsize=FONT, color=_RETRIEVED, fontweight="bold", pad=5 + ROW)
    axes.text(
        0.0, 1.03, plain(chosen.variant, 40), transform=axes.transAxes, ha="left", va="bottom", fontsize=FONT_SMALL,
        color=MUTED,
    )  # fmt: skip
    if left:
        set_labels(axes, y="kg s⁻¹")
    if below:
        set_labels(axes, x="minutes")
