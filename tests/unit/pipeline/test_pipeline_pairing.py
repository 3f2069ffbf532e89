"""Pairing: one to one, nearest first, whatever the order of the files."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.pipeline.pairing import Pairing, pair_frames

START = datetime(2026, 1, 15, 14, tzinfo=UTC)


def frame(band: Band, seconds: float, name: str = "") -> FrameInfo:
    return FrameInfo(
        path=Path(f"{band}{seconds}{name}.png"),
        band=band,
        kind=FrameKind.PLUME,
        time=START + timedelta(seconds=seconds),
        exposure_s=0.1,
        gain=1.0,
    )


def pair(on: list[float], off: list[float], tolerance_s: float = 2.0) -> Pairing:
    return pair_frames([frame(Band.ON, t) for t in on], [frame(Band.OFF, t) for t in off], tolerance_s=tolerance_s)


def seconds(pairing: Pairing) -> list[tuple[float, float]]:
    return [((p.on.time - START).total_seconds(), (p.off.time - START).total_seconds()) for p in pairing.pairs]


SECONDS = st.integers(0, 400).map(lambda t: t / 4)
TIMES = st.lists(SECONDS, max_size=14)


@given(on=TIMES, off=TIMES, tolerance=st.sampled_from([0.25, 1.0, 2.0, 10.0, 1e6]), seed=st.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_properties(on: list[float], off: list[float], tolerance: float, seed: int) -> None:
    on_frames = [frame(Band.ON, t, f"-{i}") for i, t in enumerate(on)]
    off_frames = [frame(Band.OFF, t, f"-{i}") for i, t in enumerate(off)]
    result = pair_frames(on_frames, off_frames, tolerance_s=tolerance)

    used = [f.path for p in result.pairs for f in (p.on, p.off)] + [f.path for f in result.unpaired]
    assert sorted(map(str, used)) == sorted(str(f.path) for f in (*on_frames, *off_frames)), "each frame just once"
    for found in result.pairs:
        assert found.on.band is Band.ON
        assert found.off.band is Band.OFF
        assert abs(found.offset_s) <= tolerance
        assert found.offset_s == (found.off.time - found.on.time).total_seconds()
        assert found.time == found.on.time
    times = [found.time for found in result.pairs]
    assert times == sorted(times)
    left = {band: [f.time for f in result.unpaired if f.band is band] for band in Band}
    for one in left[Band.ON]:
        for other in left[Band.OFF]:
            assert abs((one - other).total_seconds()) > tolerance, "two that fit each other were left over"

    shuffled = random.Random(seed)
    shuffled.shuffle(on_frames)
    shuffled.shuffle(off_frames)
    assert pair_frames(on_frames, off_frames, tolerance_s=tolerance) == result


@given(on=TIMES, off=TIMES)
@settings(max_examples=100, deadline=None)
def test_nobody_would_rather_have_another(on: list[float], off: list[float]) -> None:
    """Nearest first: no frame of either band is nearer to a frame that has a farther partner than both have."""
    result = pair(sorted(set(on)), sorted(set(off)), tolerance_s=5.0)
    distance = {f.path: abs(p.offset_s) for p in result.pairs for f in (p.on, p.off)}
    ons = [p.on for p in result.pairs] + [f for f in result.unpaired if f.band is Band.ON]
    offs = [p.off for p in result.pairs] + [f for f in result.unpaired if f.band is Band.OFF]
    for a in ons:
        for b in offs:
            apart = abs((a.time - b.time).total_seconds())
            if apart <= 5.0:
                assert apart >= min(distance.get(a.path, 1e9), distance.get(b.path, 1e9))


def test_two_off_bands_to_each_on_band() -> None:
    """The sequence of Villarrica: on band every 8 s with long exposures, off band every 4 s."""
    result = pair([0.7, 8.7, 16.7], [0.05, 4.05, 8.05, 12.05, 16.05, 20.05])
    assert seconds(result) == [(0.7, 0.05), (8.7, 8.05), (16.7, 16.05)]
    assert len(result.unpaired) == 3
    assert result.pairs[0].offset_s == pytest.approx(-0.65)


def test_the_nearest_wins_even_if_another_goes_without() -> None:
    result = pair([0.0, 1.5], [1.0])
    assert seconds(result) == [(1.5, 1.0)]
    assert [f.time for f in result.unpaired] == [START]


def test_equal_distances_go_to_the_earlier_frames() -> None:
    assert seconds(pair([0.0, 2.0], [1.0])) == [(0.0, 1.0)]
    assert seconds(pair([1.0], [0.0, 2.0])) == [(1.0, 0.0)]


@pytest.mark.parametrize(("apart", "pairs"), [(1.999, 1), (2.0, 1), (-2.0, 1), (2.001, 0), (-2.001, 0)])
def test_the_tolerance_belongs_to_it(apart: float, pairs: int) -> None:
    assert len(pair([100.0], [100.0 + apart]).pairs) == pairs


def test_nothing_to_pair() -> None:
    assert pair([], []) == Pairing((), ())
    assert len(pair([1.0, 2.0], []).unpaired) == 2
    assert len(pair([], [1.0]).unpaired) == 1


def test_a_constant_shift_of_one_clock_pairs_neighbours_within_the_tolerance() -> None:
    result = pair([8.0 * i for i in range(50)], [8.0 * i + 1.9 for i in range(50)])
    assert len(result.pairs) == 50
    assert {round(p.offset_s, 6) for p in result.pairs} == {1.9}
