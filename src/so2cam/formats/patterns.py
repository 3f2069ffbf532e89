"""Patterns of file names: a template with fields in braces, compiled to something that reads names.

``'{time:%Y-%m-%dT%H%M%S}_{integration_ms}ms_{kind}.txt'``: text outside braces stands for itself, upper and lower
case alike; ``{{`` and ``}}`` are braces of the name itself. Fields, each at most once:

- ``{time:...}``, needed, with the directives of strftime: ``%Y %y %m %b %B %d %j %H %I %p %M %S %f %%``. Numbers have
  all their digits (``%m`` two, ``%j`` three); ``%f`` is a fraction of a second of 1 to 6 digits, also straight after
  ``%S``: ``39`` is 0.39 s;
- ``{band}`` and ``{kind}``: words, which the settings explain;
- ``{exposure_us}``, ``{exposure_ms}`` or ``{exposure_s}``; ``{integration_us}``, ``{integration_ms}`` or
  ``{integration_s}``; ``{gain}``; ``{coadds}``; ``{cell_ppm_m}``: numbers without sign;
- ``{any}``, also more than once: any text, or none.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Final

from so2cam.formats.names import MAXIMUM_EXPOSURE_S, MAXIMUM_GAIN, MINIMUM_GAIN
from so2cam.formats.stamps import compile_stamp, read_stamp

MAXIMUM_NAME: Final = 255
"""Longest name, in characters; longer ones never match."""
MAXIMUM_COADDS: Final = 100_000
_MAXIMUM_ANY: Final = 4

_NUMBER: Final = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"
_SCALES: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_NUMBERS: Final = {
    **{f"{what}_{unit}": _NUMBER for what in ("exposure", "integration") for unit in _SCALES},
    "gain": _NUMBER,
    "coadds": r"[0-9]{1,6}",
    "cell_ppm_m": _NUMBER,
}
_WORDS: Final = {"band": 1, "kind": 1, "any": 0}
"""Fields of any text, and their shortest length."""
FIELDS: Final = ("time", *_WORDS, *_NUMBERS)
"""Every field that a template may hold."""

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class ParsedName:
    """What a name says. ``time`` is as written, taken as UTC; ``fields`` has the text of every field but the time."""

    time: datetime
    time_resolution_s: float
    fields: dict[str, str]

    @property
    def band(self) -> str | None:
        """The word for the band, as written."""
        return self.fields.get("band")

    @property
    def kind(self) -> str | None:
        """The word for the kind, as written."""
        return self.fields.get("kind")

    @property
    def exposure_s(self) -> float | None:
        """Exposure [s]."""
        return self._duration("exposure")

    @property
    def integration_time_s(self) -> float | None:
        """Integration time of a spectrum [s]."""
        return self._duration("integration")

    @property
    def gain(self) -> float | None:
        """Gain."""
        return self._number("gain")

    @property
    def coadds(self) -> int | None:
        """Readouts that were averaged."""
        text = self.fields.get("coadds")
        return None if text is None else int(text)

    @property
    def cell_ppm_m(self) -> float | None:
        """Label of a gas cell [ppm m]."""
        return self._number("cell_ppm_m")

    def _number(self, name: str) -> float | None:
        text = self.fields.get(name)
        return None if text is None else float(text)

    def _duration(self, what: str) -> float | None:
        for unit, scale in _SCALES.items():
            number = self._number(f"{what}_{unit}")
            if number is not None:
                return round(number * scale, 12)
        return None


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a template: its text, and what it stands for (None: any text of ``shortest`` characters or more)."""

    text: str
    expression: re.Pattern[str] | None
    name: str = ""
    shortest: int = 0
    takes_digits: bool = False
    starts_with_digit: bool = False


class _Walk:
    """One comparison of a name with pieces: what was found, and how far it went. Every step is taken only once."""

    def __init__(self, pieces: tuple[_Piece, ...], name: str) -> None:
        self._pieces = pieces
        self._name = name
        self._failed: set[tuple[int, int]] = set()
        self.furthest = (0, 0)
        self.groups: dict[str, str] = {}
        self.fits = self._step(0, 0)

    def _step(self, index: int, position: int) -> bool:
        """Tell whether the rest of the name from ``position`` is made of the pieces from ``index``."""
        if (index, position) in self._failed:
            return False
        self.furthest = max(self.furthest, (index, position))
        if index == len(self._pieces):
            return position == len(self._name)
        for end, groups in self._choices(self._pieces[index], position):
            if self._step(index + 1, end):
                self.groups |= groups
                return True
        self._failed.add((index, position))
        return False

    def _choices(self, piece: _Piece, position: int) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield where ``piece`` may end and what it says: any text from the shortest, all else from the longest."""
        if piece.expression is None:
            for end in range(position + piece.shortest, len(self._name) + 1):
                yield end, {piece.name: self._name[position:end]}
            return
        longest = piece.expression.match(self._name, position)
        if longest is None:
            return
        for end in range(longest.end(), position, -1):
            match = piece.expression.fullmatch(self._name, position, end)
            if match is not None:
                yield end, {key: value for key, value in match.groupdict().items() if value is not None}


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A template made ready by ``compile_pattern``. ``text`` is the template, ``fields`` are the names of its fields.

    ``suffix`` is the ending with its dot, in lower case, or empty where the template does not end in one.
    """

    text: str
    fields: tuple[str, ...]
    suffix: str
    _pieces: tuple[_Piece, ...] = field(repr=False)

    def parse(self, name: str) -> ParsedName | None:
        """Return what the file name ``name`` (without folder) says, or None where it does not fit the pattern."""
        found = self._read(name)
        return found if isinstance(found, ParsedName) else None

    def explain(self, name: str) -> str:
        """Return why ``parse`` has no answer for ``name``, or an empty text where it has one."""
        found = self._read(name)
        return found if isinstance(found, str) else ""

    def _read(self, name: str) -> ParsedName | str:
        if len(name) > MAXIMUM_NAME:
            return f"the name has more than {MAXIMUM_NAME} characters"
        walk = _Walk(self._pieces, name)
        if not walk.fits:
            return self._mismatch(name, *walk.furthest)
        times = {key[2:]: value for key, value in walk.groups.items() if key.startswith("t_")}
        try:
            time, resolution_s = read_stamp(times)
        except ValueError:
            return "the name has an impossible time"
        fields = {key: text for key, text in walk.groups.items() if key in FIELDS and key != "any"}
        parsed = ParsedName(time, resolution_s, fields)
        return _implausible(parsed) or parsed

    def _mismatch(self, name: str, count: int, position: int) -> str:
        """Say where ``name`` leaves the pattern: behind the longest run of pieces that it begins with."""
        rest = name[position:]
        if count == len(self._pieces):
            return f"the name goes on with {rest!r} behind the pattern {self.text!r}"
        wanted = self._pieces[count].text
        if count == 0:
            return f"the name does not fit the pattern {self.text!r}: it does not begin with {wanted!r}"
        if self._pieces[count - 1].expression is None:
            return f"the name has no {wanted!r} where the pattern {self.text!r} has it"
        where = f"at {rest!r}" if rest else "at its end"
        return f"the name does not fit the pattern {self.text!r}: {where}, {wanted!r} is expected"


def compile_pattern(text: str) -> NamePattern:
    """Return the pattern that the template ``text`` describes.

    Raises ValueError, with the reason, for an unknown or repeated field, a time that is missing, incomplete or has an
    unknown directive, braces that do not match, and fields side by side that could not be told apart.
    """
    if not text.strip():
        raise ValueError("the name pattern is empty")
    if len(text) > 2 * MAXIMUM_NAME or any(character in "/\\" or ord(character) < 32 for character in text):
        raise ValueError(f"the name pattern {text!r} must be one file name, without folders or control characters")
    pieces: list[_Piece] = []
    names: list[str] = []
    for is_field, content in _split(text):
        if not is_field:
            pieces.append(_literal(content))
            continue
        name, _, detail = content.partition(":")
        _require_known(text, name, detail, names)
        names.append(name)
        pieces.append(_time(text, detail) if name == "time" else _piece(name))
    if "time" not in names:
        raise ValueError(f"the name pattern {text!r} has no time; add a field like {{time:%Y-%m-%dT%H%M%S}}")
    _require_distinct(text, pieces)
    ending = "" if _ends_in_field(text) else pieces[-1].text
    _, dot, suffix = ending.rpartition(".")
    return NamePattern(
        text=text,
        fields=tuple(dict.fromkeys(names)),
        suffix=f".{suffix.lower()}" if dot and suffix else "",
        _pieces=tuple(pieces),
    )


# --- templates ---------------------------------------------------------------------------------------------------


def _split(text: str) -> Iterator[tuple[bool, str]]:
    """Yield (is a field, content) of every part of the template."""
    literal, position = "", 0
    for match in _BRACES.finditer(text):
        literal += text[position : match.start()]
        position = match.end()
        token = match[0]
        if token in ("{{", "}}"):
            literal += token[0]
        elif match[1] is None:
            raise ValueError(f"the name pattern {text!r} has a single {token!r}; braces go in pairs around a field")
        else:
            if literal:
                yield False, literal
            literal = ""
            yield True, match[1]
    literal += text[position:]
    if literal:
        yield False, literal


def _ends_in_field(text: str) -> bool:
    return list(_split(text))[-1][0]


def _require_known(text: str, name: str, detail: str, before: list[str]) -> None:
    if name not in FIELDS:
        raise ValueError(f"the name pattern {text!r} has an unknown field {{{name}}}; fields are {', '.join(FIELDS)}")
    if name != "time" and detail:
        raise ValueError(f"the field {{{name}}} of the name pattern {text!r} takes nothing after a colon")
    if name == "any":
        if before.count("any") == _MAXIMUM_ANY:
            raise ValueError(f"the name pattern {text!r} has {{any}} more than {_MAXIMUM_ANY} times")
    elif name in before:
        raise ValueError(f"the name pattern {text!r} has the field {{{name}}} twice")
    stem, _, unit = name.rpartition("_")
    if unit in _SCALES and any(f"{stem}_{other}" in before for other in _SCALES):
        raise ValueError(f"the name pattern {text!r} has the {stem} twice, in two units")


def _literal(text: str) -> _Piece:
    expression = re.compile(re.escape(text), re.IGNORECASE)
    return _Piece(text, expression, starts_with_digit=text[0] in "0123456789")


def _piece(name: str) -> _Piece:
    if name in _WORDS:
        return _Piece(f"{{{name}}}", None, name=name, shortest=_WORDS[name])
    expression = re.compile(f"(?P<{name}>{_NUMBERS[name]})")
    return _Piece(f"{{{name}}}", expression, takes_digits=True, starts_with_digit=True)


def _time(text: str, form: str) -> _Piece:
    """Return the piece of a time field. Raises ValueError for forms that do not make a whole time."""
    if not form:
        raise ValueError(f"the time of the name pattern {text!r} needs its form, like {{time:%Y-%m-%dT%H%M%S}}")
    try:
        stamp = compile_stamp(form)
    except ValueError as error:
        raise ValueError(f"the time of the name pattern {text!r} {error}") from None
    return _Piece(
        f"{{time:{form}}}",
        re.compile(stamp.expression, re.IGNORECASE),
        takes_digits=stamp.ends_open,
        starts_with_digit=stamp.starts_with_digit,
    )


def _require_distinct(text: str, pieces: list[_Piece]) -> None:
    """Refuse neighbours of which the first could take what belongs to the second."""
    for piece, following in pairwise(pieces):
        digits = piece.takes_digits and following.starts_with_digit
        words = piece.expression is None and (following.expression is None or following.takes_digits)
        if digits or words or (piece.takes_digits and following.expression is None):
            raise ValueError(
                f"in the name pattern {text!r}, {piece.text!r} and {following.text!r} cannot be told apart; "
                "text must stand between them"
            )


# --- values ------------------------------------------------------------------------------------------------------


def _implausible(parsed: ParsedName) -> str:
    """Return which number of a name cannot be, or an empty text."""
    for what, value in (("exposure", parsed.exposure_s), ("integration time", parsed.integration_time_s)):
        if value is not None and not 0 < value <= MAXIMUM_EXPOSURE_S:
            return f"the name's {what} is not above 0 and up to {MAXIMUM_EXPOSURE_S:g} s"
    if parsed.gain is not None and not MINIMUM_GAIN <= parsed.gain <= MAXIMUM_GAIN:
        return f"the name's gain is not within {MINIMUM_GAIN:g} and {MAXIMUM_GAIN:g}"
    if parsed.coadds is not None and not 1 <= parsed.coadds <= MAXIMUM_COADDS:
        return f"the name's number of coadds is not within 1 and {MAXIMUM_COADDS}"
    return ""
