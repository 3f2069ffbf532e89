"""Wavelengths of a spectrometer's pixels from the Fraunhofer lines of the sky."""

from dataclasses import dataclass

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.core.results import IntArray
from so2cam.core.spectra import FitStatus
from so2cam.core.spectrometer import Fit, LineShapeSettings
from so2cam.science.spectra.fit import fit_spectra
from so2cam.science.spectra.model import FitTables, build_fit


@dataclass(frozen=True, slots=True)
class WavelengthCalibration:
    """Corrected wavelengths of N pixels, from K pieces of the spectrum.

    ``wavelengths_nm`` (N,) are the corrected ones and ``uncertainty_nm`` (N,) their 1 sigma, which grows outside the
    pieces. ``coefficients`` (D + 1,), of powers of (nominal wavelength - ``centre_nm``), with ``covariance``, is what
    was added: shift [nm], stretch, ... Each piece has its ``centres_nm``, ``shifts_nm``, ``sigmas_nm``, its line's
    ``widths_nm`` (full width at half maximum, NaN where it was not fitted) and ``status``; NaN where its fit failed.
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
    scatter: float


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
    uncertainties. This is the usual way to calibrate a DOAS spectrometer (Platt & Stutz 2008, section 8.2.1).

    Raises ValueError where the range does not hold ``order`` + 1 pieces or lies outside the spectrum, and where too
    few pieces can be fitted.
    """
    if counts.shape != pixel_wavelengths_nm.shape:
        raise ValueError(f"{counts.shape} counts for {pixel_wavelengths_nm.shape} wavelengths")
    if not (0 <= order <= 3 and piece_nm > 0):
        raise ValueError(f"the order must be 0 to 3 and pieces wider than 0, found {order} and {piece_nm} nm")
    number = int((range_nm[1] - range_nm[0] - piece_nm) / (0.5 * piece_nm) + 1e-9) + 1
    if number < order + 1:
        raise ValueError(
            f"{range_nm[0]:g} to {range_nm[1]:g} nm holds {max(number, 0)} pieces of {piece_nm:g} nm, but a polynomial "
            f"of order {order} needs {order + 1}; choose a wider range or smaller pieces"
        )
    settings = fit.model_copy(update={"shift_order": 0, "background_order": min(fit.background_order, 3)})
    starts = np.linspace(range_nm[0], range_nm[1] - piece_nm, number)
    centres = starts + 0.5 * piece_nm
    shifts, sigmas, widths = (np.full(number, np.nan) for _ in range(3))
    status = np.full(number, int(FitStatus.NO_INFORMATION), dtype=np.int64)
    for n, start in enumerate(starts):
        window = (float(start), float(start) + piece_nm)
        model = build_fit(pixel_wavelengths_nm, fit=settings, line_shape=line_shape, tables=tables, window_nm=window)
        found = fit_spectra(model, counts)
        status[n] = found.status[0]
        if found.ok[0]:
            shifts[n], sigmas[n] = (float(part[0]) for part in found.parameter("shift_0"))
            if "width" in found.names:
                widths[n] = found.parameter("width")[0][0]
    good = np.isfinite(shifts)
    if int(good.sum()) < order + 1:
        raise ValueError(
            f"only {int(good.sum())} of {number} pieces could be fitted, {order + 1} are needed; "
            "check the dark, the nominal wavelengths and the line shape"
        )
    centre = float(np.mean(centres[good]))
    powers = np.vander(centres[good] - centre, order + 1, increasing=True)
    weighted = powers / sigmas[good, None]
    covariance = np.linalg.inv(weighted.T @ weighted)
    coefficients = covariance @ (weighted.T @ (shifts[good] / sigmas[good]))
    # Neighbours share half of their light: the pieces hold half as much as if they were independent.
    covariance = covariance * (2 if number > 1 else 1)
    left_over = int(good.sum()) - order - 1
    scatter = float("nan")
    if left_over > 0:
        misfit = (shifts[good] - powers @ coefficients) / sigmas[good]
        scatter = float(np.sqrt(np.sum(misfit**2) / left_over))
        covariance = covariance * max(scatter, 1.0) ** 2
    everywhere = np.vander(pixel_wavelengths_nm - centre, order + 1, increasing=True)
    return WavelengthCalibration(
        wavelengths_nm=pixel_wavelengths_nm + everywhere @ coefficients,
        uncertainty_nm=np.sqrt(np.einsum("ni,ij,nj->n", everywhere, covariance, everywhere)),
        coefficients=coefficients,
        covariance=covariance,
        centre_nm=centre,
        centres_nm=centres,
        shifts_nm=shifts,
        sigmas_nm=sigmas,
        widths_nm=widths,
        status=status,
        scatter=scatter,
    )
