"""Settings of the processing: what so2cam has too is carried, the rest is settled with its reason."""

from typing import Any, Final

from pydantic import ValidationError

from so2cam.core.site import (
    BACKGROUND_NUMBERS,
    Background,
    CrossCorrelation,
    OpticalFlow,
    Processing,
    Speed,
    SpeedMethod,
)
from so2cam.formats.legacy.account import Account, Outcome, plain
from so2cam.formats.legacy.choose import Settings
from so2cam.formats.legacy.files import FoundFile
from so2cam.formats.legacy.lines import LegacyLine
from so2cam.formats.legacy.nadeau import convert_nadeau
from so2cam.formats.legacy.parse import to_number
from so2cam.formats.legacy.settle import Settler

_FLOW_KEYS: Final = {"winsize": "window_px", "levels": "levels", "iterations": "iterations"}
_FLOW_METHODS: Final[dict[str, SpeedMethod]] = {
    "flow_raw": "flow_raw",
    "flow_histo": "flow_histogram",
    "flow_hybrid": "flow_hybrid",
    "flow_nadeau": "nadeau",
}


def convert_processing(
    settings: Settings, lines: list[LegacyLine], pair: tuple[LegacyLine, LegacyLine] | None, account: Account
) -> Processing:
    """Return the processing tables, and settle the keys of the settings that they come from."""
    file = settings.file
    if file is None:
        account.notice("No processing settings were found: so2cam's own defaults stand in the site file.")
        methods: tuple[SpeedMethod, ...] = ("flow_raw", "cross_correlation") if pair else ("flow_raw",)
        names = (pair[0].line.name, pair[1].line.name) if pair else None
        return Processing(speed=Speed(methods=methods, cross_correlation=CrossCorrelation(lines=names)))
    _settle_time_zone(settings, file, account)
    return Processing(
        background=_convert_background(settings, file, account),
        speed=_convert_speed(settings, file, lines, pair, account),
    )


def _settle_time_zone(settings: Settings, file: FoundFile, account: Account) -> None:
    if to_number(settings.values.get("time_zone", 0)) == 0:
        account.settle(file.name, "time_zone", Outcome.OWN_WAY, "times are UTC, as in so2cam")
        return
    value = plain(str(settings.values["time_zone"]))
    account.settle(file.name, "time_zone", Outcome.LOOK, "so2cam takes the times in the files' names as UTC")
    account.notice(
        f"time_zone is {value}: the clock of this installation was not on UTC, as which so2cam takes the times in "
        "the files' names. Every time will be wrong by that much."
    )


def _convert_background(settings: Settings, file: FoundFile, account: Account) -> Background:
    where = "processing.background.mode"
    if settings.flag("use_vign_corr") is False:
        account.settle(file.name, "use_vign_corr", Outcome.OWN_WAY, "off in the old program; so2cam always divides")
    else:
        account.settle(file.name, "use_vign_corr", Outcome.OWN_WAY, "so2cam always divides by the smoothed clear sky")
    if "bg_mode" not in settings.values:
        return Background()
    mode = to_number(settings.values["bg_mode"])
    name = BACKGROUND_NUMBERS.get(int(mode)) if mode is not None and mode == int(mode) else None
    if name is not None:
        account.carry(file.name, "bg_mode", where, f"{int(mode or 0)} is {name}")
        return Background(mode=name)
    text = plain(str(settings.values["bg_mode"]))
    account.carry(file.name, "bg_mode", where, f"sky-surface in place of mode {text}, which so2cam does not know")
    account.notice(f"Background mode {text} of the old program has become sky-surface: values will differ somewhat.")
    return Background(mode="sky-surface")


def _convert_speed(
    settings: Settings,
    file: FoundFile,
    lines: list[LegacyLine],
    pair: tuple[LegacyLine, LegacyLine] | None,
    account: Account,
) -> Speed:
    methods: list[SpeedMethod] = []
    for key, method in _FLOW_METHODS.items():
        if settings.flag(key) is True:
            methods.append(method)
            account.carry(file.name, key, "processing.speed.methods", method)
        else:
            account.settle(file.name, key, Outcome.OWN_WAY, "switched off in the old program")
    correlation = CrossCorrelation()
    if settings.flag("flow_glob") is not True:
        account.settle(file.name, "flow_glob", Outcome.OWN_WAY, "cross-correlation: switched off in the old program")
        account.settle(file.name, "cross_corr_recal", Outcome.NOT_USED, "cross-correlation is switched off")
    elif pair is None:
        why = "needs two parallel lines, one downstream of the other" if lines else "needs lines"
        account.settle(file.name, "flow_glob", Outcome.LOOK, f"cross-correlation {why}; `processing.speed.methods`")
        account.settle(file.name, "cross_corr_recal", Outcome.NOT_USED, f"cross-correlation {why}")
    else:
        methods.append("cross_correlation")
        account.carry(file.name, "flow_glob", "processing.speed.methods", "cross_correlation")
        correlation = _convert_correlation(settings, file, pair, account)
    if not methods:
        methods.append("flow_raw")
        account.settle(file.name, "flow_raw", Outcome.LOOK, "taken, as a site needs a speed method and none is left")
        account.notice("No speed method is switched on in the old settings, or can be used: flow_raw was taken.")
    return Speed(
        methods=tuple(methods),
        optical_flow=_convert_flow(settings, file, account),
        cross_correlation=correlation,
        nadeau=convert_nadeau(Settler(file.name, settings.values, account)),
    )


def _convert_correlation(
    settings: Settings, file: FoundFile, pair: tuple[LegacyLine, LegacyLine], account: Account
) -> CrossCorrelation:
    upstream, downstream = pair
    names = (upstream.line.name, downstream.line.name)
    if upstream.age == "old" or downstream.age == "young":
        account.notice(
            f"By their normals {names[0]} lies upstream of {names[1]}; the old program has them the other way."
        )
    minutes = to_number(settings.values.get("cross_corr_recal"))
    where = "processing.speed.cross_correlation.window_s"
    if minutes is not None and 5 <= minutes <= 1440:
        account.carry(file.name, "cross_corr_recal", where, "minutes, here in seconds")
        return CrossCorrelation(lines=names, window_s=60 * minutes)
    note = f"`{where}` keeps so2cam's default: windows are 5 minutes to a day long"
    account.settle(file.name, "cross_corr_recal", Outcome.NOT_USED, note)
    return CrossCorrelation(lines=names)


def _convert_flow(settings: Settings, file: FoundFile, account: Account) -> OpticalFlow:
    values: dict[str, Any] = {}
    for key, name in _FLOW_KEYS.items():
        if key not in settings.values:
            continue
        where = f"processing.speed.optical_flow.{name}"
        number = to_number(settings.values[key])
        try:
            OpticalFlow.model_validate({name: number})
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            account.settle(
                file.name, key, Outcome.LOOK, f"`{where}` keeps its default: {reason[0].lower()}{reason[1:]}"
            )
            continue
        values[name] = int(number or 0)
        account.carry(file.name, key, where)
    return OpticalFlow(**values)
