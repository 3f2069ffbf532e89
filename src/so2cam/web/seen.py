"""What of the draft a part of a page shows: who changes it is asked where somebody else has changed it since."""

from collections.abc import Iterable, Mapping
from typing import Any

from so2cam.formats.siteedit import KeyPath, get_value
from so2cam.station.drafts import DraftState
from so2cam.web.setup import Setup


class Seen:
    """The draft as it was when a part of a page was drawn."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.drawn()

    def drawn(self, state: DraftState | None = None) -> None:
        """Say that the part shows this state of the draft; without one: the draft as it is now."""
        self._text = (self._setup.state if state is None else state).text

    def of(self, keys: Iterable[KeyPath]) -> dict[KeyPath, Any]:
        """Return what the person has before them of these keys; MISSING for what the file did not have."""
        return {key: get_value(self._text, key) for key in keys}

    async def change(self, changes: Mapping[KeyPath, Any], what: str) -> bool:
        """Change keys of the draft as ``Setup.change`` does; who sees others of them than the draft has is asked."""
        return await self._setup.change(changes, what, seen=self.of(changes))
