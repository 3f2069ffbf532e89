"""What browsers say of a viewer is believed only where it is what a viewer says."""

from types import SimpleNamespace
from typing import Any

import pytest

from so2cam.web.viewer_events import read_event

SENDER = SimpleNamespace(client=None)
LINE = {"id": "a", "name": "near", "kind": "line", "points": [[1, 2], [3.5, 4]]}
ARC = {"id": "a", "name": "", "kind": "arc", "points": [[1, 2]], "radius_px": 5, "from_deg": -90, "to_deg": 90}


@pytest.mark.parametrize("shape", [LINE, ARC])
def test_a_shape_is_read(shape: dict[str, Any]) -> None:
    event = read_event(SENDER, {"name": "shape-changed", "shape": shape, "why": "move"})
    assert (event.shape, event.why, event.x) == (shape, "move", None)


def test_a_click_and_a_contrast_are_read() -> None:
    click = read_event(SENDER, {"name": "image-click", "x": 3, "y": 4, "value": None, "at": [3.2, 4.1]})
    assert (click.x, click.y, click.value, click.shape) == (3, 4, None, None)
    assert read_event(SENDER, {"name": "contrast-changed", "contrast": [1, 2]}).contrast == (1.0, 2.0)
    assert read_event(SENDER, {"name": "contrast-changed", "contrast": None}).contrast is None


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        {"name": "format-disk"},
        {"name": "shape-changed"},
        {"name": "shape-changed", "shape": {**LINE, "id": 5}},
        {"name": "shape-changed", "shape": {**LINE, "name": "x" * 65}},
        {"name": "shape-changed", "shape": {**LINE, "kind": "blob"}},
        {"name": "shape-changed", "shape": {**LINE, "points": [[1, 2]]}},
        {"name": "shape-changed", "shape": {**LINE, "points": [[1, 2], [3, float("nan")]]}},
        {"name": "shape-changed", "shape": {**LINE, "points": [[1, 2], [3, True]]}},
        {"name": "shape-created", "shape": {**ARC, "radius_px": None}},
        {"name": "contrast-changed", "contrast": [1]},
        {"name": "image-click", "x": "3"},
        {"name": "tool-changed", "tool": ["line"]},
    ],
)
def test_anything_else_is_refused(said: object) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        read_event(SENDER, said)
