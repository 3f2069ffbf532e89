"""Site files for other programs, to read: what is in force, its versions, what differs; the draft, its keys, its check.

Thin: all of it is ``station.drafts`` and what the set-up pages use, so that programs and people see the same draft.
"""

import difflib
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Response

from so2cam.core.errors import InputError, So2camError
from so2cam.formats.siteedit import get_value
from so2cam.formats.sitefile import load_site_text
from so2cam.station.api_errors import KeyChangeOut, ProblemOut, ProblemRoute, plain_json
from so2cam.station.api_site_models import (
    CheckOut,
    ComparisonOut,
    DraftOut,
    FindingOut,
    KeyOut,
    SiteFileOut,
    VersionOut,
)
from so2cam.station.context import StationContext
from so2cam.station.draft_edits import DraftState
from so2cam.station.drafts import SiteDraft, compare, open_draft
from so2cam.station.key_rows import Show, chosen_rows, key_rows
from so2cam.station.site_check import check_text

SiteName = Annotated[str, Path(min_length=1, max_length=64, description="name of the site")]
Number = Annotated[int, Path(ge=1, le=2**31, description="of a version")]
Form = Annotated[Literal["json", "toml"], Query(alias="format", description="toml: the text, comments and all")]
Side = Annotated[str, Query(pattern="^(draft|saved|[0-9]{1,6})$", description="draft, saved, or a version's number")]
DraftOf = Callable[[str], SiteDraft]
TOML = "application/toml"
_BOTH: dict[int | str, dict[str, Any]] = {200: {"content": {TOML: {}}}}


def drafts_of(context: StationContext) -> DraftOf:
    """Return what gives the draft of a site by its name; the one that the pages have."""
    kept: dict[str, SiteDraft] = {}

    def find(name: str) -> SiteDraft:
        try:
            site = context.site(name)
        except KeyError:
            raise HTTPException(404, "there is no such site") from None
        if name not in kept:
            try:
                kept[name] = open_draft(context, site)
            except So2camError as error:
                raise HTTPException(503, f"the draft cannot be opened: {error.message}") from None
        return kept[name]

    return find


def site_file_router(find: DraftOf) -> APIRouter:
    """Return the addresses below ``/api/v1`` that read."""
    router = APIRouter(tags=["site file"], route_class=ProblemRoute)

    @router.get("/sites/{site}/site-file", response_model=SiteFileOut, responses=_BOTH)
    def site_file(site: SiteName, form: Form = "json") -> Any:
        """The site file in force: what stands in it and all settings with their defaults, or its text."""
        draft = find(site)
        state = draft.state()
        return _file(site, draft.versions()[-1].number, state.base, state, form)

    @router.get("/sites/{site}/site-file/versions")
    def versions(site: SiteName) -> list[VersionOut]:
        """All versions with their notes, the oldest first."""
        return [VersionOut.of(one) for one in find(site).versions()]

    @router.get("/sites/{site}/site-file/versions/{version}", response_model=SiteFileOut, responses=_BOTH)
    def version_(site: SiteName, version: Number, form: Form = "json") -> Any:
        """One version."""
        draft = find(site)
        return _file(site, version, _text(draft, str(version)), draft.state(), form)

    @router.get("/sites/{site}/site-file/compare")
    def comparison(site: SiteName, a: Side = "saved", b: Side = "draft") -> ComparisonOut:
        """What differs between two versions, the saved file and the draft: settings with defaults, and text."""
        draft = find(site)
        before, after = _text(draft, a), _text(draft, b)
        rows = difflib.unified_diff(before.splitlines(), after.splitlines(), a, b, lineterm="")
        text = "\n".join(rows)
        try:
            found = compare(before, after, draft.state().loaded.path)
        except So2camError as error:
            return ComparisonOut(keys=[], text=text, problem=ProblemOut.of(error))
        return ComparisonOut(keys=[KeyChangeOut.of(one) for one in found], text=text)

    @router.get("/sites/{site}/draft", response_model=DraftOut, responses=_BOTH)
    def draft_(site: SiteName, form: Form = "json") -> Any:
        """The draft: its revision, who changed what, the first thing that is wrong; or its text."""
        draft = find(site)
        if form == "toml":
            return _toml(draft.state().text)
        return draft_out(site, draft)

    @router.get("/sites/{site}/draft/keys")
    def keys(
        site: SiteName,
        show: Annotated[Show, Query(description="file: that stand in it; changed: that differ from the saved")] = "all",
        find_: Annotated[str, Query(alias="find", max_length=200, description="words, all of which are there")] = "",
    ) -> list[KeyOut]:
        """Every key of the site file: what it is, its unit, limits and choices, its value, and where that is set."""
        rows = chosen_rows(key_rows(find(site).state()), show=show, words=find_)
        return [KeyOut.of(row) for row in rows]

    @router.get("/sites/{site}/draft/check")
    def check(site: SiteName) -> CheckOut:
        """All that is wrong in the draft; where nothing is, all that is risky."""
        state = find(site).state()
        found = check_text(state.text, state.loaded.path)
        valid = not any(one.kind == "wrong" for one in found)
        return CheckOut(revision=state.number, valid=valid, findings=[FindingOut.of(one) for one in found])

    return router


def draft_out(site: str, draft: SiteDraft) -> DraftOut:
    """Return a draft as it is told."""
    with draft.still() as state:
        version = draft.versions()[-1].number
    return DraftOut.of(site, state, version, get_value(state.text, ()))


def _text(draft: SiteDraft, side: str) -> str:
    state = draft.state()
    if side in ("draft", "saved"):
        return state.text if side == "draft" else state.base
    try:
        return draft.version_text(int(side))
    except InputError as error:
        raise HTTPException(404, error.message) from None


def _file(site: str, version: int, text: str, state: DraftState, form: str) -> Any:
    if form == "toml":
        return _toml(text)
    try:
        settings = plain_json(load_site_text(text, state.loaded.path).settings)
    except So2camError:
        settings = None
    try:
        written = plain_json(get_value(text, ()))
    except So2camError:  # kept as it was found, and no TOML
        written = {}
    return SiteFileOut(site=site, version=version, written=written, settings=settings)


def _toml(text: str) -> Response:
    return Response(text.encode(), media_type=f"{TOML}; charset=utf-8")
