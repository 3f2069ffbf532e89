import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.core.records import PlumeLine
from so2cam.simulate import list_scenarios, load_scenario
from so2cam.simulate.lines import LineInPlane, map_line
from so2cam.simulate.run import Scene, build_scene
from so2cam.simulate.truth import measure_truth


@pytest.fixture(scope="module")
def scene() -> Scene:
    return build_scene(load_scenario("baseline"), seed=7, pairs=24)


def lines_in_plane(scene: Scene, samples: int = 4000) -> list[LineInPlane]:
    return [map_line(line.to_plume_line(), scene.field.axis, scene.geometry, samples) for line in scene.lines]


def signed_distance(line: PlumeLine, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x - line.start[0]) * line.normal[0] + (y - line.start[1]) * line.normal[1]


def test_mass_between_the_lines_changes_by_what_flows_in_and_out(scene: Scene) -> None:
    upstream, downstream = lines_in_plane(scene)
    records = [line.to_plume_line() for line in scene.lines]
    cell_m = 1.5
    centre = scene.field.axis.position(780.0)
    a, z = np.meshgrid(
        np.arange(centre[0] - 600, centre[0] + 600, cell_m), np.arange(centre[1] - 600, centre[1] + 600, cell_m)
    )
    x, y = scene.geometry.to_image(a, z)
    between = (signed_distance(records[0], x, y) > 0) & (signed_distance(records[1], x, y) <= 0)
    a, z = a[between], z[between]
    first, last = 10.0, 50.0
    times = np.linspace(first, last, 161)
    change = [float(scene.field.density(a, z, time).sum()) * cell_m**2 for time in (first, last)]
    net = [upstream.emission_rate(scene.field, t) - downstream.emission_rate(scene.field, t) for t in times]
    through = np.trapezoid([upstream.emission_rate(scene.field, t) for t in times], times)
    assert abs((change[1] - change[0]) - np.trapezoid(net, times)) < 0.002 * through
    assert abs(change[1] - change[0]) > 0.01 * through


def test_what_crosses_a_section_across_the_axis_left_the_vent_earlier(scene: Scene) -> None:
    field, axis = scene.field, scene.field.axis
    time_s, distance_m = 61.3, 640.0
    a0, z0 = axis.position(distance_m)
    half = axis.half_width_at(distance_m)
    n = (np.arange(20000) + 0.5) / 20000 * 2 * half - half
    density = field.density(a0 + n * axis.across[0], z0 + n * axis.across[1], time_s)
    rate = density.sum() * (2 * half / 20000) * axis.speed_m_s
    s = float(axis.coordinates(np.array(a0), np.array(z0))[0])
    emitted = np.interp(
        time_s - s / axis.speed_m_s,
        field.theta_start_s + field.theta_step_s * np.arange(field.emission_kg_s.size),
        field.emission_kg_s,
    )
    assert rate == pytest.approx(emitted, rel=1e-5)


def test_the_continuity_equation_holds_at_points(scene: Scene) -> None:
    field, axis = scene.field, scene.field.axis
    rng = np.random.default_rng(3)
    along, across = rng.uniform(300, 1200, 400), rng.uniform(-0.6, 0.6, 400)
    start_a, start_z = axis.origin
    width = axis.half_width_m + axis.opening * along
    a = start_a + along * axis.along[0] + across * width * axis.across[0]
    z = start_z + along * axis.along[1] + across * width * axis.across[1]
    time_s, step = 40.0, 3.0
    ahead_a, ahead_z = a.copy(), z.copy()
    for _ in range(300):
        va, vz = axis.velocity(ahead_a, ahead_z)
        ahead_a, ahead_z = ahead_a + va * step / 300, ahead_z + vz * step / 300
    later = axis.half_width_m + axis.opening * (along + step * axis.speed_m_s)
    np.testing.assert_allclose(
        field.density(ahead_a, ahead_z, time_s + step) * later, field.density(a, z, time_s) * width, rtol=2e-3
    )


def test_truth_does_not_change_when_refined(scene: Scene) -> None:
    coarse, fine = lines_in_plane(scene, 4000), lines_in_plane(scene, 64000)
    for time_s in (0.2, 37.7, 115.2):
        for one, other in zip(coarse, fine, strict=True):
            rate = other.emission_rate(scene.field, time_s)
            amount = other.integrated_column_amount(scene.field, time_s)
            assert one.emission_rate(scene.field, time_s) == pytest.approx(rate, rel=1e-5)
            assert one.integrated_column_amount(scene.field, time_s) == pytest.approx(amount, rel=1e-5)


@pytest.mark.parametrize("name", list_scenarios())
def test_mean_emission_columns_and_line_ends_are_as_designed(name: str) -> None:
    scenario = load_scenario(name)
    pairs = 240
    scene = build_scene(scenario, seed=1, pairs=pairs)
    lines = tuple(lines_in_plane(scene))
    truth = measure_truth(scenario, 1, scene.field, lines, pairs, scene.matrix)
    for line, plane in zip(truth.lines, lines, strict=True):
        assert line.mean_emission_rate_kg_s == pytest.approx(scenario.emission.mean_kg_s, rel=0.05)
        assert 0.1 < line.emission_rate_kg_s.std() / scenario.emission.mean_kg_s < 0.35
        assert np.all((line.speed_m_s > 0.85 * scenario.plume.speed_m_s) & (line.speed_m_s < scenario.plume.speed_m_s))
        end = round(0.12 * plane.a.size)
        _, eta, _ = scene.field.axis.coordinates(plane.a, plane.z)
        assert np.all(np.abs(np.concatenate([eta[:end], eta[-end:]])) > 1)
        per_rate = np.mean(line.peak_column_molec_cm2) / scenario.emission.mean_kg_s
        assert 0.3e18 < per_rate < 0.5e18
    column = scene.cameras[0].slant_column(100.0)
    free = (column == 0) & (scene.cameras[0].terrain_share == 0)
    assert np.mean(free) > 0.4


def test_a_longer_sequence_begins_in_the_same_way(scene: Scene) -> None:
    longer = build_scene(load_scenario("baseline"), seed=7, pairs=48)
    table = scene.field.table
    np.testing.assert_array_equal(longer.field.table[: table.shape[0]], table)


def test_pixels_and_points_see_the_same_plume(scene: Scene) -> None:
    camera = scene.cameras[0]
    y, x = np.mgrid[:486, :648].astype(float)
    points = scene.geometry.to_plane(x, y)
    columns = scene.field.density(points.a, points.z, 33.2) / points.ray[1] / 1.0638e-21
    image = camera.slant_column(33.2)
    np.testing.assert_allclose(image, columns, rtol=1e-3, atol=2e-4 * columns.max())
    assert abs(image.sum(dtype=float) / columns.sum() - 1) < 2e-5


def test_times_and_lengths_beyond_the_table_are_refused(scene: Scene) -> None:
    a, z = (np.array([value]) for value in scene.field.axis.position(600.0))
    with pytest.raises(ValueError, match="not at -1"):
        scene.field.density(a, z, -1.0)
    far_a, far_z = (np.array([value]) for value in scene.field.axis.position(6000.0))
    with pytest.raises(ValueError, match="beyond the part"):
        scene.field.density(far_a, far_z, 1.0)
    with pytest.raises(InputError, match="too long"):
        build_scene(load_scenario("baseline"), seed=1, pairs=90_000)
