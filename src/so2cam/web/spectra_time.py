"""Columns over time on the page of spectra: a day, the last hours or any range; a click chooses a moment."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any, Final

from nicegui import ui

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.errors import InputError, So2camError
from so2cam.core.spectra import FIT_STATUS_TEXT, FitStatus
from so2cam.station.catalogue import ColumnRow
from so2cam.station.references import day_bounds, day_of
from so2cam.station.spectrum_fits import ColumnsOverTime, SpectrumFits
from so2cam.web import plot
from so2cam.web.moments import MomentField, need_span
from so2cam.web.parts import Choice, panel
from so2cam.web.plot import Plot
from so2cam.web.view import View
from so2cam.web.window_plot import WindowPlot

RANGES: Final = (("1h", "1 h"), ("6h", "6 h"), ("24h", "24 h"), ("day", "Day"), ("dates", "Dates"))
_HOURS: Final = {"1h": 1, "6h": 6, "24h": 24}
_LONGEST: Final = timedelta(days=62)


class ColumnsPanel:
    """The panel. ``start`` and ``end`` are what it shows; ``live`` where that goes on by itself."""

    def __init__(
        self,
        view: View,
        fits: SpectrumFits,
        newest: datetime,
        on_picked: Callable[[datetime], Any],
        on_stepped: Callable[[int], Any],
    ) -> None:
        """``newest``: when the newest spectrum was taken."""
        self._view, self._fits = view, fits
        old = datetime.now(UTC) - newest > timedelta(hours=24)
        wanted = view.query.get("range", "day" if old else "24h")
        self._range = wanted if wanted in dict(RANGES) else "day"
        box, head = panel("SO2 column over time", test="columns-panel", hint="of every spectrum of the plume")
        with head:
            self._day = MomentField(
                "Day, UTC",
                test="columns-day",
                value=view.query.get("day", day_of(newest)),
                precision="day",
                on_change=self._dated,
            )
            Choice(RANGES, self._range, self._choose, label="Time", test="range")
        with box:
            self._dates_row = ui.element("div").classes("so-row so-dates")
            with self._dates_row:
                first = view.query.get("start", newest - timedelta(days=1))
                last = view.query.get("end", newest + timedelta(minutes=1))
                self._start = MomentField("From, UTC", test="columns-start", value=first)
                self._end = MomentField("To, UTC", test="columns-end", value=last, last=True)
                ui.button("Show", on_click=self._dated).props("unelevated no-caps data-testid=dates-show")
            self._over = WindowPlot(
                label="SO2 column over time",
                test="columns",
                picks="chosen time: arrow keys go from spectrum to spectrum",
                on_picked=lambda x: on_picked(datetime.fromtimestamp(x / 1000, UTC)),
                on_stepped=on_stepped,
            )
            self._dilution = Plot(label="light dilution over time", test="columns-dilution").classes("so-plot-low")
            self.foot = ui.element("div").classes("so-spectra-when").props("data-ages")
            with self.foot:
                self._words = ui.label("").classes("so-small so-quiet").props("data-testid=columns-words")
                ui.element("span").classes("so-grow")
        self._dilution.set_visibility(False)
        self._rows()

    @property
    def live(self) -> bool:
        """Whether what is shown goes on by itself."""
        return self._range in _HOURS

    def mark(self, time: datetime | None) -> None:
        """Mark the moment that is chosen."""
        self._over.set_mark(None if time is None else time.timestamp() * 1000)

    async def show(self) -> None:
        """Ask for the columns again, and draw them."""
        try:
            start, end = self._span()
        except InputError:
            return  # the fields say it
        try:
            found = await self._view.in_thread(lambda: self._fits.columns(start, end))
        except So2camError as error:
            self._words.set_text(f"The catalogue cannot be read now: {error.message}")
            return
        self._draw(found, start, end)

    def _span(self) -> tuple[datetime, datetime]:
        if self._range == "day":
            return day_bounds(day_of(self._day.said(self._day.need)))
        if self._range == "dates":
            start, end = need_span(self._start, self._end)
            return max(start, end - _LONGEST), end
        now = datetime.now(UTC)
        return now - timedelta(hours=_HOURS[self._range]), now + timedelta(minutes=1)

    async def _choose(self, key: str) -> None:
        self._range = key
        self._rows()
        await self._dated()

    async def _dated(self) -> None:
        dates = self._range == "dates"
        self._view.keep(
            range=self._range,
            day=self._day.address if self._range == "day" else None,
            start=self._start.address if dates else None,
            end=self._end.address if dates else None,
        )
        await self.show()

    def _rows(self) -> None:
        self._day.set_visibility(self._range == "day")
        self._dates_row.set_visibility(self._range == "dates")

    def _draw(self, found: ColumnsOverTime, start: datetime, end: datetime) -> None:
        rows = found.rows
        x, column, sigma, dilution = _series(rows)
        low = [None if y is None or s is None else round(y - s, 2) for y, s in zip(column, sigma, strict=True)]
        high = [None if y is None or s is None else round(y + s, 2) for y, s in zip(column, sigma, strict=True)]
        failed = [row.time.timestamp() * 1000 for row in rows if row.status != FitStatus.OK]
        times: dict[str, Any] = {"time": True}
        if rows:
            times |= {"min": rows[0].time.timestamp() * 1000 - 2000, "max": rows[-1].time.timestamp() * 1000 + 2000}
        else:
            times |= {"min": start.timestamp() * 1000, "max": end.timestamp() * 1000}
        series = [
            plot.band("1 sigma", x, low, high),
            plot.line("column", x, column) | {"legend": False},
            plot.points("spectra", x, column, size=0.3),
        ]
        if failed:
            series.append(plot.points("no column", failed, [0.0] * len(failed), colour="bad", symbol="triangle"))
        self._over.plot.set(series, x=times, y={"name": "SO2 column, ppm m"})
        diluted = any(value is not None for value in dilution)
        self._dilution.set_visibility(diluted)
        if diluted:
            self._dilution.set(
                [plot.points("light dilution", x, dilution, colour="data-4", size=0.3)],
                x=times,
                y={"name": "light dilution, %", "min": 0},
            )
        self._words.set_text(_words(found))


_Values = list[float | None]


def _series(rows: Sequence[ColumnRow]) -> tuple[list[float], _Values, _Values, _Values]:
    """Return times [ms], columns and sigmas [ppm m], dilutions [%]; with a gap where spectra are missing."""
    steps = [(b.time - a.time).total_seconds() for a, b in pairwise(rows)]
    gap = max(60.0, 4 * median(steps)) if steps else 0.0
    x: list[float] = []
    column: _Values = []
    sigma: _Values = []
    dilution: _Values = []
    for place, row in enumerate(rows):
        if place and steps[place - 1] > gap:
            x.append(row.time.timestamp() * 1000 - 1000 * steps[place - 1] / 2)
            for values in (column, sigma, dilution):
                values.append(None)
        x.append(row.time.timestamp() * 1000)
        good = row.status == FitStatus.OK and row.so2 is not None
        column.append(round(row.so2 / MOLEC_CM2_PER_PPM_M, 2) if good and row.so2 is not None else None)
        uncertainty = row.so2_uncertainty
        sigma.append(uncertainty / MOLEC_CM2_PER_PPM_M if good and uncertainty is not None else None)
        dilution.append(None if row.light_dilution is None else round(100 * row.light_dilution, 2))
    return x, column, sigma, dilution


def _words(found: ColumnsOverTime) -> str:
    rows = found.rows
    if not rows:
        return "No spectra were fitted in this time."
    failed = Counter(row.status for row in rows if row.status != FitStatus.OK)
    words = f"{len(rows) - failed.total()} columns"
    if found.every > 1:
        words += f" (one in {found.every} is drawn)"
    if found.cut:
        words += "; earlier ones are left out, choose a shorter time"
    reasons = [f"{number} {FIT_STATUS_TEXT[FitStatus(status)]}" for status, number in failed.most_common()]
    return words + (f"; without: {', '.join(reasons)}" if reasons else "")
