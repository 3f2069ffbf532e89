"""What a station tells the world: alarms for everybody, and what its sites publish. Services for the supervisor."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from so2cam.core.site_station import Station
from so2cam.formats.sitefile import LoadedSite
from so2cam.pipeline.records import PairImages
from so2cam.station.alarms import AlarmService, NotificationService, alarms_of
from so2cam.station.alarms_source import AlarmSource
from so2cam.station.alarms_store import AlarmStore
from so2cam.station.context import StationContext, StationSite
from so2cam.station.keogram_service import KeogramService
from so2cam.station.notify import AppriseSender
from so2cam.station.public_page_files import PageService
from so2cam.station.public_page_source import PageSource
from so2cam.station.publish import PublicationService, PublicFolders, Publisher, rclone_of
from so2cam.station.publish_ledger import PublishLedger
from so2cam.station.services import Service
from so2cam.station.timelapse_service import TimelapseService


@dataclass(slots=True)
class Outward:
    """The services, and what is to be closed after they have stopped."""

    services: tuple[Service, ...]
    alarms: AlarmStore
    ledger: PublishLedger | None

    def close(self) -> None:
        """Close the files."""
        self.alarms.close()
        if self.ledger is not None:
            self.ledger.close()


@dataclass(frozen=True, slots=True)
class OutwardPaths:
    """Where things stand below a station's folder."""

    station: Path

    @property
    def alarms(self) -> Path:
        """Events and messages."""
        return self.station / "alarms.sqlite"

    @property
    def ledger(self) -> Path:
        """What was published."""
        return self.station / "publication.sqlite"

    @property
    def staging(self) -> Path:
        """Snapshots of files that are being sent."""
        return self.station / "public" / ".staging"

    def folders(self, site_folder: str) -> PublicFolders:
        """What can be published of a site; ``site_folder``: the name of its folder."""
        public = self.station / "public" / site_folder
        return PublicFolders(
            page=public / "page",
            images=public / "images",
            daily=self.station / "results" / site_folder,
            videos=public / "videos",
        )


def station_folder(loaded: LoadedSite, given: Path | None = None) -> Path:
    """Return the folder of the station of a site file: ``given``, or what the file says."""
    settings = loaded.site.station or Station()
    return given if given is not None else loaded.path.parent / settings.folder


def site_folder(name: str) -> str:
    """Return the name of a site's folder, as in ``results/``."""
    return name.strip().replace(" ", "-").lower()


def outward_services(context: StationContext) -> Outward:
    """Return the services of alarms and publication of a station's sites. Nothing is started yet.

    Raises So2camError where a setting cannot be used: apprise or rclone is not installed.
    """
    paths = OutwardPaths(context.folder)
    services: list[Service] = []
    ledger: PublishLedger | None = None
    began = datetime.now(UTC)
    with ExitStack() as undo:
        store = AlarmStore(paths.alarms)
        undo.callback(store.close)
        for site in context.sites:
            loaded = site.loaded
            services.append(AlarmService(loaded.site, store, AlarmSource(context, site, began).read))
            if alarms_of(loaded.site).targets:
                services.append(NotificationService(loaded.site, store, AppriseSender(loaded.path.parent)))
            if loaded.site.publication is None:
                continue
            services += _pictures(context, site, paths, store)
            rclone = rclone_of(loaded.site.publication, loaded.path.parent)
            for remote in loaded.site.publication.remotes:
                rclone.require()
                if ledger is None:
                    ledger = PublishLedger(paths.ledger)
                    undo.callback(ledger.close)
                folders = paths.folders(site.results.name)
                publisher = Publisher(rclone, ledger, paths.staging)
                services.append(PublicationService(publisher, remote, _always(folders), site=site.name))
        undo.pop_all()
    return Outward(tuple(services), store, ledger)


def _pictures(context: StationContext, site: StationSite, paths: OutwardPaths, store: AlarmStore) -> list[Service]:
    publication = site.loaded.site.publication
    folders = paths.folders(site.results.name)
    if publication is None or folders.page is None or folders.images is None or folders.videos is None:
        return []
    return [
        PageService(site.name, folders.page, publication.page, PageSource(context, site, store).read),
        KeogramService(site.loaded.site, folders.images, _newest_of(context, site.name)),
        TimelapseService(context, site, folders.videos),
    ]


def _newest_of(context: StationContext, site: str) -> Callable[[], PairImages | None]:
    return lambda: context.board.images(site)


def _always(folders: PublicFolders) -> Callable[[], PublicFolders]:
    return lambda: folders
