"""The compiled search for light dilution along the SO2 column, many spectra at a call.

For each column, a least light dilution fits best, and only one: more dilution always weakens the absorption. The
search follows that valley of chi-squared through all columns on the wide grid, notes where it falls and rises, and
then descends into each hollow on the fine grid. ``dilution.py`` is the door to it.
"""

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.core.results import IntArray
from so2cam.science.spectra.compiled import compiled, compiled_part
from so2cam.science.spectra.dilution_joint import ALL_FREE, FIXED_SO2, Joint, Pair, covariance, minimise, move
from so2cam.science.spectra.kernel import Work, _solve, _workspace
from so2cam.science.spectra.model import Problem

LOWEST_DILUTION, HIGHEST_DILUTION = -0.2, 0.95
"""Where light dilution is looked for."""
HIGHEST_COLUMN = 5e19
"""[molecules cm-2]"""
COLUMN_STEP = 0.35
"""of the search, in ln SO2"""
SEARCH_TOLERANCE, JOINT_TOLERANCE, FINAL_TOLERANCE = 1.0, 0.3, 3e-3
"""A step is the last one when it promises to lower chi-squared by less than this, in units of the noise's variance."""
SEARCH_EVALUATIONS, FINAL_EVALUATIONS = 12, 40
FOUND, SEARCH_FAILED, FINAL_FAILED, BOUND_MET, SINGULAR_FIT = 0, 1, 2, 3, 4
"""How a fit ended."""


@compiled_part
def _set_column(pair: Pair, column: float, dilution: float) -> None:
    pair.q[0] = pair.more_q[0] = column
    pair.q[-1] = pair.more_q[-1] = dilution


@compiled_part
def _search(
    pair: Pair, column: float, towards: int, noise: float, points: FloatArray, states: FloatArray, joint: Joint
) -> int:
    """Follow the best light dilution along the column from ``column``, up (1) or down (-1); return how many points.

    Fills rows of ``points``: SO2, light dilution, chi-squared, its slope by ln SO2; and of ``states`` with q of both.
    """
    nonlinear, count = pair.q.size, 0
    while count < points.shape[0]:
        chi2, converged = minimise(
            pair, np.int64(FIXED_SO2), SEARCH_TOLERANCE * noise, np.int64(SEARCH_EVALUATIONS), joint
        )
        if not converged:
            break
        slope = joint.gradient[0]
        for i in range(1, joint.step.size):
            slope -= joint.normal[i, 0] * joint.step[i]
        points[count] = (column, pair.q[-1], chi2, -2 * slope * column)
        states[count, :nonlinear] = pair.q
        states[count, nonlinear:] = pair.more_q
        count += 1
        if not LOWEST_DILUTION < pair.q[-1] < HIGHEST_DILUTION or column >= HIGHEST_COLUMN:
            break
        # Along the valley all parameters move with the column; ln(1 - dilution) nearly by a constant slope.
        joint.slopes[0] = 0.0
        for i in range(1, joint.step.size):
            joint.slopes[i] = -joint.normal[i, 0]
        _solve(joint.factor, joint.slopes, joint.slopes, joint.slopes.size)
        change = column * (np.exp(towards * COLUMN_STEP) - 1)
        bend = -joint.slopes[1] * column / (1 - pair.q[-1]) * towards * COLUMN_STEP
        dilution = 1 - min((1 - pair.q[-1]) * np.exp(min(max(bend, -0.3), 0.3)), 1.9)
        joint.step[:] = joint.slopes
        move(pair.first, pair.q, pair.linear.size, np.int64(2), change, joint, joint.trial)
        move(pair.second, pair.more_q, pair.more_linear.size, pair.work.gradient.size, change, joint, joint.more_trial)
        pair.q[:], pair.more_q[:] = joint.trial, joint.more_trial
        column += change
        _set_column(pair, column, dilution)
    return count


@compiled_part
def _join(
    first: Problem,
    second: Problem,
    counts: FloatArray,
    more_counts: FloatArray,
    weight: FloatArray,
    more_weight: FloatArray,
    work: Work,
    more_work: Work,
) -> Pair:
    background, more_background = first.powers.shape[0], second.powers.shape[0]
    nonlinear = first.lower.size
    return Pair(
        first,
        second,
        counts,
        more_counts,
        weight,
        more_weight,
        np.zeros(nonlinear),
        np.zeros(second.lower.size),
        np.zeros(background + first.offsets.shape[0]),
        np.zeros(more_background + second.offsets.shape[0]),
        work,
        more_work,
    )


@compiled_part
def _room(first: Work, second: Work, nonlinear: int, more_nonlinear: int) -> Joint:
    size = first.gradient.size + second.gradient.size - 2
    return Joint(
        np.zeros((size, size)),
        np.zeros((size, size)),
        np.zeros((size, size)),
        np.zeros(size),
        np.zeros(size),
        np.zeros(size),
        np.zeros(nonlinear),
        np.zeros(more_nonlinear),
    )


@compiled_part
def _at_bound(problem: Problem, q: FloatArray) -> bool:
    for n in range(problem.free.size - 1):
        which = problem.free[n]
        if q[which] <= problem.lower[which] or q[which] >= problem.upper[which]:
            return True
    return False


@compiled_part
def _look(rough: Pair, start: FloatArray, noise: float, points: FloatArray, states: FloatArray, joint: Joint) -> int:
    """Search up and down from ``start`` (q of both windows); return how many points, ordered by column."""
    nonlinear, column, below, found = rough.q.size, start[0], 0, 0
    rough.q[:], rough.more_q[:] = start[:nonlinear], start[nonlinear:]
    _set_column(rough, column, 0.0)
    for towards in (-1, 1):
        if towards == 1:
            if found == 0:
                return 0
            below = found - 1
            points[:found] = points[:found][::-1].copy()
            states[:found] = states[:found][::-1].copy()
            rough.q[:], rough.more_q[:] = states[below, :nonlinear], states[below, nonlinear:]
        found = below + _search(rough, column, towards, noise, points[below:], states[below:], joint)
    return found


@compiled
def dilution_batch(
    first: Problem,
    second: Problem,
    rough_first: Problem,
    rough_second: Problem,
    offset: int,
    counts: FloatArray,
    more_counts: FloatArray,
    weight: FloatArray,
    more_weight: FloatArray,
    half: FloatArray,
    more_half: FloatArray,
    starts: FloatArray,
    noise: FloatArray,
    freedom: FloatArray,
    points: FloatArray,
    minima: FloatArray,
    solution: FloatArray,
    linear: FloatArray,
    variances: FloatArray,
    residual: FloatArray,
    model: FloatArray,
    ended: IntArray,
) -> None:
    """Find column and light dilution of M spectra; fill the arrays from ``points`` on.

    ``weight`` (M, N) are inverse variances of the noise up to a factor, times ``half`` (N,), the share that a pixel of
    both windows has in each; ``starts`` (M, 2 Q) are the parameters of both windows' fits without dilution, ``noise``
    (M,) their residual variance in units of the weights, ``freedom`` (M,) the degrees of freedom. ``points`` (M, S, 4)
    are the search's SO2, light dilution, chi-squared and its slope, ``minima`` (M, K, 4) SO2, light dilution,
    chi-squared and that of the wide grid; all NaN where unused. ``solution`` (M, 2 Q), ``linear`` (M, L) and ``model``
    (M, N) of the first window belong to the lowest minimum, ``variances`` (M, P + 1) as in ``covariance``,
    ``residual`` (M, 2) the noise's variance and the ratio of the two variances of SO2.
    """
    works, more_works = (_workspace(first), _workspace(rough_first)), (_workspace(second), _workspace(rough_second))
    nonlinear, more_nonlinear = first.lower.size, second.lower.size
    joint = _room(works[0], more_works[0], nonlinear, more_nonlinear)
    states = np.zeros((points.shape[1], nonlinear + more_nonlinear))
    for m in range(counts.shape[0]):
        fine = _join(first, second, counts[m], more_counts[m], weight[m], more_weight[m], works[0], more_works[0])
        rough = _join(
            rough_first, rough_second, counts[m], more_counts[m], weight[m], more_weight[m], works[1], more_works[1]
        )
        found = _look(rough, starts[m], noise[m], points[m], states, joint)
        kept, best = 0, np.inf
        ended[m] = SEARCH_FAILED
        for k in range(found - 1):
            if kept == minima.shape[1] or not (points[m, k, 3] < 0 and points[m, k + 1, 3] >= 0):
                continue
            nearest = k if points[m, k, 2] < points[m, k + 1, 2] else k + 1
            rough.q[:], rough.more_q[:] = states[nearest, :nonlinear], states[nearest, nonlinear:]
            wide, chi2, converged = np.inf, np.inf, True
            for grid in range(2):
                pair = rough if grid == 0 else fine
                tolerance = JOINT_TOLERANCE if grid == 0 else FINAL_TOLERANCE
                if grid == 1:
                    fine.q[:], fine.more_q[:] = rough.q, rough.more_q
                wide = chi2
                chi2, converged = minimise(
                    pair, np.int64(ALL_FREE), tolerance * noise[m], np.int64(FINAL_EVALUATIONS), joint
                )
                if not converged:
                    break
            if not converged:
                ended[m] = FINAL_FAILED if best == np.inf else ended[m]
                continue
            minima[m, kept] = (fine.q[0], fine.q[-1], chi2, wide)
            kept += 1
            if chi2 < best:
                best = chi2
                solution[m, :nonlinear], solution[m, nonlinear:] = fine.q, fine.more_q
                ended[m] = FOUND
        if ended[m] != FOUND:
            continue
        fine.q[:], fine.more_q[:] = solution[m, :nonlinear], solution[m, nonlinear:]
        residual[m] = covariance(fine, offset, half, more_half, freedom[m], joint, variances[m])
        linear[m], model[m] = fine.linear, fine.work.model
        if not np.isfinite(residual[m, 0]):
            ended[m] = SINGULAR_FIT
        elif (
            _at_bound(first, fine.q)
            or _at_bound(second, fine.more_q)
            or not LOWEST_DILUTION < fine.q[-1] < HIGHEST_DILUTION
        ):
            ended[m] = BOUND_MET
