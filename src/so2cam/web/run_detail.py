"""One run: how it goes, what it found, its files, its settings beside those of the site file, and what can be done."""

from html import escape

from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.link.protocol import Role
from so2cam.station.compare import LIVE, processing_changes
from so2cam.station.run_store import SITE_FILE, RunRecord, RunStore
from so2cam.web.parts import Chip, Report, action, empty, panel
from so2cam.web.run_routes import run_file
from so2cam.web.run_words import LOOKS, PRODUCTS, kind_words, progress_words, settings_table, share, span_words
from so2cam.web.tables import size, stamp_html
from so2cam.web.view import View

_LOG_LINES = 60
_SHOWN = {
    "film.mp4": "film of the run",
    "video.webm": "video of the run",
    "quicklook.png": "quick look of the run",
    "columns.png": "columns of the run's spectra",
}
"""What is shown, and what it is called where it cannot be seen."""


class RunPanel:
    """The panel of one run, which follows it."""

    def __init__(self, view: View, run: int) -> None:
        self._view, self._run = view, run
        self._store: RunStore = view.pages.runs.store(view.site.name)
        self._state = ""
        try:
            record = self._store.get(run)
        except InputError:
            empty("It was deleted, or never was.", title=f"There is no run {run}", test="no-run")
            return
        box, head = panel(f"Run {record.title}", test="run-panel")
        with head:
            self._chip = Chip(test="run-state")
        with box:
            self._progress = ui.element("div").classes("so-run-progress")
            with self._progress:
                ui.html('<div class="so-bar"><i></i></div>', sanitize=False).props("data-testid=run-bar")
                self._words = ui.label("").classes("so-note").props("data-testid=run-progress")
            self._message = ui.label("").classes("so-error").props("data-testid=run-message role=alert")
            self._body = ui.element("div").classes("so-stack")
            self._report = Report(test="run-done")
            ui.html('<h3 class="so-run-head">Log</h3>', sanitize=False)
            self._log = ui.label("").classes("so-run-log so-mono").props("data-testid=run-log tabindex=0")
        view.every(0.7, self.refresh)

    async def refresh(self) -> None:
        """Show how the run is now."""
        view, run = self._view, self._run
        try:
            record = await view.shared(f"run-{run}", 0.3, lambda: self._store.get(run))
        except InputError:
            self._chip.set("deleted", "warn")
            return
        progress = view.pages.runs.progress(view.site.name, run)
        self._chip.set(record.state, LOOKS[record.state])
        self._progress.set_visibility(record.is_open)
        words = progress_words(progress)
        if record.state == "queued":
            before = await view.in_thread(lambda: view.pages.runs.waiting_before(record))
            words = f"waits for {before} other run{'s' if before > 1 else ''}" if before else "begins in a moment"
        self._words.set_text(words)
        self._progress.style(f"--share: {100 * share(progress):.1f}%")
        self._message.set_text(record.message)
        self._message.set_visibility(bool(record.message))
        self._log.set_text(await view.in_thread(lambda: self._store.log(run, _LOG_LINES)))
        if record.state != self._state:
            self._state = record.state
            await self._draw(record)

    async def _draw(self, record: RunRecord) -> None:
        view = self._view
        try:
            base = view.site.loaded.path
            text = base.read_text(encoding="utf-8")
            changes = await view.in_thread(lambda: processing_changes(text, self._store.text(record.id), base))
            differ = settings_table(changes, "Site file now", f"Run {record.id}", test="run-settings-table")
            none = "The settings that numbers depend on are those of the site file."
        except (OSError, So2camError) as error:
            changes, differ, none = (), "", f"The settings cannot be compared: {error}"
        taken = await view.in_thread(lambda: self._store.size(record.id))
        self._body.clear()
        with self._body:
            ui.html(_figures(record, taken), sanitize=False)
            if record.state == "done":
                self._draw_files(record)
            ui.html(differ if changes else f'<p class="so-note">{escape(none)}</p>', sanitize=False)
            with ui.element("div").classes("so-row"):
                self._draw_actions(record)

    def _draw_files(self, record: RunRecord) -> None:
        there = {path.name: path for path in self._store.products(record.id) if path.is_file()}
        folder = self._store.path(record.id)
        also = ("run.json", SITE_FILE) if self._view.visitor.may(Role.OPERATOR) else ("run.json",)
        there |= {name: folder / name for name in also}
        links = [
            f'<a class="so-file" href="{escape(run_file(self._view.site.name, record.id, name))}" '
            f'data-testid="get-{name}" download>{escape(words)} <small>{size(there[name].stat().st_size)}</small></a>'
            for name, words in PRODUCTS.items()
            if name in there
        ]
        ui.html(f'<div class="so-files" data-testid="run-files">{"".join(links)}</div>', sanitize=False)
        for name, words in _SHOWN.items():
            if name in there:
                address = escape(run_file(self._view.site.name, record.id, name) + "?show=true", quote=True)
                ui.html(_shown(name, words, address), sanitize=False)

    def _draw_actions(self, record: RunRecord) -> None:
        view, run, site = self._view, self._run, self._view.site.name
        runs = view.pages.runs
        if record.has_rates:
            address = escape(view.link("/compare", a=LIVE, b=str(run)), quote=True)
            ui.html(
                f'<a class="so-go" href="{address}" data-testid="run-compare">Compare with live results</a>',
                sanitize=False,
            )

        def cancel() -> str:
            runs.cancel(site, run, view.visitor.principal.name)
            return "It ends."

        def again() -> str:
            runs.again(site, run)
            return "It is queued again."

        def delete() -> str:
            self._store.delete(run)
            return "The run is deleted."

        if record.is_open:
            action(view, "Cancel", cancel, test="run-cancel", report=self._report, audit="run.cancel", danger=True)
        elif record.state != "done":
            action(view, "Run again", again, test="run-again", report=self._report, audit="run.again")
        if not record.is_open:
            question = f"Delete run {record.title} and all that it made? That cannot be undone."
            action(
                view,
                "Delete",
                delete,
                test="run-delete",
                report=self._report,
                role=Role.ADMIN,
                confirm=question,
                audit="run.delete",
                danger=True,
                after=lambda: ui.navigate.to(view.link("/runs")),
            ).props("outline")


def _shown(name: str, words: str, address: str) -> str:
    if name.endswith((".mp4", ".webm")):
        return (
            f'<video class="so-run-picture" data-testid="show-{name}" src="{address}" controls preload="metadata" '
            f'aria-label="{words}"></video>'
        )
    return (
        f'<a href="{address}" target="_blank" rel="noopener"><img class="so-run-picture" data-testid="show-{name}" '
        f'src="{address}" alt="{words}" loading="lazy"></a>'
    )


def _figures(record: RunRecord, taken: int) -> str:
    rows = [
        ("what", escape(kind_words(record))),
        ("range, UTC", escape(span_words(record.start, record.end))),
        ("settings", escape(record.settings)),
        ("settings hash", f'<span class="so-mono">{record.settings_sha256[:16]}</span>'),
        ("ordered", f"{stamp_html(record.made)} by {escape(record.by)}"),
        ("so2cam", escape(record.version)),
    ]
    if record.images is not None:
        images = record.images
        rows.append(("images", f"{', '.join(images.formats)} of {', '.join(images.quantities)}, every {images.every}"))
    if record.began is not None and record.ended is not None:
        rows.append(("took", f"{(record.ended - record.began).total_seconds():.0f} s"))
    if not record.is_open:
        rows.append(("on the disk", size(taken)))
    if record.has_rates:
        rows.append(("values", f"{record.pairs} pairs, {record.valid} valid values of lines"))
    rows += [(escape(label), escape(value)) for label, value in record.summary]
    rows += [("warning", escape(warning)) for warning in record.warnings]
    listed = "".join(f"<dt>{label}</dt><dd>{value}</dd>" for label, value in rows)
    return f'<dl class="so-figures is-left" data-testid="run-figures">{listed}</dl>'
