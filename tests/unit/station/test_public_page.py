"""The public page: what it says, that it says nothing else, and its pictures."""

import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from so2cam.core.records import PlumeLine
from so2cam.core.site_publication import PublicPage
from so2cam.formats.images.record import ImageRecord
from so2cam.station.public_page import PageContent, PageRate, build_page, rate_words
from so2cam.station.public_page_files import PageInputs, page_content, write_page
from so2cam.station.public_page_plots import binned_median, draw_last_day

NOW = datetime(2026, 3, 1, 18, tzinfo=UTC)


class Reader(HTMLParser):
    """Reads a page as a browser does: tags must close, and addresses are collected."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data


def day(rate: float = 5.0, hours: float = 24.0) -> PageInputs:
    times = [NOW - timedelta(seconds=30 * i) for i in range(int(hours * 120))][::-1]
    wave = rate * (1 + 0.3 * np.sin(np.arange(len(times)) / 300))
    wave[100:400] = np.nan
    y, x = np.mgrid[:243, :324]
    plume = np.exp(-(((y - 120) / 25) ** 2) - x / 300).astype(np.float32)
    image = ImageRecord(
        NOW,
        0.2 * plume,
        (4e18 * plume).astype(np.float32),
        lines=(PlumeLine("upstream", ((200.0, 60.0), (200.0, 180.0)), 1.0),),
    )
    return PageInputs(NOW, "Villarrica", "villarrica-north", "measuring", "total, flow", times, wave, 0.1 * wave, image)


def test_the_page_says_what_there_is(tmp_path: Path) -> None:
    made = write_page(tmp_path, day(), PublicPage(contact="duty@volcano.example", note="Prototype <b>"))
    assert [path.name for path in made] == ["last-24-hours.png", "latest.png", "status.json", "index.html"]
    page = Reader((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "The camera is measuring." in page.text
    assert "2026-03-01 18:00 UTC" in page.text
    assert "Prototype <b>" in page.text
    assert page.addresses == ["latest.png?20260301T180000", "last-24-hours.png"]
    facts = json.loads((tmp_path / "status.json").read_text())
    assert facts["emission_rate_kg_s"] == pytest.approx(day().rates_kg_s[-1])
    for name, size in (("latest.png", facts["image_size"]), ("last-24-hours.png", [960, 330])):
        picture = cv2.imread(str(tmp_path / name))
        assert list(picture.shape[1::-1]) == size


def test_without_an_image_the_last_one_stays(tmp_path: Path) -> None:
    write_page(tmp_path, day(), PublicPage())
    inputs = day()
    later = PageInputs(NOW + timedelta(hours=2), "V", "s", "silent", "total")
    write_page(tmp_path, later, PublicPage())
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "18:00:00 UTC" in page
    assert "no value" in page
    assert inputs.image is not None


def test_nothing_from_outside_can_become_markup_or_is_loaded() -> None:
    evil = "<script>alert(1)</script>\"'&"
    content = PageContent(
        evil, evil, NOW, "fault", PageRate(NOW, 1.0, 0.1, evil), 2.0, 3.0, NOW, (10, 10), (10, 10), evil
    )
    page = build_page(content, PublicPage(title=evil[:90], contact=evil, note=evil))
    assert "<script>alert" not in page
    assert page.count("<script>") == 1
    assert "http" not in page.replace("http-equiv", "")
    assert Reader(page).text.count("alert(1)") >= 5


def test_hours_that_were_measured_are_counted() -> None:
    content = page_content(day(hours=6.0))
    assert content.mean_hours == pytest.approx(6.0 - 300 * 30 / 3600, abs=0.02)
    assert content.rate is not None
    empty = page_content(PageInputs(NOW, "V", "s", "resting", "total"))
    assert (empty.rate, empty.mean_kg_s, empty.mean_hours) == (None, None, 0.0)


@pytest.mark.parametrize(
    ("value", "sigma", "unit", "words"),
    [
        (5.0484, 0.1534, "kg/s", "5.05 ± 0.15 kg/s"),
        (12.34, 1.23, "kg/s", "12.3 ± 1.2 kg/s"),
        (5.0, 0.5, "t/d", "432 ± 43 t/d"),
        (50.0, 5.0, "t/d", "4320 ± 430 t/d"),
        (-0.02, 0.03, "kg/s", "−0.020 ± 0.030 kg/s"),
        (5.0, float("nan"), "kg/s", "5 kg/s"),
    ],
)
def test_rates_in_words(value: float, sigma: float, unit: str, words: str) -> None:
    assert rate_words(value, sigma, unit) == words  # type: ignore[arg-type]


def test_bins_hold_medians_and_gaps() -> None:
    x = np.array([0.0, 0.5, 0.9, 2.5, 9.0])
    found = binned_median(x, np.array([1.0, 5.0, np.nan, 7.0, 3.0]), np.array([0.0, 1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(found, [3.0, np.nan, 7.0])


def test_a_day_without_rates_is_drawn_too() -> None:
    picture = draw_last_day([], np.empty(0), np.empty(0), now=NOW)
    assert picture.data.startswith(b"\x89PNG")
