"""What the pages of one station work with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nicegui import Client

from so2cam.station.alarms_store import AlarmStore, Event
from so2cam.station.calibration_study import CalibrationStudies
from so2cam.station.context import StationContext, StationSite
from so2cam.station.drafts import SiteDraft
from so2cam.station.live_images import LiveImages
from so2cam.station.live_spectrum import LiveSpectrum
from so2cam.station.nodes import Nodes
from so2cam.station.runs import Runs
from so2cam.station.services import ServiceState
from so2cam.station.setup_frames import SetupFrames
from so2cam.station.spectrum_fits import SpectrumFits
from so2cam.station.trial import TrialLines
from so2cam.web.session import Door, Visitor
from so2cam.web.shared import Notices, SharedValues
from so2cam.web.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Pages:
    """The station behind the pages, who may come in, and what all who look share."""

    context: StationContext
    services: Callable[[], Sequence[ServiceState]]
    door: Door
    alarms: AlarmStore
    images: Mapping[str, LiveImages]
    spectra: Mapping[str, LiveSpectrum]
    trials: Mapping[str, TrialLines]
    nodes: Nodes
    drafts: Mapping[str, SiteDraft]
    setup_frames: Mapping[str, SetupFrames]
    runs: Runs
    restart: Callable[[], None] | None = None
    """tells the station to take up its site files anew; None where it cannot"""
    spectrum_fits: dict[str, SpectrumFits] = field(default_factory=dict)
    """by site, as they are first asked for"""
    studies: dict[str, CalibrationStudies] = field(default_factory=dict)
    """calibrations for who sets a site up, by site; made when first asked for"""
    shelf: Shelf = field(default_factory=Shelf)
    values: SharedValues = field(default_factory=SharedValues)
    notices: Notices = field(default_factory=Notices)

    def site(self, name: str | None) -> StationSite:
        """Return the site of this name; the first where there is none of it."""
        for site in self.context.sites:
            if site.name == name:
                return site
        return self.context.sites[0]

    def fits(self, site: StationSite) -> SpectrumFits:
        """Return the archived spectra of a site with their fits."""
        return self.spectrum_fits.setdefault(site.name, SpectrumFits(self.context, site))

    def study(self, name: str) -> CalibrationStudies:
        """Return what works out calibrations for who sets a site up."""
        if name not in self.studies:
            self.studies[name] = CalibrationStudies(self.context, self.site(name), self.setup_frames[name])
        return self.studies[name]

    def open_events(self, site: str) -> list[Event]:
        """Return the alarms of a site that go on. Raises So2camError where the file cannot be read."""
        return self.alarms.events(site, open_only=True)

    def note(self, visitor: Visitor, action: str, detail: dict[str, Any] | None = None, outcome: str = "done") -> None:
        """Write down what somebody did, where the station keeps such an account."""
        if self.door.access is not None:
            self.door.access.note(visitor.principal, visitor.peer, action, detail, outcome)

    def close(self) -> None:
        """Let go of the alarms' file, and of the links to nodes."""
        for client in list(Client.instances.values()):
            client.delete()  # browsers load their pages anew: those of the station that takes this one's place
        self.nodes.close()
        self.alarms.close()
