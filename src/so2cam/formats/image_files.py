"""Image files of any camera: the format is told by the ending of the name."""

from pathlib import Path
from typing import Final

from so2cam.core.errors import FrameFileError
from so2cam.core.records import Frame, FrameInfo
from so2cam.formats import fits, png
from so2cam.formats.fits import FITS_SUFFIXES

PNG_SUFFIXES: Final = frozenset({"png"})
IMAGE_SUFFIXES: Final = PNG_SUFFIXES | FITS_SUFFIXES
"""Endings of the image files that so2cam reads, in lower case and without the dot."""


def suffix_of(name: str) -> str:
    """Return the ending of a file's name, in lower case and without its dot; empty where it has none."""
    stem, _, suffix = name.rpartition(".")
    return suffix.lower() if stem else ""


def is_fits(path: Path) -> bool:
    """Return True for a file that is named as a FITS file."""
    return suffix_of(path.name) in FITS_SUFFIXES


def read_frame(info: FrameInfo, *, width: int, height: int, maximum_dn: int) -> Frame:
    """Read the frame that ``info`` describes, of ``width`` x ``height`` pixels and counts up to ``maximum_dn``.

    PNG of 16 bits and FITS of whole numbers. Raises FrameFileError where the file is missing, of another format,
    damaged, of another size, or has higher counts.
    """
    suffix = suffix_of(info.path.name)
    if suffix in PNG_SUFFIXES:
        return png.read_frame(info, width=width, height=height, maximum_dn=maximum_dn)
    if suffix in FITS_SUFFIXES:
        return fits.read_frame(info, width=width, height=height, maximum_dn=maximum_dn)
    raise FrameFileError(
        "is of no format that so2cam reads",
        file=info.path,
        value=info.path.suffix,
        remedy="use PNG (.png, 16-bit greyscale) or FITS (.fts, .fit, .fits)",
    )
