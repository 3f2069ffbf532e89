"""What keeping costs: milliseconds and CPU of a put, of verifying, and of a start with many items.

    python benchmarks/spool.py [--folder FOLDER] [--puts 300] [--many 200000] [--json FILE]

FOLDER is on the disk to be measured: an SD card, an SSD. Frames are noise of 648 x 486 pixels with 4 bits of fraction.
``encode`` is one frame to PNG, sidecar included; ``put`` is from the item to the acknowledgement, two files and a
transaction forced to the disk; ``processes`` are three putting at once. ``start`` is a recovery that finds everything
in order, with MANY items in the journal, all folders but one sealed. Compare ratios of one disk.
"""

import argparse
import json
import multiprocessing
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from so2cam.core.records import Band, FrameKind
from so2cam.formats.native import FrameRecord
from so2cam.store.captures import frame_item
from so2cam.store.items import StoreItem, to_microseconds
from so2cam.store.recovery import recover_spool
from so2cam.store.spool import Spool
from so2cam.store.verify import verify_spool

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_counts(seed: int) -> npt.NDArray[np.uint16]:
    """Return an image of noise over a slope, 16 steps to a count."""
    shade = np.linspace(200, 900, 486)[:, None] * np.ones(648)
    noise = np.random.default_rng(seed).normal(0, 3, shade.shape)
    return (16 * (shade + noise)).clip(0, 16368).astype(np.uint16)


def make_frame(counts: npt.NDArray[np.uint16], number: int, band: Band = Band.ON) -> StoreItem:
    """Return a frame as an item."""
    time_of = BEGIN + timedelta(seconds=4 * number)
    record = FrameRecord(band, FrameKind.PLUME, time_of, 0.1, scale=16)
    return frame_item(counts, record, device=f"camera-{band.value}", tag="fltrA" if band is Band.ON else "fltrB")


def timed(count: int, work: Callable[[int], object]) -> dict[str, float]:
    """Return median, worst and CPU milliseconds of ``work(number)``."""
    wall: list[float] = []
    cpu = time.process_time()
    for number in range(count):
        began = time.perf_counter()
        work(number)
        wall.append(1e3 * (time.perf_counter() - began))
    cpu_ms = 1e3 * (time.process_time() - cpu) / count
    return {"median_ms": statistics.median(wall), "worst_ms": max(wall), "cpu_ms": cpu_ms}


def put_many(root: str, band: str, puts: int) -> None:
    """Put the same frame under later times, as another process does."""
    item = make_frame(make_counts(0), 0, Band(band))
    with Spool(Path(root)) as spool:
        for _ in range(puts):
            spool.put(item)


def fill(spool: Spool, many: int) -> None:
    """Write ``many`` rows into the journal, in sealed folders of an hour each."""
    with spool.journal() as journal:
        connection = journal._connection
        connection.execute("BEGIN IMMEDIATE")
        begin = to_microseconds(BEGIN - timedelta(days=400))
        connection.executemany(
            "INSERT INTO items(kind, subject, device, time, stored, folder, name, size, sha256, sidecar, sidecar_size, "
            "sidecar_sha256) VALUES('frame', 'plume', 'camera-on', ?, ?, ?, ?, 400000, zeroblob(32), ?, 900, "
            "zeroblob(32))",
            ((begin + i * 4_000_000, begin, f"data/{i // 900}", f"{i}.png", f"{i}.json") for i in range(many)),
        )
        connection.execute("COMMIT")
        with journal.transaction():
            for folder in range(-(-many // 900)):
                journal.set_sealed(f"data/{folder}", True)
                (spool.root / "data" / str(folder)).mkdir()


def measure(folder: Path, puts: int, many: int) -> dict[str, dict[str, float]]:
    """Return all results."""
    images = [make_counts(seed) for seed in range(7)]
    frames = [make_frame(image, number) for number, image in enumerate(images)]
    results = {"encode": timed(30, lambda number: make_frame(images[number % 7], number))}
    results["frame"] = {"kilobytes": len(frames[0].data) / 1e3}
    with Spool(folder / "spool") as spool:
        results["put"] = timed(puts, lambda number: spool.put(frames[number % 7]))
        began = time.perf_counter()
        report = verify_spool(spool)
        results["verify"] = {"mb_per_s": report.bytes / 1e6 / (time.perf_counter() - began)}
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=put_many, args=(str(folder / "spool"), band, puts)) for band in ("on", "off", "on")
    ]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    results["processes"] = {"puts_per_s": 3 * puts / (time.perf_counter() - began)}
    with Spool(folder / "many") as spool:
        fill(spool, many)
        results["put_with_many"] = timed(50, lambda number: spool.put(frames[number % 7]))
        results["undelivered_with_many"] = timed(20, lambda _: spool.undelivered(limit=100))
        results["counts_with_many"] = timed(20, lambda _: spool.counts())
    report_of_start = recover_spool(folder / "many")
    results["start_with_many"] = {"seconds": report_of_start.duration_s, "folders": report_of_start.folders}
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description="What keeping costs.")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--puts", type=int, default=300)
    parser.add_argument("--many", type=int, default=200_000)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        results = measure(folder, arguments.puts, arguments.many)
    finally:
        shutil.rmtree(folder)
    for name, values in results.items():
        print(f"{name:<24}" + "  ".join(f"{key} {value:.2f}" for key, value in values.items()))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
