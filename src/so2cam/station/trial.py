"""Trial lines: a line of the site file moved to see what it would give there, measured on the live images.

A trial has the name of its line with ``(trial)`` behind it. It changes no result: its emission rates are kept in memory
for a day, and its place in ``STATION/trials.json``, so that a restart keeps it. All who look at the station share it.
"""

import json
import logging
import math
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from so2cam.core.errors import InputError, So2camError
from so2cam.core.site_lines import Line
from so2cam.core.times import format_utc, parse_utc
from so2cam.pipeline.records import Emission, PairImages
from so2cam.pipeline.what_if import WhatIf, WhatIfLine
from so2cam.station.catalogue import Rate
from so2cam.station.context import StationContext, StationSite
from so2cam.store.atomic import atomic_write_bytes

_LOG = logging.getLogger(__name__)
SUFFIX: Final = " (trial)"
KEPT: Final = timedelta(hours=24)
_MOST: Final = 100_000
_FILE: Final = "trials.json"
_WAIT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial line: which line of the site file it is of, where it lies, who moved it last, and when."""

    of: str
    line: Line
    by: str
    since: datetime

    @property
    def name(self) -> str:
        """Its name."""
        return f"{self.of}{SUFFIX}"


@dataclass(slots=True)
class _Running:
    trial: Trial
    measured: WhatIfLine
    rates: deque[Rate] = field(default_factory=lambda: deque(maxlen=_MOST))


class TrialLines:
    """The trial lines of one site, and the service that measures them. Safe for threads."""

    def __init__(self, context: StationContext, site: StationSite) -> None:
        self._context, self._site = context, site
        self._path = site.results.parent.parent / f"{site.results.name}-{_FILE}"
        self._lock = threading.RLock()
        self._running: dict[str, _Running] = {}
        self._last: tuple[PairImages, PairImages] | None = None
        self._newest: PairImages | None = None
        self._changed = 0
        self._load()

    @property
    def name(self) -> str:
        """The service's name."""
        return f"trial/{self._site.name}".replace(" ", "-")

    def run(self, stop: threading.Event) -> None:
        """Measure trial lines on new images until told to stop."""
        board, site, seen = self._context.board, self._site.name, 0
        while not stop.is_set():
            number = board.wait_images(site, seen, _WAIT_S)
            if number == seen:
                continue
            seen = number
            images = board.images(site)
            if images is not None:
                self.see(images)

    def see(self, images: PairImages) -> None:
        """Take the images of the newest pair: all trials are measured at the one before it."""
        with self._lock:
            before, self._newest = self._newest, images
            if before is None or not _follows(before, images):
                self._last = None
                return
            self._last = (before, images)
            for running in self._running.values():
                _keep(running, running.measured.measure(before, images))

    # --- changes -------------------------------------------------------------------------------------------------

    @property
    def number(self) -> int:
        """A number that changes when a trial is set, moved or ended."""
        with self._lock:
            return self._changed

    def trials(self) -> tuple[Trial, ...]:
        """Return all trials."""
        with self._lock:
            return tuple(running.trial for running in self._running.values())

    def put(self, of: str, place: Mapping[str, Any], by: str) -> Trial:
        """Begin a trial of the line ``of``, or move it, to ``place``: the keys of a line of the site file.

        ``place`` has ``start`` and ``end``, or ``points``, or ``arc``, as the line itself. It is measured at the newest
        pair at once. Raises InputError for a line that is not there, or cannot be measured where it is put.
        """
        line = self._moved(of, place)
        measured = WhatIfLine(self._site.loaded.site, self._site.loaded.path.parent, line)
        with self._lock:
            trial = Trial(of, line, by, datetime.now(UTC))
            self._running[of] = running = _Running(trial, measured)
            if self._last is not None:
                _keep(running, measured.measure(*self._last))
            self._changed += 1
            self._save()
        return trial

    def end(self, of: str) -> None:
        """End a trial; nothing happens where there is none."""
        with self._lock:
            if self._running.pop(of, None) is not None:
                self._changed += 1
                self._save()

    def rates(self, of: str, *, method: str, after: datetime | None = None) -> Sequence[Rate]:
        """Return the emission rates of a trial by a speed method since it was put there, in order of time."""
        with self._lock:
            running = self._running.get(of)
            found = () if running is None else tuple(running.rates)
        oldest = datetime.now(UTC) - KEPT
        return [
            rate
            for rate in found
            if rate.method == method and rate.time >= oldest and (after is None or rate.time > after)
        ]

    def newest(self, of: str) -> Rate | None:
        """Return the newest emission rate of a trial, by the first of its speed methods; None before there is one."""
        with self._lock:
            running = self._running.get(of)
            if running is None or not running.rates:
                return None
            last = running.rates[-1]
            first = running.measured.methods[0]
            newest = (rate for rate in reversed(running.rates) if rate.method == first)
            return next((rate for rate in newest if rate.time == last.time), last)

    def site_file_text(self, of: str) -> str:
        """Return the trial as the table that would put it into the site file. Raises InputError where there is none."""
        for trial in self.trials():
            if trial.of == of:
                return _toml(trial.line.model_copy(update={"name": of}))
        raise InputError("there is no trial of this line", value=of)

    def _moved(self, of: str, place: Mapping[str, Any]) -> Line:
        own = next((line for line in self._site.loaded.site.lines if line.name == of), None)
        if own is None:
            raise InputError("there is no line of this name", value=of, remedy="name a line of the site file")
        kept = own.model_dump(exclude_none=True, exclude={"name", "start", "end", "points", "arc", "file", "closed"})
        if own.closed:
            kept["closed"] = True
        try:
            return Line.model_validate({"name": of, **kept, **place})
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise InputError(reason, value=of, remedy="draw it elsewhere") from None

    # --- what is kept ----------------------------------------------------------------------------------------------

    def _save(self) -> None:
        content = [
            {"of": trial.of, "by": trial.by, "since": format_utc(trial.since), "place": _place(trial.line)}
            for trial in self.trials()
        ]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(self._path, json.dumps(content, indent=1).encode())

    def _load(self) -> None:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            for entry in content:
                line = self._moved(entry["of"], entry["place"])
                measured = WhatIfLine(self._site.loaded.site, self._site.loaded.path.parent, line)
                trial = Trial(entry["of"], line, str(entry["by"]), parse_utc(entry["since"]))
                self._running[trial.of] = _Running(trial, measured)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, So2camError) as error:
            _LOG.warning("%s: earlier trial lines are left: %s", self._path, error)


def _follows(before: PairImages, images: PairImages) -> bool:
    """Tell whether ``images`` are of the pair right after ``before``: then its interval is that of the two."""
    between = (images.time - before.time).total_seconds()
    return between > 0 and math.isfinite(before.interval_s) and abs(between - before.interval_s) < 1.0


def _keep(running: _Running, found: WhatIf) -> None:
    for method, emission in found.emissions.items():
        running.rates.append(_rate(running.trial.name, method, emission, found))


def _rate(name: str, method: str, emission: Emission, found: WhatIf) -> Rate:
    def known(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    return Rate(
        found.images.time,
        name,
        method,
        known(emission.rate),
        known(emission.random),
        known(emission.systematic),
        known(emission.speed),
        known(emission.speed_uncertainty),
        known(emission.direction_deg),
        known(found.amount),
        int(emission.status),
    )


def _place(line: Line) -> dict[str, Any]:
    return line.model_dump(mode="json", exclude_none=True, include={"start", "end", "points", "arc"})


def _toml(line: Line) -> str:
    content = line.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    rows = ["[[lines]]"]
    for key, value in content.items():
        if isinstance(value, dict):
            inner = ", ".join(f"{name} = {json.dumps(part)}" for name, part in value.items())
            rows.append(f"{key} = {{ {inner} }}")
        else:
            rows.append(f"{key} = {json.dumps(value)}")
    return "\n".join(rows) + "\n"
