"""The filters of the archive page: when, what, and how good it must be."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.core.status import QUALITY_TEXT, QualityFlag
from so2cam.core.times import parse_utc
from so2cam.web.archive_state import SHARES, STATES, WHAT, ArchiveState, minute_text
from so2cam.web.parts import Choice, panel, pick
from so2cam.web.view import View

Changed = Callable[[ArchiveState], Awaitable[None]]


class FindPanel:
    """The panel. ``on_change`` is called with what is looked for now."""

    def __init__(self, view: View, state: ArchiveState, on_change: Changed) -> None:
        self._state, self._on_change = state, on_change
        self._quiet = False
        box, head = panel("Find", test="find")
        with head:
            if len(view.context.sites) > 1:
                scopes = [("site", view.site.name), ("all", "All sites")]
                chosen = "all" if state.everywhere else "site"
                Choice(scopes, chosen, self._scope, label="Where", test="scope")
            Choice(WHAT, state.what, lambda key: self._set(what=key), label="What", test="what")
        with box:
            with ui.element("div").classes("so-row so-find"):
                self._start = _moment("From, UTC", minute_text(state.start), "find-start", self._times)
                self._end = _moment("To, UTC", minute_text(state.end), "find-end", self._times)
                self._clear = ui.button("All time", on_click=self._all_time).props("flat no-caps data-testid=all-time")
            with ui.element("div").classes("so-row so-find"):
                valid = ui.checkbox("Valid rates only", value=state.valid).props("data-testid=valid dense")
                valid.on_value_change(lambda event: self._set(valid=bool(event.value)))
                self._flags("With any of", state.with_flags, "with-flags", "with_flags")
                self._flags("Without", state.without_flags, "without-flags", "without_flags")
                share = pick("Good pairs in the day", SHARES, str(state.share), test="share")
                share.on_value_change(lambda event: self._set(share=int(event.value)))
                kept = pick("State", STATES, state.state, test="state")
                kept.on_value_change(lambda event: self._set(state=str(event.value)))
                methods = list(view.site.loaded.site.processing.speed.methods)
                if len(methods) > 1:
                    words: dict[str, str] = {"": "any"} | {method: method.replace("_", " ") for method in methods}
                    method = pick("Speed method", words, state.method if state.method in words else "", test="method")
                    method.on_value_change(lambda event: self._set(method=str(event.value)))

    def show(self, state: ArchiveState) -> None:
        """Show what is looked for: somebody chose it elsewhere on the page."""
        self._state, self._quiet = state, True
        self._start.value, self._end.value = minute_text(state.start), minute_text(state.end)
        self._quiet = False

    def _flags(self, label: str, chosen: int, test: str, field: str) -> None:
        options = {flag.value: text for flag, text in QUALITY_TEXT.items()}
        value = [flag.value for flag in QualityFlag if flag.value & chosen and flag.value in options]
        made = ui.select(options, value=value, label=label, multiple=True)
        made.props(f"dense outlined stack-label data-testid={test} options-dense").classes("so-input is-flags")
        if not value:
            made.props('placeholder="any"')
        made.on_value_change(lambda event: self._set(**{field: sum(event.value or ())}))

    async def _scope(self, key: str) -> None:
        await self._set(everywhere=key == "all")

    async def _set(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes, page=0)
        await self._on_change(self._state)

    async def _times(self) -> None:
        if self._quiet:
            return
        try:
            start, end = (parse_utc(f"{box.value}:00Z") if box.value else None for box in (self._start, self._end))
        except (So2camError, ValueError):
            return  # somebody is typing
        if (start, end) == (self._state.start, self._state.end):
            return
        if start is not None and end is not None and end <= start:
            ui.notify("The end must come after the start.")
            return
        await self._set(start=start, end=end)

    async def _all_time(self) -> None:
        self.show(replace(self._state, start=None, end=None))
        await self._set(start=None, end=None)


def _moment(label: str, value: str, test: str, changed: Callable[[], Awaitable[None]]) -> ui.input:
    made = ui.input(label, value=value).classes("so-input is-moment")
    made.props(f"type=datetime-local dense outlined stack-label data-testid={test}")
    made.on("change", changed)
    return made
