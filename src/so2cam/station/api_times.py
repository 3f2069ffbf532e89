"""Times as the interface takes them."""

from datetime import UTC, datetime
from typing import Final

from fastapi import HTTPException

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)


def utc(time: datetime) -> datetime:
    """Return a time as UTC, within the years that the catalogue knows. Raises HTTPException for others."""
    aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    try:
        found = aware.astimezone(UTC)
    except (OverflowError, ValueError):
        raise HTTPException(422, "the time is out of range") from None
    if not EARLIEST <= found <= LATEST:
        raise HTTPException(422, "the time must lie from 1970 to 2200")
    return found
