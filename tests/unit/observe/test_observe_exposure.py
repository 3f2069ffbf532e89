"""The exposure law, case by case."""

import math

import pytest

from so2cam.core.records import Band
from so2cam.core.site_devices import AutomaticExposure, CameraDevice, SpectrometerDevice
from so2cam.observe.exposure import (
    ExposureLaw,
    ExposureReason,
    ExposureState,
    camera_law,
    choose_coadds,
    next_exposure,
    spectrometer_law,
)
from so2cam.observe.statistics import NO_LEVEL, LightLevel

LAW = ExposureLaw(target=0.7, low=0.5, high=0.85, shortest_s=0.001, longest_s=1.0)
FRESH = ExposureState()


def level(bright, middle=None, share=0.0, *, clipped=False):
    return LightLevel(bright, bright / 2 if middle is None else middle, share, clipped=clipped, uncertainty=0.001)


def decide(measured, exposure_s=0.1, state=FRESH, law=LAW, coadds=1):
    return next_exposure(state, measured, exposure_s=exposure_s, coadds=coadds, law=law)


@pytest.mark.parametrize("bright", [0.5, 0.6, 0.7, 0.85])
def test_within_limits_nothing_changes(bright):
    decision = decide(level(bright))
    assert (decision.exposure_s, decision.changed, decision.settled) == (0.1, False, True)
    assert decision.reason is ExposureReason.WITHIN


@pytest.mark.parametrize(("bright", "expected"), [(0.14, 0.5), (0.35, 0.2), (0.9, 0.7 / 9), (0.49, 0.1 * 0.7 / 0.49)])
def test_outside_the_level_becomes_the_target(bright, expected):
    decision = decide(level(bright))
    assert decision.exposure_s == pytest.approx(expected)
    assert decision.changed
    assert not decision.settled


def test_limits_of_the_exposure_hold_and_are_named():
    dark = decide(level(0.01), exposure_s=0.5)
    assert dark.exposure_s == 1.0
    again = decide(level(0.02), exposure_s=1.0)
    assert (again.exposure_s, again.changed, again.settled) == (1.0, False, True)
    assert again.reason is ExposureReason.AT_LONGEST
    bright = decide(level(0.99, clipped=True, share=1.0), exposure_s=0.001)
    assert bright.reason is ExposureReason.AT_SHORTEST
    assert bright.settled


def test_clipped_frames_step_down_by_the_stated_factors():
    assert decide(level(1.0, middle=0.4, share=0.0, clipped=True)).exposure_s == pytest.approx(0.1 / 4)
    assert decide(level(1.0, middle=1.0, share=0.25, clipped=True)).exposure_s == pytest.approx(0.1 / 4 / math.sqrt(15))
    for share in (0.5, 1.0):
        assert decide(level(1.0, middle=1.0, share=share, clipped=True)).exposure_s == pytest.approx(0.1 / 60)


def test_after_a_clipped_frame_a_level_next_to_a_limit_is_not_left_there():
    after_clipped = decide(level(1.0, middle=1.0, share=1.0, clipped=True)).state
    assert decide(level(0.84), state=after_clipped).exposure_s == pytest.approx(0.1 * 0.7 / 0.84)
    assert decide(level(0.76), state=after_clipped).settled
    assert decide(level(0.84), state=decide(level(0.84), state=after_clipped).state).settled


def test_a_known_ratio_tells_how_much_too_bright():
    seen = decide(level(0.6, middle=0.2)).state
    assert seen.bright_to_middle == pytest.approx(3.0)
    clipped = level(1.0, middle=0.7, share=0.2, clipped=True)
    decision = decide(clipped, state=seen)
    assert decision.exposure_s == pytest.approx(0.1 * 0.7 / 2.1)
    second = decide(clipped, state=decision.state)
    assert second.exposure_s < decision.exposure_s


def test_what_is_not_measured_changes_nothing():
    decision = decide(NO_LEVEL)
    assert (decision.exposure_s, decision.changed, decision.settled) == (0.1, False, False)
    assert decision.reason is ExposureReason.NOT_MEASURED
    assert math.isnan(decision.level)


def test_fixed_exposure_stays():
    law = ExposureLaw(target=0.7, low=0.5, high=0.85, shortest_s=0.001, longest_s=1.0, enabled=False)
    decision = decide(level(0.01), law=law)
    assert (decision.changed, decision.reason) == (False, ExposureReason.FIXED)


def test_negative_levels_are_dark():
    decision = decide(level(-0.01, middle=-0.02))
    assert decision.exposure_s == 1.0
    assert decision.reason is ExposureReason.TOO_DARK


def test_exposures_are_whole_steps_and_a_step_too_small_is_none():
    law = ExposureLaw(target=0.7, low=0.5, high=0.85, shortest_s=0.001, longest_s=1.0, step_s=0.001)
    assert decide(level(0.3), law=law).exposure_s == pytest.approx(0.233)
    tight = ExposureLaw(target=0.7, low=0.69, high=0.71, shortest_s=0.001, longest_s=1.0, step_s=0.05)
    assert not decide(level(0.68), law=tight).changed


def test_coadds_fill_the_time():
    law = ExposureLaw(
        target=0.7, low=0.5, high=0.85, shortest_s=0.001, longest_s=10.0, total_time_s=4.0, maximum_coadds=50
    )
    assert [choose_coadds(exposure, law, 1) for exposure in (0.4, 1.0, 3.0, 8.0, 0.01)] == [10, 4, 1, 1, 50]
    assert choose_coadds(0.4, LAW, 7) == 7
    decision = decide(level(0.7), exposure_s=0.4, law=law, coadds=3)
    assert (decision.coadds, decision.changed, decision.settled) == (10, True, True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 0.8},
        {"high": 0.6},
        {"high": 0.99},
        {"shortest_s": 0.0},
        {"shortest_s": 2.0},
        {"longest_s": math.inf},
    ],
)
def test_laws_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="must satisfy"):
        ExposureLaw(**({"target": 0.7, "low": 0.5, "high": 0.85, "shortest_s": 0.001, "longest_s": 1.0} | wrong))


@pytest.mark.parametrize("exposure", [0.0, -1.0, math.nan, math.inf])
def test_exposures_that_cannot_be_are_refused(exposure):
    with pytest.raises(ValueError, match="positive"):
        decide(level(0.5), exposure_s=exposure)


def test_laws_of_the_site_file():
    camera = CameraDevice(
        name="on",
        driver="simulated",
        band=Band.ON,
        minimum_exposure_s=0.002,
        maximum_exposure_s=0.9,
        automatic=AutomaticExposure(enabled=False, target=0.6),
    )
    law = camera_law(camera, step_s=0.001)
    assert (law.shortest_s, law.longest_s, law.target, law.enabled, law.step_s) == (0.002, 0.9, 0.6, False, 0.001)
    spectrometer = SpectrometerDevice(name="s", driver="simulated", total_time_s=3.0, maximum_coadds=20)
    law = spectrometer_law(spectrometer)
    assert (law.total_time_s, law.maximum_coadds, law.low) == (3.0, 20, 0.55)
