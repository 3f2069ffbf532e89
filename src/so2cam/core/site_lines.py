"""The models of the site file's plume cross-section lines."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator

from so2cam.core.records import PlumeLine
from so2cam.core.site_types import Name, Point, Table

_CHORD_PX = 2.0
"""Length of the straight pieces that an arc is made of."""
_NORMALS: dict[str, Point] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


class Arc(Table):
    """An arc about a centre, such as the vent. Directions in the image: 0 up, 90 right, clockwise."""

    centre: Point = Field(description="(x, y)")
    radius_px: float = Field(gt=2, le=20000)
    from_deg: float = Field(default=0.0, ge=-360, le=360)
    to_deg: float = Field(default=360.0, ge=-360, le=720, description="360 degrees after from_deg closes the arc")

    @model_validator(mode="after")
    def _sweeps(self) -> Self:
        if not 1 <= self.to_deg - self.from_deg <= 360:
            raise ValueError("to_deg must be 1 to 360 degrees more than from_deg")
        return self

    @property
    def points(self) -> tuple[Point, ...]:
        """The arc as (x, y) points, 2 px apart or less."""
        sweep = math.radians(self.to_deg - self.from_deg)
        count = max(math.ceil(sweep * self.radius_px / _CHORD_PX), 8)
        angles = (math.radians(self.from_deg) + sweep * index / count for index in range(count + 1))
        x, y = self.centre
        return tuple((x + self.radius_px * math.sin(a), y - self.radius_px * math.cos(a)) for a in angles)


class Line(Table):
    """A plume cross-section line, in pixels of the on-band image: straight, a polyline, an arc, or a file of one.

    The plume-free baseline is read at its two ends: those of a closed line meet, and must lie in plume-free sky.
    """

    name: Name
    start: Point | None = Field(default=None, description="(x, y), of a straight line")
    end: Point | None = Field(default=None, description="(x, y), of a straight line")
    points: tuple[Point, ...] | None = Field(
        default=None, min_length=2, max_length=1000, description="(x, y) corners of a polyline"
    )
    closed: bool = Field(default=False, description="of a polyline: its last corner is joined to its first")
    arc: Arc | None = None
    normal: Literal["left", "right", "up", "down", "outward", "inward"] | None = Field(
        default=None,
        description="the side to which the plume crosses the line; outward and inward for arcs and closed lines",
    )
    role: Literal["emission", "speed"] = Field(
        default="emission", description="a speed line serves cross-correlation, and never enters the total"
    )
    file: str | None = Field(default=None, description="a PyCam line file, relative to the site file")
    plume: Name = Field(default="plume", description="lines with one name cross the same plume")

    @model_validator(mode="after")
    def _given_once(self) -> Self:
        straight = self.start is not None or self.end is not None
        shapes = sum((straight, self.points is not None, self.arc is not None, self.file is not None))
        if shapes != 1 or (straight and (self.start is None or self.end is None)):
            raise ValueError("give either start and end, or points, or arc, or file")
        if self.closed and (self.points is None or len(self.points) < 3):
            raise ValueError("closed is for a polyline of three or more points")
        if self.file is not None:
            if self.normal is not None:
                raise ValueError("give either file, or normal: the file has its own side")
        elif self.normal is None:
            raise ValueError("give normal, the side to which the plume crosses the line")
        else:
            self.to_plume_line()
        return self

    @property
    def corners(self) -> tuple[tuple[str, Point], ...]:
        """All corners with the key that each was given by."""
        if self.start is not None and self.end is not None:
            return (("start", self.start), ("end", self.end))
        if self.points is not None:
            return tuple((f"points[{index}]", point) for index, point in enumerate(self.points))
        return () if self.arc is None else tuple(("arc", point) for point in self.arc.points)

    def to_plume_line(self) -> PlumeLine:
        """Return the line as a record. Raises ValueError where it has no length or ``normal`` runs along it."""
        points = tuple(point for _, point in self.corners)
        if not points or self.normal is None:
            raise ValueError("the line's file has not been read")
        if self.closed and points[0] != points[-1]:
            points = (*points, points[0])
        if any(math.dist(a, b) < 1e-6 for a, b in pairwise(points)):
            raise ValueError("two corners in a row are the same point")
        line = PlumeLine(self.name, points, 1, self.plume, self.role)
        if line.length_px < 4:
            raise ValueError(f"the line is {line.length_px:.1f} px long; it must be at least 4 px")
        return replace(line, side=self._side(line))

    def _side(self, line: PlumeLine) -> int:
        """Return the side of travel, 1 or -1, to which ``normal`` points."""
        if self.normal in ("outward", "inward"):
            if self.arc is None and not line.closed:
                raise ValueError(f"normal = {self.normal!r} is for arcs and closed lines; name left, right, up or down")
            if self.arc is None and abs(line.signed_area_px2) < 1:
                raise ValueError("the closed line crosses itself or encloses nothing, so that it has no outside")
            # Arcs run clockwise as seen in the image, and closed polylines as they are drawn: the area tells.
            clockwise = self.arc is not None or line.signed_area_px2 > 0
            return -1 if clockwise == (self.normal == "outward") else 1
        if line.closed:
            raise ValueError('a closed line needs normal = "outward" or "inward"')
        towards = _NORMALS[str(self.normal)]
        normal = line.normal
        along = normal[0] * towards[0] + normal[1] * towards[1]
        if not abs(along) >= 0.05:
            raise ValueError(f"normal = {self.normal!r} runs along the line; name the side it faces")
        return 1 if along > 0 else -1
