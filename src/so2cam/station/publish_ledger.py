"""What has been published: a small SQLite file, by which only what is new or changed is sent."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from so2cam.core.times import format_utc, parse_utc
from so2cam.store.small_database import SmallDatabase

_FORMAT: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS published (
  remote TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  time TEXT NOT NULL, PRIMARY KEY (remote, path));
CREATE TABLE IF NOT EXISTS parts (
  remote TEXT NOT NULL, path TEXT NOT NULL, part TEXT NOT NULL, PRIMARY KEY (remote, part));
CREATE TABLE IF NOT EXISTS remotes (
  remote TEXT PRIMARY KEY, success TEXT, failure TEXT, error TEXT, failures INTEGER NOT NULL DEFAULT 0);
"""


@dataclass(frozen=True, slots=True)
class Copy:
    """A file as it is at a remote: size and time of change are those of the local file then."""

    sha256: str
    size: int
    mtime_ns: int
    time: datetime


@dataclass(frozen=True, slots=True)
class RemoteState:
    """How publishing to a remote goes: ``failures`` in a row since the last success."""

    success: datetime | None = None
    failure: datetime | None = None
    error: str | None = None
    failures: int = 0


class PublishLedger(SmallDatabase):
    """The ledger in the file ``path``, which is made where it is missing. Safe for threads and several processes.

    A remote is known by its name and where it points to: a changed destination begins anew.
    """

    def __init__(self, path: Path) -> None:
        """Raises OutputError where the file cannot be opened or is of a newer version."""
        super().__init__(path, _SCHEMA, _FORMAT, "the list of what is published")

    def copies(self, remote: str) -> dict[str, Copy]:
        """Return what is at a remote, by its path there."""
        rows = self.rows("SELECT path, sha256, size, mtime_ns, time FROM published WHERE remote = ?", (remote,))
        return {path: Copy(sha256, size, mtime, parse_utc(time)) for path, sha256, size, mtime, time in rows}

    def begin(self, remote: str, path: str, part: str) -> None:
        """Note that something is uploaded as ``part``."""
        with self.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", (remote, path, part))

    def parts(self, remote: str, path: str) -> list[str]:
        """Return the names under which earlier attempts were uploaded."""
        return [row[0] for row in self.rows("SELECT part FROM parts WHERE remote = ? AND path = ?", (remote, path))]

    def forget_part(self, remote: str, part: str) -> None:
        """Note that ``part`` is no longer at the remote."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM parts WHERE remote = ? AND part = ?", (remote, part))

    def done(self, remote: str, path: str, copy: Copy, part: str | None = None) -> None:
        """Note that a file is at its place."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO published VALUES (?,?,?,?,?,?)",
                (remote, path, copy.sha256, copy.size, copy.mtime_ns, format_utc(copy.time)),
            )
            if part is not None:
                connection.execute("DELETE FROM parts WHERE remote = ? AND part = ?", (remote, part))

    def state(self, remote: str) -> RemoteState:
        """Return how publishing to a remote goes."""
        rows = self.rows("SELECT success, failure, error, failures FROM remotes WHERE remote = ?", (remote,))
        if not rows:
            return RemoteState()
        success, failure, error, failures = rows[0]
        return RemoteState(_time(success), _time(failure), error, failures)

    def note(self, remote: str, now: datetime, error: str | None) -> None:
        """Note that publishing went well (``error`` None), or did not."""
        with self.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO remotes (remote) VALUES (?)", (remote,))
            if error is None:
                connection.execute(
                    "UPDATE remotes SET success = ?, error = NULL, failures = 0 WHERE remote = ?",
                    (format_utc(now), remote),
                )
            else:
                connection.execute(
                    "UPDATE remotes SET failure = ?, error = ?, failures = failures + 1 WHERE remote = ?",
                    (format_utc(now), error, remote),
                )


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_utc(text)
