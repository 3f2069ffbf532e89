"""The Instrument page against a real agent and a real station: what people do with it, and what happens meanwhile."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from so2cam.core.health import DeviceState
from so2cam.link.messages import Schedule, ScheduleResult
from so2cam.simulate.faulty import FaultControl, FaultKind

pytestmark = [pytest.mark.timeout(420)]
LONG = 90_000
NODE = "lead"
WINDOWS = """[instrument.schedule]
windows = [{ do = "capture", start = "00:00", end = "24:00" }]

[alarms]
standard = false

[[alarms.rules]]
type = "instrument"
name = "trouble"
above = 0.5
for_s = 0.0
"""


@pytest.fixture(scope="module")
def home(
    benches: ModuleType, linked: ModuleType, instruments: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """An instrument of two small cameras, one faulty at will, and a spectrometer; and its station, not paired yet."""
    folder = tmp_path_factory.mktemp("instrument")
    made = instruments.Home(benches.Bench(folder))
    control = folder / "fault.json"
    devices = [
        benches.camera("camera-on", "on", gain="1.0"),
        benches.camera("camera-off", "off", driver="faulty", options=benches.faulty("simulated", control)),
        benches.spectrometer(),
    ]
    made.write({NODE: devices}, {NODE: linked.free_port()}, linked.free_port(), extra=WINDOWS)
    made.bench.start(NODE)
    made.start_station()
    made.bench.wait_stored(1, NODE, timeout_s=120)
    yield made
    made.end()


Open = Callable[..., Page]


@pytest.fixture
def open_tab(home: Any, context: BrowserContext) -> Open:
    """Return what opens a tab of the page, signed in as a role, of a node that is paired."""
    context.set_default_timeout(LONG)

    def open_(tab: str = "overview", role: str = "operator", *, pair: bool = True) -> Page:
        page = context.new_page()
        page.goto(f"{home.url}/sign-in")
        page.get_by_test_id("token").fill(home.tokens[role])
        page.get_by_test_id("door-go").click()
        page.wait_for_url(f"{home.url}/")
        if pair and not (home.bench.folder / "station" / "link" / "pairings.json").exists():
            _pair_by_command(home)
        page.goto(f"{home.url}/instrument?tab={tab}")
        if pair:
            expect(page.get_by_test_id("node-state")).to_have_text(re.compile("well|worth a look|alarm"), timeout=LONG)
        return page

    return open_


def _pair_by_command(home: Any) -> None:
    from so2cam.cli.main import run

    port = home.link_of(NODE).port
    arguments = ["pair", "join", f"127.0.0.1:{port}", "--code", home.code(NODE), "--site", str(home.bench.site)]
    assert run([*arguments, "--station"]) == 0


def report(page: Page, test: str) -> Any:
    """The line of a panel that says what happened; it has a state when it is over."""
    return page.locator(
        f'[data-testid="{test}-report"][data-state="ok"], [data-testid="{test}-report"][data-state="bad"]'
    )


def done(page: Page, test: str, text: str | re.Pattern[str]) -> None:
    """Wait until a panel says that something was done, with this text."""
    line = page.locator(f'[data-testid="{test}-report"][data-state="ok"]')
    expect(line).to_contain_text(text, timeout=LONG)


def choose(page: Page, test: str, text: str) -> None:
    """Choose from a list."""
    page.get_by_test_id(test).click()
    page.get_by_role("option", name=text, exact=True).click()


# --- pairing -----------------------------------------------------------------------------------------------------


def test_a_station_pairs_by_the_code_forgets_and_pairs_anew(home: Any, open_tab: Open) -> None:
    page = open_tab(role="admin", pair=False)
    expect(page.get_by_test_id("node-state")).to_have_text("not paired")
    expect(page.get_by_test_id("pair")).to_contain_text("so2cam pair offer")
    for _ in range(3):  # a link that is just starting may not answer the first time, and the page says so
        page.get_by_test_id("pair-code").fill("AAAAAA-BBBBB")
        page.get_by_test_id("pair-go").click()
        said = report(page, "pair")
        expect(said).to_contain_text(re.compile("the code is wrong|is no link"), timeout=LONG)
        if "the code is wrong" in said.inner_text():
            break
    expect(said).to_contain_text("the code is wrong")
    for _ in range(2):
        page.get_by_test_id("pair-code").fill(home.code(NODE))
        page.get_by_test_id("pair-go").click()
        expect(page.get_by_test_id("confirm")).to_contain_text("compares the certificate")
        page.get_by_test_id("confirm-yes").click()
        expect(page.get_by_test_id("node-state")).to_have_text("well", timeout=LONG)
        expect(page.get_by_test_id("fingerprint")).to_have_text(re.compile(r"^([0-9a-f]{8} ?){8}$"))
        page.get_by_test_id("unpair").click()
        page.get_by_test_id("confirm-yes").click()
        expect(page.get_by_test_id("node-state")).to_have_text("not paired", timeout=LONG)
    (home.bench.folder / "station" / "link" / "pairings.json").unlink()


# --- roles -------------------------------------------------------------------------------------------------------


def test_a_viewer_sees_everything_and_can_do_nothing(open_tab: Open) -> None:
    page = open_tab("capture", role="viewer")
    for test in ("run-start", "run-stop", "shot-take", "darks-begin", "pause"):
        button = page.get_by_test_id(test)
        expect(button).to_be_disabled()
        expect(button).to_have_attribute("title", "This needs the role operator.")
    for tab, test in (
        ("settings", "set-camera-on-apply"),
        ("cells", "cells-begin"),
        ("files", "free-space"),
        ("system", "restart-camera-on"),
        ("system", "restart-agent"),
        ("link", "unpair"),
        ("link", "address-go"),
        ("schedule", "schedule-save"),
    ):
        page.get_by_test_id(f"tab-{tab}").click()
        expect(page.get_by_test_id(test)).to_be_disabled(timeout=LONG)


# --- settings ----------------------------------------------------------------------------------------------------


def test_an_exposure_is_changed_applied_and_seen_by_somebody_else(home: Any, open_tab: Open) -> None:
    page, other = open_tab("settings"), open_tab("settings", role="viewer")
    prefix = "set-camera-on"
    expect(page.get_by_test_id(f"{prefix}-exposure_s")).to_be_disabled(timeout=LONG)
    page.get_by_test_id(f"{prefix}-automatic").click()
    page.get_by_test_id(f"{prefix}-exposure_s").fill("33")
    page.get_by_test_id(f"{prefix}-apply").click()
    done(page, prefix, "applied")
    for one in (page, other):
        expect(one.get_by_test_id(f"{prefix}-applied")).to_contain_text(
            re.compile(r"asked 33 ms, applied 33(\.\d+)? ms"), timeout=LONG
        )
        expect(one.get_by_test_id(f"{prefix}-last")).to_contain_text("last item: 33", timeout=LONG)
    expect(other.get_by_test_id(f"{prefix}-exposure_s")).to_have_value("33", timeout=LONG)
    expect(page.get_by_test_id(f"{prefix}-own")).to_have_text("changed")
    taken = home.bench.wait_for(lambda record: abs((_device(record, "camera-on").exposure_s or 0) - 0.033) < 1e-3, NODE)
    assert _device(taken, "camera-on").automatic is False
    page.get_by_test_id(f"{prefix}-exposure_s").fill("70000")
    page.get_by_test_id(f"{prefix}-apply").click()
    expect(report(page, prefix)).to_have_attribute("data-state", "bad", timeout=LONG)
    expect(other.get_by_test_id(f"{prefix}-exposure_s")).to_have_value("33")
    page.get_by_test_id(f"{prefix}-reset").click()
    page.get_by_test_id("confirm-yes").click()
    done(page, prefix, "applied")
    expect(page.get_by_test_id(f"{prefix}-own")).to_have_text("as in the site file", timeout=LONG)


# --- capture -----------------------------------------------------------------------------------------------------


def test_many_spectra_in_a_row_are_all_kept(home: Any, open_tab: Open) -> None:
    page = open_tab("capture")
    page.get_by_test_id("shot-camera-on").click()
    page.get_by_test_id("shot-camera-off").click()
    page.get_by_test_id("shot-times").fill("20")
    page.get_by_test_id("shot-take").click()
    done(page, "shot", "20 times taken")
    expect(page.get_by_test_id("shot-of-spectrometer").get_by_test_id("spectrum")).to_be_visible(timeout=LONG)
    kept = [item for item in home.bench.items(NODE, kind="spectrum", device="spectrometer") if item.subject == "test"]
    assert len(kept) == 20


def test_capture_is_stopped_and_started(home: Any, open_tab: Open) -> None:
    page = open_tab("capture")
    page.get_by_test_id("run-stop").click()
    done(page, "run", "stopped")
    expect(page.get_by_test_id("run-state")).to_have_text("0 of 3 busy", timeout=LONG)
    home.bench.wait_for(lambda record: _states(record) == {DeviceState.IDLE}, NODE)
    page.get_by_test_id("run-start").click()
    done(page, "run", "started")
    expect(page.get_by_test_id("run-state")).to_have_text("3 of 3 busy", timeout=LONG)


def test_a_dark_set_asks_first_and_is_taken(home: Any, open_tab: Open) -> None:
    page = open_tab("capture")
    page.get_by_test_id("darks-repeats").fill("1")
    page.get_by_test_id("darks-exposures").fill("20 30")
    page.get_by_test_id("darks-begin").click()
    page.get_by_test_id("confirm-no").click()
    page.get_by_test_id("darks-begin").click()
    page.get_by_test_id("confirm-yes").click()
    done(page, "darks", "dark set begun")
    home.bench.wait_for(
        lambda _: len([item for item in home.bench.items(NODE, kind="frame") if item.subject == "dark"]) >= 4, NODE
    )


# --- gas cells ---------------------------------------------------------------------------------------------------


def test_cells_by_the_wizard_with_test_shots_meanwhile_and_a_reload(home: Any, open_tab: Open) -> None:
    page, other = open_tab("cells"), open_tab("capture")
    page.get_by_test_id("cells-count").fill("3")
    page.get_by_test_id("cells-begin").click()
    expect(page.get_by_test_id("cells-going")).to_be_visible(timeout=LONG)
    home.bench.wait_for(lambda record: _device(record, "camera-on").state is DeviceState.CELLS, NODE)
    page.get_by_test_id("cells-take").click()
    expect(page.get_by_test_id("take-1")).to_contain_text("clear sky", timeout=LONG)
    _take_cell(page, "400", 2)
    other.get_by_test_id("shot-take").click()
    _take_cell(page, "1257", 3)
    done(other, "shot", "taken")
    page.reload()
    expect(page.get_by_test_id("take-3")).to_contain_text("cell of 1257 ppm m", timeout=LONG)
    _take_cell(page, "999", 4)
    page.get_by_test_id("take-4-use").click()
    expect(page.get_by_test_id("take-4")).to_contain_text("left out", timeout=LONG)
    page.get_by_test_id("cells-finish").click()
    page.get_by_test_id("confirm-yes").click()
    expect(page.get_by_test_id("cells-begin")).to_be_visible(timeout=LONG)
    expect(page.get_by_test_id("cells-used")).to_have_text("2 cells used")
    home.bench.wait_for(lambda record: _device(record, "camera-on").state is DeviceState.CAPTURING, NODE)
    labels = [one["so2cam"].get("cell_ppm_m") for one in home.sidecars(NODE) if one["so2cam"]["subject"] == "cell"]
    assert {label: labels.count(label) for label in set(labels)} == {400.0: 6, 1257.0: 6, 999.0: 6}


def test_a_calibration_that_is_given_up_leaves_nothing_behind(home: Any, open_tab: Open) -> None:
    page = open_tab("cells")
    page.get_by_test_id("cells-count").fill("2")
    page.get_by_test_id("cells-begin").click()
    page.get_by_test_id("cells-take").click()
    expect(page.get_by_test_id("take-1")).to_be_visible(timeout=LONG)
    page.get_by_test_id("cells-cancel").click()
    page.get_by_test_id("confirm-yes").click()
    expect(page.get_by_test_id("cells-used")).to_have_text("not used", timeout=LONG)
    home.bench.wait_for(lambda record: _device(record, "camera-on").state is DeviceState.CAPTURING, NODE)


def _take_cell(page: Page, ppm_m: str, number: int) -> None:
    expect(page.get_by_test_id("cells-take")).to_be_enabled(timeout=LONG)
    page.get_by_test_id("cells-what").get_by_text("gas cell").click()
    page.get_by_test_id("cells-ppm").fill(ppm_m)
    page.get_by_test_id("cells-take").click()
    expect(page.get_by_test_id(f"take-{number}")).to_contain_text(f"cell of {ppm_m} ppm m", timeout=LONG)


# --- schedule ----------------------------------------------------------------------------------------------------


def test_the_schedule_is_typed_dragged_saved_and_kept_over_a_reload(home: Any, open_tab: Open) -> None:
    page = open_tab("schedule")
    expect(page.get_by_test_id("lane-1")).to_be_visible(timeout=LONG)
    page.get_by_test_id("add-darks").click()
    page.get_by_test_id("window-2-end").fill("nonsense")
    expect(page.get_by_test_id("schedule-problem")).to_contain_text("is not a time of the day", timeout=LONG)
    expect(page.get_by_test_id("schedule-save")).to_be_disabled()
    page.get_by_test_id("window-2-end").fill("03:00")
    expect(page.get_by_test_id("schedule-findings")).to_contain_text(
        "capture and darks are wanted at once", timeout=LONG
    )
    page.get_by_test_id("window-2-remove").click()
    expect(page.get_by_test_id("grip-2-1-end")).to_have_count(0, timeout=LONG)
    page.get_by_test_id("add-housekeeping").click()
    expect(page.get_by_test_id("grip-2-1-end")).to_be_visible(timeout=LONG)
    grip, lane = page.get_by_test_id("grip-2-1-end").bounding_box(), page.get_by_test_id("lane-2").bounding_box()
    assert grip is not None
    assert lane is not None
    middle = grip["y"] + grip["height"] / 2
    page.mouse.move(grip["x"] + grip["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(lane["x"] + lane["width"] * 3 / 24, middle, steps=5)
    page.mouse.up()
    expect(page.get_by_test_id("window-2-end")).to_have_value("03:00", timeout=LONG)
    expect(page).to_have_url(re.compile("03%3A00"), timeout=LONG)  # where a draft outlasts a reload
    page.reload()
    expect(page.get_by_test_id("window-2-end")).to_have_value("03:00", timeout=LONG)
    expect(page.get_by_test_id("schedule-state")).to_have_text("changed, not saved")
    page.get_by_test_id("schedule-save").click()
    done(page, "schedule", "the new schedule holds")
    expect(page.get_by_test_id("schedule-state")).to_have_text("saved", timeout=LONG)
    result = home.bench.ask(Schedule(), NODE)
    assert isinstance(result, ScheduleResult)
    assert any("housekeeping" in entry.activity and f"{entry.time:%H:%M}" == "03:00" for entry in result.coming)
    page.get_by_test_id("grip-2-1-end").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_test_id("window-2-end")).to_have_value("03:05", timeout=LONG)
    page.get_by_test_id("schedule-discard").click()
    expect(page.get_by_test_id("window-2-end")).to_have_value("03:00", timeout=LONG)
    page.get_by_test_id("schedule-site").click()
    page.get_by_test_id("confirm-yes").click()
    expect(page.get_by_test_id("schedule-state")).to_have_text("as in the site file", timeout=LONG)


# --- what breaks, and heals --------------------------------------------------------------------------------------


def test_a_device_that_is_unplugged_shows_raises_an_alarm_and_heals(home: Any, open_tab: Open) -> None:
    fault = FaultControl(home.bench.folder / "fault.json")
    page, alarms = open_tab(), open_tab()
    alarms.goto(f"{home.url}/alarms")
    expect(alarms.get_by_test_id("alarms-state")).to_have_text("all is well", timeout=LONG)
    state = page.get_by_test_id("device-camera-off-state")
    expect(state).to_have_text("capturing", timeout=LONG)
    fault.begin(FaultKind.UNPLUGGED)
    try:
        expect(page.get_by_test_id("device-camera-off-trouble")).to_contain_text("unplugged", timeout=LONG)
        expect(page.get_by_test_id("device-camera-on-state")).to_have_text("capturing")
        card = alarms.locator(".so-alarm")
        expect(card).to_contain_text("camera-off: fails", timeout=LONG)
        expect(page.get_by_test_id("bell").locator("b")).to_have_text("1", timeout=LONG)
        card.get_by_role("textbox").fill("the plug")
        card.get_by_role("button", name="Acknowledge").click()
        expect(card).to_contain_text("a operator has seen it", timeout=LONG)
        expect(card).to_contain_text("“the plug”")
        expect(alarms.get_by_test_id("alarms-state")).to_have_text("all acknowledged", timeout=LONG)
    finally:
        fault.end()
    expect(state).to_have_text("capturing", timeout=LONG)
    expect(page.get_by_test_id("device-camera-off-trouble")).to_be_hidden()
    expect(card).to_have_count(0, timeout=LONG)
    expect(alarms.get_by_test_id("history-table")).to_contain_text("“the plug”", timeout=LONG)


def test_a_device_is_restarted_and_the_log_says_so(home: Any, open_tab: Open) -> None:
    before = _device(home.bench.health(NODE), "camera-on").restarts
    page = open_tab("system")
    page.get_by_test_id("restart-camera-on").click()
    page.get_by_test_id("confirm-yes").click()
    done(page, "restart", "started anew")
    home.bench.wait_for(
        lambda record: (
            _device(record, "camera-on").restarts >= before
            and _device(record, "camera-on").state is DeviceState.CAPTURING
        ),
        NODE,
    )
    page.get_by_test_id("tab-logs").click()
    page.get_by_test_id("log-text").fill("restart-device")
    expect(page.get_by_test_id("log-table")).to_contain_text("restart-device", timeout=LONG)


def test_the_page_heals_when_the_instrument_starts_anew(home: Any, open_tab: Open) -> None:
    page = open_tab()
    expect(page.get_by_test_id("node-state")).to_have_text("well", timeout=LONG)
    home.bench.stop(home.bench.processes[-1])
    expect(page.get_by_test_id("node-state")).to_have_text("no answer", timeout=LONG)
    expect(page.get_by_test_id("device-camera-on-state")).to_have_text("not known now")
    home.bench.start(NODE)
    expect(page.get_by_test_id("node-state")).to_have_text("well", timeout=LONG)
    expect(page.get_by_test_id("device-camera-on-state")).to_have_text("capturing", timeout=LONG)


def test_files_are_listed_and_downloaded(open_tab: Open) -> None:
    page = open_tab("files")
    page.get_by_test_id("items-kind-spectrum").click()
    row = page.get_by_test_id("items-table").locator("tbody tr").first
    expect(row).to_contain_text("spectrum", timeout=LONG)
    with page.expect_download() as download:
        row.locator("a").click()
    assert download.value.suggested_filename.endswith(".npy")
    assert Path(download.value.path()).read_bytes()[:6] == b"\x93NUMPY"


def _device(record: Any, name: str) -> Any:
    return next(device for device in record.devices if device.name == name)


def _states(record: Any) -> set[DeviceState]:
    return {device.state for device in record.devices}
