"""The exposure of one device: as it is set, as the device has it, and as the law of automatic exposure moves it."""

import logging

from so2cam.core.site_devices import CameraDevice
from so2cam.instrument.heads import Head, Taken
from so2cam.instrument.launch import Capturing, Launch
from so2cam.observe.exposure import ExposureDecision, ExposureState, next_exposure
from so2cam.observe.statistics import LightLevel

_CLOSE = 0.02
"""Relative difference from which an exposure is another one than was asked for"""
_LOG = logging.getLogger(__name__)


class LightControl:
    """Exposure [s], gain and coadds of a device."""

    def __init__(self, device: Capturing, launch: Launch) -> None:
        self.device = device
        self.exposure_s, self.gain, self.coadds = start_values(device)
        if launch.exposure_s is not None:
            self.exposure_s = launch.exposure_s
        if launch.coadds is not None:
            self.coadds = launch.coadds
        self.applied = (self.exposure_s, self.gain, self.coadds)
        """as the device has them"""
        self._asked: tuple[float, float, int] | None = None
        self._state = ExposureState()
        self._dark_dn: float | None = None

    def forget_device(self) -> None:
        """The device was opened anew, and has no settings of ours."""
        self._asked = None

    def apply(self, head: Head, exposure_s: float | None = None) -> None:
        """Set the next item: to ``exposure_s`` for this item only, or to what is set. Raises DeviceError."""
        wanted = (self.exposure_s if exposure_s is None else exposure_s, self.gain, self.coadds)
        if self._asked == wanted:
            return
        self.applied = head.configure(*wanted)
        self._asked = wanted
        if abs(self.applied[0] - wanted[0]) > _CLOSE * wanted[0]:
            _LOG.warning("an exposure of %g s is beyond the device's limits: it takes %g s", wanted[0], self.applied[0])

    @property
    def duration_s(self) -> float:
        """How long the next item takes, all its readouts together [s]."""
        return self.applied[0] * self.applied[2]

    @property
    def dark_level_dn(self) -> float:
        """Counts without light: as the site file says, those of the newest dark, or 0."""
        known = self.device.automatic.dark_level_dn
        return known if known is not None else self._dark_dn or 0.0

    def note_dark(self, median_dn: float) -> None:
        """A dark was taken."""
        self._dark_dn = median_dn

    def follow(self, head: Head, taken: Taken, level: LightLevel) -> ExposureDecision:
        """Return what the law makes of an item, and set the next one accordingly where it is on."""
        decision = next_exposure(
            self._state, level, exposure_s=taken.exposure_s, coadds=taken.coadds, law=head.law(self.device)
        )
        self._state = decision.state
        if decision.changed and self.device.automatic.enabled:
            self.exposure_s, self.coadds = decision.exposure_s, decision.coadds
        return decision

    def take_over(self, head: Head, device: Capturing, explicit: frozenset[str]) -> None:
        """Take over new settings; ``explicit`` are those that somebody gave a value. Raises DeviceError.

        The exposure stays as it is where nobody gave one, within the new limits.
        """
        exposure_s, gain, coadds = start_values(device)
        if device.automatic.enabled or "exposure_s" not in explicit:
            exposure_s = self.exposure_s
        if device.automatic.enabled and "coadds" not in explicit:
            coadds = self.coadds
        self.device = device
        law = head.law(device)
        self.exposure_s = min(max(exposure_s, law.shortest_s), law.longest_s)
        self.gain, self.coadds = gain, coadds
        self._state = ExposureState()
        self.apply(head)


def start_values(device: Capturing) -> tuple[float, float, int]:
    """Return exposure [s], gain and coadds that a device is set to at the start."""
    if isinstance(device, CameraDevice):
        return device.exposure_s, device.gain, 1
    return device.integration_time_s, 1.0, device.coadds
