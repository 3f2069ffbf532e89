"""Lines of calibration lamps, and which of them stand out of a spectrum."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray

MINIMUM_SIGNAL_TO_NOISE = 10.0
"""A peak is a line from here."""


@dataclass(frozen=True, slots=True)
class LampLine:
    """An emission line: its wavelengths in standard air and in vacuum, and its intensity beside near neighbours."""

    name: str
    air_nm: float
    vacuum_nm: float
    relative_intensity: float


HG_LINES: tuple[LampLine, ...] = (
    LampLine("Hg 289.36", 289.3601, 289.4449, 800),
    LampLine("Hg 296.73", 296.7283, 296.8149, 3000),
    LampLine("Hg 302.15", 302.1504, 302.2384, 1200),
    LampLine("Hg 302.35", 302.3471, 302.4351, 157),
    LampLine("Hg 302.75", 302.7488, 302.8370, 50),
    LampLine("Hg 312.57", 312.5674, 312.6580, 4000),
    LampLine("Hg 313.16", 313.1555, 313.2463, 3000),
    LampLine("Hg 313.18", 313.1844, 313.2752, 4000),
    LampLine("Hg 334.15", 334.1484, 334.2445, 700),
    LampLine("Hg 365.02", 365.0158, 365.1198, 9000),
    LampLine("Hg 365.48", 365.4842, 365.5883, 3000),
    LampLine("Hg 366.29", 366.2887, 366.3930, 500),
    LampLine("Hg 366.33", 366.3284, 366.4327, 2000),
    LampLine("Hg 404.66", 404.6565, 404.7708, 12000),
)
"""Mercury between 285 and 405 nm. Wavelengths in air and intensities: NIST Atomic Spectra Database (Sansonetti, Salit &
Reader 1996, Appl. Opt. 35, 74, pencil lamps). In vacuum: by the index of air of Peck & Reeder (1972), as NIST does;
they agree with the energy levels of the database to 0.4 pm. Intensities differ from lamp to lamp; they count only
for lines that a spectrometer cannot separate. That of 302.35 nm follows from transition probabilities (gA 4.7e7 beside
3.6e8 s-1 of 302.15 nm, upper levels of nearly one energy), and 302.75 nm lies where
the energy levels put it; its intensity is rough."""


@dataclass(frozen=True, slots=True)
class DetectedLine:
    """A line of the list that stands out of a spectrum. ``separation_nm`` is the distance to the next other line."""

    line: LampLine
    peak_nm: float
    peak_counts: float
    """above the background around it"""
    signal_to_noise: float
    separation_nm: float
    saturated: bool


def checked_spectrum(wavelengths_nm: npt.ArrayLike, counts: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return both as float64; raises ValueError where they do not fit or wavelengths do not increase."""
    x, y = np.asarray(wavelengths_nm, np.float64), np.asarray(counts, np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size < 16:
        raise ValueError(f"a lamp spectrum needs at least 16 wavelengths and as many counts, not {x.shape}, {y.shape}")
    if not (np.diff(x) > 0).all():
        raise ValueError("the wavelengths do not increase from pixel to pixel")
    return x, y


def pixel_noise(counts: FloatArray) -> float:
    """Noise of a pixel from third differences, in which lines are few: robust, 1 sigma."""
    third = np.diff(counts[np.isfinite(counts)], 3)
    return float(np.median(np.abs(third)) * 1.4826 / np.sqrt(20)) if third.size else 0.0


def _likelihood(line: LampLine, peak_nm: float, tolerance_nm: float) -> float:
    """How much a line has to do with a peak: its intensity, less the further away it is."""
    return line.relative_intensity * float(np.exp(-8 * ((line.vacuum_nm - peak_nm) / tolerance_nm) ** 2))


def detect_lines(
    wavelengths_nm: npt.ArrayLike,
    counts: npt.ArrayLike,
    *,
    lines: Sequence[LampLine] = HG_LINES,
    near_nm: float | None = None,
    tolerance_nm: float = 0.5,
    saturation_counts: float = np.inf,
    isolation_nm: float = 2.0,
) -> tuple[DetectedLine, ...]:
    """Return the lines of the list that stand out of a dark-corrected lamp spectrum (N,), the most suitable first.

    A line is there where a peak of ten times the noise lies within ``tolerance_nm`` of its wavelength in vacuum; of
    several lines at one peak it is the strongest, near ones before far ones. Isolated lines (no other of the list,
    unless within half of ``tolerance_nm``, nor other peak closer than ``isolation_nm``) that are not saturated come
    first, of these the strongest, or the nearest to ``near_nm`` where that is given. Raises ValueError for unfit
    arrays.
    """
    from scipy.signal import find_peaks  # slow to import; seldom needed

    x, y = checked_spectrum(wavelengths_nm, counts)
    level = np.where(np.isfinite(y), y, np.nanmedian(y))
    noise = pixel_noise(y)
    threshold = max(MINIMUM_SIGNAL_TO_NOISE * noise, 1e-3 * float(np.ptp(level)))
    peaks, facts = find_peaks(level, prominence=threshold, plateau_size=1)
    found = []
    for at, height in zip(peaks, facts["prominences"], strict=True):
        here = [line for line in lines if abs(line.vacuum_nm - x[at]) <= tolerance_nm]
        if not here:
            continue
        likelihoods = [_likelihood(one, float(x[at]), tolerance_nm) for one in here]
        line = here[int(np.argmax(likelihoods))]
        others = [abs(one.vacuum_nm - line.vacuum_nm) for one in lines]
        others = [gap for gap in others if gap > tolerance_nm / 2] + [abs(x[p] - x[at]) for p in peaks if p != at]
        saturated = bool((level[max(at - 2, 0) : at + 3] >= saturation_counts).any())
        ratio = float(height) / noise if noise > 0 else np.inf
        found.append(
            DetectedLine(line, float(x[at]), float(height), ratio, float(min(others, default=np.inf)), saturated)
        )
    return tuple(
        sorted(
            found,
            key=lambda one: (
                one.saturated,
                one.separation_nm < isolation_nm,
                -one.peak_counts if near_nm is None else abs(one.line.vacuum_nm - near_nm),
            ),
        )
    )
