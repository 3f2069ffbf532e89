"""Light scattered in between instrument and plume, found together with the SO2 column from two windows.

Diluting light carries no SO2 absorption, so it weakens strong and weak bands alike, while a smaller column weakens
them differently (Varnam 2020). Two windows whose bands differ in strength therefore tell column and dilution apart,
where absorption is strong enough to leave its linear range. Where it is not, or where two pairs of column and dilution
explain a spectrum, the result says so.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.results import IntArray
from so2cam.core.spectra import FitStatus
from so2cam.science.spectra.fit import FitResult, MaskArray, fit_spectra
from so2cam.science.spectra.model import FitModel, Problem

PRECISION = 0.015
"""Largest 1 sigma of the column, relative, of an answer that counts as unique: 5 % are more than 3 sigma."""
ACCEPTED = 9.0
"""Rise of chi-squared (3 sigma) up to which an answer explains a spectrum."""
DETECTED = 6.0
"""Columns without dilution below so many sigma are not searched: they hold nothing about dilution."""
FLOOR = 0.05
"""Share of the mean signal that is added to the signal for the noise's variance, for what noise is not of photons."""
POINTS, MINIMA = 64, 4
DEPTHS = np.round(np.arange(-2, 21) * 0.1, 1)
"""Depths ``-ln(1 - dilution)`` at which the misfit is told: dilutions from -0.22 to 0.86."""
_RISE_KNOWN = 4.0
"""Rise of the misfit up to which it must be known on both sides, unless it reaches the range's end."""


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

    ``misfit`` (M, G) is the least chi-squared at each of ``DEPTHS``, the column free, above the lowest of them and in
    units of the noise's variance (straight on beyond 50); NaN where it was not asked for or is not
    known.
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
    misfit: FloatArray


def fit_with_dilution(
    first: FitModel,
    second: FitModel,
    counts: npt.ArrayLike,
    *,
    mask: npt.ArrayLike | None = None,
    precision: float = PRECISION,
    misfit: bool = False,
) -> DilutionFit:
    """Find SO2 column and light dilution of spectra ``counts`` (M, N) of the detector from two windows' models.

    Both models hold light dilution and belong to one detector. One column and one light dilution (the model's, see
    ``build_fit``) are fitted to both windows at once; all else is each window's own. Pixels count by the photon noise
    of the fits without dilution, and half in each window where both hold them. ``mask`` (M, N) is True where a pixel
    counts. With ``misfit`` that is found too, also where no single answer is: many spectra together may tell one
    (``dilution_pool``).

    Status, besides those of ``fit_spectra`` (of the fits without dilution and of the joint one):
    ``DILUTION_NOT_UNIQUE`` where the column's 1 sigma is more than ``precision`` of it, or another answer within 3
    sigma lies further than 3 ``precision`` from the best, as for columns too small to hold anything about dilution and
    where the columns of two dilutions fold onto one spectrum; ``AT_BOUND`` where a single answer lies beyond -0.2 or
    0.95. Raises ValueError for models of different detectors, models that fit light dilution, and wrong shapes.
    """
    from so2cam.science.spectra.dilution_kernel import dilution_batch

    data, usable = _detector_counts(first, second, counts, mask)
    plain = _without_dilution(first, second, data, usable)
    status = np.where(plain[0].ok, plain[1].status, plain[0].status)
    so2, so2_sigma = (np.stack([getattr(fit, name) for fit in plain], axis=1) for name in ("so2", "so2_sigma"))
    blank = _blank(first, plain[0], so2, so2_sigma, status)
    with np.errstate(invalid="ignore", divide="ignore"):
        inverse = 1 / so2_sigma**2
        start_so2, start_sigma = (
            np.sum(so2 * inverse, axis=1) / np.sum(inverse, axis=1),
            np.sum(inverse, axis=1) ** -0.5,
        )
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
    fine, rough = (_freed(first.problem), _freed(second.problem)), (_freed(first.coarse), _freed(second.coarse))
    rows, q_size = chosen.size, first.full_start.size + second.full_start.size
    linear_size = len(first.names) - first.problem.free.size
    points, minima = np.full((rows, POINTS, 4), np.nan), np.full((rows, MINIMA, 4), np.nan)
    solution, linear = np.full((rows, q_size), np.nan), np.full((rows, linear_size), np.nan)
    variances, residual = np.full((rows, parameters + 1), np.nan), np.full((rows, 2), np.nan)
    model_counts, ended = np.full(window_data[0].shape, np.nan), np.zeros(rows, np.int64)
    dilution_batch(
        fine[0],
        fine[1],
        rough[0],
        rough[1],
        second.window.start - first.window.start,
        window_data[0],
        window_data[1],
        weights[0],
        weights[1],
        shares[0],
        shares[1],
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
    if misfit:
        blank.misfit[chosen] = _misfit(fine, window_data, weights, np.concatenate(starts, axis=1), noise)
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


def _misfit(
    problems: tuple[Problem, Problem],
    counts: list[FloatArray],
    weights: list[FloatArray],
    starts: FloatArray,
    noise: FloatArray,
) -> FloatArray:
    """Misfit (R, G) at ``DEPTHS``; NaN where the fits failed before it had risen."""
    from so2cam.science.spectra.dilution_profile_kernel import profile_batch

    raw = np.full((noise.size, DEPTHS.size), np.nan)
    profile_batch(
        problems[0],
        problems[1],
        counts[0],
        counts[1],
        weights[0],
        weights[1],
        starts,
        noise,
        -np.expm1(-DEPTHS),
        raw,
        np.full_like(raw, np.nan),
    )
    result = np.full_like(raw, np.nan)
    for row, values in enumerate(raw / noise[:, None]):
        known = np.flatnonzero(np.isfinite(values))
        if known.size < 4:
            continue
        first, last = known[0], known[-1]
        risen = values - values[known].min()
        if (first > 0 and risen[first] < _RISE_KNOWN) or (last < DEPTHS.size - 1 and risen[last] < _RISE_KNOWN):
            continue
        below, above = np.arange(first), np.arange(last + 1, DEPTHS.size)
        risen[below] = risen[first] + (first - below) * max(risen[first] - risen[first + 1], 0.0)
        risen[above] = risen[last] + (above - last) * max(risen[last] - risen[last - 1], 0.0)
        result[row] = risen
    return result


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


def _without_dilution(
    first: FitModel, second: FitModel, data: FloatArray, usable: MaskArray
) -> tuple[FitResult, FitResult]:
    """Fits of both windows as if all light had crossed the plume; the second's shift and absorbers start the first."""
    more = fit_spectra(second, data, mask=usable)
    start = np.full((data.shape[0], len(first.names)), np.nan)
    for column, name in enumerate(first.names):
        if name in more.names and not name.startswith(("background", "offset", "shift")):
            start[:, column] = more.values[:, more.index(name)]
    apart = first.centre_nm - second.centre_nm
    shifts = [more.values[:, n] for n, name in enumerate(more.names) if name.startswith("shift")]
    if "shift_0" in first.names:
        start[:, first.names.index("shift_0")] = sum(shift * apart**n for n, shift in enumerate(shifts))
    return fit_spectra(first, data, mask=usable, start=start), more


def _blank(first: FitModel, plain: FitResult, so2: FloatArray, so2_sigma: FloatArray, status: IntArray) -> DilutionFit:
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
        misfit=np.full((spectra, DEPTHS.size), np.nan),
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
    from so2cam.science.spectra.dilution_kernel import BOUND_MET, FINAL_FAILED, FOUND, SEARCH_FAILED, SINGULAR_FIT

    result = blank.result
    solved = np.isfinite(found.residual).all(axis=1)
    so2, dilution = found.solution[:, 0], found.solution[:, first.full_start.size - 1]
    # Chi-squared in units in which it rises by 1 at 1 sigma: pixels of both windows are one measurement.
    unit = np.where(solved, found.residual[:, 0] * found.residual[:, 1], found.noise)
    order = np.argsort(found.minima[:, :, 2], axis=1)  # NaN last
    minima = np.take_along_axis(found.minima, order[:, :, None], axis=1)
    rise = (minima[:, :, 2] - minima[:, :1, 2]) / unit[:, None]
    lowest = np.fmin(np.fmin.reduce(minima[:, :, 3], axis=1), np.fmin.reduce(found.points[:, :, 2], axis=1))
    height = (found.points[:, :, 2] - lowest[:, None]) / unit[:, None]
    # All columns and dilutions that explain a spectrum: points of the search, and minima.
    every = np.concatenate([found.points[:, :, :2], minima[:, :, :2]], axis=1)
    explains = np.concatenate([height <= ACCEPTED, rise <= ACCEPTED], axis=1)
    ranges = [_extent(every[:, :, n], explains) for n in (0, 1)]
    with np.errstate(invalid="ignore"):
        sigma = np.sqrt(found.variances[:, :2])
        far = explains & ~(np.abs(every[:, :, 0] / so2[:, None] - 1) <= 3 * precision)
        unique = (found.ended == FOUND) & ~far.any(axis=1) & (sigma[:, 0] <= precision * so2)
        # The search saw columns that explain the spectrum and are far from each other: no fit is needed to tell.
        several = ranges[0][:, 1] > (1 + 6 * precision) * ranges[0][:, 0]
    status = np.where(unique, int(FitStatus.OK), int(FitStatus.DILUTION_NOT_UNIQUE))
    # No hollow within the range, and few dilutions at its edge explain the spectrum: the answer lies beyond.
    outside = (found.ended == SEARCH_FAILED) & ~(np.ptp(ranges[1], axis=1) > 0.2)
    for ended, meaning in (
        (outside, FitStatus.AT_BOUND),
        (np.isnan(found.points[:, 0, 0]), FitStatus.DILUTION_NOT_UNIQUE),
        ((found.ended == FINAL_FAILED) & ~several, FitStatus.NOT_CONVERGED),
        ((found.ended == BOUND_MET) & ~several, FitStatus.AT_BOUND),
        ((found.ended == SINGULAR_FIT) & ~several, FitStatus.NO_INFORMATION),
    ):
        status[ended] = int(meaning)
    result.status[chosen] = status
    blank.alternatives[chosen], blank.rise[chosen] = minima[:, :, :2], rise
    blank.so2_range[chosen], blank.light_dilution_range[chosen] = ranges
    good = status == int(FitStatus.OK)
    rows = chosen[good]
    blank.light_dilution[rows] = np.stack([dilution, sigma[:, 1]], axis=1)[good]
    blank.correlation[rows] = (found.variances[:, -1] / (sigma[:, 0] * sigma[:, 1]))[good]
    values, errors = _parameters(first, found)
    result.values[rows], result.sigma[rows] = values[good], errors[good]
    done = np.isfinite(found.model).all(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = np.where(usable, counts - found.model, 0.0)
        relative = np.where(usable, residual / found.model, 0.0)
    result.chi2[chosen[done]] = np.sum(residual**2, axis=1)[done]
    result.residual_rms[chosen[done]] = np.sqrt(np.sum(relative**2, axis=1) / np.sum(usable, axis=1))[done]
    result.model[chosen[done]] = found.model[done]
    return blank


def _extent(values: FloatArray, where: MaskArray) -> FloatArray:
    """Lowest and highest (R, 2) of ``values`` (R, S) ``where`` they count; NaN where none does."""
    chosen = np.where(where, values, np.nan)
    return np.stack([np.fmin.reduce(chosen, axis=1), np.fmax.reduce(chosen, axis=1)], axis=1)


def _parameters(first: FitModel, found: _Found) -> tuple[FloatArray, FloatArray]:
    """Values and 1 sigma (R, P) of the first window's parameters, ordered as its names."""
    nonlinear = found.solution[:, : first.full_start.size][:, first.problem.free]
    values = np.concatenate([found.linear, nonlinear], axis=1)
    linear, size = found.linear.shape[1], values.shape[1]
    # The joint order: SO2, dilution, then the others of the first window.
    joint = np.array([0 if n == linear else 2 + n - (n > linear) for n in range(size)])
    with np.errstate(invalid="ignore"):
        sigma = np.sqrt(found.variances[:, joint])
    return values[:, first.order], sigma[:, first.order]


def _freed(problem: Problem) -> Problem:
    """The same with light dilution as the last free parameter."""
    return problem._replace(free=np.append(problem.free, problem.lower.size - 1))


def _noise_shape(model: FloatArray) -> FloatArray:
    """Variance (R, Nw) of the counts, up to a factor."""
    light = np.maximum(model, 0.0)
    return np.asarray(light + FLOOR * np.mean(light, axis=1, keepdims=True))


def _shares(first: FitModel, second: FitModel) -> tuple[FloatArray, FloatArray]:
    """The share (Nw,) that each pixel has in each window: 1, or a half where both hold it."""
    times = np.zeros(first.detector_pixels)
    times[first.window] += 1
    times[second.window] += 1
    return 1 / times[first.window], 1 / times[second.window]


def _nonlinear(model: FitModel, values: FloatArray, so2: FloatArray) -> FloatArray:
    """Parameters (R, Q) as the compiled core has them, from those of a fit (R, P), with another column (R,)."""
    ordered = np.empty_like(values)
    ordered[:, model.order] = values
    q = np.tile(model.full_start, (values.shape[0], 1))
    q[:, model.problem.free] = ordered[:, values.shape[1] - model.problem.free.size :]
    q[:, 0], q[:, -1] = so2, 0.0
    return q
