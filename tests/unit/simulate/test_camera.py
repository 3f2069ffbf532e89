import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import map_coordinates

from so2cam.core.records import FrameKind
from so2cam.core.units import molec_cm2_per_ppm_m
from so2cam.simulate import Scenario, load_scenario
from so2cam.simulate.lines import map_line
from so2cam.simulate.run import Scene, build_scene

Image = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return build_scene(load_scenario("baseline"), seed=3, pairs=4)


def signal(scene: Scene, band: int, kind: FrameKind, time_s: float, cell: float = 0.0) -> Image:
    camera = scene.cameras[band]
    return camera.expected(kind, time_s, cell).astype(float) - camera.expected(FrameKind.DARK, time_s)


def test_clear_sky_lies_where_a_camera_would_expose_it(scene: Scene) -> None:
    for camera in scene.cameras:
        counts = camera.record(camera.expected(FrameKind.CLEAR, -300.0), np.random.default_rng(0))
        assert counts.dtype == np.uint16
        assert counts.shape == (486, 648)
        assert 600 < counts[150:330, 200:450].mean() < 760
        assert counts.max() < 1000
        assert counts.min() > 200


def test_noise_is_shot_noise_and_read_noise(scene: Scene) -> None:
    camera = scene.cameras[0]
    for kind, read in ((FrameKind.CLEAR, 0.3), (FrameKind.DARK, 0.3)):
        expected = camera.expected(kind, 0.0)
        one, two = (camera.record(expected, np.random.default_rng(seed)).astype(float) for seed in (1, 2))
        light = expected - camera.expected(FrameKind.DARK, 0.0)
        variance = np.mean(light) / 67 + read**2 + 1 / 12
        assert np.std(one - two) / np.sqrt(2) == pytest.approx(np.sqrt(variance), rel=0.02)


def test_counts_saturate_at_the_end_of_the_scale() -> None:
    bright = load_scenario("baseline").model_copy()
    sensor = bright.sensor.model_copy(update={"sky_level_on_dn": 1100.0})
    camera = build_scene(bright.model_copy(update={"sensor": sensor}), seed=1, pairs=1).cameras[0]
    counts = camera.record(camera.expected(FrameKind.CLEAR, 0.0), np.random.default_rng(0))
    assert counts.max() == 1023
    assert 0.05 < np.mean(counts == 1023) < 0.9


def test_cells_give_beer_lambert_in_both_bands(scene: Scene) -> None:
    cells = load_scenario("baseline").cells
    column = 1200 * molec_cm2_per_ppm_m()
    depth = [
        np.log(signal(scene, band, FrameKind.CELL, 0.0) / signal(scene, band, FrameKind.CELL, 0.0, column))
        for band in (0, 1)
    ]
    np.testing.assert_allclose(depth[0], cells.cross_section_on_cm2 * column, rtol=1e-4)
    np.testing.assert_allclose(depth[0] - depth[1], column / 7.142857e18, rtol=1e-4)


def test_the_off_band_sees_the_same_scene_through_the_matrix(scene: Scene) -> None:
    matrix = np.array(scene.matrix)
    on, off = scene.cameras
    y, x = np.mgrid[:486, :648].astype(float)
    there = np.tensordot(matrix[:, :2], np.stack([x, y]), axes=1) + matrix[:, 2][:, None, None]
    inside = (there[0] > 2) & (there[0] < 645) & (there[1] > 2) & (there[1] < 483)
    mapped = map_coordinates(off.slant_column(7.0), there[::-1], order=3)
    column = on.slant_column(7.0)
    assert np.abs(mapped - column)[inside].mean() < 2e-3 * column.max()
    heights = [(485.5 - camera.terrain_share.sum(axis=0, dtype=float)) for camera in (on, off)]
    columns = np.arange(60.0, 600.0)
    points = matrix @ np.stack([columns, heights[0][60:600], np.ones(columns.size)])
    difference = np.interp(points[0], np.arange(648.0), heights[1]) - points[1]
    assert np.abs(difference).max() < 0.2
    assert abs(difference.mean()) < 0.02


def test_the_skyline_in_the_pictures_coincides_after_registration() -> None:
    scenario = load_scenario("ideal")
    turned = scenario.model_copy(update={"misregistration": load_scenario("baseline").misregistration})
    scene = build_scene(turned, seed=1, pairs=1)
    on = scene.cameras[0].expected(FrameKind.PLUME, 0.2)
    off = scene.cameras[1].expected(FrameKind.PLUME, 0.2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    registered = cv2.warpAffine(off, np.array(scene.matrix), (648, 486), flags=flags)
    skylines = []
    for image in (on, registered):
        rows = []
        for column in range(430, 600, 5):
            profile = image[:, column].astype(float)
            edge = int(np.argmin(np.diff(profile[300:480]))) + 300
            level = (profile[edge - 3] + profile[edge + 4]) / 2
            part = profile[edge - 3 : edge + 5]
            rows.append(edge - 3 + float(np.interp(-level, -part, np.arange(part.size))))
        skylines.append(np.array(rows))
    difference = skylines[1] - skylines[0]
    assert abs(np.median(difference)) < 0.05
    assert np.percentile(np.abs(difference), 90) < 0.3


def recovered_absorbance(scene: Scene, time_s: float) -> Image:
    depth = [
        np.log(signal(scene, band, FrameKind.CLEAR, time_s) / signal(scene, band, FrameKind.PLUME, time_s))
        for band in (0, 1)
    ]
    return depth[0] - depth[1]


def test_columns_come_back_from_ideal_pictures() -> None:
    scenario: Scenario = load_scenario("ideal")
    scene = build_scene(scenario, seed=5, pairs=6)
    time_s = 20.2
    absorbance = recovered_absorbance(scene, time_s)
    columns = absorbance / (scenario.cells.cross_section_on_cm2 - scenario.cells.cross_section_off_cm2)
    record = scene.lines[0].to_plume_line()
    truth = map_line(record, scene.field.axis, scene.geometry)
    steps = np.linspace(0, 1, 2001)
    x = record.start[0] + (record.end[0] - record.start[0]) * steps
    y = record.start[1] + (record.end[1] - record.start[1]) * steps
    profile = map_coordinates(columns, [y, x], order=1) * 1.0638e-21
    points = scene.geometry.to_plane(x, y)
    move = np.gradient(np.stack([points.a, np.zeros_like(x), points.z], axis=1), axis=0)
    across_m = np.linalg.norm(np.cross(move, points.ray.T), axis=1)
    amount = float(np.sum(profile * across_m))
    assert amount == pytest.approx(truth.integrated_column_amount(scene.field, time_s), rel=5e-4)


def test_aerosol_absorbs_alike_in_both_bands() -> None:
    scenario = load_scenario("ideal")
    hazy = scenario.model_copy(update={"plume": load_scenario("baseline").plume})
    sky = np.s_[150:300, 150:350]
    clean = recovered_absorbance(build_scene(scenario, seed=5, pairs=2), 5.2)[sky]
    scene = build_scene(hazy, seed=5, pairs=2)
    np.testing.assert_allclose(recovered_absorbance(scene, 5.2)[sky], clean, atol=1e-5)
    off = np.log(signal(scene, 1, FrameKind.CLEAR, 5.2) / signal(scene, 1, FrameKind.PLUME, 5.2))[sky]
    assert 0.02 < off.max() < 0.2


def test_the_sky_behind_the_plume_differs_from_the_clear_one_by_a_quadratic_surface(scene: Scene) -> None:
    y, x = np.mgrid[:486, :648].astype(float)
    for band in (0, 1):
        camera = scene.cameras[band]
        free = (camera.slant_column(5.0) == 0) & (camera.terrain_share == 0)
        change = np.log(signal(scene, band, FrameKind.CLEAR, -300.0) / signal(scene, band, FrameKind.PLUME, 5.0))
        u, v = (x / 324 - 1)[free], (y / 243 - 1)[free]
        terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
        solution = np.linalg.lstsq(terms, change[free], rcond=None)[0]
        assert np.std(change[free]) > 0.01
        np.testing.assert_allclose(terms @ solution, change[free], atol=2e-5)
