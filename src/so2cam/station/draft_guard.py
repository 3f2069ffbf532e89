"""Changing a draft as it was seen: whoever changes it names its revision, and where it has moved on nothing is done."""

from collections.abc import Iterator
from contextlib import contextmanager

from so2cam.core.errors import So2camError
from so2cam.station.draft_edits import DraftState, Edit, KeyChange, compare
from so2cam.station.drafts import SiteDraft


class DraftMoved(So2camError):  # noqa: N818 - it tells of somebody else, not of something wrong
    """The draft is no longer what somebody saw.

    ``edits``: what was done since, and stands in it. ``keys``: what differs between the version that they saw and the
    site file as it is saved now; empty where that is the same, or cannot be compared.
    """

    def __init__(
        self, revision: int, version: int, edits: tuple[Edit, ...] = (), keys: tuple[KeyChange, ...] = ()
    ) -> None:
        names = ", ".join(dict.fromkeys(edit.by for edit in edits if edit.by)) or "somebody"
        super().__init__(
            f"{names} changed the site file, or its draft, meanwhile",
            key="revision",
            value=revision,
            remedy="read the draft again, look at what was changed, and send the new revision",
        )
        self.revision, self.version, self.edits, self.keys = revision, version, edits, keys


@contextmanager
def held_at(draft: SiteDraft, revision: int, version: int | None = None) -> Iterator[DraftState]:
    """Hold a draft still, as it is at ``revision`` (``DraftState.number``) and on top of ``version``.

    Raises DraftMoved where it has moved on.
    """
    with draft.still() as now:
        latest = draft.versions()[-1].number
        if revision != now.number or version not in (None, latest):
            edits = tuple(edit for edit in now.edits if edit.number > revision)
            keys = () if version is None else _since(draft, version, now)
            raise DraftMoved(now.number, latest, edits, keys)
        yield now


def _since(draft: SiteDraft, version: int, now: DraftState) -> tuple[KeyChange, ...]:
    try:
        return compare(draft.version_text(version), now.base, now.loaded.path)
    except So2camError:  # there is no such version, or it is not valid
        return ()
