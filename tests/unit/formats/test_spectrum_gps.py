"""Tracks: the real one of a traverse, other tables, and places between fixes."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from so2cam.core.errors import InputError
from so2cam.core.spectra import SpectrumInfo, SpectrumKind
from so2cam.formats.spectra.gps import add_positions, parse_gps_track, read_gps_track

START = datetime(2018, 1, 14, 15, 0, tzinfo=UTC)
TABLE = """time,latitude,longitude,altitude (m)
2018-01-14 15:00:00,10.0,-80.0,100
2018-01-14 15:00:10,10.2,-80.4,
2018-01-14T15:00:20Z,10.4,-80.8,300
2018-01-14 15:01:20,11.0,-81.0,400
"""


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.data
def test_the_real_track(data_dir: Path) -> None:
    track = read_gps_track(data_dir / "masaya" / "MasayaTraverseGPS.txt")
    assert track.unix_s.size == 4944
    place = track.position_at(datetime(2018, 1, 14, 15, 38, 43, 500000, UTC))
    assert place is not None
    assert place.latitude_deg == pytest.approx(12.0412025, abs=1e-9)
    assert place.longitude_deg == pytest.approx(-86.203015, abs=1e-9)
    assert place.altitude_m == pytest.approx(244.25)
    assert track.position_at(datetime(2018, 1, 14, 15, 38, 42, tzinfo=UTC)) is None


def test_places_between_fixes() -> None:
    track = parse_gps_track(TABLE, "f")
    place = track.position_at(at(2.5))
    assert place is not None
    assert place.latitude_deg == pytest.approx(10.05)
    assert place.longitude_deg == pytest.approx(-80.1)
    assert place.altitude_m is None
    fix = track.position_at(at(20))
    assert fix is not None
    assert (fix.latitude_deg, fix.longitude_deg, fix.altitude_m) == (10.4, -80.8, 300.0)


def test_no_place_outside_and_in_gaps() -> None:
    track = parse_gps_track(TABLE, "f")
    assert [track.position_at(at(s)) for s in (-1, 50, 81)] == [None, None, None]
    assert track.position_at(at(80)) is not None
    assert track.position_at(at(50), maximum_gap_s=60) is not None


def test_across_the_date_line() -> None:
    rows = "2018-01-14 15:00:00;0;179.9\n2018-01-14 15:00:10;0;-179.7\n"
    place = parse_gps_track(f"Time;Lat;Lon\n{rows}", "f").position_at(at(5))
    assert place is not None
    assert place.longitude_deg == pytest.approx(-179.9)
    assert place.altitude_m is None


def test_rows_in_any_order_and_twice() -> None:
    head, *rows = TABLE.splitlines()
    again = "2018-01-14 15:00:00,50.0,50.0,1"
    track = parse_gps_track("\n".join([head, *rows, again]), "f")
    assert track.unix_s.size == 4
    assert track.latitude_deg[0] == 10.0
    backwards = parse_gps_track("\n".join([head, *rows[::-1]]), "f")
    assert list(backwards.unix_s) == list(track.unix_s)


def test_date_and_time_apart_and_rows_that_do_not_count() -> None:
    text = (
        "# logger\ntype\tdate\ttime\tlat\tlon\tele\n"
        "T\t2018/01/14\t15:00:00\t1\t2\t\nW\t2018/01/14\t15:00:01\t9\t9\t\nT\t2018/01/14\t15:00:02\t\t\t\n\n"
        "type\tdate\ttime\tlat\tlon\tele\nT\t2018/01/14\t15:00:03\t1.3\t2\tn/a\n"
    )
    track = parse_gps_track(text, "f")
    assert list(track.latitude_deg) == [1.0, 1.3]
    assert all(math.isnan(value) for value in track.altitude_m)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no fixes"),
        ("time,latitude,longitude\n", "holds no fixes"),
        ("1,2,3\n", "does not begin with a header"),
        ("time,latitude,longitude\nsoon,1,2\n", "row 2, time: is no time"),
        ("time,latitude,longitude\n2018-01-14,91,2\n", "row 2, latitude: is not within"),
        ("time,latitude,longitude\n2018-01-14,nan,2\n", "row 2, latitude: is not within"),
        ("time,latitude,longitude\n2018-01-14,9,E\n", "row 2, longitude: is not within"),
    ],
)
def test_other_tables_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_gps_track(text, "f")


def test_a_track_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_gps_track(tmp_path / "none.txt")


def test_positions_are_added_where_none_is_known() -> None:
    track = parse_gps_track(TABLE, "f")
    bare = SpectrumInfo(Path("a"), SpectrumKind.PLUME, at(0), None, None)
    known = SpectrumInfo(Path("b"), SpectrumKind.PLUME, at(0), None, None, latitude_deg=1.0, longitude_deg=2.0)
    outside = SpectrumInfo(Path("c"), SpectrumKind.PLUME, at(500), None, None)
    first, second, third = add_positions((bare, known, outside), track)
    assert (first.latitude_deg, first.longitude_deg, first.altitude_m) == (10.0, -80.0, 100.0)
    assert second is known
    assert third is outside
