"""Who may ask a station what: the matrix of all addresses and credentials, TLS, and that nothing makes it stumble."""

import json
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from so2cam.core.site_station import Api, Station
from so2cam.link.errors import LinkError, LinkRefusedError
from so2cam.link.pairing import Offer
from so2cam.link.protocol import Role
from so2cam.link.tls import connect_tls
from so2cam.link.tokens import Principal
from so2cam.station.access import Access
from so2cam.station.alarms_state import RuleState
from so2cam.station.alarms_store import AlarmStore
from so2cam.station.api import build_api
from so2cam.station.api_server import ApiError, ApiServer
from so2cam.station.context import StationContext
from so2cam.station.nodes import NodeInfo
from so2cam.station.runs import Runs

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "bench" / "site.toml"
TOOL = Path(__file__).resolve().parents[2] / "tools" / "document_station.py"
WRONG = "so2_00000000_" + "x" * 43
ADMINS = {("get", "/api/v1/tokens"), ("post", "/api/v1/tokens"), ("delete", "/api/v1/tokens/{number}")}
ADMINS |= {("get", "/api/v1/audit"), ("delete", "/api/v1/sites/{site}/runs/{run}")}
ADMINS |= {("post", "/api/v1/sites/{site}/draft/save")}
ADMINS |= {("post", "/api/v1/nodes/pair"), ("post", "/api/v1/nodes/offer"), ("delete", "/api/v1/nodes/{node}")}
FILLED = {
    "number": "00000000",
    "day": "2026-03-01",
    "product": "csv",
    "file": "1",
    "part": "content",
    "run": "1",
    "name": "log.txt",
    "version": "1",
    "node": "lead",
}


class FakeNodes:
    """Nodes that nobody reaches, whatever is asked."""

    def of_site(self, site: Any) -> tuple[NodeInfo, ...]:
        return (NodeInfo("lead", site.name, "none"),)

    def join(self, host: str, port: int, code: str) -> None:
        raise LinkRefusedError(f"{host} is not there", value=code)

    def offer(self) -> Offer:
        return Offer("ABCDEF-GHJKL", 1e9)

    def forget(self, name: str) -> None:
        raise LinkError("this station has not paired with it", key="name", value=name)


NODES: Any = FakeNodes()


@pytest.fixture
def alarms(context: StationContext) -> Iterator[AlarmStore]:
    with AlarmStore(context.folder / "alarms.sqlite") as store:
        store.begin(
            context.sites[0].name,
            "disk",
            "station",
            level="warning",
            text="little room",
            value=1.0,
            now=datetime(2026, 3, 1, tzinfo=UTC),
            state=RuleState(None, True),
            targets=(),
        )
        yield store


@pytest.fixture
def app(context: StationContext, access: Access, alarms: AlarmStore) -> FastAPI:
    return build_api(context, access=access, alarms=alarms, runs=Runs(context), nodes=NODES)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def operations(app: FastAPI, site: str) -> Iterator[tuple[str, str, str, Role]]:
    """Give method, address as described, a real address, and the least role, of all that the interface describes."""
    for path, methods in app.openapi()["paths"].items():
        filled = re.sub(r"\{(\w+)\}", lambda match: FILLED.get(match[1], site), path)
        for method in methods:
            least = (
                Role.ADMIN if (method, path) in ADMINS else Role.VIEWER if method in ("get", "head") else Role.OPERATOR
            )
            yield method, path, filled, least


def test_the_matrix_has_every_address(app: FastAPI, context: StationContext) -> None:
    described = {(method, path) for method, path, *_ in operations(app, context.sites[0].name)}
    assert described >= ADMINS | {("post", "/api/v1/alarms/{number}/acknowledge"), ("get", "/metrics")}
    assert described >= {("post", "/api/v1/sites/{site}/runs"), ("post", "/api/v1/sites/{site}/runs/{run}/cancel")}
    assert len(described) >= 46
    behind = ("/api/", "/metrics")
    assert all(path.startswith(behind) for _, path in described)


def test_every_address_with_every_credential(app: FastAPI, context: StationContext, tmp_path: Path) -> None:
    # Tokens of their own clock: one that has ended is needed.
    now = [1e9]
    with Access(tmp_path / "matrix.sqlite", lambda: now[0]) as access:
        alarms = AlarmStore(tmp_path / "alarms.sqlite")
        app = build_api(context, access=access, alarms=alarms, runs=Runs(context), nodes=NODES)
        tokens = {role: access.create(role.word, role) for role in Role}
        ended = access.create("ended", Role.ADMIN, valid_s=10)
        now[0] += 11
        revoked = access.create("revoked", Role.ADMIN)
        access.revoke(revoked[4:12])
        refused: list[dict[str, Any]] = [
            {},
            bearer(WRONG),
            bearer(ended),
            bearer(revoked),
            bearer(tokens[Role.ADMIN][:-1]),
        ]
        refused += [
            {"Authorization": f"Basic {tokens[Role.ADMIN]}"},
            {"Authorization": tokens[Role.ADMIN]},
            {"Authorization": "Bearer é".encode()},
        ]
        asked = 0
        with TestClient(app, base_url="http://127.0.0.1") as client:
            for method, path, filled, least in operations(app, context.sites[0].name):
                for headers in refused:
                    answer = client.request(method, filled, headers=headers)
                    assert answer.status_code in (401, 429), (method, path, headers)
                for role, token in tokens.items():
                    answer = client.request(method, filled, headers=bearer(token))
                    assert (answer.status_code == 403) == (role < least), (method, path, role, answer.text)
                    assert answer.status_code not in (401, 429, 500)
                asked += 1
            assert client.get("/openapi.json").status_code == 200
        assert asked >= 46


def test_what_is_changed_and_what_is_denied_is_in_the_account(
    app: FastAPI, access: Access, context: StationContext
) -> None:
    viewer, operator = access.create("wall", Role.VIEWER), access.create("Ana", Role.OPERATOR)
    admin = access.create("chief", Role.ADMIN)
    with TestClient(app) as client:
        assert client.post("/api/v1/alarms/1/acknowledge", headers=bearer(viewer)).status_code == 403
        answer = client.post("/api/v1/alarms/1/acknowledge", headers=bearer(operator), json={"note": "on my way"})
        assert (answer.json()["acknowledged_by"], answer.json()["note"]) == ("Ana", "on my way")
        assert client.post("/api/v1/alarms/9/acknowledge", headers=bearer(operator)).status_code == 404
        (alarm,) = client.get("/api/v1/alarms", params={"current": True}, headers=bearer(viewer)).json()
        assert alarm["acknowledged_by"] == "Ana"
        made = client.post("/api/v1/tokens", headers=bearer(admin), json={"name": "guest", "days": 1})
        assert made.status_code == 201
        guest = made.json()["token"]
        assert client.get("/api/v1/status", headers=bearer(guest)).status_code == 200
        revoked = client.delete(f"/api/v1/tokens/{guest[4:12]}", headers=bearer(admin))
        assert (revoked.json()["name"], revoked.json()["valid"]) == ("guest", False)
        assert client.get("/api/v1/status", headers=bearer(guest)).status_code == 401
        listed = client.get("/api/v1/tokens", headers=bearer(admin))
        assert [one["name"] for one in listed.json()] == ["wall", "Ana", "chief", "guest"]
        assert guest not in listed.text
        lines = client.get("/api/v1/audit", headers=bearer(admin)).json()
    told = [(one["name"], one["action"].replace(guest[4:12], "ID"), one["outcome"]) for one in reversed(lines)]
    assert told[3:] == [
        ("wall", "POST /api/v1/alarms/1/acknowledge", "denied"),
        ("Ana", "POST /api/v1/alarms/1/acknowledge", "done"),
        ("Ana", "POST /api/v1/alarms/9/acknowledge", "refused"),
        ("chief", "token.create", "done"),
        ("chief", "POST /api/v1/tokens", "done"),
        ("chief", "token.revoke", "done"),
        ("chief", "DELETE /api/v1/tokens/ID", "done"),
    ]


def test_open_reads_are_for_this_computer_alone(context: StationContext, access: Access, alarms: AlarmStore) -> None:
    app = build_api(context, access=access, open_reads=True, alarms=alarms)
    with TestClient(app) as client:
        for host in ("127.0.0.1:8470", "127.0.0.1", "localhost:1", "[::1]:8470", "[::1]", "LOCALHOST"):
            assert client.get("/api/v1/status", headers={"Host": host}).status_code == 200, host
        for host in ("evil.example:8470", "127.0.0.1.evil.example", "192.0.2.1:8470", "", "localhost.evil.example:80"):
            assert client.get("/api/v1/status", headers={"Host": host}).status_code == 401, host
        local = {"Host": "127.0.0.1:8470"}
        assert client.post("/api/v1/alarms/1/acknowledge", headers=local).status_code == 401
        assert client.get("/api/v1/tokens", headers=local).status_code == 403
        assert client.get("/api/v1/status", headers=local | bearer(WRONG)).status_code == 401


def test_who_is_signed_in_at_the_pages_may_read(app: FastAPI, access: Access) -> None:
    app.state.signed_in = lambda connection: (
        Principal("x", "page", Role.ADMIN) if connection.cookies.get("session") == "right" else None
    )
    with TestClient(app) as client:
        assert client.get("/api/v1/status").status_code == 401
        right = {"Cookie": "session=right"}
        assert client.get("/api/v1/status", headers=right).status_code == 200
        assert client.post("/api/v1/alarms/1/acknowledge", headers=right).status_code == 401
        assert client.get("/api/v1/status", headers=right | bearer(WRONG)).status_code == 401


def test_many_wrong_tokens_are_slowed_down(app: FastAPI, access: Access) -> None:
    right = access.create("wall", Role.VIEWER)
    with TestClient(app) as client:
        statuses = [client.get("/api/v1/status", headers=bearer(WRONG)).status_code for _ in range(20)]
        assert statuses[:10] == [401] * 10
        assert 429 in statuses
        assert client.get("/api/v1/status", headers=bearer(right)).status_code == 200


def test_a_long_message_is_not_read(app: FastAPI, access: Access) -> None:
    operator = access.create("op", Role.OPERATOR)
    with TestClient(app) as client:
        answer = client.post("/api/v1/alarms/1/acknowledge", headers=bearer(operator), content=b"x" * 3_000_000)
        assert answer.status_code == 413
        answer = client.post("/api/v1/alarms/1/acknowledge", content=b"x" * 3_000_000)
        assert answer.status_code == 401


def test_no_question_of_the_description_makes_it_stumble(app: FastAPI, access: Access) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings

    headers = bearer(access.create("tester", Role.ADMIN))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    seen = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=25,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: Any) -> None:
            answer = case.call(headers=headers)
            assert answer.status_code < 500, (case, answer.text)
            assert answer.status_code != 401

        ask()
        seen += 1
    assert seen >= 46


@contextmanager
def served(context: StationContext, api: Api, access: Access, **others: Any) -> Iterator[ApiServer]:
    server = ApiServer(replace(context, settings=Station(api=api)), tuple, access, **others)
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        thread.join(20)
        server.close()
    assert not thread.is_alive()


def trusting(path: Path) -> ssl.SSLContext:
    found = ssl.create_default_context(cafile=str(path))
    found.check_hostname = False
    return found


def test_the_server_answers_on_its_address_and_lets_it_go(context: StationContext, access: Access) -> None:
    with served(context, Api(port=0), access) as server:
        assert server.fingerprint is None
        assert httpx.get(f"{server.url}/api/v1/status", timeout=20).status_code == 200
        with pytest.raises(ApiError, match="cannot be had"):
            ApiServer(replace(context, settings=Station(api=Api(port=server.port))), tuple, access)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/api/v1/status", timeout=5)


def test_a_closed_server_speaks_tls_and_shows_one_certificate(context: StationContext, access: Access) -> None:
    closed = Api(port=0, loopback="closed")
    token = access.create("wall", Role.VIEWER)
    shown = []
    for _ in range(2):
        with served(context, closed, access) as server:
            assert server.url.startswith("https://127.0.0.1:")
            connection, fingerprint = connect_tls("127.0.0.1", server.port, server.fingerprint, 20)
            connection.close()
            shown.append(fingerprint)
            context_of = trusting(context.folder / "link" / "link-certificate.pem")
            with httpx.Client(verify=context_of, timeout=20) as client:
                assert client.get(f"{server.url}/api/v1/status").status_code == 401
                assert client.get(f"{server.url}/api/v1/status", headers=bearer(token)).status_code == 200
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as plain:
                plain.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert not plain.recv(100).startswith(b"HTTP")
    assert shown[0] == shown[1]


def test_a_certificate_of_ones_own_is_shown_and_a_wrong_one_is_explained(
    context: StationContext, access: Access, tmp_path: Path
) -> None:
    from so2cam.link.tls import ensure_certificate

    own = ensure_certificate(tmp_path / "own", "observatory")
    api = Api(port=0, loopback="closed", certificate=str(own.certificate), key=str(own.key))
    with served(context, api, access) as server:
        assert server.fingerprint == own.fingerprint()
        connect_tls("127.0.0.1", server.port, own.fingerprint(), 20)[0].close()
    own.key.write_text("no key", encoding="utf-8")
    with pytest.raises(LinkError, match="cannot be used"):
        ApiServer(replace(context, settings=Station(api=api)), tuple, access)


def test_junk_and_silent_connections_hold_up_nobody(context: StationContext, access: Access) -> None:
    with served(context, Api(port=0, loopback="closed"), access) as server, ExitStack() as opened:
        for number in range(120):
            silent = opened.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            if number % 3 == 1:
                silent.sendall(bytes([number]) * 500)
            if number % 3 == 2:
                silent.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a greeting
        verify = trusting(context.folder / "link" / "link-certificate.pem")
        token = access.create("wall", Role.VIEWER)
        with httpx.Client(verify=verify, timeout=20, headers=bearer(token)) as client:
            assert client.get(f"{server.url}/api/v1/sites").status_code == 200
            assert client.get(f"{server.url}/api/v1/sites", headers={"X-Long": "y" * 300_000}).status_code == 400
            assert client.get(f"{server.url}/api/v1/sites").status_code == 200


def test_the_description_is_what_its_tool_writes() -> None:
    done = subprocess.run([sys.executable, str(TOOL), "--check"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pages_are_put_into_the_application_in_one_place(context: StationContext, access: Access) -> None:
    given: list[Access] = []

    def mount(app: FastAPI, opened: Access) -> None:
        given.append(opened)

        @app.get("/")
        def page() -> dict[str, bool]:
            return {"page": True}

    with served(context, Api(port=0), access, mount=mount) as server:
        assert httpx.get(f"{server.url}/", timeout=20).json() == {"page": True}
        assert httpx.get(f"{server.url}/api/v1/sites", timeout=20).status_code == 200
    assert given == [access]


@pytest.mark.parametrize(
    ("address", "opened"), [("127.0.0.1", True), ("::1", True), ("::", False), ("192.0.2.1", False)]
)
def test_only_a_loopback_address_can_be_open(address: str, opened: bool) -> None:
    assert Api(address=address).is_open is opened
    assert not Api(address=address, loopback="closed").is_open


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ValueError, match="go together"):
        Api(certificate="a.pem")


def test_the_account_is_json(access: Access) -> None:
    access.create("a", Role.VIEWER)
    assert json.loads(access.audit()[0].detail)["name"] == "a"
