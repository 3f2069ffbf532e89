"""The driver of the Raspberry Pi's cameras against an imitation of picamera2."""

import math
import sys

import numpy as np
import pytest

from so2cam.core.site_devices import CameraDevice
from so2cam.devices.errors import (
    DeviceDataError,
    DeviceMissingError,
    DeviceSettingError,
    DeviceStoppedError,
    DeviceTimeoutError,
    DriverError,
    WrongDeviceError,
)
from so2cam.devices.picamera2_camera import Picamera2Camera, Picamera2Options
from so2cam.devices.records import CameraSettings
from so2cam.devices.registry import create_camera


@pytest.fixture
def make(picamera2_fake, clock, context):
    def build(*, options=None, world=None, **device):
        world = picamera2_fake.World(clock, **(world or {}))
        settings = CameraDevice(
            **({"name": "camera-on", "driver": "picamera2", "band": "on", "maximum_exposure_s": 3.0} | device)
        )
        driver = Picamera2Camera(
            settings, Picamera2Options(**(options or {})), context, picamera2_fake.make_vendor(world)
        )
        return driver, world

    return build


def test_description_tells_what_was_found(make):
    driver, _ = make()
    found = driver.open(5)
    assert (found.model, found.bits, found.scale, found.binning) == ("ov5647", 10, 16, 4)
    assert (found.width_px, found.height_px) == (64, 48)
    assert found.serial == "/base/soc/i2c0mux/i2c@0/ov5647@36"
    assert found.exposure_limits_s[1] == pytest.approx(3.067, abs=0.001)
    assert driver.open(5) is found


def test_real_sensor_size_gives_the_size_of_existing_instruments(make):
    driver, _ = make(world={"size": (2592, 1944)})
    driver.open(5)
    frame = driver.capture(None, 5)
    assert frame.counts.shape == (486, 648)


@pytest.mark.parametrize(
    ("raw_format", "world"),
    [("SGBRG10", {}), ("SGBRG10_CSI2P", {}), ("SGBRG10", {"pi5": True})],
    ids=["unpacked", "packed", "pi5"],
)
def test_binning_keeps_every_bit(make, raw_format, world):
    driver, _ = make(options={"raw_format": raw_format}, world=world)
    driver.open(5)
    frame = driver.capture(None, 5)
    raw = driver._camera.last_counts.astype(np.float64)
    exact = raw.reshape(48, 4, 64, 4).mean(axis=(1, 3))
    assert np.array_equal(frame.dn.astype(np.float64), exact)
    assert frame.scale == 16
    assert np.any(frame.counts % 16)


def test_compressed_raw_is_refused(make):
    driver, world = make(options={"raw_format": "SGBRG10_CSI2P"}, world={"pi5": True})
    with pytest.raises(DriverError, match="loses counts"):
        driver.open(5)
    assert not world.open_cameras


def test_exposure_and_gain_of_the_next_frame_are_the_new_ones(make):
    driver, world = make()
    driver.open(5)
    for exposure, gain in ((0.02, 1.0), (1.0, 2.0), (0.0005, 4.0)):
        applied = driver.configure(CameraSettings(exposure, gain))
        frame = driver.capture(None, 8)
        assert frame.exposure_s == pytest.approx(exposure, rel=0.06)
        assert frame.exposure_s == frame.metadata["ExposureTime"] * 1e-6
        assert frame.gain == gain
        assert applied.exposure_s == exposure
    assert world.taken == world.released


def test_settings_that_never_arrive_are_reported(make):
    driver, world = make(world={"ignore_settings": True})
    driver.open(5)
    driver.configure(CameraSettings(0.5))
    with pytest.raises(DeviceTimeoutError, match="does not take its settings"):
        driver.capture(None, 3)
    assert world.taken == world.released


def test_a_frame_has_the_time_of_its_middle(make, clock):
    driver, world = make()
    driver.open(5)
    driver.configure(CameraSettings(0.2))
    frame = driver.capture(None, 5)
    assert frame.mid_exposure_s == pytest.approx(world.true_middles[-1], abs=2e-6)
    assert frame.time == clock.utc_at(frame.mid_exposure_s)
    assert frame.sensor_timestamp_s is not None


@pytest.mark.parametrize("period_s", [0.25, 0.3, 0.5, 1.0, 4.0, 30.0])
def test_frames_settle_on_the_wanted_moments(make, clock, period_s):
    driver, world = make()
    driver.open(5)
    driver.configure(CameraSettings(0.05))
    start = math.ceil(clock.monotonic_s()) + 2.0
    offsets = []
    for number in range(60):
        wanted = start + number * period_s
        frame = driver.capture(wanted, 3)
        offsets.append(frame.mid_exposure_s - wanted)
    assert max(abs(offset) for offset in offsets) < 0.16
    assert max(abs(offset) for offset in offsets[30:]) < 0.001
    assert len(set(world.true_middles)) == 60


def test_a_new_exposure_does_not_disturb_the_grid(make, clock):
    driver, _ = make()
    driver.open(5)
    offsets = []
    for number in range(120):
        driver.configure(CameraSettings(0.05 if number < 40 else 0.3))
        wanted = 5.0 + number
        offsets.append(driver.capture(wanted, 3).mid_exposure_s - wanted)
    assert max(abs(offset) for offset in (*offsets[20:40], *offsets[70:])) < 0.001
    assert max(abs(offset) for offset in offsets) < 0.5


def test_exposures_longer_than_the_period_take_what_they_need(make, clock):
    driver, _ = make()
    driver.open(5)
    driver.configure(CameraSettings(2.0))
    first = driver.capture(clock.monotonic_s() + 1.0, 10)
    second = driver.capture(first.mid_exposure_s + 0.5, 10)
    assert second.mid_exposure_s - first.mid_exposure_s >= 2.0


@pytest.mark.parametrize(
    ("world", "device", "error", "match"),
    [
        ({"models": ()}, {}, DeviceMissingError, "no camera is connected"),
        ({}, {"index": 3}, DeviceMissingError, "no camera with this index"),
        ({}, {"serial": "/base/other"}, WrongDeviceError, "no camera has this id"),
        ({"busy": True}, {}, DeviceMissingError, "cannot be opened"),
    ],
)
def test_opening_fails_in_words(make, world, device, error, match):
    driver, _ = make(world=world, **device)
    with pytest.raises(error, match=match) as caught:
        driver.open(5)
    assert caught.value.remedy
    assert driver.close() is None


def test_two_cameras_by_index_or_id(make):
    second, _ = make(index=1)
    assert second.open(5).serial.endswith("i2c@1/ov5647@36")
    by_id, _ = make(serial="/base/soc/i2c0mux/i2c@1/ov5647@36")
    assert by_id.open(5).serial.endswith("i2c@1/ov5647@36")


def test_no_frames_is_a_timeout_and_a_stop_ends_the_wait(make, context):
    driver, world = make()
    driver.open(5)
    world.hang = True
    with pytest.raises(DeviceTimeoutError):
        driver.capture(None, 0.05)
    context.stop.set()
    with pytest.raises(DeviceStoppedError):
        driver.capture(None, 60)


def test_a_camera_that_is_gone_is_found_again_after_reopening(make):
    driver, world = make()
    driver.open(5)
    world.gone = True
    with pytest.raises(DeviceMissingError, match="gone"):
        driver.capture(None, 5)
    driver.close()
    driver.close()
    world.gone = False
    driver.open(5)
    assert driver.capture(None, 5).counts.size


def test_counts_above_the_bits_are_refused(make):
    driver, _ = make(world={"above_bits": True})
    driver.open(5)
    with pytest.raises(DeviceDataError, match="above the 10 bits"):
        driver.capture(None, 5)


def test_missing_metadata_are_refused(make):
    driver, world = make(world={"without": ("SensorTimestamp",)})
    driver.open(5)
    with pytest.raises(DeviceDataError, match="SensorTimestamp"):
        driver.capture(None, 5)
    assert world.taken == world.released


def test_limits_are_the_sensors(make):
    driver, _ = make()
    driver.open(5)
    with pytest.raises(DeviceSettingError, match="exposure_s"):
        driver.configure(CameraSettings(20.0))
    with pytest.raises(DeviceSettingError, match="gain"):
        driver.configure(CameraSettings(0.1, 100.0))


def test_saturated_share_counts_raw_pixels(make):
    driver, _ = make(world={"rate_dn_s": 1e6})
    driver.open(5)
    assert driver.capture(None, 5).saturated_share == 1.0


def test_found_through_the_registry_with_its_data_checked(picamera2_fake, clock, context, monkeypatch):
    world = picamera2_fake.World(clock)
    monkeypatch.setitem(sys.modules, "picamera2", picamera2_fake.make_vendor(world))
    camera = create_camera(CameraDevice(name="on", driver="picamera2", band="on"), context)
    assert camera.open(5).driver == "picamera2"
    camera.configure(CameraSettings(0.1))
    assert camera.capture(None, 5).saturated_share == 0.0
    camera.close()
    assert not world.open_cameras


def test_without_picamera2_the_remedy_says_how_to_get_it(context, monkeypatch):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    camera = create_camera(CameraDevice(name="on", driver="picamera2", band="on"), context)
    with pytest.raises(DriverError, match="apt install python3-picamera2"):
        camera.open(5)


def test_unknown_options_are_named(context):
    with pytest.raises(DriverError, match="binnning") as caught:
        create_camera(CameraDevice(name="on", driver="picamera2", band="on", options={"binnning": 2}), context)
    assert "binning" in str(caught.value.remedy)
