"""``so2cam instrument run``: the agent of one node, or of all nodes of a bench."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from so2cam.cli.console import console
from so2cam.core.health import DeviceHealth, HealthRecord
from so2cam.core.site import Site
from so2cam.core.site_instrument import Node
from so2cam.formats.sitefile import load_site
from so2cam.instrument.agent import NodeAgent, RunOptions, RunSummary, find_node
from so2cam.instrument.errors import InstrumentError
from so2cam.instrument.install.settings import is_made_up
from so2cam.instrument.launch import FastTime, now_utc
from so2cam.instrument.logs import AgentLog
from so2cam.instrument.machine import Machine, MadeUpMachine, SystemMachine, finish
from so2cam.instrument.places import places_of, socket_to_serve

_CHILD_S = 8.0


@click.command(
    epilog="""\b
Examples:
  so2cam instrument run site.toml --node lead
  so2cam instrument run examples/bench/site.toml --node all --for 60

\b
It stops on Ctrl-C and on SIGTERM; what was captured is kept.
Exit codes: 0 stopped as asked; 1 with --for, where items could not be kept;
75 with systemd, to be
started anew; 2 it cannot start."""
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option(
    "--node", metavar="NAME", help="A node of the site file, or `all` (on a bench). Not needed where there is one."
)
@click.option("--for", "run_for_s", type=click.FloatRange(min=0.1), metavar="S", help="Stop after S seconds.")
@click.option("--socket", type=click.Path(path_type=Path), metavar="PATH", help="Where to listen for commands.")
@click.option("--rate", type=click.FloatRange(min=1, max=100_000), default=1.0, hidden=True)
@click.option("--tied", is_flag=True, hidden=True)
@click.option("--verbose", "-v", is_flag=True, help="Log details too.")
def run(
    site: Path, node: str | None, run_for_s: float | None, socket: Path | None, rate: float, tied: bool, verbose: bool
) -> None:
    """Run the agent of a node: it captures by its schedule, keeps everything, and reports how it is.

    SITE is the site file with the table [instrument].
    """
    loaded = load_site(site)
    node = node or _only_node(loaded.site)
    if node == "all":
        if socket is not None:
            raise click.UsageError("--socket goes with one node, not with all")
        instrument = loaded.site.instrument
        if instrument is None:
            find_node(loaded.site, node)
        else:
            _run_all(site, [one.name for one in instrument.nodes], run_for_s, rate, verbose)
        return
    instrument, found = find_node(loaded.site, node)
    log = AgentLog(
        folder=places_of(instrument, found, site).logs,
        size=instrument.health.log_bytes,
        files=instrument.health.log_files,
        verbose=verbose,
        journal="JOURNAL_STREAM" in os.environ,
        node=node if tied else None,
    )
    fast = None if rate == 1.0 else FastTime(rate=rate, start=now_utc(), began_s=time.time())
    options = RunOptions(run_for_s, fast, log.write_folded)
    agent = NodeAgent(loaded.site, site.absolute(), node, socket or socket_to_serve(site, node), options)
    log.open()
    try:
        with _stopping(agent, tied):
            summary = agent.run()
    finally:
        log.close()
    _print_summary(summary)
    if run_for_s is not None and summary.unsaved:
        click.get_current_context().exit(1)
    code = finish(summary.then, _machine(found, tied))
    if code:
        click.get_current_context().exit(code)


def _only_node(site: Site) -> str:
    names = [] if site.instrument is None else [one.name for one in site.instrument.nodes]
    if len(names) > 1:
        raise InstrumentError(
            "the site file has several nodes", remedy=f"say which one runs here: --node {', '.join(names)}, or all"
        )
    return names[0] if names else ""


@contextmanager
def _stopping(agent: NodeAgent, tied: bool) -> Iterator[None]:
    """Let SIGINT, SIGTERM, and with ``tied`` the end of standard input, stop the agent."""

    def stop(number: int, frame: FrameType | None) -> None:
        agent.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    if tied:
        threading.Thread(target=_stop_at_end_of_input, args=(agent,), name="tied", daemon=True).start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_at_end_of_input(agent: NodeAgent) -> None:
    while os.read(0, 4096):
        pass
    agent.stop()


def _run_all(site: Path, nodes: Sequence[str], run_for_s: float | None, rate: float, verbose: bool) -> None:
    """Run each node as a process of its own, as on computers of their own, until all have ended."""
    wanted = threading.Event()
    before = {number: signal.signal(number, lambda *_: wanted.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for node in nodes:
            arguments = ["instrument", "run", str(site), "--node", node, "--tied"]
            arguments += [] if run_for_s is None else ["--for", f"{run_for_s:g}"]
            arguments += [] if rate == 1.0 else ["--rate", f"{rate:g}"]
            arguments += ["--verbose"] if verbose else []
            children[node] = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, "-P", "-m", "so2cam", *arguments], stdin=subprocess.PIPE, start_new_session=True
            )
        failed = None
        while any(child.poll() is None for child in children.values()) and not wanted.is_set():
            failed = next((name for name, child in children.items() if child.poll() not in (None, 0)), None)
            if failed is not None:
                break
            wanted.wait(0.2)
    finally:
        codes = _end(children)
        for number, handler in before.items():
            signal.signal(number, handler)
    bad = [f"{name} ({code})" for name, code in codes.items() if code != 0]
    if bad:
        raise InstrumentError(
            f"ended with an error: {', '.join(bad)}", remedy="see the messages above; all other nodes were stopped"
        )


def _end(children: dict[str, subprocess.Popen[bytes]]) -> dict[str, int]:
    for child in children.values():
        if child.poll() is None:
            child.terminate()
    limit = time.monotonic() + _CHILD_S
    codes = {}
    for name, child in children.items():
        try:
            codes[name] = child.wait(max(0.1, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            codes[name] = child.wait(_CHILD_S)
        if child.stdin is not None:
            child.stdin.close()
    return codes


def _print_summary(summary: RunSummary) -> None:
    record = summary.health
    console.print(f"node {record.node}: stopped", markup=False)
    for device in record.devices:
        console.print(f"  {_device_line(device)}", markup=False)
    _print_left(record, summary.unsaved)


def _device_line(device: DeviceHealth) -> str:
    if device.role == "power":
        return f"{device.name}: {', '.join(f'{key} {value:g}' for key, value in device.readings.items()) or 'not read'}"
    parts = [f"{device.stored} kept"]
    for count, words in (
        (device.captured - device.stored, "captured and not kept"),
        (device.skipped_grid_points, "grid times without an item"),
        (device.rejected, "rejected"),
        (device.restarts, "restarts"),
    ):
        if count > 0:
            parts.append(f"{count} {words}")
    return f"{device.name}: {', '.join(parts)}"


def _print_left(record: HealthRecord, unsaved: int) -> None:
    if unsaved:
        console.print(f"  {unsaved} items could not be kept before the end", markup=False)
    if record.spool.items is not None:
        waiting = record.spool.undelivered or 0
        console.print(f"  spool: {record.spool.items} items, {waiting} to be delivered", markup=False)


def _machine(node: Node, tied: bool) -> Machine:
    """Return the computer that a node runs on; one that is tied to another process is no service itself."""
    service = False if tied else None
    if is_made_up(node):
        return MadeUpMachine(lambda text: console.print(f"  {text}", markup=False), service=service)
    return SystemMachine(service=service)
