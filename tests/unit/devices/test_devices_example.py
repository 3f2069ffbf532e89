"""The driver in the documentation works as it stands there."""

import re
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import TypeAdapter

from so2cam.core.site_devices import CameraDevice, Device
from so2cam.devices import registry
from so2cam.devices.errors import DeviceDataError
from so2cam.devices.records import CameraSettings

PAGE = Path(__file__).resolve().parents[3] / "docs" / "devices.md"


def test_the_driver_of_the_page_gives_checked_frames(context, monkeypatch):
    text = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    module = ModuleType("so2cam_page_driver")
    exec(compile(code, str(PAGE), "exec"), module.__dict__)  # noqa: S102 - it is our own page
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entries = (EntryPoint("test-pattern", f"{module.__name__}:create", registry.GROUP),)
    monkeypatch.setattr(registry, "_entries", lambda: entries)
    camera = registry.create_camera(CameraDevice(name="on", driver="test-pattern", band="on"), context)
    assert camera.open(5).model == "stripes"
    camera.configure(CameraSettings(0.25))
    first, second = camera.capture(4.0, 3), camera.capture(8.0, 3)
    assert (first.mid_exposure_s, second.mid_exposure_s) == (4.0, 8.0)
    monkeypatch.setattr(module.TestPattern, "capture", lambda self, at, timeout_s: first)
    with pytest.raises(DeviceDataError, match="old frame"):
        camera.capture(12.0, 3)
    camera.close()


def test_every_driver_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    for name in registry.BUILT_IN:
        assert f"`{name}`" in text


def test_the_devices_of_the_page_are_devices():
    text = PAGE.read_text(encoding="utf-8")
    first = next(block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "instrument.nodes" in block)
    devices = tomllib.loads(first.replace("instrument.nodes.devices", "devices"))["devices"]
    found = TypeAdapter(tuple[Device, ...]).validate_python(devices)
    assert [device.type for device in found] == ["camera", "spectrometer", "power", "gpio"]
    assert found[0].automatic.rows == (0, 242)
