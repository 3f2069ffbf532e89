"""The shift of profiles along the plume's axis against known shifts, and the axis against known directions."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from so2cam.core.records import FloatArray
from so2cam.core.status import EmissionStatus
from so2cam.science.motion.nadeau import Shift, axis_profile, plume_axis, profile_shift, projected_shift

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


def test_projection_on_an_oblique_normal() -> None:
    shift = Shift(6.0, 0.2, 0.9, OK)
    for angle in (0, 30, 60, 120, 180, 245):
        axis = (np.cos(0.4), np.sin(0.4))
        normal = (np.cos(0.4 + np.radians(angle)), np.sin(0.4 + np.radians(angle)))
        component, sigma = projected_shift(shift, axis, normal)
        assert component == pytest.approx(6 * np.cos(np.radians(angle)))
        assert sigma == pytest.approx(0.2 * abs(np.cos(np.radians(angle))))
    assert projected_shift(shift, (0.0, 3.0), (0.0, -1.0)) == pytest.approx((-6.0, 0.2))
    missing = Shift(np.nan, np.nan, 0.2, EmissionStatus.NO_CORRELATION)
    assert np.isnan(projected_shift(missing, (1.0, 0.0), (1.0, 0.0))).all()


def plume_image(source: tuple[float, float], direction_deg: float, half_angle_deg: float = 8) -> FloatArray:
    y, x = np.mgrid[:300, :500].astype(np.float64)
    dx, dy = x - source[0], y - source[1]
    aside = np.degrees(np.arctan2(dx, -dy)) - direction_deg
    aside = (aside + 180) % 360 - 180
    distance = np.hypot(dx, dy)
    return np.where(np.abs(aside) < 90, 40 / (distance + 100) * np.exp(-0.5 * (aside / half_angle_deg) ** 2), 0)


@pytest.mark.parametrize(
    ("source", "direction"),
    [((250, 280), 0), ((20, 150), 90), ((250, 20), 180), ((250, 20), 181), ((480, 150), 270), ((400, 270), 312.4)],
)
def test_axis_of_a_plume_in_every_direction(source: tuple[float, float], direction: float) -> None:
    rng = np.random.default_rng(8)
    image = (plume_image(source, direction) + 0.01 * rng.standard_normal((300, 500))).astype(np.float32)
    valid = np.ones(image.shape, np.bool_)
    axis = plume_axis(image, valid, source, threshold=0.04)
    assert axis.status is OK
    assert (axis.direction_deg - direction + 180) % 360 - 180 == pytest.approx(0, abs=0.6)
    assert axis.uncertainty_deg < 0.6
    angle = np.radians(axis.direction_deg)
    assert axis.direction == pytest.approx((np.sin(angle), -np.cos(angle)))


def test_axis_stands_a_cloud_a_weaker_plume_and_a_mask() -> None:
    image = plume_image((400, 270), 310) + 0.4 * plume_image((400, 270), 10)
    y, x = np.mgrid[:300, :500]
    image += 0.1 * np.exp(-((x - 60) ** 2 + (y - 260) ** 2) / 800)
    valid = np.ones(image.shape, np.bool_)
    valid[150:190, 280:300] = False
    axis = plume_axis(image.astype(np.float32), valid, (400, 270), threshold=0.03)
    assert axis.direction_deg == pytest.approx(310, abs=1.5)


def test_axis_without_a_plume_has_a_status() -> None:
    rng = np.random.default_rng(9)
    valid = np.ones((300, 500), np.bool_)
    nothing = np.zeros((300, 500), np.float32)
    assert plume_axis(nothing, valid, (250, 150), threshold=0.04).status is EmissionStatus.NO_PLUME
    image = plume_image((250, 280), 0).astype(np.float32)
    assert plume_axis(image, ~valid, (250, 280), threshold=0.04).status is EmissionStatus.NO_PLUME
    everywhere = rng.uniform(0.1, 0.2, (300, 500)).astype(np.float32)
    axis = plume_axis(everywhere, valid, (250, 150), threshold=0.04)
    assert axis.status is EmissionStatus.FLOW_UNRELIABLE
    assert np.isnan(axis.direction).all()


def test_profile_runs_from_the_source_along_the_axis() -> None:
    y, x = np.mgrid[:100, :120].astype(np.float32)
    image = (x + 1000 * y).astype(np.float32)
    valid = np.ones(image.shape, np.bool_)
    for half in (0, 2):
        profile = axis_profile(image, valid, (20.0, 90.0), (0.6, -0.8), length_px=60, half_width_px=half)
        steps = np.arange(61)
        np.testing.assert_allclose(profile, 20 + 0.6 * steps + 1000 * (90 - 0.8 * steps), rtol=1e-6)
    valid[50, 50] = False
    masked = axis_profile(image, valid, (20.0, 90.0), (0.6, -0.8), length_px=200)
    assert np.isnan(masked[50])
    assert np.isfinite(masked[:48]).all()
    assert np.isnan(masked[113:]).all()


def test_shift_of_a_moving_image_along_its_axis_and_across_a_line() -> None:
    """A cone of gas with puffs, seen twice: the way along the axis, and its component along a normal."""
    rng = np.random.default_rng(10)
    source, angle = (400.0, 270.0), np.radians(310)
    puffs = pattern(rng, 500, 8)
    y, x = np.mgrid[:300, :500].astype(np.float64)
    distance = np.hypot(x - source[0], y - source[1])
    plume = plume_image(source, 310)
    valid = np.ones(plume.shape, np.bool_)
    images = [
        (plume * (1 + 0.3 * puffs(distance - way)) + 0.003 * rng.standard_normal(plume.shape)).astype(np.float32)
        for way in (0.0, 9.0)
    ]
    axis = plume_axis(images[0], valid, source, threshold=0.02)
    profiles = [
        axis_profile(image, valid, source, axis.direction, length_px=280, half_width_px=3)[20:] for image in images
    ]
    shift = profile_shift(*profiles, maximum_shift=40)
    assert shift.shift_px == pytest.approx(9.0, abs=max(0.2, 3 * shift.uncertainty_px))
    normal = (-1.0, 0.0)
    component, _ = projected_shift(shift, axis.direction, normal)
    assert component == pytest.approx(-9 * np.sin(angle), abs=0.3)


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
