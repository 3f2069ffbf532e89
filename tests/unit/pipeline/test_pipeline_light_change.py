"""What another light does to a calibration's slope, against what the simulated volcano's bands do under that light."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.records import Band
from so2cam.core.site import GeoPoint, Site
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.light_change import VERTICAL_O3, light_change, ozone_air_mass
from so2cam.simulate import load_scenario
from so2cam.simulate.light import BandLight
from so2cam.simulate.scenario import Scenario

EQUATOR = GeoPoint(latitude=0.0, longitude=0.0, altitude_m=2000.0)
NOON = datetime(2026, 3, 20, 12, 7, tzinfo=UTC)
"""When the sun stands overhead there, to half a degree."""


def later(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


@pytest.fixture(scope="module")
def site() -> Site:
    site = load_site(Path(__file__).resolve().parents[3] / "examples/villarrica/site.toml").site
    view = site.camera.view.model_copy(update={"landmark": None})
    return site.model_copy(update={"camera": site.camera.model_copy(update={"position": EQUATOR, "view": view})})


def true_slope(air_mass: float, day: float = 1.0) -> float:
    """The slope of the simulated bands under ``day`` times 300 Dobson units of ozone, by the simulation's own sum."""
    settings = load_scenario("baseline").model_dump(mode="json")
    settings["air"]["o3_slant_molec_cm2"] = air_mass * day * VERTICAL_O3
    scenario = Scenario.model_validate(settings)
    on, off = (BandLight(band, scenario, (3000.0, 3000.0)).cross_section_cm2 for band in (Band.ON, Band.OFF))
    return 1 / (on - off)


@pytest.mark.parametrize(("hours", "expected"), [(0.0, 1.0), (3.0, 1.41), (4.0, 1.98), (5.0, 3.6), (9.0, 12.1)])
def test_the_lights_way_through_ozone(hours: float, expected: float) -> None:
    assert ozone_air_mass(later(hours), EQUATOR) == pytest.approx(expected, rel=0.04)
    assert ozone_air_mass(later(-hours), EQUATOR) == pytest.approx(ozone_air_mass(later(hours), EQUATOR), rel=0.03)


@pytest.mark.parametrize(("made", "now"), [(0.0, 3.0), (0.0, 4.5), (5.0, 2.0), (-5.0, 0.0)])
def test_the_true_change_is_what_is_stated_where_the_sun_moves(site: Site, made: float, now: float) -> None:
    masses = [ozone_air_mass(later(hours), EQUATOR) for hours in (made, now)]
    true = abs(np.log(true_slope(masses[1]) / true_slope(masses[0])))
    stated = light_change(site, later(made), later(now))
    assert true > 0.05
    assert 0.9 < stated / np.hypot(true, 0.03) < 1.25


def test_ozone_of_another_day_is_within_what_is_stated(site: Site) -> None:
    """At the same hour: days of ozone with a spread of a tenth, each against each."""
    mass = ozone_air_mass(later(4.0), EQUATOR)
    days = 1 + 0.1 * np.random.default_rng(3).standard_normal(40)
    slopes = np.log([true_slope(mass, float(day)) for day in days])
    between = np.abs(slopes[:, None] - slopes[None, :])[np.triu_indices(40, 1)]
    stated = light_change(site, later(4.0), later(4.0 + 240))
    assert 0.04 < stated < 0.07
    assert 0.6 < np.mean(between <= stated) < 0.9
    assert np.mean(between <= 2 * stated) > 0.93


def test_little_changes_in_minutes_and_more_the_longer_it_is(site: Site) -> None:
    assert 0.03 <= light_change(site, NOON, NOON + timedelta(minutes=5)) < 0.035
    days = [light_change(site, NOON, NOON + timedelta(days=count)) for count in (0, 1, 3, 10)]
    assert days == sorted(days)
    assert days[-1] < 0.06
