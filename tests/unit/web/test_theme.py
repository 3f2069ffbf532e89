"""The colours of the pages: enough contrast in light and dark, and the same names in both."""

import re

import pytest

from so2cam.pages import read_asset
from so2cam.web.theme import DARK, LIGHT, contrast, theme_css

TEXTS = ("ink", "quiet", "accent", "ok", "warn", "bad")


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_is_read_on_every_paper(colours: dict[str, str]) -> None:
    for text in TEXTS:
        for paper in ("paper", "surface", "raised"):
            if text in ("ok", "warn", "bad") and paper == "raised":
                continue
            assert contrast(colours[text], colours[paper]) >= 4.5, (text, paper)
    for state in ("ok", "warn", "bad"):
        assert contrast(colours[state], colours[f"{state}-paper"]) >= 4.5, state
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_data_is_seen_on_its_paper(colours: dict[str, str]) -> None:
    for name, colour in colours.items():
        if name.startswith("data-"):
            assert contrast(colour, colours["surface"]) >= 3, name


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_style_uses_only_colours_that_there_are() -> None:
    assert set(LIGHT) == set(DARK)
    used = set(re.findall(r"var\(--so-([a-z0-9-]+)\)", read_asset("frame.css").content.decode()))
    assert used
    assert used <= set(LIGHT)
    assert all(f"--so-{name}:" in theme_css() for name in LIGHT)
