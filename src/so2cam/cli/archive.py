"""``so2cam archive``: find, verify and copy what a station has archived."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from so2cam.cli.arguments import parse_time
from so2cam.cli.console import FolderPath, console, progress_bar, report_warning
from so2cam.cli.station import require_station
from so2cam.core.errors import InputError
from so2cam.core.times import format_utc

if TYPE_CHECKING:
    from so2cam.station.catalogue import ArchivedFile
    from so2cam.station.context import StationContext

_SHOWN = 20
_FAULTY = 3


def _selection(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options by which files are chosen."""
    for option in (
        click.option("--to", "end", callback=parse_time, metavar="TIME", help="Mid-exposure before, UTC."),
        click.option("--from", "start", callback=parse_time, metavar="TIME", help="Mid-exposure at or after, UTC."),
        click.option("--device", help="Only of this device."),
        click.option("--node", help="Only from this node or watched folder."),
        click.option("--subject", help="Only what shows this: plume, dark, clear, cell, test ..."),
        click.option("--kind", help="Only this kind: frame, spectrum, health ..."),
        click.option("--folder", type=FolderPath(), help="The station's folder, instead of station.folder."),
        click.argument("site", type=click.Path(path_type=Path)),
    ):
        function = option(function)
    return function


@click.group(
    epilog="""\b
Examples:
  so2cam archive find site.toml --kind frame --from 2026-03-01T12:00 --to 2026-03-01T13:00
  so2cam archive verify site.toml --from 2026-03-01
  so2cam archive export site.toml OUT --subject dark --from 2026-03-01

\b
SITE is the site file of the station. All commands may be used while it runs.
Exit codes: 0 done, all is well; 2 bad input; 3 done, and something is damaged or missing."""
)
def command() -> None:
    """What a station has archived: find it, verify it, copy it."""


@command.command()
@_selection
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="At most so many, the newest.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each file instead.")
def find(limit: int, as_json: bool, **chosen: Any) -> None:
    """List files: number, time, kind, size, path."""
    with _Opened(chosen) as opened:
        files = opened.find(limit=limit + 1)
        for file in files[-limit:]:
            click.echo(json.dumps(_as_dict(file)) if as_json else _line(file))
    if len(files) > limit:
        report_warning(f"there are more than {limit}; these are the newest; see --limit")


@command.command()
@_selection
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def verify(as_json: bool, **chosen: Any) -> int:
    """Read every file and compare it with what was kept.

    What is damaged or missing is marked, and fetched again from a node that still has it.
    """
    from so2cam.station.archive_check import verify_archive

    with _Opened(chosen) as opened, progress_bar("Verifying", shown=not as_json) as advance:
        report = verify_archive(opened.archive, opened.find(), advance)
    if as_json:
        faults = [{"path": fault.path, "state": fault.state} for fault in report.faults]
        click.echo(json.dumps({"files": report.files, "bytes": report.bytes, "faults": faults, "good": report.good}))
    else:
        for fault in report.faults[:_SHOWN]:
            console.print(f"{fault.path}: {fault.state}", markup=False)
        if len(report.faults) > _SHOWN:
            console.print(f"... and {len(report.faults) - _SHOWN} more")
        bad = sum(fault.state != "unknown" for fault in report.faults)
        verdict = "all as they were kept" if report.good else f"{bad} are damaged or missing"
        console.print(f"{report.files} files, {report.bytes / 1e6:.1f} MB read: {verdict}")
    return 0 if report.good else _FAULTY


@command.command()
@_selection
@click.argument("target", type=FolderPath())
@click.option("--flat", is_flag=True, help="All files in one folder, without folders of hours.")
def export(target: Path, flat: bool, **chosen: Any) -> None:
    """Copy files to the folder TARGET, each verified; `so2cam process` reads it."""
    from so2cam.station.archive_check import export_files

    with _Opened(chosen) as opened, progress_bar("Copying") as advance:
        count = export_files(opened.archive, opened.find(), target, flat=flat, progress=advance)
    console.print(f"{count} files are in {target}", markup=False)


class _Opened:
    """The archive of the options given, and the files they choose."""

    def __init__(self, chosen: dict[str, Any]) -> None:
        self._site: Path = chosen.pop("site")
        self._folder: Path | None = chosen.pop("folder")
        self._chosen = chosen
        self._context: StationContext | None = None

    def __enter__(self) -> "_Opened":
        require_station()
        from so2cam.core.site_station import Station
        from so2cam.formats.sitefile import load_site
        from so2cam.station.context import open_station

        loaded = load_site(self._site)
        settings = loaded.site.station or Station()
        root = self._folder or self._site.parent / settings.folder
        if not root.is_dir():
            raise InputError(
                "holds no station", file=root, remedy="start one with `so2cam station run`, or name its folder"
            )
        self._context = open_station([self._site], folder=self._folder)
        self.archive = self._context.sites[0].archive
        return self

    def __exit__(self, *_: object) -> None:
        if self._context is not None:
            self.archive.close()
            self._context.close()

    def find(self, *, limit: int | None = None) -> "list[ArchivedFile]":
        """Return the files that the options choose."""
        start: datetime | None = self._chosen.get("start")
        return self.archive.catalogue.find_files(
            self.archive.site,
            kind=self._chosen.get("kind"),
            subject=self._chosen.get("subject"),
            node=self._chosen.get("node"),
            device=self._chosen.get("device"),
            start=start,
            end=self._chosen.get("end"),
            newest=True,
            limit=limit,
        )


def _as_dict(file: "ArchivedFile") -> dict[str, Any]:
    return {
        "id": file.id,
        "time": format_utc(file.time),
        "kind": file.kind,
        "subject": file.subject,
        "device": file.device,
        "node": file.node,
        "bytes": file.size,
        "sha256": file.sha256,
        "path": file.path,
        "sidecar": file.sidecar_path,
        "state": file.state,
    }


def _line(file: "ArchivedFile") -> str:
    state = "" if file.state == "kept" else f"  {file.state.upper()}"
    return (
        f"{file.id:>8}  {format_utc(file.time)}  {file.kind:<8}  {file.subject:<6}  {file.device:<14}  "
        f"{file.size:>9}  {file.path}{state}"
    )
