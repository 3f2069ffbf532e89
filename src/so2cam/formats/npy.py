"""NumPy's arrays of plain values (.npy, .npz), read without evaluating their heads.

NumPy has Python's parser read the head of each file. Where two threads parse at the same moment, Python 3.11 and 3.12
raise SystemError in one of them ("AST constructor recursion depth mismatch"), and a station reads arrays in some
threads while it builds its pages in another. A head is one line of one form: it is matched here.
"""

import io
import re
import zipfile
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

MAGIC: Final = b"\x93NUMPY"
_LENGTH_BYTES: Final = {1: 2, 2: 4, 3: 4}
"""The bytes that give the length of the head, by the version of the format."""
_LONGEST_HEAD: Final = 65_536
_HEAD: Final = re.compile(
    r"\{\s*'descr':\s*'(?P<type>[<>|=]?[?biufcSUO][0-9]{0,4})',\s*'fortran_order':\s*(?P<order>True|False),\s*"
    r"'shape':\s*\((?P<shape>(?:[0-9]{1,9}(?:,\s*[0-9]{1,9})*)?),?\s*\),?\s*\}\s*"
)


@dataclass(frozen=True)
class ArrayHead:
    """What the head of a file says of its array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_by_columns: bool
    """Whether the first index varies fastest in the file (Fortran's order)."""

    @property
    def size_bytes(self) -> int:
        """The bytes of the array, without the head."""
        return prod(self.shape) * self.dtype.itemsize


def read_head(stream: BinaryIO) -> ArrayHead:
    """Return the head of an array file that begins here; the stream stands behind it then.

    Raises ValueError where none begins here or it is not of plain values, and OSError.
    """
    begin = stream.read(len(MAGIC) + 2)
    if begin[: len(MAGIC)] != MAGIC:
        raise ValueError("is not a NumPy array (.npy)")
    if len(begin) < len(MAGIC) + 2:
        raise ValueError("is cut short within its header")
    width = _LENGTH_BYTES.get(begin[-2])
    if width is None:
        raise ValueError(f"is an array file of version {begin[-2]}")
    size = stream.read(width)
    length = int.from_bytes(size, "little")
    if len(size) < width or length > _LONGEST_HEAD or len(text := stream.read(length)) < length:
        raise ValueError("is cut short within its header")
    match = _HEAD.fullmatch(text.decode("latin-1"))
    if match is None:
        raise ValueError(f"is not an array of plain values: {text.decode('latin-1').strip()[:200]}")
    try:
        dtype = np.dtype(match["type"])
    except TypeError:
        raise ValueError(f"holds values of an unknown type, {match['type']}") from None
    shape = tuple(int(part) for part in match["shape"].split(",") if part.strip())
    return ArrayHead(shape, dtype, match["order"] == "True")


def array_of(data: bytes) -> npt.NDArray[Any]:
    """Return the array of a file's bytes. Raises ValueError for every other content, also for pickled objects."""
    stream = io.BytesIO(data)
    head = read_head(stream)
    start = stream.tell()
    if head.dtype.hasobject:
        raise ValueError("holds pickled objects, which are never read")
    if len(data) - start != head.size_bytes:
        what = "is cut short" if len(data) - start < head.size_bytes else "is longer than it says"
        raise ValueError(f"{what}: {len(data)} bytes, expected {start + head.size_bytes}")
    values = np.frombuffer(data, head.dtype, offset=start) if head.size_bytes else np.empty(0, head.dtype)
    return values.reshape(head.shape, order="F" if head.is_by_columns else "C").copy()


def arrays_of(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an .npz file by their names. Raises ValueError (also for a damaged archive) and OSError."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): array_of(archive.read(name)) for name in archive.namelist()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ValueError(f"is damaged: {error}") from error
