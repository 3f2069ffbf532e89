"""The compiled joint fit of two windows with one SO2 column and one share of diluting light.

Everything else (background, offset, further absorbers, shifts, line shape) belongs to each window alone. The models of
the windows are those of ``kernel.py``, with light dilution as their last free parameter. The joint normal equations
order their parameters as SO2, light dilution, those of the first window, those of the second.
"""

from typing import NamedTuple

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.science.spectra.compiled import Integer, compiled_part
from so2cam.science.spectra.kernel import Work, _cholesky, _differentiate, _evaluate, _normal_equations, _solve
from so2cam.science.spectra.model import Problem

LARGEST_STEP = 0.7
"""in ln SO2 and in ln(1 - light dilution)"""
FIXED_SO2, FIXED_DILUTION, ALL_FREE = 0, 1, -1
"""What is held."""


class Pair(NamedTuple):
    """Two windows of one spectrum on one grid, and where each stands."""

    first: Problem
    second: Problem
    counts: FloatArray
    more_counts: FloatArray
    weight: FloatArray
    more_weight: FloatArray
    q: FloatArray
    more_q: FloatArray
    linear: FloatArray
    more_linear: FloatArray
    work: Work
    more_work: Work


class Joint(NamedTuple):
    """Room for the joint normal equations."""

    normal: FloatArray
    matrix: FloatArray
    factor: FloatArray
    gradient: FloatArray
    step: FloatArray
    slopes: FloatArray
    trial: FloatArray
    more_trial: FloatArray


@compiled_part
def _scatter(work: Work, linear: int, start: Integer, joint: Joint) -> None:
    """Add a window's normal equations to the joint ones; its own parameters go from ``start`` on."""
    size = work.gradient.size
    for i in range(size):
        row = 0 if i == linear else 1 if i == size - 1 else start + i - (1 if i > linear else 0)
        joint.gradient[row] += work.gradient[i]
        for j in range(i + 1):
            column = 0 if j == linear else 1 if j == size - 1 else start + j - (1 if j > linear else 0)
            joint.normal[max(row, column), min(row, column)] += work.normal[i, j]


@compiled_part
def assemble(pair: Pair, q: FloatArray, more_q: FloatArray, joint: Joint) -> float:
    """Return the joint chi-squared at ``q`` and ``more_q``; fill the normal equations there."""
    chi2, half = _evaluate(pair.first, q, pair.counts, pair.weight, pair.linear, pair.work)
    if not np.isfinite(chi2):
        return np.inf
    more, more_half = _evaluate(
        pair.second, more_q, pair.more_counts, pair.more_weight, pair.more_linear, pair.more_work
    )
    if not np.isfinite(more):
        return np.inf
    _differentiate(pair.first, q, pair.linear, half, pair.work)
    _normal_equations(pair.counts, pair.weight, pair.work)
    _differentiate(pair.second, more_q, pair.more_linear, more_half, pair.more_work)
    _normal_equations(pair.more_counts, pair.more_weight, pair.more_work)
    joint.normal[:] = 0.0
    joint.gradient[:] = 0.0
    _scatter(pair.work, pair.linear.size, np.int64(2), joint)
    _scatter(pair.more_work, pair.more_linear.size, pair.work.gradient.size, joint)
    return chi2 + more


@compiled_part
def factorise(fixed: Integer, damping: float, joint: Joint) -> bool:
    """Factor the damped normal equations with ``fixed`` held; False if they are singular."""
    size = joint.gradient.size
    for i in range(size):
        for j in range(i + 1):
            joint.matrix[i, j] = joint.normal[i, j]
        joint.matrix[i, i] *= 1 + damping
    if fixed >= 0:
        for i in range(size):
            joint.matrix[max(i, fixed), min(i, fixed)] = 0.0
        joint.matrix[fixed, fixed] = 1.0
    return _cholesky(joint.matrix, joint.factor, size) > 0


@compiled_part
def move(
    problem: Problem, q: FloatArray, linear: int, start: Integer, share: float, joint: Joint, to: FloatArray
) -> bool:
    """Fill ``to`` with ``q`` after ``share`` of the joint step, within bounds; True if it met one (not of dilution)."""
    met = False
    to[:] = q
    for n in range(problem.free.size - 1):
        which = problem.free[n]
        row = 0 if n == 0 else start + linear + n - 1
        wanted = q[which] + share * joint.step[row]
        to[which] = min(max(wanted, problem.lower[which]), problem.upper[which])
        met = met or to[which] != wanted
    rest = (1 - q[-1]) - share * joint.step[1]
    to[-1] = 1 - min(max(rest, 0.006), 1.9)
    return met


@compiled_part
def minimise(pair: Pair, fixed: Integer, tolerance: float, evaluations: Integer, joint: Joint) -> tuple[float, bool]:
    """Descend by Levenberg-Marquardt; return chi-squared after the last, undamped step and whether it converged.

    The normal equations are left as they were before that step, factored without damping.
    """
    damping, chi2 = 0.0, assemble(pair, pair.q, pair.more_q, joint)
    if not np.isfinite(chi2):
        return np.inf, False
    used = 1
    start = pair.work.gradient.size
    while used <= evaluations:
        if not factorise(fixed, damping, joint):
            return np.inf, False
        joint.step[:] = joint.gradient
        if fixed >= 0:
            joint.step[fixed] = 0.0
        _solve(joint.factor, joint.step, joint.step, joint.step.size)
        fall = 0.0
        for i in range(joint.step.size):
            fall += joint.step[i] * joint.gradient[i]
            fall += damping * joint.normal[i, i] * joint.step[i] ** 2 if i != fixed else 0.0
        share = 1.0
        longest = max(abs(joint.step[0]) / max(abs(pair.q[0]), 1e16), abs(joint.step[1]) / (1 - pair.q[-1]))
        if longest > LARGEST_STEP:
            share = LARGEST_STEP / longest
        last = fall <= tolerance and damping == 0.0 and share == 1.0
        move(pair.first, pair.q, pair.linear.size, np.int64(2), share, joint, joint.trial)
        move(pair.second, pair.more_q, pair.more_linear.size, start, share, joint, joint.more_trial)
        if last:
            pair.q[:], pair.more_q[:] = joint.trial, joint.more_trial
            return chi2 - fall, True
        trial = assemble(pair, joint.trial, joint.more_trial, joint)
        used += 1
        if trial < chi2:
            pair.q[:], pair.more_q[:] = joint.trial, joint.more_trial
            chi2 = trial
            damping = 0.1 * damping if damping > 1e-4 else 0.0
        else:
            chi2 = assemble(pair, pair.q, pair.more_q, joint)
            damping = max(10 * damping, 1e-3)
            if damping > 1e8:
                return chi2, False
    return chi2, False


@compiled_part
def covariance(
    pair: Pair, offset: int, half: FloatArray, more_half: FloatArray, freedom: float, joint: Joint, out: FloatArray
) -> tuple[float, float]:
    """Fill ``out``: variances of all joint parameters, and the covariance of the first two after them.

    Those of SO2 and light dilution hold with the pixels that the windows share (``offset`` later in the first) being
    one measurement (White 1980's sandwich with the weights' variances). Returns the noise's variance in units of the
    weights, and how much larger the variance of SO2 is than that of separate pixels; (nan, nan) if singular.
    """
    size = joint.normal.shape[0]
    chi2 = assemble(pair, pair.q, pair.more_q, joint)
    if not np.isfinite(chi2) or not factorise(np.int64(ALL_FREE), 0.0, joint):
        return np.nan, np.nan
    total = 0.0
    for p in range(pair.counts.size):
        total += pair.weight[p] / half[p] * (pair.counts[p] - pair.work.model[p]) ** 2
    for p in range(pair.more_counts.size):
        total += pair.more_weight[p] / more_half[p] * (pair.more_counts[p] - pair.more_work.model[p]) ** 2
    noise = total / freedom
    inverse = np.zeros((2, size))
    for i in range(size - 1, -1, -1):
        joint.step[:] = 0.0
        joint.step[i] = 1.0
        _solve(joint.factor, joint.step, joint.step, size)
        out[i] = noise * joint.step[i]
        if i < 2:
            inverse[i] = joint.step
    naive = out[0]
    base = min(offset, 0)
    span = max(pair.counts.size, offset + pair.more_counts.size) - base
    influence, variance = np.zeros((2, span)), np.zeros(span)
    for side in range(2):
        work = pair.work if side == 0 else pair.more_work
        weight = pair.weight if side == 0 else pair.more_weight
        share = half if side == 0 else more_half
        linear = pair.linear.size if side == 0 else pair.more_linear.size
        start = 2 if side == 0 else pair.work.gradient.size
        moved = (0 if side == 0 else offset) - base
        count = work.gradient.size
        for i in range(count):
            row = 0 if i == linear else 1 if i == count - 1 else start + i - (1 if i > linear else 0)
            for p in range(weight.size):
                influence[0, moved + p] += inverse[0, row] * weight[p] * work.jacobian[i, p]
                influence[1, moved + p] += inverse[1, row] * weight[p] * work.jacobian[i, p]
        for p in range(weight.size):
            if weight[p] > 0:
                variance[moved + p] = noise * share[p] / weight[p]
    out[0] = out[1] = out[size] = 0.0
    for p in range(span):
        out[0] += influence[0, p] ** 2 * variance[p]
        out[1] += influence[1, p] ** 2 * variance[p]
        out[size] += influence[0, p] * influence[1, p] * variance[p]
    return noise, out[0] / naive
