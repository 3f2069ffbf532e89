"""Which services a station has: put together from its settings."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from so2cam.station.access import Access
from so2cam.station.alarms_store import AlarmStore
from so2cam.station.api_server import ApiServer
from so2cam.station.context import StationContext
from so2cam.station.daily import DailyFiles
from so2cam.station.link_ingest import LinkIngest
from so2cam.station.live import LiveProcessing
from so2cam.station.nodes import Nodes
from so2cam.station.recalculate import Recalculation
from so2cam.station.runs import Runs
from so2cam.station.services import Service, ServiceState, Supervisor
from so2cam.station.watch import FolderWatcher

if TYPE_CHECKING:
    from so2cam.station.api_server import Mount


@dataclass(slots=True)
class Assembly:
    """The services of a station and what holds them."""

    context: StationContext
    supervisor: Supervisor
    api: ApiServer | None
    watchers: tuple[FolderWatcher, ...]
    link: LinkIngest | None
    nodes: Nodes
    runs: Runs

    @property
    def access(self) -> Access | None:
        """Who may ask; None without the interface."""
        return None if self.api is None else self.api.access

    def stop(self) -> None:
        """Stop all services and let go of the address. Stopping again does nothing."""
        self.supervisor.stop()
        self.nodes.close()
        if self.api is not None:
            self.api.close()
            self.api.access.close()


def assemble_station(
    context: StationContext,
    *,
    api: bool = True,
    link: bool = True,
    others: Sequence[Service] = (),
    alarms: AlarmStore | None = None,
    mount: "Mount | None" = None,
) -> Assembly:
    """Put the services of a station together; ``others`` run beside them. Nothing is started yet.

    ``alarms`` are told over the interface too; ``mount`` puts pages into its application.
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
    runs = Runs(context)
    services += [DailyFiles(context), runs]
    ingest = LinkIngest(context) if link else None
    if ingest is not None:
        services.append(ingest)
    server = None
    nodes = Nodes(context, ingest)
    with ExitStack() as undo:
        if api:
            access = Access.of_station(context.folder)
            undo.callback(access.close)
            server = ApiServer(context, states, access, alarms=alarms, mount=mount, nodes=nodes, runs=runs)
            undo.callback(server.close)
            services.append(server)
        supervisor = Supervisor([*services, *others])
        undo.pop_all()
    return Assembly(context, supervisor, server, tuple(watchers), ingest, nodes, runs)
