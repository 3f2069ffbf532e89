from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.core.intervals import Interval, clip, difference, intersection, union

START = datetime(2024, 5, 1, tzinfo=UTC)


def minute(count: int) -> datetime:
    return START + timedelta(minutes=count)


def stretch(first: int, last: int) -> Interval:
    return Interval(minute(first), minute(last))


stretches = st.lists(
    st.tuples(st.integers(0, 59), st.integers(1, 20)).map(lambda pair: stretch(pair[0], pair[0] + pair[1])), max_size=8
)


def covered(intervals: list[Interval] | tuple[Interval, ...]) -> set[int]:
    return {index for index in range(90) if any(each.contains(minute(index)) for each in intervals)}


def in_order_and_apart(intervals: tuple[Interval, ...]) -> bool:
    return all(first.end < second.start for first, second in pairwise(intervals))


@given(stretches, stretches)
def test_sums_overlaps_and_rests_are_those_of_sets(first: list[Interval], second: list[Interval]) -> None:
    assert covered(union(first)) == covered(first)
    assert covered(intersection(first, second)) == covered(first) & covered(second)
    assert covered(difference(first, second)) == covered(first) - covered(second)
    assert in_order_and_apart(union(first))
    assert in_order_and_apart(difference(first, second))
    assert covered(clip(first, stretch(10, 30))) == covered(first) & set(range(10, 30))


def test_short_gaps_are_bridged_and_long_ones_stay() -> None:
    pieces = [stretch(0, 10), stretch(14, 20), stretch(25, 30)]
    assert union(pieces, bridging=timedelta(minutes=5)) == (stretch(0, 20), stretch(25, 30))


def test_an_interval_ends_after_it_starts() -> None:
    with pytest.raises(ValueError, match="must end after it starts"):
        stretch(5, 5)
    with pytest.raises(ValueError, match="no time zone"):
        Interval(datetime(2024, 1, 1), datetime(2024, 1, 2))  # noqa: DTZ001
    assert stretch(5, 8).duration == timedelta(minutes=3)
    assert stretch(5, 8).contains(minute(5))
    assert not stretch(5, 8).contains(minute(8))
