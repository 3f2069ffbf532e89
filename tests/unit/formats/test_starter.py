"""The site file of a new installation: each placeholder in it is named until it is replaced, and nothing else is."""

from pathlib import Path

import pytest

from so2cam.core.site import Site
from so2cam.formats.siteedit import KeyPath, edit_text
from so2cam.formats.sitefile import check_site, load_site_text
from so2cam.formats.starter import is_new, placeholders, starter_text, without_meaning

VENT = {"latitude": -39.42, "longitude": -71.93, "altitude_m": 2847.0}
CAMERA = {"latitude": -39.3774, "longitude": -71.946386, "altitude_m": 0.0}
LINE = {"name": "near", "start": [273, 236], "end": [408, 101], "normal": "left"}
OWN: dict[KeyPath, object] = {
    ("volcano", "name"): "Villarrica",
    **{("volcano", "vent", key): value for key, value in VENT.items()},
    **{("camera", "position", key): value for key, value in CAMERA.items()},
    ("lines",): [LINE],
    ("camera", "view", "azimuth_deg"): 171.3,
}


def installation(*left_out: KeyPath) -> Site:
    """A new installation of which all is set up but some keys."""
    changes = [(key, value) for key, value in OWN.items() if key not in left_out]
    return load_site_text(edit_text(starter_text("north"), changes), Path("site.toml")).site


@pytest.mark.parametrize("place", [("volcano", "vent"), ("camera", "position")], ids=".".join)
@pytest.mark.parametrize("number", ["latitude", "longitude", "altitude_m"])
def test_each_number_of_a_place_is_missed_by_itself(place: tuple[str, str], number: str) -> None:
    site = installation((*place, number))
    key = ".".join((*place, number))
    assert without_meaning(site) == [key]
    assert is_new(site)
    assert [risk for risk in check_site(site) if risk.startswith(key)]


def test_nothing_is_missed_in_an_installation_that_is_set_up() -> None:
    site = installation()
    assert list(placeholders(site)) == []
    assert not is_new(site)


def test_a_new_installation_is_valid_and_told_its_placeholders_only() -> None:
    site = load_site_text(starter_text("north"), Path("site.toml")).site
    keys = [key for key, _ in placeholders(site)]
    assert len(keys) == 9
    assert [risk.split(":")[0] for risk in check_site(site) if "placeholder" in risk or "draw your own" in risk] == keys
    assert not [risk for risk in check_site(site) if risk.startswith("camera.view.")]


def test_an_altitude_of_zero_is_one() -> None:
    assert installation().camera.position.altitude_m == 0.0
    assert "camera.position.altitude_m" not in without_meaning(installation())
