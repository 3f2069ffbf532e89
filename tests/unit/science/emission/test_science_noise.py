"""How pixel noise adds up along a line, against images of nothing but noise."""

import numpy as np
import pytest

from so2cam.science.emission.lines import sample_image
from so2cam.science.emission.noise import block_noise, line_noise
from so2cam.science.imaging.background import pixel_noise
from so2cam.science.imaging.registration import warp_to_on_band

SHAPE = (96, 128)
N = 70
X, Y = np.linspace(30, 80, N), np.linspace(20, 70, N)
SIGMA = 0.01


MATRICES = [
    [[1, 0, 0], [0, 1, 0]],
    [[1, 0, 3], [0, 1, -2]],
    [[1, 0, 0.5], [0, 1, 0.5]],
    [[0.9997, -0.0262, 6.06], [0.0262, 0.9997, -3.9]],
]


def noise_image(rng: np.random.Generator, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an absorbance image of nothing but noise, the off band moved by ``moved``, and where it is valid."""
    on, off = (rng.normal(0, SIGMA, SHAPE).astype(np.float32) for _ in range(2))
    seen, valid = warp_to_on_band(off, np.ones(SHAPE, np.bool_), moved)
    return np.where(valid, on - seen, 0).astype(np.float32), valid


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("weights", [np.ones(N), np.hanning(N), np.r_[-np.ones(20), np.ones(30), -np.ones(20)]])
def test_the_scatter_of_sums_is_what_is_stated(matrix: list[list[float]], weights: np.ndarray) -> None:
    moved = np.array(matrix, np.float64)
    rng = np.random.default_rng(3)
    sums, noises = [], []
    for _ in range(400):
        absorbance, valid = noise_image(rng, moved)
        noises.append(pixel_noise(absorbance, valid))
        sums.append(float(weights @ sample_image(absorbance, valid, X, Y)))
    stated = line_noise(X, Y, SHAPE, moved).sigma(weights, float(np.mean(noises)))
    assert np.std(sums) == pytest.approx(stated, rel=0.12)  # 400 sums tell to 3.5 %; one in 1000 lies 12 % off


@pytest.mark.parametrize("matrix", MATRICES)
def test_the_scatter_of_means_of_blocks_is_what_is_stated(matrix: list[list[float]]) -> None:
    moved = np.array(matrix, np.float64)
    rng = np.random.default_rng(4)
    scatter, noises = [], []
    for _ in range(40):
        absorbance, valid = noise_image(rng, moved)
        noises.append(pixel_noise(absorbance, valid))
        blocks = absorbance[8:88, 8:120].reshape(10, 8, 14, 8).mean(axis=(1, 3))  # all of them valid
        scatter.append(float(np.sqrt(np.mean(blocks**2))))
    stated = float(np.mean(noises)) * block_noise(8, SHAPE, moved)
    assert np.sqrt(np.mean(np.square(scatter))) == pytest.approx(stated, rel=0.04)  # 5600 blocks tell to 1 %


def test_samples_that_are_pixels_add_in_quadrature() -> None:
    x, y = np.arange(10, 40, dtype=np.float64), np.full(30, 12.0)
    noise = line_noise(x, y, SHAPE, np.eye(2, 3))
    assert noise.sigma(np.ones(30), 0.02) == pytest.approx(0.02 * np.sqrt(30))
