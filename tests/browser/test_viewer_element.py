"""The viewer as an element of NiceGUI: properties down, events up, images by HTTP only."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI, Response
from nicegui import app as gui
from nicegui import ui
from playwright.sync_api import Page

from so2cam.pages import FrameHeader, encode_frame
from so2cam.web.viewer import Viewer, ViewerEvent, add_assets

LINE = {"id": "near", "name": "near", "kind": "line", "points": [[20, 10], [60, 12]]}


class Station:
    """A page with a viewer, and what it was told."""

    def __init__(self) -> None:
        self.events: list[ViewerEvent] = []
        self.viewer: Viewer | None = None
        self.frames = 0
        app = FastAPI()
        add_assets(app)

        @app.get("/frame")
        def frame(after: str | None = None) -> Response:
            self.frames += 1
            pixels = np.full((60, 80), self.frames, dtype=np.uint16)
            message = encode_frame(pixels, FrameHeader(label="On band", unit="DN"))
            return Response(message, headers={"etag": f'"{self.frames}"'})

        @ui.page("/")
        def page() -> None:
            with ui.element("div").style("width: 800px"):
                self.viewer = Viewer(
                    "/frame",
                    shapes=[LINE],
                    rate=10,
                    on_shape_created=self.events.append,
                    on_shape_changed=self.events.append,
                    on_shape_removed=self.events.append,
                    on_click=self.events.append,
                )

        gui.user_middleware.clear()  # what an earlier test of this process put around NiceGUI is taken off
        gui.middleware_stack = None
        ui.run_with(app)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="error", ws="websockets-sansio"))
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture(scope="module")
def station() -> Iterator[Station]:
    made = Station()
    yield made
    made.close()


@pytest.fixture
def sent(page: Page) -> list[str]:
    """What goes over the WebSocket of the page."""
    found: list[str] = []

    def listen(socket: Any) -> None:
        socket.on("framesent", lambda data: found.append(str(data)))
        socket.on("framereceived", lambda data: found.append(str(data)))

    page.on("websocket", listen)
    return found


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    found = page.evaluate("(at) => document.querySelector('so2cam-viewer').toClient(...at)", [x, y])
    return found[0], found[1]


def test_shapes_go_down_and_events_come_up(page: Page, station: Station, sent: list[str]) -> None:
    station.events.clear()
    page.goto(f"http://127.0.0.1:{station.port}/")
    handle = page.get_by_test_id("shape-near-handle-0")
    handle.wait_for(state="attached")
    page.wait_for_function("document.querySelector('so2cam-viewer').image !== null")
    page.mouse.move(*place(page, 20, 10))
    page.mouse.down()
    page.mouse.move(*place(page, 25, 20))
    page.mouse.move(*place(page, 30, 30))
    page.mouse.up()
    page.mouse.click(*place(page, 70, 50))
    page.wait_for_function("document.querySelector('so2cam-viewer').image.pixels[0] > 5")
    changed, click = station.events
    assert changed.shape == {**LINE, "points": [[30, 30], [60, 12]]}
    assert (changed.name, changed.why) == ("shape-changed", "handle")
    assert (click.name, click.x, click.y) == ("image-click", 70, 50)
    assert station.viewer is not None
    assert station.viewer.shapes == [{**LINE, "points": [[30, 30], [60, 12]]}]
    # A new source does not bring the old shapes back; the same shapes said anew do.
    station.viewer.src = "/frame?other"
    page.wait_for_function("document.querySelector('so2cam-viewer').src === '/frame?other'")
    shapes = "document.querySelector('so2cam-viewer').shapes"
    assert page.evaluate(shapes)[0]["points"] == [[30, 30], [60, 12]]
    station.viewer.shapes = [LINE]
    page.wait_for_function(f"{shapes}[0].points[0][0] === 20")
    # Images never go through NiceGUI, and moving the pointer says nothing.
    before = len(sent)
    for step in range(20):
        page.mouse.move(100 + step, 200)
    seen = station.frames
    page.wait_for_function("(seen) => document.querySelector('so2cam-viewer').image.pixels[0] > seen + 5", arg=seen)
    assert all('"said"' not in message and len(message) < 100 for message in sent[before:])
    assert any(json.dumps("near") in message for message in sent[:before])


def test_a_tool_said_again_is_taken_again(page: Page, station: Station) -> None:
    station.events.clear()
    page.goto(f"http://127.0.0.1:{station.port}/")
    page.get_by_test_id("shape-near-handle-0").wait_for(state="attached")
    page.wait_for_function("document.querySelector('so2cam-viewer').image !== null")
    assert station.viewer is not None
    for count in (1, 2):
        station.viewer.tool = "point"
        page.wait_for_function("document.querySelector('so2cam-viewer').tool === 'point'")
        page.mouse.click(*place(page, 10 * count, 40))
        page.wait_for_function("document.querySelector('so2cam-viewer').tool === 'pan'")
        page.get_by_test_id(f"shape-point-{count}").wait_for(state="attached")
    page.wait_for_function("document.querySelector('so2cam-viewer').shapes.length === 3")
    page.get_by_test_id("shape-point-1").press("Delete")
    page.wait_for_function("document.querySelector('so2cam-viewer').shapes.length === 2")
    page.reload()  # a new page of its own: nothing is shared with the old one
    page.get_by_test_id("shape-near-handle-0").wait_for(state="attached")
    names = [event.name for event in station.events]
    assert names == ["shape-created", "shape-created", "shape-removed"]
    assert [event.shape["points"] for event in station.events if event.shape] == [[[10, 40]], [[20, 40]], [[10, 40]]]


def test_files_are_asked_for_again_only_where_they_changed(page: Page, station: Station) -> None:
    url = f"http://127.0.0.1:{station.port}/static/so2cam/"
    first = page.request.get(f"{url}viewer.js")
    assert first.headers["content-type"].startswith("text/javascript")
    assert page.request.get(f"{url}viewer.js", headers={"If-None-Match": first.headers["etag"]}).status == 304
    assert page.request.get(f"{url}none.js").status == 404
    assert page.request.get(f"{url}..%2Fassets.py").status == 404
