"""Reading a spectrum: every format, with every doubt about the file refused in words."""

import hashlib
import io
from pathlib import Path
from typing import Final

import numpy as np

from so2cam.core.errors import FrameFileError
from so2cam.core.records import FloatArray
from so2cam.core.spectra import Spectrum, SpectrumInfo
from so2cam.core.spectrometer import SpectrumFiles
from so2cam.formats.npy import array_of, read_head
from so2cam.formats.spectra.columns import decode, parse_columns, parse_ifit

MAXIMUM_BYTES: Final = 16_000_000
MINIMUM_PIXELS: Final = 16
MAXIMUM_PIXELS: Final = 65_536
WAVELENGTHS_NM: Final = (100.0, 2500.0)
"""Wavelengths outside are taken for something else."""
_AGAIN: Final = "copy the file again from the instrument; if it stays so, it was damaged there"


def read_spectrum(info: SpectrumInfo, files: SpectrumFiles) -> Spectrum:
    """Return the spectrum of ``info``, stored as ``files`` says.

    Wavelengths that decrease throughout are turned round together with their counts, so that pixel 0 is always that
    of the shortest wavelength. Raises FrameFileError where
    the file cannot be read, is empty, cut short or of another form, and for wavelengths or counts that cannot be.
    """
    path = info.path
    try:
        with path.open("rb") as stream:
            data = stream.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        raise FrameFileError(
            f"cannot be read: {error.strerror or error}", file=path, remedy="check the file's permissions and the disk"
        ) from error
    wavelengths, counts = parse_spectrum(data, path, files)
    return Spectrum(info=info, wavelengths_nm=wavelengths, counts=counts, sha256=hashlib.sha256(data).hexdigest())


def parse_spectrum(data: bytes, file: Path | str, files: SpectrumFiles) -> tuple[FloatArray, FloatArray]:
    """Return wavelengths [nm], strictly increasing, and counts, (N,), of a spectrum file's bytes.

    ``file`` names it in errors. Raises FrameFileError as ``read_spectrum`` does.
    """
    if not data:
        raise FrameFileError("is empty", file=file, remedy=_AGAIN)
    if len(data) > MAXIMUM_BYTES:
        raise FrameFileError(
            f"has more than {MAXIMUM_BYTES // 1_000_000} MB, which is no spectrum",
            file=file,
            remedy="move it elsewhere",
        )
    if files.format == "picam":
        wavelengths, counts = _parse_array(data, file)
    elif files.format == "ifit":
        wavelengths, counts = parse_ifit(decode(data), file)
    else:
        wavelengths, counts = parse_columns(
            decode(data),
            file,
            wavelength_column=files.wavelength_column,
            counts_column=files.counts_column,
            delimiter=files.delimiter,
        )
    return _checked(wavelengths, counts, file)


def _parse_array(data: bytes, file: Path | str) -> tuple[FloatArray, FloatArray]:
    """Return the two rows of a .npy file whose header and size say just what is expected."""
    stream = io.BytesIO(data)
    try:
        head = read_head(stream)
    except ValueError as error:
        raise FrameFileError(str(error), file=file, remedy="set spectrometer.files.format") from None
    if head.dtype.kind not in "iuf":
        raise FrameFileError(
            "is not an array of plain numbers",
            file=file,
            value=str(head.dtype),
            remedy="save spectra as an array of 2 rows, wavelengths and counts, of float64",
        )
    if len(head.shape) != 2 or head.shape[0] != 2 or not MINIMUM_PIXELS <= head.shape[1] <= MAXIMUM_PIXELS:
        raise FrameFileError(
            f"has the shape {head.shape}, expected (2, N): a row of {MINIMUM_PIXELS} to {MAXIMUM_PIXELS} wavelengths "
            "and one of counts",
            file=file,
            remedy="remove files that are no spectra, or save spectra as an array of 2 rows",
        )
    try:
        rows = array_of(data)
    except ValueError as error:
        raise FrameFileError(str(error), file=file, remedy=_AGAIN) from None
    return np.array(rows[0], np.float64), np.array(rows[1], np.float64)


def _checked(wavelengths: FloatArray, counts: FloatArray, file: Path | str) -> tuple[FloatArray, FloatArray]:
    """Return the spectrum with its wavelengths increasing, or raise FrameFileError for what cannot be one."""
    if not MINIMUM_PIXELS <= wavelengths.size <= MAXIMUM_PIXELS:
        raise FrameFileError(
            f"has {wavelengths.size} pixels; a spectrum has {MINIMUM_PIXELS} to {MAXIMUM_PIXELS}",
            file=file,
            remedy=_AGAIN,
        )
    for what, values in (("wavelength", wavelengths), ("count", counts)):
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            raise FrameFileError(
                f"has a {what} that is no finite number, {wrong.size} in all",
                file=file,
                key=f"pixel {wrong[0]}",
                value=float(values[wrong[0]]),
                remedy=_AGAIN,
            )
    low, high = WAVELENGTHS_NM
    if wavelengths.min() < low or wavelengths.max() > high:
        raise FrameFileError(
            f"has wavelengths outside {low:g} to {high:g} nm",
            file=file,
            value=(float(wavelengths.min()), float(wavelengths.max())),
            remedy="wavelengths must be in nm, and in the row or column where the settings say they are",
        )
    steps = np.diff(wavelengths)
    if np.all(steps < 0):
        return np.ascontiguousarray(wavelengths[::-1]), np.ascontiguousarray(counts[::-1])
    wrong = np.flatnonzero(steps <= 0)
    if wrong.size:
        raise FrameFileError(
            "has wavelengths that do not increase from pixel to pixel",
            file=file,
            key=f"pixel {wrong[0] + 1}",
            value=float(wavelengths[wrong[0] + 1]),
            remedy="correct the wavelengths; they must increase, or decrease, throughout",
        )
    return wavelengths, counts
