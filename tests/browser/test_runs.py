"""Process a range again with other settings, follow it, compare it with the live results, fetch and open the files."""

import csv
import re
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from netCDF4 import Dataset
from playwright.sync_api import Page, expect

PATIENCE_MS = 120_000
pytestmark = pytest.mark.timeout(300)


def span(archive: Any, first: int, last: int) -> tuple[str, str]:
    """Return the time of pairs of the archive as the fields take it, the last one not included."""
    with archive.catalogue() as catalogue:
        times = sorted({rate.time for rate in catalogue.rates(archive.site, line="total", limit=100_000)})
    start, end = times[first].replace(microsecond=0), times[last].replace(microsecond=0)
    return f"{start:%Y-%m-%dT%H:%M:%S}", f"{end:%Y-%m-%dT%H:%M:%S}"


def order(page: Page, archive: Any, name: str, changes: str, times: tuple[str, str], button: str = "run-go") -> str:
    """Order a run; return its number."""
    page.goto(f"{archive.url}/runs")
    page.get_by_test_id("run-name").fill(name)
    page.get_by_test_id("run-start").fill(times[0])
    page.get_by_test_id("run-end").fill(times[1])
    if changes:
        page.get_by_test_id("run-changes").fill(changes)
    page.get_by_test_id(button).click()
    report = page.get_by_test_id("run-report")
    expect(report).to_contain_text(re.compile(r"Run \d+ .*is queued"))
    found = re.search(r"Run (\d+) ", report.inner_text())
    assert found is not None
    return found[1]


def look(page: Page, archive: Any, run: str, state: str) -> None:
    page.get_by_test_id(f"run-{run}").click()
    expect(page).to_have_url(re.compile(rf"/runs\?run={run}$"))
    expect(page.get_by_test_id("run-state")).to_have_text(state, timeout=PATIENCE_MS)


def fetch(page: Page, name: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_test_id(f"get-{name}").click()
    path = folder / name
    waiting.value.save_as(path)
    return path


def test_a_range_is_processed_again_compared_and_exported(page: Page, archive: Any, tmp_path: Path) -> None:
    archive.fresh_draft()
    archive.enter(page, "operator")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    times = span(archive, 4, 20)

    page.goto(f"{archive.url}/runs")
    page.get_by_test_id("run-changes").fill("processing.background.mode = polynomial")
    page.get_by_test_id("run-go").click()
    expect(page.get_by_test_id("run-report")).to_contain_text("is no value of TOML")

    # The queue: the second is cancelled while the first runs or waits; nothing of it is left.
    changes = 'processing.background.mode = "clear-sky"\nprocessing.speed.methods = ["flow_raw", "flow_hybrid"]'
    first = order(page, archive, "clear sky", changes, times)
    second = order(page, archive, "not wanted", "", span(archive, 0, -1))
    page.get_by_test_id(f"run-{second}").click()
    page.get_by_test_id("run-cancel").click()
    expect(page.get_by_test_id("run-state")).to_have_text("cancelled", timeout=PATIENCE_MS)
    expect(page.get_by_test_id("run-message")).to_have_text("cancelled by the operator")
    expect(page.get_by_test_id("run-files")).to_have_count(0)
    kept = archive.state / "runs" / archive.site / f"{int(second):04d}"
    assert {path.name for path in kept.iterdir()} <= {"run.json", "site.toml", "files.json", "log.txt"}
    expect(page.get_by_test_id("run-delete")).to_be_disabled()  # an admin's

    look(page, archive, first, "done")
    expect(page.get_by_test_id("run-log")).to_contain_text("done: ")
    expect(page.get_by_test_id("run-settings-table")).to_contain_text("processing.background.mode")
    expect(page.get_by_test_id("run-figures")).to_contain_text("flow_hybrid")

    # The files.
    with Dataset(fetch(page, "emission_rates.nc", tmp_path)) as data:
        rates = np.ma.filled(data["total_emission_rate"][:], np.nan)
        methods = [str(name) for name in data["speed_method"][:]]
        assert '"clear-sky"' in data.getncattr("settings")
    assert methods == ["flow_raw", "flow_hybrid"]
    assert np.isfinite(rates).sum() > 20
    with fetch(page, "emission_rates.csv", tmp_path).open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["line"] == "total" and row["speed_method"] == "flow_raw"]
    assert len(rows) == rates.shape[0]
    known = [float(row["emission_rate_kg_s"]) for row in rows if row["emission_rate_kg_s"]]
    assert known == pytest.approx(rates[np.isfinite(rates[:, 0]), 0], rel=1e-4)
    report = fetch(page, "report.pdf", tmp_path).read_bytes()
    assert report.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", report)) == 1

    # Compared with the live results.
    page.get_by_test_id("run-compare").click()
    settings = page.get_by_test_id("compare-settings")
    expect(settings).to_contain_text("processing.background.mode")
    expect(settings).to_contain_text("sky-surface")
    expect(settings).to_contain_text("clear-sky")
    expect(settings).to_contain_text("processing.speed.methods")
    expect(page.get_by_test_id("compare-scatter")).to_have_attribute("data-points", re.compile(r"[1-9]"))
    page.get_by_test_id("line-upstream").click()
    expect(page).to_have_url(re.compile("line=upstream"))
    shown = float(page.get_by_test_id("compare-mean").inner_text().replace("−", "-"))
    with archive.catalogue() as catalogue:
        live = {
            rate.time: rate.rate
            for rate in catalogue.rates(archive.site, line="upstream", method="flow_raw", limit=100_000)
            if rate.rate is not None
        }
    with (tmp_path / "emission_rates.csv").open(newline="") as stream:
        run = {
            datetime.fromisoformat(row["time"]): float(row["emission_rate_kg_s"])
            for row in csv.DictReader(stream)
            if row["line"] == "upstream" and row["speed_method"] == "flow_raw" and row["emission_rate_kg_s"]
        }
    differences = [
        rate - nearest
        for time, rate in run.items()
        for other, nearest in live.items()
        if abs(other - time) < timedelta(milliseconds=1)
    ]
    assert len(differences) > 10
    assert shown == pytest.approx(np.mean(differences), rel=0.02, abs=1e-5)
    curve = page.get_by_test_id("compare-difference")
    expect(curve).to_have_attribute("data-points", str(len(differences)))
    expect(curve.locator("canvas")).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("line-upstream")).to_have_attribute("aria-pressed", "true")
    assert errors == []


def test_live_results_and_images_are_exported(page: Page, archive: Any, tmp_path: Path) -> None:
    archive.enter(page, "operator")
    times = span(archive, 4, 12)
    live = order(page, archive, "", "", times, button="run-live")
    look(page, archive, live, "done")
    with Dataset(fetch(page, "emission_rates.nc", tmp_path)) as data:
        assert data.dimensions["time"].size == 8
    assert fetch(page, "report.pdf", tmp_path).read_bytes().startswith(b"%PDF")

    page.goto(f"{archive.url}/runs")
    page.get_by_test_id("run-images").click()
    for kind in ("PNG pictures", "video", "netCDF"):
        page.get_by_role("option", name=kind).click()
    page.keyboard.press("Escape")
    page.get_by_test_id("run-every").fill("4")
    expect(page).to_have_url(re.compile("images=png%2Cvideo%2Cnetcdf.*every=4"))
    page.reload()
    expect(page.get_by_test_id("run-every")).to_have_value("4")
    page.get_by_test_id("run-start").fill(times[0])
    page.get_by_test_id("run-end").fill(times[1])
    page.get_by_test_id("run-go").click()
    expect(page.get_by_test_id("run-report")).to_contain_text("is queued")
    images = str(int(live) + 1)
    look(page, archive, images, "done")
    with zipfile.ZipFile(fetch(page, "pictures.zip", tmp_path)) as packed:
        names = packed.namelist()
        assert packed.read(names[0]).startswith(b"\x89PNG")
    assert 1 <= len(names) <= 3
    with Dataset(fetch(page, "images.nc", tmp_path)) as data:
        assert data["column_density"].shape[0] == len(names)
        assert np.ma.count(data["column_density"][:]) > 0
    video = cv2.VideoCapture(str(fetch(page, "video.webm", tmp_path)))
    assert video.read()[0]
    video.release()
    with Dataset(fetch(page, "columns.nc", tmp_path)) as data:
        assert np.isfinite(np.ma.filled(data["so2_column"][:], np.nan)).any()
    expect(page.get_by_test_id("show-columns.png")).to_be_visible()

    # What is not for those who are not signed in.
    address = page.get_by_test_id("get-emission_rates.csv").get_attribute("href")
    page.context.clear_cookies()
    assert page.context.request.get(archive.url + str(address)).status == 401

    # An admin deletes.
    archive.enter(page, "admin")
    page.goto(f"{archive.url}/runs?run={images}")
    page.get_by_test_id("run-delete").click()
    page.get_by_test_id("confirm-yes").click()
    expect(page.get_by_test_id("no-run")).to_be_visible()
    expect(page.get_by_test_id(f"run-{images}")).to_have_count(0)
