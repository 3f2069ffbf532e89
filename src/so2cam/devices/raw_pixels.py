"""Raw pixels of an image sensor: from the bytes of a buffer to counts, and binned without losing a bit.

Formats are named as libcamera does: ``SGBRG10`` (any Bayer order, or ``R10`` for monochrome) has one pixel in 16 bits,
at their low end; ``SGBRG10_CSI2P`` four pixels in five bytes (high bytes first, the fifth with two bits of each, the
first pixel lowest); ``SGBRG16`` from a sensor of fewer bits has the pixel at the high end, as a Raspberry Pi 5 gives
it. Compressed formats (``PISP_COMP1``) lose counts and are refused.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from so2cam.devices.errors import DeviceDataError, DriverError

Bytes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.uint16]

_FORMAT: Final = re.compile(r"(?:S[RGB]{4}|R|MONO)_?([0-9]{1,2})(_CSI2P)?")
_LARGEST: Final = 65535


@dataclass(frozen=True, slots=True)
class RawLayout:
    """How pixels lie in a buffer: its rows have ``stride`` bytes, its pixels ``bits`` bits of the sensor."""

    width_px: int
    height_px: int
    stride: int
    bits: int
    packed: bool
    shift: int
    """bits by which a pixel must be moved down"""


def raw_layout(name: str, width_px: int, height_px: int, stride: int, sensor_bits: int | None) -> RawLayout:
    """Return the layout of the format ``name``, whose sensor has ``sensor_bits`` (None: as the format says).

    Raises DriverError for a format that loses counts or is not known, and for rows that are too short.
    """
    if "COMP" in name:
        raise DriverError(
            f"the raw format {name} is compressed and loses counts",
            key="options.raw_format",
            value=name,
            remedy="set an uncompressed format such as SGBRG16 in the options of the camera",
        )
    match = _FORMAT.fullmatch(name)
    if match is None or not 8 <= int(match[1]) <= 16:
        raise DriverError(
            "the raw format is not known",
            key="options.raw_format",
            value=name,
            remedy="set a format such as SGBRG10, SGBRG10_CSI2P or SGBRG16",
        )
    depth, packed = int(match[1]), match[2] is not None
    if packed and depth != 10:
        raise DriverError("only 10 bits are known in packed form", key="options.raw_format", value=name)
    bits = depth if sensor_bits is None or depth < 16 else min(sensor_bits, depth)
    needed = (width_px + 3) // 4 * 5 if packed else 2 * width_px
    if stride < needed or (not packed and stride % 2):
        raise DriverError(f"rows of {stride} bytes do not hold {width_px} pixels of {name}", value=stride)
    return RawLayout(width_px, height_px, stride, bits, packed, depth - bits)


def unpack_raw(buffer: Bytes, layout: RawLayout) -> Counts:
    """Return the counts (rows, columns), uint16, in the bytes ``buffer`` of any shape.

    Raises DeviceDataError where the buffer has another size.
    """
    flat = buffer.reshape(-1)
    size = layout.height_px * layout.stride
    if flat.dtype != np.uint8 or flat.size < size:
        raise DeviceDataError(
            f"the raw buffer has the wrong size or type: expected {size} bytes",
            value=f"{flat.size} of {flat.dtype}",
        )
    rows = np.ascontiguousarray(flat[:size]).reshape(layout.height_px, layout.stride)
    if layout.packed:
        groups = (layout.width_px + 3) // 4
        parts = rows[:, : 5 * groups].reshape(layout.height_px, groups, 5)
        counts = parts[:, :, :4].astype(np.uint16) << 2
        low = parts[:, :, 4:].astype(np.uint16) >> np.array([0, 2, 4, 6], np.uint16)
        counts |= low & 3
        return np.ascontiguousarray(counts.reshape(layout.height_px, 4 * groups)[:, : layout.width_px])
    pixels = rows.view(np.uint16)[:, : layout.width_px]
    return pixels >> np.uint16(layout.shift) if layout.shift else pixels


def bin_raw(raw: Counts, factor: int, *, saturation_dn: float) -> tuple[Counts, float]:
    """Return sums over ``factor`` x ``factor`` raw pixels, and the share of sums with a saturated raw pixel.

    A sum is ``factor**2`` times the mean: dividing it by that gives the mean DN with its fraction, exactly. Raises
    ValueError where sums could exceed 16 bits, or the image cannot be divided evenly.
    """
    rows, columns = raw.shape
    if factor < 1 or rows % factor or columns % factor:
        raise ValueError(f"an image of {columns} x {rows} pixels cannot be binned by {factor}")
    highest = int(raw.max())
    if factor**2 * highest > _LARGEST:
        raise ValueError(f"sums of {factor**2} counts up to {highest} exceed 16 bits")
    summed = raw[0::factor].copy()
    for offset in range(1, factor):
        summed += raw[offset::factor]
    binned = summed[:, 0::factor].copy()
    for offset in range(1, factor):
        binned += summed[:, offset::factor]
    if highest < saturation_dn:
        return binned, 0.0
    limit = np.uint16(np.ceil(saturation_dn))
    largest = np.maximum.reduce([raw[offset::factor] for offset in range(factor)])
    largest = np.maximum.reduce([largest[:, offset::factor] for offset in range(factor)])
    return binned, float(np.count_nonzero(largest >= limit)) / largest.size
