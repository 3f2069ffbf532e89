"""Work of which only the latest counts."""

from collections.abc import Awaitable, Callable


class Latest:
    """Work that is asked for more often than it can be done: it is done one at a time, and once more for the last.

    ``work``: does it for what is wanted at its start. ``of``: what is wanted now; while it is what was done last,
    nothing is done. None: it is done whenever it is asked for.
    """

    def __init__(self, work: Callable[[], Awaitable[None]], of: Callable[[], object] | None = None) -> None:
        self._work, self._of = work, of
        self._wanted: object = None
        self._asked = self._done = 0
        self._busy = False

    async def ask(self) -> None:
        """Have it done, now or as soon as what goes on is over."""
        if self._of is not None:
            wanted = self._of()
            if self._asked and wanted == self._wanted:
                return
            self._wanted = wanted
        self._asked += 1
        if self._busy:
            return
        self._busy = True
        try:
            while self._done != self._asked:
                self._done = self._asked
                await self._work()
        finally:
            self._busy = False
