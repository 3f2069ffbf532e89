"""Images that a page makes for one person, such as a preview of settings: kept in memory for the viewers on that page.

A slot holds one image at a time. Its address is a secret of that page, and it goes when the browser's tab is closed.
"""

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI, HTTPException, Request, Response

if TYPE_CHECKING:
    from so2cam.web.state import Pages
    from so2cam.web.view import View

_MOST_SLOTS: Final = 400


@dataclass(slots=True)
class Slot:
    """Place for one image, a frame message, at the address ``src``."""

    token: str
    number: int = 0
    message: bytes | None = None
    why: str = ""
    """why there is none any more; empty before there was one"""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def src(self) -> str:
        """The address that a viewer asks."""
        return f"/pages/shelf/{self.token}"

    def put(self, message: bytes) -> None:
        """Show another image."""
        with self._lock:
            if message != self.message:
                self.message, self.number = message, self.number + 1

    def clear(self, why: str) -> None:
        """Show none, and say why."""
        with self._lock:
            if self.message is not None or why != self.why:
                self.message, self.why, self.number = None, why, self.number + 1


class Shelf:
    """All slots of a station's pages. Safe for threads; the oldest go where there are too many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: OrderedDict[str, Slot] = OrderedDict()

    def slot(self, view: "View") -> Slot:
        """Return a new slot, which goes with the page of ``view``."""
        made = Slot(secrets.token_urlsafe(16))
        with self._lock:
            self._slots[made.token] = made
            while len(self._slots) > _MOST_SLOTS:
                self._slots.popitem(last=False)
        view.client.on_delete(lambda: self._drop(made.token))
        return made

    def find(self, token: str) -> Slot | None:
        """Return the slot of this address."""
        with self._lock:
            return self._slots.get(token)

    def _drop(self, token: str) -> None:
        with self._lock:
            self._slots.pop(token, None)


def add_shelf_routes(app: FastAPI, pages: "Pages") -> None:
    """Add the route of the slots to the station's application."""

    @app.get("/pages/shelf/{token}", include_in_schema=False)
    def image(request: Request, token: str, after: str = "") -> Response:
        # Nothing is held: a page of previews may have more viewers than a browser opens connections.
        if pages.door.visitor(request) is None:
            raise HTTPException(401, "sign in first")
        slot = pages.shelf.find(token)
        if slot is None:
            raise HTTPException(404, "the page of this image was closed: load it again")
        tag, message = f"{slot.token[:6]}-{slot.number}", slot.message
        headers = {"Cache-Control": "no-store"}
        if tag == after:  # as it was: the same image, or still none
            return Response(status_code=204, headers=headers)
        headers |= {"ETag": f'"{tag}"'}
        if message is None:
            raise HTTPException(410, slot.why, headers) if slot.why else HTTPException(404, "there is no image yet")
        headers |= {"Content-Encoding": "identity"}
        return Response(message, media_type="application/octet-stream", headers=headers)
