"""Summits of volcanoes that SO2 cameras watch: the old program looks a vent up by the volcano's name."""

import unicodedata
from typing import Final

from so2cam.core.site import GeoPoint

TABLE_UNCERTAINTY_M: Final = 300.0
"""1 sigma [m] of a place in the table as that of the vent: summits, to a few thousandths of a degree."""

VENTS: Final[dict[str, GeoPoint]] = {
    name: GeoPoint(latitude=latitude, longitude=longitude, altitude_m=altitude_m)
    for name, latitude, longitude, altitude_m in (
        ("Cotopaxi", -0.677, -78.436, 5911.0),
        ("Etna", 37.751, 14.993, 3357.0),
        ("Fuego", 14.473, -90.880, 3763.0),
        ("Kilauea", 19.406, -155.281, 1120.0),
        ("Lascar", -23.37, -67.73, 5592.0),
        ("Masaya", 11.984, -86.161, 635.0),
        ("Nevado del Ruiz", 4.892, -75.324, 5321.0),
        ("Nevados de Chillan", -36.868, -71.378, 3180.0),
        ("Popocatepetl", 19.023, -98.622, 5393.0),
        ("Sabancaya", -15.787, -71.857, 5960.0),
        ("Sakurajima", 31.581, 130.659, 1060.0),
        ("Soufriere Hills", 16.71, -62.18, 915.0),
        ("Stromboli", 38.794, 15.211, 750.0),
        ("Tungurahua", -1.467, -78.442, 5023.0),
        ("Turrialba", 10.025, -83.767, 3340.0),
        ("Villarrica", -39.42, -71.93, 2847.0),
        ("Vulcano", 38.404, 14.962, 391.0),
    )
}
"""Volcano to place (WGS84, metres above sea level): the active crater where it is well known, else the summit."""


def find_vent(volcano: str) -> GeoPoint | None:
    """Return the place of a volcano by its name, whatever its accents, capitals, spaces and hyphens."""
    wanted = _folded(volcano)
    return next((place for name, place in VENTS.items() if _folded(name) == wanted), None)


def _folded(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).casefold()
    return "".join(character for character in letters if character.isalnum())
