"""How much a calibration's slope may have changed since it was made, because the light is not the same.

Ozone takes the short wavelengths of the on band, where SO2 absorbs most, out of the light: the more of it the light has
passed, the larger the column per absorbance. By filters and cross sections alone that is 17 % per 1e19 molecules cm-2
of ozone on the light's way: 25 % from the sun at 50 degrees to the sun at 20. Nothing is corrected by it, as neither
the ozone of the day nor the way of the light is measured: it is an uncertainty.
"""

import math
from datetime import datetime
from functools import lru_cache
from typing import Final

from so2cam.core.site import Filters, GeoPoint, Site
from so2cam.pipeline.bands import slope_under_ozone, so2_table
from so2cam.pipeline.quality import sun_direction_rad

VERTICAL_O3: Final = 8.06e18
"""300 Dobson units [molecules cm-2]."""
_O3_SPREAD: Final = 0.1
"""Relative 1 sigma of a day's ozone about its mean (middle latitudes; the tropics have a third of it)."""
_O3_MEMORY_S: Final = 86_400.0
"""Time [s] in which ozone forgets what it was."""
_OTHER: Final = 0.03
"""Relative 1 sigma of all else: sky that is white in place of blue (2 %), filters 10 K warmer (0.2 nm: 2 %)."""
_LAYER: Final = 1 + 22 / 6371
"""Radius of the ozone layer over that of the Earth."""


def light_change(site: Site, made: datetime, now: datetime) -> float:
    """Return relative 1 sigma of the slope, at ``now``, of a calibration that was ``made`` at another time, both UTC.

    The root sum of squares of what the sun's height changes, of the ozone of another day, and of all else.
    """
    table, place = so2_table(site), site.camera.position
    filters = site.camera.filters
    then, today = (ozone_air_mass(_minute(time), place) for time in (made, now))
    by_sun = math.log(_slope(filters, table, today) / _slope(filters, table, then))
    apart = 2 * _O3_SPREAD**2 * -math.expm1(-abs((now - made).total_seconds()) / _O3_MEMORY_S)
    by_day = math.log(_slope(filters, table, today * (1 + math.sqrt(apart))) / _slope(filters, table, today))
    return math.sqrt(by_sun**2 + by_day**2 + _OTHER**2)


def ozone_air_mass(time: datetime, place: GeoPoint) -> float:
    """Return by how much the sun's light passes more of the ozone layer than straight down; at sunset after that."""
    elevation = max(sun_direction_rad(time, place)[1], 0.0)
    return 1 / math.sqrt(1 - (math.cos(elevation) / _LAYER) ** 2)


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def _slope(filters: Filters, table: str, air_mass: float) -> float:
    return _slope_of(filters, table, round(air_mass, 3))


@lru_cache(maxsize=512)
def _slope_of(filters: Filters, table: str, air_mass: float) -> float:
    return slope_under_ozone(filters, table, air_mass * VERTICAL_O3)
