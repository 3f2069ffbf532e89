"""PNG files of 16-bit greyscale: written without any image library, for computers that are to stay light.

Binning averages pixels, so that a count has a fraction. An image holds whole counts, rounded, as existing tools expect
them; the rest is kept in a part of the file of our own, ``soFR``, which other programs skip:

- byte 0: 1, the version; byte 1: b, from 1 to 8; a count has ``2**b`` steps;
- then, compressed by zlib, one byte for each pixel in the order of rows, or for b up to 4 one for each two pixels, the
  first in the upper half (an odd last pixel has a zero beside it): ``2**b`` times the fraction, plus ``2**(b-1)``.

The exact count of a pixel is its whole count plus ``(value - 2**(b-1)) / 2**b``.
"""

import zlib
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatImage

MAXIMUM_SIDE_PX: Final = 20_000
MAXIMUM_PIXELS: Final = 100_000_000
"""Larger images are refused before anything is compressed or decompressed."""
SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
FILTER_UP: Final = 2
FRACTION_CHUNK: Final = b"soFR"
SCALES: Final = tuple(2**bits for bits in range(9))
"""How many steps a count may have."""
_VERSION: Final = 1
_HALF_BYTE: Final = 4


def write_png(
    counts: npt.NDArray[np.uint16], text: Mapping[str, str] | None = None, *, scale: int = 1, compression: int = 1
) -> bytes:
    """Return a 16-bit greyscale PNG file of ``counts`` (rows, columns), with ``text`` as tEXt chunks.

    ``counts`` hold ``scale`` (1, 2, 4 ... 256) times the DN; above 1, the image has the DN rounded to whole ones
    (halves upwards), and their fraction is kept beside it. ``compression`` is 0 (none) to 9. Keywords have 1 to 79
    characters. Raises ValueError for another type, shape or scale, and for text that is not Latin-1 or holds a zero
    byte.
    """
    if counts.dtype != np.uint16 or counts.ndim != 2 or counts.size == 0:
        raise ValueError(f"needs a uint16 image of rows and columns, got {counts.dtype} of shape {counts.shape}")
    if scale not in SCALES:
        raise ValueError(f"a count has 1, 2, 4 ... 256 steps, got {scale!r}")
    height, width = counts.shape
    if max(height, width) > MAXIMUM_SIDE_PX or counts.size > MAXIMUM_PIXELS:
        raise ValueError(f"an image of {width} x {height} pixels is too large")
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((16, 0, 0, 0, 0))
    parts = [SIGNATURE, make_chunk(b"IHDR", header)]
    parts += [make_chunk(b"tEXt", _text_body(key, value)) for key, value in (text or {}).items()]
    if scale > 1:
        raised = counts.astype(np.uint32) + scale // 2
        parts.append(make_chunk(FRACTION_CHUNK, _fraction_body((raised % scale).astype(np.uint8), scale, compression)))
        counts = (raised // scale).astype(np.uint16)
    pixels = counts.astype(">u2").view(np.uint8)
    rows = np.empty((height, 1 + 2 * width), np.uint8)
    rows[:, 0] = FILTER_UP
    rows[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    parts += [make_chunk(b"IDAT", zlib.compress(rows.tobytes(), compression)), make_chunk(b"IEND", b"")]
    return b"".join(parts)


def _fraction_body(steps: npt.NDArray[np.uint8], scale: int, compression: int) -> bytes:
    bits = scale.bit_length() - 1
    flat: npt.NDArray[np.uint8] = steps.reshape(-1)
    if bits <= _HALF_BYTE:
        if flat.size % 2:
            flat = np.append(flat, np.uint8(0))
        flat = np.bitwise_or(flat[0::2] << np.uint8(_HALF_BYTE), flat[1::2])
    return bytes((_VERSION, bits)) + zlib.compress(flat.tobytes(), compression)


def unpack_fraction(body: memoryview | bytes, shape: tuple[int, int]) -> FloatImage:
    """Return the fraction of the counts of an image of ``shape`` [DN], from -0.5 to below 0.5.

    Raises ValueError where ``body`` does not hold it.
    """
    if len(body) < 2 or body[0] != _VERSION:
        raise ValueError("it is of another version")
    bits = body[1]
    if not 1 <= bits <= 8:
        raise ValueError("its number of steps cannot be")
    pixels = shape[0] * shape[1]
    size = (pixels + 1) // 2 if bits <= _HALF_BYTE else pixels
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(body[2:], size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(raw) != size or not inflater.eof:
        raise ValueError("its size is not that of the image")
    steps = np.frombuffer(raw, np.uint8)
    if bits <= _HALF_BYTE:
        halves = np.empty((size, 2), np.uint8)
        halves[:, 0], halves[:, 1] = steps >> _HALF_BYTE, steps & 0x0F
        steps = halves.reshape(-1)[:pixels]
    scale = 2**bits
    if steps.max() >= scale:
        raise ValueError("a step is beyond its number of steps")
    fraction = (steps.astype(np.float32) - np.float32(scale // 2)) / np.float32(scale)
    return np.asarray(fraction.reshape(shape))


def _text_body(key: str, value: str) -> bytes:
    try:
        encoded = key.encode("latin-1"), value.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"text of a PNG file must be Latin-1: {error}") from None
    if not 1 <= len(encoded[0]) <= 79 or any(b"\0" in part for part in encoded):
        raise ValueError(f"PNG keywords have 1 to 79 characters and no text holds a zero byte, got {key!r}")
    return b"\0".join(encoded)


def make_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a part of a PNG file: its length, type, content and checksum."""
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(body, zlib.crc32(kind)).to_bytes(4, "big")
