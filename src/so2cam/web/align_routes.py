"""The align page at the station: of the whole instrument or of a node, its messages handed on over the station's links.

Whoever may look here may look at a node; who may act is decided by the role of their sign-in, and what they did is
written down. Calls wait in threads of their own, so that a node that does not answer holds up no other page, and many
who look at one node ask it once.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import Field, TypeAdapter, ValidationError

from so2cam.core.errors import So2camError
from so2cam.link.aiming import Examine, Sight
from so2cam.link.messages import MAXIMUM_REQUEST_BYTES, Refused, Set, Shot, Start, Status, Stop
from so2cam.link.protocol import HTTP_STATUS, Call, Hello, HelloResult, Question, Role, Settings, Spoken, role_of_word
from so2cam.pages import PLAIN_HEADERS, PlainLink, align_page
from so2cam.web.align_calls import AlignCalls
from so2cam.web.align_nodes import ALIGN, AlignNode
from so2cam.web.registry import navigation
from so2cam.web.session import Visitor
from so2cam.web.state import Pages
from so2cam.web.view import page_link

_WIDEST: Final = 648
_NO_STORE: Final = {"cache-control": "no-store"}
_SAID: Final = TypeAdapter[Any](Annotated[Shot | Start | Stop | Set, Field(discriminator="type")])
_KEY: Final = TypeAdapter[str](Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")])
_QUESTIONS: Final[dict[str, Question | Status]] = {"health": Status(), "settings": Settings(), "sight": Sight()}

_Site = Annotated[str, Path(min_length=1, max_length=64)]
_Device = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


def add_align_routes(app: FastAPI, pages: Pages) -> None:
    """Add ``/align/SITE`` and ``/align/SITE/NODE``, and the messages below ``/pages/align/SITE/NODE``."""
    calls = AlignCalls(pages)

    async def node_of(site: _Site, node: _Site) -> AlignNode:
        return await calls.node(site, node)

    def visitor_of(request: Request) -> Visitor:
        found = pages.door.visitor(request)
        if found is None:
            raise HTTPException(401, "sign in first")
        return found

    Node = Annotated[AlignNode, Depends(node_of)]
    Who = Annotated[Visitor, Depends(visitor_of)]

    def page_of(found: Sequence[AlignNode], visitor: Visitor, door: str) -> Response:
        site = found[0].info.site
        bases = {node.name: node.base for node in found}
        text = align_page(bases, door=door, site=site, links=_links(pages, visitor, site, door))
        return Response(text, media_type="text/html; charset=utf-8", headers=PLAIN_HEADERS)

    @app.get(f"{ALIGN}/{{site}}/{{node}}", include_in_schema=False)
    async def page(request: Request, site: _Site, node: _Site) -> Response:
        door = "/sign-in?" + urlencode({"next": request.url.path})
        visitor = pages.door.visitor(request)
        if visitor is None:
            return RedirectResponse(door, 303)
        try:
            found = await calls.node(site, node)
        except HTTPException:
            return RedirectResponse(ALIGN, 303)
        if not found.info.paired:
            return RedirectResponse(ALIGN, 303)
        return page_of((found,), visitor, door)

    @app.get(f"{ALIGN}/{{site}}", include_in_schema=False)
    async def whole(request: Request, site: _Site) -> Response:
        door = "/sign-in?" + urlencode({"next": request.url.path})
        visitor = pages.door.visitor(request)
        if visitor is None:
            return RedirectResponse(door, 303)
        try:
            found = await calls.nodes(site)
        except HTTPException:
            return RedirectResponse(ALIGN, 303)
        if not any(node.info.paired for node in found):
            return RedirectResponse(ALIGN, 303)
        return page_of(found, visitor, door)

    below = f"/pages{ALIGN}/{{site}}/{{node}}"

    @app.get(f"{below}/hello", include_in_schema=False)
    async def hello(found: Node, who: Who) -> Response:
        return _hello(await calls.ask(found, who, "hello", Hello()), who)

    @app.get(f"{below}/examination", include_in_schema=False)
    async def examination(found: Node, who: Who) -> Response:
        return _json(await calls.ask(found, who, "examination", Examine(), calls.patient))

    @app.get(f"{below}/{{what}}", include_in_schema=False)
    async def question(found: Node, who: Who, what: Literal["health", "settings", "sight"]) -> Response:
        return _json(await calls.ask(found, who, what, _QUESTIONS[what]))

    @app.get(f"{below}/frame/{{device}}", include_in_schema=False)
    async def frame(
        found: Node,
        _who: Who,
        device: _Device,
        width: Annotated[int, Query(ge=64, le=_WIDEST)] = _WIDEST,
        after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    ) -> Response:
        try:
            newest = await calls.shared(
                found.name, ("frame", device, width), lambda: calls.frames.newest(found.name, device, width)
            )
        except So2camError as error:
            return _refusal(503, error.message, error.remedy)
        if isinstance(newest, Refused):
            return JSONResponse(newest.model_dump(mode="json"), 404, headers=_NO_STORE)
        if newest.tag == str(after):
            return Response(status_code=204, headers=_NO_STORE)
        headers = {**_NO_STORE, "etag": f'"{newest.tag}"', "content-encoding": "identity"}
        return Response(newest.message, headers=headers, media_type=newest.media)

    @app.post(f"{below}/commands", include_in_schema=False)
    async def command(request: Request, found: Node, who: Who) -> Response:
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return _refusal(403, "commands of other web sites are not taken")
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _refusal(415, "a command is JSON")
        try:
            key = _KEY.validate_python(request.headers.get("idempotency-key"))
            said = _SAID.validate_json(await _body(request))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            return _refusal(422, f"the message cannot be understood: {first['msg']}")
        return _json(await calls.command(found, who, Call.model_construct(key=key, say=said)))


def _hello(spoken: Spoken, who: Visitor) -> Response:
    """Answer who the node is, with what the visitor may do there: no more than the station may itself."""
    result = spoken.answer.result
    if not isinstance(result, HelloResult):
        return _json(spoken)
    there = role_of_word(result.role)
    said = result.model_dump(mode="json") | {"role": min(who.role, there).word}
    if who.role >= Role.OPERATOR > there:
        said["note"] = (
            "You may look: this station itself is only a viewer at the node. To act from here, pair it again with "
            "the role operator."
        )
    elif who.role < Role.OPERATOR and not who.signed_in:
        said["note"] = "You may look. To take pictures or change settings, sign in as operator."
    return JSONResponse(said, headers=_NO_STORE)


def _links(pages: Pages, visitor: Visitor, site: str, door: str) -> list[PlainLink]:
    """Return the pages that the visitor may see, as in the header of the others, and the sign-in where it helps."""
    found = [
        PlainLink(
            page_link(pages, pages.site(site), spec.path),
            spec.nav or spec.title,
            f"nav-{spec.path.strip('/') or 'live'}",
            spec.keys,
            spec.path == ALIGN,
        )
        for spec in navigation()
        if visitor.may(spec.role)
    ]
    if pages.door.access is not None and not visitor.signed_in:
        found.append(PlainLink(door, "Sign in", "sign-in"))
    return found


def _json(spoken: Spoken) -> Response:
    answer = spoken.answer
    return JSONResponse(answer.result.model_dump(mode="json"), HTTP_STATUS[answer.code], headers=_NO_STORE)


def _refusal(status: int, text: str, remedy: str | None = None) -> Response:
    refused = Refused(text=text, remedy=remedy)
    return JSONResponse(refused.model_dump(mode="json"), status, headers=_NO_STORE)


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAXIMUM_REQUEST_BYTES:
            raise HTTPException(413, "too long")
    return body
