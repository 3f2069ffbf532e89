"""The library picamera2: loading it, the cameras it knows, and what its metadata say."""

from collections.abc import Mapping
from typing import Any, Final

from so2cam.core.site_devices import CameraDevice
from so2cam.devices.errors import DeviceMissingError, DriverError, WrongDeviceError

MISSING: Final = "check the camera's ribbon cable on both ends, then `rpicam-hello --list-cameras`"


def load_picamera2(device: str) -> Any:
    """Return the module picamera2. Raises DriverError where it is not there."""
    try:
        import picamera2
    except ImportError as error:
        raise DriverError(
            f"picamera2 cannot be imported: {error}",
            device=device,
            remedy="on the Raspberry Pi: sudo apt install python3-picamera2 --no-install-recommends, and make so2cam's "
            "virtual environment with --system-site-packages",
        ) from error
    return picamera2


def list_picamera2_cameras(vendor: Any) -> tuple[tuple[int, str, str], ...]:
    """Return (index, model, id) of every camera that libcamera knows; ``vendor`` is the module picamera2."""
    found = []
    for position, info in enumerate(vendor.Picamera2.global_camera_info()):
        found.append((int(info.get("Num", position)), str(info.get("Model", "")), str(info.get("Id", ""))))
    return tuple(found)


def choose_camera(settings: CameraDevice, cameras: tuple[tuple[int, str, str], ...]) -> tuple[int, str, str]:
    """Return (index, model, id) of the camera that the site file means.

    Raises DeviceMissingError, WrongDeviceError.
    """
    known = "; ".join(f"{index}: {model} {serial}" for index, model, serial in cameras) or "none"
    if not cameras:
        raise DeviceMissingError("no camera is connected", device=settings.name, remedy=MISSING)
    serial, index = settings.serial, settings.index
    if serial is not None:
        for camera in cameras:
            if camera[2] == serial and index in (None, camera[0]):
                return camera
        raise WrongDeviceError(
            f"no camera has this id (connected: {known})",
            device=settings.name,
            key=f"{settings.name}.serial",
            value=serial,
            remedy="connect it to the same socket as before, or correct serial in the site file",
        )
    wanted = 0 if index is None else index
    for camera in cameras:
        if camera[0] == wanted:
            return camera
    raise DeviceMissingError(
        f"there is no camera with this index (connected: {known})",
        device=settings.name,
        key=f"{settings.name}.index",
        value=wanted,
        remedy=MISSING,
    )


def plain_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata as JSON can hold them: numbers, text, lists; anything else as text."""
    return {str(key): _plain_value(value) for key, value in metadata.items()}


def _plain_value(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        return [_plain_value(part) for part in value]
    return str(value)
