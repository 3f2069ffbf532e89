"""Figures and states in words, as the Instrument page writes them."""

from datetime import datetime
from html import escape

from so2cam.core.health import DeviceHealth, DeviceState, Level
from so2cam.web.parts import MISSING, State, number

STATES: dict[DeviceState, tuple[str, State]] = {
    DeviceState.STARTING: ("starting", "warn"),
    DeviceState.IDLE: ("ready", ""),
    DeviceState.CAPTURING: ("capturing", "ok"),
    DeviceState.DARKS: ("taking darks", "ok"),
    DeviceState.CELLS: ("held for cells", "warn"),
    DeviceState.WAITING: ("failed, tried again", "bad"),
    DeviceState.STOPPED: ("stopped", ""),
}
LEVELS: dict[Level, State] = {Level.OK: "ok", Level.WARNING: "warn", Level.ALARM: "bad"}


def state_of(device: DeviceHealth) -> tuple[str, State]:
    """Return the state of a device in words, and how serious it is."""
    words, state = STATES[device.state]
    return words, "bad" if device.level is Level.ALARM else "warn" if device.level is Level.WARNING else state


def exposure(seconds: float | None) -> str:
    """Return an exposure with its unit: in ms below a second."""
    if seconds is None:
        return MISSING
    return f"{number(1e3 * seconds, 4)} ms" if seconds < 1 else f"{number(seconds, 4)} s"


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return a share of the full scale in per cent."""
    if fraction is None:
        return MISSING
    if 0 < fraction < 0.0005:
        return "< 0.1 %"
    return f"{number(100 * fraction, digits)} %"


def size(value: float | None) -> str:
    """Return a number of bytes with a decimal unit."""
    if value is None:
        return MISSING
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(value) >= factor:
            return f"{number(value / factor, 3)} {unit}"
    return f"{value:.0f} bytes"


def duration(seconds: float | None) -> str:
    """Return a stretch of time in words: the two largest units."""
    if seconds is None:
        return MISSING
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} {seconds % length // part:.0f} {smaller}"
    return f"{seconds:.0f} s"


def time_html(time: datetime | None) -> str:
    """Return a time of the day (UTC) as HTML; the date where it is another day, local time on hover."""
    if time is None:
        return MISSING
    return f'<span title="{time:%Y-%m-%d %H:%M:%S} UTC">{time:%H:%M:%S}</span>'


def facts(rows: list[tuple[str, str, str]]) -> str:
    """Return names and values, with a hint each, as HTML."""
    cells = "".join(
        f'<div title="{escape(hint, quote=True)}"{_WIDE if len(value) > _LONG else ""}>'
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value, hint in rows
    )
    return f'<dl class="so-facts">{cells}</dl>'


_LONG = 34
_WIDE = ' class="is-wide"'


def table(heads: list[str], rows: list[list[str]], *, test: str, right: tuple[int, ...] = ()) -> str:
    """Return a table as HTML: cells are HTML already; ``right`` columns hold numbers."""
    side = ["is-number" if index in right else "" for index in range(len(heads))]
    head = "".join(f'<th class="{side[i]}">{escape(one)}</th>' for i, one in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f'<td class="{side[i]}">{cell}</td>' for i, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return (
        f'<div class="so-scroll"><table class="so-table" data-testid="{test}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
