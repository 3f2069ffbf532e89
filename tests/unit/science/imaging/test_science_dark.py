"""Which darks belong to a frame, and what is left of a frame without its dark."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.science.imaging.dark import saturated, select_darks, subtract_dark

NOON = datetime(2018, 3, 26, 12, 0, 0, tzinfo=UTC)


def info(
    minutes: float = 0.0,
    *,
    kind: FrameKind = FrameKind.DARK,
    band: Band = Band.ON,
    exposure_s: float = 0.1,
    gain: float = 1.0,
) -> FrameInfo:
    name = f"{kind.value}_{band.value}_{minutes}.png"
    return FrameInfo(Path(name), band, kind, NOON + timedelta(minutes=minutes), exposure_s, gain)


FRAME = info(kind=FrameKind.PLUME)


def select(*darks: FrameInfo, tolerance: float = 0.01, averaging_s: float = 3600.0) -> tuple[FrameInfo, ...]:
    return select_darks(FRAME, darks, exposure_tolerance=tolerance, averaging_s=averaging_s)


@pytest.mark.parametrize(
    "wrong",
    [
        info(band=Band.OFF),
        info(gain=2.0),
        info(exposure_s=0.2),
        info(exposure_s=0.102),
        info(kind=FrameKind.PLUME),
        info(kind=FrameKind.CLEAR),
        info(kind=FrameKind.TEST),
    ],
    ids=["band", "gain", "exposure", "exposure just beyond 1 %", "plume", "clear", "test"],
)
def test_what_does_not_match_is_never_used(wrong: FrameInfo) -> None:
    right = info(-300)
    assert select(wrong) == ()
    assert select(wrong, right) == (right,)


def test_no_darks_at_all() -> None:
    assert select() == ()


def test_exposures_as_cameras_round_them_are_one_setting() -> None:
    frame = info(kind=FrameKind.PLUME, exposure_s=99_957e-6)
    dark = info(exposure_s=99_980e-6)
    assert select_darks(frame, [dark], exposure_tolerance=0.01, averaging_s=0) == (dark,)
    assert select_darks(frame, [dark], exposure_tolerance=1e-4, averaging_s=0) == ()
    assert select_darks(frame, [info(exposure_s=99_957e-6)], exposure_tolerance=0, averaging_s=0) != ()


def test_the_nearest_in_time_is_taken_before_or_after() -> None:
    before, after, far = info(-50), info(40), info(-90)
    assert select(before, after, far, averaging_s=0) == (after,)
    assert select(before, far, averaging_s=0) == (before,)


def test_darks_near_the_nearest_are_averaged_with_it_in_order_of_time() -> None:
    darks = [info(minutes) for minutes in (95, 10, 30, 69, 71)]
    assert [dark.time for dark in select(*darks)] == [info(minutes).time for minutes in (10, 30, 69)]


def test_darks_of_any_age_count_when_there_are_no_others() -> None:
    old = info(-60 * 24 * 30)
    assert select(old) == (old,)


def test_the_order_of_the_darks_does_not_matter() -> None:
    darks = [info(minutes) for minutes in (5, -5, 20)]
    assert select(*darks) == select(*darks[::-1])


def test_averaged_darks_share_one_exposure() -> None:
    # Both are within the tolerance of the frame, on either side of it: two settings, not one.
    near, other = info(5, exposure_s=0.0992), info(10, exposure_s=0.1008)
    assert select(near, other) == (near,)


def test_subtraction_keeps_fractions_and_negative_values() -> None:
    counts = np.array([[100, 40, 30, 46, 1022, 1003, 1002, 0]], np.uint16)
    dark = np.full(counts.shape, 40.25, np.float32)
    signal, valid = subtract_dark(counts, dark, saturation_dn=1002.54, minimum_signal_dn=5.0)
    assert signal.dtype == np.float32
    assert signal.tolist() == [[59.75, -0.25, -10.25, 5.75, 981.75, 962.75, 961.75, -40.25]]
    assert valid.tolist() == [[True, False, False, True, False, False, True, False]]


def test_zero_is_invalid_even_with_no_minimum() -> None:
    counts = np.array([[39, 40, 41]], np.uint16)
    dark = np.full(counts.shape, 40, np.float32)
    for minimum in (0.0, -5.0):
        _, valid = subtract_dark(counts, dark, saturation_dn=1000, minimum_signal_dn=minimum)
        assert valid.tolist() == [[False, False, True]]


def test_a_dark_that_is_not_a_number_masks_its_pixel() -> None:
    dark = np.array([[np.nan, 10.0]], np.float32)
    signal, valid = subtract_dark(np.full((1, 2), 500, np.uint16), dark, saturation_dn=1000, minimum_signal_dn=5)
    assert valid.tolist() == [[False, True]]
    assert np.isnan(signal[0, 0])


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (1002.54, [0, 0, 0, 1, 1]),
        (1002.0, [0, 0, 1, 1, 1]),
        (0.0, [1] * 5),
        (65535.0, [0, 0, 0, 0, 1]),
        (70e3, [0] * 5),
    ],
)
def test_counts_that_reach_the_limit_are_saturated(limit: float, expected: list[int]) -> None:
    counts = np.array([[0, 1001, 1002, 1003, 65535]], np.uint16)
    assert saturated(counts, limit).astype(int).tolist() == [expected]
