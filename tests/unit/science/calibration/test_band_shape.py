"""The band's own curve against independent integration, closed forms and what is known of real filters."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import FloatArray
from so2cam.formats.reference_spectra import reference_table
from so2cam.science.calibration.band_shape import (
    BandSpectra,
    band_absorbance,
    band_shape,
    effective_cross_sections,
    filter_transmission,
    shape_uncertainty,
    sky_light,
    tabulated_filter,
)
from so2cam.science.spectra.table import SpectralTable

X = np.arange(285.0, 360.0, 0.02)


def tabulated(name: str) -> FloatArray:
    table = reference_table(name)
    return SpectralTable(table.wavelengths_nm, table.values, name).at(X, "linear")


O3 = tabulated("o3-serdyuchenko2014-223k")
REAL = BandSpectra(
    X,
    sky_light(X, tabulated("solar-sao2010"), o3_cross_section=O3, o3_slant_column_molec_cm2=1e19),
    filter_transmission(X, centre_nm=310, fwhm_nm=10),
    filter_transmission(X, centre_nm=330, fwhm_nm=10),
    tabulated("so2-bogumil2003-293k"),
)


def wavy(x: float) -> float:
    """A made-up cross section with bands."""
    return float(2e-19 * np.exp(-(x - 305) / 8) * (1 + 0.6 * np.sin(2 * np.pi * x / 2.1)))


def sloping(x: float) -> float:
    return float(np.exp((x - 310) / 9))


MADE_UP = BandSpectra(
    X,
    np.array([sloping(x) for x in X]),
    filter_transmission(X, centre_nm=310, fwhm_nm=10, exponent=4),
    filter_transmission(X, centre_nm=330, fwhm_nm=8),
    np.array([wavy(x) for x in X]),
    0.25,
    0.15,
)


@pytest.mark.parametrize("column", [1e16, 1e18, 1e19])
def test_absorbance_against_adaptive_integration(column: float) -> None:
    def depth(centre: float, fwhm: float, exponent: float, dilution: float) -> float:
        def passed(x: float) -> float:
            return sloping(x) * float(np.exp(-np.log(2) * abs(2 * (x - centre) / fwhm) ** exponent))

        limits = {"limit": 2000, "epsrel": 1e-10}
        low, high = centre - 20, centre + 20
        clear = quad(passed, low, high, **limits)[0]
        plume = quad(lambda x: passed(x) * float(np.exp(-wavy(x) * column)), low, high, **limits)[0]
        return float(-np.log(dilution + (1 - dilution) * plume / clear))

    expected = depth(310, 10, 4, 0.25) - depth(330, 8, 2, 0.15)
    assert band_absorbance(MADE_UP, np.array([column]))[0] == pytest.approx(expected, rel=2e-5)


def test_one_wavelength_is_beer_and_lambert() -> None:
    flat = replace(REAL, so2_cross_section=np.where(X < 320, 2e-19, 0.0), light=np.ones_like(X))
    narrow = replace(
        flat,
        filter_on=filter_transmission(X, centre_nm=308, fwhm_nm=3, exponent=4),
        filter_off=filter_transmission(X, centre_nm=332, fwhm_nm=3, exponent=4),
    )
    columns = np.array([-1e17, 0.0, 1e15, 5e18])
    np.testing.assert_allclose(band_absorbance(narrow, columns), 2e-19 * columns, rtol=1e-9, atol=1e-15)
    assert effective_cross_sections(narrow).slope_molec_cm2 == pytest.approx(5e18)


def test_a_diluted_line_by_hand() -> None:
    flat = replace(
        REAL,
        so2_cross_section=np.where(X < 320, 2e-19, 0.0),
        filter_on=filter_transmission(X, centre_nm=308, fwhm_nm=3, exponent=4),
        filter_off=filter_transmission(X, centre_nm=332, fwhm_nm=3, exponent=4),
        dilution_on=0.3,
        dilution_off=0.2,
    )
    assert band_absorbance(flat, np.array([4e18]))[0] == pytest.approx(-np.log(0.3 + 0.7 * np.exp(-0.8)), rel=1e-6)
    assert effective_cross_sections(flat).difference == pytest.approx(0.7 * 2e-19, rel=1e-6)
    share = replace(flat, dilution_on=np.full(X.size, 0.3))
    assert band_absorbance(share, np.array([4e18])) == pytest.approx(band_absorbance(flat, np.array([4e18])))


def test_effective_cross_sections_are_the_slope_at_zero() -> None:
    for spectra in (REAL, MADE_UP):
        step = 1e14
        numeric = float(np.ptp(band_absorbance(spectra, np.array([-step, step])))) / (2 * step)
        assert effective_cross_sections(spectra).difference == pytest.approx(numeric, rel=1e-7)
        slope = float(band_shape(spectra).derivative(np.zeros(1))[0])
        assert slope == pytest.approx(effective_cross_sections(spectra).slope_molec_cm2, rel=1e-5)


def test_curvature_of_a_ten_nanometre_band_at_310_nm() -> None:
    """Column per absorbance rises by 7 to 9 % between cells of 304 and 1257 ppm m."""
    column = np.array([304.0, 1257.0]) * MOLEC_CM2_PER_PPM_M
    for name in ("so2-bogumil2003-293k", "so2-vandaele2009-298k"):
        ratio = column / band_absorbance(replace(REAL, so2_cross_section=tabulated(name)), column)
        assert 1.06 < ratio[1] / ratio[0] < 1.10


def test_on_and_off_band_absorb_as_they_should() -> None:
    sigma = effective_cross_sections(REAL)
    assert 1e-19 < sigma.on < 3e-19
    assert 0.01 < sigma.off / sigma.on < 0.05
    # More O3 takes the short wavelengths away, where SO2 absorbs most.
    more = replace(REAL, light=REAL.light * np.exp(-O3 * 5e18))
    assert effective_cross_sections(more).on < sigma.on


@pytest.mark.parametrize("spectra", [REAL, MADE_UP, replace(REAL, dilution_on=0.4, dilution_off=0.3)])
def test_the_shape_gives_columns_back_to_4000_ppm_m(spectra: BandSpectra) -> None:
    shape = band_shape(spectra)
    columns = np.linspace(1e15, 4000 * MOLEC_CM2_PER_PPM_M, 997)
    np.testing.assert_allclose(shape.at(band_absorbance(spectra, columns)), columns, rtol=3e-4)
    np.testing.assert_allclose(shape.absorbance_at(columns), band_absorbance(spectra, columns), rtol=3e-4)


def test_bands_that_no_longer_respond_are_refused() -> None:
    useless = replace(REAL, filter_off=REAL.filter_on, filter_on=REAL.filter_off)
    with pytest.raises(ValueError, match="rises only to a column density of 0"):
        band_shape(useless)
    diluted = replace(REAL, dilution_on=0.97)
    with pytest.raises(ValueError, match="choose a lower maximum"):
        band_shape(diluted, maximum_column_molec_cm2=1e20)


def test_nan_stays_nan() -> None:
    absorbance = band_absorbance(REAL, np.array([[np.nan, 1e18]]))
    assert absorbance.shape == (1, 2)
    assert np.isnan(absorbance[0, 0])
    assert np.isfinite(absorbance[0, 1])
    shape = shape_uncertainty(REAL, np.array([np.nan, 1e18]), anchor_column_molec_cm2=2e18)
    assert np.isnan(shape.total[0])
    assert np.isfinite(shape.total[1])


def test_shape_uncertainty_is_what_a_shifted_filter_does() -> None:
    """Truth has a filter of another centre; the nominal shape is scaled to it at the anchor."""
    columns = np.array([3e17, 2e18, 5e18, 1e19])
    stated = shape_uncertainty(
        REAL, columns, anchor_column_molec_cm2=2e18, o3_cross_section=O3, o3_uncertainty_molec_cm2=2e18
    )
    shape = band_shape(REAL)
    for centre in (309.0, 311.0):
        moved = replace(REAL, filter_on=filter_transmission(X, centre_nm=centre, fwhm_nm=10))
        anchor = float(shape.at(band_absorbance(moved, np.array([2e18])))[0]) / 2e18
        wrong = np.abs(shape.at(band_absorbance(moved, columns)) / columns / anchor - 1)
        np.testing.assert_allclose(stated.by_on_centre, wrong, rtol=0.35, atol=2e-4)
    assert stated.by_on_centre[1] == pytest.approx(0.0, abs=1e-12), "nothing at the anchor itself"
    assert (stated.by_o3[[0, 2, 3]] > 0).all()
    assert stated.total[3] < 0.03
    assert 0.05 < stated.scale < 0.2, "the scale itself is what a calibration is for"
    without = shape_uncertainty(REAL, columns, anchor_column_molec_cm2=2e18)
    assert not without.by_o3.any()
    assert shape_uncertainty(
        REAL, columns, anchor_column_molec_cm2=2e18, centre_uncertainty_nm=0.0
    ).total == pytest.approx(np.zeros(4), abs=1e-5)


def test_filters() -> None:
    gaussian = filter_transmission(X, centre_nm=310, fwhm_nm=10, peak=0.6)
    assert gaussian.max() == pytest.approx(0.6, rel=1e-4)
    assert np.interp([305, 315], X, gaussian) == pytest.approx([0.3, 0.3], rel=1e-4)
    flat = filter_transmission(X, centre_nm=310, fwhm_nm=10, exponent=8)
    assert np.interp([305, 315], X, flat) == pytest.approx([0.5, 0.5], rel=1e-2)
    assert np.interp(312.0, X, flat) > 0.99
    table = tabulated_filter(
        X, np.arange(300.0, 321.0), filter_transmission(np.arange(300.0, 321.0), centre_nm=310, fwhm_nm=8)
    )
    assert table[X < 299.9].max() == 0
    assert np.interp([306, 314], X, table) == pytest.approx([0.5, 0.5], rel=1e-6)
    for bad in ({"fwhm_nm": 0.0}, {"fwhm_nm": 10.0, "exponent": -1.0}, {"fwhm_nm": 10.0, "peak": 0.0}):
        with pytest.raises(ValueError, match="positive"):
            filter_transmission(X, centre_nm=310, **bad)


@pytest.mark.parametrize(
    ("wavelengths", "values", "words"),
    [
        ([300.0, 300.0, 301.0], [0.0, 1.0, 0.0], "increasing"),
        ([300.0, 301.0], [0.0, np.nan], "finite"),
        ([300.0, 301.0, 302.0], [0.0, 1.0, -0.5], "positive"),
        ([300.0, 301.0, 302.0], [0.0, 0.0, 0.0], "positive"),
        ([300.0, 301.0, 302.0], [0.0, 0.9, 1.0], "ends inside"),
    ],
)
def test_tables_that_are_no_filter_are_refused(wavelengths: list[float], values: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tabulated_filter(X, np.array(wavelengths), np.array(values))


def test_noise_of_a_filters_blocked_range_counts_as_none() -> None:
    assert tabulated_filter(X, np.array([290.0, 300.0, 310.0, 320.0]), np.array([-1e-4, 0.0, 0.5, 0.0])).min() == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"light": np.ones(3)}, "shape"),
        ({"light": np.full(X.size, np.nan)}, "finite"),
        ({"filter_on": -REAL.filter_on}, "negative"),
        ({"filter_on": np.zeros(X.size)}, "passes no light"),
        ({"filter_off": filter_transmission(X, centre_nm=358, fwhm_nm=10)}, "end of the wavelengths"),
        ({"dilution_on": 1.0}, "share"),
        ({"dilution_off": -0.1}, "share"),
        ({"dilution_off": np.zeros(3)}, "share"),
        ({"wavelengths_nm": X[::-1]}, "increasing"),
    ],
)
def test_spectra_that_make_no_band_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(REAL, **change)  # type: ignore[arg-type]
