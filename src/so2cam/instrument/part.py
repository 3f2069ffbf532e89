"""The part of an item that the exposure follows, as settings: rows of an image, wavelengths of a spectrum.

The site file has them as pairs; messages have each end by itself, so that every setting is one number.
"""

from collections.abc import Mapping
from typing import Any, Final

from so2cam.core.site_devices import BOTTOM_ROW, CameraDevice
from so2cam.instrument.launch import Capturing

ROWS: Final = ("first_row", "last_row")
WINDOW: Final = ("window_from_nm", "window_to_nm")


def part_keys(device: Capturing) -> tuple[str, str]:
    """Return how messages call the two ends."""
    return ROWS if isinstance(device, CameraDevice) else WINDOW


def part_name(device: Capturing) -> str:
    """Return how the site file calls the pair, in the device's ``automatic``."""
    return "rows" if isinstance(device, CameraDevice) else "window_nm"


def part_values(device: Capturing) -> dict[str, int | float]:
    """Return both ends by the names that messages use; all rows are those from 0 to ``BOTTOM_ROW``."""
    automatic = device.automatic
    ends = (automatic.rows or (0, BOTTOM_ROW)) if isinstance(device, CameraDevice) else automatic.window_nm
    return dict(zip(part_keys(device), ends, strict=True))


def part_of_site(device: Capturing, ends: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """Return the pair as the site file has it, with ``ends`` in place of those that the device has."""
    first, last = (ends.get(key, value) for key, value in part_values(device).items())
    return None if isinstance(device, CameraDevice) and (first, last) == (0, BOTTOM_ROW) else (first, last)


def part_problem(device: Capturing, limits: Mapping[str, Any]) -> str | None:
    """Return why a device cannot have the part that is set, by what it said of itself; None where it can."""
    first, last = part_values(device).values()
    if isinstance(device, CameraDevice):
        height = limits.get("height_px")
        if height is not None and (first >= height or height <= last != BOTTOM_ROW):
            return f"its image has {height} rows: first_row and last_row must be from 0 to {height - 1}"
        return None
    lowest, highest = limits.get("wavelength_range_nm") or (first, last)
    if last < lowest or first > highest:
        return f"it measures {lowest:g} to {highest:g} nm: the window must have some of that"
    return None
