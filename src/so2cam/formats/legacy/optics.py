"""Camera specifications: detector, lens, bits and the tags in file names."""

import math
from dataclasses import dataclass
from typing import Final

from so2cam.core.errors import SiteFileError
from so2cam.core.site import Files, Optics, Sensor
from so2cam.formats.legacy.account import Account, Outcome, plain
from so2cam.formats.legacy.choose import text_of
from so2cam.formats.legacy.fates import CAMERA_FATES
from so2cam.formats.legacy.files import FoundFile
from so2cam.formats.legacy.parse import parse_key_values, to_number
from so2cam.formats.legacy.tables import make_table

_DEFAULTS: Final[dict[str, float]] = {
    "pix_num_x": 648,
    "pix_num_y": 486,
    "pix_size_x": 5.6e-6,
    "pix_size_y": 5.6e-6,
    "fov_x": 28.0,
    "fov_y": 21.0,
    "bit_depth": 10,
}
"""What the old program itself takes where a file does not say."""
_NAMING: Final = {
    "file_ext": ".png",
    "file_datestr": "%Y-%m-%dT%H%M%S",
    "file_ss": "{}ss",
    "file_type.meas": "Plume",
    "file_type.dark": "Dark",
    "file_type.cal": "ppmm",
    "file_type.clear": "Clear",
    "file_type.test": "Test",
    "file_type.dark_corr": "darkcorr",
}
"""Parts of file names as so2cam reads them; the old program could be told others."""
_TOLERANCE: Final = 0.02
"""Two focal lengths [relative] that still agree, as in the site file."""
_COMPARED: Final = (*_DEFAULTS, "file_filterids.on", "file_filterids.off")


@dataclass(frozen=True, slots=True)
class CameraTables:
    """What the site file says of the camera; ``lens_note`` is what a reader of the lens data must know."""

    optics: Optics
    sensor: Sensor
    files: Files
    lens_note: str = ""


def convert_camera(on_camera: FoundFile | None, off_camera: FoundFile | None, account: Account) -> CameraTables:
    """Return lens, detector and naming by the on-band camera's file; the off band's is compared with it.

    Raises SiteFileError with file and key where a value is impossible.
    """
    if on_camera is None:
        account.notice(
            "No specification of a camera was found (cam_specs*.txt): the old program's own defaults were taken "
            "(648 x 486 pixels of 5.6 um, 28 degrees across, 10 bits). Check camera.optics and camera.sensor."
        )
        across, down = _DEFAULTS["fov_x"], _DEFAULTS["fov_y"]
        return CameraTables(Optics(field_of_view_deg=(across, down)), Sensor(), Files())
    values = parse_key_values(text_of(on_camera)).values
    optics, lens_note = _convert_optics(on_camera, values, account)
    bits = _whole(on_camera, values, "bit_depth")
    sensor = make_table(Sensor, on_camera, {"bits": "bit_depth"}, bits=bits)
    account.carry(on_camera.name, "bit_depth", "camera.sensor.bits")
    files = _convert_names(on_camera, values, account)
    account.settle(on_camera.name, "band", Outcome.OWN_WAY, "tells which camera the file describes")
    _settle_units(on_camera, values, account)
    if off_camera is not None and off_camera.name != on_camera.name:
        _compare(on_camera, values, off_camera, account)
    return CameraTables(optics, sensor, files, lens_note)


def _convert_optics(file: FoundFile, values: dict[str, str], account: Account) -> tuple[Optics, str]:
    width, height = (_whole(file, values, key) for key in ("pix_num_x", "pix_num_y"))
    pitch_um, pitch_y_um = (float(f"{1e6 * _number(file, values, f'pix_size_{axis}'):.6g}") for axis in "xy")
    across, down = (_number(file, values, f"fov_{axis}") for axis in "xy")
    if not 0 < across < 170:
        raise SiteFileError(
            "must be an angle between 0 and 170 degrees", file=file.path, key="fov_x", value=across, remedy="correct it"
        )
    for key, pixels in (("pix_num_x", width), ("pix_num_y", height)):
        if pixels < 1:
            raise SiteFileError("must be positive", file=file.path, key=key, value=pixels, remedy="correct it")
    for key, where in (
        ("pix_num_x", "camera.optics.width_px"),
        ("pix_num_y", "camera.optics.height_px"),
        ("pix_size_x", "camera.optics.pixel_pitch_um"),
        ("fov_x", "camera.optics.field_of_view_deg[0]"),
    ):
        account.carry(file.name, key, where)
    if pitch_y_um == pitch_um:
        account.carry(file.name, "pix_size_y", "camera.optics.pixel_pitch_um")
    else:
        account.settle(file.name, "pix_size_y", Outcome.LOOK, "so2cam's pixels are square; pix_size_x was taken")
        account.notice(f"{file.name}: pixels are not square by pix_size_x and pix_size_y; pix_size_x was taken.")
    focal_px = width / (2 * math.tan(math.radians(across) / 2))
    stated_px = height / (2 * math.tan(math.radians(down) / 2)) if 0 < down < 170 else 0.0
    where, lens_note = "camera.optics.field_of_view_deg[1]", ""
    if stated_px and max(stated_px, focal_px) / min(stated_px, focal_px) - 1 <= _TOLERANCE:
        account.carry(file.name, "fov_y", where)
    else:
        computed = round(2 * math.degrees(math.atan(height / (2 * focal_px))), 2)
        account.settle(
            file.name,
            "fov_y",
            Outcome.LOOK,
            f"contradicts fov_x: square pixels, {width} x {height} of them and {across:g} degrees across give "
            f"{computed:g} degrees; `{where}` is that",
        )
        account.notice(
            f"{file.name}: fov_y = {down:g} contradicts fov_x = {across:g} (with {width} x {height} square pixels "
            f"it is {computed:g}). The horizontal angle was kept; measure it, as distances and rates hang on it."
        )
        lens_note = (
            f"The old file says {down:g} for the vertical angle, which contradicts {across:g} for the horizontal one."
        )
        down = computed
    keys = {
        "width_px": "pix_num_x",
        "height_px": "pix_num_y",
        "pixel_pitch_um": "pix_size_x",
        "field_of_view_deg": "fov_x",
    }
    optics = make_table(
        Optics,
        file,
        keys,
        width_px=width,
        height_px=height,
        pixel_pitch_um=pitch_um,
        field_of_view_deg=(across, down),
    )
    return optics, lens_note


def _convert_names(file: FoundFile, values: dict[str, str], account: Account) -> Files:
    tags = {
        band: values.get(f"file_filterids.{band}", default) for band, default in (("on", "fltrA"), ("off", "fltrB"))
    }
    keys = {"on_band": "file_filterids.on", "off_band": "file_filterids.off"}
    files = make_table(Files, file, keys, on_band=tags["on"], off_band=tags["off"])
    account.carry(file.name, "file_filterids.on", "files.on_band")
    account.carry(file.name, "file_filterids.off", "files.off_band")
    for key, known in _NAMING.items():
        found = values.get(key, known)
        if found.casefold() == known.casefold():
            account.settle(file.name, key, Outcome.OWN_WAY, "so2cam reads names in this form")
        else:
            account.settle(file.name, key, Outcome.LOOK, f"so2cam reads {known} only; rename the frames")
            account.notice(f"{file.name}: frames are named with {key} = {plain(found)}; so2cam reads {known} only.")
    return files


def _settle_units(file: FoundFile, values: dict[str, str], account: Account) -> None:
    if to_number(values.get("file_ss_units", "1e-6")) == 1e-6:
        account.settle(file.name, "file_ss_units", Outcome.OWN_WAY, "so2cam reads microseconds, as this says")
        return
    account.settle(file.name, "file_ss_units", Outcome.LOOK, "so2cam takes the exposure in names as microseconds")
    account.notice(f"{file.name}: the exposure in the files' names is not in microseconds, as which so2cam takes it.")


def _compare(on_camera: FoundFile, on_values: dict[str, str], off_camera: FoundFile, account: Account) -> None:
    """Settle the keys of the off-band camera's file: so2cam takes the two cameras as alike."""
    values = parse_key_values(text_of(off_camera)).values
    differing = []
    for key in values:
        if key in CAMERA_FATES:
            continue
        if key == "band":
            account.settle(off_camera.name, key, Outcome.OWN_WAY, "tells which camera the file describes")
        elif key in (*_COMPARED, *_NAMING, "file_ss_units"):
            if _same(values[key], on_values.get(key)):
                account.settle(off_camera.name, key, Outcome.OWN_WAY, f"the same as in {on_camera.name}")
            else:
                differing.append(key)
                account.settle(
                    off_camera.name, key, Outcome.LOOK, f"differs from {on_camera.name}, which counts for both cameras"
                )
    if differing:
        account.notice(
            f"{off_camera.name} differs from {on_camera.name} in {', '.join(differing)}; so2cam takes both cameras "
            f"as alike, by {on_camera.name}."
        )


def _same(a: str, b: str | None) -> bool:
    if b is None:
        return False
    number = to_number(a)
    return a == b or (number is not None and number == to_number(b))


def _number(file: FoundFile, values: dict[str, str], key: str) -> float:
    if key not in values:
        return _DEFAULTS[key]
    number = to_number(values[key])
    if number is None:
        raise SiteFileError("must be a number", file=file.path, key=key, value=values[key], remedy="correct it")
    return number


def _whole(file: FoundFile, values: dict[str, str], key: str) -> int:
    number = _number(file, values, key)
    if number != int(number):
        raise SiteFileError("must be a whole number", file=file.path, key=key, value=number, remedy="correct it")
    return int(number)
