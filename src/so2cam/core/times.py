"""Aware UTC times and their text form: ISO 8601 with ``Z``, to the millisecond."""

from datetime import UTC, datetime, timedelta


def require_utc(time: datetime) -> datetime:
    """Return ``time`` in UTC; raises ValueError for a time without a zone, whose meaning would be a guess."""
    if time.tzinfo is None:
        raise ValueError(f"time {time.isoformat()} has no time zone; so2cam works in UTC")
    return time.astimezone(UTC)


def format_utc(time: datetime) -> str:
    """Return ``time`` as ``YYYY-MM-DDTHH:MM:SS.mmmZ``, rounded to the millisecond."""
    rounded = require_utc(time) + timedelta(microseconds=500)
    return f"{rounded:%Y-%m-%dT%H:%M:%S}.{rounded.microsecond // 1000:03d}Z"


def parse_utc(text: str) -> datetime:
    """Return the UTC time written in ``text`` (ISO 8601; without a zone it is taken as UTC).

    Raises ValueError with an example where the text is no such time.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write it like 2018-03-26T14:44:08Z") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def to_unix_s(time: datetime) -> float:
    """Return seconds since 1970-01-01T00:00:00Z."""
    return require_utc(time).timestamp()
