"""``so2cam watch``: archive and process what comes into a folder, for old instruments and files by other means."""

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from so2cam.cli.arguments import SeveralFolders
from so2cam.cli.console import FolderPath, console, report_warning
from so2cam.cli.pauses import keep_out_of_collections
from so2cam.cli.station import logging_to_stderr, print_rates, require_station, stopping
from so2cam.core.errors import InputError
from so2cam.core.site_station import WatchedFolder

if TYPE_CHECKING:
    from so2cam.station.assembly import Assembly

_SHOWN = 10


class _Watch(SeveralFolders):
    options = ("--calibration",)


@click.command(
    cls=_Watch,
    epilog="""\b
Examples:
  so2cam watch /data/incoming --site site.toml
  so2cam watch /data/2018-03-26 --site site.toml --once --out station

\b
DIR is searched to any depth and only read. Half-written files, files with a .lock
beside them and cut-off images wait; a sidecar may come after its image. Frames and
spectra are told apart by their names, as `so2cam process` does.
It stops on Ctrl-C; begun again, it goes on where it was.
Exit codes: 0 stopped as asked; 2 bad input; 3 with --once: files were left out.""",
)
@click.argument("folder", type=FolderPath(), metavar="DIR")
@click.option("--site", required=True, type=click.Path(path_type=Path), help="The site file.")
@click.option("--out", type=FolderPath(), help="Folder of archive and results; otherwise station.folder.")
@click.option(
    "--calibration",
    multiple=True,
    type=FolderPath(),
    metavar="DIR...",
    help="Folders with darks, clear sky and cell frames, where they are not in DIR.",
)
@click.option(
    "--settle",
    "settle_s",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    metavar="S",
    help="A file that did not change for so long is whole.",
)
@click.option("--once", is_flag=True, help="Stop when all that is there is processed.")
@click.option("--for", "run_for_s", type=click.FloatRange(min=0.1), metavar="S", help="Stop after S seconds.")
@click.option("--quiet", "-q", is_flag=True, help="Do not print emission rates as they come.")
@click.option("--verbose", "-v", is_flag=True, help="Log details too.")
def command(
    folder: Path,
    site: Path,
    out: Path | None,
    calibration: tuple[Path, ...],
    settle_s: float,
    once: bool,
    run_for_s: float | None,
    quiet: bool,
    verbose: bool,
) -> int:
    """Archive the frames and spectra that come into DIR, and make emission rates of them as they come."""
    require_station()
    from so2cam.station.assembly import assemble_station
    from so2cam.station.context import open_station

    watched = tuple(
        WatchedFolder(name=name, folder=str(path.resolve()), settle_s=settle_s)
        for name, path in (*((f"calibration-{n}", p) for n, p in enumerate(calibration, 1)), ("folder", folder))
    )
    left_out: dict[Path, str] = {}
    with contextlib.ExitStack() as undo:
        undo.enter_context(logging_to_stderr(verbose))
        context = open_station([site], folder=out, watch=watched)
        undo.callback(context.close)
        _require_apart(context.folder, (folder, *calibration))
        assembly = assemble_station(context, api=False, link=False)
        undo.callback(assembly.stop)
        console.print(f"watching {folder}; archive and results in {context.folder}", markup=False)
        with stopping(assembly.supervisor.stop_event):
            if once:
                left_out = _once(assembly, quiet)
            else:
                keep_out_of_collections()
                assembly.supervisor.start()
                print_rates(context, assembly.supervisor.stop_event, run_for_s, quiet=quiet)
                left_out = {path: reason for one in assembly.watchers for path, reason in one.waiting.items()}
    for path, reason in list(left_out.items())[:_SHOWN]:
        report_warning(f"{path} is left out: {reason}")
    if len(left_out) > _SHOWN:
        report_warning(f"... and {len(left_out) - _SHOWN} more")
    console.print("stopped; everything that came is kept")
    return 3 if once and left_out else 0


def _require_apart(out: Path, watched: tuple[Path, ...]) -> None:
    """Raise InputError where the station's folder lies in one that is watched."""
    root = out.resolve()
    if any(root.is_relative_to(folder.resolve()) for folder in watched):
        raise InputError(
            "lies in a folder that is watched: the archive would watch itself",
            file=out,
            remedy="name another folder with --out",
        )


def _once(assembly: "Assembly", quiet: bool) -> dict[Path, str]:
    """Take all that is there, process it to the end, and return what was left out."""
    from so2cam.station.daily import DailyFiles
    from so2cam.station.live import LiveProcessing
    from so2cam.station.recalculate import Recalculation

    stop: threading.Event = assembly.supervisor.stop_event
    context = assembly.context
    for watcher in assembly.watchers:
        while not stop.is_set() and (watcher.look(stop) or not watcher.settled):
            stop.wait(0.1)
    site = context.sites[0]
    live = LiveProcessing(context, site)
    live.resume()
    while not stop.is_set() and live.step():
        pass
    if stop.is_set():
        return {}
    state = context.board.live(site.name)
    if state is not None and state.state == "waiting":
        raise InputError(
            f"nothing can be processed: {state.message}",
            file=site.loaded.path,
            remedy="name the folders of darks, clear sky and cell frames with --calibration",
        )
    live.finish()
    again = Recalculation(context, site)
    again.mark_days_with_new_references()
    for day in context.catalogue.days(site.name, stale=True):
        again.recalculate(day.day, stop)
    written = DailyFiles(context).write_changed(all_now=True)
    for path in written:
        console.print(f"  {path}", markup=False)
    if not quiet:
        for day in context.catalogue.days(site.name):
            console.print(f"{day.day}: results of revision {day.revision}")
    return {path: reason for one in assembly.watchers for path, reason in one.waiting.items()}
