"""One spectrum on the page of spectra: counts with the windows, the fit, what it is made of, its numbers."""

import math
from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Final

from nicegui import ui

from so2cam.station.spectrum_fits import SpectrumLook
from so2cam.station.spectrum_windows import KINDS, Window
from so2cam.web import plot
from so2cam.web.parts import MISSING, Choice, number, panel, with_uncertainty
from so2cam.web.plot import Plot
from so2cam.web.view import View
from so2cam.web.window_plot import Band, WindowPlot

_COLOURS: Final = {"stray": "quiet", "fit": "data-2", "first": "data-4", "second": "data-3"}
_AROUND_NM: Final = (4.0, 10.0)
SPECIES: Final = {"so2": "SO2", "o3": "ozone", "o3_2": "ozone, second", "no2": "NO2", "ring": "Ring"}
_SPECIES_COLOURS: Final = {"so2": "data-2", "o3": "data-1", "o3_2": "data-6", "no2": "data-5", "ring": "data-3"}


class SpectrumPlot:
    """The counts with dark, stray light and the windows, whose edges are dragged."""

    def __init__(self, view: View, on_moved: Callable[[str, float, float], Any]) -> None:
        self._view = view
        self._whole = view.query.get("whole") == "1"
        self._last: tuple[SpectrumLook, Mapping[str, Window]] | None = None
        self.box, head = panel(
            "Spectrum", test="spectrum-panel", hint="drag the edge of a window, or its name; or use the arrow keys"
        )
        with head:
            options = (("windows", "Windows"), ("whole", "Whole spectrum"))
            Choice(options, "whole" if self._whole else "windows", self._zoom, label="Wavelengths", test="zoom")
        with self.box:
            self._over = WindowPlot(label="spectrum with its windows", test="spectrum", on_moved=on_moved)
            self._drawn: object = None

    def show(self, look: SpectrumLook, windows: Mapping[str, Window]) -> None:
        """Show a spectrum, with windows as they are tried."""
        self._last = look, windows
        x = look.wavelengths_nm
        first, last = float(x[0]), float(x[-1])
        both = (*windows.values(), *look.windows.values())  # what is shown stays while a window is dragged about
        low = max(first, min(window[0] for window in both) - _AROUND_NM[0])
        high = min(last, max(window[1] for window in both) + _AROUND_NM[1])
        if self._whole:
            low, high = first, last
        self._over.set_bands(
            [
                Band(
                    kind.key, kind.title, *windows[kind.key], math.ceil(first * 20) / 20, math.floor(last * 20) / 20,
                    _COLOURS[kind.key],
                )
                for kind in KINDS
                if kind.key in windows
            ]
        )  # fmt: skip
        inside = (x >= low) & (x <= high)
        nm = [round(float(value), 3) for value in x[inside]]
        series = [plot.line("spectrum", nm, plain_values(look.counts[inside]), colour="data-1")]
        if look.dark is not None:
            series.append(plot.line("dark", nm, plain_values(look.dark[inside]), colour="quiet"))
            if math.isfinite(look.stray) and "stray" in windows:
                stray = plain_values(look.dark[inside] + look.stray)
                series.append(plot.line("with stray light", nm, stray, colour="data-5", dashed=True))
        if look.counts[inside].size and look.counts[inside].max() > 0.6 * look.saturation_counts:
            level = look.saturation_counts
            line = plot.line("saturation", [nm[0], nm[-1]], [level, level], colour="bad", dashed=True)
            series.append(line | {"legend": False})
        self._over.plot.set(
            series,
            x={"name": "wavelength, nm", "min": round(low, 1), "max": round(high, 1)},
            y={"name": "signal, counts", "compact": True},
        )

    def _zoom(self, key: str) -> None:
        self._whole = key == "whole"
        self._view.keep(whole="1" if self._whole else None)
        if self._last is not None:
            self.show(*self._last)


class FitPlots:
    """The fit, the residual, and what each species takes away."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._signal = view.query.get("plot") == "signal"
        self._last: tuple[SpectrumLook, SpectrumLook | None] | None = None
        with ui.element("div").classes("so-columns"):
            box, head = panel("Fit", test="fit-panel", hint="measured and modelled, within the fit window")
            with head:
                options = (("depth", "SO2 optical depth"), ("signal", "Signal"))
                Choice(options, "signal" if self._signal else "depth", self._choose, label="Plot", test="fit-plot")
            with box:
                self._fit = Plot(label="measured and modelled", test="fit")
                self._residual = Plot(label="residual of the fit", test="residual").classes("so-plot-low")
            box, _ = panel("Species", test="species-panel", hint="optical depth of each, less its mean")
            with box:
                self._species = Plot(label="optical depths of the species", test="species")
                self._none = ui.label("").classes("so-tile-why").props("data-testid=species-why")

    def show(self, now: SpectrumLook, tried: SpectrumLook | None) -> None:
        """Show the fit with the tried settings, and the one of the site file behind it."""
        self._last = now, tried
        look = now if tried is None else tried
        parts = look.parts
        shown = [one.parts.wavelengths_nm for one in (now, look) if one.parts is not None]
        axis: dict[str, Any] = {"name": "wavelength, nm"}
        if shown:
            low, high = min(x[0] for x in shown), max(x[-1] for x in shown)
            axis |= {"min": math.floor(2 * low) / 2, "max": math.ceil(2 * high) / 2}
        signal = self._signal or parts is None or not parts.densities  # without parameters there is only the signal
        series, residual = [], []
        if tried is not None and now.parts is not None:
            nm = _axis(now.parts.wavelengths_nm)
            if signal:
                series.append(plot.line("as saved", nm, plain_values(now.parts.model), colour="quiet", dashed=True))
            elif now.parts.densities:
                before = plain_values(now.parts.densities["so2"])
                series.append(plot.line("as saved", nm, before, colour="quiet", dashed=True))
            residual.append(plot.line("as saved", nm, _percent(now.parts.residual), colour="quiet", dashed=True))
        if parts is not None:
            nm = _axis(parts.wavelengths_nm)
            measured = parts.measured if signal else parts.so2_measured
            model = parts.model if signal else parts.densities.get("so2")
            if measured is not None and model is not None:
                series.append(plot.points("measured", nm, plain_values(measured), colour="data-1", size=0.28))
                series.append(plot.line("fit", nm, plain_values(model), colour="data-2"))
            residual.append(plot.line("residual", nm, _percent(parts.residual), colour="data-3"))
        name = "signal, counts" if signal else "optical depth of SO2"
        self._fit.set(series, x=axis, y={"name": name, "compact": signal})
        rms = "" if not math.isfinite(look.residual_rms) else f" (r.m.s. {number(100 * look.residual_rms, 3)} %)"
        self._residual.set([one | {"legend": False} for one in residual], x=axis, y={"name": f"residual, %{rms}"})
        densities = {} if parts is None else parts.densities
        self._species.set(
            [
                plot.line(
                    SPECIES.get(key, key),
                    _axis(parts.wavelengths_nm),
                    plain_values(values - values.mean()),
                    colour=_SPECIES_COLOURS.get(key, "data-4"),
                )
                for key, values in densities.items()
            ]
            if parts is not None
            else [],
            x=axis,
            y={"name": "optical depth less its mean"},
        )
        self._species.set_visibility(bool(densities))
        self._none.set_text("" if densities else f"There are no values: {look.why}.")

    def _choose(self, key: str) -> None:
        self._signal = key == "signal"
        self._view.keep(plot="signal" if self._signal else None)
        if self._last is not None:
            self.show(*self._last)


class Numbers:
    """What the fit found: with the site file as it is saved, and with what is tried or drafted."""

    def __init__(self) -> None:
        self.box, self.head = panel("Numbers", test="numbers-panel", hint="values with 1 sigma, random only")
        with self.box:
            self._table = ui.html("", sanitize=False).props("data-testid=numbers")
            self._facts = ui.label("").classes("so-spectrum-facts").props("data-testid=spectrum-facts")
            self._why = ui.label("").classes("so-tile-why").props("data-testid=spectrum-why")

    def show(self, now: SpectrumLook, tried: SpectrumLook | None, title: str) -> None:
        """Show the numbers of both; ``title``: what the second one is."""
        head = f"<th></th><th>As saved</th>{'' if tried is None else f'<th>{escape(title)}</th><th>Change</th>'}"
        body = []
        for key, label, unit, value in _ROWS:
            first = value(now)
            second = (math.nan, math.nan) if tried is None else value(tried)
            if not (math.isfinite(first[0]) or math.isfinite(second[0])) and key not in ("so2", "residual"):
                continue
            cells = [_cell(f"{key}-saved", first)]
            if tried is not None:
                cells += [_cell(f"{key}-tried", second), f"<td><small>{_change(key, first[0], second[0])}</small></td>"]
            small = f" <small>{escape(unit)}</small>" if unit else ""
            main = ' class="is-main"' if key == "so2" else ""
            body.append(f"<tr{main}><th scope=row>{escape(label)}{small}</th>{''.join(cells)}</tr>")
        self._table.set_content(
            f'<table class="so-numbers"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
        )
        look = now if tried is None else tried
        self._facts.set_text(facts(look))
        self._why.set_text(f"No column: {look.why}." if look.why else "")


def facts(look: SpectrumLook) -> str:
    """Say in words how a spectrum was taken and what was done before the fit; the first line is its file."""
    parts = []
    if look.integration_time_s is not None:
        coadds = "" if look.coadds is None else f" × {look.coadds}"
        parts.append(f"{1000 * look.integration_time_s:g} ms{coadds}")
    parts.append(f"mean of {look.darks} darks" if look.darks else "no dark")
    if math.isfinite(look.stray):
        parts.append(f"stray light {number(look.stray, 3)} counts")
    share = 100 * look.highest / look.saturation_counts
    parts.append(f"highest {look.highest:.0f} counts ({share:.0f} % of saturation)")
    parts.append(f"{look.saturated} saturated pixels in the fit window")
    return f"{look.name}\n{' · '.join(parts)}"


_Pair = tuple[float, float]


def _parameter(name: str, scale: float = 1.0) -> Callable[[SpectrumLook], _Pair]:
    def get(look: SpectrumLook) -> _Pair:
        value, sigma = look.parameters.get(name, (math.nan, math.nan))
        return value / scale, sigma / scale

    return get


_ROWS: Final[tuple[tuple[str, str, str, Callable[[SpectrumLook], _Pair]], ...]] = (
    ("so2", "SO2 column", "ppm m", lambda look: look.column_ppm_m),
    ("so2-molecules", "SO2 column", "10¹⁷/cm²", lambda look: (look.column[0] / 1e17, look.column[1] / 1e17)),
    ("dilution", "light dilution", "%", lambda look: (100 * look.dilution[0], 100 * look.dilution[1])),
    ("residual", "residual, r.m.s.", "%", lambda look: (100 * look.residual_rms, math.nan)),
    ("chi2", "chi²", "counts²", lambda look: (look.chi2, math.nan)),
    ("shift", "shift", "nm", _parameter("shift_0")),
    ("stretch", "stretch", "‰", _parameter("shift_1", 1e-3)),
    ("o3", "ozone", "10¹⁸/cm²", _parameter("o3", 1e18)),
    ("o3_2", "ozone, second", "10¹⁸/cm²", _parameter("o3_2", 1e18)),
    ("no2", "NO2", "10¹⁶/cm²", _parameter("no2", 1e16)),
    ("ring", "Ring", "", _parameter("ring")),
    ("width", "line width", "nm", _parameter("width")),
    ("exponent", "line exponent", "", _parameter("exponent")),
)


def _cell(key: str, value: _Pair) -> str:
    text, sigma = with_uncertainty(value[0], value[1] if math.isfinite(value[1]) else None)
    more = f" <small>± {sigma}</small>" if sigma else ""
    exact = f"{value[0]:.9g}" if math.isfinite(value[0]) else ""
    return f'<td data-testid="numbers-{key}" data-value="{exact}">{text if exact else MISSING}{more}</td>'


def _change(key: str, before: float, after: float) -> str:
    """Return a change in per cent, of what is not near zero by its nature."""
    if not (math.isfinite(before) and math.isfinite(after)) or before == 0 or key in ("shift", "stretch"):
        return ""
    return f"{100 * (after / before - 1):+.1f} %".replace("-", "−")


def _axis(wavelengths: Any) -> list[float]:
    return [round(float(value), 3) for value in wavelengths]


def plain_values(array: Any) -> list[float | None]:
    """Return an array as a plot takes it: five figures, None for what is not finite."""
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in array.tolist()]


def _percent(array: Any) -> list[float | None]:
    return plain_values(100 * array)
