"""Statistics of optical-flow vectors against samples of known direction, length and spread."""

import numpy as np
import pytest
from scipy.stats import circmean, circstd

from so2cam.core.records import FloatArray, PlumeLine
from so2cam.core.status import EmissionStatus
from so2cam.science.motion.flow import Flow, Region
from so2cam.science.motion.statistics import (
    dominant_motion,
    histogram_speed_px,
    hybrid_vectors,
    kept_shares,
    plume_vectors,
)


def vectors_of(direction_deg: FloatArray, length: FloatArray) -> FloatArray:
    angle = np.radians(direction_deg)
    return np.stack([length * np.sin(angle), -length * np.cos(angle)], axis=-1)


def sample(
    rng: np.random.Generator, count: int, direction: float, sigma: float, length: float, length_sigma: float
) -> FloatArray:
    return vectors_of(
        direction + sigma * rng.standard_normal(count), length + length_sigma * rng.standard_normal(count)
    )


def outliers(rng: np.random.Generator, count: int, longest: float) -> FloatArray:
    return vectors_of(rng.uniform(0, 360, count), rng.uniform(0, longest, count))


def difference_deg(a: float, b: float) -> float:
    return (a - b + 180) % 360 - 180


def turned(vectors: FloatArray, by_deg: float) -> FloatArray:
    angle = np.radians(by_deg)
    return vectors @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize("direction", [0, 0.3, 45, 90, 179.9, 180, -179.9, 270, 359.7])
def test_mean_and_spread_are_those_of_the_sample_in_every_direction(direction: float) -> None:
    rng = np.random.default_rng(1)
    angles = direction + 10 * rng.standard_normal(5000)
    lengths = 5 + 0.8 * rng.standard_normal(5000)
    motion = dominant_motion(vectors_of(angles, lengths), np.ones(5000))
    assert motion.status is EmissionStatus.OK
    # Independent reference; a little of the tails belongs to no mode.
    assert difference_deg(motion.direction_deg, circmean(angles, 360, 0)) == pytest.approx(0, abs=0.1)
    assert motion.direction_sigma_deg == pytest.approx(circstd(angles, 360, 0), rel=0.03)
    assert motion.length_px == pytest.approx(lengths.mean(), abs=0.02)
    assert motion.length_sigma_px == pytest.approx(lengths.std(), rel=0.03)
    assert motion.modes == 1
    assert motion.share == pytest.approx(0.9545, abs=0.01)
    assert 0 <= motion.direction_deg < 360


def test_directions_are_up_right_down_left() -> None:
    for direction, vector in ((0, (0, -3)), (90, (3, 0)), (180, (0, 3)), (270, (-3, 0))):
        motion = dominant_motion(np.tile(np.array(vector, np.float64), (50, 1)), np.ones(50))
        assert difference_deg(motion.direction_deg, direction) == pytest.approx(0, abs=1e-9)
        assert motion.direction_sigma_deg == pytest.approx(0, abs=1e-5)
        assert motion.vector_px == pytest.approx(vector, abs=1e-9)
        assert motion.direction_uncertainty_deg == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("turn", [13.7, 90, 166.6, 180, 200, 301.1])
def test_turning_all_vectors_turns_the_direction_and_nothing_else(turn: float) -> None:
    rng = np.random.default_rng(2)
    vectors = np.concatenate([sample(rng, 1200, 20, 12, 6, 1), outliers(rng, 500, 15)])
    weights = rng.uniform(0.1, 1, 1700)
    here, there = dominant_motion(vectors, weights), dominant_motion(turned(vectors, turn), weights)
    # Vectors near the edge of the range may change sides with the last digits of the fit.
    assert difference_deg(there.direction_deg, here.direction_deg + turn) == pytest.approx(0, abs=0.05)
    assert there.direction_sigma_deg == pytest.approx(here.direction_sigma_deg, rel=0.01)
    assert there.length_px == pytest.approx(here.length_px, rel=2e-3)
    assert there.share == pytest.approx(here.share, abs=5e-3)


@pytest.mark.parametrize("direction", [0, 90, 180])
def test_forty_percent_of_outliers_do_not_move_the_motion(direction: float) -> None:
    rng = np.random.default_rng(3)
    vectors = np.concatenate([sample(rng, 6000, direction, 10, 5, 0.8), outliers(rng, 4000, 15)])
    motion = dominant_motion(vectors, np.ones(10000))
    assert difference_deg(motion.direction_deg, direction) == pytest.approx(0, abs=0.5)
    assert motion.direction_sigma_deg == pytest.approx(10, rel=0.05)
    assert motion.length_px == pytest.approx(5, rel=0.01)
    assert motion.length_sigma_px == pytest.approx(0.8, rel=0.08)


def test_outliers_of_one_direction_are_a_mode_of_their_own() -> None:
    rng = np.random.default_rng(4)
    vectors = np.concatenate([sample(rng, 600, 175, 8, 5, 0.5), sample(rng, 400, 300, 8, 9, 0.5)])
    motion = dominant_motion(vectors, np.ones(1000))
    assert motion.modes == 2
    assert difference_deg(motion.direction_deg, 175) == pytest.approx(0, abs=1.5)
    assert motion.length_px == pytest.approx(5, abs=0.1)
    assert motion.share == pytest.approx(0.57, abs=0.02)
    # With weights the other way round, the other one is the main one.
    weights = np.r_[np.full(600, 0.5), np.ones(400)]
    assert difference_deg(dominant_motion(vectors, weights).direction_deg, 300) == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize("apart", [40, 60, 120])
def test_shear_picks_the_main_one_of_two_motions(apart: float) -> None:
    rng = np.random.default_rng(5)
    vectors = np.concatenate([sample(rng, 4000, 170, 8, 5, 0.8), sample(rng, 3000, 170 + apart, 8, 3, 0.5)])
    motion = dominant_motion(vectors, np.ones(7000))
    assert motion.modes == 2
    assert difference_deg(motion.direction_deg, 170) == pytest.approx(0, abs=1)
    assert motion.length_px == pytest.approx(5, rel=0.02)


def test_a_broad_even_range_of_directions_is_one_motion() -> None:
    rng = np.random.default_rng(6)
    vectors = vectors_of(rng.uniform(160, 200, 4000), np.full(4000, 5.0))
    motion = dominant_motion(vectors, np.ones(4000))
    assert motion.modes == 1
    assert difference_deg(motion.direction_deg, 180) == pytest.approx(0, abs=1)
    assert motion.direction_sigma_deg == pytest.approx(40 / np.sqrt(12), rel=0.1)


def test_masked_and_weightless_vectors_take_no_part() -> None:
    rng = np.random.default_rng(7)
    good = sample(rng, 2000, 180, 10, 5, 0.8)
    weights = rng.uniform(0.1, 1, 2000)
    alone = dominant_motion(good, weights)
    bad = np.concatenate([np.full((900, 2), np.nan), np.full((900, 2), 50.0), np.full((100, 2), 50.0)])
    order = rng.permutation(3900)
    vectors = np.concatenate([good, bad])[order]
    all_weights = np.r_[weights, np.ones(900), np.zeros(900), np.full(100, np.nan)][order]
    motion = dominant_motion(vectors, all_weights)
    assert motion.direction_deg == pytest.approx(alone.direction_deg, abs=1e-6)
    assert motion.length_px == pytest.approx(alone.length_px)
    assert motion.share == pytest.approx(alone.share)


def test_very_many_vectors_give_the_same_motion_and_a_fair_uncertainty() -> None:
    rng = np.random.default_rng(8)
    vectors = sample(rng, 60_000, 180, 10, 5, 0.8)
    motion = dominant_motion(vectors, np.ones(60_000), correlated_vectors=100)
    assert difference_deg(motion.direction_deg, 180) == pytest.approx(0, abs=0.3)
    assert motion.direction_uncertainty_deg == pytest.approx(10 / np.sqrt(600), rel=0.1)
    assert motion.length_uncertainty_px == pytest.approx(0.8 / np.sqrt(573), rel=0.1)


def test_short_vectors_count_for_the_share_only() -> None:
    rng = np.random.default_rng(9)
    vectors = np.concatenate([sample(rng, 500, 90, 5, 4, 0.3), outliers(rng, 1500, 0.9)])
    motion = dominant_motion(vectors, np.ones(2000))
    assert motion.status is EmissionStatus.OK
    assert motion.share == pytest.approx(0.25 * 0.9545, abs=0.01)
    assert motion.length_px == pytest.approx(4, abs=0.05)
    refused = dominant_motion(vectors, np.ones(2000), minimum_share=0.3)
    assert refused.status is EmissionStatus.FLOW_UNRELIABLE
    assert np.isnan(refused.length_px)


def test_nothing_to_go_by_has_a_status() -> None:
    vectors = np.tile([5.0, 0.0], (100, 1))
    assert dominant_motion(vectors, np.zeros(100)).status is EmissionStatus.NO_PLUME
    assert dominant_motion(vectors[:0], np.zeros(0)).status is EmissionStatus.NO_PLUME
    assert dominant_motion(vectors * np.nan, np.ones(100)).status is EmissionStatus.FLOW_UNRELIABLE
    assert dominant_motion(vectors * 0, np.ones(100)).status is EmissionStatus.FLOW_UNRELIABLE
    assert dominant_motion(vectors * 0.1, np.ones(100)).status is EmissionStatus.FLOW_UNRELIABLE
    assert dominant_motion(vectors[:2], np.ones(2)).status is EmissionStatus.FLOW_UNRELIABLE
    # A hundred copies of one vector are one vector.
    assert dominant_motion(vectors, np.ones(100), correlated_vectors=100).status is EmissionStatus.FLOW_UNRELIABLE
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        dominant_motion(vectors, np.ones(99))


def test_directions_at_random_are_no_motion() -> None:
    rng = np.random.default_rng(10)
    found = [
        dominant_motion(outliers(rng, 300, 9), np.ones(300)).status is not EmissionStatus.FLOW_UNRELIABLE
        for _ in range(100)
    ]
    assert np.mean(found) <= 0.02


def test_uncertainties_of_the_means_cover_the_truth() -> None:
    """Three tenths outliers: errors over their uncertainties have a spread of 1 (200 runs: 1 sigma 0.05)."""
    rng = np.random.default_rng(11)
    direction, length = [], []
    for _ in range(200):
        vectors = np.concatenate([sample(rng, 280, 180, 12, 5, 0.8), outliers(rng, 120, 15)])
        motion = dominant_motion(vectors, np.ones(400))
        direction.append(difference_deg(motion.direction_deg, 180) / motion.direction_uncertainty_deg)
        length.append((motion.length_px - 5) / motion.length_uncertainty_px)
    for errors in (np.array(direction), np.array(length)):
        assert np.std(errors) == pytest.approx(1, abs=0.15)
        assert np.mean(errors) == pytest.approx(0, abs=0.25)
        assert np.mean(np.abs(errors) < 1) == pytest.approx(0.683, abs=0.08)


def test_hybrid_keeps_good_vectors_and_replaces_bad_ones() -> None:
    rng = np.random.default_rng(12)
    motion = dominant_motion(sample(rng, 3000, 179, 8, 6, 1.0), np.ones(3000))
    line = vectors_of(
        np.array([179.0, -175, 170, 179, 179, 90, 0, np.nan, 179]), np.array([6.0, 7, 6, 4, 0.2, 6, 6, 6, 12])
    )
    mended, kept = hybrid_vectors(line, motion)
    np.testing.assert_array_equal(kept, [True, True, True, False, False, False, False, False, True])
    np.testing.assert_array_equal(mended[kept], line[kept])
    np.testing.assert_allclose(mended[~kept], np.tile(motion.vector_px, (5, 1)))
    assert np.hypot(*motion.vector_px) == pytest.approx(motion.length_px)


def test_hybrid_never_keeps_vectors_shorter_than_the_least_length() -> None:
    rng = np.random.default_rng(13)
    motion = dominant_motion(sample(rng, 3000, 90, 8, 1.5, 0.6), np.ones(3000))
    assert motion.length_px - motion.length_sigma_px == pytest.approx(1.15, abs=0.15)
    mended, kept = hybrid_vectors(np.array([[0.95, 0.0], [1.6, 0.0]]), motion)
    assert kept.tolist() == [False, True]
    assert np.isfinite(mended).all()


def test_hybrid_without_a_motion_knows_nothing() -> None:
    motion = dominant_motion(np.zeros((100, 2)), np.ones(100))
    mended, kept = hybrid_vectors(np.ones((5, 2)), motion)
    assert np.isnan(mended).all()
    assert not kept.any()
    assert np.isnan(histogram_speed_px(motion, (1.0, 0.0))).all()


def test_kept_shares_by_count_and_by_weight() -> None:
    kept = np.array([True, True, False, False, False])
    by_count, by_weight = kept_shares(kept, np.array([3.0, 1, 1, -2, np.nan]))
    assert by_count == pytest.approx(0.4)
    assert by_weight == pytest.approx(0.8)
    assert np.isnan(kept_shares(kept, np.zeros(5))[1])
    assert np.isnan(kept_shares(kept[:0], np.zeros(0))).all()


@pytest.mark.parametrize(("direction", "normal_deg"), [(180, 180), (180, 240), (350, 20), (90, 270), (0, 90)])
def test_histogram_speed_is_the_component_along_the_normal(direction: float, normal_deg: float) -> None:
    rng = np.random.default_rng(14)
    vectors = sample(rng, 20_000, direction, 6, 5, 0.5)
    motion = dominant_motion(vectors, np.ones(20_000))
    angle = np.radians(normal_deg)
    speed, sigma = histogram_speed_px(motion, (np.sin(angle), -np.cos(angle)))
    apart = np.radians(difference_deg(direction, normal_deg))
    assert speed == pytest.approx(5 * np.cos(apart), abs=0.03)
    # A single vector's component: spreads of length and direction, to first order.
    single = np.hypot(0.5 * np.cos(apart), 5 * np.sin(apart) * np.radians(6))
    assert 0.95 * single < sigma < 1.5 * single


def test_histogram_speed_covers_any_one_place_and_its_own_excess() -> None:
    rng = np.random.default_rng(15)
    vectors = sample(rng, 8000, 180, 15, 5, 0.8)
    motion = dominant_motion(vectors, np.ones(8000))
    normal = (np.sin(np.radians(200)), -np.cos(np.radians(200)))
    speed, sigma = histogram_speed_px(motion, normal)
    assert 0.63 < np.mean(np.abs(vectors @ normal - speed) < sigma) < 0.85
    # Without any spread of length, along the motion, what is left is the excess over the mean vector.
    motion = dominant_motion(vectors_of(180 + 15 * rng.standard_normal(8000), np.full(8000, 5.0)), np.ones(8000))
    speed, sigma = histogram_speed_px(motion, (0.0, 1.0))
    assert speed - 5 * np.exp(-(np.radians(15) ** 2) / 2) < 1.1 * sigma + 0.03


def test_plume_vectors_are_those_beside_the_line() -> None:
    region = Region(top=10, bottom=110, left=20, right=160)
    shape = (50, 70)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    full_x, full_y = 20.5 + 2 * x, 10.5 + 2 * y
    valid = full_x < 120
    flow = Flow(
        region,
        np.stack([full_x, full_y], -1),
        valid,
        np.zeros((*shape, 3), np.float32),
        np.zeros(shape, np.float32),
        24,
    )
    absorbance = np.tile(np.arange(200, dtype=np.float32), (130, 1))
    line = PlumeLine.straight("a", (60.0, 30.0), (140.0, 90.0), (0.6, -0.8))
    vectors, weights = plume_vectors(flow, absorbance, line, reach_px=7.0, threshold=80.0)
    along = (full_x - 60) * 0.8 + (full_y - 30) * 0.6
    across = (full_x - 60) * 0.6 - (full_y - 30) * 0.8
    near = (np.abs(across) <= 7) & (along >= 0) & (along <= 100)
    assert vectors.shape == (int(near.sum()), 2)
    np.testing.assert_array_equal(np.isfinite(vectors[:, 0]), valid[near])
    # Each vector stands for four pixels, whose mean absorbance (here the column's number) weighs it.
    expected = np.where(full_x > 80, full_x, 0)[near]
    np.testing.assert_allclose(weights, expected, atol=1e-4)


def test_plume_vectors_of_a_line_with_a_bend_are_those_beside_either_piece() -> None:
    region = Region(top=0, bottom=120, left=0, right=160)
    shape = (60, 80)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    full_x, full_y = 0.5 + 2 * x, 0.5 + 2 * y
    zeros = np.zeros((*shape, 3), np.float32)
    flow = Flow(region, np.stack([full_x, full_y], -1), np.ones(shape, np.bool_), zeros, zeros, 24)
    line = PlumeLine("a", ((20.0, 20.0), (20.0, 80.0), (20.0, 80.0), (120.0, 80.0)))
    vectors, _ = plume_vectors(flow, np.ones((120, 160), np.float32), line, reach_px=6.0, threshold=0.5)
    near = (np.abs(full_x - 20) <= 6) & (full_y >= 20) & (full_y <= 80)
    near |= (np.abs(full_y - 80) <= 6) & (full_x >= 20) & (full_x <= 120)
    assert vectors.shape == (int(near.sum()), 2)


def test_hybrid_keeps_short_vectors_that_are_well_known() -> None:
    rng = np.random.default_rng(16)
    motion = dominant_motion(sample(rng, 3000, 180, 8, 6, 1.0), np.ones(3000))
    line = vectors_of(np.array([180.0, 180, 180, 180, 90]), np.array([4.0, 4, 0.5, 0.5, 4]))
    mended, kept = hybrid_vectors(line, motion, np.array([0.2, 2.0, 0.1, 0.4, 0.1]))
    np.testing.assert_array_equal(kept, [True, False, True, False, False])
    np.testing.assert_array_equal(mended[kept], line[kept])


def test_histogram_speed_holds_what_all_vectors_are_wrong_by() -> None:
    rng = np.random.default_rng(17)
    motion = dominant_motion(sample(rng, 3000, 180, 8, 6, 1.0), np.ones(3000))
    speed, alone = histogram_speed_px(motion, (0.0, 1.0))
    assert histogram_speed_px(motion, (0.0, 1.0), flow_uncertainty_px=0.7) == pytest.approx(
        (speed, np.hypot(alone, 0.7))
    )
