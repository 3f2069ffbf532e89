"""Every answer of a device is checked, and every call comes back."""

import threading
import time
from dataclasses import replace
from datetime import timedelta, timezone

import numpy as np
import pytest

from so2cam.core.records import FrameKind
from so2cam.core.site_devices import CameraDevice, SpectrometerDevice
from so2cam.devices.bounded import BoundedCaller
from so2cam.devices.checked import CheckedCamera
from so2cam.devices.checked_spectrometer import CheckedSpectrometer
from so2cam.devices.errors import (
    DeviceDataError,
    DeviceError,
    DeviceMissingError,
    DeviceSettingError,
    DeviceStoppedError,
    DeviceStuckError,
    WrongDeviceError,
)
from so2cam.devices.protocols import Camera, Spectrometer, Staged
from so2cam.devices.records import CameraSettings, SpectrometerSettings
from so2cam.simulate.devices import SceneOptions, SimulatedCamera, SimulatedSpectrometer

SMALL = {"width_px": 64, "height_px": 48, "readout_s": 0.0, "jitter_s": 0.0}


class Tampered:
    """A device whose answers are changed on the way."""

    def __init__(self, inner):
        self.inner, self.change, self.describe, self.before = inner, None, None, None

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def open(self, timeout_s):
        found = self.inner.open(timeout_s)
        return found if self.describe is None else self.describe(found)

    def close(self):
        self.inner.close()

    def configure(self, settings):
        return self.inner.configure(settings)

    def stage(self, kind, cell_ppm_m=None):
        self.inner.stage(kind, cell_ppm_m)

    def capture(self, at_monotonic_s, timeout_s):
        if self.before is not None:
            self.before()
        data = self.inner.capture(at_monotonic_s, timeout_s)
        return data if self.change is None else self.change(data)


@pytest.fixture
def camera(context):
    settings = CameraDevice(name="camera-on", driver="simulated", band="on", exposure_s=0.2, serial="A1")
    tampered = Tampered(SimulatedCamera(settings, SceneOptions(**SMALL, serial="A1"), context))
    checked = CheckedCamera(tampered, settings, context)
    checked.open(5)
    checked.configure(CameraSettings(0.2))
    yield checked, tampered
    checked.close()


@pytest.fixture
def spectrometer(context):
    settings = SpectrometerDevice(name="spectrometer", driver="simulated", model="Flame-S")
    tampered = Tampered(SimulatedSpectrometer(settings, SceneOptions(**SMALL), context))
    checked = CheckedSpectrometer(tampered, settings, context)
    checked.open(5)
    checked.configure(SpectrometerSettings(0.1, 2))
    yield checked, tampered
    checked.close()


def test_good_data_pass(camera, spectrometer):
    assert camera[0].capture(None, 5).counts.shape == (48, 64)
    assert spectrometer[0].capture(None, 5).coadds == 2


def test_checked_devices_are_devices(camera, spectrometer):
    assert isinstance(camera[0], Camera)
    assert isinstance(spectrometer[0], Spectrometer)
    assert isinstance(camera[0], Staged)


ELSEWHERE = timezone(timedelta(hours=2))
BAD_FRAMES = {
    "shape": (lambda f: replace(f, counts=f.counts[:-1].copy()), "wrong shape"),
    "type": (lambda f: replace(f, counts=f.counts.astype(np.int32)), "wrong shape or type"),
    "above bits": (lambda f: replace(f, counts=f.counts + np.uint16(2000)), "above the 10 bits"),
    "scale": (lambda f: replace(f, scale=16), "above the 10 bits"),
    "noise": (lambda f: replace(f, counts=_noise(f.counts.shape)), "random numbers"),
    "exposure": (lambda f: replace(f, exposure_s=0.3), "exposure is not what was set"),
    "no exposure": (lambda f: replace(f, exposure_s=float("nan")), "exposure is not what was set"),
    "gain": (lambda f: replace(f, gain=2.0), "gain is not what was set"),
    "no gain": (lambda f: replace(f, gain=float("nan")), "gain is not what was set"),
    "zone": (lambda f: replace(f, time=f.time.astimezone(ELSEWHERE)), "not UTC"),
    "naive": (lambda f: replace(f, time=f.time.replace(tzinfo=None)), "not UTC"),
    "no time": (lambda f: replace(f, mid_exposure_s=float("nan")), "no time"),
    "share": (lambda f: replace(f, saturated_share=1.5), "no share"),
    "old": (lambda f: replace(f, mid_exposure_s=f.mid_exposure_s - 60), "old frame"),
    "nothing": (lambda f: None, "gave no frame"),
}


def _noise(shape):
    return np.random.default_rng(1).integers(0, 1024, shape, np.uint16)


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frames_are_refused_with_the_reason(camera, name):
    checked, tampered = camera
    tampered.change, reason = BAD_FRAMES[name]
    with pytest.raises(DeviceDataError, match=reason) as caught:
        checked.capture(None, 5)
    assert caught.value.device == "camera-on"
    tampered.change = None
    assert checked.capture(None, 5).counts.size


BAD_SPECTRA = {
    "shape": (lambda s: replace(s, counts=s.counts[:-1].copy()), "wrong shape"),
    "type": (lambda s: replace(s, counts=s.counts.astype(np.float32)), "wrong shape or type"),
    "nan": (lambda s: replace(s, counts=np.where(np.arange(s.counts.size) == 7, np.nan, s.counts)), "finite"),
    "order": (lambda s: replace(s, wavelengths_nm=s.wavelengths_nm[::-1].copy()), "do not increase"),
    "counts": (lambda s: replace(s, counts=s.counts + 1e6), "cannot have"),
    "coadds": (lambda s: replace(s, coadds=1), "coadds"),
    "time": (lambda s: replace(s, integration_time_s=0.2), "integration time"),
    "old": (lambda s: replace(s, mid_exposure_s=s.mid_exposure_s - 60), "old spectrum"),
    "zone": (lambda s: replace(s, time=s.time.replace(tzinfo=None)), "not UTC"),
    "nothing": (lambda s: 3, "gave no spectrum"),
}


@pytest.mark.parametrize("name", BAD_SPECTRA)
def test_bad_spectra_are_refused_with_the_reason(spectrometer, name):
    checked, tampered = spectrometer
    tampered.change, reason = BAD_SPECTRA[name]
    with pytest.raises(DeviceDataError, match=reason):
        checked.capture(None, 5)
    tampered.change = None
    assert checked.capture(None, 5).counts.size == 2048


def test_the_same_picture_twice_is_a_hanging_sensor(camera):
    checked, tampered = camera
    first = checked.capture(None, 5)
    tampered.change = lambda frame: replace(frame, counts=first.counts.copy())
    with pytest.raises(DeviceDataError, match="twice"):
        checked.capture(None, 5)


def test_the_same_spectrum_twice_is_a_hanging_detector(spectrometer):
    checked, tampered = spectrometer
    first = checked.capture(None, 5)
    tampered.change = lambda spectrum: replace(spectrum, counts=first.counts.copy())
    with pytest.raises(DeviceDataError, match="twice"):
        checked.capture(None, 5)


def test_saturated_frames_pass_again_and_again(camera):
    checked, tampered = camera
    tampered.change = lambda f: replace(f, counts=np.full_like(f.counts, 1023), saturated_share=1.0)
    for _ in range(3):
        assert checked.capture(None, 5).saturated_share == 1.0


def test_frame_of_another_camera(camera):
    checked, tampered = camera
    tampered.change = lambda frame: replace(frame, serial="B2")
    with pytest.raises(WrongDeviceError, match="B2"):
        checked.capture(None, 5)


def test_opening_another_camera_than_the_site_files(context):
    settings = CameraDevice(name="opened-wrongly", driver="simulated", band="on", serial="A1")
    checked = CheckedCamera(SimulatedCamera(settings, SceneOptions(**SMALL, serial="B2"), context), settings, context)
    with pytest.raises(WrongDeviceError, match="B2"):
        checked.open(5)
    assert not [thread for thread in threading.enumerate() if thread.name == "device-opened-wrongly"]
    with pytest.raises(DeviceMissingError, match="not open"):
        checked.capture(None, 5)


def test_a_description_that_cannot_be_is_refused(context):
    settings = CameraDevice(name="on", driver="simulated", band="on")
    tampered = Tampered(SimulatedCamera(settings, SceneOptions(**SMALL), context))
    tampered.describe = lambda found: replace(found, bits=24)
    with pytest.raises(DeviceDataError, match="describes itself"):
        CheckedCamera(tampered, settings, context).open(5)


def test_limits_are_those_of_site_file_and_device(camera, spectrometer):
    with pytest.raises(DeviceSettingError, match=r"from 0\.0001 to 1 s") as caught:
        camera[0].configure(CameraSettings(1.5))
    assert caught.value.key == "camera-on.exposure_s"
    with pytest.raises(DeviceSettingError, match="from 1 to 16"):
        camera[0].configure(CameraSettings(0.2, 17.0))
    with pytest.raises(DeviceSettingError, match="from 1 to 100"):
        spectrometer[0].configure(SpectrometerSettings(0.1, 101))
    with pytest.raises(DeviceSettingError, match="integration_time_s"):
        spectrometer[0].configure(SpectrometerSettings(0.001))
    assert camera[0].capture(None, 5).exposure_s == 0.2


def test_whatever_a_driver_raises_becomes_a_device_error(camera):
    checked, tampered = camera

    def fail(error):
        def raise_it():
            raise error

        return raise_it

    tampered.before = fail(KeyError("x"))
    with pytest.raises(DeviceDataError, match="KeyError"):
        checked.capture(None, 5)
    tampered.before = fail(OSError(19, "No such device"))
    with pytest.raises(DeviceMissingError, match="No such device"):
        checked.capture(None, 5)


def test_kinds_reach_the_device(camera):
    checked, _ = camera
    bright = checked.capture(None, 5).counts.mean()
    checked.stage(FrameKind.DARK)
    assert checked.capture(None, 5).counts.mean() < 0.1 * bright


def test_a_call_that_does_not_return_is_given_up_and_the_device_is_stuck(monkeypatch):
    monkeypatch.setattr("so2cam.devices.bounded.GRACE_S", 0.05)
    release = threading.Event()
    caller = BoundedCaller("camera-on", threading.Event())
    with pytest.raises(DeviceStuckError, match="does not return") as caught:
        caller.call("taking a frame", lambda: release.wait(30), 0.05)
    assert caught.value.restart
    assert caller.stuck
    before = time.monotonic()
    with pytest.raises(DeviceStuckError):
        caller.call("opening", lambda: None, 60)
    assert time.monotonic() - before < 5
    caller.finish()
    release.set()


def test_a_stop_ends_a_call_that_does_not_notice_it(monkeypatch):
    monkeypatch.setattr("so2cam.devices.bounded._STOP_GRACE_S", 0.05)
    release, stop = threading.Event(), threading.Event()
    caller = BoundedCaller("camera-on", stop)
    stop.set()
    with pytest.raises(DeviceStoppedError):
        caller.call("taking a frame", lambda: release.wait(30), 600)
    release.set()


def test_results_and_errors_come_through_and_the_thread_ends():
    caller = BoundedCaller("own", threading.Event())
    assert caller.call("x", lambda: 7, 5) == 7
    names = {thread.name for thread in threading.enumerate()}
    assert "device-own" in names
    with pytest.raises(DeviceError, match="boom"):
        caller.call("x", _boom, 5)
    with pytest.raises(DeviceDataError, match="KeyError"):
        caller.call("x", lambda: {}["missing"], 5)
    caller.finish()
    assert "device-own" not in {thread.name for thread in threading.enumerate()}
    assert caller.call("again", lambda: 8, 5) == 8
    caller.finish()


def _boom():
    raise DeviceError("boom")
