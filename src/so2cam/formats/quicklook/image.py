"""The middle of the quicklook: an example image with the lines and the apparent motion, and columns along the lines."""

import math
from datetime import UTC
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import BoolImage, FloatArray
from so2cam.core.results import EmissionSeries, ExampleImage
from so2cam.formats.quicklook.style import (
    FONT,
    FONT_SMALL,
    FRAME,
    INK,
    LINE_COLOURS,
    MUTED,
    ROW,
    add_line_legend,
    add_second_scale,
    leave_empty,
    nth,
    plain,
    set_labels,
    set_style,
    set_title,
    title_rows,
)
from so2cam.formats.quicklook.values import power_of_ten

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_image(axes: "Axes", scale: "Axes", example: ExampleImage | None, series: EmissionSeries) -> None:
    """Draw the absorbance, hatched where it is masked, its colour scale, the lines and the apparent motion."""
    rows = title_rows(series)
    set_title(axes, "Apparent absorbance", rows=rows)
    if example is None:
        scale.set_axis_off()
        leave_empty(axes, "no example image")
        return
    axes.annotate(
        f"{example.time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        (0, 1),
        (0, 5 + ROW * (rows - 1)),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=FONT,
        color=MUTED,
    )
    usable = example.valid & np.isfinite(example.absorbance)
    low, high = 0.0, 0.1
    if usable.any():
        low = min(0.0, float(np.percentile(example.absorbance[usable], 1)))
        high = max(float(np.percentile(example.absorbance[usable], 99.8)), low + 1e-3)
    axes.set_facecolor("#d4d4d4")
    axes.patch.set(hatch="////", edgecolor="#ababab", linewidth=0)
    absorbance = np.ma.masked_array(example.absorbance, ~usable)
    shown = axes.imshow(absorbance, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    axes.set_anchor("SW")
    axes.tick_params(labelsize=FONT_SMALL, color=FRAME, labelcolor=MUTED, length=3)
    axes.spines[:].set_color(FRAME)
    bar = axes.figure.colorbar(shown, cax=scale, orientation="horizontal", extend="both", extendfrac=0.02)
    bar.outline.set_visible(False)
    scale.tick_params(labelsize=FONT_SMALL, color=FRAME, labelcolor=INK, length=2)
    masked = 100 * (1 - float(np.mean(usable)))
    set_labels(scale, x=f"apparent absorbance; hatched: masked, {masked:.0f} % of the image")
    scale.xaxis.label.set_in_layout(False)
    plume = usable & (example.absorbance > low + 0.3 * (high - low))
    _draw_flow(axes, example, plume)
    _draw_lines(axes, example, series.lines)
    height, width = example.absorbance.shape
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)


def _line_colour(name: str, number: int, lines: tuple[str, ...]) -> str:
    """Return the colour of the line ``name``: that of its place in the series or, if it is not in it, of ``number``."""
    return nth(LINE_COLOURS, lines.index(name) if name in lines else number)


def _draw_lines(axes: "Axes", example: ExampleImage, lines: tuple[str, ...]) -> None:
    """Draw each line, its normal as an arrow, and its name inside the image."""
    from matplotlib.patheffects import AbstractPathEffect, withStroke

    height, width = example.absorbance.shape
    halo: list[AbstractPathEffect] = [withStroke(linewidth=4.0, foreground="white")]
    for number, line in enumerate(example.lines):
        colour = _line_colour(line.name, number, lines)
        x, y = zip(*line.points, strict=True)
        axes.plot(x, y, color=colour, linewidth=2.2, path_effects=halo)
        middle, normal = line.middle
        tip = (middle[0] + 0.07 * width * normal[0], middle[1] + 0.07 * width * normal[1])
        arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 2.0, "mutation_scale": 13, "shrinkA": 0}
        axes.annotate("", tip, middle, arrowprops=arrow | {"path_effects": halo})
        # Names at alternating ends, so that those of two lines side by side keep apart.
        end = sorted((line.start, line.end), key=lambda point: (point[1], point[0]))[number % 2]
        name = axes.text(
            min(max(end[0], 0.1 * width), 0.9 * width),
            min(max(end[1], 0.05 * height), 0.95 * height),
            plain(line.name, 18 if len(example.lines) < 3 else 10),
            parse_math=False,
            fontsize=FONT,
            fontweight="bold",
            color="white",
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.25", "facecolor": colour, "edgecolor": "white", "linewidth": 1.0},
        )
        name.set_in_layout(False)


def _draw_flow(axes: "Axes", example: ExampleImage, plume: BoolImage) -> None:
    """Draw the mean apparent velocity of coarse blocks, where there is plume and the velocity is known."""
    if example.flow_px_s is None:
        return
    height, width = plume.shape
    step = max(4, round(width / 26))
    known = plume & np.isfinite(example.flow_px_s).all(axis=2)
    counts = _block_sums(known.astype(np.float64), step)
    u, v = (_block_sums(np.where(known, example.flow_px_s[..., k], 0.0), step) for k in (0, 1))
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
    decade = 10.0 ** math.floor(math.log10(typical))
    nice = max(factor * decade for factor in (1, 2, 5) if factor * decade <= typical * (1 + 1e-9))
    wide = width > 0.8 * height
    axes.quiverkey(
        arrows,
        0.955 if wide else 0.10,
        1.03,
        nice,
        f"apparent motion, {nice:g} px s⁻¹",
        coordinates="axes",
        labelpos="W" if wide else "E",
        labelsep=0.06,
        labelcolor=MUTED,
        fontproperties={"size": FONT},
    )


def _block_sums(image: npt.NDArray[np.floating], step: int) -> FloatArray:
    """Return sums over blocks of ``step`` x ``step`` pixels; an incomplete last row or column is left out."""
    rows, columns = image.shape[0] // step, image.shape[1] // step
    blocks = image[: rows * step, : columns * step].reshape(rows, step, columns, step)
    return np.asarray(blocks.sum(axis=(1, 3), dtype=np.float64))


def draw_profiles(axes: "Axes", example: ExampleImage | None, lines: tuple[str, ...]) -> None:
    """Draw the column density along each line of the example image."""
    set_style(axes)
    set_title(axes, "Column density")
    profiles = {} if example is None else example.profiles
    finite = [column[np.isfinite(column)] for column, _ in profiles.values()]
    values = np.concatenate((*finite, np.zeros(1)))
    if not any(column.size for column in finite):
        leave_empty(axes, "no column density" if profiles else "no example image")
        return
    exponent, factor = power_of_ten(float(np.abs(values).max()))
    colours = {name: _line_colour(name, number, lines) for number, name in enumerate(profiles)}
    for name, (column, length_m) in profiles.items():
        x = np.linspace(0, length_m, column.size)
        axes.plot(x, column / factor, color=colours[name], linewidth=1.4)
        axes.fill_between(x, 0, column / factor, color=colours[name], alpha=0.10, linewidth=0)
    axes.axhline(0, color=FRAME, linewidth=0.8, zorder=1)
    low, high = float(values.min()) / factor, float(values.max()) / factor
    room = 0.06 * max(high - low, 1e-9)
    axes.set_ylim(low - room, high + room)
    axes.margins(x=0.01)
    add_line_legend(axes, colours)
    set_labels(axes, x="distance along the line [m]", y=f"column density [{exponent} molecules cm⁻²]")
    add_second_scale(axes, factor / MOLEC_CM2_PER_PPM_M, "[ppm m]")
