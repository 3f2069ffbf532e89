"""How a site is at this moment, read from the catalogue and the board: what a person sees first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import ValidationError

from so2cam.core.health import HealthRecord
from so2cam.core.status import QUALITY_TEXT, QualityFlag
from so2cam.station.arrivals import FRAME, SPECTRUM
from so2cam.station.catalogue import ColumnRow, Rate
from so2cam.station.context import LiveState, StationContext, StationSite
from so2cam.station.services import ServiceState

_COLUMNS: Final = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class LiveLook:
    """A site at ``time``: newest emission rates with what is to be known of them, columns, files, nodes, services."""

    time: datetime
    rates: tuple[Rate, ...]
    flags: tuple[str, ...]
    column: ColumnRow | None
    frame: datetime | None
    spectrum: datetime | None
    live: LiveState | None
    nodes: tuple[HealthRecord, ...]
    not_running: tuple[ServiceState, ...]

    def rate(self, line: str, method: str) -> Rate | None:
        """Return the newest emission rate of a line by a speed method."""
        return next((rate for rate in self.rates if (rate.line, rate.method) == (line, method)), None)


def look_at(context: StationContext, site: StationSite, services: Sequence[ServiceState]) -> LiveLook:
    """Return how a site is now. Raises CatalogueError where the catalogue refuses."""
    catalogue, now = context.catalogue, datetime.now(UTC)
    rates = tuple(catalogue.latest_rates(site.name))
    flags = QualityFlag.NONE
    if rates:
        moment = rates[0].time
        for row in catalogue.pairs(site.name, start=moment, end=moment + timedelta(microseconds=1)):
            flags |= QualityFlag(row.flags)
    columns = catalogue.columns(site.name, start=now - _COLUMNS, end=now + timedelta(days=1), newest=True, limit=1)
    own = site.name.replace(" ", "-")
    return LiveLook(
        now,
        rates,
        tuple(text for flag, text in QUALITY_TEXT.items() if flag & flags),
        columns[-1] if columns else None,
        _newest(context, site, FRAME),
        _newest(context, site, SPECTRUM),
        context.board.live(site.name),
        tuple(_nodes(context, site)),
        tuple(
            state
            for state in services
            if state.state not in ("running", "waiting") and (own in state.name or "/" not in state.name)
        ),
    )


def _newest(context: StationContext, site: StationSite, kind: str) -> datetime | None:
    files = context.catalogue.find_files(site.name, kind=kind, subject="plume", newest=True, limit=1)
    return files[-1].time if files else None


def _nodes(context: StationContext, site: StationSite) -> Sequence[HealthRecord]:
    found = []
    for _, (_, text) in sorted(context.catalogue.latest_health(site.name).items()):
        try:
            found.append(HealthRecord.model_validate_json(text))
        except ValidationError:
            continue  # of an instrument with another version
    return found
