"""Settings of a device while it runs: those of the site file, changed in one go, and kept over a restart.

A change is checked by the same models as the site file, so that a limit is one and the same wherever it is met.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from so2cam.core.site_devices import BOTTOM_ROW, CameraDevice, SpectrometerDevice
from so2cam.core.site_instrument import LONGEST_PERIOD_S, SHORTEST_PERIOD_S, Acquisition
from so2cam.instrument.errors import SettingRefusedError
from so2cam.instrument.launch import Capturing
from so2cam.instrument.part import part_keys, part_name, part_of_site, part_values
from so2cam.link.messages import DeviceChange, DeviceValues
from so2cam.store.atomic import atomic_write_bytes

_LOG = logging.getLogger(__name__)

_CAMERA_KEYS: Final = {
    "exposure_s": "exposure_s",
    "gain": "gain",
    "shortest_exposure_s": "minimum_exposure_s",
    "longest_exposure_s": "maximum_exposure_s",
}
_SPECTROMETER_KEYS: Final = {
    "exposure_s": "integration_time_s",
    "coadds": "coadds",
    "shortest_exposure_s": "minimum_integration_time_s",
    "longest_exposure_s": "maximum_integration_time_s",
}
_AUTOMATIC_KEYS: Final = {
    "automatic": "enabled",
    "low_fraction": "low",
    "target_fraction": "target",
    "high_fraction": "high",
    "brightest_pixels": "brightest_pixels",
}


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """A device as it is set now, and its period. ``overrides`` are the values that differ from the site file."""

    device: Capturing
    period_s: float
    overrides: Mapping[str, bool | int | float]

    def values(self) -> dict[str, bool | int | float]:
        """Return all settings that can be changed while running, by the names that messages use."""
        plain = self.device.model_dump()
        found: dict[str, bool | int | float] = {key: plain[name] for key, name in _keys(self.device).items()}
        found |= {key: plain["automatic"][name] for key, name in _AUTOMATIC_KEYS.items()}
        found |= part_values(self.device)
        found["period_s"] = self.period_s
        return found


def from_site(device: Capturing, acquisition: Acquisition) -> DeviceSettings:
    """Return the settings as the site file has them."""
    period_s = acquisition.period_s
    if isinstance(device, SpectrometerDevice) and acquisition.spectrum_period_s is not None:
        period_s = acquisition.spectrum_period_s
    return DeviceSettings(device, period_s, {})


def changed(site: DeviceSettings, present: DeviceSettings, change: DeviceChange) -> DeviceSettings:
    """Return the settings after ``change``; ``site`` are those of the site file.

    Raises SettingRefusedError, which names the device, the key, the limits and the value.
    """
    wanted = {key: value for key, value in change.values.model_dump().items() if value is not None}
    before = {} if change.reset else dict(present.overrides)
    name = site.device.name
    automatic = wanted.get("automatic", before.get("automatic", site.device.automatic.enabled))
    if "exposure_s" in wanted and automatic:
        raise SettingRefusedError(
            "the exposure is set automatically",
            key=f"{name}.exposure_s",
            value=wanted["exposure_s"],
            remedy="set automatic to off in the same request",
        )
    return with_overrides(site, before | wanted)


def with_overrides(site: DeviceSettings, overrides: Mapping[str, Any]) -> DeviceSettings:
    """Return the site file's settings with ``overrides``. Raises SettingRefusedError where they cannot be."""
    device = site.device
    known = known_settings(device)
    for key in overrides:
        if key not in known:
            raise SettingRefusedError(
                f"a {device.type} has no such setting",
                key=f"{device.name}.{key}",
                remedy=f"settings are {', '.join(sorted(known))}",
            )
    plain = device.model_dump()
    for key, name in _keys(device).items():
        if key in overrides:
            plain[name] = overrides[key]
    for key, name in _AUTOMATIC_KEYS.items():
        if key in overrides:
            plain["automatic"][name] = overrides[key]
    plain["automatic"][part_name(device)] = part_of_site(device, overrides)
    try:
        found = type(device).model_validate(plain)
    except ValidationError as error:
        raise _refusal(device, error) from None
    period_s = float(overrides.get("period_s", site.period_s))
    if not SHORTEST_PERIOD_S <= period_s <= LONGEST_PERIOD_S:
        raise SettingRefusedError(
            f"must be from {SHORTEST_PERIOD_S:g} to {LONGEST_PERIOD_S:g} s",
            key=f"{device.name}.period_s",
            value=period_s,
        )
    there = site.values()
    result = DeviceSettings(found, period_s, {})
    here = result.values()
    return DeviceSettings(found, period_s, {key: here[key] for key in overrides if here[key] != there[key]})


def known_settings(device: Capturing) -> frozenset[str]:
    """Return the names of the settings that a device has."""
    return frozenset((*_keys(device), *_AUTOMATIC_KEYS, *part_keys(device), "period_s"))


def _keys(device: Capturing) -> Mapping[str, str]:
    return _CAMERA_KEYS if isinstance(device, CameraDevice) else _SPECTROMETER_KEYS


def _refusal(device: Capturing, error: ValidationError) -> SettingRefusedError:
    first = error.errors(include_url=False)[0]
    names = {name: key for key, name in (*_keys(device).items(), *_AUTOMATIC_KEYS.items())}
    names[part_name(device)] = " and ".join(part_keys(device))
    found = [str(part) for part in first["loc"] if isinstance(part, str)]
    key = names.get(found[-1], found[-1]) if found else ""
    value = first["input"] if not isinstance(first["input"], Mapping) else None
    return SettingRefusedError(
        first["msg"].removeprefix("Value error, "),
        key=f"{device.name}.{key}".rstrip("."),
        value=value,
        remedy="choose a value within the limits; the site file has those of this device",
    )


class OverrideFile:
    """The settings changed while running, in a small JSON file that is written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, dict[str, Any]]:
        """Return the overrides by device; empty where there is no file. Raises SettingRefusedError for a broken one."""
        try:
            content = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise SettingRefusedError(
                f"the settings of the last run cannot be read: {getattr(error, 'strerror', None) or error}",
                file=self.path,
                remedy="the site file's settings hold; remove the file",
            ) from None
        if not isinstance(content, dict) or not all(isinstance(value, dict) for value in content.values()):
            raise SettingRefusedError(
                "is no file of settings", file=self.path, remedy="the site file's settings hold; remove the file"
            )
        return content

    def save(self, settings: Iterable[DeviceSettings]) -> None:
        """Keep the overrides. Raises OutputError where that cannot be."""
        content = {one.device.name: dict(one.overrides) for one in settings if one.overrides}
        atomic_write_bytes(self.path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def load_settings(site: Mapping[str, DeviceSettings], file: OverrideFile) -> dict[str, DeviceSettings]:
    """Return the site file's settings with what was changed while the agent ran last.

    What cannot be any more (a device is gone, a limit is another) is left out with a warning in the log.
    """
    settings = dict(site)
    try:
        kept = file.load()
    except SettingRefusedError as error:
        _LOG.warning("%s", " ".join(str(error).split()))
        return settings
    for name, overrides in kept.items():
        try:
            if name in settings:
                settings[name] = with_overrides(settings[name], overrides)
        except SettingRefusedError as error:
            _LOG.warning("a setting of the last run is left out: %s", " ".join(str(error).split()))
    return settings


def parse_values(pairs: Iterable[str]) -> DeviceValues:
    """Return the values of ``key=value`` texts, as a command line has them: on/off, and numbers with their unit
    left out (seconds) or as ``ms`` or ``us``.

    Raises SettingRefusedError.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        key = _ALIASES.get(key.strip(), key.strip())
        if not separator or key not in DeviceValues.model_fields:
            raise SettingRefusedError(
                "is no setting",
                key=pair,
                remedy=f"write KEY=VALUE with one of {', '.join([*_ALIASES, *DeviceValues.model_fields])}",
            )
        if key in found:
            raise SettingRefusedError("is given twice", key=key, remedy="give it once")
        found[key] = _parse_value(key, text.strip())
    try:
        return DeviceValues(**found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SettingRefusedError(first["msg"], key=str(first["loc"][-1]), value=first["input"]) from None


_ALIASES: Final = {"exposure": "exposure_s", "period": "period_s", "auto": "automatic"}
_WORDS: Final = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}
_WHOLE: Final = frozenset({"coadds", "brightest_pixels", "first_row", "last_row"})
_UNITS: Final = (("us", 1e-6), ("ms", 1e-3), ("s", 1.0))


def _parse_value(key: str, text: str) -> bool | int | float:
    if key == "automatic":
        if text.lower() not in _WORDS:
            raise SettingRefusedError("must be on or off", key=key, value=text)
        return _WORDS[text.lower()]
    factor, given = 1.0, text
    if key.endswith("_s"):
        for unit, size in _UNITS:
            if text.endswith(unit):
                text, factor = text.removesuffix(unit).strip(), size
                break
    try:
        if key == "last_row" and text.lower() == "bottom":
            return BOTTOM_ROW
        return int(text) if key in _WHOLE else float(text) * factor
    except ValueError:
        what = "a number of s, ms or us, like 20ms" if key.endswith("_s") else "a number"
        raise SettingRefusedError(f"must be {what}", key=key, value=given) from None
