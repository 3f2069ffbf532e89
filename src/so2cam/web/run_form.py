"""The form by which a run is ordered."""

from datetime import UTC, datetime, timedelta
from typing import Final

from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.core.site import SPEED_METHODS
from so2cam.core.times import parse_utc
from so2cam.formats.images import FORMATS, QUANTITIES
from so2cam.link.protocol import Role
from so2cam.station.run_settings import DRAFT, SITE_FILE, settings_text
from so2cam.station.run_store import Kind, RunImages, RunOrder
from so2cam.web.parts import Report, action, field, panel, pick
from so2cam.web.view import View

_FORMATS: Final = {"png": "PNG pictures", "video": "video", "netcdf": "netCDF", "zarr": "zarr"}
_LONGEST_NAME: Final = 60
_HINT: Final = (
    "A run never changes live results. Calibration files are those that the station would choose for each day; of "
    "several days they are used together."
)


class _Form:
    """The fields, and the order that they make."""

    def __init__(self, view: View) -> None:
        query, (start, end) = view.query, _newest_span(view)
        sources = _sources(view)
        self._view = view
        with ui.element("div").classes("so-run-form"):
            self.name = field("Name", test="run-name", example="what it is for", value=query.get("name", ""))
            self.source = pick("Settings", sources, _chosen(query, sources), test="run-settings")
            times = "type=datetime-local step=1"
            self.start = field("From, UTC", test="run-start", value=query.get("start", start), props=times)
            self.end = field("To, UTC (not included)", test="run-end", value=query.get("end", end), props=times)
        with ui.element("div").classes("so-run-form"):
            self.methods = (
                ui.select(list(SPEED_METHODS), multiple=True, label="Speed methods", value=[])
                .props(
                    'dense outlined stack-label use-chips data-testid=run-methods hint="none: those of the settings"'
                )
                .classes("so-input")
            )
            self.images = (
                ui.select({key: _FORMATS[key] for key in FORMATS}, multiple=True, label="Images too", value=[])
                .props("dense outlined stack-label use-chips data-testid=run-images")
                .classes("so-input")
            )
            self.quantity = pick("of which quantity", {key: key for key in QUANTITIES}, "columns", test="run-quantity")
            self.every = field("every n-th pair", test="run-every", value="1", props="type=number min=1")
        self.changes = (
            ui.textarea(
                "Settings to change",
                value=query.get("changes", ""),
                placeholder='processing.background.mode = "polynomial"\nlines.upstream.start = [120, 40]',
            )
            .props("dense outlined stack-label autogrow spellcheck=false data-testid=run-changes")
            .classes("so-input is-wide so-mono")
        )

    def order(self, kind: Kind) -> RunOrder:
        """Return what is wanted. Raises So2camError where a field cannot be that."""
        view = self._view
        start, end = _time("From", self.start.value), _time("To", self.end.value)
        if kind == "live":
            text, words = settings_text(view.pages.drafts[view.site.name], SITE_FILE, "")
        else:
            draft = view.pages.drafts[view.site.name]
            chosen = tuple(method for method in SPEED_METHODS if method in (self.methods.value or ()))
            text, words = settings_text(draft, str(self.source.value), str(self.changes.value or ""), chosen)
        name = " ".join(str(self.name.value or "").split())[:_LONGEST_NAME]
        default = "live results" if kind == "live" else ""
        images = self._images() if kind == "process" else None
        return RunOrder(kind, name or default, view.visitor.principal.name, start, end, text, words, images)

    def _images(self) -> RunImages | None:
        formats = tuple(str(one) for one in self.images.value or ())
        if not formats:
            return None
        try:
            every = int(float(self.every.value or 1))
        except ValueError:
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
    shown = "run" not in view.query or not store.all()
    fields.set_visibility(shown)
    with head:
        toggle = ui.button("Close" if shown else "Open").props("flat dense no-caps data-testid=new-run-open")

    def turn() -> None:
        fields.set_visibility(not fields.visible)
        toggle.set_text("Close" if fields.visible else "Open")

    toggle.on_click(turn)


def _chosen(query: dict[str, str], sources: dict[str, str]) -> str:
    asked = query.get("settings", SITE_FILE)
    return asked if asked in sources else SITE_FILE


def _sources(view: View) -> dict[str, str]:
    draft = view.pages.drafts[view.site.name]
    found = {SITE_FILE: "site file, as it is"}
    state = draft.state()
    if state.changed:
        found[DRAFT] = f"draft ({len(state.edits)} edits)" + (", not valid now" if state.problem else "")
    for version in reversed(draft.versions()):
        found[str(version.number)] = f"version {version.number}, {version.time:%Y-%m-%d}: {version.note}"[:80]
    return found


def _newest_span(view: View) -> tuple[str, str]:
    """Return the last hour that has results, as the fields take it."""
    try:
        newest = view.context.catalogue.latest_rates(view.site.name)
    except So2camError:
        newest = []
    end = (newest[0].time if newest else datetime.now(UTC)).replace(microsecond=0) + timedelta(seconds=1)
    return f"{end - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}", f"{end:%Y-%m-%dT%H:%M:%S}"


def _time(label: str, value: object) -> datetime:
    try:
        return parse_utc(f"{value}Z")
    except ValueError:
        raise InputError("is no time", key=label, value=value, remedy="write it like 2026-03-01T12:00:00") from None
