"""What a pair's result says of how it was made: its calibration, and the extinction that its image was corrected by."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from so2cam.pipeline.calibrated import Calibration, calibration_again
from so2cam.science.calibration.curve import BandShape

Values = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class MadeWith:
    """``slope`` and ``offset`` of the calibration with 1 sigma each [molecules cm-2]; extinctions with theirs [m-1].

    None is what a result does not have. Two that are equal make the same images.
    """

    slope: Values
    offset: Values
    extinction: Values

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "MadeWith":
        """Return what the record of a pair has (``station.pair_json``)."""
        slope, offset = (
            tuple(record.get(f"calibration_{what}{kind}_molec_cm2") for kind in ("", "_uncertainty"))
            for what in ("slope", "offset")
        )
        extinction = [
            value
            for name in ("extinction_per_m", "extinction_uncertainty_per_m")
            for value in record.get(name, (None, None))
        ]
        return cls(slope, offset, tuple(extinction))

    def calibration(self, shape: BandShape | None) -> Calibration | None:
        """Return the calibration, None where there was none; ``shape`` is the bands' own curve where one is used."""
        return calibration_again(_pair(self.slope), _pair(self.offset), shape)

    @property
    def extinction_per_m(self) -> tuple[float, float, float, float] | None:
        """Extinction of the on and the off band, and 1 sigma of each [m-1]; None where none was corrected."""
        on, off, on_sigma, off_sigma = self.extinction
        if on is None or off is None or on_sigma is None or off_sigma is None:
            return None
        return on, off, on_sigma, off_sigma


def _pair(values: Values) -> tuple[float, float]:
    first, second = (math.nan if value is None else float(value) for value in values)
    return first, second
