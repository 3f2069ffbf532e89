"""What is said of light dilution that nobody corrects."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.site import Site
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.pipeline.geometry import LineGeometry, camera_model, lines_at_plume, plume_plane
from so2cam.pipeline.truth import with_settings
from so2cam.pipeline.uncorrected_dilution import (
    LEAST_LOSS,
    UncorrectedDilution,
    clean_air_loss,
    is_uncorrected,
    uncorrected_dilution_risks,
)
from so2cam.station.site_check import check_text

EXAMPLE = Path(__file__).resolve().parents[3] / "examples/villarrica/site.toml"
FIXED = {
    "mode": "fixed",
    "on_extinction_per_km": 0.0,
    "on_extinction_uncertainty_per_km": 0.01,
    "off_extinction_per_km": 0.0,
    "off_extinction_uncertainty_per_km": 0.01,
}


@pytest.fixture(scope="module")
def loaded() -> LoadedSite:
    return load_site(EXAMPLE)


def changed(loaded: LoadedSite, source: str = "cells", dilution: Any = None, spectra: str | None = None) -> Site:
    settings: dict[str, Any] = {
        "processing": {"calibration": {"source": source}, "light_dilution": dilution or {"mode": "none"}}
    }
    if spectra is not None:
        settings["spectrometer"] = {"light_dilution": {"mode": spectra}}
    return with_settings(loaded, settings).site


def geometry(site: Site) -> LineGeometry:
    lines = {line.line.name: line for line in lines_at_plume(site, require=False)}
    return LineGeometry(EmissionStatus.OK, camera_model(site), plume_plane(site), lines, None)


def near(site: Site) -> Site:
    """The same with its vent 500 m away: a tenth of the way."""
    camera, vent = site.camera.position, site.volcano.vent
    place = {
        name: getattr(camera, name) + 0.09 * (getattr(vent, name) - getattr(camera, name))
        for name in ("latitude", "longitude")
    }
    return site.model_copy(update={"volcano": site.volcano.model_copy(update={"vent": vent.model_copy(update=place)})})


def test_the_loss_is_that_of_clean_air(loaded: LoadedSite) -> None:
    """0.125 km-1 at sea level and 310 nm, by Bodhaine's cross section and the standard atmosphere."""
    vent = loaded.site.volcano.vent.model_copy(update={"altitude_m": 0.0})
    sea = loaded.site.model_copy(update={"volcano": loaded.site.volcano.model_copy(update={"vent": vent})})
    loss = clean_air_loss(sea, 4000.0)
    assert loss.expected == pytest.approx(1 - math.exp(-0.5), abs=0.006)
    assert loss.least == pytest.approx(1 - math.exp(-0.3), abs=0.006)
    high = clean_air_loss(loaded.site, 4000.0)
    assert 0 < high.least < loss.least
    assert clean_air_loss(sea, 0.0).expected == 0


def test_a_distant_plume_is_flagged_and_the_loss_is_in_words(loaded: LoadedSite) -> None:
    site = changed(loaded)
    assert UncorrectedDilution(site).of(geometry(site)) is QualityFlag.DILUTION_UNCORRECTED
    (text,) = uncorrected_dilution_risks(site)
    distance = float(np.mean(lines_at_plume(site)[0].distance_m))
    loss = clean_air_loss(site, distance)
    assert text.startswith('processing.light_dilution.mode: is "none"')
    assert f"{distance / 1000:.1f} km" in text
    assert f"about {100 * loss.expected:.0f} % too low, {100 * loss.least:.0f} % at the least" in text
    assert 0.15 < loss.least < loss.expected < 0.5


def test_a_near_plume_is_not(loaded: LoadedSite) -> None:
    site = near(changed(loaded))
    distance = float(np.mean(lines_at_plume(site, require=False)[0].distance_m))
    assert clean_air_loss(site, distance).least < LEAST_LOSS
    assert UncorrectedDilution(site).of(geometry(site)) is QualityFlag.NONE
    assert uncorrected_dilution_risks(site) == ()


def test_nothing_is_said_of_a_pair_without_lines(loaded: LoadedSite) -> None:
    site = changed(loaded)
    lost = LineGeometry(EmissionStatus.NO_WIND, camera_model(site), None, {}, None)
    assert UncorrectedDilution(site).of(lost) is QualityFlag.NONE


@pytest.mark.parametrize(
    ("source", "dilution", "spectra", "expected"),
    [
        ("cells", None, None, True),
        ("cells", FIXED, None, False),
        ("spectrometer", None, "none", True),
        ("spectrometer", None, "fit", False),  # the curve takes the images' dilution in
        ("joint", None, "fit", True),  # the cells do not
    ],
)
def test_who_corrects(loaded: LoadedSite, source: str, dilution: Any, spectra: str | None, expected: bool) -> None:
    site = changed(loaded, source, dilution, spectra)
    assert is_uncorrected(site) is expected
    assert bool(uncorrected_dilution_risks(site)) is expected
    assert (UncorrectedDilution(site).of(geometry(site)) is not QualityFlag.NONE) is expected


def test_the_page_of_the_site_file_says_it_at_its_key() -> None:
    found = [one for one in check_text(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE) if "clean air" in one.message]
    (risk,) = found
    assert risk.kind == "risk"
    assert risk.path is not None
