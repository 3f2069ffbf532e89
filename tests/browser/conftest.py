"""A browser for the tests: Debian's Chromium, driven by Playwright; nothing is downloaded."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; tests skip where it is absent, except in CI, where that is an error."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing")
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


def _profile(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 800}, ignore_https_errors=True)
    made.on("page", _attentive)
    made.set_default_timeout(15_000)
    yield made
    made.close()


def _attentive(page: Page) -> None:
    """Have a page that was opened be connected before a test goes on: what is pressed before that goes nowhere."""
    for name in ("goto", "reload"):

        def open_(*arguments: Any, act: Callable[..., Any] = getattr(page, name), **more: Any) -> Any:
            answer = act(*arguments, **more)
            page.wait_for_function("() => !window.socket || window.did_handshake")
            return answer

        setattr(page, name, open_)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile of its own: 1280 x 800, self-signed certificates taken."""
    yield from _profile(browser)


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page in that profile."""
    return context.new_page()


Place = tuple[float, float]
HAS_IMAGE = (
    "element => { const v = element.querySelector('so2cam-viewer'); return v && v.image && v.image.header.rows > 0; }"
)
PLACES = "(element, points) => points.map(([x, y]) => element.querySelector('so2cam-viewer').toClient(x, y))"
BOX = "element => { const { left, top } = element.getBoundingClientRect(); return [left, top]; }"


def _places(viewer: Locator, points: list[Place]) -> list[Place]:
    """Return where pixels of the image are on the screen, once all of them lie still and in the open."""
    page, stage = viewer.page, viewer.get_by_test_id("viewer-stage")
    page.wait_for_function(HAS_IMAGE, arg=viewer.element_handle())
    for point in reversed(points):
        (x, y), (left, top) = viewer.evaluate(PLACES, [list(point)])[0], stage.evaluate(BOX)
        stage.hover(position={"x": x - left, "y": y - top})  # waits until it is at rest and nothing lies over it
    return [(x, y) for x, y in viewer.evaluate(PLACES, [list(point) for point in points])]


@pytest.fixture
def drag() -> Callable[[Locator, Place, Place], None]:
    """Drag from one pixel of a viewer's image to another."""

    def do(viewer: Locator, start: Place, end: Place) -> None:
        mouse, (first, last) = viewer.page.mouse, _places(viewer, [start, end])
        mouse.move(*first)
        mouse.down()
        mouse.move((first[0] + last[0]) / 2, (first[1] + last[1]) / 2)
        mouse.move(*last)
        mouse.up()

    return do


@pytest.fixture
def click() -> Callable[[Locator, Place], None]:
    """Click a pixel of a viewer's image."""

    def do(viewer: Locator, point: Place) -> None:
        viewer.page.mouse.click(*_places(viewer, [point])[0])

    return do


def _fake(name: str, folder: Path = Path(__file__).parents[1] / "fakes") -> ModuleType:
    """Return the module ``tests/fakes/<name>.py``, or that of another folder."""
    known = f"so2cam_test_{name}"
    if known not in sys.modules:
        place = folder / f"{name}.py"
        spec = importlib.util.spec_from_file_location(known, place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[known] = module
        spec.loader.exec_module(module)
    return sys.modules[known]


@pytest.fixture(scope="session")
def instruments() -> ModuleType:
    """The module ``tests/browser/instruments.py``: a simulated instrument and its station as processes."""
    return _fake("instruments", Path(__file__).parent)


@pytest.fixture(scope="session")
def frames() -> ModuleType:
    """The module ``tests/fakes/frames.py``: a page with the image viewer, and a server of frames."""
    return _fake("frames")


@pytest.fixture(scope="session")
def station(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real station with a simulated instrument (``tests/fakes/live_station.py``), one for all tests."""
    running = _fake("live_station").LiveStation(tmp_path_factory.mktemp("station"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def sign_in(station: Any) -> Callable[[Page, str], None]:
    """Sign a page in with the token of a role."""

    def do(page: Page, role: str) -> None:
        page.goto(f"{station.url}/sign-in")
        page.get_by_test_id("token").fill(station.tokens[role])
        page.get_by_test_id("door-go").click()
        page.get_by_test_id("header").wait_for()

    return do


@pytest.fixture(scope="session")
def pages() -> ModuleType:
    """The module ``tests/fakes/pages.py``: a station with pages, in a process of its own."""
    return _fake("pages")


@pytest.fixture(scope="session")
def place(pages: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A station without an instrument, with a day of health behind it: a ``PagesStation``."""
    made = pages.PagesStation(tmp_path_factory.mktemp("place"), pages.free_port())
    made.prepare()
    made.tell_health(pages.history(25.0))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def archive(browser: Browser, pages: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A station with a simulated volcano of a past day in its archive: an ``ArchivedStation``, one for all tests."""
    shared = tmp_path_factory.getbasetemp().parent / "so2cam-volcano"  # one for all processes of the run
    made = _fake("archived").ArchivedStation(tmp_path_factory.mktemp("archive"), shared, pages)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def other(browser: Browser) -> Iterator[BrowserContext]:
    """The browser profile of a second person."""
    yield from _profile(browser)
