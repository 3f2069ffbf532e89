"""What is fitted: the forward model of a spectrum, built once for many spectra."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.results import IntArray
from so2cam.core.spectrometer import Fit, LineShapeSettings, Window
from so2cam.science.spectra.line_shape import (
    SHAPE_PARAMETERS,
    full_width_half_maximum_nm,
    measured_shape,
    shape_scales,
)
from so2cam.science.spectra.table import SpectralTable

DILUTION_WAVELENGTH_NM = 310.0
"""The wavelength that the share of diluting light belongs to."""
START_O3_MOLEC_CM2 = 1e19
START_RING = 0.1
START_SO2_MOLEC_CM2 = 1e18
"""where light dilution is fitted; else none"""
LOWEST_DILUTION, HIGHEST_DILUTION = -1.0, 0.995


class Problem(NamedTuple):
    """A fit's constants: G points of the model's grid, N pixels, A absorbers besides SO2, B + O linear parameters."""

    step_nm: float
    solar: FloatArray
    """(G,)"""
    absorbers: FloatArray
    """(1 + A, G) [cm2], SO2 first"""
    rayleigh: FloatArray
    """(G,) (310 nm / wavelength)^4"""
    powers: FloatArray
    """(B, G) of the background polynomial"""
    pixels: FloatArray
    """(N,) positions on the grid, in steps from its first point"""
    distance_nm: FloatArray
    """(N,) wavelength minus the window's centre"""
    offsets: FloatArray
    """(O, N) powers of the offset polynomial"""
    offset_light: FloatArray
    """(O, G) the same on the grid where the model ends within the line shape's reach, else (0, G)"""
    log_distance: FloatArray
    """(K + 1,) ln(j step) for j = 0..K, K being the largest half width of the line shape; entry 0 is not used"""
    table: FloatArray
    """(2 K + 1,) a fixed line shape by wavelength offset of its source, or empty"""
    shifts: int
    """coefficients of the shift polynomial"""
    free: IntArray
    """(F,) which of ``q`` are fitted, rising"""
    lower: FloatArray
    upper: FloatArray
    """(Q,) bounds"""
    evaluations: int
    """at most, of the model"""


@dataclass(frozen=True, slots=True)
class FitTables:
    """The reference spectra: cross sections [cm2 per molecule], sunlight in any unit, Ring relative.

    ``line_shape`` is a measured one, needed where the settings ask for a file and ignored elsewhere. All
    wavelengths are of one standard (vacuum).
    """

    solar: SpectralTable
    so2: SpectralTable
    o3: tuple[SpectralTable, ...] = ()
    no2: SpectralTable | None = None
    ring: SpectralTable | None = None
    line_shape: SpectralTable | None = None

    def absorbers(self) -> dict[str, SpectralTable]:
        """Absorbers by the name of their parameter, SO2 first."""
        found = {"so2": self.so2}
        for n, table in enumerate(self.o3):
            found["o3" if n == 0 else f"o3_{n + 1}"] = table
        if self.no2 is not None:
            found["no2"] = self.no2
        if self.ring is not None:
            found["ring"] = self.ring
        return found


@dataclass(frozen=True, slots=True)
class FitModel:
    """A fit that is ready for spectra of a detector of ``detector_pixels`` pixels.

    ``names`` (P,) are the fitted parameters; ``start``, ``lower`` and ``upper`` (P,) go with them (the linear ones,
    background and offset, need no start). ``window`` tells the pixels that are fitted and ``wavelengths_nm`` (Nw,)
    their nominal wavelengths. ``shift_1`` (the stretch) is per nm from ``centre_nm``; the coefficients of background
    and offset are in counts, of powers of (wavelength - centre_nm) / ``half_width_nm``.
    """

    names: tuple[str, ...]
    start: FloatArray
    lower: FloatArray
    upper: FloatArray
    window: slice
    detector_pixels: int
    wavelengths_nm: FloatArray
    centre_nm: float
    half_width_nm: float
    light_dilution: float
    problem: Problem = field(repr=False)
    coarse: Problem = field(repr=False)
    """The same on a wider grid, for the first steps"""
    full_start: FloatArray = field(repr=False)
    """(Q,) start of all nonlinear parameters, fixed ones included"""
    order: IntArray = field(repr=False)
    """(P,) where the core keeps each parameter: linear ones first, then the free ones"""

    @property
    def so2(self) -> int:
        """Index of the SO2 column in ``names``."""
        return self.names.index("so2")

    def dilutions(self, light_dilution: npt.ArrayLike | None, spectra: int) -> FloatArray:
        """Return the held share of diluting light of each spectrum (M,): the one given, or that of the model.

        Raises ValueError for a share of 1 or more, and for one given where it is fitted.
        """
        if light_dilution is None:
            return np.full(spectra, self.light_dilution)
        if "light_dilution" in self.names:
            raise ValueError("light_dilution is fitted here and cannot be given too; give it in start")
        dilution = np.array(np.broadcast_to(np.asarray(light_dilution, dtype=np.float64), (spectra,)))
        if not (dilution < 1).all():
            raise ValueError("the share of diluting light must be below 1")
        return dilution


def window_pixels(pixel_wavelengths_nm: FloatArray, window_nm: Window) -> slice:
    """Return the pixels strictly within ``window_nm``.

    Raises ValueError where wavelengths (N,) do not increase strictly or do not cover the window.
    """
    x = pixel_wavelengths_nm
    if x.ndim != 1 or x.size < 2 or not np.isfinite(x).all() or not (np.diff(x) > 0).all():
        raise ValueError("the wavelengths of the pixels must be finite and increase strictly")
    if x[0] > window_nm[0] or x[-1] < window_nm[1]:
        raise ValueError(
            f"the fit window {window_nm[0]:g} to {window_nm[1]:g} nm lies outside the spectrum, which covers "
            f"{x[0]:.2f} to {x[-1]:.2f} nm; choose another window"
        )
    first = int(np.searchsorted(x, window_nm[0], side="right"))
    return slice(first, int(np.searchsorted(x, window_nm[1], side="left")))


def build_fit(
    pixel_wavelengths_nm: FloatArray,
    *,
    fit: Fit,
    line_shape: LineShapeSettings,
    tables: FitTables,
    window_nm: Window | None = None,
    light_dilution: float = 0.0,
    fit_light_dilution: bool = False,
) -> FitModel:
    """Build the fit for spectra at ``pixel_wavelengths_nm`` (N,), in the window of ``fit`` or in ``window_nm``.

    The model is that of Esse 2020 with light dilution (Varnam 2020),
    ``F = I0 P exp(-sum a_i s_i) [l + (1 - l) exp(-a_SO2 s_SO2)]`` with ``l = 1 - (1 - LDF)^((310/wavelength)^4)``,
    convolved with the line shape, plus an offset polynomial, at shifted wavelengths. ``light_dilution`` is the LDF,
    held or, with ``fit_light_dilution``, where it starts.

    Raises ValueError where the window lies outside the spectrum or a table does not cover it, where fewer pixels than
    parameters are left, and where a measured line shape is asked for but not given.
    """
    window = window_nm or fit.window_nm
    pixels = window_pixels(pixel_wavelengths_nm, window)
    wavelengths = np.ascontiguousarray(pixel_wavelengths_nm[pixels], dtype=np.float64)
    if not light_dilution < 1:
        raise ValueError(f"the share of diluting light must be below 1, found {light_dilution}")
    centre, half_width = 0.5 * (window[0] + window[1]), 0.5 * (window[1] - window[0])
    absorbers = tables.absorbers()
    names = list(absorbers)
    start = [START_O3_MOLEC_CM2 if n == "o3" else START_RING if n == "ring" else 0.0 for n in names]
    bounds = [(-np.inf, np.inf)] * len(names)
    for n in range(fit.shift_order + 1):
        names.append(f"shift_{n}")
        start.append(0.0)
        bounds.append((-fit.maximum_shift_nm / half_width**n, fit.maximum_shift_nm / half_width**n))
    for name in SHAPE_PARAMETERS:
        names.append(name)
        start.append(float(getattr(line_shape, "width_nm" if name == "width" else name)))
    shape_scales(*start[-4:])
    bounds += [(line_shape.width_nm / 4, line_shape.width_nm * 2), (0.8, 12.0), (-0.9, 0.9), (-2.0, 2.0)]
    if fit_light_dilution:  # without SO2 nothing would tell the dilution
        start[0] = START_SO2_MOLEC_CM2
    names.append("light_dilution")
    start.append(light_dilution)
    bounds.append((LOWEST_DILUTION, HIGHEST_DILUTION))
    varied = (() if line_shape.source == "file" else line_shape.fit) + (
        ("light_dilution",) if fit_light_dilution else ()
    )
    fixed = {*SHAPE_PARAMETERS, "light_dilution"} - set(varied)
    free = np.array([n for n, name in enumerate(names) if name not in fixed], dtype=np.int64)
    lower, upper = (np.array([bound[side] for bound in bounds]) for side in (0, 1))

    linear = [f"background_{n}" for n in range(fit.background_order + 1)]
    linear += [f"offset_{n}" for n in range(fit.offset_order + 1)]
    free_names = [names[n] for n in free]
    public = sorted(linear + free_names, key=lambda name: _place(name, names, linear))
    if wavelengths.size <= len(public):
        raise ValueError(
            f"the window {window[0]:g} to {window[1]:g} nm holds {wavelengths.size} pixels, too few for "
            f"{len(public)} parameters; widen it or fit less"
        )
    geometry = _Geometry(window, wavelengths, centre, half_width)
    problem = _problem(geometry, fit, line_shape, tables, free, lower, upper)
    full_start = np.array(start)
    where = {name: n for n, name in enumerate(linear + free_names)}
    limits = {name: (lower[n], upper[n], full_start[n]) for n, name in enumerate(names)}
    rows = np.array([limits.get(name, (-np.inf, np.inf, np.nan)) for name in public])
    return FitModel(
        names=tuple(public),
        start=rows[:, 2],
        lower=rows[:, 0],
        upper=rows[:, 1],
        window=pixels,
        detector_pixels=int(pixel_wavelengths_nm.size),
        wavelengths_nm=wavelengths,
        centre_nm=centre,
        half_width_nm=half_width,
        light_dilution=light_dilution,
        problem=problem,
        coarse=_thinned(problem, geometry, fit, line_shape, tables),
        full_start=full_start,
        order=np.array([where[name] for name in public], dtype=np.int64),
    )


def _place(name: str, nonlinear: list[str], linear: list[str]) -> tuple[int, int]:
    """Absorbers, background, offset, shift, line shape, dilution."""
    if name in linear:
        return 1, linear.index(name)
    return (2 if name.startswith("shift") or name in {*SHAPE_PARAMETERS, "light_dilution"} else 0), nonlinear.index(
        name
    )


class _Geometry(NamedTuple):
    window_nm: Window
    wavelengths_nm: FloatArray
    centre_nm: float
    half_width_nm: float


def _problem(
    geometry: _Geometry,
    fit: Fit,
    line_shape: LineShapeSettings,
    tables: FitTables,
    free: IntArray,
    lower: FloatArray,
    upper: FloatArray,
) -> Problem:
    """The fit's constants on the grid of the settings."""
    window, wavelengths, centre, half_width = geometry
    step = fit.model_spacing_nm
    fixed_shape, reach = _shape_on_grid(fit, line_shape, tables, step)
    moved = fit.maximum_shift_nm if fit.shift_order >= 0 else 0.0
    pad = int(np.ceil((max(fit.model_padding_nm, reach * step) + moved) / step)) + 12
    grid = window[0] + step * (np.arange(round(2 * half_width / step) + 1 + 2 * pad, dtype=np.float64) - pad)
    solar = tables.solar.at(grid, fit.interpolation)
    scaled, scaled_pixels = (grid - centre) / half_width, (wavelengths - centre) / half_width
    # With a measured shape the model ends where the settings say, as it does in existing software.
    within = np.ones(grid.size)
    if fixed_shape.size:
        within[(grid < window[0] - fit.model_padding_nm - 0.5 * step)] = 0.0
        within[(grid > window[1] + fit.model_padding_nm + 0.5 * step)] = 0.0
    ends = fit.offset_order + 1 if reach * step + moved > fit.model_padding_nm and fixed_shape.size else 0
    sections = [table.at(grid, fit.interpolation) for table in tables.absorbers().values()]
    return Problem(
        step_nm=step,
        solar=np.ascontiguousarray(within * solar / np.mean(solar)),
        absorbers=np.ascontiguousarray(sections),
        rayleigh=(DILUTION_WAVELENGTH_NM / grid) ** 4,
        powers=np.ascontiguousarray([scaled**n for n in range(fit.background_order + 1)]),
        pixels=(wavelengths - grid[0]) / step,
        distance_nm=wavelengths - centre,
        offsets=np.array([scaled_pixels**n for n in range(fit.offset_order + 1)]).reshape(-1, wavelengths.size),
        offset_light=np.array([within * scaled**n for n in range(ends)]).reshape(ends, grid.size),
        log_distance=np.log(step * np.maximum(np.arange(reach + 1), 1)),
        table=fixed_shape,
        shifts=fit.shift_order + 1,
        free=free,
        lower=lower,
        upper=upper,
        evaluations=fit.maximum_evaluations,
    )


def _shape_on_grid(
    fit: Fit, line_shape: LineShapeSettings, tables: FitTables, step_nm: float
) -> tuple[FloatArray, int]:
    """A measured line shape (or an empty array), and the largest half width of the line shape in steps."""
    if line_shape.source == "file":
        if tables.line_shape is None:
            raise ValueError("the line shape is to come from a file, but no such table is given")
        fixed = measured_shape(tables.line_shape, step_nm, fit.interpolation)
        return fixed, (fixed.size - 1) // 2
    return np.empty(0), int(np.ceil(max(fit.model_padding_nm, 3 * line_shape.width_nm) / step_nm))


def _thinned(
    problem: Problem, geometry: _Geometry, fit: Fit, line_shape: LineShapeSettings, tables: FitTables
) -> Problem:
    """The same model on a grid of means over some steps, at most a thirteenth of the line's width apart."""
    width = line_shape.width_nm
    if problem.table.size:
        offsets = problem.step_nm * np.arange(problem.table.size, dtype=np.float64)
        width = full_width_half_maximum_nm(offsets, problem.table)
    times = int(width / 13 / problem.step_nm) if np.isfinite(width) else 1
    if times < 2:
        return problem
    step = times * problem.step_nm
    count = problem.solar.size // times
    fixed_shape, reach = _shape_on_grid(fit, line_shape, tables, step)

    def mean(values: FloatArray) -> FloatArray:
        parts = values[..., : count * times].reshape(*values.shape[:-1], count, times)
        return np.ascontiguousarray(parts.mean(axis=-1))

    return problem._replace(
        step_nm=step,
        solar=mean(problem.solar),
        absorbers=mean(problem.absorbers),
        rayleigh=mean(problem.rayleigh),
        offset_light=mean(problem.offset_light),
        powers=mean(problem.powers),
        pixels=(problem.pixels - 0.5 * (times - 1)) / times,
        log_distance=np.log(step * np.maximum(np.arange(reach + 1), 1)),
        table=fixed_shape,
        evaluations=min(problem.evaluations, 30),
    )
