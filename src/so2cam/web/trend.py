"""The plot of emission rates, column amounts, speeds and directions over time, drawn by the browser as they come."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nicegui.element import Element

from so2cam.core.times import format_utc


class Trend(Element, component="trend.js"):
    """The plot. Its points come from ``src`` by HTTP, so that it goes on by itself and costs no message here."""

    def __init__(self, src: str, *, colours: Mapping[str, str], chosen: str, method: str, label: str) -> None:
        """``colours``: names of theme colours by line; ``chosen``: the line with its uncertainty drawn."""
        super().__init__()
        with self._props.suspend_updates():
            self._props.update(
                {
                    "src": src,
                    "colours": dict(colours),
                    "chosen": chosen,
                    "method": method,
                    "label": label,
                    "span": {"seconds": 3600},
                }
            )

    def show_last(self, seconds: float) -> None:
        """Show the newest ``seconds``."""
        self._set("span", {"seconds": seconds})

    def show_between(self, start: datetime, end: datetime) -> None:
        """Show a time of the past."""
        self._set("span", {"start": format_utc(start), "end": format_utc(end)})

    def choose(self, *, line: str | None = None, method: str | None = None) -> None:
        """Change the line whose uncertainty is drawn, or the speed method."""
        if line is not None:
            self._set("chosen", line)
        if method is not None:
            self._set("method", method)

    def _set(self, name: str, value: Any) -> None:
        self._props[name] = value
        self.update()
