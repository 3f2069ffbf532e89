"""``so2cam publish``: bring results, pictures and the public page to other computers, once."""

from pathlib import Path

import click
from rich.table import Table

from so2cam.cli.console import FolderPath, console, progress_bar, report_error, when_interrupted
from so2cam.core.errors import InputError, So2camError
from so2cam.core.site_publication import Remote
from so2cam.core.times import format_utc
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.station.publish import Publisher, PublishReport, collect, key_of, rclone_of
from so2cam.station.publish_ledger import PublishLedger
from so2cam.station.publish_services import OutwardPaths, site_folder, station_folder

_FAILED = 3


@click.command(
    epilog="""\b
Examples:
  so2cam publish site.toml                    what is new or changed, to all remotes
  so2cam publish site.toml --remote web --list
  so2cam publish site.toml --check            can every remote be written to?
  so2cam publish site.toml --state            when was what sent last?

\b
A running station does this by itself. Remotes are those of [[publication.remotes]], set up
with `rclone config`; see docs/publication.md.
Exit codes: 0 all is there; 2 bad input; 3 something could not be sent; 130 interrupted."""
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--remote", "names", multiple=True, metavar="NAME", help="Only this one (repeat for several).")
@click.option("--folder", type=FolderPath(), help="The station's folder, if not that of the site file.")
@click.option("--list", "only_list", is_flag=True, help="Only say what there is to publish.")
@click.option("--check", is_flag=True, help="Only try whether the remotes can be written to.")
@click.option("--state", is_flag=True, help="Only say how publishing went.")
def command(
    site: Path, names: tuple[str, ...], folder: Path | None, only_list: bool, check: bool, state: bool
) -> int | None:
    """Bring the results, pictures and page of the station of SITE to its remotes."""
    if sum((only_list, check, state)) > 1:
        raise click.UsageError("give one of --list, --check and --state")
    loaded = load_site(site)
    publication = loaded.site.publication
    if publication is None or not publication.remotes:
        raise InputError(
            "the site file names no remote", file=site, key="publication.remotes", remedy="add [[publication.remotes]]"
        )
    remotes = _chosen(publication.remotes, names)
    rclone = rclone_of(publication, site.parent)
    if check:
        return _check(remotes, loaded)
    root = station_folder(loaded, folder)
    paths = OutwardPaths(root)
    folders = paths.folders(site_folder(loaded.site.name))
    if not root.is_dir():
        raise InputError(
            "there is no station here", file=root, remedy="run `so2cam station run SITE`, or give --folder"
        )
    if only_list:
        for remote in remotes:
            console.print(f"{remote.name}: {remote.remote}", markup=False)
            for file in collect(folders, remote.what):
                console.print(f"  {file.path}  {file.local.stat().st_size} bytes", markup=False)
        return None
    with PublishLedger(paths.ledger) as ledger:
        if state:
            _print_state(remotes, ledger)
            return None
        rclone.require()
        publisher = Publisher(rclone, ledger, paths.staging)
        reports = []
        for remote in remotes:
            with (
                when_interrupted("what was sent is noted; the next run goes on"),
                progress_bar(remote.name) as progress,
            ):
                reports.append(publisher.publish(remote, collect(folders, remote.what), progress=progress))
    for report in reports:
        _print_report(report)
    return _FAILED if any(report.failed for report in reports) else None


def _chosen(remotes: tuple[Remote, ...], names: tuple[str, ...]) -> list[Remote]:
    known = {remote.name: remote for remote in remotes}
    for name in names:
        if name not in known:
            raise InputError(
                "there is no such remote", key="--remote", value=name, remedy=f"remotes are {', '.join(known)}"
            )
    return [remote for remote in remotes if not names or remote.name in names]


def _check(remotes: list[Remote], loaded: LoadedSite) -> int | None:
    publication, failed = loaded.site.publication, False
    if publication is None:
        return None
    rclone = rclone_of(publication, loaded.path.parent)
    rclone.require()
    for remote in remotes:
        try:
            rclone.check(remote.remote)
        except So2camError as error:
            failed = True
            report_error(f"{remote.name}: {error}")
        else:
            console.print(f"{remote.name}: {remote.remote} can be written to", markup=False)
    return _FAILED if failed else None


def _print_report(report: PublishReport) -> None:
    size = report.bytes / 1e6
    console.print(
        f"{report.remote}: {len(report.sent)} sent ({size:.1f} MB), {report.unchanged} unchanged", markup=False
    )
    for path, text in report.failed.items():
        report_error(f"{report.remote}: {path}: {text}")
    if report.postponed:
        report_error(f"{report.remote}: {report.postponed} more were not tried")


def _print_state(remotes: list[Remote], ledger: PublishLedger) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("remote", "files", "last success", "last failure", "reason"):
        table.add_column(heading)
    for remote in remotes:
        state = ledger.state(key_of(remote))
        times = ("never" if time is None else format_utc(time)[:19] + "Z" for time in (state.success, state.failure))
        table.add_row(remote.name, str(len(ledger.copies(key_of(remote)))), *times, state.error or "")
    console.print(table, markup=False)
