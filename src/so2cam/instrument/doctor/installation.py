"""Permissions, services, power hooks, network: whether the node is installed as its site file says."""

import ipaddress
import json
from collections.abc import Iterator
from typing import Final

from so2cam.instrument.doctor.probes import Probes
from so2cam.instrument.doctor.report import Line, bad, good, none
from so2cam.instrument.install.applying import Comparison
from so2cam.instrument.install.network import address_of
from so2cam.instrument.install.settings import HOOKS, SITE_FILE, STATE, USER, InstallSettings, is_made_up
from so2cam.instrument.install.units import AGENT, GROUPS, enabled_units

TOPIC: Final = "installation"
LINK: Final = "link"
_INSTALL: Final = "sudo so2cam instrument install SITE --node {node}"


def check_installation(settings: InstallSettings, probes: Probes, comparison: Comparison | None) -> Iterator[Line]:
    """Yield the lines about files, users and services; ``comparison`` None: the files cannot be read."""
    if is_made_up(settings.node):
        yield none(TOPIC, "services", "a bench without hardware runs by hand")
        return
    remedy = _INSTALL.format(node=settings.node.name)
    yield _files(comparison, remedy)
    yield _user(probes, remedy)
    yield _permissions(probes, settings, remedy)
    yield _hooks(probes, settings, remedy)
    yield from _services(probes, settings, remedy)


def _files(comparison: Comparison | None, remedy: str) -> Line:
    title = "files of the system"
    if comparison is None:
        return none(TOPIC, title, "cannot be read; run this as root")
    pending = comparison.pending
    if pending:
        names = ", ".join(change.path for change in pending[:3]) + (" and more" if len(pending) > 3 else "")
        return bad(TOPIC, title, f"{len(pending)} are not as the site file says: {names}", remedy)
    return good(TOPIC, title, f"all {len(comparison.plan.files)} are as the site file says")


def _user(probes: Probes, remedy: str) -> Line:
    output = probes.run(["id", "--name", "--groups", USER])
    if output.code:
        return bad(TOPIC, "user", f"there is no user {USER}", remedy)
    missing = [group for group in GROUPS if group not in output.text.split()]
    if missing:
        return bad(TOPIC, "user", f"{USER} is not in {', '.join(missing)}", remedy)
    return good(TOPIC, "user", f"{USER}, with cameras, I2C, GPIO and USB")


def _permissions(probes: Probes, settings: InstallSettings, remedy: str) -> Line:
    title = "permissions"
    for path in dict.fromkeys((STATE, settings.data)):
        status = probes.status(path)
        if status is None and path == settings.data:
            continue  # The agent makes it.
        if status is None or status.owner != USER:
            found = "is missing" if status is None else f"belongs to {status.owner}"
            return bad(TOPIC, title, f"{path} {found}", f"sudo chown -R {USER}:{USER} {path}; {remedy}")
    site = probes.status(SITE_FILE)
    if site is None or not (site.owner == USER or site.mode & 0o004):
        return bad(TOPIC, title, f"{SITE_FILE} cannot be read by {USER}", remedy)
    return good(TOPIC, title, f"{STATE} and the data belong to {USER}")


def _hooks(probes: Probes, settings: InstallSettings, remedy: str) -> Line:
    title = "power hooks"
    paths = [HOOKS, f"{HOOKS}/__main__.py"]
    schedule = settings.instrument.schedule
    if schedule is not None and schedule.power.board_folder is not None and settings.node.power is not None:
        paths += [schedule.power.board_folder, f"{schedule.power.board_folder}/runScript.sh"]
    for path in paths:
        status = probes.status(path)
        if status is None:
            what = remedy if path.startswith(HOOKS) else f"install the board's software into {path.rpartition('/')[0]}"
            return bad(TOPIC, title, f"{path} is missing", what)
        if status.owner != "root" or status.mode & 0o022:
            return bad(
                TOPIC,
                title,
                f"{path} can be changed by others than root",
                f"sudo chown -R root:root {path}; sudo chmod -R go-w {path}",
            )
    output = probes.run(["/usr/bin/python3", "-I", "-S", HOOKS, "--help"])
    if output.code:
        return bad(TOPIC, title, "they do not run", f"sudo /usr/bin/python3 -I -S {HOOKS} --help shows why")
    return good(TOPIC, title, "belong to root, and run")


def _services(probes: Probes, settings: InstallSettings, remedy: str) -> Iterator[Line]:
    for unit in enabled_units(settings):
        enabled = probes.run(["systemctl", "is-enabled", unit])
        if enabled.text.strip() != "enabled":
            state = enabled.text.strip().splitlines()[-1:] or ["systemctl does not answer"]
            yield bad(TOPIC, unit, f"does not start by itself ({state[0]})", remedy)
            continue
        active = probes.run(["systemctl", "is-active", unit]).text.strip()
        if active != "active":
            yield bad(
                TOPIC, unit, f"is {active or 'unknown'}", f"sudo systemctl restart {unit}; journalctl -u {unit} -n 50"
            )
        else:
            yield good(TOPIC, unit, "starts with the system, and runs" if unit == AGENT else "is in place")


# --- the way to others -------------------------------------------------------------------------------------------


def check_link(settings: InstallSettings, probes: Probes) -> Iterator[Line]:
    """Yield the lines about the network."""
    if is_made_up(settings.node):
        yield none(LINK, "network", "a bench without hardware is reached here")
        return
    network = settings.node.network
    carrier = (probes.read(f"/sys/class/net/{network.interface}/carrier") or "").strip()
    if carrier != "1":
        yield bad(LINK, "cable", f"{network.interface} has no connection", "check the cable, and the switch's light")
    else:
        yield good(LINK, "cable", f"{network.interface} is connected")
    yield _address(settings, probes)
    if network.gateway is not None:
        code = probes.run(["ping", "-c", "1", "-W", "2", network.gateway], 5.0).code
        yield (
            good(LINK, "gateway", f"{network.gateway} answers")
            if code == 0
            else bad(LINK, "gateway", f"{network.gateway} is silent", "check the radio or modem, and network.gateway")
        )
    active = probes.run(["systemctl", "is-active", "avahi-daemon"]).text.strip()
    name = f"{settings.node.name}.local"
    if active != "active":
        yield bad(LINK, "name", f"{name} is not announced", "sudo systemctl enable --now avahi-daemon")
    else:
        yield good(LINK, "name", name)
    for node in settings.instrument.nodes:
        if node.name != settings.node.name:
            address = address_of(node.network, node.name)
            answer = probes.connect(address, 22)
            yield (
                bad(LINK, f"to {node.name}", f"{address} is silent", "check its power, cable and address")
                if answer == "silent"
                else good(LINK, f"to {node.name}", f"{address} answers")
            )


def _address(settings: InstallSettings, probes: Probes) -> Line:
    network = settings.node.network
    output = probes.run(["ip", "-json", "address", "show", "dev", network.interface])
    try:
        listed = json.loads(output.text)
        found = [f"{each['local']}/{each['prefixlen']}" for entry in listed for each in entry.get("addr_info", ())]
    except (ValueError, KeyError, TypeError, AttributeError):
        found = []
    remedy = _INSTALL.format(node=settings.node.name)
    if network.address is None:
        usable = [each for each in found if not ipaddress.ip_interface(each).is_link_local]
        if usable:
            return good(LINK, "address", ", ".join(usable))
        return bad(
            LINK, "address", "none was given by the network", "check that it has a DHCP server, or set network.address"
        )
    if network.address in found:
        return good(LINK, "address", ", ".join(found))
    return bad(LINK, "address", f"{', '.join(found) or 'none'} instead of {network.address}", remedy)
