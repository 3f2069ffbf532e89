"""The alarms page: what is wrong now, who has seen it, the rules with their thresholds, and what was."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from html import escape
from typing import Final

from nicegui import ui
from nicegui.events import GenericEventArguments

from so2cam.core.errors import So2camError
from so2cam.core.site_alarms import AlarmRule
from so2cam.link.protocol import Role
from so2cam.station.alarms import rules_of
from so2cam.station.alarms_observation import Measurement, measure
from so2cam.station.alarms_source import AlarmSource
from so2cam.station.alarms_store import Event, Message
from so2cam.web import alarm_words as words
from so2cam.web import shell
from so2cam.web.parts import Ago, Chip, Choice, Report, action, empty, error, panel, time_text
from so2cam.web.props import put_props
from so2cam.web.registry import page
from so2cam.web.tables import TYPED
from so2cam.web.view import View

TOPIC: Final = "alarms"
_LONGEST_NOTE: Final = 200
_SPANS: Final = (("25", "25"), ("100", "100"), ("500", "500"))


@page(
    "/alarms",
    title="Alarms",
    nav="Alarms",
    keys="g m",
    order=65,
    hint="What is wrong, and the rules that watch",
    about=(
        "Alarms that go on stand first; acknowledge one with a note and all who look see it. Below are the "
        "rules that watch, in words and with their thresholds. The history keeps every alarm that ended."
    ),
    docs="web-health",
)
async def alarms(view: View) -> None:
    """Show the alarms that go on, the rules, and the history."""
    ui.add_head_html(f'<link rel="stylesheet" href="{shell.asset_url("health.css")}">')
    rules = {rule.name: rule for rule in rules_of(view.site.loaded.site)}
    current = _Current(view, rules)
    current.draw()
    _rules(view, tuple(rules.values()))
    history = _History(view, rules)
    history.draw()

    async def look() -> None:
        await current.look()
        await history.look()

    view.every(2.0, look)
    view.on_change(TOPIC, look, every_s=0.3)


def _told(view: View, events: Sequence[Event]) -> dict[int, list[Message]]:
    """Return the messages of events; nobody is asked where the site file names nobody."""
    site = view.site.loaded.site
    if site.alarms is None or not site.alarms.targets:
        return {}
    return {event.id: view.pages.alarms.messages(event.id) for event in events}


class _Current:
    """The alarms that go on: a card for each, kept as long as it goes on, so that a note is not lost."""

    def __init__(self, view: View, rules: dict[str, AlarmRule]) -> None:
        self._view, self._rules = view, rules
        self._cards: dict[int, _Card] = {}

    def draw(self) -> None:
        """Draw the panel."""
        box, head = panel("Now", test="current", hint="What the rules find wrong now; each ends by itself.")
        with head:
            self._chip = Chip("", test="alarms-state")
        with box:
            self._problem = error("", test="alarms-problem")
            self._problem.set_visibility(False)
            self._list = ui.element("div").style("display: grid; gap: 0.6rem")
            self._none = empty(f"{len(self._rules)} rules are watched; none finds anything wrong.", title="No alarms")
            self._none.set_visibility(False)
            self._report = Report(test="alarms-report")

    async def look(self) -> None:
        """Show what goes on now."""
        view = self._view

        def read() -> tuple[list[Event], dict[int, list[Message]]]:
            events = view.pages.open_events(view.site.name)
            return events, _told(view, events)

        try:
            events, told = await view.shared("alarms-now", 0.2, read)
        except So2camError as problem:
            self._problem.set_text(problem.message)
            self._problem.set_visibility(True)
            return
        self._problem.set_visibility(False)
        now = {event.id: event for event in events}
        for number in [number for number in self._cards if number not in now]:
            self._cards.pop(number).box.delete()
        for event in sorted(events, key=lambda event: event.id):
            card = self._cards.get(event.id)
            if card is None:
                with self._list:
                    card = _Card(view, event, self._rules.get(event.rule), self._report)
                card.box.move(self._list, 0)
                self._cards[event.id] = card
            card.show(event, told.get(event.id, []))
        self._none.set_visibility(not events)
        unseen = sum(event.acknowledged is None for event in events)
        if not events:
            self._chip.set("all is well", "ok")
        elif unseen:
            self._chip.set(f"{unseen} not acknowledged", "bad")
        else:
            self._chip.set("all acknowledged", "warn")


class _Card:
    """One alarm that goes on."""

    def __init__(self, view: View, event: Event, rule: AlarmRule | None, report: Report) -> None:
        self._view, self._rule, self._id = view, rule, event.id
        self.box = ui.element("article").classes("so-alarm").props(f"data-testid=alarm-{event.id}")
        self.box.props(f"data-level={event.level}")
        with self.box:
            with ui.element("div").classes("so-alarm-head"):
                Chip(event.level, words.level_state(event.level))
                ui.label(event.rule)
                ui.label(event.subject).classes("so-quiet so-small")
            ui.label(event.text).classes("so-alarm-text")
            with ui.element("div").classes("so-alarm-meta"):
                with ui.element("span"):
                    ui.label("began ").style("display: inline")
                    Ago(event.began)
                self._worst = ui.label("")
                self._told = ui.label("")
            self._seen = ui.label("").classes("so-seen").props(f"data-testid=alarm-{event.id}-seen")
            self._do = ui.element("div").classes("so-alarm-do")
            with self._do:
                with ui.element("label").classes("so-field") as field:
                    self._note = (
                        ui.element("input")
                        .props(f'maxlength={_LONGEST_NOTE} placeholder="note, if you like" aria-label="Note"')
                        .props(f"data-testid=alarm-{event.id}-note")
                    )
                field.set_visibility(view.visitor.may(Role.OPERATOR))
                self._text = ""
                self._note.on("input", self._typed, js_handler=TYPED)
                action(
                    view,
                    "Acknowledge",
                    partial(self._acknowledge, event),
                    test=f"alarm-{event.id}-acknowledge",
                    report=report,
                    after=lambda: view.changed(TOPIC),
                )

    def _typed(self, event: GenericEventArguments) -> None:
        self._text = str(event.args)[:_LONGEST_NOTE]

    def _acknowledge(self, event: Event) -> str:
        view = self._view
        seen = view.pages.alarms.acknowledge(
            self._id, view.visitor.principal.name, datetime.now(UTC), self._text.strip() or None
        )
        view.pages.note(view.visitor, "alarm.acknowledge", {"alarm": self._id, "rule": event.rule})
        if seen.acknowledged_by != view.visitor.principal.name:
            return f"{event.rule}: {seen.acknowledged_by} was faster"
        return f"{event.rule}: acknowledged"

    def show(self, event: Event, told: Sequence[Message]) -> None:
        """Show how it is now."""
        worst = words.worst_words(self._rule, event)
        self._worst.set_text(f"worst so far {worst}" if worst else "")
        self._told.set_text(words.told_words(told))
        self._do.set_visibility(event.acknowledged is None)
        if event.acknowledged is not None:
            note = f": “{event.note}”" if event.note else ""
            self._seen.set_text(f"{event.acknowledged_by} has seen it, {time_text(event.acknowledged)}{note}")
            self.box.classes("is-seen")
        self._seen.set_visibility(event.acknowledged is not None)


def _rules(view: View, rules: Sequence[AlarmRule]) -> None:
    box, _ = panel(
        "Rules",
        test="rules",
        hint="Of the site file, and the standard ones. An alarm begins in the coloured part and ends at the dots.",
    )
    site = view.site.loaded.site
    with box:
        if not rules:
            empty("The site file has none, and the standard ones are off.", title="No rules")
            return
        grid = ui.element("div").classes("so-rules")
        with grid:
            drawn = [(rule, *_rule(rule)) for rule in rules]
        standard = site.alarms is None or not site.alarms.rules
        ui.label(
            "These are the standard rules. The table [alarms] of the site file changes them and adds others."
            if standard
            else "The table [alarms] of the site file changes them and adds others."
        ).classes("so-note")
    since = next(
        (one.since for one in view.pages.services() if one.name == f"alarms/{site.name}" and one.since is not None),
        None,
    )
    source = AlarmSource(view.context, view.site, since or datetime.now(UTC))

    def read() -> dict[str, tuple[Measurement, ...]]:
        seen = source.read(datetime.now(UTC))
        return {rule.name: measure(rule, seen) for rule in rules}

    async def look() -> None:
        try:
            found = await view.shared("rules-now", 4.0, read)
        except So2camError:
            return  # the current alarms say so
        for rule, now, gauge in drawn:
            measured = found.get(rule.name, ())
            now.set_text(words.now_words(rule, measured))
            html = words.gauge_html(rule, measured)
            if html != gauge.content:
                gauge.set_content(html)

    view.every(5.0, look)


def _rule(rule: AlarmRule) -> tuple[ui.label, ui.html]:
    test = f"rule-{rule.name.replace(' ', '-')}"
    with put_props(ui.element("div").classes("so-rule"), {"data-testid": test}):
        with ui.element("div").classes("so-rule-head"):
            ui.html(escape(rule.name), tag="b", sanitize=False)
            now = ui.label("").classes("so-rule-now")
        ui.label(words.rule_words(rule)).classes("so-rule-text")
        gauge = ui.html(words.gauge_html(rule, ()), sanitize=False)
    return now, gauge


class _History:
    """What was."""

    def __init__(self, view: View, rules: dict[str, AlarmRule]) -> None:
        self._view, self._rules = view, rules
        wanted = view.query.get("last", "25")
        self._last = wanted if wanted in {key for key, _ in _SPANS} else "25"
        self._shown = ""

    def draw(self) -> None:
        """Draw the panel."""
        box, head = panel("History", test="history", hint="The newest first.")
        with head:
            Choice(_SPANS, self._last, self._choose, label="How many", test="last")
        with box:
            self._table = ui.html("", sanitize=False)
            self._none = empty("Nothing has been wrong yet.", test="history-empty")
            self._none.set_visibility(False)

    async def _choose(self, last: str) -> None:
        self._last = last
        self._view.keep(last=last)
        await self.look()

    async def look(self) -> None:
        """Show it where it changed."""
        view, limit = self._view, int(self._last)

        def read() -> tuple[list[Event], dict[int, list[Message]]]:
            events = view.pages.alarms.events(view.site.name, limit=limit)
            return events, _told(view, events)

        try:
            events, told = await view.shared(f"alarms-history-{limit}", 0.2, read)
        except So2camError:
            return  # the current alarms say so
        self._none.set_visibility(not events)
        html = words.history_html(events, self._rules, told) if events else ""
        if html != self._shown:
            self._shown = html
            self._table.set_content(html)
