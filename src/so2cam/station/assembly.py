"""Which services a station has: put together from its settings."""

from collections.abc import Sequence
from dataclasses import dataclass

from so2cam.station.api_server import ApiServer
from so2cam.station.context import StationContext
from so2cam.station.daily import DailyFiles
from so2cam.station.link_ingest import LinkIngest
from so2cam.station.live import LiveProcessing
from so2cam.station.recalculate import Recalculation
from so2cam.station.services import Service, ServiceState, Supervisor
from so2cam.station.watch import FolderWatcher


@dataclass(slots=True)
class Assembly:
    """The services of a station and what holds them."""

    context: StationContext
    supervisor: Supervisor
    api: ApiServer | None
    watchers: tuple[FolderWatcher, ...]
    link: LinkIngest | None

    def stop(self) -> None:
        """Stop all services and let go of the address. Stopping again does nothing."""
        self.supervisor.stop()
        if self.api is not None:
            self.api.close()


def assemble_station(
    context: StationContext, *, api: bool = True, link: bool = True, others: Sequence[Service] = ()
) -> Assembly:
    """Put the services of a station together; ``others`` run beside them. Nothing is started yet.

    Raises So2camError where the address of the API is taken, or a setting cannot be used.
    """
    supervisor: Supervisor | None = None

    def states() -> Sequence[ServiceState]:
        return () if supervisor is None else supervisor.states()

    watchers: list[FolderWatcher] = []
    services: list[Service] = []
    for site in context.sites:
        watchers += [FolderWatcher(context, site, watched) for watched in site.settings.watch]
        if site.settings.live:
            services += [LiveProcessing(context, site), Recalculation(context, site)]
    services += watchers
    services.append(DailyFiles(context))
    ingest = LinkIngest(context) if link else None
    if ingest is not None:
        services.append(ingest)
    server = ApiServer(context, states) if api else None
    if server is not None:
        services.append(server)
    supervisor = Supervisor([*services, *others])
    return Assembly(context, supervisor, server, tuple(watchers), ingest)
