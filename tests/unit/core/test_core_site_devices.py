"""Devices in the site file: what is accepted, and what is refused in words."""

import pytest
from pydantic import TypeAdapter, ValidationError

from so2cam.core.records import Band
from so2cam.core.site_devices import (
    AutomaticExposure,
    CameraDevice,
    Device,
    GpioDevice,
    PowerDevice,
    SpectrometerDevice,
)

DEVICES = TypeAdapter(tuple[Device, ...])


def test_devices_of_two_pis():
    found = DEVICES.validate_python(
        [
            {"type": "camera", "name": "camera-on", "driver": "picamera2", "band": "on", "index": 0},
            {"type": "spectrometer", "name": "spectrometer", "driver": "seabreeze", "model": "Flame-S", "coadds": 4},
            {"type": "power", "name": "power", "driver": "wittypi3"},
            {"type": "gpio", "name": "wires", "driver": "gpiozero", "outputs": {"start-follower": 23}},
        ]
    )
    assert [type(device) for device in found] == [CameraDevice, SpectrometerDevice, PowerDevice, GpioDevice]
    assert found[0].band is Band.ON
    assert found[0].automatic.enabled
    assert found[1].coadds == 4


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ({"type": "camera", "name": "x", "driver": "p", "band": "blue"}, "'on' or 'off'"),
        ({"type": "camera", "name": "x", "driver": "p"}, "Field required"),
        ({"type": "telescope", "name": "x", "driver": "p"}, "telescope"),
        ({"type": "camera", "name": "x", "driver": "Bad Driver", "band": "on"}, "pattern"),
        ({"type": "camera", "name": "x", "driver": "p", "band": "on", "exposure_s": 2.0}, "outside its limits"),
        ({"type": "camera", "name": "x", "driver": "p", "band": "on", "exposure_ms": 2.0}, "Extra inputs"),
        ({"type": "camera", "name": "x", "driver": "p", "band": "on", "gain": float("nan")}, "finite"),
        ({"type": "spectrometer", "name": "x", "driver": "p", "coadds": 200}, "above maximum_coadds"),
        ({"type": "spectrometer", "name": "x", "driver": "p", "integration_time_s": 0.001}, "outside its limits"),
        ({"type": "gpio", "name": "x", "driver": "p", "outputs": {"a": 23}, "inputs": {"b": 23}}, "two purposes"),
        ({"type": "gpio", "name": "x", "driver": "p", "outputs": {"a": 23}, "inputs": {"a": 3}}, "both an output"),
        ({"type": "gpio", "name": "x", "driver": "p", "outputs": {"a": 40}}, "not on the header"),
    ],
)
def test_wrong_devices_are_refused(device, words):
    with pytest.raises(ValidationError, match=words):
        DEVICES.validate_python([device])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"low": 0.8}, "increase in this order"),
        ({"low": 0.65, "target": 0.7, "high": 0.75}, "at least 1.25 times"),
        ({"rows": (10, 5)}, "first, last"),
        ({"rows": (-1, 5)}, "first, last"),
        ({"window_nm": (340.0, 300.0)}, "from, to"),
        ({"target": 1.2}, "less than 1"),
    ],
)
def test_automatic_exposure_that_could_not_work_is_refused(values, words):
    with pytest.raises(ValidationError, match=words):
        AutomaticExposure(**values)
