"""Emission rates of a time for a plot: every line, the total and the trial lines, in equal steps of time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from so2cam.core.status import STATUS_TEXT, EmissionStatus
from so2cam.station.catalogue import TOTAL, Rate
from so2cam.station.catalogue_trends import TrendStep
from so2cam.station.context import StationContext, StationSite
from so2cam.station.trial import TrialLines
from so2cam.store.items import to_microseconds

MOST_STEPS: Final = 2000
_NICE_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)


@dataclass(frozen=True, slots=True)
class Span:
    """A time, in steps, by a speed method."""

    start: datetime
    end: datetime
    step_s: float
    method: str


def step_for(seconds: float) -> float:
    """Return the step [s] in which a time of this length is drawn: at most ``MOST_STEPS`` of them."""
    return next((float(step) for step in _NICE_S if seconds / step <= MOST_STEPS), seconds / MOST_STEPS)


def trend_of(context: StationContext, site: StationSite, trials: TrialLines | None, span: Span) -> dict[str, Any]:
    """Return the series of a time as plain lists, for JSON. Raises CatalogueError.

    Each series has ``line``, ``trial`` and lists: ``t`` [ms since 1970], ``rate`` and ``sigma`` [kg/s], ``amount``
    [kg/m], ``speed`` [m/s], ``direction`` [degree], ``n`` pairs, ``valid`` ones, ``status`` of the missing ones.
    """
    names = [line.name for line in site.loaded.site.lines]
    series = []
    for name in (TOTAL, *names) if len(names) > 1 else names:
        steps = context.catalogue.trend(
            site.name, name, span.method, start=span.start, end=span.end, step_s=span.step_s
        )
        series.append(_series(name, steps, trial=False))
    for trial in () if trials is None else trials.trials():
        rates = trials.rates(trial.of, method=span.method) if trials is not None else ()
        inside = [rate for rate in rates if span.start <= rate.time < span.end]
        series.append(_series(trial.name, list(steps_of(inside, span.step_s)), trial=True))
    met = {status for one in series for status in one["status"]} - {0}
    return {
        "step_s": span.step_s,
        "method": span.method,
        "series": series,
        "why": {int(status): STATUS_TEXT[EmissionStatus(status)] for status in sorted(met)},
    }


def steps_of(rates: Sequence[Rate], step_s: float) -> Iterable[TrendStep]:
    """Yield rates, in order of time, in steps as ``Catalogue.trend`` makes them."""
    step_us = max(1, round(step_s * 1e6))
    for _, group in groupby(rates, lambda rate: to_microseconds(rate.time) // step_us):
        inside = list(group)
        valid = [rate for rate in inside if rate.rate is not None]
        missing = [rate for rate in inside if rate.status != 0]
        values = [rate.rate for rate in valid if rate.rate is not None]
        variance = _mean([(rate.random or 0.0) ** 2 + (rate.systematic or 0.0) ** 2 for rate in valid])
        yield TrendStep(
            sum(to_microseconds(rate.time) for rate in inside) // len(inside) // 1000,
            len(inside),
            len(valid),
            _mean(values),
            min(values, default=None),
            max(values, default=None),
            None if variance is None else variance**0.5,
            _mean([rate.amount for rate in inside if rate.amount is not None]),
            _mean([rate.speed for rate in inside if rate.speed is not None]),
            inside[-1].direction,
            missing[-1].status if missing else 0,
        )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _series(line: str, steps: Sequence[TrendStep], *, trial: bool) -> dict[str, Any]:
    columns: Mapping[str, list[Any]] = {
        "t": [step.time_ms for step in steps],
        "rate": [_short(step.rate) for step in steps],
        "sigma": [_short(step.sigma) for step in steps],
        "amount": [_short(step.amount) for step in steps],
        "speed": [_short(step.speed) for step in steps],
        "direction": [_short(step.direction) for step in steps],
        "n": [step.pairs for step in steps],
        "valid": [step.valid for step in steps],
        "status": [step.status for step in steps],
    }
    return {"line": line, "trial": trial, **columns}


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
