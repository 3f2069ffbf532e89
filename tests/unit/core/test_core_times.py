"""Times are aware, UTC, and written to the millisecond."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from so2cam.core.times import format_utc, parse_utc, require_utc, to_unix_s

NAIVE = datetime(2018, 3, 26, 14, 44, 8)  # noqa: DTZ001


def test_a_time_without_zone_is_refused() -> None:
    for function in (require_utc, format_utc, to_unix_s):
        with pytest.raises(ValueError, match="no time zone"):
            function(NAIVE)


def test_another_zone_becomes_utc() -> None:
    chile = datetime(2018, 3, 26, 11, 44, 8, tzinfo=timezone(timedelta(hours=-3)))
    assert require_utc(chile).utcoffset() == timedelta(0)
    assert format_utc(chile) == "2018-03-26T14:44:08.000Z"


@pytest.mark.parametrize(
    ("microsecond", "expected"),
    [
        (0, "08.000Z"),
        (499, "08.000Z"),
        (500, "08.001Z"),
        (1_000, "08.001Z"),
        (999_499, "08.999Z"),
        (999_500, "09.000Z"),
    ],
)
def test_milliseconds_are_rounded(microsecond: int, expected: str) -> None:
    time = datetime(2018, 3, 26, 14, 44, 8, microsecond, tzinfo=UTC)
    assert format_utc(time) == f"2018-03-26T14:44:{expected}"


def test_rounding_carries_into_the_next_year() -> None:
    assert format_utc(datetime(2018, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == "2019-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    "text", ["2018-03-26T14:44:08Z", "2018-03-26T14:44:08", "2018-03-26T11:44:08-03:00", "2018-03-26 14:44:08+00:00"]
)
def test_written_times_are_read(text: str) -> None:
    time = parse_utc(text)
    assert time == datetime(2018, 3, 26, 14, 44, 8, tzinfo=UTC)
    assert time.utcoffset() == timedelta(0)


def test_what_is_no_time_is_told_with_an_example() -> None:
    with pytest.raises(ValueError, match="write it like 2018-03-26T14:44:08Z"):
        parse_utc("yesterday")


def test_unix_seconds() -> None:
    assert to_unix_s(datetime(1970, 1, 2, 0, 0, 0, 250_000, tzinfo=UTC)) == 86_400.25
