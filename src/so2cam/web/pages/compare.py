"""Two runs, or a run and the live results, beside each other: values, difference, scatter, settings that differ."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.station.compare import (
    LIVE,
    Comparison,
    Results,
    SideStatistics,
    compare_series,
    live_results,
    results_of_run,
    settings_that_differ,
    thinned,
)
from so2cam.web.parts import Choice, empty, error, number, panel, pick, with_uncertainty
from so2cam.web.plot import Plot, limits, line, points
from so2cam.web.registry import page
from so2cam.web.run_words import settings_table
from so2cam.web.shell import asset_url
from so2cam.web.tables import Column, table_html
from so2cam.web.view import View

_MOST = 1500
_FRESH_S = 20.0
_GUTTER_REM = 3.2


@page(
    "/compare",
    title="Compare",
    order=41,
    about=(
        "Values of both sides at the same times and on the same line are set beside each other, where both are valid. "
        "The difference is B minus A; the line through the scatter allows for errors on both sides. "
        "Below stand all settings in which they differ."
    ),
    docs="web-runs",
    within="/runs",
)
async def compare_page(view: View) -> None:
    """Show the choice of both sides, and the comparison of them."""
    for sheet in ("health.css", "runs.css"):
        ui.add_head_html(f'<link rel="stylesheet" href="{asset_url(sheet)}">')
    store = view.pages.runs.store(view.site.name)
    done = [record for record in await view.in_thread(store.all) if record.has_rates]
    if not done:
        empty(
            "A run with emission rates must be done before it can be compared.",
            title="Nothing to compare yet",
            test="compare-none",
        )
        return
    names = {str(record.id): f"run {record.title}" for record in done}
    b = view.query.get("b", str(done[0].id))
    b = b if b in names else str(done[0].id)
    a = view.query.get("a", LIVE)
    a = a if a in names or a == LIVE else LIVE

    def go(side: str, value: str) -> None:
        ui.navigate.to(view.link("/compare", **({"a": a, "b": b} | {side: value})))

    box, _ = panel("Compare", test="compare-choice")
    with box, ui.element("div").classes("so-row"):
        pick("A", {LIVE: "live results", **names}, a, test="compare-a").on_value_change(lambda e: go("a", e.value))
        pick("B", names, b, test="compare-b").on_value_change(lambda e: go("b", e.value))
    try:
        sides = await view.shared(f"compare-{a}-{b}", _FRESH_S, lambda: _sides(view, a, b))
    except So2camError as failed:
        error(f"They cannot be compared: {failed}", test="compare-error")
        return
    _Shown(view, *sides)


def _sides(view: View, a: str, b: str) -> tuple[Results, Results]:
    store = view.pages.runs.store(view.site.name)
    of_b = store.get(int(b))
    right = results_of_run(store, of_b)
    if a == LIVE:
        return live_results(view.context.catalogue, view.site, of_b), right
    return results_of_run(store, store.get(int(a))), right


@dataclass(slots=True)
class _Chosen:
    line: str
    a: str
    b: str


class _Shown:
    """The comparison: choices, numbers, plots, settings."""

    def __init__(self, view: View, a: Results, b: Results) -> None:
        self._view, self._a, self._b = view, a, b
        lines = [one for one in a.lines if one in b.lines]
        if not lines:
            error("The two have no line in common.", test="compare-error")
            return
        both = [one for one in b.methods if one in a.methods]
        of_a, of_b = (both[0], both[0]) if both else (a.methods[0], b.methods[0])
        query = view.query
        self._chosen = _Chosen(
            query["line"] if query.get("line") in lines else lines[0],
            query["ma"] if query.get("ma") in a.methods else of_a,
            query["mb"] if query.get("mb") in b.methods else of_b,
        )
        box, head = panel("Emission rate", test="compare-rate")
        with head:
            Choice([(one, one) for one in lines], self._chosen.line, self._choose("line"), label="Line", test="line")
            for key, side in (("a", a), ("b", b)):
                if len(side.methods) > 1:
                    ordered = [*(one for one in b.methods if one in side.methods)]
                    ordered += [one for one in side.methods if one not in ordered]
                    words = [(one, f"{key.upper()}: {one.replace('_', ' ')}") for one in ordered]
                    value = getattr(self._chosen, key)
                    Choice(words, value, self._choose(key), label=f"Method of {key.upper()}", test=f"method-{key}")
        with box:
            self._trouble = error("", test="compare-error")
            self._table = ui.html("", sanitize=False)
            self._series = Plot(label="emission rates of both sides over time", test="compare-series")
            self._difference = Plot(label="difference over time", test="compare-difference").classes("so-plot-low")
        with ui.element("div").classes("so-columns"):
            scatter, _ = panel("B over A", test="compare-scatter-panel")
            with scatter:
                self._scatter = Plot(label="B over A", test="compare-scatter").classes("so-compare-scatter")
                self._words = ui.label("").classes("so-note").props("data-testid=compare-line")
            settings, _ = panel("Settings that differ", test="compare-settings-panel")
            with settings:
                self._draw_settings()
        self.show()

    def _choose(self, key: str) -> Callable[[str], None]:
        def chosen(value: str) -> None:
            setattr(self._chosen, key, value)
            self._view.keep(line=self._chosen.line, ma=self._chosen.a, mb=self._chosen.b)
            self.show()

        return chosen

    def show(self) -> None:
        """Show what is chosen."""
        chosen = self._chosen
        a, b = self._a.series[chosen.line, chosen.a], self._b.series[chosen.line, chosen.b]
        try:
            found = compare_series(a, b)
        except InputError as failed:
            self._trouble.set_text(str(failed))
            self._trouble.set_visibility(True)
            return
        self._trouble.set_visibility(False)
        self._table.set_content(_numbers(found, self._a.title, self._b.title))
        of_a, of_b = (thinned(side.time_ms, side.rate, _MOST) for side in (a, b))
        times = [*of_a[0], *of_b[0]]
        axis = {"time": True} | ({"min": min(times), "max": max(times)} if times else {})
        rates = {"name": "emission rate, kg/s", "gutter": _GUTTER_REM} | limits([*of_a[1], *of_b[1]], zero=True)
        self._series.set([line("A", *of_a, colour="data-1"), line("B", *of_b, colour="data-2")], x=axis, y=rates)
        difference = thinned(found.time_ms, found.difference, _MOST)
        apart = {"name": "B − A, kg/s", "gutter": _GUTTER_REM} | limits(difference[1], even=True, parts=2)
        zero = line("no difference", [min(times), max(times)] if times else [], [0.0, 0.0] if times else [])
        self._difference.set(
            [
                zero | {"colour": "ink", "dashed": True, "legend": False, "guide": True},
                line("B − A", *difference, colour="data-4"),
            ],
            x=axis,
            y=apart,
        )
        self._draw_scatter(found)

    def _draw_scatter(self, found: Comparison) -> None:
        x, y = found.scatter(_MOST)
        series = [points("pairs", x, y, colour="data-1", size=0.38)]
        words = "too few pairs for a line"
        if x:
            known = limits([*x, *y], zero=True)
            ends = [known["min"], known["max"]]
            series.insert(0, line("A = B", ends, list(ends), colour="quiet", dashed=True))
            if found.has_line:
                fitted: list[float | None] = [found.offset + found.slope * end for end in ends]
                series.append(line("line", ends, fitted, colour="data-2"))
                slope, sigma = with_uncertainty(found.slope, found.slope_uncertainty)
                words = f"B = {slope} ± {sigma} · A " if sigma else f"B = {slope} · A "
                words += f"{'−' if found.offset < 0 else '+'} {number(abs(found.offset), 2)} kg/s"
        same = limits([*x, *y], zero=True)
        self._scatter.set(series, x={"name": "A, kg/s"} | same, y={"name": "B, kg/s"} | same)
        self._words.set_text(f"{words}; correlation {found.correlation:.4f}; {found.a.size} pairs")

    def _draw_settings(self) -> None:
        try:
            changes = settings_that_differ(self._a, self._b, self._view.site.loaded.path)
        except So2camError as failed:
            error(f"They cannot be compared: {failed}", test="compare-settings-error")
            return
        if changes:
            ui.html(settings_table(changes, "A", "B", test="compare-settings"), sanitize=False)
        else:
            ui.label("None: both were made with the same settings.").classes("so-note").props(
                "data-testid=compare-settings"
            )
        if LIVE in (self._a.key, self._b.key):
            ui.label("Of live results the settings are those of the site file as it is now.").classes("so-note")


def _numbers(found: Comparison, a: str, b: str) -> str:
    columns = (
        Column("", "lead"),
        Column("Valid", "num"),
        Column("Median kg/s", "num"),
        Column("Mean kg/s", "num", "with 1 sigma of all uncertainties"),
        Column("Random ±", "num", "of the mean"),
        Column("Systematic ±", "num", "of the mean"),
    )
    scatter = number(found.difference_scatter, 2)
    rows = [
        _side_row(f"A: {a}", found.side_a),
        _side_row(f"B: {b}", found.side_b),
        (
            '<span data-testid="compare-b-a">B − A</span>',
            f"{found.a.size} in both",
            f'<span data-testid="compare-median">{number(found.median_difference, 3)}</span>',
            f'<span data-testid="compare-mean">{number(found.mean_difference, 3)}</span>',
            f"scatter {scatter}",
            f"B / A {number(found.ratio, 4)}",
        ),
    ]
    return table_html(columns, rows, test="compare-numbers")


def _side_row(title: str, side: SideStatistics) -> tuple[str, ...]:
    mean, sigma = with_uncertainty(side.mean, side.sigma)
    return (
        escape(title),
        f"{side.valid} of {side.values}",
        number(side.median, 3),
        f"{mean} ± {sigma}" if sigma else mean,
        number(side.random, 2),
        number(side.systematic, 2),
    )
