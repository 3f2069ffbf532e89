"""The wavelengths on the page of the spectrometer: from sunlight around a moment, before and after, into the draft."""

import math
from datetime import datetime
from html import escape
from typing import Any, Final

from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.formats.siteedit import KeyPath
from so2cam.station.spectrometer_sky import KEY, FoundSky, Skies
from so2cam.station.spectrum_fits import error_words
from so2cam.web import plot
from so2cam.web.moments import MomentField
from so2cam.web.parts import Report, field, number, panel, pick, with_uncertainty
from so2cam.web.plot import Plot
from so2cam.web.setup import Setup
from so2cam.web.spectra_fit import plain_values
from so2cam.web.typed import read_number, read_whole
from so2cam.web.view import View

_ORDERS: Final = {"0": "shift", "1": "shift and stretch", "2": "parabola", "3": "cubic"}


class SkyPanel:
    """The panel."""

    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup = view, setup
        self._skies = Skies(view.context, view.site, view.pages.fits(view.site))
        self._found: FoundSky | None = None
        self._seen: dict[KeyPath, Any] = {}
        box, _ = panel("Wavelengths", test="sky-panel", hint="from the Fraunhofer lines of sunlight")
        with box:
            ui.html(
                "<p>The lines of sunlight in the mean of some spectra tell how far the stored wavelengths are off; the "
                "draft then adds that to them. Choose a moment of bright sky and little SO2.</p>",
                sanitize=False,
            )
            with ui.element("div").classes("so-row"):
                self._time = MomentField("Moment, UTC", test="sky-time", precision="second")
                self._count = field("Spectra", test="sky-count", value="20", props="inputmode=numeric")
                self._order = pick("Correction", _ORDERS, "1", test="sky-order")
                self._low = field("From, nm", test="sky-low", example="306", props="inputmode=decimal")
                self._high = field("To, nm", test="sky-high", example="336", props="inputmode=decimal")
                self._button = ui.button("Find", on_click=self._find).props("unelevated no-caps data-testid=sky-find")
            self._report = Report(test="sky-report")
            self._result = ui.element("div").classes("so-columns")
            with self._result:
                with ui.element("div"):
                    self._plot = Plot(label="how far wavelengths are off, before and after", test="sky")
                with ui.element("div"):
                    self._rows = ui.html("", sanitize=False).props("data-testid=sky-rows")
                    self._take = ui.button("Take into the draft", on_click=self._take_it)
                    self._take.props("unelevated no-caps data-testid=sky-take")
                    if not setup.may_edit:
                        self._take.disable()
            setup.fields([("spectrometer", "detector", "wavelength_correction")])
        self._result.set_visibility(False)

    async def begin(self) -> None:
        """Propose the newest spectrum."""
        newest = await self._view.in_thread(self._view.pages.fits(self._view.site).nearest)
        if newest is None:
            self._report.say("No spectrum of the plume is in the archive yet.")
            self._button.disable()
            return
        self._time.set(newest.time)

    async def _find(self) -> None:
        state = self._setup.state
        loaded, self._seen = state.loaded, {KEY: state.value(KEY)}
        self._report.say("Fitting …")
        self._button.disable()
        try:
            time, count = self._asked()
            order = int(str(self._order.value))
            range_nm = self._range()
            found = await self._view.in_thread(
                lambda: self._skies.find(loaded, time, count=count, order=order, range_nm=range_nm)
            )
        except So2camError as error:
            self._report.say(error_words(error), "bad")
            return
        finally:
            self._button.enable()
        self._report.say("")
        self._show(found)

    def _asked(self) -> tuple[datetime, int]:
        """Return the moment and the number of spectra. Raises InputError."""
        time = self._time.need()
        try:
            count = read_whole(self._count.value)
        except InputError as wrong:
            raise InputError(f"the number of spectra {wrong.message}", value=self._count.value) from None
        return time, count

    def _range(self) -> tuple[float, float] | None:
        low, high = str(self._low.value or "").strip(), str(self._high.value or "").strip()
        if not low and not high:
            return None
        try:
            found = read_number(low), read_number(high)
        except InputError:
            raise InputError("give both ends of the range, or none", value=f"{low} {high}") from None
        if not 150 <= found[0] < found[1] <= 1200:
            raise InputError("the range must rise, within 150 to 1200 nm", value=f"{low} {high}")
        return found

    def _show(self, found: FoundSky) -> None:
        self._found = found
        self._result.set_visibility(True)
        nm = [round(float(value), 2) for value in found.centres_nm]
        weight = [1.0 if used else 0.15 for used in found.used]
        before, after = plain_values(found.before_nm), plain_values(found.after_nm)
        sigma = [value if math.isfinite(value) else 0.0 for value in found.sigmas_nm.tolist()]
        low = [None if y is None else y - s for y, s in zip(after, sigma, strict=True)]
        high = [None if y is None else y + s for y, s in zip(after, sigma, strict=True)]
        self._plot.set(
            [
                plot.band("1 sigma", nm, low, high, colour="data-3"),
                plot.line("zero", [nm[0], nm[-1]], [0.0, 0.0], colour="quiet", dashed=True) | {"legend": False},
                plot.points("as in the draft", nm, before, colour="data-2", symbol="diamond", weight=weight, size=0.6),
                plot.points("corrected", nm, after, colour="data-3", weight=weight, size=0.55),
            ],
            x={"name": "wavelength, nm"},
            y={"name": "wavelengths are off by, nm"},
        )
        self._rows.set_content(_table(found))

    async def _take_it(self) -> None:
        found = self._found
        if found is None:
            return
        words = f"wavelengths from sunlight of {found.time:%Y-%m-%d %H:%M}"
        if await self._setup.change(found.keys, words, seen=self._seen):
            self._report.say("Taken into the draft", "ok")


def _table(found: FoundSky) -> str:
    first, second = found.fit_before, found.fit_after
    rows: list[tuple[str, ...]] = [
        ("off, r.m.s. <small>nm</small>", *(f"{value:.4f}" for value in found.rms_nm)),
        ("shift of the fit <small>nm</small>", *(_pair(one.parameters.get("shift_0")) for one in (first, second))),
        ("residual, r.m.s. <small>%</small>", *(number(100 * one.residual_rms, 3) for one in (first, second))),
        ("SO2 column <small>ppm m</small>", *(_pair(one.column_ppm_m) for one in (first, second))),
    ]
    body = "".join(
        f"<tr><th scope=row>{label}</th>{''.join(f'<td>{value}</td>' for value in values)}</tr>"
        for label, *values in rows
    )
    used = sum(found.used)
    darks = f"{found.darks} darks" if found.darks else "no dark"
    correction = ", ".join(f"{value:.10g}" for value in found.correction)
    facts = (
        f"Mean of {found.spectra} spectra, {darks}; {used} of {len(found.used)} pieces count"
        + (f", scatter {found.scatter:.1f} sigma" if math.isfinite(found.scatter) else "")
        + f". Uncertain by {found.uncertainty_nm:.4f} nm in the fit window. Correction: [{correction}]."
    )
    return (
        '<table class="so-numbers"><thead><tr><th></th><th>Draft</th><th>Corrected</th></tr></thead>'
        f'<tbody>{body}</tbody></table><p class="so-spectrum-facts" data-testid="sky-facts">{escape(facts)}</p>'
    )


def _pair(value: Any) -> str:
    if value is None:
        return "–"
    text, sigma = with_uncertainty(value[0], value[1])
    return f"{text} <small>± {sigma}</small>" if sigma else text
