"""The page of spectra: columns over time, and any spectrum with its fit, whose windows are dragged."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.core.times import format_utc, parse_utc
from so2cam.formats.siteedit import KeyPath
from so2cam.station.catalogue import ArchivedFile
from so2cam.station.spectrum_fits import SpectrumLook, error_words, settings_with
from so2cam.station.spectrum_windows import KINDS, Window, windows_of
from so2cam.web.parts import Ago, empty, error, time_text
from so2cam.web.registry import page
from so2cam.web.setup import Setup
from so2cam.web.shell import asset_url
from so2cam.web.spectra_fit import FitPlots, Numbers, SpectrumPlot
from so2cam.web.spectra_time import ColumnsPanel
from so2cam.web.view import View

_PATHS: Final = {kind.key: kind.path for kind in KINDS}
_TITLES: Final = {kind.key: kind.title for kind in KINDS}


@page(
    "/spectra",
    title="Spectra",
    nav="Spectra",
    keys="g s",
    order=20,
    hint="Spectra, their fits, and columns over time",
    about=(
        "Every spectrum of the plume has a point; click one, or use the arrow keys, to see it with its fit. Drag the "
        "edges of a window: this spectrum is fitted again at once, beside the numbers of the site file. Keep a window "
        "in the draft of the site file, which changes nothing until it is saved."
    ),
    docs="web-spectra",
)
async def spectra(view: View) -> None:
    """Show the newest spectrum, or the one of the address."""
    ui.add_head_html(f'<link rel="stylesheet" href="{asset_url("spectra.css")}">')
    if view.site.loaded.site.spectrometer is None:
        empty("This site has no [spectrometer] in its site file.", title="No spectra", test="spectra-empty")
        return
    newest = await view.in_thread(view.pages.fits(view.site).nearest)
    if newest is None:
        empty("No spectrum of the plume is in the archive yet.", title="No spectra", test="spectra-empty")
        return
    await Spectra(view, newest).begin()


class Spectra:
    """What one browser looks at: a moment, and windows that are tried."""

    def __init__(self, view: View, newest: ArchivedFile) -> None:
        self._view, self._setup = view, Setup(view)
        self._fits = view.pages.fits(view.site)
        self._newest = newest
        self._file = newest
        self._follows = view.query.get("t") is None
        self._tried = tried_in(view.query)
        self._seen: dict[KeyPath, Any] = {}
        self._remember_seen()
        self._asked = 0
        self._columns = ColumnsPanel(view, self._fits, newest.time, self._pick, self._step)
        with self._columns.foot:
            self._time = ui.label("").classes("so-strong").props("data-testid=spectrum-time")
            self._ago = Ago()
            for label, by, test in (("‹ Earlier", -1, "earlier"), ("Later ›", 1, "later")):
                ui.button(label, on_click=lambda _, by=by: self._step(by)).props(
                    f"flat no-caps data-testid=spectrum-{test}"
                )
            self._follow = ui.checkbox("Follow the newest", value=self._follows, on_change=self._followed)
            self._follow.props("dense data-testid=spectrum-follow")
        self._trouble = error("", test="spectra-error")
        self._trouble.set_visibility(False)
        with ui.element("div").classes("so-spectrum"):
            self._spectrum = SpectrumPlot(view, self._moved)
            self._numbers = Numbers()
        with self._numbers.box:
            self._draw_keeping()
        self._plots = FitPlots(view)

    async def begin(self) -> None:
        """Show what the address says."""
        asked = self._view.query.get("t")
        if asked:
            try:
                time = parse_utc(asked)
            except ValueError:
                time = self._newest.time
            found = await self._view.in_thread(lambda: self._fits.nearest(time))
            self._file = found or self._newest
        await self._columns.show()
        self._time.set_text(time_text(self._file.time))
        ui.timer(0.05, self._show, once=True)  # a first fit may take longer than a page may
        self._view.every(3.0, self._look_for_newer, immediate=False)
        self._setup.on_change(self._show)

    # --- which one ---------------------------------------------------------------------------------------------------

    async def _pick(self, time: datetime) -> None:
        await self._go(lambda: self._fits.nearest(time))

    async def _step(self, by: int) -> None:
        at = self._file.time
        await self._go(self._fits.nearest if by == 0 else lambda: self._fits.beside(at, later=by > 0))

    async def _go(self, find: Callable[[], ArchivedFile | None]) -> None:
        try:
            file = await self._view.in_thread(find)
        except So2camError as failed:
            self._say_trouble(error_words(failed))
            return
        if file is None:
            return
        self._file = file
        if self._follows:
            self._follows = False
            self._follow.set_value(False)
        self._view.keep(t=format_utc(file.time))
        await self._show()

    async def _followed(self) -> None:
        self._follows = bool(self._follow.value)
        if self._follows:
            self._view.keep(t=None)
            await self._look_for_newer(anew=True)
        else:
            self._view.keep(t=format_utc(self._file.time))

    async def _look_for_newer(self, *, anew: bool = False) -> None:
        try:
            newest = await self._view.shared("newest spectrum", 1.5, self._fits.nearest)
        except So2camError as failed:
            self._say_trouble(error_words(failed))
            return
        if newest is None or (newest.id == self._newest.id and not anew):
            return
        self._newest = newest
        if self._columns.live or newest.time - self._file.time < timedelta(days=1):
            await self._columns.show()
        if self._follows and newest.id != self._file.id:
            self._file = newest
            await self._show()

    # --- its fit -----------------------------------------------------------------------------------------------------

    async def _moved(self, key: str, low: float, high: float) -> None:
        self._tried[key] = (low, high)
        self._remember_seen()
        self._keep_tried()
        await self._show()

    def _remember_seen(self) -> None:
        """Remember what the draft said of the windows before they were tried."""
        state = self._setup.state
        paths = [_PATHS[key] for key in self._tried]
        self._seen = {path: self._seen.get(path, state.value(path)) for path in paths}

    def _keep_tried(self) -> None:
        kept = {f"try_{key}": None for key in _PATHS} | {
            f"try_{key}": f"{low:g}-{high:g}" for key, (low, high) in self._tried.items()
        }
        self._view.keep(**kept)

    async def _show(self) -> None:
        """Fit the chosen spectrum by the site file and by what is tried; what comes late is not shown."""
        self._asked += 1
        asked, file, tried = self._asked, self._file, dict(self._tried)
        self._said.set_text("Fitting …")
        trouble, now, other, windows = await self._view.in_thread(lambda: self._work(file, tried))
        if asked != self._asked:
            return
        self._time.set_text(time_text(file.time))
        self._ago.set(file.time)
        self._columns.mark(file.time)
        self._say_trouble(trouble)
        if now is None:
            self._said.set_text("")
            return
        self._tried = {key: window for key, window in tried.items() if key in windows}
        self._spectrum.show(now, windows)
        self._plots.show(now, other)
        self._numbers.show(now, other, "Tried" if self._tried else "Draft")
        self._say_keeping(windows, trouble)

    def _say_trouble(self, trouble: str) -> None:
        self._trouble.set_text(trouble)
        self._trouble.set_visibility(bool(trouble))

    def _work(
        self, file: ArchivedFile, tried: dict[str, Window]
    ) -> tuple[str, SpectrumLook | None, SpectrumLook | None, dict[str, Window]]:
        """Return (what is wrong, fit by the site file, by the draft and ``tried`` where that is another, windows)."""
        saved = self._view.site.loaded
        try:
            now = self._fits.look(saved, file)
        except So2camError as failed:
            return error_words(failed), None, None, {}
        windows: dict[str, Window] = dict(now.windows)
        try:
            draft = self._setup.loaded
            windows = windows_of(settings_with(draft, {})) | tried
            if settings_with(draft, tried) == settings_with(saved, {}):
                return "", now, None, windows
            return "", now, self._fits.look(draft, file, tried), windows
        except So2camError as failed:
            return error_words(failed), now, None, windows

    # --- keeping -----------------------------------------------------------------------------------------------------

    def _draw_keeping(self) -> None:
        self._said = ui.label("").classes("so-small").props("data-testid=tried-words")
        with ui.element("div").classes("so-row"):
            self._keep = ui.button("Keep in the draft", on_click=self._keep_windows)
            self._keep.props("unelevated no-caps data-testid=tried-keep")
            self._back = ui.button("Back", on_click=self._forget).props("flat no-caps data-testid=tried-back")
        if not self._setup.may_edit:
            self._keep.disable()
            self._keep.props('title="This needs the role operator."')

    def _say_keeping(self, windows: dict[str, Window], trouble: str) -> None:
        words = [f"{_TITLES[key]} {low:g} to {high:g} nm" for key, (low, high) in self._tried.items()]
        drafted = [
            f"{_TITLES[key]} {windows[key][0]:g} to {windows[key][1]:g} nm"
            for key, path in _PATHS.items()
            if key in windows and key not in self._tried and self._setup.state.key_changed(path)
        ]
        said = [f"Tried: {', '.join(words)}."] if words else []
        said += [f"In the draft: {', '.join(drafted)}."] if drafted else []
        self._said.set_text(" ".join(said))
        self._keep.set_visibility(bool(words) and not trouble)
        self._back.set_visibility(bool(words))

    async def _keep_windows(self) -> None:
        changes: dict[KeyPath, Any] = {_PATHS[key]: list(window) for key, window in self._tried.items()}
        words = ", ".join(_TITLES[key] for key in self._tried)
        if await self._setup.change(changes, f"window: {words}", seen=self._seen):
            await self._forget()

    async def _forget(self) -> None:
        self._tried, self._seen = {}, {}
        self._keep_tried()
        await self._show()


def tried_in(query: dict[str, str]) -> dict[str, Window]:
    """Return the windows that an address says are tried."""
    found: dict[str, Window] = {}
    for key in _PATHS:
        low, _, high = query.get(f"try_{key}", "").partition("-")
        try:
            window = float(low), float(high)
        except ValueError:
            continue
        if 150 <= window[0] < window[1] <= 1200:
            found[key] = window
    return found
