"""What is wrong, or risky, in a site file: sentence by sentence, each with the key that it is about."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from so2cam.core.errors import So2camError
from so2cam.formats.siteedit import KeyPath, parse_key
from so2cam.formats.sitefile import SeveralProblems, check_site, load_site_text
from so2cam.pipeline.uncorrected_dilution import uncorrected_dilution_risks
from so2cam.station.key_rows import named_path


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence. ``path``: the key that it is about, None where it is about the text as a whole."""

    kind: Literal["wrong", "risk"]
    path: KeyPath | None
    message: str
    remedy: str = ""


def check_text(text: str, path: Path) -> tuple[Finding, ...]:
    """Return what is wrong in the site file ``text``; where nothing is, what is risky. ``path``: where it stands."""
    try:
        site = load_site_text(text, path).site
    except SeveralProblems as error:
        return tuple(_wrong(text, one.key, one.message, one.value, one.remedy) for one in error.problems)
    except So2camError as error:
        return (_wrong(text, error.key or "", error.message, error.value, error.remedy),)
    found = []
    for sentence in (*check_site(site), *uncorrected_dilution_risks(site)):
        key, _, message = sentence.partition(": ")
        where = _path(text, key)
        found.append(Finding("risk", where, message if where is not None else sentence))
    return tuple(found)


def _wrong(text: str, key: str, message: str, value: object, remedy: str | None) -> Finding:
    shown = "" if value is None else repr(value)
    found = f" (found {shown if len(shown) <= 60 else shown[:59] + '…'})" if shown else ""
    return Finding("wrong", _path(text, key), f"{message}{found}", remedy or "")


def _path(text: str, key: str) -> KeyPath | None:
    try:
        return named_path(text, parse_key(key))
    except ValueError:
        return None
