"""The plume: mass is kept exactly, whatever wind carries it, and truth and images read the same field."""

import numpy as np
import pytest

from so2cam.core.records import PlumeLine
from so2cam.simulate import Scenario, list_scenarios, load_scenario
from so2cam.simulate.lines import LineInPlane, map_line
from so2cam.simulate.plume import PlumeField
from so2cam.simulate.scene import Scene, build_scene
from so2cam.simulate.settings_plume import WindChanges

CARRIED = ("baseline", "pulsating-shear", "gusting", "turbulent", "two-vents")
"""One scenario of each kind of wind and source"""


def small(name: str) -> Scenario:
    """The scenario with a small image: nothing here looks at pixels, and building is quicker."""
    scenario = load_scenario(name)
    optics = scenario.view.optics.model_copy(update={"width_px": 81, "height_px": 60, "pixel_pitch_um": 44.8})
    return scenario.model_copy(
        update={
            "view": scenario.view.model_copy(update={"optics": optics}),
            "lines": scenario.lines.model_copy(update={"length_px": scenario.lines.length_px / 8}),
            "spectrometer": scenario.spectrometer.model_copy(
                update={"radius_px": 1.5, "across_px": scenario.spectrometer.across_px / 8}
            ),
        }
    )


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    return {name: build_scene(small(name), seed=7) for name in CARRIED}


@pytest.fixture(scope="module")
def scene() -> Scene:
    return build_scene(load_scenario("baseline"), seed=7)


def lines_in_plane(scene: Scene, samples: int = 4000) -> list[LineInPlane]:
    return [map_line(line.to_plume_line(), scene.geometry, samples) for line in scene.lines]


def signed_distance(line: PlumeLine, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x - line.start[0]) * line.normal[0] + (y - line.start[1]) * line.normal[1]


# --- conservation of mass ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CARRIED)
def test_mass_inside_a_closed_line_changes_by_what_flows_through_it(scenes: dict[str, Scene], name: str) -> None:
    scene = scenes[name]
    field, geometry = scene.field, scene.geometry
    centre = field.axis.position(780.0)
    corners = [(centre[0] + da, centre[1] + dz) for da, dz in ((-260, -170), (240, -190), (210, 160), (-240, 190))]
    pixels = [geometry.to_image(*corner) for corner in corners]
    points = tuple((float(x), float(y)) for x, y in pixels)
    # Seen in the image with y downward, the corners run against the clock: the right hand's side is outside.
    outline = PlumeLine("outline", (*points, points[0]), side=1)
    boundary = map_line(outline, geometry, 1500)
    cell_m = 2.0
    a, z = np.meshgrid(
        np.arange(centre[0] - 280, centre[0] + 260, cell_m), np.arange(centre[1] - 200, centre[1] + 200, cell_m)
    )
    a, z = a + cell_m / 2, z + cell_m / 2
    inside = np.ones(a.shape, np.bool_)
    for (a0, z0), (a1, z1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        inside &= (a1 - a0) * (z - z0) - (z1 - z0) * (a - a0) > 0
    a, z = a[inside], z[inside]
    first, last = 10.0, 40.0
    times = np.linspace(first, last, 241)
    mass = [float(field.density(a, z, time).sum()) * cell_m**2 for time in (first, last)]
    out = np.trapezoid([boundary.emission_rate(field, time) for time in times], times)
    through = 0.5 * np.trapezoid(
        [np.abs(np.sum(flux, axis=0)).sum() for flux in (_parts(boundary, field, time) for time in times)], times
    )
    assert abs((mass[1] - mass[0]) + out) < 0.003 * through
    assert through > 50


def _parts(line: LineInPlane, field: PlumeField, time: float) -> tuple[np.ndarray, np.ndarray]:
    _, flux_a, flux_z = field.flux(line.a, line.z, time)
    return flux_a * line.across_a, flux_z * line.across_z


@pytest.mark.parametrize("name", CARRIED)
def test_parcels_keep_their_column_times_area_along_the_wind(scenes: dict[str, Scene], name: str) -> None:
    """The images move as the velocity says: a small triangle that drifts with it keeps its mass."""
    field = scenes[name].field
    axis = field.axis
    rng = np.random.default_rng(3)
    along, across = rng.uniform(350, 900, 300), rng.uniform(-0.5, 0.5, 300)
    width = axis.half_width_m + axis.opening * along
    a = axis.origin[0] + along * axis.along[0] + across * width * axis.across[0]
    z = axis.origin[1] + along * axis.along[1] + across * width * axis.across[1]
    time_s, step, pieces, size = 40.0, 4.0, 160, 0.05
    for stream in range(len(field.streams)):
        one = PlumeField((field.streams[stream],), field.gusts, field.eddies)
        corners = [(a, z), (a + size, z), (a, z + size)]
        for number in range(pieces):
            now = time_s + number * step / pieces
            half = step / pieces / 2
            moved = []
            for corner_a, corner_z in corners:
                v_a, v_z = one.velocity(corner_a, corner_z, now)
                v_a, v_z = one.velocity(corner_a + half * v_a, corner_z + half * v_z, now + half)
                moved.append((corner_a + 2 * half * v_a, corner_z + 2 * half * v_z))
            corners = moved
        (a0, z0), (a1, z1), (a2, z2) = corners
        area = ((a1 - a0) * (z2 - z0) - (a2 - a0) * (z1 - z0)) / size**2
        before, after = one.density(a, z, time_s), one.density(a0, z0, time_s + step)
        visible = before > 0.05 * before.max()
        np.testing.assert_allclose((after * area)[visible], before[visible], rtol=1e-2)
        assert np.median(np.abs((after * area)[visible] / before[visible] - 1)) < 1e-3


@pytest.mark.parametrize("name", ["turbulent", "gusting", "pulsating-shear"])
def test_the_wind_has_no_divergence_where_it_should_not(scenes: dict[str, Scene], name: str) -> None:
    field = scenes[name].field
    a, z = _inside(field, 400)
    h, time_s = 0.02, 63.0
    right, left = (field.velocity(a + d, z, time_s)[0] for d in (h, -h))
    up, down = (field.velocity(a, z + d, time_s)[1] for d in (h, -h))
    divergence = (right - left + up - down) / (2 * h)
    shear = np.abs(np.stack([right - left, up - down])).max() / (2 * h)
    assert shear > 0.004
    assert np.abs(divergence).max() < 1e-3 * shear


def test_an_entraining_plume_has_the_divergence_that_keeps_its_speed(scene: Scene) -> None:
    field = scene.field
    a, z = _inside(field, 100)
    h = 0.02
    right, left = (field.velocity(a + d, z, 5.0)[0] for d in (h, -h))
    up, down = (field.velocity(a, z + d, 5.0)[1] for d in (h, -h))
    width = field.axis.coordinates(a, z)[2]
    np.testing.assert_allclose(
        (right - left + up - down) / (2 * h), field.axis.speed_m_s * field.axis.opening / width, rtol=1e-6
    )


def _inside(field: PlumeField, count: int) -> tuple[np.ndarray, np.ndarray]:
    axis = field.axis
    rng = np.random.default_rng(5)
    along, across = rng.uniform(350, 1000, count), rng.uniform(-0.5, 0.5, count)
    width = axis.half_width_m + axis.opening * along
    return (
        axis.origin[0] + along * axis.along[0] + across * width * axis.across[0],
        axis.origin[1] + along * axis.along[1] + across * width * axis.across[1],
    )


@pytest.mark.parametrize("name", ["baseline", "gusting"])
def test_what_crosses_a_section_across_the_axis_left_the_vent_earlier(scenes: dict[str, Scene], name: str) -> None:
    scene = scenes[name]
    field = PlumeField(scene.field.streams, scene.field.gusts, None)
    axis, stream = field.axis, field.streams[0]
    time_s, distance_m = 61.3, 640.0
    a0, z0 = axis.position(distance_m)
    half = axis.half_width_at(distance_m)
    n = (np.arange(20000) + 0.5) / 20000 * 2 * half - half
    _, flux_a, flux_z = field.flux(a0 + n * axis.across[0], z0 + n * axis.across[1], time_s)
    rate = float(np.sum(flux_a * axis.along[0] + flux_z * axis.along[1])) * 2 * half / 20000
    s, eta, width = axis.coordinates(np.array(a0), np.array(z0))
    left = field.gusts.clock_time(field.gusts.stream_time(time_s) - axis.delay(s, eta, width))
    # A gust carries now, with its own speed, what left with another.
    expected = stream.emission_rate(np.array([left]))[0] * field.gusts.factor(time_s) / field.gusts.factor(left)
    assert rate == pytest.approx(float(expected), rel=2e-4)


def test_eddies_are_undone_exactly_and_the_table_is_near(scenes: dict[str, Scene]) -> None:
    field = scenes["turbulent"].field
    assert field.eddies is not None
    a, z = _inside(field, 500)
    there = field.eddies.undo(a, z, 33.0)
    back_a, back_z = there
    for shear in field.eddies.shears:
        move = shear.displacement(shear.coordinate(back_a, back_z), 33.0)
        back_a, back_z = back_a + move * shear.cos, back_z + move * shear.sin
    np.testing.assert_allclose(back_a, a, atol=1e-9)
    np.testing.assert_allclose(back_z, z, atol=1e-9)
    fast = field.eddies.undo_by_table(a.astype(np.float32), z.astype(np.float32), 33.0)
    np.testing.assert_allclose(fast[0], there[0], atol=0.02)
    np.testing.assert_allclose(fast[1], there[1], atol=0.02)
    assert np.hypot(there[0] - a, there[1] - z).max() > 10
    assert np.hypot(there[0] - a, there[1] - z).max() < field.eddies.reach_m


def test_gusts_and_turbulence_have_the_size_that_is_asked_for() -> None:
    base = small("turbulent")
    strengths = WindChanges(gusts=0.15, turbulence=0.2)
    v_a, v_z, factors = [], [], []
    for seed in range(6):
        field = build_scene(base.model_copy(update={"wind": strengths}), seed=seed).field
        assert field.eddies is not None
        a, z = _inside(field, 60)
        for time_s in np.linspace(0, 3000, 25):
            tau, factor = float(field.gusts.stream_time(time_s)), float(field.gusts.factor(time_s))
            there = field.eddies.undo(a, z, tau)
            moved = field.eddies.carry(*there, field.axis.velocity(*there), tau)
            still = field.axis.velocity(a, z)
            v_a.append((moved[0] - still[0]).std())
            v_z.append((moved[1] - still[1]).std())
            factors.append(factor)
    speed = base.plume.speed_m_s
    assert np.mean(v_a) == pytest.approx(0.2 * speed, rel=0.35)
    assert np.mean(v_z) == pytest.approx(0.2 * speed, rel=0.35)
    assert np.std(factors) == pytest.approx(0.15, rel=0.2)
    assert min(factors) > 0.3


# --- what it is like ---------------------------------------------------------------------------------------------


def test_truth_does_not_change_when_refined(scenes: dict[str, Scene]) -> None:
    for scene in scenes.values():
        coarse, fine = lines_in_plane(scene, 4000), lines_in_plane(scene, 64000)
        for time_s in (0.2, 115.2):
            for one, other in zip(coarse, fine, strict=True):
                a, b = one.crossing(scene.field, time_s), other.crossing(scene.field, time_s)
                assert a.emission_rate_kg_s == pytest.approx(b.emission_rate_kg_s, rel=2e-5)
                assert a.integrated_column_amount_kg_m == pytest.approx(b.integrated_column_amount_kg_m, rel=2e-5)


def different_plumes() -> list[str]:
    """Names of the scenarios without those whose plume is the same, as the scenario sees it."""
    found: dict[str, str] = {}
    for name in list_scenarios():
        scenario = load_scenario(name)
        emission = scenario.emission.model_copy(update={"mean_kg_s": 5.0})
        plume = scenario.plume.model_copy(update={"aerosol_optical_depth": 0.0, "aerosol_angstrom": 0.0})
        found.setdefault(repr((emission, plume, scenario.wind, scenario.second_vent, scenario.lines)), name)
    return list(found.values())


@pytest.mark.parametrize("name", different_plumes())
def test_mean_emission_columns_and_line_ends_are_as_designed(name: str) -> None:
    scenario = small(name)
    scene = build_scene(scenario, seed=1)
    times = np.arange(0.2, 3000.0, 20.0)
    mean = scenario.emission.mean_kg_s
    speeds = [stream.axis.speed_m_s for stream in scene.field.streams]
    for plane in lines_in_plane(scene, 400):
        crossings = [plane.crossing(scene.field, time_s) for time_s in times]
        rate = np.array([crossing.emission_rate_kg_s for crossing in crossings])
        speed = rate / np.array([crossing.integrated_column_amount_kg_m for crossing in crossings])
        assert rate.mean() == pytest.approx(mean, rel=0.06)
        assert 0.1 < rate.std() / mean < 0.6
        assert 0.8 * min(speeds) < speed.mean() < 1.05 * max(speeds)
        end = round(0.12 * plane.a.size)
        for time_s in times[::15]:
            density = scene.field.density(plane.a, plane.z, time_s)
            assert density[:end].max() < 0.02 * density.max()
            assert density[-end:].max() < 0.02 * density.max()
        peak = np.mean([crossing.peak_column_molec_cm2 for crossing in crossings])
        assert 0.2e18 < peak / mean < 0.7e18


def test_the_scenario_thick_reaches_4000_ppm_m() -> None:
    scene = build_scene(small("thick"), seed=1)
    line = lines_in_plane(scene, 1000)[0]
    peaks = np.array([line.crossing(scene.field, time_s).peak_column_molec_cm2 for time_s in range(0, 900, 15)])
    assert 3500 < peaks.max() / 2.50348e15 < 5500


def test_puffs_are_puffs_and_keep_the_mean() -> None:
    settings = small("baseline")
    puffing = settings.emission.model_copy(update={"puffs": 1.0, "pulsation": 0.0, "puff_period_s": 120.0})
    scene = build_scene(settings.model_copy(update={"emission": puffing}), seed=2)
    rate = scene.field.streams[0].emission_rate(np.arange(0.0, 48000.0, 1.0))
    assert rate.mean() == pytest.approx(5.0, rel=0.06)
    assert np.mean(rate < 0.01 * rate.max()) > 0.5


def test_a_rise_goes_on_for_an_hour_and_then_stays() -> None:
    settings = small("baseline")
    rising = settings.emission.model_copy(update={"rise": 1.0, "pulsation": 0.0})
    stream = build_scene(settings.model_copy(update={"emission": rising}), seed=2).field.streams[0]
    np.testing.assert_allclose(stream.emission_rate(np.array([-5.0, 0.0, 1800.0, 3600.0, 1e6])), [5, 5, 7.5, 10, 10])


def test_two_vents_share_the_emission() -> None:
    scenario = small("two-vents")
    assert scenario.second_vent is not None
    scene = build_scene(scenario, seed=3)
    times = np.arange(0, 20000, 5.0)
    first, second = (stream.emission_rate(times) for stream in scene.field.streams)
    assert second.mean() / (first.mean() + second.mean()) == pytest.approx(scenario.second_vent.share, abs=0.01)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.3


def test_the_plume_has_neither_beginning_nor_end(scene: Scene) -> None:
    line = lines_in_plane(scene, 500)[0]
    month = 30 * 86400.0
    rates = [line.emission_rate(scene.field, time_s) for time_s in (-month, 0.0, month, 12 * month)]
    assert all(1.5 < rate < 12 for rate in rates)
    assert len(set(rates)) == 4
    again = build_scene(load_scenario("baseline"), seed=7)
    assert [line.emission_rate(again.field, time_s) for time_s in (12 * month, month, 0.0, -month)] == rates[::-1]


def test_texture_goes_on_smoothly_from_block_to_block(scene: Scene) -> None:
    stream = scene.field.streams[0]
    table, first = stream.table(480, 560)
    rows = table[480 - first : 560 - first].astype(float)
    steps = np.abs(np.diff(rows, axis=0)).mean(axis=1)
    assert steps[30:34].max() < 2 * np.median(steps)


@pytest.mark.parametrize("name", ["baseline", "turbulent", "two-vents"])
def test_pixels_and_points_see_the_same_plume(name: str) -> None:
    scene = build_scene(load_scenario(name), seed=7)
    camera = scene.cameras[0]
    y, x = np.mgrid[:486, :648].astype(float)
    points = scene.geometry.to_plane(x, y)
    columns = scene.field.slant_columns(points.a, points.z, points.ray[1], 33.2)
    seen = camera.terrain_share < 0.999
    image = camera.slant_column(33.2)
    np.testing.assert_allclose(image[seen], columns[seen], rtol=2e-3, atol=1e-3 * columns.max())
    assert abs(image[seen].sum(dtype=float) / columns[seen].sum() - 1) < 5e-5
    assert np.all(image[~seen] == 0)
