"""The agent as people start it: captures, answers, stops."""

import signal
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from so2cam.core.health import DeviceState, Level
from so2cam.link.messages import (
    Cells,
    Darks,
    DeviceChange,
    DeviceValues,
    Done,
    Refused,
    Schedule,
    ScheduleResult,
    Set,
    Shot,
    Start,
    Stop,
)

GRID = timedelta(milliseconds=500)


def times_of(bench: Any, node: str, device: str) -> list[datetime]:
    """The grid times that a device's items stand for."""
    found = []
    for item in bench.items(node, device=device):
        note = bench.sidecar(item, node)["so2cam"]
        if "grid_time" in note and item.subject == "plume":
            found.append(datetime.fromisoformat(note["grid_time"]))
    return found


@pytest.mark.timeout(180)
def test_two_nodes_have_every_grid_time_and_stop_within_three_seconds(bench: Any, benches: ModuleType) -> None:
    bench.write(
        {
            "lead": [
                benches.camera(),
                '[[instrument.nodes.devices]]\ntype = "power"\nname = "power"\ndriver = "simulated"\n',
            ],
            "follower": [benches.camera("camera-off", "off"), benches.spectrometer()],
        }
    )
    process = bench.start("all")
    for node in ("lead", "follower"):
        bench.wait_stored(3, node)
    for node in ("lead", "follower"):
        record = bench.wait_stored(16, node)
        assert record.level in (Level.OK, Level.WARNING), record.summary
        assert {device.state for device in record.devices if device.role != "power"} == {DeviceState.CAPTURING}
    took_s = bench.stop(process, signal.SIGINT)
    assert process.returncode == 0, bench.log("all")
    print(f"stopped in {took_s:.1f} s")  # a figure for people; the wait itself is bounded
    on, off = times_of(bench, "lead", "camera-on"), times_of(bench, "follower", "camera-off")
    spectra = times_of(bench, "follower", "spectrometer")
    first = max(on[0], off[0], spectra[0])
    last = min(on[-1], off[-1], spectra[-1])
    wanted = [first + GRID * index for index in range((last - first) // GRID + 1)]
    assert len(wanted) >= 12
    skipped = 0
    for device, node, times in (
        ("camera-on", "lead", on),
        ("camera-off", "follower", off),
        ("spectrometer", "follower", spectra),
    ):
        assert len(set(times)) == len(times), device
        missing = set(wanted) - set(times)
        told = sum(
            bench.sidecar(item, node)["so2cam"]["skipped_grid_points"] for item in bench.items(node, device=device)
        )
        assert len(missing) <= told, "each grid time is there, or was counted as passed over"
        skipped += len(missing)
    assert skipped <= len(wanted) // 2, "a busy computer may pass some over; most must be there"
    for node in ("lead", "follower"):
        assert bench.broken(node) == []


@pytest.fixture
def running(bench: Any, benches: ModuleType) -> Any:
    bench.write({"lead": [benches.camera(), benches.camera("camera-off", "off"), benches.spectrometer()]})
    bench.start()
    bench.wait_stored(1)
    return bench


@pytest.mark.timeout(180)
def test_commands_do_what_they_say_and_settings_survive_a_restart(running: Any) -> None:
    change = DeviceChange(devices=("camera-on",), values=DeviceValues(automatic=False, exposure_s=0.03))
    done = running.ask(Set(changes=(change,)))
    assert isinstance(done, Done), done
    assert done.outcomes[0].values["automatic"] is False
    assert done.outcomes[0].values["exposure_s"] == pytest.approx(0.03, rel=0.02)
    running.wait_for(lambda record: any(d.exposure_s == pytest.approx(0.03, rel=0.02) for d in record.devices))

    # One device of two cannot have it: nothing changes anywhere.
    wrong = DeviceChange(devices=("camera-off",), values=DeviceValues(automatic=False, exposure_s=20.0))
    good = DeviceChange(devices=("camera-on",), values=DeviceValues(exposure_s=0.05))
    refused = running.ask(Set(changes=(good, wrong)))
    assert isinstance(refused, Refused)
    assert "0.15" in refused.text, "the limit is named"
    assert dict(running.health().devices[0].overrides) == {"automatic": False, "exposure_s": 0.03}

    auto = running.ask(Set(changes=(DeviceChange(devices=("camera-off",), values=DeviceValues(exposure_s=0.05)),)))
    assert isinstance(auto, Refused)
    assert "automatically" in auto.text

    gain = running.ask(Set(changes=(DeviceChange(values=DeviceValues(gain=2.0)),)))
    assert isinstance(gain, Done), gain
    assert [outcome.device for outcome in gain.outcomes] == ["camera-on", "camera-off"], "a spectrometer has no gain"
    assert isinstance(running.ask(Set(changes=(DeviceChange(values=DeviceValues(gain=1.0)),))), Done)

    shot = running.ask(Shot(kind="test"))
    assert isinstance(shot, Done), shot
    assert len(shot.outcomes) == 3
    assert all(outcome.done for outcome in shot.outcomes)
    assert len([item for item in running.items() if item.subject == "test"]) == 3

    assert isinstance(running.ask(Shot(kind="cell", cell_ppm_m=300.0)), Refused), "a spectrometer has no cells"
    assert isinstance(running.ask(Cells(action="take", ppm_m=300.0)), Refused), "not begun"
    assert isinstance(running.ask(Cells(action="begin")), Done)
    states = {device.name: device.state for device in running.health().devices}
    assert states["camera-on"] is states["camera-off"] is DeviceState.CELLS
    refused = running.ask(Stop(devices=("camera-on",)))
    assert isinstance(refused, Refused)
    assert "force" in refused.text
    assert isinstance(running.ask(Cells(action="take", ppm_m=300.0, count=2), timeout_s=60.0), Done)
    cells = [item for item in running.items() if item.subject == "cell"]
    assert len(cells) == 4
    assert running.sidecar(cells[0])["so2cam"]["cell_ppm_m"] == 300.0
    grid = {running.sidecar(item)["so2cam"]["grid_time"] for item in cells}
    assert len(grid) <= 3, "both bands see a cell at the same times"
    assert isinstance(running.ask(Cells(action="end")), Done)

    darks = running.ask(Darks(repeats=2, exposures_s=(0.02, 0.1)))
    assert isinstance(darks, Done), darks
    running.wait_for(lambda record: all(d.state is DeviceState.CAPTURING for d in record.devices))
    dark = [item for item in running.items(device="camera-on") if item.subject == "dark"]
    assert len(dark) == 4
    after = running.health().devices[0]
    running.wait_for(lambda record: record.devices[0].stored > after.stored)
    assert running.health().devices[0].exposure_s == pytest.approx(0.03, rel=0.02), "the exposure is as before"

    stopped = running.ask(Stop(devices=("spectrometer",)))
    assert isinstance(stopped, Done), stopped
    running.wait_for(lambda record: record.devices[2].state is DeviceState.IDLE)
    sequence = running.ask(Start(devices=("spectrometer",), kind="clear", count=2))
    assert isinstance(sequence, Done), sequence
    running.wait_for(lambda _: len([i for i in running.items(device="spectrometer") if i.subject == "clear"]) == 2)
    running.wait_for(lambda record: record.devices[2].state is DeviceState.IDLE)
    shown = running.ask(Schedule())
    assert isinstance(shown, ScheduleResult)
    assert "stopped by hand" in shown.activity

    running.stop(running.processes[0])
    assert running.processes[0].returncode == 0, running.log()
    running.start()
    running.wait_for(lambda record: any(d.exposure_s == pytest.approx(0.03, rel=0.02) for d in record.devices))
    health = running.health()
    assert dict(health.devices[0].overrides) == {"automatic": False, "exposure_s": 0.03}
    assert health.system.starts == 2
    done = running.ask(Set(changes=(DeviceChange(reset=True),)))
    assert isinstance(done, Done), done
    assert dict(running.health().devices[0].overrides) == {}
