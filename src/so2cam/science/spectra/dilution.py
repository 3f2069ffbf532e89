"""Light scattered in between instrument and plume, found together with the SO2 column from two windows.

Diluting light carries no SO2 absorption, so it weakens strong and weak bands alike, while a smaller column weakens
them differently (Varnam 2020). For every light dilution each window has its own best column, and only near the true
dilution are the two the same: the joint chi-squared over light dilution, ``chi1(d) + chi2(d) + (difference of the
columns)^2 / its variance``, has its minimum there. It is looked at for a few dilutions, and closer and closer around
the best.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.results import IntArray
from so2cam.core.spectra import FitStatus
from so2cam.science.spectra.fit import FitResult, fit_spectra
from so2cam.science.spectra.model import FitModel

BoolArray = npt.NDArray[np.bool_]

NODES: Final = (-0.15, 0.15, 0.4, 0.6, 0.75, 0.87, 0.95)
"""Light dilutions at which both windows are fitted first."""
PRECISION: Final = 0.025
"""Largest 1 sigma of the column, relative, of an answer that counts as unique."""
ACCEPTED: Final = 6.0
"""Rise of chi-squared up to which another answer explains a spectrum as well (97.5 % for one parameter: 5)."""
FURTHEST: Final = 0.06
"""How far, relative, the column of another answer that explains the spectrum may lie off an answer that is unique."""
DETECTED: Final = 6.0
"""Columns without dilution below so many sigma hold nothing about it."""
_HOPELESS: Final = 400.0
"""Rise of chi-squared from which larger dilutions are not looked at any more: bands become black there."""
_REFINEMENTS: Final = 5
_NEAREST: Final = 2e-3
"""Least distance of two light dilutions that are fitted."""
_MOST_ALTERNATIVES: Final = 3


@dataclass(frozen=True, slots=True)
class DilutionFit:
    """Light dilution and columns of M spectra.

    ``light_dilution`` (M, 2) is the share of diluting light at 310 nm and its 1 sigma, NaN unless the status is OK.
    ``result`` is the fit of the first window at that dilution, with the column and its 1 sigma from both windows, that
    of the dilution included. ``apparent`` (M, 2) are the two windows' columns if all light had crossed the plume.
    ``alternatives`` (M, 3, 2) are all minima, (column, dilution), the best first, whatever the status, and ``rise``
    (M, 3) their chi-squared above the best; NaN where there are fewer.
    """

    light_dilution: FloatArray
    result: FitResult
    apparent: FloatArray
    alternatives: FloatArray
    rise: FloatArray


def fit_with_dilution(
    first: FitModel, second: FitModel, counts: npt.ArrayLike, *, mask: npt.ArrayLike | None = None
) -> DilutionFit:
    """Find SO2 column and light dilution of spectra ``counts`` (M, N) of the detector from two windows' models.

    Both models hold light dilution and belong to one detector; ``mask`` (M, N) is True where a pixel counts. Pixels
    that both windows hold go to them in turn, so that their noises are independent.

    Status, besides those of ``fit_spectra``: ``DILUTION_NOT_UNIQUE`` where the column's 1 sigma is more than 2.5 % of
    it, or another answer that explains the spectrum lies further than 6 % from the best: as for columns too small to
    hold anything about dilution, and where the columns of two dilutions fold onto one spectrum. Raises ValueError for
    models of different detectors, models that fit light dilution, and wrong shapes.
    """
    data, usable = _checked(first, second, counts, mask)
    masks = _disjoint(first, second, usable)
    plain = [fit_spectra(model, data, mask=part) for model, part in zip((first, second), masks, strict=True)]
    status = np.where(plain[0].ok, plain[1].status, plain[0].status).astype(np.int64)
    apparent = np.stack([fit.so2 for fit in plain], axis=1)
    blank = _blank(plain[0], status, apparent)
    with np.errstate(invalid="ignore"):
        seen = (status == FitStatus.OK) & (plain[0].so2 > DETECTED * plain[0].so2_sigma)
    chosen = np.flatnonzero(seen)
    status[(status == FitStatus.OK) & ~seen] = int(FitStatus.DILUTION_NOT_UNIQUE)
    if chosen.size == 0:
        return blank
    profile = _Profile(
        (first, second), data[chosen], [part[chosen] for part in masks], [f.values[chosen] for f in plain]
    )
    everyone = np.arange(chosen.size)
    active = everyone
    for node in NODES:
        profile.look(active, np.full(active.size, node))
        active = active[profile.is_hopeful(active)]
    for _ in range(_REFINEMENTS):
        profile.look(*profile.closer())
    answers = [profile.answer(row) for row in range(chosen.size)]
    _conclude(blank, chosen, answers, profile)
    return blank


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the profile of one spectrum says. ``minima`` are (column, dilution, rise), the best first."""

    status: FitStatus
    point: int = -1
    dilution: float = float("nan")
    dilution_sigma: float = float("nan")
    column: float = float("nan")
    column_sigma: float = float("nan")
    minima: tuple[tuple[float, float, float], ...] = ()


class _Profile:
    """The joint chi-squared of spectra over light dilution, as far as it was looked at: points of each spectrum."""

    def __init__(
        self,
        models: tuple[FitModel, FitModel],
        data: FloatArray,
        masks: list[BoolArray],
        starts: list[FloatArray],
    ) -> None:
        self.models = models
        self._data = data
        self._masks = masks
        self._starts = starts
        parts = zip(models, masks, strict=True)
        self._freedom = [np.maximum(mask[:, m.window].sum(axis=1) - len(m.names), 1).astype(float) for m, mask in parts]
        count = data.shape[0]
        self._noise = np.full((2, count), np.inf)
        self._points: list[list[_Point]] = [[] for _ in range(count)]

    def look(self, rows: npt.NDArray[np.intp], dilution: FloatArray) -> None:
        """Fit both windows of some spectra at a light dilution each."""
        if rows.size == 0:
            return
        fits = []
        for window, (model, mask) in enumerate(zip(self.models, self._masks, strict=True)):
            start = np.stack([self._start(int(row), window, d) for row, d in zip(rows, dilution, strict=True)])
            fit = fit_spectra(
                model, self._data[rows], mask=mask[rows], light_dilution=dilution, start=start, retry=False
            )
            level = np.where(fit.ok, fit.chi2 / self._freedom[window][rows], np.inf)
            self._noise[window, rows] = np.minimum(self._noise[window, rows], level)
            fits.append(fit)
        good = fits[0].ok & fits[1].ok & (fits[0].so2 > 0) & (fits[1].so2 > 0)
        for place, row in enumerate(rows):
            if good[place]:
                self._points[row].append(_Point(float(dilution[place]), tuple(_window(fit, place) for fit in fits)))
                self._points[row].sort(key=lambda point: point.dilution)

    def _start(self, row: int, window: int, dilution: float) -> FloatArray:
        """Return parameters to start from: those of the nearest dilution, or between the two about this one."""
        points = self._points[row]
        if not points:
            return np.asarray(self._starts[window][row], np.float64)
        after = next((k for k, point in enumerate(points) if point.dilution > dilution), len(points))
        if 0 < after < len(points):
            low, high = points[after - 1], points[after]
            share = (dilution - low.dilution) / (high.dilution - low.dilution)
            mixed = (1 - share) * low.windows[window].values + share * high.windows[window].values
            return np.asarray(mixed, np.float64)
        return points[min(after, len(points) - 1)].windows[window].values

    def is_hopeful(self, rows: npt.NDArray[np.intp]) -> BoolArray:
        """Return for which spectra larger dilutions may still explain them."""
        hopeful = np.zeros(rows.size, np.bool_)
        for place, row in enumerate(rows):
            joint = self._joint(row)
            hopeful[place] = joint.size > 0 and joint[-1] - joint.min() < _HOPELESS
        return hopeful

    def closer(self) -> tuple[npt.NDArray[np.intp], FloatArray]:
        """Return the spectra whose best dilution is not yet known well, and where to look next."""
        rows, where = [], []
        for row, points in enumerate(self._points):
            joint = self._joint(row)
            if joint.size < 3:
                continue
            best = int(np.argmin(joint))
            if best in (0, joint.size - 1):
                other = 1 if best == 0 else best - 1
                rows.append(row)
                where.append(0.5 * (points[best].dilution + points[other].dilution))
                continue
            three = points[best - 1 : best + 2]
            at = np.array([point.dilution for point in three])
            wanted = _vertex(at, joint[best - 1 : best + 2])
            if min(abs(wanted - at)) < _NEAREST:
                # The vertex is known: the wider side is looked at, for how fast chi-squared rises there.
                wide = 0 if at[1] - at[0] > at[2] - at[1] else 2
                wanted = at[1] + 0.3 * (at[wide] - at[1])
            if min(abs(wanted - at)) >= _NEAREST:
                rows.append(row)
                where.append(float(wanted))
        return np.array(rows, np.intp), np.array(where, np.float64)

    def answer(self, row: int) -> _Answer:
        """Return what the points of a spectrum say."""
        points, joint = self._points[row], self._joint(row)
        if joint.size < 3:
            return _Answer(FitStatus.NOT_CONVERGED)
        at = np.array([point.dilution for point in points])
        mean, conditional = (np.array(values) for values in zip(*(self._mean(row, p) for p in points), strict=True))
        rise = joint - joint.min()
        inner = [k for k in range(1, joint.size - 1) if joint[k] <= joint[k - 1] and joint[k] < joint[k + 1]]
        inner.sort(key=lambda k: float(joint[k]))
        minima = tuple((float(mean[k]), float(at[k]), float(rise[k])) for k in inner[:_MOST_ALTERNATIVES])
        best = int(np.argmin(joint))
        if best in (0, joint.size - 1):
            return _Answer(FitStatus.DILUTION_NOT_UNIQUE, minima=minima)
        near = slice(best - 1, best + 2)
        second, slope_at = np.polyfit(at[near], joint[near], 2)[:2]
        if second <= 0:
            return _Answer(FitStatus.DILUTION_NOT_UNIQUE, minima=minima)
        dilution = float(np.clip(-slope_at / (2 * second), at[best - 1], at[best + 1]))
        sigma = float(second**-0.5)
        curve = np.polyfit(at[near], mean[near], 2)
        column = float(np.polyval(curve, dilution))
        slope = float(np.polyval(np.polyder(curve), dilution))
        column_sigma = float(np.hypot(conditional[best], slope * sigma))
        others = [abs(float(value) / column - 1) for value in mean[rise <= ACCEPTED]]
        unique = column > 0 and column_sigma <= PRECISION * column and max(others) <= FURTHEST
        status = FitStatus.OK if unique else FitStatus.DILUTION_NOT_UNIQUE
        return _Answer(status, best, dilution, sigma, column, column_sigma, minima)

    def result_at(self, row: int, point: int) -> tuple[FloatArray, FloatArray, float, float, FloatArray]:
        """Return values, sigmas, chi-squared, residual and model of the first window at a point."""
        window = self._points[row][point].windows[0]
        return window.values, window.sigma, window.chi2, window.residual_rms, window.model

    def _joint(self, row: int) -> FloatArray:
        return np.array([self._chi2(row, point) for point in self._points[row]], np.float64)

    def _chi2(self, row: int, point: "_Point") -> float:
        total = sum(w.chi2 / self._noise[n, row] for n, w in enumerate(point.windows))
        variances = self._variances(row, point)
        return float(total + (point.windows[0].so2 - point.windows[1].so2) ** 2 / sum(variances))

    def _mean(self, row: int, point: "_Point") -> tuple[float, float]:
        """Return the mean column of both windows and its 1 sigma at a given dilution."""
        weights = [1 / variance for variance in self._variances(row, point)]
        column = sum(w.so2 * weight for w, weight in zip(point.windows, weights, strict=True)) / sum(weights)
        return float(column), float(sum(weights) ** -0.5)

    def _variances(self, row: int, point: "_Point") -> list[float]:
        """Variances of both columns for the noise that the best dilution leaves."""
        return [
            w.so2_sigma**2 * self._noise[n, row] / (w.chi2 / self._freedom[n][row]) for n, w in enumerate(point.windows)
        ]


@dataclass(frozen=True, slots=True)
class _Window:
    """One window's fit of one spectrum at one dilution."""

    so2: float
    so2_sigma: float
    chi2: float
    residual_rms: float
    values: FloatArray
    sigma: FloatArray
    model: FloatArray


@dataclass(frozen=True, slots=True)
class _Point:
    dilution: float
    windows: tuple[_Window, ...]


def _window(fit: FitResult, place: int) -> _Window:
    return _Window(
        float(fit.so2[place]),
        float(fit.so2_sigma[place]),
        float(fit.chi2[place]),
        float(fit.residual_rms[place]),
        fit.values[place],
        fit.sigma[place],
        fit.model[place],
    )


def _vertex(at: FloatArray, values: FloatArray) -> float:
    """Return where the parabola through three points has its minimum, kept between them.

    Chi-squared may rise by orders of magnitude on one side: the logarithm of its rise is what is taken then.
    """
    high = values - values.min()
    if high.max() > 50:
        values = np.log1p(high)
    (a, b, c), (fa, fb, fc) = at, values
    below = (b - a) * (fb - fc) - (b - c) * (fb - fa)
    if below == 0:
        return float(b)
    above = (b - a) ** 2 * (fb - fc) - (b - c) ** 2 * (fb - fa)
    return float(np.clip(b - 0.5 * above / below, a + 0.1 * (b - a), c - 0.1 * (c - b)))


def _conclude(blank: DilutionFit, chosen: npt.NDArray[np.intp], answers: list[_Answer], profile: _Profile) -> None:
    """Write the answers into ``blank``, whose arrays nobody else holds."""
    result = blank.result
    for row, (index, answer) in enumerate(zip(chosen, answers, strict=True)):
        for place, (column, dilution, rise) in enumerate(answer.minima):
            blank.alternatives[index, place] = column, dilution
            blank.rise[index, place] = rise
        result.status[index] = int(answer.status)
        if answer.point < 0:
            continue
        values, sigma, chi2, residual, model = profile.result_at(row, answer.point)
        result.chi2[index], result.residual_rms[index], result.model[index] = chi2, residual, model
        if answer.status is not FitStatus.OK:
            continue
        result.values[index], result.sigma[index] = values, sigma
        place = result.index("so2")
        result.values[index, place], result.sigma[index, place] = answer.column, answer.column_sigma
        blank.light_dilution[index] = answer.dilution, answer.dilution_sigma


def _blank(plain: FitResult, status: IntArray, apparent: FloatArray) -> DilutionFit:
    spectra = status.size
    result = FitResult(
        names=plain.names,
        values=np.full(plain.values.shape, np.nan),
        sigma=np.full(plain.values.shape, np.nan),
        chi2=plain.chi2.copy(),
        residual_rms=plain.residual_rms.copy(),
        evaluations=plain.evaluations.copy(),
        status=status,
        model=plain.model.copy(),
    )
    return DilutionFit(
        light_dilution=np.full((spectra, 2), np.nan),
        result=result,
        apparent=apparent,
        alternatives=np.full((spectra, _MOST_ALTERNATIVES, 2), np.nan),
        rise=np.full((spectra, _MOST_ALTERNATIVES), np.nan),
    )


def _disjoint(first: FitModel, second: FitModel, usable: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Return which pixels count in each window: those of both go to them in turn."""
    index = np.arange(usable.shape[1])
    inside = [(index >= model.window.start) & (index < model.window.stop) for model in (first, second)]
    both = inside[0] & inside[1]
    odd = index % 2 == 1
    return usable & ~(both & odd), usable & ~(both & ~odd)


def _checked(
    first: FitModel, second: FitModel, counts: npt.ArrayLike, mask: npt.ArrayLike | None
) -> tuple[FloatArray, BoolArray]:
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
