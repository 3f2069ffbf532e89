"""Who may give, forget and take lamp spectra: asked when it is done, not only when the page was opened."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

from so2cam.link.protocol import Role
from so2cam.web.spectrometer_lamp import LampPanel


class Revoked:
    """A view of somebody whose token was revoked after the page was opened, and a report."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.done: list[object] = []

    def may(self, role: Role) -> bool:
        return False

    async def in_thread(self, work: object) -> None:
        self.done.append(work)

    def say(self, text: str, state: str = "") -> None:
        self.said.append(text)


def test_whose_role_was_taken_changes_nothing(run_async: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def read() -> bytes:
        raise AssertionError("was read")

    async def use() -> None:
        revoked = Revoked()
        panel: Any = object.__new__(LampPanel)
        panel._view = panel._report = revoked
        panel._lamps, panel._found = SimpleNamespace(forget_given=None), object()
        panel._setup = SimpleNamespace(may_edit=True, loaded=None)
        await asyncio.wait_for(panel._forget(), 10)
        await asyncio.wait_for(panel._take_table(), 10)
        await asyncio.wait_for(panel._give(SimpleNamespace(file=SimpleNamespace(read=read)), dark=False), 10)
        assert revoked.said == ["This needs the role operator."] * 3
        assert revoked.done == []

    run_async(use())
