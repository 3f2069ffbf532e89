"""What image files say of themselves, by the site file's ``[files]``: name, FITS header, sidecar, settings.

- ``picam``: names of existing instruments (``formats.names``), PNG.
- ``envicam``: FITS like ``EC2_1106307_1R02_2015091606454457_F01_Etna.fts``: camera, serial number, anything, time to
  the hundredth of a second, filter tag, free text. Exposure and gain stand in the header, whose STIME must agree
  with the name. ``D0L``, ``D1L``, ``D0H``, ``D1H`` are offsets and darks of low and high gain; ``LOW`` is gain 1.
- ``pattern``: any other name (``formats.patterns``), PNG or FITS.

Of one value, a sidecar wins over the name, the name over the header, the header over the site file. Darks without a
band are frames of both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from so2cam.core.errors import FrameFileError, SiteFileError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.core.site import Files
from so2cam.formats.fits import FITS_SUFFIXES, FitsHeader, read_header
from so2cam.formats.image_files import IMAGE_SUFFIXES, PNG_SUFFIXES, is_fits, suffix_of
from so2cam.formats.names import (
    MAXIMUM_GAIN,
    MINIMUM_GAIN,
    parse_image_name,
    parse_kind,
    stamp_to_middle_s,
    to_utc,
)
from so2cam.formats.patterns import NamePattern, ParsedName, compile_pattern

HEADER_TOLERANCE_S: Final = 1.0
"""Largest difference between the start of an exposure in an Envicam file's name and in its header [s]."""

_ENVICAM: Final = "{any}_{any}_{any}_{time:%Y%m%d%H%M%S%f}_{band}_{any}"
_ENVICAM_KINDS: Final = dict.fromkeys(("d0l", "d1l", "d0h", "d1h"), FrameKind.DARK)
_ENVICAM_GAINS: Final = {"low": 1.0}
_ENVICAM_EXAMPLE: Final = "EC2_1106307_1R02_2015091606454457_F01_Etna.fts"
_OF_SPECTRA: Final = frozenset({"integration_us", "integration_ms", "integration_s", "coadds"})


@dataclass(frozen=True, slots=True)
class NamedFile:
    """What the name of an image file says. ``stamp`` is its time in UTC, of what ``files.stamp`` says it marks."""

    path: Path
    bands: tuple[Band, ...]
    kind: FrameKind
    stamp: datetime
    time_resolution_s: float
    exposure_s: float | None
    gain: float | None
    cell_ppm_m: float | None


@dataclass(frozen=True, slots=True)
class SidecarValues:
    """What a sidecar (``.json`` beside an image) says; None where it says nothing."""

    exposure_s: float | None = None
    gain: float | None = None
    sensor_timestamp_s: float | None = None
    time: datetime | None = None
    """mid-exposure, UTC, to the microsecond"""


@dataclass(frozen=True, slots=True)
class FrameNaming:
    """How one site's files are read, made ready by ``frame_naming``. Words are in lower case."""

    files: Files
    suffixes: frozenset[str]
    kinds: Mapping[str, FrameKind]
    gains: Mapping[str, float]
    pattern: NamePattern | None

    def parse(self, path: Path) -> NamedFile:
        """Return what the name of ``path`` says; the file is not touched. Raises FrameFileError for other names."""
        if self.pattern is None:
            info = parse_image_name(path, self.files)
            stamp = info.time - timedelta(seconds=stamp_to_middle_s(self.files, info.exposure_s))
            return NamedFile(
                path,
                (info.band,),
                info.kind,
                stamp,
                info.time_resolution_s,
                info.exposure_s,
                info.gain,
                info.cell_ppm_m,
            )
        # An Envicam's free text may be missing, and its ending is not part of the pattern.
        is_envicam = self.files.naming == "envicam"
        text = f"{path.name.rpartition('.')[0]}_" if is_envicam else path.name
        parsed = self.pattern.parse(text)
        if parsed is None:
            reason = self.pattern.explain(text)
            if is_envicam:
                reason = f"the name is not made like {_ENVICAM_EXAMPLE}"
            raise FrameFileError(
                reason, file=path, remedy="set files.naming and files.pattern in the site file, or move the file"
            )
        kind, bands, cell_ppm_m = self._meaning(parsed, path)
        return NamedFile(
            path,
            bands,
            kind,
            to_utc(parsed.time, self.files),
            parsed.time_resolution_s,
            parsed.exposure_s,
            self._gain(parsed.fields.get("gain"), path),
            cell_ppm_m,
        )

    def header(self, named: NamedFile) -> FitsHeader | None:
        """Return the header of a FITS file where it is needed: for the Envicam, and for what the name leaves open.

        Raises FrameFileError where it cannot be read.
        """
        needed = self.files.naming == "envicam" or named.exposure_s is None or named.gain is None
        return read_header(named.path) if needed and is_fits(named.path) else None

    def frames(
        self, named: NamedFile, header: FitsHeader | None = None, sidecar: SidecarValues | None = None
    ) -> tuple[FrameInfo, ...]:
        """Return the frame of a file, or those of both bands where it is a dark without a band.

        Raises FrameFileError where nothing tells the exposure, the gain is unknown, or name and header contradict
        each other.
        """
        sidecar = sidecar or SidecarValues()
        exposure_s = _first(
            sidecar.exposure_s, named.exposure_s, None if header is None else header.exposure_s, self.files.exposure_s
        )
        if exposure_s is None or (exposure_s == 0 and named.kind is not FrameKind.DARK):
            source = "name, header and files.exposure_s" if is_fits(named.path) else "name and files.exposure_s"
            raise FrameFileError(
                f"{source} do not tell the exposure" if exposure_s is None else "the exposure is 0 s",
                file=named.path,
                remedy="set files.exposure_s in the site file",
            )
        gain = _first(sidecar.gain, named.gain)
        if gain is None and header is not None:
            gain = self._gain(header.gain, named.path)
        middle = named.stamp + timedelta(seconds=stamp_to_middle_s(self.files, exposure_s))
        resolution_s = named.time_resolution_s
        if sidecar.time is not None:
            middle, resolution_s = sidecar.time, 1e-6
        start = middle - timedelta(seconds=exposure_s / 2)
        if self.files.naming == "envicam" and header is not None and header.start is not None:
            self._require_same_start(named.path, start, to_utc(header.start, self.files))
        return tuple(
            FrameInfo(
                path=named.path,
                band=band,
                kind=named.kind,
                time=middle,
                exposure_s=exposure_s,
                gain=1.0 if gain is None else gain,
                cell_ppm_m=named.cell_ppm_m,
                time_resolution_s=resolution_s,
                sensor_timestamp_s=sidecar.sensor_timestamp_s,
            )
            for band in named.bands
        )

    def _require_same_start(self, path: Path, start: datetime, in_header: datetime) -> None:
        difference_s = (start - in_header).total_seconds()
        if abs(difference_s) > HEADER_TOLERANCE_S:
            raise FrameFileError(
                f"the name's time is {abs(difference_s):.2f} s {'after' if difference_s > 0 else 'before'} "
                "the header's STIME; which one is right cannot be told",
                file=path,
                remedy='correct one of them, or read the names alone with files.naming = "pattern"',
            )

    def _meaning(self, parsed: ParsedName, path: Path) -> tuple[FrameKind, tuple[Band, ...], float | None]:
        """Return kind, bands and cell label. Raises FrameFileError for words that mean nothing here."""
        kind: FrameKind | None = None
        label = parsed.cell_ppm_m
        if parsed.kind is not None:
            kind, label = self._kind(parsed.kind, path, label)
        elif label is not None:
            kind = FrameKind.CELL
        word = (parsed.band or "").casefold()
        bands = tuple(
            band
            for band, tag in ((Band.ON, self.files.on_band), (Band.OFF, self.files.off_band))
            if tag.casefold() == word
        )
        if not bands:
            if word not in self.kinds and parse_kind(word) is None:
                raise FrameFileError(
                    f"the band tag is neither {self.files.on_band} nor {self.files.off_band}",
                    file=path,
                    value=parsed.band,
                    remedy="set files.on_band and files.off_band, or files.kinds, in the site file",
                )
            if kind is None:
                kind, label = self._kind(word, path, label)
            if kind is not FrameKind.DARK:
                raise FrameFileError(
                    f"is a {kind.value} frame whose name has no band",
                    file=path,
                    value=parsed.band,
                    remedy="name the band in {band}; only darks belong to both bands",
                )
            bands = (Band.ON, Band.OFF)
        if kind is FrameKind.CELL and label is None:
            raise FrameFileError(
                "is the frame of a gas cell whose column is not in its name",
                file=path,
                remedy="have {cell_ppm_m} in files.pattern, label cells like 304ppmm, or call them plume in "
                "files.kinds and let processing.calibration.search find them",
            )
        return kind or FrameKind.PLUME, bands, label if kind is FrameKind.CELL else None

    def _kind(self, word: str, path: Path, label: float | None) -> tuple[FrameKind, float | None]:
        kind = self.kinds.get(word.casefold())
        if kind is not None:
            return kind, label
        meaning = parse_kind(word)
        if meaning is None:
            raise FrameFileError(
                "the name's type is unknown",
                file=path,
                value=word,
                remedy="say in files.kinds of the site file what it means",
            )
        return meaning[0], label if meaning[1] is None else meaning[1]

    def _gain(self, text: str | None, path: Path) -> float | None:
        """Return the gain of a word or number. Raises FrameFileError where it stands for none."""
        if text is None:
            return None
        gain = self.gains.get(text.casefold())
        if gain is not None:
            return gain
        try:
            number = float(text)
        except ValueError:
            raise FrameFileError(
                "the gain is a word that files.gains does not have",
                file=path,
                value=text,
                remedy="say in files.gains of the site file which gain it stands for",
            ) from None
        if not MINIMUM_GAIN <= number <= MAXIMUM_GAIN:
            raise FrameFileError(
                f"the gain is not within {MINIMUM_GAIN:g} and {MAXIMUM_GAIN:g}, and files.gains does not have it",
                file=path,
                value=text,
                remedy="say in files.gains of the site file which gain it stands for",
            )
        return number


def _first(*values: float | None) -> float | None:
    for value in values:
        if value is not None:
            return value
    return None


def frame_naming(files: Files) -> FrameNaming:
    """Return how the files that ``files`` describes are read.

    Raises SiteFileError where ``files.pattern`` is no pattern of image names.
    """
    kinds = {word.casefold(): FrameKind(kind) for word, kind in files.kinds.items()}
    gains = {word.casefold(): gain for word, gain in files.gains.items()}
    if files.naming == "picam":
        return FrameNaming(files, PNG_SUFFIXES, kinds, gains, None)
    if files.naming == "envicam":
        return FrameNaming(
            files, FITS_SUFFIXES, _ENVICAM_KINDS | kinds, _ENVICAM_GAINS | gains, compile_pattern(_ENVICAM)
        )
    text = files.pattern or ""
    try:
        pattern = compile_pattern(text)
    except ValueError as error:
        raise _bad_pattern(str(error), text) from None
    if "band" not in pattern.fields:
        raise _bad_pattern("has no {band}: the two bands could not be told apart", text)
    wrong = [name for name in pattern.fields if name in _OF_SPECTRA]
    if wrong:
        raise _bad_pattern(f"has {{{wrong[0]}}}, which spectra have; images have exposure_us, exposure_ms ...", text)
    suffix = suffix_of(f"x{pattern.suffix}")
    if pattern.suffix and suffix not in IMAGE_SUFFIXES:
        raise _bad_pattern("does not end in .png, .fts, .fit or .fits, the formats that so2cam reads", text)
    return FrameNaming(files, frozenset({suffix}) if suffix else IMAGE_SUFFIXES, kinds, gains, pattern)


def _bad_pattern(reason: str, text: str) -> SiteFileError:
    return SiteFileError(
        reason,
        key="files.pattern",
        value=text,
        remedy="write the pattern like 'cam_{band}_{time:%Y%m%d_%H%M%S}_{exposure_ms}ms_{kind}.png'",
    )
