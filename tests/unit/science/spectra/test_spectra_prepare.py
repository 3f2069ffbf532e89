"""Which darks belong to a spectrum, what is left of its counts, and whether there is light enough."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.records import FloatArray
from so2cam.core.spectra import FitStatus, SpectrumInfo, SpectrumKind
from so2cam.science.spectra.prepare import Prepared, light_status, prepare, select_darks

NOON = datetime(2019, 5, 29, 12, 0, 0, tzinfo=UTC)
WAVELENGTHS = 280 + 0.08 * np.arange(600)


def info(
    minutes: float = 0.0,
    *,
    kind: SpectrumKind = SpectrumKind.DARK,
    time_s: float | None = 1.0,
    coadds: int | None = 1,
) -> SpectrumInfo:
    return SpectrumInfo(Path(f"{kind}_{minutes}.npy"), kind, NOON + timedelta(minutes=minutes), time_s, coadds)


PLUME = info(kind=SpectrumKind.PLUME)
UNKNOWN = info(kind=SpectrumKind.PLUME, time_s=None, coadds=None)


def select(
    *darks: SpectrumInfo, spectrum: SpectrumInfo = PLUME, averaging_s: float = 3600.0
) -> tuple[SpectrumInfo, ...]:
    return select_darks(spectrum, darks, integration_time_tolerance=0.01, averaging_s=averaging_s)


@pytest.mark.parametrize(
    "wrong",
    [info(time_s=1.02), info(time_s=0.5), info(coadds=2), info(kind=SpectrumKind.CLEAR), info(kind=SpectrumKind.TEST)],
)
def test_darks_of_other_settings_or_kinds_do_not_match(wrong: SpectrumInfo) -> None:
    assert select(wrong) == ()
    right = info(60 * 24)
    assert select(wrong, right) == (right,)


def test_no_dark_gives_none() -> None:
    assert select() == ()


def test_nearest_dark_counts_with_those_around_it_in_time_order() -> None:
    far, before, after, late = info(-600), info(-90), info(-60, time_s=1.005), info(200)
    assert select(late, after, far, before) == (before, after)
    assert select(late, after, far, before, averaging_s=0) == (after,)


def test_unknown_settings_match_but_come_after_known_ones() -> None:
    silent, half, known = info(-1, time_s=None, coadds=None), info(-2, coadds=None), info(-600)
    assert select(silent) == (silent,)
    assert select(silent, half) == (half,)
    assert select(silent, half, known) == (known,)
    assert select(info(time_s=2.0, coadds=None)) == ()


def test_spectra_that_do_not_tell_take_the_nearest_darks_of_one_setting() -> None:
    short, long, silent = info(-5, time_s=1.0), info(-6, time_s=2.0), info(-7, time_s=None, coadds=None)
    assert select(short, long, silent, spectrum=UNKNOWN) == (short,)
    assert select(silent, info(-90, time_s=None, coadds=None), spectrum=UNKNOWN, averaging_s=0) == (silent,)


def sky() -> FloatArray:
    return 30000 / (1 + np.exp(-(WAVELENGTHS - 310) / 2))


def prepared(counts: FloatArray, dark: FloatArray | None = None, **options: object) -> Prepared:
    return prepare(counts, dark, WAVELENGTHS, saturation_counts=63000.0, **options)  # type: ignore[arg-type]


def test_dark_and_stray_light_are_taken_off_and_negative_values_stay() -> None:
    dark = np.linspace(900, 1100, 600)
    noise = np.random.default_rng(1).normal(0, 20, 600)
    result = prepared(sky() + dark + 150 + noise, dark, stray_light_nm=(281.0, 289.0))
    assert float(result.stray_light_counts) == pytest.approx(150, abs=8)
    assert float(result.noise_counts) == pytest.approx(20, rel=0.25)
    np.testing.assert_allclose(result.counts, sky() + noise + 150 - result.stray_light_counts, atol=1e-8)
    assert (result.counts < 0).any()
    assert result.usable.all()


def test_stray_light_is_the_plain_mean_without_bad_pixels() -> None:
    counts = np.full(600, 10.0)
    counts[20], counts[21], counts[22] = 5000.0, 70000.0, np.nan
    result = prepared(counts, stray_light_nm=(280.0, 290.0), bad_pixels=(20,))
    assert float(result.stray_light_counts) == 10.0
    assert float(result.noise_counts) == 0.0
    assert sorted(np.flatnonzero(~result.usable)) == [20, 21, 22]
    assert list(np.flatnonzero(result.saturated)) == [21]


def test_nonlinearity_is_undone_on_dark_corrected_counts() -> None:
    coefficients = (0.9, 5e-6, -6e-11)
    true = np.linspace(0, 50000, 600)
    measured = true.copy()
    for _ in range(60):
        measured = true * np.polynomial.polynomial.polyval(measured, coefficients)
    result = prepared(measured + 1000, np.full(600, 1000.0), nonlinearity=coefficients)
    np.testing.assert_allclose(result.counts, true, rtol=1e-9, atol=1e-6)
    assert prepared(np.full(600, 900.0), np.full(600, 1000.0), nonlinearity=coefficients).counts[0] == -100 / 0.9


def test_counts_without_a_sensitivity_are_nothing() -> None:
    result = prepared(np.linspace(0, 60000, 600), nonlinearity=(1.0, -2e-5))
    beyond = np.linspace(0, 60000, 600) >= 50000
    assert (result.usable == ~beyond).all()
    assert np.isnan(result.counts[beyond]).all()


def test_saturation_is_of_raw_counts_of_spectrum_and_dark() -> None:
    counts, dark = sky() + 40000, np.full(600, 20000.0)
    dark[3] = 65535.0
    result = prepared(counts, dark)
    assert (result.saturated == ((counts >= 63000) | (np.arange(600) == 3))).all()
    assert not result.usable[result.saturated].any()
    assert result.counts[599] == pytest.approx(counts[599] - 20000)


def test_spectrum_without_a_usable_pixel_in_the_window_is_nothing() -> None:
    counts = np.tile(sky() + 100, (2, 1))
    counts[1, :200] = np.nan
    result = prepared(counts, stray_light_nm=(281.0, 289.0))
    assert result.usable[0].all()
    assert np.isnan(result.counts[1]).all()
    assert not result.usable[1].any()
    assert np.isnan(result.stray_light_counts[1])


def test_many_spectra_give_what_each_gives() -> None:
    rng = np.random.default_rng(3)
    counts = sky() * rng.uniform(0.5, 2.5, (7, 1)) + rng.normal(1000, 20, (7, 600))
    options = {"stray_light_nm": (281.0, 289.0), "nonlinearity": (0.95, 1e-6), "bad_pixels": (0, 1, 300)}
    dark = rng.normal(950, 5, 600)
    together = prepared(counts, dark, **options)
    status = light_status(together, WAVELENGTHS > 308, minimum_counts=14000)
    for i in range(7):
        alone = prepared(counts[i], dark, **options)
        np.testing.assert_allclose(together.counts[i], alone.counts, rtol=0, atol=1e-8)
        np.testing.assert_array_equal(together.usable[i], alone.usable)
        assert together.noise_counts[i] == pytest.approx(float(alone.noise_counts))
        assert light_status(alone, WAVELENGTHS > 308, minimum_counts=14000) == status[i]
    assert together.stray_light_counts.shape == (7,)


def test_arguments_are_not_changed() -> None:
    counts = sky()
    before = counts.copy()
    prepared(counts, np.ones(600), stray_light_nm=(281.0, 289.0), nonlinearity=(0.9, 1e-6))
    np.testing.assert_array_equal(counts, before)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit wavelengths"):
        prepared(sky()[:-1])
    with pytest.raises(ValueError, match="one grid"):
        prepared(sky(), np.ones(599))
    with pytest.raises(ValueError, match="no pixel lies within stray_light_nm"):
        prepared(sky(), stray_light_nm=(250.0, 260.0))
    for pixel in (-1, 600):
        with pytest.raises(ValueError, match="bad pixel"):
            prepared(sky(), bad_pixels=(pixel,))
    with pytest.raises(ValueError, match="do not increase"):
        prepare(sky(), None, WAVELENGTHS[::-1], saturation_counts=63000.0)


WINDOW = slice(350, 475)


def status(result: Prepared, **options: float) -> FitStatus:
    return FitStatus(int(light_status(result, WINDOW, minimum_counts=500.0, **options)))  # type: ignore[arg-type]


def test_light_status_says_why_there_is_no_fit() -> None:
    good = prepared(sky() + 1000, np.full(600, 1000.0), bad_pixels=(360,))
    assert status(good) is FitStatus.OK
    assert status(prepared(np.full(600, 1000.0), np.full(600, 1000.0))) is FitStatus.TOO_DARK
    bright = sky() + 1000
    bright[400] = 64000
    assert status(prepared(bright)) is FitStatus.SATURATED
    assert status(prepared(bright), maximum_saturated_pixels=1) is FitStatus.OK
    assert status(prepared(bright, bad_pixels=(400,))) is FitStatus.OK
    assert status(prepared(sky(), bad_pixels=tuple(range(350, 363)))) is FitStatus.BAD_PIXELS
    assert status(prepared(sky(), bad_pixels=tuple(range(350, 362)))) is FitStatus.OK
    assert status(prepared(np.full(600, np.nan))) is FitStatus.BAD_PIXELS
    outside = light_status(good, np.zeros(600, np.bool_), minimum_counts=500.0)
    assert FitStatus(int(outside)) is FitStatus.WINDOW_OUTSIDE


def test_median_leaves_out_what_is_not_usable() -> None:
    counts = np.full((2, 600), 501.0)
    counts[:, 300:] = 499.0
    result = prepared(counts)
    result = replace(result, usable=np.stack([np.arange(600) < 301, np.arange(600) >= 299]))
    found = light_status(result, slice(None), minimum_counts=500.0, maximum_bad_share=0.6)
    assert list(found) == [FitStatus.OK, FitStatus.TOO_DARK]
    even = prepared(np.concatenate([np.full(300, 400.0), np.full(300, 601.0)]))
    assert light_status(even, slice(None), minimum_counts=500.5) == FitStatus.OK
    assert light_status(even, slice(None), minimum_counts=500.6) == FitStatus.TOO_DARK
