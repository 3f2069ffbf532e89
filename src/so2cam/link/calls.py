"""The server's side of a WebSocket that carries calls and answers: that of a node, and that of a station's relay."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from so2cam.link import protocol
from so2cam.link.messages import MessageError, Refused
from so2cam.link.protocol import Answer, Call, Spoken

AT_ONCE: Final = 8
"""Calls of one WebSocket that are answered at the same time; the next waits."""
Answerer = Callable[[Call], Awaitable[Spoken]]


async def serve_calls(websocket: WebSocket, answer: Answerer) -> None:
    """Accept ``websocket``, and answer what comes until it ends, in any order.

    An answer with the code ``credential`` is the last.
    """
    await websocket.accept()
    slots, sending = asyncio.Semaphore(AT_ONCE), asyncio.Lock()
    tasks: set[asyncio.Task[None]] = set()
    try:
        while True:
            await slots.acquire()
            message = await websocket.receive()
            if message["type"] != "websocket.receive":
                return
            text = message.get("text")
            data: str | bytes = message.get("bytes") or b"" if text is None else text
            task = asyncio.create_task(_reply(websocket, data, answer, slots, sending))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    finally:
        for task in tasks:
            task.cancel()


async def _reply(
    websocket: WebSocket, data: str | bytes, answer: Answerer, slots: asyncio.Semaphore, sending: asyncio.Lock
) -> None:
    try:
        try:
            spoken = await answer(protocol.parse_call(data))
        except MessageError as error:
            refusal = Refused(text=error.message, key=error.key, remedy=error.remedy)
            spoken = Spoken(Answer(id=0, result=refusal, code="message"))
        message = protocol.encode_answer(spoken)
        async with sending:
            if isinstance(message, str):
                await websocket.send_text(message)
            else:
                await websocket.send_bytes(message)
            if spoken.answer.code == "credential":
                await websocket.close(1008)
    except (WebSocketDisconnect, RuntimeError, OSError):
        return  # the other side has gone; the reading side ends the connection
    finally:
        slots.release()
