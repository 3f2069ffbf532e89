"""Finding and asking the agents that run on this computer."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import click

from so2cam.core.site_instrument import Instrument, Node
from so2cam.formats.sitefile import load_site
from so2cam.instrument.agent import find_node
from so2cam.instrument.errors import InstrumentError
from so2cam.instrument.places import socket_to_ask
from so2cam.link.local import LocalClient, NotRunningError
from so2cam.link.messages import Command, Refused, Result

_Function = TypeVar("_Function", bound=Callable[..., Any])


def site_argument(function: _Function) -> _Function:
    """Add the arguments that all commands to agents have: the site file, node and socket."""
    function = click.option(
        "--socket", type=click.Path(path_type=Path), metavar="PATH", help="Where the agent listens, if not as usual."
    )(function)
    function = click.option(
        "--node", metavar="NAME", help="A node; without it, all nodes whose agents run on this computer."
    )(function)
    return click.argument("site", type=click.Path(path_type=Path))(function)


def device_option(function: _Function) -> _Function:
    """Add ``--device``."""
    return click.option(
        "--device",
        "devices",
        multiple=True,
        metavar="NAME",
        help="A device (repeat for several); without it, all that capture.",
    )(function)


class Agents:
    """The agents of an installation on this computer."""

    def __init__(self, site: Path, node: str | None, socket: Path | None, devices: Sequence[str] = ()) -> None:
        """Load the site file and choose nodes. Raises So2camError where there are none of that name."""
        loaded = load_site(site)
        if loaded.site.instrument is None:
            find_node(loaded.site, node or "")
        self._instrument: Instrument = loaded.site.instrument  # type: ignore[assignment]
        self._site = site
        self._socket = socket
        if node is not None:
            find_node(loaded.site, node)
        self.devices = tuple(devices)
        self.nodes = [one for one in self._instrument.nodes if node is None or one.name == node]
        self.chosen = node is not None
        for name in self.devices:
            if not any(name in _names(one) for one in self.nodes):
                known = ", ".join(name for one in self.nodes for name in _names(one))
                raise InstrumentError(
                    "there is no such device", key="device", value=name, remedy=f"devices are {known}"
                )

    def targets(self, node: Node) -> tuple[str, ...] | None:
        """Return the devices that are meant on a node, empty for all; None where none of them is there."""
        if not self.devices:
            return ()
        here = tuple(name for name in self.devices if name in _names(node))
        return here or None

    def ask(
        self, command: Callable[[tuple[str, ...]], Command], *, timeout_s: float = 30.0
    ) -> list[tuple[Node, Result]]:
        """Ask every chosen node that is running; ``command`` is called with the devices that are meant there.

        Raises NotRunningError where none of them runs, or the one that is named does not.
        """
        meant = [(node, targets) for node in self.nodes if (targets := self.targets(node)) is not None]

        def ask_one(node: Node, targets: tuple[str, ...]) -> Result | NotRunningError:
            path = self._socket or socket_to_ask(self._site, node.name)
            try:
                with LocalClient(path, node=node.name, timeout_s=timeout_s) as client:
                    return client.ask(command(targets))
            except NotRunningError as error:
                return error

        # All at once: both bands see the same cell at the same time.
        with ThreadPoolExecutor(max_workers=len(meant)) as pool:
            found = list(pool.map(lambda pair: ask_one(*pair), meant))
        answers: list[tuple[Node, Result]] = []
        absent: list[NotRunningError] = []
        for (node, _), one in zip(meant, found, strict=True):
            if isinstance(one, NotRunningError):
                if self.chosen:
                    raise one
                absent.append(one)
            else:
                answers.append((node, one))
        if not answers and absent:
            names = ", ".join(node.name for node in self.nodes)
            raise NotRunningError(
                f"no agent of {names} runs on this computer",
                file=self._site,
                remedy=f"start one: so2cam instrument run {self._site} --node {self.nodes[0].name}",
            )
        return answers


def require_done(answers: Sequence[tuple[Node, Result]]) -> None:
    """Raise InstrumentError where every node refused."""
    refusals = [(node, result) for node, result in answers if isinstance(result, Refused)]
    if refusals and len(refusals) == len(answers):
        node, first = refusals[0]
        details = "".join(
            f"\n  {outcome.device}: {outcome.text}"
            for _, one in refusals
            for outcome in one.outcomes
            if not outcome.done
        )
        raise InstrumentError(f"node {node.name}: {first.text}{details}", key=first.key, remedy=first.remedy)


def _names(node: Node) -> list[str]:
    return [device.name for device in node.enabled]
