"""Numbers as pages and the catalogue take them: None stands for what is not known."""

import math
from collections.abc import Iterable
from typing import SupportsFloat


def known(value: SupportsFloat) -> float | None:
    """Return a number; None where it is not finite."""
    number = float(value)
    return number if math.isfinite(number) else None


def all_known(values: Iterable[SupportsFloat]) -> tuple[float | None, ...]:
    """Return numbers in their order, None for each that is not finite."""
    return tuple(known(value) for value in values)
