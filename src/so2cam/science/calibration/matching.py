"""Pairing in time: which column a spectrometer saw with each image, and how far the two may be apart for it.

Images and spectra are not taken at one time. A straight line between the spectra before and after gives the column at
the image's time with the right phase, but smooths: where plumes change from spectrum to spectrum, the columns' range
shrinks, by 3 to 4 per cent on simulated plumes, and the slope with it, at a correlation of 0.999 that tells nothing.
The polynomial through the two spectra before and the two after shrinks by 0.5 per cent. What it misses varies about it
and is not in the columns (an error of Berkson's kind, 1950): counted as an error of the absorbances, it does not turn
the slope. Its size follows from the columns themselves: their structure function, the mean square of the difference of
successive columns less their noise, taken as that of a random walk. With weights w_i that sum to 1, and w_0 = -1 at the
image's time, what is missed has the variance ``-rate / 2 sum w_i w_j |t_i - t_j|``; for the straight line that is a
bridge's, ``rate f (1 - f) spacing``. Plumes are smoother than a random walk, so that this is an upper limit.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray

_LEAST_PAIRS = 5
_UNEVEN = 1.3
"""A further spectrum takes part where its distance in time is that of the two around the image, up to this factor."""


@dataclass(frozen=True, slots=True, eq=False)
class MatchedPoints:
    """The column density of each image, all (N,): NaN where no spectrum is near enough.

    ``column`` and its own 1 sigma ``column_sigma``, and ``mismatch``, 1 sigma of what the image's column varies about
    it, all [molecules cm-2]; ``gap_s`` from the middle of the image's exposure to the nearest spectrum's.
    ``bridge_s`` is the time [s] by which a rate of change makes a mismatch: ``mismatch = sqrt(change_rate bridge_s)``.
    """

    column: FloatArray
    column_sigma: FloatArray
    mismatch: FloatArray
    gap_s: FloatArray
    bridge_s: FloatArray

    @property
    def matched(self) -> npt.NDArray[np.bool_]:
        """Where there is a column."""
        return np.isfinite(self.column)


def match_columns(
    image_time_s: FloatArray,
    image_exposure_s: FloatArray,
    spectrum_time_s: FloatArray,
    spectrum_exposure_s: FloatArray,
    column: FloatArray,
    column_sigma: FloatArray,
    *,
    maximum_gap_s: float,
) -> MatchedPoints:
    """Return the column density [molecules cm-2] with each image.

    Times (N,) and (S,) are mid-exposure, in seconds from any common start; exposures are whole lengths. An image whose
    exposure lasts at least as long as the spectra under it takes their mean by overlap; any other the polynomial
    through the middles of the spectra before and after, which must both be within ``maximum_gap_s``, and of the next
    one on either side where there is one about as far. Spectra without a finite column and sigma take no part. Raises
    ValueError for arrays of different lengths or a negative gap.
    """
    t, length = np.asarray(image_time_s, np.float64), np.asarray(image_exposure_s, np.float64)
    s, duration, value, sigma = (
        np.asarray(each, np.float64) for each in (spectrum_time_s, spectrum_exposure_s, column, column_sigma)
    )
    if t.shape != length.shape or not (s.shape == duration.shape == value.shape == sigma.shape):
        raise ValueError("times, exposures and columns must be as many")
    if not maximum_gap_s >= 0:
        raise ValueError("the largest gap in time must be zero or more")
    known = np.isfinite(s) & np.isfinite(duration) & np.isfinite(value) & np.isfinite(sigma)
    order = np.flatnonzero(known)[np.argsort(s[known], kind="stable")]
    s, duration, value, sigma = s[order], duration[order], value[order], sigma[order]
    found = np.full((5, t.size), np.nan)
    if s.size:
        rate = change_rate(s, value, sigma, maximum_gap_s)
        for index in np.flatnonzero(np.isfinite(t) & np.isfinite(length)):
            weights = _overlap(float(t[index]), float(length[index]), s, duration)
            if weights is None:
                around = _neighbours(float(t[index]), s, maximum_gap_s)
                if around is not None:
                    near, weight, bridge = around
                    longer = max(float(duration[near].mean()) - float(length[index]), 0.0)
                    # A mean over a spectrum's exposure is smoother than that over a shorter image's, too.
                    bridge += longer / 12
                    found[:, index] = (
                        float(weight @ value[near]),
                        float(np.sqrt(weight**2 @ sigma[near] ** 2)),
                        np.sqrt(rate * bridge),
                        float(np.abs(s[near] - t[index]).min()),
                        bridge,
                    )
            else:
                middle = float(weights @ s)
                noise = float(np.sqrt(weights**2 @ sigma**2))
                found[:, index] = float(weights @ value), noise, 0.0, abs(middle - float(t[index])), 0.0
    return MatchedPoints(*found)


def change_rate(time_s: FloatArray, column: FloatArray, column_sigma: FloatArray, maximum_gap_s: float) -> float:
    """Return the mean square change of the column per second [molecules2 cm-4 s-1], 0 where it is not seen.

    From successive columns (S,) at most twice ``maximum_gap_s`` apart, less their noise: a random walk's structure
    function, which for a turbulent plume (exponent 2/3) is too large below the spacing and so on the safe side.
    """
    step = np.diff(time_s)
    used = (step > 0) & (step <= 2 * maximum_gap_s)
    if np.count_nonzero(used) < _LEAST_PAIRS:
        return 0.0
    change = np.diff(column)[used] ** 2 - (column_sigma[1:] ** 2 + column_sigma[:-1] ** 2)[used]
    return max(float(np.mean(change)) / float(np.mean(step[used])), 0.0)


def _neighbours(time: float, s: FloatArray, maximum_gap_s: float) -> tuple[slice, FloatArray, float] | None:
    """Return the spectra about ``time``, their weights, and the time [s] of the bridge; None where they are too far.

    Weights are those of the polynomial through them (Lagrange).
    """
    if s.size < 2:
        return None
    after = int(np.clip(np.searchsorted(s, time), 1, s.size - 1))
    first, last = after - 1, after
    if not s[first] <= time <= s[last] or max(time - s[first], s[last] - time) > maximum_gap_s:
        return None
    spacing = float(s[last] - s[first])
    if spacing <= 0:
        return slice(first, last + 1), np.array([0.5, 0.5]), 0.0
    if first > 0 and 1 / _UNEVEN <= float(s[first] - s[first - 1]) / spacing <= _UNEVEN:
        first -= 1
    if last < s.size - 1 and 1 / _UNEVEN <= float(s[last + 1] - s[last]) / spacing <= _UNEVEN:
        last += 1
    near = s[first : last + 1]
    apart = near[:, None] - near[None, :]
    np.fill_diagonal(apart, 1.0)
    ratio = (time - near)[None, :] / apart
    np.fill_diagonal(ratio, 1.0)
    weight = np.prod(ratio, axis=1)
    all_times, all_weights = np.append(near, time), np.append(weight, -1.0)
    distance = np.abs(all_times[:, None] - all_times[None, :])
    bridge = max(-0.5 * float(all_weights @ distance @ all_weights), 0.0)
    return slice(first, last + 1), np.asarray(weight, np.float64), bridge


def _overlap(time: float, length: float, s: FloatArray, duration: FloatArray) -> FloatArray | None:
    """Return weights of spectra under a long exposure, by overlap; None where they cover less than half of it."""
    overlap = np.minimum(time + length / 2, s + duration / 2) - np.maximum(time - length / 2, s - duration / 2)
    under = overlap > 0
    if not under.any() or length < float(duration[under].max()) or float(overlap[under].sum()) < 0.5 * length:
        return None
    weights = np.where(under, overlap, 0.0)
    return np.asarray(weights / weights.sum(), np.float64)
