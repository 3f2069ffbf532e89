"""The spectrometer's fit: windows, line shape, reference spectra and light dilution, as far as they mean the same."""

from dataclasses import dataclass, field
from typing import Any, Final

from so2cam.core.errors import InputError
from so2cam.core.spectrometer import (
    Detector,
    Fit,
    LightDilution,
    LineShapeSettings,
    Reference,
    References,
    So2Reference,
    Spectrometer,
)
from so2cam.formats.legacy.account import Account, Outcome, plain
from so2cam.formats.legacy.choose import Settings
from so2cam.formats.legacy.files import FileKind, Found, FoundFile, resolve
from so2cam.formats.legacy.settle import Settler
from so2cam.formats.legacy.tables import refusal
from so2cam.formats.reference_spectra import read_reference_file

_FIT: Final = "spectrometer.fit"
_SHAPE: Final = "spectrometer.line_shape"
_REFERENCES: Final = "spectrometer.references"
_DILUTION: Final = "spectrometer.light_dilution"
_METHODS: Final = {"ifit": "intensity", "doas": "optical-density"}
_OWN_TABLES: Final = {
    "so2_293k.txt": "so2-bogumil2003-293k",
    "o3_223k.txt": "o3-serdyuchenko2014-223k",
    "ring.txt": "ring",
}
"""What the tables that come with the old program are among so2cam's own."""
_ALL_KEYS: Final = (
    "doas_method",
    "ILS_path",
    "start_fit_wave",
    "end_fit_wave",
    "start_stray_wave",
    "end_stray_wave",
    "species_paths",
    "use_light_dilution_spec",
)


@dataclass(slots=True)
class Copies:
    """Files that the site file names, to be put beside it by their names; none are where that cannot be done."""

    is_possible: bool
    files: dict[str, bytes] = field(default_factory=dict)

    def take(self, file: FoundFile) -> str | None:
        """Return the name by which ``file`` will lie beside the site file; None where another has that name."""
        data = (file.text or "").encode()
        name = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "-" for c in file.path.name).lstrip(".-")
        if self.files.setdefault(name, data) != data:
            return None
        return name


def convert_spectrometer(found: Found, settings: Settings, account: Account, copies: Copies) -> Spectrometer | None:
    """Return the table of the spectrometer; None where the settings know none. Settles the keys that it comes from."""
    if settings.file is None:
        return None
    old = Settler(settings.file.name, settings.values, account)
    if not old.has(*_ALL_KEYS):
        return None
    tables = found.of_kind(FileKind.SPECTRUM_TABLE)
    detector, fit = _windows(old)
    if _fits_shape(old):
        shape = LineShapeSettings(fit=("width", "exponent", "width_asymmetry", "exponent_asymmetry"))
    else:
        shape = _line_shape(old, tables, copies)
    return Spectrometer(
        detector=detector,
        line_shape=shape,
        references=_references(old, tables, copies),
        fit=fit,
        light_dilution=_light_dilution(old, fit),
    )


# --- windows -----------------------------------------------------------------------------------------------------


def _windows(old: Settler) -> tuple[Detector, Fit]:
    stray = _Window(old, "start_stray_wave", "end_stray_wave", "spectrometer.detector.stray_light_nm")
    window = _Window(old, "start_fit_wave", "end_fit_wave", f"{_FIT}.window_nm")
    detector: dict[str, Any] = {} if stray.nm is None else {"stray_light_nm": stray.nm}
    fit = {**({} if window.nm is None else {"window_nm": window.nm}), **_method(old)}
    wrong = refusal(Spectrometer, detector=detector, fit=fit)
    for pair in (stray, window):
        pair.settle(wrong)
    if wrong is not None:
        old.account.notice(f"The old windows of spectra are not carried: {wrong}.")
        return Detector(), Fit()
    return Detector(**detector), Fit(**fit)


class _Window:
    """Two keys that are the ends of a window [nm]; ``nm`` is None where one of them is missing."""

    def __init__(self, old: Settler, first: str, last: str, where: str) -> None:
        self._old, self._keys, self._where = old, (first, last), where
        start, end = old.number(first), old.number(last)
        self.nm = None if start is None or end is None else (start, end)

    def settle(self, wrong: str | None) -> None:
        """Say that both are carried, or why not."""
        if self.nm is None:
            wrong = "needs both its ends in nm"
        for number, key in enumerate(self._keys):
            if wrong is None:
                self._old.carry(key, f"{self._where}[{number}]", "nm")
            else:
                self._old.say(key, Outcome.LOOK, f"`{self._where}` keeps its default: {wrong}")


def _method(old: Settler) -> dict[str, Any]:
    if not old.has("doas_method"):
        return {}
    name = old.text("doas_method").lower()
    if name in _METHODS:
        old.carry("doas_method", f"{_FIT}.method", _METHODS[name])
        return {"method": _METHODS[name]}
    old.say("doas_method", Outcome.LOOK, f"is no method that is known; `{_FIT}.method` is intensity")
    return {}


# --- line shape --------------------------------------------------------------------------------------------------


def _fits_shape(old: Settler) -> bool:
    if not old.flag("include_ils_fit"):
        old.say("include_ils_fit", Outcome.OWN_WAY, f"off: `{_SHAPE}.fit` is empty")
        return False
    old.carry("include_ils_fit", f"{_SHAPE}.fit", "all four parameters, in place of a measured table")
    old.say("ILS_path", Outcome.NOT_USED, "the line shape is fitted")
    return True


def _line_shape(old: Settler, tables: list[FoundFile], copies: Copies) -> LineShapeSettings:
    wanted = old.text("ILS_path")
    if not wanted:
        old.say("ILS_path", Outcome.LOOK, f"no line shape is named: `{_SHAPE}` is so2cam's default")
        return LineShapeSettings()
    name, why = _beside(wanted, tables, copies)
    if name is not None:
        old.carry("ILS_path", f"{_SHAPE}.file", f"{name}, a copy beside the site file")
        return LineShapeSettings(source="file", file=name)
    put = f'put it beside the site file and set `{_SHAPE}` to source = "file", file = its name'
    old.say("ILS_path", Outcome.LOOK, f"{why}: {put}")
    old.account.notice(
        f"The spectrometer's line shape is not carried ({why}): in its place stands a Gaussian 0.6 nm wide, by which "
        f"columns are wrong; {put.replace('`', '')}."
    )
    return LineShapeSettings()


def _beside(wanted: str, tables: list[FoundFile], copies: Copies) -> tuple[str | None, str]:
    """Return the name under which a table will lie beside the site file, or None and why not."""
    files = resolve(wanted, tables)
    if len(files) != 1:
        return None, "the file is not in the folder" if not files else "several files have this name"
    if not copies.is_possible:
        return None, "files cannot be put beside the site file from here"
    try:
        read_reference_file(files[0].path)
    except InputError as error:
        return None, f"the file cannot be used ({error.message})"
    name = copies.take(files[0])
    return name, "another file has this name"


# --- reference spectra -------------------------------------------------------------------------------------------


def _references(old: Settler, tables: list[FoundFile], copies: Copies) -> References:
    species = old.values.get("species_paths")
    values: dict[str, Any] = {}
    ozone: list[Reference] = []
    for name, entry in species.items() if isinstance(species, dict) else ():
        name = plain(str(name))
        key = f"species_paths.{name}"
        kind = "o3" if name.upper().startswith("O3") else name.lower()
        old.say(f"{key}.value", Outcome.OWN_WAY, "a start of the fit, which so2cam finds by itself")
        wanted = entry.get("path") if isinstance(entry, dict) else None
        if kind not in ("so2", "o3", "no2", "ring") or (kind == "o3" and len(ozone) == 2):
            note = f"so2cam fits SO2, O3 (two tables at most), NO2 and Ring; `{_REFERENCES}` has no other"
            old.say(f"{key}.path", Outcome.NOT_YET, note)
            old.account.notice(f"The old fit has {name} among its species, which so2cam's has not.")
            continue
        reference = _reference(old, f"{key}.path", kind, str(wanted or ""), tables, copies)
        if reference is None:
            continue
        if kind == "o3":
            ozone.append(reference)
        elif kind == "so2":
            values[kind] = So2Reference(table=reference.table, file=reference.file)
        else:
            values[kind] = reference
    return References(**values, **({"o3": tuple(ozone)} if ozone else {}))


def _reference(
    old: Settler, key: str, kind: str, wanted: str, tables: list[FoundFile], copies: Copies
) -> Reference | None:
    """Return the table of one species; None where so2cam's own stands in. Both take wavelengths as they are."""
    where = f"{_REFERENCES}.{kind}"
    file, why = _beside(wanted, tables, copies)
    if file is not None:
        old.carry(key, f"{where}.file", f"{file}, a copy beside the site file")
        return Reference(file=file)
    own = _OWN_TABLES.get(wanted.replace("\\", "/").rpartition("/")[2].lower())
    if own is not None:
        old.say(key, Outcome.OWN_WAY, f"so2cam has this table itself: `{where}` is {own}")
        return Reference(table=own)
    stands = "none is fitted" if kind == "no2" else "so2cam's own table stands in"
    old.say(key, Outcome.LOOK, f"{why}; {stands}. Your own goes to `{where}.file`, beside the site file")
    old.account.notice(f"The reference spectrum of {kind.upper()} is not carried ({why}): {stands}.")
    return None


# --- light dilution ----------------------------------------------------------------------------------------------


def _light_dilution(old: Settler, fit: Fit) -> LightDilution:
    values: dict[str, Any] = {}
    window = _Window(old, "start_fit_wave_ld", "end_fit_wave_ld", f"{_DILUTION}.second_window_nm")
    wrong = None if window.nm is None else refusal(LightDilution, second_window_nm=window.nm)
    window.settle(wrong)
    if window.nm is not None and wrong is None:
        values["second_window_nm"] = window.nm
    note = "each spectrum is fitted by itself; images share one over `processing.light_dilution.recalculation_min`"
    old.say("spec_recal_time", Outcome.OWN_WAY, note)
    factor, is_on = old.number("LDF") or 0.0, old.flag("use_light_dilution_spec")
    if factor:
        note = (
            f'a fixed factor: for so2cam to use it set `{_DILUTION}` to mode = "fixed", value = {factor:g} (at 310 nm)'
        )
        old.say("LDF use_light_dilution_spec", Outcome.LOOK, note)
        old.account.notice(f"LDF is {factor:g}, {note.replace('`', '')}.")
    elif is_on and fit.method != "intensity":
        note = "so2cam finds light dilution with the method intensity only; it is off"
        old.say("use_light_dilution_spec", Outcome.LOOK, note)
        old.account.notice(f"The old program corrects light dilution in its spectra: {note}.")
    elif is_on:
        values["mode"] = "fit"
        old.carry("use_light_dilution_spec", f"{_DILUTION}.mode", "fit")
        old.say("LDF", Outcome.OWN_WAY, "0: no fixed factor")
    else:
        old.carry("use_light_dilution_spec", f"{_DILUTION}.mode", "none")
        old.say("LDF", Outcome.OWN_WAY, "0: no fixed factor")
    return LightDilution(**values)
