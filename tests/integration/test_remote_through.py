"""``so2cam remote --through``: an instrument that calls the station is spoken to through it, with a person's rights."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from so2cam.link.protocol import Role
from so2cam.station.access import Access

Call = Callable[..., tuple[int, str, str]]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def station(bench: Any, benches: ModuleType, say: Call, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """A station with tokens for two people, and an instrument that calls it. The parameter: ``open`` or ``closed``."""
    loopback = getattr(request, "param", "open")
    listen, api = free_port(), free_port()
    bench.write(
        {"lead": [benches.camera()]},
        extra=f'[instrument.link]\ndial = "instrument"\nstation = {{ address = "127.0.0.1", port = {listen} }}\n'
        f'[station]\nlive = false\nlisten = {{ address = "127.0.0.1", port = {listen} }}\n'
        f'api = {{ port = {api}, loopback = "{loopback}" }}\n',
    )
    log = bench.folder / "station.log"
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "so2cam", "station", "run", str(bench.site), "--quiet"],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=dict(os.environ),
        )
    try:
        yield prepare(bench, say, process, listen, api, log)
        assert process.poll() is None, log.read_text(encoding="utf-8")
    finally:
        process.terminate()
        process.wait(60)
    assert process.returncode == 0, log.read_text(encoding="utf-8")
    assert "Traceback" not in log.read_text(encoding="utf-8")


def prepare(
    bench: Any, say: Call, process: "subprocess.Popen[bytes]", listen: int, api: int, log: Path
) -> dict[str, Any]:
    """Pair the instrument with the running station, start it, and make the tokens."""
    wait_until(lambda: process.poll() is not None or (listens(listen) and listens(api)), log)
    code = say("pair", "offer", bench.site, "--station")[1].split("code: ")[1].split()[0]
    status, _, err = say("pair", "join", f"127.0.0.1:{listen}", "--code", code, "--site", bench.site)
    assert status == 0, err
    bench.start()
    bench.wait_stored(1)
    files = {}
    with Access.of_station(bench.folder / "station") as access:
        for role in (Role.VIEWER, Role.OPERATOR):
            files[role.word] = bench.folder / f"{role.word}.token"
            files[role.word].write_text(access.create(role.word, role) + "\n")
    return {"files": files, "log": log, "api": api}


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], bool], log: Path, limit_s: float = 60.0) -> None:
    limit = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < limit, log.read_text(encoding="utf-8")
        threading.Event().wait(0.1)


@pytest.mark.parametrize("station", ["open", "closed"], indirect=True)
def test_an_instrument_that_calls_in_is_spoken_to(station: dict[str, Any], bench: Any, say: Call) -> None:
    files, folder = station["files"], bench.folder / "fetched"

    def remote(word: str, *more: object, role: str = "operator") -> tuple[int, str, str]:
        way = ("--at", "lead", "--through", bench.site, "--token-file", files[role])
        return say("remote", word, *more, *way)

    wait_until(lambda: remote("status", "--json")[0] == 0, station["log"])
    assert json.loads(remote("status", "--json", role="viewer")[1])["node"] == "lead"
    code, out, err = remote("shot", "--kind", "test")
    assert (code, "taken" in out) == (0, True), err
    assert "1 kept" in out
    code, _, err = remote("stop", role="viewer")
    assert code == 2
    assert "needs the role operator" in err
    assert "exposure_s" in remote("set")[1]
    assert remote("set", "--device", "camera-on", "exposure=30ms", "auto=off")[0] == 0
    assert "exposure_s 0.03" in remote("set", role="viewer")[1]
    assert remote("stop")[0] == 0
    assert remote("files", "--kind", "frame", "--limit", "2", "--fetch", folder)[0] == 0
    assert len(list(folder.iterdir())) == 4
    assert "shot: done" in remote("events")[1]
    with Access.of_station(bench.folder / "station") as access:
        told = [(one.name, one.action, one.outcome) for one in access.audit()]
    assert ("operator", "instrument.shot", "done") in told
    assert ("viewer", "instrument.stop", "denied") in told
    assert (
        "does not accept the token"
        in say("remote", "status", "--at", "lead", "--through", bench.site, "--token-file", wrong_token(bench.folder))[
            2
        ]
    )


def test_the_same_key_through_the_station_takes_effect_once(station: dict[str, Any], bench: Any, say: Call) -> None:
    from so2cam.cli.remote_way import Way, reach
    from so2cam.link.messages import Done, Shot
    from so2cam.link.protocol import Confirm, Confirmation, Items, Outcome

    way = Way("lead", None, f"http://127.0.0.1:{station['api']}", station["files"]["operator"], None)
    other = Way("lead", None, f"http://127.0.0.1:{station['api']}", station["files"]["viewer"], None)
    with reach(way) as remote, reach(other) as viewer:
        wait_until(lambda: remote.client.call(Items(limit=1)).answer.code == "ok", station["log"])
        results = [remote.client.command(Shot(), key="key-00001") for _ in range(3)]
        assert isinstance(results[0], Done)
        assert results[1:] == results[:1] * 2
        assert remote.client.ask(Outcome(key="key-00001")) == results[0]
        assert viewer.client.call(Outcome(key="key-00001")).answer.code == "unknown", "a key is one's own"
        told = Confirm(confirmations=(Confirmation(sequence=1, digest="0" * 64),))
        assert remote.client.call(told).answer.code == "role", "only the station says what it keeps"
    shots = [bench.sidecar(item)["so2cam"] for item in bench.items(kind="frame")]
    assert len([one for one in shots if "command" in one]) == 1


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--through", "http://192.168.5.1:8470", "--at", "lead"), "without TLS"),
        (("--through", "https://", "--at", "lead"), "no address of a station"),
        (("--through", "https://127.0.0.1:8470"), "--at NAME"),
        (("--through", "https://127.0.0.1:8470", "--at", "lead"), "asks for a token"),
        (("--through", "nowhere.toml", "--at", "lead"), "nowhere.toml"),
    ],
)
def test_messages_say_what_is_wrong(say: Call, arguments: tuple[str, ...], part: str) -> None:
    code, _, err = say("remote", "status", *arguments)
    assert code == 2
    assert part in err


def wrong_token(folder: Path) -> Path:
    path = folder / "wrong.token"
    path.write_text("so2_00000000_" + "a" * 43)
    return path
