"""What the node keeps: disks, what waits for the station, the latest items."""

from html import escape
from urllib.parse import quote

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.link.messages import FreeSpace, MirrorDisk
from so2cam.link.protocol import Items, LinkItem, Role
from so2cam.station.nodes import NodeLook
from so2cam.web.instrument.desk import Desk
from so2cam.web.instrument.words import facts, size, table, time_html
from so2cam.web.parts import Choice, Report, panel

_SHOWN = 40


async def draw_files(desk: Desk) -> None:
    """Draw disks, transfer and items."""
    with ui.element("div").classes("so-columns so-cards"):
        box, _ = panel("Disks", test="disks")
        with box:
            disks = ui.html("", sanitize=False)
            _draw_disk(desk)
        box, _ = panel("Kept and fetched", test="spool", hint="the node deletes only what the station has confirmed")
        with box:
            spool = ui.html("", sanitize=False)
            _draw_free(desk)
    box, head = panel("Latest items on the node", test="items")
    state = {"kind": ""}

    async def read() -> None:
        kind = state["kind"] or None
        try:
            found = await desk.view.shared(
                f"items/{desk.node}/{kind}", 1.0, lambda: desk.ask(Items(order="newest", limit=_SHOWN, kind=kind)).items
            )
        except So2camError as problem:
            items.set_content(f'<p class="so-quiet">{escape(problem.message)}</p>')
            return
        if not items.is_deleted:
            items.set_content(_items(desk, found))

    async def choose(kind: str) -> None:
        state["kind"] = kind
        await read()

    with head:
        Choice(
            [("", "all"), ("frame", "frames"), ("spectrum", "spectra"), ("health", "health")],
            "",
            choose,
            label="Kind of item",
            test="items-kind",
        )
    with box:
        items = ui.html("", sanitize=False)

    def update(look: NodeLook) -> None:
        if look.health is not None:
            disks.set_content(_disks(look))
            spool.set_content(_spool(desk, look))

    desk.watch(update)
    desk.view.every(3.0, read, immediate=False)
    await read()


def _draw_disk(desk: Desk) -> None:
    """Draw what takes the external disk out of use and back."""
    row = ui.element("div").classes("so-row")
    report = Report(test="disk-report")
    with row:
        release = desk.button(
            "Ready to pull the disk",
            lambda: desk.say(MirrorDisk(action="release")),
            test="disk-release",
            report=report,
            confirm="Stop copying to the external disk and unmount it? Capture goes on; copies are made up for later.",
        )
        back = desk.button(
            "Use the disk again",
            lambda: desk.say(MirrorDisk(action="take-back")),
            test="disk-take-back",
            report=report,
            quiet=True,
        )

    def update(look: NodeLook) -> None:
        mirror = None if look.health is None else look.health.spool.mirror
        row.set_visibility(mirror is not None)
        release.set_visibility(mirror != "released")
        back.set_visibility(mirror == "released")

    desk.watch(update)


def _draw_free(desk: Desk) -> None:
    """Draw what makes room now."""
    row = ui.element("div").classes("so-row")
    report = Report(test="free-report")
    with row:
        desk.button(
            "Free space",
            lambda: desk.say(FreeSpace()),
            test="free-space",
            report=report,
            role=Role.ADMIN,
            quiet=True,
            confirm=f"Make room on {desk.node}: delete what every receiver has confirmed, but for the last hour?",
        )


def _disks(look: NodeLook) -> str:
    parts = []
    for disk in () if look.health is None else look.health.disks:
        free = disk.free_fraction
        if not disk.present:
            parts.append(f"<p><b>{escape(disk.name)}</b>: not in use; {escape(disk.note or 'not there')}</p>")
            continue
        path = escape(disk.path, quote=True)
        used = 0 if free is None else 100 * (1 - free)
        state = "bad" if free is not None and free < 0.05 else "warn" if free is not None and free < 0.15 else "ok"
        parts.append(
            f'<div class="so-disk" data-state="{state}"><div class="so-row"><b>{escape(disk.name)}</b>'
            f'<span class="so-quiet so-small so-grow so-ellipsis" title="{path}">{path}</span>'
            f"<span>{size(disk.free_bytes)} of {size(disk.total_bytes)} free</span></div>"
            f'<div class="so-bar" role="meter" aria-label="used" aria-valuenow="{used:.0f}">'
            f'<i style="width:{used:.1f}%"></i></div>'
            f'<p class="so-quiet so-small">{escape(disk.note or "")}</p></div>'
        )
    return "".join(parts) or '<p class="so-quiet">none told yet</p>'


def _spool(desk: Desk, look: NodeLook) -> str:
    health = look.health
    if health is None:
        return ""
    spool, transfer = health.spool, desk.view.pages.nodes.transfer(desk.node)
    rows = [
        ("items kept", "–" if spool.items is None else str(spool.items), "on the node"),
        (
            "not yet fetched",
            "–" if spool.undelivered is None else f"{spool.undelivered}, {size(spool.undelivered_bytes)}",
            "they are never deleted before, unless the disk is full",
        ),
        ("deleted unfetched", str(spool.deleted_undelivered), "because the disk was full"),
        ("damaged", str(spool.missing + spool.quarantined), "items that were found damaged or missing on the node"),
    ]
    if spool.mirror:
        rows.append(
            ("second copy", f"{spool.mirror}, {spool.mirror_behind or 0} behind", "on a disk that can be carried home")
        )
    if transfer is not None:
        rows += [
            ("fetched", f"{transfer.items}, {size(transfer.bytes)}", "by this station since it started"),
            ("damaged on the way", str(transfer.damaged), "fetched again"),
        ]
    trouble = spool.error or (None if transfer is None else transfer.error)
    if transfer is None:
        trouble = trouble or "Nothing is fetched from this node by this station."
    return facts(rows) + (f'<p class="so-doubt">{escape(trouble)}</p>' if trouble else "")


def _items(desk: Desk, found: tuple[LinkItem, ...]) -> str:
    base = f"/pages/nodes/{quote(desk.node, safe='')}/file"
    rows = [
        [
            str(item.sequence),
            time_html(item.time),
            escape(f"{item.kind} {item.subject}" if item.kind != item.subject else item.kind),
            escape(item.device),
            f'<a href="{base}/{item.sequence}/main" download>{escape(item.name)}</a>',
            size(item.size),
        ]
        for item in found
    ]
    if not rows:
        return '<p class="so-quiet">none of this kind</p>'
    return table(["number", "time (UTC)", "kind", "device", "file", "size"], rows, test="items-table", right=(0, 5))
