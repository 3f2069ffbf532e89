"""The link as a person uses it: an instrument of simulated devices, paired, asked, commanded; a lead and a follower."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from so2cam.link.messages import Done, RestartDevice, Shot
from so2cam.link.pairings import Pairings
from so2cam.link.protocol import Items
from so2cam.link.station import StationLinks
from so2cam.store.spool import Spool

Call = Callable[..., tuple[int, str, str]]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def code_of(say: Call, *arguments: object) -> str:
    code, out, _ = say("pair", "offer", *arguments)
    assert code == 0, out
    return out.split("code: ")[1].split()[0]


def wait_for_port(port: int) -> None:
    limit = time.monotonic() + 40
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < limit
            threading.Event().wait(0.1)
        else:
            return


def test_a_session_over_the_network(bench: Any, benches: ModuleType, say: Call) -> None:
    port = free_port()
    bench.write({"lead": [benches.camera(), benches.spectrometer()]}, extra=f"[instrument.link]\nport = {port}\n")
    bench.start()
    bench.wait_stored(2)
    wait_for_port(port)
    code = code_of(say, bench.site, "--role", "operator", "--receiver", "station")
    status, out, _ = say("pair", "join", f"127.0.0.1:{port}", "--code", code)
    assert status == 0
    assert "paired with lead (bench): role operator, receiver station" in out
    assert "used, or too old" in say("pair", "join", f"127.0.0.1:{port}", "--code", code)[2]
    assert "operator" in say("pair", "list")[1]
    assert "token and certificate stay" in say("pair", "address", "lead", f"localhost:{port}")[1]
    assert f"localhost:{port}" in say("pair", "list")[1]
    assert "nothing was changed" in say("pair", "address", "lead", f"localhost:{free_port()}")[2]

    assert json.loads(say("remote", "status", "--json")[1])["node"] == "lead"
    assert "camera-on" in say("remote", "status")[1]
    for kind, devices in (
        ("test", ()),
        ("dark", ("--device", "spectrometer")),
        ("plume", ("--device", "spectrometer")),
    ):
        status, out, err = say("remote", "shot", "--kind", kind, *devices)
        assert (status, "taken" in out) == (0, True), err
    assert say("remote", "set", "--device", "camera-on", "exposure=30ms", "auto=off")[0] == 0
    assert "exposure_s 0.03" in say("remote", "set")[1]
    assert "captures" in say("remote", "schedule")[1]
    assert "remote schedule pause" not in say("remote", "schedule", "pause", "--for", "60")[2]
    assert say("remote", "stop")[0] == 0
    status, out, _ = say("remote", "files", "--kind", "frame", "--limit", "3", "--json")
    assert len(out.splitlines()) == 3
    folder = bench.folder / "fetched"
    assert say("remote", "files", "--kind", "frame", "--limit", "3", "--fetch", folder)[0] == 0
    assert len(list(folder.iterdir())) == 6
    assert say("remote", "files", "--kind", "frame", "--limit", "3", "--fetch", folder)[0] == 0
    assert "shot: done" in say("remote", "events")[1]
    assert "kind" in say("token", "audit", bench.site)[1]
    listed = json.loads(say("token", "list", bench.site, "--json")[1])
    assert (listed["role"], listed["revoked_s"]) == ("operator", None)

    with Pairings(bench.folder / "pairings.json").find("lead").peer.dial("/v1/link", 10.0):
        pass
    assert "is revoked" in say("token", "revoke", bench.site, listed["id"])[1]
    status, _, err = say("remote", "stop")
    assert status == 2
    assert "does not accept the token" in err
    token = say("token", "create", bench.site, "--name", "x", "--days", "1")[1].split()[0]
    assert token.startswith("so2_")
    assert token not in say("token", "list", bench.site)[1]
    assert "is forgotten" in say("pair", "forget", "lead")[1]
    assert bench.health().devices[0].restarts == 0


def test_messages_say_what_is_wrong(bench: Any, benches: ModuleType, say: Call) -> None:
    bench.write({"lead": [benches.camera()], "follower": [benches.camera("camera-off", "off")]})
    for arguments, part in (
        (("remote", "status"), "pair first"),
        (("remote", "status", "--at", "lead"), "pair first"),
        (("pair", "join", "127.0.0.1:x", "--code", "a"), "HOST:PORT"),
        (("pair", "join", f"127.0.0.1:{free_port()}", "--code", "a"), "cannot be reached"),
        (("pair", "join", "127.0.0.1", "--code", "a", "--node", "lead"), "--site"),
        (("pair", "offer", bench.site), "--node: lead, follower"),
        (("pair", "offer", bench.site, "--node", "base"), "nodes are lead"),
        (("token", "revoke", bench.site, "abc", "--node", "lead"), "no such token"),
        (("remote", "shot", "--kind", "cell"), "--ppm"),
        (("pair", "forget", "lead"), "pair first"),
    ):
        code, out, err = say(*arguments)
        assert code == 2, (arguments, out)
        assert part in err, (arguments, err)


def test_the_lead_gathers_what_its_follower_keeps(bench: Any, benches: ModuleType, say: Call) -> None:
    ports = free_port(), free_port()
    bench.write({"lead": [benches.camera()], "follower": [benches.camera("camera-off", "off")]})
    text = bench.site.read_text()
    for name, port, more in (("lead", ports[0], "gather = { poll_s = 0.1 }"), ("follower", ports[1], "")):
        head = f'name = "{name}"\n'
        text = text.replace(head, f"{head}link.port = {port}\n" + (f"link.{more}\n" if more else ""))
    bench.site.write_text(text)
    bench.start("all")
    bench.wait_stored(2, "follower")
    wait_for_port(ports[1])
    code = code_of(say, bench.site, "--node", "follower", "--receiver", "station")
    status, _, err = say(
        "pair", "join", f"127.0.0.1:{ports[1]}", "--code", code, "--site", bench.site, "--node", "lead"
    )
    assert status == 0, err
    bench.wait_stored(4, "follower")
    limit = time.monotonic() + 40
    while len([one for one in bench.items("lead") if one.origin is not None]) < 4:
        assert time.monotonic() < limit, bench.log("all")
        threading.Event().wait(0.2)
    gathered = [one for one in bench.items("lead") if one.origin is not None and one.kind == "frame"]
    assert {one.device for one in gathered} == {"camera-off"}
    origins = [one.origin for one in gathered]
    assert len(set(origins)) == len(origins)
    with Spool(bench.root("follower")) as spool:
        while not spool.backlog()[0].items < len(spool.find()):  # confirmed after the next look at what is new
            assert time.monotonic() < limit, bench.log("all")
            threading.Event().wait(0.2)
    assert bench.broken("lead") == []


def test_junk_and_silence_cost_no_frame(bench: Any, benches: ModuleType, say: Call, tmp_path: Path) -> None:
    port = free_port()
    bench.write({"lead": [benches.camera()]}, extra=f"[instrument.link]\nport = {port}\n")
    bench.start()
    bench.wait_stored(1)
    wait_for_port(port)
    held = []
    for number in range(500 if os.environ.get("SO2CAM_FAULT") == "full" else 60):
        one = socket.create_connection(("127.0.0.1", port), 10)
        if number % 2:
            one.sendall(bytes([number % 256]) * 500)
        held.append(one)
    before = bench.health().devices[0]
    after = bench.wait_stored(before.stored + 6).devices[0]
    assert (after.lost, after.restarts, after.rejected) == (0, 0, 0)
    for one in held:
        one.close()
    code = code_of(say, bench.site)
    assert say("pair", "join", f"127.0.0.1:{port}", "--code", code)[0] == 0


def test_a_camera_that_is_gone_is_told_over_the_link(bench: Any, benches: ModuleType, say: Call) -> None:
    port = free_port()
    control = bench.folder / "control"
    bench.write(
        {"lead": [benches.camera(driver="faulty", options=benches.faulty("simulated", control))]},
        extra=f"[instrument.link]\nport = {port}\n",
    )
    bench.start()
    bench.wait_stored(1)
    wait_for_port(port)
    assert say("pair", "join", f"127.0.0.1:{port}", "--code", code_of(say, bench.site))[0] == 0
    control.write_text('{"kind": "unplugged", "seconds": null, "until": null}')
    limit = time.monotonic() + 40
    while json.loads(say("remote", "status", "--json")[1])["level"] == "ok":
        assert time.monotonic() < limit
        threading.Event().wait(0.2)
    assert say("remote", "shot")[0] in (0, 2)
    assert say("remote", "stop")[0] in (0, 2)
    assert isinstance(bench.ask(RestartDevice(device="camera-on")), Done)
    assert say("remote", "status", "--json")[0] in (0, 1)


def test_a_port_that_is_taken_stops_no_capture(bench: Any, benches: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bench.write({"lead": [benches.camera()]}, extra=f"[instrument.link]\nport = {port}\n")
        bench.start()
        bench.wait_stored(2)
        assert "cannot listen" in bench.log()
        assert isinstance(bench.ask(Shot()), Done)
    wait_for_port(port)


def test_an_instrument_that_calls_the_station(bench: Any, benches: ModuleType, say: Call) -> None:
    port = free_port()
    link = f'[instrument.link]\ndial = "instrument"\nstation = {{ address = "127.0.0.1", port = {port} }}\n[station]\n'
    bench.write({"lead": [benches.camera()]}, extra=link)
    with StationLinks(bench.folder / "station" / "link", "bench") as station:
        station.listen("127.0.0.1", port)
        bench.start()
        bench.wait_stored(2)
        code = code_of(say, bench.site, "--station")
        status, out, err = say("pair", "join", f"127.0.0.1:{port}", "--code", code, "--site", bench.site)
        assert status == 0, err
        assert "paired with station" in out
        with station.client("lead", calls_in=True, patience_s=60.0) as client:
            assert client.hello().receiver == "station"
            assert isinstance(client.command(Shot()), Done)
            assert client.ask(Items(waiting=True)).waiting > 0
        assert json.loads(say("token", "list", bench.site, "--station", "--json")[1])["name"] == "lead"
        assert "valid" in say("token", "list", bench.site, "--station")[1]
