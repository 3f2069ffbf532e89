"""The site file that a new installation starts with: valid, commented, and with placeholders that are named as such."""

import re
from collections.abc import Iterator
from typing import Final

from so2cam.core.errors import InputError
from so2cam.core.site import GeoPoint, Site
from so2cam.formats.legacy.lines import PLACEHOLDER

PLACEHOLDER_LINE: Final = PLACEHOLDER
PLACEHOLDER_VOLCANO: Final = "PLACEHOLDER"
_VENT: Final = (0.0, 0.05, 1000.0)
_CAMERA: Final = (0.0, 0.0, 0.0)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}")
_TEXT: Final = """\
# The site file of a new installation. What is a placeholder here must be replaced before any number means something:
# `so2cam check` names it, and the guided installation in a browser (/guide) leads through it.
format = 1
name = "{name}"  # of the installation; the instrument's own site file has the same

[volcano]
name = "PLACEHOLDER"
vent = {{ latitude = 0.0, longitude = 0.05, altitude_m = 1000.0 }}  # a placeholder: degrees north, degrees east

[camera]
position = {{ latitude = 0.0, longitude = 0.0, altitude_m = 0.0 }}  # a placeholder

[camera.view]  # the direction of the image's centre; a landmark in the image finds it better
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

[processing.calibration]
source = "cells"

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
    if _place(site.volcano.vent) == _VENT:
        yield "volcano.vent", "is a placeholder; give the vent's place, or every emission rate is wrong"
    if _place(site.camera.position) == _CAMERA:
        yield "camera.position", "is a placeholder; give the camera's place, or every emission rate is wrong"
    if any(line.name == PLACEHOLDER_LINE for line in site.lines):
        yield f"lines.{PLACEHOLDER_LINE}", "is no line of yours; draw your own, or the emission rates mean nothing"


def is_new(site: Site) -> bool:
    """Return whether an installation has not even a place yet: nothing of it can be processed."""
    keys = {key for key, _ in placeholders(site)}
    return bool(keys & {"volcano.vent", "camera.position"})


def without_meaning(site: Site) -> list[str]:
    """Return the keys of placeholders that are still there and with which an emission rate means nothing."""
    return [key for key, _ in placeholders(site) if key != "volcano.name"]


def _place(point: GeoPoint) -> tuple[float, float, float]:
    return point.latitude, point.longitude, point.altitude_m
