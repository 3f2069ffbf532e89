"""The schedule's editor: a day with the sun drawn, windows to drag or type, what contradicts, and saving."""

import json
from datetime import UTC, date, datetime
from html import escape
from typing import Any, Final

from nicegui import ui
from nicegui.events import GenericEventArguments

from so2cam.core.errors import InputError, So2camError
from so2cam.core.site_schedule import Schedule
from so2cam.link.errors import LinkRefusedError
from so2cam.link.messages import SetSchedule
from so2cam.link.protocol import Role, ScheduleSettings, ScheduleSettingsResult
from so2cam.observe.schedule import ScheduleFinding
from so2cam.station.schedule_view import DayView, day_view, findings, parse_draft
from so2cam.web.instrument.desk import Desk
from so2cam.web.instrument.schedule_rows import POWER, PowerForm, WindowRow
from so2cam.web.parts import Chip, Choice, Report, detail, empty, panel

_ADDS: Final[dict[str, dict[str, Any]]] = {
    "capture": {"do": "capture", "sun_above_deg": 5.0},
    "darks": {"do": "darks", "start": "02:00", "end": "03:00", "sun_below_deg": -12.0},
    "housekeeping": {"do": "housekeeping", "start": "00:00", "end": "01:00"},
    "power": {"do": "power", "start": "06:00", "end": "22:00"},
}
_SEVERITIES: Final = {"error": "Cannot be", "risk": "Look twice"}
_CHECK_S: Final = 0.7


async def draw_schedule(desk: Desk) -> None:
    """Draw the editor, or why there is none."""
    try:
        said = await desk.view.in_thread(lambda: desk.ask(ScheduleSettings()))
    except LinkRefusedError as problem:
        empty(
            f"{problem.message}. An older so2cam on the node does not tell its schedule: update it.",
            title="No schedule",
        )
        return
    except So2camError as problem:
        empty(f"{problem.message}. It is shown when the node answers and this page is loaded anew.", title="No answer")
        return
    await _Editor(desk, said).draw()


def windows_of(schedule: Schedule | None) -> list[dict[str, Any]]:
    """Return the windows of a schedule as the form has them."""
    return [] if schedule is None else [window.model_dump(exclude_none=True) for window in schedule.windows]


def power_of(schedule: Schedule | None) -> dict[str, Any]:
    """Return what the form has of the power."""
    return (schedule or Schedule()).power.model_dump(include=set(POWER))


class _Editor:
    """The editor at one browser. A draft that is not saved yet is kept in the address."""

    def __init__(self, desk: Desk, said: ScheduleSettingsResult) -> None:
        self._desk, self._said = desk, said
        self._may = desk.view.visitor.may(Role.OPERATOR)
        self._windows = windows_of(said.schedule)
        self._power = power_of(said.schedule)
        self._rows: list[WindowRow] = []
        self._number = 0
        self._checked = 0
        self._take_draft(desk.state.get("draft"))

    def _take_draft(self, text: str | None) -> None:
        if not text:
            return
        try:
            found = json.loads(text)
            windows, power = list(found["windows"]), dict(found["power"])
        except (ValueError, KeyError, TypeError):
            return
        self._windows = [dict(window) for window in windows if isinstance(window, dict)]
        self._power |= {key: value for key, value in power.items() if key in POWER}

    async def draw(self) -> None:
        """Draw everything, and keep it up to date."""
        desk = self._desk
        box, head = panel("Schedule", test="schedule", hint="times are UTC; the sun's elevation is that of its centre")
        with head:
            self._chip = Chip(test="schedule-state")
            self._choose_day()
        with box:
            self._bar = ui.element("so-daybar").props("data-testid=daybar")
            self._bar.on("window-changed", self._dragged, ["detail"])
            self._problem = ui.label("").classes("so-error").props("data-testid=schedule-problem role=alert")
            self._findings = ui.html("", sanitize=False).props("data-testid=schedule-findings")
            row = ui.element("div").classes("so-row")
            report = Report(test="schedule-report")
        with row:
            self._buttons(report)
        with ui.element("div").classes("so-schedule"):
            self._draw_windows()
            self._form = PowerForm(self._power, self._changed, enabled=self._may)
        desk.view.on_change(f"{desk.topic}/schedule", self._elsewhere)
        await self._compute()

    def _choose_day(self) -> None:
        year = datetime.now(UTC).year
        self._day = self._desk.state.get("day", "")
        options = [("", "today"), (f"{year}-06-21", "21 June"), (f"{year}-12-21", "21 December")]

        async def choose(day: str) -> None:
            self._day = day
            self._desk.keep(day=day or None)
            await self._compute()

        Choice(options, self._day, choose, label="Day that is drawn", test="schedule-day")

    def _buttons(self, report: Report) -> None:
        desk = self._desk
        others = [
            node for node in desk.view.pages.nodes.of_site(desk.view.site) if node.paired and node.name != desk.node
        ]
        self._save = desk.button(
            "Save to the instrument", self._work, test="schedule-save", report=report, after=self._saved
        )
        self._discard = ui.button("Discard changes", on_click=self._back).props(
            "no-caps outline data-testid=schedule-discard"
        )
        desk.button(
            "Back to the site file",
            self._site,
            test="schedule-site",
            report=report,
            quiet=True,
            confirm="Follow the schedule of the site file again?",
            after=self._saved,
        )
        self._all: ui.checkbox | None = None
        if others:
            names = ", ".join(node.name for node in others)
            self._all = ui.checkbox(f"at {names} too", value=True).props("dense data-testid=schedule-all")
        self._others = [node.name for node in others]

    def _draw_windows(self) -> None:
        box, head = panel("Windows", test="windows", hint="what to do when: all conditions of a window must hold")
        with box:
            self._none = ui.label("Without a window for capture it captures whenever it has power.").classes(
                "so-quiet so-small"
            )
            self._list = ui.element("div").classes("so-list")
        with head:
            for do in _ADDS:
                button = ui.button(f"+ {do}", on_click=lambda _, do=do: self._add(do)).props(
                    f"no-caps flat dense data-testid=add-{do}"
                )
                button.set_enabled(self._may)
        self._fill_windows()

    def _fill_windows(self) -> None:
        self._list.clear()
        with self._list:
            self._rows = [
                WindowRow(number, window, self._changed, self._remove, enabled=self._may)
                for number, window in enumerate(self._windows, 1)
            ]
        self._none.set_visibility(not any(window.get("do") == "capture" for window in self._windows))

    # --- what people change --------------------------------------------------------------------------------------

    async def _add(self, do: str) -> None:
        self._windows.append(dict(_ADDS[do]))
        self._fill_windows()
        await self._changed()

    async def _remove(self, number: int) -> None:
        del self._windows[number - 1]
        self._fill_windows()
        await self._changed()

    async def _dragged(self, event: GenericEventArguments) -> None:
        found = detail(event)
        number = found.get("index")
        if not self._may or not isinstance(number, int) or not 0 <= number < len(self._windows):
            return
        window = self._windows[number]
        for key in ("start", "end", "sun_above_deg", "sun_below_deg"):
            if found.get(key) is not None:
                window[key] = found[key]
        self._rows[number].show()
        await self._changed()

    async def _changed(self) -> None:
        different = self._different
        draft = json.dumps({"windows": self._windows, "power": self._power}, separators=(",", ":"))
        self._desk.keep(draft=draft if different else None)
        await self._compute()

    @property
    def _different(self) -> bool:
        try:
            return self._draft() != (self._said.schedule or Schedule())
        except ValueError:
            return True

    def _draft(self) -> Schedule:
        return parse_draft(self._windows, self._power, self._said.site_schedule)

    async def _back(self) -> None:
        self._load(self._said)
        await self._changed()

    def _load(self, said: ScheduleSettingsResult) -> None:
        self._said = said
        self._windows, power = windows_of(said.schedule), power_of(said.schedule)
        self._power.clear()
        self._power.update(power)
        self._fill_windows()
        self._form.show()

    # --- what comes of it ----------------------------------------------------------------------------------------

    async def _compute(self) -> None:
        self._number += 1
        number, different = self._number, self._different
        if different:
            self._chip.set("changed, not saved", "warn")
        elif self._said.changed is not None:
            self._chip.set(
                "saved", "ok", title=f"set on {self._said.changed:%Y-%m-%d %H:%M} UTC, otherwise than in the site file"
            )
        else:
            self._chip.set("as in the site file", "")
        self._save.set_enabled(self._may and different)
        self._discard.set_enabled(different)
        try:
            schedule = self._draft()
        except ValueError as error:
            self._problem.set_text(str(error))
            self._problem.set_visibility(True)
            self._save.disable()
            return
        self._problem.set_visibility(False)
        said, day = self._said, _day_of(self._day)
        drawn = await self._desk.view.in_thread(lambda: day_view(schedule, said.latitude, said.longitude, day))
        if number != self._number or self._bar.is_deleted:
            return
        self._bar.props["data-day"] = json.dumps(_bar_data(drawn, self._windows, editable=self._may))
        self._bar.update()
        ui.timer(_CHECK_S, lambda: self._check(number, schedule), once=True)

    async def _check(self, number: int, schedule: Schedule) -> None:
        if number != self._number or self._checked == number:
            return
        self._checked = number
        said = self._said
        found = await self._desk.view.in_thread(
            lambda: findings(schedule, said.latitude, said.longitude, datetime.now(UTC).year)
        )
        if number == self._number and not self._findings.is_deleted:
            self._findings.set_content(_findings(found))

    # --- saving --------------------------------------------------------------------------------------------------

    def _work(self) -> str:
        try:
            wanted = self._draft()
        except ValueError as error:
            raise InputError(str(error), remedy="correct it") from None
        return self._tell(wanted)

    def _site(self) -> str:
        return self._tell(None)

    def _tell(self, wanted: Schedule | None) -> str:
        desk = self._desk
        said = desk.say(SetSchedule(schedule=wanted))
        if self._all is None or not self._all.value:
            return said
        parts = [f"{desk.node}: {said}"]
        for name in self._others:
            try:
                parts.append(f"{name}: {_say_at(desk, name, SetSchedule(schedule=wanted))}")
            except So2camError as problem:
                parts.append(f"{name}: not set, {problem.message}")
        return "; ".join(parts)

    def _saved(self) -> None:
        self._desk.view.changed(f"{self._desk.topic}/schedule")

    async def _elsewhere(self) -> None:
        """The schedule was saved, here or elsewhere: take it over, but for a draft of one's own."""
        before = self._different
        mine = json.dumps(self._windows, sort_keys=True)
        try:
            said = await self._desk.view.in_thread(lambda: self._desk.ask(ScheduleSettings()))
        except So2camError:
            return
        if said.schedule == self._said.schedule and said.changed == self._said.changed:
            return
        self._said = said
        if before and self._different and mine == json.dumps(self._windows, sort_keys=True):
            self._chip.set("saved by somebody else meanwhile", "warn", title="Discard changes shows theirs")
            return
        self._load(said)
        await self._changed()


def _say_at(desk: Desk, node: str, command: SetSchedule) -> str:
    view = desk.view

    def note(word: str, what: dict[str, Any], outcome: str) -> None:
        view.pages.note(view.visitor, word, what, outcome)

    return str(view.pages.nodes.command(node, command, view.visitor.principal, note).text)


def _day_of(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC).date()


def _bar_data(day: DayView, windows: list[dict[str, Any]], *, editable: bool) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "day": day.day.isoformat(),
        "now": (now.hour + now.minute / 60) if now.date() == day.day else None,
        "elevations": day.elevations_deg,
        "light": day.light,
        "windows": [{**window, "spans": spans} for window, spans in zip(windows, day.windows, strict=False)],
        "actions": day.actions,
        "dark_sets": day.dark_sets,
        "editable": editable,
    }


def _findings(found: tuple[ScheduleFinding, ...]) -> str:
    if not found:
        return (
            '<p class="so-quiet so-small" data-testid="schedule-fine">Nothing contradicts, on any day of the year.</p>'
        )
    rows = "".join(
        f'<li data-severity="{finding.severity}"><b>{_SEVERITIES[finding.severity]}:</b> '
        f"{escape(finding.message)}. <span class='so-quiet'>{escape(finding.remedy)}</span></li>"
        for finding in found
    )
    return f'<ul class="so-findings">{rows}</ul>'
