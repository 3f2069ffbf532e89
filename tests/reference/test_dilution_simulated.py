"""Light dilution against the simulated volcano, which has it by wavelength, band pass and distance of every pixel."""

import numpy as np
import numpy.typing as npt
import pytest

from so2cam.core.records import FrameKind
from so2cam.science.imaging.extinction import Extinction, ExtinctionStatus, FitLimits, terrain_extinction
from so2cam.science.imaging.light_dilution import DilutionState, correct_optical_depth
from so2cam.science.imaging.terrain_pixels import TerrainPoints, terrain_pixels
from so2cam.simulate import load_scenario
from so2cam.simulate.camera import BandCamera
from so2cam.simulate.run import Scene, build_scene

STEP_PX = 6


@pytest.fixture(scope="module")
def diluted() -> Scene:
    return build_scene(load_scenario("diluted"), seed=3, pairs=4)


def signal(camera: BandCamera, kind: FrameKind) -> npt.NDArray[np.float64]:
    return camera.expected(kind, 0.0).astype(float) - camera.expected(FrameKind.DARK, 0.0)


def measure(camera: BandCamera, *, darkest_share: float = 1.0) -> Extinction:
    """Return the extinction from one noisy frame: dark, flat by a clear frame, ground at distances to 3 %."""
    counts = camera.record(camera.expected(FrameKind.PLUME, 0.0), np.random.default_rng(5))
    clear = signal(camera, FrameKind.CLEAR)
    image = ((counts - camera.expected(FrameKind.DARK, 0.0)) / clear * clear.max()).astype(np.float32)
    y, x = np.mgrid[3 : image.shape[0] : STEP_PX, 3 : image.shape[1] : STEP_PX]
    distance = camera.terrain.distance_m[y, x].astype(float)
    known = np.isfinite(distance)
    x, y, distance = x[known].astype(float), y[known].astype(float), distance[known]
    tile = (y // 97).astype(np.intp) * 6 + (x // 108).astype(np.intp)
    points = TerrainPoints(x, y, distance, 0.03 * distance[None], tile)
    pixels = terrain_pixels(
        image, counts < 1000, camera.terrain.cover < 1e-3, points, noise=3.0, darkest_share=darkest_share
    )
    return terrain_extinction(pixels, FitLimits())


@pytest.mark.parametrize("band", [0, 1])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_extinction_from_ridges_and_flank(diluted: Scene, band: int, share: float) -> None:
    camera = diluted.cameras[band]
    found, truth = measure(camera, darkest_share=share), camera.light.extinction_per_m
    assert found.status is ExtinctionStatus.OK
    assert abs(found.value_per_m - truth) < 2 * found.uncertainty_per_m
    assert found.value_per_m == pytest.approx(truth, rel=0.08)
    assert found.uncertainty_per_m < 0.12 * truth


@pytest.mark.parametrize("band", [0, 1])
def test_without_dilution_there_is_none(band: int) -> None:
    """The baseline's air is clear; its ground is a rough flank with patches of snow over 2 km of distances."""
    found = measure(build_scene(load_scenario("baseline"), seed=3, pairs=4).cameras[band])
    assert found.usable
    assert found.value_per_m < 2 * found.uncertainty_per_m


@pytest.mark.parametrize("band", [0, 1])
def test_snow_is_refused(band: int) -> None:
    found = measure(build_scene(load_scenario("snow"), seed=3, pairs=4).cameras[band])
    assert found.status is ExtinctionStatus.TERRAIN_TOO_BRIGHT
    assert np.isnan(found.value_per_m)


@pytest.mark.parametrize("band", [0, 1])
def test_the_corrected_plume_is_that_of_clear_air(diluted: Scene, band: int) -> None:
    scenario = diluted.scenario
    clear_air = scenario.model_copy(update={"air": scenario.air.model_copy(update={"extinction_310_per_m": 0.0})})
    camera, other = diluted.cameras[band], build_scene(clear_air, seed=3, pairs=4).cameras[band]
    sky = camera.terrain.cover < 1e-6
    depths = []
    for each in (camera, other):
        # Plume over no plume, in the same light.
        with_plume = signal(each, FrameKind.PLUME)
        no_plume = each._behind_plume.astype(float) * signal(each, FrameKind.CLEAR) / each._clear
        depths.append(-np.log(with_plume / no_plume))
    x, y = np.meshgrid(np.arange(648.0), np.arange(486.0))
    distance = diluted.geometry.to_plane(x, y).distance
    state = DilutionState(camera.light.extinction_per_m, distance)
    corrected, valid = correct_optical_depth(depths[0].astype(np.float32), state)
    plume = sky & (depths[1] > (0.05, 0.003)[band])
    assert plume.sum() > 3000
    assert valid[plume].all()
    before = np.median(depths[0][plume] / depths[1][plume])
    after = np.median(corrected[plume] / depths[1][plume])
    assert before < (0.75, 0.8)[band]
    # The band's effective extinction holds for weak plumes; strong SO2 takes most from the diluted short waves.
    assert after == pytest.approx(1.0, abs=0.01)
    strong = corrected[plume] / depths[1][plume]
    assert np.percentile(np.abs(strong - 1), 95) < 0.03
