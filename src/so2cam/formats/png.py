"""PNG files of 16-bit greyscale: read with every byte verified, and written.

Every chunk's checksum, the end chunk and the checksum of the compressed pixels are verified, because a decoder
on its own takes a truncated file for an image whose lower part is black.
"""

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from so2cam.core.errors import FrameFileError
from so2cam.core.records import Frame, FrameInfo

MAXIMUM_SIDE_PX: Final = 20_000
MAXIMUM_PIXELS: Final = 100_000_000
"""Larger images are refused before anything is decompressed."""
MAXIMUM_FILE_BYTES: Final = 300_000_000

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOURS: Final = {0: "greyscale", 2: "colour", 3: "palette", 4: "greyscale with alpha", 6: "colour with alpha"}
_FILTER_NONE, _FILTER_UP, _FILTER_LAST = 0, 2, 4
_AGAIN: Final = "copy the file again from the instrument, or delete it"


def read_png(data: bytes, file: Path | str) -> npt.NDArray[np.uint16]:
    """Return the pixels (rows, columns) of the PNG file ``data``; ``file`` names it in errors.

    Raises FrameFileError where the file is truncated, damaged, or not 16-bit greyscale.
    """
    return _decode(_verify(data, file))


def read_frame(info: FrameInfo, *, width: int, height: int, maximum_dn: int) -> Frame:
    """Read the frame that ``info`` describes, of ``width`` x ``height`` pixels and counts up to ``maximum_dn``.

    Raises FrameFileError where the file is missing, damaged, of another size, or has higher counts.
    """
    path = info.path
    try:
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            raise FrameFileError("is too large for an image of this camera", file=path, remedy="remove the file")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise FrameFileError(
            f"cannot be read: {getattr(error, 'strerror', None) or error}",
            file=path,
            remedy="check that the file is there, its permissions and the disk",
        ) from error
    verified = _verify(data, path)
    if (verified.width, verified.height) != (width, height):
        raise FrameFileError(
            f"has the wrong size: expected {width} x {height}, found {verified.width} x {verified.height} pixels",
            file=path,
            remedy="set camera.optics.width_px and height_px in the site file, or remove images of other cameras",
        )
    counts = _decode(verified)
    highest = int(counts.max())
    if highest > maximum_dn:
        raise FrameFileError(
            f"has counts up to {highest}, more than a {maximum_dn.bit_length()}-bit camera can give ({maximum_dn})",
            file=path,
            remedy="set camera.sensor.bits in the site file, or remove images of other cameras",
        )
    return Frame(info=info, counts=counts, sha256=hashlib.sha256(data).hexdigest())


def write_png(counts: npt.NDArray[np.uint16], text: Mapping[str, str] | None = None) -> bytes:
    """Return a 16-bit greyscale PNG file of ``counts`` (rows, columns), with ``text`` as tEXt chunks.

    Keywords have 1 to 79 characters. Raises ValueError for another type or shape, and for text that is not
    Latin-1 or holds a zero byte.
    """
    if counts.dtype != np.uint16 or counts.ndim != 2 or counts.size == 0:
        raise ValueError(f"needs a uint16 image of rows and columns, got {counts.dtype} of shape {counts.shape}")
    height, width = counts.shape
    if max(height, width) > MAXIMUM_SIDE_PX or counts.size > MAXIMUM_PIXELS:
        raise ValueError(f"an image of {width} x {height} pixels is too large")
    pixels = counts.astype(">u2").view(np.uint8)
    rows = np.empty((height, 1 + 2 * width), np.uint8)
    rows[:, 0] = _FILTER_UP
    rows[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((16, 0, 0, 0, 0))
    parts = [_SIGNATURE, _chunk(b"IHDR", header)]
    parts += [_chunk(b"tEXt", _text_body(key, value)) for key, value in (text or {}).items()]
    parts += [_chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)), _chunk(b"IEND", b"")]
    return b"".join(parts)


def _text_body(key: str, value: str) -> bytes:
    try:
        encoded = key.encode("latin-1"), value.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"text of a PNG file must be Latin-1: {error}") from None
    if not 1 <= len(encoded[0]) <= 79 or any(b"\0" in part for part in encoded):
        raise ValueError(f"PNG keywords have 1 to 79 characters and no text holds a zero byte, got {key!r}")
    return b"\0".join(encoded)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(body, zlib.crc32(kind)).to_bytes(4, "big")


def _damaged(what: str, file: Path | str) -> FrameFileError:
    return FrameFileError(f"is damaged: {what}", file=file, remedy=_AGAIN)


def _chunks(data: bytes, file: Path | str) -> Iterator[tuple[bytes, memoryview]]:
    """Yield (type, body) of every chunk up to the end chunk, each with its checksum verified."""
    if not data:
        raise FrameFileError("is empty", file=file, remedy=_AGAIN)
    if not data.startswith(_SIGNATURE):
        raise FrameFileError(
            "is not a PNG file", file=file, value=data[:8], remedy="save images as 16-bit greyscale PNG"
        )
    view = memoryview(data)
    position, total = len(_SIGNATURE), len(data)
    while position + 12 <= total:
        end = position + 12 + int.from_bytes(view[position : position + 4], "big")
        if end > total:
            break
        checked = view[position + 4 : end - 4]
        kind = bytes(checked[:4])
        if zlib.crc32(checked) != int.from_bytes(view[end - 4 : end], "big"):
            raise _damaged(f"the checksum of the part at byte {position} is wrong", file)
        yield kind, checked[4:]
        if kind == b"IEND":
            return
        position = end
    raise FrameFileError(f"is cut short: it ends after {total} bytes, before its end mark", file=file, remedy=_AGAIN)


@dataclass(frozen=True, slots=True)
class _Verified:
    """A whole file of the right kind; ``plain`` where it has no part but header, pixels, text and end."""

    file: Path | str
    data: bytes
    width: int
    height: int
    compressed: bytes | memoryview
    plain: bool


def _verify(data: bytes, file: Path | str) -> _Verified:
    """Return the parts of a whole file of the right kind; its pixels are not decompressed yet."""
    chunks = _chunks(data, file)
    kind, header = next(chunks)
    if kind != b"IHDR" or len(header) != 13:
        raise _damaged("it has no image header", file)
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    bits, colour, compression, filtering, interlace = header[8:13]
    if (bits, colour) != (16, 0):
        raise FrameFileError(
            f"is {bits}-bit {_COLOURS.get(colour, f'of colour type {colour}')}, expected 16-bit greyscale",
            file=file,
            remedy="use the camera's original files; pictures saved by other programs have lost their counts",
        )
    if interlace != 0:
        raise FrameFileError("is interlaced, expected plain rows", file=file, remedy="use the camera's original files")
    if (compression, filtering) != (0, 0):
        raise _damaged("its compression is unknown", file)
    if not (0 < width <= MAXIMUM_SIDE_PX and 0 < height <= MAXIMUM_SIDE_PX and width * height <= MAXIMUM_PIXELS):
        raise FrameFileError(
            f"claims {width} x {height} pixels, which is no image of a camera", file=file, remedy=_AGAIN
        )
    parts: list[memoryview] = []
    plain = True
    for kind, body in chunks:
        if kind == b"IDAT":
            parts.append(body)
        elif kind[0] & 0x20 == 0 and kind not in (b"IEND", b"PLTE"):
            raise _damaged(f"it has a part of unknown type {kind!r}", file)
        elif kind not in (b"IEND", b"tEXt"):
            plain = False
    compressed = parts[0] if len(parts) == 1 else b"".join(parts)
    return _Verified(file, data, width, height, compressed, plain)


def _decode(verified: _Verified) -> npt.NDArray[np.uint16]:
    """Return the pixels; the checksum that closes the compressed data is verified on the way."""
    file, width, height = verified.file, verified.width, verified.height
    row_bytes = 1 + 2 * width
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(verified.compressed, height * row_bytes + 1)
    except zlib.error as error:
        raise _damaged(f"its pixels cannot be decompressed ({error})", file) from None
    if len(raw) != height * row_bytes or not inflater.eof:
        raise _damaged(f"it does not hold just {width} x {height} pixels", file)
    rows = np.frombuffer(raw, np.uint8).reshape(height, row_bytes)
    filters = rows[:, 0]
    if filters.max() > _FILTER_LAST:
        raise _damaged("a row has an unknown filter", file)
    # Files with one filter throughout, as write_png makes them, are undone here: faster than by OpenCV.
    body = rows[:, 1:]
    if not np.any(filters != _FILTER_NONE):
        pixels = np.ascontiguousarray(body)
    elif not np.any(filters != _FILTER_UP):
        pixels = np.ascontiguousarray(body)
        for above, row in pairwise(pixels):
            np.add(row, above, out=row)
    else:
        return _decode_mixed(verified, raw)
    return pixels.view(">u2").astype(np.uint16)


def _decode_mixed(verified: _Verified, raw: bytes) -> npt.NDArray[np.uint16]:
    """Decode with OpenCV, which sees nothing but header, pixels and text: no other part can change the result.

    ``raw`` are the decompressed rows. They are handed over uncompressed: nothing is decompressed twice.
    """
    width, height = verified.width, verified.height
    data = verified.data
    if not verified.plain or len(verified.compressed) < len(raw):  # 33 bytes: signature and header
        data = b"".join((data[:33], _chunk(b"IDAT", zlib.compress(raw, 0)), _chunk(b"IEND", b"")))
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _damaged(f"its pixels cannot be decoded ({error})", verified.file) from None
    if image is None or image.shape != (height, width) or image.dtype != np.uint16:
        raise _damaged("its pixels cannot be decoded", verified.file)
    return np.asarray(image, dtype=np.uint16)
