"""Faulty devices fail as they are told, the checks notice, and all is well afterwards."""

import subprocess
import sys
import textwrap
from datetime import UTC, datetime

import pytest

from so2cam.core.site_devices import CameraDevice, PowerDevice, SpectrometerDevice
from so2cam.devices.clock import SteppedClock
from so2cam.devices.errors import DeviceDataError, DeviceMissingError, DeviceStuckError, DriverError, WrongDeviceError
from so2cam.devices.protocols import DeviceContext
from so2cam.devices.records import CameraSettings, SpectrometerSettings
from so2cam.devices.registry import create_camera, create_power, create_spectrometer
from so2cam.simulate.faulty import FaultControl, FaultKind

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
INNER = {"driver": "simulated", "options": {"width_px": 96, "height_px": 72, "serial": "S1"}}
NOTICED = {
    FaultKind.RAISES: DeviceDataError,
    FaultKind.HANGS: DeviceStuckError,
    FaultKind.SHAPE: DeviceDataError,
    FaultKind.STALE: DeviceDataError,
    FaultKind.UNPLUGGED: DeviceMissingError,
    FaultKind.SERIAL: WrongDeviceError,
    FaultKind.GARBAGE: DeviceDataError,
}


@pytest.fixture
def context(tmp_path):
    return DeviceContext(folder=tmp_path, clock=SteppedClock(START), run_start=START)


def camera(context, **options):
    return create_camera(
        CameraDevice(name="on", driver="faulty", band="on", options={"inner": INNER} | options), context
    )


def spectrometer(context, **options):
    return create_spectrometer(
        SpectrometerDevice(name="s", driver="faulty", options={"inner": INNER} | options), context
    )


@pytest.mark.parametrize("kind", NOTICED)
@pytest.mark.parametrize("make", [camera, spectrometer])
def test_faults_are_noticed_and_pass(context, monkeypatch, kind, make):
    monkeypatch.setattr("so2cam.devices.bounded.GRACE_S", 0.05)
    control = FaultControl(context.folder / "fault.json")
    device = make(context, control="fault.json")
    device.open(5)
    device.configure(CameraSettings(0.1) if make is camera else SpectrometerSettings(0.1))
    device.capture(None, 0.5)
    control.begin(kind, seconds=0.8)
    assert not control.happened
    with pytest.raises(NOTICED[kind]) as caught:
        device.capture(None, 0.3)
    assert control.happened
    control.end()
    if caught.value.restart:
        device = make(context, control="fault.json")
    else:
        device.close()
    device.open(5)
    device.configure(CameraSettings(0.1) if make is camera else SpectrometerSettings(0.1))
    assert device.capture(None, 0.5).counts.size
    device.close()


def test_saturated_frames_pass_as_saturated(context):
    device = camera(context, faults=[{"kind": "saturated", "at": 2, "captures": 3}])
    device.open(5)
    assert [device.capture(None, 5).saturated_share for _ in range(5)] == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_unplugged_devices_do_not_open(context):
    control = FaultControl(context.folder / "fault.json")
    control.begin(FaultKind.UNPLUGGED)
    device = spectrometer(context, control="fault.json")
    with pytest.raises(DeviceMissingError, match="unplugged"):
        device.open(5)
    control.end()
    assert device.open(5).serial == "S1"


def test_faults_end_by_themselves(context):
    control = FaultControl(context.folder / "fault.json")
    control.begin(FaultKind.RAISES, lasts_s=-1.0)
    assert control.current() is None
    control.begin(FaultKind.RAISES, lasts_s=600.0)
    assert control.current().kind is FaultKind.RAISES


def test_a_crash_ends_the_process():
    code = textwrap.dedent(
        """
        from so2cam.core.site_devices import CameraDevice
        from so2cam.devices.protocols import DeviceContext
        from so2cam.devices.registry import create_camera
        settings = CameraDevice(name="on", driver="faulty", band="on", options={"faults": [{"kind": "crashes"}]})
        camera = create_camera(settings, DeviceContext())
        camera.open(5)
        camera.capture(None, 5)
        """
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == 70


def test_only_cameras_and_spectrometers_and_known_faults(context):
    with pytest.raises(DriverError):
        create_power(PowerDevice(name="p", driver="faulty"), context)
    with pytest.raises(DriverError, match="kind"):
        camera(context, faults=[{"kind": "explodes"}])
