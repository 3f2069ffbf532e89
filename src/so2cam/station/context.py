"""What the services of a station share: its sites, the catalogue, and the newest of what passes."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from so2cam.core.errors import InputError
from so2cam.core.site_station import Station, WatchedFolder
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.link.transfer import TransferStatus
from so2cam.pipeline.records import PairImages
from so2cam.station.archive import Archive
from so2cam.station.calibration_view import CalibrationView
from so2cam.station.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class LiveState:
    """How far the live processing of a site is."""

    state: str
    """``waiting`` (for calibration frames; ``message`` says what is missing), ``replaying`` or ``live``"""
    message: str = ""
    day: str = ""
    until: datetime | None = None
    frames: int = 0
    pairs: int = 0
    late: int = 0
    left_out: int = 0


class Board:
    """The newest images and states, for whoever asks. Safe for threads; nothing on it outlives the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._images: dict[str, PairImages] = {}
        self._live: dict[str, LiveState] = {}
        self._new_files = threading.Condition(self._lock)
        self._new_images = threading.Condition(self._lock)
        self._arrivals = 0
        self._shown: dict[str, int] = {}
        self._calibrations: dict[str, CalibrationView] = {}
        self._links: dict[str, dict[str, Callable[[], TransferStatus]]] = {}

    def show_images(self, site: str, images: PairImages) -> None:
        """Put up the images of the newest pair of a site."""
        with self._new_images:
            self._images[site] = images
            self._shown[site] = self._shown.get(site, 0) + 1
            self._new_images.notify_all()

    def images(self, site: str) -> PairImages | None:
        """Return the images of the newest pair of a site, if there was one since the start."""
        with self._lock:
            return self._images.get(site)

    def images_number(self, site: str) -> int:
        """Return how many images were put up for a site: another number, other images."""
        with self._lock:
            return self._shown.get(site, 0)

    def wait_images(self, site: str, seen: int, timeout_s: float) -> int:
        """Wait until the number of a site's images is not ``seen``, at most ``timeout_s``; return it."""
        with self._new_images:
            self._new_images.wait_for(lambda: self._shown.get(site, 0) != seen, timeout_s)
            return self._shown.get(site, 0)

    def show_calibration(self, site: str, view: CalibrationView) -> None:
        """Put up the calibration of a site's live run."""
        with self._lock:
            self._calibrations[site] = view

    def calibration(self, site: str) -> CalibrationView | None:
        """Return the calibration of a site's live run, if there is one."""
        with self._lock:
            return self._calibrations.get(site)

    @property
    def arrivals(self) -> int:
        """How many files came into the archives since the start."""
        with self._lock:
            return self._arrivals

    def show_live(self, site: str, state: LiveState) -> None:
        """Put up how far the live processing of a site is."""
        with self._lock:
            self._live[site] = state

    def live(self, site: str) -> LiveState | None:
        """Return how far the live processing of a site is."""
        with self._lock:
            return self._live.get(site)

    def announce(self) -> None:
        """Say that a file came into the archive."""
        with self._new_files:
            self._arrivals += 1
            self._new_files.notify_all()

    def wait_arrival(self, seen: int, timeout_s: float) -> int:
        """Wait until more than ``seen`` files were announced, at most ``timeout_s``; return how many were."""
        with self._new_files:
            self._new_files.wait_for(lambda: self._arrivals != seen, timeout_s)
            return self._arrivals

    def add_link(self, site: str, node: str, status: Callable[[], TransferStatus]) -> None:
        """Put up who can say how the fetching from a node of a site goes."""
        with self._lock:
            self._links.setdefault(site, {})[node] = status

    def links(self, site: str) -> dict[str, TransferStatus]:
        """Return how the fetching from each node of a site goes."""
        with self._lock:
            asked = dict(self._links.get(site, {}))
        return {node: status() for node, status in asked.items()}


@dataclass(frozen=True, slots=True)
class StationSite:
    """One site of a station: its settings, archive, and folder of results."""

    loaded: LoadedSite
    archive: Archive
    results: Path

    @property
    def name(self) -> str:
        """The site's name."""
        return self.loaded.site.name

    @property
    def settings(self) -> Station:
        """The station's settings in this site's file; the defaults where it has none."""
        return self.loaded.site.station or Station()


@dataclass(frozen=True, slots=True)
class StationContext:
    """All that services work with. The settings of the station itself are those of the first site."""

    folder: Path
    settings: Station
    catalogue: Catalogue
    sites: tuple[StationSite, ...]
    board: Board = field(default_factory=Board)
    trouble: str = ""
    """why the station does not run with the site files as they are saved"""

    def site(self, name: str) -> StationSite:
        """Return a site by its name. Raises KeyError."""
        for site in self.sites:
            if site.name == name:
                return site
        raise KeyError(name)

    def close(self) -> None:
        """Close the archives and the catalogue."""
        for site in self.sites:
            site.archive.close()
        self.catalogue.close()


def open_station(
    paths: Sequence[Path], *, folder: Path | None = None, watch: tuple[WatchedFolder, ...] | None = None
) -> StationContext:
    """Open (and make where missing) the station of these site files; see ``open_loaded``."""
    return open_loaded([load_site(path) for path in paths], folder=folder, watch=watch)


def open_loaded(
    sites: Sequence[LoadedSite],
    *,
    folder: Path | None = None,
    watch: tuple[WatchedFolder, ...] | None = None,
    trouble: str = "",
) -> StationContext:
    """Open (and make where missing) the station of these sites.

    ``folder`` and ``watch`` go before ``station.folder`` and ``station.watch``.
    Raises So2camError where a site file is wrong, two sites have one name or one folder, or archive or catalogue cannot
    be opened.
    """
    loaded = [_with_watch(one, watch) for one in sites]
    folders = [_folder_name(one.site.name) for one in loaded]
    for one, name in zip(loaded, folders, strict=True):
        if folders.count(name) > 1:
            raise InputError(
                f"two site files have one name; both would be kept in archive/{name}",
                file=one.path,
                key="name",
                value=one.site.name,
                remedy="give each site its own name",
            )
    settings = loaded[0].site.station or Station()
    root = folder if folder is not None else loaded[0].path.parent / settings.folder
    catalogue = Catalogue.open(settings.catalogue, root)
    opened = tuple(
        StationSite(
            one,
            Archive(root / "archive" / _folder_name(one.site.name), catalogue, one.site.name),
            root / "results" / _folder_name(one.site.name),
        )
        for one in loaded
    )
    return StationContext(root, settings, catalogue, opened, trouble=trouble)


def _with_watch(loaded: LoadedSite, watch: tuple[WatchedFolder, ...] | None) -> LoadedSite:
    if watch is None:
        return loaded
    station = (loaded.site.station or Station()).model_copy(update={"watch": watch})
    return replace(loaded, site=loaded.site.model_copy(update={"station": station}))


def _folder_name(name: str) -> str:
    """Return a site's name as the name of a folder."""
    return name.strip().replace(" ", "-").lower()
