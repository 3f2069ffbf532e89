"""The commands to an instrument, as people type them."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from so2cam.cli.main import run

VILLARRICA = Path(__file__).resolve().parents[2] / "examples" / "villarrica" / "site.toml"
POWER = '[[instrument.nodes.devices]]\ntype = "power"\nname = "power"\ndriver = "simulated"\n'


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run(["instrument", *map(str, arguments)])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    return code, shown.out, shown.err


@pytest.mark.parametrize(
    "name",
    [
        "run",
        "status",
        "start",
        "stop",
        "shot",
        "set",
        "darks",
        "cells",
        "schedule",
        "restart-device",
        "disk",
        "free-space",
        "restart",
        "shutdown",
    ],
)
def test_every_command_explains_itself_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, name, "--help")
    assert code == 0
    assert "Examples:" in out
    assert "Exit codes:" in out
    assert f"so2cam instrument {name}" in out


def test_what_cannot_be_is_one_clear_message(
    bench: Any, benches: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.write({"lead": [benches.camera()]})
    for arguments, words in (
        (("run", bench.site, "--node", "base"), "nodes are lead"),
        (("run", VILLARRICA, "--node", "lead"), "[[instrument.nodes]]"),
        (("run", VILLARRICA, "--node", "all"), "[[instrument.nodes]]"),
        (("run", bench.folder / "none.toml", "--node", "lead"), "does not exist"),
        (("status", bench.site), "so2cam instrument run"),
        (("status", bench.site, "--node", "lead"), "so2cam instrument run"),
        (("status", bench.site, "--node", "base"), "nodes are lead"),
        (("shot", bench.site, "--device", "camera-x"), "devices are camera-on"),
        (("shot", bench.site, "--kind", "cell"), "--ppm"),
        (("cells", bench.site, "take"), "take 1257"),
        (("set", bench.site), "KEY=VALUE"),
        (("set", bench.site, "exposure=fast"), "must be a number"),
        (("set", bench.site, "colour=red"), "exposure"),
        (("schedule", bench.site, "resume", "--for", "60"), "--for"),
    ):
        code, _, err = call(capsys, *arguments)
        assert code == 2, (arguments, err)
        assert words in err, (arguments, err)


@pytest.mark.timeout(180)
def test_a_session_with_an_instrument(bench: Any, benches: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    bench.write({"lead": [benches.camera(), POWER], "follower": [benches.camera("camera-off", "off")]})
    process = bench.start("all")
    for node in ("lead", "follower"):
        bench.wait_stored(2, node)

    code, out, _ = call(capsys, "status", bench.site)
    assert code == 0
    for words in ("lead", "follower", "camera-on", "camera-off", "capturing", "spool", "clock", "input voltage"):
        assert words in out, out
    code, out, _ = call(capsys, "status", bench.site, "--json")
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["node"] for record in records] == ["lead", "follower"]
    assert records[0]["devices"][0]["state"] == "capturing"

    code, out, _ = call(capsys, "set", bench.site, "--device", "camera-on", "auto=off", "exposure=30ms")
    assert code == 0
    assert "exposure_s 0.03" in out
    code, _, err = call(capsys, "set", bench.site, "--device", "camera-on", "exposure=30")
    assert code == 2
    assert "0.0001 to 0.15" in err
    code, out, _ = call(capsys, "shot", bench.site)
    assert code == 0
    assert out.count("1 kept") == 2
    code, out, _ = call(capsys, "cells", bench.site, "begin")
    assert code == 0
    code, out, _ = call(capsys, "cells", bench.site, "take", "304", "--count", "2")
    assert out.count("2 kept") == 2
    code, _, err = call(capsys, "stop", bench.site)
    assert code == 2
    assert "--force" in err or "force" in err
    assert call(capsys, "cells", bench.site, "end")[0] == 0
    code, out, _ = call(capsys, "darks", bench.site, "--exposure", "0.02", "--repeats", "1", "--wait")
    assert code == 0
    assert "over" in out
    assert call(capsys, "stop", bench.site)[0] == 0
    bench.wait_for(lambda record: record.devices[0].state == "idle")
    code, out, _ = call(capsys, "schedule", bench.site, "pause", "--for", "60")
    assert "paused until" in out
    assert "paused" in call(capsys, "schedule", bench.site)[1]
    assert call(capsys, "schedule", bench.site, "resume")[0] == 0
    bench.wait_for(lambda record: record.devices[0].state == "capturing")
    restarts = bench.health().devices[0].restarts
    assert call(capsys, "restart-device", bench.site, "camera-on")[0] == 0
    record = bench.wait_for(
        lambda record: record.devices[0].restarts == restarts + 1 and record.devices[0].state == "capturing"
    )
    assert record.devices[1].restarts == 0
    assert call(capsys, "set", bench.site, "--reset")[0] == 0

    code, _, err = call(capsys, "disk", bench.site, "release", "--node", "lead")
    assert (code, "no external disk" in err) == (2, True)
    code, out, _ = call(capsys, "free-space", bench.site, "--node", "lead")
    assert (code, "nothing to delete" in out) == (0, True)
    agent = bench.health().system.starts
    assert call(capsys, "restart", bench.site, "--node", "lead")[0] == 0
    bench.wait_for(lambda record: record.system.starts == agent + 1 and record.devices[0].state == "capturing")
    assert process.poll() is None

    second = bench.start("lead")
    assert second.wait(60) == 2, "one agent of a node at a time"
    assert "already" in bench.log("lead")

    assert call(capsys, "shutdown", bench.site, "--node", "follower")[0] == 0
    assert call(capsys, "shutdown", bench.site, "--node", "lead")[0] == 0
    assert process.wait(60) == 0, bench.log("all")
    code, _, err = call(capsys, "status", bench.site)
    assert code == 2
    summary = (bench.folder / "all.out").read_text()
    assert "camera-on" in summary
    assert "kept" in summary


def test_an_agent_alone_ends_after_its_time_and_without_its_launcher(bench: Any, benches: ModuleType) -> None:
    bench.write({"lead": [benches.camera()]})
    process = bench.start("lead", "--for", "3")
    assert process.wait(60) == 0, bench.log()
    assert len(bench.items(kind="frame")) >= 1
    healths = bench.items(kind="health")
    assert {item.subject for item in healths} >= {"start", "stop"}
    record = json.loads((bench.root() / healths[-1].path).read_text())
    assert record["reason"] == "stop"
    tied = subprocess.Popen(
        [*process.args[:-2], "--tied"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    bench.processes.append(tied)
    bench.wait_stored(1)
    assert tied.stdin is not None
    tied.stdin.close()
    assert tied.wait(30) == 0


def test_systemd_is_told_and_its_places_are_used(
    bench: Any, benches: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.write({"lead": [benches.camera()]})
    run_folder = bench.folder / "run"
    run_folder.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(os.fspath(bench.folder / "n"))
        listener.settimeout(60)
        process = bench.start(
            NOTIFY_SOCKET=os.fspath(bench.folder / "n"),
            WATCHDOG_USEC="3000000",
            RUNTIME_DIRECTORY=os.fspath(run_folder),
            JOURNAL_STREAM="8:1",
        )
        assert listener.recv(4096).startswith(b"READY=1")
        while not listener.recv(4096).startswith(b"WATCHDOG=1\nSTATUS=well"):
            pass  # "starting", until there is something to tell
        code, out, _ = call(capsys, "status", bench.site, "--socket", run_folder / "lead.sock", "--node", "lead")
        assert code == 0, out
        process.send_signal(signal.SIGTERM)
        while listener.recv(4096) != b"STOPPING=1":
            pass  # what was sent before the signal
    assert process.wait(30) == 0
    assert not (run_folder / "lead.sock").exists()
    lines = bench.log().splitlines()
    assert lines
    assert all(line.startswith("<") for line in lines)
