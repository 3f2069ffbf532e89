"""``so2cam import-legacy``: a site file from the settings of an existing installation."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.table import Table

from so2cam.cli.console import FolderPath, console, report_warning
from so2cam.core.errors import OutputError
from so2cam.formats.legacy import LegacyImport, Outcome, Wishes, format_report, parse_vent
from so2cam.pipeline.legacy_site import import_site
from so2cam.store.atomic import atomic_write_bytes


class _SeveralLines(click.Command):
    """A command whose ``--lines`` takes one or more files: ``--lines A B`` is ``--lines A --lines B``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        expanded: list[str] = []
        taken = 0
        for argument in args:
            if argument.startswith("-") and argument != "-":
                taken = 1 if argument == "--lines" else 0
            elif taken:
                if taken > 1:
                    expanded.append("--lines")
                taken += 1
            expanded.append(argument)
        return super().parse_args(ctx, expanded)


@click.command(
    cls=_SeveralLines,
    epilog="""\b
Examples:
  so2cam import-legacy pycam/conf --out site.toml
  so2cam import-legacy pycam --out site.toml --geometry lascar_example
  so2cam import-legacy pycam --out site.toml --lines line_1.txt line_2.txt --vent -39.42,-71.93,2847
  so2cam check site.toml

\b
The folder is searched through; nothing in it is changed. Found are the settings of the processing
(processing_setting_defaults.yml), cameras and spectrometer (cam_specs*.txt, spec_specs.txt), geometries (cam_geom),
lines, the registration (.npy), line shapes, the schedule (crontab) and the computers' configuration; the report names
every key of them. A line shape or reference spectrum in use is copied beside the site file. Logins are never imported,
and pickles never read.

\b
Exit codes: 0 done (what is missing has a placeholder and a warning); 2 bad input, nothing written.""",
)
@click.argument("folder", type=FolderPath())
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The new site file.")
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="FILE", help="The report; beside the site file if not given."
)
@click.option("--geometry", metavar="NAME", help="Which geometry file, where there are several.")
@click.option("--settings", metavar="NAME", help="Which processing settings, where there are several.")
@click.option(
    "--lines",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE [FILE ...]",
    help="Line files, in place of those that the settings name.",
)
@click.option(
    "--registration", type=click.Path(path_type=Path), metavar="FILE", help="The registration, a 2 x 3 matrix as .npy."
)
@click.option("--vent", metavar="LAT,LON,ALT", help="The vent: degrees north, degrees east, metres above sea level.")
@click.option("--force", is_flag=True, help="Replace a site file and a report that are there.")
def command(
    folder: Path,
    out: Path,
    report: Path | None,
    geometry: str | None,
    settings: str | None,
    lines: tuple[Path, ...],
    registration: Path | None,
    vent: str | None,
    force: bool,
) -> None:
    """Write a site file from the settings of an existing installation.

    FOLDER holds the old program's setting files, at any depth. A report beside the site file says what became of
    every key.
    """
    report = _require_free(out, report, force=force)
    wishes = Wishes(
        settings=settings,
        geometry=geometry,
        lines=lines,
        registration=registration,
        vent=None if vent is None else parse_vent(vent),
    )
    result = import_site(folder, wishes, report_name=report.name, can_copy=True)
    copies = {out.with_name(name): data for name, data in result.copies.items()}
    _require_free_copies(copies, (out, report), force=force)
    for path, data in copies.items():
        atomic_write_bytes(path, data)
    atomic_write_bytes(report, format_report(result, site_name=out.name).encode())
    atomic_write_bytes(out, result.text.encode())
    _print_summary(result, out, report)


def _require_free(out: Path, report: Path | None, *, force: bool) -> Path:
    """Return the path of the report. Raises OutputError where it or the site file cannot be written as wished."""
    if not out.name:
        raise OutputError("is not the name of a file", file=out, remedy="name the site file, such as site.toml")
    report = report or out.with_name(f"{out.stem}.import.md")
    if out.absolute() == report.absolute():
        raise OutputError("site file and report have one name", file=out, remedy="name another with --report")
    for path in (out, report):
        if os.path.lexists(path) and not force:
            raise OutputError("is there already", file=path, remedy="name another, or replace it with --force")
        if os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir it never raises
            raise OutputError("is a folder", file=path, remedy="name a file, such as site.toml")
    return report


def _require_free_copies(copies: Mapping[Path, bytes], taken: Sequence[Path], *, force: bool) -> None:
    """Raise OutputError where a file beside the site file would replace another one that is there."""
    for path, data in copies.items():
        if any(path.absolute() == other.absolute() for other in taken):
            raise OutputError("a file that the site file names has its name", file=path, remedy="name another --out")
        if os.path.lexists(path) and not (path.is_file() and path.read_bytes() == data) and not force:
            remedy = "name a site file in another folder, or replace it with --force"
            raise OutputError("is there already, and is another file", file=path, remedy=remedy)


def _print_summary(result: LegacyImport, out: Path, report: Path) -> None:
    console.print(f"{result.site.volcano.name}: {len(result.files)} setting files read", markup=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    for outcome in Outcome:
        if count := result.count(outcome):
            table.add_row(str(count), str(outcome))
    console.print(table)
    for notice in result.notices:
        report_warning(notice)
    console.print()
    console.print(f"  {out}", markup=False)
    console.print(f"  {report}  what became of every key", markup=False)
    for name in result.copies:
        console.print(f"  {out.with_name(name)}  named by the site file", markup=False)
    console.print(f"\nNext: so2cam check {out}", markup=False)
