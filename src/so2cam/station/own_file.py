"""What of a draft is read by the instrument, which has a site file of its own: saving here does not change that one.

Settings and the schedule can be sent to a node from the Instrument page; everything else reaches it with a copy of the
file.
"""

from dataclasses import dataclass
from typing import Final

from so2cam.formats.siteedit import MISSING, KeyPath, key_text
from so2cam.station.draft_edits import DraftState, flatten, in_settings, same
from so2cam.station.key_rows import get_value_of_all

TABLE: Final = "instrument"
OWN_FILE: Final = (
    "The instrument reads its own file, on its own computer, when its agent starts: "
    "saved here, this changes the station's file alone."
)
COPY: Final = (
    "copy the saved site file to it, run so2cam instrument install there, and restart its agent "
    "(Instrument page, Power, devices)"
)
SETTINGS: Final = "set it on the Instrument page, Settings, where it holds at once"
SCHEDULE: Final = "send it from the Instrument page, Schedule, where it holds at once"
_SENT: Final = frozenset(
    {"exposure_s", "gain", "coadds", "integration_time_s"}
    | {f"{end}_{what}" for end in ("minimum", "maximum") for what in ("exposure_s", "integration_time_s")}
)
_SENT_AUTOMATIC: Final = frozenset({"enabled", "low", "target", "high", "brightest_pixels", "rows", "window_nm"})
_SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class OwnFile:
    """Keys that the draft changes and the instrument reads in its own file, and what to do for it."""

    keys: tuple[str, ...]
    remedy: str

    @property
    def words(self) -> str:
        """All of it as a text."""
        more = len(self.keys) - _SHOWN
        named = ", ".join(self.keys[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return f"{OWN_FILE} Changed are {named}. For the instrument: {self.remedy}."


def of_instrument(path: KeyPath) -> bool:
    """Return whether the instrument reads this key in its own file."""
    return path[:1] == (TABLE,)


def remedy_of(path: KeyPath) -> str:
    """Return what brings a key of the instrument to it."""
    return _either(_way(path))


def own_file(state: DraftState) -> OwnFile | None:
    """Return which keys of the instrument the draft changes; None where it changes none."""
    before, after = (
        {} if table is MISSING else dict(flatten(table, (TABLE,)))
        for table in (in_settings(get_value_of_all(text), (TABLE,)) for text in (state.base, state.text))
    )
    paths = [
        path
        for path in dict.fromkeys([*before, *after])
        if not same(before.get(path, MISSING), after.get(path, MISSING))
    ]
    if not paths:
        return None
    ways = dict.fromkeys(_way(path) for path in paths)
    found = next(iter(ways)) if len(ways) == 1 else ""
    return OwnFile(tuple(key_text(path) for path in paths), _either(found))


def _either(way: str) -> str:
    return f"{way}; or {COPY}" if way else COPY


def _way(path: KeyPath) -> str:
    """Return how a key can be sent over the link; nothing where it cannot."""
    if path[:2] == (TABLE, "schedule") and path[2:3] != ("power",):
        return SCHEDULE
    if path[:2] == (TABLE, "acquisition") and path[2:3] in (("period_s",), ("spectrum_period_s",)):
        return SETTINGS
    if path[:2] == (TABLE, "nodes") and path[3:4] == ("devices",):
        of_device = path[5:]
        if len(of_device) == 1 and of_device[0] in _SENT:
            return SETTINGS
        if of_device[:1] == ("automatic",) and len(of_device) == 2 and of_device[1] in _SENT_AUTOMATIC:
            return SETTINGS
    return ""
