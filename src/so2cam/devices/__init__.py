"""Devices behind small protocols: cameras, spectrometers, power boards, wires.

A driver is one file with one class that fulfils a protocol of ``so2cam.devices.protocols``, and a name: an entry point
``so2cam.devices`` of any installed package, or one of the built-in ones. ``so2cam.devices.registry`` makes a device
from its table in the site file; nothing of a vendor is imported before that.
"""
