"""What the names of spectra say: those of existing instruments, and any others by a pattern.

Existing instruments write ``{time}_{integration}ss_{coadds}coadd_{type}.npy`` with the integration time in whole
milliseconds and the time in UTC, at the start of the exposure: ``2019-05-29T124401_1000ss_1coadd_Plume.npy``,
optionally with a fraction of a second. Types are ``Plume``, ``Dark``, ``Clear`` and ``Test``, and ``{N}ppmm`` behind
a gas cell; spectra of a lamp are ``Calibration`` or ``Lamp``. Upper and lower case are alike.
"""

import re
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from so2cam.core.errors import FrameFileError
from so2cam.core.spectra import SpectrumInfo, SpectrumKind
from so2cam.core.spectrometer import SpectrumFiles
from so2cam.formats.names import MAXIMUM_EXPOSURE_S, without_number
from so2cam.formats.patterns import MAXIMUM_COADDS, NamePattern
from so2cam.formats.stamps import read_stamp

PICAM_SUFFIX: Final = ".npy"
_EXAMPLE: Final = "2019-05-29T124401_1000ss_1coadd_Plume.npy"
_STAMP = re.compile(
    r"(?P<Y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})T(?P<H>[0-9]{2})(?P<M>[0-9]{2})(?P<S>[0-9]{2})"
    r"(?:\.(?P<f>[0-9]{1,6}))?"
)
_INTEGRATION = re.compile(r"([0-9]{1,10}(?:\.[0-9]{1,6})?)ss", re.IGNORECASE)
_COADDS = re.compile(r"([0-9]{1,6})coadds?", re.IGNORECASE)
_CELL = re.compile(r"[0-9]{1,7}(?:\.[0-9]{1,20})?ppmm", re.IGNORECASE)
_WORDS: Final = {kind.value: kind for kind in SpectrumKind} | {"lamp": SpectrumKind.LAMP}
_STAMPS: Final[dict[str, Literal["start", "middle", "end"]]] = {"picam": "start", "ifit": "end", "columns": "start"}


def parse_spectrum_name(path: Path, files: SpectrumFiles) -> SpectrumInfo:
    """Return what the name of the existing instruments' spectrum ``path`` says; the file itself is not touched.

    Raises FrameFileError with the reason and a remedy for every other name.
    """
    stem, dot, suffix = path.name.rpartition(".")
    if not dot or f".{suffix.lower()}" != PICAM_SUFFIX:
        raise FrameFileError("is not named as a .npy file", file=path, remedy=f"name spectra like {_EXAMPLE}")
    fields = without_number(stem).split("_", 3)
    if len(fields) != 4:
        raise FrameFileError(
            "the name is not made of time, integration time, coadds and type",
            file=path,
            remedy=f"name spectra like {_EXAMPLE}, or move the file elsewhere",
        )
    time, resolution_s = _parse_stamp(path, fields[0])
    integration = _INTEGRATION.fullmatch(fields[1])
    integration_time_s = 0.0 if integration is None else float(integration[1]) / 1e3
    if not 0 < integration_time_s <= MAXIMUM_EXPOSURE_S:
        raise FrameFileError(
            f"the name has no integration time above 0 and up to {MAXIMUM_EXPOSURE_S:g} s",
            file=path,
            value=fields[1],
            remedy="integration times are written in milliseconds, like 1000ss; correct the name",
        )
    coadds = _COADDS.fullmatch(fields[2])
    if coadds is None or not 1 <= int(coadds[1]) <= MAXIMUM_COADDS:
        raise FrameFileError(
            f"the name has no number of coadds from 1 to {MAXIMUM_COADDS}",
            file=path,
            value=fields[2],
            remedy="coadds are written like 1coadd; correct the name",
        )
    return make_info(
        path,
        files,
        kind=find_kind(path, fields[3], files),
        time=time,
        resolution_s=resolution_s,
        integration_time_s=integration_time_s,
        coadds=int(coadds[1]),
    )


def parse_by_pattern(path: Path, files: SpectrumFiles, pattern: NamePattern) -> SpectrumInfo:
    """Return what the name of ``path`` says by ``pattern``, with the settings ``files`` for what it does not say.

    Raises FrameFileError with the reason for a name that does not fit, or a word for the kind that is not known.
    """
    parsed = pattern.parse(path.name)
    if parsed is None:
        raise FrameFileError(
            pattern.explain(path.name),
            file=path,
            remedy="correct spectrometer.files.name_pattern in the site file, or move the file elsewhere",
        )
    return make_info(
        path,
        files,
        kind=find_kind(path, parsed.kind, files),
        time=parsed.time,
        resolution_s=parsed.time_resolution_s,
        integration_time_s=parsed.integration_time_s or parsed.exposure_s,
        coadds=parsed.coadds,
    )


def find_kind(path: Path, word: str | None, files: SpectrumFiles) -> SpectrumKind:
    """Return the kind of the spectrum ``path`` whose name has ``word`` for it (None: the name does not tell).

    Names that fit one of ``files.dark_files`` are darks, upper and lower case alike, compared from the end of the
    path; without a word a spectrum is of the plume. Raises FrameFileError for a word that is not known.
    """
    folded = PurePosixPath(path.as_posix().casefold())
    if any(pattern.strip() and folded.match(pattern.casefold()) for pattern in files.dark_files):
        return SpectrumKind.DARK
    if word is None:
        return SpectrumKind.PLUME
    meanings = _WORDS | {key.casefold(): SpectrumKind(value) for key, value in files.kinds.items()}
    kind = meanings.get(word.casefold())
    if kind is not None:
        return kind
    if _CELL.fullmatch(word):
        raise FrameFileError(
            "was taken behind a gas cell; columns are found from spectra of the open sky",
            file=path,
            value=word,
            remedy="nothing, or say in spectrometer.files.kinds what this word means",
        )
    raise FrameFileError(
        "the name's type is unknown",
        file=path,
        value=word,
        remedy="say in spectrometer.files.kinds of the site file what this word means, like lamp = 'calibration'",
    )


def make_info(
    path: Path,
    files: SpectrumFiles,
    *,
    kind: SpectrumKind,
    time: datetime,
    resolution_s: float,
    integration_time_s: float | None,
    coadds: int | None,
    position: tuple[float | None, float | None, float | None] = (None, None, None),
    zoned: bool = False,
) -> SpectrumInfo:
    """Return the record of a spectrum whose file says ``time``; the settings fill in what the file does not tell.

    ``files.utc_offset_hours`` is taken off the time unless it is ``zoned``, already UTC. Half of the exposure, that
    is of the integration time by the coadds, leads from the stamp to mid-exposure; where the integration time is not
    known, the stamp stays. ``position`` is latitude, longitude and altitude.
    """
    if integration_time_s is None:
        integration_time_s = files.integration_time_s
    coadds = files.coadds if coadds is None else coadds
    half_s = 0.5 * (integration_time_s or 0.0) * (coadds or 1)
    stamp = files.stamp or _STAMPS[files.format]
    shift_s = {"start": half_s, "middle": 0.0, "end": -half_s}[stamp]
    offset_h = 0.0 if zoned else files.utc_offset_hours
    return SpectrumInfo(
        path=path,
        kind=kind,
        time=time - timedelta(hours=offset_h) + timedelta(seconds=shift_s),
        integration_time_s=integration_time_s,
        coadds=coadds,
        time_resolution_s=resolution_s,
        latitude_deg=position[0],
        longitude_deg=position[1],
        altitude_m=position[2],
    )


def _parse_stamp(path: Path, text: str) -> tuple[datetime, float]:
    remedy = "times are written like 2019-05-29T124401 (UTC, start of exposure); correct the name"
    match = _STAMP.fullmatch(text)
    if match is None:
        raise FrameFileError("the name does not begin with a time", file=path, value=text, remedy=remedy)
    try:
        return read_stamp({key: value for key, value in match.groupdict().items() if value is not None})
    except ValueError:
        raise FrameFileError("the name has an impossible time", file=path, value=text, remedy=remedy) from None
