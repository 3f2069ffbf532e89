"""The spectrometer's spot found in plumes whose spot is known, at every resolution, masked anywhere."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.core.records import FloatArray
from so2cam.science.calibration.correlation_map import BoolStack, Stack, correlation_map, deviations
from so2cam.science.calibration.field_of_view import VIEW_TEXT, ViewSearch, ViewStatus, search_by_correlation
from so2cam.science.calibration.view_weights import disc_weights, mean_in_view

K = 1.0e19
FINE = 4
"""The plume is made on a grid this much finer than the camera's."""


def plume(rng: np.random.Generator, times: int, rows: int, columns: int, scale: float) -> Stack:
    """Return structures of ``scale`` and three times that, relative to the height, that drift through a band."""
    drift = 0.03 * rows
    length = int(columns + times * drift) + 8
    field = np.zeros((rows, length), np.float32)
    for size in (scale, 3 * scale):
        noise = cv2.GaussianBlur(rng.standard_normal((rows, length)).astype(np.float32), (0, 0), size * rows)
        field += noise / noise.std()
    band = np.exp(-0.5 * ((np.arange(rows)[:, None] / rows - 0.5) / 0.15) ** 2)
    images = []
    for index in range(times):
        shift = np.array([[1, 0, index * drift + 2 + columns - length], [0, 1, 0]], np.float32)
        images.append(0.15 * cv2.warpAffine(np.exp(0.4 * field), shift, (columns, rows)) * band)
    return np.array(images, np.float32)


def scene(
    rng: np.random.Generator,
    *,
    rows: int = 64,
    times: int = 60,
    radius: float = 0.05,
    scale: float = 0.05,
    pixel_noise: float = 0.003,
    column_noise: float = 3e16,
    masked: float = 0.0,
) -> tuple[Stack, BoolStack, FloatArray, FloatArray]:
    """Return a stack, its mask, the columns and the true x, y, radius [px]; radius relative to the rows."""
    columns = rows * 4 // 3
    fine = FINE if rows <= 64 else 2
    stack = plume(rng, times, rows * fine, columns * fine, scale)
    x, y, size = rng.uniform(0.3, 0.7) * columns * fine, rng.uniform(0.42, 0.58) * rows * fine, radius * rows * fine
    column = K * np.einsum("trc,rc->t", stack, disc_weights(stack.shape[1:], x, y, size))
    seen = stack.reshape(times, rows, fine, columns, fine).mean(axis=(2, 4))
    seen = (seen + rng.normal(0, pixel_noise, seen.shape)).astype(np.float32)
    valid = rng.random(seen.shape) >= masked
    seen[~valid] = rng.choice(np.array([np.nan, 1e3, -50.0], np.float32), int((~valid).sum()))
    truth = np.array([(x + 0.5) / fine - 0.5, (y + 0.5) / fine - 0.5, size / fine])
    return seen, valid, column + rng.normal(0, column_noise, times), truth


def search(stack: Stack, valid: BoolStack, column: FloatArray, sigma: float = 3e16, **options: Any) -> ViewSearch:
    return search_by_correlation(stack, valid, column, np.full(column.size, sigma), **options)


# --- where it is ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"masked": 0.2},
        {"rows": 32},
        {"rows": 128, "times": 40},
        {"radius": 0.1},
        {"times": 120, "column_noise": 1e17},
    ],
)
def test_centre_within_a_pixel_and_a_half_and_radius_within_a_fifth(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(31)
    for _ in range(2):
        stack, valid, column, truth = scene(rng, **options)
        found = search(stack, valid, column)
        assert found.status is ViewStatus.OK
        assert np.hypot(found.x - truth[0], found.y - truth[1]) < 1.5
        assert found.radius == pytest.approx(truth[2], rel=0.2)
        assert found.correlation > 0.95
        assert found.correlation_map.shape == stack.shape[1:]


def test_the_same_view_at_every_resolution() -> None:
    stack, _, column, _ = scene(np.random.default_rng(32), rows=128, times=50)
    places = []
    for factor in (1, 2, 4):
        rows, columns = stack.shape[1] // factor, stack.shape[2] // factor
        small = stack[:, : rows * factor, : columns * factor].reshape(50, rows, factor, columns, factor).mean((2, 4))
        found = search(small.astype(np.float32), np.ones(small.shape, bool), column)
        assert found.status is ViewStatus.OK
        places.append([(found.x + 0.5) * factor, (found.y + 0.5) * factor, found.radius * factor])
    assert np.ptp(places, axis=0)[:2] == pytest.approx([0, 0], abs=1.2)
    assert np.ptp(places, axis=0)[2] < 0.2 * places[0][2]


def test_stated_uncertainty_holds() -> None:
    rng = np.random.default_rng(33)
    deviations_ = []
    for _ in range(50):
        stack, valid, column, truth = scene(rng, rows=40, times=40, radius=0.06, column_noise=8e16)
        found = search(stack, valid, column)
        if found.status is ViewStatus.OK:
            deviations_.append((np.array([found.x, found.y, found.radius]) - truth) / found.sigma)
    size = np.abs(deviations_)
    assert len(size) >= 46
    assert ((np.mean(size < 1, axis=0) > 0.5) & (np.mean(size < 1, axis=0) < 0.88)).all()
    assert (np.mean(size < 2, axis=0) > 0.83).all()


def test_more_noise_is_more_uncertainty() -> None:
    quiet, loud = (
        search(*scene(np.random.default_rng(34), column_noise=noise)[:3], sigma=noise) for noise in (3e16, 3e17)
    )
    assert (np.array(loud.sigma) > 2 * np.array(quiet.sigma)).all()
    assert loud.correlation < quiet.correlation


# --- masks, times and what is no view ------------------------------------------------------------------------------


def test_one_nan_changes_next_to_nothing() -> None:
    stack, valid, column, truth = scene(np.random.default_rng(35))
    before = search(stack, valid, column)
    holed = stack.copy()
    holed[17, round(truth[1]), round(truth[0])] = np.nan
    after = search(holed, valid, column)
    assert np.hypot(after.x - before.x, after.y - before.y) < 0.1
    assert after.radius == pytest.approx(before.radius, rel=0.05)


def test_a_masked_area_is_avoided_and_its_values_do_not_matter() -> None:
    stack, valid, column, truth = scene(np.random.default_rng(36))
    valid[:, 50:, :] = False
    found = [search(np.where(valid, stack, fill).astype(np.float32), valid, column) for fill in (0.0, np.nan, 1e6)]
    assert len({(each.x, each.y, each.radius, each.correlation) for each in found}) == 1
    assert np.isnan(found[0].correlation_map[50:]).all()
    assert np.isfinite(found[0].correlation_map[:50]).all()
    assert np.hypot(found[0].x - truth[0], found[0].y - truth[1]) < 1.0


def test_whole_images_may_be_missing() -> None:
    stack, valid, column, truth = scene(np.random.default_rng(37))
    valid[5:9] = False
    column[20:24] = np.nan
    sigma = np.full(column.size, 3e16)
    sigma[30] = np.inf
    found = search_by_correlation(stack, valid, column, sigma)
    assert found.status is ViewStatus.OK
    assert not found.weights[[20, 21, 22, 23, 30]].any()
    assert np.hypot(found.x - truth[0], found.y - truth[1]) < 0.5


def test_outliers_in_time_lose_their_weight() -> None:
    stack, valid, column, truth = scene(np.random.default_rng(38))
    column[[7, 33]] += 4e18
    found = search(stack, valid, column)
    assert (found.weights[[7, 33]] < 0.05).all()
    assert np.hypot(found.x - truth[0], found.y - truth[1]) < 0.5
    assert found.radius == pytest.approx(truth[2], rel=0.2)


def test_columns_that_have_nothing_to_do_with_the_images() -> None:
    rng = np.random.default_rng(39)
    stack, valid, column, _ = scene(rng, times=40)
    found = [search(stack, valid, rng.permutation(column)) for _ in range(12)]
    assert sum(each.status is ViewStatus.OK for each in found) <= 2
    assert sum(each.status is ViewStatus.NOT_SIGNIFICANT for each in found) >= 4
    found = search(stack, valid, rng.standard_normal(40) * 1e18)
    if found.status is ViewStatus.NOT_SIGNIFICANT:
        assert np.isnan([found.x, found.y, found.radius, found.correlation, *found.sigma]).all()
        assert np.isfinite(found.correlation_map).any()
        assert found.false_alarm > 0.001


def test_what_gives_no_view_says_why() -> None:
    stack, valid, column, _ = scene(np.random.default_rng(40), rows=32, times=30)
    few = search(stack[:8], valid[:8], column[:8])
    assert few.status is ViewStatus.TOO_FEW_TIMES
    assert np.isnan([few.x, few.y, few.radius]).all()
    assert search(stack, valid, np.full(30, 1e18)).status is ViewStatus.TOO_FEW_TIMES
    assert search(stack, valid, np.full(30, np.nan)).status is ViewStatus.TOO_FEW_TIMES
    assert search(stack, np.zeros_like(valid), column).status is ViewStatus.NO_USABLE_PIXELS
    assert search(np.full_like(stack, np.nan), valid, column).status is ViewStatus.NO_USABLE_PIXELS
    assert search(np.zeros_like(stack), valid, column).status is ViewStatus.NOT_SIGNIFICANT
    assert search(-stack, valid, column).status is not ViewStatus.OK, "the plume must darken where the column rises"
    assert set(VIEW_TEXT) == set(ViewStatus)


def test_wrong_shapes_are_refused() -> None:
    stack, valid, column, _ = scene(np.random.default_rng(41), rows=32, times=20)
    with pytest.raises(ValueError, match="same shape"):
        search(stack, valid[:5], column)
    with pytest.raises(ValueError, match="one column density"):
        search(stack, valid, column[:5])


# --- correlation of pixels -----------------------------------------------------------------------------------------


def test_every_pixel_is_numpys_correlation_of_what_is_valid() -> None:
    rng = np.random.default_rng(42)
    stack = rng.normal(0.3, 0.1, (25, 6, 7)).astype(np.float32)
    column = rng.standard_normal(25)
    for masked in (0.0, 0.3):
        valid = rng.random(stack.shape) >= masked
        found = correlation_map(deviations(stack, valid, np.ones(25), 5), column, np.ones(25))
        for row in range(6):
            for place in range(7):
                good = valid[:, row, place]
                expected = np.corrcoef(stack[good, row, place], column[good])[0, 1]
                assert found[row, place] == pytest.approx(expected, abs=2e-5)


def test_pixels_that_are_valid_too_seldom_or_never_change_have_no_correlation() -> None:
    rng = np.random.default_rng(43)
    stack = rng.normal(0.3, 0.1, (25, 3, 3)).astype(np.float32)
    stack[:, 0, 0] = 0.2
    valid = np.ones(stack.shape, bool)
    valid[:20, 1, 1] = False
    found = correlation_map(deviations(stack, valid, np.ones(25), 12), rng.standard_normal(25), np.ones(25))
    assert np.isnan(found[[0, 1], [0, 1]]).all()
    assert np.isfinite(found).sum() == 7


# --- weights and means ---------------------------------------------------------------------------------------------


@given(st.floats(4, 15), st.floats(4, 11), st.floats(0.8, 3.0))
@settings(deadline=None, max_examples=40)
def test_a_disc_has_its_area_and_its_centre(x: float, y: float, radius: float) -> None:
    weights = disc_weights((16, 20), x, y, radius).astype(np.float64)
    assert weights.sum() == pytest.approx(1.0, abs=1e-5)
    rows, columns = np.indices(weights.shape)
    assert (weights * columns).sum() == pytest.approx(x, abs=0.06)
    assert (weights * rows).sum() == pytest.approx(y, abs=0.06)
    assert (weights > 0).any()
    assert not weights[np.hypot(columns - x, rows - y) > radius + 0.8].any()


def test_a_large_disc_counts_its_pixels_alike() -> None:
    weights = disc_weights((40, 40), 20.3, 19.6, 9.0)
    assert weights.max() == pytest.approx(1 / (np.pi * 81), rel=2e-3)


def test_a_disc_beyond_the_image() -> None:
    assert disc_weights((10, 10), -0.5, 4.5, 3.0).sum() == pytest.approx(1.0, abs=1e-5)
    assert not disc_weights((10, 10), -20.0, 4.5, 3.0).any()


def test_mean_in_view() -> None:
    weights = disc_weights((20, 20), 10.0, 10.0, 3.0)
    image = np.full((20, 20), 0.2, np.float32)
    image[10, 10] = np.nan
    valid = np.ones((20, 20), bool)
    mean, share = mean_in_view(image, valid, weights)
    assert mean == pytest.approx(0.2)
    assert share == pytest.approx(1 - float(weights[10, 10]), rel=1e-4)
    valid[:10] = False
    mean, share = mean_in_view(image, valid, weights)
    assert share > 0.5
    assert mean == pytest.approx(0.2)
    valid[:11] = False
    mean, share = mean_in_view(image, valid, weights)
    assert share < 0.5
    assert np.isnan(mean)
    mean, share = mean_in_view(image, np.zeros((20, 20), bool), weights)
    assert np.isnan(mean)
    assert share == 0.0
    assert np.isnan(mean_in_view(image, valid, np.zeros((20, 20), np.float32))[0])
