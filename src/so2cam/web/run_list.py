"""The list of a site's runs, as it goes on."""

from html import escape

from nicegui import ui

from so2cam.station.run_store import RunRecord
from so2cam.web.parts import empty, panel
from so2cam.web.run_words import LOOKS, found_words, progress_words, span_words
from so2cam.web.tables import Column, ago_html, chip_html, table_html
from so2cam.web.view import View

_COLUMNS = (Column("Run", "lead"), Column("Range, UTC"), Column("State", "tight"), Column("Ordered", "tight"))
_MOST = 200


class RunList:
    """The panel."""

    def __init__(self, view: View) -> None:
        self._view = view
        box, _ = panel("Runs", test="runs-panel")
        with box:
            self._table = ui.html("", sanitize=False).classes("so-scroll")
            self._none = empty("Order one above: nothing of it touches the live results.", title="No runs yet")
        self._shown = ""

    async def refresh(self) -> None:
        """Show what there is now."""
        records = await self._view.shared("runs", 0.5, lambda: self._view.pages.runs.store(self._view.site.name).all())
        rows = [self._row(record) for record in records[:_MOST]]
        marks = ["is-chosen" if str(record.id) == self._view.query.get("run") else "" for record in records[:_MOST]]
        html = table_html(_COLUMNS, rows, test="runs", marks=marks)
        if html != self._shown:
            self._shown = html
            self._table.set_content(html)
        self._table.set_visibility(bool(records))
        self._none.set_visibility(not records)

    def _row(self, record: RunRecord) -> tuple[str, ...]:
        view = self._view
        link = escape(view.link("/runs", run=str(record.id)), quote=True)
        name = f'<a href="{link}" data-testid="run-{record.id}">{escape(record.title)}</a>'
        name += f"<br><small>{escape(record.settings)}</small>"
        state = chip_html(record.state, LOOKS[record.state], title=record.message)
        if record.state == "running":
            state += f"<br><small>{escape(progress_words(view.pages.runs.progress(view.site.name, record.id)))}</small>"
        elif record.state == "done":
            state += f"<br><small>{found_words(record)}</small>"
        who = f"{ago_html(record.made)}<br><small>{escape(record.by)}</small>"
        return name, escape(span_words(record.start, record.end)), state, who
