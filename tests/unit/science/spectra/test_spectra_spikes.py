"""Spikes are found where they are, and never where sunlight, SO2 or noise is."""

from pathlib import Path

import numpy as np
import pytest

from so2cam.core.records import FloatArray
from so2cam.science.spectra.prepare import Prepared, prepare
from so2cam.science.spectra.spikes import find_spikes, repair, residual_outliers

PIXELS = np.arange(800)


def sky(fwhm_px: float = 7.0, seed: int = 1) -> FloatArray:
    """Random lines 5 times finer than the resolution, smoothed to it: as rough as a spectrum can be."""
    rng = np.random.default_rng(seed)
    fine = 1 - 0.9 * (rng.random(800 * 5) < 0.15) * rng.random(800 * 5)
    sigma = 5 * fwhm_px / 2.3548
    at = np.arange(-int(5 * sigma), int(5 * sigma) + 1)
    kernel = np.exp(-((at / sigma) ** 2) / 2)
    smooth = np.convolve(np.pad(fine, at.size // 2, mode="reflect"), kernel / kernel.sum(), mode="valid")[::5]
    return np.asarray(2000 + 40000 * smooth / (1 + np.exp(-(PIXELS - 250) / 40)))


def test_lines_of_the_sun_are_no_spikes_however_low_the_noise() -> None:
    rng = np.random.default_rng(2)
    for fwhm_px in (6.0, 7.0, 9.0, 20.0):
        spectra = np.stack([sky(fwhm_px, seed) for seed in range(20)])
        for noise in (0.0, 1e-5, 1e-3, 1e-2):
            noisy = spectra * (1 + noise * rng.standard_normal(spectra.shape))
            assert find_spikes(noisy, sigma=8.0).sum() == 0, (fwhm_px, noise)


def test_shot_noise_over_steep_light_is_no_spike() -> None:
    rng = np.random.default_rng(3)
    spectra = np.stack([rng.normal(sky(), np.sqrt(10**2 + 2 * sky())) for _ in range(200)])
    assert find_spikes(spectra, sigma=5.0).mean() < 1e-4
    assert find_spikes(spectra, sigma=8.0).sum() == 0


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_spikes_are_found_exactly(width: int, sign: int) -> None:
    rng = np.random.default_rng(4)
    truth = np.zeros((60, 800), np.bool_)
    spectra = np.stack([rng.normal(sky(), np.sqrt(10**2 + 2 * sky())) for _ in range(60)])
    for row, mask in zip(spectra, truth, strict=True):
        for at in rng.choice(np.arange(20, 780, 40), 3, replace=False):
            mask[at : at + width] = True
            row[at : at + width] += sign * (25 * np.sqrt(100 + 2 * row[at]) + 1500)
    found = find_spikes(spectra, sigma=8.0)
    assert (found == truth).mean() > 0.9999
    assert found[truth].mean() > 0.98


def test_a_spike_hides_no_other() -> None:
    spectrum = np.random.default_rng(5).normal(sky(), 20)
    for at, height in ((400, 30000.0), (403, -9000.0), (409, 9000.0), (420, 60000.0)):
        spectrum[at] += height
    assert list(np.flatnonzero(find_spikes(spectrum, sigma=8.0))) == [400, 403, 409, 420]


def test_wide_features_are_no_spikes() -> None:
    spectrum = np.random.default_rng(6).normal(sky(), 20)
    spectrum[500:504] += 8000
    assert not find_spikes(spectrum, sigma=8.0)[495:509].any()


def test_saturation_bad_pixels_and_ends_make_no_spikes() -> None:
    spectrum = np.minimum(np.random.default_rng(7).normal(sky() * 2.0, 30), 60000.0)
    spectrum[:2] = 17.0, 65000.0
    spectrum[300], spectrum[600] = 0.0, np.nan
    usable = (spectrum < 60000) & (PIXELS != 300)
    assert (~usable).sum() > 20
    assert find_spikes(spectrum, sigma=8.0, usable=usable).sum() == 0


def test_constant_spectrum_has_no_spikes_and_shows_one() -> None:
    spectrum = np.zeros(200)
    assert find_spikes(spectrum, sigma=8.0).sum() == 0
    spectrum[50] = 1.0
    assert list(np.flatnonzero(find_spikes(spectrum, sigma=8.0))) == [50]
    assert find_spikes(np.full(200, np.nan), sigma=8.0).sum() == 0


def test_zero_sigma_finds_none() -> None:
    spectrum = np.zeros(200)
    spectrum[50] = 1e6
    assert find_spikes(spectrum, sigma=0.0).sum() == 0
    assert residual_outliers(spectrum, 0.0).sum() == 0


def test_wrong_spike_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="64 pixels"):
        find_spikes(np.zeros(63), sigma=8.0)
    with pytest.raises(ValueError, match="resolution_px"):
        find_spikes(np.zeros(200), sigma=8.0, resolution_px=3.0)
    with pytest.raises(ValueError, match="maximum_width_px"):
        find_spikes(np.zeros(200), sigma=8.0, maximum_width_px=3)


def test_repair_draws_lines_between_good_pixels_and_knows_nothing_beyond() -> None:
    values = np.array([[1.0, 9.0, 9.0, 4.0, 5.0, 9.0], [9.0, 2.0, 9.0, 4.0, 5.0, 6.0]])
    mask = values == 9
    repaired = repair(values, mask)
    np.testing.assert_allclose(repaired, [[1, 2, 3, 4, 5, np.nan], [np.nan, 2, 3, 4, 5, 6]])
    np.testing.assert_allclose(repair(values[0], mask[0]), repaired[0])
    assert values[0, 1] == 9
    assert np.isnan(repair(np.ones(4), np.ones(4, np.bool_))).all()


def test_outliers_of_a_residual() -> None:
    rng = np.random.default_rng(8)
    residual = rng.normal(0.001, 0.01, (50, 125))
    assert residual_outliers(residual, 8.0).sum() == 0
    residual[3, 20], residual[4, 60:62], residual[5, 80:84], residual[6, 3] = 0.2, -0.2, 0.2, np.nan
    found = residual_outliers(residual, 8.0)
    assert [tuple(int(i) for i in one) for one in np.argwhere(found)] == [(3, 20), (4, 60), (4, 61)]
    np.testing.assert_array_equal(residual_outliers(residual[3], 8.0), found[3])
    assert residual_outliers(np.full(10, np.nan), 8.0).sum() == 0


def test_outliers_where_noise_differs_from_pixel_to_pixel() -> None:
    noise = np.geomspace(0.001, 0.1, 400)
    residual = np.random.default_rng(9).normal(0, noise)
    residual[5] = 0.03
    assert residual_outliers(residual, 6.0).sum() > 1
    assert list(np.flatnonzero(residual_outliers(residual, 6.0, relative_noise=noise))) == [5]


def flame(data_dir: Path) -> tuple[Prepared, FloatArray]:
    folder = data_dir / "spectra_flame"
    wavelengths, dark = np.load(next(folder.glob("*Dark.npy")))
    plume = np.stack([np.load(file)[1] for file in sorted(folder.glob("*Plume.npy"))])
    return prepare(
        plume, dark, wavelengths, saturation_counts=63000, stray_light_nm=(293, 296), bad_pixels=(0, 1)
    ), wavelengths


def masaya(data_dir: Path, every: int = 4) -> tuple[Prepared, FloatArray]:
    folder = data_dir / "masaya"
    wavelengths, dark = np.loadtxt(folder / "dark.txt").T
    plume = np.stack([np.loadtxt(file)[:, 1] for file in sorted(folder.glob("spectrum_*.txt"))[::every]])
    return prepare(
        plume, dark, wavelengths, saturation_counts=63000, stray_light_nm=(280, 290), bad_pixels=(0, 1)
    ), wavelengths


@pytest.mark.data
@pytest.mark.parametrize("read", [flame, masaya])
def test_real_spectra_have_next_to_no_spikes_and_show_those_put_in(data_dir: Path, read: object) -> None:
    spectra, wavelengths = read(data_dir)  # type: ignore[operator]
    lit = (wavelengths > 300) & (wavelengths < 330)
    found = find_spikes(spectra.counts, sigma=8.0, usable=spectra.usable)
    assert found.sum() < 1e-4 * spectra.usable.sum()
    assert not found[:, lit].any()
    assert not find_spikes(spectra.counts, sigma=6.0, usable=spectra.usable)[:, lit].any()

    rng = np.random.default_rng(10)
    counts, truth = spectra.counts.copy(), np.zeros(spectra.counts.shape, np.bool_)
    for row, mask, usable in zip(counts, truth, spectra.usable, strict=True):
        at = rng.choice(np.flatnonzero(lit & usable))
        row[at] += 0.5 * row[at] + 2000
        mask[at] = True
    assert find_spikes(counts, sigma=8.0, usable=spectra.usable)[truth].mean() > 0.9
