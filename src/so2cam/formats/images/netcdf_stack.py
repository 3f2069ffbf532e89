"""A stack of images as netCDF-4 with CF-1.11 metadata, laid out as the one in zarr: (time, y, x)."""

import contextlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from so2cam.core.records import Provenance
from so2cam.formats.images.packing import MISSING, Codes, Layer, LayerName
from so2cam.formats.images.stack import (
    INPUT_ATTRIBUTES,
    PIXEL_ATTRIBUTES,
    TIME_ATTRIBUTES,
    Stack,
    count_attributes,
    layer_attributes,
)

_LEVEL: Final = 1
"""Of zlib: higher levels cost several times as much and save a few per cent of noisy images."""


class NetcdfStack(Stack):
    """Writes a stack to the file ``path``. Raises OSError or RuntimeError where netCDF or the disk refuses."""

    def __init__(self, path: Path, layers: tuple[Layer, ...], shape: tuple[int, int]) -> None:
        from netCDF4 import Dataset

        super().__init__(path, layers, shape)
        self._dataset: Any = Dataset(path, "w", format="NETCDF4")
        for dimension, size in zip(("time", "y", "x"), (None, *shape), strict=True):
            self._dataset.createDimension(dimension, size)
        self._arrays: dict[LayerName, Any] = {layer.name: self._create(layer) for layer in layers}

    def abandon(self) -> None:
        """Close the file as it is; what cannot be written any more does not matter."""
        if self._dataset.isopen():
            with contextlib.suppress(OSError, RuntimeError):
                self._dataset.close()

    def _create(self, layer: Layer) -> Any:
        array = self._dataset.createVariable(
            layer.name,
            "u2",
            ("time", "y", "x"),
            compression="zlib",
            complevel=_LEVEL,
            shuffle=True,
            chunksizes=(self.chunk, *self.shape),
            chunk_cache=4 * self.chunk * self.shape[0] * self.shape[1],
            fill_value=np.uint16(MISSING),
        )
        array.set_auto_maskandscale(False)
        array.setncatts(layer_attributes(layer))
        array.setncatts({"scale_factor": layer.scale_factor, "add_offset": layer.add_offset})
        return array

    def _write(self, name: LayerName, first: int, codes: Codes) -> None:
        self._arrays[name][first : first + len(codes)] = codes

    def _finish(self, provenance: Provenance, attributes: dict[str, Any]) -> None:
        self._add("time", "i8", "time", np.array(self.times_ms, np.int64), TIME_ATTRIBUTES)
        for axis, size in zip(("y", "x"), self.shape, strict=True):
            self._add(axis, "i4", axis, np.arange(size, dtype=np.int32), PIXEL_ATTRIBUTES[axis])
        for layer in self.layers:
            counts = np.array(self.out_of_range[layer.name], np.int32)
            self._add(f"{layer.name}_out_of_range", "i4", "time", counts, count_attributes(layer))
        self._dataset.createDimension("input", len(provenance.input_sha256))
        for part, name in enumerate(INPUT_ATTRIBUTES):
            values = np.array([entry[part] for entry in provenance.input_sha256], object)
            self._add(name, str, "input", values, INPUT_ATTRIBUTES[name])
        self._dataset.setncatts(attributes)
        self._dataset.close()

    def _add(self, name: str, data_type: Any, dimension: str, values: Any, attributes: dict[str, str]) -> None:
        chunks = {"chunksizes": (min(max(len(values), 1), 4096),)} if dimension == "time" else {}
        variable = self._dataset.createVariable(name, data_type, (dimension,), fill_value=None, **chunks)
        variable.setncatts(attributes)
        if len(values):
            variable[:] = values
