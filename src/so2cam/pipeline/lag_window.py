"""Cross-correlation in windows of time: columns of two lines in, one lag and its speed for all of a window out.

One speed stands for all of a window, and the wind does not keep to that: how much the speed at a moment differs from it
is taken from the speeds of single pairs that optical flow tells at the same line, or, where it tells too few, from what
the two lines' series do not have in common.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.core.site import CrossCorrelation, Site
from so2cam.core.status import EmissionStatus
from so2cam.pipeline.rates import lag_emission, root_sum
from so2cam.pipeline.records import NAN, Emission, PairRecord
from so2cam.science.emission.lines import LineSamples
from so2cam.science.motion.cross_correlation import Lag, find_lag, speed_from_lag
from so2cam.science.motion.speed_variation import speed_variation

METHOD = "cross_correlation"


class LagWindow:
    """Gathers the records of a window; when it is over, sets their emission rates by cross-correlation."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._settings = site.processing.speed.cross_correlation
        pair = self._settings.lines
        self._plume = None if pair is None else next(line.plume for line in site.lines if line.name == pair[0])
        self._names = tuple(line.name for line in site.lines)
        self._records: list[PairRecord] = []
        self._index: int | None = None

    def add(self, record: PairRecord) -> None:
        """Take a record whose lines are measured."""
        self._records.append(record)

    def close_before(self, time: datetime) -> None:
        """Close the window that is open where ``time`` lies in a later one."""
        index = window_index(self._site, time)
        if self._index is not None and index != self._index:
            self.close()
        self._index = index

    def close(self) -> None:
        """Find the lag of the window's records and set their emission rates."""
        records, self._records = self._records, []
        if not records:
            return
        pair = self._settings.lines
        if pair is None:
            for record in records:
                self._set(record, EmissionStatus.NO_SECOND_LINE, NAN, NAN, (NAN, NAN), {})
            return
        lag = window_lag(records, pair, self._settings)
        status, speed, sigma, normal = lag.status, NAN, NAN, (NAN, NAN)
        # The geometry may turn with the wind: that of the window's middle stands for all of it.
        geometry = records[len(records) // 2].geometry
        if geometry is None:
            status = EmissionStatus.NO_WIND
        else:
            upstream, downstream = geometry.lines[pair[0]], geometry.lines[pair[1]]
            normal = common_normal(upstream, downstream)
            distance, spread = line_distance_m(_mean_columns(records, upstream), upstream, downstream, normal)
            if status is EmissionStatus.OK and np.isnan(distance):
                status = EmissionStatus.NO_PLUME
            if status is EmissionStatus.OK and (abs(distance) < upstream.normal_step_m.mean() or lag.lag_s == 0):
                # Lines less than a pixel apart, or one line twice.
                status = EmissionStatus.LAG_NOT_RESOLVED
            if status is EmissionStatus.OK:
                speed, sigma = speed_from_lag(lag, distance)
                # Where the lines are not parallel, parts of the plume pass them with different lags, and which of
                # them the correlation follows is not known: half the spread of their distances is added.
                sigma = root_sum(sigma, 0.5 * speed * spread / distance)
        variations = {name: speed_change(records, name, lag, self._settings.minimum_samples) for name in self._names}
        for record in records:
            self._set(record, status, speed, sigma, normal, variations)

    def _set(
        self,
        record: PairRecord,
        status: EmissionStatus,
        speed: float,
        sigma: float,
        normal: tuple[float, float],
        variations: Mapping[str, float],
    ) -> None:
        if record.geometry is None:
            return
        for name, line in record.geometry.lines.items():
            measurement = record.lines[name]
            if measurement.status is not EmissionStatus.OK:
                continue
            if line.line.plume != self._plume:
                emission = Emission(EmissionStatus.NO_SECOND_LINE)
            elif status is not EmissionStatus.OK:
                emission = Emission(status)
            else:
                emission = lag_emission(line, measurement, speed, sigma, normal, variations[name])
            record.emissions[name, METHOD] = emission


def speed_change(records: Sequence[PairRecord], line: str, lag: Lag, minimum: int) -> float:
    """Return 1 sigma, relative, by which the speed at ``line`` at a moment differs from that of all of a window.

    From ``minimum`` speeds by optical flow or more; from the lag's variation where there are fewer.
    """
    known = [record.flow_speeds[line] for record in records if line in record.flow_speeds]
    speeds, noise, unseen = np.array([(one.speed, one.noise, one.unseen) for one in known]).reshape(-1, 3).T
    by_flow = speed_variation(speeds, noise, unseen, minimum=minimum)
    return by_flow if np.isfinite(by_flow) else lag.variation_s / abs(lag.lag_s) if lag.lag_s else NAN


def window_index(site: Site, time: datetime) -> int:
    """Return the number of the window in which ``time`` lies: windows start on whole multiples of their length."""
    return int(time.timestamp() // site.processing.speed.cross_correlation.window_s)


def window_lag(records: Sequence[PairRecord], lines: tuple[str, str], settings: CrossCorrelation) -> Lag:
    """Return the lag of the second line's column amounts behind the first one's in the records of a window."""
    start = records[0].time
    return find_lag(
        np.array([(record.time - start).total_seconds() for record in records]),
        np.array([_ica(record, lines[0]) for record in records]),
        np.array([_ica(record, lines[1]) for record in records]),
        maximum_lag_s=settings.maximum_lag_s,
        minimum_samples=settings.minimum_samples,
        minimum_correlation=settings.minimum_correlation,
    )


def common_normal(upstream: LineSamples, downstream: LineSamples) -> tuple[float, float]:
    """Return the unit vector (x, y) between two lines' normals; each line keeps its own sign."""
    first, second = np.array(upstream.line.normal), np.array(downstream.line.normal)
    normal = first + (1 if first @ second >= 0 else -1) * second
    normal = normal / np.hypot(*normal)
    return float(normal[0]), float(normal[1])


def line_distance_m(
    weight: FloatArray, upstream: LineSamples, downstream: LineSamples, normal: tuple[float, float]
) -> tuple[float, float]:
    """Return the mean distance [m] from the upstream to the downstream line along ``normal``, and its spread.

    Means over the upstream line's samples with ``weight`` (N,), such as the plume's columns; the spread is 1 sigma.
    NaN without weight, or where the downstream line lies beside all of it.
    """
    points = np.stack([upstream.x, upstream.y], axis=-1)
    pixels = _crossing(points, np.asarray(downstream.line.points, np.float64), np.array(normal))
    weight = np.where(np.isfinite(pixels), np.maximum(weight, 0), 0)
    if not weight.any():
        return NAN, NAN
    metres = np.nan_to_num(pixels) * 0.5 * (upstream.normal_step_m.mean() + downstream.normal_step_m.mean())
    mean = float(np.sum(weight * metres) / np.sum(weight))
    return mean, float(np.sqrt(np.sum(weight * (metres - mean) ** 2) / np.sum(weight)))


def _crossing(points: FloatArray, corners: FloatArray, normal: FloatArray) -> FloatArray:
    """Return how far (N,) [px] each of ``points`` (N, 2) is, along ``normal``, from a polyline through ``corners``.

    The first and last straight piece go on beyond their ends.
    """
    along = np.array([-normal[1], normal[0]])
    side = corners @ along
    wanted = points @ along
    depth = corners @ normal
    found = np.full(points.shape[0], np.nan)
    last = len(side) - 2
    for index in range(last + 1):
        step = side[index + 1] - side[index]
        if abs(step) < 1e-9:
            continue
        share = (wanted - side[index]) / step
        inside = ((share >= 0) | (index == 0)) & ((share <= 1) | (index == last))
        distance = depth[index] + share * (depth[index + 1] - depth[index]) - points @ normal
        nearer = inside & ~(np.abs(distance) >= np.abs(found))
        found[nearer] = distance[nearer]
    return found


def _mean_columns(records: Sequence[PairRecord], upstream: LineSamples) -> FloatArray:
    weight = np.zeros(upstream.x.size)
    for record in records:
        columns = record.lines[upstream.line.name].columns
        if columns is not None:
            weight += columns.column
    return weight


def _ica(record: PairRecord, line: str) -> float:
    ica = record.lines[line].ica
    return NAN if ica is None else ica.value
