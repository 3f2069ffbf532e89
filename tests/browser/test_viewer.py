"""The image viewer alone: values, colours, zoom and pan, shapes under a live stream, keys, touch, dying servers."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from playwright.sync_api import Browser, Locator, Page, expect

from so2cam.pages import FrameHeader, encode_frame, encode_values

ROWS, COLUMNS = 60, 80
HEADER = FrameHeader(label="On band", unit="DN", scale=0.5, offset=10.0, invalid=65535, saturation=4000)


def ramp() -> np.ndarray:
    """Codes that tell their place: 100 times the row, and the column."""
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS]
    return (100 * rows + columns).astype(np.uint16)


@pytest.fixture
def server(frames: ModuleType) -> Iterator[Any]:
    made = frames.FrameServer()
    made.show(encode_frame(ramp(), HEADER))
    yield made
    made.close()


def settle(page: Page) -> None:
    """Let the page draw what it has."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def look(page: Page, expression: str, value: object = None) -> Any:
    """The value of an expression of the viewer ``v``; ``a`` is what is passed."""
    return page.evaluate(f"(a) => {{ const v = document.querySelector('so2cam-viewer'); return {expression}; }}", value)


def open_viewer(page: Page, server: Any, **properties: object) -> Locator:
    page.goto(server.url)
    page.wait_for_function("customElements.get('so2cam-viewer') !== undefined")
    look(page, "Object.assign(v, a) && 0", {"rate": 20, **properties, "src": "/frame"})
    page.wait_for_function("frames_seen > 0")
    settle(page)
    return page.get_by_test_id("viewer-stage")


def client(page: Page, x: float, y: float) -> tuple[float, float]:
    place = look(page, "v.toClient(a[0], a[1])", [x, y])
    return place[0], place[1]


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag from one image point to another."""
    page.mouse.move(*client(page, *start))
    page.mouse.down()
    page.mouse.move(*client(page, (start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
    page.mouse.move(*client(page, *end))
    page.mouse.up()


def said(page: Page, name: str) -> list[dict[str, Any]]:
    return [event for event in page.evaluate("said") if event["name"] == name]


def shape_of(page: Page, shape_id: str) -> dict[str, Any]:
    return next(shape for shape in look(page, "v.shapes") if shape["id"] == shape_id)


def colour_at(page: Page, x: int, y: int) -> list[int]:
    """The colour of the canvas in the middle of an image pixel."""
    return look(
        page,
        """(() => {
          const canvas = v.shadowRoot.querySelector("canvas"), box = canvas.getBoundingClientRect();
          const [cx, cy] = v.toClient(a[0], a[1]), ratio = canvas.width / box.width;
          const at = canvas.getContext("2d").getImageData((cx - box.left) * ratio, (cy - box.top) * ratio, 1, 1);
          return [...at.data];
        })()""",
        [x, y],
    )


# --- values and colours ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "y"), [(0, 0), (79, 59), (17, 42)])
def test_hover_tells_the_pixel_under_the_pointer(page: Page, server: Any, x: int, y: int) -> None:
    open_viewer(page, server)
    code = 100 * y + x
    for dx, dy in ((-0.45, -0.45), (0, 0), (0.45, 0.45)):
        page.mouse.move(*client(page, x + dx, y + dy))
        settle(page)
        found = page.evaluate("hovered")
        assert (found["x"], found["y"], found["code"]) == (x, y, code)
        assert found["value"] == code * 0.5 + 10
        assert found["saturated"] is (code >= 4000)
    text = page.get_by_test_id("viewer-hover").text_content() or ""
    assert f"x {x}  y {y}" in text
    assert "DN" in text


def test_hover_follows_the_stream_under_a_pointer_at_rest(page: Page, server: Any) -> None:
    open_viewer(page, server)
    page.mouse.move(*client(page, 10, 20))
    page.wait_for_function("hovered && hovered.code === 2010")
    server.show(encode_frame(ramp() + np.uint16(1), HEADER))
    page.wait_for_function("hovered && hovered.code === 2011")


@pytest.mark.parametrize("name", ["grey", "viridis", "cividis", "magma"])
def test_colours_are_those_of_the_map(page: Page, server: Any, name: str) -> None:
    low, high = 10.0, 10.0 + 0.5 * 5120
    open_viewer(page, server, colours=name, contrast=[low, high])
    reference = colormaps["gray" if name == "grey" else name](np.arange(256))[:, :3] * 255
    for x, y in ((0, 0), (3, 11), (40, 25), (79, 50), (10, 59)):
        step = min(int((100 * y + x) / 5120 * 256), 255)
        found = colour_at(page, x, y)
        assert found[3] == 255
        assert np.abs(np.array(found[:3]) - reference[step]).max() <= (0.5 if name == "grey" else 11)


def test_the_map_about_zero_is_lightest_at_zero_and_as_wide_to_both_sides(page: Page, server: Any) -> None:
    values = np.linspace(-0.1, 0.3, ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    server.show(encode_values(values, FrameHeader(label="Absorbance")))
    open_viewer(page, server, colours="diverging")
    low, high = look(page, "v.current")
    assert low == pytest.approx(-high)
    assert high == pytest.approx(0.296, abs=1e-3)
    zero = 15  # the row in which the values pass zero
    assert min(colour_at(page, 40, zero)[:3]) > 225
    blue, orange = colour_at(page, 40, 0), colour_at(page, 40, 59)
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]


def test_automatic_contrast_leaves_out_one_per_cent_on_each_side(page: Page, server: Any) -> None:
    codes = np.full((100, 100), 500, dtype=np.uint16)
    codes.flat[:50] = 0  # half a per cent
    codes.flat[50:250] = 100
    codes.flat[-50:] = 65535  # no value
    codes.flat[-250:-50] = 1000
    server.show(encode_frame(codes, FrameHeader(invalid=65535)))
    open_viewer(page, server)
    assert look(page, "v.current") == [100, 1000]


def test_saturated_pixels_are_marked_on_request_and_invalid_ones_are_hatched(page: Page, server: Any) -> None:
    codes = ramp()
    codes[:, :20] = 65535
    server.show(encode_frame(codes, HEADER))
    open_viewer(page, server, contrast=[0, 3000])
    hatched = {tuple(colour_at(page, x, 30)) for x in range(5, 15)}
    assert hatched <= {tuple(colour_at(page, x, 30)) for x in range(20)}
    assert all(max(colour[:3]) - min(colour[:3]) > 5 for colour in hatched)  # no grey of the map
    page.mouse.move(*client(page, 5, 30))
    settle(page)
    assert page.evaluate("hovered")["value"] is None
    assert "no value" in (page.get_by_test_id("viewer-hover").text_content() or "")
    unmarked = colour_at(page, 50, 45)
    page.get_by_test_id("viewer-marks").click()
    settle(page)
    assert colour_at(page, 50, 45) == [255, 47, 179, 255]
    assert unmarked[:3] == [194, 194, 194]
    assert colour_at(page, 50, 30) != [255, 47, 179, 255]


def test_contrast_is_dragged_on_the_bar_and_reset(page: Page, server: Any) -> None:
    open_viewer(page, server)
    automatic = look(page, "v.current")
    box = page.get_by_test_id("viewer-bar-high").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] - 100, box["y"] + 5, steps=4)
    page.mouse.up()
    settle(page)
    low, high = look(page, "v.contrast")
    assert low == automatic[0]
    assert automatic[0] < high < automatic[1]
    assert said(page, "contrast-changed")[-1]["contrast"] == [low, high]
    assert page.get_by_test_id("viewer-auto").get_attribute("aria-pressed") == "false"
    page.get_by_test_id("viewer-bar-low").press("ArrowRight")
    assert look(page, "v.contrast")[0] > low
    page.get_by_test_id("viewer-auto").click()
    settle(page)
    assert look(page, "v.contrast") is None
    assert look(page, "v.current") == automatic


# --- zoom and pan ----------------------------------------------------------------------------------------------------


def test_the_wheel_keeps_the_point_under_the_pointer(page: Page, server: Any) -> None:
    open_viewer(page, server)
    at = client(page, 20.2, 40.5)
    page.mouse.move(*at)
    for _ in range(3):
        page.mouse.wheel(0, -300)
        settle(page)
    assert look(page, "v.view.scale") > 3 * 10 * 0.99
    assert look(page, "v.toImage(a[0], a[1])", list(at)) == pytest.approx([20.2, 40.5], abs=1e-6)
    place = client(page, 20, 41)
    assert look(page, "v.toImage(a[0], a[1])", list(place)) == pytest.approx([20, 41], abs=1e-9)
    assert colour_at(page, 20, 40) != colour_at(page, 20, 42)
    page.get_by_test_id("viewer-fit").click()
    view = look(page, "v.view")
    assert view == {"scale": pytest.approx(10), "x": 39.5, "y": 29.5}


def test_a_drag_moves_the_image_and_stops_at_its_edge(page: Page, server: Any) -> None:
    stage = open_viewer(page, server)
    for _ in range(3):
        page.get_by_test_id("viewer-zoom-in").click()
    scale = look(page, "v.view.scale")
    page.mouse.move(600, 400)
    page.mouse.down()
    page.mouse.move(500, 370, steps=3)
    page.mouse.up()
    view = look(page, "v.view")
    assert view["x"] == pytest.approx(39.5 + 100 / scale)
    assert view["y"] == pytest.approx(29.5 + 30 / scale)
    assert said(page, "image-click") == []
    stage.focus()
    for _ in range(60):
        stage.press("ArrowRight")
    settle(page)
    assert look(page, "v.view.x") == pytest.approx(79.5 - 400 / scale)
    stage.press("0")
    assert look(page, "v.view.scale") == pytest.approx(10)
    stage.press("+")
    assert look(page, "v.view.scale") == pytest.approx(15)


def test_a_click_on_the_image_tells_its_place(page: Page, server: Any) -> None:
    open_viewer(page, server)
    page.mouse.click(*client(page, 33.2, 21.8))
    (click,) = said(page, "image-click")
    assert (click["x"], click["y"], click["value"]) == (33, 22, (2200 + 33) * 0.5 + 10)


@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_screens_of_any_density_show_the_same_pixels(browser: Browser, server: Any, ratio: int) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 640}, device_scale_factor=ratio)
    page = context.new_page()
    open_viewer(page, server, contrast=[10, 10 + 0.5 * 5120])
    assert look(page, "v.shadowRoot.querySelector('canvas').width") == 360 * ratio
    for x, y in ((0, 0), (41, 30), (79, 50)):
        step = min(int((100 * y + x) / 5120 * 256), 255)
        assert colour_at(page, x, y) == [step, step, step, 255]
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    context.close()


# --- shapes ----------------------------------------------------------------------------------------------------------

LINE = {"id": "near", "name": "near", "kind": "line", "points": [[20, 10], [60, 12]], "normal": "up"}
ARC = {
    "id": "vent",
    "name": "vent",
    "kind": "arc",
    "points": [[40, 45]],
    "radius_px": 20,
    "from_deg": -90,
    "to_deg": 90,
}


def test_a_line_dragged_under_a_live_stream_has_exact_coordinates(page: Page, server: Any) -> None:
    open_viewer(page, server, shapes=[LINE])
    page.mouse.move(*client(page, 20, 10))
    page.mouse.down()
    for step in range(1, 21):
        seen = page.evaluate("frames_seen")
        server.show(encode_frame(ramp() + np.uint16(step), HEADER))
        page.mouse.move(*client(page, 20 + 0.5 * step, 10 + step))
        page.wait_for_function("(seen) => frames_seen > seen", arg=seen)
        assert shape_of(page, "near")["points"] == [[20 + 0.5 * step, 10 + step], [60, 12]]
        # What others say of the same line meanwhile does not take it out of the hand.
        look(page, "v.shapes = a", [LINE])
        assert shape_of(page, "near")["points"] == [[20 + 0.5 * step, 10 + step], [60, 12]]
    assert said(page, "shape-changed") == []
    page.mouse.up()
    (event,) = said(page, "shape-changed")
    assert event["shape"] == {**LINE, "points": [[30, 30], [60, 12]]}
    assert event["why"] == "handle"


def test_a_whole_line_is_dragged_and_stays_in_the_image(page: Page, server: Any) -> None:
    open_viewer(page, server, shapes=[LINE])
    drag(page, (40, 11), (43.3, 21.5))
    assert shape_of(page, "near")["points"] == [[23.3, 20.5], [63.3, 22.5]]
    drag(page, (43.3, 21.5), (79, 59))
    assert shape_of(page, "near")["points"] == [[39, 57], [79, 59]]
    assert [event["why"] for event in said(page, "shape-changed")] == ["move", "move"]


def test_shapes_keep_their_place_in_the_image_when_it_is_zoomed(page: Page, server: Any) -> None:
    spare = {"id": "spare", "name": "12 m", "kind": "point", "points": [[20, 11.6]], "spare": True}
    open_viewer(page, server, shapes=[spare, LINE])
    assert page.get_by_test_id("shape-near-name").is_visible()
    assert page.get_by_test_id("shape-spare-name").is_hidden(), "there is no room for both names"
    page.mouse.move(*client(page, 25, 12))
    page.mouse.wheel(0, -400)
    settle(page)
    assert page.get_by_test_id("shape-spare-name").is_visible()
    box = page.get_by_test_id("shape-near-handle-0").bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert middle == pytest.approx(client(page, 20, 10), abs=0.6)
    drag(page, (20, 10), (22.5, 9))
    assert shape_of(page, "near")["points"][0] == [22.5, 9]


def test_lines_and_rectangles_are_drawn_by_a_drag(page: Page, server: Any) -> None:
    open_viewer(page, server, tool="line")
    drag(page, (10, 20), (50, 40))
    assert look(page, "v.tool") == "pan"
    look(page, "v.tool = 'rect'")
    drag(page, (70, 50), (60, 30))
    shapes = [event["shape"] for event in said(page, "shape-created")]
    assert [(shape["kind"], shape["points"]) for shape in shapes] == [
        ("line", [[10, 20], [50, 40]]),
        ("rect", [[60, 30], [70, 50]]),
    ]
    drag(page, (60, 30), (75, 55))  # a corner across the opposite one
    assert shape_of(page, shapes[1]["id"])["points"] == [[70, 50], [75, 55]]


def test_a_polyline_is_drawn_by_clicks_and_loses_a_corner(page: Page, server: Any) -> None:
    stage = open_viewer(page, server, tool="polyline")
    for point in ((10, 10), (30, 20), (70, 58), (50, 10)):
        page.mouse.click(*client(page, *point))
        page.mouse.move(*client(page, point[0] + 3, point[1] + 1))
        if point == (70, 58):
            stage.press("Backspace")
    stage.press("Enter")
    (event,) = said(page, "shape-created")
    assert event["shape"]["points"] == [[10, 10], [30, 20], [50, 10]]
    name = event["shape"]["id"]
    drag(page, (30, 20), (31, 30))
    assert shape_of(page, name)["points"] == [[10, 10], [31, 30], [50, 10]]
    page.get_by_test_id(f"shape-{name}-handle-1").press("Delete")
    assert shape_of(page, name)["points"] == [[10, 10], [50, 10]]
    assert said(page, "shape-removed") == []


def test_a_double_click_ends_a_polyline_and_its_first_corner_closes_it(page: Page, server: Any) -> None:
    open_viewer(page, server, tool="polyline")
    page.mouse.click(*client(page, 10, 10))
    page.mouse.click(*client(page, 30, 20))
    page.mouse.dblclick(*client(page, 50, 10))
    look(page, "v.tool = 'polyline'")
    for point in ((20, 30), (40, 30), (40, 50), (20, 30)):
        page.mouse.click(*client(page, *point))
    first, second = (event["shape"] for event in said(page, "shape-created"))
    assert first["points"] == [[10, 10], [30, 20], [50, 10]]
    assert "closed" not in first
    assert second["points"] == [[20, 30], [40, 30], [40, 50]]
    assert second["closed"] is True


def test_an_arc_is_drawn_and_changed_by_its_handles(page: Page, server: Any) -> None:
    open_viewer(page, server, tool="arc")
    drag(page, (40, 45), (40, 25))
    (event,) = said(page, "shape-created")
    arc = event["shape"]
    assert (arc["points"], arc["radius_px"], arc["from_deg"], arc["to_deg"]) == ([[40, 45]], 20, -90, 90)
    look(page, "v.shapes = a", [ARC])
    drag(page, (60, 45), (40, 55))  # its end, to straight down
    assert shape_of(page, "vent") == {**ARC, "to_deg": 180}
    drag(page, (20, 45), (40, 25))  # its start, to straight up
    assert shape_of(page, "vent") == {**ARC, "from_deg": 0, "to_deg": 180}
    drag(page, (60, 45), (50, 45))  # its radius: the middle is now at the right
    assert shape_of(page, "vent") == {**ARC, "from_deg": 0, "to_deg": 180, "radius_px": 10}
    drag(page, (40, 45), (30, 40))
    assert shape_of(page, "vent")["points"] == [[30, 40]]


def test_a_point_is_set_by_a_click_and_escape_leaves_a_tool(page: Page, server: Any) -> None:
    stage = open_viewer(page, server, tool="point")
    page.mouse.click(*client(page, 12.34, 56.78))
    (event,) = said(page, "shape-created")
    assert event["shape"]["points"] == [[12.3, 56.8]]
    look(page, "v.tool = 'line'")
    stage.press("Escape")
    assert look(page, "v.tool") == "pan"
    assert [event["tool"] for event in said(page, "tool-changed")] == ["point", "pan", "line", "pan"]


def test_shapes_by_keys_alone(page: Page, server: Any) -> None:
    stage = open_viewer(page, server, shapes=[LINE])
    stage.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.shadowRoot.activeElement.dataset.testid") == "shape-near"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert shape_of(page, "near")["points"] == [[21, 20], [61, 22]]
    page.keyboard.press("Tab")  # its first handle
    page.keyboard.press("ArrowUp")
    assert shape_of(page, "near")["points"] == [[21, 19], [61, 22]]
    assert [event["why"] for event in said(page, "shape-changed")] == ["nudge"] * 3
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.get_by_test_id("viewer-rename").fill("far")
    page.keyboard.press("Enter")
    assert shape_of(page, "near")["name"] == "far"
    page.get_by_test_id("shape-near").press("Delete")
    assert look(page, "v.shapes") == []
    assert said(page, "shape-removed")[0]["shape"]["id"] == "near"
    look(page, "v.tool = 'rect'")
    stage.press("Enter")  # one in the middle
    assert shape_of(page, "rect-1")["points"] == [[29.5, 19.5], [49.5, 39.5]]


def test_a_double_click_renames(page: Page, server: Any) -> None:
    open_viewer(page, server, shapes=[LINE])
    page.mouse.dblclick(*client(page, 40, 11))
    page.get_by_test_id("viewer-rename").fill("summit")
    page.get_by_test_id("viewer-rename").press("Enter")
    assert page.get_by_test_id("shape-near-name").text_content() == "summit"
    (event,) = said(page, "shape-changed")
    assert (event["why"], event["shape"]["name"]) == ("rename", "summit")


@pytest.mark.parametrize("locked", [True, False])
def test_locked_and_readonly_shapes_stay(page: Page, server: Any, locked: bool) -> None:
    open_viewer(page, server, shapes=[{**LINE, "locked": locked}], readonly=not locked, tool="line")
    look(page, "v.tool = 'pan'")
    drag(page, (40, 11), (43, 21))
    page.get_by_test_id("shape-near").press("ArrowRight")
    page.get_by_test_id("shape-near").press("Delete")
    assert shape_of(page, "near")["points"] == LINE["points"]
    assert said(page, "shape-changed") == said(page, "shape-removed") == []


def test_what_is_no_shape_is_refused(page: Page, server: Any) -> None:
    open_viewer(page, server)
    for wrong in (
        {**LINE, "kind": "blob"},
        {**LINE, "points": [[1, 2]]},
        {**ARC, "radius_px": 0},
        {**LINE, "points": [[1, None], ["x", 2]]},
    ):
        message = look(page, "(() => { try { v.shapes = [a]; } catch (error) { return error.name; } })()", wrong)
        assert message == "RangeError"
    assert look(page, "v.shapes") == []


# --- touch -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def touch(phone: Page) -> Callable[[str, list[tuple[float, float]]], None]:
    """Fingers on the phone: touchStart, touchMove, touchEnd with the places of all of them."""
    session = phone.context.new_cdp_session(phone)

    def act(kind: str, places: list[tuple[float, float]]) -> None:
        points = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    return act


def test_two_fingers_zoom_about_their_middle(phone: Page, server: Any, touch: Callable[..., None]) -> None:
    open_viewer(phone, server)
    touch("touchStart", [(160, 120), (200, 120)])
    before = look(phone, "v.toImage(180, 120)")
    for reach in (40, 60, 80):
        touch("touchMove", [(180 - reach, 120), (180 + reach, 120)])
    touch("touchEnd", [])
    settle(phone)
    assert look(phone, "v.view.scale") == pytest.approx(4 * 4.5)
    assert look(phone, "v.toImage(180, 120)") == pytest.approx(before, abs=1e-6)


def test_a_finger_draws_moves_and_reads(phone: Page, server: Any, touch: Callable[..., None]) -> None:
    open_viewer(phone, server, tool="line")
    start, end = client(phone, 20, 20), client(phone, 60, 40)
    touch("touchStart", [start])
    touch("touchMove", [((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)])
    touch("touchMove", [end])
    touch("touchEnd", [])
    (event,) = said(phone, "shape-created")
    assert np.abs(np.array(event["shape"]["points"]) - [[20, 20], [60, 40]]).max() <= 0.1
    name = event["shape"]["id"]
    touch("touchStart", [client(phone, 61, 41)])  # beside the handle
    touch("touchMove", [client(phone, 66, 46)])
    touch("touchMove", [client(phone, 71, 51)])
    touch("touchEnd", [])
    assert np.abs(np.array(shape_of(phone, name)["points"][1]) - [70, 50]).max() <= 0.3
    phone.touchscreen.tap(*client(phone, 10, 50))
    assert said(phone, "image-click")[0]["x"] == 10


# --- the stream ------------------------------------------------------------------------------------------------------


def test_a_server_that_dies_shows_and_heals(page: Page, server: Any, frames: ModuleType) -> None:
    open_viewer(page, server, shapes=[LINE])
    overlay = page.get_by_test_id("viewer-overlay")
    assert overlay.is_hidden()
    port = server.port
    server.close()
    page.wait_for_function("said.some((event) => event.name === 'connection' && event.state === 'lost')")
    assert "Connection lost" in (overlay.text_content() or "")
    assert look(page, "v.image !== null")
    drag(page, (20, 10), (25, 15))  # what is seen can still be worked on
    assert shape_of(page, "near")["points"][0] == [25, 15]
    again = frames.FrameServer(port)
    try:
        again.show(encode_frame(ramp() + np.uint16(7), HEADER))
        again.tag = 1000
        page.wait_for_function("said.at(-1).name === 'connection' && said.at(-1).state === 'ok'")
        page.wait_for_function("document.querySelector('so2cam-viewer').image.pixels[0] === 7")
        assert overlay.is_hidden()
    finally:
        again.close()


def test_only_what_is_new_is_asked_for_and_with_the_headers(page: Page, server: Any) -> None:
    open_viewer(page, server, headers={"Authorization": "Bearer abc"})
    page.wait_for_function("frames_seen === 1")
    server.show(encode_frame(ramp(), HEADER))
    page.wait_for_function("frames_seen === 2")
    assert server.asked[0] == {"after": None, "authorization": "Bearer abc"}
    assert {call["after"] for call in server.asked[1:]} == {"1", "2"} or server.asked[-1]["after"] == "1"
    assert all(call["authorization"] == "Bearer abc" for call in server.asked)


@pytest.mark.parametrize(("status", "words"), [(404, "No image yet"), (403, "may not see"), (500, "Connection lost")])
def test_what_a_server_refuses_is_said(page: Page, server: Any, status: int, words: str) -> None:
    server.status = status
    page.goto(server.url)
    page.wait_for_function("customElements.get('so2cam-viewer') !== undefined")
    look(page, "v.src = '/frame'")
    page.wait_for_function("said.some((event) => event.name === 'connection')")
    assert words in (page.get_by_test_id("viewer-overlay").text_content() or "")


def test_an_image_that_is_none_any_more_gives_way_to_the_reason(page: Page, server: Any) -> None:
    open_viewer(page, server, shapes=[LINE])
    overlay = page.get_by_test_id("viewer-overlay")
    server.body, server.status = b'{"detail": "there is no image of this pair"}', 410
    page.wait_for_function("said.some((event) => event.name === 'connection' && event.state === 'gone')")
    assert overlay.text_content() == "There is no image of this pair"
    assert look(page, "v.image === null")
    assert page.get_by_test_id("viewer-caption").is_hidden()
    assert shape_of(page, "near")["points"] == LINE["points"]
    while server.sent[-1] != 204:  # it goes on asking, and is told in silence that nothing changed
        settle(page)
    assert server.sent.count(410) == 1
    server.body = b'{"detail": "another reason"}'
    page.wait_for_function("document.querySelector('so2cam-viewer').labels.overlay.textContent === 'Another reason'")
    server.status = None
    page.wait_for_function("document.querySelector('so2cam-viewer').image !== null")  # the same as before, shown anew
    assert overlay.is_hidden()


def test_a_hidden_page_asks_for_nothing(page: Page, server: Any) -> None:
    page.goto(server.url)
    page.wait_for_function("customElements.get('so2cam-viewer') !== undefined")
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    look(page, "v.src = '/frame'")
    settle(page)
    page.request.get(f"{server.url}/viewer.js")  # the server has answered what was asked before
    assert server.asked == []
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_function("frames_seen === 1")


def test_a_stale_image_looks_stale_and_says_why(page: Page, server: Any) -> None:
    open_viewer(page, server)
    badge = page.get_by_test_id("viewer-badge")
    assert badge.is_hidden()
    server.show(encode_frame(ramp(), FrameHeader(label="On band", stale=True, why="the camera is silent for 42 s")))
    badge.wait_for()
    assert badge.text_content() == "Stale: the camera is silent for 42 s"


def test_an_image_that_nothing_follows_grows_stale_by_the_clock_of_the_server(page: Page, server: Any) -> None:
    time = datetime.now(UTC) - timedelta(seconds=50)
    server.show(encode_frame(ramp(), FrameHeader(label="On band", time=time)))
    open_viewer(page, server, staleAfter=120)
    badge = page.get_by_test_id("viewer-badge")
    assert badge.is_hidden()
    look(page, "v.staleAfter = 45")
    expect(badge).to_have_text(re.compile(r"Stale: taken 5\d s ago"))
    server.show(encode_frame(ramp(), FrameHeader(label="On band", time=datetime.now(UTC))))
    expect(badge).to_be_hidden()


def test_a_server_that_holds_calls_is_asked_once_at_a_time(page: Page, server: Any) -> None:
    server.hold_s = 0.5
    open_viewer(page, server, rate=50)
    for count in range(2, 6):
        server.show(encode_frame(ramp() + np.uint16(count), HEADER))
        page.wait_for_function("(count) => frames_seen === count", arg=count)
    assert server.most_at_once == 1


def test_an_image_can_be_set_without_a_server(page: Page, server: Any) -> None:
    page.goto(server.url)
    page.wait_for_function("customElements.get('so2cam-viewer') !== undefined")
    look(page, "v.setImage(a, new Uint16Array([1, 2, 3, 4, 5, 6]))", {"rows": 2, "columns": 3, "unit": "ppm m"})
    assert look(page, "v.valueAt(2, 1)") == {"x": 2, "y": 1, "code": 6, "value": 6, "saturated": False, "unit": "ppm m"}
    assert look(page, "v.valueAt(3, 1)") is None
