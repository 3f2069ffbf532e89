"""Hot pixels: known ones are found and filled, and nothing else is."""

import time

import cv2
import numpy as np
import pytest

from so2cam.core.records import BoolImage, FloatImage
from so2cam.science.imaging.hot_pixels import find_hot_pixels, repair_hot_pixels

ROWS, COLUMNS = 120, 160
EVERYWHERE = np.ones((ROWS, COLUMNS), np.bool_)


def dark(seed: int, noise: float = 1.0, shape: tuple[int, int] = (ROWS, COLUMNS)) -> FloatImage:
    """Return a dark with a slope and a brighter corner, as amplifiers have it."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    glow = 30 + 0.02 * x + 25 * np.exp(-np.hypot(x, y) / 30)
    return (glow + np.random.default_rng(seed).normal(0, noise, shape)).astype(np.float32)


def find(image: FloatImage, threshold_sigma: float = 10.0, minimum_dn: float = 5.0) -> list[int]:
    return [int(i) for i in find_hot_pixels(image, threshold_sigma=threshold_sigma, minimum_dn=minimum_dn)]


@pytest.mark.parametrize("seed", range(20))
def test_clean_noise_has_no_hot_pixels(seed: int) -> None:
    assert find(dark(seed), minimum_dn=0.0) == []
    assert find(dark(seed, noise=0.0)) == []


@pytest.mark.parametrize("seed", range(5))
def test_known_hot_pixels_are_found_and_no_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = dark(seed)
    placed = rng.choice(image.size, 60, replace=False)
    image.flat[placed] += rng.uniform(20, 400, placed.size).astype(np.float32)
    assert find(image) == sorted(int(i) for i in placed)


def test_edges_corners_and_pairs_are_found() -> None:
    image = dark(0)
    places = [(0, 0), (0, 1), (1, 0), (0, 80), (60, 159), (119, 159), (119, 0), (118, 0), (50, 50), (50, 51), (51, 51)]
    for row, column in places:
        image[row, column] += 100
    assert find(image) == sorted(row * COLUMNS + column for row, column in places)


def test_both_thresholds_count() -> None:
    image = dark(1, noise=0.1)
    image[20, 30] += 4.0
    assert find(image, minimum_dn=5.0) == []
    assert find(image, minimum_dn=3.0) == [20 * COLUMNS + 30]
    noisy = dark(1, noise=2.0)
    noisy[20, 30] = cv2.medianBlur(noisy, 5)[20, 30] + 15
    assert find(noisy, threshold_sigma=10.0) == []
    assert find(noisy, threshold_sigma=6.0) == [20 * COLUMNS + 30]


def test_a_dark_of_whole_numbers_that_hardly_vary() -> None:
    image = np.full((ROWS, COLUMNS), 12.0, np.float32)
    image[::7, ::5] += 1
    image[40, 40] = 60
    assert find(image) == [40 * COLUMNS + 40]


def test_cold_pixels_are_not_hot() -> None:
    image = dark(2)
    image[30, 30] = 0
    assert find(image) == []


@pytest.mark.parametrize(("share", "found"), [(0.009, True), (0.011, False)])
def test_more_than_one_percent_are_no_hot_pixels(share: float, found: bool) -> None:
    image = dark(3)
    placed = np.random.default_rng(3).choice(image.size, round(share * image.size), replace=False)
    image.flat[placed] += 300
    assert len(find(image)) == (placed.size if found else 0)


def test_what_is_found_is_not_changed() -> None:
    image = dark(4)
    image[3, 3] += 100
    before = image.copy()
    find(image)
    np.testing.assert_array_equal(image, before)


def repair(signal: FloatImage, valid: BoolImage, *places: tuple[int, int]) -> tuple[FloatImage, BoolImage]:
    """Return the repaired image, and see to it that the arguments are as they were."""
    hot = np.array([row * signal.shape[1] + column for row, column in places], np.intp)
    before = signal.copy(), valid.copy(), hot.copy()
    result = repair_hot_pixels(signal, valid, hot)
    for kept, argument in zip(before, (signal, valid, hot), strict=True):
        np.testing.assert_array_equal(kept, argument)
    assert result[0].dtype == np.float32
    assert result[1].dtype == np.bool_
    return result


def ramp() -> FloatImage:
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    return (2 * x + 3 * y).astype(np.float32)


def test_a_hot_pixel_is_the_mean_of_its_eight_neighbours() -> None:
    image = ramp()
    image[50, 60] = 1e6
    repaired, valid = repair(image, EVERYWHERE.copy(), (50, 60))
    np.testing.assert_array_equal(repaired, ramp())
    assert valid.all()


def test_invalid_and_hot_neighbours_do_not_count() -> None:
    image, valid = ramp(), EVERYWHERE.copy()
    image[50, 60] = image[50, 61] = 1e6
    image[49, 60], valid[49, 60] = np.nan, False
    image[51, 59], valid[51, 59] = np.inf, False
    repaired, known = repair(image, valid, (50, 60), (50, 61))
    around = [(49, 59), (49, 61), (50, 59), (51, 60), (51, 61)]
    assert repaired[50, 60] == pytest.approx(np.mean([ramp()[place] for place in around]))
    beside = [(49, 61), (49, 62), (50, 62), (51, 60), (51, 61), (51, 62)]
    assert repaired[50, 61] == pytest.approx(np.mean([ramp()[place] for place in beside]))
    assert known[50, 60]
    assert known[50, 61]
    # What was invalid for another reason stays so.
    assert not known[49, 60]
    assert not known[51, 59]
    changed = (repaired != image) & ~np.isnan(image)
    assert [tuple(place) for place in np.argwhere(changed)] == [(50, 60), (50, 61)]


@pytest.mark.parametrize(
    ("corner", "neighbours"),
    [
        ((0, 0), [(0, 1), (1, 0), (1, 1)]),
        ((0, 159), [(0, 158), (1, 158), (1, 159)]),
        ((119, 0), [(118, 0), (118, 1), (119, 1)]),
        ((119, 159), [(118, 158), (118, 159), (119, 158)]),
        ((0, 70), [(0, 69), (0, 71), (1, 69), (1, 70), (1, 71)]),
    ],
)
def test_corners_and_edges_have_fewer_neighbours(corner: tuple[int, int], neighbours: list[tuple[int, int]]) -> None:
    image = ramp()
    image[corner] = 1e6
    repaired, valid = repair(image, EVERYWHERE.copy(), corner)
    assert repaired[corner] == pytest.approx(np.mean([ramp()[place] for place in neighbours]))
    assert valid.all()


def test_without_any_good_neighbour_the_pixel_is_invalid() -> None:
    image, valid = ramp(), EVERYWHERE.copy()
    valid[49:52, 59:62] = False
    valid[50, 60] = True
    block = [(row, column) for row in (80, 81, 82) for column in (90, 91, 92)]
    _, known = repair(image, valid, (50, 60), *block)
    assert not known[50, 60]
    # In a hot block of 3 x 3 all but the middle have good neighbours.
    assert not known[81, 91]
    assert known[80:83, 90:93].sum() == 8


def test_a_saturated_hot_pixel_becomes_valid_again() -> None:
    valid = EVERYWHERE.copy()
    valid[10, 10] = False
    _, known = repair(ramp(), valid, (10, 10))
    assert known.all()


def test_without_hot_pixels_nothing_is_copied() -> None:
    image, valid = ramp(), EVERYWHERE.copy()
    repaired, known = repair_hot_pixels(image, valid, np.zeros(0, np.intp))
    assert repaired is image
    assert known is valid


def test_speed() -> None:
    """Printed, not held to a limit: machines differ."""
    image = dark(0, shape=(486, 648))
    placed = np.random.default_rng(0).choice(image.size, 300, replace=False)
    image.flat[placed] += 200
    valid = np.ones(image.shape, np.bool_)
    start = time.perf_counter()
    hot = find_hot_pixels(image, threshold_sigma=10.0, minimum_dn=5.0)
    middle = time.perf_counter()
    repair_hot_pixels(image, valid, hot)
    end = time.perf_counter()
    print(
        f"648 x 486, {hot.size} hot: found in {1e3 * (middle - start):.1f} ms, filled in {1e3 * (end - middle):.2f} ms"
    )
    assert hot.size == 300
