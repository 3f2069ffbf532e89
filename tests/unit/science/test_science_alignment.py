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
from so2cam.simulate.scenario import Misregistration, Scenario, Terrain, Viewpoint, load_scenario
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
    terrain = render_terrain(mountain(), Terrain(), x, y)
    cover, brightness = terrain.cover.astype(np.float64), terrain.brightness.astype(np.float64)
    surface = np.interp(brightness, (0.24, 0.62), ground)
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
    assert apart.rms_px < 0.05
    assert result.uncertainty_px < 0.05


def test_fractional_shift_is_not_biased_towards_whole_pixels() -> None:
    on, valid_on = on_image()
    for shift in (0.25, 0.5, 0.75):
        off, valid_off = render(Band.OFF, matrix_about_centre((shift, -shift)), ground=SAME, noise=0)
        result = align(on, off, valid_on, valid_off, model="translation")
        np.testing.assert_allclose(result.matrix[:, 2], (shift, -shift), atol=0.02)


@cache
def volcano(elevation_deg: float = 10.0, aerosol: float = 0.03) -> tuple[Scenario, Scene]:
    scenario = load_scenario("baseline")
    scenario = scenario.model_copy(
        update={
            "view": scenario.view.model_copy(update={"elevation_deg": elevation_deg}),
            "plume": scenario.plume.model_copy(update={"aerosol_optical_depth": aerosol}),
        }
    )
    return scenario, build_scene(scenario, seed=1, pairs=3)


def photograph(camera: BandCamera, kind: FrameKind, time_s: float, seed: int) -> Image:
    dark = camera.expected(FrameKind.DARK, 0.0)
    counts = camera.record(camera.expected(kind, time_s), np.random.default_rng(seed))
    signal = counts.astype(np.float32) - dark
    return signal, (counts < 1023) & (signal > 3)


def off_camera(scenario: Scenario, scene: Scene, misregistration: Misregistration) -> tuple[BandCamera, FloatArray]:
    matrix = registration_matrix(misregistration, scene.geometry.optics)
    sensor = scenario.sensor
    settings = BandSettings(sensor.exposure_off_s, sensor.sky_level_off_dn, matrix)
    return BandCamera(Band.OFF, scenario, scene.geometry, scene.field, settings), np.array(matrix)


@pytest.mark.parametrize(
    ("shift", "rotation"),
    [((0.0, 0.0), 0.0), ((12.0, -9.0), 1.0), ((-100.0, -100.0), -3.0), ((100.0, 80.0), 3.0), ((-16.0, 88.0), 0.7)],
)
def test_simulated_frames_with_a_plume_that_moves_between_them(shift: tuple[float, float], rotation: float) -> None:
    scenario, scene = volcano()
    camera, matrix = off_camera(scenario, scene, Misregistration(rotation_deg=rotation, shift_px=shift))
    on, valid_on = photograph(scene.cameras[0], FrameKind.PLUME, 2.0, 1)
    off, valid_off = photograph(camera, FrameKind.PLUME, 4.0, 2)
    result = align(on, off, valid_on, valid_off)
    assert result.status == "ok"
    apart = displacement_between(result.matrix, matrix, SHAPE)
    assert apart.rms_px < 0.05
    assert apart.rms_px < 4 * result.uncertainty_px
    assert result.correlation > 0.95


def test_simulated_baseline_from_its_scenario() -> None:
    scenario = load_scenario("baseline").model_copy(
        update={"misregistration": Misregistration(rotation_deg=-2.0, shift_px=(-33.3, 21.7))}
    )
    scene = build_scene(scenario, seed=2, pairs=1)
    frames = [photograph(camera, FrameKind.PLUME, 1.0, seed) for seed, camera in enumerate(scene.cameras)]
    result = align(frames[0][0], frames[1][0], frames[0][1], frames[1][1])
    assert result.status == "ok"
    assert displacement_between(result.matrix, np.array(scene.matrix), SHAPE).rms_px < 0.1


def test_matrix_is_the_one_that_warp_to_on_band_takes() -> None:
    on, valid_on = on_image()
    matrix = matrix_about_centre((20, -30), 1.5)
    off, valid_off = render(Band.OFF, matrix, ground=SAME)
    result = align(on, off, valid_on, valid_off)
    warped, covered = warp_to_on_band(off, valid_off, result.matrix)
    again = align(on, warped, valid_on, covered)
    assert again.status == "ok"
    assert displacement_between(again.matrix, np.eye(2, 3), SHAPE).maximum_px < 0.03


def test_units_of_the_intensities_do_not_matter() -> None:
    on, valid_on = on_image()
    off, valid_off = render(Band.OFF, matrix_about_centre((5, 6), 1), ground=SAME)
    one = align(on, off, valid_on, valid_off)
    other = align(on * np.float32(1e-3), off * np.float32(50), valid_on, valid_off)
    assert displacement_between(one.matrix, other.matrix, SHAPE).maximum_px < 0.005


def test_masked_parts_and_specks_of_dust_do_not_pull() -> None:
    on, valid_on = on_image()
    matrix = matrix_about_centre((12, 30), 1)
    off, valid_off = render(Band.OFF, matrix, ground=SAME)
    rng = np.random.default_rng(3)
    dusty_on, dusty_off, known = on.copy(), off.copy(), valid_off.copy()
    for image in (dusty_on, dusty_off):
        for x, y in zip(rng.integers(5, 640, 60), rng.integers(5, 480, 60), strict=True):
            image[y - 1 : y + 2, x - 1 : x + 2] *= np.float32(0.5)
    known[:, 400:] = False
    dusty_off[:, 400:] = np.nan
    result = align(dusty_on, dusty_off, valid_on, known)
    assert result.status == "ok"
    assert displacement_between(result.matrix, matrix, plume_and_terrain()).rms_px < 0.1


def clouds(seed: int) -> Image:
    rng = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(SHAPE[0])[:, None], np.fft.rfftfreq(SHAPE[1])[None]
    spectrum = np.fft.rfft2(rng.standard_normal(SHAPE)) / np.maximum(np.hypot(y, x), 1e-3) ** 1.2
    field = np.fft.irfft2(spectrum, SHAPE)
    return (600 * np.exp(0.3 * field / field.std())).astype(np.float32), np.ones(SHAPE, np.bool_)


MODELS: tuple[TransformModel, ...] = ("translation", "euclidean", "similarity", "affine")


@pytest.mark.parametrize("model", MODELS)
def test_nothing_in_common_is_never_ok(model: TransformModel) -> None:
    on, valid_on = on_image()
    off, valid_off = render(Band.OFF, np.eye(2, 3), ground=SAME)
    mirrored = np.ascontiguousarray(off[:, ::-1]), np.ascontiguousarray(valid_off[:, ::-1])
    pairs = [(clouds(seed), clouds(seed + 50)) for seed in range(3)]
    pairs += [((on, valid_on), clouds(9)), (clouds(9), (off, valid_off)), ((on, valid_on), mirrored)]
    for first, second in pairs:
        assert align(first[0], second[0], first[1], second[1], model=model).status in ("poor_match", "no_convergence")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", [FrameKind.CLEAR, FrameKind.PLUME])
def test_sky_alone_has_no_texture(model: TransformModel, kind: FrameKind) -> None:
    _, scene = volcano(elevation_deg=26.0)
    frames = [photograph(camera, kind, 2.0, seed) for seed, camera in enumerate(scene.cameras)]
    result = align(frames[0][0], frames[1][0], frames[0][1], frames[1][1], model=model)
    assert result.status == "no_texture"
    assert np.isnan(result.matrix).all()
    assert math.isnan(result.uncertainty_px)


@pytest.mark.parametrize("later_s", [2.0, 5.0])
@pytest.mark.parametrize("aerosol", [0.3, 1.2])
def test_opaque_plume_that_moves_does_not_pull(aerosol: float, later_s: float) -> None:
    scenario, scene = volcano(elevation_deg=13.5, aerosol=aerosol)
    on, valid_on = photograph(scene.cameras[0], FrameKind.PLUME, 2.0, 1)
    camera, matrix = off_camera(scenario, scene, Misregistration(rotation_deg=1.0, shift_px=(12, -9)))
    off, valid_off = photograph(camera, FrameKind.PLUME, 2.0 + later_s, 2)
    for model in ("euclidean", "similarity"):
        result = align(on, off, valid_on, valid_off, model=model)  # type: ignore[arg-type]
        assert result.status == "ok"
        assert displacement_between(result.matrix, matrix, SHAPE).rms_px < 0.05


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("later_s", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("elevation_deg", [20.0, 24.0])
def test_thick_plume_without_terrain_is_never_ok_at_a_wrong_place(
    model: TransformModel, later_s: float, elevation_deg: float
) -> None:
    scenario, scene = volcano(elevation_deg=elevation_deg, aerosol=0.3)
    camera, matrix = off_camera(scenario, scene, Misregistration(rotation_deg=0, shift_px=(6, -4)))
    on, valid_on = photograph(scene.cameras[0], FrameKind.PLUME, 2.0, 1)
    off, valid_off = photograph(camera, FrameKind.PLUME, 2.0 + later_s, 2)
    result = align(on, off, valid_on, valid_off, model=model)
    assert result.status != "ok" or displacement_between(result.matrix, matrix, SHAPE).rms_px < 0.5


def test_empty_and_uniform_images_have_no_texture() -> None:
    on, valid_on = on_image()
    nothing = np.zeros(SHAPE, np.bool_)
    flat = np.full(SHAPE, 500, np.float32)
    for first, second, known in ((on, on, nothing), (on, flat, valid_on), (on, np.full_like(on, np.nan), valid_on)):
        assert align(first, second, valid_on, known).status == "no_texture"
        assert align(second, first, known, valid_on).status == "no_texture"


def test_warps_beyond_the_bounds_do_not_converge() -> None:
    on, valid_on = on_image()
    for matrix in (matrix_about_centre((60, 0)), matrix_about_centre((0, 0), 4.0)):
        off, valid_off = render(Band.OFF, matrix, ground=SAME)
        result = align(on, off, valid_on, valid_off, maximum_shift_px=40, maximum_rotation_deg=2)
        assert result.status in ("no_convergence", "poor_match")
        assert align(on, off, valid_on, valid_off).status == "ok"


@pytest.mark.parametrize("model", ["translation", "euclidean"])
def test_a_model_that_is_too_stiff_is_not_ok(model: TransformModel) -> None:
    on, valid_on = on_image()
    off, valid_off = render(Band.OFF, matrix_about_centre((10, 20), 0.5, 0.985), ground=SAME)
    result = align(on, off, valid_on, valid_off, model=model)
    assert result.status in ("poor_match", "no_convergence")
    assert not result.uncertainty_px < 1
    assert align(on, off, valid_on, valid_off, model="similarity").status == "ok"


def test_terrain_correlation_falls_with_the_error() -> None:
    on, valid_on = on_image()
    matrix = matrix_about_centre((12, 30), 1)
    off, valid_off = render(Band.OFF, matrix, ground=SNOW_BRIGHTER)
    values = []
    for error in (0.0, 0.5, 1.0, 3.0, 20.0):
        moved = matrix + np.array([[0, 0, error], [0, 0, -error]])
        values.append(terrain_correlation(on, off, valid_on, valid_off, moved))
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.8
    assert values[-1] < 0.4
    assert math.isnan(terrain_correlation(on, off, valid_on, valid_off, matrix_about_centre((700, 0))))


def test_wrong_arguments() -> None:
    image, valid = on_image()
    with pytest.raises(ValueError, match="one shape"):
        align(image, image[:-1], valid, valid[:-1])
    with pytest.raises(ValueError, match="one shape"):
        align(image, image, valid, valid[:-1])
    with pytest.raises(ValueError, match="too small"):
        align(image[:20], image[:20], valid[:20], valid[:20])
    with pytest.raises(ValueError, match="unknown model"):
        align(image, image, valid, valid, model="projective")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="maximum_rotation_deg"):
        align(image, image, valid, valid, maximum_rotation_deg=60)
    with pytest.raises(ValueError, match="maximum_shift_px"):
        align(image, image, valid, valid, maximum_shift_px=-1)


def scattered_points(count: int, seed: int = 0) -> FloatArray:
    return np.asarray(np.random.default_rng(seed).uniform((0, 0), (647, 485), (count, 2)), np.float64)


def moved(matrix: FloatArray, points: npt.NDArray[np.float64]) -> FloatArray:
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float64)


@pytest.mark.parametrize(
    ("model", "matrix", "count"),
    [
        ("translation", matrix_about_centre((-12.5, 88)), 1),
        ("euclidean", matrix_about_centre((-12.5, 88), 170), 2),
        ("similarity", matrix_about_centre((-12.5, 88), -3, 0.98), 2),
        ("affine", matrix_about_centre((-12.5, 88), -3, 0.98, (0.02, 0.03)), 3),
        ("affine", matrix_about_centre((-12.5, 88), -3, 0.98, (0.02, 0.03)), 12),
    ],
)
def test_exact_control_points_give_their_matrix(model: TransformModel, matrix: FloatArray, count: int) -> None:
    points = scattered_points(count)
    result = fit_control_points(points, moved(matrix, points), model=model)
    np.testing.assert_allclose(result.matrix, matrix, atol=1e-9)
    assert (result.status, result.model) == ("ok", model)
    assert result.residual_px == pytest.approx(0, abs=1e-9)
    assert math.isnan(result.correlation)
    assert result.uncertainty_px > 0


@pytest.mark.parametrize(
    ("model", "parameters"), [("translation", 2), ("euclidean", 3), ("similarity", 4), ("affine", 6)]
)
def test_control_points_uncertainty_is_what_repeated_fits_scatter_by(model: TransformModel, parameters: int) -> None:
    points, matrix = scattered_points(10, 4), matrix_about_centre((-12.5, 88), 1.0 if model != "translation" else 0)
    rng = np.random.default_rng(5)
    squared, stated = [], []
    for _ in range(200):
        off = moved(matrix, points) + rng.normal(0, 0.7, points.shape)
        result = fit_control_points(points, off, model=model, uncertainty_px=0.7)
        squared.append(displacement_between(result.matrix, matrix, points).rms_px ** 2)
        stated.append(result.uncertainty_px)
    # The trace of the hat matrix: each parameter costs one variance, shared by the points.
    expected = 0.7 * math.sqrt(parameters / 10)
    assert math.sqrt(np.mean(squared)) == pytest.approx(expected, rel=0.1)
    assert np.mean(stated) == pytest.approx(expected, rel=0.15)


def test_an_outlier_makes_a_poor_match_and_shows_in_the_residuals() -> None:
    points, matrix = scattered_points(8), matrix_about_centre((3, 4), 2)
    off = moved(matrix, points)
    off[5] += (25, -10)
    result = fit_control_points(points, off, model="euclidean")
    residuals = control_point_residuals(result.matrix, points, off)
    assert result.status == "poor_match"
    assert int(np.argmax(residuals)) == 5
    assert result.residual_px == pytest.approx(math.sqrt(np.mean(residuals**2)))
    keep = np.arange(8) != 5
    assert fit_control_points(points[keep], off[keep], model="euclidean").status == "ok"


def test_control_points_that_determine_nothing() -> None:
    points = scattered_points(5)
    for model, count in (("euclidean", 1), ("similarity", 1), ("affine", 2), ("translation", 0)):
        with pytest.raises(ValueError, match="at least"):
            fit_control_points(points[:count], points[:count], model=model)  # type: ignore[arg-type]
    line = np.stack([np.arange(5.0), 2 * np.arange(5.0)], axis=1)
    with pytest.raises(ValueError, match="one line"):
        fit_control_points(line, line, model="affine")
    assert fit_control_points(line, line, model="similarity").status == "ok"
    with pytest.raises(ValueError, match="coincide"):
        fit_control_points(np.ones((4, 2)), points[:4], model="euclidean")
    with pytest.raises(ValueError, match="in the off band"):
        fit_control_points(points, points[:4], model="euclidean")
    with pytest.raises(ValueError, match="shape"):
        fit_control_points(points[:, :1], points[:, :1], model="euclidean")
    with pytest.raises(ValueError, match="finite"):
        fit_control_points(points * np.nan, points, model="euclidean")
    with pytest.raises(ValueError, match="uncertainty_px"):
        fit_control_points(points, points, model="euclidean", uncertainty_px=0)
    with pytest.raises(ValueError, match="unknown model"):
        fit_control_points(points, points, model="projective")  # type: ignore[arg-type]


def test_displacement_between_matrices() -> None:
    apart = displacement_between(matrix_about_centre((3, 4)), np.eye(2, 3), SHAPE)
    assert (apart.rms_px, apart.maximum_px) == pytest.approx((5, 5))
    turned = displacement_between(matrix_about_centre((0, 0), 1), np.eye(2, 3), SHAPE)
    chord = 2 * math.sin(math.radians(0.5))
    assert turned.maximum_px == pytest.approx(chord * math.hypot(*CENTRE))
    assert turned.rms_px == pytest.approx(chord * math.sqrt((648**2 - 1) / 12 + (486**2 - 1) / 12))
    at_centre = displacement_between(matrix_about_centre((0, 0), 1), np.eye(2, 3), CENTRE[None])
    assert at_centre.maximum_px == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="no points"):
        displacement_between(np.eye(2, 3), np.eye(2, 3), np.zeros((0, 2)))
