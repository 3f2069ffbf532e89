"""Names of the folders and files of a spool, and the folders of its items."""

from datetime import UTC, datetime
from typing import Final, Literal

Layout = Literal["hour", "day", "flat"]

DATA: Final = "data"
INCOMING: Final = ".incoming"
QUARANTINE: Final = "quarantine"
JOURNAL: Final = "journal.sqlite"
LOCK: Final = ".lock"
TEMPORARY_SUFFIX: Final = ".tmp"
STATION: Final = "station"
"""The receiver for which everything is kept, where no others are named."""


def item_folder(time: datetime, layout: Layout) -> str:
    """Return the folder of items of ``time``, relative to a spool's root."""
    moment = time.astimezone(UTC)
    if layout == "flat":
        return DATA
    return f"{DATA}/{moment:%Y/%m/%d/%H}" if layout == "hour" else f"{DATA}/{moment:%Y-%m-%d}"
