"""Set-up pages as they are drawn, without a browser: they wait for nothing, and show what was asked for last."""

import asyncio
import inspect
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from nicegui import ui

from so2cam.core.errors import InputError
from so2cam.station.line_view import checked_line
from so2cam.web.ground import distance_text, distances_in, taken_out
from so2cam.web.line_shapes import drawn_line
from so2cam.web.pages.setup_background import background
from so2cam.web.pages.setup_calibration import _words
from so2cam.web.pages.setup_dilution import _REGIONS, _DilutionPage
from so2cam.web.pages.setup_geometry import GeometryPage
from so2cam.web.pages.setup_lines import LinesPage, lines
from so2cam.web.pages.setup_motion import MotionPage, motion
from so2cam.web.pages.setup_registration import RegistrationPage


@pytest.mark.parametrize("build", [lines, background, motion], ids=lambda build: build.__name__)
def test_a_page_is_answered_before_its_preview_is_ready(desk: Any, build: Any) -> None:
    async def work(view: Any, setup: Any) -> None:
        found = build(view, setup)
        later = [one for one in view.client.elements.values() if isinstance(one, ui.timer)]
        if inspect.iscoroutine(found):
            found.close()
        assert found is None
        assert len(later) == 1

    desk.run(work)


class Gate:
    """``in_thread`` of a view that answers when it is told to, in any order."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[Any]] = []

    async def __call__(self, work: Any) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        return await answer


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_slow_image_does_not_take_the_place_of_one_asked_for_later(desk: Any) -> None:
    async def work(view: Any, setup: Any) -> None:
        page = GeometryPage(view, setup)
        view.in_thread = gate = Gate()
        page._look, page._time = SimpleNamespace(), SimpleNamespace()  # type: ignore[assignment]
        slow = asyncio.create_task(page.load_image())
        await turns()
        fast = asyncio.create_task(page._choose_image("size"))
        await turns()
        gate.asked[1].set_result(b"sizes")
        await fast
        gate.asked[0].set_result((None, b"on band"))
        await slow
        assert page._slot.message == b"sizes"
        refused = asyncio.create_task(page._choose_image("on"))
        await turns()
        again = asyncio.create_task(page._choose_image("distance"))
        await turns()
        gate.asked[3].set_result(b"distances")
        await again
        gate.asked[2].set_exception(InputError("there are no frames"))
        await refused
        assert (page._slot.message, page._missing.visible) == (b"distances", False)

    desk.run(work)


def test_bands_of_a_pair_come_only_while_it_is_the_one_chosen(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(view: Any, setup: Any) -> None:
        page = RegistrationPage(view, setup)
        view.in_thread = gate = Gate()
        chosen = ["first"]
        monkeypatch.setattr(RegistrationPage, "_pair", property(lambda _: SimpleNamespace(on=chosen[0], off=chosen[0])))
        first = asyncio.create_task(page._load_raw())
        await turns()
        chosen[0] = "second"
        second = asyncio.create_task(page._load_raw())
        await turns()
        gate.asked[1].set_result(b"second, on")
        await turns()
        gate.asked[0].set_result(b"first, on")
        await first
        gate.asked[2].set_result(b"second, off")
        await second
        assert [slot.message for slot in page._raw] == [b"second, on", b"second, off"]

    desk.run(work)


@pytest.mark.parametrize(
    ("points", "side", "normal"),
    [
        ([[10.0, 40.0], [60.0, 40.0]], "left", "up"),
        ([[10.0, 40.0], [60.0, 40.0]], "down", "down"),
        ([[30.0, 10.0], [32.0, 50.0]], "right", "right"),
        ([[30.0, 10.0], [30.0, 50.0]], "up", "left"),
    ],
)
def test_a_line_drawn_has_a_side_that_fits_and_a_free_name(
    desk: Any, points: list[list[float]], side: str, normal: str
) -> None:
    async def work(_: Any, setup: Any) -> None:
        table = drawn_line(setup.site, {"kind": "line", "points": points}, side=side)
        assert table["normal"] == normal
        assert table["name"] not in {one.name for one in setup.site.lines}
        assert checked_line(setup.site, table).start == tuple(points[0])
        desk.change({("lines", table["name"]): table})
        assert setup.state.problem is None

    desk.run(work)


GROUND = {"name": "ridge", "points": [[10.0, 80.0], [20.0, 82.0], [30.0, 85.0]], "distance_m": [3000.0, 4000.0, 5000.0]}


def moved(why: str, **shape: Any) -> Any:
    return SimpleNamespace(why=why, shape={"id": "ridge", "name": "ridge", **shape})


def test_ground_is_renamed_and_loses_a_corner_with_its_distance(desk: Any) -> None:
    async def work(view: Any, setup: Any) -> None:
        desk.change({_REGIONS: [GROUND]})
        assert setup.state.problem is None
        page = _DilutionPage(view, setup)
        page._show_regions()
        await page._moved(moved("handle", points=[GROUND["points"][0], GROUND["points"][2]]))
        (region,) = setup.site.processing.light_dilution.regions
        assert setup.state.problem is None
        assert (region.points[1], region.distance_m) == ((30.0, 85.0), (3000.0, 5000.0))
        await page._moved(moved("rename", name="crater rim", points=GROUND["points"]))
        (region,) = setup.site.processing.light_dilution.regions
        assert (region.name, region.distance_m) == ("crater rim", (3000.0, 5000.0))
        assert [shape["id"] for shape in page._viewer.shapes] == ["crater rim"]
        assert page._rows["crater rim"].text == "3000 5000"

    desk.run(work)


def test_a_distance_is_written_when_its_field_is_left_and_typing_is_left_alone(desk: Any) -> None:
    async def work(view: Any, setup: Any) -> None:
        desk.change({_REGIONS: [GROUND, {**GROUND, "name": "slope", "distance_m": 2000.0}]})
        page = _DilutionPage(view, setup)
        page._show_regions()
        field = page._rows["ridge"].field
        assert {"blur", "keydown.enter"} <= {one.type for one in field._event_listeners.values()}
        field.value = "6000"
        desk.change({(*_REGIONS, "slope", "distance_m"): 2500.0})
        page._show_regions()
        assert page._rows["ridge"].field is field
        assert (field.value, page._rows["slope"].text) == ("6000", "2500")
        await page._set_distance("ridge")
        assert setup.site.processing.light_dilution.regions[0].distance_m == 6000.0
        number = setup.state.number
        await page._set_distance("ridge")
        assert setup.state.number == number, "Enter, and then leaving the field, is one change"

    desk.run(work)


def test_distances_are_typed_and_shown_alike() -> None:
    for given in (None, 4200.0, (4200.0, 5100.5)):
        found = distances_in(distance_text(given), 2)
        assert (tuple(found) if isinstance(found, list) else found) == given
    assert taken_out([(0, 0), (5, 0), (9, 0)], [[0.2, 0], [9, 0]]) == 1
    assert taken_out([(0, 0), (5, 0), (9, 0)], [[5, 0], [9, 0]]) == 0


@pytest.mark.parametrize("kind", [LinesPage, MotionPage])
def test_the_image_of_another_pair_goes_where_there_is_none(desk: Any, kind: Any) -> None:
    async def work(view: Any, setup: Any) -> None:
        page, pair = kind(view, setup), SimpleNamespace(time=datetime(2026, 3, 1, 12, tzinfo=UTC))
        page._bar.pairs, page._shows = (pair,), pair.time
        page._slot.put(b"image")
        page._nothing(InputError("there is no dark frame"))
        assert page._slot.message == b"image", "lines are drawn on the image of this pair all the same"
        page._shows -= timedelta(seconds=5)
        page._nothing(InputError("there is no dark frame"))
        assert (page._slot.message, page._slot.why) == (None, "there is no image of this pair")

    desk.run(work)


def test_why_there_is_no_calibration_is_said_once() -> None:
    why = "4 images have columns, and 10 are needed"
    study: Any = SimpleNamespace(
        calibration=None, points=(), excluded=(), cells=(), fit=None, notes=(why, "a cell is old"), problem=why
    )
    assert _words(study) == "no calibration · a cell is old"
