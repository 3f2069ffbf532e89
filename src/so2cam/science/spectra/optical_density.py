"""The classic fit of optical density, ln(clear / plume), with cross sections that follow the column.

A cross section convolved once saturates: at high columns the measured optical density is no longer proportional to
it (the I0 and saturation effects, Platt & Stutz 2008), and columns come out 13 to 30 % low. Here the
optical density of SO2 is computed at each step for the column that was reached,

    tau(a) = -ln[ (I e^(-a s) * G) / (I * G) ],    I: sunlight behind ozone, * G: convolved with the line shape,

so that the fit is right from none to any column that leaves light. Where the plume's spectrum lies at other pixels than
the clear one, solar lines do not cancel: the shift moves the clear spectrum too, by the ratio of its own fit there and
here.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from so2cam.core.records import FloatArray
from so2cam.core.spectra import FitStatus
from so2cam.core.spectrometer import Fit, LineShapeSettings, Window
from so2cam.science.spectra.fit import FitResult, fit_spectra, window_counts
from so2cam.science.spectra.forward import model_spectra
from so2cam.science.spectra.line_shape import SHAPE_PARAMETERS, measured_shape, super_gaussian
from so2cam.science.spectra.model import START_O3_MOLEC_CM2, FitModel, FitTables, build_fit

POOR = 0.05
"""A residual optical density larger than this is doubted, and other shifts are tried."""
OTHER_SHIFTS = (0.2, -0.2, 0.4, -0.4, 0.6, -0.6)
"""of the largest one"""
SUSPECT = 2.0
"""A fit that ended well is doubted where another start came to a residual of this many times fewer squares."""
STEP_NM = 1e-3
"""for the derivative of the clear spectrum by the shift"""
TOLERANCE = 1e-7
"""A fit has converged when the next step would lower chi-squared by less than this share."""
EXACT = 1e-16
"""The same as a sum of squares of optical density, for spectra without noise."""


@dataclass(frozen=True, slots=True)
class OpticalDensityModel:
    """A fit of optical densities, ready for spectra of the same instrument as its clear spectrum.

    ``names`` (P,): the absorbers, the polynomial (``background_0`` and on, of powers of the wavelength scaled to -1
    to 1 in the window) and, where it is fitted, ``shift_0`` [nm]. ``clear`` (Nw,) is the clear spectrum in the window.
    """

    names: tuple[str, ...]
    intensity: FitModel
    """The fit that gave the clear spectrum's shift, stretch and line shape; it knows the window."""
    clear: FloatArray
    shift_nm: float
    fitted: FloatArray = field(repr=False)
    """(P',) of the clear spectrum's own fit"""
    maximum_shift_nm: float
    maximum_evaluations: int
    true_wavelengths_nm: FloatArray = field(repr=False)
    grid_nm: FloatArray = field(repr=False)
    light: FloatArray = field(repr=False)
    plain: FloatArray = field(repr=False)
    """``light`` as the instrument sees it"""
    kernel: FloatArray = field(repr=False)
    section: FloatArray = field(repr=False)
    others: CubicSpline = field(repr=False)
    powers: FloatArray = field(repr=False)


def build_optical_density(
    pixel_wavelengths_nm: FloatArray,
    clear: FloatArray,
    *,
    fit: Fit,
    line_shape: LineShapeSettings,
    tables: FitTables,
    window_nm: Window | None = None,
) -> OpticalDensityModel:
    """Build the fit from a ``clear`` spectrum (N,) without SO2, dark and stray light removed.

    The clear spectrum is first fitted in intensity, which gives the instrument's shift and, where the settings say so,
    its line shape. Raises ValueError where that fails, where the clear spectrum is not positive throughout the
    window, and as ``build_fit`` does.
    """
    intensity = build_fit(pixel_wavelengths_nm, fit=fit, line_shape=line_shape, tables=tables, window_nm=window_nm)
    row = window_counts(intensity, clear, "the clear spectrum")[0]
    if not (np.isfinite(row).all() and (row > 0).all()):
        raise ValueError("the clear spectrum must be positive throughout the fit window; check its dark and window")
    found = fit_spectra(intensity, row)
    if not found.ok[0]:
        meaning = FitStatus(int(found.status[0])).name
        raise ValueError(f"the clear spectrum could not be fitted ({meaning}); choose another one or another window")
    fitted = dict(zip(found.names, found.values[0], strict=True))
    distance = intensity.wavelengths_nm - intensity.centre_nm
    wavelengths = intensity.wavelengths_nm.copy()
    for n in range(fit.shift_order + 1):
        wavelengths += fitted[f"shift_{n}"] * distance**n

    step = fit.model_spacing_nm
    if tables.line_shape is not None and line_shape.source == "file":
        kernel = measured_shape(tables.line_shape, step, fit.interpolation)
    else:
        settings = (line_shape.width_nm, line_shape.exponent, line_shape.width_asymmetry, line_shape.exponent_asymmetry)
        shape = [float(fitted.get(name, value)) for name, value in zip(SHAPE_PARAMETERS, settings, strict=True)]
        half = int(3 * shape[0] / step) + 1
        kernel = super_gaussian(step * np.arange(-half, half + 1, dtype=np.float64), *shape)
        kernel /= kernel.sum()
    half = (kernel.size - 1) // 2
    margin = (half + 4) * step + fit.maximum_shift_nm
    grid = np.arange(wavelengths[0] - margin, wavelengths[-1] + margin + step, step)
    light = tables.solar.at(grid, fit.interpolation)
    absorbers = tables.absorbers()
    if "o3" in absorbers:
        light = light * np.exp(-START_O3_MOLEC_CM2 * absorbers["o3"].at(grid, fit.interpolation))
    light = light / np.mean(light)
    plain = np.convolve(light, kernel, "same")
    section = absorbers.pop("so2").at(grid, fit.interpolation)
    effective = [np.convolve(light * t.at(grid, fit.interpolation), kernel, "same") / plain for t in absorbers.values()]
    others = CubicSpline(grid, np.array(effective).reshape(len(effective), grid.size).T)
    scaled = distance / intensity.half_width_nm
    shifted = "shift_0" in found.names
    names = ("so2", *absorbers, *(f"background_{n}" for n in range(fit.background_order + 1)))
    return OpticalDensityModel(
        names=(*names, "shift_0") if shifted else names,
        intensity=intensity,
        clear=row,
        shift_nm=float(fitted["shift_0"]) if shifted else 0.0,
        fitted=found.values[0],
        maximum_shift_nm=fit.maximum_shift_nm if shifted else 0.0,
        maximum_evaluations=fit.maximum_evaluations,
        true_wavelengths_nm=wavelengths,
        grid_nm=grid,
        light=light,
        plain=plain,
        kernel=kernel,
        section=section,
        others=others,
        powers=np.vander(scaled, fit.background_order + 1, increasing=True),
    )


def fit_optical_density(
    model: OpticalDensityModel, counts: npt.ArrayLike, *, mask: npt.ArrayLike | None = None
) -> FitResult:
    """Fit ln(clear / plume) of spectra ``counts`` (M, N) or (M, Nw); ``mask`` is True where a pixel counts.

    Gauss-Newton on the column (see above), ozone, Ring, the polynomial and, where the settings have one, a shift.
    Pixels are weighted as photon noise of both spectra asks for; pixels that are not positive never count. The
    uncertainties come from the covariance scaled by the residual's variance. ``chi2`` is the weighted sum of squares of
    the residual optical density, ``residual_rms`` its root mean square and ``model`` the modelled counts. Statuses as
    of ``fit_spectra``. Raises ValueError for wrong shapes.
    """
    data = window_counts(model.intensity, counts, "counts")
    use = np.isfinite(data) & (data > 0)
    if mask is not None:
        use &= np.broadcast_to(window_counts(model.intensity, mask, "mask") != 0, data.shape)
    spectra, size = data.shape[0], len(model.names)
    values, sigma = np.full((spectra, size), np.nan), np.full((spectra, size), np.nan)
    chi2, rms = np.full(spectra, np.nan), np.full(spectra, np.nan)
    evaluations, status = np.zeros(spectra, np.int64), np.zeros(spectra, np.int64)
    fitted = np.full(data.shape, np.nan)
    for m in range(spectra):
        one = _fit_best(model, data[m], use[m])
        chi2[m], rms[m], evaluations[m], status[m], fitted[m] = (
            one.chi2,
            one.rms,
            one.evaluations,
            one.status,
            one.model,
        )
        if one.status == FitStatus.OK:
            values[m], sigma[m] = one.values, one.sigma
    return FitResult(model.names, values, sigma, chi2, rms, evaluations, status, fitted)


def density_parts(model: OpticalDensityModel, values: npt.ArrayLike) -> dict[str, FloatArray]:
    """Return the optical density (Nw,) of each absorber, for parameters ``values`` (P,), ordered as its names."""
    row = dict(zip(model.names, np.asarray(values, np.float64), strict=True))
    shift = row["shift_0"] - model.shift_nm if "shift_0" in row else 0.0
    absorbers = [name for name in model.names[1:] if not name.startswith(("background", "shift"))]
    rest = model.others(model.true_wavelengths_nm + shift)
    parts = {"so2": _so2_density(model, row["so2"], shift)[0]}
    return parts | {name: np.asarray(rest[:, place] * row[name]) for place, name in enumerate(absorbers)}


@dataclass(slots=True)
class _One:
    values: FloatArray
    sigma: FloatArray
    chi2: float
    rms: float
    evaluations: int
    status: FitStatus
    model: FloatArray


def _so2_density(
    model: OpticalDensityModel, column: float, shift_nm: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Optical density (Nw,) of SO2 at a column, and its derivatives by column and wavelength."""
    left = model.light * np.exp(-column * model.section)
    passed = np.convolve(left, model.kernel, "same")
    density = -np.log(passed / model.plain)
    by_column = np.convolve(left * model.section, model.kernel, "same") / passed
    spline = CubicSpline(model.grid_nm, np.stack([density, by_column], axis=1))
    at = model.true_wavelengths_nm + shift_nm
    both = spline(at)
    return both[:, 0], both[:, 1], spline(at, 1)[:, 0]


def _moved_clear(model: OpticalDensityModel, shift_nm: float) -> tuple[FloatArray, FloatArray]:
    """Logarithm (Nw,) of the clear spectrum at a shift over that without it, and its derivative; NaN off the grid."""
    names = model.intensity.names
    if "shift_0" not in names:
        return np.zeros(model.clear.size), np.zeros(model.clear.size)
    rows = np.tile(model.fitted, (3, 1))
    rows[1:, names.index("shift_0")] += shift_nm + np.array([0.0, STEP_NM])
    light = model_spectra(model.intensity, rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        there = np.log(light[1] / light[0])
        return there, (np.log(light[2] / light[0]) - there) / STEP_NM


def _fit_best(model: OpticalDensityModel, counts: FloatArray, use: npt.NDArray[np.bool_]) -> _One:
    """Fit from the clear spectrum's shift and, where that ends badly, from others."""
    best = lowest = _fit_one(model, counts, use, 0.0)
    if best.status in (FitStatus.BAD_PIXELS, FitStatus.NO_INFORMATION) or model.maximum_shift_nm == 0:
        return best
    evaluations = best.evaluations
    for share in OTHER_SHIFTS:
        if best.status == FitStatus.OK and best.rms <= POOR:
            break
        one = _fit_one(model, counts, use, share * model.maximum_shift_nm - model.shift_nm)
        evaluations += one.evaluations
        if one.chi2 < lowest.chi2:
            lowest = one
        if one.status == FitStatus.OK and (best.status != FitStatus.OK or one.chi2 < best.chi2):
            best = one
    if best.chi2 > SUSPECT * lowest.chi2:
        best = lowest
    best.evaluations = evaluations
    return best


def _fit_one(model: OpticalDensityModel, counts: FloatArray, use: npt.NDArray[np.bool_], start_shift_nm: float) -> _One:
    size, shifted = len(model.names), model.maximum_shift_nm > 0
    absorbers = size - model.powers.shape[1] - shifted
    result = _One(
        np.zeros(size), np.full(size, np.nan), np.nan, np.nan, 0, FitStatus.NOT_CONVERGED, np.full(counts.size, np.nan)
    )
    if int(use.sum()) <= size:
        result.status = FitStatus.BAD_PIXELS
        return result
    safe = np.where(use, counts, model.clear)
    measured = np.log(model.clear / safe)
    weight = np.where(use, 1 / (1 / safe + 1 / model.clear), 0.0)
    root = np.sqrt(weight / weight[use].mean())
    values, last = np.zeros(absorbers + model.powers.shape[1] + 1), np.inf  # the shift is the last of them
    low, high = -model.maximum_shift_nm - model.shift_nm, model.maximum_shift_nm - model.shift_nm
    values[-1] = start_shift_nm
    while result.evaluations < model.maximum_evaluations:
        result.evaluations += 1
        column, shift = float(values[0]), float(values[-1])
        density, by_column, by_shift = _so2_density(model, column, shift)
        moved, moved_slope = _moved_clear(model, shift)
        at = model.true_wavelengths_nm + shift
        rest, rest_slope = model.others(at), model.others(at, 1)
        modelled = density + rest @ values[1:absorbers] + model.powers @ values[absorbers:-1] - moved
        jacobian = np.column_stack([by_column, rest, model.powers])
        if shifted:
            jacobian = np.column_stack([jacobian, by_shift + rest_slope @ values[1:absorbers] - moved_slope])
        residual = root * (measured - modelled)
        weighted = root[:, None] * jacobian
        if not (np.isfinite(residual).all() and np.isfinite(weighted).all()):
            result.status = FitStatus.NO_INFORMATION
            return result
        result.chi2 = float(residual @ residual)
        result.rms = float(np.sqrt(np.mean((measured - modelled)[use] ** 2)))
        result.model = model.clear * np.exp(-modelled)
        scale = np.sqrt(np.sum(weighted**2, axis=0))
        if not (scale > 0).all():
            result.status = FitStatus.NO_INFORMATION
            return result
        left, singular, right = np.linalg.svd(weighted / scale, full_matrices=False)
        if singular[-1] < 1e-6 * singular[0]:
            result.status = FitStatus.NO_INFORMATION
            return result
        projected = left.T @ residual
        degrees = int(use.sum()) - jacobian.shape[1]
        gain = float(projected @ projected)
        if gain <= max(TOLERANCE * result.chi2, EXACT) or abs(last - result.chi2) <= 1e-12 * result.chi2:
            variance = np.sum((right.T / singular) ** 2, axis=1) / scale**2 * result.chi2 / degrees
            result.values = values[:size].copy()
            result.sigma = np.sqrt(variance)
            result.status = FitStatus.OK
            if shifted:
                result.values[-1] += model.shift_nm
                if not low < values[-1] < high:
                    result.status = FitStatus.AT_BOUND
            if not (np.isfinite(result.sigma).all() and (result.sigma > 0).all()):
                result.status = FitStatus.NO_INFORMATION
            return result
        last = result.chi2
        step = right.T @ (projected / singular) / scale
        values[: step.size] += step
        values[-1] = min(max(values[-1], low), high)
    return result
