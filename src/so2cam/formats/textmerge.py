"""Putting the changes of two people to one text together, row by row."""

import difflib
import itertools
from collections.abc import Sequence

_Change = tuple[int, int, tuple[str, ...]]


def merge_texts(base: str, mine: str, theirs: str) -> str | None:
    """Return ``base`` with what was changed in ``mine`` and in ``theirs``; None where both changed the same rows.

    The same change made twice is made once. Rows are compared whole, with their ends.
    """
    rows = base.splitlines(keepends=True)
    changes = sorted({*_changes(rows, mine), *_changes(rows, theirs)}, key=lambda change: change[:2])
    for before, after in itertools.pairwise(changes):
        if after[0] < before[1] or after[0] == before[0]:
            return None
    merged: list[str] = []
    place = 0
    for start, end, fresh in changes:
        merged += [*rows[place:start], *fresh]
        place = end
    merged += rows[place:]
    return "".join(merged)


def _changes(rows: Sequence[str], text: str) -> list[_Change]:
    other = text.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, rows, other, autojunk=False)
    return [
        (start, end, tuple(other[first:last]))
        for tag, start, end, first, last in matcher.get_opcodes()
        if tag != "equal"
    ]
