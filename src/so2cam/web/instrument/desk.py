"""What all tabs of the Instrument page work with: the nodes, how they are, and buttons that say what came of a command.

Most tabs are of one node. Those of the whole instrument are of all nodes that have cameras or spectrometers; what is
commanded there goes to all of them at once.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from nicegui import ui

from so2cam.core.health import DeviceHealth
from so2cam.link.errors import LinkRefusedError
from so2cam.link.messages import Command
from so2cam.link.protocol import Role
from so2cam.station.nodes import NodeInfo, NodeLook
from so2cam.station.together import Tell, Told, tell_all
from so2cam.web.parts import Report, action
from so2cam.web.view import View

Update = Callable[[NodeLook], None]


CELLS = "instrument/cells"
"""The topic under which others are told of a calibration with gas cells"""


@dataclass(slots=True)
class Desk:
    """One tab at one browser, of one node or of several at once. ``state`` is what the address says."""

    view: View
    infos: tuple[NodeInfo, ...]
    state: dict[str, str]
    looks: dict[str, NodeLook] = field(default_factory=dict)
    _updates: list[Update] = field(default_factory=list)

    @property
    def info(self) -> NodeInfo:
        """The node; the first of several."""
        return self.infos[0]

    @property
    def node(self) -> str:
        """The node's name; that of the first of several."""
        return self.info.name

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of all nodes that are meant."""
        return tuple(info.name for info in self.infos)

    @property
    def look(self) -> NodeLook:
        """How the node is; how the first of several is."""
        return self.looks.get(self.node, NodeLook())

    @property
    def topics(self) -> tuple[str, ...]:
        """What is told to others who look at these nodes when something was changed."""
        return tuple(f"instrument/{name}" for name in self.nodes)

    @property
    def topic(self) -> str:
        """The topic of the node; that of the first of several."""
        return self.topics[0]

    def keep(self, **state: str | None) -> None:
        """Keep something in the address."""
        for key, value in state.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self.view.keep(**{key: None for key in self.view.query if key not in self.state}, **self.state)

    def watch(self, update: Update) -> None:
        """Call ``update`` now and whenever it is known anew how a node is."""
        self._updates.append(update)
        update(self.look)

    def show(self, node: str, look: NodeLook) -> None:
        """Tell all parts of the tab how a node is."""
        self.looks[node] = look
        for update in list(self._updates):
            update(self.look)

    def clear(self) -> None:
        """Forget the parts: another tab is drawn."""
        self._updates.clear()

    def devices(self, *roles: str) -> tuple[DeviceHealth, ...]:
        """Return the devices of the nodes, as far as they are known; ``roles``: only those."""
        healths = [self.looks[name].health for name in self.nodes if name in self.looks]
        found = [one for health in healths if health is not None for one in health.devices]
        return tuple(one for one in found if not roles or one.role in roles)

    def node_of(self, device: str) -> str:
        """Return the node of a device; the first node where it is not known. No two devices have the same name."""
        for name, look in self.looks.items():
            if look.health is not None and any(one.name == device for one in look.health.devices):
                return name
        return self.node

    def ask(self, say: Any, *, node: str | None = None) -> Any:
        """Ask a node; to be called in a thread. Raises LinkError."""
        return self.view.pages.nodes.ask(node or self.node, say)

    def command(self, command: Command) -> Any:
        """Have the node carry a command out for the visitor; to be called in a thread. Raises LinkError."""
        return teller(self.view)(self.node, command)

    def tell(self, command: Command) -> Told:
        """Have all nodes carry a command out at once; one that names devices goes to the nodes that have them.

        To be called in a thread. Raises LinkRefusedError where no node has one of the devices.
        """
        wanted = tuple(getattr(command, "devices", ()))
        if not wanted or len(self.nodes) == 1:
            return tell_all(dict.fromkeys(self.nodes, command), teller(self.view))
        known = {device.name for device in self.devices()}
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise LinkRefusedError(f"no node has {', '.join(unknown)}", remedy="load the page anew")
        parts = {name: tuple(one for one in wanted if self.node_of(one) == name) for name in self.nodes}
        each = {name: command.model_copy(update={"devices": mine}) for name, mine in parts.items() if mine}
        return tell_all(each, teller(self.view))

    def say(self, command: Command) -> str:
        """As ``tell``, and return in words what it came to. Raises So2camError where a node did not do it."""
        return self.tell(command).require().words

    def told(self) -> None:
        """Say to all who look at these nodes that something changed."""
        for topic in self.topics:
            self.view.changed(topic)

    def button(
        self,
        label: str,
        work: Callable[[], str | None],
        *,
        test: str,
        report: Report,
        role: Role = Role.OPERATOR,
        confirm: str | None = None,
        danger: bool = False,
        quiet: bool = False,
        after: Callable[[], object] | None = None,
    ) -> ui.button:
        """Return a button that does ``work`` in a thread; all who look at the node learn of it."""

        def done() -> None:
            self.told()
            if after is not None:
                after()

        button = action(
            self.view,
            label,
            work,
            test=test,
            report=report,
            role=role,
            confirm=confirm,
            danger=danger,
            after=done,
        )
        return button.props(add="outline", remove="unelevated") if quiet else button


def teller(view: View) -> Tell:
    """Return what has a node carry a command out for the visitor, and writes it down."""

    def note(word: str, detail: dict[str, Any], outcome: str) -> None:
        view.pages.note(view.visitor, word, detail, outcome)

    return lambda node, command: view.pages.nodes.command(node, command, view.visitor.principal, note)


Draw = Callable[[Desk], Awaitable[None] | None]
