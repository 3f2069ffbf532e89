"""The guided first installation: which of its steps are done, told from what is really there.

Nothing is kept: who comes later, or loads the page anew, finds the installation where it stands.
"""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from so2cam.core.errors import FrameFileError
from so2cam.core.health import DeviceState, HealthRecord
from so2cam.core.site import Site
from so2cam.core.status import EmissionStatus
from so2cam.formats.sitefile import check_site
from so2cam.formats.starter import placeholders
from so2cam.station.arrivals import FRAME, SPECTRUM, Recogniser
from so2cam.station.catalogue import TOTAL, Rate
from so2cam.station.context import StationContext, StationSite
from so2cam.station.drafts import DraftState
from so2cam.station.nodes import Nodes
from so2cam.station.spectrometer_choice import spectrometer_stands

State = Literal["done", "todo", "warn"]
_TOO_DARK: Final = 0.1
_TOO_BRIGHT: Final = 0.95
_LOOK_BACK: Final = timedelta(days=30)
_MOST_CELLS: Final = 200
_ALL_DONE: Final = (
    "All steps are done, files arrive, and no alarm goes on. Look at a last test frame: if the plume is in it and "
    "sharp, close the case."
)
_CALIBRATED_BY: Final = {
    "cells": "gas cells",
    "joint": "gas cells and spectrometer",
    "spectrometer": "the spectrometer",
}
_CLOCKS: Final = {
    "gps": "set by satellites",
    "ntp": "set over the network",
    "synchronised": "synchronised",
    "free": "runs free, nothing sets it",
    "unset": "was never set",
}


@dataclass(frozen=True, slots=True)
class Archived:
    """How many frames of each kind and band, and spectra of each kind, the archive has of the last month."""

    on: Counter[str]
    off: Counter[str]
    spectra: Counter[str]
    cells: frozenset[float] = frozenset()
    """columns of the newest gas cells [ppm m]; 0 is the empty one"""

    def both(self, kind: str) -> int:
        """Return of how many frames of a kind both bands have at least so many."""
        return min(self.on[kind], self.off[kind])


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the steps are told from. ``saved``: versions of the site file; ``rate``: the newest valid total."""

    draft: DraftState
    versions: int
    nodes: tuple[tuple[str, bool, HealthRecord | None], ...]
    """(name, whether it is paired, its health)"""
    archived: Archived
    undelivered: int | None
    open_alarms: int
    rate: Rate | None
    live_message: str = ""

    @property
    def site(self) -> Site:
        """The site that the draft describes."""
        return self.draft.loaded.site

    @property
    def health(self) -> tuple[HealthRecord, ...]:
        """The health of the nodes that answer."""
        return tuple(health for _, _, health in self.nodes if health is not None)


@dataclass(frozen=True, slots=True)
class Step:
    """A step: its key and title, how it stands, and that in words."""

    key: str
    title: str
    state: State
    words: str


def gather(context: StationContext, site: StationSite, draft: DraftState, versions: int, nodes: Nodes) -> Facts:
    """Look at all that is there. Raises So2camError where catalogue or draft cannot be read."""
    looks = []
    for info in nodes.of_site(site):
        looks.append((info.name, info.paired, nodes.look(info.name).health if info.paired else None))
    shown = context.board.live(site.name)
    rates = context.catalogue.rates(site.name, line=TOTAL, newest=True, limit=200)
    known = [rate for rate in rates if rate.status == EmissionStatus.OK and rate.rate is not None]
    healths = [health for _, _, health in looks if health is not None]
    undelivered = [one.spool.undelivered for one in healths if one.spool.undelivered is not None]
    return Facts(
        draft,
        versions,
        tuple(looks),
        archived(context, site, {one.name: one.band for health in healths for one in health.devices if one.band}),
        sum(undelivered) if undelivered else None,
        sum(len(health.alarms) for health in healths),
        known[-1] if known else None,
        "" if shown is None else shown.message,
    )


def archived(context: StationContext, site: StationSite, bands: Mapping[str, str]) -> Archived:
    """Return what the archive of a site has of the last month. ``bands``: that of each camera, by its name."""
    since = datetime.now(UTC) - _LOOK_BACK
    counts = context.catalogue.subject_counts(site.name, start=since)
    found: dict[str, Counter[str]] = {"on": Counter(), "off": Counter()}
    spectra: Counter[str] = Counter()
    for (kind, subject, device), count in counts.items():
        if kind == SPECTRUM:
            spectra[subject] += count
        elif kind == FRAME:
            # A watched folder names the device by the band; a frame of both bands has none.
            band = bands.get(device, device.removeprefix("camera-"))
            for name in (band,) if band in found else ("on", "off") if device == "camera" else ():
                found[name][subject] += count
    return Archived(found["on"], found["off"], spectra, _cells(context, site, since))


def _cells(context: StationContext, site: StationSite, since: datetime) -> frozenset[float]:
    """Return the columns of the newest gas cells in the archive [ppm m]."""
    recogniser = Recogniser(site.loaded.site)
    found = set()
    for file in context.catalogue.find_files(
        site.name, kind=FRAME, subject="cell", start=since, newest=True, limit=_MOST_CELLS
    ):
        with contextlib.suppress(FrameFileError):
            infos = recogniser.infos(site.archive.path_of(file))
            found |= {info.cell_ppm_m for info in infos} if isinstance(infos, tuple) else set()
    return frozenset(column for column in found if column is not None)


def steps(facts: Facts) -> tuple[Step, ...]:
    """Return all steps of the installation as they stand."""
    return (*(look(facts) for look in _LOOKS), _leave(facts))


def _missing(facts: Facts, *starts: str) -> list[str]:
    """Return in words which placeholders of a table are left."""
    keys = [key for key, _ in placeholders(facts.site) if key.startswith(starts)]
    return [key.rpartition(".")[2].removesuffix("_m") for key in keys]


def _place(facts: Facts) -> Step:
    missing = _missing(facts, "volcano")
    volcano = facts.site.volcano
    words = (
        f"Still placeholders: {', '.join(missing)}."
        if missing
        else f"{volcano.name}, vent at {volcano.vent.latitude:.4f}, {volcano.vent.longitude:.4f}."
    )
    return Step("volcano", "Volcano", "todo" if missing else "done", words)


def _instrument(facts: Facts) -> Step:
    title = "Instrument"
    if not facts.nodes:
        return Step("instrument", title, "todo", "No instrument is paired with this station yet.")
    waiting = [name for name, paired, _ in facts.nodes if not paired]
    if waiting:
        return Step("instrument", title, "todo", f"Not paired yet: {', '.join(waiting)}.")
    silent = [name for name, _, health in facts.nodes if health is None]
    if silent:
        return Step("instrument", title, "warn", f"No answer from {', '.join(silent)}.")
    devices = [device for health in facts.health for device in health.devices]
    bands = {device.band for device in devices if device.role == "camera"}
    words = ", ".join(f"{device.name}" for device in devices)
    if not {"on", "off"} <= bands:
        return Step("instrument", title, "warn", f"Both bands are needed, an on and an off camera; there are: {words}.")
    return Step("instrument", title, "done", f"{len(facts.nodes)} paired, with {words}.")


def _clock(facts: Facts) -> Step:
    found = [(health.node, health.clock) for health in facts.health if health.clock is not None]
    if not found:
        return Step("clock", "Clock", "todo", "Known when the instrument answers.")
    words = "; ".join(f"{node}: {_CLOCKS[clock.quality]}" for node, clock in found)
    qualities = {clock.quality for _, clock in found}
    state: State = "done" if not qualities & {"free", "unset"} else "warn"
    return Step("clock", "Clock", state, f"{words}.")


def _frames(facts: Facts) -> Step:
    count, tests = min(facts.archived.on.total(), facts.archived.off.total()), facts.archived.both("test")
    title = "Test frames, aim, focus"
    if not count:
        return Step("frames", title, "todo", "No frames of both bands have come yet.")
    came = f"{count} frames of each band are in the archive"
    if not tests:  # nobody but a person knows whether they are aimed and in focus; test frames are taken by one
        return Step("frames", title, "todo", f"{came}. Aim, focus, and take a test frame.")
    return Step("frames", title, "done", f"{came}, {tests} of them test frames.")


def _exposure(facts: Facts) -> Step:
    title = "Exposure"
    cameras = [device for health in facts.health for device in health.devices if device.role == "camera"]
    known = [camera for camera in cameras if camera.signal_fraction is not None]
    if not known:
        return Step("exposure", title, "todo", "Known after the first frames.")
    words = []
    state: State = "done"
    for camera in known:
        fraction = camera.signal_fraction or 0.0
        verdict = "good"
        if fraction < _TOO_DARK or fraction > _TOO_BRIGHT:
            verdict = "too dark" if fraction < _TOO_DARK else "too bright"
            state = "warn"
        exposure = "" if camera.exposure_s is None else f" at {1e3 * camera.exposure_s:.3g} ms"
        words.append(f"{camera.name} {100 * fraction:.0f} % of full scale{exposure}: {verdict}")
    return Step("exposure", title, state, "; ".join(words) + ".")


def _registration(facts: Facts) -> Step:
    registration = facts.site.registration
    words = {
        "automatic": "Found in every run.",
        "control-points": "Through control points.",
        "matrix": "By the matrix in the site file.",
    }[registration.source]
    identity = registration.source == "matrix" and registration.matrix == ((1, 0, 0), (0, 1, 0))
    if identity:
        return Step("registration", "Registration", "todo", "The two cameras are taken as perfectly aligned.")
    return Step("registration", "Registration", "done", words)


def _geometry(facts: Facts) -> Step:
    title = "Place and viewing direction"
    if missing := _missing(facts, "camera.position"):
        return Step("geometry", title, "todo", f"Still placeholders: {', '.join(missing)}.")
    if _missing(facts, "camera.view"):
        return Step("geometry", title, "todo", "The viewing direction is a placeholder.")
    view, optics = facts.site.camera.view, facts.site.camera.optics
    risks = [risk for risk in check_site(facts.site) if risk.startswith("camera.view")]
    if risks:
        return Step("geometry", title, "warn", risks[0])
    by = "by a landmark" if view.landmark is not None else f"towards {view.azimuth_deg:g}°"
    lens = f"{1e3 * optics.focal_length_m:.3g} mm onto {optics.width_px} x {optics.height_px} pixels"
    return Step("geometry", title, "done", f"The camera looks {by}, through {lens}.")


def _spectrometer(facts: Facts) -> Step:
    devices = [device.name for health in facts.health for device in health.devices if device.role == "spectrometer"]
    known, words = spectrometer_stands(facts.draft, devices)
    return Step("spectrometer", "Spectrometer", "done" if known else "todo", words)


def _calibration(facts: Facts) -> Step:
    title = "Darks, clear sky, calibration"
    found, source = facts.archived, facts.site.processing.calibration.source
    missing = []
    if not found.both("dark"):
        missing.append("darks of both bands")
    if not found.both("clear"):
        missing.append("clear sky in both bands")
    if source in ("cells", "joint") and not found.both("cell"):
        missing.append("gas cells in both bands")
    elif source in ("cells", "joint") and not any(column > 0 for column in found.cells):
        missing.append("a gas cell that is not empty")
    if source in ("spectrometer", "joint") and facts.site.spectrometer is None:
        missing.append("a [spectrometer]")
    if source == "spectrometer" and not found.spectra["dark"]:
        missing.append("dark spectra")
    if missing:
        return Step("calibration", title, "todo", f"Missing: {', '.join(missing)}.")
    counts = f"{found.both('dark')} darks, {found.both('clear')} of clear sky"
    if source in ("cells", "joint"):
        counts += f", {found.both('cell')} of gas cells"
    return Step(
        "calibration", title, "done", f"Calibrated by {_CALIBRATED_BY.get(source, source)}: {counts} of each band."
    )


def _lines(facts: Facts) -> Step:
    title = "Background and lines"
    names = ", ".join(line.name for line in facts.site.lines)
    if _missing(facts, "lines.placeholder"):
        return Step("lines", title, "todo", "Draw a line across the plume: the one there is a placeholder.")
    return Step("lines", title, "done", f"{names}; background: {facts.site.processing.background.mode}.")


def _save(facts: Facts) -> Step:
    title = "Check and save"
    if facts.draft.problem is not None:
        return Step("save", title, "warn", facts.draft.problem.message)
    if facts.draft.changed:
        count = len(facts.draft.edits)
        return Step("save", title, "todo", f"{count} change{' is' if count == 1 else 's are'} not saved.")
    left = [key for key, _ in placeholders(facts.site)]
    if left:
        return Step("save", title, "todo", f"Saved, but still placeholders: {', '.join(left)}.")
    return Step("save", title, "done", f"Saved as version {facts.versions}.")


def _schedule(facts: Facts) -> Step:
    if not facts.health:
        return Step("schedule", "Schedule", "todo", "Known when the instrument answers.")
    changes = [health.next_change for health in facts.health if health.next_change is not None]
    if changes:
        return Step("schedule", "Schedule", "done", f"The next change is at {min(changes):%Y-%m-%d %H:%M} UTC.")
    return Step("schedule", "Schedule", "warn", "Without a schedule it captures day and night.")


def _start(facts: Facts) -> Step:
    cameras = [device for health in facts.health for device in health.devices if device.role == "camera"]
    busy = [camera for camera in cameras if camera.state is DeviceState.CAPTURING and camera.kind == "plume"]
    if cameras and len(busy) == len(cameras):
        return Step("start", "Start", "done", "All cameras capture.")
    return Step("start", "Start", "todo", f"{len(busy)} of {len(cameras)} cameras capture." if cameras else "Not yet.")


def _rate(facts: Facts) -> Step:
    title = "First emission rate"
    rate = facts.rate
    if rate is None or rate.rate is None:
        waits = f" Processing waits: {facts.live_message}." if facts.live_message else ""
        return Step("rate", title, "todo", f"None yet.{waits}")
    sigma = ((rate.random or 0.0) ** 2 + (rate.systematic or 0.0) ** 2) ** 0.5
    return Step("rate", title, "done", f"{rate.rate:.2f} ± {sigma:.2f} kg/s at {rate.time:%H:%M:%S} UTC.")


def _leave(facts: Facts) -> Step:
    title = "Safe to leave"
    found = [look(facts) for look in _LOOKS]
    open_steps = [step.title for step in found if step.state == "todo"]
    doubts = [f"{step.title}: {step.words.rstrip('.')}" for step in found if step.state == "warn"]
    if facts.undelivered is None:
        doubts.append("what is not fetched yet is not known")
    elif facts.undelivered > 200:
        doubts.append(f"{facts.undelivered} items are not fetched yet")
    if facts.open_alarms:
        doubts.append(f"{facts.open_alarms} alarms go on at the instrument")
    for health in facts.health:
        absent = [disk.name for disk in health.disks if not disk.present]
        if absent:
            doubts.append(f"no disk: {', '.join(absent)}")
        if health.spool.error:
            doubts.append(health.spool.error)
    if open_steps:
        return Step("leave", title, "todo", f"Still to do: {', '.join(open_steps)}.")
    if doubts:
        return Step("leave", title, "warn", "; ".join(doubts) + ".")
    return Step("leave", title, "done", _ALL_DONE)


_LOOKS: Final = (
    _place,
    _instrument,
    _clock,
    _frames,
    _exposure,
    _registration,
    _geometry,
    _spectrometer,
    _calibration,
    _lines,
    _save,
    _schedule,
    _start,
    _rate,
)
"""All steps but the last, in order."""


def first_open(found: Sequence[Step]) -> str:
    """Return the key of the first step that is not done; the last one where all are."""
    return next((step.key for step in found if step.state == "todo"), found[-1].key)
