"""Spectra: one is opened, a window is dragged and kept; wavelengths from sunlight go into the draft."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from so2cam.science.spectra.lamp_lines import HG_LINES
from so2cam.science.spectra.line_shape import super_gaussian
from so2cam.station.references import day_bounds

PATIENCE_MS = 30_000
pytestmark = pytest.mark.timeout(300)


def value(cell: Locator) -> float:
    return float(cell.get_attribute("data-value") or "nan")


def drag(page: Page, handle: Locator, by: float) -> None:
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by / 2, y, steps=3)
    page.mouse.move(x + by, y, steps=3)
    page.mouse.up()


def test_a_window_is_dragged_fitted_again_and_kept_in_the_draft(page: Page, archive: Any) -> None:
    archive.fresh_draft()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    archive.enter(page, "operator")
    page.goto(f"{archive.url}/spectra")
    expect(page.get_by_test_id("columns-words")).to_contain_text(re.compile(r"\d+ columns"), timeout=PATIENCE_MS)
    saved = page.get_by_test_id("numbers-so2-saved")
    expect(saved).to_be_visible(timeout=PATIENCE_MS)

    # Another time: by a click into the plot, then by the arrow keys.
    newest = page.get_by_test_id("spectrum-time").inner_text()
    page.get_by_test_id("columns").click(position={"x": 400, "y": 90})
    expect(page.get_by_test_id("spectrum-time")).not_to_have_text(newest, timeout=PATIENCE_MS)
    picked = page.get_by_test_id("spectrum-time").inner_text()
    page.get_by_test_id("picker").press("ArrowRight")
    expect(page.get_by_test_id("spectrum-time")).not_to_have_text(picked, timeout=PATIENCE_MS)
    expect(page.get_by_test_id("spectrum-follow")).to_have_attribute("aria-checked", "false")
    time = page.get_by_test_id("spectrum-time").inner_text()
    with archive.catalogue() as catalogue:
        start, end = day_bounds(archive.day)
        rows = catalogue.columns(archive.site, start=start, end=end)
    known = {f"{row.time:%Y-%m-%d %H:%M:%S} UTC": row for row in rows}
    assert value(page.get_by_test_id("numbers-so2-molecules-saved")) == pytest.approx(known[time].so2 / 1e17, rel=1e-6)

    # The lower edge of the fit window is dragged: another number stands beside the one of the site file.
    edge = page.get_by_test_id("window-fit-low")
    assert edge.get_attribute("aria-valuetext") == "308.00 nm"
    drag(page, edge, 40)
    tried = page.get_by_test_id("numbers-so2-tried")
    expect(tried).to_be_visible(timeout=PATIENCE_MS)
    low = float(page.get_by_test_id("window-fit").get_attribute("data-low") or 0)
    assert 309 < low < 313
    assert value(tried) != value(saved)
    first = value(tried)
    edge.press("ArrowLeft")  # by 0.1 nm
    expect(page.get_by_test_id("tried-words")).to_contain_text(f"{low - 0.1:g} to 318 nm", timeout=PATIENCE_MS)
    assert value(tried) != first
    assert "try_fit=" in page.url

    # It is forgotten, tried again, kept in the draft; a reload finds it there.
    page.get_by_test_id("tried-back").click()
    expect(tried).to_have_count(0, timeout=PATIENCE_MS)
    edge.press("PageUp")
    expect(page.get_by_test_id("tried-words")).to_contain_text("Tried: fit 309 to 318 nm", timeout=PATIENCE_MS)
    page.get_by_test_id("tried-keep").click()
    expect(page.get_by_test_id("tried-words")).to_have_text("In the draft: fit 309 to 318 nm.", timeout=PATIENCE_MS)
    number = value(tried)
    page.reload()
    expect(page.get_by_test_id("tried-words")).to_have_text("In the draft: fit 309 to 318 nm.", timeout=PATIENCE_MS)
    expect(page.get_by_test_id("spectrum-time")).to_have_text(time)
    assert value(page.get_by_test_id("numbers-so2-tried")) == number
    assert "window_nm = [309.0, 318.0]" not in archive.site_file.read_text(encoding="utf-8")  # nothing is saved yet
    assert errors == []


def lamp(path: Path) -> Path:
    """Write a spectrum of a mercury lamp, with lines 0.7 nm wide."""
    x = np.linspace(280.0, 420.0, 2048)
    counts = 1500 + sum(
        3.0 * line.relative_intensity * super_gaussian(x - line.vacuum_nm, 0.7, 2.2) for line in HG_LINES
    )
    np.save(path, np.stack([x, np.random.default_rng(1).normal(counts, 8.0)]))
    return path


def test_wavelengths_and_line_shape_are_taken_into_the_draft(page: Page, archive: Any, tmp_path: Path) -> None:
    archive.fresh_draft()
    archive.enter(page)
    page.goto(f"{archive.url}/setup/spectrometer")
    expect(page.get_by_test_id("sky-time")).not_to_have_value("", timeout=PATIENCE_MS)
    page.get_by_test_id("sky-find").click()
    expect(page.get_by_test_id("sky-facts")).to_contain_text("Mean of 20 spectra, 3 darks", timeout=PATIENCE_MS)
    expect(page.get_by_test_id("sky")).to_have_attribute("data-points", re.compile("[1-9]"))
    page.get_by_test_id("sky-take").click()
    correction = page.get_by_test_id("key-spectrometer.detector.wavelength_correction")
    expect(correction).to_have_value(re.compile(r"\[0\.01\d+, "), timeout=PATIENCE_MS)
    expect(page.get_by_test_id("draft-words")).to_contain_text("1 change not saved, by the admin")

    # The line shape, from a lamp spectrum that is given; another line is chosen.
    page.get_by_test_id("lamp-give").locator("input[type=file]").set_input_files(lamp(tmp_path / "lamp.npy"))
    expect(page.get_by_test_id("lamp-rows")).to_contain_text("FWHM", timeout=PATIENCE_MS)
    page.get_by_test_id("lamp-line").click()
    page.get_by_role("option", name="334.24 nm").click()
    expect(page.get_by_test_id("lamp-rows")).to_contain_text("Hg 334.15", timeout=PATIENCE_MS)
    page.get_by_test_id("lamp-take").click()
    width = page.get_by_test_id("key-spectrometer.line_shape.width_nm")
    expect(width).to_have_value(re.compile(r"0\.(69|70)\d*"), timeout=PATIENCE_MS)
    expect(page.get_by_test_id("draft-words")).to_contain_text("2 changes not saved, by the admin")
    page.get_by_test_id("to-spectra").click()
    expect(page.get_by_test_id("numbers-shift-tried")).to_be_visible(timeout=PATIENCE_MS)
    before, after = (value(page.get_by_test_id(f"numbers-shift-{which}")) for which in ("saved", "tried"))
    assert abs(after) < 0.5 * abs(before)  # what was known before is not left to the fit
