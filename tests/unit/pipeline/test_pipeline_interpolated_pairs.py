"""The off band between its frames: which frames, and what it is there."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.pipeline.pairing import Pairing, pair_interpolated
from so2cam.pipeline.steps import LogImage, interpolated_off_band

START = datetime(2026, 1, 15, 14, tzinfo=UTC)


def frame(band: Band, seconds: float, name: str = "") -> FrameInfo:
    time = START + timedelta(seconds=seconds)
    return FrameInfo(Path(f"{band}{seconds}{name}.png"), band, FrameKind.PLUME, time, exposure_s=0.1, gain=1.0)


def pair(on: list[float], off: list[float], maximum_gap_s: float = 10.0) -> Pairing:
    return pair_interpolated(
        [frame(Band.ON, t) for t in on], [frame(Band.OFF, t) for t in off], maximum_gap_s=maximum_gap_s
    )


def seconds(info: FrameInfo | None) -> float | None:
    return None if info is None else (info.time - START).total_seconds()


def times(pairing: Pairing) -> list[tuple[float | None, ...]]:
    return [tuple(seconds(info) for info in (p.on, p.off, p.later_off)) for p in pairing.pairs]


def test_every_on_band_frame_takes_the_frames_beside_it() -> None:
    """The sequence of Villarrica: on band every 8 s with long exposures, off band every 4 s."""
    result = pair([0.7, 8.7, 16.7], [0.05, 4.05, 8.05, 12.05, 16.05, 20.05])
    assert times(result) == [(0.7, 0.05, 4.05), (8.7, 8.05, 12.05), (16.7, 16.05, 20.05)]
    assert result.unpaired == ()
    for found in result.pairs:
        assert found.offset_s == 0
        assert found.time == found.on.time


def test_an_off_band_frame_may_serve_many() -> None:
    result = pair([1, 2, 3, 5], [0, 4, 8])
    assert times(result) == [(1, 0, 4), (2, 0, 4), (3, 0, 4), (5, 4, 8)]
    assert result.unpaired == ()


def test_at_the_very_time_one_frame_is_enough() -> None:
    result = pair([0, 4, 100], [0, 4, 100])
    assert times(result) == [(0, 0, None), (4, 4, None), (100, 100, None)]
    assert [found.offset_s for found in result.pairs] == [0, 0, 0]


def test_before_the_first_and_after_the_last_nothing_is_extrapolated() -> None:
    result = pair([-0.001, 8.001], [0, 8])
    assert result.pairs == ()
    assert [seconds(info) for info in result.unpaired] == [-0.001, 0, 8, 8.001]


@pytest.mark.parametrize(("gap", "pairs"), [(9.9, 1), (10.0, 1), (10.001, 0)])
def test_a_gap_that_is_too_long_is_not_bridged(gap: float, pairs: int) -> None:
    result = pair([1.0], [0.0, gap])
    assert len(result.pairs) == pairs
    assert len(result.unpaired) == (0 if pairs else 3)


def test_frames_beside_no_on_band_frame_are_left_over() -> None:
    result = pair([9.0], [0, 4, 8, 12, 16])
    assert times(result) == [(9, 8, 12)]
    assert [seconds(info) for info in result.unpaired] == [0, 4, 16]


def test_nothing_to_pair() -> None:
    assert pair([], []) == Pairing((), ())
    assert [len(pair(*bands).unpaired) for bands in (([1.0], []), ([], [1.0]), ([1.0], [0.5]))] == [1, 1, 2]


TIMES = st.lists(st.integers(0, 200).map(lambda t: t / 4), max_size=14)


@given(on=TIMES, off=TIMES, gap=st.sampled_from([0.25, 2.0, 10.0, 1e6]), seed=st.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_properties(on: list[float], off: list[float], gap: float, seed: int) -> None:
    on_frames = [frame(Band.ON, t, f"-{i}") for i, t in enumerate(on)]
    off_frames = [frame(Band.OFF, t, f"-{i}") for i, t in enumerate(off)]
    result = pair_interpolated(on_frames, off_frames, maximum_gap_s=gap)
    used = {f.path for p in result.pairs for f in (p.on, p.off, p.later_off) if f is not None}
    left = [f.path for f in result.unpaired]
    assert used.isdisjoint(left)
    assert used | set(left) == {f.path for f in (*on_frames, *off_frames)}
    assert len(left) == len(set(left))
    assert len({p.on.path for p in result.pairs}) == len(result.pairs)
    assert [p.time for p in result.pairs] == sorted(p.time for p in result.pairs)
    for found in result.pairs:
        before, at, after = seconds(found.off), seconds(found.on), seconds(found.later_off)
        assert before is not None
        assert at is not None
        if after is None:
            assert before == at
        else:
            assert before < at < after
            assert after - before <= gap
            assert not [t for t in off if before < t < after], "there is a nearer one"
    for info in result.unpaired:
        if info.band is Band.ON:
            at = seconds(info)
            assert at is not None
            assert at not in off
            earlier, later = [t for t in off if t < at], [t for t in off if t > at]
            assert not earlier or not later or min(later) - max(earlier) > gap
    random.Random(seed).shuffle(on_frames)
    random.Random(seed + 1).shuffle(off_frames)
    assert pair_interpolated(on_frames, off_frames, maximum_gap_s=gap) == result


def image(level: float, *, invalid: tuple[int, int] | None = None, shares: tuple[float, float] = (0, 0)) -> LogImage:
    values = np.full((20, 30), level, np.float32)
    valid = np.ones(values.shape, np.bool_)
    if invalid is not None:
        values[invalid], valid[invalid] = np.nan, False
    return LogImage(values, valid, *shares)


def between(first: LogImage, second: LogImage, at_s: float, span_s: float = 4.0) -> LogImage:
    return interpolated_off_band(
        first, second, START, START + timedelta(seconds=span_s), START + timedelta(seconds=at_s)
    )


@pytest.mark.parametrize(("at_s", "level"), [(0.0, 5.0), (1.0, 5.2), (2.5, 5.5), (4.0, 5.8)])
def test_the_off_band_at_a_time_between_its_frames(at_s: float, level: float) -> None:
    found = between(image(5.0), image(5.8), at_s)
    np.testing.assert_allclose(found.values, level, rtol=1e-6)
    assert found.valid.all()


def test_what_either_frame_lost_is_lost() -> None:
    first, second = image(5.0, invalid=(3, 4), shares=(0.01, 0.2)), image(5.8, invalid=(5, 6), shares=(0.03, 0.1))
    found = between(first, second, 1.0)
    assert np.argwhere(~found.valid).tolist() == [[3, 4], [5, 6]]
    np.testing.assert_array_equal(np.isnan(found.values), ~found.valid)
    assert (found.saturated_share, found.dark_share) == (0.03, 0.2)
    assert not np.isnan(first.values[5, 6])


def test_two_frames_of_one_time_are_the_first() -> None:
    np.testing.assert_array_equal(between(image(5.0), image(5.8), 0.0, span_s=0.0).values, 5.0)


def test_a_sky_that_brightens_steadily_leaves_no_trace_in_the_absorbance() -> None:
    """Ten percent a minute between frames 4 s apart: the nearest frame alone is 0.3 % off, this one is exact."""
    rate = np.log(1.1) / 60
    first, second, now = image(5.0), image(float(5 + 4 * rate)), 5 + 1.9 * rate
    np.testing.assert_allclose(between(first, second, 1.9).values, now, atol=1e-6)
    assert abs(now - 5.0) > 0.003
