"""One file's values with the account of them: values are read, and each key is settled, in one place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from so2cam.formats.legacy.account import Account, Outcome
from so2cam.formats.legacy.parse import to_flag, to_number


@dataclass(frozen=True, slots=True)
class Settler:
    """The values of one file, by whose keys they are settled in the account. Keys that are absent settle nothing."""

    name: str
    values: Mapping[str, Any]
    account: Account

    def has(self, *keys: str) -> bool:
        """Return whether the file has any of the keys."""
        return any(key in self.values for key in keys)

    def number(self, key: str) -> float | None:
        """Return a number; None where there is none."""
        return to_number(self.values.get(key))

    def flag(self, key: str) -> bool | None:
        """Return a switch; None where there is none."""
        return to_flag(self.values.get(key))

    def text(self, key: str) -> str:
        """Return a text; an empty one where there is none."""
        value = self.values.get(key)
        return value.strip() if isinstance(value, str) else ""

    def carry(self, key: str, where: str, note: str = "") -> None:
        """Say that a key went to ``where`` in the site file."""
        self.account.carry(self.name, key, where, note)

    def say(self, keys: str, outcome: Outcome, note: str) -> None:
        """Say one thing of keys, with spaces between them."""
        for key in keys.split():
            self.account.settle(self.name, key, outcome, note)
