from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.core.records import Band, FrameKind
from so2cam.core.spectra import SpectrumKind
from so2cam.formats.png import read_png
from so2cam.simulate import SimulationResult, load_scenario, simulate
from so2cam.simulate.live import LiveScene

START = datetime(2027, 3, 4, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def live() -> LiveScene:
    return LiveScene(load_scenario("baseline"), 11, START)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> SimulationResult:
    return simulate(load_scenario("baseline"), tmp_path_factory.mktemp("files"), seed=11, pairs=3)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def image(files: SimulationResult, pattern: str) -> np.ndarray:
    path: Path = sorted(files.frames.rglob(pattern))[-1]
    return read_png(path.read_bytes(), path)


def test_frames_and_spectra_are_those_of_the_files(live: LiveScene, files: SimulationResult) -> None:
    on = live.frame(Band.ON, FrameKind.PLUME, after(10.2), 0.4)
    assert on.dtype == np.uint16
    assert on.shape == live.shape == (486, 648)
    np.testing.assert_array_equal(on, image(files, "*T140010_fltrA*_Plume.png"))
    off = live.frame(Band.OFF, FrameKind.PLUME, after(10.05), 0.1)
    np.testing.assert_array_equal(off, image(files, "*T140010_fltrB*_Plume.png"))
    dark = live.frame(Band.ON, FrameKind.DARK, after(-600 + 20.2), 0.4)
    np.testing.assert_array_equal(dark, image(files, "*T135020_fltrA*_Dark.png"))
    cell = live.frame(Band.ON, FrameKind.CELL, after(-600 + 140.2), 0.4, cell_ppm_m=1200)
    np.testing.assert_array_equal(cell, image(files, "*T135220_fltrA*_1200ppmm.png"))
    wavelengths, counts = live.spectrum(SpectrumKind.PLUME, after(5.8), 0.4, 4)
    stored = np.load(next(files.spectra.rglob("*T140005_*_Plume.npy")))
    np.testing.assert_array_equal(np.stack([wavelengths, counts]), stored)


def test_truth_is_that_of_the_files(live: LiveScene, files: SimulationResult) -> None:
    assert live.lines == ("upstream", "downstream")
    for line in files.truth.lines:
        for pair in range(3):
            moment = after(5 * pair + 0.2)
            assert live.emission_rate(line.name, moment) == line.emission_rate_kg_s[pair]
            assert live.integrated_column_amount(line.name, moment) == line.integrated_column_amount_kg_m[pair]
    assert live.spot_column(after(0.8), 1.6) == files.truth.spectra.column_molec_cm2[0]
    with pytest.raises(KeyError):
        live.emission_rate("nowhere", START)


def test_any_moment_in_any_order_gives_the_same(live: LiveScene) -> None:
    moments = [after(86400 * 40 + 0.5), after(-7200), after(3), after(86400 * 40 + 1.5)]
    first = [live.frame(Band.ON, FrameKind.PLUME, moment, 0.4) for moment in moments]
    for moment, before in reversed(list(zip(moments, first, strict=True))):
        np.testing.assert_array_equal(live.frame(Band.ON, FrameKind.PLUME, moment, 0.4), before)
    assert not np.array_equal(first[0], first[3])
    assert all(image.max() < 1000 for image in first)


def test_frames_react_to_exposure_gain_and_brightness(live: LiveScene) -> None:
    usual = live.frame(Band.ON, FrameKind.PLUME, after(7), 0.4).mean()
    assert (live.frame(Band.ON, FrameKind.PLUME, after(7), 4.0) == 1023).mean() > 0.9
    assert live.frame(Band.ON, FrameKind.PLUME, after(7), 0.001).mean() < 20
    assert live.frame(Band.ON, FrameKind.PLUME, after(7), 0.2, gain=2.0).mean() == pytest.approx(usual, rel=0.01)
    try:
        live.brightness = 0.5
        dimmed = live.frame(Band.ON, FrameKind.PLUME, after(7), 0.4).mean()
        _, spectrum = live.spectrum(SpectrumKind.CLEAR, after(7), 0.4, 1)
        assert live.frame(Band.ON, FrameKind.DARK, after(7), 0.4).mean() == pytest.approx(15.2, abs=0.5)
    finally:
        live.brightness = 1.0
    assert dimmed - 15 == pytest.approx(0.5 * (usual - 15), rel=0.01)
    _, full = live.spectrum(SpectrumKind.CLEAR, after(7), 0.4, 1)
    assert np.median(spectrum - 1524) == pytest.approx(0.5 * np.median(full - 1524), rel=0.02)
    _, long = live.spectrum(SpectrumKind.PLUME, after(7), 10.0, 1)
    assert long.max() == 65535


def test_test_frames_show_the_plume_and_clear_ones_do_not(live: LiveScene) -> None:
    camera = live.scene.camera(Band.ON)
    plume = camera.slant_column(7.0) > 1e18
    assert plume.sum() > 5000
    frames = {kind: live.frame(Band.ON, kind, after(7), 0.4).astype(float) for kind in FrameKind if kind != "cell"}
    assert frames[FrameKind.TEST][plume].mean() < 0.9 * frames[FrameKind.CLEAR][plume].mean()
    assert frames[FrameKind.TEST][plume].mean() == pytest.approx(frames[FrameKind.PLUME][plume].mean(), rel=1e-3)


def test_binned_frames_are_the_mean_of_full_ones(live: LiveScene) -> None:
    small = LiveScene(load_scenario("baseline"), 11, START, binning=6)
    assert small.shape == (81, 108)
    full = live.frame(Band.ON, FrameKind.CLEAR, after(4), 0.4).astype(float)
    mean = full.reshape(81, 6, 108, 6).mean(axis=(1, 3))
    found = small.frame(Band.ON, FrameKind.CLEAR, after(4), 0.4).astype(float)
    assert found.mean() == pytest.approx(mean.mean(), rel=0.02)
    column = live.scene.cameras[0].slant_column(4.0).reshape(81, 6, 108, 6).mean(axis=(1, 3))
    open_sky = small.scene.cameras[0].terrain_share == 0
    found = small.scene.cameras[0].slant_column(4.0)
    np.testing.assert_allclose(found[open_sky], column[open_sky], atol=0.12 * column.max())
    assert found[open_sky].sum() == pytest.approx(column[open_sky].sum(), rel=0.01)
    view, other = live.scene.spectrometer.view, small.scene.spectrometer.view
    assert ((view.x + 0.5) / 6 - 0.5, (view.y + 0.5) / 6 - 0.5) == pytest.approx((other.x, other.y), abs=0.02)
    for line in live.lines:
        assert small.emission_rate(line, after(4)) == pytest.approx(live.emission_rate(line, after(4)), rel=0.05)
    assert small.spot_column(after(4)) == pytest.approx(live.spot_column(after(4)), rel=0.02)
    with pytest.raises(InputError, match="binned"):
        LiveScene(load_scenario("baseline"), 11, START, binning=7)


def test_naive_times_are_refused(live: LiveScene) -> None:
    with pytest.raises(ValueError):
        live.frame(Band.ON, FrameKind.PLUME, datetime(2027, 3, 4), 0.4)  # noqa: DTZ001
