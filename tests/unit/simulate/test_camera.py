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
from so2cam.simulate.terrain import cone_radius

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


def test_cells_absorb_as_the_bands_do(scene: Scene) -> None:
    column = 1200 * molec_cm2_per_ppm_m()
    depth = [
        np.log(signal(scene, band, FrameKind.CELL, 0.0) / signal(scene, band, FrameKind.CELL, 0.0, column))
        for band in (0, 1)
    ]
    for one, camera in zip(depth, scene.cameras, strict=True):
        np.testing.assert_allclose(one, -np.log(camera.light.cell_transmission(column)), rtol=1e-4)
    assert 0.90 < depth[0].mean() / (scene.cameras[0].light.cross_section_cm2 * column) < 0.98


def test_the_off_band_sees_the_same_scene_through_the_matrix(scene: Scene) -> None:
    matrix = np.array(scene.matrix)
    on, off = scene.cameras
    y, x = np.mgrid[:486, :648].astype(float)
    there = np.tensordot(matrix[:, :2], np.stack([x, y]), axes=1) + matrix[:, 2][:, None, None]
    inside = (there[0] > 2) & (there[0] < 645) & (there[1] > 2) & (there[1] < 483)
    inside &= on.terrain_share == 0
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
    grid = np.linspace(0, 4e18, 400)
    on, off = (camera.light.transmission(grid, 5200.0) for camera in scene.cameras)
    columns = np.interp(absorbance, np.log(off / on), grid)
    record = scene.lines[0].to_plume_line()
    truth = map_line(record, scene.geometry)
    steps = np.linspace(0, 1, 2001)
    x = record.start[0] + (record.end[0] - record.start[0]) * steps
    y = record.start[1] + (record.end[1] - record.start[1]) * steps
    profile = map_coordinates(columns, [y, x], order=1) * 1.0638e-21
    points = scene.geometry.to_plane(x, y)
    move = np.gradient(np.stack([points.a, np.zeros_like(x), points.z], axis=1), axis=0)
    across_m = np.linalg.norm(np.cross(move, points.ray.T), axis=1)
    amount = float(np.sum(profile * across_m))
    assert amount == pytest.approx(truth.integrated_column_amount(scene.field, time_s), rel=5e-4)


def test_aerosol_almost_cancels_between_the_bands() -> None:
    scenario = load_scenario("ideal")
    hazy = scenario.model_copy(update={"plume": load_scenario("baseline").plume})
    sky = np.s_[150:300, 150:350]
    clean = recovered_absorbance(build_scene(scenario, seed=5, pairs=2), 5.2)[sky]
    scene = build_scene(hazy, seed=5, pairs=2)
    extra = (recovered_absorbance(scene, 5.2)[sky] - clean).sum() / clean.sum()
    assert 0.005 < extra < 0.02
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


# --- terrain and dilution ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def diluted() -> Scene:
    scenario = load_scenario("diluted")
    sky = scenario.sky.model_copy(update={"drift": 0.0, "gradient": 0.0, "difference": 0.0})
    sensor = scenario.sensor.model_copy(update={"vignetting": 0.0, "dust": 0.0})
    return build_scene(scenario.model_copy(update={"sky": sky, "sensor": sensor}), seed=1)


def test_terrain_follows_the_formula_of_light_dilution(diluted: Scene) -> None:
    air = diluted.scenario.air
    ground, distances = [], []
    for band, centre in ((0, 313.0), (1, 330.0)):
        camera = diluted.cameras[band]
        clear = signal(diluted, band, FrameKind.CLEAR, 0.0)
        seen = signal(diluted, band, FrameKind.PLUME, 0.0) / clear
        distance = camera.terrain.distance_m
        whole = np.isfinite(distance) & (camera.terrain.layers[-1].cover > 0.999)
        ridge = np.isfinite(distance) & ~whole
        brightness = camera.terrain.brightness * (1.12 if band else 1.0)
        ratio = 310 / centre
        extinction = camera.light.extinction_per_m
        at_centre = air.extinction_310_per_m * (0.9 * ratio**4 + 0.1 * ratio**1.3)
        assert extinction == pytest.approx(at_centre, rel=0.01)
        share = 1 - np.exp(-extinction * distance.astype(float))
        expected = brightness * (1 - share) + share
        np.testing.assert_allclose(seen[whole], expected[whole], rtol=4e-3)
        np.testing.assert_allclose(seen[ridge], expected[ridge], rtol=8e-3)
        ground.append(seen[whole].mean())
        distances.append(distance[whole])
    assert ground[0] > ground[1] + 0.02, "the air before the mountain is bluer than the mountain"
    assert distances[0].min() < 4700 < 5000 < distances[0].max() < 5400
    assert {round(float(layer.distance_m.min()), -2) for layer in diluted.cameras[0].terrain.layers[:2]} == {1500, 2900}


def test_the_flank_is_where_its_rays_meet_the_cone(diluted: Scene) -> None:
    geometry, layer = diluted.geometry, diluted.cameras[0].terrain.layers[-1]
    y, x = np.nonzero(layer.cover > 0.999)
    keep = slice(None, None, 97)
    points = geometry.to_plane(x[keep].astype(float), y[keep].astype(float))
    share = layer.distance_m[y, x][keep] / points.distance
    right = share * (points.a + geometry.vent_right_m) - geometry.vent_right_m
    up = share * (points.z + geometry.vent_up_m) - geometry.vent_up_m
    away = (1 - share) * geometry.plane_distance_m
    on_flank = share < 0.995
    np.testing.assert_allclose(np.hypot(right, away)[on_flank], cone_radius(up)[on_flank], rtol=1e-3)
    assert on_flank.mean() > 0.5
    assert np.all(share <= 1.0001)


def test_dilution_makes_the_plume_paler(diluted: Scene) -> None:
    plain = diluted.scenario.air.model_copy(update={"extinction_310_per_m": 0.0})
    scene = build_scene(diluted.scenario.model_copy(update={"air": plain}), seed=1)
    with_air, without = recovered_absorbance(diluted, 5.2), recovered_absorbance(scene, 5.2)
    plume = (without > 0.05) & (diluted.cameras[0].terrain_share == 0)
    assert np.mean(with_air[plume] / without[plume]) == pytest.approx(0.7, abs=0.04)


def test_snow_is_brighter_than_the_sky_and_rock_darker() -> None:
    for name, low, high in (("snow", 1.0, 1.3), ("diluted", 0.05, 0.6)):
        scene = build_scene(load_scenario(name), seed=1)
        ratio = signal(scene, 1, FrameKind.PLUME, 0.0) / signal(scene, 1, FrameKind.CLEAR, 0.0)
        ground = scene.cameras[1].terrain_share > 0.999
        assert low < np.median(ratio[ground]) < high


# --- clouds, exposure, brightness --------------------------------------------------------------------------------


def test_clouds_drift_in_front_of_both_bands_alike_and_change_no_column() -> None:
    scenario = load_scenario("clouds")
    scene = build_scene(scenario, seed=2)
    still = build_scene(
        scenario.model_copy(update={"clouds": scenario.clouds.model_copy(update={"contrast": 0.0})}), seed=2
    )
    ratios = [
        np.log(signal(scene, band, FrameKind.PLUME, 9.0) / signal(still, band, FrameKind.PLUME, 9.0)) for band in (0, 1)
    ]
    open_sky = scene.cameras[0].terrain_share == 0
    cloudy = ratios[0][open_sky] > 0.02
    assert 0.1 < cloudy.mean() < 0.7
    assert ratios[1].max() < 0.23
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(ratios[1].astype(np.float32), np.array(scene.matrix), (648, 486), flags=flags)
    middle = np.s_[60:250, 60:580]
    np.testing.assert_allclose(moved[middle] * 0.75, ratios[0][middle], atol=0.012)
    np.testing.assert_array_equal(scene.cameras[0].slant_column(9.0), still.cameras[0].slant_column(9.0))
    later = np.log(signal(scene, 0, FrameKind.PLUME, 49.0) / signal(still, 0, FrameKind.PLUME, 49.0))
    speed = scenario.clouds.speed_px_s
    shift = np.array([[1.0, 0, 40 * speed[0]], [0, 1, 40 * speed[1]]])
    drifted = cv2.warpAffine(ratios[0].astype(np.float32), shift, (648, 486))
    np.testing.assert_allclose(drifted[middle], later[middle], atol=0.012)


def test_exposure_gain_and_brightness_scale_the_light(scene: Scene) -> None:
    camera = scene.cameras[0]
    one = signal(scene, 0, FrameKind.PLUME, 3.0)
    for changes, factor in (({"exposure_s": 0.1}, 0.25), ({"brightness": 2.0}, 2.0), ({"gain": 3.0}, 3.0)):
        dark = camera.expected(
            FrameKind.DARK, 3.0, **{key: value for key, value in changes.items() if key != "brightness"}
        )
        other = camera.expected(FrameKind.PLUME, 3.0, **changes) - dark
        np.testing.assert_allclose(other, factor * one, rtol=1e-4, atol=1e-3)
    long = camera.expected(FrameKind.PLUME, 3.0, exposure_s=4.0)
    assert np.mean(camera.record(long, np.random.default_rng(0), exposure_s=4.0) == 1023) > 0.9
    dark = [float(camera.expected(FrameKind.DARK, 0.0, exposure_s=time).mean()) for time in (0.1, 1.0)]
    assert dark[1] - dark[0] == pytest.approx(0.9 * 0.5, rel=1e-3)


def test_the_sky_goes_back_and_forth_in_a_run_of_days(scene: Scene) -> None:
    month = signal(scene, 0, FrameKind.CLEAR, 30 * 86400.0 + 3 * 3600)
    assert 0.5 < np.median(month / signal(scene, 0, FrameKind.CLEAR, 0.0)) < 2
