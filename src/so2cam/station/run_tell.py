"""What the process of a run says to the station, as lines of JSON on standard output: how far it is, what it found."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from so2cam.station.run_store import OUTCOME
from so2cam.store.atomic import atomic_write_bytes

Progress = Callable[[int, int], None]
_EVERY_S: Final = 0.25


def say(**what: Any) -> None:
    """Say one thing: ``stage``, ``done``, ``failed``."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def progress(stage: str) -> Progress:
    """Return what tells how far a stage is, a few times in a second."""
    last = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= _EVERY_S:
            last = now
            say(stage=stage, done_of=[done, total])

    return tell


def finish(
    folder: Path,
    *,
    summary: Sequence[tuple[str, str]],
    warnings: Sequence[str],
    **counts: int,
) -> None:
    """Keep and say what a run found, when all its products are there; ``counts`` are fields of ``RunRecord``."""
    outcome = {"pairs": 0, "valid": 0, **counts, "warnings": list(warnings), "summary": list(summary)}
    atomic_write_bytes(folder / OUTCOME, json.dumps(outcome).encode())
    say(done=outcome)
