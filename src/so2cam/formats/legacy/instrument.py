"""The instrument: one computer with both cameras, where the settings of both are there, and its spectrometer.

Which computer of an older, two-computer instrument has which settings its files do not tell: they are settled with
where they go.
"""

from dataclasses import dataclass
from typing import Any, Final

from so2cam.core.records import Band
from so2cam.core.site_devices import AutomaticExposure, CameraDevice, SpectrometerDevice
from so2cam.core.site_instrument import Acquisition, Instrument, Node
from so2cam.core.site_schedule import Schedule
from so2cam.formats.legacy.account import Account, Outcome, plain
from so2cam.formats.legacy.choose import text_of
from so2cam.formats.legacy.files import FileKind, Found, FoundFile, distinct
from so2cam.formats.legacy.parse import parse_key_values
from so2cam.formats.legacy.settle import Settler
from so2cam.formats.legacy.tables import refusal

_NODE: Final = "instrument.nodes[0].devices"
_AUTOMATIC: Final = {
    "saturation_pixels": "brightest_pixels",
    "saturation_rows": "rows",
    "min_saturation": "low",
    "max_saturation": "high",
}
_SEABREEZE: Final = ("flame", "ocean")
"""How the models begin that the old program reads by seabreeze; without a model it reads no other."""
_RAW: Final = "raw_num_x raw_num_y raw_pixel_format"


@dataclass(frozen=True, slots=True)
class _Made:
    """What a device's file gave: the device's values, and the period [s] of its rate."""

    values: dict[str, Any]
    period_s: float | None


def convert_instrument(
    found: Found,
    cameras: tuple[FoundFile, FoundFile],
    height_px: int,
    schedule: Schedule | None,
    account: Account,
) -> Instrument:
    """Return the instrument with both cameras, on and off band, and settle the keys of its devices."""
    on, off = cameras
    made = [_camera(_old(file, account), height_px, f"{_NODE}[{index}]") for index, file in enumerate((on, off))]
    periods = [one.period_s for one in made]
    acquisition: dict[str, Any] = {} if periods[0] is None else {"period_s": periods[0]}
    if periods[1] not in (None, periods[0]):
        account.settle(off.name, "framerate", Outcome.LOOK, f"differs from {on.name}, which counts for both cameras")
    devices: list[CameraDevice | SpectrometerDevice] = [
        CameraDevice(
            type="camera", name=f"camera-{band}", driver="picamera2", band=Band(band), index=index, **one.values
        )
        for index, (band, one) in enumerate(zip(("on", "off"), made, strict=True))
    ]
    files = distinct([file for file in found.of_kind(FileKind.SPECTROMETER) if file.text is not None])
    if len(files) > 1:
        account.notice(f"{len(files)} different files describe a spectrometer: none of them was carried.")
    elif files and (spectrometer := _spectrometer(_old(files[0], account))) is not None:
        devices.append(
            SpectrometerDevice(type="spectrometer", name="spectrometer", driver="seabreeze", **spectrometer.values)
        )
        if spectrometer.period_s not in (None, periods[0]):
            acquisition["spectrum_period_s"] = spectrometer.period_s
    account.notice(
        "[instrument] describes one computer with both cameras, as the old files do: give its address "
        "(instrument.nodes.network.address), and look at its drivers and at the rows by which cameras are exposed "
        "(automatic.rows; the upper half where the old file does not say) before it is installed."
    )
    return Instrument(
        acquisition=Acquisition(**acquisition),
        **({} if schedule is None else {"schedule": schedule}),
        nodes=(Node(name="camera", devices=tuple(devices)),),
    )


def _old(file: FoundFile, account: Account) -> Settler:
    return Settler(file.name, parse_key_values(text_of(file)).values, account)


def _camera(old: Settler, height_px: int, where: str) -> _Made:
    values: dict[str, Any] = {}
    exposure = old.number("shutter_speed")
    wrong = _refused(CameraDevice, band=Band.ON, exposure_s=None if exposure is None else exposure / 1e6)
    if exposure is not None and wrong is None:
        values["exposure_s"] = round(exposure / 1e6, 9)
        old.carry("shutter_speed", f"{where}.exposure_s", "microseconds, here in seconds")
    else:
        old.say("shutter_speed", Outcome.LOOK, f"`{where}.exposure_s` keeps its default: {wrong or 'must be a number'}")
    gain = old.number("analog_gain")
    if gain is not None and _refused(CameraDevice, band=Band.ON, gain=gain) is None:
        values["gain"] = gain
        old.carry("analog_gain", f"{where}.gain")
    else:
        old.say("analog_gain", Outcome.LOOK, f"`{where}.gain` is 1: must be a number from 1 to 64")
    automatic = _automatic(old, "auto_ss", AutomaticExposure(), f"{where}.automatic", height_px)
    if automatic != AutomaticExposure():
        values["automatic"] = automatic
    old.say(_RAW, Outcome.OWN_WAY, "the driver picamera2 takes raw pixels and bins them 4 x 4 by itself")
    return _Made(values, _period(old, "instrument.acquisition.period_s"))


def _spectrometer(old: Settler) -> _Made | None:
    model, where = plain(old.text("model")), f"{_NODE}[2]"
    if model and not model.lower().startswith(_SEABREEZE):
        old.say("model", Outcome.NOT_YET, f"so2cam has no driver for {model}: no spectrometer is among the devices")
        old.account.notice(
            f"so2cam has no driver for the spectrometer ({model}): it is not among the devices of [instrument]. "
            "Spectra of its own program come in with `so2cam watch`."
        )
        return None
    old.say("model", Outcome.OWN_WAY, f"`{where}.driver` is seabreeze, which takes the one that is connected")
    default = SpectrometerDevice(name="spectrometer", driver="seabreeze")
    values: dict[str, Any] = {}
    for key, name, factor, note in (
        ("int_time", "integration_time_s", 1e-3, "milliseconds, here in seconds"),
        ("coadd", "coadds", 1, ""),
    ):
        number = old.number(key)
        value = None if number is None else round(number * factor, 6)
        wrong = _refused(SpectrometerDevice, **{name: value})
        if value is None or wrong is not None:
            old.say(key, Outcome.LOOK, f"`{where}.{name}` keeps its default: {wrong or 'must be a number'}")
        else:
            values[name] = value
            old.carry(key, f"{where}.{name}", note)
    automatic = _automatic(old, "auto_int", default.automatic, f"{where}.automatic", None)
    window = (old.number("wavelength_min"), old.number("wavelength_max"))
    wrong = refusal(AutomaticExposure, window_nm=window)
    for number, key in enumerate(("wavelength_min", "wavelength_max")):
        if wrong is None:
            old.carry(key, f"{where}.automatic.window_nm[{number}]", "nm")
        else:
            old.say(key, Outcome.LOOK, f"`{where}.automatic.window_nm` keeps its default: {wrong}")
    if wrong is None:
        automatic = automatic.model_copy(update={"window_nm": window})
    if automatic != default.automatic:
        values["automatic"] = automatic
    return _Made(values, _period(old, "instrument.acquisition.spectrum_period_s"))


def _refused(table: type[CameraDevice] | type[SpectrometerDevice], **values: Any) -> str | None:
    given = {key: value for key, value in values.items() if value is not None}
    return refusal(table, name="device", driver="driver", **given)


def _period(old: Settler, where: str) -> float | None:
    rate = old.number("framerate")
    period = None if rate is None or rate <= 0 else round(1 / rate, 6)
    if period is None or refusal(Acquisition, period_s=period) is not None:
        old.say("framerate", Outcome.LOOK, f"`{where}` keeps its default: must be a rate in Hz, of 4 at most")
        return None
    old.carry("framerate", where, "a rate in Hz, here the period in seconds")
    return period


def _automatic(
    old: Settler, switch: str, default: AutomaticExposure, where: str, height_px: int | None
) -> AutomaticExposure:
    """Return how the exposure follows the light: the old limits, and so2cam's way of stepping between them."""
    values: dict[str, Any] = {}
    if old.flag(switch) is None:
        old.say(switch, Outcome.LOOK, f"`{where}.enabled` is true: is no switch")
    else:
        values["enabled"] = old.flag(switch)
        old.carry(switch, f"{where}.enabled")
    low, high = old.number("min_saturation"), old.number("max_saturation")
    if low is not None and high is not None and low > 0 and high > 0:
        limits = {"low": low, "high": high, "target": round((low * high) ** 0.5, 2)}
        wrong = refusal(AutomaticExposure, **limits)
    else:
        limits, wrong = {}, "needs both limits as shares of the full scale"
    for key in ("min_saturation", "max_saturation"):
        if wrong is None:
            note = "its target lies between the two; the dark level is taken off, which the old program leaves in"
            old.carry(key, f"{where}.{_AUTOMATIC[key]}", note)
        else:
            old.say(key, Outcome.LOOK, f"`{where}.{_AUTOMATIC[key]}` keeps its default: {wrong}")
    values |= limits if wrong is None else {}
    pixels = old.number("saturation_pixels")
    wrong = "must be a number" if pixels is None else refusal(AutomaticExposure, brightest_pixels=pixels)
    if pixels is not None and wrong is None:
        values["brightest_pixels"] = int(pixels)
        old.carry("saturation_pixels", f"{where}.brightest_pixels")
    else:
        old.say("saturation_pixels", Outcome.LOOK, f"`{where}.brightest_pixels` keeps its default: {wrong}")
    rows = old.number("saturation_rows")
    if height_px is not None and not old.has("saturation_rows"):
        values["rows"] = (0, height_px // 2 - 1)
    elif height_px is not None and rows is not None and rows == int(rows) and abs(rows) <= height_px:
        values["rows"] = (0, int(rows) - 1) if rows > 0 else (height_px + int(rows) if rows else 0, height_px - 1)
        old.carry("saturation_rows", f"{where}.rows", "first and last row; the old one counts from an edge")
    else:
        old.say("saturation_rows", Outcome.LOOK, f"`{where}.rows` are all: must be a whole number of rows of the image")
    return AutomaticExposure(**{**default.model_dump(exclude_unset=True), **values})
