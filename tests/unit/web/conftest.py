"""What several tests of the pages share."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nicegui import Client, core, ui

from so2cam.station.drafts import SiteDraft
from so2cam.web.setup import Setup
from so2cam.web.shelf import Shelf

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "villarrica" / "site.toml"


@pytest.fixture
def run_async() -> Callable[[Coroutine[Any, Any, None]], None]:
    """A function that runs a coroutine to its end, in a thread: a browser's tests leave a loop running in this one."""

    def run(work: Coroutine[Any, Any, None]) -> None:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, work).result()

    return run


@dataclass
class FakeView:
    """A look at a set-up page without a browser: of an admin, with what the test gives it."""

    pages: Any
    context: Any
    site: Any
    client: Client
    query: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str | None] = field(default_factory=dict)
    visitor: Any = field(
        default_factory=lambda: SimpleNamespace(may=lambda _: True, principal=SimpleNamespace(name="somebody"))
    )

    def may(self, _: object) -> bool:
        return True

    def keep(self, **query: str | None) -> None:
        self.kept.update(query)

    async def in_thread(self, work: Callable[[], Any]) -> Any:
        return work()

    async def shared(self, _: str, __: float, work: Callable[[], Any]) -> Any:
        return work()

    def every(self, *_: object, **__: object) -> None:
        """No time passes."""

    def changed(self, _: str) -> None:
        """Nobody is told."""

    def on_change(self, *_: object, **__: object) -> None:
        """Nobody tells."""


class Desk:
    """A set-up page without a browser: ``run`` has a coroutine work in it, with a real draft of a site file."""

    def __init__(self, folder: Path) -> None:
        path = folder / "site.toml"
        path.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
        self.draft = SiteDraft(path, folder / "draft")
        self.name = self.draft.state().loaded.site.name
        self.context: Any = SimpleNamespace(catalogue=None, board=None)
        self.pages: Any = SimpleNamespace(drafts={self.name: self.draft}, setup_frames={self.name: None}, shelf=Shelf())
        self.query: dict[str, str] = {}

    def change(self, changes: Mapping[Any, Any]) -> None:
        """Have somebody else change keys of the draft."""
        self.draft.change(changes, by="somebody else")

    def run(self, work: Callable[[Any, Setup], Awaitable[None]]) -> None:
        """Run ``work(view, setup)`` to its end where elements can be made."""

        async def inside() -> None:
            before, core.loop = core.loop, asyncio.get_running_loop()
            client = Client(ui.page("/nowhere"))
            try:
                with client:
                    site: Any = SimpleNamespace(name=self.name)
                    view: Any = FakeView(self.pages, self.context, site, client, self.query)
                    await work(view, Setup(view))
            finally:
                client.delete()
                core.loop = before

        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, inside()).result()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A set-up page without a browser."""
    return Desk(tmp_path)
