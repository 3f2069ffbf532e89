"""A day: 7,200 pairs and 7,200 spectra of 486 x 648 pixels, from files to products, as one run of `so2cam process`.

    python benchmarks/day.py [--json FILE] [--pairs 7200] [--jobs 2] [--policy whole] [--keep DIR]

The day is simulated at low cost: 120 pairs and spectra are made, and the same files stand again under later names. The
spectrometer calibrates (``--policy whole``: from all of the day), one optical flow gives the speed, products are
written. Aimed at: 180 s and 600 MB per process with two processes on two cores. Seconds on a machine that others use
too say little: the table tells CPU time, user and system of all processes, beside them.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import cv2

from so2cam.formats.sitefile import load_site
from so2cam.pipeline.batch import RunReport, process_folders
from so2cam.pipeline.truth import with_settings
from so2cam.simulate import load_scenario, simulate

DISTINCT = 120
"""Pairs, and spectra, that are really made."""
AIM_S, AIM_MB = 180.0, 600.0


class Watch(threading.Thread):
    """Looks at the memory of this process and of all it has started, once a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peaks: dict[int, float] = {}
        self.own: list[float] = []
        self._end = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        me = psutil.Process()
        while not self._end.wait(1.0):
            for process in (me, *me.children(recursive=True)):
                try:
                    used = process.memory_info().rss / 1e6
                except psutil.Error:
                    continue
                self.peaks[process.pid] = max(used, self.peaks.get(process.pid, 0.0))
                if process.pid == me.pid:
                    self.own.append(used)

    def stop(self) -> None:
        """End."""
        self._end.set()
        self.join()


def cpu_s() -> float:
    """User and system time of this process and of those that it has waited for [s]."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_mb() -> float:
    """Largest resident set of this process [MB]. (What the system tells of others begins with their parent's.)"""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def make_day(folder: Path, pairs: int) -> None:
    """Simulate a day into ``folder``, unless it is there."""
    if not (folder / "site.toml").exists():
        print(f"simulating {pairs} pairs ...", file=sys.stderr)
        simulate(load_scenario(), folder, seed=1, pairs=pairs, repeat=min(DISTINCT, pairs))


def run_day(folder: Path, jobs: int, policy: str, out: Path) -> tuple[RunReport, dict[str, Any]]:
    """Process the day in ``folder``; return the report and the figures."""
    changes = {
        "processing": {
            "calibration": {"source": "spectrometer", "spectrometer": {"policy": policy}},
            "speed": {"methods": ["flow_raw"]},
        }
    }
    loaded = with_settings(load_site(folder / "site.toml"), changes)
    stages: dict[str, float] = {}
    last = [time.perf_counter()]

    def stage(name: str) -> None:
        now = time.perf_counter()
        stages[name] = stages.get(name, 0.0) + now - last[0]
        last[0] = now

    watch = Watch()
    watch.start()
    before, began = cpu_s(), time.perf_counter()
    report = process_folders(
        loaded,
        [folder / "frames"],
        out,
        spectra=[folder / "spectra"],
        jobs=jobs,
        command="benchmarks/day.py",
        progress=lambda done, total: stage("images" if done else ""),
        fitting=lambda done, total: stage("looking through folders, references, spectra"),
    )
    stage("products")
    seconds, used = time.perf_counter() - began, cpu_s() - before
    watch.stop()
    own = watch.own
    quarter = max(len(own) // 4, 1)
    quarters = [own[first : first + quarter] for first in range(0, 4 * quarter, quarter)]
    return report, {
        "pairs": len(report.plan.pairs),
        "jobs": jobs,
        "policy": policy,
        "seconds": seconds,
        "cpu_seconds": used,
        "pairs_per_second": len(report.plan.pairs) / seconds,
        "cpu_ms_per_pair": 1e3 * used / len(report.plan.pairs),
        "stages_seconds": stages,
        "peak_mb_main": peak_mb(),
        "peak_mb_worker": max((mb for pid, mb in watch.peaks.items() if pid != os.getpid()), default=0.0),
        "memory_quarters_mb": [sum(part) / len(part) for part in quarters if part],
        "valid_values": report.valid_values,
    }


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as JSON")
    parser.add_argument("--pairs", type=int, default=7200, help="pairs, and spectra (default 7200)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--policy", choices=["whole", "rolling"], default="whole", help="of the calibration")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="simulate into DIR, or use the day that is there")
    arguments = parser.parse_args()
    if arguments.jobs > 1:
        cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "day" if arguments.keep is None else arguments.keep
        make_day(folder, arguments.pairs)
        _, figures = run_day(folder, arguments.jobs, arguments.policy, Path(temporary) / "results")
    print(f"a day of {figures['pairs']} pairs and as many spectra, {figures['jobs']} processes, {figures['policy']}")
    print(f"  {figures['seconds']:8.1f} s   from files to products (aim {AIM_S:.0f} s)")
    for name, seconds in figures["stages_seconds"].items():
        print(f"  {seconds:8.1f} s     {name}")
    print(f"  {figures['cpu_seconds']:8.1f} s   CPU time of all processes")
    print(f"  {figures['pairs_per_second']:8.1f}     pairs per second")
    print(f"  {figures['cpu_ms_per_pair']:8.1f} ms  CPU per pair and spectrum")
    print(f"  {figures['peak_mb_main']:8.0f} MB  peak of the main process (aim {AIM_MB:.0f} MB)")
    print(f"  {figures['peak_mb_worker']:8.0f} MB  peak of the largest of the others")
    print("  " + ", ".join(f"{used:.0f}" for used in figures["memory_quarters_mb"]) + " MB  main process, by quarters")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
