"""Spectra of a calibration lamp that the user names: read, made linear, averaged."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from so2cam.core.errors import FrameFileError, InputError
from so2cam.core.records import FloatArray
from so2cam.core.spectrometer import Spectrometer, SpectrumFiles
from so2cam.formats.patterns import compile_pattern
from so2cam.formats.spectra.columns import decode
from so2cam.formats.spectra.header import parse_header
from so2cam.formats.spectra.names import parse_by_pattern, parse_spectrum_name
from so2cam.formats.spectra.readers import MAXIMUM_BYTES, parse_spectrum
from so2cam.pipeline.spectrum_processor import wrong_correction
from so2cam.science.spectra.prepare import prepare
from so2cam.science.spectra.wavelength import corrected_wavelengths


@dataclass(frozen=True, slots=True)
class LampSpectrum:
    """The mean of lamp spectra, less their dark: ``wavelengths_nm`` and ``counts`` (N,), NaN where a pixel is bad.

    Saturated pixels hold ``saturation_counts``, which no other pixel reaches. ``inputs`` are files and their SHA-256.
    """

    wavelengths_nm: FloatArray
    counts: FloatArray
    saturation_counts: float
    spectra: int
    darks: int
    inputs: tuple[tuple[Path, str], ...]


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    wavelengths_nm: FloatArray
    counts: FloatArray
    sha256: str
    integration_time_s: float | None


def read_lamp(
    settings: Spectrometer, lamps: Sequence[Path], darks: Sequence[Path] = (), *, what: str = "lamp"
) -> LampSpectrum:
    """Return the mean of spectra of a lamp (or of ``what`` else), less that of their darks, made linear.

    ``settings.detector`` tells how to make them so.

    Names tell the integration time where they can, and else nothing. Raises FrameFileError for a file that cannot be
    read, and InputError for no file at all, for wavelengths that differ and for darks of another integration time.
    """
    if not lamps:
        raise InputError(f"no spectrum of a {what} is given", key=f"--{what}", remedy="name at least one file")
    _refuse_repeats(lamps, darks, what)
    spectra = [_read(path, settings) for path in lamps]
    dark_spectra = [_read(path, settings) for path in darks]
    _require_alike(spectra, dark_spectra, settings.detector.integration_time_tolerance, what)
    detector = settings.detector
    dark = np.mean([one.counts for one in dark_spectra], axis=0) if dark_spectra else None
    try:
        prepared = prepare(
            np.stack([one.counts for one in spectra]),
            dark,
            spectra[0].wavelengths_nm,
            saturation_counts=detector.saturation_counts,
            nonlinearity=detector.nonlinearity,
            bad_pixels=detector.bad_pixels,
        )
    except ValueError as error:
        raise InputError(
            str(error), key="spectrometer.detector", remedy="correct the detector's settings in the site file"
        ) from None
    sound = np.where(prepared.usable, prepared.counts, np.nan)
    count = prepared.usable.sum(axis=0)
    mean = np.where(count > 0, np.nansum(sound, axis=0) / np.maximum(count, 1), np.nan)
    # Of a pixel that is saturated in any spectrum the mean says nothing.
    highest = float(np.nanmax(mean)) if np.isfinite(mean).any() else 0.0
    saturation = max(detector.saturation_counts, highest + 1.0)
    mean[prepared.saturated.any(axis=0)] = saturation
    if not np.isfinite(mean).any():
        raise InputError(
            "has no usable pixel", file=lamps[0], remedy="check spectrometer.detector.bad_pixels of the site file"
        )
    inputs = tuple((one.path, one.sha256) for one in (*spectra, *dark_spectra))
    return LampSpectrum(spectra[0].wavelengths_nm, mean, saturation, len(spectra), len(dark_spectra), inputs)


def _refuse_repeats(lamps: Sequence[Path], darks: Sequence[Path], what: str) -> None:
    seen: set[Path] = set()
    for path in (*lamps, *darks):
        real = path.resolve()
        if real in seen:
            raise InputError("is given twice", file=path, remedy=f"name each {what} spectrum and each dark once")
        seen.add(real)


def _read(path: Path, settings: Spectrometer) -> _File:
    files, correction = settings.files, settings.detector.wavelength_correction
    try:
        with path.open("rb") as stream:
            data = stream.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        raise FrameFileError(
            f"cannot be read: {error.strerror or error}", file=path, remedy="check the path and the file's permissions"
        ) from error
    wavelengths, counts = parse_spectrum(data, path, files)
    try:
        wavelengths = corrected_wavelengths(wavelengths, correction)
    except ValueError as error:
        raise wrong_correction(error, correction) from None
    return _File(path, wavelengths, counts, hashlib.sha256(data).hexdigest(), _integration_time_s(path, data, files))


def _integration_time_s(path: Path, data: bytes, files: SpectrumFiles) -> float | None:
    """Return the integration time as name or header tell it; None where they do not: a lamp may have any name."""
    try:
        if files.format == "picam":
            return parse_spectrum_name(path, files).integration_time_s
        if files.format == "ifit":
            header = parse_header(decode(data), path)
            if header.integration_time_s is not None:
                return header.integration_time_s
        if files.name_pattern is not None:
            return parse_by_pattern(path, files, compile_pattern(files.name_pattern)).integration_time_s
    except FrameFileError:
        return None
    except ValueError as error:
        raise InputError(
            str(error), key="spectrometer.files.name_pattern", remedy="correct the pattern in the site file"
        ) from None
    return None


def _require_alike(spectra: Sequence[_File], darks: Sequence[_File], tolerance: float, what: str) -> None:
    """Raise InputError where wavelengths differ, or known integration times where there are darks."""
    first = spectra[0]
    for other in (*spectra[1:], *darks):
        if not np.array_equal(other.wavelengths_nm, first.wavelengths_nm):
            raise InputError(
                f"has other wavelengths than {first.path.name}",
                file=other.path,
                remedy="name spectra of one spectrometer with one wavelength calibration",
            )
    if not darks:
        return
    known = [(one.path, one.integration_time_s) for one in (*spectra, *darks) if one.integration_time_s is not None]
    for path, time_s in known[1:]:
        if abs(time_s - known[0][1]) > tolerance * known[0][1]:
            raise InputError(
                f"has another integration time than {known[0][0].name} ({known[0][1]:g} s)",
                file=path,
                value=time_s,
                remedy=f"name {what} spectra and darks of one integration time"
                + (", or leave out --dark: a straight background is fitted below the line anyway" * (what == "lamp")),
            )
