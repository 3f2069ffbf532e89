"""The fit of modelled to measured spectra in intensity, many spectra at a call."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.results import IntArray
from so2cam.core.spectra import FitStatus
from so2cam.science.spectra.model import FitModel

MaskArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a fit found in M spectra; P parameters, Nw pixels of the window.

    ``values`` and ``sigma`` (1 sigma, from the covariance scaled by the residual's variance) have shape (M, P), columns
    as in ``names``, and are NaN wherever ``status`` (M,) is not ``FitStatus.OK``. ``chi2`` (M,) is the sum of squares
    of the residual [counts squared], ``residual_rms`` (M,) its root mean square relative to the model, ``evaluations``
    (M,) how often the model was computed and ``model`` (M, Nw) the last one, kept for whatever status.
    """

    names: tuple[str, ...]
    values: FloatArray
    sigma: FloatArray
    chi2: FloatArray
    residual_rms: FloatArray
    evaluations: IntArray
    status: IntArray
    model: FloatArray

    def index(self, name: str) -> int:
        """Return the column of a parameter; ValueError if it was not fitted."""
        if name not in self.names:
            raise ValueError(f"{name} was not fitted; there are {', '.join(self.names)}")
        return self.names.index(name)

    def parameter(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Return values (M,) of a parameter and their 1 sigma (M,); ValueError if it was not fitted."""
        column = self.index(name)
        return self.values[:, column], self.sigma[:, column]

    @property
    def ok(self) -> MaskArray:
        """(M,) where the fit succeeded."""
        return np.asarray(self.status == FitStatus.OK)

    @property
    def so2(self) -> FloatArray:
        """SO2 columns (M,) [molecules cm-2]."""
        return self.values[:, self.index("so2")]

    @property
    def so2_sigma(self) -> FloatArray:
        """1 sigma of the SO2 columns (M,) [molecules cm-2]."""
        return self.sigma[:, self.index("so2")]


def window_counts(model: FitModel, values: npt.ArrayLike, what: str) -> npt.NDArray[np.float64]:
    """Return (M, Nw) of the window from (M, N) of the detector or (M, Nw) of the window, or one such row.

    Raises ValueError for other shapes.
    """
    rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if rows.ndim == 2 and rows.shape[1] == model.detector_pixels:
        rows = rows[:, model.window]
    if rows.ndim != 2 or rows.shape[1] != model.wavelengths_nm.size:
        raise ValueError(
            f"{what} must have {model.detector_pixels} columns (the detector) or {model.wavelengths_nm.size} "
            f"(the window), found an array of shape {np.shape(values)}"
        )
    return rows


def fit_spectra(
    model: FitModel,
    counts: npt.ArrayLike,
    *,
    mask: npt.ArrayLike | None = None,
    start: npt.ArrayLike | None = None,
    warm: bool = False,
    light_dilution: npt.ArrayLike | None = None,
    retry: bool = True,
) -> FitResult:
    """Fit spectra ``counts`` (M, N) of the whole detector or (M, Nw) of the window, or a single one (N,).

    ``mask`` of the same shape is True where a pixel counts; pixels that are not finite never do. ``start`` (P,) or
    (M, P) replaces the model's first guess (NaN: keep it); ``warm`` starts each fit from the last one that succeeded
    and falls back to the first guess. ``light_dilution`` (M,) or a number replaces the model's held share of diluting
    light. Fits that fail are tried again from other shifts, unless ``retry`` is false.

    Levenberg-Marquardt on the parameters that are not linear, the others solved for at each step (variable
    projection). Status: ``NOT_CONVERGED``, ``AT_BOUND``, ``NO_INFORMATION`` (singular, or an uncertainty that is not
    finite), ``BAD_PIXELS`` (no more pixels than parameters), ``OK``. Raises ValueError for wrong shapes and for a
    light dilution given where it is fitted.
    """
    from so2cam.science.spectra.kernel import AT_BOUND, FEW_PIXELS, NOT_CONVERGED, OK, fit_batch

    data = np.array(window_counts(model, counts, "counts"), order="C")
    weight = np.isfinite(data)
    if mask is not None:
        given = window_counts(model, mask, "mask") != 0
        if given.shape[0] not in (1, data.shape[0]):
            raise ValueError(f"{given.shape[0]} rows of mask for {data.shape[0]} spectra")
        weight &= given
    data[~weight] = 0.0
    problem = model.problem
    spectra, size, nonlinear = data.shape[0], len(model.names), model.full_start.size
    linear_size = size - problem.free.size
    starts, dilution = _starts(model, start, spectra), model.dilutions(light_dilution, spectra)
    q, linear = np.full((spectra, nonlinear), np.nan), np.full((spectra, linear_size), np.nan)
    sigma, fitted = np.full((spectra, size), np.nan), np.full(data.shape, np.nan)
    chi2 = np.full(spectra, np.nan)
    evaluations, ended = np.zeros(spectra, np.int64), np.zeros(spectra, np.int64)
    reach = float(problem.upper[problem.absorbers.shape[0]]) if problem.shifts else 0.0
    others = reach * np.array([0.2, -0.2, 0.4, -0.4, 0.6, -0.6] if retry else [])
    weights = weight.astype(np.float64)
    fit_batch(
        problem,
        model.coarse,
        data,
        weights,
        starts,
        dilution,
        others,
        warm,
        q,
        linear,
        sigma,
        chi2,
        evaluations,
        ended,
        fitted,
    )
    status = np.full(spectra, int(FitStatus.NO_INFORMATION), dtype=np.int64)
    for code, meaning in (
        (OK, FitStatus.OK),
        (NOT_CONVERGED, FitStatus.NOT_CONVERGED),
        (AT_BOUND, FitStatus.AT_BOUND),
        (FEW_PIXELS, FitStatus.BAD_PIXELS),
    ):
        status[ended == code] = int(meaning)
    values = np.concatenate([linear, q[:, problem.free]], axis=1)[:, model.order]
    sigma = sigma[:, model.order]
    sound = np.isfinite(values).all(axis=1) & np.isfinite(sigma).all(axis=1) & (sigma > 0).all(axis=1)
    status[(status == FitStatus.OK) & ~sound] = int(FitStatus.NO_INFORMATION)
    failed = status != FitStatus.OK
    values[failed], sigma[failed] = np.nan, np.nan
    return FitResult(
        names=model.names,
        values=values,
        sigma=sigma,
        chi2=chi2,
        residual_rms=_relative_rms(data, fitted, weights),
        evaluations=evaluations,
        status=status,
        model=fitted,
    )


def _starts(model: FitModel, start: npt.ArrayLike | None, spectra: int) -> FloatArray:
    """First guesses (M, Q) of all parameters that are not linear."""
    starts = np.tile(model.full_start, (spectra, 1))
    if start is None:
        return starts
    given = np.atleast_2d(np.asarray(start, dtype=np.float64))
    if given.shape not in ((1, len(model.names)), (spectra, len(model.names))):
        raise ValueError(f"start must have shape ({len(model.names)},) or ({spectra}, {len(model.names)})")
    linear = len(model.names) - model.problem.free.size
    for column, place in enumerate(model.order):
        if place >= linear:
            which = model.problem.free[place - linear]
            value = np.broadcast_to(given[:, column], spectra)
            inside = np.clip(value, model.problem.lower[which], model.problem.upper[which])
            starts[:, which] = np.where(np.isfinite(value), inside, starts[:, which])
    return starts


def _relative_rms(data: FloatArray, fitted: FloatArray, weights: FloatArray) -> FloatArray:
    """Root mean square (M,) of the residual relative to the model, over the pixels that count."""
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(weights > 0, (data - fitted) / fitted, 0.0)
        return np.asarray(np.sqrt(np.sum(relative**2, axis=1) / np.sum(weights, axis=1)), dtype=np.float64)
