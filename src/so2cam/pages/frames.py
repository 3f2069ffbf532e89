"""Frame messages: an image as the browser's viewer takes it, raw numbers with what they mean.

4 bytes little-endian length, so many bytes of JSON (the header), then uint16 pixels, little-endian, row by row. A value
is ``code * scale + offset``. The header is padded with blanks so that the pixels start at an even place.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

INVALID_CODE: Final = 65535
"""What stands for "no value" in frames that are made of floating-point values."""
_LARGEST_CODE: Final = 65534
_LENGTH: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What the pixels of a frame mean.

    ``invalid`` is the code of pixels without a value, ``saturation`` the code from which on a pixel is too bright to be
    measured; None where there is none. ``stale`` and ``why`` say that, and why, it must not be trusted as it is.
    ``more`` is what a page shows beside it; it becomes part of the header.
    """

    label: str = ""
    unit: str = ""
    time: datetime | None = None
    scale: float = 1.0
    offset: float = 0.0
    invalid: int | None = None
    saturation: int | None = None
    stale: bool = False
    why: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


_OWN: Final = tuple(each.name for each in fields(FrameHeader) if each.name != "more")


def encode_frame(pixels: NDArray[np.uint16], header: FrameHeader) -> bytes:
    """Return the message of an image.

    Parameters
    ----------
    pixels : (rows, columns) uint16
        Raw codes.
    header : FrameHeader
        What they mean; its time is aware.

    Raises
    ------
    ValueError
        Pixels are not a uint16 image.
    """
    if pixels.dtype != np.uint16 or pixels.ndim != 2 or pixels.size == 0:
        raise ValueError(f"a frame is a uint16 image, not {pixels.dtype} of shape {pixels.shape}")
    rows, columns = pixels.shape
    own = {name: getattr(header, name) for name in _OWN} | {"time": _iso(header.time)}
    said = {**header.more, "rows": rows, "columns": columns, "dtype": "uint16", **own}
    text = json.dumps(said, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (len(text) % 2)
    return _LENGTH.pack(len(text)) + text + np.ascontiguousarray(pixels, dtype="<u2").tobytes()


def encode_values(
    values: NDArray[Any], header: FrameHeader, low: float | None = None, high: float | None = None
) -> bytes:
    """Return the message of an image of floating-point values, in 65534 equal steps from ``low`` to ``high``.

    Parameters
    ----------
    values : (rows, columns) float
        Values in the header's unit; what is not finite is invalid.
    header : FrameHeader
        Its scale, offset, invalid and saturation are replaced.
    low, high : float, optional
        The range to keep; else that of the finite values. Values beyond become its ends.
    """
    finite = np.isfinite(values)
    known = values[finite]
    bottom = float(known.min()) if low is None and known.size else float(low or 0.0)
    top = float(known.max()) if high is None and known.size else float(bottom + 1.0 if high is None else high)
    scale = (top - bottom) / _LARGEST_CODE if top > bottom else 1.0
    codes = np.full(values.shape, INVALID_CODE, dtype=np.uint16)
    codes[finite] = np.clip(np.rint((known - bottom) / scale), 0, _LARGEST_CODE).astype(np.uint16)
    return encode_frame(codes, replace(header, scale=scale, offset=bottom, invalid=INVALID_CODE, saturation=None))


def decode_frame(message: bytes) -> tuple[dict[str, Any], NDArray[np.uint16]]:
    """Return header and (rows, columns) pixels of a message. Raises ValueError where it is none."""
    if len(message) < _LENGTH.size:
        raise ValueError("a frame message has at least 4 bytes")
    start = _LENGTH.size + _LENGTH.unpack_from(message)[0]
    header = json.loads(message[_LENGTH.size : start])
    return header, np.frombuffer(message, dtype="<u2", offset=start).reshape(header["rows"], header["columns"])


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
