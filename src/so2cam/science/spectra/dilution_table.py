"""A look-up table of light dilution (Varnam 2020): the columns that two windows show if dilution is ignored.

For comparison with the direct fit of ``dilution``, which needs no table. Model spectra of a grid of columns and
dilutions are fitted in both windows without dilution; a pair of measured columns is then looked for in that map. It
folds where dilution is strong: one pair can have several answers, and all of them are returned.
"""

from dataclasses import dataclass

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.science.spectra.fit import FitResult, fit_spectra
from so2cam.science.spectra.forward import model_spectra
from so2cam.science.spectra.model import FitModel

_CHUNK = 2000
_EDGE = 1e-9


@dataclass(frozen=True, slots=True)
class DilutionTable:
    """Columns (S,) [molecules cm-2] and dilutions (D,), and what each window shows, (S, D); NaN where no fit is."""

    so2: FloatArray
    light_dilution: FloatArray
    first: FloatArray
    second: FloatArray


def build_dilution_table(
    models: tuple[FitModel, FitModel], typical: FitResult, row: int, so2: FloatArray, light_dilution: FloatArray
) -> DilutionTable:
    """Return the table for a grid of ``so2`` (S,) [molecules cm-2] and ``light_dilution`` (D,), both increasing.

    All other parameters are those of spectrum ``row`` of ``typical``, a fit of the first window whose parameters both
    windows have. Raises ValueError where it has none.
    """
    if not typical.ok[row]:
        raise ValueError("the typical spectrum has no fit to take its other parameters from")
    column, dilution = (grid.ravel() for grid in np.meshgrid(so2, light_dilution, indexing="ij"))
    apparent = []
    for model in models:
        if model.names != typical.names:
            raise ValueError("both windows must have the parameters of the typical spectrum")
        values = np.tile(typical.values[row], (column.size, 1))
        values[:, model.so2] = column
        found = np.full(column.size, np.nan)
        for first in range(0, column.size, _CHUNK):
            part = slice(first, first + _CHUNK)
            spectra = model_spectra(model, values[part], light_dilution=dilution[part])
            # Neighbours on the grid are alike: each fit starts from the one before.
            found[part] = fit_spectra(model, spectra, warm=True).so2
        apparent.append(found.reshape(so2.size, light_dilution.size))
    return DilutionTable(so2, light_dilution, apparent[0], apparent[1])


def look_up(table: DilutionTable, first: float, second: float) -> tuple[tuple[float, float], ...]:
    """Return every (column, dilution) of the table at which the windows show ``first`` and ``second``.

    Each cell of the grid is two triangles, within which both columns are linear. More than one answer is a fold;
    none is a pair that no dilution of the table explains.
    """
    target = np.array([first, second])
    corner = np.stack([table.first, table.second], axis=-1)
    place = np.stack(np.meshgrid(table.so2, table.light_dilution, indexing="ij"), axis=-1)
    answers: list[tuple[float, float]] = []
    a, b, c, d = (np.s_[:-1, :-1], np.s_[1:, :-1], np.s_[:-1, 1:], np.s_[1:, 1:])
    for p, q, r in ((a, b, c), (d, c, b)):
        origin, u, v = corner[p], corner[q] - corner[p], corner[r] - corner[p]
        area = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
        offset = target - origin
        with np.errstate(divide="ignore", invalid="ignore"):
            s = (offset[..., 0] * v[..., 1] - offset[..., 1] * v[..., 0]) / area
            t = (u[..., 0] * offset[..., 1] - u[..., 1] * offset[..., 0]) / area
            inside = (s >= -_EDGE) & (t >= -_EDGE) & (s + t <= 1 + _EDGE)
        for i, j in zip(*np.nonzero(inside), strict=True):
            step = s[i, j] * (place[q][i, j] - place[p][i, j]) + t[i, j] * (place[r][i, j] - place[p][i, j])
            answers.append((float(place[p][i, j][0] + step[0]), float(place[p][i, j][1] + step[1])))
    return _different(answers, table)


def _different(answers: list[tuple[float, float]], table: DilutionTable) -> tuple[tuple[float, float], ...]:
    """Return answers of which no two are the same point on the edge of two triangles."""
    span = float(table.so2[-1] - table.so2[0]), float(table.light_dilution[-1] - table.light_dilution[0])
    kept: list[tuple[float, float]] = []
    for column, dilution in sorted(answers, key=lambda answer: (answer[1], answer[0])):
        near = (abs(column - c) < 1e-6 * span[0] and abs(dilution - d) < 1e-6 * span[1] for c, d in kept)
        if not any(near):
            kept.append((column, dilution))
    return tuple(kept)
