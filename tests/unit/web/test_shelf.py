"""Images that pages make for one person: shown while there is one, and the reason told when there is none any more."""

from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from so2cam.web.shelf import Shelf, add_shelf_routes


def test_a_slot_that_is_cleared_says_why_and_one_that_never_had_an_image_does_not() -> None:
    shelf, gone = Shelf(), []
    view: Any = SimpleNamespace(client=SimpleNamespace(on_delete=gone.append))
    pages: Any = SimpleNamespace(shelf=shelf, door=SimpleNamespace(visitor=lambda _: "somebody"))
    app = FastAPI()
    add_shelf_routes(app, pages)
    slot = shelf.slot(view)
    with TestClient(app) as client:
        assert client.get(slot.src).status_code == 404
        slot.put(b"image")
        answer = client.get(slot.src)
        tag = answer.headers["ETag"].strip('"')
        assert answer.content == b"image"
        assert client.get(slot.src, params={"after": tag}).status_code == 204
        slot.clear("there is no image of this pair")
        answer = client.get(slot.src, params={"after": tag})
        assert (answer.status_code, answer.json()["detail"]) == (410, "there is no image of this pair")
        gone_tag = answer.headers["ETag"].strip('"')
        slot.clear("there is no image of this pair")
        assert client.get(slot.src, params={"after": gone_tag}).status_code == 204, "who knows it is not told again"
        slot.clear("another reason")
        assert client.get(slot.src, params={"after": gone_tag}).json()["detail"] == "another reason"
        slot.put(b"image")
        assert client.get(slot.src, params={"after": gone_tag}).content == b"image"
        assert client.get(slot.src, params={"after": tag}).content == b"image", "shown again, though it is the same"
        gone[0]()
        assert client.get(slot.src).status_code == 404
