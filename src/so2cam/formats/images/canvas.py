"""One picture of a run: image, colour bar, time, lines and motion. The frame is drawn once, then only what changes.

Pixels of an image are drawn as whole screen pixels, so that nothing is smoothed. All numbers are in screen pixels.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from so2cam.core.records import PlumeLine
from so2cam.core.times import format_utc
from so2cam.formats.images.colours import (
    ColourScale,
    Pixels,
    colour_table,
    hatching,
    reduce_codes,
)
from so2cam.formats.images.overlay import Arrows, arrow_artist, block_size, line_artists, round_number_below
from so2cam.formats.images.packing import MISSING, Codes
from so2cam.formats.quicklook.style import FONT, FONT_SMALL, FONT_TITLE, FRAME, INK, MUTED, plain

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

DPI: Final = 100
SMALLEST_WIDTH: Final = 600
LARGEST_WIDTH: Final = 1300
"""Images are enlarged to at least the one and reduced to at most the other."""

_LEFT, _TOP, _BOTTOM, _RIGHT = 46, 66, 54, 84
_BAR_WIDTH, _BAR_GAP, _SECOND_SCALE = 16, 16, 50


@dataclass(frozen=True, slots=True)
class Labels:
    """What is written around the images of a run; ``metres_per_pixel`` is that at the plume, or None."""

    site: str
    metres_per_pixel: float | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """What one picture shows: the codes (rows, columns) of its layer, and what lies over them."""

    time: datetime
    codes: Codes
    lines: tuple[PlumeLine, ...] = ()
    arrows: Arrows | None = None


class Canvas:
    """Draws moments of a run, all in one frame. ``panel`` pixels are left free below for what else is drawn.

    ``typical_speed`` [px s-1] sets the length of the arrows of the whole run; NaN for none.
    """

    def __init__(
        self, shape: tuple[int, int], scale: ColourScale, labels: Labels, *, typical_speed: float, panel: int = 0
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self._shape = shape
        self._enlarge = max(1, math.ceil(SMALLEST_WIDTH / shape[1]))
        self._reduce = max(1, math.ceil(shape[1] / LARGEST_WIDTH))
        self.image_size = tuple(side // self._reduce * self._enlarge for side in shape)
        second = _SECOND_SCALE if scale.second_factor is not None else 0
        self._right = _BAR_GAP + second + _BAR_WIDTH + _RIGHT
        # Even sides: what videos need.
        self.width = (_LEFT + self.image_size[1] + self._right + 1) // 2 * 2
        self.height = (_TOP + self.image_size[0] + _BOTTOM + panel + 1) // 2 * 2
        self.figure = Figure(figsize=(self.width / DPI, self.height / DPI), dpi=DPI, facecolor="white")
        self._agg: Any = FigureCanvasAgg(self.figure)
        self._colours = colour_table(scale)
        self._hatching = hatching((self.image_size[0], self.image_size[1]))
        self._reach = 1.25 * block_size(shape[1]) / typical_speed if typical_speed > 0 else math.nan
        self._axes = self._add_image_axes()
        self._add_bar(scale, second)
        self._add_words(scale, labels, typical_speed)
        self._clock = self.figure.text(
            *self.at(_LEFT, 45), "", fontsize=FONT_TITLE, color=INK, va="center", parse_math=False, animated=True
        )
        self._lines: tuple[tuple[PlumeLine, ...], list[Artist]] = ((), [])
        self._background: Pixels | None = None

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place ``x`` pixels from the left and ``y`` from the top as shares of the figure."""
        return x / self.width, 1 - y / self.height

    def add_axes(self, left: float, top: float, width: float, height: float) -> "Axes":
        """Add axes whose frame lies ``top`` pixels from the top."""
        x, y = self.at(left, top + height)
        return self.figure.add_axes((x, y, width / self.width, height / self.height))

    @property
    def renderer(self) -> Any:
        """What the figure is drawn with."""
        return self._agg.get_renderer()

    @property
    def panel_top(self) -> int:
        """Where the free space below the image begins."""
        return _TOP + self.image_size[0] + _BOTTOM

    @property
    def panel_span(self) -> tuple[int, int]:
        """Left end and width of the image."""
        return _LEFT, self.image_size[1]

    def draw(self, moment: Moment, others: "tuple[Artist, ...]" = ()) -> Pixels:
        """Return the picture of ``moment`` (height, width, 4), with ``others``, animated artists of the figure.

        The array is the canvas itself: it changes with the next call.
        """
        if moment.lines != self._lines[0]:
            for artist in self._lines[1]:
                artist.remove()
            self._lines = (moment.lines, line_artists(self._axes, moment.lines, self._shape))
        if self._background is None:
            self._agg.draw()
            self._background = np.array(self._agg.buffer_rgba(), np.uint8)
        pixels: Pixels = np.asarray(self._agg.buffer_rgba())
        pixels[...] = self._background
        rows, columns = self.image_size
        pixels[_TOP : _TOP + rows, _LEFT : _LEFT + columns] = self._image(moment.codes)
        renderer = self.renderer
        drawn: list[Artist] = []
        if moment.arrows is not None and moment.arrows.x.size and math.isfinite(self._reach):
            drawn.append(arrow_artist(self._axes, moment.arrows, self._reach))
        for artist in (*drawn, *self._lines[1], *others):
            artist.draw(renderer)
        for artist in drawn:
            artist.remove()
        self._clock.set_text(format_utc(moment.time).replace("T", "  ").replace("Z", " UTC"))
        self._clock.draw(renderer)
        return pixels

    def _image(self, codes: Codes) -> Pixels:
        codes = reduce_codes(codes, self._reduce)
        if self._enlarge > 1:
            codes = codes.repeat(self._enlarge, axis=0).repeat(self._enlarge, axis=1)
        colours = self._colours[codes]
        missing = codes == MISSING
        colours[missing] = self._hatching[missing]
        return colours

    def _add_image_axes(self) -> "Axes":
        rows, columns = self._shape
        axes = self.add_axes(_LEFT, _TOP, self.image_size[1], self.image_size[0])
        # The edge of the image lies on the edge of the frame, whatever is left out by reducing it.
        used = [side // self._reduce * self._reduce for side in (rows, columns)]
        axes.set_xlim(-0.5, used[1] - 0.5)
        axes.set_ylim(used[0] - 0.5, -0.5)
        axes.set_facecolor("none")
        axes.spines[:].set_visible(False)
        axes.tick_params(labelsize=FONT_SMALL, color=FRAME, labelcolor=MUTED, length=3)
        return axes

    def _add_bar(self, scale: ColourScale, second: int) -> None:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        left = _LEFT + self.image_size[1] + _BAR_GAP + second
        axes = self.add_axes(left, _TOP, _BAR_WIDTH, self.image_size[0])
        norm = Normalize(scale.low / scale.factor, scale.high / scale.factor)
        colours = ScalarMappable(norm, scale.colour_map)
        bar: Any = self.figure.colorbar(colours, cax=axes, extend="both", extendfrac=0.025)
        bar.outline.set_visible(False)
        axes.tick_params(labelsize=FONT, color=FRAME, labelcolor=INK, length=3)
        axes.set_ylabel(scale.label, fontsize=FONT, color=INK, labelpad=6)
        if scale.second_factor is None:
            return
        ratio = scale.factor / scale.second_factor

        def forward(values: Any) -> Any:
            return np.asarray(values) * ratio

        def backward(values: Any) -> Any:
            return np.asarray(values) / ratio

        other = axes.secondary_yaxis("left", functions=(forward, backward))
        other.spines[:].set_visible(False)
        other.tick_params(labelsize=FONT_SMALL, color=FRAME, labelcolor=MUTED, length=3)
        self.figure.text(
            *self.at(left - 5, _TOP - 9), scale.second_label, fontsize=FONT_SMALL, color=MUTED, ha="right", va="center"
        )

    def _add_words(self, scale: ColourScale, labels: Labels, typical_speed: float) -> None:
        text: Any = self.figure.text
        right = _LEFT + self.image_size[1]
        text(*self.at(_LEFT, 20), scale.title, fontsize=FONT_TITLE, fontweight="bold", color=INK, va="center")
        site = plain(labels.site, 40)
        text(*self.at(right, 20), site, fontsize=FONT, color=MUTED, ha="right", va="center", parse_math=False)
        below = self.panel_top - 15
        self._add_masked_sample(right, below)
        if labels.metres_per_pixel is not None:
            self._add_distance(labels.metres_per_pixel, below)
        if math.isfinite(self._reach):
            speed = round_number_below(typical_speed)
            length = speed * self._reach * self.image_size[1] / self._shape[1]
            self._rule((right - length, right), 45, head=True)
            note = f"apparent motion  {speed:g} px s⁻¹"
            text(*self.at(right - length - 8, 45), note, fontsize=FONT, color=MUTED, ha="right", va="center")

    def _add_masked_sample(self, right: float, y: float) -> None:
        note = self.figure.text(*self.at(right, y), "no value", fontsize=FONT, color=MUTED, ha="right", va="center")
        left = note.get_window_extent(self.renderer).x0 - 8
        axes = self.add_axes(left - 24, y - 6, 24, 12)
        axes.imshow(hatching((12, 24)), interpolation="nearest", aspect="auto")
        axes.set_axis_off()

    def _add_distance(self, metres_per_pixel: float, y: float) -> None:
        screen = metres_per_pixel * self._shape[1] / self.image_size[1]
        metres = round_number_below(0.25 * self.image_size[1] * screen)
        length = metres / screen
        self._rule((_LEFT, _LEFT + length), y, head=False)
        words = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
        note = f"{words} at the plume"
        self.figure.text(*self.at(_LEFT + length + 8, y), note, fontsize=FONT, color=MUTED, va="center")

    def _rule(self, span: tuple[float, float], y: float, *, head: bool) -> None:
        from matplotlib.patches import FancyArrowPatch

        start, end = self.at(span[0], y), self.at(span[1], y)
        style = "-|>,head_length=0.5,head_width=0.28" if head else "|-|,widthA=0.25,widthB=0.25"
        self.figure.add_artist(
            FancyArrowPatch(
                start,
                end,
                arrowstyle=style,
                transform=self.figure.transFigure,
                mutation_scale=10,
                color=INK,
                linewidth=1.3,
                shrinkA=0,
                shrinkB=0,
            )
        )
