"""The two plume cross-section lines: placed across the plume, and mapped into its plane."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from so2cam.core.constants import KG_M2_PER_MOLEC_CM2
from so2cam.core.records import FloatArray, PlumeLine
from so2cam.core.site import Line
from so2cam.simulate.geometry import SceneGeometry
from so2cam.simulate.plume import PlumeAxis, PlumeField
from so2cam.simulate.scenario import LineLayout

UPSTREAM = "upstream"
DOWNSTREAM = "downstream"


def place_lines(axis: PlumeAxis, layout: LineLayout, geometry: SceneGeometry) -> tuple[Line, Line]:
    """Return the upstream and the downstream line, with ends on whole pixels."""
    far = layout.upstream_distance_m + layout.separation_m
    normal = "left" if axis.along[0] < 0 else "right"
    lines = []
    for name, distance_m, obliquity_deg in (
        (UPSTREAM, layout.upstream_distance_m, 0.0),
        (DOWNSTREAM, far, layout.downstream_obliquity_deg),
    ):
        x, y = (float(value) for value in geometry.to_image(*axis.position(distance_m)))
        next_x, next_y = (float(value) for value in geometry.to_image(*axis.position(distance_m + 1)))
        heading = math.atan2(next_y - y, next_x - x) + math.pi / 2 + math.radians(obliquity_deg)
        half = layout.length_px / 2 * math.cos(heading), layout.length_px / 2 * math.sin(heading)
        ends = ((x - half[0], y - half[1]), (x + half[0], y + half[1]))
        upper, lower = sorted(((round(px), round(py)) for px, py in ends), key=lambda end: end[1])
        lines.append(Line.model_validate({"name": name, "start": upper, "end": lower, "normal": normal}))
    return lines[0], lines[1]


@dataclass(frozen=True, slots=True)
class Crossing:
    """What crosses a line at a moment: emission rate [kg s-1], integrated column amount [kg m-1], and peak column.

    The integrated column amount is that of the slant column over length perpendicular to the line of sight, as one who
    looks from the camera finds it.
    """

    emission_rate_kg_s: float
    integrated_column_amount_kg_m: float
    peak_column_molec_cm2: float


@dataclass(frozen=True, slots=True)
class LineInPlane:
    """A line of the image as samples in the plume plane; all arrays have the shape (samples,).

    ``a``, ``z`` [m]; ``across_a``, ``across_z`` [m] is the sample's length times the line's normal, in the plane;
    ``length_m`` is a sample's length perpendicular to the line of sight; ``slant`` the cosine between the line of
    sight and the plane's normal.
    """

    name: str
    a: FloatArray
    z: FloatArray
    across_a: FloatArray
    across_z: FloatArray
    length_m: FloatArray
    slant: FloatArray

    def crossing(self, field: PlumeField, time_s: float) -> Crossing:
        """Return what crosses the line: the integrals along it of D v . n and of D."""
        density, flux_a, flux_z = field.flux(self.a, self.z, time_s)
        slant_column = density / self.slant
        return Crossing(
            emission_rate_kg_s=float(np.sum(flux_a * self.across_a + flux_z * self.across_z)),
            integrated_column_amount_kg_m=float(np.sum(slant_column * self.length_m)),
            peak_column_molec_cm2=float(np.max(slant_column)) / KG_M2_PER_MOLEC_CM2,
        )

    def emission_rate(self, field: PlumeField, time_s: float) -> float:
        """Return the emission rate [kg s-1] through the line."""
        return self.crossing(field, time_s).emission_rate_kg_s

    def integrated_column_amount(self, field: PlumeField, time_s: float) -> float:
        """Return the integrated column amount [kg m-1] of the line."""
        return self.crossing(field, time_s).integrated_column_amount_kg_m


def map_line(line: PlumeLine, geometry: SceneGeometry, samples: int = 4000) -> LineInPlane:
    """Return ``line`` mapped into the plume plane, point by point, at the middles of ``samples`` equal pieces.

    A line of several straight pieces gets that many samples on each.
    """
    parts = [_map_piece(line, start, end, geometry, samples) for start, end in pairwise(line.points)]
    return LineInPlane(line.name, *(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _map_piece(
    line: PlumeLine, start: tuple[float, float], end: tuple[float, float], geometry: SceneGeometry, samples: int
) -> tuple[FloatArray, ...]:
    edges = np.linspace(0, 1, samples + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    (x0, y0), (x1, y1) = start, end
    borders = geometry.to_plane(x0 + (x1 - x0) * edges, y0 + (y1 - y0) * edges)
    points = geometry.to_plane(x0 + (x1 - x0) * middles, y0 + (y1 - y0) * middles)
    da, dz = np.diff(borders.a), np.diff(borders.z)
    # In the image, the normal is on the line's side of travel: (-dy, dx) for the right hand's; y is downward.
    ahead = geometry.to_plane(
        x0 + (x1 - x0) * middles - 1e-4 * line.side * (y1 - y0), y0 + (y1 - y0) * middles + 1e-4 * line.side * (x1 - x0)
    )
    side = np.sign((ahead.a - points.a) * dz - (ahead.z - points.z) * da)
    along_ray = da * points.ray[0] + dz * points.ray[2]
    length = np.sqrt(np.maximum(da**2 + dz**2 - along_ray**2, 0.0))
    return points.a, points.z, side * dz, -side * da, length, points.ray[1]
