"""The wavelength windows of a spectrometer's settings: which there are, and settings with others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from so2cam.core.errors import InputError
from so2cam.core.spectrometer import Spectrometer
from so2cam.formats.siteedit import KeyPath

Window = tuple[float, float]
"""(from, to) [nm]"""


@dataclass(frozen=True, slots=True)
class WindowKind:
    """A window: where the site file has it, and what it is called."""

    key: str
    path: KeyPath
    title: str


KINDS: Final = (
    WindowKind("stray", ("spectrometer", "detector", "stray_light_nm"), "stray light"),
    WindowKind("fit", ("spectrometer", "fit", "window_nm"), "fit"),
    WindowKind("first", ("spectrometer", "light_dilution", "first_window_nm"), "dilution, first"),
    WindowKind("second", ("spectrometer", "light_dilution", "second_window_nm"), "dilution, second"),
)


def windows_of(settings: Spectrometer) -> dict[str, Window]:
    """Return the windows that these settings use, by key of ``KINDS``."""
    found: dict[str, Window] = {}
    if settings.detector.stray_light_nm is not None:
        found["stray"] = settings.detector.stray_light_nm
    found["fit"] = settings.fit.window_nm
    if settings.light_dilution.mode == "fit":
        found["first"] = settings.light_dilution.first_window_nm
        found["second"] = settings.light_dilution.second_window_nm
    return found


def with_windows(settings: Spectrometer, windows: Mapping[str, Window]) -> Spectrometer:
    """Return the settings with other windows. Raises InputError where they do not go together."""
    data = settings.model_dump()
    for kind in KINDS:
        if kind.key in windows:
            table, name = (str(part) for part in kind.path[1:])
            data[table][name] = windows[kind.key]
    try:
        return Spectrometer.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            str(first["msg"]).removeprefix("Value error, "),
            key=".".join(["spectrometer", *(str(part) for part in first["loc"])]),
            remedy="choose another window",
        ) from None
