"""The processor: pairs in, records of emission rates out. All that passes from pair to pair is held here.

A pair's column amounts are known at once, its optical-flow speed when the next pair is in, its
cross-correlation speed when the window that it lies in is over. A record comes out when all of it is known, in
order of time. Runners differ only in where pairs come from and where records go.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt

from so2cam.core.constants import KG_M2_PER_MOLEC_CM2
from so2cam.core.records import Frame, FrameInfo, FramePair
from so2cam.core.site import Site
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.pipeline.flow_speed import FLOW_METHODS, LineMotion, line_motions
from so2cam.pipeline.frames import DarkLibrary
from so2cam.pipeline.references import References
from so2cam.pipeline.steps import (
    AbsorbanceImage,
    LineMeasurement,
    absorbance_image,
    band_log_image,
    lines_at_plume,
    measure_line,
    pair_flags,
)
from so2cam.science.emission.lines import LineSamples
from so2cam.science.emission.rate import (
    CROSS_CORRELATION_SYSTEMATIC,
    OPTICAL_FLOW_SYSTEMATIC,
    Estimate,
    LineColumns,
    integrate,
)
from so2cam.science.motion.cross_correlation import Lag, find_lag, speed_from_lag
from so2cam.science.motion.flow import Flow, Region, flow_region, optical_flow

_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Emission:
    """The emission rate [kg s-1] of one line by one speed method, and the speed [m s-1] it was found with."""

    status: EmissionStatus
    rate: float = _NAN
    random: float = _NAN
    systematic: float = _NAN
    speed: float = _NAN
    speed_uncertainty: float = _NAN
    direction_deg: float = _NAN


@dataclass(slots=True)
class PairRecord:
    """All that is known of one pair. ``emissions`` is keyed by (line, speed method)."""

    pair: FramePair
    background_level: float = _NAN
    noise: float = _NAN
    flags: QualityFlag = QualityFlag.NONE
    lines: dict[str, LineMeasurement] = field(default_factory=dict)
    emissions: dict[tuple[str, str], Emission] = field(default_factory=dict)

    @property
    def time(self) -> datetime:
        """Mid-exposure of the on-band frame, UTC."""
        return self.pair.time


@dataclass(frozen=True, slots=True)
class PairImages:
    """What an observer sees of a pair: its absorbance image, and the motion to the next one (None for the last)."""

    time: datetime
    image: AbsorbanceImage
    flow: Flow | None
    interval_s: float


Observer = Callable[[PairImages], None]


class Processor:
    """Turns pairs into records. Feed ``push`` in order of time, then call ``finish``."""

    def __init__(
        self, site: Site, references: References, darks: DarkLibrary, *, observer: Observer | None = None
    ) -> None:
        self._site = site
        self._references = references
        self._darks = darks
        self._observer = observer
        self._lines = {samples.line.name: samples for samples in lines_at_plume(site)}
        self._methods = site.processing.speed.methods
        self._flow_methods = tuple(method for method in self._methods if method in FLOW_METHODS)
        lag_lines = site.processing.speed.cross_correlation.lines
        self._lag_plume = None if lag_lines is None else self._lines[lag_lines[0]].line.plume
        self._region = self._flow_region()
        self._previous: tuple[PairRecord, AbsorbanceImage] | None = None
        self._last_time: datetime | None = None
        self._pending: deque[PairRecord] = deque()
        self._window: list[PairRecord] = []
        self._window_index: int | None = None

    def push(self, pair: FramePair, on: Frame, off: Frame) -> list[PairRecord]:
        """Take one pair, and return the records that are complete with it, in order of time.

        A pair whose time is not after the one before comes back at once, by itself, and changes nothing else.
        """
        record = PairRecord(pair)
        if self._last_time is not None and pair.time <= self._last_time:
            self._fail(record, EmissionStatus.TIME_NOT_INCREASING)
            return [record]
        self._last_time = pair.time
        self._close_window_before(pair.time)
        self._pending.append(record)
        image = self._image(record, on, off)
        if image is not None:
            for name, line in self._lines.items():
                measurement = measure_line(image, line, self._references.curve, self._site, self._references.covered)
                record.lines[name] = measurement
                record.flags |= measurement.flags
            self._finish_previous(next_record=record, next_image=image)
            self._previous = (record, image)
            self._settle_unmeasured(record)
            if "cross_correlation" in self._methods:
                self._window.append(record)
        return self._complete()

    def finish(self) -> list[PairRecord]:
        """End the run: return what was still waiting for a later pair or for the end of its window."""
        self._finish_previous(next_record=None, next_image=None)
        self._close_window()
        return self._complete()

    # -- images ---------------------------------------------------------------------------------------------

    def _image(self, record: PairRecord, on: Frame, off: Frame) -> AbsorbanceImage | None:
        dark_on, dark_off = self._darks.dark_for(on.info), self._darks.dark_for(off.info)
        if dark_on is None or dark_off is None:
            self._fail(record, EmissionStatus.NO_DARK)
            return None
        sensor, references = self._site.camera.sensor, self._references
        log_on = band_log_image(on.counts, dark_on, references.bands[0], on.info, sensor, None)
        log_off = band_log_image(off.counts, dark_off, references.bands[1], off.info, sensor, references.matrix)
        record.flags |= pair_flags(record.pair, log_on, log_off, self._site)
        image = absorbance_image(log_on, log_off, references.bands, self._site.processing.background)
        if image is None or not np.isfinite(image.noise):
            self._fail(record, EmissionStatus.NO_SKY)
            return None
        record.background_level, record.noise = image.background_level, image.noise
        if image.sky_share < 0.15:
            record.flags |= QualityFlag.FEW_SKY_PIXELS
        return image

    # -- optical flow ---------------------------------------------------------------------------------------

    def _flow_region(self) -> Region:
        optics = self._site.camera.optics
        x = np.concatenate([line.x for line in self._lines.values()])
        y = np.concatenate([line.y for line in self._lines.values()])
        margin = 3 * self._site.processing.speed.optical_flow.window_px
        return flow_region(x, y, (optics.height_px, optics.width_px), margin_px=margin)

    def _finish_previous(self, next_record: PairRecord | None, next_image: AbsorbanceImage | None) -> None:
        if self._previous is None:
            return
        record, image = self._previous
        self._previous = None
        settings = self._site.processing.speed.optical_flow
        flow, interval, resolution, status = None, _NAN, _NAN, EmissionStatus.NO_NEXT_PAIR
        if next_record is not None and next_image is not None:
            interval, resolution = frame_interval_s(record.pair.on, next_record.pair.on)
            status = EmissionStatus.GAP_TOO_LONG if interval > settings.maximum_gap_s else EmissionStatus.OK
            if status is EmissionStatus.OK and self._flow_methods:
                flow = optical_flow(
                    image.absorbance,
                    next_image.absorbance,
                    image.valid & image.in_sky,
                    next_image.valid & next_image.in_sky,
                    self._region,
                    window_px=settings.window_px,
                    levels=settings.levels,
                    iterations=settings.iterations,
                )
        for name, line in self._lines.items():
            if record.lines[name].status is EmissionStatus.OK:
                emissions = (
                    dict.fromkeys(self._flow_methods, Emission(status))
                    if flow is None
                    else self._flow_emissions(record, image, line, flow, (interval, resolution))
                )
                record.emissions |= {(name, method): emission for method, emission in emissions.items()}
        if self._observer is not None:
            self._observer(PairImages(record.time, image, flow, interval))

    def _flow_emissions(
        self, record: PairRecord, image: AbsorbanceImage, line: LineSamples, flow: Flow, interval: tuple[float, float]
    ) -> dict[str, Emission]:
        measurement = record.lines[line.line.name]
        columns, ica = measurement.columns, measurement.ica
        if columns is None or ica is None:
            return dict.fromkeys(self._flow_methods, Emission(measurement.status))
        if ica.value <= 3 * float(np.hypot(ica.random, _sky_part(measurement, line))):
            return dict.fromkeys(self._flow_methods, Emission(EmissionStatus.NO_PLUME))
        settings = self._site.processing.speed.optical_flow
        motions = line_motions(self._flow_methods, flow, image, line, columns.column, settings)
        return {
            method: Emission(motion)
            if isinstance(motion, EmissionStatus)
            else self._motion_emission(line, columns, ica, motion, interval)
            for method, motion in motions.items()
        }

    def _motion_emission(
        self,
        line: LineSamples,
        columns: LineColumns,
        ica: Estimate,
        motion: LineMotion,
        interval: tuple[float, float],
    ) -> Emission:
        interval_s, interval_uncertainty_s = interval
        to_speed = line.normal_step_m / interval_s
        speed = (motion.vectors @ np.array(line.line.normal)) * to_speed
        rate = integrate(
            columns,
            speed * line.piece_m,
            self._references.curve,
            relative_distance_uncertainty=line.relative_distance_uncertainty,
            distance_power=2,
        )
        column_weight = columns.column * line.piece_m
        by_flow = KG_M2_PER_MOLEC_CM2 * motion.sum_uncertainty(
            column_weight * to_speed, line.line.length_px / line.x.size
        )
        effective = rate.value / ica.value
        sigma_speed = by_flow / ica.value
        settings = self._site.processing.speed.optical_flow
        limit = max(settings.maximum_relative_uncertainty * abs(effective), settings.acceptable_uncertainty_m_s)
        if not (np.isfinite(rate.value) and sigma_speed <= limit):
            return Emission(EmissionStatus.FLOW_UNRELIABLE)
        by_time = interval_uncertainty_s / interval_s
        mean = np.sum(motion.vectors * column_weight[:, None], axis=0)
        return Emission(
            status=EmissionStatus.OK,
            rate=rate.value,
            random=_root_sum((rate.random, by_flow, by_time * rate.value)),
            systematic=_root_sum((rate.systematic, OPTICAL_FLOW_SYSTEMATIC * rate.value)),
            speed=effective,
            speed_uncertainty=_root_sum(
                (
                    sigma_speed,
                    by_time * effective,
                    OPTICAL_FLOW_SYSTEMATIC * effective,
                    line.relative_distance_uncertainty * effective,
                )
            ),
            direction_deg=_direction_deg((float(mean[0]), float(mean[1]))),
        )

    # -- cross-correlation ----------------------------------------------------------------------------------

    def _close_window_before(self, time: datetime) -> None:
        index = int(time.timestamp() // self._site.processing.speed.cross_correlation.window_s)
        if self._window_index is not None and index != self._window_index:
            self._close_window()
        self._window_index = index

    def _close_window(self) -> None:
        records, self._window = self._window, []
        if not records:
            return
        settings = self._site.processing.speed.cross_correlation
        if settings.lines is None:
            for record in records:
                self._set_lag_emissions(record, EmissionStatus.NO_SECOND_LINE, _NAN, _NAN, (_NAN, _NAN))
            return
        upstream, downstream = self._lines[settings.lines[0]], self._lines[settings.lines[1]]
        lag = self._lag(records, settings.lines)
        # A line keeps its own sign: the common normal is that of the upstream line, turned to lie between both.
        same_side = np.dot(upstream.line.normal, downstream.line.normal) >= 0
        normal = np.add(upstream.line.normal, np.multiply(1 if same_side else -1, downstream.line.normal))
        normal = normal / np.hypot(*normal)
        distance, spread = self._line_distance_m(records, upstream, downstream, normal)
        status = lag.status
        if status is EmissionStatus.OK and np.isnan(distance):
            status = EmissionStatus.NO_PLUME
        if status is EmissionStatus.OK and (abs(distance) < upstream.normal_step_m.mean() or lag.lag_s == 0):
            # Lines less than a pixel apart, or one line twice.
            status = EmissionStatus.LAG_NOT_RESOLVED
        speed = sigma = _NAN
        if status is EmissionStatus.OK:
            speed, sigma = speed_from_lag(lag, distance)
            # Where the lines are not parallel, parts of the plume pass them with different lags, and which of
            # them the correlation follows is not known: half the spread of their distances is added.
            sigma = _root_sum((sigma, 0.5 * speed * spread / distance))
        for record in records:
            self._set_lag_emissions(record, status, speed, sigma, (float(normal[0]), float(normal[1])))

    def _lag(self, records: list[PairRecord], lines: tuple[str, str]) -> Lag:
        settings = self._site.processing.speed.cross_correlation
        start = records[0].time
        return find_lag(
            np.array([(record.time - start).total_seconds() for record in records]),
            np.array([_ica(record, lines[0]) for record in records]),
            np.array([_ica(record, lines[1]) for record in records]),
            maximum_lag_s=settings.maximum_lag_s,
            minimum_samples=settings.minimum_samples,
            minimum_correlation=settings.minimum_correlation,
        )

    @staticmethod
    def _line_distance_m(
        records: Iterable[PairRecord],
        upstream: LineSamples,
        downstream: LineSamples,
        normal: npt.NDArray[np.float64],
    ) -> tuple[float, float]:
        """Mean distance [m] from the upstream to the downstream line along ``normal``, and its spread, 1 sigma.

        Both are weighted by the plume's columns.
        """
        weight = np.zeros(upstream.x.size)
        for record in records:
            columns = record.lines[upstream.line.name].columns
            if columns is not None:
                weight += columns.column
        weight = np.maximum(weight, 0)
        if not weight.any():
            return _NAN, _NAN
        start, end = np.array(downstream.line.start), np.array(downstream.line.end)
        across = np.array([-(end - start)[1], (end - start)[0]])
        points = np.stack([upstream.x, upstream.y], axis=-1)
        pixels = ((start - points) @ across) / float(normal @ across)
        metres = pixels * 0.5 * (upstream.normal_step_m.mean() + downstream.normal_step_m.mean())
        mean = float(np.sum(weight * metres) / np.sum(weight))
        return mean, float(np.sqrt(np.sum(weight * (metres - mean) ** 2) / np.sum(weight)))

    def _set_lag_emissions(
        self, record: PairRecord, status: EmissionStatus, speed: float, sigma: float, normal: tuple[float, float]
    ) -> None:
        for name, line in self._lines.items():
            measurement = record.lines[name]
            if measurement.status is not EmissionStatus.OK or measurement.columns is None or measurement.ica is None:
                continue
            if line.line.plume != self._lag_plume:
                record.emissions[name, "cross_correlation"] = Emission(EmissionStatus.NO_SECOND_LINE)
                continue
            if status is not EmissionStatus.OK:
                record.emissions[name, "cross_correlation"] = Emission(status)
                continue
            across = speed * (normal[0] * line.line.normal[0] + normal[1] * line.line.normal[1])
            across_sigma = sigma * abs(across / speed)
            rate = integrate(
                measurement.columns,
                across * line.piece_m,
                self._references.curve,
                relative_distance_uncertainty=line.relative_distance_uncertainty,
                distance_power=2,
            )
            record.emissions[name, "cross_correlation"] = Emission(
                status=EmissionStatus.OK,
                rate=rate.value,
                random=_root_sum((rate.random, measurement.ica.value * across_sigma)),
                systematic=_root_sum((rate.systematic, CROSS_CORRELATION_SYSTEMATIC * rate.value)),
                speed=across,
                speed_uncertainty=_root_sum(
                    (
                        across_sigma,
                        CROSS_CORRELATION_SYSTEMATIC * across,
                        line.relative_distance_uncertainty * across,
                    )
                ),
                direction_deg=_direction_deg(normal if speed >= 0 else (-normal[0], -normal[1])),
            )

    # -- bookkeeping ----------------------------------------------------------------------------------------

    def _fail(self, record: PairRecord, status: EmissionStatus) -> None:
        for name in self._lines:
            record.lines[name] = LineMeasurement(status, QualityFlag.NONE, None, None)
        self._settle_unmeasured(record)

    def _settle_unmeasured(self, record: PairRecord) -> None:
        """Lines without a column amount have no emission rate by any method, for the same reason."""
        for name in self._lines:
            status = record.lines[name].status
            if status is not EmissionStatus.OK:
                for method in self._methods:
                    record.emissions[name, method] = Emission(status)

    def _complete(self) -> list[PairRecord]:
        expected = len(self._lines) * len(self._methods)
        done = []
        while self._pending and len(self._pending[0].emissions) == expected:
            record = self._pending.popleft()
            # What was needed to find the rates is let go: a long run keeps numbers, not profiles.
            record.lines = {name: replace(line, columns=None) for name, line in record.lines.items()}
            done.append(record)
        return done


def frame_interval_s(first: FrameInfo, second: FrameInfo) -> tuple[float, float]:
    """Return the time from one frame to a later one of the same band, mid-exposure, and 1 sigma of it [s].

    Where both files keep the sensor's monotonic clock, that is the interval, to a millisecond, whatever was done to
    the clock of the stamps, unless the computer may have been started anew in between. Otherwise it is the stamps'
    difference, each uniform within its resolution.
    """
    by_stamps = (second.time - first.time).total_seconds()
    resolution = float(np.hypot(first.time_resolution_s, second.time_resolution_s) / np.sqrt(12))
    if first.sensor_timestamp_s is not None and second.sensor_timestamp_s is not None:
        # The sensor's stamp is that of the start of an exposure, as the file's is.
        by_sensor = second.sensor_timestamp_s - first.sensor_timestamp_s + (second.exposure_s - first.exposure_s) / 2
        tolerance = first.time_resolution_s + second.time_resolution_s
        # The sensor's clock starts with the computer: one that runs for longer than the interval was not restarted.
        one_run = second.sensor_timestamp_s > by_stamps + tolerance
        if by_sensor > 0 and (one_run or abs(by_sensor - by_stamps) <= tolerance):
            return by_sensor, 1e-3
    return by_stamps, resolution


def _sky_part(measurement: LineMeasurement, line: LineSamples) -> float:
    """1 sigma of a column amount [kg m-1] from the unevenness of the sky under the baseline."""
    columns = measurement.columns
    if columns is None:
        return _NAN
    ends = columns.baseline.weights.T @ (columns.slope * line.piece_m)
    return KG_M2_PER_MOLEC_CM2 * float(np.sqrt(np.sum((ends * columns.baseline.drift) ** 2)))


def _ica(record: PairRecord, line: str) -> float:
    ica = record.lines[line].ica
    return _NAN if ica is None else ica.value


def _root_sum(parts: tuple[float, ...]) -> float:
    return float(np.sqrt(sum(part**2 for part in parts)))


def _direction_deg(vector: tuple[float, float]) -> float:
    """Direction in the image, 0 up, 90 right, from (x, y) with y downward."""
    return float(np.degrees(np.arctan2(vector[0], -vector[1])) % 360)
