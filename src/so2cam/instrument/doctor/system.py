"""The computer itself: 64 bits, its card, power supply, clock, time zone, free space, packages."""

import re
from collections.abc import Iterator
from typing import Final

from so2cam.instrument.doctor.probes import Probes
from so2cam.instrument.doctor.report import Line, bad, good, none
from so2cam.instrument.install.planning import packages
from so2cam.instrument.install.settings import InstallSettings, is_made_up

TOPIC: Final = "computer"
CLOCK: Final = "clock"
_UNUSED: Final = 0.05
"""Share of a card outside the file system from which it counts as not expanded"""
_BEHIND_S: Final = 0.1
_DISK: Final = re.compile(r"/dev/((?:mmcblk|nvme)\w*?)p(\d+)|/dev/(sd[a-z]+)(\d+)")
_THROTTLED: Final = {0: "under-voltage", 1: "frequency limited", 2: "throttled", 3: "too hot"}
_BENCH: Final = "not looked at on a bench without hardware"
_ITEM_BYTES: Final = 450_000
"""A compressed frame with its sidecar, as measured on simulated frames; for the estimate of days only"""


def check_system(settings: InstallSettings, probes: Probes) -> Iterator[Line]:
    """Yield the lines about the computer."""
    yield _bits(probes)
    yield _model(probes)
    yield _expanded(probes)
    yield _supply(probes)
    yield from _space(settings, probes)
    yield _packages(settings, probes)


def check_clock(settings: InstallSettings, probes: Probes) -> Iterator[Line]:
    """Yield the lines about time."""
    yield _year(probes)
    yield _zone(probes)
    yield none(CLOCK, "synchronised", _BENCH) if is_made_up(settings.node) else _synchronised(probes)
    yield _gps(settings, probes)


def _bits(probes: Probes) -> Line:
    machine, bits = probes.machine()
    if bits == 64 and machine not in ("armv7l", "armv6l"):
        return good(TOPIC, "64-bit system", f"{machine}, 64 bits")
    return bad(TOPIC, "64-bit system", f"{machine}, {bits} bits", "flash the 64-bit image of Raspberry Pi OS")


def _model(probes: Probes) -> Line:
    model = probes.read("/proc/device-tree/model")
    if model is None:
        return none(TOPIC, "model", "not a Raspberry Pi")
    return good(TOPIC, "model", model.strip())


def _expanded(probes: Probes) -> Line:
    title = "file system fills the card"
    source = probes.run(["findmnt", "--noheadings", "--output", "SOURCE", "/"]).text.strip()
    match = _DISK.fullmatch(source)
    if match is None:
        return none(TOPIC, title, f"the system is on {source or 'an unknown disk'}")
    disk, number = (match[1], match[2]) if match[1] else (match[3], match[4])
    partition = f"{disk}p{number}" if match[1] else f"{disk}{number}"
    whole = _number(probes.read(f"/sys/class/block/{disk}/size"))
    start = _number(probes.read(f"/sys/class/block/{partition}/start"))
    size = _number(probes.read(f"/sys/class/block/{partition}/size"))
    usage = probes.usage("/")
    if not whole or start is None or not size or usage is None:
        return bad(TOPIC, title, f"the size of {source} cannot be read", "run this as root")
    unused = (whole - start - size) / whole
    # An ext4 file system shows some per cent less than its partition.
    inside = usage.total / (size * 512)
    text = f"{usage.total / 1e9:.1f} GB of a card of {whole * 512 / 1e9:.1f} GB"
    if unused > _UNUSED or inside < 0.85:
        return bad(TOPIC, title, text, "sudo raspi-config: Advanced Options, Expand Filesystem; then restart")
    return good(TOPIC, title, text)


def _supply(probes: Probes) -> Line:
    title = "supply and temperature"
    output = probes.run(["vcgencmd", "get_throttled"])
    match = re.search(r"throttled=(0x[0-9a-fA-F]+)", output.text)
    if match is None:
        return none(TOPIC, title, "vcgencmd tells nothing here")
    value = int(match[1], 16)
    now = [name for bit, name in _THROTTLED.items() if value >> bit & 1]
    since = [name for bit, name in _THROTTLED.items() if value >> (bit + 16) & 1]
    if now:
        return bad(TOPIC, title, ", ".join(now), "check the 5 V supply and its cable under load, and the case's shade")
    if since:
        return bad(TOPIC, title, f"{', '.join(since)} since the start", "check the 5 V supply and its cable under load")
    return good(TOPIC, title, "no under-voltage and no throttling since the start")


def _space(settings: InstallSettings, probes: Probes) -> Iterator[Line]:
    storage = settings.instrument.storage_of(settings.node)
    usage = probes.usage(settings.data)
    if usage is None or not usage.total:
        yield bad(TOPIC, "free space", f"{settings.data} cannot be looked at", "check instrument.storage.folder")
        return
    need = max(storage.minimum_free_fraction * usage.total, storage.minimum_free_bytes)
    text = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB for {settings.data}"
    cameras = sum(device.type == "camera" for device in settings.node.enabled)
    if cameras:
        period = settings.instrument.acquisition.period_s
        days = (usage.free - need) / (cameras * _ITEM_BYTES * 43_200 / period)
        text += f", about {max(0.0, days):.0f} days of 12 h"
    if usage.free < need:
        yield bad(
            TOPIC,
            "free space",
            text,
            "deliver the data and let it be deleted, or fit a larger disk (the limit: storage.minimum_free_*)",
        )
    else:
        yield good(TOPIC, "free space", text)


def _packages(settings: InstallSettings, probes: Probes) -> Line:
    title = "packages"
    if is_made_up(settings.node):
        return none(TOPIC, title, _BENCH)
    wanted = packages(settings)
    output = probes.run(["dpkg-query", "--show", "--showformat=${Package} ${Status}\n", *wanted], 20.0)
    if output.code == 127:
        return none(TOPIC, title, "not a Debian system")
    there = {line.split()[0] for line in output.text.splitlines() if line.endswith("install ok installed")}
    missing = [name for name in wanted if name not in there]
    if missing:
        return bad(TOPIC, title, f"missing: {', '.join(missing)}", f"sudo apt install {' '.join(missing)}")
    return good(TOPIC, title, f"all {len(wanted)} are installed")


def _year(probes: Probes) -> Line:
    now = probes.now()
    text = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now.year < 2024:
        return bad(CLOCK, "date", text, "wait for GPS or NTP, or set the power board's clock; then check again")
    return good(CLOCK, "date", text)


def _zone(probes: Probes) -> Line:
    zone = (probes.link("/etc/localtime") or "").partition("/zoneinfo/")[2] or "unknown"
    if zone.split("/")[-1] in ("UTC", "UCT", "Zulu", "Universal", "Etc"):
        return good(CLOCK, "time zone", zone)
    return bad(CLOCK, "time zone", zone, "sudo timedatectl set-timezone UTC")


def _synchronised(probes: Probes) -> Line:
    title = "synchronised"
    output = probes.run(["chronyc", "-c", "tracking"])
    if output.code == 127:
        return bad(CLOCK, title, "chrony is not installed", "sudo apt install chrony, then install the node again")
    fields = output.text.strip().split(",")
    if output.code or len(fields) < 14:
        return bad(CLOCK, title, "chrony does not answer", "sudo systemctl restart chrony")
    source, offset, leap = fields[1] or fields[0], _decimal(fields[4]), fields[13]
    if leap == "Not synchronised" or offset is None:
        return bad(CLOCK, title, "to nothing yet", "wait some minutes with sky above the GPS, or check the network")
    text = f"to {source}, {1000 * abs(offset):.1f} ms off"
    if abs(offset) > _BEHIND_S:
        return bad(CLOCK, title, text, "wait until the clock has settled, and check again")
    return good(CLOCK, title, text)


def _gps(settings: InstallSettings, probes: Probes) -> Line:
    title = "GPS"
    device = settings.node.time.gps
    if device is None:
        return none(CLOCK, title, "this node has none")
    if probes.link(device) is None:
        return bad(CLOCK, title, f"{device} is not there", "check the cable, and enable_uart=1 in the boot settings")
    console = probes.read("/boot/firmware/cmdline.txt") or ""
    if device.startswith("/dev/serial") and re.search(r"console=(serial0|ttyAMA0|ttyS0)", console):
        return bad(CLOCK, title, "the serial port is a console", "sudo raspi-config: Serial Port, no login shell")
    for line in probes.run(["chronyc", "-c", "sources"]).text.splitlines():
        fields = line.split(",")
        if len(fields) >= 7 and fields[2] in ("NMEA", "PPS"):
            reach = fields[5]
            if reach.strip("0") == "":
                return bad(
                    CLOCK, title, f"{device} gives no time", "give the antenna a free sky, and wait some minutes"
                )
            return good(CLOCK, title, f"{device} gives time ({fields[2]})")
    return bad(CLOCK, title, "chrony does not use it", "install the node again, and sudo systemctl restart gpsd chrony")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdecimal() else None


def _decimal(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
