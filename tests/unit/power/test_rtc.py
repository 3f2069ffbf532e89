from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from so2cam_power.errors import PowerError
from so2cam_power.rtc import CLOCKS, BoardClock, read_clock, set_clock

TIME = datetime(2026, 11, 27, 20, 31, 59, tzinfo=UTC)


def registers(clock: BoardClock, time: datetime = TIME) -> dict[int, int]:
    """The board's registers at a time: numbers as two decimal digits, unused bits set as the chips may have them."""

    def digits(number: int) -> int:
        return number // 10 << 4 | number % 10

    return {
        clock.stopped_register: 0,
        clock.seconds: digits(time.second),
        clock.minutes: digits(time.minute),
        clock.hours: digits(time.hour),
        clock.day: digits(time.day),
        clock.month: digits(time.month) | 0x80 * (clock.address == 0x68),
        clock.year: digits(time.year - 2000),
    }


@pytest.mark.parametrize("board", sorted(CLOCKS))
def test_the_boards_time_is_read(board: str) -> None:
    clock = CLOCKS[board]
    assert read_clock(clock, registers(clock).__getitem__) == int(TIME.timestamp())


@pytest.mark.parametrize("board", sorted(CLOCKS))
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda found, clock: found.update({clock.stopped_register: 0x80}), "had stopped"),
        (lambda found, clock: found.update({clock.minutes: 0x7F}), "holds no time"),
        (lambda found, clock: found.update({clock.day: 0x31, clock.month: 0x02}), "holds no time"),
        (lambda found, clock: found.update({clock.year: 0x00}), "which it cannot be"),
    ],
)
def test_a_clock_that_means_nothing_is_not_believed(
    board: str, change: Callable[[dict[int, int], BoardClock], None], complaint: str
) -> None:
    clock = CLOCKS[board]
    found = registers(clock)
    change(found, clock)
    with pytest.raises(PowerError, match=complaint):
        read_clock(clock, found.__getitem__)


def test_a_second_that_passes_while_reading_is_no_wrong_time() -> None:
    clock = CLOCKS["wittypi3"]
    before, after = registers(clock), registers(clock, datetime(2026, 11, 27, 20, 32, 0, tzinfo=UTC))
    asked: list[int] = []

    def read(number: int) -> int:
        asked.append(number)
        return (before if len(asked) < 3 else after)[number]

    assert read_clock(clock, read) == int(TIME.timestamp()) + 1


def test_the_clock_is_set_forward_and_never_back() -> None:
    clock = CLOCKS["wittypi3"]
    read = registers(clock).__getitem__
    was_set: list[float] = []
    text = set_clock("wittypi3", read=read, now=lambda: 300.0, settime=was_set.append)
    assert was_set == [TIME.timestamp()]
    assert "is set by it" in text
    for now in (TIME.timestamp(), TIME.timestamp() + 1e6, TIME.timestamp() - 9):
        assert "not behind" in set_clock("wittypi3", read=read, now=lambda now=now: now, settime=was_set.append)
    assert len(was_set) == 1


def test_what_cannot_be_is_told() -> None:
    def refuse(value: float) -> None:
        raise PermissionError(1, "Operation not permitted")

    clock = CLOCKS["wittypi3"]
    with pytest.raises(PowerError, match="is this run by root"):
        set_clock("wittypi3", read=registers(clock).__getitem__, now=lambda: 0.0, settime=refuse)
    with pytest.raises(PowerError, match="no clock on a board 'none'"):
        set_clock("none")
