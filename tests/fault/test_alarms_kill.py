"""The station killed while it raises alarms and tells of them: each event once, no message twice."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from so2cam.station.alarms_store import AlarmStore

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "bench" / "site.toml"
PROGRAM = """
import sys
from datetime import datetime, timedelta
from pathlib import Path
import numpy as np
from so2cam.core.site import Site
from so2cam.formats.sitefile import load_site
from so2cam.station.alarms import AlarmKeeper, Notifier
from so2cam.station.alarms_observation import Observation, RateSeries
from so2cam.station.alarms_store import AlarmStore

folder, start = Path(sys.argv[1]), datetime.fromisoformat("2026-03-01T12:00:00+00:00")
settings = load_site(Path(sys.argv[2])).site.model_dump()
rule = dict(type="emission-rate", name="strong", above=10.0, average_s=1.0)
targets = [dict(name=name, url_environment="X") for name in ("a", "b")]
site = Site.model_validate({**settings, "alarms": dict(standard=False, rules=[rule], targets=targets)})

class Post:
    def send(self, target, title, body):
        number = next(line for line in body.splitlines() if line.startswith("Event:")).split()[-1]
        with open(folder / "sent.txt", "a") as stream:
            stream.write(f"{number} {title.split(']')[0]} {target.name}\\n")

with AlarmStore(folder / "alarms.sqlite") as store:
    keeper, notifier = AlarmKeeper(site, store), Notifier(site, store, Post())
    times = [time for event in store.events(limit=1) for time in (event.began, event.ended) if time]
    first = 2 + (max(times) - start) // timedelta(seconds=20) * 2 if times else 0
    print("ready", flush=True)
    for step in range(first, first + 100000):
        now = start + timedelta(seconds=10 * step)
        rate = 20.0 if step % 2 == 0 else 1.0
        series = RateSeries(np.array([now.timestamp()]), np.array([rate]))
        keeper.observe(Observation(now, start, rates={("total", "flow_raw"): series}))
        notifier.send_due(now)
"""


def test_killed_at_random(tmp_path: Path, rounds: Callable[[int, int], int]) -> None:
    rng = random.Random(7)
    for _ in range(rounds(4, 100)):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path), str(EXAMPLE)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.02, 0.3))  # not a wait for luck: the moment of the kill
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
    sent = Counter((tmp_path / "sent.txt").read_text(encoding="utf-8").splitlines())
    assert max(sent.values()) == 1, "a message went out twice"
    with AlarmStore(tmp_path / "alarms.sqlite") as store:
        events = store.events(limit=100_000)
        assert len({event.began for event in events}) == len(events), "an event is there twice"
        assert sum(event.ended is None for event in events) <= 1
        for event in events[1:]:
            told = {(message.target, message.kind): message.state for message in store.messages(event.id)}
            assert set(told) == {(target, kind) for target in ("a", "b") for kind in ("began", "ended")}
            lost = [key for key, state in told.items() if state == "sent" and not _sent(sent, event.id, *key)]
            assert not lost, "said to be sent, and was not"


def _sent(sent: Counter[str], event: int, target: str, kind: str) -> bool:
    word = "[over" if kind == "ended" else "[ALARM"
    return bool(sent[f"{event} {word} {target}"])
