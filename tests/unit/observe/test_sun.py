from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import AltAz, EarthLocation, get_sun
from astropy.time import Time
from astropy.utils import iers
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.core.intervals import Interval, clip
from so2cam.observe.sun import POSITION_UNCERTAINTY_DEG, SunTrack, sun_elevation_deg, sun_position

VILLARRICA = (-39.42, -71.93)
PLACES = [VILLARRICA, (37.75, 15.0), (0.0, -78.0), (64.0, -19.0), (-77.5, 167.2), (19.4, -155.3)]


def ephemeris(times: list[datetime], latitude: float, longitude: float) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth and elevation without refraction, from astropy's ephemeris."""
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        place = EarthLocation.from_geodetic(longitude, latitude, 0)
        instants = Time(times)
        seen = get_sun(instants).transform_to(AltAz(obstime=instants, location=place))
    return seen.az.to_value(units.deg), seen.alt.to_value(units.deg)


def test_position_of_the_published_example() -> None:
    # Reda and Andreas (2004), Solar Position Algorithm, NREL/TP-560-34302, table A5.1: 17 October 2003, 12:30:30 at
    # UTC-7, 39.742476 N, 105.1786 W: topocentric elevation without refraction 39.872046, azimuth 194.340241 degrees.
    found = sun_position(datetime(2003, 10, 17, 12, 30, 30, tzinfo=timezone(timedelta(hours=-7))), 39.742476, -105.1786)
    assert found.elevation_deg == pytest.approx(39.872046, abs=0.01)
    assert found.azimuth_deg == pytest.approx(194.340241, abs=0.01)


@pytest.mark.parametrize("place", PLACES)
def test_position_agrees_with_an_ephemeris_within_its_uncertainty(place: tuple[float, float]) -> None:
    times = [datetime(2018, 1, 1, tzinfo=UTC) + timedelta(hours=37 * index) for index in range(120)]
    azimuth, elevation = ephemeris(times, *place)
    found = [sun_position(time, *place) for time in times]
    off = np.array([position.elevation_deg for position in found]) - elevation
    assert np.sqrt(np.mean(off**2)) < POSITION_UNCERTAINTY_DEG
    assert np.abs(off).max() < 4 * POSITION_UNCERTAINTY_DEG
    turned = (np.array([position.azimuth_deg for position in found]) - azimuth + 180) % 360 - 180
    across = turned * np.cos(np.radians(elevation))
    assert np.sqrt(np.mean(across**2)) < POSITION_UNCERTAINTY_DEG
    assert np.abs(across).max() < 4 * POSITION_UNCERTAINTY_DEG


@pytest.mark.parametrize("threshold", [-12.0, 0.0, 8.0])
def test_crossings_lie_where_the_ephemeris_has_them(threshold: float) -> None:
    start = datetime(2024, 6, 1, tzinfo=UTC)
    track = SunTrack(Interval(start, start + timedelta(days=4)), *VILLARRICA)
    edges = [edge for piece in track.above(threshold) for edge in (piece.start, piece.end)]
    assert len(edges) >= 8
    inner = [edge for edge in edges if start < edge < track.span.end]
    _, elevation = ephemeris(inner, *VILLARRICA)
    assert np.abs(elevation - threshold).max() < 4 * POSITION_UNCERTAINTY_DEG


def test_above_and_below_share_the_time_out() -> None:
    start = datetime(2024, 3, 1, tzinfo=UTC)
    track = SunTrack(Interval(start, start + timedelta(days=3)), 64.0, -19.0)
    pieces = sorted([*track.above(10.0), *track.below(10.0)])
    assert pieces[0].start == track.span.start
    assert pieces[-1].end == track.span.end
    assert all(first.end == second.start for first, second in pairwise(pieces))


def test_a_sun_that_only_grazes_the_threshold_is_seen() -> None:
    start = datetime(2024, 6, 20, tzinfo=UTC)
    track = SunTrack(Interval(start, start + timedelta(days=1)), *VILLARRICA)
    highest = track.extremes_deg(track.span)[1]
    short = track.above(highest - 0.002)
    assert len(short) == 1
    assert timedelta(0) < short[0].duration < timedelta(minutes=20)
    assert track.above(highest + 0.001) == ()


@given(st.integers(0, 500_000), st.integers(1, 5000), st.integers(-12, 40))
@settings(max_examples=30, deadline=None)
def test_edges_are_the_same_from_whatever_span(minute: int, length: int, threshold: int) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minute, seconds=minute % 60)
    span = Interval(start, start + timedelta(minutes=length))
    wide = SunTrack(Interval(start - timedelta(hours=31), span.end + timedelta(hours=17)), *VILLARRICA)
    assert SunTrack(span, *VILLARRICA).above(threshold) == clip(wide.above(threshold), span)


def test_polar_summer_and_winter() -> None:
    summer, winter = datetime(2024, 12, 10, tzinfo=UTC), datetime(2024, 6, 10, tzinfo=UTC)
    day = SunTrack(Interval(summer, summer + timedelta(days=2)), -77.5, 167.2)
    night = SunTrack(Interval(winter, winter + timedelta(days=2)), -77.5, 167.2)
    assert day.above(0.0) == (day.span,)
    assert day.below(0.0) == ()
    assert night.above(0.0) == ()
    for latitude in (90.0, -90.0):
        assert abs(sun_elevation_deg(summer, latitude, 0.0)) < 24


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        sun_position(datetime(2024, 1, 1), 0.0, 0.0)  # noqa: DTZ001
    with pytest.raises(ValueError, match="no place"):
        sun_position(datetime(2024, 1, 1, tzinfo=UTC), 91.0, 0.0)
    with pytest.raises(ValueError, match="no place"):
        SunTrack(Interval(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)), float("nan"), 0.0)
