"""Lines of the site file as shapes of the viewer, and back."""

from datetime import UTC, datetime

import pytest

from so2cam.core.site_lines import Arc, Line
from so2cam.station.trial import Trial
from so2cam.web.line_shapes import place_of
from so2cam.web.live_lines import line_of_shape, shapes_of, trial_id

LINES = (
    Line(name="a", start=(1.0, 2.0), end=(30.0, 40.0), normal="left"),
    Line(name="b", points=((1.0, 2.0), (30.0, 40.0), (60.0, 10.0)), normal="up"),
    Line(name="c", points=((1.0, 2.0), (30.0, 40.0), (60.0, 10.0)), closed=True, normal="outward"),
    Line(name="d", arc=Arc(centre=(50.0, 50.0), radius_px=20.0, from_deg=-90, to_deg=90), normal="outward"),
)
COLOURS = dict.fromkeys("abcd", "#ffffff")


def test_a_shape_lies_where_its_line_lies() -> None:
    for line, shape in zip(LINES, shapes_of(LINES, (), COLOURS, movable=True), strict=True):
        assert line_of_shape(shape) == line.name
        assert not shape["locked"]
        kept = line.model_dump(exclude_none=True, exclude={"start", "end", "points", "arc"})
        assert Line.model_validate({**kept, **place_of(shape)}) == line


def test_a_line_that_is_tried_is_held_and_its_trial_is_moved() -> None:
    moved = LINES[0].model_copy(update={"start": (5.0, 6.0)})
    trial = Trial("a", moved, "somebody", datetime(2026, 3, 1, tzinfo=UTC))
    shapes = shapes_of(LINES, (trial,), COLOURS, movable=True)
    assert [shape["locked"] for shape in shapes] == [True, False, False, False, False]
    assert shapes[-1]["id"] == trial_id("a")
    assert shapes[-1]["dashed"]
    assert line_of_shape(shapes[-1]) == "a"
    assert place_of(shapes[-1])["start"] == (5.0, 6.0)
    assert all(shape["locked"] for shape in shapes_of(LINES, (trial,), COLOURS, movable=False))


def test_other_shapes_are_no_lines() -> None:
    assert line_of_shape({"id": "x1"}) is None
    with pytest.raises(ValueError, match="no line"):
        place_of({"kind": "rect", "points": [[0, 0], [1, 1]]})
