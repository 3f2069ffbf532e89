"""The clock: chrony on every node, the receiver of a GPS, and UTC as the time zone.

The lead serves time to the follower even where it has none better than its own: what matters most is that both bands
have one clock. The follower steps to it at once, and later whenever it is a second off.
"""

import ipaddress
from typing import Final

from so2cam.core.site_instrument import Node
from so2cam.instrument.install.files import InstallFile, text_file
from so2cam.instrument.install.network import address_of
from so2cam.instrument.install.settings import InstallSettings

CHRONY: Final = "/etc/chrony/chrony.conf"
_POOL: Final = "pool 2.debian.pool.ntp.org iburst"
GPSD: Final = "/etc/default/gpsd"


def time_files(settings: InstallSettings) -> list[InstallFile]:
    """Return chrony's settings, gpsd's where there is a GPS, and the time zone.

    Chrony's file is written whole: where two lines speak of one thing, it takes the last.
    """
    node = settings.node
    lines = [
        "driftfile /var/lib/chrony/chrony.drift",
        "keyfile /etc/chrony/chrony.keys",
        "logdir /var/log/chrony",
        "confdir /etc/chrony/conf.d",
        "sourcedir /etc/chrony/sources.d",
        *(f"server {each} iburst" for each in node.time.servers),
    ]
    if node.role != "follower" and not node.time.servers:
        lines.append(_POOL)
    if node.role == "follower":
        lines += _from_lead(settings)
    if node.time.gps is not None:
        # The sentences of a serial receiver come some tenths of a second late: 0.3 s as a start, with its doubt.
        lines.append("refclock SHM 0 refid NMEA offset 0.3 delay 0.4 poll 4 filter 32")
    if node.time.pps is not None:
        lock = " lock NMEA" if node.time.gps is not None else ""
        lines.append(f"refclock PPS {node.time.pps} refid PPS{lock} prefer trust")
    if node.role == "lead":
        lines += _to_follower(settings)
    lines += ["maxupdateskew 100", "makestep 1 -1", "rtcsync"]
    files = [
        text_file(CHRONY, lines),
        InstallFile("/etc/localtime", link="/usr/share/zoneinfo/Etc/UTC"),
        text_file("/etc/timezone", ["Etc/UTC"], header=False),
    ]
    if node.time.gps is not None:
        devices = [node.time.gps] if node.time.pps is None else [node.time.gps, node.time.pps]
        files.append(
            text_file(
                GPSD, ['START_DAEMON="true"', f'DEVICES="{" ".join(devices)}"', 'GPSD_OPTIONS="-n"', 'USBAUTO="false"']
            )
        )
    return files


def _from_lead(settings: InstallSettings) -> list[str]:
    lead = settings.instrument.lead
    if lead is None:
        return []
    return [f"server {address_of(lead.network, lead.name)} iburst minpoll 2 maxpoll 5 prefer trust"]


def _to_follower(settings: InstallSettings) -> list[str]:
    networks = {
        ipaddress.ip_interface(node.network.address).network
        for node in (settings.node, *_followers(settings))
        if node.network.address is not None
    }
    # Without fixed addresses the nodes meet at link-local ones.
    allowed = sorted(map(str, networks)) or ["169.254.0.0/16", "fe80::/10"]
    return [*(f"allow {each}" for each in allowed), "local stratum 10"]


def _followers(settings: InstallSettings) -> list[Node]:
    return [node for node in settings.instrument.nodes if node.role == "follower"]
