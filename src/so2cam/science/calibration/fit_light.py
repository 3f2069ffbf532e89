"""What a spectrometer's fit sees of the sky and how it fits, in a few numbers: for what its columns mean."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve1d

from so2cam.core.records import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class FitLight:
    """What the spectrometer's fit sees, (N,) on evenly spaced wavelengths, and how it fits.

    ``light`` is the sky's spectrum with its O3, any unit; cross sections in cm2 molecule-1. The wavelengths reach two
    line widths beyond ``window_nm`` on both sides. Raises ValueError where they do not.
    """

    wavelengths_nm: FloatArray
    light: FloatArray
    so2_cross_section: FloatArray
    o3_cross_section: FloatArray
    window_nm: tuple[float, float]
    line_width_nm: float
    background_order: int = 3
    sampling_nm: float = 0.08

    def __post_init__(self) -> None:
        reach = self._kernel().size // 2
        inside = self._inside()
        if not inside.any() or inside[: reach + 1].any() or inside[-reach - 1 :].any():
            raise ValueError("the wavelengths must reach two line widths beyond the window on both sides")

    def seen(self, spectrum: FloatArray) -> FloatArray:
        """Return ``spectrum`` (N,) blurred by a Gaussian of the line's width, at the detector's pixels (P,)."""
        step = float(self.wavelengths_nm[1] - self.wavelengths_nm[0])
        every = max(round(self.sampling_nm / step), 1)
        return np.asarray(convolve1d(spectrum, self._kernel())[self._inside()][::every], np.float64)

    def _inside(self) -> npt.NDArray[np.bool_]:
        return (self.wavelengths_nm >= self.window_nm[0]) & (self.wavelengths_nm <= self.window_nm[1])

    def _kernel(self) -> FloatArray:
        step = float(self.wavelengths_nm[1] - self.wavelengths_nm[0])
        reach = int(np.ceil(2 * self.line_width_nm / step))
        kernel = np.exp2(-((2 * np.arange(-reach, reach + 1) * step / self.line_width_nm) ** 2))
        return np.asarray(kernel / kernel.sum(), np.float64)
