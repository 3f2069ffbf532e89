"""How long it takes to find the spectrometer's field of view, and how near the truth it is found.

    python benchmarks/field_of_view.py

Prints two tables: CPU time (one thread) by size of the stack, and errors in simulated plumes of known view.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from typing import NamedTuple

import cv2
import numpy as np

from so2cam.core.records import FloatArray
from so2cam.science.calibration.correlation_map import BoolStack, Stack
from so2cam.science.calibration.field_of_view import ViewStatus, search_by_correlation
from so2cam.science.calibration.view_inversion import invert_view
from so2cam.science.calibration.view_weights import disc_weights

SIZES = ((38, 64, 84), (38, 128, 168), (83, 64, 84), (500, 60, 80), (60, 243, 324))
SLOPE_MOLEC_CM2 = 1.0e19


class Scene(NamedTuple):
    """A stack with its mask and columns, and the true x, y and radius [px]."""

    stack: Stack
    valid: BoolStack
    column: FloatArray
    truth: FloatArray


def scene(
    rng: np.random.Generator,
    times: int = 60,
    rows: int = 64,
    columns: int = 84,
    *,
    radius: float = 0.05,
    masked: float = 0.0,
    column_noise: float = 3e16,
) -> Scene:
    """Return structures that drift through a band, on a grid twice as fine as the camera's."""
    fine = 2
    high, wide = rows * fine, columns * fine
    drift = 0.03 * high
    length = int(wide + times * drift) + 8
    field = np.zeros((high, length), np.float32)
    for size in (0.05 * high, 0.15 * high):
        noise = cv2.GaussianBlur(rng.standard_normal(field.shape).astype(np.float32), (0, 0), size)
        field += noise / noise.std()
    field = 0.15 * np.exp(0.4 * field)
    band = np.exp(-0.5 * ((np.arange(high)[:, None] / high - 0.5) / 0.15) ** 2).astype(np.float32)
    x, y, size = rng.uniform(0.3, 0.7) * wide, rng.uniform(0.42, 0.58) * high, radius * high
    weights = disc_weights((high, wide), x, y, size)
    stack = np.empty((times, rows, columns), np.float32)
    column = np.empty(times)
    for index in range(times):
        shift = np.array([[1, 0, index * drift + 2 + wide - length], [0, 1, 0]], np.float32)
        image = cv2.warpAffine(field, shift, (wide, high)) * band
        column[index] = SLOPE_MOLEC_CM2 * float((weights * image).sum())
        stack[index] = image.reshape(rows, fine, columns, fine).mean(axis=(1, 3))
    stack += rng.normal(0, 0.003, stack.shape).astype(np.float32)
    column += rng.normal(0, column_noise, times)
    valid = rng.random(stack.shape) >= masked
    return Scene(stack, valid, column, np.array([(x + 0.5) / fine - 0.5, (y + 0.5) / fine - 0.5, size / fine]))


def speed() -> None:
    print("| images | masked | by correlation, CPU ms | by inversion, CPU ms |\n| --- | ---: | ---: | ---: |")
    for times, rows, columns in SIZES:
        for masked in (0.0, 0.1):
            made = scene(np.random.default_rng(1), times, rows, columns, masked=masked)
            sigma = np.full(times, 3e16)
            row = []
            for function in (search_by_correlation, invert_view):
                taken = []
                for _ in range(5):
                    start = time.process_time()
                    function(made.stack, made.valid, made.column, sigma)
                    taken.append(time.process_time() - start)
                row.append(f"{1e3 * min(taken):.0f}")
            print(f"| {times} x {rows} x {columns} | {masked:.0%} | {' | '.join(row)} |")


def accuracy(trials: int = 30) -> None:
    print("\n| scene | method | found | centre, median px | largest px | radius, median | within 1 sigma (x, y, r) |")
    print("| --- | --- | ---: | ---: | ---: | ---: | --- |")
    cases: dict[str, dict[str, float]] = {
        "60 times": {},
        "20 % masked": {"masked": 0.2},
        "small view": {"radius": 0.025},
        "noisy columns": {"column_noise": 2e17},
        "200 times": {"times": 200},
    }
    for name, options in cases.items():
        errors: dict[str, list[FloatArray]] = {"correlation": [], "inversion": []}
        inside = []
        rng = np.random.default_rng(7)
        for _ in range(trials):
            made = scene(rng, **options)  # type: ignore[arg-type]
            sigma = np.full(made.column.size, 3e16)
            found = search_by_correlation(made.stack, made.valid, made.column, sigma)
            if found.status is ViewStatus.OK:
                off = np.array([found.x, found.y, found.radius]) - made.truth
                errors["correlation"].append(np.array([np.hypot(off[0], off[1]), off[2] / made.truth[2]]))
                inside.append(np.abs(off) < found.sigma)
            bell = invert_view(made.stack, made.valid, made.column, sigma).bell
            if bell is not None:
                distance = np.hypot(bell.x - made.truth[0], bell.y - made.truth[1])
                errors["inversion"].append(np.array([distance, bell.radius / made.truth[2] - 1]))
        for method, found_errors in errors.items():
            table = np.array(found_errors)
            share = ", ".join(f"{each:.0%}" for each in np.mean(inside, axis=0)) if method == "correlation" else ""
            print(
                f"| {name} | {method} | {len(table)}/{trials} | {np.median(table[:, 0]):.2f} | "
                f"{table[:, 0].max():.2f} | {np.median(table[:, 1]):+.0%} | {share} |"
            )


if __name__ == "__main__":
    speed()
    accuracy()
