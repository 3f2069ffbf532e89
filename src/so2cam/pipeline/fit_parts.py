"""What a spectrum's fit is made of: how much each species took away, and what is left over."""

from dataclasses import dataclass

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.core.spectra import FitStatus
from so2cam.pipeline.spectrum_processor import Inspected
from so2cam.science.spectra.forward import model_spectra
from so2cam.science.spectra.model import FitModel
from so2cam.science.spectra.optical_density import density_parts


@dataclass(frozen=True, slots=True)
class FitParts:
    """One fit in its window of Nw pixels; NaN where a pixel did not count.

    ``measured`` and ``model`` [counts]; ``residual`` is relative to the model. ``densities`` are optical depths of the
    species by the name of their parameter: the logarithm of the model without the species over the model. They are
    empty where the fit gave no parameters.
    """

    wavelengths_nm: FloatArray
    measured: FloatArray
    model: FloatArray
    residual: FloatArray
    densities: dict[str, FloatArray]

    @property
    def so2_measured(self) -> FloatArray | None:
        """What was measured as optical depth of SO2: that of the fit less what the fit leaves; None without a fit."""
        if "so2" not in self.densities:
            return None
        with np.errstate(invalid="ignore", divide="ignore"):
            left = np.log(np.where(self.measured > 0, self.measured, np.nan) / self.model)
        return np.asarray(self.densities["so2"] - left)


def fit_parts(found: Inspected) -> FitParts | None:
    """Return what a fit is made of; None where the spectrum was not fitted."""
    fitted, prepared = found.fitted, found.prepared
    if fitted is None or prepared is None:
        return None
    counts = np.where(fitted.usable[0], prepared.counts[0], np.nan)[fitted.window]
    model = fitted.result.model[0]
    if not np.isfinite(model).any():
        return None
    residual = np.divide(counts - model, model, out=np.full(model.shape, np.nan), where=model != 0)
    wavelengths = found.spectrum.wavelengths_nm[fitted.window]
    return FitParts(wavelengths, counts, model, residual, _densities(found))


def _densities(found: Inspected) -> dict[str, FloatArray]:
    fitted = found.fitted
    if fitted is None or found.record.status is not FitStatus.OK:
        return {}
    values = fitted.result.values[0]
    if not isinstance(fitted.model, FitModel):
        return density_parts(fitted.model, values)
    names = [name for name in fitted.model.names if name in ("so2", "no2", "ring") or name.startswith("o3")]
    rows = np.tile(values, (len(names) + 1, 1))
    for row, name in enumerate(names):
        rows[row, fitted.model.names.index(name)] = 0.0
    dilution = None if fitted.light_dilution is None else float(fitted.light_dilution[0, 0])
    light = model_spectra(fitted.model, rows, light_dilution=dilution)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {name: np.log(light[row] / light[-1]) for row, name in enumerate(names)}
