"""What is drawn over an image: plume cross-section lines with their names, and arrows of the apparent motion."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from so2cam.core.records import BoolImage, FloatArray, PlumeLine
from so2cam.formats.images.packing import MISSING, Codes, Layer, table_of
from so2cam.formats.quicklook.style import FONT, LINE_COLOURS, nth, plain

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

ARROWS_ACROSS = 26
"""So many arrows stand across the image at most."""


@dataclass(frozen=True, slots=True)
class Arrows:
    """Mean apparent velocity [px s-1] of blocks of pixels: centres ``x``, ``y`` [px] and components ``u``, ``v``."""

    x: FloatArray
    y: FloatArray
    u: FloatArray
    v: FloatArray


def block_size(width: int) -> int:
    """Return the side [px] of the blocks of an image of ``width`` that get an arrow each."""
    return max(4, round(width / ARROWS_ACROSS))


def flow_arrows(flow: tuple[Codes, Codes], layers: tuple[Layer, Layer], plume: BoolImage) -> Arrows:
    """Return an arrow for each block more than half of which is ``plume`` with a known velocity."""
    step = block_size(plume.shape[1])
    known = plume & (flow[0] != MISSING) & (flow[1] != MISSING)
    counts = _block_sums(known.astype(np.float64), step)
    full = counts > 0.5 * step * step
    means = []
    for codes, layer in zip(flow, layers, strict=True):
        values = np.where(known, table_of(layer)[codes], 0.0)
        means.append(_block_sums(values, step)[full] / counts[full])
    y, x = np.nonzero(full)
    at = [np.asarray((place + 0.5) * step - 0.5, np.float64) for place in (x, y)]
    return Arrows(at[0], at[1], means[0], means[1])


def _block_sums(image: npt.NDArray[np.floating], step: int) -> FloatArray:
    """Return sums over blocks of ``step`` x ``step`` pixels; an incomplete last row or column is left out."""
    rows, columns = image.shape[0] // step, image.shape[1] // step
    blocks = image[: rows * step, : columns * step].reshape(rows, step, columns, step)
    return np.asarray(blocks.sum(axis=(1, 3), dtype=np.float64))


def typical_speed(arrows: Sequence[Arrows]) -> float:
    """Return the percentile 95 of the arrows' speeds [px s-1], NaN without arrows or motion."""
    speeds = np.concatenate([np.hypot(a.u, a.v) for a in arrows] or [np.zeros(0)])
    typical = float(np.percentile(speeds, 95)) if speeds.size else math.nan
    return typical if typical > 0 else math.nan


def round_number_below(value: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above ``value`` (> 0)."""
    decade = 10.0 ** math.floor(math.log10(value))
    return max(factor * decade for factor in (1, 2, 5) if factor * decade <= value * (1 + 1e-9))


def arrow_artist(axes: "Axes", arrows: Arrows, pixels_per_speed: float) -> "Artist":
    """Add ``arrows`` to ``axes``, whose data are pixels, ``pixels_per_speed`` [px per px s-1] long."""
    return axes.quiver(
        arrows.x,
        arrows.y,
        arrows.u,
        arrows.v,
        angles="xy",
        scale_units="xy",
        scale=1 / pixels_per_speed,
        pivot="tail",
        units="dots",
        width=2.4,
        headwidth=3.6,
        headlength=4.2,
        headaxislength=3.8,
        minlength=0.6,
        color="white",
        edgecolor="black",
        linewidth=0.5,
        animated=True,
    )


def line_artists(axes: "Axes", lines: tuple[PlumeLine, ...], shape: tuple[int, int]) -> list["Artist"]:
    """Add ``lines`` to ``axes``, whose data are pixels: each with an arrow along its normal, and its name."""
    from matplotlib.patheffects import AbstractPathEffect, withStroke

    height, width = shape
    halo: list[AbstractPathEffect] = [withStroke(linewidth=3.6, foreground="white")]
    artists: list[Artist] = []
    for number, line in enumerate(lines):
        colour = nth(LINE_COLOURS, number)
        x, y = zip(*line.points, strict=True)
        artists += axes.plot(x, y, color=colour, linewidth=1.8, path_effects=halo, animated=True)
        middle, normal = line.middle
        if all(map(math.isfinite, normal)):
            tip = (middle[0] + 0.05 * width * normal[0], middle[1] + 0.05 * width * normal[1])
            arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "mutation_scale": 14}
            arrow |= {"shrinkA": 0}
            # Once with its halo and once without, or the halo of the shaft would cover the head.
            for effects in ({"path_effects": halo}, {}):
                artists.append(axes.annotate("", tip, middle, arrowprops=arrow | effects, animated=True))
        # Names at alternating ends, so that those of two lines side by side keep apart.
        end = sorted((line.start, line.end), key=lambda point: (point[1], point[0]))[number % 2]
        artists.append(
            axes.text(
                min(max(end[0], 0.09 * width), 0.91 * width),
                min(max(end[1], 0.04 * height), 0.96 * height),
                plain(line.name, 18 if len(lines) < 3 else 10),
                parse_math=False,
                fontsize=FONT,
                fontweight="bold",
                color="white",
                ha="center",
                va="center",
                bbox={"boxstyle": "round,pad=0.25", "facecolor": colour, "edgecolor": "white", "linewidth": 0.8},
                animated=True,
            )
        )
    return artists
