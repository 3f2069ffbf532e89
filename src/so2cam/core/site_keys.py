"""What every key of the site file is: its kind, unit, limits, default and meaning, read from the models."""

import enum
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from so2cam.core.site import Site

Kind = Literal[
    "number", "integer", "text", "bool", "choice", "time", "point", "list", "names", "table", "tables", "any"
]
EACH: Final = "*"
"""In the path of a key: any element of an array of tables, or any name of a table of tables."""
_UNITS: Final = (
    ("_molec_cm2", "molecules/cm²"),
    ("_bytes_s", "bytes/s"),
    ("_kib_s", "KiB/s"),
    ("_kg_s", "kg/s"),
    ("_px_s", "px/s"),
    ("_m_s", "m/s"),
    ("_ppm_m", "ppm m"),
    ("_per_km", "1/km"),
    ("_hours", "h"),
    ("_bytes", "bytes"),
    ("_min", "min"),
    ("_deg", "°"),
    ("_dn", "DN"),
    ("_nm", "nm"),
    ("_um", "µm"),
    ("_mm", "mm"),
    ("_px", "px"),
    ("_hz", "Hz"),
    ("_c", "°C"),
    ("_a", "A"),
    ("_v", "V"),
    ("_m", "m"),
    ("_s", "s"),
    ("_h", "h"),
)
_DEGREES: Final = ("latitude", "longitude")


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key. ``path`` has EACH for elements; ``default`` is None where there is none, as for ``required`` ones.

    ``low``, ``high``: limits, which belong to it unless ``open_low``, ``open_high``. ``only``: the kinds of table
    (``type``) that have it, where not all have.
    """

    path: tuple[str, ...]
    kind: Kind
    choices: tuple[str, ...] = ()
    unit: str = ""
    default: Any = None
    description: str = ""
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    required: bool = False
    optional: bool = False
    only: tuple[str, ...] = ()
    models: tuple[type[BaseModel], ...] = field(default=(), repr=False)

    @property
    def words(self) -> str:
        """Its name in words, without its unit: ``maximum shift`` of ``maximum_shift_px``."""
        ending = next((ending for ending, _ in _UNITS if self.path[-1].endswith(ending)), "")
        return self.path[-1].removesuffix(ending).replace("_", " ")

    @property
    def limits(self) -> str:
        """The limits in words: ``0 to 45``, ``above 0``, or nothing."""
        low = None if self.low is None else f"{self.low:g}"
        high = None if self.high is None else f"{self.high:g}"
        if low is not None and high is not None:
            return f"{low} to {high}"
        if low is not None:
            return f"above {low}" if self.open_low else f"{low} or more"
        if high is not None:
            return f"below {high}" if self.open_high else f"{high} or less"
        return ""


def key_info(path: Sequence[str | int]) -> KeyInfo:
    """Return what a key is. ``path`` may name an element by its name, its place, or EACH. Raises KeyError."""
    models: tuple[type[BaseModel], ...] = (Site,)
    info: KeyInfo | None = None
    below = False
    for part in path:
        if info is not None and not below and info.kind == "tables":
            below = True  # this part tells which element
            continue
        below = False
        found = [model for model in models if isinstance(part, str) and part in model.model_fields]
        if not found:
            raise KeyError(tuple(path))
        parents = tuple(one for one in (info.path if info else ()))
        parents += (EACH,) if info is not None and info.kind == "tables" else ()
        info = _info((*parents, str(part)), found, models)
        models = info.models
    if info is None:
        raise KeyError(tuple(path))
    return info


def all_keys(models: Sequence[type[BaseModel]] = (Site,), above: tuple[str, ...] = ()) -> Iterator[KeyInfo]:
    """Yield every key, tables before what is in them, in the order of the models."""
    names = dict.fromkeys(name for model in models for name in model.model_fields)
    for name in names:
        info = _info((*above, name), [model for model in models if name in model.model_fields], models)
        yield info
        if info.models:
            yield from all_keys(info.models, (*info.path, EACH) if info.kind == "tables" else info.path)


def _info(path: tuple[str, ...], having: Sequence[type[BaseModel]], models: Sequence[type[BaseModel]]) -> KeyInfo:
    fields = [model.model_fields[path[-1]] for model in having]
    first = fields[0]
    annotation: Any = first.annotation
    if len(fields) > 1 and any(one.annotation != annotation for one in fields):
        annotation = typing.Union[tuple(one.annotation for one in fields)]  # noqa: UP007 - made of what is found
    kind, choices, inner, optional = _kind(annotation)
    low, high, open_low, open_high = _limits(first)
    default = first.default if first.default is not PydanticUndefined else None
    tags = tuple(tag for model in having if (tag := _tag(model)) is not None)
    return KeyInfo(
        path,
        kind,
        choices,
        unit_of(path[-1]),
        _plain(default),
        _sentence(first.description) or (_sentence(inner[0].__doc__) if len(inner) == 1 else ""),
        low,
        high,
        open_low,
        open_high,
        first.is_required(),
        optional,
        tags if len(having) < len(models) else (),
        inner,
    )


def unit_of(name: str) -> str:
    """Return the unit that a name ends with, as people write it: ``s`` of ``window_s``; nothing where it has none."""
    if name in _DEGREES:
        return "°"
    return next((unit for ending, unit in _UNITS if name.endswith(ending)), "")


def _kind(annotation: Any) -> tuple[Kind, tuple[str, ...], tuple[type[BaseModel], ...], bool]:
    """Return (kind, choices, tables within, whether it may be absent) of an annotation."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _kind(arguments[0])
    if origin in (typing.Union, types.UnionType):
        optional = type(None) in arguments
        parts = [_kind(one) for one in arguments if one is not type(None)]
        optional = optional or any(part[3] for part in parts)
        choices = tuple(dict.fromkeys(choice for part in parts for choice in part[1]))
        inner = tuple(dict.fromkeys(model for part in parts for model in part[2]))
        kinds = {part[0] for part in parts}
        if len(kinds) == 1:
            return parts[0][0], choices, inner, optional
        if kinds <= {"number", "integer"}:
            return "number", (), (), optional
        return "any", (), inner, optional
    if origin is Literal:
        return "choice", tuple(str(value) for value in arguments), (), False
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return "choice", tuple(str(member.value) for member in annotation), (), False
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table", (), (annotation,), False
    if origin is tuple:
        return _list_kind(arguments)
    if origin is dict:
        inner = _kind(arguments[1])[2]
        return ("tables" if inner else "any"), (), inner, False
    if annotation is bool:
        return "bool", (), (), False
    if annotation is int:
        return "integer", (), (), False
    if annotation is float:
        return "number", (), (), False
    if annotation is str:
        return "text", (), (), False
    if "datetime" in str(annotation).lower():
        return "time", (), (), False
    return "any", (), (), False


def _list_kind(arguments: tuple[Any, ...]) -> tuple[Kind, tuple[str, ...], tuple[type[BaseModel], ...], bool]:
    kind, choices, inner, _ = _kind(arguments[0])
    if inner:
        return "tables", (), inner, False
    if len(arguments) == 2 and Ellipsis not in arguments and kind in ("number", "integer"):
        return "point", (), (), False
    if Ellipsis in arguments and kind in ("choice", "text"):
        return "names", choices, (), False
    return "list", (), (), False


def _limits(info: FieldInfo) -> tuple[float | None, float | None, bool, bool]:
    low: float | None = None
    high: float | None = None
    open_low = open_high = False
    for one in (*info.metadata, *_metadata_within(info.annotation)):
        for name in ("ge", "gt"):
            value = getattr(one, name, None)
            if isinstance(value, (int, float)):
                low, open_low = float(value), name == "gt"
        for name in ("le", "lt"):
            value = getattr(one, name, None)
            if isinstance(value, (int, float)):
                high, open_high = float(value), name == "lt"
    return low, high, open_low, open_high


def _metadata_within(annotation: Any) -> Iterator[Any]:
    """Yield what stands beside the type in ``Annotated``, also within ``| None``."""
    if typing.get_origin(annotation) is typing.Annotated:
        for one in typing.get_args(annotation)[1:]:
            yield one
            yield from getattr(one, "metadata", ())
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for one in typing.get_args(annotation):
            yield from _metadata_within(one)


def _tag(model: type[BaseModel]) -> str | None:
    tag = model.model_fields.get("type")
    return None if tag is None or not isinstance(tag.default, str) else tag.default


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    return value


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())
