"""Whether what a run takes for light dilution agrees with what the spectra, the two bands and clean air tell of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np

from so2cam.core.results import DilutionAgreement
from so2cam.core.site import Site
from so2cam.pipeline.bands import effective_wavelengths_nm
from so2cam.pipeline.columns import ColumnPoint
from so2cam.pipeline.dilution_source import DilutionSource
from so2cam.pipeline.dilution_spectra import spectral_extinctions
from so2cam.pipeline.uncorrected_dilution import HIGHEST_M, LOWEST_M, SHARE_OF_CLEAN_AIR
from so2cam.science.imaging.extinction import Extinction, ExtinctionStatus, missing_extinction
from so2cam.science.imaging.extinction_series import colour_deviation, combine, compare, rayleigh_extinction

_DOUBTFUL: Final = 2.0
"""Sigma from which a difference is told."""

_Pair = tuple[float, float]


def knows_dilution_twice(site: Site) -> bool:
    """Return whether a site's spectra tell the light dilution that its images are corrected by in another way."""
    by_spectra = site.spectrometer is not None and site.spectrometer.light_dilution.mode == "fit"
    return by_spectra and site.processing.light_dilution.mode in ("terrain", "fixed")


def dilution_agreement(
    site: Site, source: DilutionSource | None, columns: Sequence[ColumnPoint], time: datetime
) -> DilutionAgreement | None:
    """Return how the extinctions that ``source`` found agree with others; None where it found none.

    ``columns`` are those of the run, of which those count whose dilution is known; ``time`` is one at which the plume's
    distance holds. Extinctions from spectra are compared with those from elsewhere only.
    """
    if source is None or not source.found:
        return None
    wavelengths = effective_wavelengths_nm(site)
    mode = site.processing.light_dilution.mode
    on, off = (combine([pair[band] for pair in source.found]) for band in (0, 1))
    points = [point for point in columns if np.isfinite(point.light_dilution).all() and point.light_dilution[1] > 0]
    distances = source.distances(time)
    nothing = missing_extinction(ExtinctionStatus.NO_DILUTION_KNOWN)
    spectral: tuple[Extinction, Extinction] = (nothing, nothing)
    if mode != "spectrum" and points and distances is not None:
        spectral = spectral_extinctions(
            site, [point.light_dilution for point in points], distances[1], distances[2], wavelengths
        )
    exponent = site.processing.light_dilution
    colour = float("nan")
    if mode == "terrain":
        colour = colour_deviation(
            on,
            off,
            wavelengths,
            exponent=exponent.wavelength_exponent,
            exponent_uncertainty=exponent.wavelength_exponent_uncertainty,
        )
    height = float(np.clip(site.volcano.vent.altitude_m, LOWEST_M, HIGHEST_M))
    return DilutionAgreement(
        extinction_per_m=(on.value_per_m, off.value_per_m),
        uncertainty_per_m=(on.uncertainty_per_m, off.uncertainty_per_m),
        spectral_per_m=(spectral[0].value_per_m, spectral[1].value_per_m),
        spectral_uncertainty_per_m=(spectral[0].uncertainty_per_m, spectral[1].uncertainty_per_m),
        spectra=len(points) if spectral[0].usable else 0,
        difference_sigma=(compare(on, spectral[0]), compare(off, spectral[1])),
        colour_sigma=colour,
        clean_air_per_m=(rayleigh_extinction(wavelengths[0], height), rayleigh_extinction(wavelengths[1], height)),
    )


def agreement_text(found: DilutionAgreement) -> str:
    """Return the extinctions of a run, and of its spectra, in a line."""
    text = f"extinction {_per_km(found.extinction_per_m, found.uncertainty_per_m)}"
    if found.spectra:
        spectral = _per_km(found.spectral_per_m, found.spectral_uncertainty_per_m)
        on, off = (abs(sigma) for sigma in found.difference_sigma)
        text += f"; by {found.spectra} spectra {spectral}: {on:.1f} and {off:.1f} sigma apart"
    return text


def agreement_warnings(found: DilutionAgreement | None) -> tuple[str, ...]:
    """Return what should be looked at."""
    if found is None:
        return ()
    warnings = []
    largest = max(found.difference_sigma, key=lambda sigma: abs(sigma) if np.isfinite(sigma) else -1.0)
    if abs(largest) > _DOUBTFUL:
        warnings.append(
            f"light dilution: the images' extinction is {abs(largest):.1f} sigma "
            f"{'above' if largest > 0 else 'below'} that of the spectra; compare the ground's distances, the plume's "
            "distance and the spectra's fit windows"
        )
    if abs(found.colour_sigma) > _DOUBTFUL:
        warnings.append(
            f"light dilution: the off band's extinction is {abs(found.colour_sigma):.1f} sigma "
            f"{'above' if found.colour_sigma > 0 else 'below'} what the on band's lets expect: the ground is not alike "
            "over its distances, or the filters are others than the site file says"
        )
    for name, value, sigma, clean in zip(
        ("on", "off"), found.extinction_per_m, found.uncertainty_per_m, found.clean_air_per_m, strict=True
    ):
        if value + _DOUBTFUL * sigma < SHARE_OF_CLEAN_AIR * clean:
            warnings.append(
                f"light dilution: the {name} band's extinction of {value * 1e3:.3f} ± {sigma * 1e3:.3f} km-1 is far "
                f"below that of clean air at the vent's height, {clean * 1e3:.3f} km-1: the correction is too weak"
            )
    return tuple(warnings)


def dilution_troubles(source: DilutionSource | None) -> tuple[str, ...]:
    """Return why a run's light dilution is not known, where it is not."""
    if source is None or source.trouble is None:
        return ()
    return (f"light dilution: the spectra tell none: {source.trouble}",)


def _per_km(value: _Pair, sigma: _Pair) -> str:
    on, off = (f"{one * 1e3:.3f} ± {its * 1e3:.3f}" for one, its in zip(value, sigma, strict=True))
    return f"{on} km-1 in the on band, {off} in the off band"
