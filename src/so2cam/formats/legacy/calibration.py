"""The calibration of images: by gas cells or the spectrometer, its points, and the spectrometer's field of view."""

from typing import Any, Final

from so2cam.core.site import Calibration, FieldOfView, Optics, SpectrometerCalibration
from so2cam.core.site_calibration import CalibrationSource
from so2cam.formats.legacy.account import Account, Outcome
from so2cam.formats.legacy.choose import Settings
from so2cam.formats.legacy.settle import Settler

_WHERE: Final = "processing.calibration"
_POINTS: Final = f"{_WHERE}.spectrometer"
_VIEW: Final = f"{_POINTS}.field_of_view"
_SOURCES: Final[dict[float, tuple[CalibrationSource, str]]] = {
    0: ("cells", "gas cells"),
    1: ("spectrometer", "the spectrometer"),
    2: ("joint", "gas cells and the spectrometer, here in one fit"),
}
_STORED: Final = 3
_MOST_MINUTES: Final = 366 * 24 * 60


def convert_calibration(settings: Settings, optics: Optics, account: Account) -> Calibration:
    """Return the table of the calibration, and settle the keys of the settings that it comes from."""
    if settings.file is None:
        return Calibration()
    old = Settler(settings.file.name, settings.values, account)
    source = _source(old)
    _settle_stored(old)
    points = SpectrometerCalibration(**_points(old), field_of_view=_field_of_view(old, optics))
    calibration = Calibration(source=source, spectrometer=points)
    return calibration.model_copy(update={"model": _model(old, calibration)})


def _source(old: Settler) -> CalibrationSource:
    number = old.number("cal_type_int") if old.has("cal_type_int") else 0.0
    if number in _SOURCES:
        source, words = _SOURCES[number]
        old.carry("cal_type_int", f"{_WHERE}.source", words)
        return source
    where = f"`{_WHERE}.source` is cells: choose spectrometer, joint, or fixed with a slope of your own"
    if number == _STORED:
        old.say("cal_type_int", Outcome.NOT_YET, f"so2cam reads no calibrations of the old program; {where}")
        old.account.notice(f"The old calibration is one that was made before, which so2cam does not read; {where}.")
    else:
        old.say("cal_type_int", Outcome.LOOK, f"is no kind of calibration that is known; {where}")
        old.account.notice(f"The kind of the old calibration is unknown; {where}.")
    return "cells"


def _settle_stored(old: Settler) -> None:
    if old.text("cal_series_path"):
        note = f"so2cam reads no calibrations of the old program, and keeps its own in `{_POINTS}.stored`"
        old.say("cal_series_path", Outcome.NOT_YET, note)
    if old.flag("use_sensitivity_mask"):
        where = f"{_WHERE}.sensitivity_cell_ppm_m"
        note = f"the cell is not named in the settings: give its label as `{where}`"
        old.say("use_sensitivity_mask", Outcome.LOOK, note)
        old.account.notice(f"The old program evens out the sensitivity across the image by a gas cell: {note}.")
    else:
        old.say("use_sensitivity_mask", Outcome.OWN_WAY, "switched off in the old program, and here where no cell is")


def _points(old: Settler) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if old.flag("doas_recal"):
        values["policy"] = "rolling"
        old.carry("doas_recal", f"{_POINTS}.policy", "rolling")
    else:
        old.say("doas_recal", Outcome.OWN_WAY, f"off: `{_POINTS}.policy` is whole, one calibration from all of a run")
    window_s = _seconds(old, "remove_doas_mins")
    if window_s is not None:
        values["window_s"] = window_s
        old.carry("remove_doas_mins", f"{_POINTS}.window_s", "minutes, here in seconds")
    else:
        old.say("remove_doas_mins", Outcome.LOOK, f"must be minutes; `{_POINTS}.window_s` keeps its default")
    return values


def _seconds(old: Settler, key: str) -> float | None:
    """Return minutes of the old program as seconds; None where they are none, or more than a year."""
    minutes = old.number(key)
    return 60 * minutes if minutes is not None and 0 < minutes <= _MOST_MINUTES else None


def _model(old: Settler, calibration: Calibration) -> str:
    if not calibration.by_spectrometer:
        note = f"is the old spectrometer's; gas cells have `{_WHERE}.model`"
        old.say("polyorder_cal", Outcome.NOT_USED, note)
    elif old.number("polyorder_cal") == 1:
        old.carry("polyorder_cal", f"{_WHERE}.model", "line; band, the curve of the filters, is usually better")
        return "line"
    else:
        note = f"so2cam's quadratic goes through the origin, and the old one did not; `{_WHERE}.model` is band"
        old.say("polyorder_cal", Outcome.LOOK, note)
    return calibration.model


def _field_of_view(old: Settler, optics: Optics) -> FieldOfView:
    given, is_fixed = _given_view(old, optics)
    if is_fixed:
        old.say("doas_fov_recal doas_fov_recal_mins", Outcome.NOT_USED, "the field of view is fixed")
        return given
    interval_s = _seconds(old, "doas_fov_recal_mins")
    if not old.flag("doas_fov_recal"):
        note = f"off: so2cam searches again every `{_VIEW}.interval_s`; source = given fixes the place"
        old.say("doas_fov_recal", Outcome.OWN_WAY, note)
        old.say("doas_fov_recal_mins", Outcome.NOT_USED, "searching again is off in the old program")
    elif interval_s is None:
        note = f"must be minutes; `{_VIEW}.interval_s` keeps its default"
        old.say("doas_fov_recal doas_fov_recal_mins", Outcome.LOOK, note)
    else:
        old.carry("doas_fov_recal", f"{_VIEW}.interval_s")
        old.carry("doas_fov_recal_mins", f"{_VIEW}.interval_s", "minutes, here in seconds")
        return FieldOfView(interval_s=interval_s)
    return FieldOfView()


def _given_view(old: Settler, optics: Optics) -> tuple[FieldOfView, bool]:
    """Return the field of view that the old program was told, and whether there is one.

    Positions are pixels of the stored on-band image in both programs, which do not count from different corners.
    """
    keys = "centre_pix_x centre_pix_y fov_rad"
    if not old.flag("fix_fov"):
        old.carry("fix_fov", f"{_VIEW}.source", "off: it is searched (correlation)")
        old.say(keys, Outcome.NOT_USED, "the field of view is not fixed, but searched")
        return FieldOfView(), False
    x, y, radius = (old.number(key) for key in keys.split())
    is_inside = x is not None and y is not None and 0 <= x <= optics.width_px - 1 and 0 <= y <= optics.height_px - 1
    if x is None or y is None or not is_inside or radius is None or radius <= 0:
        note = f"no place within the image and radius are given: it is searched; see `{_VIEW}`"
        old.say(f"fix_fov {keys}", Outcome.LOOK, note)
        old.account.notice(f"The spectrometer's field of view is fixed in the old program, but {note}.")
        return FieldOfView(), False
    old.carry("fix_fov", f"{_VIEW}.source", "given")
    for key, name in zip(keys.split(), ("x", "y", "radius_px"), strict=True):
        old.carry(key, f"{_VIEW}.{name}")
    old.account.notice(
        f"The spectrometer's field of view is fixed at ({x:g}, {y:g}), radius {radius:g} px, as in the old program: "
        f"see at /setup/field-of-view whether it is still there, or set {_VIEW}.source."
    )
    return FieldOfView(source="given", x=x, y=y, radius_px=radius), True
