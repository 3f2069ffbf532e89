"""The site file's tables for light dilution: what is accepted, and what each refusal says."""

from typing import Any

import pytest
from pydantic import ValidationError

from so2cam.core.site_dilution import LightDilution, TerrainRegion

NEAR = {"name": "near", "points": [(206, 386), (210, 340)], "distance_m": (3300, 3900), "distance_uncertainty_m": 150}
FAR = {"name": "far", "points": [(220, 300)], "distance_m": 4400}


def test_nothing_is_corrected_unless_asked_for() -> None:
    assert LightDilution().mode == "none"


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "fixed", "on_extinction_per_km": 0.1, "on_extinction_uncertainty_per_km": 0.02,
         "off_extinction_per_km": 0.08, "off_extinction_uncertainty_per_km": 0.02},
        {"mode": "terrain", "regions": [NEAR, FAR]},
        {"mode": "terrain", "terrain_model": "dem.tif"},
        {"mode": "terrain", "terrain_model": "dem.asc", "terrain_crs": "EPSG:32718",
         "regions": [{"name": "flank", "points": [(206, 306), (222, 386)]}]},
        {"mode": "spectrum"},
    ],
)  # fmt: skip
def test_whole_tables(values: dict[str, Any]) -> None:
    assert LightDilution.model_validate(values).mode == values["mode"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"mode": "fixed", "on_extinction_per_km": 0.1}, 'needs on_extinction_uncertainty_per_km, off_extinction'),
        ({"on_extinction_per_km": 0.1}, 'used with mode = "fixed" only'),
        ({"mode": "terrain"}, "regions with their distances, or terrain_model"),
        ({"mode": "terrain", "regions": [{"name": "a", "points": [(1, 1)]}]}, "'a' needs distance_m"),
        ({"mode": "terrain", "regions": [FAR]}, "differ by 0 m"),
        ({"mode": "terrain", "regions": [NEAR, NEAR]}, "two regions are called 'near'"),
        ({"regions": [{**NEAR, "distance_m": (1000, 2000, 3000)}]}, "2 points need as many distances"),
        ({"regions": [{"name": "a", "points": [(1, 1)], "distance_uncertainty_m": 50}]}, "goes with distance_m"),
        ({"brightness_limits": (0.9, 0.1)}, "lowest < highest"),
        ({"mode": "sometimes"}, "none"),
        ({"recalculation_min": 0}, "greater than 0"),
        ({"extinction": 1}, "Extra inputs"),
    ],
)  # fmt: skip
def test_refusals_say_what_is_wrong(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        LightDilution.model_validate(values)
    assert says in str(caught.value)


def test_distances_of_a_region() -> None:
    one = TerrainRegion(name="a", points=((1, 1), (2, 2)), distance_m=3000)
    assert one.distances_m == (3000, 3000)
    assert one.distance_sigma_m == pytest.approx(150)
    each = TerrainRegion.model_validate(NEAR)
    assert each.distances_m == (3300, 3900)
    assert each.distance_sigma_m == 150
    from_model = TerrainRegion(name="a", points=((1, 1),))
    assert from_model.distances_m is None
    assert from_model.distance_sigma_m is None
