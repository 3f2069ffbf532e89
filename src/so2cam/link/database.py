"""The link's own small database: tokens, offers to pair, the ledger of commands, events.

One SQLite file in the node's state folder, opened by the agent and by ``so2cam token`` at the same time.
"""

from pathlib import Path
from typing import Final

from so2cam.link.errors import LinkError
from so2cam.store.small_database import SmallDatabase

FILE: Final = "link.sqlite"
_FORMAT: Final = 1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS token (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, receiver TEXT, secret BLOB NOT NULL,
    created REAL NOT NULL, expires REAL, revoked REAL, used REAL) STRICT;
CREATE TABLE IF NOT EXISTS offer (
    id TEXT PRIMARY KEY, role TEXT NOT NULL, receiver TEXT, key BLOB NOT NULL, salt BLOB NOT NULL,
    expires REAL NOT NULL, attempts INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS ledger (
    number INTEGER PRIMARY KEY, who TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, peer TEXT NOT NULL,
    begun REAL NOT NULL, ended REAL, command TEXT NOT NULL, state TEXT NOT NULL, result TEXT,
    UNIQUE (who, key)) STRICT;
CREATE INDEX IF NOT EXISTS ledger_open ON ledger (number) WHERE result IS NULL;
CREATE TABLE IF NOT EXISTS event (number INTEGER PRIMARY KEY, content TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
"""


class Database(SmallDatabase):
    """The file ``path``, made where it is missing; for all threads of a process."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        """Open it. ``durable``: forced to the disk at every commit. Raises LinkError where that cannot be."""
        super().__init__(path, _TABLES, _FORMAT, "what the link knows", durable=durable, private=True, error=LinkError)
