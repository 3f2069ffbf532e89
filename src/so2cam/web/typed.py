"""Numbers as people type them: with a comma or a point, a minus of any kind, blanks between thousands. Pure."""

import math
from typing import Final

from so2cam.core.errors import InputError

_PLAIN: Final = str.maketrans({",": ".", "−": "-", "–": "-", " ": "", "\u00a0": "", "\u2009": "", "\u202f": ""})


def read_number(text: object) -> float:
    """Return the number that somebody typed. Raises InputError for none, and for one that is not finite."""
    typed = str("" if text is None else text).strip()
    if not typed:
        raise InputError("is missing")
    try:
        value = float(typed.translate(_PLAIN))
    except ValueError:
        raise InputError("is no number", value=typed) from None
    if not math.isfinite(value):
        raise InputError("must be a finite number", value=typed)
    return value


def read_whole(text: object) -> int:
    """Return the whole number that somebody typed. Raises InputError for none."""
    value = read_number(text)
    if value != int(value):
        raise InputError("must be a whole number", value=str(text))
    return int(value)
