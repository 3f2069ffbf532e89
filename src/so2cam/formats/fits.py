"""FITS files of cameras: the header for a search of folders, and integer images read with their length verified.

Rows stand in the file from the top of the image down, as the cameras of this field write them; a header that says
``ROWORDER = 'BOTTOM-UP'`` turns them round. FITS has no checksum of its own: ``CHECKSUM`` and ``DATASUM`` are
verified where a file has them, and a file that ends before its last part is refused.
"""

import hashlib
import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from so2cam.core.errors import FrameFileError
from so2cam.core.records import Frame, FrameInfo
from so2cam.formats.names import MAXIMUM_EXPOSURE_S
from so2cam.formats.png import MAXIMUM_FILE_BYTES
from so2cam.formats.png_writing import MAXIMUM_PIXELS, MAXIMUM_SIDE_PX

FITS_SUFFIXES: Final = frozenset({"fts", "fit", "fits"})

_BLOCK: Final = 2880
_CARD: Final = 80
_MAXIMUM_HEADER_BLOCKS: Final = 500
_EXPOSURE_KEYS: Final = (("EXPTIME", 1.0), ("EXPOSURE", 1.0), ("EXP", 1e-6))
"""Keywords of the exposure time, and their units in seconds; ``EXP`` is the Envicam's, in microseconds."""
_DERIVED_KEYS: Final = ("DARKCORR", "IS_TAU", "IS_AA", "VIGNCORR", "SENSCORR", "DILCORR", "GASCALIB", "IS_BIN")
"""Flags that existing software sets in images that it computed."""
_AGAIN: Final = "copy the file again from the instrument, or delete it"
_ORIGINAL: Final = "use the camera's original files; computed images have lost their counts"


@dataclass(frozen=True, slots=True)
class FitsHeader:
    """What a FITS header says of a frame; None where it says nothing.

    ``gain`` is a number or word as written; ``start`` is STIME as written, taken as UTC; ``derived`` names the flags
    that mark a computed image.
    """

    exposure_s: float | None
    gain: str | None
    start: datetime | None
    derived: tuple[str, ...]


def read_header(path: Path) -> FitsHeader:
    """Return what the first header of the FITS file ``path`` says; pixels are not read.

    The exposure is ``EXPTIME`` or ``EXPOSURE`` [s], else ``EXP`` [microseconds]. Raises FrameFileError where the
    file cannot be read, is no FITS file, or has values that cannot be.
    """
    try:
        with path.open("rb") as stream:
            text = _header_text(stream, path)
    except OSError as error:
        raise _unreadable(path, error) from error
    with _strict(path):
        from astropy.io import fits

        header = fits.Header.fromstring(text)
        return FitsHeader(
            exposure_s=_exposure_s(header, path),
            gain=_word(header, "GAIN"),
            start=_start(header, path),
            derived=tuple(key for key in _DERIVED_KEYS if _is_set(header.get(key))),
        )


def read_fits(data: bytes, file: Path | str) -> npt.NDArray[np.uint16]:
    """Return the pixels (rows, columns) of the FITS file ``data``; ``file`` names it in errors.

    The image is the first part of the file that has data; BZERO and BSCALE are applied. Raises FrameFileError where
    the file is truncated or damaged, and where the image is not of two dimensions, not of whole numbers from 0 to
    65535, or has pixels without a value.
    """
    if not data:
        raise FrameFileError("is empty", file=file, remedy=_AGAIN)
    if not data.startswith(b"SIMPLE  ="):
        raise _no_fits(file, data)
    with _strict(file):
        from astropy.io import fits

        # A last block without its filling is harmless; that no data is missing is verified below.
        whole = data + bytes(-len(data) % _BLOCK)
        with fits.open(io.BytesIO(whole), memmap=False, do_not_scale_image_data=True, checksum=True) as parts:
            for part in parts:
                if part.fileinfo()["datLoc"] + part.size > len(data):
                    raise _cut_short(file, len(data))
            image = next((part for part in parts if part.header.get("NAXIS", 0) > 0), None)
            if image is None or not isinstance(image, fits.PrimaryHDU | fits.ImageHDU):
                raise FrameFileError("holds no image", file=file, remedy=_ORIGINAL)
            counts = _counts(image, file)
            bottom_up = _word(image.header, "ROWORDER") == "BOTTOM-UP"
    return np.ascontiguousarray(counts[::-1] if bottom_up else counts)


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
        raise _unreadable(path, error) from error
    counts = read_fits(data, path)
    if counts.shape != (height, width):
        raise FrameFileError(
            f"has the wrong size: expected {width} x {height}, found {counts.shape[1]} x {counts.shape[0]} pixels",
            file=path,
            remedy="set camera.optics.width_px and height_px in the site file, or remove images of other cameras",
        )
    highest = int(counts.max())
    if highest > maximum_dn:
        raise FrameFileError(
            f"has counts up to {highest}, more than a {maximum_dn.bit_length()}-bit camera can give ({maximum_dn})",
            file=path,
            remedy="set camera.sensor.bits in the site file, or remove images of other cameras",
        )
    return Frame(info=info, counts=counts, sha256=hashlib.sha256(data).hexdigest())


# --- files -------------------------------------------------------------------------------------------------------


@contextmanager
def _strict(file: Path | str) -> Iterator[None]:
    """Turn every complaint of the FITS library into FrameFileError, but for odd cards and letters in a header."""
    from astropy.io.fits.verify import VerifyError, VerifyWarning
    from astropy.utils.exceptions import AstropyUserWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", AstropyUserWarning)
        warnings.simplefilter("ignore", VerifyWarning)
        for harmless in ("non-ASCII characters", "The following header keyword is invalid"):
            warnings.filterwarnings("ignore", message=harmless, category=AstropyUserWarning)
        warnings.filterwarnings("error", message="Error validating header", category=VerifyWarning)
        try:
            yield
        except (AstropyUserWarning, VerifyError, OSError, LookupError, ValueError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise FrameFileError(f"is damaged: {reason}", file=file, remedy=_AGAIN) from None


def _unreadable(path: Path, error: OSError | ValueError) -> FrameFileError:
    return FrameFileError(
        f"cannot be read: {getattr(error, 'strerror', None) or error}",
        file=path,
        remedy="check that the file is there, its permissions and the disk",
    )


def _no_fits(file: Path | str, data: bytes) -> FrameFileError:
    return FrameFileError("is not a FITS file", file=file, value=data[:9], remedy="use the camera's original files")


def _cut_short(file: Path | str, size: int) -> FrameFileError:
    return FrameFileError(f"is cut short: it ends after {size} bytes, before its end", file=file, remedy=_AGAIN)


def _header_text(stream: io.BufferedReader, path: Path) -> str:
    """Return the cards of the first header. Raises FrameFileError where it is none or has no end."""
    blocks: list[bytes] = []
    for _ in range(_MAXIMUM_HEADER_BLOCKS):
        block = stream.read(_BLOCK)
        if not blocks and not block.startswith(b"SIMPLE  ="):
            if not block:
                raise FrameFileError("is empty", file=path, remedy=_AGAIN)
            raise _no_fits(path, block)
        if len(block) < _BLOCK:
            raise _cut_short(path, len(b"".join(blocks)) + len(block))
        blocks.append(block)
        if any(block[at : at + 8] == b"END     " for at in range(0, _BLOCK, _CARD)):
            return b"".join(blocks).decode("ascii", "replace")
    raise FrameFileError("is damaged: its header has no end", file=path, remedy=_AGAIN)


# --- header values -----------------------------------------------------------------------------------------------


def _word(header: Any, key: str) -> str | None:
    """Return the value of ``key`` as text without blanks around it; None where there is none."""
    value = header.get(key)
    text = "" if value is None or not isinstance(value, str | int | float) else str(value).strip()
    return text or None


def _is_set(value: object) -> bool:
    """Return True for a flag that is set: true, or a number other than 0, as text too."""
    if isinstance(value, bool | int | float):
        return bool(value)
    return isinstance(value, str) and value.strip() not in ("", "0", "F", "none")


def _exposure_s(header: Any, path: Path) -> float | None:
    for key, unit_s in _EXPOSURE_KEYS:
        text = _word(header, key)
        if text is None:
            continue
        try:
            exposure_s = round(float(text) * unit_s, 12)
        except (ValueError, OverflowError):
            exposure_s = math.nan
        if not 0 <= exposure_s <= MAXIMUM_EXPOSURE_S:
            raise FrameFileError(
                f"the header's exposure is not from 0 to {MAXIMUM_EXPOSURE_S:g} s",
                file=path,
                key=key,
                value=text,
                remedy="correct the header, or remove the file",
            )
        return exposure_s
    return None


def _start(header: Any, path: Path) -> datetime | None:
    text = _word(header, "STIME")
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise FrameFileError(
            "the header's time cannot be read", file=path, key="STIME", value=text, remedy="correct the header"
        ) from None


# --- pixels ------------------------------------------------------------------------------------------------------


def _counts(image: Any, file: Path | str) -> npt.NDArray[np.uint16]:
    """Return the counts of an image part. Raises FrameFileError where they are not counts of a camera."""
    header = image.header
    axes = tuple(int(header[f"NAXIS{number}"]) for number in range(1, int(header["NAXIS"]) + 1))
    if len(axes) != 2:
        raise FrameFileError(f"has an image of {len(axes)} dimensions, expected 2", file=file, remedy=_ORIGINAL)
    if not all(0 < axis <= MAXIMUM_SIDE_PX for axis in axes) or math.prod(axes) > MAXIMUM_PIXELS:
        raise FrameFileError(
            f"claims {axes[0]} x {axes[1]} pixels, which is no image of a camera", file=file, remedy=_AGAIN
        )
    if header["BITPIX"] not in (8, 16, 32, 64):
        raise FrameFileError(
            "has an image of fractional numbers, expected whole counts",
            file=file,
            key="BITPIX",
            value=header["BITPIX"],
            remedy=_ORIGINAL,
        )
    raw = np.asarray(image.data)
    if raw.shape != axes[::-1] or raw.dtype.kind not in "iu":
        raise FrameFileError("is damaged: its pixels cannot be decoded", file=file, remedy=_AGAIN)
    blank = header.get("BLANK")
    if blank is not None and bool(np.any(raw == blank)):
        raise FrameFileError("has pixels without a value", file=file, key="BLANK", value=blank, remedy=_ORIGINAL)
    scale, zero = float(header.get("BSCALE", 1)), float(header.get("BZERO", 0))
    if not (math.isfinite(scale) and math.isfinite(zero)):
        raise FrameFileError("is damaged: BSCALE or BZERO is no number", file=file, remedy=_AGAIN)
    with np.errstate(all="ignore"):
        values = raw if (scale, zero) == (1, 0) else raw * scale + zero
    lowest, highest = float(values.min()), float(values.max())
    if not 0 <= lowest <= highest <= np.iinfo(np.uint16).max:
        raise FrameFileError(
            f"has counts from {lowest:g} to {highest:g}, expected 0 to 65535", file=file, remedy=_ORIGINAL
        )
    counts = values.astype(np.uint16)
    if values.dtype.kind == "f" and not np.array_equal(counts, values):
        raise FrameFileError("has fractions of counts after BSCALE and BZERO", file=file, remedy=_ORIGINAL)
    return counts
