"""What a page function is given: the station, the site, who looks, and timers that end with the browser's tab."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlencode

from fastapi import Request
from nicegui import Client, ui

from so2cam.link.protocol import Role
from so2cam.station.context import StationContext, StationSite
from so2cam.web.registry import PageSpec
from so2cam.web.session import Visitor
from so2cam.web.state import Pages

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class View:
    """One look at a page by one browser."""

    pages: Pages
    spec: PageSpec
    site: StationSite
    visitor: Visitor
    request: Request
    client: Client
    kept: dict[str, str] = field(default_factory=dict)
    """what ``keep`` wrote"""

    @property
    def context(self) -> StationContext:
        """The station."""
        return self.pages.context

    @property
    def query(self) -> dict[str, str]:
        """What the address says after the question mark: a page keeps its state there, so that a reload keeps it."""
        return dict(self.request.query_params)

    def may(self, role: Role) -> bool:
        """Return whether this visitor may do what needs ``role``, as it is now: a token may be revoked meanwhile."""
        now = self.pages.door.visitor(self.request)
        return now is not None and now.may(role)

    def link(self, path: str, **query: str) -> str:
        """Return the address of another page for the same site."""
        return page_link(self.pages, self.site, path, **query)

    def keep(self, **query: str | None) -> None:
        """Write the page's state into the address of the browser, without loading it anew; None takes a key out."""
        self.kept.update({key: value or "" for key, value in query.items()})
        merged = {key: value for key, value in {**self.query, **self.kept}.items() if value}
        text = f"{self.spec.path}?{urlencode(merged)}" if merged else self.spec.path
        self.client.run_javascript(f"history.replaceState(null, '', {json.dumps(text)})")

    def every(
        self, seconds: float, work: Callable[[], Awaitable[None] | None], *, immediate: bool = True
    ) -> "ui.timer":
        """Call ``work`` now and every ``seconds`` until the tab is closed; it may be async."""
        return ui.timer(seconds, work, immediate=immediate)

    async def shared(self, key: str, fresh_s: float, work: Callable[[], _T]) -> _T:
        """Return ``work()``, run in a thread; all who look at this site share what it gave, for ``fresh_s``."""
        return await self.pages.values.get((self.site.name, key), fresh_s, work)

    async def in_thread(self, work: Callable[[], _T]) -> _T:
        """Return ``work()``, run in a thread, so that the pages go on meanwhile."""
        return await asyncio.to_thread(work)

    def changed(self, topic: str) -> None:
        """Say to all who look at this site that ``topic`` changed."""
        self.pages.notices.tell(f"{self.site.name}/{topic}")

    def on_change(self, topic: str, work: Callable[[], Awaitable[None] | None], *, every_s: float = 0.5) -> None:
        """Call ``work`` whenever somebody, this visitor too, says that ``topic`` of this site changed."""
        name = f"{self.site.name}/{topic}"
        seen = self.pages.notices.number(name)

        async def look() -> None:
            nonlocal seen
            number = self.pages.notices.number(name)
            if number != seen:
                seen = number
                found = work()
                if found is not None:
                    await found

        self.every(every_s, look, immediate=False)


def page_link(pages: Pages, site: StationSite, path: str, **query: str) -> str:
    """Return the address of a page; it names the site where the station has several."""
    named = {"site": site.name, **query} if len(pages.context.sites) > 1 else query
    return f"{path}?{urlencode(named)}" if named else path
