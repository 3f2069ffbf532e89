"""What a run works on: files of the archive in its range, and the calibration files that the station would choose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from so2cam.core.errors import FrameFileError, InputError
from so2cam.core.records import FrameInfo
from so2cam.core.site import Site
from so2cam.core.spectra import SpectrumInfo
from so2cam.core.times import format_utc
from so2cam.formats.folder import FrameScan, arrange_frames
from so2cam.formats.listing import SkipCategory, SkippedFile
from so2cam.formats.sitefile import LoadedSite
from so2cam.formats.spectra.folder import SpectrumScan
from so2cam.pipeline.columns import COLUMN_MARGIN
from so2cam.pipeline.spectra_batch import spectrum_order
from so2cam.station.arrivals import FRAME, SPECTRUM, Recogniser
from so2cam.station.catalogue import ArchivedFile
from so2cam.station.context import StationSite
from so2cam.station.references import PLUME, choose_references, day_of
from so2cam.station.run_store import Kind

LONGEST: Final = timedelta(days=7)
"""A run knows all its files at once: of a camera with a pair every two seconds these are 300,000 and more."""

_POOLED: Final = frozenset({"clear", "cell"})
"""What a run takes the mean of; of darks it takes those nearest in time, whatever else there is."""
_NO_IMAGES: Final = "the range has no plume frames: this is a run of spectra alone"
_NOT_AS_LIVE: Final = (
    "clear sky and gas cells of several days are used together, as one set for the whole range: the numbers differ "
    "from those of the live days, and of runs over one day each"
)


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """Frames and spectra as a run takes them."""

    frames: FrameScan
    spectra: SpectrumScan


@dataclass(frozen=True, slots=True)
class ChosenFiles:
    """Paths in the archive, plume files in order of time, and what is to be said of them.

    ``kind`` is that of the run they are enough for: of spectra where there are no images.
    """

    paths: list[str]
    notes: tuple[str, ...] = ()
    kind: Kind = "process"


def choose_files(
    site: StationSite,
    loaded: LoadedSite,
    start: datetime,
    end: datetime,
    kind: Kind = "process",
    *,
    with_spectra: bool = True,
) -> ChosenFiles:
    """Return the files for a run with the settings ``loaded``; without spectra where ``with_spectra`` is not set.

    Calibration files are those of every day of the range, together: a run has one set of them. Raises InputError where
    the range has nothing to process, is too long or ends before it begins.
    """
    if end <= start:
        raise InputError("the end is not after the start", key="end", value=format_utc(end), remedy="give a later end")
    if end - start > LONGEST:
        raise InputError(
            f"the range is longer than {LONGEST.days} days",
            key="end",
            value=format_utc(end),
            remedy="make several runs",
        )
    catalogue = site.archive.catalogue
    plume = catalogue.find_files(site.name, subject=PLUME, start=start - COLUMN_MARGIN, end=end + COLUMN_MARGIN)
    frames = [file for file in plume if file.kind == FRAME and start <= file.time < end]
    spectra = [file for file in plume if file.kind == SPECTRUM]
    if loaded.site.spectrometer is None or not with_spectra:
        spectra = []
    inside = [file for file in spectra if start <= file.time < end]
    notes: tuple[str, ...] = ()
    if kind == "process" and not frames and inside:
        kind, notes = "spectra", (_NO_IMAGES,)
    if kind == "spectra":
        frames, spectra = [], inside
    elif kind == "film":
        spectra = []
    if not (spectra if kind == "spectra" else frames):
        raise _nothing(loaded, kind, start, end)
    if kind == "film":
        return ChosenFiles([file.path for file in frames], notes, kind)
    chosen: dict[int, ArchivedFile] = {}
    with_settings = replace(site, loaded=loaded)
    pooled: set[frozenset[int]] = set()
    for day in sorted({day_of(file.time) for file in (frames or spectra)}):
        # A registration that is found in frames is found in those of the range.
        files_of_day = [file for file in choose_references(with_settings, day) if file.subject != PLUME]
        if kind == "spectra":
            files_of_day = [file for file in files_of_day if file.kind == SPECTRUM]
        elif not with_spectra:
            files_of_day = [file for file in files_of_day if file.kind == FRAME]
        chosen |= {file.id: file for file in files_of_day}
        pooled.add(frozenset(file.id for file in files_of_day if file.subject in _POOLED))
    if len(pooled) > 1:
        notes = (*notes, _NOT_AS_LIVE)
    return ChosenFiles([file.path for file in (*chosen.values(), *frames, *spectra)], notes, kind)


def _nothing(loaded: LoadedSite, kind: Kind, start: datetime, end: datetime) -> InputError:
    span = f"from {format_utc(start)} to {format_utc(end)}"
    what = {"process": "neither plume frames nor spectra of the plume", "spectra": "no spectra of the plume"}
    remedy = "choose another time; the Archive page shows what there is"
    if loaded.site.spectrometer is None and kind in what:
        if kind == "spectra":
            return InputError(
                "the settings have no spectrometer",
                key="spectrometer",
                remedy="add [spectrometer] to the site file, or process images",
            )
        what = {}
    return InputError(f"the archive has {what.get(kind, 'no plume frames')} {span}", key="start", remedy=remedy)


def files_content(archive: Path, paths: Sequence[str]) -> dict[str, Any]:
    """Return what a run's ``files.json`` says."""
    return {"archive": str(archive), "files": list(paths)}


def read_files(site: Site, content: dict[str, Any], progress: Callable[[int, int], None] | None = None) -> FoundFiles:
    """Return the files of ``files_content`` as a run takes them; those that cannot be used are skipped, with why."""
    recogniser = Recogniser(site)
    archive, paths = Path(content["archive"]), content["files"]
    frames: list[FrameInfo] = []
    spectra: list[SpectrumInfo] = []
    skipped: list[SkippedFile] = []
    for number, name in enumerate(paths):
        path = archive / name
        try:
            infos = recogniser.infos(path)
        except FrameFileError as error:
            skipped.append(SkippedFile(path, SkipCategory.UNREADABLE_NAME, error.message))
            continue
        if isinstance(infos, SpectrumInfo):
            spectra.append(infos)
        else:
            frames.extend(infos)
        if progress is not None:
            progress(number + 1, len(paths))
    spectra.sort(key=spectrum_order)
    return FoundFiles(arrange_frames(frames, skipped), SpectrumScan(tuple(spectra), ()))
