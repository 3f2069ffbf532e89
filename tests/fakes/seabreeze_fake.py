"""An imitation of ``seabreeze.spectrometers`` 2, as far as the driver needs it.

After the library's text: devices are listed with model and serial number; ``Spectrometer(device)`` opens one and keeps
its wavelengths; integration times are set in whole microseconds within limits; the detector runs freely, so that the
readout after a change still has the old integration time, and may have been kept for long; an unplugged device raises
an OSError (USBError is one).
"""

from types import SimpleNamespace

import numpy as np


class SeaBreezeError(Exception):
    pass


class Device:
    def __init__(self, model="FLAMES", serial_number="FLMS01234", pixels=2048, maximum=65535.0, limits=None):
        limits = limits or (1000, 65_535_000)
        self.model, self.serial_number = model, serial_number
        self.pixels, self.maximum, self.limits = pixels, maximum, limits
        self.is_open = False


class World:
    def __init__(self, clock, devices=None):
        self.clock = clock
        self.devices = [Device()] if devices is None else devices
        self.rate = 3.0e5
        self.offset = 1500.0
        self.unplugged = False
        self.resets = False  # the spectrometer falls back to its shortest integration time
        self.bad_wavelengths = False
        self.readouts = 0
        self.overhead_s = 0.004
        self.buffered = False  # the last readout of the free-running detector is kept until it is asked for
        self.taken_at = []
        self.set_log = []


def make_vendor(world):
    class Spectrometer:
        def __init__(self, device):
            if device.is_open:
                raise SeaBreezeError("Device already opened.")
            world_check()
            self._dev = device
            device.is_open = True
            self._time_us = self._next_us = 100_000
            self._last_end = world.clock.monotonic_s()
            self._wavelengths = np.linspace(242.0, 404.0, device.pixels)
            if world.bad_wavelengths:
                self._wavelengths[:] = 0.0

        model = property(lambda self: self._dev.model)
        serial_number = property(lambda self: self._dev.serial_number)
        max_intensity = property(lambda self: self._dev.maximum)
        integration_time_micros_limits = property(lambda self: self._dev.limits)

        def wavelengths(self):
            return self._wavelengths

        def integration_time_micros(self, value):
            world_check()
            assert isinstance(value, int)
            low, high = self._dev.limits
            if not low <= value <= high:
                raise SeaBreezeError("[Fix] Specified integration time is out of range.")
            world.set_log.append(value)
            self._next_us = value

        def intensities(self, correct_dark_counts=False, correct_nonlinearity=False):
            world_check()
            used = 1000 if world.resets else self._time_us
            self._time_us = self._next_us
            idle = world.clock.monotonic_s() - self._last_end
            if world.buffered and idle > used * 1e-6:
                world.clock.advance(world.overhead_s)
                world.taken_at.append(self._last_end + used * 0.5e-6)
            else:
                world.clock.advance(used * 1e-6 + world.overhead_s)
                world.taken_at.append(world.clock.monotonic_s() - world.overhead_s - used * 0.5e-6)
            self._last_end = world.clock.monotonic_s()
            world.readouts += 1
            shape = np.exp(-(((self._wavelengths - 340) / 40) ** 2))
            rng = np.random.default_rng(world.readouts)
            counts = world.offset + world.rate * shape * used * 1e-6 + 10 * rng.standard_normal(shape.size)
            return np.clip(np.rint(counts), 0, self._dev.maximum)

        def close(self):
            self._dev.is_open = False
            world_check()

    def world_check():
        if world.unplugged:
            raise OSError(19, "No such device (it may have been disconnected)")

    def list_devices():
        return [] if world.unplugged else list(world.devices)

    return SimpleNamespace(Spectrometer=Spectrometer, list_devices=list_devices, SeaBreezeError=SeaBreezeError)
