"""The guided installation on a simulated instrument: from an empty site file until the case may be closed."""

import os
import re
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from so2cam.simulate.installation import NODE, write_installation

pytestmark = pytest.mark.timeout(400)
LONG = 90_000
PROGRAM = [sys.executable, "-P", "-m", "so2cam"]
CHRONYC = """#!/bin/sh
echo C0000201,192.0.2.1,2,0,0.000012,0.0,0.00001,1.0,0.0,0.1,0.001,0.0005,64.0,Normal
"""
"""What stands for a clock that is set over the network."""
FAST = """hold_back_s = 1.0
api = { port = %d }
transfer = { poll_s = 0.1 }
"""


@dataclass
class Installation:
    """An instrument that runs, and a station with nothing but a starter file."""

    folder: Path
    url: str
    token: str
    port: int

    @property
    def instrument(self) -> Path:
        """The folder of the instrument."""
        return self.folder / "volcano"

    @property
    def truth(self) -> dict[str, Any]:
        """The instrument's own site file, which says what is true."""
        return tomllib.loads((self.instrument / "site.toml").read_text(encoding="utf-8"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(folder: Path, *arguments: str) -> str:
    done = subprocess.run([*PROGRAM, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """The simulated instrument of scenario ``baseline``, whose bands lie apart; and the new station."""
    port, api = free_port(), free_port()
    volcano, station = tmp_path / "volcano", tmp_path / "base"
    station.mkdir()
    made = write_installation(
        volcano, "baseline", seed=1, start=datetime.now(UTC) - timedelta(seconds=10), period_s=2.0, port=port
    )
    name = tomllib.loads(made.site.read_text(encoding="utf-8"))["name"]
    command(station, "station", "new", "site.toml", "--name", name)
    with (station / "site.toml").open("a", encoding="utf-8") as file:
        file.write(FAST % api)
    token = command(station, "token", "create", "site.toml", "--station", "--name", "anna", "--role", "admin").split()[
        0
    ]
    clock = tmp_path / "bin" / "chronyc"
    clock.parent.mkdir()
    clock.write_text(CHRONYC, encoding="utf-8")
    clock.chmod(0o755)
    environment = {**os.environ, "PATH": f"{clock.parent}{os.pathsep}{os.environ['PATH']}"}
    processes = []
    with (tmp_path / "log").open("ab") as log:
        for folder, arguments in (
            (volcano, ["instrument", "run", "site.toml", "--node", NODE]),
            (station, ["station", "run", "site.toml", "--quiet"]),
        ):
            processes.append(
                subprocess.Popen(
                    [*PROGRAM, *arguments],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                )
            )
    try:
        until = time.monotonic() + 60
        while not (answers(port) and answers(api)):
            assert time.monotonic() < until, (tmp_path / "log").read_text(errors="replace")
            time.sleep(0.1)
        yield Installation(tmp_path, f"http://127.0.0.1:{api}", token, port)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(40)


def fill(page: Page, key: str, value: object) -> None:
    """Type into the field of a key of the site file, and wait until it is in the draft."""
    box = page.get_by_test_id(f"key-{key}")
    text = f"{value[0]}, {value[1]}" if isinstance(value, list) else str(value)
    box.fill(text)
    box.press("Enter")


def open_step(page: Page, key: str) -> None:
    """Open a step, where it is closed."""
    step = page.get_by_test_id(f"step-{key}")
    step.scroll_into_view_if_needed()
    if step.locator(".so-guide-body").is_hidden():
        step.locator(".so-guide-head").click()
    expect(step.locator(".so-guide-body")).to_be_visible()


def state(page: Page, key: str, words: str, timeout: int = LONG) -> None:
    expect(page.get_by_test_id(f"step-{key}-state")).to_have_text(words, timeout=timeout)


def done(page: Page, test: str) -> None:
    """Wait until a report says that something was done."""
    expect(page.get_by_test_id(test)).to_have_attribute("data-state", "ok", timeout=LONG)


def test_from_an_empty_site_file_until_the_case_may_be_closed(
    page: Page, installation: Installation, drag: Callable[..., None]
) -> None:
    truth, url = installation.truth, installation.url
    page.goto(f"{url}/sign-in")
    page.get_by_test_id("token").fill(installation.token)
    page.get_by_test_id("door-go").click()
    page.wait_for_url(f"{url}/guide")  # where else, with nothing set up
    state(page, "volcano", "to do")

    open_step(page, "volcano")
    fill(page, "volcano.name", truth["volcano"]["name"])
    for key in ("latitude", "longitude", "altitude_m"):
        fill(page, f"volcano.vent.{key}", truth["volcano"]["vent"][key])
    state(page, "volcano", "done")

    said = command(
        installation.instrument,
        "pair",
        "offer",
        "site.toml",
        "--node",
        NODE,
        "--role",
        "operator",
        "--receiver",
        "station",
    )
    code = re.search(r"\b[A-Z0-9]{6}-[A-Z0-9]{5,6}\b", said)
    assert code is not None, said
    open_step(page, "instrument")
    page.get_by_test_id("pair-host").fill(f"127.0.0.1:{installation.port}")
    page.get_by_test_id("pair-code").fill(code[0])
    page.get_by_test_id("pair-go").click()
    expect(page.get_by_test_id("pair-report")).to_contain_text("paired with", timeout=LONG)
    page.get_by_test_id("confirm-yes").click(timeout=LONG)
    state(page, "instrument", "done")
    state(page, "clock", "done")
    expect(page.get_by_test_id("step-clock-words")).to_contain_text("set over the network")
    state(page, "exposure", "done")
    state(page, "start", "done")

    frames = page.get_by_test_id("step-frames-words")
    expect(frames).to_contain_text("Aim, focus, and take a test frame", timeout=LONG)
    state(page, "frames", "to do")
    open_step(page, "frames")
    page.get_by_test_id("guide-test").click()
    done(page, "guide-test-report")
    state(page, "frames", "done")

    open_step(page, "geometry")
    camera = truth["camera"]
    for key in ("latitude", "longitude", "altitude_m"):
        fill(page, f"camera.position.{key}", camera["position"][key])
    fill(page, "camera.view.azimuth_deg", camera["view"]["azimuth_deg"])
    fill(page, "camera.view.elevation_deg", camera["view"]["elevation_deg"])
    fill(page, "camera.optics.field_of_view_deg", camera["optics"]["field_of_view_deg"])
    state(page, "geometry", "done")

    state(page, "spectrometer", "to do")
    open_step(page, "spectrometer")
    page.get_by_test_id("guide-spectrometer-no").click()
    state(page, "spectrometer", "done")

    open_step(page, "calibration")
    for button, report in (("guide-darks", "guide-reference-report"), ("guide-clear", "guide-reference-report")):
        page.get_by_test_id(button).click()
        done(page, report)
    page.get_by_test_id("guide-cells-begin").click()
    done(page, "guide-cell-report")
    for ppm_m in ("0", "500", "1500"):
        page.get_by_test_id("guide-cell-ppm").fill(ppm_m)
        page.get_by_test_id("guide-cells-take").click()
        expect(page.get_by_test_id("guide-cell-report")).to_contain_text(f"{ppm_m} ppm m", timeout=LONG)
        done(page, "guide-cell-report")
    page.get_by_test_id("guide-cells-end").click()
    done(page, "guide-cell-report")
    state(page, "calibration", "done")

    page.get_by_test_id("step-registration").locator("a", has_text="Find the registration").first.evaluate(
        "link => link.click()"
    )
    page.wait_for_url(re.compile("/setup/registration"))
    page.get_by_test_id("find").click()
    page.get_by_test_id("found-use").click(timeout=LONG)
    expect(page.get_by_test_id("draft-words")).to_contain_text("changes not saved")
    page.get_by_test_id("setup-nav-guide").click()
    state(page, "registration", "done")

    open_step(page, "lines")
    line = truth["lines"][0]
    drag(page.get_by_test_id("guide-lines"), line["start"], line["end"])
    state(page, "lines", "done")

    state(page, "save", "to do")
    state(page, "rate", "to do")  # of placeholders nothing is made
    expect(page.get_by_test_id("step-rate-words")).to_contain_text("still has placeholders")
    page.get_by_test_id("draft-save").click()
    page.get_by_test_id("save-note").fill("first installation")
    page.get_by_test_id("save-yes").click()
    state(page, "save", "done")

    state(page, "schedule", "look")
    page.get_by_test_id("step-schedule").locator("a", has_text="Edit the schedule").evaluate("link => link.click()")
    page.get_by_test_id("add-housekeeping").click()
    soon = datetime.now(UTC) + timedelta(hours=6)
    for key, hours in (("start", 0), ("end", 1)):
        page.get_by_test_id(f"window-1-{key}").fill(f"{soon + timedelta(hours=hours):%H:%M}")
    expect(page.get_by_test_id("schedule-fine")).to_be_visible(timeout=LONG)
    page.get_by_test_id("schedule-save").click()
    done(page, "schedule-report")
    page.goto(f"{url}/guide")
    state(page, "schedule", "done")
    expect(page.get_by_test_id("step-schedule-words")).to_contain_text(f"{soon:%Y-%m-%d %H:%M} UTC")
    state(page, "start", "done")
    state(page, "rate", "done")
    words = page.get_by_test_id("step-rate-words").inner_text()
    found = re.search(r"(\d+\.\d+) ± (\d+\.\d+) kg/s", words)
    assert found is not None, words
    assert float(found[1]) > 0
    leave = page.get_by_test_id("step-leave-words")
    state(page, "leave", "done")
    expect(leave).to_contain_text("close the case")
    assert page.locator(".so-guide-step").evaluate_all("all => all.map((one) => one.dataset.state)") == ["done"] * 15
    page.goto(f"{url}/")
    expect(page.get_by_test_id("rate-value")).to_have_text(re.compile(r"\d"), timeout=LONG)
    text = (installation.folder / "base" / "site.toml").read_text(encoding="utf-8")
    assert "placeholder" not in tomllib.loads(text)["lines"][0]["name"]
    assert "# degrees north" in text or "# clockwise from true north" in text
