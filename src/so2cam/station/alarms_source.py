"""What the alarm rules of a site look at, read from the station: catalogue, disks."""

import shutil
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from pydantic import ValidationError

from so2cam.core.health import DiskHealth, HealthRecord
from so2cam.core.site_alarms import DataSource, EmissionRateRule, RateOfChangeRule
from so2cam.core.status import EmissionStatus
from so2cam.core.times import to_unix_s
from so2cam.station.alarms import expected_since, rules_of
from so2cam.station.alarms_observation import Observation, RateSeries
from so2cam.station.catalogue_records import TOTAL
from so2cam.station.context import StationContext, StationSite

_LOOK_BACK: Final = timedelta(days=3)
_RESULTS: Final = (50, 100_000)


class AlarmSource:
    """Reads what is known of one site. Raises CatalogueError where the catalogue refuses."""

    def __init__(self, context: StationContext, site: StationSite, since: datetime) -> None:
        """``since``: when the station began to watch."""
        self._context, self._station_site, self._since = context, site, since
        self._site = site.loaded.site
        spans: dict[str, float] = {}
        for rule in rules_of(self._site):
            if isinstance(rule, EmissionRateRule | RateOfChangeRule):
                span = rule.average_s if isinstance(rule, EmissionRateRule) else 2 * rule.window_s
                spans[rule.line] = max(spans.get(rule.line, 0.0), span + rule.maximum_age_s)
        self._spans = spans

    def read(self, now: datetime) -> Observation:
        """Return what is known at ``now``."""
        health = self._health()
        return Observation(
            time=now,
            since=self._since,
            rates=self._rates(now),
            newest=self._newest(now, health),
            expected_since=expected_since(self._site, now),
            health=health,
            disks=self._disks(),
        )

    def _rates(self, now: datetime) -> dict[tuple[str, str], RateSeries]:
        found: dict[tuple[str, str], RateSeries] = {}
        for line, span in self._spans.items():
            for method in self._site.processing.speed.methods:
                start = now - timedelta(seconds=span)
                entered = self._context.catalogue.rates(self._site.name, start=start, line=line, method=method)
                rates = [rate for rate in entered if rate.status != EmissionStatus.PENDING]
                found[line, method] = RateSeries(
                    np.array([to_unix_s(rate.time) for rate in rates], np.float64),
                    np.array([np.nan if rate.rate is None else rate.rate for rate in rates], np.float64),
                )
        return found

    def _newest(self, now: datetime, health: dict[str, HealthRecord]) -> dict[DataSource, datetime]:
        newest: dict[DataSource, datetime] = {}
        catalogue, name = self._context.catalogue, self._site.name
        sources: tuple[tuple[DataSource, str], ...] = (("frames", "frame"), ("spectra", "spectrum"))
        for source, kind in sources:
            files = catalogue.find_files(name, kind=kind, start=now - _LOOK_BACK, newest=True, limit=1)
            if files:
                newest[source] = files[-1].time
        # A few first: most often the newest is valid, and the table is long.
        for limit in _RESULTS:
            rates = catalogue.rates(name, start=now - _LOOK_BACK, line=TOTAL, newest=True, limit=limit)
            valid = [rate.time for rate in rates if rate.rate is not None]
            if valid:
                newest["results"] = valid[-1]
                break
        if health:
            newest["health"] = max(record.time for record in health.values())
        return newest

    def _health(self) -> dict[str, HealthRecord]:
        found = {}
        for node, (_, text) in self._context.catalogue.latest_health(self._site.name).items():
            try:
                found[node] = HealthRecord.model_validate_json(text)
            except ValidationError:
                continue  # of an instrument with another version: no news, and that is an alarm in time
        return found

    def _disks(self) -> tuple[DiskHealth, ...]:
        folder = self._context.folder
        try:
            usage = shutil.disk_usage(folder)
        except OSError as error:
            return (DiskHealth(name="archive", path=str(folder), present=False, note=str(error.strerror)),)
        return (
            DiskHealth(name="archive", path=str(folder), present=True, free_bytes=usage.free, total_bytes=usage.total),
        )
