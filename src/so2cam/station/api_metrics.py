"""The station's figures in the text format of Prometheus."""

import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from so2cam.station.context import StationContext
from so2cam.station.services import ServiceState


class _Figures(Collector):
    def __init__(self, context: StationContext, services: Sequence[ServiceState]) -> None:
        self._context, self._services = context, services

    def collect(self) -> Iterable[Metric]:
        free = GaugeMetricFamily("so2cam_station_free_bytes", "Free on the disk of the station.")
        free.add_metric([], shutil.disk_usage(self._context.folder).free)
        running = GaugeMetricFamily("so2cam_service_running", "1 where a service runs.", labels=["service"])
        failures = GaugeMetricFamily("so2cam_service_failures", "Failures since the start.", labels=["service"])
        for state in self._services:
            running.add_metric([state.name], float(state.state == "running"))
            failures.add_metric([state.name], state.failures)
        yield from (free, running, failures)
        yield from self._site_figures()

    def _site_figures(self) -> Iterable[Metric]:
        catalogue, now = self._context.catalogue, datetime.now(UTC)
        files = GaugeMetricFamily("so2cam_archive_files", "Files in the archive.", labels=["site", "kind", "state"])
        size = GaugeMetricFamily("so2cam_archive_bytes", "Their size.", labels=["site", "kind", "state"])
        rate = GaugeMetricFamily(
            "so2cam_emission_rate_kg_s", "Newest valid emission rate.", labels=["site", "line", "speed_method"]
        )
        age = GaugeMetricFamily("so2cam_emission_rate_age_s", "Its age.", labels=["site", "line", "speed_method"])
        frame_age = GaugeMetricFamily("so2cam_newest_frame_age_s", "Age of the newest plume frame.", labels=["site"])
        live = GaugeMetricFamily("so2cam_live", "1 where live processing is up to date.", labels=["site"])
        pairs = GaugeMetricFamily("so2cam_live_pairs", "Pairs of the day's live run.", labels=["site"])
        late = GaugeMetricFamily("so2cam_live_late_files", "Files that came too late for it.", labels=["site"])
        stale = GaugeMetricFamily("so2cam_stale_days", "Days that wait to be calculated again.", labels=["site"])
        for site in self._context.sites:
            for (kind, state), (count, total) in sorted(catalogue.file_counts(site.name).items()):
                files.add_metric([site.name, kind, state], count)
                size.add_metric([site.name, kind, state], total)
            for one in catalogue.latest_rates(site.name, valid=True):
                if one.rate is not None:
                    rate.add_metric([site.name, one.line, one.method], one.rate)
                    age.add_metric([site.name, one.line, one.method], (now - one.time).total_seconds())
            newest = catalogue.find_files(site.name, kind="frame", subject="plume", newest=True, limit=1)
            if newest:
                frame_age.add_metric([site.name], (now - newest[0].time).total_seconds())
            shown = self._context.board.live(site.name)
            live.add_metric([site.name], float(shown is not None and shown.state == "live"))
            if shown is not None:
                pairs.add_metric([site.name], shown.pairs)
                late.add_metric([site.name], shown.late)
            stale.add_metric([site.name], len(catalogue.days(site.name, stale=True)))
        yield from (files, size, rate, age, frame_age, live, pairs, late, stale)


def metrics_text(context: StationContext, services: Sequence[ServiceState]) -> bytes:
    """Return all figures as they are now."""
    collectors = CollectorRegistry()
    collectors.register(_Figures(context, services))
    return generate_latest(collectors)
