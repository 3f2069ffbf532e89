"""The small parts that pages are made of: tiles, chips, ages, choices, actions, and what stands where nothing is."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final, Literal

from nicegui import ui
from nicegui.events import GenericEventArguments

from so2cam.core.errors import So2camError
from so2cam.core.supervision import SupervisionPoint
from so2cam.core.times import format_utc
from so2cam.link.protocol import Role
from so2cam.web.props import put_props
from so2cam.web.view import View

_LOG = logging.getLogger(__name__)
State = Literal["", "ok", "warn", "bad"]
MISSING: Final = "–"


def number(value: float | None, digits: int = 2) -> str:
    """Return a value with ``digits`` significant figures, at most, as people write it: no exponent, a true minus."""
    if value is None or value != value:
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    magnitude = f"{abs(value):.{digits - 1}e}"
    places = max(0, digits - 1 - int(magnitude.partition("e")[2]))
    return f"{value:.{places}f}".replace("-", "−")


def with_uncertainty(value: float | None, sigma: float | None) -> tuple[str, str]:
    """Return value and 1 sigma, both to the place of the second figure of sigma; the value alone to three figures."""
    if value is None or value != value:
        return MISSING, ""
    if sigma is None or sigma != sigma or sigma <= 0:
        return number(value, 3), ""
    places = max(0, 1 - int(f"{sigma:.1e}".partition("e")[2]))
    return f"{value:z.{places}f}".replace("-", "−"), f"{sigma:.{places}f}"


def time_text(time: datetime | None, *, date: bool = True) -> str:
    """Return a time as pages write it: ``2026-03-01 12:00:00 UTC``."""
    if time is None:
        return MISSING
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S UTC}" if date else f"{time.astimezone(UTC):%H:%M:%S UTC}"


class Ago:
    """How long ago something was; the browser keeps it, with UTC and local time on hover."""

    def __init__(self, time: datetime | None = None, *, stale_s: float | None = None) -> None:
        """After ``stale_s`` the nearest tile around it looks stale."""
        self._element = ui.element("time").classes("so-ago")
        if stale_s is not None:
            self._element.props(f"data-stale={stale_s:g}")
        self._shown: datetime | None = None
        self.set(time)

    def set(self, time: datetime | None) -> None:
        """Show how long ago ``time`` was; nothing for None."""
        if time is None:
            self._element.props(remove="data-time")
        elif time != self._shown:
            self._element.props(f"data-time={format_utc(time)}")
        self._shown = time


class Tile:
    """A value with its unit, its uncertainty, how old it is, and why it is missing or doubtful."""

    def __init__(self, label: str, unit: str, *, test: str, hint: str = "", stale_s: float | None = 60.0) -> None:
        """``test``: its test id. ``hint``: what the label means, on hover. After ``stale_s`` it looks stale."""
        self.box = put_props(ui.element("div").classes("so-tile is-missing").props("data-ages"), {"data-testid": test})
        with self.box:
            self._label = ui.label(label).classes("so-tile-label")
            if hint:
                put_props(self._label, {"title": hint})
            with ui.element("div").classes("so-tile-value"):
                self._value = put_props(ui.label(MISSING).style("display: inline"), {"data-testid": f"{test}-value"})
                ui.html(f"<small>{escape(unit)}</small>", sanitize=False, tag="span")
            with ui.element("div").classes("so-tile-foot"):
                self._more = put_props(ui.label("").classes("so-tile-more"), {"data-testid": f"{test}-more"})
                self._ago = Ago(stale_s=stale_s)
            self._why = put_props(ui.label("").classes("so-tile-why"), {"data-testid": f"{test}-why"})
            self._why.set_visibility(False)

    def set(self, value: str, *, more: str = "", why: str = "", time: datetime | None = None) -> None:
        """Show a value; ``more`` is its uncertainty in words, ``why`` says why it is missing or to be doubted."""
        self._value.set_text(value)
        self._more.set_text(more)
        self._why.set_text(why)
        self._why.set_visibility(bool(why))
        self._ago.set(time)
        if value == MISSING:
            self.box.classes(add="is-missing")
        else:
            self.box.classes(remove="is-missing")

    def set_label(self, text: str) -> None:
        """Change what the value is called."""
        self._label.set_text(text)


class Chip:
    """A state in a word or two: a dot, a square or a diamond, never colour alone."""

    def __init__(self, text: str = "", state: State = "", *, test: str = "") -> None:
        self._element = ui.label(text).classes("so-chip")
        if test:
            put_props(self._element, {"data-testid": test})
        self.set(text, state)

    def set(self, text: str, state: State = "", *, title: str = "") -> None:
        """Change it. ``title`` is said on hover."""
        self._element.set_text(text)
        put_props(self._element, {"data-state": state or "none", "title": title})


def one_of(options: Sequence[tuple[str, str]], wanted: str) -> str:
    """Return the key that is wanted, such as by an address, where ``options`` (key, words) have it; else the first."""
    return wanted if wanted in dict(options) else options[0][0]


class Choice:
    """One of a few: buttons side by side."""

    def __init__(
        self,
        options: Sequence[tuple[str, str]],
        value: str,
        on_change: Callable[[str], object],
        *,
        label: str,
        test: str,
    ) -> None:
        """``options``: (key, words); ``label`` says to screen readers what is chosen."""
        self.value = value
        self._buttons: dict[str, ui.element] = {}
        box = ui.element("div").classes("so-choice")
        with put_props(box.props("role=group"), {"aria-label": label, "data-testid": test}):
            for key, words in options:
                button = put_props(ui.element("button").props("type=button"), {"data-testid": f"{test}-{key}"})
                with button:
                    ui.html(escape(words), sanitize=False, tag="span")
                button.on("click", lambda _, key=key: self._chosen(key, on_change))
                self._buttons[key] = button
        self.set(value)

    def set(self, value: str) -> None:
        """Show which one is chosen."""
        self.value = value
        for key, button in self._buttons.items():
            button.props(f"aria-pressed={'true' if key == value else 'false'}")

    def _chosen(self, key: str, on_change: Callable[[str], object]) -> object:
        if key == self.value:
            return None
        self.set(key)
        return on_change(key)


class Report:
    """A line that says what an action came to, and when."""

    def __init__(self, *, test: str) -> None:
        self._element = put_props(ui.label("").classes("so-report").props("role=status"), {"data-testid": test})

    def say(self, text: str, state: State = "") -> None:
        """Say it, with the time where it is an outcome."""
        stamp = f"{datetime.now(UTC):%H:%M:%S UTC} · " if state else ""
        self._element.set_text(f"{stamp}{text}" if text else "")
        self._element.props(f"data-state={state or 'none'}")


def action(
    view: View,
    label: str,
    work: Callable[[], str | None],
    *,
    test: str,
    report: Report,
    role: Role = Role.OPERATOR,
    confirm: str | None = None,
    audit: str | None = None,
    after: Callable[[], object] | None = None,
    danger: bool = False,
) -> ui.button:
    """Return a button that does ``work`` in a thread, once at a time, and says in ``report`` what it came to.

    ``work`` returns what to say (None: done) and raises So2camError where it is refused. ``confirm``: a question that
    is asked first. ``audit``: the word under which it is noted. ``after`` is called on the page when it is done.
    Who may not do it sees the button, disabled, with the reason.
    """
    button = ui.button(label).props("no-caps unelevated" + (" color=negative" if danger else ""))
    put_props(button, {"data-testid": test})
    if not view.visitor.may(role):
        button.disable()
        button.props(f'title="This needs the role {role.word}."')
        return button

    async def do() -> None:
        if not view.may(role):
            report.say(f"{label}: refused; this needs the role {role.word}", "bad")
            return
        if confirm is not None and not await ask(confirm, label, danger=danger):
            return
        button.disable()
        button.props("loading")
        report.say(f"{label} …")
        said = None
        with SupervisionPoint("the work of a button") as point:
            said = await view.in_thread(work)
        error, outcome = point.error, "done" if point.error is None else "refused"
        if error is None:
            report.say(said or f"{label}: done", "ok")
        elif isinstance(error, So2camError):
            key = f"{error.key} " if error.key and error.key not in error.message else ""
            report.say(f"{label}: {key}{error.message}" + (f". {error.remedy}" if error.remedy else ""), "bad")
        else:
            _LOG.error("%s failed", label, exc_info=error)
            report.say(f"{label} failed: {type(error).__name__}: {error}", "bad")
        button.enable()
        button.props(remove="loading")
        if audit is not None:
            await view.in_thread(lambda: view.pages.note(view.visitor, audit, {"action": label}, outcome))
        if after is not None:
            after()

    button.on_click(do)
    return button


def field(
    label: str, *, test: str, value: str = "", example: str = "", props: str = "", wide: bool = False
) -> ui.input:
    """A field of a form; ``example`` stands in it while it is empty, ``props`` are more of the component's own."""
    made = ui.input(label, value=value, placeholder=example).props(f"dense outlined stack-label {props}")
    return put_props(made.classes("so-input is-wide" if wide else "so-input"), {"data-testid": test})


def pick(label: str, options: Mapping[str, str], value: str | None, *, test: str) -> ui.select:
    """A field of a form in which one of ``options`` (words by key) is chosen."""
    made = ui.select(dict(options), value=value, label=label).props("dense outlined stack-label").classes("so-input")
    return put_props(made, {"data-testid": test})


async def ask(question: str, yes: str, *, danger: bool = False) -> bool:
    """Ask before something is done; return whether the answer was yes."""
    with ui.dialog() as dialog, ui.card().classes("so-panel").props("data-testid=confirm"):
        ui.label(question)
        with ui.row():
            ui.button("Cancel", on_click=lambda: dialog.submit(False)).props("flat no-caps data-testid=confirm-no")
            ui.button(yes, on_click=lambda: dialog.submit(True)).props(
                "unelevated no-caps data-testid=confirm-yes" + (" color=negative" if danger else "")
            )
    answer = await dialog
    dialog.delete()
    return bool(answer)


def panel(title: str, *, test: str, hint: str = "") -> tuple[ui.element, ui.element]:
    """Return a panel with a heading, and the row of the heading, for what stands to the right of it."""
    box = put_props(ui.element("section").classes("so-panel"), {"data-testid": test})
    with box:
        head = ui.element("div").classes("so-panel-head")
        with head:
            put_props(ui.html(escape(title), sanitize=False, tag="h2"), {"title": hint})
    return box, head


def empty(text: str, *, title: str = "", test: str = "empty") -> ui.html:
    """Say why there is nothing here, and what brings something."""
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    made = ui.html(f"{heading}<p>{escape(text)}</p>", sanitize=False).classes("so-empty")
    return put_props(made, {"data-testid": test})


def sentence(failure: So2camError) -> str:
    """Return what went wrong and what to do about it, as sentences."""
    said = [text[:1].upper() + text[1:] for text in (failure.message, failure.remedy or "") if text]
    return " ".join(text if text.endswith((".", "?", "!")) else f"{text}." for text in said)


def error(message: str, *, test: str = "error") -> ui.label:
    """Say what went wrong."""
    return put_props(ui.label(message).classes("so-error").props("role=alert"), {"data-testid": test})


def detail(event: GenericEventArguments) -> dict[str, object]:
    """Return the detail of a browser's event as a dictionary."""
    found = event.args.get("detail") if isinstance(event.args, dict) else None
    return found if isinstance(found, dict) else {}
