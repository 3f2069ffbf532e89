"""Images as 16-bit unsigned integers: ``value = add_offset + scale_factor * code``, as CF packs data (CF-1.11, 8.1).

The scales are the same in every product, because they are chosen before the first image is known: wide enough for any
plume, and steps far below the noise of a pixel (about 0.01 in absorbance). A value beyond a range is not clipped: it
is missing, and counted. Zero is always a code, so that it is read back as exactly zero.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray, FloatImage
from so2cam.formats.images.record import ImageRecord, Quantity

Codes = npt.NDArray[np.uint16]

MISSING: Final = 65535
"""The code of a pixel without a value (``_FillValue``)."""
LARGEST: Final = MISSING - 1

LayerName = Literal["absorbance", "column_density", "flow_x", "flow_y"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One array of a stack: its name, the quantity that it belongs to, its scale and its CF attributes."""

    name: LayerName
    quantity: Quantity
    scale_factor: float
    add_offset: float
    units: str
    long_name: str
    comment: str

    @property
    def lowest(self) -> float:
        """Smallest value that can be stored."""
        return self.add_offset

    @property
    def highest(self) -> float:
        """Largest value that can be stored."""
        return self.add_offset + LARGEST * self.scale_factor


_FLOW: Final = "apparent motion from this image to the next, at the time of this image"

LAYERS: Final[tuple[Layer, ...]] = (
    Layer(
        "absorbance",
        "absorbance",
        1e-4,
        -1.0,
        "1",
        "apparent absorbance of SO2 above the sky behind the plume",
        "on- minus off-band optical depth, natural logarithm",
    ),
    Layer(
        "column_density",
        "columns",
        1e15,
        -1e19,
        "cm-2",
        "slant column density of SO2, in molecules per square centimetre",
        "from the absorbance by the run's calibration",
    ),
    Layer(
        "flow_x",
        "flow",
        0.005,
        -163.84,
        "s-1",
        "apparent velocity to the right, in pixels per second",
        _FLOW,
    ),
    Layer(
        "flow_y",
        "flow",
        0.005,
        -163.84,
        "s-1",
        "apparent velocity downward in the image, in pixels per second",
        _FLOW,
    ),
)


def layers_of(quantities: frozenset[Quantity]) -> tuple[Layer, ...]:
    """Return the layers that hold ``quantities``, in the order of ``LAYERS``."""
    return tuple(layer for layer in LAYERS if layer.quantity in quantities)


def pack(values: npt.NDArray[np.floating], layer: Layer) -> tuple[Codes, int]:
    """Return ``values`` as codes of ``layer``, and how many lie beyond its range.

    NaN becomes ``MISSING``, and so does what lies beyond the range (infinities too), which is counted. Rounded to
    the nearest step.
    """
    codes = np.rint((np.asarray(values, np.float64) - layer.add_offset) / layer.scale_factor)
    inside = (codes >= 0) & (codes <= LARGEST)
    beyond = int(inside.size - np.count_nonzero(inside) - np.count_nonzero(np.isnan(codes)))
    return np.where(inside, codes, MISSING).astype(np.uint16), beyond


def unpack(codes: Codes, layer: Layer) -> FloatImage:
    """Return the values of ``codes``, float32 (whose steps are finer than the layer's), NaN where missing."""
    return table_of(layer)[codes].astype(np.float32)


def table_of(layer: Layer) -> FloatArray:
    """Return the value of every code (65536), NaN for ``MISSING``."""
    table = layer.add_offset + layer.scale_factor * np.arange(MISSING + 1, dtype=np.float64)
    table[MISSING] = np.nan
    return table


def pack_record(record: ImageRecord, layers: tuple[Layer, ...]) -> dict[LayerName, tuple[Codes, int]]:
    """Return the codes of each layer and how many values lie beyond its range; all missing where there is no image."""
    flow = record.flow_px_s
    images: dict[LayerName, npt.NDArray[np.floating] | None] = {
        "absorbance": record.absorbance,
        "column_density": record.column_molec_cm2,
        "flow_x": None if flow is None else flow[..., 0],
        "flow_y": None if flow is None else flow[..., 1],
    }
    packed: dict[LayerName, tuple[Codes, int]] = {}
    for layer in layers:
        image = images[layer.name]
        if image is None:
            packed[layer.name] = np.full(record.absorbance.shape, MISSING, np.uint16), 0
        else:
            packed[layer.name] = pack(image, layer)
    return packed
