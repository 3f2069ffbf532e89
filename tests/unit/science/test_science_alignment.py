"""Registration from terrain and skyline, and from control points, against known matrices."""

import math
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from so2cam.core.records import Band, BoolImage, FloatArray, FloatImage, FrameKind
from so2cam.science.imaging.alignment import (
    TransformModel,
    align,
    control_point_residuals,
    displacement_between,
    fit_control_points,
    terrain_correlation,
)
from so2cam.science.imaging.registration import warp_to_on_band
from so2cam.simulate.camera import BandCamera, BandSettings
from so2cam.simulate.geometry import SceneGeometry, build_geometry, registration_matrix
from so2cam.simulate.run import Scene, build_scene
from so2cam.simulate.scenario import Misregistration, Scenario, Viewpoint, load_scenario
from so2cam.simulate.terrain import render_terrain

SHAPE = (486, 648)
CENTRE = np.array([(SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2])
Image = tuple[FloatImage, BoolImage]


def matrix_about_centre(
    shift: tuple[float, float] = (0, 0), rotation_deg: float = 0, scale: float = 1, shear: tuple[float, float] = (0, 0)
) -> FloatArray:
    angle = math.radians(rotation_deg)
    linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = linear @ np.array([[1 + shear[0], shear[1]], [0, 1]])
    return np.column_stack([linear, CENTRE - linear @ CENTRE + shift])


@cache
def mountain() -> SceneGeometry:
    return build_geometry(Viewpoint(elevation_deg=10.0))


def smooth(coefficients: tuple[float, ...]) -> FloatArray:
    """Return a field of the detector's own: vignetting about a centre of its own and a gradient."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float64)
    u, v = (x - CENTRE[0]) / 324 - coefficients[0], (y - CENTRE[1]) / 324 - coefficients[1]
    return np.asarray(np.exp(-coefficients[2] * (u**2 + v**2) + coefficients[3] * u + coefficients[4] * v), np.float64)


def render(
    band: Band, matrix: FloatArray, *, ground: tuple[float, float], plume_px: float = 0.0, noise: float = 0.005
) -> Image:
    """Return a mountain below sky and plume, each pixel the mean of four points; ``ground``: rock and snow."""
    y, x = np.mgrid[: 2 * SHAPE[0], : 2 * SHAPE[1]].astype(np.float64) / 2 - 0.25
    inverse = np.linalg.inv(matrix[:, :2])
    points = np.stack([x - matrix[0, 2], y - matrix[1, 2]])
    x, y = np.einsum("ij,jkl->ikl", inverse, points)
    cover, brightness = render_terrain(mountain(), x, y)
    surface = np.interp(brightness, (0.24, 0.62), ground, left=None, right=None)
    surface *= 1 + 0.3 * (brightness - 0.4)
    moved_x, moved_y = x + plume_px, y + plume_px
    texture = np.sin(moved_x / 5) * np.sin(moved_y / 7) + np.sin((moved_x + 2 * moved_y) / 11)
    across = (moved_y - 140 + 0.5 * (moved_x - 324)) / (20 + 0.1 * np.abs(moved_x - 324))
    depth = (0.5 if band is Band.ON else 0.06) * np.exp(-(across**2)) * (1 + 0.3 * texture)
    light = (1 - cover) * np.exp(-depth) + cover * surface
    light = light.reshape(SHAPE[0], 2, SHAPE[1], 2).mean(axis=(1, 3))
    light *= smooth((0.05, -0.1, 0.35, 0.1, 0.2) if band is Band.ON else (-0.1, 0.05, 0.2, -0.1, 0.35))
    light = 700 * np.asarray(cv2.GaussianBlur(light, (0, 0), 1.0 if band is Band.ON else 0.6), np.float64)
    rng = np.random.default_rng(7 if band is Band.ON else 8)
    light *= 1 + noise * rng.standard_normal(SHAPE)
    return light.astype(np.float32), light < 1020


@cache
def on_image() -> Image:
    return render(Band.ON, np.eye(2, 3), ground=(0.2, 0.55))


def plume_and_terrain() -> FloatArray:
    y, x = np.nonzero(np.ones(SHAPE, np.bool_))
    keep = (y > 60) & (x > 20) & (x < 628)
    return np.stack([x[keep], y[keep]], axis=1).astype(np.float64)


SAME, SNOW_BRIGHTER = (0.25, 0.6), (0.35, 1.2)


@pytest.mark.parametrize(
    ("model", "matrix", "ground", "plume_px"),
    [
        ("translation", matrix_about_centre((0.3, -0.7)), SAME, 5),
        ("translation", matrix_about_centre((-61.4, 37.2)), SNOW_BRIGHTER, 5),
        ("euclidean", matrix_about_centre((0, 0)), SAME, 0),
        ("euclidean", matrix_about_centre((12, 88), 1), SAME, 5),
        ("euclidean", matrix_about_centre((-15.6, 89.5), 0.45), SNOW_BRIGHTER, 0),
        ("euclidean", matrix_about_centre((100, 60), 3), SAME, 5),
        ("euclidean", matrix_about_centre((-100, -100), -3), SNOW_BRIGHTER, 5),
        ("similarity", matrix_about_centre((30, -20), 2, 1.02), SAME, 5),
        ("similarity", matrix_about_centre((-40, 70), -2, 0.98), SNOW_BRIGHTER, 5),
        ("affine", matrix_about_centre((20, 30), 1, 1.0, (0.015, -0.012)), SAME, 5),
        ("affine", matrix_about_centre((-60, -50), -2, 0.99, (-0.01, 0.012)), SNOW_BRIGHTER, 5),
    ],
)
def test_known_matrix_to_a_tenth_of_a_pixel(
    model: TransformModel, matrix: FloatArray, ground: tuple[float, float], plume_px: float
) -> None:
    on, valid_on = on_image()
    off, valid_off = render(Band.OFF, matrix, ground=ground, plume_px=plume_px)
    result = align(on, off, valid_on, valid_off, model=model)
    assert result.status == "ok"
    apart = displacement_between(result.matrix, matrix, plume_and_terrain())
    print(model, result.correlation, result.uncertainty_px, apart)
    assert apart.rms_px < 0.1
