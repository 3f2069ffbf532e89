"""Changing a site file by other programs: the draft that people share, its keys, tables and text; undo, save, import.

Whoever changes it sends the revision that they read. Where somebody was there meanwhile, nothing is done, and 409
says what they changed. What is done shows in all open pages at once, and is in the account.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

from fastapi import APIRouter, BackgroundTasks, Depends, Query, Request

from so2cam.core.errors import InputError
from so2cam.formats.legacy import Wishes, parse_vent
from so2cam.formats.siteedit import REMOVE, KeyPath, key_text, parse_key
from so2cam.link.protocol import Role
from so2cam.link.tokens import Principal
from so2cam.station.access import Access
from so2cam.station.api_errors import CHANGES, ProblemRoute
from so2cam.station.api_gate import peer_of
from so2cam.station.api_roles import needs
from so2cam.station.api_site_file import DraftOf, SiteName, draft_out
from so2cam.station.api_site_models import (
    Changes,
    DraftOut,
    ImportOut,
    NewTable,
    NewText,
    Restored,
    Saved,
    SavedOut,
    Told,
    VersionOut,
)
from so2cam.station.api_told import restart_of, tell
from so2cam.station.draft_edits import DraftState
from so2cam.station.draft_guard import held_at
from so2cam.station.draft_tables import added_table
from so2cam.station.drafts import SiteDraft
from so2cam.station.site_check import check_text
from so2cam.station.site_import import import_uploads, with_kept

LARGE: Final = {"/draft/text": 1_100_000, "/draft/import": 20_000_000}
"""Ends of addresses whose messages may be longer than others [bytes]"""
_RAW: Final = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_Wish = Annotated[str | None, Query(max_length=200)]


async def _body(request: Request) -> bytes:
    return await request.body()


def draft_router(find: DraftOf, access: Access) -> APIRouter:
    """Return the addresses below ``/api/v1`` that change; those of the draft are for operators, saving for admins."""
    router = APIRouter(tags=["site file"], route_class=ProblemRoute, responses=CHANGES)
    Operator = Annotated[Principal, Depends(needs(access, Role.OPERATOR))]
    Admin = Annotated[Principal, Depends(needs(access, Role.ADMIN))]

    @contextmanager
    def changing(request: Request, who: Principal, site: str, revision: int, action: str) -> Iterator[_Work]:
        draft = find(site)
        with held_at(draft, revision) as state:
            work = _Work(draft, state, {"site": site})
            yield work
        access.note(who, peer_of(request.scope), action, work.detail)
        tell(request, site, "draft")

    @router.patch("/sites/{site}/draft")
    def change(request: Request, who: Operator, site: SiteName, told: Changes) -> DraftOut:
        """Change keys, take keys and tables out (null), make tables: all at once, or nothing."""
        changes = {_key(one.key): REMOVE if one.value is None else one.value for one in told.changes}
        for key, value in changes.items():
            _refuse_null(value, key)
        with changing(request, who, site, told.revision, "draft.change") as work:
            work.detail["keys"] = ", ".join(key_text(key) for key in changes)
            work.draft.change(changes, by=who.name, what=told.what)
        return draft_out(site, find(site))

    @router.post("/sites/{site}/draft/tables", status_code=201)
    def add(request: Request, who: Operator, site: SiteName, told: NewTable) -> DraftOut:
        """Add a table to an array of tables: a line, a node, a device, a watched folder."""
        path = _key(told.key)
        _refuse_null(told.values, path)
        with changing(request, who, site, told.revision, "draft.add") as work:
            made, key, value = added_table(work.state.written(path), path, told.name, told.values)
            work.detail["keys"] = key_text(made)
            work.draft.change({key: value}, by=who.name, what=f"add {key_text(made)}")
        return draft_out(site, find(site))

    @router.put("/sites/{site}/draft/text")
    def text(request: Request, who: Operator, site: SiteName, told: NewText) -> DraftOut:
        """Take another whole text for the draft."""
        with changing(request, who, site, told.revision, "draft.text") as work:
            work.draft.replace(told.text, who.name, told.what)
        return draft_out(site, find(site))

    @router.post("/sites/{site}/draft/restore")
    def restore(request: Request, who: Operator, site: SiteName, told: Restored) -> DraftOut:
        """Put a version into the draft, in the place of all that is in it."""
        with changing(request, who, site, told.revision, "draft.restore") as work:
            work.detail["version"] = told.version
            words = f"restore version {told.version}"
            work.draft.replace(work.draft.version_text(told.version), who.name, words)
        return draft_out(site, find(site))

    @router.post("/sites/{site}/draft/undo")
    def undo(request: Request, who: Operator, site: SiteName, told: Told) -> DraftOut:
        """Undo your last edit that still stands as you made it."""
        with changing(request, who, site, told.revision, "draft.undo") as work:
            undone = work.draft.undo(who.name)
            if undone is None:
                raise InputError("there is nothing of yours to undo", key="draft", remedy="see the edits of the draft")
            work.detail["what"] = undone.what
        return draft_out(site, find(site))

    @router.delete("/sites/{site}/draft")
    def discard(
        request: Request,
        who: Operator,
        site: SiteName,
        revision: Annotated[int, Query(ge=0, le=2**53, description="of the draft as you read it")],
    ) -> DraftOut:
        """Forget all changes of the draft, those of other people too."""
        with changing(request, who, site, revision, "draft.discard") as work:
            work.draft.discard(who.name)
        return draft_out(site, find(site))

    @router.post("/sites/{site}/draft/save", status_code=201)
    def save(request: Request, who: Admin, site: SiteName, told: Saved, after: BackgroundTasks) -> SavedOut:
        """Check the draft, write the site file, and keep it as a version; the station takes it up."""
        draft = find(site)
        with held_at(draft, told.revision, told.version):
            version = draft.save(told.note, who.name)
            revision = draft.number
        access.note(who, peer_of(request.scope), "draft.save", {"site": site, "version": version.number})
        tell(request, site, "draft")
        restart = restart_of(request)
        if restart is not None:
            after.add_task(restart)  # once this is answered
        return SavedOut(
            version=VersionOut.of(version),
            revision=revision,
            takes_up="at the next start" if restart is None else "at once",
        )

    @router.post("/sites/{site}/draft/import", openapi_extra={"requestBody": {"required": True, "content": _RAW}})
    def import_(
        request: Request,
        who: Operator,
        site: SiteName,
        data: Annotated[bytes, Depends(_body)],
        name: Annotated[str, Query(min_length=1, max_length=200, description="of the file")] = "settings.zip",
        take: Annotated[bool, Query(description="put it into the draft; else it is only told what would be")] = False,
        revision: Annotated[int | None, Query(ge=0, le=2**53, description="needed to take it")] = None,
        keep: Annotated[
            bool | None, Query(description="name, instrument, station … of the draft; by default of an installation")
        ] = None,
        settings: _Wish = None,
        geometry: _Wish = None,
        vent: Annotated[str | None, Query(max_length=200, examples=["-39.42, -71.93, 2847"])] = None,
    ) -> ImportOut:
        """Make a site file of an existing installation's settings (a zip, or one file), or take a site file."""
        draft = find(site)
        made = import_uploads({name: data}, Wishes(settings, geometry, vent=parse_vent(vent) if vent else None))
        state = draft.state()
        keeps = bool(made.report) if keep is None else keep
        text = with_kept(made.text, state.text) if keeps else made.text
        if take:
            if revision is None:
                raise InputError("is needed to take it", key="revision", remedy="send the one of the draft")
            with changing(request, who, site, revision, "draft.import") as work:
                work.detail["source"] = made.source
                work.draft.replace(text, who.name, f"import {made.source}")
            state = draft.state()
        findings = check_text(text, state.loaded.path)
        return ImportOut.of(made, text, findings, taken=take, revision=state.number)

    return router


class _Work:
    """A draft that is held still, and what is written down of the change."""

    def __init__(self, draft: SiteDraft, state: DraftState, detail: dict[str, Any]) -> None:
        self.draft, self.state, self.detail = draft, state, detail


def _refuse_null(value: Any, key: KeyPath) -> None:
    """Raise InputError where null stands within a value: a site file has no such value."""
    if value is None:
        raise InputError(
            "null stands within a value", key=key_text(key), remedy="name each key that is to be taken out by itself"
        )
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_null(one, key)


def _key(text: str) -> KeyPath:
    try:
        return parse_key(text)
    except ValueError:
        raise InputError(
            "is no key", key="key", value=text, remedy='write it like lines.near.start, lines[0].start, lines."a b"'
        ) from None
