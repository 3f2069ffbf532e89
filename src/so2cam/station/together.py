"""A command to several nodes of one instrument at once, and what became of it at each.

Each node has a link, a key and a ledger of its own, so that a command takes effect once at each of them. There is no
command of an instrument: what a node did stands where another one did not, unless it is undone by another command.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from so2cam.core.errors import So2camError
from so2cam.link.errors import LinkError
from so2cam.link.messages import Command, DeviceOutcome, Done, ScheduleResult
from so2cam.station.context import StationSite
from so2cam.station.nodes import NodeInfo, Nodes

Tell = Callable[[str, Command], Any]
"""Has a node carry a command out for somebody; raises So2camError where it does not."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a command came to at one node: its result, or why there is none."""

    node: str
    result: Any = None
    error: So2camError | None = None

    @property
    def outcomes(self) -> tuple[DeviceOutcome, ...]:
        """What became of it at each device."""
        return self.result.outcomes if isinstance(self.result, Done) else ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Who did not do it, and why: the node, or some of its devices."""
        if self.error is not None:
            return (f"{self.node}: {self.error.message}",)
        return tuple(f"{one.device}: {one.text}" for one in self.outcomes if not one.done)


@dataclass(frozen=True, slots=True)
class Told:
    """What a command came to at all nodes that were meant."""

    parts: tuple[Part, ...]

    @property
    def done(self) -> tuple[Part, ...]:
        """The nodes that did it."""
        return tuple(part for part in self.parts if part.error is None)

    @property
    def failed(self) -> tuple[Part, ...]:
        """The nodes that did not."""
        return tuple(part for part in self.parts if part.error is not None)

    @property
    def missing(self) -> tuple[str, ...]:
        """Nodes and devices that did not do it, and why."""
        return tuple(text for part in self.parts for text in part.missing)

    @property
    def words(self) -> str:
        """What was done, node by node; once where all did the same."""
        texts = dict.fromkeys(_text(part.result) for part in self.done)
        if len(texts) > 1:
            return "; ".join(f"{part.node}: {words_of(part.result)}" for part in self.done)
        details = "; ".join(_details(part.result) for part in self.done if _details(part.result))
        return "".join(texts) + (f" ({details})" if details else "")

    def error(self, undone: str = "", *, remedy: str | None = None) -> So2camError:
        """Return the error that says who did not do it, and what was done all the same; or ``undone``, of that."""
        failed = self.failed
        first = failed[0].error if failed else None
        if first is not None and not undone and not self.done and len({str(part.error) for part in failed}) == 1:
            return first
        done = f"done at {', '.join(part.node for part in self.done)}: {self.words}" if self.done else ""
        said = [f"not at {'; not at '.join(self.missing)}", undone or done]
        remedy = remedy or (first.remedy if first is not None else None)
        return LinkError("; ".join(text for text in said if text), remedy=remedy)

    def require(self) -> "Told":
        """Return this. Raises So2camError where a node did not do it."""
        if self.failed:
            raise self.error()
        return self


def tell_all(commands: Mapping[str, Command], tell: Tell) -> Told:
    """Give each node its command, all at the same time, and return what became of it at each."""

    def part(node: str) -> Part:
        try:
            return Part(node, tell(node, commands[node]))
        except So2camError as error:
            return Part(node, error=error)

    with ThreadPoolExecutor(max(1, len(commands)), thread_name_prefix="together") as pool:
        return Told(tuple(pool.map(part, commands)))


def words_of(result: object) -> str:
    """Return in words what a command came to, device by device."""
    details = _details(result)
    return f"{_text(result)} ({details})" if details else _text(result)


def members(nodes: Nodes, site: StationSite, *types: str) -> tuple[NodeInfo, ...]:
    """Return the nodes of a site's instrument with devices of these types, or that may have some. Raises LinkError.

    A node that is paired, but not in the site file, tells by itself what it has.
    """
    instrument = site.loaded.site.instrument
    known = {node.name: {device.type for device in node.devices} for node in instrument.nodes} if instrument else {}

    def has_some(info: NodeInfo) -> bool:
        if info.name in known:
            return bool(known[info.name] & set(types))
        health = nodes.look(info.name).health if info.paired else None
        return health is None or any(device.role in types for device in health.devices)

    return tuple(info for info in nodes.of_site(site) if has_some(info))


def _text(result: object) -> str:
    if isinstance(result, Done):
        return result.text
    if isinstance(result, ScheduleResult):
        until = f" until {result.paused_until:%Y-%m-%d %H:%M} UTC" if result.paused_until else ""
        return f"{result.activity}{until}"
    return "done"


def _details(result: object) -> str:
    outcomes = result.outcomes if isinstance(result, Done) else ()
    return "; ".join(f"{one.device}: {one.text}" for one in outcomes)
