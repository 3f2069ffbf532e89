"""Bands and spectra against formulas written here anew, from the published tables."""

import numpy as np
import pytest

from so2cam.core.records import Band, FloatArray
from so2cam.core.spectra import SpectrumKind
from so2cam.formats.reference_spectra import reference_table
from so2cam.simulate import Scenario, load_scenario
from so2cam.simulate.light import BandLight, extinction_per_m
from so2cam.simulate.scenario import Air, PlumeShape, SpectrometerModel
from so2cam.simulate.scene import build_scene
from so2cam.simulate.spectrometer import FieldOfView, gather

DISTANCES = (5000.0, 5600.0)


def table(name: str, grid: FloatArray) -> FloatArray:
    found = reference_table(name)
    return np.interp(grid, found.wavelengths_nm, found.values)


def sunlight(air: Air, grid: FloatArray) -> FloatArray:
    filled = (1 - air.ring) + air.ring * np.exp(-table("ring", grid))
    return table("solar-sao2010", grid) * filled * np.exp(-1.6e19 * table("o3-serdyuchenko2014-223k", grid))


@pytest.fixture(scope="module")
def diluted() -> Scenario:
    return load_scenario("diluted")


# --- bands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("band", "centre"), [(Band.ON, 310.0), (Band.OFF, 330.0)])
def test_small_columns_are_absorbed_with_the_effective_cross_section(band: Band, centre: float) -> None:
    scenario = load_scenario("ideal")
    light = BandLight(band, scenario, DISTANCES)
    grid = np.linspace(290, 352, 62001)
    width = 10 / (2 * np.sqrt(2 * np.log(2)))
    weights = sunlight(scenario.air, grid) * np.exp(-0.5 * ((grid - centre) / width) ** 2) * 1.25 ** (grid / 10)
    expected = np.trapezoid(weights * table("so2-bogumil2003-293k", grid), grid) / np.trapezoid(weights, grid)
    assert light.cross_section_cm2 == pytest.approx(expected, rel=2e-3)
    column = np.array([1e15])
    assert -np.log(light.transmission(column, 5000.0))[0] / 1e15 == pytest.approx(light.cross_section_cm2, rel=1e-3)


def test_absorbance_is_that_of_real_cameras_and_saturates() -> None:
    on, off = (BandLight(band, load_scenario("ideal"), DISTANCES) for band in Band)
    columns = np.array([0.0, 1e18, 3e18, 1e19])
    absorbance = np.log(off.transmission(columns, 5200.0)) - np.log(on.transmission(columns, 5200.0))
    assert absorbance[0] == pytest.approx(0, abs=1e-12)
    assert 0.13 < absorbance[1] < 0.16
    assert 0.9 < absorbance[2] / (3 * absorbance[1]) < 0.97
    assert 0.7 < absorbance[3] / (10 * absorbance[1]) < 0.85


def test_dilution_fills_the_band_with_light_that_saw_no_plume(diluted: Scenario) -> None:
    light = BandLight(Band.ON, diluted, DISTANCES)
    distance = 5250.0
    share = float(light.diluted(np.array(distance)))
    assert light.transmission(np.array([1e22]), distance)[0] == pytest.approx(share, rel=1e-3)
    assert share == pytest.approx(1 - np.exp(-light.extinction_per_m * distance), rel=0.01)
    wavelengths = np.array([310.0, 330.0])
    air = diluted.air
    ratio = 310 / wavelengths
    np.testing.assert_allclose(
        extinction_per_m(air, wavelengths), 6.75e-5 * (0.9 * ratio**4 + 0.1 * ratio**1.3), rtol=1e-12
    )
    assert 1 - np.exp(-6.75e-5 * 5246.9) == pytest.approx(0.30, abs=0.003)


def test_aerosol_dims_the_on_band_more() -> None:
    scenario = load_scenario("ideal")
    hazy = scenario.model_copy(update={"plume": PlumeShape(aerosol_optical_depth=0.1, aerosol_angstrom=1.0)})
    column = np.array([1e18])
    for band, centre in ((Band.ON, 310.0), (Band.OFF, 330.0)):
        both = (BandLight(band, one, DISTANCES).transmission(column, 5000.0)[0] for one in (scenario, hazy))
        plain, dimmed = both
        assert np.log(plain / dimmed) == pytest.approx(0.1 * 320 / centre, rel=0.015)


@pytest.mark.parametrize("name", ["baseline", "diluted"])
def test_the_table_is_the_formula(name: str) -> None:
    light = BandLight(Band.ON, load_scenario(name), DISTANCES)
    rng = np.random.default_rng(1)
    columns = rng.uniform(0, 1.3e19, 200).astype(np.float32)
    for distance in (*DISTANCES, 5300.0):
        found = light.look_up(columns, light.place(np.full(200, distance)))
        np.testing.assert_allclose(found, light.transmission(columns.astype(float), distance), rtol=2e-5)


# --- spectrometer ------------------------------------------------------------------------------------------------


def clean(scenario: Scenario, **changes: object) -> Scenario:
    plain = {"noise": False, "stray_light": 0.0, "pattern_counts": 0.0, "dark_counts_s": 0.0, "shift_nm": 0.0}
    model = SpectrometerModel.model_validate(scenario.spectrometer.model_dump() | plain | changes)
    sky = scenario.sky.model_copy(update={"drift": 0.0, "difference": 0.0, "gradient": 0.0})
    return scenario.model_copy(update={"spectrometer": model, "sky": sky})


def blur(light: FloatArray, grid: FloatArray, pixels: FloatArray, model: SpectrometerModel) -> FloatArray:
    total = np.empty(pixels.size)
    for number, wavelength in enumerate(pixels):
        near = np.abs(grid - wavelength) < 2
        shape = np.exp2(-(np.abs(2 * (grid[near] - wavelength) / model.width_nm) ** model.exponent))
        total[number] = np.trapezoid(light[near] * shape, grid[near]) / np.trapezoid(shape, grid[near])
    return total


def test_the_spectrum_of_an_even_plume_is_the_direct_formula(
    diluted: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = build_scene(clean(diluted), seed=1)
    device, model = scene.spectrometer, scene.scenario.spectrometer
    column = 2.2e18
    monkeypatch.setattr(type(device), "columns", lambda *_: (np.array([column]), np.array([1.0])))
    clear = device.expected(SpectrumKind.CLEAR, 0.0, 0.4, 4) - model.offset_counts
    plume = device.expected(SpectrumKind.PLUME, 0.0, 0.4, 4) - model.offset_counts
    used = np.flatnonzero((device.wavelengths_nm > 303) & (device.wavelengths_nm < 335))[::7]
    grid = np.arange(299.0, 339.0, 0.005)
    source = sunlight(diluted.air, grid) * (320 / grid) ** 2
    distance = float(scene.geometry.to_plane(np.array([device.view.x]), np.array([device.view.y])).distance[0])
    ratio = 310 / grid
    share = 1 - np.exp(-6.75e-5 * (0.9 * ratio**4 + 0.1 * ratio**1.3) * distance)
    aerosol = 0.03 * (320 / grid) * column / 1e18
    through = np.exp(-table("so2-bogumil2003-293k", grid) * column - aerosol)
    pixels = device.wavelengths_nm[used]
    expected = blur(source * ((1 - share) * through + share), grid, pixels, model) / blur(source, grid, pixels, model)
    np.testing.assert_allclose(plume[used] / clear[used], expected, rtol=1e-3)
    assert expected.min() < 0.75


def test_the_spectrum_is_the_mean_of_spectra_and_not_that_of_the_mean_column() -> None:
    scene = build_scene(clean(load_scenario("thick")), seed=1)
    device = scene.spectrometer
    model = scene.scenario.spectrometer
    columns, weights = device.columns(40.0)
    assert weights.sum() == pytest.approx(1)
    assert device.mean_column(40.0) == pytest.approx(float(columns @ weights), rel=1e-12)
    spectrum = device.expected(SpectrumKind.PLUME, 40.0, 1e-3, 1) - model.offset_counts
    parts = np.zeros_like(spectrum)
    for column, weight in zip(columns, weights, strict=True):
        light = device._spectra.source * device._response * np.exp(-device._extinction * column)
        blurred = np.convolve(light, device._line_shape, mode="same")
        parts += weight * np.interp(device._true_nm, device._spectra.wavelengths_nm, blurred, left=0.0)
    parts *= device._rate * 1e-3 / model.integration_time_s
    used = (device.wavelengths_nm > 304) & (device.wavelengths_nm < 390)
    np.testing.assert_allclose(spectrum[used], parts[used], rtol=2e-4)


def test_gathered_columns_keep_sum_and_mean() -> None:
    rng = np.random.default_rng(4)
    columns, weights = rng.gamma(2, 1e18, 500), rng.uniform(0, 1, 500)
    nodes, total = gather(columns, weights, 48)
    assert total.sum() == pytest.approx(weights.sum())
    assert total @ nodes == pytest.approx(weights @ columns)
    sigma = 2e-19
    assert total @ np.exp(-sigma * nodes) == pytest.approx(float(weights @ np.exp(-sigma * columns)), rel=1e-4)
    nodes, total = gather(np.full(5, 3e18), np.full(5, 0.2), 48)
    assert nodes.tolist() == [3e18]
    assert total.sum() == pytest.approx(1)


def test_the_field_of_view_is_a_disc_that_falls_to_half_at_its_radius() -> None:
    view = FieldOfView(100.25, 80.5, 9.0, 10.0)
    x, y, weights = view.points()
    assert weights.sum() == pytest.approx(1)
    assert (float(x @ weights), float(y @ weights)) == pytest.approx((100.25, 80.5), abs=1e-9)
    radius = np.hypot(x - 100.25, y - 80.5)
    at_edge = np.abs(radius - 9.0) < 0.1
    np.testing.assert_allclose(weights[at_edge] / weights.max(), 0.5, atol=0.06)
    assert radius.max() < 12
    assert np.sum(weights > 0.5 * weights.max()) == pytest.approx(np.pi * 81, rel=0.05)


def test_light_dark_stray_and_noise_of_the_spectrometer() -> None:
    scenario = load_scenario("baseline")
    scene = build_scene(scenario, seed=1)
    device, model = scene.spectrometer, scenario.spectrometer
    dark = device.expected(SpectrumKind.DARK, 0.0, 0.4, 4)
    assert dark.mean() == pytest.approx(1500 + 60 * 0.4, abs=3)
    clear = device.expected(SpectrumKind.CLEAR, 0.0, 0.4, 4)
    nm = device.wavelengths_nm
    watched = (nm > 300) & (nm < 340)
    light = clear - dark
    assert (light - light[nm < 270].mean())[watched].max() == pytest.approx(42000, rel=0.01)
    assert light[nm < 290].mean() == pytest.approx(0.004 * light.mean(), rel=0.02)
    double = device.expected(SpectrumKind.CLEAR, 0.0, 0.8, 4) - device.expected(SpectrumKind.DARK, 0.0, 0.8, 4)
    np.testing.assert_allclose(double, 2 * light, rtol=1e-9)
    at = (nm > 330) & (nm < 332)
    for coadds in (1, 4, 20):
        many = np.stack([device.record(clear, coadds, np.random.default_rng(seed))[at] for seed in range(400)])
        expected = np.sqrt((light[at] / 1.2 + 12**2) / coadds)
        assert np.mean(many.std(axis=0) / expected) == pytest.approx(1, abs=0.03)
        np.testing.assert_allclose(many.mean(axis=0), clear[at], atol=5 * expected.max() / 20 + 0.5)
    assert device.record(clear * 10, 4, np.random.default_rng(0)).max() == 65535
    lamp = device.expected(SpectrumKind.LAMP, 0.0, 0.4, 4) - dark
    assert nm[int(np.argmax(lamp * (nm < 320)))] + model.shift_nm == pytest.approx(313.253, abs=0.15)
