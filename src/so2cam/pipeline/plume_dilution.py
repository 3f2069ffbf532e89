"""Light dilution of the plume as the chain corrects it: both bands' extinction at the plume's distance."""

from dataclasses import dataclass

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.science.imaging.light_dilution import DilutionState, StateUncertainty, derivatives


@dataclass(frozen=True, slots=True)
class PlumeDilution:
    """What the plume's light is diluted by in both bands, and how well that is known.

    The states' distances are those of the whole image, (rows, columns); ``amplification`` is how much a weak plume
    grows in the on band at the image's middle. ``uncertainty`` has 1 sigma of the extinctions and of the airlight;
    its distance is relative here.
    """

    on: DilutionState
    off: DilutionState
    uncertainty: StateUncertainty
    amplification: float
    distance_m: float
    """mean on the lines"""

    @property
    def extinctions(self) -> tuple[float, float, float, float]:
        """Extinction of the on and the off band, and 1 sigma of each [m-1]."""
        return (
            self.on.extinction_per_m,
            self.off.extinction_per_m,
            self.uncertainty.on_extinction_per_m,
            self.uncertainty.off_extinction_per_m,
        )

    def errors(self, on_depth: FloatArray, off_depth: FloatArray, distance_m: FloatArray) -> tuple[FloatArray, ...]:
        """Return independent errors of the corrected absorbance, (N,) each, that all of a line shares, 1 sigma.

        ``on_depth`` and ``off_depth`` (N,) are the optical depths before the correction at ``distance_m`` (N,). The
        part of the extinctions' errors that the bands share, each band's own, distance and airlight come apart.
        """
        state = self.uncertainty
        on = derivatives(np.asarray(on_depth, np.float32), self.on._replace(distance_m=distance_m))
        off = derivatives(np.asarray(off_depth, np.float32), self.off._replace(distance_m=distance_m))
        common, own = np.sqrt(state.extinction_correlation), np.sqrt(1 - state.extinction_correlation)
        by_on, by_off = on.extinction_m * state.on_extinction_per_m, off.extinction_m * state.off_extinction_per_m
        parts = (
            common * (by_on - by_off),
            own * by_on,
            own * by_off,
            (on.distance_per_m - off.distance_per_m) * state.distance_m * distance_m,
            (on.airlight_ratio - off.airlight_ratio) * state.airlight_ratio,
        )
        return tuple(np.asarray(part, np.float64) for part in parts)
