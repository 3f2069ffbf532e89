"""The site file that a new installation starts with: valid, commented, and with placeholders that are named as such."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from so2cam.core.errors import InputError, SiteFileError
from so2cam.core.site import GeoPoint, Site
from so2cam.core.site_camera import View
from so2cam.formats.legacy.lines import PLACEHOLDER

PLACEHOLDER_LINE: Final = PLACEHOLDER
PLACEHOLDER_VOLCANO: Final = "PLACEHOLDER"
_VENT: Final = (0.0, 0.05)
_CAMERA: Final = (0.0, 0.0)
"""Latitude and longitude: in the Gulf of Guinea, where no volcano is"""
_BELOW_ALL_LAND_M: Final = -500.0
"""The lowest shore on Earth lies at -430 m, so that no true altitude is this"""
_VIEW: Final = View(azimuth_deg=90.0, elevation_deg=10.0)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}")
_TEXT: Final = """\
# The site file of a new installation. What is a placeholder here must be replaced before any number means something:
# `so2cam check` names it, and the guided installation in a browser (/guide) leads through it.
format = 1
name = "{name}"  # of the installation; the instrument's own site file has the same

[volcano]
name = "PLACEHOLDER"
# Placeholders: degrees north, degrees east, metres above sea level (-500 is below all land).
vent = {{ latitude = 0.0, longitude = 0.05, altitude_m = -500.0 }}

[camera]
position = {{ latitude = 0.0, longitude = 0.0, altitude_m = -500.0 }}  # placeholders

[camera.view]  # placeholders: the direction of the image's centre; a landmark in the image finds it better
azimuth_deg = 90.0  # clockwise from true north
elevation_deg = 10.0  # above the horizon

[camera.optics]  # of the image as it is stored
width_px = 648
height_px = 486
pixel_pitch_um = 5.6
field_of_view_deg = [23.1, 17.4]  # full angle, horizontal and vertical

[camera.sensor]
bits = 10

[registration]  # how the off band lies on the on band: not known yet, so that it is taken as perfect
source = "matrix"

# A cross-section line: (x, y) pixels of the on-band image. Draw your own.
[[lines]]
name = "placeholder"
start = [200, 50]
end = [200, 430]
normal = "left"

[processing.background]
mode = "sky-surface"  # found in the plume-free sky of each pair

[processing.calibration]  # by gas cells, until the guided installation is told of a spectrometer

[processing.speed]
methods = ["flow_raw"]

[station]
folder = "station"
"""


def starter_text(name: str) -> str:
    """Return the site file of a new installation of this name. Raises InputError for one that cannot be a name."""
    if not _NAME.fullmatch(name):
        raise InputError("is no name of an installation", value=name, remedy="letters, digits, blanks and _ . - only")
    return _TEXT.format(name=name)


def placeholders(site: Site) -> Iterator[tuple[str, str]]:
    """Yield (key, what it should be) of all placeholders of a new installation that are still there."""
    if site.volcano.name == PLACEHOLDER_VOLCANO:
        yield "volcano.name", "is a placeholder; give the volcano's name"
    yield from _of_place("volcano.vent", "the vent", site.volcano.vent, _VENT)
    yield from _of_place("camera.position", "the camera", site.camera.position, _CAMERA)
    if site.camera.view.model_copy(update={"roll_deg": _VIEW.roll_deg}) == _VIEW:
        yield "camera.view", "is a placeholder; click a landmark, or give the direction with its uncertainty"
    if any(line.name == PLACEHOLDER_LINE for line in site.lines):
        yield f"lines.{PLACEHOLDER_LINE}", "is no line of yours; draw your own, or the emission rates mean nothing"


def _of_place(key: str, what: str, point: GeoPoint, given: tuple[float, float]) -> Iterator[tuple[str, str]]:
    """Yield the placeholders of a place: each number by itself, for one may be replaced and another forgotten."""
    if point.latitude == given[0]:
        yield f"{key}.latitude", f"is a placeholder; give that of {what} (on the equator 0.000001)"
    if point.longitude == given[1]:
        yield f"{key}.longitude", f"is a placeholder; give that of {what}"
    if point.altitude_m == _BELOW_ALL_LAND_M:
        yield f"{key}.altitude_m", f"is a placeholder, below all land; give that of {what}"


def is_new(site: Site) -> bool:
    """Return whether an installation has not even its places yet: nothing of it can be processed."""
    return any(key.startswith(("volcano.vent", "camera.position")) for key, _ in placeholders(site))


def without_meaning(site: Site) -> list[str]:
    """Return the keys of placeholders that are still there and with which an emission rate means nothing.

    A direction may truly be that of the starter file: it is asked for, and stops nothing.
    """
    return [key for key, _ in placeholders(site) if key not in ("volcano.name", "camera.view")]


def require_meaning(site: Site, file: Path) -> None:
    """Raise SiteFileError where placeholders of ``site``, read from ``file``, make emission rates meaningless."""
    left = without_meaning(site)
    if left:
        more = f", and so {'is' if len(left) == 2 else 'are'} {', '.join(left[1:])}" if left[1:] else ""
        raise SiteFileError(
            f"is a placeholder{more}: emission rates would mean nothing",
            file=file,
            key=left[0],
            remedy="replace what `so2cam check` names, or let the guide of the station's pages (/guide) lead you",
        )
