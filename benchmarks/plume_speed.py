"""Bias, scatter and honesty of every way to find a plume's speed, on plumes whose motion is known exactly.

    python benchmarks/plume_speed.py [--seeds 40] [--json FILE] [--scene NAME]

For each kind of plume (see ``plume_scenes``) and method: the mean error over the mean speed, the scatter of errors over
the speed, the median stated 1 sigma, how many errors lie within one and two of it, with the random part alone and with
the systematic one that the products add, and milliseconds of CPU, one thread.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
from benchmarks.plume_scenes import SCENES, Line, Plume, Scene, everywhere

from so2cam.core.records import FloatArray, PlumeLine
from so2cam.science.emission.rate import (
    CROSS_CORRELATION_SYSTEMATIC,
    OPTICAL_FLOW_SYSTEMATIC,
    correlated_sum_uncertainty,
)
from so2cam.science.motion.cross_correlation import find_lag, speed_from_lag
from so2cam.science.motion.flow import REDUCTION, FlowAlgorithm, flow_parts_at, flow_region, optical_flow
from so2cam.science.motion.nadeau import axis_profile, plume_axis, profile_shift, projected_shift
from so2cam.science.motion.statistics import dominant_motion, histogram_speed_px, hybrid_vectors, plume_vectors

WINDOW_PX: Final = 24
EARLIER: Final = 12
"""Earlier images of Nadeau's method"""
LAG_IMAGES: Final = 90
LAG_DISTANCE_PX: Final = 40.0
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Speed:
    """A speed along the line's normal and 1 sigma [px per image], the true one, and seconds it took; NaN for none."""

    value: float
    sigma: float
    truth: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; shares from 0 to 1, errors in percent."""

    scene: str
    method: str
    found: int
    tried: int
    bias: float
    scatter: float
    sigma: float
    within_1: float
    within_2: float
    within_1_with_systematic: float
    within_2_with_systematic: float
    milliseconds: float


def timed(function: Callable[[], Result]) -> tuple[Result, float]:
    began = time.process_time()
    result = function()
    return result, time.process_time() - began


def columns_at(plume: Plume, line: Line) -> FloatArray:
    """Weights of the line's samples."""
    column = np.maximum(plume.at(line.x, line.y, 0), 0)
    return np.asarray(column / column.sum())


def flow_speeds(plume: Plume, algorithm: FlowAlgorithm) -> dict[str, Speed]:
    """Speeds by the methods that share one optical flow, at one line, from images 0 and 1."""
    line, mask = plume.line(), everywhere(plume.shape)
    column, normal = columns_at(plume, line), np.array(line.normal)
    first, second = plume.image(0), plume.image(1)
    region = flow_region(line.x, line.y, plume.shape, margin_px=3 * WINDOW_PX)
    flow, seconds = timed(
        lambda: optical_flow(
            first, second, mask, mask, region, window_px=WINDOW_PX, levels=4, iterations=4, algorithm=algorithm
        )
    )
    truth = plume.speed_through(line)
    vectors, local, common = flow_parts_at(flow, line.x, line.y, line.normal)

    def total(of_window: FloatArray, of_all: FloatArray) -> float:
        alike = correlated_sum_uncertainty(column * of_window, 1.0, flow.window_px)
        return float(np.hypot(alike, np.sum(column * of_all)))

    found = {"flow_raw": Speed(float(np.sum(column * (vectors @ normal))), total(local, common), truth, seconds)}
    straight = PlumeLine.straight("line", line.start, line.end, line.normal)

    def main() -> tuple[FloatArray, FloatArray, FloatArray]:
        near, weights = plume_vectors(flow, first, straight, reach_px=2.0 * WINDOW_PX, threshold=3 * plume.scene.noise)
        motion = dominant_motion(near, weights, correlated_vectors=(flow.window_px / REDUCTION) ** 2)
        speed = histogram_speed_px(motion, line.normal, flow_uncertainty_px=float(np.sum(column * common)))
        mixed, kept = hybrid_vectors(vectors, motion, np.hypot(local, common))
        return np.array(speed), mixed, kept.astype(np.float64)

    (histogram, mixed, kept), more = timed(main)
    found["flow_histogram"] = Speed(float(histogram[0]), float(histogram[1]), truth, more)
    is_kept = kept > 0
    sigma = total(np.where(is_kept, local, 0.0), np.where(is_kept, common, histogram[1]))
    found["flow_hybrid"] = Speed(float(np.sum(column * (mixed @ normal))), sigma, truth, more)
    return {f"{name} ({algorithm})": speed for name, speed in found.items()}


def nadeau_speed(plume: Plume) -> Speed:
    """Speed by the shift along the axis from image 0 to 1, with earlier images."""
    line, mask = plume.line(), everywhere(plume.shape)
    truth = plume.speed_through(line)
    axis = plume_axis(line.x, line.y, columns_at(plume, line), plume.direction_deg, plume.shape, reach_px=110)
    half_width = round(0.35 * plume.scene.width_px)
    profiles = np.array(
        [axis_profile(plume.image(t), mask, axis, half_width_px=half_width) for t in range(-EARLIER, 1)]
    )
    image = plume.image(1)

    def last() -> tuple[float, float]:
        profile = axis_profile(image, mask, axis, half_width_px=half_width)
        shift = profile_shift(profiles[-1], profile, maximum_shift=20, minimum_correlation=0.3, earlier=profiles[:-1])
        return projected_shift(shift, axis, line.normal)

    (value, sigma), seconds = timed(last)
    return Speed(value, sigma, truth, seconds)


def lag_speed(plume: Plume) -> Speed:
    """Speed by the lag between two lines' columns over a series of images."""
    lines = [plume.line(side * LAG_DISTANCE_PX / 2) for side in (-1, 1)]
    rng = np.random.default_rng([plume.seed, 22])
    times = np.arange(float(LAG_IMAGES)) - LAG_IMAGES // 2
    series = np.array([[float(np.sum(plume.at(line.x, line.y, t))) for t in times] for line in lines])
    series += plume.scene.noise * np.sqrt(lines[0].x.size) * rng.standard_normal(series.shape)
    limit = 3 * LAG_DISTANCE_PX / plume.speed_px
    lag, seconds = timed(
        lambda: find_lag(times, series[0], series[1], maximum_lag_s=limit, minimum_samples=12, minimum_correlation=0.5)
    )
    # The lines stand off along the axis; between parallel lines the gas goes the shorter way along their normal.
    cosine = float(np.dot(plume.along, lines[0].normal))
    value, sigma = speed_from_lag(lag, LAG_DISTANCE_PX * cosine)
    return Speed(value, sigma, plume.speed_px * cosine, seconds)


def speeds(scene: Scene, seed: int) -> dict[str, Speed]:
    """Every method's speed of one plume."""
    plume = Plume(scene, seed)
    found = flow_speeds(plume, "farneback") | flow_speeds(plume, "dis")
    found["nadeau"] = nadeau_speed(plume)
    if scene.shear == 0:
        found["cross_correlation"] = lag_speed(Plume(scene, seed, speed_px=max(plume.speed_px, 2.0)))
    return found


def summary(scene: str, method: str, values: Iterable[Speed]) -> Row:
    """The table's line of one method and scene."""
    all_of_them = list(values)
    good = [speed for speed in all_of_them if np.isfinite(speed.value) and np.isfinite(speed.sigma)]
    nan = float("nan")
    if not good:
        return Row(scene, method, 0, len(all_of_them), *([nan] * 8))
    value, sigma, truth = (np.array([getattr(s, name) for s in good]) for name in ("value", "sigma", "truth"))
    systematic = CROSS_CORRELATION_SYSTEMATIC if method == "cross_correlation" else OPTICAL_FLOW_SYSTEMATIC
    error, whole = np.abs(value - truth), np.hypot(sigma, systematic * value)
    return Row(
        scene=scene,
        method=method,
        found=len(good),
        tried=len(all_of_them),
        bias=100 * float(np.sum(value - truth) / np.sum(truth)),
        scatter=100 * float(np.std((value - truth) / truth)),
        sigma=100 * float(np.median(sigma / truth)),
        within_1=float(np.mean(error <= sigma)),
        within_2=float(np.mean(error <= 2 * sigma)),
        within_1_with_systematic=float(np.mean(error <= whole)),
        within_2_with_systematic=float(np.mean(error <= 2 * whole)),
        milliseconds=1e3 * float(np.median([speed.seconds for speed in good])),
    )


def table(scenes: Iterable[Scene], seeds: int) -> list[Row]:
    """All lines of the table."""
    rows = []
    for scene in scenes:
        found: dict[str, list[Speed]] = {}
        for seed in range(seeds):
            for method, speed in speeds(scene, seed).items():
                found.setdefault(method, []).append(speed)
        rows += [summary(scene.name, method, values) for method, values in found.items()]
    return rows


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as JSON")
    parser.add_argument("--seeds", type=int, default=40, help="plumes of each kind (default 40)")
    parser.add_argument("--scene", action="append", choices=[s.name for s in SCENES], help="only this kind of plume")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rows = table([s for s in SCENES if not arguments.scene or s.name in arguments.scene], arguments.seeds)
    title = f"{'plume':20s} {'method':26s} {'found':>7s} {'bias':>6s} {'scatter':>7s} {'sigma':>6s}"
    print(f"{title} {'<1 s':>5s} {'<2 s':>5s} {'<1 s+':>5s} {'<2 s+':>5s} {'ms':>5s}")
    for row in rows:
        print(
            f"{row.scene:20s} {row.method:26s} {row.found:3d}/{row.tried:3d} {row.bias:5.1f}% {row.scatter:6.1f}% "
            f"{row.sigma:5.1f}% {row.within_1:5.2f} {row.within_2:5.2f} {row.within_1_with_systematic:5.2f} "
            f"{row.within_2_with_systematic:5.2f} {row.milliseconds:5.1f}"
        )
    print("<1 s, <2 s: share of errors within one and two sigma, + with the systematic part")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
