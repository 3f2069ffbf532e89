"""Wavelengths of a spectrometer's pixels from the Fraunhofer lines of the sky."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.results import IntArray
from so2cam.core.spectra import FitStatus
from so2cam.core.spectrometer import Fit, LineShapeSettings
from so2cam.science.spectra.fit import fit_spectra
from so2cam.science.spectra.model import FitTables, build_fit

CORRECTION_CENTRE_NM = 310.0
"""Corrections of wavelengths are polynomials in the distance from here."""
BoolArray = npt.NDArray[np.bool_]
ROUNDS = 2
OUTLIER = 5.0
"""times the typical misfit of the pieces"""


@dataclass(frozen=True, slots=True)
class WavelengthCalibration:
    """Corrected wavelengths of N pixels, from K pieces of the spectrum.

    ``wavelengths_nm`` (N,) are the corrected ones and ``uncertainty_nm`` (N,) their 1 sigma, which grows outside the
    pieces. ``coefficients`` (D + 1,), of powers of (nominal wavelength - ``centre_nm``), with ``covariance``, is what
    was added: shift [nm], stretch, ... Each piece has its ``centres_nm``, ``shifts_nm``, ``sigmas_nm``, its line's
    ``widths_nm`` (full width at half maximum, NaN where it was not fitted) and ``status``; NaN where its fit failed.
    ``used`` (K,) are the pieces that the polynomial goes through; those that lie far off the others are left out.
    ``scatter`` is the root of the reduced chi-squared of the pieces about the polynomial, by which the covariance is
    scaled where above 1; NaN where no piece is left over to tell.
    """

    wavelengths_nm: FloatArray
    uncertainty_nm: FloatArray
    coefficients: FloatArray
    covariance: FloatArray
    centre_nm: float
    centres_nm: FloatArray
    shifts_nm: FloatArray
    sigmas_nm: FloatArray
    widths_nm: FloatArray
    status: IntArray
    used: BoolArray
    scatter: float


def corrected_wavelengths(wavelengths_nm: FloatArray, coefficients: Sequence[float]) -> FloatArray:
    """Return wavelengths (N,) with a polynomial in (wavelength - 310 nm) added, ``coefficients`` from the constant up.

    Raises ValueError where they do not increase strictly afterwards.
    """
    if not coefficients:
        return wavelengths_nm
    powers = np.vander(wavelengths_nm - CORRECTION_CENTRE_NM, len(coefficients), increasing=True)
    corrected = np.asarray(wavelengths_nm + powers @ np.asarray(coefficients, np.float64))
    if not (np.diff(corrected) > 0).all():
        raise ValueError("wavelengths do not increase from pixel to pixel once they are corrected")
    return corrected


def correction_coefficients(calibration: WavelengthCalibration) -> FloatArray:
    """Return the polynomial (D + 1,) of a calibration in powers of (wavelength - 310 nm), from the constant up."""
    moved = np.polynomial.Polynomial([CORRECTION_CENTRE_NM - calibration.centre_nm, 1.0])
    found = np.polynomial.Polynomial(calibration.coefficients)(moved)
    out = np.zeros(calibration.coefficients.size)
    out[: found.coef.size] = found.coef
    return out


def calibrate_wavelengths(
    pixel_wavelengths_nm: FloatArray,
    counts: FloatArray,
    *,
    fit: Fit,
    line_shape: LineShapeSettings,
    tables: FitTables,
    range_nm: tuple[float, float],
    piece_nm: float = 6.0,
    order: int = 1,
) -> WavelengthCalibration:
    """Compare a spectrum of the sky ``counts`` (N,), dark and stray light removed, with sunlight in pieces.

    Pieces of ``piece_nm``, overlapping by half, lie within ``range_nm``. In each, sunlight behind the absorbers is
    fitted with a shift of its own (no stretch); the shifts then give a polynomial of ``order``, weighted by their
    uncertainties. A second round starts from the wavelengths of the first. This is the usual way to calibrate a
    DOAS spectrometer (Platt & Stutz 2008).

    Raises ValueError where the range does not hold ``order`` + 1 pieces or lies outside the spectrum, and where too
    few pieces can be fitted.
    """
    if counts.shape != pixel_wavelengths_nm.shape:
        raise ValueError(f"{counts.shape} counts for {pixel_wavelengths_nm.shape} wavelengths")
    if not (0 <= order <= 3 and piece_nm > 0):
        raise ValueError(f"the order must be 0 to 3 and pieces wider than 0, found {order} and {piece_nm} nm")
    number = int(np.floor((range_nm[1] - range_nm[0] - piece_nm) / (0.5 * piece_nm) + 1e-9)) + 1
    if number < order + 1:
        raise ValueError(
            f"{range_nm[0]:g} to {range_nm[1]:g} nm holds {max(number, 0)} pieces of {piece_nm:g} nm, but a polynomial "
            f"of order {order} needs {order + 1}; choose a wider range or smaller pieces"
        )
    settings = fit.model_copy(update={"shift_order": 0, "background_order": min(fit.background_order, 3)})
    starts = np.linspace(range_nm[0], range_nm[1] - piece_nm, number)
    centres = starts + 0.5 * piece_nm
    centre = float(np.mean(centres))
    powers = np.vander(centres - centre, order + 1, increasing=True)
    everywhere = np.vander(pixel_wavelengths_nm - centre, order + 1, increasing=True)
    coefficients = np.zeros(order + 1)
    for _ in range(ROUNDS):
        # Each round starts on the axis of the last one, so that no stretch is left within a piece.
        axis = pixel_wavelengths_nm + everywhere @ coefficients
        pieces = _fit_pieces(axis, counts, starts, piece_nm, settings, line_shape, tables)
        shifts = pieces.shifts_nm + powers @ coefficients
        coefficients, covariance, scatter, used = _polynomial(powers, shifts, pieces.sigmas_nm)
    return WavelengthCalibration(
        wavelengths_nm=pixel_wavelengths_nm + everywhere @ coefficients,
        uncertainty_nm=np.sqrt(np.einsum("ni,ij,nj->n", everywhere, covariance, everywhere)),
        coefficients=coefficients,
        covariance=covariance,
        centre_nm=centre,
        centres_nm=centres,
        shifts_nm=shifts,
        sigmas_nm=pieces.sigmas_nm,
        widths_nm=pieces.widths_nm,
        status=pieces.status,
        used=used,
        scatter=scatter,
    )


@dataclass(frozen=True, slots=True)
class _Pieces:
    shifts_nm: FloatArray
    sigmas_nm: FloatArray
    widths_nm: FloatArray
    status: IntArray


def _fit_pieces(
    axis_nm: FloatArray,
    counts: FloatArray,
    starts_nm: FloatArray,
    piece_nm: float,
    settings: Fit,
    line_shape: LineShapeSettings,
    tables: FitTables,
) -> _Pieces:
    """Fit each piece with a shift of its own."""
    shifts, sigmas, widths = (np.full(starts_nm.size, np.nan) for _ in range(3))
    status = np.full(starts_nm.size, int(FitStatus.NO_INFORMATION), dtype=np.int64)
    for n, start in enumerate(starts_nm):
        window = (float(start), float(start) + piece_nm)
        model = build_fit(axis_nm, fit=settings, line_shape=line_shape, tables=tables, window_nm=window)
        found = fit_spectra(model, counts)
        status[n] = found.status[0]
        if found.ok[0]:
            shifts[n], sigmas[n] = (float(part[0]) for part in found.parameter("shift_0"))
            if "width" in found.names:
                widths[n] = found.parameter("width")[0][0]
    return _Pieces(shifts, sigmas, widths, status)


def _polynomial(
    powers: FloatArray, shifts_nm: FloatArray, sigmas_nm: FloatArray
) -> tuple[FloatArray, FloatArray, float, BoolArray]:
    """Weighted polynomial through the pieces: coefficients, covariance, scatter, and which pieces it uses."""
    size = powers.shape[1]
    used = np.isfinite(shifts_nm)
    while True:
        if int(used.sum()) < size:
            raise ValueError(
                f"only {int(used.sum())} of {used.size} pieces could be fitted, {size} are needed; "
                "check the dark, the nominal wavelengths and the line shape"
            )
        weighted = powers[used] / sigmas_nm[used, None]
        covariance = np.linalg.inv(weighted.T @ weighted)
        coefficients = covariance @ (weighted.T @ (shifts_nm[used] / sigmas_nm[used]))
        left_over = int(used.sum()) - size
        misfit = (shifts_nm - powers @ coefficients) / sigmas_nm
        # The median tells how far pieces lie off in general; one far beyond that was led into another valley.
        typical = max(1.4826 * float(np.median(np.abs(misfit[used]))), 1.0)
        worst = int(np.argmax(np.where(used, np.abs(misfit), -1.0)))
        if left_over < 2 or abs(misfit[worst]) <= OUTLIER * typical:
            break
        used[worst] = False
    scatter = float("nan")
    # Neighbours share half of their light: the pieces hold half as much as if they were independent.
    covariance = covariance * (2 if used.size > 1 else 1)
    if left_over > 0:
        scatter = float(np.sqrt(np.sum(misfit[used] ** 2) / left_over))
        covariance = covariance * max(scatter, 1.0) ** 2
    return coefficients, np.asarray(covariance, np.float64), scatter, np.asarray(used, np.bool_)
