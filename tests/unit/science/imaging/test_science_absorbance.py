"""What darkens both bands alike cancels; what darkens one of them is the absorbance."""

import math

import numpy as np
import pytest

from so2cam.core.records import BoolImage, FloatArray, FloatImage
from so2cam.core.site import Background
from so2cam.pipeline.steps import BandReference, LogImage, absorbance_image
from so2cam.science.imaging.absorbance import apparent_absorbance, log_intensity, optical_depth
from so2cam.science.imaging.flat import FlatField
from so2cam.science.imaging.registration import warp_to_on_band

SHAPE = (243, 324)
Y, X = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float64)
EVERYWHERE = np.ones(SHAPE, np.bool_)
LEVELS = (math.log(600.0), math.log(450.0))
ANGLE = math.radians(0.8)
MATRIX = np.array([[math.cos(ANGLE), -math.sin(ANGLE), 2.3], [math.sin(ANGLE), math.cos(ANGLE), -1.6]])
IDENTITY = np.eye(2, 3)


def references() -> tuple[BandReference, BandReference]:
    ones = np.ones(SHAPE, np.float32)
    on, off = (BandReference(FlatField(ones, EVERYWHERE, math.exp(level)), ones, level) for level in LEVELS)
    return on, off


def log_image(intensity: FloatArray, matrix: FloatArray | None, valid: BoolImage = EVERYWHERE) -> LogImage:
    image = intensity.astype(np.float32)
    if matrix is not None:
        image, valid = warp_to_on_band(image, valid, matrix)
    return LogImage(log_intensity(image, valid), valid, 0.0, 0.0)


def absorbance(
    on: FloatArray, off: FloatArray, matrix: FloatArray, mode: str, valid: BoolImage = EVERYWHERE
) -> tuple[FloatImage, BoolImage]:
    image = absorbance_image(
        log_image(on, None, valid),
        log_image(off, matrix),
        references(),
        Background.model_validate({"mode": mode, "skyline": [(0, 240), (323, 240)]}),
        matrix=matrix,
    )
    assert image is not None
    return image.absorbance, image.valid


def in_on_band(x: FloatArray, y: FloatArray, matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return where off-band pixels lie in the on-band image: the inverse of ``matrix``."""
    inverse = np.linalg.inv(matrix[:, :2])
    dx, dy = x - matrix[0, 2], y - matrix[1, 2]
    return inverse[0, 0] * dx + inverse[0, 1] * dy, inverse[1, 0] * dx + inverse[1, 1] * dy


def cloud(x: FloatArray, y: FloatArray) -> FloatArray:
    """A transmission that bilinear resampling reproduces exactly: it is linear in x and y."""
    return 1.0 - 0.0012 * x - 0.0008 * y


def smooth_plume(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.exp(-(((y - 110 - 0.1 * x) / 28) ** 2)) * (x < 400)


MODES = pytest.mark.parametrize("mode", ["sky-surface", "clear-sky", "99"])


@MODES
@pytest.mark.parametrize("matrix", [IDENTITY, MATRIX], ids=["aligned", "registered"])
def test_bands_darkened_alike_have_no_absorbance(mode: str, matrix: FloatArray) -> None:
    on = math.exp(LEVELS[0]) * cloud(X, Y)
    off = math.exp(LEVELS[1]) * cloud(*in_on_band(X, Y, matrix))
    result, valid = absorbance(on, off, matrix, mode)
    assert valid.mean() > 0.9
    assert np.abs(result[valid]).max() < 5e-6


@MODES
def test_an_ash_cloud_with_sharp_edges_has_no_absorbance(mode: str) -> None:
    ash = np.where(np.hypot(X - 160, Y - 120) < 40, 0.4, 1.0) * np.where(X > 250, 0.9, 1.0)
    result, valid = absorbance(math.exp(LEVELS[0]) * ash, math.exp(LEVELS[1]) * ash, IDENTITY, mode)
    assert np.abs(result[valid]).max() < 5e-6


@MODES
@pytest.mark.parametrize("matrix", [IDENTITY, MATRIX], ids=["aligned", "registered"])
def test_an_off_band_plume_counts_in_full(mode: str, matrix: FloatArray) -> None:
    # 0.05 of aerosol and SO2 in the off band must come off the on band's 0.25, everywhere in the image.
    on = np.exp(LEVELS[0] - 0.25 * smooth_plume(X, Y))
    off = np.exp(LEVELS[1] - 0.05 * smooth_plume(*in_on_band(X, Y, matrix)))
    truth = 0.20 * smooth_plume(X, Y)
    result, valid = absorbance(on, off, matrix, mode)
    # The sky surface may not tell the faintest wings of a plume from sky; resampling flattens the peak by 1e-5.
    tolerance = 1.5e-3 if mode == "sky-surface" else 2e-5
    assert np.abs(result - truth)[valid].max() < tolerance
    core = valid & (truth > 0.02)
    assert result[core].mean() == pytest.approx(truth[core].mean(), rel=0.01)


def test_clear_sky_mode_is_the_textbook_formula() -> None:
    on, off = np.full(SHAPE, 300.0), np.full(SHAPE, 400.0)
    result, _ = absorbance(on, off, IDENTITY, "clear-sky")
    expected = math.log(600 / 300) - math.log(450 / 400)
    np.testing.assert_allclose(result, expected, atol=1e-6)


@MODES
def test_invalid_pixels_are_nan_and_nothing_else_is(mode: str) -> None:
    valid = EVERYWHERE.copy()
    valid[100:103, 50:60] = False
    result, left = absorbance(np.full(SHAPE, 600.0), np.full(SHAPE, 450.0), MATRIX, mode, valid)
    assert np.array_equal(np.isnan(result), ~left)
    assert not left[100:103, 50:60].any()


def test_logarithm_only_where_valid() -> None:
    intensity = np.array([[-3.0, 0.0, math.e, np.nan]], np.float32)
    result = log_intensity(intensity, np.array([[False, False, True, False]]))
    assert result[0, 2] == pytest.approx(1)
    assert np.isnan(result[0, [0, 1, 3]]).all()


def test_optical_depths_by_hand() -> None:
    background = np.log(np.array([[100.0, 100.0]], np.float32))
    on = optical_depth(background, np.log(np.array([[50.0, np.nan]], np.float32)))
    off = optical_depth(background, np.log(np.array([[80.0, 80.0]], np.float32)))
    assert on[0, 0] == pytest.approx(0.693147, abs=1e-6)
    result = apparent_absorbance(on, off)
    assert result[0, 0] == pytest.approx(math.log(80 / 50), abs=1e-6)
    assert np.isnan(result[0, 1])
    assert result.dtype == np.float32
