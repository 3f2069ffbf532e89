"""``so2cam instrument install``, ``doctor``, ``preview``: a node's system, its check, and what its schedule means."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from so2cam.cli.arguments import parse_time
from so2cam.cli.console import console, report_error, report_warning
from so2cam.cli.schedule_findings import report_schedule
from so2cam.core.errors import So2camError
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.formats.wittypi import format_wittypi
from so2cam.instrument.doctor.report import DoctorReport
from so2cam.instrument.install.applying import (
    CommandResult,
    Comparison,
    compare,
    missing_packages,
    run_commands,
    write,
)
from so2cam.instrument.install.files import InstallCommand
from so2cam.instrument.install.planning import install_settings, plan_install, require_board_alone
from so2cam.instrument.install.settings import (
    PROGRAM,
    SECRETS,
    InstallError,
    ensure_password,
    is_made_up,
    require_node,
)
from so2cam.instrument.places import socket_to_ask
from so2cam.observe.power import compile_power
from so2cam.update.places import program_of

_ROOT = Path("/")


@click.command(
    "install",
    epilog="""\b
Examples:
  so2cam instrument install site.toml --node lead --dry-run     what would change
  sudo so2cam instrument install site.toml --node lead          change it
  so2cam instrument install site.toml --node lead --root card   onto a mounted card

\b
A new address is one line in the site file and this command again, on every node.

\b
Exit codes: 0 done; 1 a command of the system failed (the files are written); 2 bad input, nothing written.""",
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--node", required=True, help="name of the node in the site file")
@click.option("--dry-run", is_flag=True, help="show what would change, and change nothing")
@click.option("--root", type=click.Path(path_type=Path, file_okay=False), default=_ROOT, help="write below this folder")
@click.option("--full", is_flag=True, help="show the content of new files too")
@click.option("--program", default=None, help=f"the so2cam command on the node  [{PROGRAM}]")
@click.option(
    "--secrets",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help=f"file with the access point's password, mode 600  [{SECRETS}]",
)
@click.option("--no-commands", is_flag=True, help="write the files only, and list the commands")
def install(
    site: Path,
    node: str,
    dry_run: bool,
    root: Path,
    full: bool,
    program: str | None,
    secrets: Path | None,
    no_commands: bool,
) -> int:
    """Write everything that the operating system of a node needs, from the site file.

    SITE is the site file. Network, clock, services, devices, the external disk, power hooks: what is as it should be is
    left alone, and what changed is shown.
    """
    loaded = load_site(site)
    _, found = require_node(loaded.site, node, site)
    report_schedule(loaded)
    secrets_file = secrets or root / SECRETS.lstrip("/")
    password, made = None, False
    if found.network.access_point is not None:
        if secrets is not None and not secrets.exists():
            raise InstallError("does not exist", file=secrets, remedy="write it, or leave --secrets out")
        password, made = ensure_password(secrets_file, write=not dry_run)
    settings = install_settings(loaded, node, program=program or _default_program(root), password=password)
    require_board_alone(settings, root)
    plan = plan_install(settings)
    if root == _ROOT and not dry_run and not no_commands:
        _install_packages(plan.packages)
    comparison = compare(plan, root)
    _show(comparison, full=full)
    if made:
        console.print(f"a new password for the access point: {'in' if not dry_run else 'to be made in'} {secrets_file}")
    if dry_run:
        _show_commands(comparison.commands, "would be run")
        console.print(f"{len(comparison.pending)} files would change; nothing was written", markup=False)
        return 0
    write(comparison)
    console.print(f"{len(comparison.pending)} files changed", markup=False)
    for note in comparison.plan.notes:
        console.print(f"  {note}", markup=False)
    if root != _ROOT or no_commands:
        _show_commands(comparison.commands, "to be run on the node")
        return 0
    return _run_all(comparison)


@click.command(
    "preview",
    epilog="""\b
Examples:
  so2cam instrument preview site.toml                    this week
  so2cam instrument preview site.toml --days 30 --from 2026-06-01
  so2cam instrument preview site.toml --power            the power board's file

\b
Exit codes: 0 done; 2 bad input, or contradictions in the schedule.""",
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--from", "start", callback=parse_time, help="first day, like 2026-06-01  [today]")
@click.option("--days", type=click.IntRange(1, 366), default=7, show_default=True)
@click.option("--power", is_flag=True, help="print the power board's schedule file instead")
def schedule(site: Path, start: datetime | None, days: int, power: bool) -> int:
    """Show what the schedule means: each day's times in UTC, and what in it contradicts.

    SITE is the site file.
    """
    from so2cam.core.site_schedule import Schedule

    loaded = load_site(site)
    instrument = loaded.site.instrument
    if instrument is None:
        raise So2camError("is missing", file=site, key="instrument", remedy="add [instrument]; see docs/instrument.md")
    wanted = instrument.schedule or Schedule()
    place = loaded.site.camera.position
    now = start or datetime.now(UTC)
    if power:
        plan = compile_power(wanted, place, now)
        days_text = "the same every day" if plan.cycle.days == 1 else f"sun-based: {plan.cycle.days} days, then again"
        click.echo(format_wittypi(plan, comments=(f"times in UTC; {days_text}",)), nl=False)
        return 0
    from so2cam.cli.schedule_table import schedule_table

    midnight = datetime(now.year, now.month, now.day, tzinfo=UTC)
    console.print(schedule_table(wanted, place, midnight, midnight + timedelta(days=days)))
    _, contradictions = report_schedule(loaded, refuse=False)
    return 2 if contradictions else 0


@click.command(
    "doctor",
    epilog="""\b
Examples:
  sudo so2cam instrument doctor site.toml                      on the node itself
  so2cam instrument doctor site.toml --node lead --json        for a program
  sudo so2cam instrument doctor site.toml --cycle-follower     switch the follower off and on: tests both wires

\b
Exit codes: 0 everything is good; 1 something is bad; 2 bad input.""",
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--node", default=None, help="name of the node  [the one called like this computer, or the only one]")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.option("--cycle-follower", is_flag=True, help="first switch the follower off and on (minutes; as root)")
def doctor(site: Path, node: str | None, as_json: bool, cycle_follower: bool) -> int:
    """Check everything on this node before the case is closed.

    SITE is the site file. Each line is good, or bad with what to do. Run as root, it sees more.
    """
    import json

    from so2cam.instrument.doctor.examine import examine

    loaded = load_site(site)
    name = node or _this_node(loaded)
    _, found = require_node(loaded.site, name, loaded.path)
    settings = install_settings(loaded, name, program=_default_program(_ROOT), by_hand=is_made_up(found))
    report = examine(settings, cycle=cycle_follower, socket=socket_to_ask(site, name))
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        _show_report(report)
    return 0 if report.good else 1


def _this_node(loaded: LoadedSite) -> str:
    """Return the node called like this computer, or the only one."""
    import socket

    names = [] if loaded.site.instrument is None else [node.name for node in loaded.site.instrument.nodes]
    own = socket.gethostname().partition(".")[0]
    if own in names or len(names) == 1:
        return own if own in names else names[0]
    require_node(loaded.site, own, loaded.path)
    return own


def _show_report(report: DoctorReport) -> None:
    from rich.text import Text

    styles = {"good": ("ok ", "green"), "bad": ("BAD", "bold red"), "none": (" - ", "dim")}
    topic = ""
    for line in report.lines:
        if line.topic != topic:
            topic = line.topic
            console.print(topic, style="bold", markup=False)
        word, style = styles[line.verdict.value]
        console.print(Text.assemble("  ", (word, style), f"  {line.title}: {line.text}"))
        if line.remedy is not None:
            console.print(Text.assemble("       ", ("What to do: ", "bold"), line.remedy))
    bad = sum(line.verdict.value == "bad" for line in report.lines)
    good = sum(line.verdict.value == "good" for line in report.lines)
    summary = f"{report.node}: {good} good, {bad} bad" + ("" if bad else "; the case can be closed")
    console.print(summary, style="bold red" if bad else "bold green", markup=False)


def _default_program(root: Path) -> str:
    """Return the command that runs this, where the node is this computer; else where it is installed by custom."""
    own = program_of(Path(sys.executable).parent.parent)
    return str(own) if root == _ROOT and own.is_file() else PROGRAM


def _show(comparison: Comparison, *, full: bool) -> None:
    for change in comparison.changes:
        if change.state == "same":
            continue
        label = {"kept": "kept (changed by somebody; no longer needed)", "obsolete": "removed"}.get(
            change.state, change.state
        )
        console.print(f"{label:9s} {change.path}", markup=False)
        if change.state == "changed" or (full and change.state == "new"):
            click.echo(change.diff, nl=False)
            if not change.diff.endswith("\n"):
                click.echo()


def _show_commands(commands: tuple[InstallCommand, ...], title: str) -> None:
    if commands:
        console.print(f"commands {title}:", markup=False)
    for command in commands:
        console.print(f"  {command.words()}", markup=False)


def _install_packages(names: tuple[str, ...]) -> None:
    """Install what is missing, before files are written that these packages would ask about."""
    missing = missing_packages(names)
    if not missing:
        return
    arguments = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--no-install-recommends")
    command = InstallCommand((*arguments, "--option=Dpkg::Options::=--force-confold", *missing), "", timeout_s=1800.0)
    console.print(f"install packages: {' '.join(missing)}", markup=False)
    for result in run_commands([command]):
        if not result.done:
            last = result.text.splitlines()[-1] if result.text else "failed"
            report_warning(
                f"packages could not be installed: {last}\n  What to do: sudo apt install {' '.join(missing)}"
            )


def _run_all(comparison: Comparison) -> int:
    failed: list[CommandResult] = []
    for command in comparison.commands:
        console.print(f"{command.purpose}: {command.words()}", markup=False)
        failed += [result for result in run_commands([command]) if not result.done]
    for result in failed:
        report_error(f"{result.command.words()}: {result.text or 'failed'}")
    return 1 if failed else 0
