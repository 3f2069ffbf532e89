"""Pairing while frames come: the pairs of the whole series, however the frames come within the hold-back."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.core.records import Band, FrameInfo, FrameKind, FramePair
from so2cam.pipeline import live_pairing
from so2cam.pipeline.live_pairing import FOREVER, InterpolatedPairer, NearestPairer, Pairer, frame_order
from so2cam.pipeline.pairing import Pairing, pair_frames, pair_interpolated

START = datetime(2026, 1, 15, 14, tzinfo=UTC)
SECONDS = st.lists(st.integers(0, 200).map(lambda t: t / 4), max_size=16)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def frame(band: Band, seconds: float, name: str = "") -> FrameInfo:
    return FrameInfo(Path(f"{band}{seconds}{name}.png"), band, FrameKind.PLUME, at(seconds), 0.1, 1.0)


def series(on: list[float], off: list[float]) -> list[FrameInfo]:
    frames = [frame(Band.ON, t, f"-{i}") for i, t in enumerate(on)]
    return frames + [frame(Band.OFF, t, f"-{i}") for i, t in enumerate(off)]


def come(pairer: Pairer, frames: list[FrameInfo], held: float, seed: int) -> tuple[list[FramePair], list[FrameInfo]]:
    """Let frames come in an order that is wrong by less than ``held`` seconds, and decide whenever time goes on."""
    generator = random.Random(seed)
    pairs: list[FramePair] = []
    unpaired: list[FrameInfo] = []
    newest = START - timedelta(days=1)
    for info in sorted(frames, key=lambda f: (f.time + timedelta(seconds=0.99 * held * generator.random()), f.band)):
        pairer.add(info)
        newest = max(newest, info.time)
        decided = pairer.decide(newest - timedelta(seconds=held + 1e-3))
        pairs += decided.pairs
        unpaired += decided.unpaired
    decided = pairer.decide(FOREVER)
    return pairs + list(decided.pairs), unpaired + list(decided.unpaired)


def same(found: tuple[list[FramePair], list[FrameInfo]], whole: Pairing) -> None:
    pairs, unpaired = found
    key = sorted(pairs, key=lambda p: (p.on.time, str(p.on.path)))
    assert tuple(key) == whole.pairs
    assert {f.path for f in unpaired} == {f.path for f in whole.unpaired}
    assert len(unpaired) == len(whole.unpaired)


@given(
    on=SECONDS,
    off=SECONDS,
    tolerance=st.sampled_from([0.25, 1.0, 2.5, 20.0]),
    held=st.sampled_from([0.0, 1.0, 7.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=300, deadline=None)
def test_nearest_pairs_are_those_of_the_whole(
    on: list[float], off: list[float], tolerance: float, held: float, seed: int
) -> None:
    frames = series(on, off)
    whole = pair_frames(frames[: len(on)], frames[len(on) :], tolerance_s=tolerance)
    same(come(NearestPairer(tolerance), frames, held, seed), whole)


@given(
    on=SECONDS,
    off=SECONDS,
    gap=st.sampled_from([0.5, 3.0, 20.0]),
    held=st.sampled_from([0.0, 1.0, 7.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=300, deadline=None)
def test_interpolated_pairs_are_those_of_the_whole(
    on: list[float], off: list[float], gap: float, held: float, seed: int
) -> None:
    frames = series(on, off)
    whole = pair_interpolated(frames[: len(on)], frames[len(on) :], maximum_gap_s=gap)
    same(come(InterpolatedPairer(gap), frames, held, seed), whole)


def test_a_pair_is_given_out_as_soon_as_no_frame_to_come_can_part_it() -> None:
    pairer = NearestPairer(2.0)
    pairer.add(frame(Band.ON, 10.0))
    pairer.add(frame(Band.OFF, 10.2))
    assert not pairer.decide(at(10.3)).pairs, "an off-band frame at 9.9 to 10.2 s may be closer"
    assert len(pairer.decide(at(10.4)).pairs) == 1


def test_what_is_kept_is_bounded() -> None:
    nearest, between = NearestPairer(2.0), InterpolatedPairer(12.0)
    for step in range(200):
        for pairer in (nearest, between):
            pairer.add(frame(Band.OFF, 5.0 * step))
            pairer.decide(at(5.0 * step - 1))
    assert len(nearest._off) <= 2
    assert len(between._off) <= 2
    for step in range(200, 400):
        for pairer in (nearest, between):
            pairer.add(frame(Band.ON, 5.0 * step))
            pairer.decide(at(5.0 * step - 1))
    assert len(nearest.waiting) <= 2
    assert len(between.waiting) <= 4


@pytest.mark.parametrize("pairer", [NearestPairer(2.0), InterpolatedPairer(12.0)])
def test_a_frame_costs_the_same_however_many_wait(pairer: Pairer, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in range(2000):
        pairer.add(frame(Band.ON, 2.0 * step))
        pairer.add(frame(Band.OFF, 2.0 * step + 0.2))
    looked_at: list[FrameInfo] = []

    def counted(info: FrameInfo) -> tuple[datetime, str]:
        looked_at.append(info)
        return frame_order(info)

    monkeypatch.setattr(live_pairing, "frame_order", counted)
    pairer.add(frame(Band.ON, 4000.0))
    assert len(pairer.decide(at(10.0)).pairs) >= 4
    assert 0 < len(looked_at) < 100


@pytest.mark.parametrize("pairer", [NearestPairer(2.0), InterpolatedPairer(12.0)])
def test_nothing_gives_nothing(pairer: Pairer) -> None:
    assert pairer.decide(FOREVER).pairs == ()
