"""What the quicklook says of a series: typical values, why values are missing, numbers as text."""

import math
from collections import Counter

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatArray
from so2cam.core.results import EmissionSeries
from so2cam.core.status import EmissionStatus

IntStatus = npt.NDArray[np.int64]


def total_reasons(series: EmissionSeries) -> IntStatus:
    """Return why each total is missing (times x methods): ``part_missing`` replaced by the first line's reason."""
    reasons = np.array(series.total_status, np.int64)
    for line in range(len(series.lines) - 1, -1, -1):
        of_line = series.status[:, line, :]
        replace = (series.total_status == EmissionStatus.PART_MISSING) & (of_line != EmissionStatus.OK)
        reasons = np.where(replace, of_line, reasons)
    return reasons


def count_missing(reasons: IntStatus) -> list[tuple[EmissionStatus, int]]:
    """Return why values are missing and how many, the most frequent reason first."""
    counts = Counter(reasons[reasons != EmissionStatus.OK].tolist())
    return [(EmissionStatus(status), count) for status, count in counts.most_common()]


def mean_of(values: FloatArray) -> float:
    """Return the mean of what is finite, NaN if nothing is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan


def median_of(values: FloatArray) -> float:
    """Return the median of what is finite, NaN if nothing is."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else math.nan


def with_digits(value: float, significant: int = 3) -> str:
    """Return ``value`` with ``significant`` digits, without an exponent where that stays readable."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if not -4 <= magnitude < 6:
        return f"{value:.{significant - 1}e}"
    return f"{value:.{max(0, significant - 1 - magnitude)}f}".replace("-", "−")


def power_of_ten(value: float) -> tuple[str, float]:
    """Return the power of ten of ``value``, in words and as a number."""
    exponent = math.floor(math.log10(value)) if value > 0 else 18
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")), 10.0**exponent
