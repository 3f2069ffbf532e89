"""A plume that widens from a point and thins out on its way, and where the gas of a place came from."""

import math

import numpy as np
import pytest

from so2cam.core.records import FloatArray
from so2cam.science.emission.rate import correlated_sum_uncertainty
from so2cam.science.motion.flow import Flow, Region, flow_parts_at, optical_flow, origins_at

SIZE = 288
EVERYWHERE = np.ones((SIZE, SIZE), np.bool_)
SPEED_PX = 10.0
APEX_X = -50.0
"""Paths of the gas begin here, in the middle of the image's height."""
OPENING = 0.35
LINE_Y = np.arange(40.0, 248.0)
LINE_X = np.full(LINE_Y.size, 144.0)
RIGHT = (1.0, 0.0)


def fan(seed: int, time: float, contrast: float, waves_px: tuple[float, float]) -> FloatArray:
    """Gas that goes along x at one speed, on straight paths from the apex: an exact solution of continuity."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(float)
    distance = x - APEX_X
    path = (y - (SIZE - 1) / 2) / distance
    texture = np.zeros_like(x)
    number, turn = 2 * np.pi / rng.uniform(*waves_px, 40), np.radians(35) * rng.uniform(-1, 1, 40)
    for k, angle, phase in zip(number, turn, rng.uniform(0, 2 * np.pi, 40), strict=True):
        texture += np.cos(k * math.cos(angle) * (x - SPEED_PX * time) + k * math.sin(angle) * path * 190 + phase)
    thinned = 100 / distance * np.exp(-0.5 * (path / (0.5 * OPENING)) ** 2)
    noise = 0.004 * np.random.default_rng([seed, round(time), 9]).standard_normal(x.shape)
    return np.asarray(0.3 * thinned * (1 + contrast * texture * math.sqrt(2 / 40)) + noise)


def flow_of(first: FloatArray, second: FloatArray) -> Flow:
    return optical_flow(
        first.astype(np.float32),
        second.astype(np.float32),
        EVERYWHERE,
        EVERYWHERE,
        Region(0, SIZE, 0, SIZE),
        window_px=24,
        levels=4,
        iterations=4,
    )


@pytest.mark.parametrize(
    ("contrast", "waves_px", "most"),
    [(0.12, (40.0, 90.0), 0.03), (0.3, (15.0, 60.0), 0.008)],
    ids=["smooth", "textured"],
)
def test_what_a_plume_loses_on_its_way_is_not_taken_for_motion(
    contrast: float, waves_px: tuple[float, float], most: float
) -> None:
    errors, ratios = [], []
    for seed in range(16):
        first, second = (fan(seed, time, contrast, waves_px) for time in (0.0, 1.0))
        flow = flow_of(first, second)
        vectors, local, common = flow_parts_at(flow, LINE_X, LINE_Y, RIGHT)
        weight = np.exp(-0.5 * ((LINE_Y - 143.5) / (0.5 * OPENING * (144 - APEX_X))) ** 2)
        weight /= weight.sum()
        errors.append(float(np.sum(weight * vectors[:, 0])) / SPEED_PX - 1)
        alike = correlated_sum_uncertainty(weight * local, 1.0, flow.window_px)
        ratios.append(errors[-1] * SPEED_PX / math.hypot(alike, float(np.sum(weight * common))))
    error, ratio = np.array(errors), np.array(ratios)
    assert math.sqrt(np.mean(error**2)) < most
    assert abs(error.mean()) < most / 2
    assert 0.4 < math.sqrt(np.mean(ratio**2)) < 1.3
    assert np.mean(np.abs(ratio) < 2) > 0.85


def test_origins_lead_to_where_the_gas_is_now() -> None:
    flow = flow_of(*(fan(3, time, 0.3, (15.0, 60.0)) for time in (0.0, 1.0)))
    x, y = np.full(5, 150.0), np.linspace(100, 190, 5)
    from_x, from_y = origins_at(flow, x, y)
    vectors, _, _ = flow_parts_at(flow, from_x, from_y, RIGHT)
    np.testing.assert_allclose(from_x + vectors[:, 0], x, atol=0.01)
    np.testing.assert_allclose(from_y + vectors[:, 1], y, atol=0.01)
    # On a path from the apex, a step before.
    np.testing.assert_allclose(from_x, 150 - SPEED_PX, atol=0.5)
    np.testing.assert_allclose(from_y, 143.5 + (y - 143.5) * (140 - APEX_X) / (150 - APEX_X), atol=0.5)


def test_what_came_from_outside_has_no_origin() -> None:
    flow = flow_of(*(fan(3, time, 0.3, (15.0, 60.0)) for time in (0.0, 1.0)))
    x, y = np.array([3.0, 150.0, 400.0]), np.full(3, 144.0)
    from_x, from_y = origins_at(flow, x, y)
    assert np.isfinite(from_x[1])
    vectors, local, _ = flow_parts_at(flow, from_x, from_y, RIGHT)
    assert np.isfinite(vectors[:, 0]).tolist() == [False, True, False]
    assert np.isfinite(local).tolist() == [False, True, False]
