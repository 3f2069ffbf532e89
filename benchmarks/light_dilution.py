"""Light dilution: time of its steps, and how often the truth lies within the stated uncertainty of the extinction.

python benchmarks/light_dilution.py [--runs 400]

CPU seconds of one thread. Every realisation draws ground, snow, noise, distances, airlight and trend from the sigmas
that the fit is told.
"""

import argparse
import math
import time
from collections.abc import Callable

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from so2cam.core.terrain import TerrainGrid
from so2cam.science.geometry.camera import CameraModel, pixel_rays
from so2cam.science.geometry.terrain import terrain_along_rays
from so2cam.science.imaging.extinction import Extinction, FitLimits, TerrainPixels, terrain_extinction
from so2cam.science.imaging.light_dilution import DilutionState, correct_optical_depth, derivatives

SKY, GROUND, SNOW = 1000.0, 250.0, 800.0
SCENES: dict[str, dict[str, float]] = {
    "even ground": {"ground": 0.03},
    "patchy ground": {"ground": 0.12},
    "patchy ground, 10 % snow": {"ground": 0.12, "snow": 0.10},
    "patchy ground, 20 % snow": {"ground": 0.12, "snow": 0.20},
    "clear air": {"ground": 0.08, "extinction": 0.9e-4},
    "haze": {"ground": 0.08, "extinction": 3e-4},
    "distances to 10 %": {"ground": 0.08, "distance": 0.10},
}


def pixels(
    rng: np.random.Generator, *, extinction: float, ground: float, snow: float, distance: float
) -> TerrainPixels:
    """Return a line of 300 pixels up a flank, from 2 to 5 km."""
    n = 300
    d = np.linspace(2000.0, 5000.0, n)
    patches = gaussian_filter1d(rng.standard_normal(n), 3)
    surface = GROUND * (1 + ground * patches / patches.std())
    surface *= 1 + 0.1 * rng.standard_normal() * (d - d.mean()) / np.ptp(d)
    surface[np.repeat(rng.random(n // 20) < snow, 20)] = SNOW
    through = np.exp(-extinction * d)
    sky = SKY * (1 + 0.05 * rng.standard_normal())
    intensity = surface * through + sky * (1 - through) + 4 * rng.standard_normal(n)
    seen = d * (1 + distance * rng.standard_normal())
    return TerrainPixels(intensity, seen, np.full(n, SKY), 4.0, 0.0, (distance * seen)[None])


def coverage(runs: int) -> None:
    print("\n| Scene | Valid | Median error | Stated 1 sigma | Within 1 sigma | Within 2 sigma |\n" + 6 * "|---" + "|")
    rng = np.random.default_rng(2026)
    for name, scene in SCENES.items():
        settings = {"extinction": 1.5e-4, "snow": 0.0, "distance": 0.05, **scene}
        found = [terrain_extinction(pixels(rng, **settings), FitLimits()) for _ in range(runs)]
        usable: list[Extinction] = [one for one in found if one.usable]
        error = np.array([one.value_per_m for one in usable]) - settings["extinction"]
        sigma = np.array([one.uncertainty_per_m for one in usable])
        print(
            f"| {name} | {100 * len(usable) / runs:.0f} % | {100 * np.median(error) / settings['extinction']:+.1f} % "
            f"| {100 * np.median(sigma) / settings['extinction']:.0f} % "
            f"| {100 * np.mean(np.abs(error) < sigma):.0f} % | {100 * np.mean(np.abs(error) < 2 * sigma):.0f} % |"
        )


def cpu_ms(function: Callable[[], object], repeats: int) -> float:
    function()
    start = time.process_time()
    for _ in range(repeats):
        function()
    return 1e3 * (time.process_time() - start) / repeats


def times() -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(1)
    depth = (0.2 * rng.random((486, 648))).astype(np.float32)
    state = DilutionState(1.2e-4, np.full((486, 648), 5000.0, np.float32))
    line = pixels(rng, extinction=1.5e-4, ground=0.1, snow=0.1, distance=0.05)
    axis = np.arange(-8000, 8001, 30.0)
    east, north = np.meshgrid(axis, axis)
    heights = 900 + 1900 * np.exp(-np.hypot(east, north - 5500) / 2200)
    grid = TerrainGrid(heights, float(axis[0]), float(axis[0]), 30.0, 1150.0)
    camera = CameraModel(648, 486, 1305.0, 0.0, math.radians(12))
    x, y = np.meshgrid(np.arange(4, 648, 8.0), np.arange(4, 486, 8.0))
    rays = pixel_rays(camera, x, y)
    full = pixel_rays(camera, *np.meshgrid(np.arange(648.0), np.arange(486.0)))
    for name, function, repeats in (
        ("correction of 486 x 648 pixels", lambda: correct_optical_depth(depth, state), 20),
        ("its derivatives", lambda: derivatives(depth, state), 10),
        ("extinction from 300 pixels", lambda: terrain_extinction(line), 20),
        (f"distances of {x.size} pixels", lambda: terrain_along_rays(grid, rays), 10),
        ("distances of 486 x 648 pixels", lambda: terrain_along_rays(grid, full), 2),
    ):
        print(f"{name}: {cpu_ms(function, repeats):.1f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    arguments = parser.parse_args()
    times()
    coverage(arguments.runs)
