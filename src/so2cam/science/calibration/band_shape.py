"""Absorbance of an SO2 camera as a function of column density, from the spectra of light, filters and SO2.

A band-pass filter mixes wavelengths that SO2 absorbs differently. Each follows Beer and Lambert, their sum does not:
the strongly absorbed ones are gone first, and column per absorbance rises with the column (Kern 2013). The curve
follows from the filters, the light and the cross section; a calibration then needs to find its scale only.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.science.calibration.curve import BandShape

DEFAULT_MAXIMUM_COLUMN_MOLEC_CM2 = 1.5e19
"""End of the table of a shape: 6000 ppm m."""

_TABLE_POINTS = 80
_SMALLEST_COLUMN_MOLEC_CM2 = 1e15
"""Stands for no column at all where a ratio of columns is formed; absorbs about 3e-4."""

_EDGE_SHARE = 0.02
"""Light at the first or last wavelength, over that at the peak, above which a band is cut off."""


@dataclass(frozen=True, slots=True, eq=False)
class BandSpectra:
    """What decides over a camera's absorbance, on common ``wavelengths_nm`` (N,), strictly increasing.

    ``light``: spectrum of the sky as the sensor without filters would record it (solar x scattering x O3 x optics x
    quantum efficiency), any unit; ``filter_on``, ``filter_off``: transmissions; ``so2_cross_section``
    [cm2 molecule-1], all (N,). ``dilution_on``, ``dilution_off``: share of a band's clear-sky radiance that is
    scattered in between plume and camera and crosses no SO2 (0 to below 1; a number, or (N,)). Raises ValueError for
    other shapes, negative or not finite values, a filter that passes no light or is cut off by the wavelengths' end.
    """

    wavelengths_nm: FloatArray
    light: FloatArray
    filter_on: FloatArray
    filter_off: FloatArray
    so2_cross_section: FloatArray
    dilution_on: float | FloatArray = 0.0
    dilution_off: float | FloatArray = 0.0

    def __post_init__(self) -> None:
        wavelengths = np.asarray(self.wavelengths_nm, np.float64)
        if wavelengths.ndim != 1 or wavelengths.size < 3 or not (np.diff(wavelengths) > 0).all():
            raise ValueError("a band's wavelengths must be at least three, strictly increasing")
        for name in ("light", "filter_on", "filter_off", "so2_cross_section"):
            values = np.asarray(getattr(self, name), np.float64)
            if values.shape != wavelengths.shape:
                raise ValueError(f"{name} has the shape {values.shape}, the wavelengths {wavelengths.shape}")
            if not np.isfinite(values).all():
                raise ValueError(f"{name} has a value that is not finite")
            if name != "so2_cross_section" and (values < 0).any():
                raise ValueError(f"{name} has a negative value")
        for name in ("dilution_on", "dilution_off"):
            share = np.asarray(getattr(self, name), np.float64)
            if share.shape not in ((), wavelengths.shape) or not ((share >= 0) & (share < 1)).all():
                raise ValueError(f"{name} must be a share of at least 0 and below 1, one number or one per wavelength")
        for name in ("filter_on", "filter_off"):
            passed = self.light * getattr(self, name)
            if not passed.max() > 0:
                raise ValueError(f"{name} passes no light at these wavelengths")
            if max(passed[0], passed[-1]) > _EDGE_SHARE * passed.max():
                raise ValueError(f"{name} still passes light at the end of the wavelengths: take more of them")


@dataclass(frozen=True, slots=True)
class EffectiveCrossSections:
    """Cross sections [cm2 molecule-1] that the bands see at vanishing column; dilution is in them."""

    on: float
    off: float

    @property
    def difference(self) -> float:
        """Absorbance per column density at zero."""
        return self.on - self.off

    @property
    def slope_molec_cm2(self) -> float:
        """Column density per absorbance at zero."""
        return 1 / self.difference


@dataclass(frozen=True, slots=True)
class ShapeUncertainty:
    """Relative 1 sigma of columns from a shape that was anchored at one column, by what is not known of the bands.

    Systematic, and correlated between columns: all on one side of the anchor err the same way. ``by_on_centre``,
    ``by_off_centre`` and ``by_o3`` (N,) are its parts, ``total`` (N,) their root sum of squares. ``scale`` is the
    relative 1 sigma of the shape's own scale at the anchor: what a calibration takes away and a theoretical
    calibration keeps.
    """

    column: FloatArray
    anchor_column: float
    by_on_centre: FloatArray
    by_off_centre: FloatArray
    by_o3: FloatArray
    scale: float

    @property
    def total(self) -> FloatArray:
        """Relative 1 sigma (N,) from all parts, taken as independent."""
        return np.asarray(np.sqrt(self.by_on_centre**2 + self.by_off_centre**2 + self.by_o3**2))


def filter_transmission(
    wavelengths_nm: FloatArray, *, centre_nm: float, fwhm_nm: float, exponent: float = 2.0, peak: float = 1.0
) -> FloatArray:
    """Return ``peak exp(-ln 2 |2 (wavelength - centre) / fwhm|^exponent)`` (N,): Gaussian by default.

    A larger exponent (super-Gaussian, Beirle 2017) has a flat top and steep flanks, as interference filters do.
    """
    if not (fwhm_nm > 0 and exponent > 0 and peak > 0):
        raise ValueError("a filter's width, exponent and peak must be positive")
    distance = np.abs(2 * (np.asarray(wavelengths_nm, np.float64) - centre_nm) / fwhm_nm)
    return np.asarray(peak * np.exp(-np.log(2) * distance**exponent))


def tabulated_filter(
    wavelengths_nm: FloatArray, table_wavelengths_nm: FloatArray, transmission: FloatArray
) -> FloatArray:
    """Return a tabulated transmission at ``wavelengths_nm`` (N,): linear between rows, none beyond the table.

    The small negative values that a spectrophotometer's noise leaves in the blocked range count as none. Raises
    ValueError for a table out of order or one that ends inside the passband.
    """
    x, y = np.asarray(table_wavelengths_nm, np.float64), np.asarray(transmission, np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size < 2 or not (np.diff(x) > 0).all() or not np.isfinite(y).all():
        raise ValueError("a filter's table needs finite transmissions at strictly increasing wavelengths")
    if not y.max() > 0 or y.min() < -0.05 * y.max():
        raise ValueError("a filter's transmission must be positive")
    if max(y[0], y[-1]) > 0.5 * y.max():
        raise ValueError("the filter's table ends inside its passband")
    return np.asarray(np.interp(wavelengths_nm, x, np.maximum(y, 0.0), left=0.0, right=0.0))


def sky_light(
    wavelengths_nm: FloatArray,
    solar: FloatArray,
    *,
    o3_cross_section: FloatArray | None = None,
    o3_slant_column_molec_cm2: float = 0.0,
    scattering_exponent: float = 4.0,
    sensor: FloatArray | float = 1.0,
) -> FloatArray:
    """Return the spectrum of the sky as a sensor records it (N,), any unit.

    ``solar`` (N,) in photons, scattered as ``wavelength^-scattering_exponent`` (4: Rayleigh; white clouds: 0),
    absorbed by O3 on its slant way, times the ``sensor``'s (and lens's) response.
    """
    light = np.asarray(solar, np.float64) * (np.asarray(wavelengths_nm, np.float64) / 310.0) ** -scattering_exponent
    if o3_cross_section is not None:
        light = light * np.exp(-np.asarray(o3_cross_section, np.float64) * o3_slant_column_molec_cm2)
    return np.asarray(light * sensor)


def band_absorbance(spectra: BandSpectra, columns: FloatArray) -> FloatArray:
    """Return the absorbance of the on minus that of the off band at ``columns`` [molecules cm-2], same shape.

    ``tau = -ln(int L F [d + (1 - d) exp(-sigma CD)] / int L F)`` in each band with the light L, filter F and dilution
    d (Mori and Burton 2006, Kern 2010, 2013). NaN stays NaN.
    """
    columns = np.asarray(columns, np.float64)
    flat = columns.ravel()
    absorbed = np.expm1(-spectra.so2_cross_section * flat[:, None])  # (M, N), exact for thin plumes too
    depths = []
    for weights, dilution in _bands(spectra):
        reaching = (1 - np.asarray(dilution, np.float64)) * weights
        depths.append(-np.log1p(absorbed @ reaching))
    return np.asarray((depths[0] - depths[1]).reshape(columns.shape))


def effective_cross_sections(spectra: BandSpectra) -> EffectiveCrossSections:
    """Return the cross sections [cm2 molecule-1] of both bands at vanishing column density."""
    on, off = (
        float(np.sum((1 - np.asarray(dilution, np.float64)) * weights * spectra.so2_cross_section))
        for weights, dilution in _bands(spectra)
    )
    return EffectiveCrossSections(on, off)


def band_shape(
    spectra: BandSpectra, *, maximum_column_molec_cm2: float = DEFAULT_MAXIMUM_COLUMN_MOLEC_CM2
) -> BandShape:
    """Return column density as a function of absorbance up to ``maximum_column_molec_cm2``.

    Raises ValueError where absorbance no longer rises before that (dilution, or an off band that absorbs too): then a
    lower maximum is needed, or other filters.
    """
    columns = maximum_column_molec_cm2 * np.linspace(0, 1, _TABLE_POINTS) ** 1.5
    absorbance = band_absorbance(spectra, columns)
    absorbance[0] = 0.0
    rising = np.diff(absorbance) > 0
    if not rising.all():
        last = float(columns[int(np.argmin(rising))])
        raise ValueError(
            f"the bands' absorbance rises only to a column density of {last:.2g} molecules cm-2, not to "
            f"{maximum_column_molec_cm2:.2g}: choose a lower maximum, or check the filters and the light dilution"
        )
    return BandShape(absorbance, columns)


def shape_uncertainty(
    spectra: BandSpectra,
    columns: FloatArray,
    *,
    anchor_column_molec_cm2: float,
    centre_uncertainty_nm: float = 1.0,
    o3_cross_section: FloatArray | None = None,
    o3_uncertainty_molec_cm2: float = 0.0,
) -> ShapeUncertainty:
    """Return how wrong ``columns`` (N,) become by filters and O3 that differ from what the shape was made with.

    A band with one thing changed by its 1 sigma, up and down, gives absorbances of the true ``columns``; the shape
    of ``spectra``, scaled to be right at the anchor (the calibration's typical column), gives columns back. The
    root mean square of both deviations counts. ``o3_uncertainty_molec_cm2`` is 1 sigma of the slant column of O3.
    """
    columns = np.asarray(columns, np.float64)
    positive = np.maximum(np.append(columns, anchor_column_molec_cm2), _SMALLEST_COLUMN_MOLEC_CM2)
    shape = band_shape(spectra, maximum_column_molec_cm2=1.3 * float(np.nanmax(positive)))

    def deviations(changed: tuple[BandSpectra, BandSpectra]) -> tuple[FloatArray, float]:
        ratios = np.stack([shape.at(band_absorbance(each, positive)) / positive for each in changed])
        relative = ratios[:, :-1] / ratios[:, -1:] - 1
        return np.sqrt(np.mean(relative**2, axis=0)), float(np.mean((ratios[:, -1] - 1) ** 2))

    by_on, scale_on = deviations(_both_ways(spectra, "filter_on", centre_uncertainty_nm))
    by_off, scale_off = deviations(_both_ways(spectra, "filter_off", centre_uncertainty_nm))
    by_o3, scale_o3 = np.where(np.isnan(columns), np.nan, 0.0), 0.0
    if o3_cross_section is not None and o3_uncertainty_molec_cm2 > 0:
        factor = np.exp(-np.asarray(o3_cross_section, np.float64) * o3_uncertainty_molec_cm2)
        by_o3, scale_o3 = deviations(
            (replace(spectra, light=spectra.light * factor), replace(spectra, light=spectra.light / factor))
        )
    scale = float(np.sqrt(scale_on + scale_off + scale_o3))
    return ShapeUncertainty(columns, anchor_column_molec_cm2, by_on, by_off, by_o3, scale)


def _both_ways(spectra: BandSpectra, name: str, shift_nm: float) -> tuple[BandSpectra, BandSpectra]:
    x = spectra.wavelengths_nm
    up, down = (np.interp(x - shift, x, getattr(spectra, name), left=0.0, right=0.0) for shift in (shift_nm, -shift_nm))
    if name == "filter_on":
        return replace(spectra, filter_on=up), replace(spectra, filter_on=down)
    return replace(spectra, filter_off=up), replace(spectra, filter_off=down)


def _bands(spectra: BandSpectra) -> tuple[tuple[FloatArray, npt.ArrayLike], tuple[FloatArray, npt.ArrayLike]]:
    """Return each band's share of light per wavelength (N,), which sums to 1, and its dilution."""
    x = spectra.wavelengths_nm
    width = np.empty_like(x)  # trapezium rule
    width[1:-1] = (x[2:] - x[:-2]) / 2
    width[0], width[-1] = (x[1] - x[0]) / 2, (x[-1] - x[-2]) / 2
    on, off = (spectra.light * transmission * width for transmission in (spectra.filter_on, spectra.filter_off))
    return (on / on.sum(), spectra.dilution_on), (off / off.sum(), spectra.dilution_off)
