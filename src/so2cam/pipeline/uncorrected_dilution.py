"""Light dilution that nobody corrects: what clean air alone must do to the rates, in words and as a quality flag.

No number is changed, and no term stands in the budget: the loss has one sign and is known from below only. By Rayleigh
scattering (Bodhaine 1999) over the distance d of the plume, and with air as bright as the sky behind the plume, a weak
plume loses ``1 - exp(-e d)`` of its absorbance. Light that is scattered more than once makes air look clearer: 0.6 of
the extinction of clean air is what the loss is at the least.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.site import Site
from so2cam.core.status import QualityFlag
from so2cam.pipeline.geometry import LineGeometry, lines_at_plume
from so2cam.science.imaging.extinction_series import rayleigh_extinction

SHARE_OF_CLEAN_AIR: Final = 0.6
"""Light that is scattered more than once makes air look clearer than it is, but not by more than this."""
LOWEST_M, HIGHEST_M = -500.0, 11_000.0
"""Heights [m] of which the extinction of clean air is known."""
LEAST_LOSS: Final = 0.05
"""Share of the rate that must be lost at the least before anything is said."""


@dataclass(frozen=True, slots=True)
class Loss:
    """The share of a weak plume's absorbance that clean air takes: all of its extinction, and what is the least."""

    expected: float
    least: float


def is_uncorrected(site: Site) -> bool:
    """Return whether rates hold the light dilution.

    They do not where a spectrometer calibrates whose own columns are corrected: its curve takes the images' in.
    """
    if site.processing.light_dilution.mode != "none":
        return False
    columns_corrected = site.spectrometer is not None and site.spectrometer.light_dilution.mode != "none"
    return not (site.processing.calibration.source == "spectrometer" and columns_corrected)


def clean_air_loss(site: Site, distance_m: float) -> Loss:
    """Return what clean air of the vent's height takes over a distance in the on band: less the higher the air is."""
    height = float(np.clip(site.volcano.vent.altitude_m, LOWEST_M, HIGHEST_M))
    depth = rayleigh_extinction(site.camera.filters.on_band_nm, height) * distance_m
    return Loss(-math.expm1(-depth), -math.expm1(-SHARE_OF_CLEAN_AIR * depth))


def uncorrected_dilution_risks(site: Site) -> tuple[str, ...]:
    """Return a warning where light dilution is not corrected and a plume across the view is far enough away."""
    if not is_uncorrected(site):
        return ()
    try:
        distances = [float(line.distance_m.mean()) for line in lines_at_plume(site, require=False)]
    except InputError:  # a vent that no camera sees is told elsewhere
        return ()
    distance = min((one for one in distances if math.isfinite(one)), default=0.0)
    loss = clean_air_loss(site, distance)
    if loss.least < LEAST_LOSS:
        return ()
    text = (
        f'processing.light_dilution.mode: is "none", and the plume is {distance / 1000:.1f} km away: clean air alone '
        f"makes rates about {100 * loss.expected:.0f} % too low, {100 * loss.least:.0f} % at the least, haze more. It "
        "is not in the uncertainty: correct it, or say so beside the rates."
    )
    return (text,)


class UncorrectedDilution:
    """Flags the pairs of a site whose light dilution is not corrected, by the distance of the plume at their time."""

    def __init__(self, site: Site) -> None:
        self._site = site if is_uncorrected(site) else None

    def of(self, geometry: LineGeometry) -> QualityFlag:
        """Return ``DILUTION_UNCORRECTED`` where clean air takes 5 % or more at the least."""
        if self._site is None or not geometry.lines:
            return QualityFlag.NONE
        distance = min(float(line.distance_m.mean()) for line in geometry.lines.values())
        lost = clean_air_loss(self._site, distance).least >= LEAST_LOSS
        return QualityFlag.DILUTION_UNCORRECTED if lost else QualityFlag.NONE
