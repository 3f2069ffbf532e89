"""Set-up of the calibration: what calibrates, its plot, and what is left out of it."""

import math
from typing import Any, Final

from nicegui import ui

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.errors import InputError, So2camError
from so2cam.core.results import CalibrationPoint
from so2cam.core.times import format_utc
from so2cam.formats.siteedit import REMOVE, KeyPath
from so2cam.formats.sitefile import LoadedSite
from so2cam.station.calibration_study import (
    CalibrationStudy,
    curve_column_ppm_m,
    curve_of,
    slope_of,
    without_exclusions,
)
from so2cam.station.live_day import processing_hash
from so2cam.web import parts, plot
from so2cam.web.latest import Latest
from so2cam.web.parts import number, panel, sentence, with_uncertainty
from so2cam.web.plot import Plot
from so2cam.web.props import put_props
from so2cam.web.seen import Seen
from so2cam.web.setup import Setup, setup_page
from so2cam.web.setup_range import RangeBar
from so2cam.web.setup_tables import put_named
from so2cam.web.shell import asset_url
from so2cam.web.view import View

_TOP: Final = ("processing", "calibration")
_LISTED: Final = 12
_CELL_COLUMNS: Final = ("cell, ppm m", "label ± 1 σ", "absorbance ± 1 σ", "frames", "by the curve, ppm m")
_CELLS: Final = "gas cells"
_POINTS: Final = "spectrometer"
_LEFT_OUT: Final = "left out"
_KEYS: Final[tuple[KeyPath, ...]] = (
    (*_TOP, "source"),
    (*_TOP, "model"),
    (*_TOP, "spectrometer", "policy"),
    (*_TOP, "label_uncertainty"),
    (*_TOP, "label_weights"),
    (*_TOP, "sensitivity_cell_ppm_m"),
    (*_TOP, "region"),
    (*_TOP, "slope_molec_cm2"),
    (*_TOP, "slope_uncertainty_molec_cm2"),
)
_MORE: Final[tuple[KeyPath, ...]] = tuple(
    (*_TOP, "spectrometer", name)
    for name in (
        *("window_s", "refit_s", "maximum_gap_s", "minimum_points", "stale_s"),
        *("offset", "offset_uncertainty_molec_cm2", "stored"),
    )
)


@setup_page(
    "/setup/calibration",
    title="Calibration",
    order=60,
    hint="From absorbance to column density",
    about=(
        "Gas cells, the spectrometer or both turn absorbance into a column of SO2. The plot shows what the draft makes "
        "of a day: click a point to leave it out, with a reason. What is left out stands in the site file, and acts on "
        "live processing, recalculation and every run alike."
    ),
    docs="web-calibration",
)
def calibration(view: View, setup: Setup) -> None:
    """Draw the page."""
    ui.add_head_html(f'<link rel="stylesheet" href="{asset_url("health.css")}">')  # for its tables
    made = _CalibrationPage(view, setup)
    ui.timer(0.1, made.show, once=True)


class _CalibrationPage:
    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup = view, setup
        self._latest = Latest(self._work, lambda: (processing_hash(setup.loaded.site), self._range.bounds))
        self._study: CalibrationStudy | None = None
        self._seen = Seen(setup)
        box, _ = panel("What calibrates", test="calibration-keys")
        with box:
            setup.fields(_KEYS)
            with ui.expansion("Calibration by the spectrometer, in detail").classes("w-full"):
                setup.fields(_MORE)
        box, _ = panel("Calibration plot", test="calibration-study")
        with box:
            self._range = RangeBar(view, self.show)
            self._words = ui.label("").classes("so-quiet").props("data-testid=calibration-words role=status")
            self._change = ui.label("").props("data-testid=calibration-change")
            self._problem = parts.error("", test="calibration-problem")
            self._plot = Plot(
                label="column density against absorbance", test="calibration-plot", on_picked=self._picked
            ).style("height: 21rem; flex-basis: 21rem")
            self._residuals = Plot(
                label="residuals of the calibration over time", test="calibration-residuals", on_picked=self._picked
            ).classes("so-plot-low")
            self._drift = Plot(label="slope over time", test="calibration-drift").classes("so-plot-low")
            self._offset = Plot(label="offset over time", test="calibration-offset").classes("so-plot-low")
        self._exclusions()
        box, _ = panel("Gas cells", test="calibration-cells")
        with box:
            self._cells = ui.element("div").props("data-testid=cells-table").style("overflow-x: auto")
        setup.on_change(self.show)

    def _exclusions(self) -> None:
        box, _ = panel("Left out", test="calibration-exclude", hint="processing.calibration.exclude")
        with box:
            with ui.element("div").classes("so-row so-range"):
                self._note = parts.field("Reason", test="exclude-note", example="a cloud in the view", wide=True)
                self._first = parts.field("Leave out from, UTC", test="exclude-from", example="14:02:00")
                self._last = parts.field("To, UTC", test="exclude-to", example="14:06:30")
                button = ui.button("Leave out range", on_click=self._exclude_range)
                button.props("unelevated no-caps data-testid=exclude-range")
                if not self._setup.may_edit:
                    button.disable()
            self._list = ui.element("ul").classes("so-draft-list").props("data-testid=exclude-list")
            self._far_words = ui.label("Points furthest from the curve, ppm m: press one to leave it out").classes(
                "so-quiet"
            )
            self._far = ui.element("div").classes("so-row so-far").props("data-testid=exclude-points")

    # --- leaving out -------------------------------------------------------------------------------------------------

    async def _picked(self, series: str, index: int) -> None:
        study = self._study
        if study is None:
            return
        if series == _POINTS and index < len(study.points):
            await self._exclude_point(study.points[index])
        elif series == _LEFT_OUT and index < len(study.excluded):
            await self._take_back(study.excluded[index][1])
        elif series == _CELLS and index < len(study.cells):
            cell = study.cells[index]
            if cell.excluded:
                await self._take_back(cell.excluded[0])
            else:
                await self._exclude_cell(cell.reading.column_ppm_m)

    async def _exclude_point(self, point: CalibrationPoint) -> None:
        name = f"point {point.time:%Y-%m-%d %H.%M.%S}.{point.time.microsecond // 1000:03d}"
        await self._exclude(name, {"time": format_utc(point.time)})

    async def _exclude_cell(self, label: float) -> None:
        await self._exclude(f"cell {label:g} ppm m", {"cell_ppm_m": label})

    async def _exclude_range(self) -> None:
        try:
            start, end = self._range.parse(str(self._first.value)), self._range.parse(str(self._last.value))
        except InputError as refused:
            ui.notify(f"The range {refused.message}.", type="negative")
            return
        name = f"{start:%Y-%m-%d %H.%M.%S} to {end:%H.%M.%S}"
        await self._exclude(name, {"start": format_utc(start), "end": format_utc(end)})

    async def _exclude(self, name: str, what: dict[str, Any]) -> None:
        note = str(self._note.value or "").strip()
        entry = {**what, **({"note": note} if note else {}), "by": self._setup.who[:100]}
        await put_named(self._setup, (*_TOP, "exclude"), name, entry, f"left out {name}")

    async def _take_back(self, name: str) -> None:
        if name and any(one.name == name for one in self._setup.site.processing.calibration.exclude):
            await self._seen.change({(*_TOP, "exclude", name): REMOVE}, f"took back {name}")

    # --- showing -----------------------------------------------------------------------------------------------------

    async def show(self) -> None:
        """Work the calibration out for the draft as it is, and show it; nothing where it is the one shown."""
        await self._range.look()
        await self._latest.ask()

    async def _work(self) -> None:
        loaded, bounds = self._setup.loaded, self._range.bounds
        self._show_list()
        if bounds is None:
            self._fail(self._range.why)
            return
        self._words.set_text("Reading images and spectra …")
        try:
            study, everything = await self._view.in_thread(lambda: self._studies(loaded, bounds))
        except So2camError as error:
            self._fail(sentence(error))
            return
        self._study = study
        self._draw(study, everything)

    def _studies(self, loaded: LoadedSite, bounds: Any) -> tuple[CalibrationStudy, CalibrationStudy | None]:
        studies = self._view.pages.study(self._view.site.name)
        study = studies.study(loaded, *bounds)
        left = bool(loaded.site.processing.calibration.exclude)
        return study, studies.study(without_exclusions(loaded), *bounds) if left else None

    def _fail(self, text: str) -> None:
        self._words.set_text("")
        self._problem.set_text(text)
        self._problem.set_visibility(True)

    def _draw(self, study: CalibrationStudy, everything: CalibrationStudy | None) -> None:
        self._problem.set_text(study.problem)
        self._problem.set_visibility(bool(study.problem))
        self._words.set_text(_words(study))
        self._change.set_text("" if everything is None else _change(everything, study))
        self._plot.set(
            _curve_series(study), x={"name": "absorbance", "min": 0}, y={"name": "SO2, ppm m", "compact": True}
        )
        has_points = bool(study.points or study.excluded)
        self._residuals.set_visibility(has_points)
        time = {"time": True, "name": "UTC"}
        self._residuals.set(
            [
                plot.points(name, [_ms(p) for p in of], [_ppm(study.residual(p)) for p in of], colour=colour)
                for name, of, colour in (
                    (_POINTS, study.points, "data-2"),
                    (_LEFT_OUT, [point for point, _ in study.excluded], "bad"),
                )
                if of
            ],
            x=time,
            y={"name": "residual, ppm m"},
        )
        x = [1000 * one.time.timestamp() for one in study.drift]
        slope = [_ppm(one.slope) for one in study.drift]
        sigma = [_ppm(one.slope_sigma) or 0.0 for one in study.drift]
        low = [None if v is None else v - s for v, s in zip(slope, sigma, strict=True)]
        high = [None if v is None else v + s for v, s in zip(slope, sigma, strict=True)]
        self._drift.set(
            [plot.band("1 sigma", x, low, high, colour="data-1"), plot.line("slope", x, slope, colour="data-1")],
            x=time,
            y={"name": "slope, ppm m", "compact": True},
        )
        self._offset.set(
            [plot.line("offset", x, [_ppm(one.offset) for one in study.drift], colour="data-3")],
            x=time,
            y={"name": "offset, ppm m", "compact": True},
        )
        self._offset.set_visibility(len(study.drift) > 1)
        self._drift.set_visibility(len(study.drift) > 1)
        self._show_far(study)
        self._show_cells(study)

    def _show_list(self) -> None:
        self._seen.drawn()
        self._list.clear()
        exclude = self._setup.site.processing.calibration.exclude
        with self._list:
            if not exclude:
                ui.label("Nothing is left out. Click a point or a cell in the plot, or give a range of times.").classes(
                    "so-quiet"
                )
            for one in exclude:
                with ui.element("li").classes("so-row"):
                    who = " · ".join(part for part in (one.note, one.by) if part)
                    ui.label(one.name).classes("so-mono")
                    ui.label(who).classes("so-quiet so-grow")
                    button = ui.button("Take back", on_click=lambda _, name=one.name: self._take_back(name))
                    put_props(button.props("flat dense no-caps"), {"data-testid": f"take-back-{one.name}"})
                    if not self._setup.may_edit:
                        button.disable()

    def _show_far(self, study: CalibrationStudy) -> None:
        self._far.clear()
        self._far_words.set_visibility(bool(study.points))
        far = sorted(study.points, key=lambda point: -abs(study.residual(point)))[:_LISTED]
        with self._far:
            for place, point in enumerate(far):
                off = number(_ppm(study.residual(point)), 3)
                button = ui.button(
                    f"{point.time:%H:%M:%S} · {off}", on_click=lambda _, point=point: self._exclude_point(point)
                )
                button.props(f'outline dense no-caps data-testid=exclude-point-{place} title="Leave this point out"')
                if not self._setup.may_edit:
                    button.disable()

    def _show_cells(self, study: CalibrationStudy) -> None:
        self._cells.clear()
        with self._cells:
            if not study.cells:
                parts.empty("There are no frames of gas cells for this day.", test="cells-empty")
                return
            with ui.element("table").classes("so-table is-cards is-middle"):
                with ui.element("thead"), ui.element("tr"):
                    for head in (*_CELL_COLUMNS, ""):
                        ui.html(head, sanitize=False, tag="th")
                with ui.element("tbody"):
                    for cell in study.cells:
                        self._cell_row(study, cell)

    def _cell_row(self, study: CalibrationStudy, cell: Any) -> None:
        reading, label = cell.reading, cell.reading.column_ppm_m
        by_curve = curve_column_ppm_m(study, reading.absorbance)
        value, sigma = with_uncertainty(reading.absorbance, reading.uncertainty)
        left = f"left out: {', '.join(cell.excluded)}" if cell.excluded else f"{reading.frames} of {cell.frames}"
        texts = (
            f"{label:g}",
            f"± {number(cell.column_sigma_ppm_m)}",
            f"{value} ± {sigma}",
            left,
            f"{by_curve:.1f}".replace("-", "−"),
        )
        with ui.element("tr").props(f"data-testid=cell-{label:g}"):
            for head, text in zip(_CELL_COLUMNS, texts, strict=True):
                with put_props(ui.element("td"), {"data-label": head}):
                    ui.label(text)
            with ui.element("td"):
                if cell.excluded:
                    button = ui.button("Take back", on_click=lambda: self._take_back(cell.excluded[0]))
                else:
                    button = ui.button("Leave out", on_click=lambda: self._exclude_cell(label))
                button.props(f"flat dense no-caps data-testid=exclude-cell-{label:g}")
                if not self._setup.may_edit:
                    button.disable()


def _curve_series(study: CalibrationStudy) -> list[dict[str, Any]]:
    x, column, sigma = curve_of(study)
    series = []
    if study.calibration is not None:
        at = x.tolist()
        series.append(plot.band("1 sigma", at, _all_ppm(column - sigma), _all_ppm(column + sigma), colour="data-1"))
        series.append(plot.line("curve", at, _all_ppm(column), colour="data-1"))
    if study.points:
        series.append(_scatter(_POINTS, study.points, "data-2", [max(0.0, p.weight) for p in study.points]))
    if study.excluded:
        series.append(_scatter(_LEFT_OUT, [point for point, _ in study.excluded], "bad", None))
    if study.cells:
        cells = study.cells
        weight = [0.15 if cell.excluded else 1.0 for cell in cells]
        series.append(
            plot.points(
                _CELLS,
                [cell.reading.absorbance for cell in cells],
                [cell.reading.column_ppm_m for cell in cells],
                colour="data-3",
                symbol="diamond",
                size=0.8,
                weight=weight,
            )
        )
    return series


def _scatter(name: str, of: Any, colour: str, weight: list[float] | None) -> dict[str, Any]:
    x = [point.absorbance for point in of]
    y = [_ppm(point.column_molec_cm2) for point in of]
    return plot.points(name, x, y, colour=colour, weight=weight, size=0.5)


def _words(study: CalibrationStudy) -> str:
    slope, sigma = (value / MOLEC_CM2_PER_PPM_M for value in slope_of(study.calibration))
    value, error = with_uncertainty(slope, sigma)
    texts = [f"slope {value} ± {error or '0'} ppm m" if math.isfinite(slope) else "no calibration"]
    if study.points:
        texts.append(f"{len(study.points)} points, {len(study.excluded)} left out")
    if study.cells:
        texts.append(f"{sum(not cell.excluded for cell in study.cells)} of {len(study.cells)} gas cells")
    if study.fit is not None and math.isfinite(study.fit.correlation):
        texts.append(f"correlation {study.fit.correlation:.3f}")
    return " · ".join([*texts, *(note for note in study.notes if note not in study.problem)])


def _change(everything: CalibrationStudy, study: CalibrationStudy) -> str:
    before, before_sigma = (value / MOLEC_CM2_PER_PPM_M for value in slope_of(everything.calibration))
    after, after_sigma = (value / MOLEC_CM2_PER_PPM_M for value in slope_of(study.calibration))
    first, second = with_uncertainty(before, before_sigma), with_uncertainty(after, after_sigma)
    moved = after - before
    share = f", {100 * moved / before:+.2f} %" if math.isfinite(moved) and before else ""
    return (
        f"Slope with all: {first[0]} ± {first[1] or '0'} ppm m; with what is left out gone: {second[0]} ± "
        f"{second[1] or '0'} ppm m{share}"
    )


def _ms(point: CalibrationPoint) -> float:
    return 1000 * point.time.timestamp()


def _ppm(value: float) -> float | None:
    return None if not math.isfinite(value) else float(f"{value / MOLEC_CM2_PER_PPM_M:.6g}")


def _all_ppm(values: Any) -> list[float | None]:
    return [_ppm(float(value)) for value in values]
