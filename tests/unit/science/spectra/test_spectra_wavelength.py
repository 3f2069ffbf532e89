"""Wavelengths from Fraunhofer lines: known shift and stretch, uncertainty, what is refused."""

import numpy as np
import pytest

from so2cam.core.records import FloatArray
from so2cam.core.spectra import FitStatus
from so2cam.core.spectrometer import Fit, LineShapeSettings
from so2cam.formats.reference_spectra import reference_table
from so2cam.science.spectra.model import FitTables
from so2cam.science.spectra.table import SpectralTable
from so2cam.science.spectra.wavelength import (
    WavelengthCalibration,
    calibrate_wavelengths,
    corrected_wavelengths,
    correction_coefficients,
)

PIXELS = np.linspace(295.0, 345.0, 650)
FIT = Fit(window_nm=(310, 320))
SHAPE = LineShapeSettings(width_nm=0.6, fit=("width",))


def table(name: str) -> SpectralTable:
    found = reference_table(name)
    return SpectralTable(found.wavelengths_nm, found.values, name)


@pytest.fixture(scope="module")
def tables() -> FitTables:
    return FitTables(
        solar=table("solar-sao2010"), so2=table("so2-bogumil2003-293k"), o3=(table("o3-serdyuchenko2014-223k"),)
    )


def sky(tables: FitTables, true_wavelengths_nm: FloatArray, seed: int) -> FloatArray:
    grid = np.arange(290.0, 350.0, 0.01)
    light = tables.solar.at(grid) * np.exp(-9e18 * tables.o3[0].at(grid))
    kernel = np.exp(-((np.arange(-2, 2.005, 0.01) / (0.55 / 2 / np.sqrt(np.log(2)))) ** 2))
    seen = np.interp(true_wavelengths_nm, grid, np.convolve(light, kernel / kernel.sum(), "same"))
    counts = 2e4 * seen / seen.mean()
    return counts * (1 + 0.002 * np.random.default_rng(seed).normal(size=counts.size))


def calibrated(tables: FitTables, shift: float, stretch: float, seed: int = 1) -> WavelengthCalibration:
    true = PIXELS + shift + stretch * (PIXELS - 320)
    return calibrate_wavelengths(
        PIXELS, sky(tables, true, seed), fit=FIT, line_shape=SHAPE, tables=tables, range_nm=(306, 336)
    )


@pytest.mark.parametrize(("shift", "stretch"), [(0.0, 0.0), (0.21, 0.003), (-0.35, -0.004)])
def test_shift_and_stretch_are_found(tables: FitTables, shift: float, stretch: float) -> None:
    found = calibrated(tables, shift, stretch)
    true = PIXELS + shift + stretch * (PIXELS - 320)
    inside = (PIXELS > 306) & (PIXELS < 336)
    assert np.abs(found.wavelengths_nm - true)[inside].max() < 0.004
    assert (np.abs(found.wavelengths_nm - true)[inside] < 4 * found.uncertainty_nm[inside]).all()
    assert found.coefficients[1] == pytest.approx(stretch, abs=5e-4)
    assert (found.status == FitStatus.OK).all()
    assert found.used.all()
    assert found.scatter < 2
    assert found.widths_nm == pytest.approx(np.full(found.centres_nm.size, 0.55), abs=0.03)


def test_uncertainty_is_honest_and_grows_outside(tables: FitTables) -> None:
    pulls = []
    for seed in range(12):
        found = calibrated(tables, 0.1, 0.0, seed)
        middle = int(np.argmin(np.abs(PIXELS - found.centre_nm)))
        pulls.append((found.wavelengths_nm[middle] - PIXELS[middle] - 0.1) / found.uncertainty_nm[middle])
        assert found.uncertainty_nm[0] > 1.5 * found.uncertainty_nm[middle]
    assert 0.3 < np.sqrt(np.mean(np.square(pulls))) < 1.8


def test_what_cannot_be_calibrated_is_refused(tables: FitTables) -> None:
    counts = sky(tables, PIXELS, 1)
    settings = {"fit": FIT, "line_shape": SHAPE, "tables": tables}
    with pytest.raises(ValueError, match="holds 1 pieces"):
        calibrate_wavelengths(PIXELS, counts, range_nm=(310, 316), **settings)
    with pytest.raises(ValueError, match="lies outside"):
        calibrate_wavelengths(PIXELS, counts, range_nm=(320, 350), **settings)
    with pytest.raises(ValueError, match="pieces could be fitted"):
        calibrate_wavelengths(PIXELS, np.zeros(PIXELS.size), range_nm=(306, 336), **settings)
    with pytest.raises(ValueError, match="counts for"):
        calibrate_wavelengths(PIXELS, counts[1:], range_nm=(306, 336), **settings)
    with pytest.raises(ValueError, match="order must be"):
        calibrate_wavelengths(PIXELS, counts, range_nm=(306, 336), order=7, **settings)


def test_the_correction_is_what_was_found(tables: FitTables) -> None:
    """The polynomial about the range's centre and the one about 310 nm are the same."""
    found = calibrated(tables, 0.1, 0.002)
    coefficients = correction_coefficients(found)
    assert corrected_wavelengths(PIXELS, tuple(coefficients)) == pytest.approx(found.wavelengths_nm, abs=1e-9)
    assert corrected_wavelengths(PIXELS, (0.1, 0.0, 1e-5)) == pytest.approx(PIXELS + 0.1 + 1e-5 * (PIXELS - 310) ** 2)
    assert corrected_wavelengths(PIXELS, ()) is PIXELS
    with pytest.raises(ValueError, match="do not increase"):
        corrected_wavelengths(PIXELS, (0.0, -1.0))
