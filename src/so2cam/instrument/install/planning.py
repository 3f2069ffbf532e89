"""From the site file to the plan of one node's installation."""

import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Final

from so2cam.formats.sitefile import LoadedSite
from so2cam.instrument.install.basics import basic_files
from so2cam.instrument.install.devices import UDEV, boot_files, device_files, mirror_label
from so2cam.instrument.install.files import InstallCommand, InstallFile, InstallPlan
from so2cam.instrument.install.hooks import hook_files
from so2cam.instrument.install.network import PROFILES, name_files, network_files
from so2cam.instrument.install.settings import (
    BOARD_SOFTWARE,
    PROGRAM,
    STATE,
    InstallError,
    InstallSettings,
    require_node,
)
from so2cam.instrument.install.timekeeping import CHRONY, GPSD, time_files
from so2cam.instrument.install.units import AGENT, UNITS, enabled_units, unit_files

_PATH: Final = re.compile(r"/?[A-Za-z0-9_.,+@-]+(/[A-Za-z0-9_.,+@-]+)*")
_DEVICE: Final = re.compile(r"/dev/[A-Za-z0-9_./-]+")


def install_settings(
    loaded: LoadedSite, node: str, *, program: str = PROGRAM, password: str | None = None, by_hand: bool = False
) -> InstallSettings:
    """Return everything that the installation of ``node`` is made from; ``by_hand``: it runs where the site file is.

    Raises InstrumentError where there is no such node, and InstallError where the site file names a folder or a device
    that cannot stand in the system's files, or a file that cannot be read.
    """
    instrument, found = require_node(loaded.site, node, loaded.path)
    _require(_PATH, program, "--program")
    if not by_hand:
        _require(_PATH, instrument.storage_of(found).folder, "instrument.storage.folder")
    for key, device in (("gps", found.time.gps), ("pps", found.time.pps)):
        if device is not None:
            _require(_DEVICE, device, f"instrument.nodes.time.{key}")
    try:
        content = loaded.path.read_bytes()
    except OSError as error:
        raise InstallError(f"cannot be read: {error.strerror}", file=loaded.path) from error
    settings = InstallSettings(
        site=loaded.site,
        instrument=instrument,
        node=found,
        site_bytes=content,
        site_files=tuple(_named_files(loaded, content)),
        base=str(loaded.path.parent.resolve()) if by_hand else STATE,
        program=program,
        access_point_password=password,
    )
    mirror_label(settings)
    return settings


def plan_install(settings: InstallSettings) -> InstallPlan:
    """Return all files of the node, the commands that put them to use, the packages they need, and notes."""
    files = [
        *basic_files(settings),
        *network_files(settings),
        *name_files(settings),
        *time_files(settings),
        *device_files(settings),
        *boot_files(settings),
        *hook_files(settings),
        *unit_files(settings),
    ]
    return InstallPlan(
        node=settings.node.name,
        files=tuple(files),
        commands=tuple(_commands(settings, files)),
        packages=packages(settings),
        notes=tuple(_notes(settings)),
    )


def packages(settings: InstallSettings) -> tuple[str, ...]:
    """Return the Debian packages that the node needs, beside those of every Raspberry Pi OS."""
    node = settings.node
    names = {"network-manager", "chrony", "avahi-daemon", "i2c-tools", "exfatprogs", "ntfs-3g", "polkitd", "usbutils"}
    if node.network.service == "shared" or node.network.access_point is not None:
        names.add("dnsmasq-base")
    if node.time.gps is not None:
        names.add("gpsd")
    if node.time.pps is not None:
        names.add("pps-tools")
    if any(device.driver == "picamera2" for device in node.enabled):
        names.add("python3-picamera2")
    return tuple(sorted(names))


def _commands(settings: InstallSettings, files: list[InstallFile]) -> list[InstallCommand]:
    units, hosts = f"{UNITS}/so2cam-", ("/etc/hostname", "/etc/hosts")
    agent = (f"{UNITS}/{AGENT}", f"{STATE}/")
    commands = [
        InstallCommand(("systemd-sysusers", "/etc/sysusers.d/so2cam.conf"), "make the user", ("/etc/sysusers.d/",)),
        InstallCommand(
            ("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/so2cam.conf"), "make the folders", ("/etc/tmpfiles.d/",)
        ),
        InstallCommand(("udevadm", "control", "--reload"), "read the device rules", (UDEV,)),
        InstallCommand(("udevadm", "trigger", "--subsystem-match=usb"), "apply them to what is there", (UDEV,)),
        InstallCommand(
            ("sysctl", "--quiet", "--load=/etc/sysctl.d/60-so2cam.conf"), "set the kernel", ("/etc/sysctl.d/",)
        ),
        InstallCommand(
            ("systemctl", "daemon-reload"),
            "read the services",
            (units, "/etc/systemd/system.conf.d/"),
        ),
        InstallCommand(("systemctl", "restart", "systemd-journald"), "limit the journal", ("/etc/systemd/journald",)),
        InstallCommand(("hostnamectl", "set-hostname", settings.node.name), "set the name", hosts),
        InstallCommand(("systemctl", "try-restart", "avahi-daemon"), "announce the name", (*hosts, "/etc/avahi/")),
        InstallCommand(("systemctl", "try-restart", "chrony"), "set the clock's sources", (CHRONY,)),
        InstallCommand(
            ("systemctl", "enable", *enabled_units(settings)), "start the services with the system", (units,)
        ),
        InstallCommand(("systemctl", "start", "--no-block", *enabled_units(settings)[1:]), "start the hooks", (units,)),
        InstallCommand(("systemctl", "restart", AGENT), "start the agent with the new settings", agent, 150.0),
    ]
    if settings.node.time.gps is not None:
        commands.append(InstallCommand(("systemctl", "restart", "gpsd"), "read the GPS", (GPSD,)))
    if settings.node.network.access_point is not None:
        commands.append(InstallCommand(("rfkill", "unblock", "wifi"), "switch Wi-Fi on", (PROFILES,)))
    commands.append(InstallCommand(("nmcli", "connection", "reload"), "read the network profiles", (PROFILES,)))
    for file in files:
        if file.path.startswith(PROFILES):
            name = Path(file.path).name.removesuffix(".nmconnection")
            commands.append(
                InstallCommand(
                    ("nmcli", "--wait", "30", "connection", "up", name),
                    "use the new addresses",
                    (file.path,),
                    cuts_connection=True,
                )
            )
    return commands


def require_board_alone(settings: InstallSettings, root: Path) -> None:
    """Raise InstallError where the board's own software is below ``root`` and would do what so2cam does, too."""
    if settings.drives_board and (root / BOARD_SOFTWARE.lstrip("/")).exists():
        raise InstallError(
            "the power board's own software is installed, and this site file leaves the board to the agent",
            file=root / BOARD_SOFTWARE.lstrip("/"),
            key="instrument.schedule.power.board_folder",
            remedy="set the key to the software's folder, like /opt/wittypi, or remove the software",
        )


def _notes(settings: InstallSettings) -> list[str]:
    node = settings.node
    notes = [f"reached as {node.name}.local from a laptop or phone on its port; no fixed address is needed"]
    if node.network.address is not None:
        notes.append(f"fixed address {ipaddress.ip_interface(node.network.address).ip} on {node.network.interface}")
    if node.network.service == "shared":
        notes.append(
            f"{node.network.interface} gives addresses to everything on its cable: do not connect it to a network "
            "that has a DHCP server of its own"
        )
    if node.network.access_point is not None:
        notes.append(f"Wi-Fi network {node.network.access_point.ssid!r}; its password is in the secrets file")
    if settings.drives_board:
        notes.append(
            "the agent sets the power board's alarms itself; the board's own software must not be installed beside it, "
            "or be named in instrument.schedule.power.board_folder"
        )
    notes.append("boot settings take effect with the next start")
    return notes


def _named_files(loaded: LoadedSite, content: bytes) -> list[tuple[str, bytes]]:
    """Return the line files that the site file names: without them it could not be read on the node."""
    found = {}
    for index, line in enumerate(tomllib.loads(content.decode("utf-8-sig"))["lines"]):
        name = line.get("file")
        if name is None:
            continue
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InstallError(
                "cannot come along to the node",
                file=loaded.path,
                key=f"lines[{index}].file",
                value=name,
                remedy="put the line file into the site file's folder, or one below it",
            )
        found[Path(name).as_posix()] = (loaded.path.parent / name).read_bytes()
    return sorted(found.items())


def _require(pattern: re.Pattern[str], text: str, key: str) -> None:
    if not pattern.fullmatch(text) or ".." in text.split("/"):
        raise InstallError(
            "cannot stand in the system's files",
            key=key,
            value=text,
            remedy="use letters, digits and _ . , + @ - between slashes, and no .. (a relative folder lies below "
            f"{STATE})",
        )
