"""The align page at the station: a real station hands it out, and what is said goes over its link to the instrument."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from so2cam.cli.main import run
from so2cam.link.pairings import Pairing, Pairings

LONG = 60_000
SITE, NODE = "bench", "lead"
BANDS = ("camera-on", "camera-off")
SignIn = Callable[[Page, str], None]
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def station(
    benches: ModuleType, linked: ModuleType, instruments: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A station, and an instrument of two small cameras that it is paired with."""
    made = instruments.Home(benches.Bench(tmp_path_factory.mktemp("align")))
    size = "seed = 1, width_px = 162, height_px = 122"
    devices = [benches.camera(f"camera-{band}", band, options=size) for band in ("on", "off")]
    port = linked.free_port()
    made.write({NODE: devices}, {NODE: port}, linked.free_port(), period_s=1.0)
    try:
        made.bench.start(NODE)
        made.bench.wait_stored(2, NODE, timeout_s=120)
        join = ["pair", "join", f"127.0.0.1:{port}", "--code", made.code(NODE), "--site", str(made.bench.site)]
        assert run([*join, "--station"]) == 0
        made.start_station()
        yield made
    finally:
        made.end()


@pytest.fixture
def sign_in(station: Any) -> SignIn:
    """Sign a page in with the token of a role."""

    def do(page: Page, role: str) -> None:
        page.goto(f"{station.url}/sign-in")
        page.get_by_test_id("token").fill(station.tokens[role])
        page.get_by_test_id("door-go").click()
        page.get_by_test_id("header").wait_for()

    return do


@pytest.fixture
def tab(context: BrowserContext) -> Iterator[Page]:
    """A tab; whatever its scripts do wrong fails the test."""
    context.set_default_timeout(LONG)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda one: errors.append(one.text) if "Content Security Policy" in one.text else None)
    yield page
    assert errors == []


def wait_header(page: Page, device: str, condition: str, value: object = None) -> None:
    """Wait until a condition on the header ``h`` of a camera's picture holds; ``a`` is ``value``."""
    page.wait_for_function(
        f"""([id, a]) => {{
          const h = document.querySelector(`[data-testid='align-viewer-${{id}}']`)?.image?.header;
          return h !== undefined && ({condition});
        }}""",
        arg=[device, value],
    )


def tag_of(page: Page, device: str) -> str:
    found = page.evaluate(
        "(id) => document.querySelector(`[data-testid='align-viewer-${id}']`).image.header.tag", device
    )
    return str(found)


def base_of(station: Any) -> str:
    return f"{station.url}/pages/align/{SITE}/{NODE}"


def test_one_node_opens_at_once_with_both_bands_live_and_the_other_pages_a_key_away(
    tab: Page, station: Any, sign_in: SignIn
) -> None:
    sign_in(tab, "operator")
    expect(tab.get_by_test_id("nav-align")).to_be_visible(timeout=LONG)
    tab.keyboard.press("g")
    tab.keyboard.press("a")
    tab.wait_for_url(f"{station.url}/align/{SITE}/{NODE}")
    expect(tab.get_by_test_id("align-node")).to_have_text(f"{SITE}, {NODE}", timeout=LONG)
    expect(tab.get_by_test_id("align-sign-in")).to_be_hidden(timeout=LONG)
    expect(tab.get_by_test_id("align-sign-out")).to_be_hidden(timeout=LONG)
    for device in BANDS:
        wait_header(tab, device, "h.rows > 0")
        wait_header(tab, device, "Number(h.tag) > Number(a)", tag_of(tab, device))
        expect(tab.get_by_test_id(f"align-saturated-{device}")).to_contain_text("%", timeout=LONG)
        expect(tab.get_by_test_id(f"align-sharpness-{device}")).to_contain_text("sharpest so far", timeout=LONG)
    state = tab.get_by_test_id("align-state")
    expect(state).to_contain_text("operator", timeout=LONG)
    expect(tab.get_by_test_id("align-health")).to_contain_text("camera-off", timeout=LONG)
    expect(tab.get_by_test_id("nav-align")).to_have_attribute("aria-current", "page", timeout=LONG)
    tab.get_by_test_id("nav-instrument").click()
    expect(tab.get_by_test_id("page-instrument")).to_be_visible(timeout=LONG)
    tab.go_back()
    wait_header(tab, "camera-on", "h.rows > 0")
    tab.keyboard.press("g")
    tab.keyboard.press("l")
    tab.wait_for_url(f"{station.url}/")


def test_an_operator_takes_a_test_shot_and_sets_an_exposure_that_is_read_back(
    tab: Page, station: Any, sign_in: SignIn
) -> None:
    sign_in(tab, "operator")
    tab.goto(f"{station.url}/align")
    exposure = tab.get_by_test_id("align-exposure-camera-on")
    said = tab.get_by_test_id("align-exposure-said-camera-on")
    wait_header(tab, "camera-on", "h.rows > 0")
    expect(exposure).not_to_have_value("", timeout=LONG)
    before = float(exposure.input_value())
    wanted = round(before * 0.8, 2)
    try:
        tab.get_by_test_id("align-shot").click()
        expect(tab.get_by_test_id("align-said")).to_have_class("said good", timeout=LONG)
        exposure.fill(str(wanted))
        tab.get_by_test_id("align-exposure-set-camera-on").click()
        expect(said).to_have_class("said good", timeout=LONG)
        expect(said).to_have_text(f"Applied: {wanted:g} ms", timeout=LONG)
        wait_header(tab, "camera-on", "Math.abs(1000 * h.exposure_s - a) < 0.01", wanted)
        expect(tab.get_by_test_id("align-taken-with-camera-on")).to_have_text(f"camera-on, {wanted:g} ms", timeout=LONG)
        exposure.fill("5000")
        tab.get_by_test_id("align-exposure-set-camera-on").click()
        expect(said).to_have_class("said bad", timeout=LONG)
        expect(said).to_contain_text("0.15", timeout=LONG)
        expect(exposure).to_have_value(f"{wanted:g}", timeout=LONG)
    finally:
        exposure.fill(str(before))
        tab.get_by_test_id("align-exposure-set-camera-on").click()
        expect(said).to_have_text(f"Applied: {before:g} ms", timeout=LONG)
    # the station knows who it was, also on the page of the instrument
    tab.goto(f"{station.url}/instrument?tab=settings")
    expect(tab.get_by_test_id("tab-content")).to_contain_text("a operator", timeout=LONG)


def test_a_viewer_looks_and_is_refused_in_words_and_in_the_account(tab: Page, station: Any, sign_in: SignIn) -> None:
    sign_in(tab, "viewer")
    tab.goto(f"{station.url}/align")
    for device in BANDS:
        wait_header(tab, device, "h.rows > 0")
    expect(tab.get_by_test_id("align-role-note")).to_contain_text("you may look", timeout=LONG)
    for name in ("shot", "live", "exposure-set-camera-on", "automatic-camera-on"):
        expect(tab.get_by_test_id(f"align-{name}")).to_be_disabled(timeout=LONG)
    expect(tab.get_by_test_id("align-state")).to_contain_text("viewer", timeout=LONG)
    headers = {"Idempotency-Key": "viewer-tries-1", "Content-Type": "application/json"}
    commands = f"{base_of(station)}/commands"
    answer = tab.request.post(commands, data={"type": "shot", "kind": "test"}, headers=headers)
    assert answer.status == 403
    assert "needs the role operator" in answer.json()["text"]
    admin = {"Authorization": f"Bearer {station.tokens['admin']}"}
    entries = tab.request.get(f"{station.url}/api/v1/audit?limit=50", headers=admin).json()
    assert any("a viewer" in str(entry) and "denied" in str(entry) for entry in entries), entries
    assert any("a operator" in str(entry) and "instrument.set" in str(entry) for entry in entries), entries


def test_only_what_the_page_says_is_handed_on(context: BrowserContext, station: Any, sign_in: SignIn) -> None:
    page = context.new_page()
    sign_in(page, "operator")
    ask = page.request
    headers = {"Idempotency-Key": "operator-tries-1", "Content-Type": "application/json"}
    commands = f"{base_of(station)}/commands"
    for said in ({"type": "darks"}, {"type": "restart-device", "device": "camera-on"}, {"type": "junk"}):
        assert ask.post(commands, data=said, headers=headers).status == 422
    shot = {"type": "shot", "kind": "test"}
    assert ask.post(commands, data=shot, headers={"Content-Type": "application/json"}).status == 422
    assert ask.post(commands, data=shot, headers={**headers, "Content-Type": "text/plain"}).status == 415
    assert ask.post(commands, data=shot, headers={**headers, "Sec-Fetch-Site": "cross-site"}).status == 403
    assert ask.get(f"{base_of(station)}/frame/none?width=648").status == 404
    assert ask.get(f"{base_of(station)}/logs").status == 422
    assert ask.get(f"{base_of(station)[: -len(NODE)]}other/hello").status == 404
    assert ask.get(f"{station.url}/pages/align/nowhere/{NODE}/hello").status == 404
    first = ask.get(f"{base_of(station)}/frame/camera-on")
    assert first.status == 200
    tag = first.headers["etag"].strip('"')
    again = ask.get(f"{base_of(station)}/frame/camera-on?after={tag}")
    assert again.status == 204 or again.headers["etag"].strip('"') != tag


def test_a_node_that_is_gone_is_said_plainly_and_comes_back(tab: Page, station: Any, sign_in: SignIn) -> None:
    sign_in(tab, "operator")
    tab.goto(f"{station.url}/align")
    wait_header(tab, "camera-on", "h.rows > 0")
    tag = tag_of(tab, "camera-on")
    state = tab.get_by_test_id("align-state")
    overlay = tab.get_by_test_id("align-card-camera-on").get_by_test_id("viewer-overlay")
    station.bench.end()
    station.bench.processes.clear()
    try:
        expect(state).to_contain_text(f"{NODE} does not answer", timeout=LONG)
        expect(overlay).to_contain_text("Connection lost", timeout=LONG)
        tab.get_by_test_id("align-shot").click()
        expect(tab.get_by_test_id("align-said")).to_contain_text("does not answer", timeout=LONG)
        tab.reload()
        expect(tab.get_by_test_id("align-lost")).to_contain_text(f"{NODE} does not answer", timeout=LONG)
        expect(tab.get_by_test_id("align-main")).to_be_hidden(timeout=LONG)
        tab.get_by_test_id("nav-health").click()  # the station goes on meanwhile
        expect(tab.get_by_test_id("page-health")).to_be_visible(timeout=LONG)
        tab.goto(f"{station.url}/align")
        expect(tab.get_by_test_id("align-lost")).to_be_visible(timeout=LONG)
    finally:
        station.bench.start(NODE)
    expect(tab.get_by_test_id("align-lost")).to_be_hidden(timeout=2 * LONG)
    wait_header(tab, "camera-on", "Number(h.tag) > Number(a)", tag)
    expect(state).to_contain_text("operator", timeout=LONG)


def test_several_nodes_are_listed_with_how_they_are(
    browser: Browser, benches: ModuleType, linked: ModuleType, instruments: ModuleType, tmp_path: Path
) -> None:
    home = instruments.Home(benches.Bench(tmp_path))
    devices = {
        "lead": [benches.camera("camera-on", "on")],
        "second": [benches.camera("camera-off", "off")],
        "third": [benches.spectrometer()],
    }
    home.write(devices, {name: linked.free_port() for name in devices}, linked.free_port())
    lost = Pairing(
        name="second",
        site="bench",
        node="second",
        host="127.0.0.1",
        port=linked.free_port(),
        fingerprint="0" * 64,
        role="operator",
        token="so2_none",  # noqa: S106 - of no use
    )
    Pairings(tmp_path / "station" / "link" / "pairings.json").add(lost)
    context = browser.new_context(viewport={"width": 360, "height": 740})
    context.set_default_timeout(LONG)
    try:
        home.start_station()
        page = context.new_page()
        page.goto(f"{home.url}/sign-in?next=/align")
        page.get_by_test_id("token").fill(home.tokens["viewer"])
        page.get_by_test_id("door-go").click()
        expect(page.get_by_test_id("align-state-lead")).to_have_text("not paired", timeout=LONG)
        expect(page.get_by_test_id("align-state-second")).to_have_text("no answer", timeout=LONG)
        expect(page.get_by_test_id("align-third")).to_have_count(0, timeout=LONG)
        expect(page.get_by_test_id("align-go-lead")).to_have_attribute("href", "/instrument?node=lead", timeout=LONG)
        page.goto(f"{home.url}/align/bench/lead")  # nobody paired with it: back to where that is said
        expect(page.get_by_test_id("align-state-lead")).to_have_text("not paired", timeout=LONG)
        page.get_by_test_id("align-go-second").click()
        page.wait_for_url(f"{home.url}/align/bench/second")
        expect(page.get_by_test_id("align-lost")).to_contain_text("second does not answer", timeout=LONG)
        expect(page.get_by_test_id("align-node")).to_have_text("bench, second", timeout=LONG)
        context.clear_cookies()
        page.reload()  # who is not signed in may look, on this computer
        expect(page.get_by_test_id("sign-in")).to_have_attribute(
            "href", "/sign-in?next=%2Falign%2Fbench%2Fsecond", timeout=LONG
        )
    finally:
        context.close()
        home.end()
