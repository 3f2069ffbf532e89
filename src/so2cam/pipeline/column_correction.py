"""Columns of the spectrometer freed of light dilution that the images' own correction knows.

Where the fit of spectra takes no dilution into account and the images' extinction is known, from ground of known
distance, as given, or from what many spectra tell together, the columns of the spectrometer are diluted while the
absorbances no longer are. The same air lies before the spectrometer's spot: its extinction gives the share of light
from in between, and that the true column.
"""

from dataclasses import dataclass, field

import numpy as np

from so2cam.core.site import Site
from so2cam.pipeline.bands import effective_wavelengths_nm, fit_light
from so2cam.pipeline.plume_dilution import PlumeDilution
from so2cam.science.calibration.diluted_columns import REFERENCE_NM, DilutionCurve, dilution_curve

_STEP = 0.02
"""Curves are made for shares this far apart, and carried on to first order in between."""


def corrects_columns(site: Site, *, pooled: bool = True) -> bool:
    """Return whether a site's columns are diluted while its images are corrected.

    ``pooled``: whether columns of spectra that tell a dilution together only are diluted, as those of spectra are;
    those of an earlier run may have been freed each by itself.
    """
    if site.processing.light_dilution.mode == "spectrum":
        return pooled
    diluted = site.spectrometer is not None and site.spectrometer.light_dilution.mode == "none"
    return diluted and site.processing.light_dilution.mode in ("terrain", "fixed")


@dataclass(slots=True)
class ColumnCorrection:
    """Corrects columns by the dilution of the images.

    ``relative_sigma`` is that of the last column above zero, common to all.
    """

    site: Site
    relative_sigma: float = 0.0
    _curves: dict[float, DilutionCurve] = field(default_factory=dict)

    def corrected(
        self, column: float, sigma: float, mismatch: float, dilution: PlumeDilution | None, aerosol_depth: float
    ) -> tuple[float, float, float]:
        """Return a column without dilution and its two 1 sigma [molecules cm-2].

        ``aerosol_depth`` is the plume's own optical depth besides SO2: it weakens the light from behind the plume, so
        that the light from before it has the larger share. NaN where the dilution is not known, or too strong for the
        column to be told.
        """
        nothing = (float("nan"), float("nan"), float("nan"))
        if dilution is None:
            return nothing
        clear, clear_sigma = self.share(dilution)
        behind = (1 - clear) * np.exp(-aerosol_depth)
        share = float(clear / (clear + behind))
        share_sigma = clear_sigma * float(behind / (1 - clear)) / float(clear + behind) ** 2
        near = round(share / _STEP) * _STEP
        if not 0 <= near < 1:
            return nothing
        if near not in self._curves:
            self._curves[near] = dilution_curve(fit_light(self.site), near)
        true, factor, by_share = (float(part[0]) for part in self._curves[near].column(np.array([column])))
        if not np.isfinite(true):
            return nothing
        true += by_share * (share - near)
        if true > 0:  # a column below zero is noise, and tells nothing of how columns grow with the share
            self.relative_sigma = abs(by_share) * share_sigma / true
        return true, factor * sigma, factor * mismatch

    def share(self, dilution: PlumeDilution) -> tuple[float, float]:
        """Return the share of light at 310 nm from before the plume, at its mean distance on the lines, and 1 sigma.

        In the clear sky beside the plume.
        """
        wavelength, _ = effective_wavelengths_nm(self.site)
        exponent = self.site.processing.light_dilution.wavelength_exponent
        scale = (wavelength / REFERENCE_NM) ** exponent
        depth = dilution.on.extinction_per_m * scale * dilution.distance_m
        state = dilution.uncertainty
        sigma = np.hypot(
            state.on_extinction_per_m * scale * dilution.distance_m, depth * float(np.asarray(state.distance_m))
        )
        return float(-np.expm1(-depth)), float(np.exp(-depth) * sigma)
