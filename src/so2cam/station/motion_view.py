"""Motion of the plume with a draft's settings: flow as arrows, its histograms, speeds by every method, and the lag."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from so2cam.core.records import BoolImage, FloatArray, FloatImage, FramePair
from so2cam.core.site import OpticalFlow, SpeedMethod
from so2cam.core.status import STATUS_TEXT, EmissionStatus
from so2cam.formats.sitefile import LoadedSite
from so2cam.pages import FrameHeader, encode_values
from so2cam.pipeline.flow_speed import FLOW_METHODS, main_motion
from so2cam.pipeline.lag_window import METHOD as CROSS_CORRELATION
from so2cam.pipeline.lag_window import window_lag
from so2cam.pipeline.records import PairImages, PairRecord
from so2cam.science.emission.lines import LineSamples
from so2cam.science.motion.cross_correlation import correlation_curve
from so2cam.science.motion.flow import REDUCTION, Flow
from so2cam.science.motion.statistics import DominantMotion, plume_vectors
from so2cam.station.line_view import Speed, speeds_of
from so2cam.station.plain import all_known, known
from so2cam.station.setup_pairs import NO_CALIBRATION, SetupPairs, around, uncorrected

_ARROW_PX: Final = 22.0
"""Length at which the usual arrow is drawn, in pixels of the image, where that is a whole multiple of its motion."""
_GRID_PX: Final = 18
_DIRECTION_BINS: Final = 72
_UPWARD_DEG: Final = 40.0
"""A main direction closer than this to 0 degrees is shown in the middle."""
_SPEED_BINS: Final = 40
_NOISES: Final = 3.0
_NEAR_PX: Final = 3


@dataclass(frozen=True, slots=True)
class Histogram:
    """Shares of the plume's vectors by a value, and the curve of the peak that was fitted (None: none was)."""

    edges: tuple[float, ...]
    share: tuple[float, ...]
    fit_at: tuple[float, ...] = ()
    fit: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class LineMotionLook:
    """The motion near a line: histograms, their main motion in words, and the speed by every method."""

    name: str
    direction: Histogram | None
    speed: Histogram | None
    words: str
    speeds: tuple[Speed, ...]


@dataclass(frozen=True, slots=True)
class MotionLook:
    """The motion from one pair to the next.

    ``arrows`` are (x0, y0, x1, y1) in pixels of the image, ``times`` as long as the motion. ``why`` says why there is
    none, or what is wrong with it.
    """

    time: datetime
    why: str
    interval_s: float | None
    arrows: tuple[tuple[float, float, float, float], ...]
    times: int
    lines: Mapping[str, LineMotionLook]
    message: bytes | None


@dataclass(frozen=True, slots=True)
class LagLook:
    """Cross-correlation over a window: both lines' column amounts [kg m-1] in time, and the correlation by lag.

    ``lag_s``, ``speed`` [m s-1] with 1 sigma; None and ``why`` where there is none.
    """

    lines: tuple[str, str]
    times: tuple[datetime, ...]
    first: tuple[float | None, ...]
    second: tuple[float | None, ...]
    lags_s: tuple[float, ...]
    correlation: tuple[float | None, ...]
    lag_s: float | None
    lag_sigma_s: float | None
    speed: float | None
    speed_sigma: float | None
    peak: float | None
    why: str


def look_at_motion(
    pairs: SetupPairs,
    loaded: LoadedSite,
    chosen: Sequence[FramePair],
    index: int,
) -> MotionLook:
    """Return the motion from pair ``index`` of ``chosen`` to the next, with the draft's settings, by every method.

    ``nadeau`` knows no earlier profiles here than that of the pair before. Raises So2camError subclasses where files
    are missing, or a line can never have a value.
    """
    pair = chosen[index]
    methods: tuple[SpeedMethod, ...] = (*FLOW_METHODS, "nadeau")
    if loaded.site.wind is not None:
        methods = (*methods, "wind")
    speed = loaded.site.processing.speed.model_copy(update={"methods": methods})
    found = pairs.process(loaded, around(chosen, index), speed=speed)
    seen, record = found.images.get(pair.time), found.records.get(pair.time)
    if seen is None:
        status = EmissionStatus.NO_SKY if record is None else next(iter(record.lines.values())).status
        return MotionLook(pair.time, STATUS_TEXT[status], None, (), 1, {}, None)
    message = encode_values(seen.image.absorbance, FrameHeader(label="absorbance above the sky", time=pair.time))
    why = "" if seen.flow is not None else STATUS_TEXT[_no_flow(seen, loaded.site.processing.speed.optical_flow)]
    arrows, times = ((), 1) if seen.flow is None else _arrows(seen.flow, seen)
    lines = {
        name: _line(seen, samples, speeds_of(found, pair.time, name), found.chain.site.processing.speed.optical_flow)
        for name, samples in seen.geometry.lines.items()
    }
    if not why:
        why = NO_CALIBRATION if seen.calibration is None else uncorrected(record)
    interval = float(seen.interval_s) if np.isfinite(seen.interval_s) else None
    return MotionLook(pair.time, why, interval, arrows, times, lines, message)


def look_at_lag(
    pairs: SetupPairs,
    loaded: LoadedSite,
    time: datetime,
    progress: Callable[[int, int], None] | None = None,
) -> LagLook:
    """Return the cross-correlation of the window in which ``time`` lies, as a run over the archive would find it.

    Raises So2camError subclasses where files are missing, or a line can never have a value.
    """
    settings = loaded.site.processing.speed.cross_correlation
    if settings.lines is None:
        why = STATUS_TEXT[EmissionStatus.NO_SECOND_LINE]
        return LagLook(("", ""), (), (), (), (), (), None, None, None, None, None, why)
    chosen = pairs.window(loaded, time)
    only: tuple[SpeedMethod, ...] = ("cross_correlation",)
    speed = loaded.site.processing.speed.model_copy(update={"methods": only})
    found = pairs.process(loaded, chosen, speed=speed, progress=progress)
    records = [record for record in found.records.values() if all(name in record.lines for name in settings.lines)]
    records = [record for record in records if record.time in found.images]
    if not records:
        why = STATUS_TEXT[EmissionStatus.TOO_FEW_SAMPLES]
        return LagLook(settings.lines, (), (), (), (), (), None, None, None, None, None, why)
    first, second = (np.array([_amount(record, name) for record in records]) for name in settings.lines)
    seconds = np.array([(record.time - records[0].time).total_seconds() for record in records])
    lag = window_lag(records, settings.lines, settings)
    lags, curve = correlation_curve(seconds, first, second, maximum_lag_s=settings.maximum_lag_s)
    # One lag holds for the window; the speed is that of the pair that is looked at, as its record has it.
    nearest = min(records, key=lambda record: abs((record.time - time).total_seconds()))
    emission = nearest.emissions[settings.lines[0], CROSS_CORRELATION]
    ok = emission.status is EmissionStatus.OK
    return LagLook(
        settings.lines,
        tuple(record.time for record in records),
        all_known(first),
        all_known(second),
        tuple(float(value) for value in lags),
        all_known(curve),
        known(lag.lag_s),
        known(lag.uncertainty_s),
        known(emission.speed),
        known(emission.speed_uncertainty),
        known(lag.correlation),
        "" if ok else STATUS_TEXT[emission.status],
    )


def _no_flow(seen: PairImages, settings: OpticalFlow) -> EmissionStatus:
    gap = np.isfinite(seen.interval_s) and seen.interval_s > settings.maximum_gap_s
    return EmissionStatus.GAP_TOO_LONG if gap else EmissionStatus.NO_NEXT_PAIR


def _arrows(flow: Flow, seen: PairImages) -> tuple[tuple[tuple[float, float, float, float], ...], int]:
    step = max(_GRID_PX // REDUCTION, 1)
    rows, columns = (slice(step // 2, None, step),) * 2
    vectors = flow.displacement[rows, columns]
    y, x = np.indices(flow.valid.shape)[:, rows, columns] * REDUCTION + 0.5
    x, y = x + flow.region.left, y + flow.region.top
    image = seen.image
    there = _around(image.absorbance, image.in_sky, x, y)
    good = flow.valid[rows, columns] & (there > _NOISES * image.noise) & np.isfinite(vectors).all(axis=-1)
    if not good.any():
        return (), 1
    x, y, vectors = x[good], y[good], vectors[good]
    usual = float(np.median(np.hypot(vectors[:, 0], vectors[:, 1])))
    times = int(np.clip(round(_ARROW_PX / max(usual, 0.1)), 1, 50))
    ends = np.column_stack([x, y, x + times * vectors[:, 0], y + times * vectors[:, 1]])
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in np.round(ends, 1)), times


def _around(image: FloatImage, valid: BoolImage, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return means over nine pixels around each place (x, y); NaN where one of them is not valid or lies outside."""
    total = np.zeros(x.shape)
    for dy in (-_NEAR_PX, 0, _NEAR_PX):
        for dx in (-_NEAR_PX, 0, _NEAR_PX):
            row, column = np.rint(y + dy).astype(int), np.rint(x + dx).astype(int)
            inside = (row >= 0) & (row < image.shape[0]) & (column >= 0) & (column < image.shape[1])
            row, column = np.where(inside, row, 0), np.where(inside, column, 0)
            total += np.where(inside & valid[row, column], image[row, column], np.nan)
    return total / 9


def _line(seen: PairImages, samples: LineSamples, speeds: tuple[Speed, ...], settings: OpticalFlow) -> LineMotionLook:
    name = samples.line.name
    if seen.flow is None:
        return LineMotionLook(name, None, None, "", speeds)
    main = main_motion(seen.flow, seen.image, samples, settings)
    vectors, weights = plume_vectors(
        seen.flow,
        seen.image.absorbance,
        samples.line,
        reach_px=2.0 * settings.window_px,
        threshold=_NOISES * seen.image.noise,
    )
    used = np.isfinite(vectors[:, 0]) & (weights > 0)
    vectors, weights = vectors[used], weights[used]
    if not weights.size:
        return LineMotionLook(name, None, None, "no plume near the line above the noise", speeds)
    metres = float(np.mean(samples.normal_step_m)) / seen.interval_s
    direction, speed = _histograms(vectors, weights / weights.sum(), main, metres)
    if main.status is not EmissionStatus.OK:
        words = f"no main motion: {STATUS_TEXT[main.status]}"
    else:
        words = (
            f"{main.direction_deg:.0f} ± {main.direction_sigma_deg:.0f}° in the image, "
            f"{main.length_px * metres:.1f} ± {main.length_sigma_px * metres:.1f} m/s, "
            f"{100 * main.share:.0f} % of the plume near the line"
        )
    return LineMotionLook(name, direction, speed, words, speeds)


def _histograms(
    vectors: FloatArray, weights: FloatArray, main: DominantMotion, metres: float
) -> tuple[Histogram, Histogram]:
    length = np.hypot(vectors[:, 0], vectors[:, 1])
    angle = np.degrees(np.arctan2(vectors[:, 0], -vectors[:, 1])) % 360
    ok = main.status is EmissionStatus.OK
    # From -180 degrees on where the main direction is about 0, so that its peak is not cut in two.
    first = -180.0 if ok and not _UPWARD_DEG <= main.direction_deg <= 360 - _UPWARD_DEG else 0.0
    mean_deg = (main.direction_deg - first) % 360 + first
    angle = (angle - first) % 360 + first
    edges = first + np.arange(_DIRECTION_BINS + 1) * 360 / _DIRECTION_BINS
    share = np.histogram(angle, edges, weights=weights)[0]
    inside = np.abs(angle - mean_deg) <= main.half_range_deg if ok else np.ones(angle.size, np.bool_)
    low, high = (float(value) * metres for value in np.quantile(length, (0.005, 0.995)))
    margin = 0.25 * (high - low) + 0.1
    bottom, top = np.floor(10 * max(low - margin, 0.0)) / 10, np.ceil(10 * (high + margin)) / 10
    speed_edges = np.linspace(bottom, top, _SPEED_BINS + 1)
    speeds = np.histogram(length[inside] * metres, speed_edges, weights=weights[inside])[0]
    if not ok:
        return Histogram(_tuple(edges), _tuple(share)), Histogram(_tuple(speed_edges), _tuple(speeds))
    near = np.linspace(edges[0], edges[-1], 181)
    by_angle = _gaussian(near, mean_deg, main.direction_sigma_deg) * (edges[1] - edges[0]) * main.share
    across = np.linspace(bottom, top, 161)
    by_speed = _gaussian(across, main.length_px * metres, main.length_sigma_px * metres) * float(speeds.sum())
    return (
        Histogram(_tuple(edges), _tuple(share), _tuple(near), _tuple(by_angle)),
        Histogram(_tuple(speed_edges), _tuple(speeds), _tuple(across), _tuple(by_speed * (top - bottom) / _SPEED_BINS)),
    )


def _gaussian(at: FloatArray, mean: float, sigma: float) -> FloatArray:
    sigma = max(sigma, 1e-6)
    return np.asarray(np.exp(-0.5 * ((at - mean) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi)))


def _amount(record: PairRecord, line: str) -> float:
    ica = record.lines[line].ica
    return float("nan") if ica is None else ica.value


def _tuple(values: FloatArray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
