"""An instrument of two computers, a band at each: what is done at the whole instrument is done at both."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from so2cam.cli.main import run
from so2cam.core.health import DeviceState
from so2cam.station.catalogue import Catalogue

LONG = 60_000
BANDS = {"lead": ("camera-on", "on"), "follower": ("camera-off", "off")}
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def home(benches: ModuleType, linked: ModuleType, instruments: ModuleType, tmp_path: Path) -> Iterator[Any]:
    """A station that is paired with the lead, which has the on band, and with the follower, which has the off band."""
    made = instruments.Home(benches.Bench(tmp_path))
    ports = {node: linked.free_port() for node in BANDS}
    made.write(
        {node: [benches.camera(*camera)] for node, camera in BANDS.items()}, ports, linked.free_port(), period_s=0.5
    )
    try:
        for node in BANDS:
            made.bench.start(node)
        made.start_station()
        for node in BANDS:
            made.bench.wait_stored(1, node, timeout_s=120)
            address = ["pair", "join", f"127.0.0.1:{ports[node]}", "--code", made.code(node)]
            assert run([*address, "--site", str(made.bench.site), "--station"]) == 0
        yield made
    finally:
        made.end()


def archived_cells(home: Any) -> dict[str, set[str]]:
    """The names of the frames of cells in the station's archive, by camera."""
    with Catalogue.open(None, home.bench.folder / "station") as catalogue:
        found: dict[str, set[str]] = {}
        for file in catalogue.find_files("bench", kind="frame", subject="cell"):
            found.setdefault(file.device, set()).add(Path(file.path).name)
        return found


def wait_state(home: Any, state: DeviceState) -> None:
    """Wait until the cameras of both nodes are in this state."""
    for node in BANDS:
        home.bench.wait_for(lambda record: record.devices[0].state is state, node)


def test_cells_are_held_once_for_both_bands_and_both_are_aimed_on_one_page(home: Any, context: BrowserContext) -> None:
    context.set_default_timeout(LONG)
    page = context.new_page()
    page.goto(f"{home.url}/sign-in")
    page.get_by_test_id("token").fill(home.tokens["operator"])
    page.get_by_test_id("door-go").click()
    page.wait_for_url(f"{home.url}/")

    page.goto(f"{home.url}/instrument?tab=cells")
    expect(page.get_by_test_id("node-all")).to_have_attribute("aria-pressed", "true", timeout=LONG)
    page.get_by_test_id("cells-count").fill("2")
    page.get_by_test_id("cells-begin").click()
    expect(page.get_by_test_id("cells-going")).to_be_visible(timeout=LONG)
    wait_state(home, DeviceState.CELLS)
    page.get_by_test_id("cells-what").get_by_text("gas cell").click()
    page.get_by_test_id("cells-ppm").fill("400")
    page.get_by_test_id("cells-take").click()
    take = page.get_by_test_id("take-1")
    for camera, _ in BANDS.values():
        expect(take).to_contain_text(f"{camera}: 2 frames", timeout=LONG)
    for camera, _ in BANDS.values():
        picture = take.get_by_alt_text(f"cell of 400 ppm m, {camera}")
        page.wait_for_function("image => image.naturalWidth > 0", arg=picture.element_handle())
    page.get_by_test_id("cells-finish").click()
    page.get_by_test_id("confirm-yes").click()
    expect(page.get_by_test_id("cells-used")).to_have_text("1 cell used", timeout=LONG)
    wait_state(home, DeviceState.CAPTURING)
    found, limit = archived_cells(home), time.monotonic() + 60
    while sum(map(len, found.values())) < 4:
        assert time.monotonic() < limit, found
        time.sleep(0.1)
        found = archived_cells(home)
    assert {camera: len(names) for camera, names in found.items()} == {"camera-on": 2, "camera-off": 2}
    assert all("400ppmm" in name for names in found.values() for name in names), found

    page.get_by_test_id("nav-align").click()
    page.wait_for_url(f"{home.url}/align/bench")
    expect(page.get_by_test_id("align-node")).to_have_text("bench, lead and follower", timeout=LONG)
    for camera, _ in BANDS.values():
        page.wait_for_function(
            "id => document.querySelector(`[data-testid='align-viewer-${id}']`)?.image?.header.rows > 0", arg=camera
        )
        expect(page.get_by_test_id(f"align-saturated-{camera}")).to_contain_text("%", timeout=LONG)
        assert page.get_by_test_id(f"align-card-{camera}").locator("svg.counts rect").count() == 64
    page.get_by_test_id("align-shot").click()
    said = page.get_by_test_id("align-said")
    expect(said).to_have_class("said good", timeout=LONG)
    expect(said).to_have_text("lead: taken; follower: taken", timeout=LONG)
