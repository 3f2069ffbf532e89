"""Seconds per 486 x 648 pair by stage and in total, and peak memory: one process, one thread, default settings.

    python benchmarks/image_chain.py [--json FILE] [--pairs 40] [--long 1000]

Frames are simulated once into a temporary folder. Stages are timed apart, each over all pairs, and the total is
that of the real processor over files, pixels to emission rates. The long run repeats the frames under later times
and tells whether memory grows. Compare ratios of one run, not seconds of two machines.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from so2cam.core.records import FrameKind, FramePair
from so2cam.core.site import SPEED_METHODS, Site
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.geometry import lines_at_plume
from so2cam.pipeline.plan import RunPlan, plan_run
from so2cam.pipeline.processor import Processor
from so2cam.pipeline.references import References, build_references
from so2cam.pipeline.steps import (
    AbsorbanceImage,
    LogImage,
    absorbance_image,
    band_log_image,
    measure_line,
)
from so2cam.science.motion.flow import flow_region, optical_flow
from so2cam.simulate import load_scenario, simulate


class Bench:
    """A simulated run, ready to be timed."""

    def __init__(self, folder: Path, pairs: int) -> None:
        simulated = simulate(load_scenario(), folder, seed=1, pairs=pairs)
        self.site: Site = load_site(simulated.site).site
        self.plan: RunPlan = plan_run(self.site, [simulated.frames])
        self.reader = FrameReader(self.site)
        darks = [frame for frame in self.plan.frames if frame.kind is FrameKind.DARK]
        self.darks = DarkLibrary(darks, self.site.processing, self.reader)
        self.references: References = build_references(self.site, self.plan.frames, self.darks, self.reader)

    def with_methods(self, *methods: str) -> Site:
        """The site with these speed methods."""
        settings = self.site.model_dump(mode="json")
        settings["processing"]["speed"]["methods"] = list(methods)
        settings["wind"] = {"speed_m_s": 8.0, "direction_from_deg": 0.0}
        return Site.model_validate(settings)

    def pairs_for_ever(self) -> Iterator[FramePair]:
        """The pairs again and again, each round later in time."""
        span = self.plan.pairs[-1].time - self.plan.pairs[0].time + timedelta(seconds=5)
        shift = timedelta(0)
        while True:
            for pair in self.plan.pairs:
                on, off = replace(pair.on, time=pair.on.time + shift), replace(pair.off, time=pair.off.time + shift)
                yield FramePair(on, off)
            shift += span

    def run(self, site: Site, count: int) -> tuple[list[float], list[float]]:
        """Process ``count`` pairs from files; return seconds of each and memory [MB] after each."""
        processor = Processor(site, self.references, self.darks)
        process = psutil.Process()
        seconds, memory = [], []
        for _, pair in zip(range(count), self.pairs_for_ever(), strict=False):
            began = time.perf_counter()
            on, off = self.reader.read(pair.on), self.reader.read(pair.off)
            if on is None or off is None:
                raise SystemExit("a simulated frame cannot be read")
            processor.push(pair, replace(on, info=pair.on), replace(off, info=pair.off))
            seconds.append(time.perf_counter() - began)
            memory.append(process.memory_info().rss / 1e6)
        processor.finish()
        return seconds, memory


def timed(function: Callable[[], Any], repeats: int) -> float:
    """Median seconds of ``function``."""
    values = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        values.append(time.perf_counter() - began)
    return statistics.median(values)


def stages(bench: Bench, repeats: int) -> dict[str, float]:
    """Median seconds per pair of each stage."""
    site, references = bench.site, bench.references
    first, second = bench.plan.pairs[0], bench.plan.pairs[1]
    sensor, background = site.camera.sensor, site.processing.background

    def read() -> None:
        bench.reader.read(first.on)
        bench.reader.read(first.off)

    def logs(pair: FramePair) -> Callable[[], tuple[LogImage, LogImage]]:
        on, off = bench.reader.read(pair.on), bench.reader.read(pair.off)
        dark_on, dark_off = bench.darks.dark_for(pair.on), bench.darks.dark_for(pair.off)
        if on is None or off is None or dark_on is None or dark_off is None:
            raise SystemExit("a simulated frame cannot be used")
        return lambda: (
            band_log_image(on.counts, dark_on, references.bands[0], pair.on, sensor, None),
            band_log_image(off.counts, dark_off, references.bands[1], pair.off, sensor, references.matrix),
        )

    to_logs, to_next = logs(first), logs(second)
    pair, following = to_logs(), to_next()

    def absorb(images: tuple[LogImage, LogImage]) -> AbsorbanceImage:
        image = absorbance_image(images[0], images[1], references.bands, background, matrix=references.matrix)
        if image is None:
            raise SystemExit("no sky in a simulated pair")
        return image

    calibration = references.calibration
    if calibration is None:
        raise SystemExit("no gas cells in a simulated run")
    image, later = absorb(pair), absorb(following)
    lines = lines_at_plume(site)
    calibration = references.calibration
    if calibration is None:
        raise SystemExit("the simulated site has no gas cells")
    flow_settings = site.processing.speed.optical_flow
    x, y = np.concatenate([line.x for line in lines]), np.concatenate([line.y for line in lines])
    region = flow_region(x, y, image.valid.shape, margin_px=3 * flow_settings.window_px)
    return {
        "read two PNG files (checked, hashed)": timed(read, repeats),
        "dark, flat, registration, log": timed(to_logs, repeats),
        "sky background, absorbance": timed(lambda: absorb(pair), repeats),
        "two lines: baseline, columns": timed(
            lambda: [measure_line(image, line, calibration, site, references.covered) for line in lines], repeats
        ),
        "optical flow": timed(
            lambda: optical_flow(
                image.absorbance,
                later.absorbance,
                image.valid & image.in_sky,
                later.valid & later.in_sky,
                region,
                window_px=flow_settings.window_px,
                levels=flow_settings.levels,
                iterations=flow_settings.iterations,
            ),
            repeats,
        ),
    }


def _peak_memory_mb(samples: list[float]) -> float:
    """Peak of the whole process where the system tells, else of the samples after each pair."""
    try:
        import resource
    except ImportError:
        return max(samples)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as JSON")
    parser.add_argument("--pairs", type=int, default=40, help="simulated pairs (default 40)")
    parser.add_argument("--long", type=int, default=1000, help="pairs of the memory run (default 1000)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments.pairs)
        parts = stages(bench, 15)
        one, _ = bench.run(bench.with_methods("flow_raw"), arguments.pairs)
        every, memory = bench.run(bench.with_methods(*SPEED_METHODS), arguments.long)
    quarter = max(len(memory) // 4, 1)
    growth = (statistics.mean(memory[-quarter:]) - statistics.mean(memory[quarter : 2 * quarter])) / (2 * quarter)
    figures: dict[str, Any] = {
        "seconds_per_pair_all_methods": statistics.median(every),
        "seconds_per_pair_one_flow": statistics.median(one),
        "peak_memory_mb": _peak_memory_mb(memory),
        "memory_growth_mb_per_pair": growth,
        "pairs": len(every),
        "stages_seconds": parts,
    }
    print(f"image chain, 486 x 648 pairs, {bench.site.name}, two lines, one process, one thread")
    for name, seconds in parts.items():
        print(f"  {1e3 * seconds:8.2f} ms  {name}")
    print(f"  {1e3 * figures['seconds_per_pair_one_flow']:8.2f} ms  in total, one flow")
    every_ms = 1e3 * figures["seconds_per_pair_all_methods"]
    print(f"  {every_ms:8.2f} ms  in total, {len(SPEED_METHODS)} speed methods")
    print(f"  {figures['peak_memory_mb']:8.0f} MB  peak memory over {len(every)} pairs")
    print(f"  {1e3 * growth:8.1f} kB  memory growth per pair")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
