"""Plume cross-section lines as shapes of the image viewer, and back to places of the site file."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from so2cam.core.site_lines import Line
from so2cam.station.trial import SUFFIX, Trial
from so2cam.web.line_shapes import shape_of
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
            **shape_of(line),
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
            **shape_of(trial.line),
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
