"""Takes an existing installation, or a site file, into the draft: upload, see what became of everything, take it."""

from html import escape
from pathlib import Path

from nicegui import ui
from nicegui.events import MultiUploadEventArguments

from so2cam.core.errors import InputError, So2camError
from so2cam.formats.legacy import Wishes, parse_vent
from so2cam.station.site_check import check_text
from so2cam.station.site_import import MOST_BYTES, Imported, ImportedFile, import_uploads, with_kept
from so2cam.web.parts import Report, field
from so2cam.web.setup import EDITS_FROM
from so2cam.web.sitefile.book import Book, findings_html
from so2cam.web.tables import Column, table_html

_ABOUT = (
    "A zip of the old program's settings (its folder conf, with lines and registration), the single files, or a site "
    "file of so2cam. Nothing is changed until you take it. Logins are never imported, pickles never read."
)


class ImportPart:
    """The upload, the report, and the button that takes it."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._uploads: dict[str, bytes] = {}
        self._made: Imported | None = None

    def draw(self) -> None:
        """Draw it."""
        ui.html(f"<p>{escape(_ABOUT)}</p>", sanitize=False).classes("so-quiet")
        if not self._book.setup.may_edit:
            ui.label(f"This needs the role {EDITS_FROM.word}.").classes("so-quiet")
            return
        upload = ui.upload(
            multiple=True,
            max_total_size=MOST_BYTES,
            on_multi_upload=self._uploaded,
            on_rejected=self._rejected,
            auto_upload=True,
            label="Choose a zip, files, or site.toml",
        )
        upload.props("flat bordered data-testid=import-upload").classes("so-upload")
        with ui.element("details").props("data-testid=import-wishes") as self._more:
            ui.html("If something must be chosen", sanitize=False, tag="summary")
            with ui.element("div").classes("so-keys"):
                self._vent = field("Vent", test="import-vent", example="-39.42, -71.93, 2847")
                self._geometry = field("Geometry file", test="import-geometry", example="by the settings")
                self._settings = field("Processing settings", test="import-settings", example="by the settings")
            ui.button("Read again", on_click=self._read).props("outline no-caps data-testid=import-again")
        self._report = Report(test="import-report")
        self._result = ui.element("div").classes("so-import").props("data-testid=import-result")

    async def _uploaded(self, event: MultiUploadEventArguments) -> None:
        self._uploads = {Path(one.name).name: await one.read() for one in event.files}
        event.sender.reset()  # type: ignore[attr-defined]
        await self._read()

    def _rejected(self) -> None:
        self._report.say(f"More than {MOST_BYTES // 1_000_000} MB: leave images and spectra out", "bad")

    def _wishes(self) -> Wishes:
        vent = str(self._vent.value or "").strip()
        return Wishes(
            settings=str(self._settings.value or "").strip() or None,
            geometry=str(self._geometry.value or "").strip() or None,
            vent=parse_vent(vent) if vent else None,
        )

    async def _read(self) -> None:
        self._result.clear()
        self._made = None
        if not self._uploads:
            self._report.say("Choose files first", "bad")
            return
        uploads = dict(self._uploads)
        try:
            wishes = self._wishes()
            self._made = made = await self._book.view.in_thread(lambda: import_uploads(uploads, wishes))
            path = self._book.setup.loaded.path
            found = await self._book.view.in_thread(lambda: check_text(made.text, path))
        except So2camError as error:
            self._report.say(f"Not read: {error.message}" + (f". {error.remedy}" if error.remedy else ""), "bad")
            if isinstance(error, InputError):
                self._more.props("open")
            return
        self._report.say(f"Read {made.source}", "ok")
        with self._result:
            ui.html(_result_html(made) + findings_html(found, test="import-findings"), sanitize=False)
            with ui.element("div").classes("so-row"):
                self._keep = ui.checkbox(
                    "keep name, spectrometer, instrument, alarms, publication and station of the draft",
                    value=bool(made.report),
                ).props("dense data-testid=import-keep")
                if made.report:
                    ui.button("Report", on_click=self._download).props("flat no-caps data-testid=import-download")
                ui.button("Take into the draft", on_click=self._take).props(
                    "unelevated no-caps data-testid=import-take"
                )
            with ui.element("details"):
                ui.html("The site file that was made", sanitize=False, tag="summary")
                ui.html(f"<pre>{escape(made.text)}</pre>", sanitize=False).classes("so-textpeek")

    def _download(self) -> None:
        if self._made is not None:
            ui.download.content(self._made.report, "site.import.md")

    async def _take(self) -> None:
        made, book = self._made, self._book
        if made is None:
            return
        if not book.view.may(EDITS_FROM):
            self._report.say(f"This needs the role {EDITS_FROM.word}", "bad")
            return
        keep, draft, who = bool(self._keep.value), book.setup.draft, book.setup.who

        def work() -> None:
            text = with_kept(made.text, draft.state().text) if keep else made.text
            draft.replace(text, who, f"import {made.source}")

        try:
            await book.view.in_thread(work)
        except So2camError as error:
            self._report.say(f"Not taken: {error.message}", "bad")
            return
        book.setup.told()
        await book.go("versions")


def _result_html(made: Imported) -> str:
    notices = "".join(f"<li>{escape(notice)}</li>" for notice in made.notices)
    parts = []
    if notices:
        parts.append(f'<h3>What you must know</h3><ul data-testid="import-notices">{notices}</ul>')
    if made.counts:
        said = " · ".join(f"{count} {escape(word)}" for word, count in made.counts.items())
        parts.append(f'<p data-testid="import-counts">{said}</p>')
    parts += [_file_html(file) for file in made.files if file.keys]
    whole = [(escape(file.name), escape(file.what), escape(file.outcome), escape(file.note)) for file in made.files]
    if whole:
        columns = [Column("File", "lead"), Column("What it is"), Column("Outcome"), Column("Note")]
        listed = table_html(columns, whole, test="import-files")
        parts.append(f"<details><summary>All {len(whole)} files</summary>{listed}</details>")
    return "".join(parts)


def _file_html(file: ImportedFile) -> str:
    columns = [Column("Key", "lead"), Column("Value"), Column("Outcome"), Column("Where, or why not")]
    rows = [[escape(part) for part in key] for key in file.keys]
    table = table_html(columns, rows, test="import-keys")
    return f"<details><summary>{escape(file.name)}: {escape(file.what)}, {len(rows)} keys</summary>{table}</details>"
