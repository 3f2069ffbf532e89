"""The sensitivity mask: a known one is recovered behind noise, dust and the rim of the cell's holder."""

import numpy as np
import pytest

from so2cam.core.records import BoolImage, FloatImage
from so2cam.science.calibration.sensitivity import SensitivityMask, correct_sensitivity, sensitivity_mask

ROWS, COLUMNS = 243, 324
Y, X = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float64)
U, V = (X - 161.5) / 162, (Y - 121) / 162
EVERYWHERE = np.ones((ROWS, COLUMNS), np.bool_)
WHOLE = (slice(None), slice(None))
REGION = (slice(90, 150), slice(120, 200))
TRUTH = 0.95 + 0.18 * (U**2 + V**2) + 0.05 * U - 0.03 * U * V + 0.03 * U**3
RADIUS = np.hypot(U, V)


def cell(seed: int = 0, *, level: float = 0.25, noise: float = 0.01, dust: int = 40, tilt: bool = True) -> FloatImage:
    rng = np.random.default_rng(seed)
    image = level * (TRUTH if tilt else 1.0) + rng.normal(0, noise, (ROWS, COLUMNS))
    for _ in range(dust):
        row, column, radius = rng.integers(0, ROWS), rng.integers(0, COLUMNS), rng.integers(1, 5)
        image[(Y - row) ** 2 + (X - column) ** 2 <= radius**2] += rng.choice([-0.2, 0.3])
    return image.astype(np.float32)


def error(mask: SensitivityMask, region: tuple[slice, slice]) -> FloatImage:
    """Return the relative error of a mask whose mean over ``region`` is 1."""
    return np.asarray(np.abs(mask.values / (TRUTH / TRUTH[region].mean()) - 1), np.float32)


@pytest.mark.parametrize("region", [WHOLE, REGION])
@pytest.mark.parametrize("seed", range(3))
def test_a_known_mask_is_recovered(seed: int, region: tuple[slice, slice]) -> None:
    mask = sensitivity_mask(cell(seed), EVERYWHERE, region=region)
    assert mask.valid.all()
    assert mask.values.dtype == np.float32
    assert error(mask, region).max() < 0.006
    assert mask.values[region].mean() == pytest.approx(1, abs=1e-5)


RIMS = {
    "left side": (U < -0.6, WHOLE),
    "frame": ((np.abs(U) > 0.93) | (np.abs(V) > 0.68), WHOLE),
    "round": (RADIUS > 0.7, WHOLE),
    "narrow": (RADIUS > 0.5, REGION),
}


@pytest.mark.parametrize("kind", ["noisy", "even", "dark", "invalid"])
@pytest.mark.parametrize("name", RIMS)
def test_the_rim_of_the_holder_does_not_enter(name: str, kind: str) -> None:
    """Behind it, both bands are dark: the ratio of little light is noise, or a value of its own, or masked."""
    rim, region = RIMS[name]
    image, valid = cell(1), EVERYWHERE.copy()
    rng = np.random.default_rng(5)
    if kind == "noisy":
        image[rim] = rng.normal(0.3, 0.4, int(rim.sum()))
    elif kind == "even":
        image[rim] = 1.5
    elif kind == "dark":
        image[rim] = 0.02
    else:
        image[rim], valid[rim] = np.nan, False
    mask = sensitivity_mask(image, valid, region=region)
    seen = ~rim
    scale = mask.values[seen].mean() / TRUTH[seen].mean()
    off = np.abs(mask.values / (TRUTH * scale) - 1)
    assert mask.valid[seen].mean() > 0.99
    assert off[seen].max() < 0.01
    # What is still used behind the rim is as good; most of it is not used where it is wide.
    assert off[mask.valid].max() < 0.02
    if name in ("round", "narrow"):
        assert mask.valid[rim].mean() < 0.5
    assert mask.values[region][mask.valid[region]].mean() == pytest.approx(1, abs=2e-3)


def test_noise_alone_makes_no_pattern() -> None:
    masks = [
        sensitivity_mask(cell(seed, noise=0.05, dust=0, tilt=False), EVERYWHERE, region=WHOLE) for seed in range(6)
    ]
    # 1 sigma of the noise is 20 % of the signal; 20 000 pixels fix 10 coefficients to 0.45 % of it on average.
    for mask in masks:
        assert mask.valid.all()
        assert np.abs(mask.values - 1).mean() < 0.01
    mean = np.mean([mask.values for mask in masks], axis=0)
    assert np.abs(mean - 1).mean() < 0.004
    assert mean.mean() == pytest.approx(1, abs=1e-4)


def test_the_strength_of_the_cell_does_not_matter() -> None:
    weak, strong = (
        sensitivity_mask(cell(0, level=level, noise=0.0, dust=0), EVERYWHERE, region=REGION) for level in (0.05, 1.2)
    )
    np.testing.assert_allclose(weak.values, strong.values, rtol=1e-5)
    assert error(weak, REGION).max() < 1e-5


def test_the_cells_own_image_is_even_after_the_correction() -> None:
    image = cell(2, dust=0)
    mask = sensitivity_mask(image, EVERYWHERE, region=REGION)
    even, valid = correct_sensitivity(image, EVERYWHERE, mask)
    assert valid.all()
    quarters = [
        even[rows, columns].mean()
        for rows in (slice(0, 60), slice(180, 243))
        for columns in (slice(0, 80), slice(240, 324))
    ]
    np.testing.assert_allclose(quarters, image[REGION].mean(), rtol=0.005)


def test_correction_divides_where_it_is_known_and_is_nan_elsewhere() -> None:
    values = np.array([[0.8, 1.0], [1.25, 3.0]], np.float32)
    mask = SensitivityMask(values, np.array([[True, True], [True, False]]))
    absorbance = np.array([[0.4, np.nan], [0.5, 0.3]], np.float32)
    valid = np.array([[True, False], [True, True]])
    before = absorbance.copy(), valid.copy()
    even, known = correct_sensitivity(absorbance, valid, mask)
    np.testing.assert_allclose(even, [[0.5, np.nan], [0.4, np.nan]], rtol=1e-6)
    assert known.tolist() == [[True, False], [True, False]]
    np.testing.assert_array_equal(absorbance, before[0])
    np.testing.assert_array_equal(valid, before[1])


def test_sensitivities_that_no_tilt_explains_are_not_used() -> None:
    image = (0.2 * (1 + 2.2 * U**2)).astype(np.float32)
    mask = sensitivity_mask(image, EVERYWHERE, region=REGION)
    assert not mask.valid[:, 0].any()
    assert mask.valid[REGION].all()
    assert ((mask.values[mask.valid] > 0.5) & (mask.values[mask.valid] < 2)).all()


def nowhere() -> BoolImage:
    return np.zeros((ROWS, COLUMNS), np.bool_)


def patchwork() -> FloatImage:
    """Return an image of three kinds of absorbance, none of which has most of it."""
    image = np.select([U < -0.35, U < 0.3], [0.1, 1.0], 2.0)
    return (image + np.random.default_rng(0).normal(0, 0.01, image.shape)).astype(np.float32)


@pytest.mark.parametrize(
    ("image", "valid", "region", "reason"),
    [
        (cell(), nowhere(), WHOLE, "no valid pixel"),
        (np.full((ROWS, COLUMNS), np.nan, np.float32), EVERYWHERE, WHOLE, "no valid pixel"),
        (cell(), EVERYWHERE, (slice(500, 600), slice(None)), "no valid pixel"),
        (cell(level=0.01), EVERYWHERE, WHOLE, "less than 0.02: choose a stronger"),
        (cell(level=-0.3), EVERYWHERE, WHOLE, "less than 0.02"),
        (cell(), RADIUS < 0.03, WHOLE, "too few pixels"),
        (patchwork(), EVERYWHERE, WHOLE, "looks like a cell"),
    ],
    ids=["nothing valid", "not a number", "outside", "weak", "negative", "few", "no cell"],
)
def test_what_gives_no_mask_is_refused(
    image: FloatImage, valid: BoolImage, region: tuple[slice, slice], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        sensitivity_mask(image, valid, region=region)
