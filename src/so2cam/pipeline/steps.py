"""The stages of the image chain, each a function of its inputs and the site's settings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt

from so2cam.core.records import BoolImage, Counts, FloatArray, FloatImage, FrameInfo, FramePair
from so2cam.core.site import Background, Sensor, Site
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.core.uncertainty import Term
from so2cam.pipeline.calibrated import Calibration
from so2cam.pipeline.plume_dilution import PlumeDilution
from so2cam.science.calibration.sensitivity import SensitivityMask, correct_sensitivity
from so2cam.science.emission.baseline import edge_baseline
from so2cam.science.emission.lines import LineSamples, sample_image
from so2cam.science.emission.noise import block_noise, line_noise
from so2cam.science.emission.rate import Estimate, LineColumns, SharedError, integrate, line_columns
from so2cam.science.imaging.absorbance import log_intensity
from so2cam.science.imaging.background import (
    BLOCK,
    Blocks,
    SkySurface,
    block_means,
    blocks_to_pixels,
    evaluate_surface,
    find_sky,
    fit_sky_surface,
    pixel_noise,
    pixels_above,
    surface_at,
)
from so2cam.science.imaging.background_modes import (
    BackgroundMode,
    BackgroundStatus,
    SkyAreas,
    SkyColumn,
    SkyRow,
    correct_background,
    find_sky_areas,
)
from so2cam.science.imaging.dark import saturated, subtract_dark
from so2cam.science.imaging.flat import FlatField
from so2cam.science.imaging.hot_pixels import repair_hot_pixels
from so2cam.science.imaging.interpolation import interpolate_log
from so2cam.science.imaging.light_dilution import correct_absorbance
from so2cam.science.imaging.quality import beside_plume, check_plume_extent
from so2cam.science.imaging.registration import warp_to_on_band

MeanFrame = npt.NDArray[np.float32]
"""The mean of several frames [DN], shape (rows, columns)."""


def mean_frame(counts: Sequence[Counts]) -> MeanFrame:
    """Return the mean of frames of one shape [DN]."""
    total = np.zeros(counts[0].shape, np.float64)
    for image in counts:
        total += image
    return (total / len(counts)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class DarkFrame:
    """What is subtracted from a frame: the mean dark [DN], and the flat indices of its hot pixels."""

    counts: MeanFrame
    hot: npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class BandReference:
    """What a band's frames are compared with: its flat field, and the clear sky's level after it.

    ``log_clear`` is the logarithm of the clear sky's flat-corrected intensity [DN s-1 at gain 1]: a constant.
    """

    flat: FlatField
    inverse_flat: FloatImage
    log_clear: float


@dataclass(frozen=True, slots=True)
class LogImage:
    """Log intensity of a band on the on-band image's pixels, NaN where invalid, and shares of lost pixels."""

    values: FloatImage
    valid: BoolImage
    saturated_share: float
    dark_share: float


@dataclass(frozen=True, slots=True)
class AbsorbanceImage:
    """The apparent absorbance of a pair above the sky behind the plume.

    ``absorbance`` is NaN where not ``valid``; ``in_sky`` marks what lies above the skyline.
    ``background_level`` is the mean on- minus off-band optical depth of the sky fitted, relative to the clear-sky
    frames; ``noise`` 1 sigma of one pixel; ``structure`` the sky's unevenness that no surface follows. ``log_off`` is
    the off band's log intensity, ``surface`` the sky fitted to both bands and ``sky_off`` the off band's means over
    blocks of 8 x 8 pixels, NaN where they are not sky beside the plume. Where light dilution was corrected,
    ``dilution`` says by how much, and ``diluted`` is the absorbance before it.
    """

    absorbance: FloatImage
    valid: BoolImage
    in_sky: BoolImage
    background_level: float
    noise: float
    structure: float
    sky_share: float
    log_off: FloatImage
    surface: SkySurface
    sky_off: FloatArray
    dilution: PlumeDilution | None = None
    diluted: FloatImage | None = None


def shown_absorbance(image: AbsorbanceImage) -> FloatImage:
    """Return the absorbance (rows, columns) as it is shown and written: NaN wherever it is not sky or not valid."""
    return np.where(image.valid & image.in_sky, image.absorbance, np.float32(np.nan))


def dark_corrected(counts: Counts, dark: DarkFrame, sensor: Sensor) -> tuple[FloatImage, BoolImage]:
    """Return a frame less its dark [DN], with hot pixels filled, and where it is valid."""
    signal, valid = subtract_dark(
        counts, dark.counts, saturation_dn=sensor.saturation_dn, minimum_signal_dn=sensor.minimum_signal_dn
    )
    return repair_hot_pixels(signal, valid, dark.hot)


def band_log_image(
    counts: Counts,
    dark: DarkFrame,
    reference: BandReference,
    info: FrameInfo,
    sensor: Sensor,
    matrix: FloatArray | None,
) -> LogImage:
    """Return a frame's log intensity [ln DN s-1]: dark, flat, registration where ``matrix`` is given, logarithm."""
    signal, valid = dark_corrected(counts, dark, sensor)
    saturated_share = np.count_nonzero(saturated(counts, sensor.saturation_dn)) / counts.size
    dark_share = 1 - np.count_nonzero(valid) / valid.size - saturated_share
    signal *= reference.inverse_flat
    valid &= reference.flat.valid
    if matrix is not None:
        signal, valid = warp_to_on_band(signal, valid, matrix)
    values = log_intensity(signal, valid)
    values -= np.float32(np.log(info.exposure_s * info.gain))
    return LogImage(values, valid, saturated_share, dark_share)


def interpolated_off_band(
    first: LogImage, second: LogImage, first_time: datetime, second_time: datetime, time: datetime
) -> LogImage:
    """Return the off band at ``time`` between two of its frames."""
    span = (second_time - first_time).total_seconds()
    weight = (time - first_time).total_seconds() / span if span > 0 else 0.0
    values, valid = interpolate_log(first.values, second.values, first.valid, second.valid, min(max(weight, 0), 1))
    return LogImage(
        values,
        valid,
        max(first.saturated_share, second.saturated_share),
        max(first.dark_share, second.dark_share),
    )


def even_sensitivity(image: AbsorbanceImage, mask: SensitivityMask) -> AbsorbanceImage:
    """Return ``image`` as a camera sees it that is equally sensitive to SO2 all over."""
    absorbance, valid = correct_sensitivity(image.absorbance, image.valid, mask)
    return replace(image, absorbance=absorbance, valid=valid)


@dataclass(frozen=True, slots=True)
class Sky:
    """Where a pair shows sky, as blocks and as pixels, and the surface through what of it is free of plume.

    ``surface`` is None where there is too little of that.
    """

    blocks: Blocks
    above_blocks: BoolImage
    above: BoolImage
    surface: SkySurface | None


def sky_of(on: LogImage, off: LogImage, valid: BoolImage, settings: Background) -> Sky:
    """Return the sky of a pair; ``valid`` is where both bands are."""
    shape = (valid.shape[0], valid.shape[1])
    blocks = block_means(on.values, off.values, valid)
    skyline = None if settings.skyline is None else np.asarray(settings.skyline, np.float64)
    above = find_sky(blocks, shape, skyline)
    surface = fit_sky_surface(blocks, above, shape, order=settings.order)
    pixels = blocks_to_pixels(above, shape) if settings.skyline is None else pixels_above(settings.skyline, shape)
    return Sky(blocks, above, pixels, surface)


def absorbance_image(
    on: LogImage,
    off: LogImage,
    references: tuple[BandReference, BandReference],
    settings: Background,
    dilution: PlumeDilution | None = None,
    *,
    matrix: FloatArray,
) -> AbsorbanceImage | None:
    """Return the absorbance image of a pair, or None where there is too little plume-free sky for its background.

    ``references`` are those of the on and the off band. Mode ``sky-surface``: a surface per band through
    plume-free sky. Mode ``clear-sky``: the clear-sky frames as they are. The others are those of existing
    software, in the areas given or found; one that cannot be applied is no background, never another mode's.
    ``dilution`` is corrected where it is given; that needs the sky of each band, as ``sky-surface`` has it.
    ``matrix`` (2 x 3) is that by which the off band was moved: noise of pixels and of blocks depend on it.
    """
    shape = on.values.shape
    valid = on.valid & off.valid
    difference = np.subtract(off.values, on.values, dtype=np.float32)
    sky = sky_of(on, off, valid, settings)
    surface, in_sky, blocks = sky.surface, sky.above, sky.blocks
    clear_difference = references[0].log_clear - references[1].log_clear
    if surface is None:
        # Without plume-free sky nothing tells how well any background fits.
        return None
    level = float(np.mean((blocks.off - blocks.on)[surface.plume_free])) + clear_difference
    if settings.mode == "clear-sky":
        absorbance = difference
        absorbance += np.float32(clear_difference)
    elif settings.mode == "sky-surface":
        absorbance = evaluate_surface(surface.on - surface.off, surface.order, shape)
        absorbance += difference
    else:
        areas = sky_areas(on, off, sky, settings)
        mode = BackgroundMode(settings.mode)
        # In the logarithm the bands' difference gives the absorbance at once; mode rectangle then takes a mean of
        # logarithms, which in an even piece of sky is that of intensities.
        result = correct_background(-difference, clear_difference, valid, mode, areas, order=settings.order)
        if result.status is not BackgroundStatus.OK:
            return None
        absorbance = result.optical_depth.copy()
    diluted, structure = None, surface.structure
    if dilution is not None:
        diluted = absorbance
        off_depth = evaluate_surface(surface.off, surface.order, shape) - off.values
        absorbance, known = correct_absorbance(diluted, off_depth, dilution.on, dilution.off)
        valid = valid & (known | ~in_sky)
        structure *= dilution.amplification
    if not valid.all():
        np.copyto(absorbance, np.float32(np.nan), where=~valid)
    noise = pixel_noise(absorbance, blocks_to_pixels(surface.plume_free, shape) & valid)
    return AbsorbanceImage(
        absorbance=absorbance,
        valid=valid,
        in_sky=in_sky,
        background_level=level,
        noise=noise,
        structure=without_noise(structure, noise * block_noise(BLOCK, (shape[0], shape[1]), matrix)),
        sky_share=surface.sky_share,
        log_off=off.values,
        surface=surface,
        sky_off=_sky_beside_plume(sky, surface, shape),
        dilution=dilution,
        diluted=diluted,
    )


def without_noise(scatter: float, noise: float) -> float:
    """Return the sky's unevenness of blocks whose means scatter so; the pixels' ``noise`` in them has its own term.

    A tenth of the variance is left in any case: noise is not known better than that.
    """
    return float(np.sqrt(max(scatter**2 - noise**2, 0.1 * scatter**2)))


def _sky_beside_plume(sky: Sky, surface: SkySurface, shape: tuple[int, ...]) -> FloatArray:
    """Return the off band's log intensity of blocks of sky without plume, with clouds or without; NaN elsewhere."""
    y, x = np.indices(sky.above_blocks.shape) * BLOCK + (BLOCK - 1) / 2
    clear = surface_at(surface.off - surface.on, surface.order, shape, x, y)
    beside = beside_plume(sky.blocks.off - sky.blocks.on - clear, sky.above_blocks, surface.structure)
    return np.where(beside, sky.blocks.off, np.nan)


def sky_areas(on: LogImage, off: LogImage, sky: Sky, settings: Background) -> SkyAreas:
    """Return the areas of sky of a pair: those that the site file gives, and found ones where it gives none."""
    found = find_sky_areas(on.values, off.values, on.valid & off.valid, sky.above_blocks, order=settings.order)
    areas = SkyAreas() if found is None else found
    column, row = settings.y_profile, settings.x_profile
    return replace(
        areas,
        scale=settings.scale_rectangle or areas.scale,
        y_gradient=settings.y_gradient_rectangle or areas.y_gradient,
        x_gradient=settings.x_gradient_rectangle or areas.x_gradient,
        y_profile=areas.y_profile if column is None else SkyColumn(*column),
        x_profile=areas.x_profile if row is None else SkyRow(*row),
    )


@dataclass(frozen=True, slots=True)
class LineMeasurement:
    """What one pair shows on one line. ``columns`` and ``ica`` are None where ``status`` is not OK.

    ``ica`` is the integrated column amount [kg m-1].
    """

    status: EmissionStatus
    flags: QualityFlag
    columns: LineColumns | None
    ica: Estimate | None


def _size(image: AbsorbanceImage) -> tuple[int, int]:
    rows, columns = image.valid.shape
    return rows, columns


def measure_line(
    image: AbsorbanceImage, line: LineSamples, calibration: Calibration, site: Site, covered: BoolImage
) -> LineMeasurement:
    """Return columns above the plume-free baseline on a line, and their integral.

    ``covered`` marks the pixels that both bands see at all. Too many masked samples make the line's value
    missing; a few are interpolated and flagged.
    """
    settings = site.processing.emission
    profile = sample_image(image.absorbance, image.valid & image.in_sky, line.x, line.y)
    masked = float(np.mean(~np.isfinite(profile)))
    if masked > settings.maximum_masked_fraction or not np.isfinite(line.piece_m).all():
        seen = sample_image(covered.astype(np.float32), np.ones_like(covered), line.x, line.y)
        left = bool(np.mean(~(seen > 0.999)) > settings.maximum_masked_fraction)
        status = EmissionStatus.LINE_NOT_COVERED if left else EmissionStatus.LINE_MASKED
        return LineMeasurement(status, QualityFlag.NONE, None, None)
    baseline = edge_baseline(
        profile,
        line.position,
        fraction=settings.baseline_fraction,
        pixel_noise=image.noise,
        structure=image.structure,
    )
    if not np.isfinite(baseline.values).all():
        return LineMeasurement(EmissionStatus.LINE_MASKED, QualityFlag.NONE, None, None)
    flags = QualityFlag.NONE
    if masked > 0:
        flags |= QualityFlag.INTERPOLATED_SAMPLES
    peak = float(np.nanmax(profile - baseline.values))
    surface = site.processing.background.mode != "clear-sky"
    if surface and baseline.excess > max(3 * float(np.hypot(image.structure, np.max(baseline.noise))), 0.2 * peak):
        flags |= QualityFlag.PLUME_AT_LINE_END
    if surface and leaves_image(profile, line, image):
        flags |= QualityFlag.PLUME_LEAVES_IMAGE
    if peak > 1.05 * calibration.curve.maximum_absorbance:
        flags |= QualityFlag.CALIBRATION_EXTRAPOLATED
    columns = line_columns(
        profile,
        baseline,
        calibration.curve,
        pixel_noise=image.noise,
        scale_uncertainty=calibration.scale_uncertainty,
        shared=shared_errors(image, line, site),
        noise=line_noise(line.x, line.y, _size(image), np.array(site.registration.matrix, np.float64)),
    )
    ica = integrate(
        columns,
        line.piece_m,
        relative_distance_uncertainty=line.relative_distance_uncertainty,
        relative_optics_uncertainty=line.relative_optics_uncertainty,
        distance_power=1,
    )
    return LineMeasurement(EmissionStatus.OK, flags, columns, ica)


def shared_errors(image: AbsorbanceImage, line: LineSamples, site: Site) -> tuple[SharedError, ...]:
    """Return the errors in absorbance that all of a line shares, 1 sigma each, NaN where they are not known.

    Registration: the off band's log intensity a pixel further in x and in y. Aerosol: the off band's optical depth,
    which in the on band is larger by the wavelengths' ratio to the Angstrom exponent. Light dilution: what the
    uncertainty of each band's extinction, and of the brightness of the air in between, does to the correction.
    """
    everywhere = np.isfinite(image.log_off)
    shift = site.registration.uncertainty_px

    def off(dx: float, dy: float) -> FloatArray:
        return sample_image(image.log_off, everywhere, line.x + dx, line.y + dy)

    filters, aerosol = site.camera.filters, site.processing.emission.aerosol_exponent_uncertainty
    ratio = (filters.off_band_nm / filters.on_band_nm) ** aerosol - 1
    depth = surface_at(image.surface.off, image.surface.order, image.log_off.shape, line.x, line.y) - off(0, 0)
    errors = [
        SharedError(Term.REGISTRATION, shift / 2 * (off(1, 0) - off(-1, 0))),
        SharedError(Term.REGISTRATION, shift / 2 * (off(0, 1) - off(0, -1))),
        SharedError(Term.AEROSOL, ratio * depth),
    ]
    if image.dilution is not None and image.diluted is not None:
        on_depth = depth + sample_image(image.diluted, image.valid, line.x, line.y)
        by_dilution = image.dilution.errors(on_depth, depth, line.distance_m)
        errors += [SharedError(Term.LIGHT_DILUTION, error) for error in by_dilution]
    return tuple(errors)


def leaves_image(profile: FloatArray, line: LineSamples, image: AbsorbanceImage) -> bool:
    """Return whether the plume goes on beyond an end of the line at the image's border.

    ``profile`` is the absorbance on the line above the fitted sky: unlike a baseline, that is zero where there is no
    plume, and not where the line ends.
    """
    shape = (image.valid.shape[0], image.valid.shape[1])
    return check_plume_extent(profile, line.x, line.y, shape, image.noise, structure=image.structure).leaves


def pair_flags(pair: FramePair, on: LogImage, off: LogImage, site: Site) -> QualityFlag:
    """Return the quality flags that the two frames themselves call for."""
    flags = QualityFlag.NONE
    if max(on.saturated_share, off.saturated_share) > 1e-3:
        flags |= QualityFlag.SATURATED_PIXELS
    if max(on.dark_share, off.dark_share) > 0.6:
        flags |= QualityFlag.DARK_PIXELS
    if abs(pair.offset_s) > 0.5 * site.processing.pairing.tolerance_s:
        flags |= QualityFlag.LARGE_PAIR_OFFSET
    return flags
