"""Records are frozen, and their derived values are right."""

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from so2cam.core.records import Band, FrameInfo, FrameKind, FramePair, PlumeLine

TIME = datetime(2018, 3, 26, 14, 44, 8, tzinfo=UTC)


def frame(band: Band, offset_s: float = 0.0) -> FrameInfo:
    return FrameInfo(Path("x.png"), band, FrameKind.PLUME, TIME + timedelta(seconds=offset_s), 0.4, 1.0)


def test_an_exposure_starts_half_of_itself_before_its_middle() -> None:
    assert frame(Band.ON).start_time == TIME - timedelta(milliseconds=200)


@pytest.mark.parametrize("offset", [-1.5, 0.0, 0.75])
def test_the_offset_of_a_pair_has_a_sign(offset: float) -> None:
    pair = FramePair(frame(Band.ON), frame(Band.OFF, offset))
    assert pair.time == TIME
    assert pair.offset_s == offset


def test_length_of_a_line() -> None:
    assert PlumeLine.straight("a", (10.0, 20.0), (13.0, 24.0), (0.8, -0.6)).length_px == 5.0


def test_records_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        frame(Band.ON).gain = 2.0  # type: ignore[misc]
