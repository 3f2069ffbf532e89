"""PNG files of 16-bit greyscale: read with every byte verified. They are written by ``formats.png_writing``.

Every chunk's checksum, the end chunk and the checksum of the compressed pixels are verified, because a decoder
on its own takes a truncated file for an image whose lower part is black.
"""

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from so2cam.core.errors import FrameFileError
from so2cam.core.records import Counts, Frame, FrameInfo
from so2cam.formats.png_writing import (
    FILTER_UP,
    FRACTION_CHUNK,
    MAXIMUM_PIXELS,
    MAXIMUM_SIDE_PX,
    SIGNATURE,
    make_chunk,
    unpack_fraction,
    write_png,
)

__all__ = ["MAXIMUM_FILE_BYTES", "read_counts", "read_frame", "read_png", "read_text", "write_png"]

MAXIMUM_FILE_BYTES: Final = 300_000_000

_COLOURS: Final = {0: "greyscale", 2: "colour", 3: "palette", 4: "greyscale with alpha", 6: "colour with alpha"}
_FILTER_NONE, _FILTER_LAST = 0, 4
_AGAIN: Final = "copy the file again from the instrument, or delete it"


def read_png(data: bytes, file: Path | str) -> npt.NDArray[np.uint16]:
    """Return the pixels (rows, columns) of the PNG file ``data``; ``file`` names it in errors.

    Raises FrameFileError where the file is truncated, damaged, or not 16-bit greyscale.
    """
    return _decode(_verify(data, file))


def read_counts(data: bytes, file: Path | str) -> Counts:
    """Return the counts [DN] (rows, columns): uint16, or float32 where the file keeps a fraction of a count.

    Raises FrameFileError as ``read_png`` does.
    """
    verified = _verify(data, file)
    return _with_fraction(verified, _decode(verified))


def read_text(data: bytes, file: Path | str) -> dict[str, str]:
    """Return the text of a PNG file by keyword. Raises FrameFileError where the file is damaged."""
    found = {}
    for kind, body in _chunks(data, file):
        if kind == b"tEXt":
            key, _, value = bytes(body).partition(b"\0")
            found[key.decode("latin-1")] = value.decode("latin-1")
    return found


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
    counts: Counts = _decode(verified)
    highest = int(counts.max())
    if highest > maximum_dn:
        raise FrameFileError(
            f"has counts up to {highest}, more than a {maximum_dn.bit_length()}-bit camera can give ({maximum_dn})",
            file=path,
            remedy="set camera.sensor.bits in the site file, or remove images of other cameras",
        )
    counts = _with_fraction(verified, counts)
    return Frame(info=info, counts=counts, sha256=hashlib.sha256(data).hexdigest())


def _damaged(what: str, file: Path | str) -> FrameFileError:
    return FrameFileError(f"is damaged: {what}", file=file, remedy=_AGAIN)


def _chunks(data: bytes, file: Path | str) -> Iterator[tuple[bytes, memoryview]]:
    """Yield (type, body) of every chunk up to the end chunk, each with its checksum verified."""
    if not data:
        raise FrameFileError("is empty", file=file, remedy=_AGAIN)
    if not data.startswith(SIGNATURE):
        raise FrameFileError(
            "is not a PNG file", file=file, value=data[:8], remedy="save images as 16-bit greyscale PNG"
        )
    view = memoryview(data)
    position, total = len(SIGNATURE), len(data)
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
    fraction: memoryview | None


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
    fraction: memoryview | None = None
    for kind, body in chunks:
        if kind == b"IDAT":
            parts.append(body)
        elif kind[0] & 0x20 == 0 and kind not in (b"IEND", b"PLTE"):
            raise _damaged(f"it has a part of unknown type {kind!r}", file)
        elif kind == FRACTION_CHUNK:
            fraction, plain = body, False
        elif kind not in (b"IEND", b"tEXt"):
            plain = False
    compressed = parts[0] if len(parts) == 1 else b"".join(parts)
    return _Verified(file, data, width, height, compressed, plain, fraction)


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
    elif not np.any(filters != FILTER_UP):
        pixels = np.ascontiguousarray(body)
        for above, row in pairwise(pixels):
            np.add(row, above, out=row)
    else:
        return _decode_mixed(verified, raw)
    return pixels.view(">u2").astype(np.uint16)


def _with_fraction(verified: _Verified, whole: Counts) -> Counts:
    """Return the counts with the fraction that the file keeps beside them, or as they are where it keeps none."""
    if verified.fraction is None:
        return whole
    try:
        fraction = unpack_fraction(verified.fraction, (verified.height, verified.width))
    except ValueError as error:
        raise _damaged(f"the fraction of its counts cannot be read ({error})", verified.file) from None
    return whole + fraction


def _decode_mixed(verified: _Verified, raw: bytes) -> npt.NDArray[np.uint16]:
    """Decode with OpenCV, which sees nothing but header, pixels and text: no other part can change the result.

    ``raw`` are the decompressed rows. They are handed over uncompressed: nothing is decompressed twice.
    """
    width, height = verified.width, verified.height
    data = verified.data
    if not verified.plain or len(verified.compressed) < len(raw):  # 33 bytes: signature and header
        data = b"".join((data[:33], make_chunk(b"IDAT", zlib.compress(raw, 0)), make_chunk(b"IEND", b"")))
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _damaged(f"its pixels cannot be decoded ({error})", verified.file) from None
    if image is None or image.shape != (height, width) or image.dtype != np.uint16:
        raise _damaged("its pixels cannot be decoded", verified.file)
    return np.asarray(image, dtype=np.uint16)
