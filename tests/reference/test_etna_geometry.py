"""Geometry at Etna (16 September 2015) against the values that an independent implementation, pyplis 1.5.0, gives."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.records import PlumeLine
from so2cam.core.site import Line
from so2cam.science.emission.lines import sample_positions
from so2cam.science.geometry.camera import CameraModel, off_axis_cosine, pixel_area_m2, pixel_rays, step_length_m
from so2cam.science.geometry.landmark import Place, landmark_direction, view_from_landmark, with_view
from so2cam.science.geometry.plume import PlumePlane, plume_distance_m, vent_direction

pytestmark = pytest.mark.data

LANDMARK: Place = (37.747757, 15.002643, 3103.0)
PIXEL = (719.5, 569.5)
"""(720, 570) where the top-left corner of the image, not the centre of its first pixel, is (0, 0)."""


@pytest.fixture(scope="module")
def reference(data_dir: Path) -> dict[str, Any]:
    return dict(json.loads((data_dir / "etna" / "reference_values.json").read_text(encoding="utf-8")))


def expected(reference: dict[str, Any], test: str, quantity: str) -> float:
    found = [
        entry["expected"]
        for entry in reference["expectations"]
        if entry["test"].endswith(test) and entry["quantity"].startswith(quantity)
    ]
    assert len(found) == 1, (test, quantity)
    return float(found[0])


@pytest.fixture(scope="module")
def camera(reference: dict[str, Any]) -> CameraModel:
    given = reference["common"]["camera"]
    return CameraModel(
        given["pixnum_x"],
        given["pixnum_y"],
        given["focal_length_m"] / given["pix_width_m"],
        math.radians(given["azim_deg"]),
        math.radians(given["elev_deg"]),
    )


@pytest.fixture(scope="module")
def here(reference: dict[str, Any]) -> Place:
    given = reference["common"]["camera"]
    return given["lat"], given["lon"], given["altitude_m"]


def missed_px(camera: CameraModel, azimuth_deg: float, elevation_deg: float, here: Place) -> float:
    """Return how far from its pixel a camera that looks there sees the landmark [px]."""
    azimuth, elevation, _ = landmark_direction(here, LANDMARK)
    towards = np.array(
        [math.cos(elevation) * math.sin(azimuth), math.cos(elevation) * math.cos(azimuth), math.sin(elevation)]
    )
    looking = CameraModel(
        camera.width_px,
        camera.height_px,
        camera.focal_length_px,
        math.radians(azimuth_deg),
        math.radians(elevation_deg),
    )
    ray = pixel_rays(looking, np.array(PIXEL[0]), np.array(PIXEL[1]))
    angle = math.asin(min(float(np.linalg.norm(np.cross(ray, towards))), 1.0))
    return angle * camera.focal_length_px


def test_viewing_direction_by_their_formula(reference: dict[str, Any], camera: CameraModel, here: Place) -> None:
    azimuth, elevation, distance = landmark_direction(here, LANDMARK)
    dx, dy = PIXEL[0] - (camera.width_px - 1) / 2, PIXEL[1] - (camera.height_px - 1) / 2
    assert (dx, dy) == (48, 58)
    theirs = (
        math.degrees(azimuth) % 360 - math.degrees(math.atan(dx / camera.focal_length_px)),
        math.degrees(elevation) + math.degrees(math.atan(dy / camera.focal_length_px)),
    )
    assert theirs[0] == pytest.approx(expected(reference, "find_viewdir", "cam_azim ["), abs=1e-6)
    assert theirs[1] == pytest.approx(expected(reference, "find_viewdir", "cam_elev ["), abs=1e-6)
    assert distance == pytest.approx(9890, abs=1)


def test_viewing_direction_is_exact_where_theirs_holds_for_small_angles(
    reference: dict[str, Any], camera: CameraModel, here: Place
) -> None:
    found = view_from_landmark(camera, here, LANDMARK, PIXEL, pixel_uncertainty_px=100, position_uncertainty_m=0)
    ours = math.degrees(found.azimuth_rad), math.degrees(found.elevation_rad)
    theirs = tuple(expected(reference, "find_viewdir", name) for name in ("cam_azim [", "cam_elev ["))
    assert ours == pytest.approx((280.2039, 13.7269), abs=1e-4)
    assert ours == pytest.approx(theirs, abs=0.015)
    assert missed_px(camera, *ours, here) < 1e-6
    assert missed_px(camera, *theirs, here) > 1.0
    assert with_view(camera, found).azimuth_rad == found.azimuth_rad


def test_uncertainty_of_the_viewing_direction(reference: dict[str, Any], camera: CameraModel, here: Place) -> None:
    found = view_from_landmark(camera, here, LANDMARK, PIXEL, pixel_uncertainty_px=100, position_uncertainty_m=0)
    azimuth, elevation = (expected(reference, "find_viewdir", name) for name in ("cam_azim_err", "cam_elev_err"))
    # A pixel is worth more azimuth above the horizon: 1 / cos(elevation).
    assert math.degrees(found.azimuth_uncertainty_rad) == pytest.approx(
        azimuth / math.cos(found.elevation_rad), rel=5e-3
    )
    assert 1.06 < math.degrees(found.azimuth_uncertainty_rad) < 1.10
    assert math.degrees(found.elevation_uncertainty_rad) == pytest.approx(elevation, rel=2e-3)


@pytest.fixture(scope="module")
def plane(reference: dict[str, Any]) -> PlumePlane:
    camera, source = reference["common"]["camera"], reference["common"]["source"]
    distance, azimuth = vent_direction(camera["lat"], camera["lon"], source["lat"], source["lon"])
    # Wind from the north: the plume drifts to the south, and its plane faces west.
    return PlumePlane(distance, azimuth, math.radians(reference["common"]["wind"]["dir_deg_from_north"] + 270), False)


def test_distance_and_size_of_pixels(reference: dict[str, Any], camera: CameraModel, plane: PlumePlane) -> None:
    y, x = np.mgrid[0 : camera.height_px, 0 : camera.width_px].astype(np.float64)
    distance = plume_distance_m(camera, plane, x, y)
    assert distance.shape == (1024, 1344)
    assert distance.mean() == pytest.approx(expected(reference, "geometry", "mean camera-plume distance"), rel=5e-4)
    # Theirs is d p / f everywhere: like is compared with like.
    step = distance / camera.focal_length_px
    assert step.mean() == pytest.approx(expected(reference, "geometry", "mean column"), rel=5e-4)
    entry = next(e for e in reference["expectations"] if e["quantity"].startswith("mean column pixel"))["extra"]
    assert step.min() == pytest.approx(entry["min"], rel=1e-3)
    assert step.max() == pytest.approx(entry["max"], rel=1e-3)
    assert step[511:513, 671:673].mean() == pytest.approx(entry["center"], rel=5e-4)
    # Off the axis a pixel is smaller than that: by 2 % in the corners.
    area = pixel_area_m2(camera, x, y, distance)
    shrinks = np.sqrt(area) / step
    np.testing.assert_allclose(shrinks, off_axis_cosine(camera, x, y) ** 1.5, rtol=1e-9)
    assert shrinks.min() == pytest.approx(0.982, abs=5e-4)


def test_line_across_the_plume(reference: dict[str, Any], camera: CameraModel, plane: PlumePlane) -> None:
    x0, y0, x1, y1 = reference["common"]["line"]
    line = Line(name="line", start=(x0, y0), end=(x1, y1), normal="left").to_plume_line()
    assert round(line.length_px) == expected(reference, "line", "line length")
    assert line.normal[0] == pytest.approx(expected(reference, "line", "normal x"), abs=1e-12)
    assert line.normal[1] == pytest.approx(expected(reference, "line", "normal y"), abs=1e-12)
    direction = math.degrees(math.atan2(line.normal[0], -line.normal[1])) % 360
    assert direction == pytest.approx(expected(reference, "line", "normal_theta"), abs=1e-9)
    assert line == PlumeLine.straight("line", (x0, y0), (x1, y1), (-1, 0))
    x, y, _, along, spacing = sample_positions(line)
    assert x.size * spacing == pytest.approx(line.length_px, rel=1e-12)
    distance = plume_distance_m(camera, plane, x, y)
    piece = step_length_m(camera, x, y, distance, (along[:, 0], along[:, 1])) * spacing
    assert piece.sum() == pytest.approx(line.length_px * distance.mean() / camera.focal_length_px, rel=0.01)
