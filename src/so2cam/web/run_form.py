"""The form by which a run is ordered."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.core.records import Band
from so2cam.core.site import SPEED_METHODS
from so2cam.formats.images import FORMATS, QUANTITIES
from so2cam.link.protocol import Role
from so2cam.station.run_orders import RunWish, order_of, with_video
from so2cam.station.run_settings import DRAFT, SITE_FILE
from so2cam.station.run_store import Kind, RunImages, RunOrder
from so2cam.web.moments import MomentField, address_text
from so2cam.web.parts import Report, action, field, panel, pick
from so2cam.web.run_words import span_words
from so2cam.web.typed import read_whole
from so2cam.web.view import View

_FORMATS: Final = {"png": "PNG pictures", "video": "video", "netcdf": "netCDF", "zarr": "zarr"}
PROCESS: Final = "process"
BANDS: Final = {"film-on": Band.ON, "film-off": Band.OFF}
_VIDEOS: Final = {"film-absorbance": "absorbance", "film-column": "columns"}
WHAT: Final = {
    PROCESS: "images and spectra",
    "spectra": "spectra only",
    "film-on": "film of the on band",
    "film-off": "film of the off band",
    "film-absorbance": "film of absorbance",
    "film-column": "film of column density",
}
"""What a run can be, in words."""
_QUANTITY: Final = "columns"
_EMPTY: Final = {"what": PROCESS, "settings": SITE_FILE, "quantity": _QUANTITY, "every": "1"}
_KEEP_S: Final = 0.5
_LONGEST_ADDRESS: Final = 6000
"""Characters: what is longer does not reach the station in an address, and is not kept."""
_FIELDS: Final = ("name", "what", "columns", "methods", "images", "quantity", "every", "changes", "settings", "start")
_HINT: Final = (
    "A run never changes live results. Calibration files are those that the station would choose for each day; of "
    "several days they are used together."
)


class _Form:
    """The fields, and the order that they make. What is typed stands in the address, so that a reload keeps it."""

    def __init__(self, view: View) -> None:
        query, (start, end) = view.query, _newest_span(view)
        sources, earlier = _sources(view), _earlier(view)
        self._view = view
        with ui.element("div").classes("so-run-form"):
            self.name = field("Name", test="run-name", example="what it is for", value=query.get("name", ""))
            self.what = pick("What", WHAT, _one_of(query.get("what"), WHAT, PROCESS), test="run-what")
            self.source = pick(
                "Settings", sources, _one_of(query.get("settings"), sources, SITE_FILE), test="run-settings"
            )
            self.start = MomentField("From, UTC", test="run-start", value=query.get("start", start), precision="second")
            self.end = MomentField(
                "To, UTC (not included)", test="run-end", value=query.get("end", end), precision="second", last=True
            )
        self._of_images = ui.element("div").classes("so-run-form")
        with self._of_images:
            self.columns = pick("Spectra", earlier, _one_of(query.get("columns"), earlier, ""), test="run-columns")
            self.methods = (
                ui.select(
                    list(SPEED_METHODS),
                    multiple=True,
                    label="Speed methods",
                    value=_several(query.get("methods"), SPEED_METHODS),
                )
                .props(
                    'dense outlined stack-label use-chips data-testid=run-methods hint="none: those of the settings"'
                )
                .classes("so-input")
            )
            self.images = (
                ui.select(
                    {key: _FORMATS[key] for key in FORMATS},
                    multiple=True,
                    label="Images too",
                    value=_several(query.get("images"), FORMATS),
                )
                .props("dense outlined stack-label use-chips data-testid=run-images")
                .classes("so-input")
            )
            quantities: dict[str, str] = {key: key for key in QUANTITIES}
            self.quantity = pick(
                "of which quantity",
                quantities,
                _one_of(query.get("quantity"), quantities, _QUANTITY),
                test="run-quantity",
            )
            self.every = field(
                "every n-th pair", test="run-every", value=query.get("every", "1"), props="type=number min=1"
            )
        self.changes = (
            ui.textarea(
                "Settings to change",
                value=query.get("changes", ""),
                placeholder='processing.background.mode = "polynomial"\nlines.upstream.start = [120, 40]',
            )
            .props("dense outlined stack-label autogrow spellcheck=false data-testid=run-changes")
            .classes("so-input is-wide so-mono")
        )
        for wide in (self.source, self.columns):
            wide.classes("is-wide")
        self.what.on_value_change(self._show)
        self._show()
        self._empty = {**_EMPTY, "start": address_text(start, "second"), "end": address_text(end, "second")}
        self._kept = self.typed()
        view.every(_KEEP_S, self.keep, immediate=False)

    def _show(self) -> None:
        """Show the fields that count for what is chosen."""
        self._of_images.set_visibility(self.what.value == PROCESS or self.what.value in _VIDEOS)

    def typed(self) -> dict[str, str | None]:
        """Return what the address says of the fields; None of one that is as it is at first."""
        said = {
            "name": self.name.value,
            "what": self.what.value,
            "settings": self.source.value,
            "start": self.start.address,
            "end": self.end.address,
            "columns": self.columns.value,
            "methods": ",".join(self.methods.value or ()),
            "images": ",".join(self.images.value or ()),
            "quantity": self.quantity.value,
            "every": self.every.value,
            "changes": self.changes.value,
        }
        return address_of({key: str(value or "") for key, value in said.items()}, self._empty)

    def keep(self) -> None:
        """Write what is typed into the address, where it changed."""
        now = self.typed()
        if now != self._kept:
            self._kept = now
            self._view.keep(**now)

    def order(self, kind: Kind) -> RunOrder:
        """Return what is wanted. Raises So2camError where a field cannot be that."""
        view, what = self._view, str(self.what.value)
        draft = view.pages.drafts[view.site.name]
        images: RunImages | None = None
        if kind == PROCESS:
            kind = "film" if what in BANDS else "spectra" if what == "spectra" else PROCESS
            images = self._images()
            if what in _VIDEOS:
                images = with_video(images, _VIDEOS[what])
        chosen = str(self.columns.value or "")
        wish = RunWish(
            kind,
            view.visitor.principal.name,
            self.start.need(),
            self.end.need(),
            name=str(self.name.value or ""),
            settings=str(self.source.value),
            changes=str(self.changes.value or ""),
            methods=tuple(method for method in SPEED_METHODS if method in (self.methods.value or ())),
            images=images,
            columns_of=int(chosen) if chosen else None,
            band=BANDS.get(what),
        )
        return order_of(wish, draft)

    def _images(self) -> RunImages | None:
        formats = tuple(str(one) for one in self.images.value or ())
        if not formats and str(self.what.value) not in _VIDEOS:
            return None
        try:
            every = read_whole(self.every.value or 1)
        except InputError:
            every = 0
        if every < 1:
            raise InputError("must be a whole number from 1 on", key="every n-th pair", value=self.every.value)
        return RunImages(formats, (str(self.quantity.value),), every)


def draw_form(view: View) -> None:
    """Draw the form in a panel that stands open where the address asks for it, or there is no run yet."""
    store = view.pages.runs.store(view.site.name)
    box, head = panel("New run", test="new-run", hint=_HINT)
    form: _Form | None = None

    def work(kind: Kind) -> str:
        if form is None:
            raise InputError("the form is not there yet")
        record = view.pages.runs.order(view.site, form.order(kind))
        return f"Run {record.title} is queued."

    with box:
        fields = ui.element("div").classes("so-stack")
        report = Report(test="run-report")
        with fields:
            form = _Form(view)
            with ui.element("div").classes("so-row"):
                action(
                    view,
                    "Process",
                    lambda: work("process"),
                    test="run-go",
                    report=report,
                    role=Role.OPERATOR,
                    audit="run.order",
                )
                action(
                    view,
                    "Put live results into files",
                    lambda: work("live"),
                    test="run-live",
                    report=report,
                    role=Role.OPERATOR,
                    audit="run.order",
                ).props("outline")
            ui.label(_HINT).classes("so-note")
    shown = "run" not in view.query or not store.all() or any(key in view.query for key in _FIELDS)
    fields.set_visibility(shown)
    with head:
        toggle = ui.button("Close" if shown else "Open").props("flat dense no-caps data-testid=new-run-open")

    def turn() -> None:
        fields.set_visibility(not fields.visible)
        toggle.set_text("Close" if fields.visible else "Open")

    toggle.on_click(turn)


def address_of(typed: Mapping[str, str], empty: Mapping[str, str]) -> dict[str, str | None]:
    """Return what the address says of fields that hold ``typed``; None of those as they are at first (``empty``)."""
    said = {key: value if value and value != empty.get(key, "") else None for key, value in typed.items()}
    if len(urlencode({key: value for key, value in said.items() if value})) > _LONGEST_ADDRESS:
        said["changes"] = None
    return said


def _one_of(asked: str | None, options: Mapping[str, str], otherwise: str) -> str:
    return asked if asked is not None and asked in options else otherwise


def _several(asked: str | None, known: Sequence[str]) -> list[str]:
    return [one for one in known if one in (asked or "").split(",")]


def _earlier(view: View) -> dict[str, str]:
    """Return where columns of the spectrometer may come from: spectra of the time, or a run that has fitted them."""
    records = view.pages.runs.store(view.site.name).all()
    return {"": "fitted anew"} | {
        str(record.id): f"columns of run {record.title}, {span_words(record.start, record.end)}"
        for record in records
        if record.has_columns
    }


def _sources(view: View) -> dict[str, str]:
    draft = view.pages.drafts[view.site.name]
    found = {SITE_FILE: "site file, as it is"}
    state = draft.state()
    if state.changed:
        found[DRAFT] = f"draft ({len(state.edits)} edits)" + (", not valid now" if state.problem else "")
    for version in reversed(draft.versions()):
        found[str(version.number)] = f"version {version.number}, {version.time:%Y-%m-%d}: {version.note}"[:80]
    return found


def _newest_span(view: View) -> tuple[datetime, datetime]:
    """Return the last hour that has results."""
    try:
        newest = view.context.catalogue.latest_rates(view.site.name)
    except So2camError:
        newest = []
    end = (newest[0].time if newest else datetime.now(UTC)).replace(microsecond=0) + timedelta(seconds=1)
    return end - timedelta(hours=1), end
