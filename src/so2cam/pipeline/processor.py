"""The processor: pairs in, records of emission rates out. All that passes from pair to pair is held here.

A pair's column amounts are known at once, its optical-flow speed when the next pair is in, its
cross-correlation speed when the window that it lies in is over. A record comes out when all of it is known, in
order of time; ``early`` is told before that of what does not wait for a window. Runners differ only in where pairs come
from and where records go.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from so2cam.core.constants import KG_M2_PER_MOLEC_CM2
from so2cam.core.records import Frame, FrameInfo, FramePair
from so2cam.core.site import Site, SpeedMethod
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.pipeline.calibrated import Calibration
from so2cam.pipeline.calibration import CalibrationSource, GivenCalibration
from so2cam.pipeline.columns import ColumnPoint
from so2cam.pipeline.dilution_source import DilutionSource
from so2cam.pipeline.flow_speed import FLOW_METHODS, Arrival, Interval, LineMotion, line_motions, main_motion
from so2cam.pipeline.frames import DarkLibrary
from so2cam.pipeline.geometry import LineGeometry, SiteGeometry, WindField
from so2cam.pipeline.image_chain import ImageChain
from so2cam.pipeline.lag_window import METHOD as CROSS_CORRELATION
from so2cam.pipeline.lag_window import LagWindow
from so2cam.pipeline.method_agreement import MethodComparison
from so2cam.pipeline.profile_shift import METHOD as NADEAU
from so2cam.pipeline.profile_shift import AxisProfiles
from so2cam.pipeline.quality import QualityChecks
from so2cam.pipeline.rates import flow_emissions, wind_emission
from so2cam.pipeline.records import NAN, Emission, Observer, PairImages, PairRecord
from so2cam.pipeline.references import References
from so2cam.pipeline.steps import AbsorbanceImage, LineMeasurement, measure_line
from so2cam.pipeline.uncorrected_dilution import UncorrectedDilution
from so2cam.science.emission.lines import LineSamples, sample_positions
from so2cam.science.motion.flow import Flow, Region, flow_region, optical_flow
from so2cam.science.motion.statistics import DominantMotion


class Processor:
    """Turns pairs into records. Feed ``push`` in order of time, then call ``finish``."""

    def __init__(
        self,
        site: Site,
        references: References,
        darks: DarkLibrary,
        *,
        wind: WindField | None = None,
        observer: Observer | None = None,
        calibrator: CalibrationSource | None = None,
        dilution: DilutionSource | None = None,
        early: Callable[[PairRecord], None] | None = None,
    ) -> None:
        """``early`` is given, in order of time, what is known of a record that waits for its window, the rest pending.

        It changes nothing: the record comes out whole later, the same as without.
        """
        self._site = site
        self._early = early
        self._told = 0
        self._references = references
        self._images = ImageChain(site, references, darks, dilution)
        self._calibrator = GivenCalibration(references.calibration) if calibrator is None else calibrator
        self._observer = observer
        self._quality = QualityChecks(site)
        self._dilution = UncorrectedDilution(site)
        self._geometry = SiteGeometry(site, WindField(site, Path()) if wind is None else wind)
        self._names = tuple(line.name for line in site.lines)
        self._methods = site.processing.speed.methods
        self._flow_methods = tuple(method for method in self._methods if method in FLOW_METHODS)
        self._motion_methods = tuple(method for method in self._methods if method in (*FLOW_METHODS, NADEAU))
        speed = site.processing.speed
        # The speed of single pairs, which tells how it changes within a window of cross-correlation.
        lagged = CROSS_CORRELATION in self._methods and speed.cross_correlation.lines is not None
        self._momentary: SpeedMethod | None = None
        if lagged:
            raw: SpeedMethod = "flow_raw"
            self._momentary = raw if raw in self._flow_methods else next(iter(self._flow_methods), raw)
        self._profiles = {name: AxisProfiles(speed.nadeau) for name in self._names} if NADEAU in self._methods else {}
        self._needs_flow = (
            lagged or bool(self._flow_methods) or any(kept.needs_motion for kept in self._profiles.values())
        )
        self._region = self._flow_region()
        self._previous: tuple[PairRecord, AbsorbanceImage, LineGeometry, Calibration | None] | None = None
        self._arrival: Arrival | None = None
        self._last_time: datetime | None = None
        self._pending: deque[PairRecord] = deque()
        self._window = LagWindow(site)
        self._agreement = MethodComparison(site)

    def push(self, pair: FramePair, on: Frame, off: Frame, later_off: Frame | None = None) -> list[PairRecord]:
        """Take one pair, and return the records that are complete with it, in order of time.

        ``later_off`` is the frame of ``pair.later_off``, where the off band is interpolated. A pair whose time is not
        after the one before comes back at once, by itself, and changes nothing else.
        """
        record = PairRecord(pair)
        if self._last_time is not None and pair.time <= self._last_time:
            self._fail(record, EmissionStatus.TIME_NOT_INCREASING)
            return [record]
        self._last_time = pair.time
        self._window.close_before(pair.time)
        self._pending.append(record)
        record.flags |= self._quality.of_frames(on, off, later_off)
        image = self._images.image(record, on, off, later_off)
        if isinstance(image, EmissionStatus):
            self._fail(record, image)
            return self._complete()
        geometry = self._measure(record, image)
        self._finish_previous(next_record=record, next_image=image)
        self._previous = (record, image, geometry, record.calibration)
        self._settle_unmeasured(record)
        self._set_wind_emissions(record, geometry)
        if CROSS_CORRELATION in self._methods and geometry.lines:
            self._window.add(record)
        return self._complete()

    def add_column(self, point: ColumnPoint) -> None:
        """Take a column of the spectrometer. Columns and pairs come in the order of the ends of their exposures."""
        self._calibrator.add_column(point)
        if self._images.dilution is not None:
            self._images.dilution.add_column(point)

    def last_has_image(self, pair: FramePair) -> bool:
        """Return whether ``pair`` was the last one pushed and gave an image: all that the next one depends on."""
        return self._previous is not None and self._previous[0].pair is pair

    def finish(self) -> list[PairRecord]:
        """End the run: return what was still waiting for a later pair or for the end of its window."""
        self._finish_previous(next_record=None, next_image=None)
        self._window.close()
        return self._complete()

    def _measure(self, record: PairRecord, image: AbsorbanceImage) -> LineGeometry:
        """Measure the columns on every line of ``record``, and return the lines' geometry."""
        self._calibrator.observe(record.pair, image)
        record.geometry = geometry = self._geometry.at(record.time)
        record.flags |= self._quality.of_image(record.time, image, geometry) | self._dilution.of(geometry)
        record.calibration = calibration = self._calibrator.at(record.time)
        if geometry.status is not EmissionStatus.OK:
            self._fail(record, geometry.status)
        elif calibration is None:
            self._fail(record, EmissionStatus.NO_CALIBRATION)
        else:
            for name, line in geometry.lines.items():
                measurement = measure_line(image, line, calibration, self._site, self._references.covered)
                record.lines[name] = measurement
                record.flags |= measurement.flags
        if calibration is not None:
            record.flags |= calibration.flags
            record.slope, record.offset = calibration.curve.slope_at_zero, calibration.curve.offset
            record.calibration_number = calibration.number
        return geometry

    # -- motion ---------------------------------------------------------------------------------------------

    def _flow_region(self) -> Region:
        optics = self._site.camera.optics
        positions = [sample_positions(line) for line in self._site.plume_lines]
        x = np.concatenate([position[0] for position in positions])
        y = np.concatenate([position[1] for position in positions])
        margin = 3 * self._site.processing.speed.optical_flow.window_px
        return flow_region(x, y, (optics.height_px, optics.width_px), margin_px=margin)

    def _finish_previous(self, next_record: PairRecord | None, next_image: AbsorbanceImage | None) -> None:
        if self._previous is None:
            return
        # A record that was complete at once has let its geometry go.
        record, image, geometry, calibration = self._previous
        arrival, mains = self._arrival, dict[str, DominantMotion]()
        self._previous = self._arrival = None
        settings = self._site.processing.speed.optical_flow
        flow, interval, status = None, Interval(NAN, NAN), EmissionStatus.NO_NEXT_PAIR
        if next_record is not None and next_image is not None:
            interval = Interval(*frame_interval_s(record.pair.on, next_record.pair.on))
            status = EmissionStatus.GAP_TOO_LONG if interval.seconds > settings.maximum_gap_s else EmissionStatus.OK
            if status is EmissionStatus.OK and self._needs_flow:
                flow = optical_flow(
                    image.absorbance,
                    next_image.absorbance,
                    image.valid & image.in_sky,
                    next_image.valid & next_image.in_sky,
                    self._region,
                    window_px=settings.window_px,
                    levels=settings.levels,
                    iterations=settings.iterations,
                    algorithm=settings.algorithm,
                )
        for name, line in geometry.lines.items():
            if record.lines[name].status is not EmissionStatus.OK or next_image is None or status:
                if name in self._profiles:
                    self._profiles[name].forget()
                if record.lines[name].status is not EmissionStatus.OK:
                    continue
                emissions: dict[str, Emission] = {method: Emission(status) for method in self._motion_methods}
            else:
                images = (image, next_image)
                emissions = self._motion_emissions(record, images, line, flow, interval, arrival, mains)
            record.emissions |= {(name, method): emission for method, emission in emissions.items()}
        if self._observer is not None:
            seconds, resolution = interval.seconds, interval.uncertainty_s
            self._observer(PairImages(record.time, image, geometry, calibration, flow, seconds, resolution))
        if flow is not None:
            self._arrival = Arrival(flow, mains, interval)

    def _motion_emissions(
        self,
        record: PairRecord,
        images: tuple[AbsorbanceImage, AbsorbanceImage],
        line: LineSamples,
        flow: Flow | None,
        interval: Interval,
        arrival: Arrival | None,
        mains: dict[str, DominantMotion],
    ) -> dict[str, Emission]:
        """Return the emission rates at a line by methods that need motion; its main motion goes into ``mains``."""
        name = line.line.name
        measurement = record.lines[name]
        columns, ica = measurement.columns, measurement.ica
        if columns is None or ica is None:
            return dict.fromkeys(self._motion_methods, Emission(measurement.status))
        if ica.value <= 3 * float(np.hypot(ica.random, sky_part(measurement, line))):
            if name in self._profiles:
                self._profiles[name].forget()
            return dict.fromkeys(self._motion_methods, Emission(EmissionStatus.NO_PLUME))
        settings = self._site.processing.speed.optical_flow
        image, next_image = images
        main = None
        motions: dict[str, LineMotion | EmissionStatus] = {}
        if flow is not None:
            if self._profiles or set(self._flow_methods) - {"flow_raw"}:
                main = mains[name] = main_motion(flow, image, line, settings)
            methods = self._flow_methods
            if self._momentary is not None and self._momentary not in methods:
                methods = (*methods, self._momentary)
            motions = line_motions(methods, flow, line, columns.column, main)
        if name in self._profiles:
            motions[NADEAU] = self._profiles[name].motion(image, next_image, line, columns.column, main)
        emissions = flow_emissions(line, columns, ica, motions, interval, settings, arrival)
        momentary = None if self._momentary is None else emissions[self._momentary].momentary
        if momentary is not None:
            record.flow_speeds[name] = momentary
        return {method: emissions[method] for method in self._motion_methods}

    def _set_wind_emissions(self, record: PairRecord, geometry: LineGeometry) -> None:
        if "wind" not in self._methods:
            return
        for name, line in geometry.lines.items():
            if record.lines[name].status is EmissionStatus.OK:
                emission = wind_emission(geometry, line, record.lines[name])
                record.emissions[name, "wind"] = emission

    # -- bookkeeping ----------------------------------------------------------------------------------------

    def _fail(self, record: PairRecord, status: EmissionStatus) -> None:
        for name in self._names:
            record.lines[name] = LineMeasurement(status, QualityFlag.NONE, None, None)
        self._settle_unmeasured(record)

    def _settle_unmeasured(self, record: PairRecord) -> None:
        """Lines without a column amount have no emission rate by any method, for the same reason."""
        for name in self._names:
            status = record.lines[name].status
            if status is not EmissionStatus.OK:
                for method in self._methods:
                    record.emissions[name, method] = Emission(status)

    def _complete(self) -> list[PairRecord]:
        expected = len(self._names) * len(self._methods)
        done = []
        while self._pending and len(self._pending[0].emissions) == expected:
            record = self._pending.popleft()
            record.flags |= self._agreement.of(record)
            # What was needed to find the rates is let go: a long run keeps numbers, not profiles.
            record.lines = {name: replace(line, columns=None) for name, line in record.lines.items()}
            record.geometry = None
            record.calibration = None
            record.flow_speeds = {}
            done.append(record)
        if self._early is not None:
            self._told = max(0, self._told - len(done))
            self._tell_early(self._early)
        return done

    def _tell_early(self, early: Callable[[PairRecord], None]) -> None:
        """Tell of the records, in order, that wait for nothing but their window."""
        waiting = {(name, CROSS_CORRELATION): Emission(EmissionStatus.PENDING) for name in self._names}
        expected = len(self._names) * len(self._methods)
        while self._told < len(self._pending):
            record = self._pending[self._told]
            if len(waiting.keys() | record.emissions.keys()) < expected or CROSS_CORRELATION not in self._methods:
                return
            self._told += 1
            lines = {name: replace(line, columns=None) for name, line in record.lines.items()}
            early(replace(record, lines=lines, emissions=waiting | record.emissions, geometry=None, calibration=None))


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


def sky_part(measurement: LineMeasurement, line: LineSamples) -> float:
    """1 sigma of a column amount [kg m-1] from the unevenness of the sky under the baseline."""
    columns = measurement.columns
    if columns is None:
        return NAN
    ends = columns.baseline.weights.T @ (columns.slope * line.piece_m)
    return KG_M2_PER_MOLEC_CM2 * float(np.sqrt(np.sum((ends * columns.baseline.drift) ** 2)))
