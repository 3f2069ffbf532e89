"""Drivers by name, and an installation's own."""

import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from so2cam.core.site_devices import CameraDevice, GpioDevice, PowerDevice, SpectrometerDevice
from so2cam.devices import registry
from so2cam.devices.errors import DriverError


def test_installed_entry_points_are_those_of_the_built_in_table():
    root = Path(__file__).resolve().parents[3]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"][registry.GROUP] == dict(registry.BUILT_IN)


@pytest.mark.parametrize("driver", sorted(registry.BUILT_IN))
def test_every_built_in_driver_can_be_loaded(driver):
    assert callable(registry._load(driver, "x"))


def test_unknown_driver_lists_those_that_there_are(context):
    with pytest.raises(DriverError, match="no such driver") as caught:
        registry.create_camera(CameraDevice(name="on", driver="nikon", band="on"), context)
    assert "picamera2" in str(caught.value.remedy)


def test_a_driver_of_another_package_is_found_but_replaces_none(context, monkeypatch):
    entries = (
        EntryPoint("own", "so2cam.simulate.devices:create", registry.GROUP),
        EntryPoint("simulated", "os:getcwd", registry.GROUP),
        EntryPoint("broken", "so2cam.not_there:create", registry.GROUP),
        EntryPoint("nothing", "so2cam.devices.registry:GROUP", registry.GROUP),
    )
    monkeypatch.setattr(registry, "_entries", lambda: entries)
    camera = registry.create_camera(CameraDevice(name="on", driver="own", band="on"), context)
    assert camera.open(5).driver == "simulated"
    camera.close()
    assert registry.list_drivers()["simulated"] == registry.BUILT_IN["simulated"]
    for driver, reason in (("broken", "cannot be loaded"), ("nothing", "no function")):
        with pytest.raises(DriverError, match=reason):
            registry.create_camera(CameraDevice(name="on", driver=driver, band="on"), context)


def test_a_driver_of_another_kind_of_device_is_refused(context):
    with pytest.raises(DriverError, match="gives no camera"):
        registry.create_camera(CameraDevice(name="on", driver="seabreeze", band="on"), context)
    with pytest.raises(DriverError, match="gives no spectrometer"):
        registry.create_spectrometer(SpectrometerDevice(name="s", driver="gpiozero"), context)
    with pytest.raises(DriverError, match="gives no power"):
        registry.create_power(PowerDevice(name="p", driver="replay"), context)
    with pytest.raises(DriverError, match="gives no gpio"):
        registry.create_gpio(GpioDevice(name="g", driver="wittypi3"), context)
    assert set(registry.TYPES) == set(registry.BUILT_IN)


def test_a_foreign_driver_that_gives_something_else_is_refused(context, monkeypatch):
    entries = (EntryPoint("odd", "builtins:print", registry.GROUP),)
    monkeypatch.setattr(registry, "_entries", lambda: entries)
    for create, settings in (
        (registry.create_camera, CameraDevice(name="x", driver="odd", band="on")),
        (registry.create_spectrometer, SpectrometerDevice(name="x", driver="odd")),
        (registry.create_power, PowerDevice(name="x", driver="odd")),
        (registry.create_gpio, GpioDevice(name="x", driver="odd")),
    ):
        with pytest.raises(DriverError, match="gives no"):
            create(settings, context)


def test_importing_the_registry_loads_nothing_heavy():
    code = (
        "import sys, so2cam.devices.registry, so2cam.observe.exposure\n"
        "heavy = {'scipy', 'numba', 'matplotlib', 'astropy', 'cv2', 'seabreeze', 'gpiozero', 'picamera2', 'xarray'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "parts = ('so2cam.science', 'so2cam.pipeline', 'so2cam.simulate')\n"
        "print(sorted(name for name in sys.modules if name.startswith(parts)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
