"""A station and an instrument of simulated devices: everything that is captured comes home, once, and is verified."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from so2cam.cli.main import run
from so2cam.link.messages import Stop
from so2cam.station.archive_check import verify_archive
from so2cam.station.context import open_station
from so2cam.store.spool import Spool


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def start_station(site: Path, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "so2cam", "station", "run", str(site), "--no-api", "--quiet"],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=dict(os.environ),
        )


def wait_delivered(bench: Any, log: Path) -> None:
    """Wait until the instrument has nothing more to deliver."""
    limit = time.monotonic() + 60
    while True:
        with Spool(bench.root()) as spool:
            (backlog,) = spool.backlog()
        if backlog.items == 0:
            return
        assert time.monotonic() < limit, f"{backlog}\n{log.read_text(encoding='utf-8')}\n{bench.log()}"
        threading.Event().wait(0.2)


def test_what_an_instrument_captures_comes_home_also_when_the_station_is_killed(
    bench: Any, benches: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    extra = f"[instrument.link]\nport = {port}\n[station]\nlive = false\ntransfer = {{ poll_s = 0.1 }}\n"
    bench.write({"lead": [benches.camera(), benches.spectrometer()]}, extra=extra)
    bench.start()
    bench.wait_stored(2)
    assert run(["pair", "offer", str(bench.site), "--role", "operator", "--receiver", "station"]) == 0
    code = capsys.readouterr().out.split("code: ")[1].split()[0]
    assert run(["pair", "join", f"127.0.0.1:{port}", "--code", code, "--site", str(bench.site), "--station"]) == 0
    log = bench.folder / "station.log"
    archive = bench.folder / "station" / "archive"
    for count in (3, 6):
        station = start_station(bench.site, log)
        limit = time.monotonic() + 60
        while len(list(archive.rglob("[0-9]*.png"))) < count:
            assert station.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < limit, log.read_text(encoding="utf-8")
            time.sleep(0.02)
        station.kill()
        station.wait(20)
    bench.wait_stored(8)
    bench.ask(Stop())
    for process in bench.processes:
        bench.stop(process)
    bench.start()
    station = start_station(bench.site, log)
    try:
        bench.wait_for(lambda record: True)
        bench.ask(Stop())
        wait_delivered(bench, log)
    finally:
        station.terminate()
        code_of_station = station.wait(30)
        for process in bench.processes:
            if process.poll() is None:
                bench.stop(process)
    assert code_of_station == 0, log.read_text(encoding="utf-8")
    assert "Traceback" not in log.read_text(encoding="utf-8")
    context = open_station([bench.site])
    try:
        with Spool(bench.root()) as spool:
            left = {item.digest for item in spool.undelivered()}
        kept = {file.digest for file in context.catalogue.find_files()}
        assert {item.digest for item in bench.items()} - left <= kept, "what was confirmed is there"
        delivered = [item for item in bench.items() if item.digest not in left]
        assert len(delivered) >= 16
        files = context.catalogue.find_files()
        assert len({file.digest for file in files}) == len(files), "each once"
        assert verify_archive(context.sites[0].archive, files).faults == ()
        assert {file.kind for file in files} >= {"frame", "spectrum", "health"}
        health = context.catalogue.latest_health(context.sites[0].name)
        assert json.loads(health["lead"][1])["node"] == "lead"
    finally:
        context.close()
