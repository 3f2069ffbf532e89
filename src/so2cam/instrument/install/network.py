"""Network profiles for NetworkManager, in the form of nm-settings-keyfile(5), and the node's names."""

import ipaddress
import re
import uuid
from typing import Final

from so2cam.core.site_instrument import AccessPoint, Network
from so2cam.instrument.install.files import HEADER, InstallFile, block_file, text_file
from so2cam.instrument.install.settings import InstallError, InstallSettings

PROFILES: Final = "/etc/NetworkManager/system-connections"
_NAMESPACE: Final = uuid.UUID("1d2b2e0c-8b6e-5a52-9f0e-54b3d1b5a6c3")
_LINK_LOCAL: Final = 3
"""NMSettingIP4LinkLocal "enabled" (NetworkManager 1.40): a 169.254 address beside all others"""
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def network_files(settings: InstallSettings) -> list[InstallFile]:
    """Return the profiles of the node: its port, and its access point if it has one."""
    node = settings.node
    _require_usable(node.network)
    files = [_profile(f"so2cam-{node.network.interface}", _wired(node.name, node.network))]
    if node.network.access_point is not None:
        if settings.access_point_password is None:
            raise InstallError(
                "the access point needs a password",
                key="access_point.password",
                remedy="give a secrets file, or leave it out to have a password made",
            )
        files.append(_profile("so2cam-ap", _access_point(node.name, node.network.access_point, settings)))
        country = node.network.access_point.country
        files.append(text_file("/etc/modprobe.d/so2cam-wifi.conf", [f"options cfg80211 ieee80211_regdom={country}"]))
    return files


def name_files(settings: InstallSettings) -> list[InstallFile]:
    """Return the host name, the other nodes' addresses, and the announcement by which phones find the node."""
    node = settings.node
    hosts = [f"127.0.1.1\t{node.name}.local {node.name}"]
    for other in settings.instrument.nodes:
        if other.name != node.name and other.network.address is not None:
            address = ipaddress.ip_interface(other.network.address).ip
            hosts.append(f"{address}\t{other.name}.local {other.name}")
    return [
        text_file("/etc/hostname", [node.name], header=False),
        block_file("/etc/hosts", hosts),
        text_file("/etc/avahi/services/so2cam.service", _announcement(node.role), header=False),
    ]


def address_of(network: Network, name: str) -> str:
    """Return where a node is reached: its fixed address, or its name."""
    return f"{name}.local" if network.address is None else str(ipaddress.ip_interface(network.address).ip)


def _profile(name: str, sections: list[tuple[str, list[str]]]) -> InstallFile:
    lines = [HEADER]
    for title, keys in sections:
        lines += ["", f"[{title}]", *keys]
    # NetworkManager ignores profiles that others can read.
    return InstallFile(f"{PROFILES}/{name}.nmconnection", ("\n".join(lines) + "\n").encode(), 0o600, secret=True)


def _connection(name: str, node: str, kind: str, interface: str) -> tuple[str, list[str]]:
    return "connection", [
        f"id={name}",
        f"uuid={uuid.uuid5(_NAMESPACE, f'{node}/{name}')}",
        f"type={kind}",
        f"interface-name={interface}",
        "autoconnect=true",
        # Wins over profiles that an image brings along; tried for ever, because nobody is there to try again.
        "autoconnect-priority=100",
        "autoconnect-retries=0",
    ]


def _wired(node: str, network: Network) -> list[tuple[str, list[str]]]:
    addresses = [] if network.address is None else [network.address]
    if network.service == "shared":
        method, addresses = "shared", [network.service_address, *addresses]
    else:
        method = "manual" if addresses else "auto"
    ipv4 = [f"method={method}", *(f"address{index}={each}" for index, each in enumerate(addresses, 1))]
    if network.gateway is not None:
        ipv4.append(f"gateway={network.gateway}")
    elif method != "auto":
        ipv4.append("never-default=true")
    ipv4 += _dns(network, 4)
    if network.service != "none" and method != "shared":
        ipv4.append(f"link-local={_LINK_LOCAL}")
    if method == "auto":
        ipv4.append("may-fail=true")
    return [
        _connection(f"so2cam-{network.interface}", node, "ethernet", network.interface),
        ("ethernet", []),
        ("ipv4", ipv4),
        # A link-local address of its own: NAME.local works without any other address.
        ("ipv6", ["method=link-local", *_dns(network, 6)]),
    ]


def _dns(network: Network, version: int) -> list[str]:
    servers = [each for each in network.dns if ipaddress.ip_address(each).version == version]
    return ["dns=" + "".join(f"{each};" for each in servers)] if servers else []


def _require_usable(network: Network) -> None:
    for key, text in (("address", network.address), ("service_address", network.service_address)):
        if text is not None and ipaddress.ip_interface(text).version != 4:
            raise InstallError(
                "a fixed address is one of IPv4; of IPv6 each port has a link-local one by itself",
                key=f"instrument.nodes.network.{key}",
                value=text,
                remedy="write it like 192.168.5.5/24, or leave it out",
            )
    if network.gateway is not None and network.address is None:
        raise InstallError(
            "needs network.address: where the address comes by DHCP, so does the gateway",
            key="instrument.nodes.network.gateway",
            value=network.gateway,
            remedy="give the address too, or leave the gateway out",
        )


def _access_point(node: str, point: AccessPoint, settings: InstallSettings) -> list[tuple[str, list[str]]]:
    return [
        _connection("so2cam-ap", node, "wifi", point.interface),
        ("wifi", ["mode=ap", "band=bg", f"ssid={_ssid(point.ssid)}"]),
        (
            "wifi-security",
            [
                "key-mgmt=wpa-psk",
                "proto=rsn;",
                "pairwise=ccmp;",
                "group=ccmp;",
                f"psk={_escaped(settings.access_point_password or '')}",
            ],
        ),
        ("ipv4", ["method=shared", f"address1={point.address}"]),
        ("ipv6", ["method=link-local"]),
    ]


def _ssid(name: str) -> str:
    """Return the network's name: as text where that is unmistakable, else as bytes, which the format takes too."""
    return name if _PLAIN.fullmatch(name) else "".join(f"{byte};" for byte in name.encode())


def _escaped(text: str) -> str:
    """Return text as a keyfile's value: a backslash and a leading space would mean something else."""
    return text.replace("\\", "\\\\")


def _announcement(role: str) -> list[str]:
    return [
        '<?xml version="1.0" standalone="no"?>',
        f"<!-- {HEADER.removeprefix('# ')} -->",
        '<!DOCTYPE service-group SYSTEM "avahi-service.dtd">',
        "<service-group>",
        '  <name replace-wildcards="yes">SO2 camera %h</name>',
        "  <service>",
        "    <type>_ssh._tcp</type>",
        "    <port>22</port>",
        f"    <txt-record>role={role}</txt-record>",
        "  </service>",
        "</service-group>",
    ]
