"""Drivers by name: entry points ``so2cam.devices`` of installed packages, and the built-in ones.

A factory is called with the device's table of the site file and a ``DeviceContext``, and returns a device that is not
open yet. An entry point of another package with a built-in driver's name does not replace it. Built-in drivers are
also found without installed metadata.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from so2cam.core.site_devices import CameraDevice, GpioDevice, PowerDevice, SpectrometerDevice
from so2cam.devices.checked import CheckedCamera
from so2cam.devices.checked_spectrometer import CheckedSpectrometer
from so2cam.devices.errors import DriverError
from so2cam.devices.protocols import Camera, DeviceContext, GpioLines, PowerManager, Spectrometer

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

AnyDevice = CameraDevice | SpectrometerDevice | PowerDevice | GpioDevice
GROUP: Final = "so2cam.devices"

BUILT_IN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "gpiozero": "so2cam.devices.gpio:create",
        "picamera2": "so2cam.devices.picamera2_camera:create",
        "replay": "so2cam.devices.replay:create",
        "seabreeze": "so2cam.devices.seabreeze_spectrometer:create",
        "wittypi3": "so2cam.devices.wittypi:create",
        "wittypi4": "so2cam.devices.wittypi:create",
        "faulty": "so2cam.simulate.faulty:create",
        "simulated": "so2cam.simulate.devices:create",
    }
)
"""Name -> ``module:function`` of the drivers that come with so2cam."""

TYPES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "gpiozero": frozenset({"gpio"}),
        "picamera2": frozenset({"camera"}),
        "replay": frozenset({"camera", "spectrometer"}),
        "seabreeze": frozenset({"spectrometer"}),
        "wittypi3": frozenset({"power"}),
        "wittypi4": frozenset({"power"}),
        "faulty": frozenset({"camera", "spectrometer"}),
        "simulated": frozenset({"camera", "spectrometer", "power", "gpio"}),
    }
)
"""Name -> types of devices that a built-in driver can be."""


def list_drivers() -> Mapping[str, str]:
    """Return all drivers by name, each with where it is; nothing is imported."""
    found = {entry.name: entry.value for entry in _entries()}
    return MappingProxyType(dict(sorted((found | dict(BUILT_IN)).items())))


def create_camera(settings: CameraDevice, context: DeviceContext) -> CheckedCamera:
    """Return the camera that ``settings`` describe, not open yet, with its data checked.

    Raises DriverError where the driver is unknown, cannot be imported or is no camera's.
    """
    device = _create(settings, context)
    if not isinstance(device, Camera):
        raise _wrong_kind(settings, "camera")
    return CheckedCamera(device, settings, context)


def create_spectrometer(settings: SpectrometerDevice, context: DeviceContext) -> CheckedSpectrometer:
    """Return the spectrometer that ``settings`` describe, not open yet, with its data checked.

    Raises DriverError where the driver is unknown, cannot be imported or is no spectrometer's.
    """
    device = _create(settings, context)
    if not isinstance(device, Spectrometer):
        raise _wrong_kind(settings, "spectrometer")
    return CheckedSpectrometer(device, settings, context)


def create_power(settings: PowerDevice, context: DeviceContext) -> PowerManager:
    """Return the power board that ``settings`` describe, not open yet. Raises DriverError as ``create_camera``."""
    device = _create(settings, context)
    if not isinstance(device, PowerManager):
        raise _wrong_kind(settings, "power board")
    return device


def create_gpio(settings: GpioDevice, context: DeviceContext) -> GpioLines:
    """Return the lines that ``settings`` describe, not open yet. Raises DriverError as ``create_camera``."""
    device = _create(settings, context)
    if not isinstance(device, GpioLines):
        raise _wrong_kind(settings, "set of GPIO lines")
    return device


def create_raw(settings: AnyDevice, context: DeviceContext) -> object:
    """Return what the driver's factory gives, unchecked: for wrappers around another driver."""
    return _create(settings, context)


def _entries() -> "tuple[EntryPoint, ...]":
    from importlib.metadata import entry_points  # looks into every installed package: only where that is needed

    return tuple(entry_points(group=GROUP))


def _create(settings: AnyDevice, context: DeviceContext) -> object:
    factory = _load(settings.driver, settings.name)
    if settings.type not in TYPES.get(settings.driver, {settings.type}):
        raise _wrong_kind(settings, settings.type)
    device: object = factory(settings, context)
    return device


def _load(driver: str, name: str) -> Callable[..., Any]:
    where = BUILT_IN.get(driver) or list_drivers().get(driver)
    if where is None:
        raise DriverError(
            "there is no such driver",
            device=name,
            value=driver,
            remedy=f"choose one of {', '.join(list_drivers())}, or install the package that has it",
        )
    module_name, _, attribute = where.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise DriverError(
            f"the driver {driver!r} cannot be loaded from {where}: {error}",
            device=name,
            remedy="install what it needs, for the Python that runs so2cam "
            f"({sys.version_info.major}.{sys.version_info.minor})",
        ) from error
    if not callable(factory):
        raise DriverError(f"the driver {driver!r} at {where} is no function", device=name, remedy="ask its author")
    return factory  # type: ignore[no-any-return]


def _wrong_kind(settings: AnyDevice, what: str) -> DriverError:
    return DriverError(
        f"the driver {settings.driver!r} gives no {what}",
        device=settings.name,
        remedy="correct type or driver of this device in the site file",
    )
