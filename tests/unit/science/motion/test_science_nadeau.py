"""The shift of profiles along the plume's axis against known shifts, and the axis against known directions."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from so2cam.core.records import FloatArray
from so2cam.core.status import EmissionStatus
from so2cam.science.motion.nadeau import Axis, Shift, axis_profile, plume_axis, profile_shift, projected_shift

OK = EmissionStatus.OK


def pattern(rng: np.random.Generator, count: int = 300, size: float = 6) -> CubicSpline:
    pad = 100
    values = gaussian_filter1d(rng.standard_normal(count + 2 * pad), size)
    return CubicSpline(np.arange(-pad, count + pad), values / values.std())


def pair(
    seed: int, shift: float, noise: float = 0.0, change: float = 0.0, count: int = 300
) -> tuple[FloatArray, FloatArray]:
    """Two profiles of unit variance; the second lies ``shift`` further along and has changed by a share."""
    rng = np.random.default_rng(seed)
    one, other = pattern(rng, count), pattern(rng, count)
    index = np.arange(count)
    second = np.sqrt(1 - change**2) * one(index - shift) + change * other(index - shift)
    return one(index) + noise * rng.standard_normal(count), second + noise * rng.standard_normal(count)


@pytest.mark.parametrize("shift", [0.0, 0.25, -0.5, 3.4, -7.7, 21.3, -40.15])
def test_known_shifts_of_either_sign_below_a_sample(shift: float) -> None:
    found = [profile_shift(*pair(seed, shift), maximum_shift=60) for seed in range(10)]
    assert all(result.status is OK for result in found)
    # Texture that leaves and enters at the ends has an influence that grows with the shift.
    errors = np.array([result.shift_px - shift for result in found])
    assert np.median(np.abs(errors)) < 1e-3 + 5e-3 * abs(shift)
    assert min(result.correlation for result in found) > 0.97


def test_swapping_the_profiles_changes_the_sign() -> None:
    first, second = pair(1, 6.3, 0.1)
    there, back = profile_shift(first, second, maximum_shift=40), profile_shift(second, first, maximum_shift=40)
    assert back.shift_px == pytest.approx(-there.shift_px, abs=1e-6)
    assert back.uncertainty_px == pytest.approx(there.uncertainty_px, rel=0.1)


def test_scale_offset_and_trend_do_not_matter() -> None:
    first, second = pair(2, 4.6, 0.1)
    index = np.linspace(-1, 1, first.size)
    plain = profile_shift(first, second, maximum_shift=40)
    changed = profile_shift(
        0.02 * first + 0.3 - 0.2 * index + 0.1 * index**2, 0.03 * second - 0.1 + 0.1 * index, maximum_shift=40
    )
    assert changed.shift_px == pytest.approx(plain.shift_px, abs=1e-6)
    assert changed.uncertainty_px == pytest.approx(plain.uncertainty_px, rel=1e-6)


@pytest.mark.parametrize(("shift", "noise", "change"), [(0.0, 0.1, 0.0), (3.4, 0.3, 0.0), (-7.7, 0.1, 0.3)])
def test_uncertainty_covers_the_truth_and_noise_does_not_bias(shift: float, noise: float, change: float) -> None:
    results = [profile_shift(*pair(seed, shift, noise, change), maximum_shift=30) for seed in range(120)]
    good = [result for result in results if result.status is OK]
    assert len(good) >= 117
    errors = np.array([result.shift_px - shift for result in good])
    sigma = np.array([result.uncertainty_px for result in good])
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(errors.size) + 0.01
    assert np.mean(np.abs(errors) < sigma) == pytest.approx(0.683, abs=0.12)
    assert np.std(errors / sigma) == pytest.approx(1, abs=0.25)


def test_noise_does_not_draw_shifts_to_whole_samples() -> None:
    """White noise, interpolated, is weakest half way between samples."""
    for shift in (5.25, 5.5, 5.75):
        errors = [profile_shift(*pair(s, shift, 0.3), maximum_shift=20).shift_px - shift for s in range(40)]
        assert np.mean(errors) == pytest.approx(0, abs=3 * np.std(errors) / np.sqrt(40))


def test_masked_samples_are_left_out() -> None:
    first, second = pair(3, 8.3, 0.05)
    whole = profile_shift(first, second, maximum_shift=40)
    first[40:75], second[180:200], second[:6] = np.nan, np.nan, np.nan
    result = profile_shift(first, second, maximum_shift=40)
    assert result.status is OK
    assert result.shift_px == pytest.approx(8.3, abs=0.15)
    assert result.uncertainty_px > 0.9 * whole.uncertainty_px


def test_standing_gap_does_not_draw_the_shift_to_zero() -> None:
    first, second = pair(4, 9.0, 0.05)
    first[100:130] = second[100:130] = np.nan
    assert profile_shift(first, second, maximum_shift=40).shift_px == pytest.approx(9, abs=0.15)


def test_statuses() -> None:
    first, second = pair(5, 12.0, 0.05)
    at_edge = profile_shift(first, second, maximum_shift=12)
    assert at_edge.status is EmissionStatus.LAG_NOT_RESOLVED
    assert np.isnan(at_edge.shift_px)
    assert np.isfinite(at_edge.correlation)
    few = first.copy()
    few[20:] = np.nan
    assert profile_shift(few, second, maximum_shift=10).status is EmissionStatus.TOO_FEW_SAMPLES
    assert profile_shift(first[:0], second[:0], maximum_shift=10).status is EmissionStatus.TOO_FEW_SAMPLES
    apart = first.copy()
    apart[:150], second[150:] = np.nan, np.nan
    assert profile_shift(apart, second, maximum_shift=10).status is EmissionStatus.TOO_FEW_SAMPLES
    flat = np.full(300, 0.1)
    assert profile_shift(flat, flat, maximum_shift=10).status is EmissionStatus.NO_CORRELATION
    assert profile_shift(flat * 0, first, maximum_shift=10).status is EmissionStatus.NO_CORRELATION
    with pytest.raises(ValueError, match="alike"):
        profile_shift(first, second[1:], maximum_shift=10)


def test_a_correlation_below_the_least_one_is_refused() -> None:
    first, second = pair(6, 3.0, 0.4)
    result = profile_shift(first, second, maximum_shift=20)
    assert result.status is OK
    refused = profile_shift(first, second, maximum_shift=20, minimum_correlation=0.999)
    assert refused.status is EmissionStatus.NO_CORRELATION
    assert refused.correlation == pytest.approx(result.correlation, abs=0.02)


def test_unrelated_profiles_do_not_correlate() -> None:
    passed = [
        profile_shift(pair(seed, 0, 0.1)[0], pair(seed + 5000, 0, 0.1)[0], maximum_shift=60).status is OK
        for seed in range(100)
    ]
    assert np.mean(passed) <= 0.02


def test_puffs_in_a_regular_row_are_ambiguous() -> None:
    index = np.arange(400.0)
    rng = np.random.default_rng(7)
    first = np.sin(index * 2 * np.pi / 30) + 0.1 * rng.standard_normal(400)
    second = np.sin((index - 5) * 2 * np.pi / 30) + 0.1 * rng.standard_normal(400)
    assert profile_shift(first, second, maximum_shift=60).status is EmissionStatus.LAG_NOT_RESOLVED
    assert profile_shift(first, second, maximum_shift=14).shift_px == pytest.approx(5, abs=0.3)


def test_a_plume_that_thins_out_moves_although_its_mean_profile_stands() -> None:
    index = np.arange(300)
    errors = []
    for seed in range(40):
        first, second = pair(seed, 7.0, 0.05)
        mean = 1 / (1 + index / 120)
        errors.append(profile_shift(mean * (1 + 0.3 * first), mean * (1 + 0.3 * second), maximum_shift=40).shift_px - 7)
    assert np.median(errors) == pytest.approx(0, abs=0.15)


def axis_towards(direction_deg: float, uncertainty_deg: float = 0.0) -> Axis:
    angle = np.radians(direction_deg)
    return Axis((0.0, 0.0), (float(np.sin(angle)), float(-np.cos(angle))), 100, 50.0, uncertainty_deg, OK)


def test_projection_on_an_oblique_normal() -> None:
    shift = Shift(6.0, 0.2, 0.9, OK)
    for angle in (0, 30, 60, 120, 180, 245):
        normal = (np.sin(np.radians(70 + angle)), -np.cos(np.radians(70 + angle)))
        component, sigma = projected_shift(shift, axis_towards(70), normal)
        assert component == pytest.approx(6 * np.cos(np.radians(angle)))
        assert sigma == pytest.approx(0.2 * abs(np.cos(np.radians(angle))))
        _, sigma = projected_shift(shift, axis_towards(70, 2.0), normal)
        by_direction = 6 * np.radians(2) * abs(np.sin(np.radians(angle)))
        assert sigma == pytest.approx(np.hypot(0.2 * np.cos(np.radians(angle)), by_direction))
    assert projected_shift(shift, axis_towards(180), (0.0, -3.0)) == pytest.approx((-6.0, 0.2))
    missing = Shift(np.nan, np.nan, 0.2, EmissionStatus.NO_CORRELATION)
    assert np.isnan(projected_shift(missing, axis_towards(90), (1.0, 0.0))).all()
    nowhere = plume_axis(np.zeros(3), np.zeros(3), np.zeros(3), 90.0, (100, 100), reach_px=50)
    assert np.isnan(projected_shift(shift, nowhere, (1.0, 0.0))).all()


@pytest.mark.parametrize("direction", [0.0, 90.0, 179.0, 181.0, 270.0, 312.4])
def test_axis_runs_through_the_plumes_centre_and_stays_inside(direction: float) -> None:
    y = np.arange(60.0, 200.0)
    x = np.full(y.size, 240.0)
    column = np.exp(-(((y - 120) / 20) ** 2)) - 0.001
    axis = plume_axis(x, y, column, direction, (300, 500), reach_px=150, uncertainty_deg=1.5)
    assert axis.status is OK
    assert (axis.direction_deg - direction + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)
    assert axis.uncertainty_deg == 1.5
    centre = np.array(axis.origin) + axis.centre_px * np.array(axis.direction)
    assert centre == pytest.approx([240, 120], abs=0.1)
    end = np.array(axis.origin) + axis.length_px * np.array(axis.direction)
    for point in (np.array(axis.origin), end):
        assert (point >= -1e-6).all()
        assert (point <= np.array([499, 299]) + 1e-6).all()
    assert axis.length_px > 100
    assert axis.length_px <= 300


def test_axis_without_a_plume_a_direction_or_room_has_a_status() -> None:
    x, y = np.full(50, 100.0), np.arange(50.0) + 50
    one = np.ones(50)
    assert plume_axis(x, y, -one, 90.0, (200, 200), reach_px=50).status is EmissionStatus.NO_PLUME
    assert plume_axis(x, y, one * np.nan, 90.0, (200, 200), reach_px=50).status is EmissionStatus.NO_PLUME
    assert plume_axis(x, y, one, float("nan"), (200, 200), reach_px=50).status is EmissionStatus.FLOW_UNRELIABLE
    axis = plume_axis(x, y, one, 90.0, (200, 200), reach_px=10)
    assert axis.status is EmissionStatus.TOO_FEW_SAMPLES
    assert np.isnan(axis.direction).all()


def test_profile_runs_along_the_axis() -> None:
    y, x = np.mgrid[:100, :120].astype(np.float32)
    image = (x + 1000 * y).astype(np.float32)
    valid = np.ones(image.shape, np.bool_)
    axis = Axis((20.0, 90.0), (0.6, -0.8), 60, 30.0, 0.0, OK)
    for half in (0, 2):
        profile = axis_profile(image, valid, axis, half_width_px=half)
        steps = np.arange(61)
        np.testing.assert_allclose(profile, 20 + 0.6 * steps + 1000 * (90 - 0.8 * steps), rtol=1e-5)
    valid[50, 50] = False
    masked = axis_profile(image, valid, replace(axis, length_px=200), half_width_px=0)
    assert np.isnan(masked[50])
    assert np.isfinite(masked[:48]).all()
    assert np.isnan(masked[113:]).all()
    image[60, 42] = np.nan
    assert np.isnan(axis_profile(image, ~valid | valid, axis, half_width_px=3)[37])
    assert np.isnan(axis_profile(image, valid, replace(axis, origin=(900.0, 900.0)), half_width_px=3)).all()


def over_a_standing_profile(
    seed: int, shift: float, count: int, texture: float = 0.2, noise: float = 0.02
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Profiles that drift over one that stands, with details as small as theirs: first, second, ``count`` earlier."""
    rng = np.random.default_rng([seed, 3])
    index = np.arange(250.0)
    standing = 1 / (1 + index / 80) + 0.15 * pattern(rng, 250, 9)(index)
    moving = pattern(rng, 250, 9)
    rows = [standing + texture * moving(index - shift * k) + noise * rng.standard_normal(250) for k in range(-count, 2)]
    return rows[-2], rows[-1], np.array(rows[:-2])


@pytest.mark.parametrize("shift", [1.2, 4.4, -3.3])
def test_a_standing_profile_of_any_shape_does_not_bias_with_earlier_profiles(shift: float) -> None:
    errors, sigma, without = [], [], []
    for seed in range(120):
        first, second, earlier = over_a_standing_profile(seed, shift, 14)
        result = profile_shift(first, second, maximum_shift=20, minimum_correlation=0.3, earlier=earlier)
        assert result.status is OK
        errors.append(result.shift_px - shift)
        sigma.append(result.uncertainty_px)
        alone = profile_shift(first, second, maximum_shift=20, minimum_correlation=0.3)
        without.append(alone.shift_px - shift)
    assert abs(np.mean(errors)) < max(0.004 * abs(shift), 3 * np.std(errors) / np.sqrt(120))
    assert abs(np.mean(errors)) < 0.01 * abs(shift) + 0.01
    assert abs(np.nanmean(without)) > 10 * abs(np.mean(errors))
    ratio = np.abs(errors) / np.array(sigma)
    assert 0.5 <= np.mean(ratio < 1) <= 0.92
    assert np.mean(ratio < 2) >= 0.9


def test_earlier_profiles_with_gaps_and_too_few_of_them() -> None:
    first, second, earlier = over_a_standing_profile(1, 4.4, 14)
    whole = profile_shift(first, second, maximum_shift=20, minimum_correlation=0.3, earlier=earlier)
    earlier[3, 100:120] = np.nan
    holed = profile_shift(first, second, maximum_shift=20, minimum_correlation=0.3, earlier=earlier)
    assert holed.shift_px == pytest.approx(4.4, abs=4 * holed.uncertainty_px)
    assert holed.uncertainty_px > 0.9 * whole.uncertainty_px
    few = profile_shift(first, second, maximum_shift=20, minimum_correlation=0.3, earlier=earlier[-2:])
    none = profile_shift(first, second, maximum_shift=20, minimum_correlation=0.3)
    assert few == none
    earlier[:] = np.nan
    empty = profile_shift(first, second, maximum_shift=20, earlier=earlier)
    assert empty.status is EmissionStatus.TOO_FEW_SAMPLES
    with pytest.raises(ValueError, match=r"earlier profiles must be \(K, 250\)"):
        profile_shift(first, second, maximum_shift=20, earlier=earlier[:, 1:])


def test_a_plume_that_only_stands_has_no_confident_shift() -> None:
    confident = 0
    for seed in range(20):
        first, second, earlier = over_a_standing_profile(seed, 4.0, 14, texture=0.0)
        result = profile_shift(first, second, maximum_shift=20, minimum_correlation=0.3, earlier=earlier)
        confident += result.status is OK and result.uncertainty_px < 1
    assert confident <= 1


@pytest.mark.parametrize("texture", [0.05, 0.2])
def test_what_a_standing_profile_does_to_the_shift_is_in_its_uncertainty(texture: float) -> None:
    index = np.arange(300)
    mean = 1 / (1 + index / 80)
    inside = 0
    for seed in range(40):
        first, second = pair(seed, 7.0, 0.3)
        result = profile_shift(mean * (1 + texture * first), mean * (1 + texture * second), maximum_shift=40)
        inside += result.status is not OK or abs(result.shift_px - 7) < 3 * result.uncertainty_px
    assert inside >= 36
