"""Automatic exposure: settles within three frames and never flips, at any brightness."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.observe.exposure import ExposureLaw, ExposureReason, ExposureState, next_exposure
from so2cam.observe.statistics import frame_level, spectrum_level

BITS, OFFSET_DN, SHAPE = 10, 15.0, (48, 64)
LAW = ExposureLaw(target=0.7, low=0.5, high=0.85, shortest_s=1e-4, longest_s=4.0)


class Sky:
    """A picture whose brightest pixels give ``level`` of the full scale per second of exposure."""

    def __init__(self, level_per_s, contrast, seed, scale, step_s):
        self._rng = np.random.default_rng(seed)
        shape = np.exp(np.log(contrast) * (self._rng.permutation(np.linspace(0, 1, SHAPE[0] * SHAPE[1])) - 1))
        self._shape = shape.reshape(SHAPE)
        self.level_per_s = level_per_s
        self._scale, self._step_s = scale, step_s

    def used(self, exposure_s):
        """The exposure that the sensor makes of a wish: whole lines."""
        return exposure_s if self._step_s == 0 else max(1, round(exposure_s / self._step_s)) * self._step_s

    def level(self, exposure_s):
        span = 2**BITS - 1 - OFFSET_DN
        light = self.level_per_s * exposure_s * span * self._shape
        noise = self._rng.standard_normal(SHAPE) * np.sqrt(0.1 + light / 67)
        counts = np.clip(np.rint((OFFSET_DN + light + noise) * self._scale), 0, (2**BITS - 1) * self._scale)
        return frame_level(
            counts.astype(np.uint16), scale=self._scale, maximum_dn=2**BITS - 1, dark_dn=OFFSET_DN, brightest_pixels=100
        )


def settle(sky, exposure_s, law=LAW, frames=40):
    """Return the levels' verdicts frame by frame: (exposure, changed, settled)."""
    state, history = ExposureState(), []
    for _ in range(frames):
        exposure_s = sky.used(exposure_s)
        measured = sky.level(exposure_s)
        decision = next_exposure(state, measured, exposure_s=exposure_s, law=law)
        history.append((exposure_s, decision))
        state, exposure_s = decision.state, decision.exposure_s
    return history


@settings(max_examples=150, deadline=None)
@given(
    right_exposure=st.floats(0.0005, 3.5),
    wrong_by=st.floats(1 / 50, 50),
    contrast=st.floats(1.0, 8.0),
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1, 16]),
    step=st.sampled_from([0.0, 28e-6]),
)
def test_settles_within_three_frames_and_never_flips(right_exposure, wrong_by, contrast, seed, scale, step):
    sky = Sky(LAW.target / right_exposure, contrast, seed, scale, step)
    start = min(max(right_exposure * wrong_by, LAW.shortest_s), LAW.longest_s)
    history = settle(sky, start)
    decisions = [decision for _, decision in history]
    first = next(number for number, decision in enumerate(decisions, start=1) if decision.settled)
    assert first <= 3
    assert not any(decision.changed for decision in decisions[first:])
    final = decisions[-1]
    assert LAW.low <= final.level <= LAW.high or final.reason in (
        ExposureReason.AT_LONGEST,
        ExposureReason.AT_SHORTEST,
    )


@settings(max_examples=60, deadline=None)
@given(start=st.floats(1e-4, 4.0), brightness=st.floats(1e-6, 1e6), seed=st.integers(0, 10**6))
def test_stays_within_its_limits_and_rests_at_any_brightness(start, brightness, seed):
    history = settle(Sky(brightness, 1.5, seed, 1, 0.0), start)
    exposures = [exposure for exposure, _ in history]
    assert all(LAW.shortest_s <= exposure <= LAW.longest_s for exposure in exposures)
    assert not any(decision.changed for _, decision in history[8:])


@settings(max_examples=60, deadline=None)
@given(
    before=st.floats(0.001, 1.0), factor=st.floats(1 / 50, 50), contrast=st.floats(1.0, 8.0), seed=st.integers(0, 10**6)
)
def test_follows_a_step_of_the_light_within_three_frames(before, factor, contrast, seed):
    sky = Sky(LAW.target / before, contrast, seed, 1, 0.0)
    history = settle(sky, before, frames=6)
    state, exposure = history[-1][1].state, history[-1][1].exposure_s
    sky.level_per_s *= factor
    for _ in range(3):
        decision = next_exposure(state, sky.level(exposure), exposure_s=exposure, law=LAW)
        if decision.settled:
            break
        state, exposure = decision.state, decision.exposure_s
    assert decision.settled


@settings(max_examples=60, deadline=None)
@given(
    right=st.floats(0.01, 5.0),
    wrong_by=st.floats(1 / 50, 50),
    total=st.none() | st.floats(0.5, 10.0),
    seed=st.integers(0, 10**6),
)
def test_spectrometer_with_coadds(right, wrong_by, total, seed):
    law = ExposureLaw(
        target=0.7, low=0.55, high=0.85, shortest_s=0.006, longest_s=10.0, total_time_s=total, maximum_coadds=100
    )
    rng = np.random.default_rng(seed)
    wavelengths = np.linspace(280, 400, 512)
    shape = np.exp(-(((wavelengths - 335) / 15) ** 2))
    exposure = min(max(right * wrong_by, law.shortest_s), law.longest_s)
    coadds, state, changes = 1, ExposureState(), []
    for _ in range(20):
        signal = 1500 + 0.7 / right * exposure * 64000 * shape
        readouts = signal + rng.standard_normal((coadds, 512)) * np.sqrt(100 + signal / 3)
        readouts = np.clip(readouts, 0, 65535)
        measured = spectrum_level(
            wavelengths,
            readouts.mean(axis=0),
            saturation_counts=65535,
            dark_counts=1500,
            window_nm=(300, 340),
            saturated_share=float(np.mean(readouts.max(axis=0) >= 64224)),
        )
        decision = next_exposure(state, measured, exposure_s=exposure, coadds=coadds, law=law)
        changes.append(decision.changed)
        state, exposure, coadds = decision.state, decision.exposure_s, decision.coadds
    assert not any(changes[3:])
    if total is None:
        assert coadds == 1
    else:
        assert coadds == 1 or coadds * exposure <= total * (1 + 1e-6)
        assert coadds == 100 or (coadds + 1) * exposure > total * (1 - 1e-6)


def test_hypothesis_model_is_not_blind():
    """The model sky itself tells too bright from too dark: the tests above can fail."""
    sky = Sky(1.0, 1.5, 1, 1, 0.0)
    assert sky.level(0.7).bright == pytest.approx(0.7, abs=0.03)
    assert sky.level(3.0).clipped
    assert sky.level(0.01).bright < 0.02
