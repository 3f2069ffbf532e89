"""The plain addresses: what curl and a script get, and what nobody gets."""

import http.client
import json
import random
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from so2cam.link.protocol import Role

TOOL = Path(__file__).resolve().parents[3] / "tools" / "document_protocol.py"


class Web:
    """One connection to a node."""

    def __init__(self, node: Any, token: str) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.connection = http.client.HTTPSConnection("127.0.0.1", node.node.port, timeout=30, context=context)
        self.token = token

    def ask(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> tuple[int, bytes, Any]:
        more = {"Authorization": f"Bearer {self.token}"} | {key.replace("_", "-"): one for key, one in headers.items()}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            more.setdefault("Content-Type", "application/json")
        self.connection.request(method or ("GET" if data is None else "POST"), path, data, more)
        answer = self.connection.getresponse()
        return answer.status, answer.read(), answer.headers


@pytest.fixture
def web(node: Any) -> Any:
    made = Web(node, node.token(Role.OPERATOR))
    yield made
    made.connection.close()


def test_health_settings_schedule_events(web: Web) -> None:
    for path, kind in (("health", "health"), ("settings", "settings"), ("schedule", "schedule"), ("events", "events")):
        status, body, _ = web.ask(f"/v1/{path}")
        assert (status, json.loads(body)["type"]) == (200, kind)
    assert json.loads(web.ask("/v1/hello")[1])["role"] == "operator"


def test_files_by_range(web: Web, node: Any, linked: Any) -> None:
    item = linked.put_frames(node.spool, 1, size=70_000)[0]
    whole = node.spool.read(item)
    status, body, headers = web.ask("/v1/items/1/main", Range="bytes=60000-")
    assert (status, body) == (206, whole[60_000:])
    assert headers["content-range"] == "bytes 60000-69999/70000"
    assert web.ask("/v1/items/1/main")[:2] == (200, whole)
    assert web.ask("/v1/items/1/main", Range="bytes=5-9")[1] == whole[5:10]
    assert web.ask("/v1/items/1/main", Range="bytes=5-1")[0] == 416
    assert web.ask("/v1/items/1/main", Range="lines=1-2")[0] == 416
    assert web.ask("/v1/items/9/main")[0] == 404
    listed = json.loads(web.ask("/v1/items?waiting=true")[1])
    assert [one["sha256"] for one in listed["items"]] == [item.sha256]
    confirmed = {"type": "confirm", "confirmations": [{"sequence": 1, "digest": item.digest}]}
    assert json.loads(web.ask("/v1/items/confirm", confirmed)[1])["new"] == 1
    assert node.spool.undelivered() == []


def test_a_command_takes_effect_once_for_its_key(web: Web, node: Any) -> None:
    for _ in range(3):
        status, body, _ = web.ask("/v1/commands", {"type": "shot"}, Idempotency_Key="key-0001")
        assert (status, json.loads(body)["type"]) == (200, "done")
    assert len(node.effects.lines()) == 1
    assert web.ask("/v1/commands/key-0001")[0] == 200
    assert web.ask("/v1/commands/key-0002")[0] == 404
    assert web.ask("/v1/commands", {"type": "shutdown"}, Idempotency_Key="key-0003")[0] == 403
    assert web.ask("/v1/commands", {"type": "shot"})[0] == 422
    assert web.ask("/v1/commands", {"type": "shot", "more": 1}, Idempotency_Key="key-0004")[0] == 422
    assert web.ask("/v1/commands", b"{}", Idempotency_Key="key-0005", Content_Type="text/plain")[0] == 422
    assert web.ask("/v1/commands", {"type": "stop", "devices": ["a"]}, Idempotency_Key="key-0006")[0] == 200
    assert len(node.effects.lines()) == 2


def test_the_description_names_every_address(web: Web) -> None:
    described = json.loads(web.ask("/openapi.json")[1])
    assert {"/v1/commands", "/v1/items/{sequence}/{part}", "/v1/preview/{device}"} <= set(described["paths"])
    assert described["components"]["securitySchemes"]


def test_junk_never_fails_unexpectedly(web: Web) -> None:
    """Addresses of the description, with values that are wrong in many ways: never a 5xx."""
    rng = random.Random(4)
    described = json.loads(web.ask("/openapi.json")[1])
    values = ["", "0", "-1", "1e99", "NaN", "null", "%00", "a" * 300, "../../etc/passwd", "%2e%2e%2f", "9" * 40, "é%ff"]
    bodies = [b"", b"{", b"null", b"[]", b'{"type":"shot"}', b'{"type":"x"}', b"\xff", b'{"type":"set","changes":[1]}',
              b'{"type":"shot","exposure_s":1e999}', b'{"type":"cells","action":"take"}', b"[" * 20_000]  # fmt: skip
    for path, methods in described["paths"].items():
        for method, about in methods.items():
            for _ in range(12):
                address = path
                for parameter in about.get("parameters", ()):
                    value = rng.choice(values)
                    value = "".join(
                        one if one.isascii() and one not in " \0" else f"%{ord(one) % 256:02x}" for one in value
                    )
                    if parameter["in"] == "path":
                        address = address.replace("{" + parameter["name"] + "}", value or "-")
                    elif parameter["in"] == "query" and rng.random() < 0.7:
                        address += ("&" if "?" in address else "?") + f"{parameter['name']}={value}"
                body = rng.choice(bodies) if method == "post" else None
                status, answer, _ = web.ask(
                    address, body, method.upper(), Idempotency_Key=rng.choice(["key-00001", "x"])
                )
                assert status < 500, (address, body, answer)


def test_no_question_of_the_description_makes_it_stumble(node: Any, linked: Any, tmp_path: Path) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    linked.put_frames(node.spool, 2)
    with linked.Spool(tmp_path / "spool", node="lead") as spool, linked.app(node, spool) as app:
        headers = {"Authorization": f"Bearer {node.token(Role.ADMIN)}"}
        schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers)
        seen = 0
        for result in schema.get_all_operations():
            operation = result.ok()

            @given(case=operation.as_strategy())
            @settings(
                max_examples=15,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def ask(case: Any) -> None:
                if case.query:
                    case.query.pop("wait_s", None)  # it waits as it should
                answer = case.call(headers=headers)
                assert answer.status_code < 500, (case, answer.text)
                assert answer.status_code != 401

            ask()
            seen += 1
        assert seen == 15


def test_the_page_of_the_protocol_is_what_its_tool_writes() -> None:
    done = subprocess.run([sys.executable, str(TOOL), "--check"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_server_ends_while_a_client_says_goodbye(node: Any, linked: Any) -> None:
    """A thread that failed there would be reported by pytest, and leave connections open."""
    head = (
        "GET /v1/link HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer {node.token()}\r\n\r\n"
    )
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    raw = context.wrap_socket(socket.create_connection(("127.0.0.1", node.node.port), timeout=20))
    with raw:
        raw.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += raw.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101")
        raw.sendall(b"\x88\x82\x00\x00\x00\x00\x03\xe8")  # a close frame, 1000
        assert raw.recv(4)[0] == 0x88, "it has been answered, and the connection is on its way down"
        server = node.thread
        node.stop.set()
        server.join(20)
        assert not server.is_alive()
    again = linked.Linked(node.folder.parent / "again", port=node.node.port or 0).start()
    again.end()
