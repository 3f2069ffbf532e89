"""Simulated devices behave as real ones: time, light, exposure, kinds, limits."""

import math
import threading
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from so2cam.core.records import Band, FrameKind
from so2cam.core.site_devices import CameraDevice, GpioDevice, PowerDevice, SpectrometerDevice
from so2cam.core.spectra import SpectrumKind
from so2cam.devices.clock import SteppedClock
from so2cam.devices.errors import (
    DeviceMissingError,
    DeviceSettingError,
    DeviceStoppedError,
    DeviceTimeoutError,
    DriverError,
)
from so2cam.devices.protocols import DeviceContext
from so2cam.devices.records import BoardAlarm, CameraSettings, SpectrometerSettings
from so2cam.devices.registry import create_camera, create_gpio, create_power, create_spectrometer
from so2cam.observe.statistics import is_dark
from so2cam.simulate.cheap_scene import CheapScene

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SMALL = {"width_px": 96, "height_px": 72}


@pytest.fixture
def clock():
    return SteppedClock(START)


@pytest.fixture
def context(clock, tmp_path):
    return DeviceContext(folder=tmp_path, clock=clock, run_start=START)


def camera(context, band="on", **options):
    device = create_camera(
        CameraDevice(
            name=f"camera-{band}", driver="simulated", band=band, maximum_exposure_s=6.0, options=SMALL | options
        ),
        context,
    )
    device.open(5)
    return device


def spectrometer(context, **options):
    device = create_spectrometer(
        SpectrometerDevice(name="spectrometer", driver="simulated", options=SMALL | options), context
    )
    device.open(5)
    return device


def test_frames_are_taken_around_the_wanted_moment(context, clock):
    device = camera(context)
    device.configure(CameraSettings(0.4))
    for number in range(1, 6):
        frame = device.capture(4.0 * number, 3)
        assert frame.mid_exposure_s == pytest.approx(4.0 * number, abs=0.004)
        assert frame.time == START + timedelta(seconds=frame.mid_exposure_s)
        assert clock.monotonic_s() >= frame.mid_exposure_s + 0.2


def test_a_moment_that_is_too_near_gives_the_next_possible_frame(context, clock):
    device = camera(context)
    device.configure(CameraSettings(1.0))
    clock.advance(10.0)
    frame = device.capture(10.2, 5)
    assert frame.mid_exposure_s == pytest.approx(10.5, abs=0.01)


def test_counts_follow_exposure_and_gain(context):
    device = camera(context)
    levels = {}
    for exposure, gain in ((0.05, 1.0), (0.1, 1.0), (0.05, 2.0), (3.0, 1.0)):
        device.configure(CameraSettings(exposure, gain))
        frame = device.capture(None, 9)
        levels[exposure, gain] = float(frame.dn.mean()) - 15
        assert (frame.exposure_s, frame.gain) == (exposure, gain)
    assert levels[0.1, 1.0] == pytest.approx(2 * levels[0.05, 1.0], rel=0.01)
    assert levels[0.05, 2.0] == pytest.approx(2 * levels[0.05, 1.0], rel=0.01)
    assert frame.saturated_share > 0.5


def test_both_bands_see_one_scene_and_so2_only_in_one(context):
    on, off = camera(context), camera(context, "off")
    assert on.capture(5.0, 5).counts.shape == off.capture(5.0, 5).counts.shape
    scene = CheapScene(0, **SMALL)
    drop = {
        band: 1
        - scene.frame(band, FrameKind.PLUME, START, 0.1).mean() / scene.frame(band, FrameKind.CLEAR, START, 0.1).mean()
        for band in Band
    }
    assert drop[Band.ON] > 5 * drop[Band.OFF] > 0


def test_kinds_in_front_of_the_camera(context):
    device = camera(context)
    device.configure(CameraSettings(0.2))
    means = {}
    cell = FrameKind.CELL
    for kind, label in ((FrameKind.CLEAR, None), (cell, 0.0), (cell, 1000.0), (FrameKind.DARK, None)):
        device.stage(kind, label)
        frame = device.capture(None, 5)
        means[kind, label] = float(frame.dn.mean()) - 15
    assert means[FrameKind.CLEAR, None] > means[cell, 0.0] > means[cell, 1000.0] > 10
    ratio = means[cell, 0.0] / means[cell, 1000.0]
    assert math.log(ratio) == pytest.approx(0.35, rel=0.05)
    assert is_dark(frame.counts, maximum_dn=1023).dark


def test_frames_of_one_moment_are_the_same_in_every_process():
    one, other = CheapScene(3, **SMALL), CheapScene(3, **SMALL)
    moment = START + timedelta(seconds=17.25)
    assert np.array_equal(
        one.frame(Band.ON, FrameKind.PLUME, moment, 0.2), other.frame(Band.ON, FrameKind.PLUME, moment, 0.2)
    )
    assert not np.array_equal(
        one.frame(Band.ON, FrameKind.PLUME, moment, 0.2),
        CheapScene(4, **SMALL).frame(Band.ON, FrameKind.PLUME, moment, 0.2),
    )


def test_noise_is_that_of_its_electrons():
    scene = CheapScene(1, **SMALL)
    frames = [
        scene.frame(Band.ON, FrameKind.CLEAR, START + timedelta(seconds=n), 0.3).astype(float) for n in range(300)
    ]
    mean, variance = np.mean(frames, axis=0), np.var(frames, axis=0)
    bright = mean > 300
    expected = (mean[bright] - 15) / 67 + 0.3**2 + 1 / 12
    assert np.mean(variance[bright] / expected) == pytest.approx(1.0, abs=0.05)


def test_scaled_counts_keep_fractions(context):
    device = camera(context, scale=16)
    frame = device.capture(None, 5)
    assert frame.scale == 16
    assert np.any(frame.counts % 16)
    assert frame.dn.max() <= 1023


@pytest.mark.parametrize(("hours", "dark"), [(0, False), (12, True)])
def test_light_of_the_sun(clock, tmp_path, hours, dark):
    later = SteppedClock(START + timedelta(hours=hours))
    device = camera(DeviceContext(folder=tmp_path, clock=later, run_start=START), light="sun")
    frame = device.capture(None, 5)
    assert is_dark(frame.counts, maximum_dn=1023).dark is dark


def test_spectra(context, clock):
    device = spectrometer(context)
    device.configure(SpectrometerSettings(0.05, 8))
    spectrum = device.capture(10.0, 5)
    assert spectrum.mid_exposure_s == pytest.approx(10.0, abs=0.01)
    assert spectrum.duration_s == pytest.approx(0.4)
    device.configure(SpectrometerSettings(0.1, 4))
    longer = device.capture(None, 5)
    assert longer.counts.max() - 1500 == pytest.approx(2 * (spectrum.counts.max() - 1500), rel=0.03)
    device.stage(SpectrumKind.DARK)
    assert is_dark(device.capture(None, 5).counts, maximum_dn=65535).dark
    device.stage(SpectrumKind.LAMP)
    lamp = device.capture(None, 5)
    assert abs(lamp.wavelengths_nm[np.argmax(lamp.counts)] - 313) < 0.7
    device.configure(SpectrometerSettings(9.0, 1))
    device.stage(SpectrumKind.CLEAR)
    assert device.capture(None, 20).saturated_share > 0.1


def test_time_limits_and_stops(context):
    device = camera(context)
    device.configure(CameraSettings(5.0))
    with pytest.raises(DeviceTimeoutError, match="time limit"):
        device.capture(None, 1.0)
    context.stop.set()
    with pytest.raises(DeviceStoppedError):
        device.capture(None, 10.0)


def test_a_real_wait_ends_with_the_program(tmp_path):
    context = DeviceContext(folder=tmp_path, run_start=START)
    device = camera(context)
    threading.Timer(0.1, context.stop.set).start()
    before = time.monotonic()
    with pytest.raises(DeviceStoppedError):
        device.capture(context.clock.monotonic_s() + 60.0, 10.0)
    assert time.monotonic() - before < 30


def test_settings_outside_the_limits_and_closed_devices(context):
    device = camera(context)
    with pytest.raises(DeviceSettingError):
        device.configure(CameraSettings(100.0))
    device.close()
    device.close()
    with pytest.raises(DeviceMissingError):
        device.capture(None, 5)
    device.open(5)
    assert device.capture(None, 5).counts.size
    with pytest.raises(DriverError, match="colour"):
        camera(context, colour="red")


def test_power_board(context, clock):
    board = create_power(PowerDevice(name="power", driver="simulated", options={"voltage_v": 12.2}), context)
    assert board.open(5) == "simulated power board"
    reading = board.read()
    assert reading.input_voltage_v == pytest.approx(12.4, abs=0.05)
    assert reading.clock == START
    board.set_clock(START + timedelta(seconds=30))
    assert board.read().clock == START + timedelta(seconds=30)
    board.set_startup(BoardAlarm(2, 9, 0))
    board.set_shutdown(BoardAlarm(2, 21, 0))
    assert (board.startup(), board.shutdown()) == (BoardAlarm(2, 9, 0), BoardAlarm(2, 21, 0))
    board.set_startup(None)
    assert board.startup() is None
    board.set_voltage_limits(11.0, 12.0)
    assert board.read().low_voltage_v == 11.0
    board.close()


def test_wires_between_two_nodes_are_files(context):
    lead = create_gpio(
        GpioDevice(name="wires", driver="simulated", outputs={"start-follower": 23}, options={"folder": "wires"}),
        context,
    )
    follower = create_gpio(
        GpioDevice(
            name="wires",
            driver="simulated",
            inputs={"start": 3},
            options={"folder": "wires", "connected": {"start": "start-follower"}},
        ),
        context,
    )
    lead.open(5)
    follower.open(5)
    assert not follower.active("start")
    pulsing = threading.Thread(target=lead.pulse, args=("start-follower", 20.0))
    pulsing.start()
    seen = False
    for _ in range(500):
        if follower.active("start"):
            seen = True
            break
        time.sleep(0.01)
    context.stop.set()
    pulsing.join(10)
    assert seen
    assert not follower.active("start")
    for purpose, seconds in (("stop", 1.0), ("start-follower", 99.0)):
        with pytest.raises(DeviceSettingError):
            lead.pulse(purpose, seconds)
    with pytest.raises(DeviceSettingError):
        follower.active("start-follower")


def test_the_volcano_with_known_truth(context):
    """Devices look at the scene whose truth is known: counts are those of the live scene at the same moment."""
    from so2cam.simulate.live import LiveScene
    from so2cam.simulate.scenario import load_scenario

    settings = CameraDevice(
        name="camera-on", driver="simulated", band="on", options={"scene": "live", "scenario": "ideal", "jitter_s": 0.0}
    )
    device = create_camera(settings, context)
    found = device.open(5)
    assert (found.width_px, found.height_px, found.bits) == (648, 486, 10)
    device.configure(CameraSettings(0.4))
    frame = device.capture(4.0, 5)
    scene = LiveScene(load_scenario("ideal"), 0, START - timedelta(minutes=15))
    assert np.array_equal(frame.counts, scene.frame(Band.ON, FrameKind.PLUME, frame.time, 0.4))
    eye = create_spectrometer(
        SpectrometerDevice(name="s", driver="simulated", options={"scene": "live", "scenario": "ideal"}), context
    )
    assert eye.open(5).pixels == 2048
    eye.configure(SpectrometerSettings(0.2, 2))
    assert eye.capture(None, 5).counts.max() > 5000
    with pytest.raises(DriverError, match="no such scenario"):
        create_camera(
            CameraDevice(name="x", driver="simulated", band="on", options={"scene": "live", "scenario": "etna2"}),
            context,
        ).open(5)
