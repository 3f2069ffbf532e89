"""Whether an installation has a spectrometer: what the draft of its site file says of it, and how it is said there.

Nothing is kept beside the site file. A ``[spectrometer]`` says that there is one; a calibration by gas cells or by a
known slope that is written out, without the table, says that there is none; a new installation says neither.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

from so2cam.core.spectrometer import Fit, Spectrometer
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath
from so2cam.station.drafts import DraftState

TABLE: Final[KeyPath] = ("spectrometer",)
SOURCE: Final[KeyPath] = ("processing", "calibration", "source")
_LINE_SHAPE: Final[KeyPath] = (*TABLE, "line_shape")
_BY_SPECTROMETER: Final = ("spectrometer", "joint")
Chosen = Literal["", "yes", "no"]


def chosen(draft: DraftState) -> Chosen:
    """Return what a draft says: there is a spectrometer, there is none, or (an empty text) nothing yet."""
    if draft.written(TABLE) is not MISSING:
        return "yes"
    source = draft.written(SOURCE)
    return "" if source is MISSING or source in _BY_SPECTROMETER else "no"


def adding() -> dict[KeyPath, Any]:
    """Return the changes of a draft that say that there is one: a table, whose other keys have defaults."""
    return {(*TABLE, "fit", "window_nm"): list(Fit().window_nm)}


def leaving_out(draft: DraftState) -> dict[KeyPath, Any]:
    """Return the changes of a draft that say that there is none: gas cells calibrate, where it was to do so."""
    changes: dict[KeyPath, Any] = {} if draft.written(TABLE) is MISSING else {TABLE: REMOVE}
    source = draft.written(SOURCE)
    return changes | ({SOURCE: "cells"} if source is MISSING or source in _BY_SPECTROMETER else {})


def spectrometer_stands(draft: DraftState, devices: Sequence[str]) -> tuple[bool, str]:
    """Return whether all is said of the spectrometer, and how it stands in words. ``devices``: the instrument's own."""
    now, names = chosen(draft), ", ".join(devices)
    if not now:
        seen = f" The instrument has one: {names}." if devices else ""
        wants = " The calibration is to be by one." if draft.written(SOURCE) is not MISSING else ""
        return False, f"Say whether there is one.{wants}{seen}"
    if now == "no":
        unused = f" The instrument has one ({names}): its spectra are kept, and not used." if devices else ""
        return True, f"There is none.{unused}"
    shape = draft.written(_LINE_SHAPE)
    if not isinstance(shape, dict) or not {"width_nm", "file"} & shape.keys():
        return False, "Its line shape is not known yet: measure it with a mercury lamp, or give its width."
    return True, _words(draft.loaded.site.spectrometer or Spectrometer())


def _words(table: Spectrometer) -> str:
    shape, (low, high) = table.line_shape, table.fit.window_nm
    line = f"Line shape of {shape.file}" if shape.file is not None else f"Line shape {shape.width_nm:g} nm wide"
    corrected = "corrected wavelengths" if table.detector.wavelength_correction else "its own wavelengths"
    return f"{line}, {corrected}, fitted from {low:g} to {high:g} nm."
