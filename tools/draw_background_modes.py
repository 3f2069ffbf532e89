"""Draw docs/images/background-modes.png: where each sky-background mode holds, and what is left where it does not.

python tools/draw_background_modes.py [--out FILE]

A plume of known absorbance is simulated in front of a sky that the mode follows, and in front of the next harder
one. Maps show what the mode makes too much (red) or too little (blue), with areas found automatically.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from so2cam.core.records import BoolImage, FloatArray, FloatImage
from so2cam.science.imaging.background_modes import (
    MODE_NUMBERS,
    BackgroundMode,
    BackgroundStatus,
    SkyAreas,
    correct_background,
    find_sky_areas,
    needed_areas,
    needs_clear,
)

IMAGE = Path(__file__).resolve().parents[1] / "docs" / "images" / "background-modes.png"
SHAPE = (486, 648)
PEAK = 0.2
NOISE = 0.002
RANGE = 0.06
INK, MUTED, TERRAIN = "#1a1a1a", "#6b6b6b", "#b9b4ac"
COLOURS = matplotlib.colormaps["RdBu_r"].resampled(49)
"""Steps of 0.0025: too fine to be seen, and half the file of a continuous scale."""
ZOOM = 6
"""Pixels that are averaged in each direction."""

Mode = BackgroundMode
Sky = Callable[[FloatArray, FloatArray], FloatArray]


def sky(constant: float = 0, u: float = 0, v: float = 0, uu: float = 0, uv: float = 0, vv: float = 0) -> Sky:
    """Return a sky's log intensity as a polynomial of u and v, from -1 to 1 across and down the image."""
    return lambda x, y: constant + u * x + v * y + uu * x**2 + uv * x * y + vv * y**2


CONSTANT = sky(0.06)
LINE_Y = sky(0.03, v=0.07)
CURVE_Y = sky(0.03, v=0.07, vv=0.08)
PLANE = sky(0.03, 0.05, 0.07)
CURVE_Y_LINE_X = sky(0.03, 0.05, 0.07, vv=0.08)
CURVES = sky(0.03, 0.05, 0.07, -0.05, 0, 0.08)
TWISTED = sky(0.03, 0.05, 0.07, -0.05, 0.06, 0.08)


def wavy(u: FloatArray, v: FloatArray) -> FloatArray:
    """Return a sky that no low polynomial follows: bands of thin cloud."""
    return np.asarray(0.05 + 0.05 * np.sin(5 * u + 2 * v + 2.2))


@dataclass(frozen=True)
class Row:
    """A mode with its rule in words, and two skies with their names."""

    mode: BackgroundMode
    rule: str
    holds: tuple[str, Sky]
    fails: tuple[str, Sky]


ROWS = (
    Row(
        Mode.POLYNOMIAL,
        "surface of order 2 through\nplume-free sky; no clear image",
        ("curved", TWISTED),
        ("waves", wavy),
    ),
    Row(Mode.SCALE, "mean in one rectangle", ("constant", CONSTANT), ("line in y", LINE_Y)),
    Row(Mode.SCALE_GRADIENT_Y, "line in y through\ntwo rectangles", ("line in y", LINE_Y), ("curve in y", CURVE_Y)),
    Row(Mode.PROFILE_Y, "curve in y along a column", ("curve in y", CURVE_Y), ("+ line in x", CURVE_Y_LINE_X)),
    Row(
        Mode.SCALE_GRADIENT_XY,
        "lines in y and x through\nthree rectangles",
        ("lines in x and y", PLANE),
        ("+ curve in y", CURVE_Y_LINE_X),
    ),
    Row(
        Mode.PROFILE_Y_GRADIENT_X,
        "curve in y along a column,\nline in x through two rectangles",
        ("curve y, line x", CURVE_Y_LINE_X),
        ("curves in x and y", CURVES),
    ),
    Row(
        Mode.PROFILE_XY,
        "curves along a column\nand a row",
        ("curves in x and y", CURVES),
        ("+ twist", TWISTED),
    ),
    Row(
        Mode.RECTANGLE,
        "mean intensity in one\nrectangle; no clear image",
        ("constant", CONSTANT),
        ("line in y", LINE_Y),
    ),
    Row(Mode.CLEAR_SKY, "the clear-sky image\nas it is", ("unchanged", sky()), ("brighter", CONSTANT)),
)


@dataclass(frozen=True)
class Outcome:
    """The bias of one mode on one sky: a map, and the plume's mean relative to the truth."""

    bias: FloatImage
    relative: float
    areas: SkyAreas | None
    plume: FloatImage
    terrain: BoolImage


def run(mode: BackgroundMode, behind: Sky) -> Outcome:
    """Return what ``mode`` makes of a plume in front of a sky that differs by ``behind`` from the clear-sky image.

    The off band's sky differs by 60 % as much as the on band's. Modes without a clear-sky image get
    flat-corrected images, whose sky is ``behind`` alone.
    """
    random = np.random.default_rng(4)
    v, u = np.meshgrid(np.linspace(-1, 1, SHAPE[0]), np.linspace(-1, 1, SHAPE[1]), indexing="ij")
    s, n = -0.85 * u - 0.53 * (v - 0.5), 0.53 * u - 0.85 * (v - 0.5)
    width = 0.10 + 0.13 * np.clip(s, 0, None)
    share = np.clip(1 - (n / width) ** 2, 0, None) ** 2 * (s > 0) * (0.8 + 0.2 * np.cos(11 * s))
    terrain = np.asarray(v > 0.62 - 0.25 * np.exp(-np.abs(u / 0.35)))
    valid = np.ones(SHAPE, np.bool_)
    images, clears = [], []
    for band, (absorbance, part, vignetting) in enumerate(((PEAK, 1.0, 0.4), (0.0, 0.6, 0.3))):
        level = np.log(1 - vignetting * (u**2 + v**2) / 2) if needs_clear(mode) else np.zeros(SHAPE)
        clear = level + 8 + band
        image = clear + part * behind(u, v) - (absorbance + 0.03) * share - 1.2 * terrain
        images.append((image + random.normal(0, NOISE, SHAPE)).astype(np.float32))
        clears.append(clear.astype(np.float32))
    like_clear = [image - clear for image, clear in zip(images, clears, strict=True)]
    areas = find_sky_areas(like_clear[0], like_clear[1], valid)
    results = [
        correct_background(image, clear if needs_clear(mode) else None, valid, mode, areas)
        for image, clear in zip(images, clears, strict=True)
    ]
    if any(result.status is not BackgroundStatus.OK for result in results):
        raise RuntimeError(f"{mode.value}: {[result.status.value for result in results]}")
    truth = (PEAK * share).astype(np.float32)
    bias = results[0].optical_depth - results[1].optical_depth - truth
    inside = (truth > 0.25 * PEAK) & ~terrain
    return Outcome(bias, float(bias[inside].mean() / truth[inside].mean()), areas, truth, terrain)


def coarse(image: npt.NDArray[np.generic]) -> FloatArray:
    """Return means over squares of ``ZOOM`` pixels."""
    rows, columns = SHAPE[0] // ZOOM, SHAPE[1] // ZOOM
    cut = np.asarray(image[: rows * ZOOM, : columns * ZOOM], np.float64)
    return np.asarray(cut.reshape(rows, ZOOM, columns, ZOOM).mean(axis=(1, 3)))


def percent(share: float) -> str:
    """Return a share as text, with a minus sign and without a negative zero."""
    return f"{100 * share:+.1f} %".replace("-0.0", "0.0").replace("+0.0", "0.0").replace("-", "\N{MINUS SIGN}")


def draw_map(axes: Axes, mode: BackgroundMode, name: str, outcome: Outcome) -> None:
    """Draw one bias map with the plume's outline and the areas that the mode uses."""
    extent = (-0.5, SHAPE[1] - 0.5, SHAPE[0] - 0.5, -0.5)
    terrain = coarse(outcome.terrain) > 0.5
    shown = np.ma.masked_where(terrain, coarse(outcome.bias))
    axes.set_facecolor(TERRAIN)
    axes.imshow(shown, cmap=COLOURS, vmin=-RANGE, vmax=RANGE, extent=extent, interpolation="nearest")
    plume = np.where(terrain, 0, coarse(outcome.plume))
    centres = [np.arange(size) * ZOOM + (ZOOM - 1) / 2 for size in (plume.shape[1], plume.shape[0])]
    axes.contour(*centres, plume, [0.1 * PEAK], colors=INK, linewidths=0.7)
    draw_areas(axes, mode, outcome)
    axes.set(xticks=[], yticks=[], xlim=extent[:2], ylim=extent[2:])
    for spine in axes.spines.values():
        spine.set(color="#cfcfcf", linewidth=0.6)
    axes.text(12, 470, name, fontsize=6.5, color=INK, va="bottom")
    axes.text(636, 470, percent(outcome.relative), fontsize=7.5, color=INK, va="bottom", ha="right", weight="bold")


def draw_areas(axes: Axes, mode: BackgroundMode, outcome: Outcome) -> None:
    """Draw the areas that the mode uses."""
    areas, used = outcome.areas, needed_areas(mode)
    if areas is None:
        return
    boxes = [getattr(areas, name) for name in ("scale", "y_gradient", "x_gradient") if name in used]
    if "y_profile" in used and areas.y_profile is not None:
        x, y0, y1, width = areas.y_profile
        boxes.append((x - width // 2, y0, x - width // 2 + width - 1, y1))
    if "x_profile" in used and areas.x_profile is not None:
        y, x0, x1, width = areas.x_profile
        boxes.append((x0, y - width // 2, x1, y - width // 2 + width - 1))
    for x0, y0, x1, y1 in boxes:
        axes.add_patch(
            Rectangle(
                (x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="#00795c", linewidth=1.3, clip_on=False, zorder=5
            )
        )
    if "plume_free" in used and areas.plume_free is not None:
        free = coarse(areas.plume_free)
        axes.contour(
            np.arange(free.shape[1]) * ZOOM,
            np.arange(free.shape[0]) * ZOOM,
            free,
            [0.5],
            colors="#00795c",
            linewidths=0.9,
        )


def draw() -> Figure:
    """Return the figure."""
    numbers = {mode: number for number, mode in MODE_NUMBERS.items()}
    height, label, gap, head, foot = 1.02, 1.9, 0.09, 0.42, 0.52
    width = height * SHAPE[1] / SHAPE[0]
    size = (label + 2 * width + gap + 0.08, head + len(ROWS) * (height + gap) + foot)
    figure = Figure(figsize=size, dpi=120)

    def place(left: float, top: float, wide: float, high: float) -> tuple[float, float, float, float]:
        return left / size[0], 1 - (top + high) / size[1], wide / size[0], high / size[1]

    for column, text in enumerate(("a sky that it follows", "the next harder sky")):
        left = label + column * (width + gap)
        figure.text(left / size[0], 1 - 0.3 / size[1], text, fontsize=8.5, color=INK, weight="bold")
    for index, row in enumerate(ROWS):
        top = head + index * (height + gap)
        at = 0.08 / size[0]
        figure.text(at, 1 - (top + 0.2) / size[1], f"{row.mode.value}", fontsize=8.5, color=INK, weight="bold")
        figure.text(at, 1 - (top + 0.36) / size[1], f"number {numbers[row.mode]}", fontsize=7, color=MUTED)
        figure.text(at, 1 - (top + 0.46) / size[1], row.rule, fontsize=7, color=INK, va="top", linespacing=1.3)
        for column, (name, behind) in enumerate((row.holds, row.fails)):
            axes = figure.add_axes(place(label + column * (width + gap), top, width, height))
            draw_map(axes, row.mode, name, run(row.mode, behind))
    bar = figure.add_axes(place(label, size[1] - foot + 0.08, 2 * width + gap, 0.08))
    scale = ScalarMappable(Normalize(-RANGE, RANGE), COLOURS)
    figure.colorbar(scale, cax=bar, orientation="horizontal", extend="both", ticks=[-0.06, -0.03, 0, 0.03, 0.06])
    bar.tick_params(labelsize=6.5, color=MUTED, labelcolor=INK, length=2, pad=1.5)
    bar.set_xlabel("absorbance found minus truth", fontsize=7, color=INK, labelpad=1)
    figure.text(
        0.08 / size[0],
        (foot - 0.04) / size[1],
        "black: plume, peak absorbance 0.20\ngreen: areas of sky used\n%: bias of the plume's mean",
        fontsize=6.5,
        color=MUTED,
        va="top",
        linespacing=1.3,
    )
    return figure


def main() -> int:
    """Write the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=IMAGE, help="file to write [docs/images/background-modes.png]")
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    draw().savefig(out, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True})
    return 0


if __name__ == "__main__":
    sys.exit(main())
