"""The terms of the uncertainty budget: what each is called, what it means, and whether averaging reduces it.

Names are part of the product format.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final


class Term(StrEnum):
    """One source of uncertainty of an emission rate."""

    PIXEL_NOISE = "pixel_noise"
    INTERPOLATION = "interpolation"
    SPEED = "speed"
    SPEED_CHANGE = "speed_change"
    INTERVAL = "interval"
    BACKGROUND = "background"
    CALIBRATION = "calibration"
    CROSS_SECTION = "cross_section"
    LIGHT_DILUTION = "light_dilution"
    REGISTRATION = "registration"
    AEROSOL = "aerosol"
    DISTANCE = "distance"
    OPTICS = "optics"
    SPEED_METHOD = "speed_method"
    WIND = "wind"


TERM_TEXT: Final[dict[Term, str]] = {
    Term.PIXEL_NOISE: "noise of both bands, on the line and in its baseline",
    Term.INTERPOLATION: "masked samples that were interpolated",
    Term.SPEED: "what noise and texture leave open of the plume speed",
    Term.SPEED_CHANGE: "change of the plume speed between images, or within a window of cross-correlation",
    Term.INTERVAL: "time between two frames",
    Term.BACKGROUND: "sky behind the plume that no surface follows",
    Term.CALIBRATION: "slope and offset of the calibration curve",
    Term.CROSS_SECTION: "SO2 cross section, and other common errors of the columns that calibrate",
    Term.LIGHT_DILUTION: "light scattered in between camera and plume",
    Term.REGISTRATION: "registration of the off band on the on band",
    Term.AEROSOL: "aerosol in the plume that the two bands see differently",
    Term.DISTANCE: "distance to the plume and viewing angle",
    Term.OPTICS: "focal length: the spacing of samples at a known distance",
    Term.SPEED_METHOD: "the speed method itself",
    Term.WIND: "speed and direction of the wind given",
}
"""What each term holds."""

RANDOM_TERMS: Final = frozenset({Term.PIXEL_NOISE, Term.INTERPOLATION, Term.SPEED, Term.SPEED_CHANGE, Term.INTERVAL})
"""Terms that differ from pair to pair and shrink in a mean; all others are common to a run."""

Budget = Mapping[Term, float]
"""1 sigma of each term that there is, in the unit of the value."""


def random_part(budget: Budget) -> float:
    """Return the root sum of squares of the random terms."""
    return _root_sum(value for term, value in budget.items() if term in RANDOM_TERMS)


def systematic_part(budget: Budget) -> float:
    """Return the root sum of squares of the systematic terms."""
    return _root_sum(value for term, value in budget.items() if term not in RANDOM_TERMS)


def _root_sum(values: Iterable[float]) -> float:
    return float(sum(value**2 for value in values) ** 0.5)
