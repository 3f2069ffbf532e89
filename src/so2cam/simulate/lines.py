"""The two plume cross-section lines: placed across the plume, and mapped into its plane."""

import math
from dataclasses import dataclass

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
class LineInPlane:
    """A line of the image as samples in the plume plane; all arrays have the shape (samples,).

    ``a``, ``z`` [m]; ``flow_m2_s`` is gas velocity along the line's normal times sample length, both in the plane;
    ``length_m`` is a sample's length perpendicular to the line of sight; ``slant`` the cosine between the line of
    sight and the plane's normal.
    """

    name: str
    a: FloatArray
    z: FloatArray
    flow_m2_s: FloatArray
    length_m: FloatArray
    slant: FloatArray

    def emission_rate(self, field: PlumeField, time_s: float) -> float:
        """Return the emission rate [kg s-1] through the line: the integral of D v . n along it, in the plane."""
        return float(np.sum(field.density(self.a, self.z, time_s) * self.flow_m2_s))

    def integrated_column_amount(self, field: PlumeField, time_s: float) -> float:
        """Return the integral [kg m-1] of slant column over length perpendicular to the line of sight."""
        return float(np.sum(field.density(self.a, self.z, time_s) / self.slant * self.length_m))

    def peak_column(self, field: PlumeField, time_s: float) -> float:
        """Return the highest slant column [molecules cm-2] on the line."""
        return float(np.max(field.density(self.a, self.z, time_s) / self.slant)) / KG_M2_PER_MOLEC_CM2


def map_line(line: PlumeLine, axis: PlumeAxis, geometry: SceneGeometry, samples: int = 4000) -> LineInPlane:
    """Return ``line`` mapped into the plume plane, point by point, at the middles of ``samples`` equal pieces."""
    edges = np.linspace(0, 1, samples + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    (x0, y0), (x1, y1) = line.start, line.end
    borders = geometry.to_plane(x0 + (x1 - x0) * edges, y0 + (y1 - y0) * edges)
    points = geometry.to_plane(x0 + (x1 - x0) * middles, y0 + (y1 - y0) * middles)
    da, dz = np.diff(borders.a), np.diff(borders.z)
    ahead = geometry.to_plane(
        x0 + (x1 - x0) * middles + 1e-3 * line.normal[0], y0 + (y1 - y0) * middles + 1e-3 * line.normal[1]
    )
    side = np.sign((ahead.a - points.a) * dz - (ahead.z - points.z) * da)
    velocity_a, velocity_z = axis.velocity(points.a, points.z)
    along_ray = da * points.ray[0] + dz * points.ray[2]
    return LineInPlane(
        name=line.name,
        a=points.a,
        z=points.z,
        flow_m2_s=side * (velocity_a * dz - velocity_z * da),
        length_m=np.sqrt(np.maximum(da**2 + dz**2 - along_ray**2, 0.0)),
        slant=points.ray[1],
    )
