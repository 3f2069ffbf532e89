"""What all tabs of the Instrument page work with: the node, how it is, and buttons that say what a command came to."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from nicegui import ui

from so2cam.core.health import DeviceHealth
from so2cam.link.messages import Command, Done
from so2cam.link.protocol import Role
from so2cam.station.nodes import COMMAND_S, NodeInfo, NodeLook
from so2cam.web.parts import Report, action
from so2cam.web.view import View

Update = Callable[[NodeLook], None]


@dataclass(slots=True)
class Desk:
    """One tab, of one node, at one browser. ``state`` is what the address says."""

    view: View
    info: NodeInfo
    state: dict[str, str]
    look: NodeLook = field(default_factory=NodeLook)
    _updates: list[Update] = field(default_factory=list)

    @property
    def node(self) -> str:
        """The node's name."""
        return self.info.name

    @property
    def topic(self) -> str:
        """What is told to others who look at this node when something was changed."""
        return f"instrument/{self.node}"

    def keep(self, **state: str | None) -> None:
        """Keep something in the address."""
        for key, value in state.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self.view.keep(**{key: None for key in self.view.query if key not in self.state}, **self.state)

    def watch(self, update: Update) -> None:
        """Call ``update`` now and whenever it is known anew how the node is."""
        self._updates.append(update)
        update(self.look)

    def show(self, look: NodeLook) -> None:
        """Tell all parts of the tab how the node is."""
        self.look = look
        for update in list(self._updates):
            update(look)

    def clear(self) -> None:
        """Forget the parts: another tab is drawn."""
        self._updates.clear()

    def devices(self, *roles: str) -> tuple[DeviceHealth, ...]:
        """Return the devices of the node, as far as they are known; ``roles``: only those."""
        health = self.look.health
        if health is None:
            return ()
        return tuple(one for one in health.devices if not roles or one.role in roles)

    def ask(self, say: Any) -> Any:
        """Ask the node; to be called in a thread. Raises LinkError."""
        return self.view.pages.nodes.ask(self.node, say)

    def command(self, command: Command, *, patience_s: float = COMMAND_S) -> Any:
        """Have a command carried out for the visitor; to be called in a thread. Raises LinkError where refused."""
        view = self.view

        def note(word: str, detail: dict[str, Any], outcome: str) -> None:
            view.pages.note(view.visitor, word, detail, outcome)

        return view.pages.nodes.command(self.node, command, view.visitor.principal, note, patience_s=patience_s)

    def say(self, command: Command, *, patience_s: float = COMMAND_S) -> str:
        """As ``command``, and return in words what it came to."""
        return words_of(self.command(command, patience_s=patience_s))

    def told(self) -> None:
        """Say to all who look at this node that something changed."""
        self.view.changed(self.topic)

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


def words_of(result: object) -> str:
    """Return in words what a command came to, device by device."""
    if not isinstance(result, Done):
        return "done"
    details = [f"{one.device}: {one.text}" for one in result.outcomes]
    return f"{result.text} ({'; '.join(details)})" if details else result.text


Draw = Callable[[Desk], Awaitable[None] | None]
