"""Runs of a site as they are kept: a folder for each, ``STATION/runs/SITE/0007``.

``run.json`` says who wanted what and how it goes; ``site.toml`` holds the settings, ``files.json`` what the run works
on, ``log.txt`` what it said. Everything else is a product, which is there only when the run is done.
"""

import contextlib
import json
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from so2cam.core.errors import InputError, OutputError
from so2cam.core.records import Band
from so2cam.core.times import format_utc, parse_utc
from so2cam.store.atomic import atomic_write_bytes

Kind = Literal["process", "spectra", "film", "live"]
State = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
SITE_FILE: Final = "site.toml"
"""It may hold addresses of people and services: it is not for those who only look."""
OPEN: Final[frozenset[str]] = frozenset({"queued", "running"})
KEPT: Final = frozenset({"run.json", SITE_FILE, "files.json", "log.txt"})
"""What a run that made no products still has."""
ROWS: Final = ".rows.jsonl"
"""Live results that a run puts into files, a row of the catalogue in each line; it goes with the end of the run."""
OUTCOME: Final = ".outcome.json"
"""What a run found: there as soon as all its products are, whatever becomes of the station; it goes with the end."""
_NEWEST: Final = ".newest"
"""Beside the runs: the highest number that one ever had."""
_FOLDER: Final = re.compile(r"[0-9]{4,9}")
_TIMES: Final = ("start", "end", "made", "began", "ended")


@dataclass(frozen=True, slots=True)
class RunImages:
    """Images that a run makes too: names of ``formats.images``, of so many pairs one."""

    formats: tuple[str, ...]
    quantities: tuple[str, ...]
    every: int = 1


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What somebody wants of ``start`` <= time < ``end`` (UTC).

    ``process`` images and spectra, ``spectra`` alone, make a ``film`` of a band, or put ``live`` results into files.
    ``text`` is the site file to use; ``settings`` says in words where it is from. ``columns_of``: the run whose columns
    are used in place of spectra fitted anew.
    """

    kind: Kind
    name: str
    by: str
    start: datetime
    end: datetime
    text: str
    settings: str
    images: RunImages | None = None
    columns_of: int | None = None
    band: Band | None = None
    """of a film"""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run. ``message`` says why it failed; ``warnings`` and ``summary`` (label, value) what it found.

    ``pairs`` and ``valid`` count pairs and valid rates of lines, ``spectra`` and ``columns`` spectra and valid columns,
    ``frames`` those of a film.
    """

    id: int
    kind: Kind
    name: str
    by: str
    start: datetime
    end: datetime
    settings: str
    settings_sha256: str
    version: str
    made: datetime
    images: RunImages | None = None
    columns_of: int | None = None
    band: Band | None = None
    state: State = "queued"
    began: datetime | None = None
    ended: datetime | None = None
    pairs: int = 0
    valid: int = 0
    spectra: int = 0
    columns: int = 0
    frames: int = 0
    message: str = ""
    warnings: tuple[str, ...] = ()
    summary: tuple[tuple[str, str], ...] = field(default=())

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs."""
        return self.state in OPEN

    @property
    def has_rates(self) -> bool:
        """Whether it has made emission rates."""
        return self.state == "done" and self.kind in ("process", "live")

    @property
    def has_columns(self) -> bool:
        """Whether it has made columns of spectra."""
        return self.state == "done" and self.columns > 0

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.id} {self.name}".strip()


class RunStore:
    """The runs of one site. Safe for threads; one process works with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._read_before: dict[int, tuple[tuple[int, int, int], RunRecord]] = {}
        """what ``run.json`` said, and which file that was"""

    def path(self, run: int, name: str = "") -> Path:
        """Return the path of a file of a run; of its folder without a name."""
        return self.folder / f"{run:04d}" / name if name else self.folder / f"{run:04d}"

    def add(self, order: RunOrder, *, settings_sha256: str, version: str, files: dict[str, Any]) -> RunRecord:
        """Keep a new run, queued. Raises OutputError where the disk refuses."""
        with self._lock:
            number = max(self._numbers(), default=0)
            number = max(number, self._newest()) + 1
            atomic_write_bytes(self.folder / _NEWEST, str(number).encode())
            record = RunRecord(
                number,
                order.kind,
                order.name,
                order.by,
                order.start,
                order.end,
                order.settings,
                settings_sha256,
                version,
                datetime.now(UTC),
                order.images,
                order.columns_of,
                order.band,
            )
            try:
                atomic_write_bytes(self.path(number, "site.toml"), order.text.encode())
                atomic_write_bytes(self.path(number, "files.json"), json.dumps(files).encode())
                self.put(record)
            except OutputError:
                shutil.rmtree(self.path(number), ignore_errors=True)
                raise
        return self.get(number)  # with its times as they are kept

    def put(self, record: RunRecord) -> RunRecord:
        """Keep how a run is now, and return it. Raises OutputError where the disk refuses."""
        content = json.dumps(_to_json(record), indent=1)
        atomic_write_bytes(self.path(record.id, "run.json"), content.encode())
        return record

    def finish(self, record: RunRecord, outcome: dict[str, Any] | None = None) -> RunRecord | None:
        """Keep that a run is done, with what it found; None where it did not say that it is done.

        Raises OutputError where the disk refuses; then it can be done once more.
        """
        try:
            found = outcome or json.loads(self.path(record.id, OUTCOME).read_text(encoding="utf-8"))
            done = replace(
                record,
                state="done",
                pairs=found["pairs"],
                valid=found["valid"],
                spectra=found.get("spectra", 0),
                columns=found.get("columns", 0),
                frames=found.get("frames", 0),
                warnings=tuple(found["warnings"]),
                summary=tuple((label, value) for label, value in found["summary"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        self.put(done)
        for path in self.path(record.id).glob(".*"):
            _remove(path)
        return done

    def size(self, run: int) -> int:
        """Return what a run takes on the disk [bytes]."""
        total = 0
        for path in self.path(run).rglob("*"):
            with contextlib.suppress(OSError):  # it may go meanwhile
                total += 0 if path.is_dir() else path.stat().st_size
        return total

    def get(self, run: int) -> RunRecord:
        """Return a run. Raises InputError where there is none."""
        found = self._read(run)
        if found is None:
            raise InputError("there is no such run", key="run", value=run)
        return found

    def file(self, run: int, name: str) -> Path:
        """Return the path of a file of a run that may be fetched. Raises InputError where there is none of this name.

        Products are there when the run is done; ``SITE_FILE`` is for operators, whom the caller knows.
        """
        record = self.get(run)
        allowed = KEPT - {"files.json"}
        if record.state == "done":
            allowed |= {path.name for path in self.products(run)}
        path = self.path(run, name)
        if name not in allowed or not path.is_file():
            raise InputError("the run has no such file", key="name", value=name)
        return path

    def all(self) -> list[RunRecord]:
        """Return all runs, the newest first; what is no run is left out."""
        found = (self._read(number) for number in sorted(self._numbers(), reverse=True))
        return [record for record in found if record is not None]

    def text(self, run: int) -> str:
        """Return the site file of a run. Raises InputError where it cannot be read."""
        try:
            return self.path(run, "site.toml").read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(f"the run's site file cannot be read: {error}", key="run", value=run) from None

    def products(self, run: int) -> list[Path]:
        """Return the products of a run, files and folders, by name."""
        folder = self.path(run)
        if not folder.is_dir():
            return []
        return sorted(path for path in folder.iterdir() if path.name not in KEPT and not path.name.startswith("."))

    def log(self, run: int, lines: int = 200) -> str:
        """Return the last lines of what a run said."""
        try:
            with self.path(run, "log.txt").open("rb") as stream:
                size = stream.seek(0, 2)
                stream.seek(max(0, size - 64_000))
                text = stream.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def tidy(self, run: int) -> None:
        """Remove products of a run, and what was cut off."""
        folder = self.path(run)
        if folder.is_dir():
            for path in folder.iterdir():
                if path.name not in KEPT:
                    _remove(path)

    def delete(self, run: int) -> None:
        """Delete a run. Raises InputError where it waits or runs, or there is none."""
        if self.get(run).is_open:
            raise InputError("the run waits or runs", key="run", value=run, remedy="cancel it first")
        gone = self.path(run).with_name(f".{run:04d}.gone")
        with self._lock:
            shutil.rmtree(gone, ignore_errors=True)
            self.path(run).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def _newest(self) -> int:
        try:
            return int((self.folder / _NEWEST).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def _numbers(self) -> Iterator[int]:
        if self.folder.is_dir():
            yield from (int(path.name) for path in self.folder.iterdir() if _FOLDER.fullmatch(path.name))

    def _read(self, run: int) -> RunRecord | None:
        path = self.path(run, "run.json")
        try:
            status = path.stat()
            mark = (status.st_ino, status.st_mtime_ns, status.st_size)
            known = self._read_before.get(run)
            if known is not None and known[0] == mark:
                return known[1]
            record = _from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        self._read_before[run] = (mark, record)
        return record


def interrupted(store: RunStore, *, why: str) -> list[RunRecord]:
    """Mark runs that were running when the station ended, and remove what they left; return them.

    One that had said that it is done, before the station could keep that, is done.
    """
    found = []
    for record in store.all():
        if record.state == "running":
            ended = replace(record, ended=datetime.now(UTC))
            if store.finish(ended) is None:
                store.tidy(record.id)
                found.append(store.put(replace(ended, state="interrupted", message=why)))
    return found


def _to_json(record: RunRecord) -> dict[str, Any]:
    content = asdict(record)
    for name in _TIMES:
        content[name] = None if content[name] is None else format_utc(content[name])
    return content


def _from_json(content: dict[str, Any]) -> RunRecord:
    for name in _TIMES:
        content[name] = None if content[name] is None else parse_utc(content[name])
    images = content["images"]
    if images is not None:
        images = RunImages(tuple(images["formats"]), tuple(images["quantities"]), images["every"])
    pairs: Sequence[Sequence[str]] = content["summary"]
    return RunRecord(
        **content
        | {
            "images": images,
            "band": None if content.get("band") is None else Band(content["band"]),
            "warnings": tuple(content["warnings"]),
            "summary": tuple((label, value) for label, value in pairs),
        }
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
