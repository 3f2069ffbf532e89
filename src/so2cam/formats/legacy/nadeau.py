"""The speed by the shift of a profile along the plume's axis (Nadeau): its axis, length and largest shift."""

from typing import Any, Final

from so2cam.core.site import ProfileShift
from so2cam.formats.legacy.account import Outcome
from so2cam.formats.legacy.settle import Settler
from so2cam.formats.legacy.tables import refusal

_WHERE: Final = "processing.speed.nadeau"


def convert_nadeau(old: Settler) -> ProfileShift:
    """Return the table of the method, and settle its keys: carried whether it is switched on or not.

    Directions are the same in both programs: clockwise from the top of the image. The old largest shift is a share of
    the profile's length, in percent.
    """
    values: dict[str, Any] = {}
    old.say("source_coords", Outcome.OWN_WAY, "the axis goes through the plume's centre on each line")
    old.say("auto_nadeau_pcs", Outcome.OWN_WAY, "every line has an axis of its own")
    if old.flag("auto_nadeau_line"):
        old.carry("auto_nadeau_line", f"{_WHERE}.axis_deg", "absent: the axis is found")
        old.say("nadeau_line_orientation", Outcome.NOT_USED, "the axis is found")
    elif old.has("nadeau_line_orientation"):
        old.say("auto_nadeau_line", Outcome.OWN_WAY, f"off: `{_WHERE}.axis_deg` is given")
        _take(old, values, "nadeau_line_orientation", "axis_deg", 1.0, "clockwise from the top of the image")
    else:
        old.say("auto_nadeau_line", Outcome.LOOK, f"off, but without a direction: `{_WHERE}.axis_deg` is found")
    length = old.number("nadeau_line_length")
    _take(old, values, "nadeau_line_length", "length_px", 1.0, "about the line, no longer from the source on")
    if length is None or "length_px" not in values:
        note = f"is a share of a length that is not carried; `{_WHERE}.maximum_shift_px` keeps its default"
        old.say("max_nad_shift", Outcome.LOOK, note)
    else:
        _take(old, values, "max_nad_shift", "maximum_shift_px", length / 100, "percent of the length, here in pixels")
    return ProfileShift(**values)


def _take(old: Settler, values: dict[str, Any], key: str, name: str, factor: float, note: str) -> None:
    """Take a number of the old program, times ``factor``, or say why not."""
    number = old.number(key)
    if number is None:
        old.say(key, Outcome.LOOK, f"must be a number; `{_WHERE}.{name}` keeps its default")
        return
    value = round(factor * number, 3)
    wrong = refusal(ProfileShift, **{name: value})
    if wrong is not None:
        old.say(key, Outcome.LOOK, f"`{_WHERE}.{name}` keeps its default: {wrong}")
        return
    values[name] = value
    old.carry(key, f"{_WHERE}.{name}", note)
