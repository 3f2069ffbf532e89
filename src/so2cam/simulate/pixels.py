"""One camera's pixels that the plume can reach: columns as single precision allows, fast."""

import math

import numpy as np
import numpy.typing as npt

from so2cam.core.constants import KG_M2_PER_MOLEC_CM2
from so2cam.core.records import FloatArray
from so2cam.simulate.geometry import SceneGeometry
from so2cam.simulate.plume import PlumeField, Stream

Floats = npt.NDArray[np.float32]


class PlumePixels:
    """Pixels of an image (or any points) and the slant column of SO2 along their lines of sight."""

    def __init__(
        self, field: PlumeField, geometry: SceneGeometry, x: FloatArray, y: FloatArray, hidden: FloatArray | None = None
    ) -> None:
        """``x`` and ``y``: on-band coordinates of the pixels, any shape; where ``hidden`` is 1, none is looked at."""
        points = geometry.to_plane(x, y)
        self._field = field
        reach = 0.0 if field.eddies is None else field.eddies.reach_m
        wanted = np.zeros(np.shape(x), np.bool_)
        for stream in field.streams:
            s, _, width = stream.axis.coordinates(points.a, points.z)
            n = (points.a - stream.axis.origin[0]) * stream.axis.across[0]
            n += (points.z - stream.axis.origin[1]) * stream.axis.across[1]
            wanted |= (np.abs(n) < width + reach * (1 + stream.axis.opening)) & (s > -reach)
        if hidden is not None:
            wanted &= hidden < 1
        self.index: npt.NDArray[np.int64] = np.flatnonzero(wanted)
        """Flat indices of the pixels that the plume can reach"""
        self._a = points.a[wanted].astype(np.float32)
        self._z = points.z[wanted].astype(np.float32)
        self._scale = (1 / (points.ray[1][wanted] * KG_M2_PER_MOLEC_CM2)).astype(np.float32)
        self.distance_m = points.distance[wanted].astype(np.float32)
        self._fixed: tuple[_Sampler, ...] | None = None
        if field.eddies is None:
            self._fixed = tuple(_Sampler(stream, self._a, self._z) for stream in field.streams)

    def columns(self, time_s: float) -> Floats:
        """Return slant columns [molecules cm-2] of the pixels ``index``, ``time_s`` after the sequence's start."""
        tau = float(self._field.gusts.stream_time(time_s))
        samplers = self._fixed
        if samplers is None:
            assert self._field.eddies is not None  # noqa: S101
            if self.index.size == 0:
                return np.zeros(0, np.float32)
            a, z = self._field.eddies.undo_by_table(self._a, self._z, tau)
            samplers = tuple(_Sampler(stream, a, z) for stream in self._field.streams)
        total = np.zeros(self._a.shape, np.float32)
        for sampler in samplers:
            sampler.add_to(total, tau)
        total *= self._scale
        return total


class _Sampler:
    """One stream's table as seen by points of the plane without eddies."""

    def __init__(self, stream: Stream, a: Floats, z: Floats) -> None:
        axis = stream.axis
        along = [np.float32(value) for value in axis.along]
        across = [np.float32(value) for value in axis.across]
        da, dz = a - np.float32(axis.origin[0]), z - np.float32(axis.origin[1])
        s = da * along[0] + dz * along[1]
        n = da * across[0] + dz * across[1]
        width = np.float32(axis.half_width_m) + np.float32(axis.opening) * np.maximum(s, np.float32(0))
        self._inside = np.flatnonzero((np.abs(n) < width) & (s >= 0))
        s, n, width = s[self._inside], n[self._inside], width[self._inside]
        eta = n / width
        column = (eta + 1) * np.float32((stream.columns - 1) / 2)
        left = np.minimum(column.astype(np.int64), stream.columns - 2)
        self._stream = stream
        self._left = left
        self._share = (column - left).astype(np.float32)
        profile = np.float32(axis.speed_m_s) * (1 + np.float32(axis.shear) * eta)
        path = s
        if axis.slowing:
            path = s * (np.float32(axis.half_width_m) + width) * np.float32(0.5 / axis.reference_m)
            self._per_table = 1 / (profile * np.float32(axis.reference_m))
        else:
            self._per_table = 1 / (profile * width)
        self._delay = path / profile * np.float32(1 / stream.row_step_s)
        self._range = (float(self._delay.min()), float(self._delay.max())) if left.size else (0.0, 0.0)

    def add_to(self, total: Floats, tau_s: float) -> None:
        """Add D [kg m-2] at stream time ``tau_s`` to ``total``, shape (points,)."""
        if self._left.size == 0:
            return
        stream = self._stream
        row = tau_s / stream.row_step_s
        table, first = stream.table(math.floor(row - self._range[1]) - 1, math.floor(row - self._range[0]) + 2)
        whole = math.floor(row)
        at_row = np.float32(row - whole) - self._delay
        below = np.floor(at_row)
        p, q = at_row - below, self._share
        at = (below.astype(np.int64) + (whole - first)) * stream.columns + self._left
        flat = table.ravel()
        early: Floats = flat[at]
        early += q * (flat[at + 1] - early)
        at += stream.columns
        late = flat[at]
        late += q * (flat[at + 1] - late)
        early += p * (late - early)
        early *= self._per_table
        total[self._inside] += early
