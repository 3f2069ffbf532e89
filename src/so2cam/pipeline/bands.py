"""The camera's two bands as spectra: what gives a calibration curve its shape."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.core.site import Filters, Site
from so2cam.core.spectrometer import Spectrometer
from so2cam.formats.reference_spectra import reference_table
from so2cam.science.calibration.band_shape import (
    BandSpectra,
    ShapeUncertainty,
    band_shape,
    effective_cross_sections,
    filter_transmission,
    shape_uncertainty,
    sky_light,
)
from so2cam.science.calibration.curve import BandShape
from so2cam.science.calibration.fit_light import FitLight
from so2cam.science.calibration.view_mean import column_nonlinearity

_SOLAR, _O3 = "solar-sao2010", "o3-serdyuchenko2014-223k"
_SO2 = "so2-bogumil2003-293k"
_SPACING_NM = 0.05
_WIDTHS = 2.2
"""Widths of a filter that are integrated on each side of its centre."""
_FINE_NM = 0.01
_TYPICAL_COLUMN = 1e18
_O3_UNCERTAINTY = 0.3
"""Relative 1 sigma of the slant column of O3: day, season and the sun's height."""


def site_bands(site: Site) -> BandSpectra:
    """Return the bands of the site's filters in the light of the sky, with the SO2 cross section of its spectra."""
    return _bands(site.camera.filters, so2_table(site))


def so2_table(site: Site) -> str:
    """Return the name of the SO2 cross section of the site's spectra."""
    if site.spectrometer is not None and site.spectrometer.references.so2.table is not None:
        return site.spectrometer.references.so2.table
    return _SO2


def slope_under_ozone(filters: Filters, so2: str, o3_slant_molec_cm2: float) -> float:
    """Return dCD/dAA at zero [molecules cm-2] in light that has passed a slant column of O3 [molecules cm-2]."""
    bands = _bands(filters, so2)
    other = replace(bands, light=_light(bands.wavelengths_nm, o3_slant_molec_cm2))
    return effective_cross_sections(other).slope_molec_cm2


def site_shape(site: Site) -> BandShape:
    """Return column density over absorbance of the site's bands."""
    try:
        return band_shape(site_bands(site))
    except ValueError as error:
        raise InputError(
            f"the filters give no calibration curve: {error}",
            key="camera.filters",
            value=site.camera.filters.model_dump(),
            remedy='correct the filters, or set processing.calibration.model = "line"',
        ) from None


def site_shape_uncertainty(site: Site, column: float, anchor: float) -> ShapeUncertainty:
    """Return how well ``column`` is known by a curve that is right at ``anchor`` [molecules cm-2 both]."""
    bands = site_bands(site)
    ozone = reference_table(_O3)
    return shape_uncertainty(
        bands,
        np.array([column]),
        anchor_column_molec_cm2=anchor,
        centre_uncertainty_nm=site.camera.filters.centre_uncertainty_nm,
        o3_cross_section=np.interp(bands.wavelengths_nm, ozone.wavelengths_nm, ozone.values),
        o3_uncertainty_molec_cm2=_O3_UNCERTAINTY * site.camera.filters.o3_column_molec_cm2,
    )


def fit_light(site: Site) -> FitLight:
    """Return what the fit of the site's spectra sees of the sky, in plain numbers."""
    settings = Spectrometer() if site.spectrometer is None else site.spectrometer
    low, high = settings.fit.window_nm
    width = settings.line_shape.width_nm
    wavelengths = np.arange(low - 3 * width, high + 3 * width, _FINE_NM)
    ozone = _on(wavelengths, _O3)
    return FitLight(
        wavelengths,
        _on(wavelengths, _SOLAR) * np.exp(-ozone * site.camera.filters.o3_column_molec_cm2),
        _on(wavelengths, settings.references.so2.table or _SO2),
        ozone,
        (low, high),
        width,
        settings.fit.background_order,
    )


def view_ratio(site: Site) -> float:
    """Return how much more a spectrometer's column loses to variation within its view than a camera's absorbance would.

    The ratio of the fit's non-linearity k to the camera's absorbance per column (``science.calibration.view_mean``).
    """
    return column_nonlinearity(fit_light(site), column_molec_cm2=_TYPICAL_COLUMN) * theoretical_slope(site)


def effective_wavelengths_nm(site: Site) -> tuple[float, float]:
    """Return the mean wavelengths [nm] of the light in the on and the off band."""
    bands = site_bands(site)
    on, off = (
        float(np.sum(bands.wavelengths_nm * bands.light * filter_) / np.sum(bands.light * filter_))
        for filter_ in (bands.filter_on, bands.filter_off)
    )
    return on, off


def theoretical_slope(site: Site) -> float:
    """Return dCD/dAA at zero [molecules cm-2] from filters and cross section alone."""
    return effective_cross_sections(site_bands(site)).slope_molec_cm2


@lru_cache(maxsize=4)
def _bands(filters: Filters, so2: str) -> BandSpectra:
    low = filters.on_band_nm - _WIDTHS * filters.on_band_width_nm
    high = filters.off_band_nm + _WIDTHS * filters.off_band_width_nm
    wavelengths = np.arange(low, high, _SPACING_NM)
    light = _light(wavelengths, filters.o3_column_molec_cm2)

    def band(centre: float, width: float) -> FloatArray:
        return filter_transmission(wavelengths, centre_nm=centre, fwhm_nm=width, exponent=filters.exponent)

    return BandSpectra(
        wavelengths,
        light,
        band(filters.on_band_nm, filters.on_band_width_nm),
        band(filters.off_band_nm, filters.off_band_width_nm),
        _on(wavelengths, so2),
    )


def _light(wavelengths: FloatArray, o3_slant_molec_cm2: float) -> FloatArray:
    return sky_light(
        wavelengths,
        _on(wavelengths, _SOLAR),
        o3_cross_section=_on(wavelengths, _O3),
        o3_slant_column_molec_cm2=o3_slant_molec_cm2,
    )


def _on(wavelengths: FloatArray, name: str) -> FloatArray:
    found = reference_table(name)
    return np.asarray(np.interp(wavelengths, found.wavelengths_nm, found.values), np.float64)
