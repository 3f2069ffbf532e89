"""The line shape from a lamp: known truths, honest uncertainties, what is refused, and a real spectrometer's lines."""

from pathlib import Path

import numpy as np
import pytest

from so2cam.core.records import FloatArray
from so2cam.science.spectra.lamp import LampFit, fit_lamp_line, super_gaussian_centroid_nm
from so2cam.science.spectra.lamp_lines import HG_LINES, LampLine, detect_lines
from so2cam.science.spectra.line_shape import full_width_half_maximum_nm, measured_shape, super_gaussian
from so2cam.science.spectra.table import SpectralTable

PIXELS = 285 + 0.085 * np.arange(1100)
SHAPE = (0.61, 2.3, 0.1, 0.2)
SHIFT_NM = -0.05


def lamp(
    *, shape: tuple[float, float, float, float] = SHAPE, extra: tuple[LampLine, ...] = (), counts: float = 20000.0
) -> FloatArray:
    """A mercury lamp whose 296.73 nm line has ``counts`` at its top, without noise."""
    spectrum = 20 + 0.1 * (PIXELS - 300)
    for line in HG_LINES + extra:
        top_nm = line.vacuum_nm + SHIFT_NM - super_gaussian_centroid_nm(*shape)
        spectrum = spectrum + counts * line.relative_intensity / 3000 * super_gaussian(PIXELS - top_nm, *shape)
    return spectrum


def noise_of(spectrum: FloatArray) -> FloatArray:
    return np.sqrt(8.0**2 + 0.15 * spectrum)


def noisy(seed: int, spectrum: FloatArray) -> FloatArray:
    return spectrum + noise_of(spectrum) * np.random.default_rng(seed).standard_normal(spectrum.size)


def test_vacuum_wavelengths_are_those_of_air_times_its_index() -> None:
    """Index of standard air by Edlén 1966, which is not what the table was made with."""
    for line in HG_LINES:
        wavenumber2 = (1e3 / line.vacuum_nm) ** 2
        index = 1 + 1e-8 * (8342.13 + 2406030 / (130 - wavenumber2) + 15997 / (38.9 - wavenumber2))
        assert line.air_nm * index == pytest.approx(line.vacuum_nm, abs=4e-4), line.name
        assert line.name.endswith(f"{line.air_nm:.2f}")


@pytest.mark.parametrize("shape", [SHAPE, (0.45, 3.5, -0.2, 0.3), (0.8, 1.6, 0.25, -0.1)])
@pytest.mark.parametrize("near_nm", [296.81, 302.24, 313.27, 365.12])
def test_shape_of_a_lamp_without_noise_is_found_even_beside_other_lines(
    near_nm: float, shape: tuple[float, float, float, float]
) -> None:
    fit = fit_lamp_line(PIXELS, lamp(shape=shape), near_nm)
    found = (fit.fwhm_nm, fit.exponent, fit.width_asymmetry, fit.exponent_asymmetry)
    assert found == pytest.approx(shape, abs=2e-4)
    assert fit.wavelength_error_nm == pytest.approx(SHIFT_NM, abs=1e-5)
    assert fit.residual_rms < 1e-5


def test_lines_within_the_window_are_fitted_together() -> None:
    assert {line.name for line in fit_lamp_line(PIXELS, lamp(), 313.2).other_lines} == {"Hg 312.57", "Hg 313.16"}
    assert fit_lamp_line(PIXELS, lamp(), 296.8).other_lines == ()


def errors_in_sigma(fit: LampFit) -> list[float]:
    return [
        (fit.wavelength_error_nm - SHIFT_NM) / fit.centroid_uncertainty_nm,
        (fit.fwhm_nm - SHAPE[0]) / fit.fwhm_uncertainty_nm,
        (fit.exponent - SHAPE[1]) / fit.exponent_uncertainty,
        (fit.width_asymmetry - SHAPE[2]) / fit.width_asymmetry_uncertainty,
        (fit.exponent_asymmetry - SHAPE[3]) / fit.exponent_asymmetry_uncertainty,
    ]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("near_nm", [296.8, 313.2])
def test_uncertainties_cover_the_truth(near_nm: float, known: bool) -> None:
    truth = lamp()
    noise = noise_of(truth) if known else None
    scores = np.array(
        [errors_in_sigma(fit_lamp_line(PIXELS, noisy(i, truth), near_nm, noise_counts=noise)) for i in range(16)]
    )
    rms = np.sqrt((scores**2).mean(axis=0))
    assert (rms > 0.45).all(), rms
    assert (rms < 1.6).all(), rms


def test_table_is_the_shape_itself_centred_and_of_area_one() -> None:
    fit = fit_lamp_line(PIXELS, lamp(), 302.2)
    offsets, response = fit.table_offsets_nm, fit.table_response
    assert offsets[0] == -offsets[-1]
    assert np.trapezoid(response, offsets) == pytest.approx(1)
    assert np.trapezoid(response * offsets, offsets) == pytest.approx(0, abs=2e-4)
    truth = super_gaussian(offsets + super_gaussian_centroid_nm(*SHAPE), *SHAPE)
    # The two ends lie between pixels, where the shape is told by straight lines.
    np.testing.assert_allclose(response, truth / np.trapezoid(truth, offsets), atol=2e-3)
    kernel = measured_shape(SpectralTable(offsets, response), 0.01)
    assert full_width_half_maximum_nm(0.01 * np.arange(kernel.size), kernel) == pytest.approx(SHAPE[0], abs=3e-3)


def test_noise_and_quality_figures() -> None:
    fit = fit_lamp_line(PIXELS, noisy(1, lamp()), 296.8)
    assert fit.peak_counts == pytest.approx(20000, rel=0.01)
    assert fit.signal_to_noise == pytest.approx(20000 / 8.2, rel=0.5)
    assert 1e-4 < fit.residual_rms < 5e-3


def test_detected_lines_come_in_order_of_use() -> None:
    saturated = np.minimum(lamp(), 60000)
    lines = detect_lines(PIXELS, noisy(2, saturated), saturation_counts=59000)
    assert lines[0].line.name == "Hg 296.73"
    assert lines[-1].saturated
    by_name = {one.line.name: one for one in lines}
    assert by_name["Hg 313.18"].separation_nm < 1
    assert by_name["Hg 334.15"].separation_nm > 5
    nearest = detect_lines(PIXELS, noisy(2, saturated), near_nm=332.0, saturation_counts=59000)[0]
    assert nearest.line.name == "Hg 334.15"
    assert detect_lines(PIXELS, noisy(3, np.full(PIXELS.size, 20.0))) == ()


def refused(spectrum: FloatArray, near_nm: float, match: str, **options: float) -> None:
    with pytest.raises(ValueError, match=match):
        fit_lamp_line(PIXELS, spectrum, near_nm, **options)  # type: ignore[arg-type]


def test_what_is_no_line_shape_is_refused_with_its_reason() -> None:
    refused(noisy(4, np.full(PIXELS.size, 20.0)), 302.2, "no line stands out of the noise")
    refused(np.minimum(lamp(), 15000), 296.8, "saturated", saturation_counts=15000.0)
    refused(np.minimum(lamp(shape=(0.4, 2.3, 0.1, 0.2)), 40000), 366.4, "beside", saturation_counts=40000.0)
    refused(lamp(shape=(0.12, 2.0, 0.0, 0.0)), 296.8, "too narrow")
    refused(lamp(), 320.0, "no line is listed near")
    refused(lamp(extra=(LampLine("other", 297.3, 297.41, 2000),)), 296.8, "blended")


def test_line_at_the_edge_is_refused() -> None:
    spectrum = lamp()
    for keep in (PIXELS > 296.6, PIXELS > 296.9, PIXELS < 297.0):
        with pytest.raises(ValueError, match="edge"):
            fit_lamp_line(PIXELS[keep], spectrum[keep], 296.8)


def test_unfit_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        fit_lamp_line(PIXELS, lamp()[:-1], 296.8)
    with pytest.raises(ValueError, match="increase"):
        fit_lamp_line(PIXELS[::-1], lamp(), 296.8)
    with pytest.raises(ValueError, match="above zero"):
        fit_lamp_line(PIXELS, lamp(), 296.8, noise_counts=0.0)


@pytest.mark.data
@pytest.mark.parametrize(("name", "start_nm", "near_nm"), [("302nm", 300.8, 302.24), ("313nm", 311.3, 313.27)])
def test_measured_lines_of_a_real_spectrometer(data_dir: Path, name: str, start_nm: float, near_nm: float) -> None:
    """The file of 313 nm holds two lines; taken apart they have the width of the one at 302 nm."""
    table = np.loadtxt(data_dir / f"spectra_flame/2019-07-03_{name}_ILS.txt")
    fit = fit_lamp_line(table[:, 0] + start_nm, table[:, 1], near_nm)
    assert fit.fwhm_nm == pytest.approx(0.615, abs=0.01)
    assert fit.fwhm_uncertainty_nm < 0.02
    assert fit.residual_rms < 0.015
    assert abs(fit.width_asymmetry) < 0.3
    # The wavelengths were those in air, and the file's start is rounded to 0.1 nm.
    assert fit.wavelength_error_nm == pytest.approx(-0.09, abs=0.1)
