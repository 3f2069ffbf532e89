"""The correction of light dilution: exact round trips, derivatives against differences, and what has no answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.science.imaging.light_dilution import (
    DilutionState,
    airlight_error,
    airlight_share,
    amplification,
    correct_absorbance,
    correct_intensity,
    correct_optical_depth,
    derivatives,
    dilute_optical_depth,
    rayleigh_ratio,
    transmission,
)

STATE = DilutionState(1.2e-4, 5000.0)


def image(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


@given(
    tau=st.floats(-0.3, 1.5),
    extinction=st.floats(0, 3e-4),
    distance=st.floats(100, 8000),
    ratio=st.floats(0.7, 1.05),
)
def test_dilute_and_correct_is_a_round_trip(tau: float, extinction: float, distance: float, ratio: float) -> None:
    state = DilutionState(extinction, distance, ratio)
    if float(airlight_share(state)) > 0.9:
        return
    diluted = dilute_optical_depth(image(tau), state)
    corrected, valid = correct_optical_depth(diluted, state)
    assert valid.all()
    # What single precision leaves of the light that passed the plume.
    tolerance = 4e-7 * float(derivatives(diluted, state).optical_depth[0, 0]) * 4 + 1e-6
    assert corrected[0, 0] == pytest.approx(tau, abs=tolerance)


def test_numbers_by_hand() -> None:
    # T = 1/2: a plume that halves the light shows 3/4 of the sky, so ln(4/3) stands for ln 2.
    state = DilutionState(np.log(2) / 1000, 1000.0)
    corrected, _ = correct_optical_depth(image(np.log(4 / 3)), state)
    assert corrected[0, 0] == pytest.approx(np.log(2), rel=1e-6)
    assert float(amplification(state)) == pytest.approx(2.0, rel=1e-6)
    assert float(transmission(2e-4, 5000.0)) == pytest.approx(np.exp(-1.0), rel=1e-6)
    assert rayleigh_ratio(330.0) == pytest.approx((310 / 330) ** 4)


def test_as_campion_corrects_intensities() -> None:
    background = np.array([[900.0, 1000.0]], np.float32)
    intensity = background * np.array([[0.8, 0.7]], np.float32)
    clean = correct_intensity(intensity, background, STATE)
    through = np.exp(-STATE.extinction_per_m * 5000)
    expected = (intensity - background * (1 - through)) / through
    assert clean == pytest.approx(expected, rel=1e-5)
    tau, _ = correct_optical_depth(-np.log(intensity / background), STATE)
    assert np.exp(-tau) * background == pytest.approx(expected, rel=1e-5)


def test_darker_than_the_airlight_has_no_answer() -> None:
    limit = -np.log(float(airlight_share(STATE)))
    corrected, valid = correct_optical_depth(image(limit - 0.01, limit + 0.01, np.nan, np.inf), STATE)
    assert valid.tolist() == [[True, False, False, False]]
    assert np.isfinite(corrected).tolist() == [[True, False, False, False]]
    found = derivatives(image(limit - 0.01, limit + 0.01, np.nan, np.inf), STATE)
    for part in (found.optical_depth, found.extinction_m, found.distance_per_m, found.airlight_ratio):
        assert np.isfinite(part).tolist() == [[True, False, False, False]]


@pytest.mark.parametrize(
    "state", [DilutionState(np.nan, 5000.0), DilutionState(1e-4, np.nan), DilutionState(-1e-4, 1.0)]
)
def test_an_unknown_state_gives_no_value(state: DilutionState) -> None:
    corrected, valid = correct_optical_depth(image(0.1, 0.2), state)
    assert not valid.any()
    assert np.isnan(corrected).all()
    assert np.isnan(amplification(state)).all()


def test_distances_may_differ_from_pixel_to_pixel() -> None:
    distance = np.array([[3000.0, np.nan, 6000.0]], np.float32)
    corrected, valid = correct_optical_depth(image(0.1, 0.1, 0.1), DilutionState(1e-4, distance))
    assert valid.tolist() == [[True, False, True]]
    single, _ = correct_optical_depth(image(0.1), DilutionState(1e-4, 6000.0))
    assert corrected[0, 2] == single[0, 0]


@pytest.mark.parametrize("tau", [-0.1, 0.02, 0.3, 0.6])
@pytest.mark.parametrize("ratio", [1.0, 0.9])
def test_derivatives_are_those_of_differences(tau: float, ratio: float) -> None:
    def exact(tau: float, extinction: float, distance: float, ratio: float) -> float:
        share = ratio * (1 - np.exp(-extinction * distance))
        return float(-np.log((np.exp(-tau) - share) / (1 - share)))

    at = np.array([tau, 1.2e-4, 5000.0, ratio])
    found = derivatives(image(tau), DilutionState(1.2e-4, 5000.0, ratio))
    parts = (found.optical_depth, found.extinction_m, found.distance_per_m, found.airlight_ratio)
    for index, part in enumerate(parts):
        step = np.zeros(4)
        step[index] = 1e-5 * abs(at[index])
        difference = (exact(*(at + step)) - exact(*(at - step))) / (2 * step[index])
        assert part[0, 0] == pytest.approx(difference, rel=2e-4)


def test_an_airlight_unlike_the_sky_is_quantified() -> None:
    """Air 10 % darker than the sky: a weak plume comes out delta s (1 - T) / T too high, 4.3 % at T = 0.7."""
    state = DilutionState(-np.log(0.7) / 5000, 5000.0)
    measured = dilute_optical_depth(image(0.01), state._replace(airlight_ratio=0.9))
    error = airlight_error(measured, state, 0.9)
    assert error[0, 0] / 0.01 == pytest.approx(0.1 * 0.3 / 0.7, rel=0.02)
    by_derivative = -0.1 * derivatives(measured, state).airlight_ratio
    assert error[0, 0] == pytest.approx(-float(by_derivative[0, 0]), rel=0.1)


def test_absorbance_of_bands_that_are_diluted_unlike() -> None:
    on_state, off_state = DilutionState(1.2e-4, 5000.0), DilutionState(1.0e-4, 5000.0)
    on, off = image(0.25, 0.4), image(0.02, 0.05)
    diluted_on, diluted_off = dilute_optical_depth(on, on_state), dilute_optical_depth(off, off_state)
    found, valid = correct_absorbance(diluted_on - diluted_off, diluted_off, on_state, off_state)
    assert valid.all()
    assert found == pytest.approx(on - off, abs=1e-6)


def test_nothing_given_is_changed() -> None:
    tau = image(0.1, 0.2)
    before = tau.copy()
    correct_optical_depth(tau, STATE)
    derivatives(tau, STATE)
    assert np.array_equal(tau, before)
