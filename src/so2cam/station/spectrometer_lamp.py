"""The line shape of a site's spectrometer from lamp spectra: archived ones, or files that somebody gave."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from so2cam.core.errors import FrameFileError, InputError, OutputError
from so2cam.core.spectra import SpectrumInfo
from so2cam.formats.line_shape_files import LineShapeRecord, parameter_rows
from so2cam.formats.siteedit import REMOVE, KeyPath
from so2cam.formats.sitefile import LoadedSite, spectrometer_of
from so2cam.pipeline.line_shape import FoundLineShape, LineTrial, find_line_shape, line_shape_record, write_line_shape
from so2cam.science.spectra.prepare import select_darks
from so2cam.station.arrivals import SPECTRUM, Recogniser
from so2cam.station.context import StationContext, StationSite
from so2cam.station.drafts import setup_folder
from so2cam.station.references import choose_references, day_of, read_references
from so2cam.store.atomic import atomic_write_bytes

LAMP: Final = "calibration"
MOST_BYTES: Final = 4_000_000
_MOST_FILES: Final = 400
_APART: Final = timedelta(minutes=5)
_GIVEN: Final = "lamps"
_ROOT: Final[KeyPath] = ("spectrometer", "line_shape")


@dataclass(frozen=True, slots=True)
class LampSeries:
    """Lamp spectra that belong together, and the darks that go with them."""

    key: str
    title: str
    lamps: tuple[Path, ...]
    darks: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenLine:
    """A line that stands out: where it should be and is [nm], its top [counts]; ``why`` it gives no shape, if so."""

    vacuum_nm: float
    found_nm: float
    top: float
    why: str
    used: bool


@dataclass(frozen=True, slots=True)
class FoundLamp:
    """What a series gave: the record that tables and pages hold, the same in words, and all lines."""

    series: LampSeries
    record: LineShapeRecord
    rows: tuple[tuple[str, str], ...]
    lines: tuple[SeenLine, ...]
    found: FoundLineShape


class Lamps:
    """Lamp spectra of one site."""

    def __init__(self, context: StationContext, site: StationSite) -> None:
        self._context, self._site = context, site
        self._folder = setup_folder(context, site) / _GIVEN

    def series(self, loaded: LoadedSite) -> list[LampSeries]:
        """Return all series, the newest first; files that were given come before. Raises CatalogueError."""
        return [*self._given(), *self._archived(loaded)]

    def give(self, name: str, data: bytes, *, dark: bool = False) -> Path:
        """Keep a file that somebody gave. Raises InputError for one that is too large, OutputError."""
        if len(data) > MOST_BYTES:
            raise InputError(f"is larger than {MOST_BYTES / 1e6:g} MB", value=name, remedy="give one spectrum a file")
        safe = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(name).name).lstrip(".") or "spectrum"
        folder = self._folder / ("darks" if dark else "spectra")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            atomic_write_bytes(folder / safe, data)
        except OSError as error:
            raise OutputError(f"cannot be written: {error.strerror or error}", file=folder / safe) from None
        return folder / safe

    def forget_given(self) -> None:
        """Delete the files that were given. Raises OutputError."""
        for path in (*self._files("spectra"), *self._files("darks")):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"cannot be deleted: {error.strerror or error}", file=path) from None

    def find(self, loaded: LoadedSite, series: LampSeries, near_nm: float | None = None) -> FoundLamp:
        """Return the line shape by the line nearest to ``near_nm``, or by the best one.

        Raises So2camError for files that cannot be read or used, and where no line gives a shape.
        """
        spectrometer = spectrometer_of(loaded)
        found = find_line_shape(spectrometer, series.lamps, series.darks, near_nm=near_nm)
        record = line_shape_record(spectrometer, found, loaded.path.parent / "line-shape.txt", "")
        lines = tuple(_seen(found, trial) for trial in found.trials)
        return FoundLamp(series, record, tuple(parameter_rows(record)), lines, found)

    def write_table(self, loaded: LoadedSite, found: FoundLamp) -> dict[KeyPath, Any]:
        """Write the measured shape beside the site file, under a name of its own; return the keys that take it.

        Raises OutputError.
        """
        name = f"line-shape-{datetime.now(UTC):%Y%m%dT%H%M%S}.txt"
        path = loaded.path.parent / name
        if not os.access(path.parent, os.W_OK):
            raise OutputError("cannot be written beside the site file", file=path)
        write_line_shape(spectrometer_of(loaded), found.found, path, command="taken on the page of the spectrometer")
        return {(*_ROOT, "fit"): REMOVE, (*_ROOT, "source"): "file", (*_ROOT, "file"): name}

    def _given(self) -> list[LampSeries]:
        lamps = self._files("spectra")
        if not lamps:
            return []
        darks = self._files("darks")
        words = f"given here: {len(lamps)} lamp spectr{'um' if len(lamps) == 1 else 'a'}"
        return [
            LampSeries("given", words + (f", {len(darks)} dark{'s' * (len(darks) > 1)}" if darks else ""), lamps, darks)
        ]

    def _files(self, what: str) -> tuple[Path, ...]:
        folder = self._folder / what
        return tuple(sorted(path for path in folder.glob("*") if path.is_file())) if folder.is_dir() else ()

    def _archived(self, loaded: LoadedSite) -> list[LampSeries]:
        files = self._context.catalogue.find_files(
            self._site.name, kind=SPECTRUM, subject=LAMP, newest=True, limit=_MOST_FILES
        )
        recogniser = Recogniser(loaded.site)
        groups: list[list[SpectrumInfo]] = []
        for file in files:
            try:
                info = recogniser.infos(self._site.archive.path_of(file))
            except FrameFileError:
                continue
            if not isinstance(info, SpectrumInfo):
                continue
            if groups and _alike(groups[-1][-1], info):
                groups[-1].append(info)
            else:
                groups.append([info])
        return [self._group(loaded, group) for group in reversed(groups)]

    def _group(self, loaded: LoadedSite, group: Sequence[SpectrumInfo]) -> LampSeries:
        first = group[0]
        detector = spectrometer_of(loaded).spectrometer.detector
        references = [file for file in choose_references(self._site, day_of(first.time)) if file.kind == SPECTRUM]
        darks = select_darks(
            first,
            read_references(self._site, references).spectra,
            integration_time_tolerance=detector.integration_time_tolerance,
            averaging_s=detector.dark_averaging_s,
        )
        exposure = "" if first.integration_time_s is None else f", {1000 * first.integration_time_s:g} ms"
        title = f"{first.time:%Y-%m-%d %H:%M} UTC: {len(group)} of a lamp{exposure}, {len(darks)} darks"
        paths = tuple(info.path for info in group)
        return LampSeries(f"{first.time:%Y%m%dT%H%M%S}", title, paths, tuple(dark.path for dark in darks))


def super_gaussian_keys(found: FoundLamp) -> dict[KeyPath, Any]:
    """Return the keys that take the super-Gaussian of what was found."""
    record = found.record
    return {
        (*_ROOT, "file"): REMOVE,
        (*_ROOT, "source"): "super-gaussian",
        (*_ROOT, "width_nm"): round(record.fwhm_nm[0], 4),
        (*_ROOT, "exponent"): round(record.exponent[0], 3),
        (*_ROOT, "width_asymmetry"): round(record.width_asymmetry[0], 4),
        (*_ROOT, "exponent_asymmetry"): round(record.exponent_asymmetry[0], 3),
    }


def _seen(found: FoundLineShape, trial: LineTrial) -> SeenLine:
    line, lamp = trial.detected, found.lamp
    near = np.abs(lamp.wavelengths_nm - line.peak_nm) < 0.5
    top = float(np.max(lamp.counts[near], initial=0.0, where=np.isfinite(lamp.counts[near])))
    why = "" if trial.fit is not None else trial.reason
    return SeenLine(line.line.vacuum_nm, line.peak_nm, top, why, line.line == found.fit.line)


def _alike(before: SpectrumInfo, after: SpectrumInfo) -> bool:
    same = (before.integration_time_s, before.coadds) == (after.integration_time_s, after.coadds)
    return same and after.time - before.time <= _APART
