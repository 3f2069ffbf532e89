"""Extinction in the real images of Villarrica, along the line that its observers drew over dark ground.

There is no terrain model: the distances along the line are those of a smooth, concave mountain through the summit, the
flanks of the skyline and the camera, with a generous uncertainty. Values are held to what air can do,
and to stay the same from frame to frame.
"""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from so2cam.core.records import BoolImage, FloatArray, FloatImage
from so2cam.core.site_dilution import TerrainRegion
from so2cam.core.terrain import TerrainGrid
from so2cam.formats.lines import parse_pycam_line
from so2cam.science.geometry.camera import CameraModel
from so2cam.science.geometry.plume import vent_direction
from so2cam.science.geometry.terrain import RayStatus, ViewUncertainty, skyline, terrain_distances
from so2cam.science.imaging.extinction import Extinction, FitLimits, terrain_extinction
from so2cam.science.imaging.extinction_series import combine, compare, fixed_extinction, rayleigh_extinction
from so2cam.science.imaging.flat import flat_field
from so2cam.science.imaging.light_dilution import DilutionState, amplification
from so2cam.science.imaging.terrain_pixels import points_of_regions, terrain_pixels

pytestmark = pytest.mark.data

SHAPE = (486, 648)
CAMERA = CameraModel(648, 486, 7.3097 / 5.6e-3, math.radians(171.3), math.radians(19.0))
SUMMIT_LATITUDE, SUMMIT_LONGITUDE = -39.4208, -71.9399
LINE_ALTITUDE_M = 1500.0
"""Of the air between the camera and the line"""


@pytest.fixture(scope="module")
def mountain() -> TerrainGrid:
    """The smooth mountain: 2830 m at the summit, 2395 m 1.2 km off (the skyline), level with the camera at 4.85 km."""
    distance, azimuth = vent_direction(-39.3774, -71.946386, SUMMIT_LATITUDE, SUMMIT_LONGITUDE)
    axis = np.arange(-6000, 6001, 15.0)
    east, north = np.meshgrid(axis, axis)
    r = np.hypot(east - distance * math.sin(azimuth), north - distance * math.cos(azimuth)) / 1000
    flank = 2830 - 315 * r - 50.6 * r**2 + 9.29 * r**3
    heights = np.where(r < 4.85, flank, 1172 - 150 * (r - 4.85))
    return TerrainGrid(heights, float(axis[0]), float(axis[0]), 15.0, 1177.0)


@pytest.fixture(scope="module")
def line(data_dir: Path) -> tuple[tuple[float, float], ...]:
    path = data_dir / "villarrica" / "setup" / "terrain_line_1.txt"
    parsed = parse_pycam_line(path.read_text(), name="terrain", file=path)
    assert parsed.start is not None
    assert parsed.end is not None
    return parsed.start, parsed.end


def mean(folder: Path, pattern: str) -> FloatImage:
    files = sorted(folder.glob(pattern))
    assert files
    total = np.zeros(SHAPE)
    for file in files:
        total += cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    return (total / len(files)).astype(np.float32)


def noise_of(files: list[Path]) -> float:
    """Return 1 sigma of a pixel of the dark flank, from the difference of two frames."""
    first, second = (cv2.imread(str(file), cv2.IMREAD_UNCHANGED)[400:470, 150:300].astype(float) for file in files[:2])
    return float(np.std(second - first) / math.sqrt(2))


def distances(mountain: TerrainGrid, line: tuple[tuple[float, float], ...]) -> FloatArray:
    x, y = np.array(line).T
    seen = terrain_distances(mountain, CAMERA, x, y, ViewUncertainty(math.radians(0.5), math.radians(0.5), 0, 20.0))
    assert (seen.status == RayStatus.TERRAIN).all()
    return seen.distance_m


@pytest.fixture(scope="module")
def extinctions(
    data_dir: Path, mountain: TerrainGrid, line: tuple[tuple[float, float], ...]
) -> dict[str, list[Extinction]]:
    """The extinction of each frame of both bands."""
    region = TerrainRegion(
        name="flank",
        points=line,
        distance_m=tuple(float(value) for value in distances(mountain, line)),
        distance_uncertainty_m=350,
    )
    points = points_of_regions((region,))
    folder = data_dir / "villarrica"
    to_off = np.load(folder / "setup" / "registration_off_to_on.npy").astype(np.float64)
    sky: BoolImage = np.zeros(SHAPE, np.bool_)
    sky[:285, :320] = True  # above the flank's skyline at the line, left of the plume
    found: dict[str, list[Extinction]] = {}
    for band, tag in (("on", "A"), ("off", "B")):
        dark = mean(folder / "calibration", f"*fltr{tag}*Dark.png")
        clear = mean(folder / "calibration", f"*fltr{tag}*Clear.png") - dark
        flat = flat_field(clear, np.ones(SHAPE, np.bool_), smoothing_px=2.0)
        found[band] = []
        files = sorted((folder / "sequence").glob(f"*fltr{tag}*.png"))
        noise = noise_of(files)
        for file in files:
            counts = cv2.imread(str(file), cv2.IMREAD_UNCHANGED).astype(np.float32)
            image, valid = (counts - dark) / flat.values, flat.valid & (counts < 1000)
            if band == "off":
                size = (SHAPE[1], SHAPE[0])
                image = np.asarray(cv2.warpAffine(image, to_off, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP))
                share = cv2.warpAffine(valid.astype(np.float32), to_off, size, flags=cv2.WARP_INVERSE_MAP)
                valid = np.asarray(share > 0.99)
            pixels = terrain_pixels(image, valid, sky, points, noise=noise)
            found[band].append(terrain_extinction(pixels, FitLimits()))
    return found


def test_the_mountain_looks_as_in_the_image(mountain: TerrainGrid) -> None:
    # The summit is seen at (360, 235), and the left shoulder of the flank, next to the line, at (190, 297).
    azimuth = np.radians([172.9, 165.6])
    elevation = np.degrees(skyline(mountain, azimuth).elevation_rad)
    assert elevation[0] == pytest.approx(19.0 + math.degrees(math.atan(8 / 1305)), abs=0.7)
    assert elevation[1] == pytest.approx(19.0 - math.degrees(math.atan(54 / 1305)), abs=1.2)


def test_every_frame_tells_it(extinctions: dict[str, list[Extinction]]) -> None:
    assert {band: len(found) for band, found in extinctions.items()} == {"on": 6, "off": 12}
    assert all(one.usable for found in extinctions.values() for one in found)


def test_it_is_stable_from_frame_to_frame(extinctions: dict[str, list[Extinction]]) -> None:
    for found in extinctions.values():
        values = np.array([one.value_per_m for one in found])
        assert values.std() / values.mean() < 0.04
        # What is stated as noise is what the frames scatter by, within a factor of three.
        stated = float(np.median([one.errors.noise for one in found]))
        assert stated / 3 < values.std() < 3 * stated


def test_it_is_what_air_can_do(extinctions: dict[str, list[Extinction]]) -> None:
    on, off = combine(extinctions["on"]), combine(extinctions["off"])
    assert 0.7e-4 < on.value_per_m < 2.5e-4
    # Within 2 sigma of clean air or above it; the off band lies 1.7 sigma below.
    for band, wavelength in ((on, 310.0), (off, 330.0)):
        assert compare(band, fixed_extinction(rayleigh_extinction(wavelength, LINE_ALTITUDE_M), 0.0)) > -2
    assert 0.2e-4 < off.value_per_m < on.value_per_m
    assert 0.15 < on.uncertainty_per_m / on.value_per_m < 0.6
    assert on.errors.noise < 0.1 * on.errors.systematic


def test_what_it_means_for_the_plume(extinctions: dict[str, list[Extinction]]) -> None:
    on = combine(extinctions["on"])
    assert 1.4 < float(amplification(DilutionState(on.value_per_m, 5260.0))) < 3.5
