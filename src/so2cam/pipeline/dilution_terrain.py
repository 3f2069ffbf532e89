"""Ground of known distance in the image: where it is, how far, and the extinction that a pair shows on it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from so2cam.core.site import Site
from so2cam.formats.terrain import read_terrain
from so2cam.pipeline.geometry import camera_model
from so2cam.pipeline.steps import LogImage, sky_of
from so2cam.science.geometry.terrain import ViewUncertainty
from so2cam.science.imaging.background import evaluate_surface
from so2cam.science.imaging.extinction import (
    Extinction,
    ExtinctionStatus,
    FitLimits,
    TerrainPixels,
    missing_extinction,
    terrain_extinction,
)
from so2cam.science.imaging.terrain_pixels import TerrainPoints, points_of_model, points_of_regions, terrain_pixels

_REACH_M = 40_000.0
_HEIGHT_UNCERTAINTY_M = 10.0
"""1 sigma of the camera's height against the terrain model's."""
_PIXEL_NOISE = 0.02
"""Relative 1 sigma of one pixel's intensity: shot noise; ground that differs from place to place is found apart."""


def site_ground(site: Site, folder: Path) -> TerrainPoints:
    """Return the ground that the site file names, or all that its terrain model shows.

    Raises InputError where the terrain model cannot be used.
    """
    settings, view = site.processing.light_dilution, site.camera.view
    camera = camera_model(site)
    uncertainty = ViewUncertainty(
        float(np.radians(view.azimuth_uncertainty_deg)),
        float(np.radians(view.elevation_uncertainty_deg)),
        height_m=_HEIGHT_UNCERTAINTY_M,
    )
    if settings.terrain_model is None:
        return points_of_regions(settings.regions)
    grid = read_terrain(
        folder / settings.terrain_model,
        site.camera.position,
        reach_m=_REACH_M,
        vent=site.volcano.vent,
        crs=settings.terrain_crs,
    )
    if settings.regions:
        return points_of_regions(settings.regions, grid=grid, camera=camera, uncertainty=uncertainty)
    return points_of_model(grid, camera, uncertainty)


@dataclass(frozen=True, slots=True)
class GroundBand:
    """The ground's pixels in one band, and the extinction that they show."""

    pixels: TerrainPixels
    extinction: Extinction


def measure_extinction(site: Site, ground: TerrainPoints, on: LogImage, off: LogImage) -> tuple[Extinction, Extinction]:
    """Return the extinction of the on and the off band that one pair shows, each with a status."""
    bands = ground_bands(site, ground, on, off)
    if not bands:
        nothing = missing_extinction(ExtinctionStatus.UNDETERMINED)
        return nothing, nothing
    return bands[0].extinction, bands[1].extinction


def ground_bands(site: Site, ground: TerrainPoints, on: LogImage, off: LogImage) -> tuple[GroundBand, ...]:
    """Return the ground of the on and the off band with the extinction it shows; nothing where no sky is found."""
    settings = site.processing.light_dilution
    valid = on.valid & off.valid
    sky = sky_of(on, off, valid, site.processing.background)
    if sky.surface is None:
        return ()
    limits = FitLimits(
        minimum_span_m=settings.minimum_distance_span_m,
        brightness=settings.brightness_limits,
        airlight_uncertainty=settings.airlight_uncertainty,
        surface_trend=settings.surface_trend,
    )
    found = []
    for band, coefficients in ((on, sky.surface.on), (off, sky.surface.off)):
        # The sky is that of the fitted surface: what stands just above the ground may be the plume.
        background = np.exp(evaluate_surface(coefficients, sky.surface.order, valid.shape))
        intensity = np.exp(np.where(valid, band.values, np.float32(0)))
        pixels = terrain_pixels(
            intensity,
            valid,
            sky.above,
            ground,
            noise=_PIXEL_NOISE * float(np.median(intensity[valid & ~sky.above])) if (valid & ~sky.above).any() else 0.0,
            background=background,
            darkest_share=settings.darkest_share,
        )
        found.append(GroundBand(pixels, terrain_extinction(pixels, limits)))
    return tuple(found)
