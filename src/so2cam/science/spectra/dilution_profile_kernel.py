"""The compiled misfit of two windows as a function of light dilution, the column free, many spectra at a call.

``dilution_profile.py`` is the door to it.
"""

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.science.spectra.compiled import compiled
from so2cam.science.spectra.dilution_joint import FIXED_DILUTION, minimise, move
from so2cam.science.spectra.dilution_kernel import FINAL_EVALUATIONS, HIGHEST_COLUMN, _join, _room
from so2cam.science.spectra.kernel import _solve, _workspace
from so2cam.science.spectra.model import Problem

PROFILE_TOLERANCE = 0.1
"""A step is the last one when it promises to lower chi-squared by less than this, in units of the noise's variance."""
HIGH_ENOUGH = 50.0
"""Rise of chi-squared, in units of the noise's variance, beyond which a dilution is not looked at."""


@compiled
def profile_batch(
    first: Problem,
    second: Problem,
    counts: FloatArray,
    more_counts: FloatArray,
    weight: FloatArray,
    more_weight: FloatArray,
    starts: FloatArray,
    noise: FloatArray,
    dilution: FloatArray,
    misfit: FloatArray,
    columns: FloatArray,
) -> None:
    """Fill ``misfit`` and ``columns`` (M, G): least chi-squared at each light dilution, and the column that gives it.

    ``dilution`` (G,) increases and holds 0. ``weight`` (M, N) are inverse variances of the noise up to a factor,
    ``starts`` (M, 2 Q) the parameters of both windows' fits without dilution, ``noise`` (M,) their residual variance in
    units of the weights. Each way from 0 the first dilution that does not fit by far, or whose fit does not converge,
    is the last one: NaN from there on.
    """
    work, more_work = _workspace(first), _workspace(second)
    nonlinear, more_nonlinear = first.lower.size, second.lower.size
    joint = _room(work, more_work, nonlinear, more_nonlinear)
    q, more_q = np.zeros(nonlinear), np.zeros(more_nonlinear)
    zero = 0
    for g in range(dilution.size):
        if abs(dilution[g]) < abs(dilution[zero]):
            zero = g
    for m in range(counts.shape[0]):
        pair = _join(first, second, counts[m], more_counts[m], weight[m], more_weight[m], work, more_work)
        pair.q[:], pair.more_q[:] = starts[m, :nonlinear], starts[m, nonlinear:]
        lowest = np.inf
        for towards in (1, -1):
            g = zero
            if towards == -1:
                if np.isnan(misfit[m, zero]):
                    break
                pair.q[:], pair.more_q[:] = q, more_q
                g = zero - 1
            while 0 <= g < dilution.size:
                pair.q[-1] = pair.more_q[-1] = dilution[g]
                chi2, converged = minimise(
                    pair, np.int64(FIXED_DILUTION), PROFILE_TOLERANCE * noise[m], np.int64(FINAL_EVALUATIONS), joint
                )
                if not converged or not 0 < pair.q[0] < HIGHEST_COLUMN:
                    break
                misfit[m, g], columns[m, g] = chi2, pair.q[0]
                lowest = min(lowest, chi2)
                if g == zero:
                    q[:], more_q[:] = pair.q, pair.more_q
                if chi2 > lowest + HIGH_ENOUGH * noise[m]:
                    break
                g += towards
                if 0 <= g < dilution.size:
                    # All parameters follow the dilution, nearly on straight lines.
                    joint.slopes[1] = 0.0
                    for i in range(joint.step.size):
                        if i != 1:
                            joint.slopes[i] = -joint.normal[max(i, 1), min(i, 1)]
                    _solve(joint.factor, joint.slopes, joint.slopes, joint.slopes.size)
                    change = dilution[g] - pair.q[-1]
                    joint.step[:] = joint.slopes
                    move(pair.first, pair.q, pair.linear.size, np.int64(2), change, joint, joint.trial)
                    move(
                        pair.second,
                        pair.more_q,
                        pair.more_linear.size,
                        pair.work.gradient.size,
                        change,
                        joint,
                        joint.more_trial,
                    )
                    pair.q[:], pair.more_q[:] = joint.trial, joint.more_trial
