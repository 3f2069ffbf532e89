"""The align page of a real instrument of simulated devices: sign in, look, shoot, set, be refused, aim, check."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from so2cam.cli.link_places import home_of
from so2cam.link.messages import Start, Stop
from so2cam.link.pairing import PairingDesk
from so2cam.link.protocol import Role
from so2cam.link.tokens import TokenStore


@dataclass
class Instrument:
    """A bench of two cameras with a link."""

    bench: Any
    port: int

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/align"

    def _with(self, work: Callable[[Any, Any, TokenStore], str]) -> str:
        home = home_of(self.bench.site, "lead")
        database = home.database()
        try:
            return work(home, database, TokenStore(database))
        finally:
            database.close()

    def code(self, role: Role = Role.OPERATOR) -> str:
        return self._with(
            lambda home, database, tokens: (
                PairingDesk(database, tokens, site=home.site, node=home.name).offer(role).code
            )
        )

    def token(self, role: Role) -> str:
        return self._with(lambda home, database, tokens: tokens.create("tester", role))

    def start(self) -> None:
        self.bench.start()
        self.bench.wait_stored(2)
        limit = time.monotonic() + 40
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < limit
                threading.Event().wait(0.1)
            else:
                return


@pytest.fixture(scope="module")
def instrument(benches: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instrument]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    bench = benches.Bench(tmp_path_factory.mktemp("align"))
    size = "seed = 1, width_px = 162, height_px = 122"
    devices = [benches.camera(f"camera-{band}", band, options=size) for band in ("on", "off")]
    bench.write({"lead": devices}, extra=f"[instrument.link]\nport = {port}\n")
    made = Instrument(bench, port)
    made.start()
    yield made
    bench.end()


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    """A phone; whatever its page says wrong fails the test."""
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, ignore_https_errors=True
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert errors == []
    context.close()


def sign_in(page: Page, instrument: Instrument, role: Role = Role.OPERATOR) -> None:
    page.goto(instrument.url)
    page.get_by_text("I have a token").click()
    page.get_by_test_id("align-token").fill(instrument.token(role))
    page.get_by_test_id("align-enter").click()
    page.get_by_test_id("align-card-camera-on").wait_for()


def header(page: Page, device: str) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(
        "(id) => document.querySelector(`[data-testid='align-viewer-${id}']`).image.header", device
    )
    return found


def wait_header(page: Page, device: str, condition: str, value: object = None) -> None:
    """Wait until a condition on the header ``h`` of a camera's picture holds."""
    page.wait_for_function(
        f"""([id, a]) => {{
          const h = document.querySelector(`[data-testid='align-viewer-${{id}}']`)?.image?.header;
          return h !== undefined && ({condition});
        }}""",
        arg=[device, value],
    )


def test_a_code_signs_in_once_and_both_bands_are_live(phone: Page, instrument: Instrument) -> None:
    phone.goto(instrument.url)
    phone.get_by_test_id("align-enter").click()
    expect(phone.get_by_test_id("align-sign-in-said")).to_have_text("Type the code")
    phone.get_by_test_id("align-code").fill("WRONG-CODES")
    phone.get_by_test_id("align-enter").click()
    expect(phone.get_by_test_id("align-sign-in-said")).to_contain_text("wrong, used, or too old")
    code = instrument.code()
    phone.get_by_test_id("align-code").fill(code.lower().replace("-", " "))
    phone.get_by_test_id("align-enter").click()
    expect(phone.get_by_test_id("align-node")).to_have_text("bench, lead")
    for device in ("camera-on", "camera-off"):
        wait_header(phone, device, "h.rows > 0")
        tag = header(phone, device)["tag"]
        wait_header(phone, device, "Number(h.tag) > Number(a)", tag)  # it is live
        seen = header(phone, device)
        assert (seen["columns"], seen["rows"], seen["maximum_dn"]) == (162, 122, 1023)
        assert sum(seen["histogram"]) == 162 * 122
        expect(phone.get_by_test_id(f"align-saturated-{device}")).to_contain_text("%")
        expect(phone.get_by_test_id(f"align-bright-{device}")).to_contain_text("%")
        expect(phone.get_by_test_id(f"align-sharpness-{device}")).to_contain_text("sharpest so far")
    assert phone.evaluate("document.documentElement.scrollWidth") == 360
    phone.reload()  # nothing is lost
    expect(phone.get_by_test_id("align-node")).to_have_text("bench, lead")
    phone.get_by_test_id("align-sign-out").click()
    phone.reload()
    phone.get_by_test_id("align-code").fill(code)
    phone.get_by_test_id("align-enter").click()
    expect(phone.get_by_test_id("align-sign-in-said")).to_contain_text("wrong, used, or too old")


def test_a_shot_is_taken_by_both_cameras(phone: Page, instrument: Instrument) -> None:
    sign_in(phone, instrument)
    before = [item for item in instrument.bench.items(kind="frame") if item.subject == "test"]
    phone.get_by_test_id("align-shot").click()
    expect(phone.get_by_test_id("align-said")).to_have_class("said good")
    after = [item for item in instrument.bench.items(kind="frame") if item.subject == "test"]
    new = [item.device for item in after[len(before) :]]
    assert sorted(new) == ["camera-off", "camera-on"]


def test_an_exposure_is_set_read_back_and_seen_in_the_next_picture(phone: Page, instrument: Instrument) -> None:
    sign_in(phone, instrument)
    expect(phone.get_by_test_id("align-exposure-limits-camera-on")).to_have_text("From 0.1 to 150 ms")
    wait_header(phone, "camera-on", "h.rows > 0")
    phone.get_by_test_id("align-exposure-camera-on").fill("12.5")
    phone.get_by_test_id("align-exposure-set-camera-on").click()
    said = phone.get_by_test_id("align-exposure-said-camera-on")
    expect(said).to_have_text("Applied: 12.5 ms")
    assert not phone.get_by_test_id("align-automatic-camera-on").is_checked()
    wait_header(phone, "camera-on", "Math.abs(h.exposure_s - 0.0125) < 1e-4")
    expect(phone.get_by_test_id("align-taken-with-camera-on")).to_have_text("camera-on, 12.5 ms")
    # Beyond the limits nothing is set, and what is applied stays.
    phone.get_by_test_id("align-exposure-camera-on").fill("900")
    phone.get_by_test_id("align-exposure-set-camera-on").click()
    expect(said).to_have_class("said bad")
    assert "0.15" in (said.text_content() or "")
    phone.get_by_test_id("align-exposure-more-camera-on").focus()
    expect(phone.get_by_test_id("align-exposure-camera-on")).to_have_value("12.5")
    phone.get_by_test_id("align-exposure-less-camera-on").click()
    expect(said).to_have_text("Applied: 10 ms")
    phone.get_by_test_id("align-automatic-camera-on").check()
    expect(said).to_have_text("Exposure follows the light")
    wait_header(phone, "camera-on", "Math.abs(h.exposure_s - 0.01) > 1e-4")


def test_a_viewer_may_look_and_is_refused_to_act(phone: Page, instrument: Instrument) -> None:
    sign_in(phone, instrument, Role.VIEWER)
    expect(phone.get_by_test_id("align-role-note")).to_contain_text("viewer")
    wait_header(phone, "camera-off", "h.rows > 0")
    for name in ("shot", "live", "exposure-set-camera-on", "automatic-camera-on", "exposure-camera-off"):
        expect(phone.get_by_test_id(f"align-{name}")).to_be_disabled()
    # Whoever takes the lock off the button is refused by the instrument.
    before = [item.sequence for item in instrument.bench.items(kind="frame") if item.subject == "test"]
    phone.evaluate("document.querySelector('[data-testid=align-shot]').disabled = false")
    phone.get_by_test_id("align-shot").click()
    expect(phone.get_by_test_id("align-said")).to_have_class("said bad")
    expect(phone.get_by_test_id("align-said")).to_contain_text("needs the role operator; this token is a viewer's")
    assert [item.sequence for item in instrument.bench.items(kind="frame") if item.subject == "test"] == before


def test_nothing_is_told_without_a_token(phone: Page, instrument: Instrument) -> None:
    base = f"https://127.0.0.1:{instrument.port}"
    page = phone.request.get(instrument.url)
    assert page.status == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert phone.request.get(f"{base}/static/so2cam/viewer.js").status == 200
    assert phone.request.get(f"{base}/static/so2cam/none.js").status == 404
    assert phone.request.post(f"{base}/align").status == 401
    for path in ("v1/frame/camera-on", "v1/sight", "v1/examination", "v1/health", "openapi.json", "align/more"):
        assert phone.request.get(f"{base}/{path}").status == 401
    phone.goto(instrument.url)
    phone.evaluate("sessionStorage.setItem('so2cam-token', 'so2_00000000_' + 'x'.repeat(43))")
    phone.reload()
    expect(phone.get_by_test_id("align-sign-in-said")).to_contain_text("not valid any more")
    phone.get_by_text("I have a token").click()
    phone.get_by_test_id("align-token").fill("so2_junk")
    phone.get_by_test_id("align-enter").click()
    expect(phone.get_by_test_id("align-sign-in-said")).to_contain_text("wrong, too old or revoked")


def test_the_camera_is_aimed_by_a_compass_and_by_typed_values(phone: Page, instrument: Instrument) -> None:
    sign_in(phone, instrument)
    wait_header(phone, "camera-on", "h.rows > 0")
    expect(phone.get_by_test_id("align-wanted")).to_contain_text("azimuth 12.0°, elevation 13.5°")
    expect(phone.get_by_test_id("align-wanted")).to_contain_text("5.2 km")
    turn = phone.get_by_test_id("align-turn")
    phone.get_by_test_id("align-azimuth").fill("350")
    phone.get_by_test_id("align-elevation").fill("15")
    expect(turn).to_have_text("→ right 22.0°, ↓ down 1.5°")
    phone.get_by_test_id("align-declination").fill("22.2")
    phone.get_by_test_id("align-elevation").fill("13.4")
    expect(turn).to_have_text("On target")
    phone.get_by_test_id("align-declination").fill("0")
    phone.get_by_test_id("align-compass").click()
    expect(phone.get_by_test_id("align-compass-said")).to_contain_text("Waiting for the compass")
    # Upright, its back 20 degrees west of north, and 10 degrees up: beta is 100 as the top leans towards its owner.
    angles = json.dumps({"alpha": 20, "beta": 100, "gamma": 0, "absolute": True})
    phone.evaluate(
        f"""() => {{
          const name = "ondeviceorientationabsolute" in window ? "deviceorientationabsolute" : "deviceorientation";
          window.dispatchEvent(new DeviceOrientationEvent(name, {angles}));
        }}"""
    )
    expect(turn).to_have_text("→ right 32.0°, ↑ up 3.5°")
    # The aids over the picture are where the site file says: here the level line in the middle, and the vent.
    shapes = phone.evaluate("document.querySelector('[data-testid=align-viewer-camera-on]').shapes")
    found = {shape["id"]: shape["points"] for shape in shapes}
    assert found["centre"][0] == pytest.approx([80.5, 60.5], abs=0.3)
    assert 80.5 < found["vent"][0][0] < 162
    assert 60.5 < found["vent"][0][1] < 122
    phone.get_by_test_id("align-aids-cross").click()
    shapes = phone.evaluate("document.querySelector('[data-testid=align-viewer-camera-on]').shapes")
    assert {shape["id"] for shape in shapes} == {"horizon", "vent"}


def test_one_band_may_fill_the_page(phone: Page, instrument: Instrument) -> None:
    sign_in(phone, instrument)
    phone.get_by_test_id("align-layout-off").click()
    expect(phone.get_by_test_id("align-card-camera-on")).to_be_hidden()
    expect(phone.get_by_test_id("align-card-camera-off")).to_be_visible()
    phone.reload()
    expect(phone.get_by_test_id("align-card-camera-off")).to_be_visible()
    expect(phone.get_by_test_id("align-card-camera-on")).to_be_hidden()


def test_the_checklist_says_what_the_doctor_says(phone: Page, instrument: Instrument) -> None:
    sign_in(phone, instrument)
    expect(phone.get_by_test_id("align-health")).to_contain_text("camera-off")
    phone.get_by_test_id("align-examine").click()
    phone.wait_for_function("() => document.querySelector('[data-testid=align-examine-said]').classList.length === 2")
    findings = phone.get_by_test_id("align-findings")
    expect(findings).to_contain_text("agent: answers: yes")
    expect(findings).to_contain_text("agent: camera-on")
    bad = findings.locator("li.bad").count()
    expect(phone.get_by_test_id("align-examine-said")).to_have_class("said bad" if bad else "said good")
    assert findings.locator("li.bad em").count() == bad  # each says what to do
    expect(phone.get_by_test_id("align-rest")).to_contain_text("simulated: no hardware to look at")


def test_live_pictures_start_and_stop(phone: Page, instrument: Instrument) -> None:
    sign_in(phone, instrument)
    live = phone.get_by_test_id("align-live")
    expect(live).to_be_disabled()
    expect(live).to_have_text("Capturing already")
    instrument.bench.ask(Stop())
    expect(live).to_have_text("Live pictures")
    live.click()
    expect(live).to_have_text("Stop live pictures")
    wait_header(phone, "camera-off", "h.kind === 'test'")
    tag = header(phone, "camera-off")["tag"]
    wait_header(phone, "camera-off", "Number(h.tag) > Number(a)", tag)
    live.click()
    expect(live).to_have_text("Live pictures")
    instrument.bench.ask(Start())
    expect(live).to_have_text("Capturing already")


def test_the_page_heals_when_the_instrument_comes_back(phone: Page, instrument: Instrument) -> None:
    sign_in(phone, instrument)
    wait_header(phone, "camera-on", "h.rows > 0")
    instrument.bench.end()
    instrument.bench.processes.clear()
    state = phone.get_by_test_id("align-state")
    expect(state).to_have_text("the instrument does not answer")
    card = phone.get_by_test_id("align-card-camera-on")
    expect(card.get_by_test_id("viewer-overlay")).to_contain_text("Connection lost")
    tag = header(phone, "camera-on")["tag"]
    instrument.start()
    expect(state).to_contain_text("operator")
    wait_header(phone, "camera-on", "Number(h.tag) > Number(a)", tag)
    expect(card.get_by_test_id("viewer-overlay")).to_be_hidden()
