"""Plume cross-section lines as shapes of the image viewer, and back to places of the site file."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from so2cam.core.site_lines import Line
from so2cam.station.trial import SUFFIX, Trial
from so2cam.web.theme import DARK

_OWN: Final = "line:"
_TRIAL: Final = "trial:"


def shapes_of(
    lines: Sequence[Line], trials: Sequence[Trial], colours: Mapping[str, str], *, movable: bool
) -> list[dict[str, Any]]:
    """Return the lines of a site and its trial lines as shapes. ``movable``: the visitor may try other places."""
    tried = {trial.of for trial in trials}
    own = [
        {
            **_shape(line),
            "id": f"{_OWN}{line.name}",
            "name": line.name,
            "colour": colours[line.name],
            "locked": not movable or line.name in tried,
            "dashed": False,
        }
        for line in lines
    ]
    moved = [
        {
            **_shape(trial.line),
            "id": trial_id(trial.of),
            "name": f"{trial.of}{SUFFIX}",
            "colour": TRIAL_COLOUR,
            "locked": not movable,
            "dashed": True,
        }
        for trial in trials
    ]
    return own + moved


TRIAL_COLOUR: Final = DARK["data-2"]


def trial_id(of: str) -> str:
    """Return the id of the shape of the trial of a line."""
    return f"{_TRIAL}{of}"


def line_of_shape(shape: Mapping[str, Any]) -> str | None:
    """Return the name of the line of the site file that a shape is, or is a trial of; None for any other shape."""
    identity = str(shape.get("id", ""))
    for prefix in (_OWN, _TRIAL):
        if identity.startswith(prefix):
            return identity[len(prefix) :]
    return None


def place_of(shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a shape lies, as keys of a line of the site file. Raises ValueError for one that is no line."""
    points = tuple((float(x), float(y)) for x, y in shape["points"])
    kind = shape["kind"]
    if kind == "line":
        return {"start": points[0], "end": points[1]}
    if kind == "polyline":
        return {"points": points}
    if kind == "arc":
        arc = {key: float(shape[key]) for key in ("radius_px", "from_deg", "to_deg")}
        return {"arc": {"centre": points[0], **arc}}
    raise ValueError(f"a {kind} is no line")


def _shape(line: Line) -> dict[str, Any]:
    normal = {} if line.normal is None else {"normal": line.normal}
    if line.arc is not None:
        arc = line.arc
        return {
            "kind": "arc",
            "points": [list(arc.centre)],
            "radius_px": arc.radius_px,
            "from_deg": arc.from_deg,
            "to_deg": arc.to_deg,
            **normal,
        }
    points = [list(point) for _, point in line.corners]
    if line.points is not None:
        return {"kind": "polyline", "points": points, "closed": line.closed, **normal}
    return {"kind": "line", "points": points, **normal}
