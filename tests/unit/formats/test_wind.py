"""The wind file: what it says, between its rows, and what is wrong with it."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from so2cam.core.errors import InputError, So2camError
from so2cam.formats.wind import WindSeries, read_wind

START = datetime(2018, 3, 26, 14, tzinfo=UTC)
HEAD = "time,speed_m_s,direction_from_deg\n"


def wind(folder: Path, text: str | bytes) -> WindSeries:
    path = folder / "wind.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_wind(path, speed_uncertainty_m_s=2.0, direction_uncertainty_deg=15.0)


def rows(folder: Path, *values: tuple[float, float, float]) -> WindSeries:
    """Return the wind of rows of (minutes, speed, direction)."""
    lines = [f"{(START + timedelta(minutes=m)).isoformat()},{v},{d}" for m, v, d in values]
    return wind(folder, HEAD + "\n".join(lines))


def at(series: WindSeries, minutes: float, gap_s: float = 3600.0) -> tuple[float, float, float, float] | None:
    return series.at(START + timedelta(minutes=minutes), maximum_gap_s=gap_s)


def test_reads_all_columns_in_any_order(tmp_path: Path) -> None:
    series = wind(
        tmp_path,
        "direction_uncertainty_deg, time ,station,speed_m_s,speed_uncertainty_m_s,direction_from_deg\r\n"
        '5,2018-03-26T14:00:00Z,"hill, north",7.5,1.25,-10\r\n'
        "6,2018-03-26T17:00:00+02:00,,8,1.5,20\r\n",
    )
    assert series.times_s.tolist() == [START.timestamp(), START.timestamp() + 3600]
    assert at(series, 0) == (7.5, 1.25, 350.0, 5.0)
    assert at(series, 60) == (8.0, 1.5, 20.0, 6.0)


def test_what_the_file_does_not_say_of_uncertainty_is_that_of_the_site(tmp_path: Path) -> None:
    assert at(rows(tmp_path, (0, 7, 90)), 0) == (7.0, 2.0, 90.0, 15.0)


def test_byte_order_mark_comments_and_empty_rows_do_not_matter(tmp_path: Path) -> None:
    text = (
        '# from the model, "hourly\n\n'
        + HEAD
        + '# a note,"with a stray quotation mark\n2018-03-26T14:00,7,90\n,,\n   \n'
        "  # 2018-03-26T14:30,9,90\n2018-03-26 15:00:00Z, 8 , 100\n\n"
    )
    series = wind(tmp_path, b"\xef\xbb\xbf" + text.encode())
    np.testing.assert_array_equal(series.speed_m_s, [7, 8])
    np.testing.assert_array_equal(series.direction_from_deg, [90, 100])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(("first", "last"), [(350.0, 10.0), (10.0, 350.0), (-10.0, 10.0), (80.0, 120.0)])
def test_between_rows_the_wind_is_a_vector(tmp_path: Path, share: float, first: float, last: float) -> None:
    series = rows(tmp_path, (0, 6, first), (60, 9, last))
    found = at(series, 60 * share)
    assert found is not None
    turn = [math.radians(first), math.radians(last)]
    vector = [(1 - share) * 6 * f(turn[0]) + share * 9 * f(turn[1]) for f in (math.sin, math.cos)]
    assert found[0] == pytest.approx(math.hypot(*vector))
    off = math.radians(found[2]) - math.atan2(*vector)
    assert math.sin(off) == pytest.approx(0, abs=1e-12)
    assert math.cos(off) > 0
    assert 0 <= found[2] <= 360
    # What the vector lacks of the mean speed is not known.
    assert found[1] == pytest.approx(math.hypot(2.0, 6 + 3 * share - found[0]))


def test_the_wind_passes_through_north_not_through_south(tmp_path: Path) -> None:
    found = at(rows(tmp_path, (0, 6, 350), (60, 6, 10)), 30)
    assert found is not None
    assert min(found[2], 360 - found[2]) == pytest.approx(0, abs=1e-9)
    assert found[0] == pytest.approx(6 * math.cos(math.radians(10)))


def test_a_wind_that_turns_round_is_weak_in_between_and_uncertain(tmp_path: Path) -> None:
    series = rows(tmp_path, (0, 6, 90), (60, 6, 270))
    found = at(series, 30)
    assert found is not None
    assert found[0] == pytest.approx(0, abs=1e-9)
    assert found[1] == pytest.approx(math.hypot(2, 6))
    assert found[2] in (90.0, 270.0)
    before, after = at(series, 15), at(series, 45)
    assert before is not None
    assert after is not None
    assert (before[2], after[2]) == pytest.approx((90.0, 270.0))
    assert before[0] == pytest.approx(3)


def test_the_larger_uncertainty_of_two_rows_counts(tmp_path: Path) -> None:
    series = wind(
        tmp_path,
        "time,speed_m_s,direction_from_deg,speed_uncertainty_m_s,direction_uncertainty_deg\n"
        "2018-03-26T14:00Z,5,90,1,20\n2018-03-26T15:00Z,5,90,3,10\n",
    )
    found = at(series, 10)
    assert found is not None
    assert found == pytest.approx((5, 3, 90, 20))


def test_no_wind_is_known_outside_of_the_rows_nor_in_a_gap(tmp_path: Path) -> None:
    series = rows(tmp_path, (0, 6, 90), (60, 7, 90), (180, 8, 90))
    assert at(series, -0.001) is None
    assert at(series, 180.001) is None
    assert at(series, 0) is not None
    assert at(series, 180) is not None
    assert at(series, 30, gap_s=3600) is not None
    assert at(series, 30, gap_s=3599) is None
    assert at(series, 120, gap_s=3600) is None
    # A row itself stands on both sides of a gap.
    assert at(series, 60, gap_s=1) == (7.0, 2.0, 90.0, 15.0)


def test_one_row_is_the_wind_of_one_moment(tmp_path: Path) -> None:
    series = rows(tmp_path, (0, 6, 90))
    assert at(series, 0) == (6.0, 2.0, 90.0, 15.0)
    assert at(series, 1) is None


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["holds no row"]),
        ("# nothing\n\n", ["holds no row"]),
        (HEAD, ["holds no wind"]),
        ("time,speed_m_s\n2018-03-26T14:00Z,5\n", ["column is missing", "direction_from_deg"]),
        ("time;speed_m_s;direction_from_deg\n", ["column is missing", "time", "separated by commas"]),
        ("time,speed_m_s,speed_m_s,direction_from_deg\n", ["there twice", "speed_m_s"]),
        (HEAD.strip() + ",speed_uncertainty_m_s,speed_uncertainty_m_s\n", ["there twice", "speed_uncertainty_m_s"]),
        (HEAD + "2018-03-26T14:00Z,5\n", ["row 2 has 2 values for 3 columns"]),
        (HEAD + "# one\n2018-03-26T14:00Z,5,90,1\n", ["row 3 has 4 values"]),
        (HEAD + "26.03.2018 14:00,5,90\n", ["row 2", "time", "26.03.2018", "2018-03-26T14:44:00Z"]),
        (HEAD + "\n2018-03-26T14:00Z,fast,90\n", ["row 3", "speed_m_s", "must be a number", "'fast'"]),
        (HEAD + "2018-03-26T14:00Z,,90\n", ["row 2", "speed_m_s", "must be a number"]),
        (HEAD + "2018-03-26T14:00Z,nan,90\n", ["row 2", "speed_m_s", "within 0 and 150", "'nan'"]),
        (HEAD + "2018-03-26T14:00Z,inf,90\n", ["row 2", "speed_m_s", "within 0 and 150"]),
        (HEAD + "2018-03-26T14:00Z,-1,90\n", ["row 2", "speed_m_s", "'-1'"]),
        (HEAD + "2018-03-26T14:00Z,5,400\n", ["row 2", "direction_from_deg", "'400'"]),
        (HEAD.strip() + ",speed_uncertainty_m_s\n2018-03-26T14:00Z,5,90,0\n", ["speed_uncertainty_m_s", "'0'"]),
        (HEAD + "2018-03-26T15:00Z,5,90\n2018-03-26T14:00Z,5,90\n", ["row 3 is not later", "time"]),
        (HEAD + "2018-03-26T14:00Z,5,90\n2018-03-26T16:00+02:00,5,90\n", ["row 3 is not later"]),
        (HEAD + '2018-03-26T14:00Z,"5,90\n', ["row 2 is not CSV"]),
        (b"\xff\xfet\x00i\x00", ["UTF-8"]),
    ],
    ids=lambda value: None if isinstance(value, list) else repr(value)[-40:],
)
def test_what_is_wrong_is_said_with_file_row_and_value(tmp_path: Path, text: str | bytes, parts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        wind(tmp_path, text)
    for part in (*parts, "wind.csv", "What to do"):
        assert part in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path, tmp_path / "a\0b.csv"):
        with pytest.raises(InputError, match="cannot be read") as caught:
            read_wind(path, speed_uncertainty_m_s=1.0, direction_uncertainty_deg=1.0)
        assert caught.value.key == "wind.file"


CELLS = st.sampled_from(
    [
        "2018-03-26T14:00Z",
        "2018-03-26T15:00Z",
        "0001-01-01T00:00+05:00",
        "9999-12-31T23:59-05:00",
        "5",
        "-5",
        "1e999",
        "nan",
        "90",
        '"',
        "",
        "#",
        "time",
        "speed_m_s",
        "direction_from_deg",
        "٣",
        "\x00",
        "\x1c",
        " ",
    ]
)
LINES = st.lists(st.lists(CELLS, max_size=5).map(",".join), max_size=6).map("\n".join)


@given(data=st.one_of(st.binary(max_size=80), LINES.map(str.encode), LINES.map(lambda t: (HEAD + t).encode())))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_a_wind_or_explained(tmp_path: Path, data: bytes) -> None:
    try:
        series = wind(tmp_path, data)
    except So2camError as error:
        told = error.remedy
        assert told
        return
    assert series.times_s.size >= 1
    assert (np.diff(series.times_s) > 0).all()
    for values in (
        series.speed_m_s,
        series.direction_from_deg,
        series.speed_uncertainty_m_s,
        series.direction_uncertainty_deg,
    ):
        assert values.shape == series.times_s.shape
        assert np.isfinite(values).all()


@given(
    values=st.lists(st.tuples(st.floats(0, 150), st.floats(-360, 360)), min_size=2, max_size=5),
    minutes=st.floats(-10, 300),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_wind_is_stronger_than_its_rows(tmp_path: Path, values: list[tuple[float, float]], minutes: float) -> None:
    found = at(rows(tmp_path, *((60 * i, *value) for i, value in enumerate(values))), minutes)
    assert (found is not None) == (0 <= minutes <= 60 * (len(values) - 1)) or abs(minutes) < 1e-6
    if found is not None:
        assert 0 <= found[0] <= max(speed for speed, _ in values) * (1 + 1e-9)
        assert found[1] >= 2.0
        assert 0 <= found[2] <= 360
        assert found[3] == 15.0
