"""``so2cam spool``: what an instrument has kept, whether it is whole, and bringing it in order."""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from so2cam.cli.arguments import parse_time
from so2cam.cli.console import FolderPath, console, progress_bar, report_warning
from so2cam.core.errors import InputError
from so2cam.core.times import format_utc
from so2cam.store.items import StoredItem
from so2cam.store.layout import DATA, JOURNAL
from so2cam.store.recovery import RecoveryReport, recover_spool
from so2cam.store.spool import Spool
from so2cam.store.verify import VerifyReport, verify_spool

_SHOWN = 20
_FAULTY = 3
_root = click.argument("root", type=FolderPath(), metavar="FOLDER")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")


@click.group(
    epilog="""\b
Examples:
  so2cam spool status data/lead
  so2cam spool list data/lead --kind frame --from 2026-03-01T12:00 --to 2026-03-01T12:10
  so2cam spool verify data/lead --mirror /media/SO2/so2cam/lead
  so2cam spool recover data/lead --full

\b
FOLDER is that of a spool: it holds journal.sqlite and data/. All commands but
recover may be used while the agent runs.
Exit codes: 0 done, all is well; 2 bad input; 3 done, and something is damaged or missing."""
)
def command() -> None:
    """What an instrument has kept: show it, verify it, bring it in order."""


@command.command()
@_root
@_as_json
def status(root: Path, as_json: bool) -> int:
    """Show what a spool holds and what is still to be delivered."""
    with _open(root) as spool:
        counts, deletions, node = spool.counts(), spool.deletions(), spool.node
    if as_json:
        rows = [dict(zip(("day", "reason", "items", "bytes"), row, strict=True)) for row in deletions]
        click.echo(json.dumps({"node": node, **asdict(counts), "deletions": rows}))
    else:
        console.print(f"{root}: spool of node {node}", markup=False)
        console.print(f"{counts.items} items, {_size(counts.bytes)}; {_size(counts.free_bytes)} free on its disk")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("receiver", "still to get", "size", ""):
            table.add_column(heading, justify="right" if heading in ("still to get", "size") else "left")
        for entry in counts.backlog:
            note = "" if entry.required else "deletion does not wait for it"
            table.add_row(entry.receiver, str(entry.items), _size(entry.bytes), note)
        console.print(table)
        for day, reason, items, size in deletions[-_SHOWN:]:
            console.print(f"{day}: {items} items deleted or gone ({reason}), {_size(size)}", markup=False)
        if counts.missing or counts.damaged:
            report_warning(
                f"{counts.missing} items are missing and {counts.damaged} damaged; see `so2cam spool verify`"
            )
    return _FAULTY if counts.missing or counts.damaged else 0


@command.command("list")
@_root
@click.option("--kind", help="Only this kind: frame, spectrum, health ...")
@click.option("--subject", help="Only what shows this: plume, dark, clear, cell, test ...")
@click.option("--device", help="Only of this device.")
@click.option("--from", "start", callback=parse_time, metavar="TIME", help="Mid-exposure at or after, UTC.")
@click.option("--to", "end", callback=parse_time, metavar="TIME", help="Mid-exposure before, UTC.")
@click.option("--undelivered", metavar="RECEIVER", help="Only what this receiver has still to get.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="At most so many, the oldest.")
@_as_json
def list_items(
    root: Path,
    kind: str | None,
    subject: str | None,
    device: str | None,
    start: datetime | None,
    end: datetime | None,
    undelivered: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List items: sequence number, time, kind, size, file."""
    with _open(root) as spool:
        if undelivered is None:
            found = spool.find(kind=kind, subject=subject, device=device, start=start, end=end, limit=limit + 1)
        else:
            known = spool.receivers()
            if undelivered not in known:
                raise InputError(
                    "there is no such receiver",
                    key="--undelivered",
                    value=undelivered,
                    remedy=f"receivers are {', '.join(known)}",
                )
            found = [
                item
                for item in spool.undelivered(undelivered, limit=10**9, kind=kind)
                if (subject is None or item.subject == subject)
                and (device is None or item.device == device)
                and (start is None or item.time >= start)
                and (end is None or item.time < end)
            ][: limit + 1]
    for item in found[:limit]:
        click.echo(json.dumps(_as_dict(item)) if as_json else _line(item))
    if len(found) > limit:
        report_warning(f"there are more than {limit}; see --limit")


@command.command()
@_root
@click.option(
    "--mirror",
    "mirrors",
    multiple=True,
    type=FolderPath(),
    metavar="FOLDER",
    help="Put damaged and missing files back from this copy (FOLDER holds data/). May be repeated.",
)
@_as_json
def verify(root: Path, mirrors: tuple[Path, ...], as_json: bool) -> int:
    """Read every file and compare it with what was kept."""
    for mirror in mirrors:
        if not (mirror / DATA).is_dir():
            raise InputError("holds no copy of a spool", file=mirror, remedy=f"name the folder that holds {DATA}/")
    with _open(root) as spool, progress_bar("Verifying", shown=not as_json) as advance:
        total = spool.counts().items
        report = verify_spool(spool, mirrors=mirrors, progress=lambda items, _: advance(items, max(total, items)))
    if as_json:
        click.echo(json.dumps({**asdict(report), "good": report.good}))
    else:
        _print_verification(report)
    return 0 if report.good else _FAULTY


def _print_verification(report: VerifyReport) -> None:
    for problem in report.journal:
        report_warning(f"the journal: {problem}")
    for fault in report.faults[:_SHOWN]:
        text = f"{fault.path}: {fault.reason}{'; put back from the mirror' if fault.repaired else ''}"
        console.print(text, markup=False)
    if len(report.faults) > _SHOWN:
        console.print(f"... and {len(report.faults) - _SHOWN} more files")
    open_faults = sum(not fault.repaired for fault in report.faults)
    verdict = "all as they were kept" if not open_faults else f"{open_faults} files are damaged or missing"
    console.print(f"{report.items} items, {_size(report.bytes)} read: {verdict}")


@command.command()
@_root
@click.option("--full", is_flag=True, help="Look at every folder, not only at those used since the last recovery.")
@click.option("--node", help="Name of the node whose spool it is, where spool.json is lost.")
@_as_json
def recover(root: Path, full: bool, node: str | None, as_json: bool) -> int:
    """Bring a spool in order: after a crash, or where its journal is lost or damaged."""
    if not (root / JOURNAL).exists() and not (root / DATA).is_dir():
        raise _no_spool(root)
    report = recover_spool(root, full=full, node=node)
    if as_json:
        click.echo(json.dumps({**asdict(report), "clean": report.clean}))
    else:
        _print_recovery(report)
    return _FAULTY if report.missing or report.damaged else 0


def _print_recovery(report: RecoveryReport) -> None:
    for line in report.details[:_SHOWN]:
        console.print(line, markup=False)
    if len(report.details) > _SHOWN:
        console.print("...")
    console.print(
        f"{report.folders} folders: {report.temporaries} temporaries swept, {report.adopted} items adopted, "
        f"{report.quarantined} files quarantined, {report.missing} items missing, {report.damaged} damaged"
        + ("; the journal was built anew" if report.journal_rebuilt else "")
    )


def _open(root: Path) -> Spool:
    if not (root / JOURNAL).exists():
        raise _no_spool(root)
    return Spool(root)


def _no_spool(root: Path) -> InputError:
    return InputError(
        "holds no spool", file=root, remedy=f"name the folder that holds {JOURNAL} and {DATA}/, as data/lead"
    )


def _as_dict(item: StoredItem) -> dict[str, Any]:
    return {
        "sequence": item.sequence,
        "time": format_utc(item.time),
        "kind": item.kind,
        "subject": item.subject,
        "device": item.device,
        "bytes": item.size,
        "sha256": item.sha256,
        "path": item.path,
        "sidecar": item.sidecar_path,
        "digest": item.digest,
    }


def _line(item: StoredItem) -> str:
    return (
        f"{item.sequence:>8}  {format_utc(item.time)}  {item.kind:<8}  {item.subject:<6}  {item.device:<14}  "
        f"{item.size:>9}  {item.path}"
    )


def _size(count: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"
