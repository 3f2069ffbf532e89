"""The filters of the archive page: when, what, and how good it must be."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from nicegui import ui

from so2cam.core.errors import InputError
from so2cam.core.status import QUALITY_TEXT, QualityFlag
from so2cam.web.archive_state import SHARES, STATES, WHAT, ArchiveState
from so2cam.web.moments import END_FIRST, MomentField
from so2cam.web.parts import Choice, panel, pick
from so2cam.web.view import View

Changed = Callable[[ArchiveState], Awaitable[None]]


class FindPanel:
    """The panel. ``on_change`` is called with what is looked for now."""

    def __init__(self, view: View, state: ArchiveState, on_change: Changed) -> None:
        self._state, self._on_change = state, on_change
        box, head = panel("Find", test="find")
        with head:
            if len(view.context.sites) > 1:
                scopes = [("site", view.site.name), ("all", "All sites")]
                chosen = "all" if state.everywhere else "site"
                Choice(scopes, chosen, self._scope, label="Where", test="scope")
            Choice(WHAT, state.what, lambda key: self._set(what=key), label="What", test="what")
        with box:
            with ui.element("div").classes("so-row so-find"):
                self._start = MomentField("From, UTC", test="find-start", value=state.start, on_change=self._times)
                self._end = MomentField("To, UTC", test="find-end", value=state.end, last=True, on_change=self._times)
                self._clear = ui.button("All time", on_click=self._all_time).props("flat no-caps data-testid=all-time")
            with ui.element("div").classes("so-row so-find"):
                valid = ui.checkbox("Valid rates only", value=state.valid).props("data-testid=valid dense")
                valid.on_value_change(lambda event: self._set(valid=bool(event.value)))
                self._flags("With any of", state.with_flags, "with-flags", "with_flags")
                self._flags("Without", state.without_flags, "without-flags", "without_flags")
                share = pick("Good pairs a day", SHARES, str(state.share), test="share")
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
        self._state = state
        self._start.set(state.start)
        self._end.set(state.end)

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
        try:
            start, end = self._start.said(self._start.time), self._end.said(self._end.time)
        except InputError:
            return  # the fields say it
        if (start, end) == (self._state.start, self._state.end):
            return
        if start is not None and end is not None and end <= start:
            self._end.say(END_FIRST)
            return
        await self._set(start=start, end=end)

    async def _all_time(self) -> None:
        self.show(replace(self._state, start=None, end=None))
        await self._set(start=None, end=None)
