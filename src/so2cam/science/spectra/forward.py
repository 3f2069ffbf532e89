"""Spectra as the model of a fit has them, from given parameters."""

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.science.spectra.model import FitModel


def model_spectra(model: FitModel, values: npt.ArrayLike, *, light_dilution: npt.ArrayLike | None = None) -> FloatArray:
    """Return the counts (M, Nw) that ``model`` gives for parameters ``values`` (M, P) or (P,), ordered as its names.

    ``light_dilution`` (M,) or a number replaces the model's held share. Spectra whose pixels a shift moves off the
    model's grid, or whose line shape does not exist, are NaN. Raises ValueError for a wrong shape, for values that are
    not finite, and for a light dilution of 1 or more or given where it is a parameter.
    """
    from so2cam.science.spectra.kernel import model_batch

    rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1] != len(model.names):
        raise ValueError(f"values must have {len(model.names)} columns ({', '.join(model.names)}), found {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("values must be finite")
    linear_size = len(model.names) - model.problem.free.size
    ordered = np.empty_like(rows)
    ordered[:, model.order] = rows
    q = np.tile(model.full_start, (rows.shape[0], 1))
    q[:, model.problem.free] = ordered[:, linear_size:]
    if light_dilution is not None:
        q[:, -1] = model.dilutions(light_dilution, rows.shape[0])
    out = np.full((rows.shape[0], model.wavelengths_nm.size), np.nan)
    model_batch(model.problem, q, np.ascontiguousarray(ordered[:, :linear_size]), out)
    return out
