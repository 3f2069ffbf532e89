"""Sampling along lines, and the lines' size at the plume."""

import math

import numpy as np
import pytest

from so2cam.core.records import PlumeLine
from so2cam.science.emission.lines import line_samples, sample_image, sample_positions
from so2cam.science.geometry.camera import CameraModel
from so2cam.science.geometry.plume import DistanceUncertainty, PlumePlane

ROWS, COLUMNS = 90, 120
Y, X = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float64)
EVERYWHERE = np.ones((ROWS, COLUMNS), np.bool_)
SIGMA = DistanceUncertainty(50.0, math.radians(1.0), math.radians(20.0))


def line(start: tuple[float, float], end: tuple[float, float]) -> PlumeLine:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    return PlumeLine.straight("line", start, end, (-dy / length, dx / length))


@pytest.mark.parametrize("angle_deg", range(0, 360, 20))
@pytest.mark.parametrize("length", [4.0, 37.3, 100.0])
def test_samples_times_spacing_is_the_true_length_at_any_angle(angle_deg: int, length: float) -> None:
    end = (60 + length * math.cos(math.radians(angle_deg)), 45 + length * math.sin(math.radians(angle_deg)))
    x, y, position, _, spacing = sample_positions(line((60.0, 45.0), end))
    assert x.size * spacing == pytest.approx(length, rel=1e-12)
    assert 0.75 < spacing <= 1.0 + 1e-9
    np.testing.assert_allclose(np.hypot(np.diff(x), np.diff(y)), spacing, rtol=1e-9)
    np.testing.assert_allclose(position * length, np.hypot(x - 60, y - 45), rtol=1e-9)
    assert x.mean() == pytest.approx((60 + end[0]) / 2)
    assert y.mean() == pytest.approx((45 + end[1]) / 2)


@pytest.mark.parametrize("angle_deg", [0, 30, 45, 63, 90])
def test_an_integral_over_a_line_does_not_depend_on_its_angle(angle_deg: int) -> None:
    # A round Gaussian, integrated through its centre: sigma sqrt(2 pi) whatever the angle.
    sigma = 6.0
    image = np.exp(-((X - 60) ** 2 + (Y - 45) ** 2) / (2 * sigma**2)).astype(np.float32)
    dx, dy = 40 * math.cos(math.radians(angle_deg)), 40 * math.sin(math.radians(angle_deg))
    x, y, _, _, spacing = sample_positions(line((60 - dx, 45 - dy), (60 + dx, 45 + dy)))
    profile = sample_image(image, EVERYWHERE, x, y)
    # Bilinear interpolation flattens a peak of this width by at most 1 / (4 sigma^2).
    assert profile.sum() * spacing == pytest.approx(sigma * math.sqrt(2 * math.pi), rel=0.008)


def test_a_plane_is_sampled_exactly() -> None:
    image = (2 + 0.25 * X - 0.125 * Y).astype(np.float32)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, COLUMNS - 1, 500), rng.uniform(0, ROWS - 1, 500)
    np.testing.assert_allclose(sample_image(image, EVERYWHERE, x, y), 2 + 0.25 * x - 0.125 * y, rtol=1e-6)


def test_corners_and_edges_belong_to_the_image_and_what_is_beyond_does_not() -> None:
    image = (X + 1000 * Y).astype(np.float32)
    x = np.array([0.0, COLUMNS - 1, 0.0, COLUMNS - 1, -0.01, COLUMNS - 0.99, 5.0, 5.0, -300.0])
    y = np.array([0.0, 0.0, ROWS - 1, ROWS - 1, 5.0, 5.0, -0.01, ROWS - 0.99, 1e6])
    result = sample_image(image, EVERYWHERE, x, y)
    np.testing.assert_array_equal(result[:4], (x + 1000 * y)[:4])
    assert np.isnan(result[4:]).all()


def test_a_sample_with_any_invalid_pixel_in_it_is_nan_and_others_are_untouched() -> None:
    image = np.full((ROWS, COLUMNS), 3.0, np.float32)
    valid = EVERYWHERE.copy()
    image[20, 30], valid[20, 30] = 1e9, False
    image[50, 60], valid[50, 60] = np.nan, False
    x = np.array([30.0, 29.5, 30.99, 31.0, 29.0, 60.2, 61.0, 30.0])
    y = np.array([20.0, 20.0, 19.01, 20.0, 20.5, 50.3, 51.0, 21.0])
    expected = [True, True, True, False, False, True, False, False]
    result = sample_image(image, valid, x, y)
    assert np.isnan(result).tolist() == expected
    assert (result[~np.isnan(result)] == 3).all()


def model(scale: float = 1.0) -> CameraModel:
    return CameraModel(
        round(648 * scale), round(486 * scale), 1300.0 * scale, math.radians(175), math.radians(12), math.radians(2)
    )


PLANE = PlumePlane(5500.0, math.radians(178), math.radians(175))


def test_pieces_add_up_to_the_distance_between_the_ends_at_the_plume() -> None:
    # Seen on the axis and short, a line of 40 px is 40 d / f long.
    samples = line_samples(line((323.5, 222.5), (323.5, 262.5)), model(), PLANE, SIGMA)
    distance = 5500 * math.cos(math.radians(3)) / math.cos(math.radians(12))
    assert samples.distance_m.mean() == pytest.approx(distance, rel=1e-3)
    assert samples.piece_m.sum() == pytest.approx(40 * distance / 1300, rel=2e-3)
    np.testing.assert_allclose(samples.normal_step_m, distance / 1300, rtol=5e-3)


def test_binning_the_image_changes_neither_lengths_nor_distances_nor_their_uncertainty() -> None:
    start, end = (180.5, 60.5), (240.5, 300.5)
    full = line_samples(line(start, end), model(), PLANE, SIGMA)
    binned_ends = [((x - 0.5) / 2, (y - 0.5) / 2) for x, y in (start, end)]
    half = line_samples(line(*binned_ends), model(0.5), PLANE, SIGMA)
    assert half.x.size == pytest.approx(full.x.size / 2, abs=1)
    assert half.distance_m.mean() == pytest.approx(full.distance_m.mean(), rel=1e-6)
    assert half.piece_m.sum() == pytest.approx(full.piece_m.sum(), rel=1e-6)
    assert half.normal_step_m.mean() == pytest.approx(2 * full.normal_step_m.mean(), rel=1e-6)
    assert half.relative_distance_uncertainty == pytest.approx(full.relative_distance_uncertainty, rel=1e-6)
    assert full.relative_distance_uncertainty > 0.005


def test_a_piece_times_a_step_along_the_normal_is_an_area() -> None:
    upright = line_samples(line((100.0, 100.0), (100.0, 180.0)), model(), PLANE, SIGMA)
    level = line_samples(line((60.0, 140.0), (140.0, 140.0)), model(), PLANE, SIGMA)
    # Both cross at (100, 140), where a pixel sees one area whatever line it belongs to.
    areas = [np.interp(0.5, samples.position, samples.piece_m * samples.normal_step_m) for samples in (upright, level)]
    assert areas[0] == pytest.approx(areas[1], rel=1e-4)


def test_a_line_that_does_not_meet_the_plane_has_no_size() -> None:
    away = PlumePlane(5500.0, math.radians(-2), math.radians(-5))
    samples = line_samples(line((100.0, 100.0), (100.0, 180.0)), model(), away, SIGMA)
    assert np.isnan(samples.piece_m).all()
    assert np.isnan(samples.relative_distance_uncertainty)
