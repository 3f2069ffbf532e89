"""Whether a file that arrives by other means is whole: by its own format's end, as far as that has one."""

from pathlib import Path
from typing import Final

from so2cam.formats.npy import read_head

_PNG_HEAD: Final = b"\x89PNG\r\n\x1a\n"
_PNG_END: Final = b"\x00\x00\x00\x00IEND\xaeB\x60\x82"
_FITS_BLOCK: Final = 2880


def is_whole(path: Path) -> bool:
    """Return whether a file has its format's end. Files of other formats than PNG, NPY, FITS: whether any bytes.

    A file that cannot be read is not whole. Only a few bytes are read: a checksum of the content it is not.
    """
    suffix = path.suffix.lower()
    try:
        size = path.stat().st_size
        if not size:
            return False
        if suffix == ".png":
            return _png_is_whole(path, size)
        if suffix == ".npy":
            return _npy_is_whole(path, size)
        if suffix in (".fit", ".fits", ".fts"):
            return size % _FITS_BLOCK == 0
    except (OSError, ValueError):
        return False
    return True


def _png_is_whole(path: Path, size: int) -> bool:
    if size < len(_PNG_HEAD) + len(_PNG_END):
        return False
    with path.open("rb") as stream:
        if stream.read(len(_PNG_HEAD)) != _PNG_HEAD:
            return False
        stream.seek(size - len(_PNG_END))
        return stream.read() == _PNG_END


def _npy_is_whole(path: Path, size: int) -> bool:
    """Return whether the array is as long as its header says."""
    with path.open("rb") as stream:
        head = read_head(stream)
        return not head.dtype.hasobject and size == stream.tell() + head.size_bytes
