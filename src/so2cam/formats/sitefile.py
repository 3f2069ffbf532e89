"""Reading the site file: TOML to the checked models, with every problem named in plain words."""

import difflib
import hashlib
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from so2cam.core.errors import SiteFileError
from so2cam.core.site import GeoPoint, Registration, Site
from so2cam.core.spectrometer import Spectrometer, SpectrometerSite
from so2cam.formats.calibration_risks import calibration_risks
from so2cam.formats.instrument_risks import instrument_risks
from so2cam.formats.lines import parse_pycam_line
from so2cam.formats.starter import is_new, placeholders

_Model = TypeVar("_Model", bound=BaseModel)
_EARTH_RADIUS_M: Final = 6_371_000.0
_PARALLEL_DEG: Final = 10.0
_ROOT_KEY = re.compile(r"([a-z][a-z_]*(?:\.[A-Za-z0-9 _.\[\]-]+)?): ")
_LINE_KEY = re.compile(r"lines\.(.+)\.(start|end|arc|points\[[0-9]+\])")


@dataclass(frozen=True, slots=True)
class LoadedSite:
    """A site file: its models, where it is, the SHA-256 of its bytes, and its settings as plain data.

    ``settings`` is complete: defaults are filled in and line files are replaced by what they say.
    """

    site: Site
    path: Path
    sha256: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a site file: key, what, the value found, what to do."""

    key: str
    message: str
    value: object = None
    remedy: str | None = None

    def __str__(self) -> str:
        found = "" if self.value is None else f" (found {_short(self.value)})"
        hint = f" - {self.remedy}" if self.remedy else ""
        return f"{self.key + ': ' if self.key else ''}{self.message}{found}{hint}"


def load_site(path: Path) -> LoadedSite:
    """Return the site that the file ``path`` describes.

    Line files that it names are read relative to its folder. Raises SiteFileError with file, key, value and
    remedy; several problems are reported at once, in one error whose message lists them.
    """
    return _load(_read(path), path)


def load_site_text(text: str, path: Path) -> LoadedSite:
    """Return the site that ``text`` describes, as ``load_site`` would where it stood in the file ``path``."""
    return _load(text.encode("utf-8"), path)


def _load(data: bytes, path: Path) -> LoadedSite:
    document = _parse_toml(data, path)
    site = _validate(document, path)
    if any(line.file is not None for line in site.lines):
        lines = [_inline(line, index, path) for index, line in enumerate(document["lines"])]
        site = _validate({**document, "lines": lines}, path)
    return LoadedSite(
        site=site,
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        settings=site.model_dump(mode="json"),
    )


@dataclass(frozen=True, slots=True)
class LoadedSpectrometer:
    """What of a site file the spectra need. Files that it names are relative to ``path``'s folder."""

    name: str
    spectrometer: Spectrometer
    path: Path
    sha256: str
    settings: dict[str, Any]


def load_spectrometer(path: Path) -> LoadedSpectrometer:
    """Return the spectrometer of the site file ``path``: of a whole site, or of a file with no more than that.

    Raises SiteFileError as ``load_site`` does, and where there is no spectrometer.
    """
    data = _read(path)
    document = _parse_toml(data, path)
    if "spectrometer" not in document:
        raise SiteFileError(
            "is missing", file=path, key="spectrometer", remedy="add a [spectrometer] table; its keys have defaults"
        )
    digest = hashlib.sha256(data).hexdigest()
    if "camera" in document:
        site = load_site(path).site
        if site.spectrometer is not None:
            return LoadedSpectrometer(site.name, site.spectrometer, path, digest, site.model_dump(mode="json"))
    only = _validate_as(SpectrometerSite, document, path)
    return LoadedSpectrometer(only.name, only.spectrometer, path, digest, only.model_dump(mode="json"))


def spectrometer_of(loaded: LoadedSite) -> LoadedSpectrometer:
    """Return what the spectra need of ``loaded``, with its settings as they are, whatever its file says meanwhile.

    Raises SiteFileError where there is no spectrometer.
    """
    if loaded.site.spectrometer is None:
        return load_spectrometer(loaded.path)
    return LoadedSpectrometer(
        loaded.site.name, loaded.site.spectrometer, loaded.path, loaded.sha256, loaded.site.model_dump(mode="json")
    )


def is_spectrometer_only(path: Path) -> bool:
    """Return whether a site file has a spectrometer and no camera. Raises SiteFileError where it cannot be read."""
    document = _parse_toml(_read(path), path)
    return "spectrometer" in document and "camera" not in document


def canonical_settings(settings: Mapping[str, Any]) -> str:
    """Return ``settings`` as canonical JSON: keys sorted, no spaces, ASCII.

    Raises ValueError for values that JSON does not have (NaN, infinity).
    """
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 of ``settings`` as ``canonical_settings`` writes them."""
    return hashlib.sha256(canonical_settings(settings).encode("ascii")).hexdigest()


# --- reading -----------------------------------------------------------------------------------------------------


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise SiteFileError("is a folder, not a site file", file=path, remedy="name the file, such as site.toml")
        return path.read_bytes()
    except FileNotFoundError:
        raise SiteFileError("does not exist", file=path, remedy="check the path of the site file") from None
    except (OSError, ValueError) as error:
        raise SiteFileError(
            f"cannot be read: {getattr(error, 'strerror', None) or error}",
            file=path,
            remedy="check the file's permissions and the disk",
        ) from error


def _parse_toml(data: bytes, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise SiteFileError(
            f"is not UTF-8 text: line {row} holds another byte",
            file=path,
            value=data[error.start : error.start + 1],
            remedy="save the file as UTF-8",
        ) from None
    except ValueError as error:
        raise SiteFileError(
            f"is not valid TOML: {error}",
            file=path,
            remedy='correct the line; text stands in "quotes", lists in [brackets], decimals have a point',
        ) from None
    except RecursionError:
        raise SiteFileError("is not valid TOML: brackets too deep", file=path, remedy="correct the file") from None


def _validate(document: Mapping[str, Any], path: Path) -> Site:
    return _validate_as(Site, document, path)


def _validate_as(model: type[_Model], document: Mapping[str, Any], path: Path) -> _Model:
    try:
        # Strict, and through JSON, where lists are tuples: a text or a true/false is never taken for a number.
        return model.model_validate_json(json.dumps(document, default=str), strict=True)
    except ValidationError as error:
        problems = [_locate(_translate(detail), document) for detail in error.errors(include_url=False)]
    raise _as_error(problems, path)


class SeveralProblems(SiteFileError):  # noqa: N818 - it is an error, of several
    """Several things are wrong in a site file: ``problems``, one by one."""

    def __init__(self, message: str, problems: Sequence[Problem], *, file: Path, remedy: str) -> None:
        super().__init__(message, file=file, remedy=remedy)
        self.problems = tuple(problems)


def _as_error(problems: Sequence[Problem], path: Path) -> SiteFileError:
    if len(problems) == 1:
        only = problems[0]
        return SiteFileError(
            only.message,
            file=path,
            key=only.key or None,
            value=only.value,
            remedy=only.remedy or "correct the value in the site file",
        )
    listed = "\n".join(f"  {problem}" for problem in problems)
    return SeveralProblems(
        f"{len(problems)} problems:\n{listed}",
        problems,
        file=path,
        remedy="correct these values in the site file",
    )


def _inline(line: Mapping[str, Any], index: int, site_path: Path) -> Mapping[str, Any]:
    """Return the table of a line with its file, if it has one, replaced by start, end and normal."""
    name = line.get("file")
    if name is None:
        return line
    key = f"lines[{index}].file"
    try:
        path = site_path.parent / name
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SiteFileError(
            "the line file is not text", file=site_path, key=key, value=name, remedy="name a PyCam line file"
        ) from None
    except (OSError, ValueError) as error:
        raise SiteFileError(
            f"the line file cannot be read: {getattr(error, 'strerror', None) or error}",
            file=site_path,
            key=key,
            value=name,
            remedy=f"paths are relative to the site file's folder, {site_path.parent}",
        ) from None
    plume = {"plume": line["plume"]} if "plume" in line else {}
    parsed = parse_pycam_line(text, name=line["name"], file=path, **plume)
    kept = {key: line[key] for key in ("plume", "role") if key in line}
    return {**parsed.model_dump(include={"name", "start", "end", "normal"}), **kept}


# --- messages ----------------------------------------------------------------------------------------------------

_PLAIN: Final[dict[str, str]] = {
    "missing": "is missing",
    "extra_forbidden": "unknown key",
    "greater_than": "must be > {gt:g}",
    "greater_than_equal": "must be >= {ge:g}",
    "less_than": "must be < {lt:g}",
    "less_than_equal": "must be <= {le:g}",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of sensible size",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": 'must be text in "quotes"',
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must begin with a letter or digit and hold only letters, digits, spaces and _ . -",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "tuple_type": "must be a list in [brackets]",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dict_type": "must be a table",
}


def _translate(detail: ErrorDetails) -> Problem:
    """Return one validation error in plain words."""
    kind, context = detail["type"], detail.get("ctx", {})
    location = _without_tags(detail["loc"])
    key = _dotted(location)
    value = detail["input"] if not isinstance(detail["input"], Mapping | BaseModel) else None
    if kind == "value_error":
        message = detail["msg"].removeprefix("Value error, ")
        match = _ROOT_KEY.match(message)
        if match is not None:
            return Problem(f"{key}.{match[1]}" if key else match[1], message[match.end() :])
        return Problem(key, message, value)
    if kind in ("too_short", "too_long"):
        return Problem(key, _count_message(kind, context), value)
    if kind == "missing":
        if location and isinstance(location[-1], int):
            return Problem(_dotted(location[:-1]), f"has only {location[-1]} values; one more is needed", value)
        return Problem(key, "is missing", remedy=_missing_remedy(key))
    if kind == "extra_forbidden":
        return Problem(key, "unknown key", value, _suggestion(detail["loc"]))
    if kind == "union_tag_invalid":
        return Problem(f"{key}.type", f"must be {context['expected_tags']}", context["tag"])
    if kind == "union_tag_not_found":
        return Problem(f"{key}.type", "is missing", remedy="add type, which says what kind of table this is")
    if kind == "tuple_type" and key == "lines":
        return Problem(key, "must be written as [[lines]] tables, one for each line", value)
    template = _PLAIN.get(kind)
    return Problem(key, template.format_map(context) if template else detail["msg"], value)


def _locate(problem: Problem, document: Mapping[str, Any]) -> Problem:
    """Return ``problem`` with a line that is given by its name given by its place instead, as other keys are."""
    match = _LINE_KEY.fullmatch(problem.key)
    if match is None:
        return problem
    index = [line["name"] for line in document["lines"]].index(match[1])
    return replace(problem, key=f"lines[{index}].{match[2]}")


def _count_message(kind: str, context: Mapping[str, Any]) -> str:
    limit = context.get("min_length") if kind == "too_short" else context.get("max_length")
    return f"must have at {'least' if kind == 'too_short' else 'most'} {limit} entr{'y' if limit == 1 else 'ies'}"


def _missing_remedy(key: str) -> str:
    return "add at least one [[lines]] table" if key == "lines" else f"add {key} to the site file"


def _dotted(location: Sequence[str | int]) -> str:
    """Return ``lines[1].start`` for ("lines", 1, "start")."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _suggestion(location: Sequence[str | int]) -> str | None:
    """Return the known key that the last part of ``location`` may have meant, if there is one."""
    table, wrong = _table_at(location[:-1]), str(location[-1])
    if table is None:
        return None
    near = difflib.get_close_matches(wrong, table.model_fields, n=1)
    if near:
        return f"did you mean {near[0]}?"
    elsewhere = list(dict.fromkeys(key for key in _all_keys(Site) if key.rpartition(".")[2] == wrong))
    if elsewhere:
        return f"this key belongs to another table: {' or '.join(elsewhere)}"
    return f"known keys here: {', '.join(table.model_fields)}"


def _table_at(location: Sequence[str | int]) -> type[BaseModel] | None:
    tables: list[type[BaseModel]] = [Site]
    for part in location:
        if isinstance(part, int):
            continue
        tagged = [table for table in tables if _tag_of(table) == part]
        if len(tables) > 1 and tagged:
            tables = tagged
            continue
        field = tables[0].model_fields.get(part)
        tables = [] if field is None else list(_tables_in(field.annotation))
        if not tables:
            return None
    return tables[0]


def _without_tags(location: Sequence[str | int]) -> tuple[str | int, ...]:
    """Return ``location`` without the names that tell which of several kinds of table one is."""
    kept: list[str | int] = []
    for index, part in enumerate(location):
        if index and isinstance(location[index - 1], int) and _tag_of(_table_at(location[: index + 1])) == part:
            continue
        kept.append(part)
    return tuple(kept)


def _tag_of(table: type[BaseModel] | None) -> object:
    field = None if table is None else table.model_fields.get("type")
    return None if field is None else field.default


def _tables_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that ``annotation`` is, or that it is a tuple, option or choice of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for part in get_args(annotation):
            yield from _tables_in(part)


def _all_keys(table: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in table.model_fields.items():
        yield prefix + name
        for below in _tables_in(field.annotation):
            yield from _all_keys(below, f"{prefix}{name}.")


def _short(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


# --- risks -------------------------------------------------------------------------------------------------------


def check_site(site: Site) -> list[str]:
    """Return what is valid but risky in ``site``: plain sentences, each beginning with its key."""
    return [
        *(() if is_new(site) else _view_risks(site)),
        *_registration_risks(site),
        *_cross_correlation_risks(site),
        *_total_risks(site),
        *_uncertainty_risks(site),
        *calibration_risks(site),
        *_placeholder_risks(site),
        *(() if site.instrument is None else instrument_risks(site.instrument)),
    ]


def _placeholder_risks(site: Site) -> Iterator[str]:
    for key, words in placeholders(site):
        yield f"{key}: {words}"


def _view_risks(site: Site) -> Iterator[str]:
    camera, vent = site.camera.position, site.volcano.vent
    azimuth_deg, distance_m = _bearing_and_distance(camera, vent)
    if distance_m < 100:
        yield f"camera.position: the camera stands {distance_m:.0f} m from the vent; check both places."
        return
    if distance_m > 50_000:
        yield f"camera.position: the camera stands {distance_m / 1000:.0f} km from the vent; check both places."
    drop_m = distance_m**2 / (2 * _EARTH_RADIUS_M)
    elevation_deg = math.degrees(math.atan2(vent.altitude_m - camera.altitude_m - drop_m, distance_m))
    view, optics = site.camera.view, site.camera.optics
    half_width_deg, half_height_deg = (
        math.degrees(math.atan(pixels * optics.pixel_pitch_m / (2 * optics.focal_length_m)))
        for pixels in (optics.width_px, optics.height_px)
    )
    away_deg = abs(_difference_deg(azimuth_deg, view.azimuth_deg))
    if away_deg > half_width_deg:
        yield (
            f"camera.view.azimuth_deg: the vent lies at azimuth {azimuth_deg:.1f} degrees, {away_deg:.1f} degrees "
            f"beside the image's centre and outside the field of view of {2 * half_width_deg:.1f} degrees."
        )
    above_deg = elevation_deg - view.elevation_deg
    if abs(above_deg) > half_height_deg:
        yield (
            f"camera.view.elevation_deg: the vent lies at elevation {elevation_deg:.1f} degrees, "
            f"{abs(above_deg):.1f} degrees {'above' if above_deg > 0 else 'below'} the image's centre and outside "
            f"the field of view of {2 * half_height_deg:.1f} degrees."
        )


def _registration_risks(site: Site) -> Iterator[str]:
    # One camera with a filter wheel sees both bands alike.
    if site.registration == Registration() and site.files.naming != "envicam":
        yield (
            "registration.matrix: is the identity, so the two cameras are taken as perfectly aligned; "
            "find the matrix from points that both images show."
        )


def _cross_correlation_risks(site: Site) -> Iterator[str]:
    key = "processing.speed.cross_correlation.lines"
    if "cross_correlation" not in site.processing.speed.methods:
        return
    pair = site.processing.speed.cross_correlation.lines
    if pair is None:
        if len(site.lines) >= 2:
            yield f"{key}: names no lines, so cross-correlation gives no speed; name an upstream and a downstream one."
        return
    lines = {line.name: line for line in site.plume_lines}
    first, second = lines[pair[0]], lines[pair[1]]
    cosine = first.normal[0] * second.normal[0] + first.normal[1] * second.normal[1]
    angle_deg = math.degrees(math.acos(max(-1.0, min(1.0, cosine))))
    if cosine < 0:
        yield f"{key}: the normals of {first.name!r} and {second.name!r} point to opposite sides."
    if min(angle_deg, 180 - angle_deg) > _PARALLEL_DEG:
        yield (
            f"{key}: {first.name!r} and {second.name!r} are {min(angle_deg, 180 - angle_deg):.0f} degrees from "
            f"parallel (more than {_PARALLEL_DEG:.0f}), so their distance is not one number."
        )
    (x0, y0), (x1, y1) = first.middle[0], second.middle[0]
    if (x1 - x0) * first.normal[0] + (y1 - y0) * first.normal[1] <= 0:
        yield (
            f"{key}: {second.name!r} lies upstream of {first.name!r} by the latter's normal; "
            "name the upstream line first, or turn the normal."
        )


def _total_risks(site: Site) -> Iterator[str]:
    plumes = {line.name: line.plume for line in site.lines}
    for plume in dict.fromkeys(plumes.values()):
        added = [name for name in site.total_lines if plumes[name] == plume]
        if len(added) > 1:
            yield (
                f"processing.emission.total_lines: {' and '.join(map(repr, added))} cross the same plume "
                f"{plume!r}, which would be counted twice in the total."
            )


def _uncertainty_risks(site: Site) -> Iterator[str]:
    if site.camera.view.azimuth_uncertainty_deg == 0:
        yield "camera.view.azimuth_uncertainty_deg: is 0, so the viewing direction is taken as exact."


def _difference_deg(a: float, b: float) -> float:
    """Return a - b [degrees] within -180 and 180."""
    return (a - b + 180) % 360 - 180


def _bearing_and_distance(origin: GeoPoint, target: GeoPoint) -> tuple[float, float]:
    """Return initial bearing [degrees, 0 to 360] and distance [m] on a sphere."""
    lat1, lat2 = math.radians(origin.latitude), math.radians(target.latitude)
    dlon = math.radians(target.longitude - origin.longitude)
    east = math.sin(dlon) * math.cos(lat2)
    north = math.cos(lat1) * math.sin(lat2) - math.sin(lat1) * math.cos(lat2) * math.cos(dlon)
    up = math.sin(lat1) * math.sin(lat2) + math.cos(lat1) * math.cos(lat2) * math.cos(dlon)
    return math.degrees(math.atan2(east, north)) % 360, _EARTH_RADIUS_M * math.atan2(math.hypot(east, north), up)
