"""The compiled core of the intensity fit: model, analytic derivatives, variable projection.

Everything here is compiled by numba on first use and kept on disk. One spectrum is fitted after the other, in room that
is allocated once. ``fit.py`` and ``forward.py`` are the doors to it, ``model.py`` builds its ``Problem``.

A spectrum's parameters are of two sorts. The linear ones (background and offset polynomials) are solved for exactly at
each set of the others (variable projection, Golub & Pereyra 1973, with Kaufman's 1975 derivatives, which here are the
joint normal equations with the linear residual at zero). The others, ``q``, step by Levenberg-Marquardt:

    q = so2, further absorbers, shift polynomial, width, exponent, their two asymmetries, light dilution
"""

from typing import NamedTuple

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.core.results import IntArray
from so2cam.science.spectra.compiled import compiled, compiled_part
from so2cam.science.spectra.model import Problem

CUT = 14.0
"""The line shape ends where it has fallen to exp(-14) of its top."""
OK, NOT_CONVERGED, AT_BOUND, NO_INFORMATION, FEW_PIXELS = 0, 1, 2, 3, 4
"""How a fit ended."""
TOLERANCE = 3e-7
"""A fit has converged when an undamped step would lower chi-squared by less than this share."""
ROUGH = 1e-3
"""The same on the wider grid."""
DAMPING = 1e-5
"""of the first step, of the information's diagonal"""
NEAR = 0.05
"""Steps are mixed with the last one from where they promise to lower chi-squared by less than this share."""
SUSPECT = 2.0
"""A warm start's residual may have this many times the last one's share of squares before it is doubted."""
EXACT = 1e-17
"""The same as a share of the squares of the counts, for spectra without noise."""
POOR = 0.025**2
"""A residual of a larger share of squares than this is doubted in any fit."""
SINGULAR = 1e-12
"""Share of a parameter's own information that must remain beside the others, or it is not determined."""


class Work(NamedTuple):
    """Room for one spectrum's fit; rows of ``jacobian`` are parameters, linear ones first."""

    transmitted: FloatArray
    escaped: FloatArray
    dilution: FloatArray
    columns: FloatArray
    depth: FloatArray
    products: FloatArray
    part: IntArray
    side: FloatArray
    weighted: FloatArray
    residual: FloatArray
    rows: IntArray
    linear_rows: IntArray
    shape: FloatArray
    slopes: FloatArray
    taps: FloatArray
    begins: IntArray
    fraction: FloatArray
    jacobian: FloatArray
    model: FloatArray
    normal: FloatArray
    factor: FloatArray
    damped: FloatArray
    gradient: FloatArray
    step: FloatArray
    linear_normal: FloatArray
    linear_right: FloatArray


@compiled_part
def _workspace(problem: Problem) -> Work:
    grid, pixels = problem.solar.size, problem.pixels.size
    half = problem.log_distance.size - 1
    parameters = problem.powers.shape[0] + problem.offsets.shape[0] + problem.free.size
    return Work(
        np.zeros(grid),
        np.zeros(grid),
        np.zeros(grid),
        np.zeros((problem.powers.shape[0] + problem.offset_light.shape[0], grid)),
        np.zeros(grid),
        np.zeros((problem.absorbers.shape[0] + 3, grid)),
        np.zeros(2, np.int64),
        np.zeros((3, half + 1)),
        np.zeros(pixels),
        np.zeros(pixels),
        np.zeros(problem.absorbers.shape[0] + 3, np.int64),
        np.arange(problem.powers.shape[0] + problem.offset_light.shape[0]),
        np.zeros(2 * half + 7),
        np.zeros((2, 2 * half + 7)),
        np.zeros((pixels, 2 * half + 4)),
        np.zeros(pixels, np.int64),
        np.zeros(pixels),
        np.zeros((parameters, pixels)),
        np.zeros(pixels),
        np.zeros((parameters, parameters)),
        np.zeros((parameters, parameters)),
        np.zeros((parameters, parameters)),
        np.zeros(parameters),
        np.zeros(parameters),
        np.zeros((parameters, parameters)),
        np.zeros(parameters),
    )


@compiled_part
def _exp(x: float) -> float:
    """e^x for x of at most some 30, exact to 1e-13: a polynomial of x/256, squared eight times; loops vectorise."""
    y = max(x, -300.0) * (1.0 / 256.0)
    p = 1.0 + y * (
        1.0
        + y * (1 / 2 + y * (1 / 6 + y * (1 / 24 + y * (1 / 120 + y * (1 / 720 + y * (1 / 5040 + y * (1 / 40320)))))))
    )
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    return p * p


@compiled_part
def _dot(a: FloatArray, b: FloatArray) -> float:
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@compiled_part
def _sides(width: float, exponent: float, skew: float, skew_exponent: float) -> tuple[float, float, float, float]:
    """Scale and exponent on the side of longer and of shorter wavelengths (see ``line_shape.super_gaussian``)."""
    plus, minus = exponent + skew_exponent, exponent - skew_exponent
    scale = width / ((1 + skew) * np.log(2.0) ** (1 / plus) + (1 - skew) * np.log(2.0) ** (1 / minus))
    return scale * (1 + skew), scale * (1 - skew), plus, minus


@compiled_part
def _line_shape(problem: Problem, q: FloatArray, work: Work) -> int:
    """Fill ``work.shape`` and its derivatives; return its half width in steps, or -1 if there is no such shape.

    Entry ``half + 3 + j`` belongs to the source j steps to the longer side of the pixel, at offset -j of the shape.
    """
    if problem.table.size:
        half = (problem.table.size - 1) // 2
        work.shape[:] = 0.0
        for j in range(2 * half + 1):
            work.shape[half + 3 + j - half] = problem.table[2 * half - j]
        return half
    at = 1 + problem.absorbers.shape[0] - 1 + problem.shifts
    right, left, plus, minus = _sides(q[at], q[at + 1], q[at + 2], q[at + 3])
    if not (right > 0 and left > 0 and plus > 0.3 and minus > 0.3):
        return -1
    reach = max(right * CUT ** (1 / plus), left * CUT ** (1 / minus))
    half = min(int(reach / problem.step_nm) + 1, problem.log_distance.size - 1)
    middle = half + 3
    shape, first, second = work.shape, work.slopes[0], work.slopes[1]
    shape[:] = 0.0
    first[:] = 0.0
    second[:] = 0.0
    log_right, log_left, floor = np.log(right), np.log(left), np.exp(-CUT)
    distance, at_side = problem.log_distance[1 : half + 1], work.side[:, :half]
    for side in range(2):
        log_scale = log_right if side == 0 else log_left
        exponent = plus if side == 0 else minus
        inverse, to_scale = 1 / exponent, exponent / (right if side == 0 else left)
        value, by_scale, by_exponent = at_side[0], at_side[1], at_side[2]
        for j in range(half):
            power = exponent * (distance[j] - log_scale)
            t = _exp(min(power, 4.0))
            g = _exp(-t)
            value[j] = max(g - floor, 0.0)
            by_scale[j] = g * t * to_scale
            by_exponent[j] = -g * t * power * inverse
        if side == 0:
            shape[3:middle] = value[::-1]
            first[3:middle] = by_scale[::-1]
            second[3:middle] = by_exponent[::-1]
        else:
            shape[middle + 1 : middle + half + 1] = value
            first[middle + 1 : middle + half + 1] = by_scale
            second[middle + 1 : middle + half + 1] = by_exponent
    shape[middle] = 1.0 - floor
    norm = 1 / np.sum(shape[3 : middle + half + 1])
    shape *= norm
    first *= norm
    second *= norm
    return half


@compiled_part
def _lagrange(f: float) -> tuple[float, float, float, float]:
    """Weights of the points -1, 0, 1 and 2 for a cubic through them at ``f``."""
    return (
        -f * (f - 1) * (f - 2) / 6,
        (f + 1) * (f - 1) * (f - 2) / 2,
        -(f + 1) * f * (f - 2) / 2,
        (f + 1) * f * (f - 1) / 6,
    )


@compiled_part
def _place_pixels(problem: Problem, q: FloatArray, half: int, work: Work) -> bool:
    """Find each pixel's place on the grid; False if one leaves the grid."""
    first = problem.absorbers.shape[0]
    last = problem.solar.size - half - 6
    for p in range(problem.pixels.size):
        shift, power = 0.0, 1.0
        for s in range(problem.shifts):
            shift += q[first + s] * power
            power *= problem.distance_nm[p]
        place = problem.pixels[p] + shift / problem.step_nm
        if not (half + 4 <= place <= last):
            return False
        work.begins[p] = int(place) - half - 1
        work.fraction[p] = place - int(place)
    return True


@compiled_part
def _move_shape(wide: int, work: Work) -> None:
    """Fill ``work.taps``: the line shape around each pixel.

    It is moved by a cubic between four neighbours, which is the same as convolving on the grid and interpolating.
    """
    shape = work.shape
    behind, at, ahead, far = shape[3 : wide + 3], shape[2 : wide + 2], shape[1 : wide + 1], shape[:wide]
    for p in range(work.begins.size):
        before, here, after, beyond = _lagrange(work.fraction[p])
        taps = work.taps[p]
        for m in range(wide):
            taps[m] = before * behind[m] + here * at[m] + after * ahead[m] + beyond * far[m]


@compiled_part
def _convolve(light: FloatArray, count: int, wide: int, rows: IntArray, work: Work) -> None:
    """Convolve the first ``count`` rows of ``light`` into ``rows`` of the Jacobian, up to four at once."""
    done = 0
    while done < count:
        last = count - 1
        second, third, fourth = min(done + 1, last), min(done + 2, last), min(done + 3, last)
        a, b, c, d = light[done], light[second], light[third], light[fourth]
        if last - done >= 2:
            to_a, to_b = work.jacobian[rows[done]], work.jacobian[rows[second]]
            to_c, to_d = work.jacobian[rows[third]], work.jacobian[rows[fourth]]
            for p in range(work.begins.size):
                start, stop = work.begins[p], work.begins[p] + wide
                taps = work.taps[p, :wide]
                a_here, b_here, c_here, d_here = a[start:stop], b[start:stop], c[start:stop], d[start:stop]
                e, f, g, h = 0.0, 0.0, 0.0, 0.0
                for m in range(wide):
                    e += taps[m] * a_here[m]
                    f += taps[m] * b_here[m]
                    g += taps[m] * c_here[m]
                    h += taps[m] * d_here[m]
                to_a[p], to_b[p], to_c[p], to_d[p] = e, f, g, h
            done += 4
        else:
            to = work.jacobian[rows[done]]
            for p in range(work.begins.size):
                start = work.begins[p]
                to[p] = _dot(work.taps[p, :wide], a[start : start + wide])
            done += 1


@compiled_part
def _transmit(problem: Problem, q: FloatArray, diluted: bool, work: Work) -> None:
    """Fill ``work.transmitted``: sunlight behind the absorbers, without the background polynomial."""
    low, count = work.part[0], work.part[1]
    depth, out = work.depth[:count], work.transmitted[:count]
    escaped, dilution = work.escaped[:count], work.dilution[:count]
    solar = problem.solar[low : low + count]
    depth[:] = 0.0
    if diluted:
        log_rest = np.log(1 - q[-1])
        section, power = problem.absorbers[0, low : low + count], problem.rayleigh[low : low + count]
        for i in range(count):
            escaped[i] = _exp(-q[0] * section[i])
        for i in range(count):
            dilution[i] = 1 - _exp(power[i] * log_rest)
    for a in range(1 if diluted else 0, problem.absorbers.shape[0]):
        column, section = q[a], problem.absorbers[a, low : low + count]
        for i in range(count):
            depth[i] += column * section[i]
    for i in range(count):
        out[i] = solar[i] * _exp(-depth[i])
    if diluted:
        for i in range(count):
            out[i] *= dilution[i] + (1 - dilution[i]) * escaped[i]


@compiled_part
def _cholesky(matrix: FloatArray, factor: FloatArray, size: int) -> float:
    """Factor the matrix, scaled to a unit diagonal in place of which its own stands; return the least pivot.

    ``factor`` holds the lower triangle. A pivot of the scaled matrix is the share of a parameter's information that
    the ones before it do not explain; from ``SINGULAR`` down the factor is of no use.
    """
    least = 1.0
    for i in range(size):
        if not matrix[i, i] > 0:
            return 0.0
    for i in range(size):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if i == j:
                least = min(least, total / matrix[i, i])
                if not total > 1e-15 * matrix[i, i]:
                    return 0.0
                factor[i, i] = np.sqrt(total)
            else:
                factor[i, j] = total / factor[j, j]
    return least


@compiled_part
def _solve(factor: FloatArray, right: FloatArray, out: FloatArray, size: int) -> None:
    """Solve the factored system into ``out``."""
    for i in range(size):
        total = right[i]
        for k in range(i):
            total -= factor[i, k] * out[k]
        out[i] = total / factor[i, i]
    for i in range(size - 1, -1, -1):
        total = out[i]
        for k in range(i + 1, size):
            total -= factor[k, i] * out[k]
        out[i] = total / factor[i, i]


@compiled_part
def _evaluate(
    problem: Problem, q: FloatArray, counts: FloatArray, weight: FloatArray, linear: FloatArray, work: Work
) -> tuple[float, int]:
    """Model the spectrum with the best linear parameters; return chi-squared (inf: impossible) and the half width."""
    half = _line_shape(problem, q, work)
    if half < 0 or not q[-1] < 1 or not _place_pixels(problem, q, half, work):
        return np.inf, half
    pixels, wide = problem.pixels.size, 2 * half + 4
    work.part[0] = low = np.min(work.begins) - 2
    work.part[1] = count = np.max(work.begins) + wide + 2 - low
    work.begins[:] -= low
    diluted = q[-1] != 0 or problem.free[-1] == q.size - 1
    _transmit(problem, q, diluted, work)
    background, offsets = problem.powers.shape[0], problem.offsets.shape[0]
    size = background + offsets
    transmitted = work.transmitted[:count]
    for b in range(background):
        column, power = work.columns[b, :count], problem.powers[b, low : low + count]
        for i in range(count):
            column[i] = transmitted[i] * power[i]
    _move_shape(wide, work)
    ended = problem.offset_light.shape[0]
    work.columns[background : background + ended, :count] = problem.offset_light[:, low : low + count]
    _convolve(work.columns, background + ended, wide, work.linear_rows, work)
    for o in range(ended, offsets):
        work.jacobian[background + o] = problem.offsets[o]
    weighted, modelled = work.weighted, work.model
    for i in range(size):
        column = work.jacobian[i]
        for p in range(pixels):
            weighted[p] = weight[p] * column[p]
        work.linear_right[i] = _dot(weighted, counts)
        for j in range(i + 1):
            work.linear_normal[i, j] = _dot(weighted, work.jacobian[j])
    if not _cholesky(work.linear_normal, work.factor, size) > SINGULAR:
        return np.inf, half
    _solve(work.factor, work.linear_right, linear, size)
    modelled[:] = 0.0
    for i in range(size):
        column, factor = work.jacobian[i], linear[i]
        for p in range(pixels):
            modelled[p] += factor * column[p]
    chi2 = 0.0
    for p in range(pixels):
        residual = counts[p] - modelled[p]
        chi2 += weight[p] * residual * residual
    return chi2, half


@compiled_part
def _shape_sums(
    first: FloatArray, second: FloatArray, light: FloatArray, before: float, here: float, after: float
) -> tuple[float, float]:
    """Sums of two slopes of the line shape over the light, interpolated between three points of the grid."""
    a, b, c, d, e, f = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(first.size):
        a += first[j] * light[j]
        b += first[j] * light[j + 1]
        c += first[j] * light[j + 2]
        d += second[j] * light[j]
        e += second[j] * light[j + 1]
        f += second[j] * light[j + 2]
    return before * a + here * b + after * c, before * d + here * e + after * f


@compiled_part
def _shape_columns(problem: Problem, q: FloatArray, linear: FloatArray, half: int, row: int, work: Work) -> None:
    """Fill the rows of the free parameters of the line shape, from ``row`` on."""
    at = problem.absorbers.shape[0] + problem.shifts
    width, exponent, skew, skew_exponent = q[at], q[at + 1], q[at + 2], q[at + 3]
    plus, minus = exponent + skew_exponent, exponent - skew_exponent
    log_two = np.log(2.0)
    root_plus, root_minus = log_two ** (1 / plus), log_two ** (1 / minus)
    divisor = (1 + skew) * root_plus + (1 - skew) * root_minus
    scale = width / divisor
    slope_plus = -(1 + skew) * root_plus * np.log(log_two) / plus**2
    slope_minus = -(1 - skew) * root_minus * np.log(log_two) / minus**2
    # Derivatives of the scales on the two sides by the four parameters; those of the exponents are 1 and 1 or -1.
    chain = np.zeros((4, 4))
    by = (
        scale / width,
        -scale / divisor * (slope_plus + slope_minus),
        -scale / divisor * (root_plus - root_minus),
        -scale / divisor * (slope_plus - slope_minus),
    )
    for n in range(4):
        chain[n, 0] = by[n] * (1 + skew)
        chain[n, 2] = by[n] * (1 - skew)
    chain[2, 0] += scale
    chain[2, 2] -= scale
    chain[1, 1] = chain[1, 3] = chain[3, 1] = 1.0
    chain[3, 3] = -1.0
    middle, light = half + 3, work.transmitted
    first, second = work.slopes[0], work.slopes[1]
    right_first, right_second = first[middle - half : middle], second[middle - half : middle]
    left_first, left_second = first[middle + 1 : middle + half + 1], second[middle + 1 : middle + half + 1]
    sums = (np.sum(right_first), np.sum(right_second), np.sum(left_first), np.sum(left_second))
    background, offsets = problem.powers.shape[0], problem.offsets.shape[0]
    count = problem.free.size
    for p in range(problem.pixels.size):
        # A parabola through the nearest point of the grid and its neighbours.
        f = work.fraction[p]
        start = work.begins[p]
        if f > 0.5:
            f -= 1
            start += 1
        before, here, after = f * (f - 1) / 2, 1 - f * f, f * (f + 1) / 2
        a, b = _shape_sums(right_first, right_second, light[start : start + half + 2], before, here, after)
        start += half + 1
        c, d = _shape_sums(left_first, left_second, light[start : start + half + 2], before, here, after)
        bare = work.model[p]
        for o in range(offsets):
            bare -= linear[background + o] * problem.offsets[o, p]
        basis = (a - bare * sums[0], b - bare * sums[1], c - bare * sums[2], d - bare * sums[3])
        to = row
        for n in range(count):
            which = problem.free[n] - at
            if 0 <= which < 4:
                work.jacobian[to, p] = (
                    chain[which, 0] * basis[0]
                    + chain[which, 1] * basis[1]
                    + chain[which, 2] * basis[2]
                    + chain[which, 3] * basis[3]
                )
                to += 1


@compiled_part
def _differentiate(problem: Problem, q: FloatArray, linear: FloatArray, half: int, work: Work) -> None:
    """Fill the Jacobian's rows of the other parameters, at the point that was evaluated last."""
    background, offsets = problem.powers.shape[0], problem.offsets.shape[0]
    absorbers, pixels = problem.absorbers.shape[0], problem.pixels.size
    low, count = work.part[0], work.part[1]
    light, filled = work.transmitted[:count], 0
    light[:] = 0.0
    for b in range(background):
        column, factor = work.columns[b, :count], linear[b]
        for i in range(count):
            light[i] += factor * column[i]
    diluted = q[-1] != 0 or problem.free[-1] == q.size - 1
    escaped, dilution = work.escaped[:count], work.dilution[:count]
    row = background + offsets
    moved, shaped = -1, False
    for n in range(problem.free.size):
        which, product = problem.free[n], work.products[filled, :count]
        if which < absorbers:
            section = problem.absorbers[which, low : low + count]
            for i in range(count):
                product[i] = -section[i] * light[i]
            if which == 0 and diluted:
                for i in range(count):
                    left = (1 - dilution[i]) * escaped[i]
                    product[i] *= left / (dilution[i] + left)
        elif which < absorbers + problem.shifts:
            if moved < 0:
                moved = row
                scale = 1 / (12 * problem.step_nm)
                product[:2] = 0.0
                product[-2:] = 0.0
                total = light
                if problem.offset_light.shape[0]:
                    total = work.depth[:count]
                    total[:] = light
                    for o in range(offsets):
                        total += linear[background + o] * work.columns[background + o, :count]
                inner, behind, before = product[2:], total[: count - 4], total[1 : count - 3]
                after, ahead = total[3 : count - 1], total[4:]
                for i in range(count - 4):
                    inner[i] = (8 * (after[i] - before[i]) - ahead[i] + behind[i]) * scale
        elif which < q.size - 1:
            if not shaped:
                shaped = True
                _shape_columns(problem, q, linear, half, row, work)
        else:
            log_rest, power = np.log(1 - q[-1]), problem.rayleigh[low : low + count]
            for i in range(count):
                slope = power[i] * _exp((power[i] - 1) * log_rest)
                bracket = dilution[i] + (1 - dilution[i]) * escaped[i]
                product[i] = light[i] * (1 - escaped[i]) * slope / bracket
        if which < absorbers or moved == row or which == q.size - 1:
            work.rows[filled] = row
            filled += 1
        row += 1
    _convolve(work.products, filled, 2 * half + 4, work.rows, work)
    for s in range(1, problem.shifts):
        for p in range(pixels):
            work.jacobian[moved + s, p] = work.jacobian[moved + s - 1, p] * problem.distance_nm[p]


@compiled_part
def _normal_equations(counts: FloatArray, weight: FloatArray, work: Work) -> None:
    """Fill ``work.normal`` and ``work.gradient`` from the Jacobian and the residual."""
    size, pixels = work.jacobian.shape
    weighted, residual, modelled = work.weighted, work.residual, work.model
    for p in range(pixels):
        residual[p] = counts[p] - modelled[p]
    for i in range(size):
        column = work.jacobian[i]
        for p in range(pixels):
            weighted[p] = weight[p] * column[p]
        work.gradient[i] = _dot(weighted, residual)
        for j in range(i + 1):
            work.normal[i, j] = _dot(weighted, work.jacobian[j])


@compiled_part
def _damped_step(
    problem: Problem, q: FloatArray, damping: float, matrix: FloatArray, frozen: IntArray, work: Work
) -> float:
    """Find the damped step into ``work.step`` and return the fall of chi-squared that it promises; NaN if none.

    Parameters at a bound that the step would leave are held there (``frozen`` is 1); others stop at theirs.
    """
    size = work.gradient.size
    first = size - problem.free.size
    frozen[:] = 0
    for _ in range(problem.free.size + 1):
        for i in range(size):
            for j in range(i + 1):
                matrix[i, j] = work.normal[i, j]
            work.step[i] = work.gradient[i]
        for n in range(problem.free.size):
            i = first + n
            if frozen[n]:
                matrix[i, :i] = 0.0
                matrix[i + 1 :, i] = 0.0
                matrix[i, i] = 1.0
                work.step[i] = 0.0
            else:
                matrix[i, i] *= 1 + damping
        if not _cholesky(matrix, work.factor, size) > 0:
            return np.nan
        _solve(work.factor, work.step, work.step, size)
        again = False
        for n in range(problem.free.size):
            at, step = q[problem.free[n]], work.step[first + n]
            lower, upper = problem.lower[problem.free[n]], problem.upper[problem.free[n]]
            if (at <= lower and step < 0) or (at >= upper and step > 0):
                frozen[n] = 1
                again = True
        if not again:
            break
    fall = 0.0
    for i in range(size):
        fall += work.step[i] * work.gradient[i]
    for n in range(problem.free.size):
        i = first + n
        if not frozen[n]:
            fall += damping * work.normal[i, i] * work.step[i] ** 2
    return fall


@compiled_part
def _accelerate(last_step: FloatArray, work: Work) -> float:
    """Return the weight of the last step in Anderson's (1965) mixing of two, from how the steps change.

    Gauss-Newton steps fall by a constant factor near the minimum, up to 0.5 where the line shape's asymmetry and the
    shift do nearly the same; the mixing removes that. 0 where the two steps do not tell.
    """
    size = work.step.size
    across, along = 0.0, 0.0
    for i in range(size):
        product = 0.0
        for j in range(size):
            entry = work.normal[i, j] if j <= i else work.normal[j, i]
            product += entry * (work.step[j] - last_step[j])
        across += product * work.step[i]
        along += product * (work.step[i] - last_step[i])
    return across / along if abs(across) < along else 0.0


@compiled_part
def _variances(matrix: FloatArray, factor: FloatArray, out: FloatArray) -> bool:
    """Fill ``out`` with the diagonal of the inverse; False if the matrix is singular."""
    size = out.size
    if not _cholesky(matrix, factor, size) > SINGULAR:
        return False
    column = np.empty(size)
    for i in range(size):
        # Column i of the inverse of the factor; the inverse's diagonal sums the squares of its rows.
        out[i] = 0.0
    for i in range(size):
        for k in range(i, size):
            total = 1.0 if k == i else 0.0
            for m in range(i, k):
                total -= factor[k, m] * column[m]
            column[k] = total / factor[k, k]
        for k in range(i, size):
            out[i] += column[k] ** 2
    return True


@compiled_part
def _descend(
    problem: Problem,
    counts: FloatArray,
    weight: FloatArray,
    tolerance: float,
    q: FloatArray,
    linear: FloatArray,
    work: Work,
) -> tuple[int, float, int]:
    """Step from ``q`` to the minimum, in place; return how it ended (OK, ...), chi-squared and the evaluations."""
    size = work.step.size
    first = size - problem.free.size
    matrix = work.damped
    frozen = np.zeros(problem.free.size, np.int64)
    trial, trial_linear = q.copy(), linear.copy()
    last_q, last_step, steps = q.copy(), np.zeros(size), 0
    chi2, half = _evaluate(problem, q, counts, weight, linear, work)
    evaluations, damping, floor = 1, DAMPING, EXACT * _dot(weight * counts, counts)
    if not np.isfinite(chi2):
        return NO_INFORMATION, np.nan, evaluations
    while True:
        _differentiate(problem, q, linear, half, work)
        _normal_equations(counts, weight, work)
        accepted, converged, tried = False, False, 0
        while not accepted:
            fall = _damped_step(problem, q, damping, matrix, frozen, work)
            if not np.isfinite(fall):
                damping = max(10 * damping, 1e-6)
                if damping > 1e10:
                    return NO_INFORMATION, chi2, evaluations
                continue
            clipped, tried, mixing = False, tried + 1, 0.0
            if tried == 1:
                if steps and fall < NEAR * chi2:
                    mixing = _accelerate(last_step, work)
                steps += 1
            for n in range(problem.free.size):
                which = problem.free[n]
                to = q[which] + work.step[first + n]
                if mixing != 0:
                    to -= mixing * (q[which] - last_q[which] + work.step[first + n] - last_step[first + n])
                trial[which] = min(max(to, problem.lower[which]), problem.upper[which])
                clipped = clipped or trial[which] != to
            if tried == 1:
                last_q[:], last_step[:] = q, work.step
            converged = fall <= tolerance * chi2 + floor and damping < 1e-2 and not clipped
            if evaluations >= problem.evaluations:
                return NOT_CONVERGED, chi2, evaluations
            trial_chi2, trial_half = _evaluate(problem, trial, counts, weight, trial_linear, work)
            evaluations += 1
            if trial_chi2 < chi2:
                accepted, half = True, trial_half
                gain = (chi2 - trial_chi2) / fall
                chi2 = trial_chi2
                q[:], linear[:] = trial, trial_linear
                damping = max(0.1 * damping if gain > 0.5 else damping, 1e-9)
            elif converged:
                # As low as rounding lets it: the point before is the result.
                chi2, half = _evaluate(problem, q, counts, weight, linear, work)
                accepted = True
            elif mixing == 0:
                if fall <= 1e-14 * chi2 or damping > 1e10:
                    return NOT_CONVERGED, chi2, evaluations
                damping = max(10 * damping, 1e-4)
        if converged:
            return OK, chi2, evaluations


@compiled_part
def _conclude(problem: Problem, weight: FloatArray, q: FloatArray, chi2: float, sigma: FloatArray, work: Work) -> int:
    """Fill ``sigma`` from the normal equations of the last step; return how the fit ended."""
    if not _variances(work.normal, work.factor, sigma):
        return NO_INFORMATION
    degrees = np.sum(weight) - sigma.size
    for i in range(sigma.size):
        sigma[i] = np.sqrt(sigma[i] * chi2 / degrees)
        if not np.isfinite(sigma[i]):
            return NO_INFORMATION
    for n in range(problem.free.size):
        which = problem.free[n]
        if q[which] <= problem.lower[which] or q[which] >= problem.upper[which]:
            return AT_BOUND
    return OK


@compiled
def fit_batch(
    problem: Problem,
    coarse: Problem,
    counts: FloatArray,
    weight: FloatArray,
    starts: FloatArray,
    dilution: FloatArray,
    others: FloatArray,
    warm: bool,
    q: FloatArray,
    linear: FloatArray,
    sigma: FloatArray,
    chi2: FloatArray,
    evaluations: IntArray,
    ended: IntArray,
    model: FloatArray,
) -> None:
    """Fit M spectra ``counts`` (M, N) with ``weight`` (M, N) of 0 or 1; fill the arrays after ``warm``.

    ``coarse`` is the same model on a wider grid, for the first steps. ``starts`` (M, Q) are the first guesses,
    ``dilution`` (M,) replaces the light dilution where that is held, and ``others`` (S,) are shifts [nm] to be tried
    where a fit does not end well. ``warm`` starts from the last fit that ended well.
    """
    work, rough = _workspace(problem), _workspace(coarse)
    nonlinear, size = starts.shape[1], sigma.shape[1]
    last, trial, trial_linear, trial_sigma = np.zeros(nonlinear), np.zeros(nonlinear), linear[0].copy(), np.zeros(size)
    known, quality = False, 0.0
    held = problem.free[-1] != nonlinear - 1
    shift = problem.absorbers.shape[0]
    for m in range(counts.shape[0]):
        if np.sum(weight[m]) <= size:
            ended[m] = FEW_PIXELS
            continue
        best, ended[m] = np.inf, NO_INFORMATION
        lowest, lowest_end = np.inf, NO_INFORMATION
        light = _dot(weight[m] * counts[m], counts[m])
        for attempt in range(0 if warm and known else 1, 2 + (others.size if problem.shifts else 0)):
            start = last if attempt == 0 else starts[m]
            trial[:] = start
            if attempt > 1:
                trial[shift] = others[attempt - 2]
            if held:
                trial[-1] = dilution[m]
            if attempt > 0 and coarse.step_nm > problem.step_nm:
                guess = trial.copy()
                end, total, count = _descend(coarse, counts[m], weight[m], ROUGH, trial, trial_linear, rough)
                evaluations[m] += count
                if end != OK:
                    trial[:] = guess
            end, total, count = _descend(problem, counts[m], weight[m], TOLERANCE, trial, trial_linear, work)
            evaluations[m] += count
            if end == OK:
                end = _conclude(problem, weight[m], trial, total, trial_sigma, work)
            if total < lowest:
                lowest, lowest_end = total, end
            if (end == OK and ended[m] != OK) or (total < best and (end == OK or ended[m] != OK)):
                best = total
                ended[m], chi2[m] = end, total
                q[m], linear[m], sigma[m], model[m] = trial, trial_linear, trial_sigma, work.model
            # A fit may be led into another valley, a warm one more easily: its residual tells, and others are tried.
            limit = SUSPECT * quality if attempt == 0 else POOR
            if ended[m] == OK and best <= limit * light:
                break
        if ended[m] == OK and best > SUSPECT * lowest + EXACT * light:
            # A start that did not end well came much lower: what ended well is another valley.
            ended[m] = lowest_end
        if ended[m] == OK:
            last[:], known, quality = q[m], True, best / light


@compiled
def model_batch(problem: Problem, q: FloatArray, linear: FloatArray, out: FloatArray) -> None:
    """Fill ``out`` (M, N) with spectra of the parameters ``q`` (M, Q) and ``linear`` (M, B + O); NaN: impossible."""
    work = _workspace(problem)
    weight, scratch = np.ones(problem.pixels.size), linear[0].copy()
    for m in range(q.shape[0]):
        chi2, _ = _evaluate(problem, q[m], weight, weight, scratch, work)
        out[m] = 0.0 if np.isfinite(chi2) else np.nan
        for i in range(scratch.size):
            out[m] += linear[m, i] * work.jacobian[i]
