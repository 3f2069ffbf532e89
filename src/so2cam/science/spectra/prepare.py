"""What is done to a spectrum before its fit: dark, non-linearity, stray light, and whether there is light."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.results import IntArray
from so2cam.core.spectra import FitStatus, SpectrumInfo, SpectrumKind

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Spectra ready for a fit. Shapes: (N,) or (M, N) as given; one value per spectrum for what is named so.

    A pixel that is not ``usable`` keeps what was measured, or NaN where that is nothing. ``saturated`` leaves out
    the pixels that are listed as bad. ``stray_light_counts`` is what was subtracted (0 where no window was given,
    NaN where no pixel of it was usable: then the spectrum is NaN), and ``noise_counts`` the noise of one pixel in
    that window, 1 sigma, of the dark signal and its subtraction without the shot noise of the sky; NaN if unknown.
    """

    counts: FloatArray
    usable: BoolArray
    saturated: BoolArray
    stray_light_counts: FloatArray
    """() or (M,)"""
    noise_counts: FloatArray
    """() or (M,)"""


def _agreement(info: SpectrumInfo, dark: SpectrumInfo, tolerance: float) -> int | None:
    """Number of settings that are unknown to either; None where known ones differ."""
    unknown = 0
    if info.integration_time_s is None or dark.integration_time_s is None:
        unknown += 1
    elif abs(dark.integration_time_s - info.integration_time_s) > tolerance * info.integration_time_s:
        return None
    if info.coadds is None or dark.coadds is None:
        unknown += 1
    elif dark.coadds != info.coadds:
        return None
    return unknown


def select_darks(
    info: SpectrumInfo, darks: Sequence[SpectrumInfo], *, integration_time_tolerance: float, averaging_s: float
) -> tuple[SpectrumInfo, ...]:
    """Return the dark spectra that belong to ``info``, in time order; empty where there are none.

    A dark belongs where the integration times agree within ``integration_time_tolerance`` (relative) and the coadds
    are the same. A setting that either file does not tell cannot disagree, but darks that are known to match come
    before those that only may. Of these the nearest in time counts, with all that lie within ``averaging_s`` of it
    and share its settings (an unknown one is shared only by an unknown one). There is no fallback.
    """
    ranked = [
        (unknown, dark)
        for dark in darks
        if dark.kind is SpectrumKind.DARK
        and (unknown := _agreement(info, dark, integration_time_tolerance)) is not None
    ]
    if not ranked:
        return ()
    best = min(unknown for unknown, _ in ranked)
    matching = [dark for unknown, dark in ranked if unknown == best]
    nearest = min(matching, key=lambda dark: (abs((dark.time - info.time).total_seconds()), dark.time))
    chosen = [
        dark
        for dark in matching
        if abs((dark.time - nearest.time).total_seconds()) <= averaging_s
        and (dark.integration_time_s is None) == (nearest.integration_time_s is None)
        and (dark.coadds is None) == (nearest.coadds is None)
        and _agreement(nearest, dark, integration_time_tolerance) is not None
    ]
    return tuple(sorted(chosen, key=lambda dark: (dark.time, str(dark.path))))


def prepare(
    counts: npt.ArrayLike,
    dark: npt.ArrayLike | None,
    wavelengths_nm: FloatArray,
    *,
    saturation_counts: float,
    nonlinearity: Sequence[float] = (),
    stray_light_nm: tuple[float, float] | None = None,
    bad_pixels: Sequence[int] = (),
) -> Prepared:
    """Return spectra less their dark and stray light, made linear, with the mask of what is usable.

    ``counts`` has shape (N,) or (M, N), ``dark`` (N,) or the shape of ``counts``, or is None where nothing is to be
    subtracted; ``wavelengths_nm`` (N,) increases. In this order:

    1. saturation, where raw counts (or those of the dark) reach ``saturation_counts``;
    2. ``x = counts - dark``; values below zero stay;
    3. ``x / p(x)``, ``p`` the polynomial ``nonlinearity`` from the constant up. Makers measure p on counts less their
       dark (Ocean Optics, OOINLCorrect), so without a dark it is off by the offset's share. Below zero, where p was
       not measured, p(0) holds; a pixel with p <= 0 is not usable;
    4. the plain mean of the usable pixels with ``stray_light_nm[0] <= wavelength <= stray_light_nm[1]`` is
       subtracted (Platt & Stutz 2008); it may be negative, where the dark level has drifted.

    Pixels are not usable where saturated, listed in ``bad_pixels`` (indices from 0), or not finite. Raises ValueError
    where shapes do not agree, wavelengths do not increase, an index lies outside, or no pixel lies in the window.
    """
    raw = np.asarray(counts, np.float64)
    wavelengths = np.asarray(wavelengths_nm, np.float64)
    _check_shapes(raw, wavelengths)
    bad = _bad_mask(bad_pixels, wavelengths.size)
    saturated = raw >= saturation_counts
    signal = raw.copy()
    if dark is not None:
        offset = np.asarray(dark, np.float64)
        if offset.shape not in ((wavelengths.size,), raw.shape):
            raise ValueError(f"the dark has shape {offset.shape}, the spectra {raw.shape}: they must have one grid")
        saturated = saturated | (offset >= saturation_counts)
        signal = raw - offset
    if len(nonlinearity):
        sensitivity = np.polynomial.polynomial.polyval(np.maximum(signal, 0.0), np.asarray(nonlinearity, np.float64))
        signal = np.divide(signal, sensitivity, out=np.full_like(signal, np.nan), where=sensitivity > 0)
    usable = np.isfinite(signal) & ~saturated & ~bad
    stray, noise = np.zeros(raw.shape[:-1]), np.full(raw.shape[:-1], np.nan)
    if stray_light_nm is not None:
        inside = (wavelengths >= stray_light_nm[0]) & (wavelengths <= stray_light_nm[1])
        if not inside.any():
            raise ValueError(
                f"no pixel lies within stray_light_nm {stray_light_nm}: the spectrum covers "
                f"{wavelengths[0]:.1f} to {wavelengths[-1]:.1f} nm"
            )
        # Picked pixels lie in memory as numpy likes; in rows, the sums do not depend on how many spectra there are.
        picked, counted = np.ascontiguousarray(signal[..., inside]), np.ascontiguousarray(usable[..., inside])
        stray, noise = _mean_and_noise(wavelengths[inside], picked, counted)
        signal = signal - stray[..., None]
        usable = usable & np.isfinite(signal)
    return Prepared(signal, usable, saturated & ~bad, stray, noise)


def _check_shapes(raw: FloatArray, wavelengths: FloatArray) -> None:
    if wavelengths.ndim != 1 or raw.ndim not in (1, 2) or raw.shape[-1] != wavelengths.size or not wavelengths.size:
        raise ValueError(f"spectra of shape {raw.shape} do not fit wavelengths of shape {wavelengths.shape}")
    if not np.all(np.diff(wavelengths) > 0):
        raise ValueError("the wavelengths do not increase from pixel to pixel")


def _bad_mask(bad_pixels: Sequence[int], size: int) -> BoolArray:
    bad = np.zeros(size, np.bool_)
    for pixel in bad_pixels:
        if not 0 <= pixel < size:
            raise ValueError(f"bad pixel {pixel} lies outside the spectrum: indices run from 0 to {size - 1}")
        bad[pixel] = True
    return bad


def _mean_and_noise(x: FloatArray, values: FloatArray, usable: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Mean of the usable values, and their scatter about a straight line (n - 2 degrees of freedom)."""
    number = usable.sum(axis=-1)
    some = np.maximum(number, 1)
    y = np.where(usable, values, 0.0)
    mean = np.where(number > 0, y.sum(axis=-1) / some, np.nan)
    dx = np.where(usable, x - (np.where(usable, x, 0.0).sum(axis=-1) / some)[..., None], 0.0)
    dy = np.where(usable, y - np.nan_to_num(mean)[..., None], 0.0)
    spread = (dx**2).sum(axis=-1)
    slope = np.divide((dx * dy).sum(axis=-1), spread, out=np.zeros_like(spread), where=spread > 0)
    squares = ((dy - slope[..., None] * dx) ** 2).sum(axis=-1)
    return mean, np.where(number > 2, np.sqrt(squares / np.maximum(number - 2, 1)), np.nan)


def light_status(
    prepared: Prepared,
    window: BoolArray | slice,
    *,
    minimum_counts: float,
    maximum_saturated_pixels: int = 0,
    maximum_bad_share: float = 0.1,
) -> IntArray:
    """Return for each spectrum a value of ``FitStatus``, shape () or (M,): whether ``window`` (N,) can be fitted.

    SATURATED with more than ``maximum_saturated_pixels`` saturated pixels; BAD_PIXELS where more than
    ``maximum_bad_share`` of the pixels are not usable for any reason; TOO_DARK where the median of the usable ones
    is below ``minimum_counts``; WINDOW_OUTSIDE where the window holds no pixel; else OK. The first that holds counts.
    """
    counts, usable = prepared.counts[..., window], prepared.usable[..., window]
    size = counts.shape[-1]
    status = np.full(counts.shape[:-1], FitStatus.OK.value, np.int64)
    if size == 0:
        status[...] = FitStatus.WINDOW_OUTSIDE.value
        return status
    # The median of the usable pixels: the others are sorted to the end.
    ordered = np.sort(np.where(usable, counts, np.inf), axis=-1)
    number = usable.sum(axis=-1)
    low = np.take_along_axis(ordered, np.maximum((number - 1) // 2, 0)[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(ordered, np.minimum(number // 2, size - 1)[..., None], axis=-1)[..., 0]
    status[~((low + high) / 2 >= minimum_counts)] = FitStatus.TOO_DARK.value
    status[(size - number > maximum_bad_share * size) | (number == 0)] = FitStatus.BAD_PIXELS.value
    status[prepared.saturated[..., window].sum(axis=-1) > maximum_saturated_pixels] = FitStatus.SATURATED.value
    return status
