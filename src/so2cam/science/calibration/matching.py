"""placeholder"""

from dataclasses import dataclass

import numpy as np


@dataclass
class M:
    column: np.ndarray
    sigma: np.ndarray


def interpolate_columns(t, e, ct, ce, c, s, *, maximum_gap_s):
    col = np.interp(t, ct, c, left=np.nan, right=np.nan)
    sig = np.interp(t, ct, s)
    return M(col, sig)
