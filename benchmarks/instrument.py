"""What the agent costs: CPU at two rates, start to the first frame, import, memory, stopping.

python benchmarks/instrument.py [--seconds S]

A node with two cameras (648 x 486 pixels stored) and a spectrometer, all simulated, on this computer. CPU is the time
that all processes of the agent use, from the system's own account, as a share of one core; what making the simulated
light costs is measured by itself and taken off in the second figure.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from so2cam.core.errors import So2camError
from so2cam.core.health import HealthRecord
from so2cam.core.records import Band
from so2cam.core.site_devices import CameraDevice, SpectrometerDevice
from so2cam.devices.protocols import DeviceContext
from so2cam.devices.records import CameraSettings, SpectrometerSettings
from so2cam.devices.registry import create_camera, create_spectrometer
from so2cam.instrument.places import socket_to_ask
from so2cam.link.local import LocalClient
from so2cam.link.messages import Status, StatusResult

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "bench" / "site.toml"
TICKS = os.sysconf("SC_CLK_TCK")
DEVICES = """
[[instrument.nodes]]
name = "single"

[[instrument.nodes.devices]]
type = "camera"
name = "camera-on"
driver = "simulated"
band = "on"
maximum_exposure_s = 0.3
options = { seed = 1 }

[[instrument.nodes.devices]]
type = "camera"
name = "camera-off"
driver = "simulated"
band = "off"
maximum_exposure_s = 0.3
options = { seed = 1 }

[[instrument.nodes.devices]]
type = "spectrometer"
name = "spectrometer"
driver = "simulated"
maximum_integration_time_s = 0.3
options = { seed = 1 }
"""


def write_site(folder: Path, period_s: float) -> Path:
    head = EXAMPLE.read_text(encoding="utf-8").partition("[instrument.acquisition]")[0]
    site = folder / "site.toml"
    text = f'{head}[instrument.acquisition]\nperiod_s = {period_s}\n[instrument.storage]\nfolder = "data"\n{DEVICES}'
    site.write_text(text, encoding="utf-8")
    return site


def start(site: Path) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-m", "so2cam", "instrument", "run", str(site), "--node", "single"]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def health(site: Path) -> HealthRecord | None:
    try:
        with LocalClient(socket_to_ask(site, "single")) as client:
            result = client.ask(Status())
    except So2camError:
        return None
    return result.health if isinstance(result, StatusResult) else None


def wait_stored(site: Path, count: int, timeout_s: float = 120.0) -> HealthRecord:
    limit = time.monotonic() + timeout_s
    while time.monotonic() < limit:
        record = health(site)
        if record is not None and all(device.stored >= count for device in record.devices):
            return record
        time.sleep(0.02)
    raise SystemExit("the agent captures nothing")


def family(process: int) -> list[int]:
    """Return a process and those that it started."""
    found = [process]
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process:
            found.append(int(status.parent.name))
    return found


def cpu_s(processes: Iterable[int]) -> float:
    total = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mb(process: int) -> tuple[float, float]:
    """Return resident and proportional memory: pages that processes share count in parts."""
    values = {}
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        key, _, rest = line.partition(":")
        if key in ("Rss", "Pss"):
            values[key] = int(rest.split()[0]) / 1000
    return values["Rss"], values["Pss"]


def cost_of_light(number: int = 40) -> dict[str, float]:
    """Return the CPU time of making one simulated frame and spectrum [s]."""
    context = DeviceContext(run_start=datetime.now(UTC))
    camera = create_camera(CameraDevice(name="c", driver="simulated", band=Band.ON, options={"seed": 1}), context)
    spectrometer = create_spectrometer(SpectrometerDevice(name="s", driver="simulated", options={"seed": 1}), context)
    camera.open(10.0)
    spectrometer.open(10.0)
    camera.configure(CameraSettings(0.001))
    spectrometer.configure(SpectrometerSettings(0.01, 1))
    found = {}
    for name, capture in (("frame", camera.capture), ("spectrum", spectrometer.capture)):
        capture(None, 5.0)
        began_s = time.process_time()
        for _ in range(number):
            capture(None, 5.0)
        found[name] = (time.process_time() - began_s) / number
    camera.close()
    spectrometer.close()
    return found


def run_at(period_s: float, seconds: float, light: dict[str, float]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        site = write_site(Path(folder), period_s)
        process = start(site)
        try:
            first = wait_stored(site, 3)
            processes = family(process.pid)
            before_s, began_s = cpu_s(processes), time.monotonic()
            time.sleep(seconds)
            used_s, passed_s = cpu_s(processes) - before_s, time.monotonic() - began_s
            last = health(site)
            if last is None:
                raise SystemExit("the agent does not answer")
            items = {d.role: 0 for d in last.devices}
            for device, earlier in zip(last.devices, first.devices, strict=True):
                items[device.role] += device.stored - earlier.stored
            light_s = items["camera"] * light["frame"] + items["spectrometer"] * light["spectrum"]
            memory = [memory_mb(one) for one in processes]
            stop_s = stop(process)
        finally:
            process.kill()
            process.wait()
    return {
        "cpu": used_s / passed_s,
        "cpu_without_light": max(0.0, used_s - light_s) / passed_s,
        "missed": sum(device.skipped_grid_points for device in last.devices),
        "stored": sum(items.values()),
        "rss_agent": memory[0][0],
        "rss_device": statistics.mean(one[0] for one in memory[1:]),
        "pss_all": sum(one[1] for one in memory),
        "stop_s": stop_s,
    }


def stop(process: subprocess.Popen[bytes]) -> float:
    began_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(20)
    return time.monotonic() - began_s


def time_to_first_frame() -> float:
    with tempfile.TemporaryDirectory() as folder:
        site = write_site(Path(folder), 0.25)
        began_s = time.monotonic()
        process = start(site)
        try:
            wait_stored(site, 1)
            took_s = time.monotonic() - began_s
            stop(process)
        finally:
            process.kill()
            process.wait()
    return took_s


def import_of(module: str) -> dict[str, float]:
    """Return the CPU time, memory and heavy modules of importing ``module`` in a Python of its own."""
    code = (
        "import json, sys, time; before = time.process_time();"
        f"import {module}; took = time.process_time() - before;"
        "pages = int(open('/proc/self/statm').read().split()[1]);"
        "heavy = [m for m in ('scipy','numba','cv2','matplotlib','astropy','fastapi','nicegui') if m in sys.modules];"
        "print(json.dumps({'cpu_s': took, 'mb': pages * 4096 / 1e6, 'heavy': heavy}))"
    )
    runs = [
        json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    best: dict[str, float] = min(runs, key=lambda run: run["cpu_s"])
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each measurement")
    chosen = parser.parse_args()
    for module in ("so2cam.cli.instrument_run", "so2cam.instrument.worker"):
        found = import_of(module)
        print(f"import {module}: {found['cpu_s']:.2f} s CPU, {found['mb']:.0f} MB, heavy modules: {found['heavy']}")
    light = cost_of_light()
    print(f"simulated light: {light['frame'] * 1e3:.1f} ms a frame, {light['spectrum'] * 1e3:.1f} ms a spectrum")
    firsts = [time_to_first_frame() for _ in range(3)]
    print(f"start to the first frame and spectrum of every device: {min(firsts):.1f} s (of {len(firsts)} starts)")
    for period_s in (4.0, 0.5):
        found = run_at(period_s, chosen.seconds, light)
        print(
            f"period {period_s:g} s: {found['cpu']:.1%} of one core, "
            f"{found['cpu_without_light']:.1%} without the light; "
            f"{found['stored']:.0f} items, {found['missed']:.0f} grid times missed; memory: agent "
            f"{found['rss_agent']:.0f} MB, a device {found['rss_device']:.0f} MB, all {found['pss_all']:.0f} MB "
            f"(shared pages once); stopped in {found['stop_s']:.1f} s"
        )


if __name__ == "__main__":
    main()
