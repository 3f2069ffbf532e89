"""The link over HTTPS and WebSocket: the same service behind plain addresses, and behind one socket for programs.

``/v1/link`` is a WebSocket that carries all of ``link.protocol``. The other addresses say the same for curl, a script
or a browser. FastAPI describes them at ``/openapi.json``.
"""

import asyncio
import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, FastAPI, Header, Query, Request, Response, WebSocket
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from pydantic import TypeAdapter, ValidatorFunctionWrapHandler, WrapValidator
from starlette.websockets import WebSocketDisconnect

from so2cam.link import aiming, messages, protocol
from so2cam.link.calls import serve_calls
from so2cam.link.gate import Gate
from so2cam.link.limits import Buckets
from so2cam.link.messages import Command, Refused
from so2cam.link.pages import add_pages
from so2cam.link.pairing import MAXIMUM_BYTES, BrowserPairing, PairingDesk, PairReply
from so2cam.link.preview import MEDIA
from so2cam.link.protocol import HTTP_STATUS, Call, Data, Spoken
from so2cam.link.service import LinkService, wait_for_events
from so2cam.link.tokens import Principal, TokenStore

_THREADS: Final = 16
_COMMAND_THREADS: Final = 8
_WAITING_THREADS: Final = 64
_PAIR_S: Final = 15.0
_WORDS: Final = {
    422: "the message cannot be understood",
    403: "the role of the token is too low",
    404: "not known",
    409: "refused",
    429: "too many calls",
}
_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"description": "no valid token"},
    **{status: {"model": Refused, "description": words} for status, words in _WORDS.items()},
}


def _as_json(adapter: TypeAdapter[Any]) -> WrapValidator:
    """Have a body checked as the JSON that it was: strict messages take a list for a tuple only there."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, bytes):
            raise ValueError("it must be JSON, with Content-Type: application/json")  # noqa: TRY004 - a wrong body
        return adapter.validate_json(json.dumps(value))

    return WrapValidator(check)


_CommandBody = Annotated[protocol.CommandType, _as_json(TypeAdapter(Command))]
_ConfirmBody = Annotated[protocol.Confirm, _as_json(TypeAdapter(protocol.Confirm))]


class LinkApp:
    """The application of one node. ``close`` ends waits and threads."""

    def __init__(self, service: LinkService, tokens: TokenStore, desk: PairingDesk, fingerprint: str) -> None:
        self._service = service
        self._desk = desk
        self._fingerprint = fingerprint
        self._stop = threading.Event()
        # Three kinds of threads: who waits for events or for a slow command holds up nobody who only looks.
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="link")
        self._commands = ThreadPoolExecutor(_COMMAND_THREADS, thread_name_prefix="link-command")
        self._waiting = ThreadPoolExecutor(_WAITING_THREADS, thread_name_prefix="link-wait")
        limits = service.limits
        self._pairings = Buckets(limits.pairings_per_s, limits.pairings_at_once)
        api = FastAPI(
            title="so2cam instrument",
            version=str(protocol.PROTOCOL),
            description="Commands, health, events, pictures and files of one node of a volcanic SO2 camera.",
            docs_url=None,
            redoc_url=None,
            dependencies=[Depends(HTTPBearer(auto_error=False))],
            responses=_REFUSALS,
        )
        self.api = api
        api.add_exception_handler(RequestValidationError, _not_understood)
        self._add_routes(api)
        add_pages(api)
        api.add_api_websocket_route("/v1/link", self._link)
        api.add_api_websocket_route("/v1/pair", self._pair)
        self.asgi = Gate(api, tokens)

    def close(self) -> None:
        """End everything that waits."""
        self._stop.set()
        for pool in (self._pool, self._commands, self._waiting):
            pool.shutdown(wait=False, cancel_futures=True)

    # --- calls ---------------------------------------------------------------------------------------------------

    def _say(self, principal: Principal, peer: str, call: Call) -> Spoken:
        wait_for_events(self._service, call, self._stop)
        return self._service.answer(principal, peer, call)

    async def _answer(self, principal: Principal, peer: str, call: Call) -> Spoken:
        waits = isinstance(call.say, protocol.Events) and call.say.wait_s > 0
        slow = protocol.changes(call.say) or isinstance(call.say, aiming.Examine)
        pool = self._commands if slow else self._waiting if waits else self._pool
        return await asyncio.get_running_loop().run_in_executor(pool, self._say, principal, peer, call)

    async def _http(self, request: Request, say: Any, key: str | None = None) -> Response:
        spoken = await self._answer(request.state.principal, _peer(request), Call.model_construct(key=key, say=say))
        status = HTTP_STATUS[spoken.answer.code]
        result = spoken.answer.result
        if isinstance(result, Data) and spoken.payload is not None:
            return _file(request, result, spoken.payload)
        return JSONResponse(result.model_dump(mode="json"), status_code=status)

    # --- the WebSockets ------------------------------------------------------------------------------------------

    async def _link(self, websocket: WebSocket) -> None:
        principal: Principal = websocket.scope["state"]["principal"]
        peer = _peer(websocket)
        await serve_calls(websocket, lambda call: self._answer(principal, peer, call))

    async def _pair(self, websocket: WebSocket) -> None:
        if not self._pairings.take(_peer(websocket)):
            await websocket.close(1013)
            return
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect, TimeoutError, RuntimeError, OSError):
            async with asyncio.timeout(_PAIR_S):
                for _ in range(2):
                    message = await websocket.receive()
                    if message["type"] != "websocket.receive":
                        return
                    text = message.get("text") or ""
                    if len(text) > MAXIMUM_BYTES:
                        reply = PairReply(error="the message is too long")
                    else:
                        reply = await asyncio.to_thread(self._desk.answer, text, self._fingerprint)
                    await websocket.send_text(reply.model_dump_json(exclude_none=True))
            await websocket.close()

    async def _pair_browser(self, request: Request, body: BrowserPairing) -> Response:
        if not self._pairings.take(_peer(request)):
            refusal = Refused(text="too many tries in a short time", remedy="wait a minute")
            return JSONResponse(refusal.model_dump(mode="json"), status_code=429)
        reply = await asyncio.to_thread(self._desk.admit, body.code, body.name)
        return JSONResponse(reply.model_dump(mode="json"), status_code=403 if reply.token is None else 200)

    # --- plain addresses -----------------------------------------------------------------------------------------

    def _add_routes(self, api: FastAPI) -> None:
        say = self._http

        @api.get("/v1/hello", response_model=protocol.HelloResult, summary="Who answers, and what the token may do")
        async def hello(request: Request) -> Response:
            return await say(request, protocol.Hello())

        @api.get("/v1/health", response_model=messages.StatusResult, summary="The health record as of now")
        async def health(request: Request) -> Response:
            return await say(request, messages.Status())

        @api.get("/v1/schedule", response_model=messages.ScheduleResult, summary="What the schedule wants")
        async def schedule(request: Request) -> Response:
            return await say(request, messages.Schedule())

        @api.get("/v1/settings", response_model=protocol.SettingsResult, summary="The settings of each device")
        async def settings(request: Request) -> Response:
            return await say(request, protocol.Settings())

        @api.get("/v1/events", response_model=protocol.EventsResult, summary="What happened after a number")
        async def events(
            request: Request,
            after: Annotated[int, Query(ge=0, le=2**53)] = 0,
            limit: Annotated[int, Query(ge=1, le=500)] = 100,
            wait_s: Annotated[float, Query(ge=0, le=protocol.LONGEST_WAIT_S)] = 0.0,
        ) -> Response:
            return await say(request, protocol.Events(after=after, limit=limit, wait_s=wait_s))

        @api.get("/v1/items", response_model=protocol.ItemsResult, summary="Which items are kept")
        async def items(
            request: Request,
            waiting: bool = False,
            after: Annotated[int | None, Query(ge=0, le=2**53)] = None,
            order: Literal["oldest", "newest"] = "oldest",
            limit: Annotated[int, Query(ge=1, le=500)] = 100,
            kind: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = None,
        ) -> Response:
            said = protocol.Items(waiting=waiting, after=after, order=order, limit=limit, kind=kind)
            return await say(request, said)

        @api.post("/v1/items/confirm", response_model=protocol.Confirmed, summary="Items have arrived elsewhere")
        async def confirm(request: Request, body: _ConfirmBody) -> Response:
            return await say(request, body)

        @api.get(
            "/v1/items/{sequence}/{part}",
            response_class=Response,
            responses={200: {"content": {"application/octet-stream": {}}}, 206: {"description": "a part of the file"}},
            summary="A part of a file of an item, at most 256 KiB; by Range or by offset and length",
        )
        async def read(
            request: Request,
            sequence: Annotated[int, InPath(ge=1, le=2**53)],
            part: Literal["main", "sidecar"],
            offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
            length: Annotated[int, Query(ge=1, le=protocol.MAXIMUM_PART_BYTES)] = protocol.MAXIMUM_PART_BYTES,
            wanted: Annotated[str | None, Header(alias="Range", description="as bytes=0-65535")] = None,
        ) -> Response:
            if wanted is not None:
                found = _parse_range(wanted)
                if found is None:
                    refusal = Refused(text="a range is like bytes=0-65535, one only", key="Range")
                    return JSONResponse(refusal.model_dump(mode="json"), status_code=416)
                offset, length = found
            return await say(request, protocol.Read(sequence=sequence, part=part, offset=offset, length=length))

        @api.get(
            "/v1/preview/{device}",
            response_class=Response,
            responses={200: {"content": {"image/jpeg": {}}}},
            summary="The latest picture of a camera as a small JPEG",
        )
        async def preview(
            request: Request,
            device: Annotated[str, InPath(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")],
            width: Annotated[int, Query(ge=64, le=1296)] = 486,
            after: Annotated[int, Query(ge=0, le=2**53)] = 0,
        ) -> Response:
            return await say(request, protocol.Preview(device=device, width=width, after=after))

        @api.get(
            "/v1/frame/{device}",
            response_class=Response,
            responses={200: {"content": {MEDIA["frame"]: {}}}, 204: {"description": "nothing newer"}},
            summary="The latest picture of a camera as a frame message, for the image viewer",
        )
        async def frame(
            request: Request,
            device: Annotated[str, InPath(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")],
            width: Annotated[int, Query(ge=64, le=1296)] = 648,
            after: Annotated[int, Query(ge=0, le=2**53)] = 0,
        ) -> Response:
            asked = protocol.Preview(device=device, width=width, after=after, form="frame")
            spoken = await self._answer(request.state.principal, _peer(request), Call.model_construct(say=asked))
            return _frame(spoken)

        @api.get("/v1/sight", response_model=aiming.SightResult, summary="What the cameras should see")
        async def sight(request: Request) -> Response:
            return await say(request, aiming.Sight())

        @api.get("/v1/examination", response_model=aiming.ExamineResult, summary="Is all well? Takes some seconds")
        async def examination(request: Request) -> Response:
            return await say(request, aiming.Examine())

        @api.post("/v1/pair", response_model=PairReply, summary="Sign a browser in by a pairing code; needs no token")
        async def pair(request: Request, body: BrowserPairing) -> Response:
            return await self._pair_browser(request, body)

        @api.post(
            "/v1/commands",
            response_model=messages.Done | messages.StatusResult | messages.ScheduleResult,
            summary="Carry out a command, once for each key",
        )
        async def command(
            request: Request,
            body: _CommandBody,
            key: Annotated[
                str, Header(alias="Idempotency-Key", min_length=8, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")
            ],
        ) -> Response:
            return await say(request, body, key)

        @api.get(
            "/v1/commands/{key}",
            response_model=messages.Done | messages.StatusResult | messages.ScheduleResult,
            summary="What became of the command of a key",
        )
        async def outcome(
            request: Request,
            key: Annotated[str, InPath(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")],
        ) -> Response:
            return await say(request, protocol.Outcome(key=key))


async def _not_understood(request: Request, error: Exception) -> Response:
    """Answer what is no right message, without repeating what was said."""
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": str(error)}
    key = ".".join(str(part) for part in first["loc"]) or None
    refusal = Refused(text=f"the message cannot be understood: {first['msg']}"[:500], key=key, remedy="correct it")
    return JSONResponse(refusal.model_dump(mode="json"), status_code=422)


def _frame(spoken: Spoken) -> Response:
    """Answer as the image viewer wants it: 204 where there is nothing newer, 404 where there is nothing at all."""
    result = spoken.answer.result
    if isinstance(result, Data) and spoken.payload is not None:
        headers = {"etag": f'"{result.sequence}"', "cache-control": "no-store"}
        return Response(spoken.payload, headers=headers, media_type=result.media)
    if spoken.answer.code == "unknown":
        return Response(status_code=204)
    status = 404 if spoken.answer.code == "refused" else HTTP_STATUS[spoken.answer.code]
    return JSONResponse(result.model_dump(mode="json"), status_code=status)


def _file(request: Request, data: Data, payload: bytes) -> Response:
    whole = data.offset == 0 and data.size == data.total
    headers = {"accept-ranges": "bytes"}
    if data.sequence is not None:
        headers["x-item-sequence"] = str(data.sequence)
    if not whole and payload:
        headers["content-range"] = f"bytes {data.offset}-{data.offset + data.size - 1}/{data.total}"
    return Response(payload, status_code=200 if whole else 206, headers=headers, media_type=data.media)


def _parse_range(text: str) -> tuple[int, int] | None:
    unit, _, spans = text.partition("=")
    first, dash, last = spans.strip().partition("-")
    if unit.strip().lower() != "bytes" or not dash or not _digits(first) or (last and not _digits(last)):
        return None
    begin = int(first)
    end = int(last) if last else begin + protocol.MAXIMUM_PART_BYTES - 1
    if end < begin or begin > 2**53:
        return None
    return begin, min(end - begin + 1, protocol.MAXIMUM_PART_BYTES)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 16


def _peer(connection: Request | WebSocket) -> str:
    return "unknown" if connection.client is None else connection.client.host
