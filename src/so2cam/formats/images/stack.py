"""What the stacks in zarr and in netCDF have in common: chunks of whole images, coordinates and attributes."""

import json
from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from so2cam.core.records import PlumeLine, Provenance
from so2cam.formats.images.packing import MISSING, Codes, Layer, LayerName
from so2cam.formats.products import REFERENCES, TIME_UNITS
from so2cam.formats.provenance import provenance_attributes, to_milliseconds

CHUNK_BYTES: Final = 1_000_000
"""Aim for a chunk before compression."""
_MOST_IMAGES: Final = 64

TIME_ATTRIBUTES: Final[dict[str, str]] = {
    "units": TIME_UNITS,
    "calendar": "standard",
    "standard_name": "time",
    "long_name": "mid-exposure of the on-band frame, UTC",
    "axis": "T",
}
PIXEL_ATTRIBUTES: Final[dict[str, dict[str, str]]] = {
    "y": {"long_name": "row of the on-band image, downward from 0 in the top row", "units": "1", "axis": "Y"},
    "x": {"long_name": "column of the on-band image, to the right from 0", "units": "1", "axis": "X"},
}
INPUT_ATTRIBUTES: Final[dict[str, dict[str, str]]] = {
    "input_file": {"long_name": "file whose content entered the results"},
    "input_sha256": {"long_name": "SHA-256 of the input file"},
}


def images_per_chunk(shape: tuple[int, int]) -> int:
    """Return how many whole images of ``shape`` (rows, columns) make a chunk of about ``CHUNK_BYTES``, 1 to 64."""
    return min(max(round(CHUNK_BYTES / (2 * shape[0] * shape[1])), 1), _MOST_IMAGES)


def layer_attributes(layer: Layer) -> dict[str, str]:
    """Return the CF attributes of ``layer`` that are text."""
    return {
        "long_name": layer.long_name,
        "units": layer.units,
        "ancillary_variables": f"{layer.name}_out_of_range",
        "comment": f"{layer.comment}; stored in steps of {layer.scale_factor:g} from {layer.lowest:g} to "
        f"{layer.highest:g}, missing beyond",
    }


def count_attributes(layer: Layer) -> dict[str, str]:
    """Return the attributes of the variable that counts a layer's values beyond its range."""
    return {
        "long_name": f"pixels of {layer.name} that are missing because their value cannot be stored",
        "units": "1",
    }


@dataclass(frozen=True, slots=True)
class LineHistory:
    """The lines of a run: ``first`` numbers the first image of each set, in increasing order."""

    first: tuple[int, ...] = ()
    sets: tuple[tuple[PlumeLine, ...], ...] = ()

    def with_image(self, number: int, lines: tuple[PlumeLine, ...]) -> "LineHistory":
        """Return the history with the lines of image ``number``, which follows all others."""
        if self.sets and self.sets[-1] == lines:
            return self
        return LineHistory((*self.first, number), (*self.sets, lines))

    def at(self, number: int) -> tuple[PlumeLine, ...]:
        """Return the lines of image ``number``."""
        index = bisect_right(self.first, number) - 1
        return self.sets[index] if index >= 0 else ()

    def as_json(self) -> str:
        """Return all lines, each with the number of the image from which on it holds."""
        return json.dumps(
            [
                {
                    "name": line.name,
                    "points": line.points,
                    "side": line.side,
                    "plume": line.plume,
                    "role": line.role,
                    "first_image": first,
                }
                for first, lines in zip(self.first, self.sets, strict=True)
                for line in lines
            ]
        )


def global_attributes(provenance: Provenance, lines: LineHistory) -> dict[str, str]:
    """Return the attributes of the whole stack: what made it, as in the product of emission rates, and the lines."""
    made = provenance_attributes(
        provenance, title="SO2 camera images", instrument="ultraviolet SO2 camera", references=REFERENCES
    )
    return made | {"plume_lines": lines.as_json()}


class Stack(ABC):
    """A growing stack of packed images. ``append`` each, then ``close``; or ``abandon``, and delete what is there.

    Of every layer at most one chunk of images is held. Subclasses write chunks and, at the end, the coordinates.
    """

    def __init__(self, path: Path, layers: tuple[Layer, ...], shape: tuple[int, int]) -> None:
        self.path = path
        self.layers = layers
        self.shape = shape
        self.times_ms: list[int] = []
        self.out_of_range: dict[LayerName, list[int]] = {layer.name: [] for layer in layers}
        self.chunk = images_per_chunk(shape)
        self._written = 0
        self._buffers: dict[LayerName, Codes] = {
            layer.name: np.full((self.chunk, *shape), MISSING, np.uint16) for layer in layers
        }

    def append(self, time: datetime, packed: dict[LayerName, tuple[Codes, int]]) -> None:
        """Add one image of every layer; ``packed`` may have more layers than the stack."""
        place = len(self.times_ms) - self._written
        for layer in self.layers:
            codes, beyond = packed[layer.name]
            self._buffers[layer.name][place] = codes
            self.out_of_range[layer.name].append(beyond)
        self.times_ms.append(to_milliseconds(time))
        if place + 1 == self.chunk:
            self._flush()

    def close(self, provenance: Provenance, lines: LineHistory) -> None:
        """Write what is left, the coordinates and the attributes, and close the stack."""
        self._flush()
        self._finish(provenance, global_attributes(provenance, lines))

    def _flush(self) -> None:
        count = len(self.times_ms) - self._written
        if count:
            for name, buffer in self._buffers.items():
                self._write(name, self._written, buffer[:count])
            self._written += count

    @abstractmethod
    def abandon(self) -> None:
        """Close files without finishing them."""

    @abstractmethod
    def _write(self, name: LayerName, first: int, codes: Codes) -> None:
        """Write images (n, rows, columns) from number ``first`` on."""

    @abstractmethod
    def _finish(self, provenance: Provenance, attributes: dict[str, Any]) -> None:
        """Write coordinates, counts, inputs and ``attributes``, and close."""
