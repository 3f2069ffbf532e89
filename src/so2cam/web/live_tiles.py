"""The tiles of the live page: the newest emission rate with what it is worth, column amount, speed and direction."""

from nicegui import ui

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.spectra import FIT_STATUS_TEXT, FitStatus
from so2cam.core.status import STATUS_TEXT, EmissionStatus
from so2cam.station.catalogue import TOTAL, Rate
from so2cam.station.live_look import LiveLook
from so2cam.web.parts import MISSING, Tile, number, with_uncertainty

STALE_S = 60.0
_DAY_S = 86_400.0


class RateTiles:
    """The tiles, of one line (or the total) and one speed method."""

    def __init__(self, names: list[str], line: str, method: str) -> None:
        self._names, self.line, self.method = names, line, method
        self._look: LiveLook | None = None
        with ui.element("div").classes("so-tiles").props("data-testid=tiles"):
            self._rate = Tile(
                "Emission rate", "kg/s", test="rate", stale_s=STALE_S, hint="SO2 through the line, per second"
            )
            self._amount = Tile(
                "Column amount",
                "kg/m",
                test="amount",
                stale_s=STALE_S,
                hint="SO2 across the plume, integrated on the line",
            )
            self._speed = Tile(
                "Plume speed", "m/s", test="speed", stale_s=STALE_S, hint="across the line, at the plume"
            )
            self._direction = Tile(
                "Direction", "°", test="direction", stale_s=STALE_S, hint="of motion in the image: 0 up, 90 right"
            )
            self._column = Tile(
                "Spectrometer", "ppm m", test="column", stale_s=300.0, hint="SO2 column in the spectrometer's view"
            )

    def choose(self, *, line: str | None = None, method: str | None = None) -> None:
        """Show another line or speed method."""
        self.line, self.method = line or self.line, method or self.method
        if self._look is not None:
            self.show(self._look)

    def show(self, look: LiveLook) -> None:
        """Show how it is now."""
        self._look = look
        rate = look.rate(self.line, self.method)
        self._rate.set_label(f"Emission rate · {self.line}")
        self._show_rate(rate, look)
        whole = rate if self.line != TOTAL else look.rate(self._names[0], self.method)
        name = self.line if self.line != TOTAL else self._names[0]
        for tile, word in (
            (self._amount, "Column amount"),
            (self._speed, "Plume speed"),
            (self._direction, "Direction"),
        ):
            tile.set_label(f"{word} · {name}")
        self._show_parts(whole)
        self._show_column(look)

    def _show_parts(self, whole: Rate | None) -> None:
        """Show what the emission rate of a line is made of; nothing of another line stays where it has none."""
        if whole is None:
            for tile in (self._amount, self._speed, self._direction):
                tile.set(MISSING)
            return
        why = "" if whole.rate is not None else STATUS_TEXT[EmissionStatus(whole.status)]
        speed, sigma = with_uncertainty(whole.speed, whole.speed_uncertainty)
        for tile, value, more in (
            (self._amount, number(whole.amount, 3), ""),
            (self._speed, speed, f"± {sigma}" if sigma else ""),
            (self._direction, MISSING if whole.direction is None else f"{whole.direction:.0f}", ""),
        ):
            tile.set(value, more=more, why=why if value == MISSING else "", time=whole.time)

    def _show_rate(self, rate: Rate | None, look: LiveLook) -> None:
        if rate is None:
            state = look.live
            why = "no emission rate yet" if state is None or not state.message else state.message
            self._rate.set(MISSING, why=why)
            return
        if rate.rate is None:
            self._rate.set(MISSING, why=STATUS_TEXT[EmissionStatus(rate.status)], time=rate.time)
            return
        sigma = ((rate.random or 0.0) ** 2 + (rate.systematic or 0.0) ** 2) ** 0.5
        value, error = with_uncertainty(rate.rate, sigma)
        more = f"± {error} · {number(rate.rate * _DAY_S / 1000, 3)} t/d" if error else ""
        self._rate.set(value, more=more, why="; ".join(look.flags), time=rate.time)

    def _show_column(self, look: LiveLook) -> None:
        column = look.column
        if column is None:
            self._column.set(MISSING, more="no spectra")
            return
        if column.so2 is None:
            self._column.set(MISSING, why=FIT_STATUS_TEXT[FitStatus(column.status)], time=column.time)
            return
        sigma = None if column.so2_uncertainty is None else column.so2_uncertainty / MOLEC_CM2_PER_PPM_M
        value, error = with_uncertainty(column.so2 / MOLEC_CM2_PER_PPM_M, sigma)
        self._column.set(value, more=f"± {error}" if error else "", time=column.time)
