"""Light scattered in between instrument and plume, found together with the SO2 column from two windows.

Diluting light carries no SO2 absorption, so it weakens strong and weak bands alike, while a smaller column weakens
them differently (Varnam 2020). Two windows whose bands differ in strength therefore tell column and dilution apart,
where absorption is strong enough to leave its linear range. Where it is not, or where two pairs of column and dilution
explain a spectrum, the result says so.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.results import IntArray
from so2cam.core.spectra import FitStatus
from so2cam.science.spectra.fit import FitResult, MaskArray, fit_spectra
from so2cam.science.spectra.model import FitModel, Problem

PRECISION = 0.05
"""Largest 1 sigma of the column, relative, of an answer that counts as unique."""
ACCEPTED = 9.0
"""Rise of chi-squared (3 sigma) up to which an answer explains a spectrum."""
DETECTED = 4.0
"""Columns without dilution below so many sigma are not searched: they hold nothing about dilution."""
FLOOR = 0.05
"""Share of the mean signal that is added to the signal for the noise's variance, for what noise is not of photons."""
POINTS, MINIMA = 64, 4


@dataclass(frozen=True, slots=True)
class DilutionFit:
    """Light dilution and columns of M spectra.

    ``light_dilution`` (M, 2) is the share of diluting light at 310 nm and its 1 sigma, NaN unless the status is OK.
    ``result`` is the fit of the first window with the column and its 1 sigma from both windows, that of the dilution
    included. ``apparent`` (M, 2) are the two windows' columns and ``apparent_sigma`` (M, 2) their 1 sigma if all light
    had crossed the plume, ``correlation`` (M,) that of column and dilution.

    ``alternatives`` (M, K, 2) are all minima found, (column, dilution), the best first, whatever the status, and
    ``rise`` (M, K) their chi-squared above the best in units of its variance. ``so2_range`` and
    ``light_dilution_range`` (M, 2) bound everything that explains a spectrum within 3 sigma and was searched (light
    dilution from -0.2 to 0.95); NaN where nothing was found.
    """

    light_dilution: FloatArray
    result: FitResult
    apparent: FloatArray
    apparent_sigma: FloatArray
    correlation: FloatArray
    alternatives: FloatArray
    rise: FloatArray
    so2_range: FloatArray
    light_dilution_range: FloatArray


def fit_with_dilution(
    first: FitModel,
    second: FitModel,
    counts: npt.ArrayLike,
    *,
    mask: npt.ArrayLike | None = None,
    precision: float = PRECISION,
) -> DilutionFit:
    """Find SO2 column and light dilution of spectra ``counts`` (M, N) of the detector from two windows' models.

    Both models hold light dilution and belong to one detector. One column and one light dilution (the model's, see
    ``build_fit``) are fitted to both windows at once; all else is each window's own. Pixels count by the photon noise
    of the fits without dilution, and half in each window where both hold them. ``mask`` (M, N) is True where a pixel
    counts.

    Status, besides those of ``fit_spectra`` (of the fits without dilution and of the joint one):
    ``DILUTION_NOT_UNIQUE`` where the column's 1 sigma is more than ``precision`` of it, or another answer within 3
    sigma lies further than 3 ``precision`` from the best, as for columns too small to hold anything about dilution and
    where the columns of two dilutions fold onto one spectrum; ``AT_BOUND`` where a single answer lies beyond -0.2 or
    0.95. Raises ValueError for models of different detectors, models that fit light dilution, and wrong shapes.
    """
    from so2cam.science.spectra.dilution_kernel import dilution_batch

    data, usable = _detector_counts(first, second, counts, mask)
    plain = tuple(fit_spectra(model, data, mask=usable) for model in (first, second))
    spectra = data.shape[0]
    status = np.where(plain[0].ok, plain[1].status, plain[0].status)
    so2, so2_sigma = (np.stack([getattr(fit, name) for fit in plain], axis=1) for name in ("so2", "so2_sigma"))
    blank = _blank(first, plain[0], so2, so2_sigma, status)
    with np.errstate(invalid="ignore", divide="ignore"):
        inverse = 1 / so2_sigma**2
        start_so2, start_sigma = np.sum(so2 * inverse, axis=1) / np.sum(inverse, axis=1), np.sum(inverse, axis=1) ** -0.5
    sound = status == int(FitStatus.OK)
    chosen = np.flatnonzero(sound & (start_so2 > DETECTED * start_sigma))
    status[sound] = int(FitStatus.DILUTION_NOT_UNIQUE)
    if chosen.size == 0:
        return blank
    models = (first, second)
    shares = _shares(first, second)
    window_data, weights, starts = [], [], []
    noise, pixels = np.zeros(chosen.size), np.zeros(chosen.size)
    for model, fit, share in zip(models, plain, shares, strict=True):
        inside = usable[chosen][:, model.window]
        here = np.where(inside, data[chosen][:, model.window], 0.0)
        weight = inside / _noise_shape(fit.model[chosen])
        noise += np.sum(weight * (here - fit.model[chosen]) ** 2, axis=1)
        pixels += inside.sum(axis=1)
        window_data.append(np.ascontiguousarray(here))
        weights.append(np.ascontiguousarray(weight * share))
        starts.append(_nonlinear(model, fit.values[chosen], start_so2[chosen]))
    parameters = sum(len(model.names) for model in models)
    freedom = pixels - parameters
    noise /= freedom
    fine, rough = [tuple(_freed(p) for p in (first_, second_)) for first_, second_ in (
        (first.problem, second.problem), (first.coarse, second.coarse))]
    rows, q_size = chosen.size, first.full_start.size + second.full_start.size
    linear_size = len(first.names) - first.problem.free.size
    points, minima = np.full((rows, POINTS, 4), np.nan), np.full((rows, MINIMA, 4), np.nan)
    solution, linear = np.full((rows, q_size), np.nan), np.full((rows, linear_size), np.nan)
    variances, residual = np.full((rows, parameters + 1), np.nan), np.full((rows, 2), np.nan)
    model_counts, ended = np.full(window_data[0].shape, np.nan), np.zeros(rows, np.int64)
    dilution_batch(
        *fine,
        *rough,
        second.window.start - first.window.start,
        *window_data,
        *weights,
        *shares,
        np.concatenate(starts, axis=1),
        noise,
        freedom,
        points,
        minima,
        solution,
        linear,
        variances,
        residual,
        model_counts,
        ended,
    )
    found = _Found(points, minima, solution, linear, variances, residual, model_counts, ended, noise)
    return _conclude(first, blank, chosen, found, window_data[0], weights[0] > 0, precision)


@dataclass(frozen=True, slots=True)
class _Found:
    """The arrays that ``dilution_batch`` fills, and the noise's variance of the fits without dilution."""

    points: FloatArray
    minima: FloatArray
    solution: FloatArray
    linear: FloatArray
    variances: FloatArray
    residual: FloatArray
    model: FloatArray
    ended: IntArray
    noise: FloatArray


def _detector_counts(
    first: FitModel, second: FitModel, counts: npt.ArrayLike, mask: npt.ArrayLike | None
) -> tuple[FloatArray, MaskArray]:
    """Counts (M, N) and which of them count."""
    size = first.detector_pixels
    if second.detector_pixels != size:
        raise ValueError(
            f"both windows must belong to one detector, found {size} and {second.detector_pixels} pixels; "
            "build both models from the same wavelengths"
        )
    if "light_dilution" in first.names or "light_dilution" in second.names:
        raise ValueError("the windows' models must hold light dilution; build them without fit_light_dilution")
    data = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    if data.ndim != 2 or data.shape[1] != size:
        raise ValueError(f"counts must have the {size} columns of the detector, found shape {np.shape(counts)}")
    usable = np.isfinite(data)
    if mask is not None:
        given = np.atleast_2d(np.asarray(mask)) != 0
        if given.shape not in ((1, size), data.shape):
            raise ValueError(f"mask must have shape {data.shape}, found {np.shape(mask)}")
        usable &= given
    return data, usable


def _blank(
    first: FitModel, plain: FitResult, so2: FloatArray, so2_sigma: FloatArray, status: IntArray
) -> DilutionFit:
    """An answer without any solution; its arrays are filled in later."""
    spectra = status.size
    empty = np.full((spectra, 2), np.nan)
    result = FitResult(
        names=first.names,
        values=np.full(plain.values.shape, np.nan),
        sigma=np.full(plain.values.shape, np.nan),
        chi2=plain.chi2.copy(),
        residual_rms=plain.residual_rms.copy(),
        evaluations=plain.evaluations,
        status=status,
        model=plain.model.copy(),
    )
    return DilutionFit(
        light_dilution=empty,
        result=result,
        apparent=so2,
        apparent_sigma=so2_sigma,
        correlation=np.full(spectra, np.nan),
        alternatives=np.full((spectra, MINIMA, 2), np.nan),
        rise=np.full((spectra, MINIMA), np.nan),
        so2_range=empty.copy(),
        light_dilution_range=empty.copy(),
    )


def _conclude(
    first: FitModel,
    blank: DilutionFit,
    chosen: npt.NDArray[np.intp],
    found: _Found,
    counts: FloatArray,
    usable: MaskArray,
    precision: float,
) -> DilutionFit:
    """Judge what was found in the ``chosen`` spectra, and write it into ``blank``."""
    from so2cam.science.spectra.dilution_kernel import BOUND_MET, FINAL_FAILED, FOUND, SINGULAR_FIT

    result = blank.result
    solved = np.isfinite(found.residual[:, 0]) & np.isfinite(found.variances).all(axis=1)
    so2, dilution = found.solution[:, 0], found.solution[:, first.full_start.size - 1]
    # Chi-squared in units in which it rises by 1 at 1 sigma: pixels of both windows are one measurement.
    unit = np.where(solved, found.residual[:, 0] * found.residual[:, 1], found.noise)
    order = np.argsort(found.minima[:, :, 2], axis=1)  # NaN last
    minima = np.take_along_axis(found.minima, order[:, :, None], axis=1)
    rise = (minima[:, :, 2] - minima[:, :1, 2]) / unit[:, None]
    lowest = np.fmin(np.fmin.reduce(minima[:, :, 3], axis=1), np.fmin.reduce(found.points[:, :, 2], axis=1))
    height = (found.points[:, :, 2] - lowest[:, None]) / unit[:, None]
    accepted = height <= ACCEPTED
    # All columns and dilutions that explain a spectrum: points of the search, and minima.
    every = np.concatenate([found.points[:, :, :2], minima[:, :, :2]], axis=1)
    explains = np.concatenate([accepted, rise <= ACCEPTED], axis=1)
    far = explains & ~(np.abs(every[:, :, 0] / so2[:, None] - 1) <= 3 * precision)
    sigma = np.sqrt(found.variances[:, :2])
    unique = solved & ~far.any(axis=1) & (sigma[:, 0] <= precision * so2)
    narrow = np.ptp(np.where(explains, every[:, :, 1], np.nan), axis=1) if False else _spread(every[:, :, 1], explains)
    status = np.where(unique, int(FitStatus.OK), int(FitStatus.DILUTION_NOT_UNIQUE))
    beyond = (found.ended != FOUND) & np.isnan(found.minima[:, 0, 0]) & (narrow < 3 * precision)
    status[beyond] = int(FitStatus.AT_BOUND)
    status[found.ended == FINAL_FAILED] = int(FitStatus.NOT_CONVERGED)
    status[found.ended == BOUND_MET] = int(FitStatus.AT_BOUND)
    status[found.ended == SINGULAR_FIT] = int(FitStatus.NO_INFORMATION)
    return blank
