"""Where the sun is, and when it stands above or below an elevation.

Elevations are those of the sun's centre without refraction, as a schedule needs them. Positions come from astral
(the low-accuracy formulae of Meeus, Astronomical Algorithms, 1998, chapter 25, as NOAA's solar calculator uses them).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from astral import Observer
from astral.sun import azimuth as _azimuth
from astral.sun import elevation as _elevation

from so2cam.core.intervals import Interval, clip
from so2cam.core.times import require_utc

POSITION_UNCERTAINTY_DEG: Final = 0.005
"""1 sigma of the directions [degrees], from 1990 to 2040: 0.003 and at most 0.014 off an ephemeris, measured."""

_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_STEP: Final = timedelta(minutes=20)
_RESOLUTION: Final = timedelta(milliseconds=200)
_NEAR_DEG: Final = 1.0
"""A turning point of the sun this near a threshold is looked at closely: the sun moves less than that near it."""


@dataclass(frozen=True, slots=True)
class SunPosition:
    """Where the sun's centre stands, without refraction: degrees clockwise from true north, and above the horizon."""

    azimuth_deg: float
    elevation_deg: float
    uncertainty_deg: float = POSITION_UNCERTAINTY_DEG


def sun_position(time: datetime, latitude: float, longitude: float) -> SunPosition:
    """Return the sun's direction at ``time`` (aware) seen from a place [degrees north, degrees east].

    Raises ValueError for a time without a zone, or a place that is none.
    """
    observer = _observer(latitude, longitude)
    utc = require_utc(time)
    return SunPosition(float(_azimuth(observer, utc)) % 360.0, float(_elevation(observer, utc, with_refraction=False)))


def sun_elevation_deg(time: datetime, latitude: float, longitude: float) -> float:
    """Return the elevation [degrees] of the sun's centre, without refraction. Raises as ``sun_position``."""
    return float(_elevation(_observer(latitude, longitude), require_utc(time), with_refraction=False))


class SunTrack:
    """The sun's elevation at one place over a stretch of time, sampled once for any number of questions."""

    def __init__(self, span: Interval, latitude: float, longitude: float) -> None:
        self.span = span
        self._observer = _observer(latitude, longitude)
        # On a grid since 1970 and beyond both ends: an edge is found alike, to the last digit, from whatever span.
        first, last = (span.start - _EPOCH) // _STEP - 2, -((_EPOCH - span.end) // _STEP) + 2
        self._times = [_EPOCH + index * _STEP for index in range(first, last + 1)]
        self._known: dict[tuple[float, bool], tuple[Interval, ...]] = {}
        self._elevations = [self.elevation_deg(time) for time in self._times]

    def elevation_deg(self, time: datetime) -> float:
        """Return the elevation [degrees] at ``time`` (UTC)."""
        return float(_elevation(self._observer, time, with_refraction=False))

    def above(self, threshold_deg: float) -> tuple[Interval, ...]:
        """Return when the sun stands at ``threshold_deg`` [degrees] or higher; edges are good to a second."""
        return self._found(threshold_deg, wanted=True)

    def below(self, threshold_deg: float) -> tuple[Interval, ...]:
        """Return when the sun stands lower than ``threshold_deg`` [degrees]."""
        return self._found(threshold_deg, wanted=False)

    def extremes_deg(self, interval: Interval) -> tuple[float, float]:
        """Return the lowest and highest elevation [degrees] in ``interval``, which must lie in the span."""
        inside = [elevation for time, elevation in self._nodes(None) if interval.start <= time < interval.end]
        ends = [self.elevation_deg(interval.start), self.elevation_deg(interval.end)]
        return min(inside + ends), max(inside + ends)

    def _found(self, threshold_deg: float, *, wanted: bool) -> tuple[Interval, ...]:
        key = (threshold_deg, wanted)
        if key not in self._known:
            self._known[key] = clip(self._where(threshold_deg, wanted=wanted), self.span)
        return self._known[key]

    def _where(self, threshold_deg: float, *, wanted: bool) -> tuple[Interval, ...]:
        found: list[Interval] = []
        start: datetime | None = None
        previous: tuple[datetime, bool] | None = None
        for time, elevation in self._nodes(threshold_deg):
            state = (elevation >= threshold_deg) == wanted
            if previous is None:
                start = time if state else None
            elif state != previous[1]:
                edge = self._crossing(previous[0], time, threshold_deg)
                if state:
                    start = edge
                elif start is not None:
                    if edge > start:
                        found.append(Interval(start, edge))
                    start = None
            previous = (time, state)
        if start is not None and start < self._times[-1]:
            found.append(Interval(start, self._times[-1]))
        return tuple(found)

    def _nodes(self, threshold_deg: float | None) -> Iterator[tuple[datetime, float]]:
        """Yield the samples, and between them the turning points near ``threshold_deg`` (None: all of them)."""
        times, values = self._times, self._elevations
        for index, (time, value) in enumerate(zip(times, values, strict=True)):
            yield time, value
            if 0 < index < len(times) - 2:
                continue_to = values[index + 1]
                rising, falling = value - values[index - 1], values[index + 2] - continue_to
                turns = (rising > 0 > falling) or (rising < 0 < falling)
                near = (
                    threshold_deg is None
                    or min(abs(value - threshold_deg), abs(continue_to - threshold_deg)) < _NEAR_DEG
                )
                if turns and near:
                    yield self._turning_point(time, times[index + 1], highest=rising > 0)

    def _turning_point(self, low: datetime, high: datetime, *, highest: bool) -> tuple[datetime, float]:
        """Return the highest or lowest point between two times, by thirds."""
        sign = 1.0 if highest else -1.0
        while high - low > 3 * _RESOLUTION:
            third = (high - low) / 3
            if sign * self.elevation_deg(low + third) < sign * self.elevation_deg(high - third):
                low += third
            else:
                high -= third
        middle = low + (high - low) / 2
        return middle, self.elevation_deg(middle)

    def _crossing(self, low: datetime, high: datetime, threshold_deg: float) -> datetime:
        """Return the first time after the crossing between two times, by halves."""
        before = self.elevation_deg(low) >= threshold_deg
        while high - low > _RESOLUTION:
            middle = low + (high - low) / 2
            if (self.elevation_deg(middle) >= threshold_deg) == before:
                low = middle
            else:
                high = middle
        return high


def _observer(latitude: float, longitude: float) -> Observer:
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise ValueError(f"latitude {latitude} and longitude {longitude} [degrees] are no place on Earth")
    return Observer(latitude, longitude, 0.0)
