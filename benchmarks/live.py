"""Live latency: from a file that is whole in the archive to its emission rate in the catalogue, and memory over a run.

    python benchmarks/live.py                       200 pairs of 648 x 486 pixels
    python benchmarks/live.py --pairs 10000 --unique 200 --method flow_hybrid

A simulated volcano is archived frame by frame, as a station does; after each frame the live service takes it. Printed
are p50 and p99 of the time from the archive's acknowledgement of the frame that completes a pair to the pair's rates in
the catalogue (wall clock and CPU), and the process's memory, after every tenth of the run. Frames of a few simulated
pairs are used again under later times; the archive of 10,000 pairs takes 5 GB.

What has to be waited for by design is not counted: a rate by optical flow needs the next pair, and a pair is taken as
complete ``station.hold_back_s`` after its frames' exposures.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from so2cam.cli.threads import one_thread_for_algebra

one_thread_for_algebra()  # as the command does

import numpy as np

from so2cam.core.records import FrameKind
from so2cam.formats.folder import scan_frames
from so2cam.formats.sitefile import load_site
from so2cam.simulate import load_scenario, simulate
from so2cam.simulate.scenario import Scenario
from so2cam.station.archive import Arrival
from so2cam.station.context import open_station
from so2cam.station.live import LiveProcessing


def memory_mb() -> float:
    """Resident memory of this process now [MB]."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--unique", type=int, default=20, help="simulated pairs; used again and again")
    parser.add_argument("--scenario", default="baseline")
    parser.add_argument("--method", default="flow_hybrid", help="speed methods, with commas between")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="so2cam-benchmark-") as name:
        return measure(Path(name), arguments)


def measure(folder: Path, arguments: argparse.Namespace) -> int:
    scenario = Scenario.model_validate(load_scenario(arguments.scenario).model_dump(mode="python"))
    simulated = simulate(scenario, folder, seed=1, pairs=min(arguments.unique, arguments.pairs))
    site_text = simulated.site.read_text(encoding="utf-8")
    loaded = load_site(simulated.site)
    frames = scan_frames([simulated.frames], loaded.site.files).frames
    plume = [frame for frame in frames if frame.kind is FrameKind.PLUME]
    methods = json.dumps(arguments.method.split(","))
    simulated.site.write_text(with_methods(site_text, methods), encoding="utf-8")
    context = open_station([simulated.site], folder=folder / "station")
    site = context.sites[0]
    archive = site.archive

    def put(path: Path, kind: str, at: object, stem: str) -> None:
        copies = [archive.stage(path)]
        sidecar = path.with_suffix(".json")
        if sidecar.exists():
            copies.append(archive.stage(sidecar))
        arrival = Arrival(stem, "benchmark", "frame", kind, "camera", at, f"{stem}.png")  # type: ignore[arg-type]
        archive.put(arrival, copies[0], copies[1] if len(copies) > 1 else None)

    for frame in frames:
        if frame.kind is not FrameKind.PLUME:
            subject = "cell" if frame.kind is FrameKind.CELL else frame.kind.value
            put(frame.path, subject, frame.time, frame.path.stem)
    live = LiveProcessing(context, site)
    live.resume()
    times = sorted({frame.time for frame in plume if frame.band.value == "on"})
    period = (times[1] - times[0]).total_seconds()
    span = timedelta(seconds=period * len(times))
    wall: list[float] = []
    cpu: list[float] = []
    ordered = sorted(plume, key=lambda frame: frame.time + timedelta(seconds=frame.exposure_s / 2))
    for number in range(arguments.pairs):
        turn, index = divmod(number, len(times))
        shift = turn * span
        for frame in ordered[2 * index : 2 * index + 2]:
            moved = frame.start_time + shift
            stem = f"{moved:%Y-%m-%dT%H%M%S}_{frame.path.stem.partition('_')[2]}"
            put(without_sidecar(frame.path, folder), "plume", frame.time + shift, stem)
            pairs = getattr(context.board.live(site.name), "pairs", 0)
            began_wall, began_cpu = time.perf_counter(), time.process_time()
            while live.step():
                pass
            if getattr(context.board.live(site.name), "pairs", 0) > pairs > 2:
                wall.append(time.perf_counter() - began_wall)
                cpu.append(time.process_time() - began_cpu)
        if wall and (number + 1) % max(1, arguments.pairs // 10) == 0:
            print(f"{number + 1} pairs: {words(wall)} wall clock, {words(cpu)} CPU; {memory_mb():.0f} MB", flush=True)
    optics = loaded.site.camera.optics
    print(f"all: {len(wall)} pairs of {optics.width_px} x {optics.height_px} pixels by {arguments.method}")
    archive.close()
    context.close()
    return 0


def words(values: list[float]) -> str:
    """Return median, 99th percentile and maximum of times [s] in words."""
    p50, p99, most = np.percentile(values, [50, 99, 100]) * 1e3
    return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {most:.0f} ms"


def without_sidecar(path: Path, folder: Path) -> Path:
    """Return a link to an image in a folder without sidecars: its name alone tells the time."""
    plain = folder / "plain"
    plain.mkdir(exist_ok=True)
    target = plain / path.name
    if not target.exists():
        target.symlink_to(path)
    return target


def with_methods(text: str, methods: str) -> str:
    """Return a site file with these speed methods."""
    import tomlkit

    document = tomlkit.parse(text)
    speed = document.setdefault("processing", tomlkit.table()).setdefault("speed", tomlkit.table())
    speed["methods"] = json.loads(methods)
    return tomlkit.dumps(document)


if __name__ == "__main__":
    sys.exit(main())
