"""The line shape of a spectrometer from the spectrum of a calibration lamp."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gamma

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from so2cam.core.records import FloatArray
from so2cam.science.spectra.lamp_lines import (
    HG_LINES,
    MINIMUM_SIGNAL_TO_NOISE,
    LampLine,
    checked_spectrum,
    pixel_noise,
)
from so2cam.science.spectra.line_shape import shape_scales, super_gaussian

BACKGROUND_TERMS = 2
"""The background below a line is straight."""
MINIMUM_FWHM_PX = 2.5
"""Lines with fewer pixels across do not show their shape."""
MAXIMUM_MISFIT = 0.05
"""Largest difference between line and fit, relative to the peak, that is still the shape of one line."""
_SHAPE = 5
"""Parameters of a line that are not linear: centroid, FWHM, exponent, and the two asymmetries."""
_LOWER = np.array([0.8, -0.9, -2.0])
_UPPER = np.array([12.0, 0.9, 2.0])
"""Bounds of exponent, width asymmetry and exponent asymmetry: those of the site file."""
_TABLE_HALF_WIDTH_FWHM = 2.5
"""How far the measured table reaches, where the window does."""


@dataclass(frozen=True, slots=True)
class LampFit:
    """A line of a lamp, its super-Gaussian and its measured shape. Uncertainties are 1 sigma.

    ``wavelength_error_nm`` is the line's centroid by the spectrometer's wavelengths minus its wavelength in vacuum
    (about -0.09 nm where the wavelengths are those in air). ``table_offsets_nm`` and ``table_response`` (n,) are what
    was measured, less background and other lines: offsets from the centroid [nm], which is in the table's middle, as
    ``line_shape.measured_shape`` takes it, and area 1 [nm-1].
    """

    line: LampLine
    centroid_nm: float
    centroid_uncertainty_nm: float
    wavelength_error_nm: float
    fwhm_nm: float
    fwhm_uncertainty_nm: float
    exponent: float
    exponent_uncertainty: float
    width_asymmetry: float
    width_asymmetry_uncertainty: float
    exponent_asymmetry: float
    exponent_asymmetry_uncertainty: float
    peak_counts: float
    signal_to_noise: float
    """peak over the scatter of a pixel about the fit in the wings"""
    residual_rms: float
    """relative to the peak"""
    other_lines: tuple[LampLine, ...]
    """fitted together with it"""
    table_offsets_nm: FloatArray
    table_response: FloatArray


def super_gaussian_centroid_nm(
    width_nm: float, exponent: float, width_asymmetry: float = 0.0, exponent_asymmetry: float = 0.0
) -> float:
    """Return the centroid of ``line_shape.super_gaussian`` relative to its top: moments by the gamma function."""
    right, left = shape_scales(width_nm, exponent, width_asymmetry, exponent_asymmetry)
    plus, minus = exponent + exponent_asymmetry, exponent - exponent_asymmetry
    area = right * gamma(1 / plus) / plus + left * gamma(1 / minus) / minus
    return (right**2 * gamma(2 / plus) / plus - left**2 * gamma(2 / minus) / minus) / area


def _groups(lines: Sequence[LampLine], closest_nm: float) -> list[list[LampLine]]:
    """Lines in groups: neighbours closer than ``closest_nm`` cannot be told apart and keep their intensities' ratio."""
    groups: list[list[LampLine]] = []
    for line in sorted(lines, key=lambda one: one.vacuum_nm):
        if groups and line.vacuum_nm - groups[-1][-1].vacuum_nm < closest_nm:
            groups[-1].append(line)
        else:
            groups.append([line])
    return groups


def _columns(x: FloatArray, shape: FloatArray, groups: list[list[LampLine]], main: LampLine) -> FloatArray:
    """Columns of the linear model (n, groups + 2): each group of lines (its strongest with top 1), the background."""
    top = shape[0] - super_gaussian_centroid_nm(*shape[1:])
    columns = []
    for group in groups:
        most = max(line.relative_intensity for line in group)
        lit = [
            line.relative_intensity / most * super_gaussian(x - top - (line.vacuum_nm - main.vacuum_nm), *shape[1:])
            for line in group
        ]
        columns.append(np.sum(lit, axis=0))
    middle = (x - x.mean()) / np.ptp(x)
    return np.stack([*columns, *(middle**power for power in range(BACKGROUND_TERMS))], axis=1)


def _peak(
    x: FloatArray, y: FloatArray, line: LampLine, tolerance_nm: float, saturation_counts: float
) -> tuple[float, float, float]:
    """Position, height above the background and width at half maximum of the peak near ``line`` [nm, counts, nm]."""
    where = f"near {line.vacuum_nm:.2f} nm ({line.name})"
    near = np.abs(x - line.vacuum_nm) <= tolerance_nm
    if not near[1:-1].any() or not x[0] + tolerance_nm < line.vacuum_nm < x[-1] - tolerance_nm:
        raise ValueError(
            f"the line {where} lies at the edge or outside: the spectrum covers {x[0]:.1f} to {x[-1]:.1f} nm"
        )
    inner = np.flatnonzero(near[1:-1]) + 1
    summits = inner[(y[inner] >= y[inner - 1]) & (y[inner] >= y[inner + 1])]
    surroundings = y[np.abs(x - line.vacuum_nm) <= 5.0]
    base = float(np.quantile(surroundings, 0.1))
    at = int(summits[np.argmax(y[summits])]) if summits.size else -1
    if at < 0 or y[at] - base <= max(MINIMUM_SIGNAL_TO_NOISE * pixel_noise(y), 0.0):
        raise ValueError(f"no line stands out of the noise {where}")
    half = (y[at] + base) / 2
    below = np.flatnonzero(y < half)
    left, right = below[below < at], below[below > at]
    if not (left.size and right.size):
        raise ValueError(f"the line {where} lies at the edge of the spectrum")
    ends = [np.interp(half, y[[i, j]], x[[i, j]]) for i, j in ((left[-1], left[-1] + 1), (right[0], right[0] - 1))]
    if (y[left[-1] : right[0] + 1] >= saturation_counts).any():
        raise ValueError(f"the line {where} is saturated: expose the lamp for a shorter time")
    if right[0] - left[-1] < MINIMUM_FWHM_PX:
        raise ValueError(f"the line {where} is too narrow: fewer than {MINIMUM_FWHM_PX} pixels across half its height")
    return float(x[at]), float(y[at] - base), float(ends[1] - ends[0])


def fit_lamp_line(
    wavelengths_nm: npt.ArrayLike,
    counts: npt.ArrayLike,
    near_nm: float,
    *,
    lines: Sequence[LampLine] = HG_LINES,
    tolerance_nm: float = 0.5,
    half_window_fwhm: float = 3.0,
    saturation_counts: float = np.inf,
    noise_counts: npt.ArrayLike | None = None,
) -> LampFit:
    """Return the line shape from the line of ``lines`` nearest to ``near_nm`` (vacuum) in a lamp spectrum (N,).

    ``counts`` are dark-corrected (``saturation_counts`` on the same scale). The line, a straight background and all
    listed neighbours within the window of ``half_window_fwhm`` full widths on either side are fitted together: one
    shape for all (see ``super_gaussian``), distances as listed, intensities free where lines are further
    apart than 0.4 FWHM, else in their listed ratio. ``noise_counts`` is 1 sigma of a pixel, scalar or (N,): it weighs
    the fit, and uncertainties grow with reduced chi-squared above 1. Without it they come from the residuals
    themselves and hold for noise that differs from pixel to pixel (MacKinnon & White 1985, HC3). Raises ValueError
    where there is no such line, or it is saturated, at the edge, too narrow for the pixels, blended with a line that
    is not in the list, or does not determine its shape.
    """
    x, y = checked_spectrum(wavelengths_nm, counts)
    noise = None if noise_counts is None else np.broadcast_to(np.asarray(noise_counts, np.float64), x.shape)
    keep = np.isfinite(y)
    if noise is not None:
        if not (noise[keep] > 0).all():
            raise ValueError("noise_counts must be above zero in every pixel")
        noise = noise[keep]
    x, y = x[keep], y[keep]
    main = _choose(lines, near_nm, tolerance_nm)
    peak_nm, height, width = _peak(x, y, main, tolerance_nm, saturation_counts)
    shift = peak_nm - main.vacuum_nm

    def fit(width: float, start: FloatArray | None) -> _Solution:
        inside = np.abs(x - peak_nm) <= half_window_fwhm * width
        if (y[inside] >= saturation_counts).any():
            raise ValueError(f"a line beside the one near {main.vacuum_nm:.2f} nm ({main.name}) is saturated")
        reach = (half_window_fwhm + 1) * width
        groups = [
            group
            for group in _groups(lines, 0.4 * width)
            if any(abs(line.vacuum_nm - main.vacuum_nm) < reach for line in group)
        ]
        listed = np.array([line.vacuum_nm + shift for group in groups for line in group])
        _refuse_unlisted(x[inside], y[inside], listed, height, tolerance_nm / 2, main)
        weights = None if noise is None else noise[inside]
        return _Solution.of(x[inside], y[inside], weights, groups, main, (peak_nm, width), start)

    # What is seen at half height may be two lines: a second round begins with the shape that the first one found.
    first = fit(width, None)
    return fit(float(first.shape[1]), first.shape).result(height)


def _refuse_unlisted(
    x: FloatArray, y: FloatArray, listed_nm: FloatArray, height: float, apart_nm: float, main: LampLine
) -> None:
    """Raise ValueError where the window has a summit that is none of the lines."""
    from scipy.signal import find_peaks  # slow to import; seldom needed

    summits = find_peaks(y, prominence=max(8 * pixel_noise(y), 0.03 * height))[0]
    for position in x[summits]:
        if np.abs(listed_nm - position).min() > apart_nm:
            raise ValueError(
                f"the line near {main.vacuum_nm:.2f} nm ({main.name}) is blended with one at {position:.2f} nm, which "
                "is not listed: choose another line, or list it"
            )


def _choose(lines: Sequence[LampLine], near_nm: float, tolerance_nm: float) -> LampLine:
    if not lines:
        raise ValueError("no lines are given")
    nearest = min(lines, key=lambda one: abs(one.vacuum_nm - near_nm))
    if abs(nearest.vacuum_nm - near_nm) > max(tolerance_nm, 0.5):
        known = ", ".join(f"{one.vacuum_nm:.2f}" for one in lines)
        raise ValueError(f"no line is listed near {near_nm} nm; listed are {known}")
    multiplet = [one for one in lines if abs(one.vacuum_nm - nearest.vacuum_nm) < 0.1]
    return max(multiplet, key=lambda one: one.relative_intensity)


@dataclass(frozen=True, slots=True)
class _Solution:
    """A fit in hand: the window, its columns, and the parameters (shape, linear ones) with their covariance."""

    x: FloatArray
    y: FloatArray
    groups: list[list[LampLine]]
    main: LampLine
    shape: FloatArray
    linear: FloatArray
    covariance: FloatArray

    @classmethod
    def of(
        cls,
        x: FloatArray,
        y: FloatArray,
        noise: FloatArray | None,
        groups: list[list[LampLine]],
        main: LampLine,
        peak: tuple[float, float],
        start: FloatArray | None,
    ) -> "_Solution":
        """Fit by variable projection (Golub & Pereyra 1973) from ``start``, or where that is None from ``peak``
        (position, width [nm]) with two widths, the better of which counts.
        """
        peak_nm, width = peak
        weight = np.ones_like(y) if noise is None else 1 / noise
        scale = float(np.ptp(y)) if noise is None else 1.0
        free = _SHAPE + len(groups) + BACKGROUND_TERMS
        if x.size < free + 3:
            raise ValueError(
                f"the line near {main.vacuum_nm:.2f} nm is too narrow: {x.size} pixels for {free} unknowns"
            )

        def solve(shape: FloatArray) -> tuple[FloatArray, FloatArray]:
            columns = _columns(x, shape, groups, main) * weight[:, None]
            linear = np.asarray(np.linalg.lstsq(columns, y * weight, rcond=None)[0], np.float64)
            return linear, np.asarray((columns @ linear - y * weight) / scale, np.float64)

        def misfit(sides: FloatArray) -> FloatArray:
            return solve(_from_sides(sides))[1]

        # The exponents of the two sides are fitted, as both must be positive.
        low = np.array([peak_nm - 0.6 * width, 0.15 * width, 0.5, -0.9, 0.5])
        high = np.array([peak_nm + 0.6 * width, 2.5 * width, 14.0, 0.9, 14.0])
        if start is not None:
            starts = [np.array([start[0], start[1], start[2] + start[4], start[3], start[2] - start[4]])]
        else:
            starts = [np.array([peak_nm, part * width, 2.0, 0.0, 2.0]) for part in (1.0, 0.55)]
        fits = [
            least_squares(
                misfit,
                np.clip(first, low + 1e-3 * (high - low), high - 1e-3 * (high - low)),
                bounds=(low, high),
                x_scale=np.array([0.1 * width, width, 1.0, 0.3, 1.0]),
                method="trf",
                max_nfev=300,
            )
            for first in starts
        ]
        best = min(fits, key=lambda one: float(one.cost))
        shape = _from_sides(np.asarray(best.x, np.float64))
        where = f"the line near {main.vacuum_nm:.2f} nm ({main.name})"
        if not best.success:
            raise ValueError(f"the fit of {where} did not converge")
        at_bound = (np.minimum(best.x - low, high - best.x) < 1e-6).any()
        if at_bound or (shape[2:] < _LOWER).any() or (shape[2:] > _UPPER).any():
            raise ValueError(
                f"{where} does not determine its shape: FWHM {shape[1]:.3f} nm, exponent {shape[2]:.2f} and "
                f"asymmetries {shape[3]:.2f} and {shape[4]:.2f} reach the bounds of the fit"
            )
        linear, _ = solve(shape)
        covariance = _covariance(x, y, weight, shape, linear, groups, main, noise is not None)
        if not np.isfinite(covariance).all():
            raise ValueError(f"{where} does not determine its shape: an uncertainty is infinite")
        return cls(x, y, groups, main, shape, linear, covariance)

    def result(self, height: float) -> LampFit:
        """The fit as a record; raises ValueError where it does not describe what was measured."""
        columns = _columns(self.x, self.shape, self.groups, self.main)
        residual = self.y - columns @ self.linear
        own = next(i for i, group in enumerate(self.groups) if self.main in group)
        top = float(self.linear[own])
        worst = int(np.argmax(np.abs(residual)))
        if top <= 0 or abs(residual[worst]) > MAXIMUM_MISFIT * max(top, height):
            raise ValueError(
                f"the line near {self.main.vacuum_nm:.2f} nm ({self.main.name}) is not one line: it is blended with "
                f"another that is not listed, or distorted; {abs(residual[worst]) / max(top, height):.0%} of its "
                f"height is left at {self.x[worst]:.2f} nm"
            )
        centroid, fwhm = float(self.shape[0]), float(self.shape[1])
        wings = np.abs(self.x - centroid) > 1.5 * fwhm
        scatter = float(np.std(residual[wings])) if wings.sum() > 2 else float(np.std(residual))
        sigma = np.sqrt(np.diag(self.covariance))
        # The measured shape of one line: all the rest of the model subtracted.
        alone = _columns(self.x, self.shape, [[self.main]], self.main)[:, 0]
        share = self.main.relative_intensity / max(line.relative_intensity for line in self.groups[own])
        measured = alone * top * share + residual
        table = _table(self.x - centroid, measured, fwhm)
        return LampFit(
            line=self.main,
            centroid_nm=centroid,
            centroid_uncertainty_nm=float(sigma[0]),
            wavelength_error_nm=centroid - self.main.vacuum_nm,
            fwhm_nm=fwhm,
            fwhm_uncertainty_nm=float(sigma[1]),
            exponent=float(self.shape[2]),
            exponent_uncertainty=float(sigma[2]),
            width_asymmetry=float(self.shape[3]),
            width_asymmetry_uncertainty=float(sigma[3]),
            exponent_asymmetry=float(self.shape[4]),
            exponent_asymmetry_uncertainty=float(sigma[4]),
            peak_counts=top * share,
            signal_to_noise=top * share / scatter if scatter > 0 else np.inf,
            residual_rms=float(np.sqrt(np.mean(residual**2))) / top,
            other_lines=tuple(line for group in self.groups for line in group if line != self.main),
            table_offsets_nm=table[0],
            table_response=table[1],
        )


def _from_sides(sides: FloatArray) -> FloatArray:
    """Centroid, FWHM, exponent and asymmetries from centroid, FWHM, exponent, width asymmetry, other exponent."""
    plus, minus = sides[2], sides[4]
    return np.array([sides[0], sides[1], (plus + minus) / 2, sides[3], (plus - minus) / 2])


def _table(offsets: FloatArray, values: FloatArray, fwhm: float) -> tuple[FloatArray, FloatArray]:
    """What was measured, cut to even reach on both sides of the centroid (ends by straight lines), area 1."""
    reach = min(-float(offsets[0]), float(offsets[-1]), _TABLE_HALF_WIDTH_FWHM * fwhm)
    inner = np.abs(offsets) < reach
    at = np.concatenate([[-reach], offsets[inner], [reach]])
    response = np.interp(at, offsets, values)
    return at, response / float(np.trapezoid(response, at))


def _covariance(
    x: FloatArray,
    y: FloatArray,
    weight: FloatArray,
    shape: FloatArray,
    linear: FloatArray,
    groups: list[list[LampLine]],
    main: LampLine,
    noise_is_known: bool,
) -> FloatArray:
    """Covariance of shape and linear parameters; infinite where they are not determined."""
    columns = _columns(x, shape, groups, main)
    jacobian = np.empty((x.size, _SHAPE + linear.size))
    for i in range(_SHAPE):
        step = np.zeros(_SHAPE)
        step[i] = 1e-5
        up, down = (_columns(x, shape + sign * step, groups, main) @ linear for sign in (1, -1))
        jacobian[:, i] = (up - down) / 2e-5
    jacobian[:, _SHAPE:] = columns
    jacobian *= weight[:, None]
    size = np.linalg.norm(jacobian, axis=0)
    if not (size > 0).all() or np.linalg.cond(jacobian / size) > 1e8:
        return np.full((size.size, size.size), np.inf)
    inverse = np.linalg.inv((jacobian / size).T @ (jacobian / size)) / np.outer(size, size)
    residual = (y - columns @ linear) * weight
    if noise_is_known:
        return np.asarray(inverse * max(1.0, float(residual @ residual) / (x.size - size.size)), np.float64)
    leverage = np.einsum("ij,jk,ik->i", jacobian, inverse, jacobian)
    spread = (residual / np.maximum(1 - leverage, 0.05)) ** 2
    return np.asarray(inverse @ (jacobian.T * spread) @ jacobian @ inverse, np.float64)
