"""Who may say what: every message that there is, with every kind of credential."""

import contextlib
import http.client
import socket
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from so2cam.link import aiming, messages, protocol
from so2cam.link.app import LinkApp
from so2cam.link.channel import Peer
from so2cam.link.errors import CertificateError, LinkRefusedError
from so2cam.link.gate import OPEN_REQUESTS
from so2cam.link.limits import Limits
from so2cam.link.messages import Refused
from so2cam.link.protocol import Call, CommandType, Question, Role, changes, needs_receiver, required_role
from so2cam.link.station import StationLinks
from so2cam.link.tls import ensure_certificate

EXAMPLES: dict[str, list[BaseModel]] = {
    "status": [messages.Status()],
    "start": [messages.Start()],
    "stop": [messages.Stop()],
    "shot": [messages.Shot()],
    "set": [messages.Set(changes=(messages.DeviceChange(),))],
    "darks": [messages.Darks()],
    "cells": [messages.Cells(action="begin")],
    "schedule": [messages.Schedule(), messages.Schedule(action="pause"), messages.Schedule(action="resume")],
    "set-schedule": [messages.SetSchedule()],
    "restart-device": [messages.RestartDevice(device="camera-on")],
    "mirror-disk": [messages.MirrorDisk(action="release"), messages.MirrorDisk(action="take-back")],
    "free-space": [messages.FreeSpace()],
    "restart": [messages.Restart(), messages.Restart(computer=True)],
    "shutdown": [messages.Shutdown()],
    "hello": [protocol.Hello()],
    "outcome": [protocol.Outcome(key="12345678")],
    "events": [protocol.Events()],
    "settings": [protocol.Settings()],
    "schedule-settings": [protocol.ScheduleSettings()],
    "logs": [protocol.Logs()],
    "preview": [protocol.Preview(device="camera-on"), protocol.Preview(device="camera-on", form="frame")],
    "sight": [aiming.Sight()],
    "examine": [aiming.Examine()],
    "items": [protocol.Items(), protocol.Items(waiting=True)],
    "read": [protocol.Read(sequence=1)],
    "confirm": [protocol.Confirm(confirmations=(protocol.Confirmation(sequence=1, digest="0" * 64),))],
}
ALL = [one for some in EXAMPLES.values() for one in some]
VIEWERS = {
    "status",
    "hello",
    "outcome",
    "events",
    "settings",
    "schedule-settings",
    "logs",
    "preview",
    "sight",
    "examine",
    "items",
    "read",
    "confirm",
}


def test_every_message_is_in_the_matrix() -> None:
    types = {one.model_fields["type"].default for one in (*get_args(Question), *get_args(CommandType))}
    assert types == set(EXAMPLES)


@pytest.mark.parametrize("said", ALL, ids=lambda one: one.type)
def test_rights_are_as_they_should_be(said: Any) -> None:
    role = required_role(said)
    if said.type in ("shutdown", "free-space") or (said.type == "restart" and said.computer):
        assert role is Role.ADMIN
        assert changes(said)
    elif said.type in VIEWERS or (said.type == "schedule" and said.action == "show"):
        assert role is Role.VIEWER
        assert not changes(said)
    else:
        assert role is Role.OPERATOR
        assert changes(said)


@pytest.fixture
def tokens(node: Any) -> dict[str, str]:
    wrong = node.token(Role.ADMIN)
    revoked = node.token(Role.ADMIN)
    node.tokens.revoke(revoked.split("_")[1])
    return {
        "none": "",
        "wrong": wrong[:-2] + ("AA" if wrong[-2:] != "AA" else "BB"),
        "junk": "so2_x",
        "expired": node.token(Role.ADMIN, valid_s=-1.0),
        "revoked": revoked,
    }


def test_without_a_valid_token_no_connection_comes_about(node: Any, tokens: dict[str, str]) -> None:
    for name, token in tokens.items():
        client = node.client(token or "x", patience_s=60)
        with client, pytest.raises(LinkRefusedError, match="does not accept the token"):
            client.hello()
        assert client.connections == 0, name
    assert node.effects.lines() == []


def test_without_a_valid_token_no_address_answers(node: Any, tokens: dict[str, str]) -> None:
    """The addresses are those that the application has, so that a new one is among them."""
    app = LinkApp(SimpleNamespace(limits=Limits()), None, None, "")  # type: ignore[arg-type]
    app.close()
    values = {"sequence": "1", "part": "main", "device": "camera-on", "key": "12345678"}
    asked = [("GET", "/openapi.json"), ("GET", "/x")]
    for path, methods in app.api.openapi()["paths"].items():
        asked += [(method.upper(), path.format(**values)) for method in methods]
    asked = [one for one in asked if one not in OPEN_REQUESTS]
    assert len(asked) >= 12
    for token in tokens.values():
        for method, path in asked:
            status, body = request(node, method, path, token, b'{"type":"shutdown"}')
            assert status == 401, (path, body)
    assert node.effects.lines() == []


def test_without_a_valid_token_no_instrument_calls_in(tmp_path: Path) -> None:
    with StationLinks(tmp_path / "station", "test") as station:
        listener = station.listen("127.0.0.1", 0)
        good, revoked = (station.tokens.create(name, Role.VIEWER) for name in ("lead", "gone"))
        station.tokens.revoke(revoked.split("_")[1])
        expired = station.tokens.create("old", Role.VIEWER, valid_s=-1.0)
        fingerprint = ensure_certificate(tmp_path / "station", "station").fingerprint()
        for token in ("x", "so2_x", good[:-2] + ("AA" if good[-2:] != "AA" else "BB"), expired, revoked):
            with pytest.raises(LinkRefusedError, match="does not accept the token"):
                Peer("127.0.0.1", listener.port, fingerprint, token).dial("/v1/node", 30.0)
        assert listener.nodes() == []
        Peer("127.0.0.1", listener.port, fingerprint, good).dial("/v1/node", 30.0).close()


@pytest.mark.parametrize("role", list(Role))
def test_every_message_with_every_role(node: Any, linked: Any, role: Role) -> None:
    item = linked.put_frames(node.spool, 1)[0]
    for receiver in (None, "station"):
        with node.client(node.token(role, receiver)) as client:
            for said in ALL:
                before = len(node.effects.lines())
                spoken = client.call(said)
                weak = role < required_role(said) or (needs_receiver(said) and receiver is None)
                assert (spoken.answer.code == "role") == weak, said
                if weak:
                    assert isinstance(spoken.answer.result, Refused)
                    assert len(node.effects.lines()) == before
    assert node.spool.undelivered()[0].sequence == item.sequence


def test_a_token_that_is_revoked_ends_the_connection(node: Any) -> None:
    token = node.token()
    with node.client(token, patience_s=60) as client:
        assert client.hello().role == "operator"
        node.tokens.revoke(token.split("_")[1])
        for _ in range(2):
            with pytest.raises(LinkRefusedError):
                client.ask(messages.Status())


def test_another_certificate_is_not_spoken_to(node: Any) -> None:
    peer = node.peer()
    fake = type(peer)(peer.host, peer.port, "0" * 64, peer.token)
    with pytest.raises(CertificateError, match="another certificate"):
        fake.dial("/v1/link", 30.0)


def test_a_command_needs_a_key(node: Any) -> None:
    with node.client() as client:
        channel = client._channel_now(1e12)
        client._pending.clear()
        answer = client.call(messages.Shot()).answer
        assert answer.code == "ok"
        channel.send(Call(id=99, say=messages.Shot()).model_dump_json())
    assert len(node.effects.lines()) == 1


def test_denied_commands_are_in_the_ledger(node: Any) -> None:
    from so2cam.link.ledger import Ledger

    with node.client(node.token(Role.VIEWER)) as client:
        client.call(messages.Stop())
    entry = Ledger(node.database).entries()[0]
    assert (entry.state, entry.name) == ("denied", "tester")
    assert "operator" in (entry.result or "")


def test_who_asks_too_much_waits(make_node: Any, linked: Any) -> None:
    node = make_node(limits=linked.Limits(commands_per_s=0.001, commands_at_once=3))
    with node.client() as client:
        client.hello()  # it is connected
        codes = [client.call(messages.Stop(), patience_s=2.0).answer.code for _ in range(5)]
        assert codes == ["ok", "ok", "ok", "rate", "rate"]
        assert client.call(messages.Status()).answer.code == "ok"
    assert len(node.effects.lines()) == 3


def test_messages_are_bounded(node: Any) -> None:
    token = node.token()
    assert request(node, "POST", "/v1/commands", token, b"x" * 70_000)[0] == 413
    assert request(node, "POST", "/v1/commands", token, b"x")[0] == 422
    with connect(node) as raw:  # a head without end is cut off
        raw.settimeout(20)
        answer = b""
        with contextlib.suppress(OSError):
            raw.sendall(b"GET /v1/hello HTTP/1.1\r\n" + b"A: " + b"x" * 100_000 + b"\r\n\r\n")
            answer = raw.recv(65_536)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


def test_connections_are_bounded_and_silent_ones_end(make_node: Any, linked: Any) -> None:
    node = make_node(limits=linked.Limits(connections=20, first_request_s=1.0))
    held = [connect(node) for _ in range(40)]
    for one in held:
        one.settimeout(10)
    assert all(ended(one) for one in held)
    with node.client() as client:
        assert client.hello().node == "lead"


def request(node: Any, method: str, path: str, token: str, body: bytes | None = None) -> tuple[int, bytes]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", node.node.port, timeout=20, context=context)
    try:
        more = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, path, body if method == "POST" else None, more)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def connect(node: Any) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", node.node.port), timeout=10))


def ended(one: ssl.SSLSocket) -> bool:
    try:
        return one.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True
    finally:
        one.close()
