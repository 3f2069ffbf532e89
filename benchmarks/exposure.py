"""How automatic exposure settles: 200 brightnesses of the scene, steps of the light up to 50 times, both bands.

    python benchmarks/exposure.py [--quick]

Frames are counted from the first one in the new light to the first one within the limits, both included. A flip is a
change of the exposure after that, in a light that stays. Beside it the law of existing instruments: one step of a list
of 40 exposures for each frame whose level is outside.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from so2cam.core.records import Band, FrameKind
from so2cam.observe.exposure import ExposureLaw, ExposureState, next_exposure
from so2cam.observe.statistics import LightLevel, frame_level
from so2cam.simulate.cheap_scene import CheapScene

LAW: Final = ExposureLaw(target=0.7, low=0.5, high=0.85, shortest_s=2e-5, longest_s=6.0)
STEPS: Final = (0.02, 0.1, 0.33, 0.9, 1.1, 3.0, 10.0, 50.0)
DARK_DN: Final = 15.0
_FRAMES: Final = 60
_AFTER: Final = 12
_LIST_S: Final = tuple(
    value * 1e-6
    for start, stop, step in (
        (1_000, 5_000, 500),
        (5_000, 10_000, 1_000),
        (10_000, 50_000, 5_000),
        (50_000, 100_000, 10_000),
        (100_000, 500_000, 50_000),
        (500_000, 1_000_001, 100_000),
    )
    for value in range(start, stop, step)
)

Rule = Callable[[LightLevel, float], float]


@dataclass
class Tally:
    """What came out for one step of the light."""

    settled: list[int]
    flips: int = 0
    never: int = 0


def new_law() -> Rule:
    """Return so2cam's law as a rule, with its memory inside."""
    state = ExposureState()

    def rule(level: LightLevel, exposure_s: float) -> float:
        nonlocal state
        decision = next_exposure(state, level, exposure_s=exposure_s, law=LAW)
        state = decision.state
        return decision.exposure_s

    return rule


def old_law() -> Rule:
    """Return the law of existing instruments: one step of the list, limits 0.7 and 0.9 of the raw level."""

    def rule(level: LightLevel, exposure_s: float) -> float:
        index = int(np.argmin(np.abs(np.array(_LIST_S) - exposure_s)))
        if level.bright > 0.9:
            index = max(0, index - 1)
        elif level.bright < 0.7:
            index = min(len(_LIST_S) - 1, index + 1)
        return _LIST_S[index]

    return rule


def measure(scene: CheapScene, band: Band, number: int, exposure_s: float, brightness: float) -> LightLevel:
    """Return the level of one frame of the scene."""
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=4 * number)
    counts = scene.frame(band, FrameKind.PLUME, moment, exposure_s, brightness=brightness)
    return frame_level(counts, scale=1, maximum_dn=1023, dark_dn=DARK_DN, brightest_pixels=30)


def run(make: Callable[[], Rule], scene: CheapScene, brightnesses: Sequence[float], band: Band) -> dict[float, Tally]:
    """Return the tally of each step, over all brightnesses."""
    tallies = {step: Tally([]) for step in STEPS}
    for seed, brightness in enumerate(brightnesses):
        for step in STEPS:
            rule = make()
            exposure = rest(rule, scene, band, brightness, seed)
            history = []
            for number in range(_FRAMES):
                level = measure(scene, band, 1000 * seed + 100 + number, exposure, brightness * step)
                following = rule(level, exposure)
                history.append(following == exposure)
                exposure = following
                first = history.index(True) if True in history else None
                if first is not None and len(history) > first + _AFTER:
                    break
            tally = tallies[step]
            if first is None:
                tally.never += 1
                continue
            tally.settled.append(first + 1)
            tally.flips += history[first:].count(False)
    return tallies


def rest(rule: Rule, scene: CheapScene, band: Band, brightness: float, seed: int) -> float:
    """Return the exposure at which the rule rests in a light, or where it is after many frames."""
    exposure = 0.05
    for number in range(_FRAMES):
        following = rule(measure(scene, band, 1000 * seed + number, exposure, brightness), exposure)
        if following == exposure:
            break
        exposure = following
    return exposure


def report(title: str, tallies: dict[float, Tally]) -> None:
    """Print a table."""
    print(f"\n{title}\n{'light times':>12} {'median':>7} {'worst':>6} {'flips':>6} {'never rests':>12}")
    for step, tally in tallies.items():
        median = f"{np.median(tally.settled):.0f}" if tally.settled else "-"
        worst = f"{max(tally.settled)}" if tally.settled else "-"
        print(f"{step:>12g} {median:>7} {worst:>6} {tally.flips:>6} {tally.never:>12}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 brightnesses instead of 200, on band only")
    quick = parser.parse_args().quick
    scene = CheapScene(1, width_px=96, height_px=72)
    count = 20 if quick else 200
    # From a hundredth to a hundred times the light of an ordinary day: steps of 50 stay within the sensor's exposures.
    brightnesses = np.geomspace(0.02, 50.0, count).tolist()
    begin = time.process_time()
    for band in (Band.ON,) if quick else (Band.ON, Band.OFF):
        report(f"so2cam, {band} band, {count} brightnesses", run(new_law, scene, brightnesses, band))
    report(f"list of 40 exposures, on band, {count} brightnesses", run(old_law, scene, brightnesses, Band.ON))
    frame = scene.frame(Band.ON, FrameKind.PLUME, datetime(2026, 3, 1, 12, tzinfo=UTC), 0.1)
    whole = np.tile(frame, (7, 7))[:486, :648].copy()
    begin_one = time.process_time()
    for _ in range(50):
        frame_level(whole, scale=1, maximum_dn=1023)
    print(f"\nmeasuring a frame of 648 x 486: {(time.process_time() - begin_one) / 50 * 1e3:.2f} ms of CPU time")
    print(f"whole benchmark: {time.process_time() - begin:.0f} s of CPU time")


if __name__ == "__main__":
    main()
