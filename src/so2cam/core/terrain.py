"""The record of a terrain model: heights of the ground around the camera."""

from dataclasses import dataclass

from so2cam.core.records import FloatArray


@dataclass(frozen=True, slots=True)
class TerrainGrid:
    """Heights [m] on a grid of places (east, north) [m] relative to the camera, in a local metric projection.

    ``heights_m`` (R, C), NaN where unknown; its first element lies at (``east_m``, ``north_m``), columns go east by
    ``step_m`` and rows north by ``step_m``. ``camera_altitude_m`` is in the same datum as the heights.
    """

    heights_m: FloatArray
    east_m: float
    north_m: float
    step_m: float
    camera_altitude_m: float
