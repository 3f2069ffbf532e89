"""The health page: how the instrument and the station are, now and over time."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Final
from urllib.parse import urlencode

from nicegui import ui
from pydantic import ValidationError

from so2cam.core.errors import So2camError
from so2cam.core.health import HealthRecord
from so2cam.link.protocol import Role
from so2cam.link.transfer import TransferStatus
from so2cam.station.access import Access
from so2cam.station.catalogue_health import Growth, archive_growth
from so2cam.web import health_words as words
from so2cam.web import shell
from so2cam.web.health_trends import RANGES
from so2cam.web.health_versions import draw_versions
from so2cam.web.parts import MISSING, Ago, Chip, Choice, Tile, empty, error, panel
from so2cam.web.props import put_props
from so2cam.web.registry import page
from so2cam.web.tables import count, duration, size
from so2cam.web.view import View

_DAY: Final = timedelta(days=1)
_AUDIT: Final = 100
_DAYS_WARN, _DAYS_BAD = 14.0, 3.0
_TILES: Final[tuple[tuple[str, str, str, str, Callable[[HealthRecord], words.Figure]], ...]] = (
    ("Supply", "V", "supply", "What feeds the instrument: the battery, or the mains adapter.", words.supply),
    ("Warmest", "°C", "warmest", "The highest temperature of the computer and the devices.", words.warmest),
    ("Free on the instrument", "%", "free", "Free space on its fullest disk.", words.fullest),
    ("Clock is right within", "ms", "clock", "How far the instrument's clock can be wrong.", words.clock),
    ("Waiting to come", "files", "waiting", "Kept by the instrument, not here yet.", words.waiting),
)


@page(
    "/health",
    title="Health",
    nav="Health",
    keys="g h",
    order=60,
    hint="How the instrument and the station are",
    about=(
        "This page tells whether instrument and station are well: power, temperature, clock, disks, links and "
        "services. Trends go back 1 hour to 7 days, with the limits of the alarm rules drawn in. Admins also "
        "see who changed what."
    ),
    docs="web-health",
)
async def health(view: View) -> None:
    """Show state, trends, link, storage, services, and the account of changes."""
    ui.add_head_html(f'<link rel="stylesheet" href="{shell.asset_url("health.css")}">')
    ui.add_head_html(f'<script type="module" src="{shell.asset_url("trends.js")}"></script>')
    nodes = await view.shared("health-nodes", 10.0, lambda: _nodes(view))
    node = view.query.get("node", "")
    _State(view, nodes, node if node in nodes else nodes[0] if nodes else "").draw()
    with ui.element("div").classes("so-columns"):
        with ui.element("div").classes("so-stack"):
            _links(view, nodes)
            _storage(view)
            draw_versions(view, nodes)
        _services(view)
    access = view.pages.door.access
    if isinstance(access, Access) and view.may(Role.ADMIN):
        _audit(view, access)


def _nodes(view: View) -> list[str]:
    known = set(view.context.catalogue.latest_health(view.site.name)) | set(view.context.board.links(view.site.name))
    instrument = view.site.loaded.site.instrument
    named = [] if instrument is None else [node.name for node in instrument.nodes]
    return [*named, *sorted(known - set(named))]


# --- the instrument ----------------------------------------------------------------------------------------------


class _State:
    """The newest health of one node, and its trends."""

    def __init__(self, view: View, nodes: list[str], node: str) -> None:
        self._view, self._nodes, self._node = view, nodes, node

    def draw(self) -> None:
        """Draw it, and keep it up to date."""
        view = self._view
        if not self._nodes:
            empty(
                "An instrument tells of its health once it is paired with this station; the site file names none yet.",
                title="No instrument",
            )
            return
        with ui.element("div").classes("so-row"):
            if len(self._nodes) > 1:
                options = [(name, name) for name in self._nodes]
                Choice(options, self._node, self._choose, label="Computer of the instrument", test="node")
            self._chip = Chip("asking …", test="node-state")
            self._summary = ui.label("").classes("so-grow").props("data-testid=node-summary")
            self._ago = Ago()
        with ui.element("div").classes("so-tiles"):
            self._tiles = [
                (Tile(label, unit, test=f"tile-{test}", hint=hint, stale_s=180.0), figure)
                for label, unit, test, hint, figure in _TILES
            ]
        box, head = panel("Trends", test="trends", hint="One axis of time; dashed: limits of the site file's rules.")
        span = view.query.get("range", "1h")
        span = span if span in {key for key, _, _ in RANGES} else "1h"
        with head:
            Choice([(key, text) for key, text, _ in RANGES], span, self._span, label="Span of time", test="range")
        with box:
            source = "/pages/health/trends?" + urlencode({"site": view.site.name})
            self._plots = ui.element("so2cam-trends").props("data-testid=plots")
            put_props(self._plots, {"src": source, "span": span, "node": self._node})
        view.every(5.0, self._look)

    def _choose(self, node: str) -> None:
        self._node = node
        self._view.keep(node=node)
        put_props(self._plots, {"node": node})
        self._chip.set("asking …")

    def _span(self, span: str) -> None:
        self._view.keep(range=span)
        put_props(self._plots, {"span": span})

    async def _look(self) -> None:
        try:
            found = await self._view.shared("health-latest", 3.0, self._read)
        except So2camError as problem:
            self._chip.set("not known", "warn", title=problem.message)
            return
        if self._node not in found:
            self._chip.set("no news yet", "warn")
            self._summary.set_text("This computer of the instrument told nothing of its health so far.")
            return
        time, record = found[self._node]
        self._ago.set(time)
        if record is None:
            self._chip.set("of another version", "warn")
            self._summary.set_text("What it tells is of another version of so2cam and cannot be read here.")
            return
        text, state = words.level_words(record.level)
        old = datetime.now(UTC) - time > timedelta(minutes=5)
        self._chip.set("no news" if old else text, "warn" if old else state)
        self._summary.set_text(f"{record.summary}; {record.activity}" if record.activity else record.summary)
        for tile, figure in self._tiles:
            shown = figure(record)
            tile.set(shown.value, more=shown.more, why=shown.why, time=time)

    def _read(self) -> dict[str, tuple[datetime, HealthRecord | None]]:
        found: dict[str, tuple[datetime, HealthRecord | None]] = {}
        for node, (time, text) in self._view.context.catalogue.latest_health(self._view.site.name).items():
            try:
                found[node] = (time, HealthRecord.model_validate_json(text))
            except ValidationError:
                found[node] = (time, None)
        return found


# --- link and storage --------------------------------------------------------------------------------------------


def _links(view: View, nodes: list[str]) -> None:
    box, _ = panel(
        "Link", test="link", hint="How files come from the instrument. Counts are since the station started."
    )
    with box:
        if not nodes:
            empty("Pair an instrument with this station: so2cam pair.", test="link-empty")
        rows = [(node, _LinkRow(node)) for node in nodes]

    def look() -> None:
        known, now = view.context.board.links(view.site.name), datetime.now(UTC)
        for node, row in rows:
            row.show(known.get(node), now)

    if nodes:
        view.every(2.0, look)


class _LinkRow:
    """How files come from one node."""

    def __init__(self, node: str) -> None:
        with ui.element("div").classes("so-row"):
            ui.html(escape(node), tag="h3", sanitize=False)
            self._chip = Chip("", test=f"link-{node}")
            ui.element("span").classes("so-grow")
            self._ago = Ago()
        self._why = error("", test=f"link-{node}-why")
        self._why.set_visibility(False)
        with ui.element("dl").classes("so-figures"):
            self._facts = {
                key: _fact(label, hint, test=f"link-{node}-{key}")
                for key, label, hint in (
                    ("items", "Files come", "since the station started"),
                    ("bytes", "Amount", "since the station started"),
                    ("waiting", "Still to come", "kept by the instrument, not here yet"),
                    ("damaged", "Came damaged", "their checksum was wrong; they were fetched again"),
                    ("last", "Last file", "what came last"),
                )
            }

    def show(self, status: TransferStatus | None, now: datetime) -> None:
        """Show how it is."""
        text, state = words.link_state(status, now)
        self._chip.set(text, state)
        if status is None:
            return
        self._ago.set(status.last_contact)
        self._why.set_text(status.error or "")
        self._why.set_visibility(bool(status.error))
        to_come = count(status.waiting)
        if status.waiting_bytes:
            to_come += f" ({size(status.waiting_bytes)})"
        last = status.last_item
        shown = {
            "items": count(status.items),
            "bytes": size(status.bytes),
            "waiting": to_come,
            "damaged": count(status.damaged),
            "last": MISSING if last is None else f"{last.kind}, {last.time:%H:%M:%S} UTC",
        }
        for key, value in shown.items():
            self._facts[key].set_text(value)


def _fact(label: str, hint: str, *, test: str) -> ui.label:
    put_props(ui.html(label, tag="dt", sanitize=False), {"title": hint})
    with ui.element("dd"):
        return put_props(ui.label(MISSING), {"data-testid": test})


@dataclass(frozen=True, slots=True)
class _Stored:
    files: int
    bytes: int
    damaged: int
    kinds: str
    free: int
    total: int
    growth: Growth

    @property
    def days_left(self) -> float | None:
        rate = self.growth.bytes_per_day
        return None if rate is None else self.free / rate


def _stored(view: View) -> _Stored:
    site, catalogue = view.site, view.context.catalogue
    counts = catalogue.file_counts(site.name)
    kinds: dict[str, int] = {}
    for (kind, _), (files, _) in counts.items():
        kinds[kind] = kinds.get(kind, 0) + files
    try:
        disk = shutil.disk_usage(view.context.folder)
    except OSError as problem:
        raise So2camError(f"the disk cannot be read: {problem.strerror or problem}") from None
    return _Stored(
        files=sum(kinds.values()),
        bytes=sum(amount for _, amount in counts.values()),
        damaged=sum(files for (_, state), (files, _) in counts.items() if state != "kept"),
        kinds=", ".join(f"{count(files)} {kind}" for kind, files in sorted(kinds.items(), key=lambda one: -one[1])),
        free=disk.free,
        total=disk.total,
        growth=archive_growth(catalogue, site.name, datetime.now(UTC), _DAY),
    )


def _storage(view: View) -> None:
    box, head = panel("Storage", test="storage", hint="The archive on the station's disk.")
    with head:
        chip = Chip("", test="storage-state")
        chip.set("looking …")
    with box:
        bar = ui.html("", sanitize=False)
        with ui.element("dl").classes("so-figures"):
            facts = {
                key: _fact(label, hint, test=f"storage-{key}")
                for key, label, hint in (
                    ("left", "Full in", "at the rate of the last day, if nothing is deleted"),
                    ("free", "Free", "on the disk of the station's folder"),
                    ("archive", "Archive", "all files of this site"),
                    ("growth", "Grows by", "measured over the last day, or what there is of it"),
                    ("kinds", "Files", "in the archive of this site"),
                    ("damaged", "Damaged or missing", "found by the station's checks of the archive"),
                )
            }

    async def look() -> None:
        try:
            found = await view.shared("storage", 60.0, lambda: _stored(view))
        except So2camError as problem:
            chip.set("not known", "warn", title=problem.message)
            return
        days, rate = found.days_left, found.growth.bytes_per_day
        used = 100 * (1 - found.free / found.total)
        bar.set_content(
            f'<div class="so-bar" role="img" aria-label="disk {used:.0f} % full" title="disk {used:.0f} % full">'
            f'<i style="width:{used:.1f}%"></i></div>'
        )
        shown = {
            "left": "not known yet: too few files came" if days is None else duration(days * 86_400),
            "free": f"{size(found.free)} of {size(found.total)}",
            "archive": size(found.bytes),
            "growth": MISSING if rate is None else f"{size(rate)} a day",
            "kinds": found.kinds or "none",
            "damaged": count(found.damaged),
        }
        for key, value in shown.items():
            facts[key].set_text(value)
        if found.damaged:
            chip.set("files are damaged", "bad", title="see so2cam archive verify")
        elif days is not None and days < _DAYS_WARN:
            chip.set("fills up", "bad" if days < _DAYS_BAD else "warn")
        else:
            chip.set("enough room", "ok")

    view.every(15.0, look)


# --- services and account ----------------------------------------------------------------------------------------


def _services(view: View) -> None:
    box, head = panel("Services of the station", test="services", hint="Each starts again by itself where it fails.")
    with head:
        chip = Chip("", test="services-state")
    with box:
        table = ui.html("", sanitize=False)

    def look() -> None:
        states = view.pages.services()
        bad = [one for one in states if one.state == "failed"]
        chip.set(f"{len(bad)} failed" if bad else "all run", "bad" if bad else "ok")
        html = words.services_html(states, view.site.name)
        if html != table.content:
            table.set_content(html)

    view.every(3.0, look)


def _audit(view: View, access: Access) -> None:
    box, _ = panel("Account of changes", test="audit", hint="Who changed what, and who was not allowed to.")
    with box:
        table = ui.html("", sanitize=False).classes("so-scroll")
        none = empty("Nobody has changed anything yet.", test="audit-empty")
    newest = -1

    async def look() -> None:
        nonlocal newest
        entries = await view.shared("audit", 1.0, lambda: list(access.audit(_AUDIT)))
        none.set_visibility(not entries)
        if entries and entries[0].number != newest:
            newest = entries[0].number
            table.set_content(words.audit_html(entries))

    view.every(3.0, look)
