"""Statistics of frames and spectra, against numpy's own and known pictures."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from so2cam.observe.statistics import frame_level, is_dark, looks_like_noise, make_histogram, spectrum_level

images = hnp.arrays(np.uint16, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30), elements=st.integers(0, 1023))


@settings(max_examples=100, deadline=None)
@given(images, st.integers(1, 200), st.sampled_from([1, 16]))
def test_brightest_pixels_are_those_of_sorting(counts, pixels, scale):
    expected = np.sort(counts.ravel())[-pixels:].mean() / scale
    assert make_histogram(counts, scale).brightest_dn(pixels) == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(images, st.floats(0, 100))
def test_percentiles_are_numpys(counts, percent):
    # numpy's method "inverted_cdf": the smallest count that so many per cent of the pixels do not exceed.
    expected = np.percentile(counts, percent, method="inverted_cdf")
    found = make_histogram(counts).percentile_dn(percent)
    assert found == expected or math.isclose(percent % (100 / counts.size), 0, abs_tol=1e-6)


@settings(max_examples=60, deadline=None)
@given(images, st.integers(1, 40))
def test_binned_histogram_is_numpys(counts, bins):
    expected, _ = np.histogram(counts, bins=bins, range=(0, 1023))
    found = make_histogram(counts).binned(bins, 1023)
    assert found.sum() == counts.size
    assert np.abs(np.cumsum(found) - np.cumsum(expected)).max() <= np.unique(counts, return_counts=True)[1].max()


def test_rows_and_saturated_share():
    counts = np.zeros((10, 20), np.uint16)
    counts[:5] = 1023
    assert make_histogram(counts).share_from(1003) == 0.5
    assert make_histogram(counts, rows=(5, 9)).share_from(1003) == 0.0
    assert make_histogram(counts, rows=(4, 5)).percentile_dn(75) == 1023
    assert make_histogram(counts * np.uint16(16), 16).brightest_dn(3) == 1023
    for rows in ((-1, 3), (3, 10), (5, 4)):
        with pytest.raises(ValueError, match="rows"):
            make_histogram(counts, rows=rows)
    with pytest.raises(ValueError, match="uint16"):
        make_histogram(counts.astype(np.float32))
    with pytest.raises(ValueError, match="scale"):
        make_histogram(counts, 0)


def test_level_of_a_known_picture():
    rng = np.random.default_rng(2)
    counts = (100 + rng.integers(0, 3, (100, 100))).astype(np.uint16)
    counts[40, :50] = 815
    found = frame_level(counts, scale=1, maximum_dn=1023, dark_dn=15, brightest_pixels=50)
    assert found.bright == pytest.approx(800 / 1008)
    assert found.middle == pytest.approx(86 / 1008, abs=0.002)
    assert not found.clipped
    assert found.saturated_share == 0
    below = frame_level(counts, scale=1, maximum_dn=1023, dark_dn=15, brightest_pixels=50, rows=(50, 5000))
    assert below.bright == pytest.approx(87 / 1008)
    outside = frame_level(counts, scale=1, maximum_dn=1023, brightest_pixels=50, rows=(400, 500))
    assert outside.bright == pytest.approx(815 / 1023)


def test_a_few_saturated_pixels_do_not_clip_but_many_do():
    counts = np.full((100, 100), 600, np.uint16)
    counts[0, :40] = 1023
    assert not frame_level(counts, scale=1, maximum_dn=1023, brightest_pixels=100).clipped
    counts[0, :60] = 1023
    assert frame_level(counts, scale=1, maximum_dn=1023, brightest_pixels=100).clipped


def test_uncertainty_of_the_level_covers_its_scatter():
    rng = np.random.default_rng(3)
    levels = []
    for _ in range(40):
        counts = np.rint(500 + 3 * rng.standard_normal((60, 60))).astype(np.uint16)
        levels.append(frame_level(counts, scale=1, maximum_dn=1023, brightest_pixels=3600))
    scatter = np.std([one.bright for one in levels])
    assert 0.7 * scatter < np.mean([one.uncertainty for one in levels]) < 1.5 * scatter


def test_no_pixels_and_no_span_are_not_measured():
    assert not frame_level(np.zeros((0, 5), np.uint16), scale=1, maximum_dn=1023).measured
    assert not frame_level(np.zeros((5, 5), np.uint16), scale=1, maximum_dn=10, dark_dn=10).measured


def test_level_of_a_spectrum():
    wavelengths = np.linspace(280, 400, 1201)
    counts = 1000 + 50_000 * np.exp(-(((wavelengths - 360) / 20) ** 2))
    inside = spectrum_level(
        wavelengths, counts, saturation_counts=65_000, dark_counts=1000, window_nm=(300, 340), brightest_pixels=2
    )
    assert inside.bright == pytest.approx(50_000 * math.exp(-1) / 64_000, rel=0.01)
    counts[wavelengths > 355] = 65_000
    assert not spectrum_level(wavelengths, counts, saturation_counts=65_000, window_nm=(300, 340)).clipped
    all_of_it = spectrum_level(wavelengths, counts, saturation_counts=65_000, window_nm=(500, 600))
    assert all_of_it.clipped
    counts[:] = np.nan
    assert not spectrum_level(wavelengths, counts, saturation_counts=65_000, window_nm=(300, 340)).measured
    with pytest.raises(ValueError, match="one shape"):
        spectrum_level(wavelengths, counts[:-1], saturation_counts=65_000, window_nm=(300, 340))


def test_darks_are_dark_and_everything_else_is_not():
    rng = np.random.default_rng(4)
    dark = np.clip(np.rint(15 + 0.8 * rng.standard_normal((486, 648))), 0, 1023).astype(np.uint16)
    dark[rng.integers(0, 486, 60), rng.integers(0, 648, 60)] = 700
    assert is_dark(dark, maximum_dn=1023).dark
    assert is_dark(dark * np.uint16(16), scale=16, maximum_dn=1023).dark
    glow = dark.copy()
    glow[200:240, 300:340] += 30
    found = is_dark(glow, maximum_dn=1023)
    assert not found.dark
    assert "brighter than the rest" in found.reason
    assert found.structure_dn == pytest.approx(30, abs=1)
    daylight = is_dark(dark + np.uint16(400), maximum_dn=1023)
    assert "above 10%" in daylight.reason
    twilight = is_dark(dark + np.uint16(20), maximum_dn=1023, expected_dn=15)
    assert "expected 15.0" in twilight.reason
    assert is_dark(dark, maximum_dn=1023, expected_dn=16).dark


def test_dark_spectra():
    rng = np.random.default_rng(5)
    dark = 1500 + 20 * rng.standard_normal(2048)
    dark[77] = 40_000
    assert is_dark(dark, maximum_dn=65_535).dark
    lit = dark + 3000 * np.exp(-(((np.arange(2048) - 1200) / 100) ** 2))
    assert not is_dark(lit, maximum_dn=65_535).dark
    dark[3] = np.nan
    assert not is_dark(dark, maximum_dn=65_535).dark
    with pytest.raises(ValueError, match="shape"):
        is_dark(np.zeros((2, 2, 2)), maximum_dn=1)


def test_random_numbers_are_told_from_pictures():
    rng = np.random.default_rng(6)
    noise = rng.integers(0, 1024, (486, 648)).astype(np.uint16)
    assert looks_like_noise(noise, maximum_dn=1023)
    x = np.linspace(0, 1, 648)
    edges = np.where((x * 20).astype(int) % 2, 1000, 20)[None, :] * np.ones((486, 1))
    assert not looks_like_noise(edges.astype(np.uint16), maximum_dn=1023)
    bright = np.clip(1000 + 4 * rng.standard_normal((486, 648)), 0, 1023).astype(np.uint16)
    assert not looks_like_noise(bright, maximum_dn=1023)
    assert not looks_like_noise(np.full((486, 648), 1023, np.uint16), maximum_dn=1023)
    assert not looks_like_noise(noise[:5, :5], maximum_dn=1023)
    hot = np.where(rng.random((486, 648)) < 0.05, 1023, 15).astype(np.uint16)
    assert not looks_like_noise(hot, maximum_dn=1023)
    assert looks_like_noise(noise * np.uint16(16), scale=16, maximum_dn=1023)
