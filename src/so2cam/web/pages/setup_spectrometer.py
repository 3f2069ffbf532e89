"""The set-up page of the spectrometer: line shape, wavelengths, what spectra are made of, and every key of them."""

from typing import Final

from nicegui import ui

from so2cam.formats.reference_spectra import table_names
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath
from so2cam.station.spectrometer_choice import TABLE, adding
from so2cam.web.parts import empty, panel, pick
from so2cam.web.seen import Seen
from so2cam.web.setup import Setup, setup_page
from so2cam.web.shell import asset_url
from so2cam.web.spectrometer_lamp import LampPanel
from so2cam.web.spectrometer_sky import SkyPanel
from so2cam.web.view import View

_ROOT: Final = "spectrometer"
_OWN_FILE: Final = "file"
_NONE: Final = "none"
_SPECIES: Final = {"solar": "sunlight", "so2": "SO2", "o3": "ozone", "no2": "NO2", "ring": "Ring"}
_FIT: Final = (
    "method", "window_nm", "background_order", "offset_order", "shift_order", "maximum_shift_nm", "model_spacing_nm",
    "model_padding_nm", "interpolation", "maximum_evaluations",
)  # fmt: skip
_DETECTOR: Final = (
    "saturation_counts", "minimum_counts", "stray_light_nm", "subtract_dark", "require_dark", "dark_averaging_s",
    "integration_time_tolerance", "nonlinearity", "bad_pixels", "spike_sigma",
)  # fmt: skip
_DILUTION: Final = ("mode", "value", "first_window_nm", "second_window_nm")
_FILES: Final = (
    "format", "name_pattern", "kinds", "dark_files", "wavelength_column", "counts_column", "delimiter", "stamp",
    "utc_offset_hours", "integration_time_s", "coadds", "gps_track",
)  # fmt: skip


@setup_page(
    "/setup/spectrometer",
    title="Spectrometer",
    order=80,
    hint="Line shape, wavelengths, and how columns are found from spectra",
    about=(
        "Columns of SO2 need the spectrometer's line shape and true wavelengths: the first comes from spectra of a "
        "mercury lamp, the second from the lines of sunlight. Both are shown with their quality before they go into "
        "the draft. Windows are best moved on the page of spectra, where each is tried on a spectrum at once."
    ),
    docs="web-spectra",
)
async def spectrometer(view: View, setup: Setup) -> None:
    """Show the panels."""
    ui.add_head_html(f'<link rel="stylesheet" href="{asset_url("spectra.css")}">')
    if setup.site.spectrometer is None:
        empty(
            "The site file has no [spectrometer]. Its keys have defaults: add the table to use a spectrometer.",
            title="No spectrometer",
            test="spectrometer-empty",
        )
        if setup.may_edit:
            ui.button("Add [spectrometer]", on_click=lambda: _add(view, setup)).props(
                "unelevated no-caps data-testid=spectrometer-add"
            )
        return
    lamp, sky = LampPanel(view, setup), SkyPanel(view, setup)
    box, head = panel("Fit", test="fit-keys", hint="of a modelled spectrum to the measured one")
    with head:
        ui.link("Try windows on a spectrum", view.link("/spectra")).props("data-testid=to-spectra")
    with box:
        setup.fields([(_ROOT, "fit", name) for name in _FIT])
    box, _ = panel("Reference spectra", test="reference-keys", hint="what a measured spectrum is made of")
    with box:
        _draw_references(setup)
    box, _ = panel("Light dilution", test="dilution-keys", hint="found from two windows whose bands differ in strength")
    with box:
        setup.fields([(_ROOT, "light_dilution", name) for name in _DILUTION])
    box, _ = panel("Detector", test="detector-keys", hint="what a count means, and what is done before the fit")
    with box:
        setup.fields([(_ROOT, "detector", name) for name in _DETECTOR])
    box, _ = panel("Files", test="files-keys", hint="how spectra are stored")
    with box:
        setup.fields([(_ROOT, "files", name) for name in _FILES])
    await lamp.begin()
    await sky.begin()


async def _add(view: View, setup: Setup) -> None:
    if await setup.change(adding(), "add a spectrometer", seen={TABLE: MISSING}):
        view.client.run_javascript("location.reload()")


def _draw_references(setup: Setup) -> None:
    with ui.element("div").classes("so-keys"):
        for species, words in _SPECIES.items():
            _Species(setup, species, words)
        setup.field((_ROOT, "references", "so2", "relative_uncertainty"), "SO2, relative uncertainty")
        for species, words in _SPECIES.items():
            if species != "o3":
                setup.field((_ROOT, "references", species, "file"), f"{words}, own file")
                setup.field((_ROOT, "references", species, "shift_nm"), f"{words}, shift")
        setup.field((_ROOT, "references", "o3"), "ozone, as the file says", wide=True)


class _Species:
    """Which of the own tables a species is taken from, if any."""

    def __init__(self, setup: Setup, species: str, words: str) -> None:
        self._setup, self._species, self._seen = setup, species, Seen(setup)
        own = {name: name for name in table_names() if name.startswith(species)}
        more = {_NONE: "not fitted"} if species in ("no2", "o3") else {}
        options = {_OWN_FILE: "as the file says", **more, **own}
        self._options = options
        self._pick = pick(words, options, self._now(), test=f"reference-{species}")
        if not setup.may_edit:
            self._pick.disable()
        self._pick.on_value_change(self._picked)
        setup.on_change(self._follow)

    def _follow(self) -> None:
        self._seen.drawn()
        self._pick.set_value(self._now())

    def _now(self) -> str:
        value = self._setup.value((_ROOT, "references", self._species))
        if isinstance(value, list):
            value = value[0] if len(value) == 1 else None if not value else {}
        if value is None or value is MISSING:
            return _NONE if _NONE in self._options else _OWN_FILE
        table = value.get("table") if isinstance(value, dict) else None
        return str(table) if table in self._options else _OWN_FILE

    async def _picked(self) -> None:
        chosen = str(self._pick.value)
        path: KeyPath = (_ROOT, "references", self._species)
        if chosen == self._now() or chosen == _OWN_FILE:
            return
        if self._species == "o3":
            changes: dict[KeyPath, object] = {path: [] if chosen == _NONE else [{"table": chosen}]}
        elif chosen == _NONE:
            changes = {path: REMOVE}
        else:
            changes = {(*path, "table"): chosen, (*path, "file"): REMOVE}
        await self._seen.change(changes, f"{_SPECIES[self._species]} from {chosen}")
