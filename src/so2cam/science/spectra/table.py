"""Reference spectra as tables, and their interpolation onto a grid."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.interpolate import make_interp_spline

from so2cam.core.records import FloatArray

Interpolation = Literal["cubic", "linear"]


@dataclass(frozen=True, slots=True)
class SpectralTable:
    """A spectrum as a table: ``wavelengths_nm`` (n,), strictly increasing, and ``values`` (n,); both finite.

    Raises ValueError for tables of other shapes, of less than two rows, out of order or with values that are not
    finite. ``name`` tells which table it is in messages.
    """

    wavelengths_nm: FloatArray
    values: FloatArray
    name: str = "table"

    def __post_init__(self) -> None:
        x, y = self.wavelengths_nm, self.values
        if x.ndim != 1 or x.shape != y.shape or x.size < 2:
            raise ValueError(
                f"{self.name}: wavelengths and values must be two columns of equal length of at least 2 rows, "
                f"found {x.shape} and {y.shape}"
            )
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            row = int(np.flatnonzero(~(np.isfinite(x) & np.isfinite(y)))[0])
            raise ValueError(f"{self.name}: row {row + 1} is not a finite number ({x[row]}, {y[row]})")
        steps = np.diff(x)
        if not (steps > 0).all():
            row = int(np.flatnonzero(steps <= 0)[0])
            raise ValueError(
                f"{self.name}: wavelengths must increase strictly, but {x[row + 1]} nm follows {x[row]} nm; "
                "sort the table and remove double rows"
            )

    def shifted(self, shift_nm: float) -> "SpectralTable":
        """The same values at wavelengths that are larger by ``shift_nm``."""
        return SpectralTable(self.wavelengths_nm + shift_nm, self.values, self.name)

    def at(self, wavelengths_nm: FloatArray, interpolation: Interpolation = "cubic") -> FloatArray:
        """Return the values at ``wavelengths_nm`` (m,): cubic spline (not a knot) or linear.

        Raises ValueError where the table does not reach: nothing is extrapolated.
        """
        if wavelengths_nm.size == 0:
            return np.empty(0)
        low, high = float(np.min(wavelengths_nm)), float(np.max(wavelengths_nm))
        first, last = float(self.wavelengths_nm[0]), float(self.wavelengths_nm[-1])
        if not (first <= low and high <= last):
            raise ValueError(
                f"{self.name} covers {first:.2f} to {last:.2f} nm, but {low:.2f} to {high:.2f} nm are needed; "
                "choose another table or a narrower window"
            )
        if interpolation == "linear" or self.wavelengths_nm.size < 4:
            return np.asarray(np.interp(wavelengths_nm, self.wavelengths_nm, self.values), dtype=np.float64)
        # Rows far outside do not change a spline noticeably: its influence falls 3.7 times per row.
        start = max(int(np.searchsorted(self.wavelengths_nm, low)) - 40, 0)
        stop = int(np.searchsorted(self.wavelengths_nm, high)) + 40
        spline = make_interp_spline(self.wavelengths_nm[start:stop], self.values[start:stop], k=3)
        return np.asarray(spline(wavelengths_nm), dtype=np.float64)
