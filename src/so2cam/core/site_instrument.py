"""The models of the instrument in the site file: its computers (nodes), what they capture, keep and watch."""

import ipaddress
import re
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from so2cam.core.site_devices import CameraDevice, Device, GpioDevice, PowerDevice, SpectrometerDevice
from so2cam.core.site_link import Link
from so2cam.core.site_schedule import Schedule
from so2cam.core.site_types import Finite, NotNegative, Table

SHORTEST_PERIOD_S: Final = 0.25
LONGEST_PERIOD_S: Final = 3600.0

NodeName = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
Period = Annotated[float, Field(ge=SHORTEST_PERIOD_S, le=LONGEST_PERIOD_S, allow_inf_nan=False)]
Interface = Annotated[str, Field(min_length=1, max_length=15, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
_QUANTITY = re.compile(r"[a-z][a-z0-9_]*(\.[A-Za-z0-9_-]+)*")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?")


class AccessPoint(Table):
    """A Wi-Fi network of the node's own, for a phone beside the case. Its password is no part of this file."""

    ssid: str = Field(min_length=1, max_length=32)
    interface: Interface = "wlan0"
    address: str = Field(default="10.42.7.1/24", description="of the node in this network, with its prefix length")
    country: str = Field(default="CL", pattern=r"^[A-Z]{2}$", description="two letters, whose radio rules apply")

    @field_validator("address")
    @classmethod
    def _interface_address(cls, value: str) -> str:
        return _checked_address(value)


class Network(Table):
    """How a node is reached. A new address is one line here and `so2cam instrument install`."""

    address: str | None = Field(
        default=None, description="with its prefix length, as 192.168.5.5/24; absent: by DHCP, and by its name"
    )
    interface: Interface = "eth0"
    gateway: str | None = Field(default=None, description="of the way out; absent: none")
    dns: tuple[str, ...] = ()
    service: Literal["none", "link-local", "shared"] = Field(
        default="link-local",
        description="what a laptop plugged into the port gets: an address by DHCP from the node (shared), "
        "a link-local address beside the fixed one (link-local), or nothing",
    )
    service_address: str = Field(
        default="10.42.6.1/24", description="for service = shared: the node's address on the port, beside its own"
    )
    access_point: AccessPoint | None = None

    @field_validator("address", "service_address")
    @classmethod
    def _addresses(cls, value: str | None) -> str | None:
        return None if value is None else _checked_address(value)

    @field_validator("gateway", "dns")
    @classmethod
    def _hosts(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        for text in (value,) if isinstance(value, str) else value or ():
            try:
                ipaddress.ip_address(text)
            except ValueError:
                raise ValueError(f"{text!r} is no address, like 192.168.5.1") from None
        return value

    @model_validator(mode="after")
    def _gateway_in_reach(self) -> Self:
        if self.gateway is not None and self.address is not None:
            network = ipaddress.ip_interface(self.address).network
            if ipaddress.ip_address(self.gateway) not in network:
                raise ValueError(f"gateway {self.gateway} is not within {network}, the network of address")
        return self


class Time(Table):
    """Where the node's clock gets the time from."""

    gps: str | None = Field(default=None, description="device of a GPS receiver, as /dev/serial0")
    pps: str | None = Field(default=None, description="device of its pulse per second, as /dev/pps0")
    servers: tuple[str, ...] = Field(default=(), description="of the network time protocol, beside the lead's")

    @field_validator("servers")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if not _HOST.fullmatch(text):
                raise ValueError(f"{text!r} is no host name or address")
        return value


class Mirror(Table):
    """A second copy of everything on an external disk, found when it is plugged in; never waited for."""

    label: str | None = Field(default=None, min_length=1, max_length=32, description="of the disk's file system")
    path: str | None = Field(default=None, min_length=1, description="a folder, where the disk is mounted already")
    folder: str = Field(default="so2cam", min_length=1, description="on the disk")
    when_full: Literal["drop-delivered", "wait"] = Field(
        default="drop-delivered",
        description="the oldest copies of what every receiver has go, never an only copy; or nothing does, and the "
        "mirror waits for another disk",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.label is None) == (self.path is None):
            raise ValueError("give either label or path")
        return self


class Storage(Table):
    """Where a node keeps its data, and what it deletes when the disk fills up: delivered data first, oldest first."""

    folder: str = Field(default="data", min_length=1, description="relative to the site file; one for each node below")
    layout: Literal["hour", "day", "flat"] = Field(
        default="hour", description="folders: YYYY/MM/DD/HH, YYYY-MM-DD, or none"
    )
    names: Literal[1, 2] = Field(default=2, description="generation of existing instruments whose names are written")
    minimum_free_fraction: float = Field(
        default=0.10, ge=0, lt=0.9, description="of the disk: below, delivered data is deleted"
    )
    minimum_free_bytes: int = Field(default=200_000_000, ge=0, description="as above; the larger of the two holds")
    delete_undelivered: bool = Field(
        default=False, description="true: when nothing delivered is left, undelivered data goes too, and is counted"
    )
    compression: int = Field(default=1, ge=0, le=9, description="of images; higher is smaller and slower")
    mirror: Mirror | None = None


class Acquisition(Table):
    """What is captured, and when: on the grid of whole multiples of the period since 1970, UTC."""

    period_s: Period = Field(default=4.0, description="of the cameras")
    spectrum_period_s: Period | None = Field(default=None, description="of the spectrometers; absent: the cameras'")
    kind: Literal["plume", "clear", "test"] = "plume"
    start: Literal["schedule", "running", "stopped"] = Field(
        default="schedule", description="after a start of the agent: as the schedule says (always, without one)"
    )
    queue: int = Field(
        default=24, ge=2, le=1000, description="items of a device that wait in memory while the disk refuses"
    )


class DarkSets(Table):
    """Dark frames: taken at the exposures that were used, and kept only where they are dark."""

    repeats: int = Field(default=3, ge=1, le=100, description="items at each exposure")
    maximum_exposures: int = Field(default=12, ge=1, le=64, description="most used first")
    tolerance: float = Field(default=0.05, gt=0, le=0.5, description="relative; exposures this close count as one")
    maximum_level: float = Field(
        default=0.08, gt=0, lt=1, description="share of the full scale above which an item is not dark"
    )


class Alarm(Table):
    """A condition on a value of the health record, with hysteresis."""

    name: str = Field(min_length=1, max_length=64)
    quantity: str = Field(description="as disks.spool.free_fraction or devices.camera-on.last_item_age_s")
    above: Finite | None = Field(default=None, description="the alarm begins above this value")
    below: Finite | None = Field(default=None, description="the alarm begins below this value")
    clear: Finite | None = Field(
        default=None, description="it ends at this value; absent: 5 % of the threshold within it"
    )
    for_s: NotNegative = Field(default=0.0, description="how long the condition must hold first")
    level: Literal["warning", "alarm"] = "alarm"

    @field_validator("quantity")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if not _QUANTITY.fullmatch(value):
            raise ValueError("must be like disks.spool.free_fraction")
        return value

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("give either above or below")
        if self.clear is not None and (
            (self.above is not None and self.clear > self.above) or (self.below is not None and self.clear < self.below)
        ):
            raise ValueError("clear must lie on the good side of the threshold")
        return self

    @property
    def threshold(self) -> float:
        """The value beyond which the alarm begins."""
        return self.above if self.above is not None else float(self.below or 0.0)


class Health(Table):
    """How the instrument watches itself."""

    interval_s: float = Field(default=60.0, ge=1, le=3600, description="of the records")
    late_periods: float = Field(
        default=5.0,
        ge=2,
        description="a device whose last item is older than this many periods (10 s at least) is late",
    )
    log_bytes: int = Field(default=2_000_000, ge=10_000, description="size at which a log file is turned over")
    log_files: int = Field(default=5, ge=1, le=100)


class Node(Table):
    """One computer of the instrument."""

    name: NodeName = Field(description="also its host name: NAME.local")
    role: Literal["lead", "follower", "single"] = Field(
        default="single", description="lead: has the power board, serves the time; follower: is switched by the lead"
    )
    network: Network = Network()
    time: Time = Time()
    storage: Storage | None = Field(default=None, description="absent: as in [instrument.storage]")
    link: Link | None = Field(default=None, description="absent: as in [instrument.link]")
    devices: tuple[Device, ...] = ()

    @model_validator(mode="after")
    def _plain_names(self) -> Self:
        names = [device.name for device in self.devices]
        for name in names:
            if not _WORD.fullmatch(name):
                raise ValueError(f"devices: the name {name!r} must have letters, digits and _ . - only")
        return self

    @property
    def enabled(self) -> tuple[Device, ...]:
        """The devices that are used."""
        return tuple(device for device in self.devices if device.enabled)

    @property
    def instruments(self) -> tuple[CameraDevice | SpectrometerDevice, ...]:
        """The devices that capture."""
        return tuple(device for device in self.enabled if isinstance(device, CameraDevice | SpectrometerDevice))

    @property
    def power(self) -> PowerDevice | None:
        """The power board, if there is one."""
        return next((device for device in self.enabled if isinstance(device, PowerDevice)), None)

    @property
    def gpio(self) -> GpioDevice | None:
        """The wires to other computers, if there are any."""
        return next((device for device in self.enabled if isinstance(device, GpioDevice)), None)


class Instrument(Table):
    """The instrument: from one computer with everything to several."""

    acquisition: Acquisition = Acquisition()
    darks: DarkSets = DarkSets()
    storage: Storage = Storage()
    health: Health = Health()
    schedule: Schedule | None = Field(default=None, description="absent: it captures always")
    alarms: tuple[Alarm, ...] = ()
    link: Link | None = Field(default=None, description="to the station and to people; absent: none")
    nodes: tuple[Node, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [node.name for node in self.nodes]
        if "all" in names:
            raise ValueError("nodes: 'all' means every node; call this one something else")
        for name in sorted(set(names)):
            if names.count(name) > 1:
                raise ValueError(f"nodes: two nodes are called {name!r}")
        if sum(node.role == "lead" for node in self.nodes) > 1:
            raise ValueError("nodes: only one can be the lead")
        followers = [node.name for node in self.nodes if node.role == "follower"]
        if followers and not any(node.role == "lead" for node in self.nodes):
            raise ValueError(f"nodes: {followers[0]!r} is a follower, and no node is the lead")
        devices = [device.name for node in self.nodes for device in node.devices]
        for name in sorted(set(devices)):
            if devices.count(name) > 1:
                raise ValueError(f"nodes: two devices are called {name!r}; each needs a name of its own")
        addresses = [str(ipaddress.ip_interface(n.network.address).ip) for n in self.nodes if n.network.address]
        for address in sorted(set(addresses)):
            if addresses.count(address) > 1:
                raise ValueError(f"nodes: two nodes have the address {address}")
        ports = [(self.link_address_of(n), link.port) for n in self.nodes if (link := self.link_of(n)) is not None]
        for address, port in sorted(set(ports)):
            if ports.count((address, port)) > 1:
                raise ValueError(f"nodes: two nodes listen on {address}, port {port}; give each its own link.port")
        alarms = [alarm.name for alarm in self.alarms]
        for name in sorted(set(alarms)):
            if alarms.count(name) > 1:
                raise ValueError(f"alarms: two alarms are called {name!r}")
        return self

    def node(self, name: str) -> Node:
        """Return the node of this name. Raises KeyError where there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def lead(self) -> Node | None:
        """The node that leads, if there are several."""
        return next((node for node in self.nodes if node.role == "lead"), None)

    def storage_of(self, node: Node) -> Storage:
        """Return where a node keeps its data."""
        return node.storage or self.storage

    def link_of(self, node: Node) -> Link | None:
        """Return how a node is reached over the network; None where it is not."""
        return node.link or self.link

    def link_address_of(self, node: Node) -> str:
        """Return the address that a node listens on: as set, or its own, or this computer alone."""
        link = self.link_of(node)
        if link is not None and link.address is not None:
            return link.address
        return "127.0.0.1" if node.network.address is None else str(ipaddress.ip_interface(node.network.address).ip)


def _checked_address(value: str) -> str:
    try:
        found = ipaddress.ip_interface(value)
    except ValueError:
        raise ValueError(f"{value!r} is no address with a prefix length, like 192.168.5.5/24") from None
    if "/" not in value:
        raise ValueError(f"{value!r} lacks the prefix length, as in {value}/24")
    if found.network.prefixlen < found.max_prefixlen - 1 and found.ip in (
        found.network.network_address,
        found.network.broadcast_address,
    ):
        raise ValueError(f"{value!r} is the address of the network itself, or of all in it, not of one node")
    return value


__all__ = [
    "AccessPoint",
    "Acquisition",
    "Alarm",
    "DarkSets",
    "Health",
    "Instrument",
    "Mirror",
    "Network",
    "Node",
    "Storage",
    "Time",
]
