"""What the station has made of the days that are looked at: files of results, videos, keograms."""

from datetime import date, timedelta
from html import escape
from typing import Final
from urllib.parse import quote

from nicegui import ui

from so2cam.station.day_products import DayProduct, day_products
from so2cam.web.live_routes import live_src
from so2cam.web.parts import panel
from so2cam.web.tables import size
from so2cam.web.view import View

MOST_DAYS: Final = 31
_SHOWN_DAYS: Final = 1
"""Of so many days pictures and videos stand on the page; of more there are only links."""


class DayPanel:
    """The panel. It is there where the days have any."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._box, _ = panel("Products of the day", test="day-products")
        with self._box:
            self._content = ui.html("", sanitize=False)
        self._box.set_visibility(False)

    async def show(self, days: tuple[date, date] | None) -> None:
        """Show those of the first to the last of ``days``; nothing without days."""
        found = {} if days is None else await self._view.in_thread(lambda: self._of(*days))
        where = live_src(self._view.site, "archive/day")
        self._content.set_content(products_html(where, found))
        self._box.set_visibility(any(found.values()))

    def _of(self, first: date, last: date) -> dict[str, tuple[DayProduct, ...]]:
        count = min((last - first).days + 1, MOST_DAYS)
        named = [f"{first + timedelta(days=number)}" for number in range(count)]
        return {day: day_products(self._view.context, self._view.site, day) for day in named}


def products_html(where: str, days: dict[str, tuple[DayProduct, ...]]) -> str:
    """Return the files of days as links below ``where``; of a single day pictures and videos too."""
    rows = []
    for day, products in days.items():
        if not products:
            continue
        links = "".join(_link(where, day, one) for one in products)
        rows.append(f'<p class="so-day-line"><b>{day}</b>{links}</p>')
    if len(days) <= _SHOWN_DAYS:
        rows += [_seen(where, day, one) for day, products in days.items() for one in products]
    return "".join(rows)


def _link(where: str, day: str, product: DayProduct) -> str:
    return (
        f'<a class="so-archive-link" href="{_address(where, day, product)}" data-testid="day-{escape(product.name)}" '
        f"download>{escape(product.words)} <small>{size(product.path.stat().st_size)}</small></a>"
    )


def _seen(where: str, day: str, product: DayProduct) -> str:
    address, words = f"{_address(where, day, product)}?show=true", escape(product.words)
    if product.path.suffix == ".mp4":
        return (
            f'<video class="so-day-picture" src="{address}" controls preload="metadata" aria-label="{words}"></video>'
        )
    if product.path.suffix == ".png":
        return f'<img class="so-day-picture" src="{address}" alt="{words}" loading="lazy">'
    return ""


def _address(where: str, day: str, product: DayProduct) -> str:
    return escape(f"{where}/{day}/{quote(product.name)}", quote=True)
