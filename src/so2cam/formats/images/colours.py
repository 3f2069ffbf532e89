"""From codes to colours: the range that all pictures of a run share, colour tables, hatching of what is masked."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.formats.images.packing import MISSING, Codes, Layer, LayerName, table_of
from so2cam.formats.quicklook.values import power_of_ten

Pixels = npt.NDArray[np.uint8]
"""An image in colour, shape (rows, columns, 4): red, green, blue, opacity."""

MASKED: Final = (0xD4, 0xD4, 0xD4)
HATCH: Final = (0xB4, 0xB4, 0xB4)
_MAPS: Final[dict[LayerName, str]] = {"absorbance": "viridis", "column_density": "inferno"}
_TITLES: Final[dict[LayerName, str]] = {
    "absorbance": "Apparent absorbance",
    "column_density": "SO₂ column density",
}


@dataclass(frozen=True, slots=True)
class ColourScale:
    """How a layer is drawn: values from ``low`` to ``high`` in the colours of ``colour_map``, and its bar's label.

    The bar is labelled in ``factor`` of the layer's unit and, where ``second_factor`` is not None, on its other
    side in that, which ``second_label`` names.
    """

    layer: Layer
    low: float
    high: float
    colour_map: str
    title: str
    label: str
    factor: float = 1.0
    second_factor: float | None = None
    second_label: str = ""


def colour_scale(layer: Layer, limits: tuple[float, float]) -> ColourScale:
    """Return how ``layer`` (absorbance or column density) is drawn between ``limits``.

    Raises ValueError for limits that do not increase.
    """
    low, high = limits
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"limits of {layer.name} must increase, got {limits}")
    title, colours = _TITLES[layer.name], _MAPS[layer.name]
    if layer.name == "absorbance":
        return ColourScale(layer, low, high, colours, title, "apparent absorbance")
    exponent, factor = power_of_ten(max(abs(low), abs(high)))
    label = f"column density [{exponent} molecules cm⁻²]"
    return ColourScale(layer, low, high, colours, title, label, factor, MOLEC_CM2_PER_PPM_M, "ppm m")


class CodeCounts:
    """How often each code of a layer occurs in a run: what the range of its colours is taken from."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self._counts = np.zeros(MISSING + 1, np.int64)

    def add(self, codes: Codes) -> None:
        """Count the codes of one image."""
        self._counts += np.bincount(codes.ravel(), minlength=MISSING + 1)

    def limits(self) -> tuple[float, float]:
        """Return the range from zero, or the first percentile if that is lower, to the percentile 99.8.

        Rounded outward to two digits; never empty.
        """
        counts = np.cumsum(self._counts[:MISSING])
        if counts[-1] == 0:
            return 0.0, 1000 * self._layer.scale_factor
        values = table_of(self._layer)
        low, high = (float(values[np.searchsorted(counts, share * counts[-1])]) for share in (0.01, 0.998))
        low = min(0.0, low)
        high = max(high, low + 20 * self._layer.scale_factor)
        step = 10.0 ** (math.floor(math.log10(high - low)) - 1)
        return math.floor(low / step + 1e-6) * step, math.ceil(high / step - 1e-6) * step


def colour_table(scale: ColourScale) -> Pixels:
    """Return the colour of every code, shape (65536, 4); that of ``MISSING`` is see-through."""
    import matplotlib as mpl

    share = (table_of(scale.layer) - scale.low) / (scale.high - scale.low)
    colours = mpl.colormaps[scale.colour_map](np.clip(np.nan_to_num(share), 0, 1), bytes=True)
    table = np.asarray(colours, np.uint8).copy()
    table[MISSING] = 0
    return table


def hatching(shape: tuple[int, int]) -> Pixels:
    """Return an image of ``shape`` of thin grey diagonals on grey: what a masked area looks like."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    diagonal = ((x + y) % 9 < 2)[..., None]
    colours = np.where(diagonal, np.array((*HATCH, 255), np.uint8), np.array((*MASKED, 255), np.uint8))
    return np.asarray(colours, np.uint8)


def reduce_codes(codes: Codes, factor: int) -> Codes:
    """Return means over blocks of ``factor`` x ``factor`` pixels, missing where most of a block is.

    An incomplete last row or column is left out.
    """
    if factor == 1:
        return codes
    rows, columns = codes.shape[0] // factor, codes.shape[1] // factor
    blocks = codes[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    known = blocks != MISSING
    counts = known.sum(axis=(1, 3))
    sums = np.where(known, blocks, 0).sum(axis=(1, 3), dtype=np.float64)
    means = np.rint(sums / np.maximum(counts, 1))
    return np.where(2 * counts >= factor * factor, means, MISSING).astype(np.uint16)


def spread_evenly(count: int, most: int) -> Iterable[int]:
    """Return at most ``most`` numbers from 0 to ``count`` - 1, evenly spread."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, most))}) if count else []
