"""The archive page: find frames, spectra and results by date, site and quality, and play them back as a film."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from nicegui import background_tasks, ui
from nicegui.events import GenericEventArguments

from so2cam.core.errors import So2camError
from so2cam.station.archive_check import verify_archive
from so2cam.station.archive_view import ArchiveView, DayContent, FoundFile, Totals
from so2cam.station.catalogue import TOTAL
from so2cam.web.archive_days import DayPanel
from so2cam.web.archive_find import FindPanel
from so2cam.web.archive_routes import MOST_FILES
from so2cam.web.archive_state import ArchiveState, address_of, minute_text, query_of, read_state
from so2cam.web.archive_words import (
    MONTHS,
    OPENED,
    PICKED,
    calendar_html,
    files_html,
    first_of,
    moment_us,
    shifted,
)
from so2cam.web.film import Film, FilmPlace
from so2cam.web.live_lines import shapes_of
from so2cam.web.live_routes import live_src
from so2cam.web.parts import Choice, Report, action, empty, error, panel
from so2cam.web.props import put_props
from so2cam.web.registry import all_pages, page
from so2cam.web.shell import asset_url
from so2cam.web.tables import count, size
from so2cam.web.theme import DARK
from so2cam.web.view import View

ROWS: Final = 100
_FRESH_S: Final = 3.0
_LINES: Final = ("data-1", "data-4", "data-3", "data-6", "data-5")


@page(
    "/archive",
    title="Archive",
    nav="Archive",
    keys="g f",
    order=25,
    hint="Find frames and results, and play them back",
    about=(
        "Everything that the station keeps, by date, site and quality. Days are coloured by how many of their pairs "
        "gave a valid emission rate; click one to see its files. Play shows the pairs as a film with their results."
    ),
    docs="web-archive",
)
async def archive(view: View) -> None:
    """Show filters, calendar, files and film; all of it stands in the address."""
    for name in ("health.css", "archive.css"):
        ui.add_head_html(f'<link rel="stylesheet" href="{asset_url(name)}">')
    await _Page(view).draw()


class _Page:
    def __init__(self, view: View) -> None:
        self._view = view
        self._state = read_state(view.query)
        self._archive = ArchiveView(view.context.catalogue)
        self._month = view.query.get("month", "")
        self._film: Film | None = None
        self._found: list[FoundFile] = []
        self._chosen: set[int] = set()
        self._totals: Totals | None = None
        methods = list(view.site.loaded.site.processing.speed.methods)
        self._film_method = self._state.method if self._state.method in methods else methods[0]
        names = [line.name for line in view.site.loaded.site.lines]
        wanted = view.query.get("line", TOTAL if len(names) > 1 else names[0])
        self._film_lines = ([TOTAL] if len(names) > 1 else []) + names
        self._film_line = wanted if wanted in self._film_lines else self._film_lines[0]
        shown = {spec.path for spec in all_pages()}
        self._has_runs, self._has_spectra = "/runs" in shown, "/spectra" in shown

    async def draw(self) -> None:
        """Draw the page with what is there, so that it comes with its content."""
        self._find = FindPanel(self._view, self._state, self._changed)
        self._film_box = ui.element("div").classes("so-film-place")
        with ui.element("div").classes("so-archive"):
            self._draw_calendar()
            self._draw_results()
        self._days = DayPanel(self._view)
        await self.refresh()
        if self._view.query.get("film") == "1":
            self._open_film(_whole(self._view.query.get("at", "")), scroll=False)

    # --- calendar ------------------------------------------------------------------------------------------------

    def _draw_calendar(self) -> None:
        box, head = panel("Days", test="calendar", hint="coloured by the share of pairs with a valid emission rate")
        with head:
            for label, months, test in (("‹", -1, "earlier"), ("›", 1, "later"), ("Newest", 0, "newest")):
                button = ui.button(label).props(f"flat dense no-caps data-testid=month-{test}")
                button.on_click(lambda _, months=months: self._turn(months))
        with box:
            self._calendar = ui.html("", sanitize=False).classes("so-cal")
            self._calendar.on("click", self._picked, js_handler=PICKED)
            ui.html(_LEGEND, sanitize=False).classes("so-cal-legend so-quiet so-small")

    async def _turn(self, months: int) -> None:
        last = shifted(self._first, MONTHS - 1 + months)
        self._month = "" if months == 0 else f"{last:%Y-%m}"
        self._view.keep(month=self._month or None)
        await self._show_days()

    async def _picked(self, event: GenericEventArguments) -> None:
        said = event.args if isinstance(event.args, dict) else {}
        try:
            day = date.fromisoformat(str(said.get("day", "")))
        except ValueError:
            return
        state = self._state
        if said.get("more") and state.start is not None and state.end is not None:
            first, last = state.start.date(), (state.end - timedelta(microseconds=1)).date()
            state = state.on(min(first, day), max(last if day > first else first, day))
        elif state.day == day:
            state = replace(state, start=None, end=None, page=0)
        else:
            state = state.on(day)
        self._find.show(state)
        await self._changed(state)

    async def _show_days(self) -> None:
        site = [one.name for one in self._view.context.sites] if self._state.everywhere else [self._view.site.name]
        newest = await self._view.in_thread(lambda: self._archive.last_time(site))
        self._first = first_of(self._month, (newest or datetime.now(UTC)).date())
        midnight = datetime.min.time()
        span = replace(
            query_of(self._state, self._view.context, self._view.site),
            start=datetime.combine(self._first, midnight, UTC),
            end=datetime.combine(shifted(self._first, MONTHS), midnight, UTC),
        )
        span = replace(span, kinds=(), subjects=(), states=(), valid=False, with_flags=0, least_share=0.0)
        days = await self._view.shared(f"archive-days {span}", _FRESH_S, lambda: self._archive.days(span))
        by_day: dict[date, DayContent] = {one.day: one for one in days}
        self._calendar.set_content(calendar_html(self._first, by_day, _days_of(self._state)))

    # --- results -------------------------------------------------------------------------------------------------

    def _draw_results(self) -> None:
        box, head = panel("Files", test="results")
        with head:
            self._links = ui.element("div").classes("so-row")
        with box:
            self._words = ui.label("").props("data-testid=totals role=status")
            self._trouble = error("", test="archive-error")
            self._trouble.set_visibility(False)
            self._table = ui.html("", sanitize=False).classes("so-files")
            self._table.on("click", self._clicked, js_handler=OPENED)
            self._none = empty("Nothing is found that way: choose another time, or ask for less.", test="none")
            with ui.element("div").classes("so-row so-pager"):
                self._back = ui.button("Newer", on_click=lambda: self._page_by(-1))
                self._back.props("flat no-caps data-testid=page-back")
                self._place = ui.label("").classes("so-quiet so-small").props("data-testid=page-place")
                self._on = ui.button("Older", on_click=lambda: self._page_by(1))
                self._on.props("flat no-caps data-testid=page-on")
                ui.element("span").classes("so-grow")
                self._download = ui.element("a").classes("so-go is-plain").props("data-testid=download-chosen download")
                with self._download:
                    self._download_words = ui.label("")
                self._report = Report(test="archive-report")
                action(
                    self._view,
                    "Check these files",
                    self._verify,
                    test="verify",
                    report=self._report,
                    audit="archive.verify",
                    after=lambda: background_tasks.create(self.refresh()),
                ).props("flat")
        self._show_chosen()

    async def refresh(self) -> None:
        """Look again at everything."""
        view, state = self._view, self._state
        query = query_of(state, view.context, view.site)
        with self._said():
            _, (totals, found) = await asyncio.gather(
                self._show_days(),
                view.in_thread(lambda: self._archive.look(query, offset=state.page * ROWS, limit=ROWS)),
            )
            self._totals, self._found = totals, found
            self._show_found(totals, found)
        await self._days.show(_days_of(state))

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Say on the page what the catalogue refuses."""
        try:
            yield
            self._trouble.set_visibility(False)
        except So2camError as failed:
            self._trouble.set_text(f"The catalogue cannot be read now: {failed.message}")
            self._trouble.set_visibility(True)

    def _show_found(self, totals: Totals, found: list[FoundFile]) -> None:
        said = f"{count(totals.files)} files, {size(totals.bytes)}"
        if totals.pairs:
            share = 100 * totals.good / totals.pairs
            said += f" · {count(totals.pairs)} pairs with results, {count(totals.good)} good ({share:.0f} %)"
        self._words.set_text(said)
        several = self._state.everywhere and len(self._view.context.sites) > 1
        html = files_html(found, self._chosen, several=several, spectra=self._has_spectra) if found else ""
        self._table.set_content(html)
        self._none.set_visibility(not found)
        first = self._state.page * ROWS
        self._place.set_text(f"{first + 1}–{first + len(found)} of {count(totals.files)}" if found else "")
        for button, there in ((self._back, first > 0), (self._on, first + len(found) < totals.files)):
            button.set_visibility(bool(found) or first > 0)
            button.set_enabled(there)
        self._show_links(totals)

    def _span(self, totals: Totals) -> dict[str, str]:
        """Return the time that is looked at, as addresses say it; nothing where it is not known."""
        start, end = self._state.start or totals.first, self._state.end
        if end is None and totals.last is not None:
            end = totals.last + timedelta(seconds=60)
        if start is None or end is None:
            return {}
        return {"start": minute_text(start), "end": minute_text(end, up=True)}

    def _show_links(self, totals: Totals) -> None:
        span = self._span(totals)
        self._links.clear()
        if not span:
            return
        with self._links:
            play = ui.button("Play", on_click=lambda: self._open_film(None, begin=True))
            play.props("unelevated no-caps data-testid=play-found")
            _link(
                "Trend", self._view.link("/", range="dates", **span), "to-trend", "The emission rates on the live page"
            )
            if self._has_runs:
                _link("Reprocess", self._view.link("/runs", **span), "to-runs", "Process this range, as it is or anew")
            if 0 < totals.files <= MOST_FILES:
                asked = {key: value for key, value in address_of(self._state).items() if value and key != "page"}
                where = f"{live_src(self._view.site, 'archive/zip')}?{urlencode(asked)}"
                _link(
                    "Download all", where, "download-all", f"{count(totals.files)} files, {size(totals.bytes)}, as zip"
                )

    async def _page_by(self, by: int) -> None:
        self._state = replace(self._state, page=max(0, self._state.page + by))
        self._view.keep(**address_of(self._state))
        await self.refresh()

    async def _changed(self, state: ArchiveState) -> None:
        film = self._film is not None and (state.start, state.end) != (self._state.start, self._state.end)
        self._state = state
        self._view.keep(**address_of(state))
        await self.refresh()
        if self._film is not None:
            self._open_film(None, keep=not film)

    async def _clicked(self, event: GenericEventArguments) -> None:
        said = event.args if isinstance(event.args, dict) else {}
        if "file" in said:
            (self._chosen.add if said.get("on") else self._chosen.discard)(int(said["file"]))
            self._show_chosen()
            return
        found = next((one for one in self._found if one.file.id == said.get("open")), None)
        if found is None:
            return
        if found.file.site != self._view.site.name:
            span = address_of(self._state.on(found.file.time.date()))
            kept = {key: value for key, value in span.items() if value and key not in ("scope", "page")}
            asked = {"site": found.file.site, **kept, "film": "1", "at": str(moment_us(found))}
            ui.navigate.to(f"/archive?{urlencode(asked)}")
            return
        if self._state.start is None and self._state.end is None:
            self._state = replace(self._state.on(found.file.time.date()))
            self._find.show(self._state)
            self._view.keep(**address_of(self._state))
            await self.refresh()
        self._open_film(moment_us(found))

    def _show_chosen(self) -> None:
        ids = ",".join(str(one) for one in sorted(self._chosen)[:1000])
        many = len(self._chosen)
        self._download.set_visibility(many > 0)
        self._download_words.set_text(f"Download {count(many)} chosen")
        put_props(self._download, {"href": f"{live_src(self._view.site, 'archive/zip')}?ids={ids}"})

    def _verify(self) -> str:
        """Read the files of this page, and compare them with what came."""
        bad: list[str] = []
        read = 0
        for site in self._view.context.sites:
            files = [one.file for one in self._found if one.file.site == site.name]
            if files:
                report = verify_archive(site.archive, files)
                read += report.files
                bad += [f"{fault.path} is {fault.state}" for fault in report.faults if fault.state != "unknown"]
        return f"{count(read)} files read, all as they came" if not bad else f"{len(bad)} are not: {'; '.join(bad[:5])}"

    # --- film ----------------------------------------------------------------------------------------------------

    def _open_film(self, at: int | None, *, keep: bool = False, scroll: bool = True, begin: bool = False) -> None:
        view, query = self._view, self._view.query | self._view.kept
        place = FilmPlace(
            at if at is not None else _whole(query.get("at", "")) if keep else None,
            query.get("image", "") or "column",
            _whole(query.get("pace", "")) or 5,
        )
        asked = {key: value for key, value in address_of(self._state).items() if value}
        asked |= {"line": self._film_line, "method": self._film_method}
        self._film_box.clear()
        with self._film_box:
            box, head = panel("Film", test="film-panel", hint="the pairs of this time, with their results")
            with head:
                if len(self._film_lines) > 1:
                    words = [(name, "Total" if name == TOTAL else name) for name in self._film_lines]
                    Choice(words, self._film_line, self._choose_line, label="Line", test="film-line")
                if self._has_runs:
                    self._export = _link("As a file", "", "film-export", "A video of this time, made by a run")
                    self._show_export(place.quantity)
                ui.button("Close", on_click=self._close_film).props("flat no-caps dense data-testid=film-close")
            with box:
                self._film = Film(
                    f"{live_src(view.site, 'archive/film')}?{urlencode(asked)}",
                    live_src(view.site, "archive/image"),
                    shapes=self._shapes(),
                    place=place,
                    begin=begin,
                    label=f"film of {view.site.name}",
                    on_place=self._placed,
                )
                self._film.props("data-testid=film")
        view.keep(film="1", at=None if place.at is None else str(place.at))
        if scroll:
            view.client.run_javascript(_SCROLL)

    def _show_export(self, quantity: str) -> None:
        """Lead to the order of a run that makes a video of what the film shows."""
        span = {} if self._totals is None else self._span(self._totals)
        put_props(self._export, {"href": self._view.link("/runs", **span, what=f"film-{quantity}")})

    def _shapes(self) -> list[dict[str, Any]]:
        lines = self._view.site.loaded.site.lines
        colours = {line.name: DARK[_LINES[index % len(_LINES)]] for index, line in enumerate(lines)}
        return shapes_of(lines, (), colours, movable=False)

    def _choose_line(self, line: str) -> None:
        self._film_line = line
        self._view.keep(line=line)
        self._open_film(None, keep=True)

    def _placed(self, place: FilmPlace) -> None:
        self._view.keep(at=str(place.at), image=place.quantity, pace=str(place.speed))
        if self._has_runs:
            self._show_export(place.quantity)

    def _close_film(self) -> None:
        self._film = None
        self._film_box.clear()
        self._view.keep(film=None, at=None)


def _days_of(state: ArchiveState) -> tuple[date, date] | None:
    if state.start is None or state.end is None:
        return None
    return state.start.date(), (state.end - timedelta(microseconds=1)).date()


def _link(words: str, href: str, test: str, hint: str) -> ui.element:
    made = ui.element("a").classes("so-archive-link")
    with put_props(made, {"href": href, "title": hint, "data-testid": test}):
        ui.label(words)
    return made


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None


_SCROLL: Final = "setTimeout(() => document.querySelector('.so-film-place')?.scrollIntoView({block: 'nearest'}), 150)"
_LEGEND: Final = (
    '<span><i class="so-cal-key" data-level="none"></i>no results</span>'
    + "".join(
        f'<span><i class="so-cal-key" data-level="{level}"></i>{words}</span>'
        for level, words in enumerate(("below 25 %", "25 %", "50 %", "75 %", "90 % good"))
    )
    + "<span>Click a day; with Shift a range.</span>"
)
