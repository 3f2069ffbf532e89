"""A stack of images in zarr, format 3: one array (time, y, x) per layer, chunks of whole images, zstd in blosc.

``xarray.open_zarr`` masks and scales it without further arguments.
"""

import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import Provenance
from so2cam.formats.images.packing import LAYERS, MISSING, Codes, Layer, LayerName
from so2cam.formats.images.stack import (
    INPUT_ATTRIBUTES,
    PIXEL_ATTRIBUTES,
    TIME_ATTRIBUTES,
    Stack,
    count_attributes,
    layer_attributes,
)
from so2cam.formats.provenance import from_milliseconds

_DIMENSIONS: Final = ("time", "y", "x")
_LONG: Final = 4096
"""Chunk of what has one value per image."""
_REMEDY: Final = "write the images again with so2cam"


class ZarrStack(Stack):
    """Writes a stack into the folder ``path``, which must not be there. Raises OSError where the disk refuses."""

    def __init__(self, path: Path, layers: tuple[Layer, ...], shape: tuple[int, int]) -> None:
        import zarr
        from zarr.codecs import BloscCodec, BloscShuffle

        super().__init__(path, layers, shape)
        self._group: Any = zarr.create_group(str(path), zarr_format=3)
        self._arrays: dict[LayerName, Any] = {
            layer.name: self._group.create_array(
                layer.name,
                shape=(0, *shape),
                chunks=(self.chunk, *shape),
                dtype="uint16",
                fill_value=MISSING,
                dimension_names=_DIMENSIONS,
                compressors=BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.bitshuffle),
                attributes={
                    **layer_attributes(layer),
                    "scale_factor": layer.scale_factor,
                    "add_offset": layer.add_offset,
                    "_FillValue": MISSING,
                },
            )
            for layer in layers
        }

    def abandon(self) -> None:
        """Nothing is open between writes."""

    def _write(self, name: LayerName, first: int, codes: Codes) -> None:
        array = self._arrays[name]
        array.resize((first + len(codes), *self.shape))
        array[first : first + len(codes)] = codes

    def _finish(self, provenance: Provenance, attributes: dict[str, Any]) -> None:
        import zarr

        self._add("time", ("time",), np.array(self.times_ms, np.int64), TIME_ATTRIBUTES)
        for axis, size in zip(("y", "x"), self.shape, strict=True):
            self._add(axis, (axis,), np.arange(size, dtype=np.int32), PIXEL_ATTRIBUTES[axis])
        for layer in self.layers:
            counts = np.array(self.out_of_range[layer.name], np.int32)
            self._add(f"{layer.name}_out_of_range", ("time",), counts, count_attributes(layer))
        for part, name in enumerate(INPUT_ATTRIBUTES):
            values = np.array([entry[part] for entry in provenance.input_sha256], object)
            self._add(name, ("input",), values, INPUT_ATTRIBUTES[name])
        self._group.update_attributes(attributes)
        with warnings.catch_warnings():
            # Readers that do not know it read the same from the arrays' own metadata.
            warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
            zarr.consolidate_metadata(str(self.path))

    def _add(self, name: str, dimensions: tuple[str, ...], values: Any, attributes: dict[str, str]) -> None:
        text = values.dtype == object
        array = self._group.create_array(
            name,
            shape=values.shape,
            chunks=(min(max(len(values), 1), _LONG),),
            dtype=str if text else values.dtype,
            dimension_names=dimensions,
            attributes=attributes,
        )
        if len(values):
            array[:] = values


class ZarrStackReader:
    """A stack in the folder ``path``, read image by image. Raises InputError where it is no stack of so2cam."""

    def __init__(self, path: Path) -> None:
        import zarr

        try:
            group: Any = zarr.open_group(str(path), mode="r", use_consolidated=False)
            self.times: tuple[datetime, ...] = tuple(from_milliseconds(int(value)) for value in group["time"][:])
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"is not a stack of images: {error}", file=path, remedy=_REMEDY) from error
        self.layers: tuple[Layer, ...] = tuple(layer for layer in LAYERS if layer.name in group)
        if not self.layers:
            raise InputError("is not a stack of images: it has no layer", file=path, remedy=_REMEDY)
        self.shape: tuple[int, int] = group[self.layers[0].name].shape[1:]
        self._group = group

    def images(self, names: tuple[LayerName, ...]) -> Iterator[dict[LayerName, Codes]]:
        """Yield the codes (rows, columns) of the layers ``names``, image by image; one chunk is held."""
        arrays = {name: self._group[name] for name in names}
        step = next(iter(arrays.values())).chunks[0]
        for first in range(0, len(self.times), step):
            blocks = {name: np.asarray(array[first : first + step]) for name, array in arrays.items()}
            for place in range(min(step, len(self.times) - first)):
                yield {name: block[place] for name, block in blocks.items()}

    def image(self, number: int, names: tuple[LayerName, ...]) -> dict[LayerName, Codes]:
        """Return the codes (rows, columns) of the layers ``names`` of image ``number``."""
        return {name: np.asarray(self._group[name][number]) for name in names}
