"""Plume cross-section lines: straight, polylines, arcs and closed ones, and the side to which the plume crosses."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from so2cam.core.records import PlumeLine
from so2cam.core.site_lines import Arc, Line

SQUARE = ((10.0, 10.0), (50.0, 10.0), (50.0, 50.0), (10.0, 50.0))
"""Clockwise as seen in the image."""
BENT = ((10.0, 10.0), (40.0, 10.0), (40.0, 50.0))


def line(**values: Any) -> PlumeLine:
    return Line(name="a", **values).to_plume_line()


def arc(from_deg: float, to_deg: float, normal: str = "outward", radius: float = 40.0) -> PlumeLine:
    return line(arc=Arc(centre=(100, 80), radius_px=radius, from_deg=from_deg, to_deg=to_deg), normal=normal)


def test_a_straight_line() -> None:
    found = line(start=(10, 20), end=(40, 60), normal="left", plume="one", role="speed")
    assert found.points == ((10, 20), (40, 60))
    assert (found.start, found.end) == ((10, 20), (40, 60))
    assert found.length_px == 50
    assert not found.closed
    # Down to the right; of its two sides the right hand's is to the left in the image.
    assert found.side == 1
    assert found.normal == pytest.approx((-0.8, 0.6))
    assert (found.name, found.plume, found.role) == ("a", "one", "speed")


@pytest.mark.parametrize("angle_deg", range(7, 360, 23))
@pytest.mark.parametrize(
    ("normal", "towards"), [("left", (-1, 0)), ("right", (1, 0)), ("up", (0, -1)), ("down", (0, 1))]
)
def test_the_normal_of_a_line_at_any_angle_is_on_the_side_named(
    angle_deg: int, normal: str, towards: tuple[int, int]
) -> None:
    along = math.sin(math.radians(angle_deg)), -math.cos(math.radians(angle_deg))
    ends = (100.0, 100.0), (100 + 60 * along[0], 100 + 60 * along[1])
    found = line(start=ends[0], end=ends[1], normal=normal)
    assert found.normal[0] * towards[0] + found.normal[1] * towards[1] > 0
    assert found.normal[0] * along[0] + found.normal[1] * along[1] == pytest.approx(0, abs=1e-12)
    assert math.hypot(*found.normal) == pytest.approx(1)
    assert found.side in (-1, 1)
    turned = line(start=ends[1], end=ends[0], normal=normal)
    assert turned.side == -found.side
    assert turned.normal == pytest.approx(found.normal)
    assert PlumeLine.straight("a", *ends, found.normal) == found


def test_a_polyline() -> None:
    found = line(points=BENT, normal="right")
    assert found.points == BENT
    assert found.length_px == 70
    assert not found.closed
    # Right, then down: the right hand's side is below and to the left, the left hand's above and to the right.
    assert found.side == -1
    assert found.normal == pytest.approx((0.8, -0.6))
    assert line(points=BENT, normal="up").side == -1
    assert line(points=BENT, normal="down").side == 1


@pytest.mark.parametrize(
    ("points", "normal", "place", "across"),
    [
        (((0, 0), (10, 0)), "down", (5, 0), (0, 1)),
        (((0, 0), (10, 0)), "up", (5, 0), (0, -1)),
        (BENT, "down", (40, 15), (-1, 0)),
        (BENT, "right", (40, 15), (1, 0)),
        (((0, 0), (10, 0), (10, 10), (20, 10)), "up", (10, 5), (1, 0)),
        (((0, 0), (3, 4), (6, 8), (9, 12)), "right", (4.5, 6), (0.8, -0.6)),
    ],
)
def test_the_middle_lies_at_half_of_the_length(
    points: Any, normal: str, place: tuple[float, float], across: tuple[float, float]
) -> None:
    found, direction = line(points=points, normal=normal).middle
    assert found == pytest.approx(place)
    assert direction == pytest.approx(across)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("normal", "outward"), [("outward", True), ("inward", False)])
@pytest.mark.parametrize("repeats", [False, True])
def test_a_closed_polyline(turned: bool, normal: str, outward: bool, repeats: bool) -> None:
    corners = SQUARE[::-1] if turned else SQUARE
    if repeats:
        corners = (*corners, corners[0])
    found = line(points=corners, closed=True, normal=normal)
    assert found.closed
    assert found.points[0] == found.points[-1]
    assert len(found.points) == 5
    assert found.length_px == 160
    assert found.signed_area_px2 == (-1600 if turned else 1600)
    assert all(math.isnan(value) for value in found.normal)
    place, across = found.middle
    from_centre = place[0] - 30, place[1] - 30
    away = from_centre[0] * across[0] + from_centre[1] * across[1]
    assert away == pytest.approx(20 if outward else -20)


def test_an_arc_counts_from_up_clockwise() -> None:
    quarter = arc(0, 90)
    assert quarter.start == pytest.approx((100, 40))
    assert quarter.end == pytest.approx((140, 80))
    assert not quarter.closed
    place, across = quarter.middle
    half = math.sqrt(0.5)
    assert place == pytest.approx((100 + 40 * half, 80 - 40 * half), abs=0.02)
    assert across == pytest.approx((half, -half), abs=0.05)
    assert arc(0, 90, "inward").middle[1] == pytest.approx((-half, half), abs=0.05)


@pytest.mark.parametrize(("from_deg", "to_deg"), [(0, 360), (-90, 90), (300, 420), (-360, -359), (10, 47)])
@pytest.mark.parametrize("radius", [3.0, 40.0, 700.0])
def test_the_length_and_the_points_of_an_arc(from_deg: float, to_deg: float, radius: float) -> None:
    shape = Arc(centre=(100, 80), radius_px=radius, from_deg=from_deg, to_deg=to_deg)
    points = shape.points
    sweep = math.radians(to_deg - from_deg)
    assert all(math.dist(point, (100, 80)) == pytest.approx(radius) for point in points)
    assert all(math.dist(a, b) <= 2.0 for a, b in pairwise(points))
    record = PlumeLine("a", points)
    # Chords of an arc: 2 r sin(a / 2) each.
    pieces = len(points) - 1
    assert record.length_px == pytest.approx(2 * radius * pieces * math.sin(sweep / pieces / 2))
    assert record.length_px == pytest.approx(radius * sweep, rel=0.03 if radius < 5 else 5e-4)
    assert record.closed == (to_deg - from_deg == 360)


@pytest.mark.parametrize(("normal", "sign"), [("outward", 1), ("inward", -1)])
@pytest.mark.parametrize("from_deg", [-360, -17, 0, 200, 360])
def test_a_full_circle(normal: str, sign: int, from_deg: float) -> None:
    found = arc(from_deg, from_deg + 360, normal)
    assert found.closed
    assert found.signed_area_px2 == pytest.approx(math.pi * 1600, rel=1e-3)
    place, across = found.middle
    assert (place[0] - 100) * across[0] + (place[1] - 80) * across[1] == pytest.approx(40 * sign, rel=2e-3)


def test_an_open_arc_can_name_a_side_as_any_line() -> None:
    assert arc(-45, 45, "up") == arc(-45, 45, "outward")
    assert arc(-45, 45, "down") == arc(-45, 45, "inward")


@given(
    corners=st.lists(st.tuples(st.floats(0, 600), st.floats(0, 400)), min_size=2, max_size=8),
    side=st.sampled_from([-1, 1]),
)
@settings(max_examples=200, deadline=None)
def test_the_other_way_round_a_line_is_the_same_but_for_its_side(corners: list[tuple[float, float]], side: int) -> None:
    there, back = PlumeLine("a", tuple(corners), side), PlumeLine("a", tuple(corners[::-1]), -side)
    assert there.length_px == pytest.approx(back.length_px)
    assert there.signed_area_px2 == pytest.approx(-back.signed_area_px2, abs=1e-6)
    assert there.closed == back.closed
    if there.length_px > 1 and not there.closed and math.dist(there.start, there.end) > 1e-6:
        assert there.normal == pytest.approx(back.normal, abs=1e-6)
        assert math.hypot(*there.normal) == pytest.approx(1)
        assert there.middle[0] == pytest.approx(back.middle[0], abs=1e-3)


def test_a_line_of_a_file_is_known_only_when_it_has_been_read() -> None:
    given_by_file = Line(name="a", file="line.npy")
    assert given_by_file.corners == ()
    with pytest.raises(ValueError, match="has not been read"):
        given_by_file.to_plume_line()


def test_corners_say_by_which_key_they_were_given() -> None:
    straight = Line(name="a", start=(1, 2), end=(30, 40), normal="left")
    assert straight.corners == (("start", (1, 2)), ("end", (30, 40)))
    assert [key for key, _ in Line(name="a", points=BENT, normal="up").corners] == [
        "points[0]",
        "points[1]",
        "points[2]",
    ]
    assert {key for key, _ in Line(name="a", arc=Arc(centre=(9, 9), radius_px=5), normal="outward").corners} == {"arc"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"normal": "left"}, "give either start and end"),
        ({"start": (1, 1), "normal": "left"}, "give either start and end"),
        ({"start": (1, 1), "end": (9, 9), "points": BENT, "normal": "left"}, "give either start and end"),
        ({"points": BENT, "file": "line.npy"}, "give either start and end"),
        ({"start": (1, 1), "end": (9, 9)}, "give normal"),
        ({"file": "line.npy", "normal": "left"}, "the file has its own side"),
        ({"file": "line.npy", "closed": True}, "closed is for a polyline"),
        ({"start": (1, 1), "end": (9, 9), "closed": True, "normal": "left"}, "closed is for a polyline"),
        ({"points": BENT[:2], "closed": True, "normal": "outward"}, "three or more points"),
        ({"points": BENT[:1], "normal": "left"}, "at least 2"),
        ({"start": (1, 1), "end": (1, 1), "normal": "left"}, "the same point"),
        ({"points": (*BENT, BENT[-1]), "normal": "left"}, "the same point"),
        ({"start": (1, 1), "end": (4, 1), "normal": "up"}, "3.0 px long; it must be at least 4 px"),
        ({"start": (1, 1), "end": (90, 1), "normal": "left"}, "runs along the line"),
        ({"start": (1, 1), "end": (1, 90), "normal": "up"}, "runs along the line"),
        ({"points": BENT, "normal": "outward"}, "for arcs and closed lines"),
        ({"start": (1, 1), "end": (1, 90), "normal": "inward"}, "for arcs and closed lines"),
        ({"points": SQUARE, "closed": True, "normal": "left"}, 'needs normal = "outward" or "inward"'),
        ({"points": (*SQUARE, SQUARE[0]), "normal": "left"}, 'needs normal = "outward" or "inward"'),
        ({"arc": {"centre": (50, 50), "radius_px": 20}, "normal": "left"}, 'needs normal = "outward" or "inward"'),
        ({"arc": {"centre": (50, 50), "radius_px": 1}, "normal": "outward"}, "greater than 2"),
        ({"arc": {"centre": (50, 50), "radius_px": 9, "from_deg": 90, "to_deg": 90}, "normal": "outward"}, "1 to 360"),
        ({"arc": {"centre": (50, 50), "radius_px": 9, "from_deg": 0, "to_deg": 361}, "normal": "outward"}, "1 to 360"),
        ({"start": (1, math.nan), "end": (1, 90), "normal": "left"}, "finite number"),
    ],
)
def test_lines_that_mean_nothing_are_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Line(name="a", **values)
