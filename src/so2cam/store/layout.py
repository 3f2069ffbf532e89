"""Names of the folders and files of a spool, the folders of its items, and whose spool it is."""

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from so2cam.store.disk import Disk

Layout = Literal["hour", "day", "flat"]

DATA: Final = "data"
INCOMING: Final = ".incoming"
QUARANTINE: Final = "quarantine"
JOURNAL: Final = "journal.sqlite"
LOCK: Final = ".lock"
SUSPECT: Final = ".suspect"
"""Is there after the journal was found damaged at work: the next recovery checks it in full."""
MARKER: Final = "spool.json"
TEMPORARY_SUFFIX: Final = ".tmp"
STATION: Final = "station"
"""The receiver for which everything is kept, where no others are named."""


def item_folder(time: datetime, layout: Layout) -> str:
    """Return the folder of items of ``time``, relative to a spool's root."""
    moment = time.astimezone(UTC)
    if layout == "flat":
        return DATA
    return f"{DATA}/{moment:%Y/%m/%d/%H}" if layout == "hour" else f"{DATA}/{moment:%Y-%m-%d}"


def read_node(disk: Disk, root: Path) -> str | None:
    """Return the node whose spool is below ``root``, or None where nothing tells. Raises OSError."""
    try:
        content: Any = json.loads(disk.read(root / MARKER))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    node = content.get("node") if isinstance(content, dict) else None
    return node if isinstance(node, str) and node else None


def name_node(disk: Disk, root: Path, node: str | None) -> str:
    """Return the node whose spool is below ``root``: ``node``, which is written down, or the one that was. OSError."""
    known = read_node(disk, root)
    if known is not None and node in (None, known):
        return known
    name = node or "node"
    temporary = root / INCOMING / f"{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    disk.write_new(temporary, (json.dumps({"format": 1, "node": name}) + "\n").encode())
    disk.rename(temporary, root / MARKER)
    disk.sync_folder(root)
    return name
