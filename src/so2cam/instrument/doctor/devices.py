"""Cameras and bands, spectrometer, power board, wires between the computers, the external disk."""

import json
import re
from collections.abc import Iterator
from typing import Final

from so2cam.core.site_devices import CameraDevice, SpectrometerDevice
from so2cam.instrument.doctor.probes import Probes
from so2cam.instrument.doctor.report import Line, bad, good, none
from so2cam.instrument.install.devices import mirror_label
from so2cam.instrument.install.network import address_of
from so2cam.instrument.install.settings import (
    BOARD_SOFTWARE,
    HOOKS,
    MADE_UP,
    POWER_REPORTS,
    USER,
    InstallSettings,
    is_made_up,
)

TOPIC: Final = "devices"
WIRES: Final = "wires"
DISK: Final = "external disk"
_CAMERA: Final = re.compile(r"^\s*(\d+) : (\S+) \[(\d+)x(\d+)(?: (\d+)-bit)?[^\]]*\] \((\S+)\)", re.MULTILINE)
_OCEAN: Final = frozenset({"2457", "0999"})
_BOARDS: Final = {"wittypi3": (0x68, 0x69), "wittypi4": (0x08,)}
"""I2C addresses: of Witty Pi 3 its clock and its controller, of Witty Pi 4 the controller before both"""
_KINDS: Final = frozenset({"ext4", "exfat", "ntfs", "ntfs3", "fuseblk", "vfat"})


def check_devices(settings: InstallSettings, probes: Probes) -> Iterator[Line]:
    """Yield the lines about cameras, spectrometers and the power board."""
    cameras = [device for device in settings.node.enabled if isinstance(device, CameraDevice)]
    real = [camera for camera in cameras if camera.driver == "picamera2"]
    found = _list_cameras(probes) if real else {}
    for camera in cameras:
        yield _camera(camera, found)
    if len(real) > 1 and len({camera.band for camera in real}) < len(real):
        yield bad(
            TOPIC,
            "bands",
            "two cameras have the same band",
            "give each camera its band in the site file, and look at "
            "a frame of each: with the hand before one lens only one image darkens",
        )
    for device in settings.node.enabled:
        if isinstance(device, SpectrometerDevice):
            yield _spectrometer(device, probes)
    yield _board(settings, probes)


def _list_cameras(probes: Probes) -> dict[int, tuple[str, str]]:
    """Return the cameras that libcamera knows: index to model with its size, and identity."""
    for program in ("rpicam-hello", "libcamera-hello"):
        output = probes.run([program, "--list-cameras"], 15.0)
        if output.code != 127:
            return {
                int(each[1]): (f"{each[2]} {each[3]}x{each[4]}" + (f", {each[5]} bits" if each[5] else ""), each[6])
                for each in _CAMERA.finditer(output.text)
            }
    return {}


def _camera(camera: CameraDevice, found: dict[int, tuple[str, str]]) -> Line:
    title = f"{camera.name} ({camera.band} band)"
    if camera.driver in MADE_UP:
        return none(TOPIC, title, f"{camera.driver}: no hardware to look at")
    if camera.driver != "picamera2":
        return none(TOPIC, title, f"driver {camera.driver}: see the agent's status")
    if camera.serial is not None:
        matches = [index for index, (_, identity) in found.items() if camera.serial in identity]
        if not matches:
            return bad(TOPIC, title, f"no camera {camera.serial!r}", _cable_remedy(found))
        index = matches[0]
    else:
        index = camera.index or 0
    if index not in found:
        return bad(TOPIC, title, f"there is no camera {index}; {len(found)} found", _cable_remedy(found))
    model, identity = found[index]
    return good(TOPIC, title, f"camera {index}: {model} at {identity}")


def _cable_remedy(found: dict[int, tuple[str, str]]) -> str:
    if found:
        return f"found are {', '.join(f'{index}: {model}' for index, (model, _) in found.items())}; check the site file"
    return (
        "switch off and seat the ribbon cable at both ends, contacts to the contacts; then rpicam-hello --list-cameras"
    )


def _spectrometer(device: SpectrometerDevice, probes: Probes) -> Line:
    title = device.name
    if device.driver in MADE_UP:
        return none(TOPIC, title, f"{device.driver}: no hardware to look at")
    if device.driver != "seabreeze":
        return none(TOPIC, title, f"driver {device.driver}: see the agent's status")
    serials = []
    for path in probes.names("/sys/bus/usb/devices/*/idVendor"):
        if (probes.read(path) or "").strip() not in _OCEAN:
            continue
        folder = path.rpartition("/")[0]
        product = (probes.read(f"{folder}/product") or "a spectrometer").strip()
        serial = (probes.read(f"{folder}/serial") or "").strip()
        node = f"/dev/bus/usb/{_padded(probes, folder, 'busnum')}/{_padded(probes, folder, 'devnum')}"
        status = probes.status(node)
        if status is not None and not status.mode & 0o020 and not status.mode & 0o002:
            return bad(
                TOPIC, title, f"{product} is there, but only root may use it", "install the node again; replug it"
            )
        serials.append(serial)
        if device.serial is None or not serial or device.serial == serial:
            return good(TOPIC, title, f"{product} {serial}".strip())
    if serials:
        return bad(TOPIC, title, f"found {', '.join(serials)}, not {device.serial}", "correct serial in the site file")
    return bad(TOPIC, title, "no spectrometer on USB", "check its cable; lsusb must show one of 2457")


def _padded(probes: Probes, folder: str, name: str) -> str:
    return (probes.read(f"{folder}/{name}") or "0").strip().zfill(3)


def _board(settings: InstallSettings, probes: Probes) -> Line:
    title = "power board"
    device = settings.node.power
    if device is None:
        return none(TOPIC, title, "this node has none")
    addresses = _BOARDS.get(device.driver)
    if addresses is None:
        return none(TOPIC, title, f"driver {device.driver}: no hardware to look at")
    answers = {address: probes.i2c(1, address) for address in addresses}
    if any(answer is None for answer in answers.values()):
        return bad(TOPIC, title, "the I2C bus is not there", "install the node again (dtparam=i2c_arm=on) and restart")
    silent = [f"0x{address:02x}" for address, answer in answers.items() if not answer]
    if silent:
        return bad(TOPIC, title, f"no answer on I2C from {', '.join(silent)}", "seat the board on the header")
    if settings.drives_board:
        if probes.link(BOARD_SOFTWARE) is not None:
            return bad(
                TOPIC,
                title,
                "its own software is installed and sets alarms too",
                "set instrument.schedule.power.board_folder to its folder, or remove it (sudo rm /etc/init.d/wittypi)",
            )
        if all(probes.link(path) is None for path in ("/dev/serial0", "/dev/ttyAMA0")):
            return bad(
                TOPIC,
                title,
                "it cannot see a halt: the serial output on GPIO 14 is off",
                "install the node again (enable_uart=1) and restart it",
            )
    return good(TOPIC, title, f"{device.driver} answers on {', '.join(f'0x{each:02x}' for each in addresses)}")


# --- wires -------------------------------------------------------------------------------------------------------


def check_wires(settings: InstallSettings, probes: Probes) -> Iterator[Line]:
    """Yield the lines about the two wires between the computers."""
    if settings.node.role == "follower":
        yield _stop_input(settings, probes)
        return
    follower = settings.follower
    if is_made_up(settings.node):
        yield none(WIRES, "to a follower", "a bench without hardware has no wires")
        return
    if follower is None:
        yield none(WIRES, "to a follower", "this node has no follower")
        return
    is_up = probes.connect(address_of(follower.network, follower.name), 22) != "silent"
    outputs = {} if settings.node.gpio is None else settings.node.gpio.outputs
    yield _start_wire(outputs.get("start-follower", 23), probes, is_up=is_up)
    yield _stop_wire(outputs.get("stop-follower", 16), probes)


def _start_wire(number: int, probes: Probes, *, is_up: bool) -> Line:
    title = f"start (GPIO {number} to GPIO 3)"
    report = _report(probes, "after-start")
    if not is_up:
        text = str(report.get("text", "the follower does not answer")) if report else "the follower does not answer"
        return bad(
            WIRES, title, text, "check the wire, the follower's power and its network cable; then restart this node"
        )
    if report and report.get("done") and report.get("pulses"):
        return good(WIRES, title, "a pulse on it started the follower")
    # The follower's own resistor at GPIO 3 (1.8 kOhm) holds the line high against our weak pull to ground.
    level = probes.gpio(number, pull_up=False)
    if level is None:
        return none(WIRES, title, "the line cannot be read; run this as root")
    if not level:
        return bad(
            WIRES, title, "the line is open", f"check the wire from GPIO {number} here to GPIO 3 of the follower"
        )
    return good(WIRES, title, "the follower's pull-up is on it")


def _stop_wire(number: int, probes: Probes) -> Line:
    title = f"stop (GPIO {number} to GPIO 21)"
    report = _report(probes, "stop-follower")
    if report is None or (report.get("done") and not report.get("pulses")):
        return bad(
            WIRES, title, "has never been used", "test it: so2cam instrument doctor with --cycle-follower, as root"
        )
    if not report.get("done"):
        return bad(
            WIRES, title, str(report.get("text", "did not stop the follower")), "check the wire; then --cycle-follower"
        )
    return good(WIRES, title, f"a pulse on it stopped the follower, {report.get('time', 'once')}")


def _stop_input(settings: InstallSettings, probes: Probes) -> Line:
    title = "stop input"
    inputs = {} if settings.node.gpio is None else settings.node.gpio.inputs
    if "shutdown_button" in (probes.read("/proc/bus/input/devices") or ""):
        return good(WIRES, title, f"GPIO {inputs.get('stop', 21)} shuts this node down")
    return bad(WIRES, title, "nothing listens on it", "install the node again and restart it (dtoverlay=gpio-shutdown)")


def _report(probes: Probes, name: str) -> dict[str, object] | None:
    """Return what a power hook reported last."""
    try:
        found = json.loads(probes.read(f"{POWER_REPORTS}/{name}.json") or "null")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def cycle_follower(probes: Probes) -> Line:
    """Switch the follower off and on again by its wires, and say how that went; minutes."""
    output = probes.run(["/usr/bin/python3", "-I", "-S", HOOKS, "test-follower"], 240.0)
    last = output.text.strip().splitlines()[-1] if output.text.strip() else "the hook said nothing"
    if output.code == 0:
        return good(WIRES, "off and on again", last)
    return bad(WIRES, "off and on again", last, "check both wires; run this as root on the lead")


# --- the disk ----------------------------------------------------------------------------------------------------


def check_disk(settings: InstallSettings, probes: Probes) -> Iterator[Line]:
    """Yield the lines about the external disk."""
    label = mirror_label(settings)
    if label is None:
        yield none(DISK, "copy", "the site file names no disk by its label")
        return
    device = probes.link(f"/dev/disk/by-label/{label}")
    if device is None:
        labels = [path.rpartition("/")[2] for path in probes.names("/dev/disk/by-label/*")]
        yield bad(
            DISK,
            label,
            f"no disk with this label; found: {', '.join(labels) or 'none'}",
            f"plug it in; or label it: exfatlabel /dev/sda1 {label} (ntfslabel, e2label)",
        )
        return
    yield good(DISK, label, f"is {device}")
    mounts = [line.split(" ") for line in (probes.read("/proc/mounts") or "").splitlines()]
    mount = next((each for each in mounts if len(each) > 3 and probes.link(each[0]) == device), None)
    if mount is None:
        yield bad(DISK, "mounted", "it is not", "unplug it and plug it in again; then journalctl -b | grep mount")
        return
    _, target, kind, options = mount[:4]
    if kind not in _KINDS:
        yield bad(DISK, "file system", kind, "format it as exFAT, NTFS or ext4")
    elif "ro" in options.split(","):
        yield bad(DISK, "mounted", f"on {target}, read-only", "check the disk on another computer, or format it anew")
    else:
        usage = probes.usage(target)
        space = "" if usage is None else f", {usage.free / 1e9:.0f} GB of {usage.total / 1e9:.0f} GB free"
        yield good(DISK, "mounted", f"on {target}, {kind}{space}")
        owner = probes.status(target)
        if owner is not None and owner.owner != USER and not owner.mode & 0o002:
            yield bad(DISK, "writable", f"{target} belongs to {owner.owner}", f"sudo chown {USER}:{USER} {target}")
