"""What is valid but risky in the instrument of a site file."""

import ipaddress
from collections.abc import Iterator

from so2cam.core.health import HealthRecord
from so2cam.core.records import Band
from so2cam.core.site_devices import CameraDevice, SpectrometerDevice
from so2cam.core.site_instrument import Instrument, Node


def instrument_risks(instrument: Instrument) -> Iterator[str]:
    """Yield plain sentences, each beginning with its key."""
    for index, node in enumerate(instrument.nodes):
        key = f"instrument.nodes[{index}]"
        yield from _exposure_risks(instrument, node, key)
        if node.role == "lead" and node.gpio is None and any(one.role == "follower" for one in instrument.nodes):
            yield f"{key}.devices: the lead has no gpio device, so that it cannot switch the follower."
    bands = [d.band for node in instrument.nodes for d in node.instruments if isinstance(d, CameraDevice)]
    for band in Band:
        if band not in bands:
            yield f"instrument.nodes: there is no {band.value}-band camera; emission rates need both bands."
    for band in set(bands):
        if bands.count(band) > 1:
            yield f"instrument.nodes: {bands.count(band)} cameras have the {band.value} band."
    if instrument.schedule is None or not instrument.schedule.windows_for("darks"):
        yield "instrument.schedule: no window takes darks, so that there are none but those taken by hand."
    if instrument.storage.delete_undelivered:
        yield "instrument.storage.delete_undelivered: data that nobody has is deleted when the disk fills up."
    yield from _alarm_risks(instrument)
    yield from _link_risks(instrument)


def _exposure_risks(instrument: Instrument, node: Node, key: str) -> Iterator[str]:
    period_s = instrument.acquisition.period_s
    for index, device in enumerate(node.devices):
        if isinstance(device, CameraDevice):
            if device.enabled and device.maximum_exposure_s > 0.9 * period_s:
                yield (
                    f"{key}.devices[{index}].maximum_exposure_s: {device.maximum_exposure_s:g} s is nearly the "
                    f"period of {period_s:g} s or longer; in weak light {device.name} passes grid times over."
                )
        elif isinstance(device, SpectrometerDevice) and device.enabled:
            wanted_s = instrument.acquisition.spectrum_period_s or period_s
            longest_s = max(device.maximum_integration_time_s, device.total_time_s or 0.0)
            if longest_s > 0.9 * wanted_s:
                yield (
                    f"{key}.devices[{index}]: a spectrum takes up to {longest_s:g} s, and the period is "
                    f"{wanted_s:g} s; in weak light {device.name} passes grid times over."
                )


def _alarm_risks(instrument: Instrument) -> Iterator[str]:
    devices = {device.name for node in instrument.nodes for device in node.devices}
    for index, alarm in enumerate(instrument.alarms):
        first, _, rest = alarm.quantity.partition(".")
        name = rest.partition(".")[0]
        known = first in HealthRecord.model_fields
        if known and first == "devices":
            known = any(rest.startswith(f"{device}.") for device in devices)
        elif known and first == "disks":
            known = name in ("spool", "mirror")
        if not known:
            key = f"instrument.alarms[{index}].quantity"
            yield f"{key}: {alarm.quantity} is in no health record: this alarm never rings."


def _link_risks(instrument: Instrument) -> Iterator[str]:
    for index, node in enumerate(instrument.nodes):
        link = instrument.link_of(node)
        if link is None or link.dial == "instrument":
            continue
        key = "instrument.link" if node.link is None else f"instrument.nodes[{index}].link"
        address = ipaddress.ip_address(instrument.link_address_of(node))
        if address.is_unspecified:
            yield f"{key}.address: {node.name} listens on every network that it is in; give the one that is meant."
        elif address.is_loopback and len(instrument.nodes) == 1 and link.address is None:
            yield f"{key}.address: {node.name} has no fixed address, so that it listens for programs of its own only."
        elif address.is_global and link.certificate is None:
            yield f"{key}.address: {node.name} can be reached from the whole internet; a VPN is safer."
