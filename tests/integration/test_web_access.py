"""Who may see which page: signing in and out, the first admin, roles, the public switch, and what is refused."""

import gc
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from so2cam.core.site_station import Api, Pages, Station
from so2cam.link.protocol import Role
from so2cam.station.access import Access
from so2cam.station.api import build_api
from so2cam.station.api_server import ApiServer
from so2cam.station.context import StationContext
from so2cam.web import registry
from so2cam.web.mount import mount_pages
from so2cam.web.parts import empty
from so2cam.web.registry import page
from so2cam.web.session import COOKIE, LASTS_S, Door, Seal, own_path
from so2cam.web.view import View

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "bench" / "site.toml"
CLOSED = Api(loopback="closed")
Open = Callable[..., TestClient]


@pytest.fixture
def secret_page() -> Iterator[None]:
    registry.all_pages()  # those of the station first

    @page("/secret", title="Secret", role=Role.ADMIN)
    def secret(_view: View) -> None:
        empty("for admins")

    yield
    registry._PAGES.pop("/secret")


@pytest.fixture
def open_pages(context: StationContext, access: Access, secret_page: None) -> Iterator[Open]:
    clients: list[TestClient] = []

    def make(*, settings: Station | None = None, free: bool = False, host: str = "testserver") -> TestClient:
        used = replace(context, settings=settings or Station(api=CLOSED))
        app = build_api(used, access=access)
        mount_pages(app, used, tuple, None if free else access)
        client = TestClient(app, base_url=f"http://{host}", follow_redirects=False)
        clients.append(client)
        client.__enter__()
        return client

    yield make
    for client in clients:
        client.__exit__(None, None, None)


def sign_in(client: TestClient, token: str, target: str = "/") -> httpx.Response:
    return client.post("/session", data={"token": token, "next": target})  # type: ignore[return-value]


def test_a_new_station_asks_for_its_first_admin(open_pages: Open, access: Access) -> None:
    client = open_pages()
    assert client.get("/").headers["location"] == "/welcome"
    assert client.get("/sign-in").headers["location"] == "/welcome"
    code = access.setup_code()
    assert code is not None
    wrong = client.post("/session/first", data={"code": "AAAAAA-AAAAA", "name": "Ada"})
    assert "code+is+wrong" in wrong.headers["location"].lower().replace("%20", "+")
    assert access.first_run()
    done = client.post("/session/first", data={"code": code, "name": "Ada"})
    assert done.headers["location"] == "/welcome/token"
    shown = client.get("/welcome/token")
    assert shown.status_code == 200
    (record,) = access.list()
    assert (record.name, record.role) == ("Ada", Role.ADMIN)
    assert f"so2_{record.id}" in shown.text
    assert client.get("/").status_code == 200
    answer = client.get("/welcome")
    assert answer.headers["location"] == "/"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"


def test_signing_in_and_out(open_pages: Open, access: Access) -> None:
    access.create("Boss", Role.ADMIN)
    token = access.create("Ada", Role.OPERATOR)
    client = open_pages()
    assert client.get("/?range=6h").headers["location"] == "/sign-in?next=%2F%3Frange%3D6h"
    assert client.get("/pages/glance").status_code == 401
    refused = sign_in(client, "so2_00000000_" + "x" * 43)
    assert refused.headers["location"].startswith("/sign-in?why=")
    assert COOKIE not in client.cookies
    done = sign_in(client, token, "/?range=6h")
    assert done.headers["location"] == "/?range=6h"
    cookie = done.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert f"max-age={LASTS_S}" in cookie
    assert token not in cookie
    assert "operator" in client.get("/").text
    assert client.get("/pages/glance").json()["alarms"]["open"] == 0
    client.post("/session/end")
    assert client.get("/").status_code == 303


def test_a_revoked_token_opens_no_page_any_more(open_pages: Open, access: Access) -> None:
    access.create("Boss", Role.ADMIN)
    token = access.create("Ada", Role.VIEWER)
    client = open_pages()
    sign_in(client, token)
    assert client.get("/").status_code == 200
    access.revoke(access.list()[-1].id)
    assert client.get("/").headers["location"].startswith("/sign-in")
    assert client.get("/pages/glance").status_code == 401


def test_a_page_above_the_role_is_refused_in_words(open_pages: Open, access: Access) -> None:
    boss, token = access.create("Boss", Role.ADMIN), access.create("Ada", Role.VIEWER)
    client = open_pages()
    sign_in(client, token)
    answer = client.get("/secret")
    assert answer.status_code == 403
    assert "needs the role admin" in answer.text
    assert "for admins" not in answer.text
    sign_in(client, boss)
    answer = client.get("/secret")
    assert answer.status_code == 200
    assert "for admins" in answer.text


def test_a_public_station_shows_and_says_who_may_more(open_pages: Open, access: Access) -> None:
    access.create("Boss", Role.ADMIN)
    client = open_pages(settings=Station(api=CLOSED, pages=Pages(public=True)))
    answer = client.get("/")
    assert answer.status_code == 200
    assert "Sign in" in answer.text
    assert client.get("/secret").status_code == 403
    local = open_pages(settings=Station(), host="127.0.0.1:8470")
    assert local.get("/").status_code == 200
    assert "this computer" in local.get("/").text or "Sign in" in local.get("/").text
    strange = open_pages(settings=Station(), host="rebound.example")
    assert strange.get("/").status_code == 303


def test_without_access_everybody_is_an_admin(open_pages: Open) -> None:
    client = open_pages(free=True, host="localhost:8470")
    assert client.get("/secret").status_code == 200
    assert client.get("/sign-in").headers["location"] == "/"
    strange = open_pages(free=True, host="rebound.example")
    assert strange.get("/secret").status_code == 403
    assert strange.get("/pages/glance").status_code == 401


def test_forms_of_other_sites_and_long_ones_are_not_taken(open_pages: Open, access: Access) -> None:
    token = access.create("Boss", Role.ADMIN)
    client = open_pages()
    foreign = client.post("/session", data={"token": token}, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    assert client.post("/session", data={"token": "x" * 5000}).status_code == 413
    assert client.post("/session", content=b"\xff\xfe").status_code in (303, 422)
    assert COOKIE not in client.cookies


def test_the_interface_for_programs_is_as_it_was(open_pages: Open, access: Access) -> None:
    token = access.create("Boss", Role.ADMIN)
    client = open_pages()
    assert client.get("/api/v1/status").status_code == 401
    assert client.get("/api/v1/status", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    sign_in(client, token)  # a browser that is signed in may read there too
    assert client.get("/api/v1/status").status_code == 200
    client.post("/session/end")
    assert client.get("/api/v1/status").status_code == 401
    answer = client.get("/api/v1/nothing", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 404
    assert answer.json() == {"detail": "there is no /api/v1/nothing"}
    assert client.get("/openapi.json").status_code == 200


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("/health?node=a", "/health?node=a"),
        (None, "/"),
        ("", "/"),
        ("https://elsewhere.example/", "/"),
        ("//elsewhere.example/", "/"),
        ("/\\elsewhere.example/", "/"),
        ("health", "/"),
    ],
)
def test_after_the_sign_in_one_stays_at_this_station(given: str | None, target: str) -> None:
    assert own_path(given) == target


def test_a_seal_is_of_its_station_and_survives(tmp_path: Path) -> None:
    one = Seal.of_station(tmp_path / "one")
    sealed = one.close("token")
    assert Seal.of_station(tmp_path / "one").open(sealed) == "token"
    assert Seal.of_station(tmp_path / "two").open(sealed) is None
    assert one.open("nonsense") is None
    assert (tmp_path / "one" / "access" / "pages.key").stat().st_mode & 0o077 == 0
    assert Door(None, one).access is None


def test_the_server_serves_pages_again_after_it_was_started_anew(
    context: StationContext, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []  # through all objects: what other threads make meanwhile would break
    monkeypatch.setattr(gc, "get_objects", lambda: looked.append("all") or [])
    access.create("Boss", Role.ADMIN)
    served = replace(context, settings=Station(api=Api(port=0)))

    def mount(app: FastAPI, found: Access) -> None:
        mount_pages(app, served, tuple, found)

    server = ApiServer(served, tuple, access, mount=mount)
    try:
        for _ in range(2):
            stop = threading.Event()
            thread = threading.Thread(target=server.run, args=(stop,))
            thread.start()
            try:
                answer = httpx.get(f"{server.url}/", timeout=30)
                assert answer.status_code == 200
                assert "so2cam" in answer.text
            finally:
                stop.set()
                thread.join(30)
            assert not thread.is_alive()
    finally:
        server.close()
    assert looked == []
