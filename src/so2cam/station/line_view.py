"""The lines of a draft on a pair of the archive: columns along them, their integral, speed, and length at the plume."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray, FramePair
from so2cam.core.site import Site
from so2cam.core.site_lines import Line
from so2cam.core.status import QUALITY_TEXT, STATUS_TEXT, EmissionStatus, QualityFlag
from so2cam.formats.lines import parse_pycam_line
from so2cam.formats.sitefile import LoadedSite
from so2cam.pages import FrameHeader, encode_values
from so2cam.pipeline.records import Emission, PairImages
from so2cam.pipeline.steps import measure_line
from so2cam.science.emission.lines import LineSamples, sample_image
from so2cam.station.plain import all_known, known
from so2cam.station.setup_pairs import NO_CALIBRATION, Processed, SetupPairs, around, uncorrected

PLACE_KEYS: Final = ("start", "end", "points", "arc", "closed", "file", "normal")
_NORMALS: Final = ("left", "right", "up", "down")
_LINE_FLAGS: Final = (
    QualityFlag.PLUME_AT_LINE_END
    | QualityFlag.PLUME_LEAVES_IMAGE
    | QualityFlag.INTERPOLATED_SAMPLES
    | QualityFlag.CALIBRATION_EXTRAPOLATED
)


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed [m s-1] at a line by one method, and the emission rate [kg s-1]; None and ``why`` where there is none.

    ``sigma`` and ``rate_sigma`` are 1 sigma.
    """

    method: str
    speed: float | None
    sigma: float | None
    direction_deg: float | None
    rate: float | None
    rate_sigma: float | None
    why: str


@dataclass(frozen=True, slots=True)
class LineLook:
    """A line on one pair. ``amount`` [kg m-1] is its integrated column amount; None and ``why`` where there is none.

    ``at_m`` (N,) is the distance from its start at the plume, ``absorbance``, ``baseline`` and ``column``
    [molecules cm-2] what lies there.
    """

    name: str
    why: str
    length_m: float | None
    length_px: float
    distance_m: float | None
    amount: float | None
    amount_sigma: float | None
    flags: tuple[str, ...]
    at_m: tuple[float, ...]
    absorbance: tuple[float | None, ...]
    baseline: tuple[float | None, ...]
    column: tuple[float | None, ...]
    speeds: tuple[Speed, ...]


@dataclass(frozen=True, slots=True)
class LinesLook:
    """All lines of a draft on one pair, and its absorbance image as a message of the viewer.

    ``why`` says why there are none, or what is wrong with them.
    """

    time: datetime
    why: str
    lines: Mapping[str, LineLook]
    message: bytes | None


def look_at_lines(
    pairs: SetupPairs,
    loaded: LoadedSite,
    chosen: Sequence[FramePair],
    index: int,
) -> LinesLook:
    """Return what the draft's lines give at pair ``index`` of ``chosen``, as a run over the archive would.

    Speeds are those of the draft's methods which need no longer history. Raises So2camError subclasses where files are
    missing, or a line can never have a value.
    """
    pair = chosen[index]
    settings = loaded.site.processing.speed
    kept = tuple(method for method in settings.methods if method not in ("cross_correlation", "nadeau"))
    speed = settings.model_copy(update={"methods": kept or ("flow_raw",)})
    found = pairs.process(loaded, around(chosen, index), speed=speed)
    seen = found.images.get(pair.time)
    record = found.records.get(pair.time)
    if seen is None:
        status = EmissionStatus.NO_SKY if record is None else next(iter(record.lines.values())).status
        return LinesLook(pair.time, STATUS_TEXT[status], {}, None)
    lines = {line.name: _look(line, found, seen) for line in found.chain.site.lines}
    header = FrameHeader(label="absorbance above the sky", time=pair.time)
    return LinesLook(pair.time, uncorrected(record), lines, encode_values(seen.image.absorbance, header))


def speeds_of(found: Processed, time: datetime, line: str) -> tuple[Speed, ...]:
    """Return the speeds at a line by every method of a run."""
    record = found.records[time]
    return tuple(speed_words(method, emission) for (name, method), emission in record.emissions.items() if name == line)


def speed_words(method: str, emission: Emission) -> Speed:
    """Return an emission rate as plain numbers."""
    ok = emission.status is EmissionStatus.OK
    return Speed(
        method,
        known(emission.speed),
        known(emission.speed_uncertainty),
        known(emission.direction_deg),
        known(emission.rate),
        known(float(np.hypot(emission.random, emission.systematic))) if ok else None,
        "" if ok else STATUS_TEXT[emission.status],
    )


def _look(line: Line, found: Processed, seen: PairImages) -> LineLook:
    record_time = seen.time
    geometry, calibration = seen.geometry, seen.calibration
    samples = geometry.lines.get(line.name)
    if samples is None:
        return _nothing(line, STATUS_TEXT[geometry.status])
    image = seen.image
    profile = sample_image(image.absorbance, image.valid & image.in_sky, samples.x, samples.y)
    if calibration is None:
        return _made(line, samples, NO_CALIBRATION, profile)
    measured = measure_line(image, samples, calibration, found.chain.site, found.chain.references.covered)
    columns, ica = measured.columns, measured.ica
    if columns is None or ica is None:
        return _made(line, samples, STATUS_TEXT[measured.status], profile)
    flags = tuple(QUALITY_TEXT[flag] for flag in measured.flags & _LINE_FLAGS)
    return _made(
        line,
        samples,
        "",
        profile,
        baseline=columns.baseline.values,
        column=columns.column,
        amount=(ica.value, float(np.hypot(ica.random, ica.systematic))),
        flags=flags,
        speeds=speeds_of(found, record_time, line.name),
    )


def _made(
    line: Line,
    samples: LineSamples,
    why: str,
    profile: FloatArray,
    *,
    baseline: FloatArray | None = None,
    column: FloatArray | None = None,
    amount: tuple[float, float] | None = None,
    flags: tuple[str, ...] = (),
    speeds: tuple[Speed, ...] = (),
) -> LineLook:
    at = np.cumsum(samples.piece_m) - samples.piece_m / 2
    nothing = np.full(at.size, np.nan)
    return LineLook(
        line.name,
        why,
        known(float(np.sum(samples.piece_m))),
        samples.line.length_px,
        known(float(np.mean(samples.distance_m))),
        None if amount is None else amount[0],
        None if amount is None else amount[1],
        flags,
        tuple(float(value) for value in at),
        all_known(profile),
        all_known(nothing if baseline is None else baseline),
        all_known(nothing if column is None else column),
        speeds,
    )


def _nothing(line: Line, why: str) -> LineLook:
    length = line.to_plume_line().length_px
    return LineLook(line.name, why, None, length, None, None, None, (), (), (), (), (), ())


# --- lines as tables of the site file --------------------------------------------------------------------------------


def checked_line(site: Site, table: Mapping[str, Any]) -> Line:
    """Return the line that a table of the site file describes. Raises InputError where it can be none."""
    try:
        line = Line.model_validate(dict(table))
        for _, point in line.corners:
            site.require_inside(f"line {line.name}", point)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise InputError(reason, value=table.get("name"), remedy="draw it elsewhere") from None
    except ValueError as error:
        raise InputError(str(error), value=table.get("name"), remedy="draw it inside the image") from None
    return line


def arc_in_image(site: Site, arc: Mapping[str, Any]) -> dict[str, Any]:
    """Return an arc, as a table of the site file, cut to what lies in the image about its middle.

    Raises InputError where its middle lies outside.
    """
    optics = site.camera.optics
    x, y = arc["centre"]
    middle = (arc["from_deg"] + arc["to_deg"]) / 2
    reach = (arc["to_deg"] - arc["from_deg"]) / 2

    def inside(angle: float) -> bool:
        at_x = x + arc["radius_px"] * np.sin(np.radians(angle))
        at_y = y - arc["radius_px"] * np.cos(np.radians(angle))
        return bool(0.5 <= at_x <= optics.width_px - 1.5 and 0.5 <= at_y <= optics.height_px - 1.5)

    if not inside(middle):
        raise InputError("the middle of the arc lies outside the image", remedy="draw it inside the image")
    ends = []
    for side in (-1, 1):
        steps = np.linspace(0, reach, max(int(reach), 2))
        seen = [inside(middle + side * step) for step in steps]
        last = len(seen) if all(seen) else seen.index(False)
        ends.append(float(round(middle + side * steps[last - 1], 1)))
    return {**arc, "from_deg": ends[0], "to_deg": ends[1]}


def flipped(normal: str, fits: Callable[[str], bool]) -> str:
    """Return the other side of a line: ``right`` of ``left``, ``inward`` of ``outward``; one that ``fits``."""
    other = {"left": "right", "right": "left", "up": "down", "down": "up", "outward": "inward", "inward": "outward"}
    wanted = other[normal]
    return wanted if fits(wanted) else normal


def fitting_normal(site: Site, table: Mapping[str, Any]) -> str:
    """Return a normal with which a line can lie as ``table`` says; the one it has where that fits.

    Raises InputError where there is none.
    """
    closed = "arc" in table or table.get("closed")
    wanted = [*([table["normal"]] if "normal" in table else []), *(("outward", "inward") if closed else ()), *_NORMALS]
    refused: InputError | None = None
    for normal in wanted:
        try:
            checked_line(site, {**table, "normal": normal})
        except InputError as error:
            refused = refused or error
        else:
            return str(normal)
    raise refused or InputError("this line has no side", value=table.get("name"))


def free_name(site: Site, wanted: str = "line") -> str:
    """Return a name that no line of the site has: ``line-1``, ``line-2`` and so on."""
    taken = {line.name for line in site.lines}
    number = 1
    while f"{wanted}-{number}" in taken:
        number += 1
    return f"{wanted}-{number}"


def read_line_file(site: Site, name: str, content: bytes) -> dict[str, Any]:
    """Return a PyCam line file as a table of the site file, with a free name. Raises So2camError where it is none."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("is not text", file=name, remedy="choose a PyCam line file") from None
    taken = {line.name for line in site.lines}
    stem = name.rsplit("/", 1)[-1].rsplit(".", 1)[0][:40] or "line"
    line = parse_pycam_line(text, name=stem if stem not in taken else free_name(site, stem), file=name)
    table = line.model_dump(mode="json", exclude_none=True, include={"name", "start", "end", "normal"})
    checked_line(site, table)
    return table
