"""Pages of a draft that is half entered: they open, and what somebody types in them stays."""

import json
from typing import Any

import pytest

from so2cam.core.errors import InputError
from so2cam.formats.siteedit import REMOVE
from so2cam.web.control_points import POINTS, ControlPoints
from so2cam.web.landmark import LANDMARK, LandmarkPanel
from so2cam.web.line_edits import PAIR, TOTAL, removal, renaming
from so2cam.web.line_list import LineList
from so2cam.web.pages.setup_geometry import GeometryPage


def panel_of(view: Any, setup: Any) -> LandmarkPanel:
    return LandmarkPanel(view, setup, aim=lambda: None, changed=lambda: None)


def typed(panel: LandmarkPanel) -> dict[str, str]:
    return {key: str(box.value) for key, box in panel._inputs.items()}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("position", "latitude"), 37.5),
        (("position",), "north of it"),
        (("pixel",), [10.0]),
        (("pixel",), "the middle"),
        ((), "a mast"),
    ],
)
def test_a_landmark_half_entered_is_filled_up_from_the_vent(desk: Any, key: tuple[str, ...], value: Any) -> None:
    async def work(view: Any, setup: Any) -> None:
        desk.change({(*LANDMARK, *key): value})
        assert setup.state.problem is not None
        vent = setup.site.volcano.vent
        panel = panel_of(view, setup)
        shown = typed(panel)
        assert float(shown["latitude"]) == (37.5 if value == 37.5 else vent.latitude)
        assert float(shown["longitude"]) == vent.longitude
        assert (shown["x"], shown["y"]) == ("", "")
        panel._inputs["x"].value, panel._inputs["y"].value = "12", "20"
        await panel._typed()  # compared with what is half entered
        assert panel.pixel == (12.0, 20.0)

    desk.run(work)


def test_what_is_typed_of_a_landmark_stays_until_the_landmark_itself_changes(desk: Any) -> None:
    mast = {"position": {"latitude": 37.7, "longitude": 15.0, "altitude_m": 900.0}, "pixel": [20.0, 30.0]}

    async def work(view: Any, setup: Any) -> None:
        panel = panel_of(view, setup)
        desk.change({("volcano", "vent", "altitude_m"): 3333.0})
        await panel.show()
        assert typed(panel)["altitude_m"] == "3333", "nobody types: the form follows the vent"
        panel._inputs["longitude"].value = "14.9"
        desk.change({("camera", "optics", "relative_uncertainty"): 0.02, ("volcano", "vent", "altitude_m"): 3300.0})
        await panel.show()
        assert (typed(panel)["longitude"], typed(panel)["altitude_m"]) == ("14.9", "3333")
        desk.change({LANDMARK: mast})
        await panel.show()
        assert (typed(panel)["longitude"], typed(panel)["x"]) == ("15", "20")

    desk.run(work)


@pytest.mark.parametrize("value", [[], ["line"], "line", 7, [1, 2], ["a", "b", "c"]])
def test_lines_of_cross_correlation_half_entered_are_none(desk: Any, value: Any) -> None:
    async def nothing(*_: str) -> None:
        """Nothing is done."""

    async def work(_: Any, setup: Any) -> None:
        desk.change({PAIR: value, TOTAL: 7})
        site = setup.site
        shown = LineList(setup, choose=lambda _: None, flip=nothing, remove=nothing, rename=nothing)
        shown.draw(site, {one.name: "data-1" for one in site.lines}, site.lines[0].name)
        ends = [one for one in setup.view.client.elements.values() if "pair-" in str(one.props.get("data-testid"))]
        assert [one.value for one in ends] == ["", ""]
        name = site.lines[0].name
        assert TOTAL not in removal(setup.state, name)
        assert TOTAL not in renaming(setup.state, name, "other")

    desk.run(work)


def test_all_control_points_of_the_site_file_are_shown(desk: Any) -> None:
    many = [[float(n), 10.0 + n % 7, n + 3.0, 12.0 + n % 7] for n in range(75)]

    async def nothing() -> None:
        """Nothing is done."""

    async def work(view: Any, setup: Any) -> None:
        desk.change({("registration", "source"): "control-points", POINTS: many, ("registration", "matrix"): REMOVE})
        panel = ControlPoints(view, setup, changed=nothing)
        assert [list(point) for point in panel.points] == many
        assert panel.look.matrix is not None
        await panel._drop(0)
        assert view.kept["points"] is None, "an address holds no more than 60"
        view.query["points"] = json.dumps(many[:60])
        assert len(ControlPoints(view, setup, changed=nothing).points) == 60
        view.query["points"] = json.dumps(many[:61])
        assert len(ControlPoints(view, setup, changed=nothing).points) == 75

    desk.run(work)


def test_why_there_is_no_image_is_text_and_no_markup(desk: Any) -> None:
    async def work(view: Any, setup: Any) -> None:
        page = GeometryPage(view, setup)
        page._say_missing(InputError("<img src=x onerror=alert(1)> & more").message)
        assert page._missing.content == "<p>&lt;img src=x onerror=alert(1)&gt; &amp; more.</p>"

    desk.run(work)
