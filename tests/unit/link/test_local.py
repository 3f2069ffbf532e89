"""The Unix socket: answers, refusals, and clients that behave badly."""

import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from so2cam.core.errors import So2camError
from so2cam.link import local
from so2cam.link.local import MAXIMUM_CONNECTIONS, LocalClient, LocalServer, NotRunningError
from so2cam.link.messages import (
    MAXIMUM_REQUEST_BYTES,
    Command,
    Done,
    Refused,
    RestartDevice,
    Result,
    Shutdown,
    Status,
    Stop,
    parse_reply,
)


def handle(command: Command) -> Result:
    if isinstance(command, Stop):
        raise So2camError("not now", key="stop", remedy="wait")
    if isinstance(command, RestartDevice):
        raise ZeroDivisionError("a fault of the program")
    return Done(text=f"did {command.type}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    made = LocalServer(tmp_path / "run" / "a.sock", "lead", handle)
    made.start()
    yield made
    made.close()


def raw(server: LocalServer) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(10)
    line.connect(os.fspath(server.path))
    return line


def test_a_client_gets_results_and_refusals(server: LocalServer) -> None:
    with LocalClient(server.path, node="lead") as client:
        for _ in range(3):
            assert client.ask(Status()) == Done(text="did status")
        refusal = client.ask(Stop())
        assert refusal == Refused(text="not now", key="stop", remedy="wait")
    with LocalClient(server.path, node="follower") as client:
        answer = client.ask(Status())
    assert isinstance(answer, Refused)
    assert "lead" in answer.text


def test_the_socket_is_for_the_user_and_the_group_only(server: LocalServer) -> None:
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o660


def test_no_message_and_too_long_a_message_are_refused_and_the_rest_goes_on(server: LocalServer) -> None:
    with raw(server) as line:
        line.sendall(b"hello\n")
        assert isinstance(parse_reply(line.recv(65536)).result, Refused)
        line.sendall(b'{"id":5,"command":{"type":"status"}}\n')
        assert parse_reply(line.recv(65536)).id == 5
    with raw(server) as line, pytest.raises(OSError):  # noqa: PT012 - the server may close before all is sent
        line.sendall(b"x" * (MAXIMUM_REQUEST_BYTES + 70_000))
        reply = parse_reply(line.recv(65536))
        assert isinstance(reply.result, Refused)
        assert "longer" in reply.result.text
        assert line.recv(10) == b""
        raise ConnectionResetError
    with LocalClient(server.path) as client:
        assert client.ask(Status()) == Done(text="did status")


def test_several_requests_in_one_go_are_answered_in_order(server: LocalServer) -> None:
    with raw(server) as line:
        line.sendall(b"".join(b'{"id":%d,"command":{"type":"status"}}\n' % number for number in range(50)))
        pending = b""
        while pending.count(b"\n") < 50:
            pending += line.recv(65536)
    assert [parse_reply(one).id for one in pending.splitlines()] == list(range(50))


def test_silent_and_slow_clients_take_nothing_from_others(server: LocalServer) -> None:
    silent = [raw(server) for _ in range(MAXIMUM_CONNECTIONS - 1)]
    try:
        silent[0].sendall(b'{"id":1,"comm')
        with LocalClient(server.path) as client:
            assert client.ask(Status()) == Done(text="did status")
            with raw(server) as refused:
                answer = parse_reply(refused.recv(65536)).result
            assert isinstance(answer, Refused)
            assert "too many" in answer.text
    finally:
        for line in silent:
            line.close()
    limit = time.monotonic() + 10
    while True:  # their places are free again
        with LocalClient(server.path) as client:
            try:
                if isinstance(client.ask(Status()), Done):
                    return
            except So2camError:
                pass
        assert time.monotonic() < limit


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_in_the_program_ends_one_connection_only(server: LocalServer) -> None:
    with LocalClient(server.path) as client, pytest.raises(NotRunningError):
        client.ask(RestartDevice(device="a"))
    with LocalClient(server.path) as client:
        assert client.ask(Status()) == Done(text="did status")


def test_a_second_agent_on_the_socket_is_refused_and_a_dead_ones_socket_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    first = LocalServer(path, "lead", handle)
    first.start()
    with pytest.raises(So2camError, match="already"):
        LocalServer(path, "lead", handle).start()
    first.close()
    first.close()
    assert not path.exists()
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(os.fspath(path))
    dead.close()
    second = LocalServer(path, "lead", handle)
    second.start()
    with LocalClient(path) as client:
        assert client.ask(Status()) == Done(text="did status")
    second.close()


def test_nobody_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match="not running"):
        LocalClient(tmp_path / "none.sock")
    with pytest.raises(So2camError, match="100 bytes"):
        LocalClient(tmp_path / ("x" * 200))
    with pytest.raises(So2camError, match="100 bytes"):
        LocalServer(tmp_path / ("x" * 200), "lead", handle).start()


def test_an_agent_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    released = threading.Event()

    def slow(command: Command) -> Result:
        released.wait(20)
        return Done(text="late")

    server = LocalServer(tmp_path / "a.sock", "lead", slow)
    server.start()
    try:
        with LocalClient(server.path, timeout_s=0.3) as client, pytest.raises(So2camError, match="did not answer"):
            client.ask(Shutdown())
    finally:
        released.set()
        server.close()


def test_an_idle_connection_is_closed(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "IDLE_S", 0.3)
    with raw(server) as line:
        assert line.recv(10) == b""
