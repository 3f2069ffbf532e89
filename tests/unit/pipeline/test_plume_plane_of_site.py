"""The plume's plane as the site file gives it: across the view, or along the plume's direction."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from so2cam.core.site import Site
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.geometry import camera_model, plume_plane
from so2cam.science.geometry.plume import plume_distance_m

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "villarrica" / "site.toml"


def site_with(**plane: Any) -> Site:
    settings = load_site(EXAMPLE).settings
    settings["plume_plane"] = plane
    return Site.model_validate(settings)


def distances(site: Site) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    x = np.array([0.0, 323.5, 647.0])
    return plume_distance_m(camera_model(site), plume_plane(site), x, np.full(3, 242.5))


@pytest.mark.parametrize("turn", [0.0, 180.0, -180.0])
def test_direction_across_the_view_is_the_perpendicular_plane(turn: float) -> None:
    across = site_with(orientation="azimuth", azimuth_deg=171.3 + 90 - 360 + turn if turn > 0 else 171.3 + 90 + turn)
    np.testing.assert_allclose(distances(across), distances(site_with(orientation="perpendicular")), rtol=1e-12)


def test_plume_that_comes_nearer_to_the_right_is_nearer_there() -> None:
    # The camera looks south (171 degrees), so the right of its image is west. A plume that drifts to the
    # north-west comes towards the camera on the right of the image.
    left, _, right = distances(site_with(orientation="azimuth", azimuth_deg=300.0))
    assert right < left


@pytest.mark.parametrize(
    ("plane", "reason"),
    [
        ({"orientation": "azimuth"}, "go together"),
        ({"orientation": "perpendicular", "azimuth_deg": 80.0}, "go together"),
        ({"orientation": "azimuth", "azimuth_deg": 175.0}, "within 10 degrees of the line of sight"),
    ],
)
def test_plane_without_a_distance_is_refused(plane: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        site_with(**plane)
