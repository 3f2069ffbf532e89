"""Errands on the disk: what commands asked devices to take, and what became of it."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from so2cam.instrument.errors import InstrumentError
from so2cam.store.small_database import SmallDatabase

KEPT: Final = 100_000
_FORMAT: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS errands (
  number INTEGER PRIMARY KEY, errand TEXT NOT NULL, device TEXT NOT NULL, request TEXT NOT NULL, items INTEGER NOT NULL,
  begun REAL NOT NULL, state TEXT NOT NULL, text TEXT NOT NULL, UNIQUE (errand, device)) STRICT;
CREATE INDEX IF NOT EXISTS errands_open ON errands (number) WHERE state = 'open'
"""
_SELECT: Final = "SELECT errand, device, request, items, state, text FROM errands"


@dataclass(frozen=True, slots=True)
class Errand:
    """What one device has to take for one command. ``state``: open, done, or failed; ``text`` says what became of it.

    ``order`` is what the device's process is told; ``items`` is how many items the whole set has.
    """

    id: str
    device: str
    order: Mapping[str, Any]
    items: int
    state: str = "open"
    text: str = ""


class ErrandStore(SmallDatabase):
    """The errands in the file ``path``; all methods raise InstrumentError where the disk refuses."""

    def __init__(self, path: Path, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(path, _SCHEMA, _FORMAT, "what devices have to take", error=InstrumentError)
        self._now_s = now_s

    def begin(self, errands: list[Errand]) -> None:
        """Keep new errands of one command: all of them, or none."""
        with self.transaction() as connection:
            for one in errands:
                cursor = connection.execute(
                    "INSERT INTO errands (errand, device, request, items, begun, state, text) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (one.id, one.device, json.dumps(dict(one.order)), one.items, self._now_s(), one.state, one.text),
                )
                connection.execute("DELETE FROM errands WHERE number <= ?", ((cursor.lastrowid or 0) - KEPT,))

    def end(self, errand: str, device: str, state: str, text: str) -> None:
        """Note what became of one."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE errands SET state = ?, text = ? WHERE errand = ? AND device = ?", (state, text, errand, device)
            )

    def of(self, errand: str) -> list[Errand]:
        """Return those of one command, in the order of its devices."""
        return [_errand(row) for row in self.rows(f"{_SELECT} WHERE errand = ? ORDER BY number", (errand,))]

    def open(self) -> list[Errand]:
        """Return those that are not over, the oldest first."""
        return [_errand(row) for row in self.rows(f"{_SELECT} WHERE state = 'open' ORDER BY number")]


def _errand(row: Any) -> Errand:
    errand, device, order, items, state, text = row
    return Errand(errand, device, json.loads(order), items, state, text)
