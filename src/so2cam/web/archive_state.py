"""What somebody looks for in the archive, as it stands in the address of the page. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from so2cam.core.errors import So2camError
from so2cam.core.status import QualityFlag
from so2cam.core.times import parse_utc
from so2cam.station.archive_query import ArchiveQuery
from so2cam.station.context import StationContext, StationSite

WHAT: Final = (
    ("all", "All"),
    ("plume", "Plume"),
    ("dark", "Dark"),
    ("clear", "Clear sky"),
    ("cell", "Gas cell"),
    ("test", "Test"),
    ("spectra", "Spectra"),
)
STATES: Final = {"": "any state", "kept": "whole", "faulty": "missing or damaged"}
SHARES: Final = {"0": "any day", "25": "25 % or more", "50": "50 % or more", "75": "75 % or more", "90": "90 % or more"}
_ALL_FLAGS: Final = sum(flag.value for flag in QualityFlag)
_KEYS: Final = ("scope", "start", "end", "what", "state", "valid", "with", "without", "share", "method", "page")


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """What is looked for, and which page of it is shown (from 0). ``share`` in per cent; flags as bits."""

    everywhere: bool = False
    start: datetime | None = None
    end: datetime | None = None
    what: str = "all"
    state: str = ""
    valid: bool = False
    with_flags: int = 0
    without_flags: int = 0
    share: int = 0
    method: str = ""
    page: int = 0

    @property
    def day(self) -> date | None:
        """The day that is looked at, where it is one."""
        if self.start is None or self.end is None or self.end - self.start != timedelta(days=1):
            return None
        return self.start.date() if self.start.time() == datetime.min.time() else None

    def on(self, first: date, last: date | None = None) -> "ArchiveState":
        """Return the same of these days, both of them included."""
        start = datetime.combine(min(first, last or first), datetime.min.time(), UTC)
        end = datetime.combine(max(first, last or first), datetime.min.time(), UTC) + timedelta(days=1)
        return replace(self, start=start, end=end, page=0)


def read_state(query: Mapping[str, str]) -> ArchiveState:
    """Return what an address says; what it says wrongly is left out."""
    start, end = (_moment(query.get(key, "")) for key in ("start", "end"))
    if start is not None and end is not None and end <= start:
        end = None
    what, state, share = query.get("what", "all"), query.get("state", ""), query.get("share", "0")
    return ArchiveState(
        everywhere=query.get("scope") == "all",
        start=start,
        end=end,
        what=what if what in dict(WHAT) else "all",
        state=state if state in STATES else "",
        valid=query.get("valid") == "1",
        with_flags=_number(query.get("with", "")) & _ALL_FLAGS,
        without_flags=_number(query.get("without", "")) & _ALL_FLAGS,
        share=int(share) if share in SHARES else 0,
        method=query.get("method", "")[:32],
        page=min(_number(query.get("page", "")), 1_000_000),
    )


def address_of(state: ArchiveState) -> dict[str, str | None]:
    """Return what stands in the address for it; None for what is as it is at first."""
    values: dict[str, Any] = {
        "scope": "all" if state.everywhere else "",
        "start": minute_text(state.start),
        "end": minute_text(state.end),
        "what": "" if state.what == "all" else state.what,
        "state": state.state,
        "valid": "1" if state.valid else "",
        "with": state.with_flags or "",
        "without": state.without_flags or "",
        "share": state.share or "",
        "method": state.method,
        "page": state.page or "",
    }
    return {key: str(values[key]) or None for key in _KEYS}


def query_of(state: ArchiveState, context: StationContext, site: StationSite) -> ArchiveQuery:
    """Return the question to the catalogue: of ``site``, or of all sites of the station."""
    sites = context.sites if state.everywhere else (site,)
    kinds: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    if state.what == "spectra":
        kinds = ("spectrum",)
    elif state.what != "all":
        kinds, subjects = ("frame",), (state.what,)
    pairing = [one.loaded.site.processing.pairing for one in sites]
    reach = [one.maximum_gap_s if one.off_band == "interpolated" else one.tolerance_s for one in pairing]
    return ArchiveQuery(
        sites=tuple(one.name for one in sites),
        start=state.start,
        end=state.end,
        kinds=kinds,
        subjects=subjects,
        states={"": (), "kept": ("kept",), "faulty": ("missing", "damaged")}[state.state],
        method=state.method or None,
        valid=state.valid,
        with_flags=state.with_flags,
        without_flags=state.without_flags,
        least_share=state.share / 100,
        tolerance_s=max(reach),
    )


def minute_text(time: datetime | None, *, up: bool = False) -> str:
    """Return a time to the minute as addresses have it (UTC), rounded up where ``up``; empty for None."""
    if time is None:
        return ""
    at = time.astimezone(UTC)
    if up and (at.second or at.microsecond):
        at += timedelta(minutes=1)
    return f"{at:%Y-%m-%dT%H:%M}"


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return parse_utc(f"{text}:00Z" if len(text) == 16 else text)
    except (So2camError, ValueError):
        return None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
