"""``so2cam station``: run a base station, and see how it is."""

import contextlib
import json
import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from so2cam.cli.console import FolderPath, console, report_warning
from so2cam.cli.pages import tell_pages
from so2cam.cli.pauses import keep_out_of_collections
from so2cam.cli.station_renewed import RenewedStation, tell_renewal
from so2cam.cli.station_status import ask_status
from so2cam.core.errors import InputError, So2camError
from so2cam.core.times import format_utc
from so2cam.link.addresses import spaced

if TYPE_CHECKING:
    from so2cam.station.api_server import ApiServer
    from so2cam.station.catalogue import Rate
    from so2cam.station.context import StationContext

_NOT_WELL = 3


@click.group(
    epilog="""\b
Examples:
  so2cam station run site.toml
  so2cam station run etna.toml stromboli.toml      two instruments, one station
  so2cam station status site.toml

\b
The station keeps what comes in the folder of [station] in the (first) site file:
archive/, results/, catalogue.sqlite. See `so2cam archive` and `so2cam watch` too."""
)
def command() -> None:
    """Run a base station: archive, live emission rates, files of the day, an interface for programs."""


@command.command(
    epilog="""\b
Examples:
  so2cam station new site.toml --name "Stromboli north"
  so2cam station run site.toml --open

\b
The file is valid and commented; what is a placeholder in it is named by `so2cam check`
and by the guide that the station's pages open with. A file that is there already is
never replaced. Exit codes: 0 written; 2 it cannot be."""
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="Name of the installation; without it that of the folder.")
def new(site: Path, name: str | None) -> None:
    """Write the site file that a new installation starts with."""
    from so2cam.formats.starter import starter_text
    from so2cam.store.atomic import atomic_new

    text = starter_text(name if name is not None else site.absolute().parent.name)
    atomic_new(site, text.encode())
    console.print(f"written: {site}", markup=False)
    console.print(f"go on with: so2cam station run {site} --open", markup=False)


@command.command(
    epilog="""\b
Examples:
  so2cam station run site.toml
  so2cam station run site.toml --for 3600 --quiet

\b
It stops on Ctrl-C and on SIGTERM; what came is kept, and processing goes on where
it was, to the last bit. Exit codes: 0 stopped as asked; 2 it cannot start."""
)
@click.argument("sites", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SITE...")
@click.option("--for", "run_for_s", type=click.FloatRange(min=0.1), metavar="S", help="Stop after S seconds.")
@click.option("--folder", type=FolderPath(), help="Keep everything here, not in station.folder.")
@click.option("--no-api", is_flag=True, help="No pages, and no answers to other programs.")
@click.option("--open", "open_", is_flag=True, help="Open the pages in a browser.")
@click.option("--quiet", "-q", is_flag=True, help="Do not print emission rates as they come.")
@click.option("--verbose", "-v", is_flag=True, help="Log details too.")
def run(
    sites: tuple[Path, ...],
    run_for_s: float | None,
    folder: Path | None,
    no_api: bool,
    open_: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Run the station of one or several site files; the settings of the station are those of the first.

    Files come from the nodes that the station is paired with (`so2cam pair`), and from the folders of
    [[station.watch]].
    """
    require_station()
    until = math.inf if run_for_s is None else time.monotonic() + run_for_s
    station = RenewedStation(list(sites), folder, api=not no_api)
    open_now = open_
    with logging_to_stderr(verbose):
        while True:
            with contextlib.ExitStack() as undo:
                assembly = station.open(undo)
                if assembly.api is not None:
                    tell_address(assembly.api)
                    tell_pages(assembly.api.url, open_=open_now)
                open_now = False
                with stopping(station.asked, assembly.supervisor.stop_event):
                    keep_out_of_collections()
                    assembly.supervisor.start()
                    left = until - time.monotonic()
                    print_rates(assembly.context, assembly.supervisor.stop_event, left, quiet=quiet)
                    assembly.stop()
            if station.asked.is_set() or not station.again.is_set():
                break
            tell_renewal()
    console.print("stopped; everything that came is kept")


def tell_address(api: "ApiServer") -> None:
    """Print where a station answers, its certificate, and how the first admin is made."""
    console.print(f"answers at {api.url}/docs", markup=False)
    if api.fingerprint is not None:
        console.print(f"  certificate, SHA-256: {spaced(api.fingerprint)}", markup=False)
    code = api.access.setup_code()
    if code is not None:
        console.print(f"  no admin yet: the code to make the first one is [bold]{code}[/bold]")


def print_rates(context: "StationContext", stop: threading.Event, run_for_s: float | None, *, quiet: bool) -> None:
    """Print the totals as they come until ``stop`` is set or time is over; by each method when it is known."""
    from so2cam.core.status import EmissionStatus

    newest: dict[tuple[str, str], datetime] = {}
    left = math.inf if run_for_s is None else run_for_s
    while left > 0 and not stop.wait(min(0.5, left)):
        left -= 0.5
        for site in () if quiet else context.sites:
            for method in site.loaded.site.processing.speed.methods:
                last = newest.get((site.name, method))
                after = None if last is None else last + timedelta(microseconds=1)
                try:
                    rates = context.catalogue.rates(
                        site.name, start=after, line="total", method=method, limit=50, newest=True
                    )
                except So2camError:
                    continue  # its service says so in the log
                known = [rate for rate in rates if rate.status != EmissionStatus.PENDING]
                for rate in known:
                    console.print(rate_line(site.name, rate), markup=False, highlight=False)
                if known:
                    newest[site.name, method] = known[-1].time


def rate_line(site: str, rate: "Rate") -> str:
    """Return one emission rate in words."""
    from so2cam.core.status import STATUS_TEXT, EmissionStatus

    head = f"{format_utc(rate.time)}  {site}  {rate.method:<18}"
    if rate.rate is None:
        return f"{head}  –  {STATUS_TEXT[EmissionStatus(rate.status)]}"
    return f"{head}  {rate.rate:7.3f} kg/s  ± {rate.random or 0:.3f} random, {rate.systematic or 0:.3f} systematic"


@contextmanager
def stopping(*stop: threading.Event) -> Iterator[None]:
    """Set all of ``stop`` on Ctrl-C and SIGTERM while this is entered."""

    def asked(_number: int, _frame: FrameType | None) -> None:
        for event in stop:
            event.set()

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def logging_to_stderr(verbose: bool) -> Iterator[None]:
    """Send the log of so2cam to standard error while this is entered."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("so2cam")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.handlers[:], logger.level, logger.propagate = before


def require_station() -> None:
    """Raise InputError where the packages of the station are not installed."""
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import sqlalchemy  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InputError(f"the package {error.name} is not installed", remedy="pip install 'so2cam[station]'") from None


@command.command(
    epilog="""\b
Examples:
  so2cam station status site.toml
  so2cam station status site.toml --json

\b
Exit codes: 0 all is well; 2 the station does not answer; 3 something is not well."""
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option("--url", help="Where the station answers, instead of station.api of the site file.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    envvar="SO2CAM_TOKEN_FILE",
    show_envvar=True,
    help="Holds a token, where the station asks for one: so2cam token create SITE --station > FILE",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def status(site: Path, url: str | None, token_file: Path | None, as_json: bool) -> int:
    """Show how a running station is: services, sites, newest frame and emission rate.

    Its certificate is compared with the one in its folder, where that is on this computer; otherwise it must be one
    that this computer trusts.
    """
    found = ask_status(site, url, token_file)
    if as_json:
        click.echo(json.dumps(found))
    else:
        _print_status(found)
    return 0 if found["ok"] else _NOT_WELL


def _print_status(found: dict) -> None:  # type: ignore[type-arg]
    for site in found["sites"]:
        live = site["live"]
        console.print(f"{site['name']} ({site['volcano']}): {live['state']} {live['message']}".rstrip(), markup=False)
        files = ", ".join(f"{count} {kind}" for kind, count in sorted(site["files"].items())) or "none"
        console.print(f"  files: {files}; {site['bytes'] / 1e9:.2f} GB", markup=False)
        console.print(f"  newest frame {site['newest_frame'] or '–'}, emission rate {site['newest_rate'] or '–'}")
        if live["late"]:
            console.print(f"  {live['late']} files of {live['day']} came late; the day is calculated again")
        if site["damaged_or_missing"]:
            report_warning(f"{site['damaged_or_missing']} files are damaged or missing: so2cam archive verify")
    console.print(f"{found['free_bytes'] / 1e9:.1f} GB free")
    for service in found["services"]:
        if service["state"] != "running":
            report_warning(f"{service['name']} {service['state']}: {service['message']}")
