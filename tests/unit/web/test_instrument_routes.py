"""Pictures and files of a node are for who may look; what the node refuses is said."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from so2cam.link.errors import LinkRefusedError
from so2cam.link.protocol import Data, Items, ItemsResult, LinkItem, Preview
from so2cam.web.instrument_routes import add_instrument_routes
from so2cam.web.shared import SharedValues

PATHS = ("lead/picture/camera-on/latest", "lead/picture/camera-on/7", "lead/file/7/main")
ITEM = LinkItem(
    node="lead",
    sequence=7,
    kind="frame",
    subject="plume",
    device="camera-on",
    time=datetime(2026, 3, 1, tzinfo=UTC),
    stored=datetime(2026, 3, 1, tzinfo=UTC),
    name="frame.png",
    size=3,
    sha256="0" * 64,
    sidecar_name="frame.json",
    sidecar_size=2,
    sidecar_sha256="0" * 64,
)


@dataclass
class FakeNodes:
    asked: list[Any] = field(default_factory=list)

    def read(self, node: str, say: Any) -> tuple[Data, bytes]:
        self.asked.append(say)
        if node != "lead":
            raise LinkRefusedError(f"{node} is not connected")
        return Data(media="image/jpeg", size=3, total=3), b"abc"

    def ask(self, node: str, say: Any) -> ItemsResult:
        assert isinstance(say, Items)
        return ItemsResult(items=(ITEM,) if say.after == 6 else (), now=ITEM.time)


@dataclass
class FakeDoor:
    open: bool = True

    def visitor(self, request: Any) -> object | None:
        return "somebody" if self.open else None


@dataclass
class FakePages:
    nodes: FakeNodes = field(default_factory=FakeNodes)
    door: FakeDoor = field(default_factory=FakeDoor)
    values: SharedValues = field(default_factory=SharedValues)


@pytest.fixture
def pages() -> Any:
    return FakePages()


@pytest.fixture
def client(pages: Any) -> Iterator[TestClient]:
    app = FastAPI()
    add_instrument_routes(app, pages)
    with TestClient(app) as made:
        yield made


@pytest.mark.parametrize("path", PATHS)
def test_who_may_look_sees_it_and_others_are_told_to_sign_in(pages: Any, client: TestClient, path: str) -> None:
    assert client.get(f"/pages/nodes/{path}").content == b"abc"
    pages.door.open = False
    assert client.get(f"/pages/nodes/{path}").status_code == 401


def test_a_picture_of_an_item_is_asked_for_by_its_number_and_at_most_so_wide(pages: Any, client: TestClient) -> None:
    client.get("/pages/nodes/lead/picture/camera-on/7?width=100000")
    assert pages.nodes.asked == [Preview(device="camera-on", sequence=7, width=1296)]


def test_a_file_has_its_own_name(client: TestClient) -> None:
    found = client.get("/pages/nodes/lead/file/7/main")
    assert found.headers["content-disposition"] == 'attachment; filename="frame.png"'


@pytest.mark.parametrize(
    "path",
    ["other/picture/camera-on/latest", "other/picture/camera-on/7", "lead/file/8/main", "lead/file/7/other"],
)
def test_what_is_not_there_is_said(client: TestClient, path: str) -> None:
    found = client.get(f"/pages/nodes/{path}")
    assert found.status_code == 404
    assert found.json()["detail"]
