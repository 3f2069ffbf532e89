"""What a draft's settings make of light dilution in one pair: the ground's brightness over distance, and its effect."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray, FloatImage, Frame, FramePair
from so2cam.core.site import Site
from so2cam.core.site_dilution import TerrainRegion
from so2cam.core.status import STATUS_TEXT, EmissionStatus
from so2cam.formats.sitefile import LoadedSite
from so2cam.pipeline.dilution import build_dilution
from so2cam.pipeline.dilution_terrain import GroundBand, ground_bands, site_ground
from so2cam.pipeline.image_chain import ImageChain
from so2cam.pipeline.plume_dilution import PlumeDilution
from so2cam.pipeline.records import PairRecord
from so2cam.pipeline.steps import LogImage
from so2cam.science.imaging.extinction import EXTINCTION_TEXT
from so2cam.station.references import day_of
from so2cam.station.setup_frames import SetupFrames, absorbance_of, frames_of

_MOST_POINTS: Final = 600


@dataclass(frozen=True, slots=True)
class BandFit:
    """Ground of one band: distances [m] and intensities (N,) relative to the sky, the curve through them, extinction.

    ``value_per_km`` and ``sigma_per_km`` are NaN where ``status`` says why there is none.
    """

    band: str
    distance_m: FloatArray
    relative: FloatArray
    curve_m: FloatArray
    curve: FloatArray
    value_per_km: float
    sigma_per_km: float
    status: str
    pixels: int


@dataclass(frozen=True, slots=True)
class DilutionPreview:
    """The fit to the ground of each band (none where no ground is named), and absorbance with and without correction.

    ``diluted`` is the absorbance before the correction, None where there is none; ``problem`` says why.
    """

    bands: tuple[BandFit, ...]
    absorbance: FloatImage
    diluted: FloatImage | None
    dilution: PlumeDilution | None
    problem: str = ""


def dilution_preview(frames: SetupFrames, loaded: LoadedSite, pair: FramePair) -> DilutionPreview:
    """Return what the draft makes of a pair. Raises So2camError subclasses where it has no absorbance image."""
    settings = loaded.site.processing.light_dilution
    chain = frames.chain(_plain(loaded), day_of(pair.time))
    site = chain.site.model_copy(
        update={"processing": chain.site.processing.model_copy(update={"light_dilution": settings})}
    )
    problem = ""
    fits: tuple[BandFit, ...] = ()
    dilution = None
    if settings.mode in ("fixed", "terrain"):
        try:
            dilution = build_dilution(site, loaded.path.parent)
        except InputError as error:
            problem = error.message
    seeing = ImageChain(site, chain.references, chain.darks, dilution)
    if settings.regions or settings.terrain_model is not None:
        try:
            logs = _logs(seeing, pair, frames_of(pair, chain.reader))
            fits = tuple(_band_fit(name, band) for name, band in zip(("on", "off"), ground_bands(
                site, site_ground(_known(site), loaded.path.parent), *logs), strict=True))  # fmt: skip
        except (InputError, ValueError) as error:
            problem = problem or str(error)
    image = absorbance_of(replace(chain, chain=seeing), pair, PairRecord(pair))
    if settings.mode in ("fixed", "terrain") and image.dilution is None and not problem:
        problem = "no correction: the extinction, or the distance of the plume, is not known"
    if settings.mode == "spectrum":
        problem = "found from the spectra of a run: see what live processing and runs tell"
    return DilutionPreview(fits, image.absorbance, image.diluted, image.dilution, problem)


def _logs(chain: ImageChain, pair: FramePair, frames: tuple[Frame, ...]) -> tuple[LogImage, LogImage]:
    found = chain.log_images(PairRecord(pair), *frames)
    if found is None:
        raise InputError(STATUS_TEXT[EmissionStatus.NO_DARK], file=pair.on.path)
    return found


def _known(site: Site) -> Site:
    """Return the site with those regions alone whose distance is known, as far as there is no terrain model."""
    settings = site.processing.light_dilution
    if settings.terrain_model is not None:
        return site
    regions: tuple[TerrainRegion, ...] = tuple(one for one in settings.regions if one.distance_m is not None)
    dilution = settings.model_copy(update={"regions": regions})
    return site.model_copy(update={"processing": site.processing.model_copy(update={"light_dilution": dilution})})


def _plain(loaded: LoadedSite) -> LoadedSite:
    """Return the site without light dilution: what its references are built from does not depend on it."""
    processing = loaded.site.processing
    dilution = type(processing.light_dilution)()
    changed = loaded.site.model_copy(update={"processing": processing.model_copy(update={"light_dilution": dilution})})
    return replace(loaded, site=changed)


def _band_fit(name: str, band: GroundBand) -> BandFit:
    pixels, found = band.pixels, band.extinction
    airlight = np.asarray(pixels.airlight if pixels.airlight is not None else 1.0, np.float64)
    relative = np.asarray(pixels.intensity, np.float64) / airlight
    good = np.flatnonzero(np.isfinite(relative) & np.isfinite(pixels.distance_m))
    if good.size > _MOST_POINTS:
        good = good[np.linspace(0, good.size - 1, _MOST_POINTS).astype(int)]
    distance = np.asarray(pixels.distance_m, np.float64)[good]
    curve_m = np.linspace(0.0, 1.05 * float(distance.max()), 40) if good.size else np.zeros(0)
    sky = float(np.median(np.broadcast_to(airlight, relative.shape)[good])) if good.size else float("nan")
    through = np.exp(-found.value_per_m * curve_m)
    curve = found.surface / sky * through + 1 - through
    return BandFit(
        name,
        distance,
        relative[good],
        curve_m,
        curve,
        1e3 * found.value_per_m,
        1e3 * found.uncertainty_per_m,
        EXTINCTION_TEXT[found.status],
        found.n,
    )
