"""Reading what a calibration in a range of time rests on: small images, and the columns about them."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from so2cam.core.errors import FrameFileError, InputError
from so2cam.core.site import Site
from so2cam.core.spectra import SpectrumInfo
from so2cam.core.status import EmissionStatus
from so2cam.formats.sitefile import LoadedSite, settings_hash
from so2cam.pipeline.calibration import SmallImage, small_image
from so2cam.pipeline.column_correction import corrects_columns
from so2cam.pipeline.columns import COLUMN_MARGIN, ColumnPoint, point_of, pools_dilution
from so2cam.pipeline.dilution import build_dilution
from so2cam.pipeline.frames import read_pair
from so2cam.pipeline.image_chain import ImageChain
from so2cam.pipeline.learning import evenly, in_order, needs_columns, with_columns
from so2cam.pipeline.live import build_fitter
from so2cam.pipeline.records import PairRecord
from so2cam.pipeline.spectrum_processor import SpectrumProcessor, SpectrumReader
from so2cam.station.archive_view import ArchiveView, PlumeFiles
from so2cam.station.arrivals import SPECTRUM, Recogniser
from so2cam.station.catalogue import ArchivedFile
from so2cam.station.context import StationContext, StationSite
from so2cam.station.references import PLUME, choose_references, day_of, read_references
from so2cam.station.setup_frames import SetupChain, SetupFrames

MOST_IMAGES: Final = 240
"""Images of a range that are read for a study; more are thinned evenly."""
_MOST_PAIRS: Final = 2000
_MOST_SPECTRA: Final = 1500
_MOST_LOOKED: Final = 12
_LOOK_S: Final = 120.0
"""How long the plume's files of a range are taken to be the same: it is not read again for each pair that comes."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ReadRange:
    """What was read for a range: images with the chain that made them, and the columns about them.

    ``events``: images and columns in the order in which they become known.
    """

    chain: SetupChain
    events: tuple[SmallImage | ColumnPoint, ...]
    columns: tuple[ColumnPoint, ...]
    available: int
    pooled: bool
    notes: tuple[str, ...]

    @property
    def images(self) -> list[SmallImage]:
        """The images in order."""
        return [event for event in self.events if isinstance(event, SmallImage)]


class RangeReader:
    """Reads ranges of one site; columns once fitted are kept. For one thread at a time."""

    def __init__(self, context: StationContext, site: StationSite, frames: SetupFrames) -> None:
        self._context, self._site, self._frames = context, site, frames
        self._view = ArchiveView(context.catalogue)
        self._columns: OrderedDict[tuple[object, ...], ColumnPoint | None] = OrderedDict()
        self._looked: OrderedDict[tuple[datetime, datetime], tuple[float, PlumeFiles | None]] = OrderedDict()

    def key(self, loaded: LoadedSite, start: datetime, end: datetime) -> tuple[object, ...]:
        """Return by what a range is known: what decides how it is read, and what there is to read now."""
        return _reading_hash(loaded.site), start, end, *self._made_of(loaded, start, end)

    def _made_of(self, loaded: LoadedSite, start: datetime, end: datetime) -> tuple[object, ...]:
        """Return what a range is made of: the plume's files, looked up every ``_LOOK_S``, and the calibration files."""
        now, kept = time.monotonic(), self._looked.get((start, end))
        if kept is None or now - kept[0] >= _LOOK_S:
            found = self._view.plume_files(self._site.name, start - COLUMN_MARGIN, end + COLUMN_MARGIN)
            self._looked[start, end] = kept = now, found
            while len(self._looked) > _MOST_LOOKED:
                self._looked.popitem(last=False)
        files = kept[1]
        if files is None:
            return ()
        last = min(max(files.last, start), end - timedelta(microseconds=1))
        return files, self._frames.references(loaded, day_of(last))

    def read(self, loaded: LoadedSite, start: datetime, end: datetime, progress: Progress | None) -> ReadRange:
        """Read a range. Raises So2camError subclasses where there are no pairs, darks or clear sky."""
        pairs = self._frames.pairs(loaded, start=start, end=end, limit=_MOST_PAIRS)
        if not pairs:
            raise InputError("there are no pairs of images in this range", remedy="choose another day or time")
        chain = self._frames.chain(loaded, day_of(pairs[-1].time))
        site = chain.site
        notes: list[str] = [*chain.notes]
        if not needs_columns(site):
            return ReadRange(chain, (), (), len(pairs), False, tuple(notes))
        columns = self._read_columns(loaded, site, start, end, day_of(pairs[-1].time))
        near = with_columns(pairs, columns, site)
        settings = site.processing.calibration.spectrometer
        most = min(settings.field_of_view.images, MOST_IMAGES)
        chosen = evenly(near, most)
        if len(chosen) < len(near):
            notes.append(f"{len(chosen)} of {len(near)} pairs with a column beside them are looked at, evenly in time")
        whole = settings.policy == "whole"
        dilution = build_dilution(site, loaded.path.parent, columns if whole else None)
        images_of = ImageChain(site, chain.references, chain.darks, dilution)
        pooled = any(point.diluted for point in columns)
        aerosol = corrects_columns(site, pooled=pooled)
        events: list[SmallImage | ColumnPoint] = []
        done = failed = 0
        for event in in_order(chosen, columns):
            if isinstance(event, ColumnPoint):
                events.append(event)
                if dilution is not None:
                    dilution.add_column(event)
                continue
            frames = read_pair(event, chain.reader.read)
            made = None if frames is None else images_of.image(PairRecord(event), *frames)
            if made is None or isinstance(made, EmissionStatus):
                failed += 1
            else:
                events.append(small_image(event, made, settings.field_of_view.reduction, aerosol=aerosol))
            done += 1
            if progress is not None:
                progress(done, len(chosen))
        if failed:
            notes.append(f"{failed} pairs have no absorbance image")
        return ReadRange(chain, tuple(events), tuple(columns), len(pairs), pooled, tuple(notes))

    def _read_columns(
        self, loaded: LoadedSite, site: Site, start: datetime, end: datetime, day: str
    ) -> list[ColumnPoint]:
        """Return the columns of the archive's spectra about a range, fitted with the draft's settings."""
        station_site = replace(self._site, loaded=loaded)
        margin = min(COLUMN_MARGIN, timedelta(seconds=4 * site.processing.calibration.spectrometer.maximum_gap_s))
        files = self._context.catalogue.find_files(
            self._site.name,
            kind=SPECTRUM,
            subject=PLUME,
            start=start - margin,
            end=end + margin,
            newest=True,
            limit=_MOST_SPECTRA,
        )
        references = choose_references(station_site, day)
        fitter = build_fitter(loaded, site, read_references(station_site, references).spectra)
        if fitter is None:
            return []
        fitted_with = (
            settings_hash(loaded.site.model_dump(mode="json", include={"spectrometer"})),
            loaded.site.processing.light_dilution.mode,
            tuple(file.id for file in references if file.kind == SPECTRUM),
        )
        recogniser = Recogniser(loaded.site)
        points: list[ColumnPoint] = []
        for file in files:
            key = *fitted_with, file.id
            if key not in self._columns:
                self._columns[key] = self._fit(loaded, recogniser, fitter, file)
            point = self._columns[key]
            if point is not None:
                points.append(point)
        while len(self._columns) > 4 * _MOST_SPECTRA:
            self._columns.popitem(last=False)
        return sorted(points, key=lambda point: (point.end, point.time))

    def _fit(
        self,
        loaded: LoadedSite,
        recogniser: Recogniser,
        fitter: tuple[SpectrumReader, SpectrumProcessor],
        file: ArchivedFile,
    ) -> ColumnPoint | None:
        """Return the column of an archived spectrum; None where it cannot be read, or has none."""
        reader, processor = fitter
        try:
            info = recogniser.infos(self._site.archive.path_of(file))
        except FrameFileError:
            return None
        spectrum = reader.read(info) if isinstance(info, SpectrumInfo) else None
        if spectrum is None:
            return None
        (record,) = processor.process([spectrum])
        return point_of(record, pooled=pools_dilution(loaded))


def _reading_hash(site: Site) -> str:
    """Return a hash of what decides which images and columns are read, and how."""
    settings = site.model_dump(mode="json", exclude={"station", "instrument", "alarms", "publication", "lines"})
    calibration = settings["processing"]["calibration"]
    spectrometer = calibration["spectrometer"]
    kept = {
        "by": calibration["source"],
        "cells": [calibration[key] for key in ("region", "search", "sensitivity_cell_ppm_m")],
        "policy": spectrometer["policy"],
        "gap": spectrometer["maximum_gap_s"],
        "view": [spectrometer["field_of_view"][key] for key in ("images", "reduction")],
        "model": calibration["model"],
        "slope": [calibration["slope_molec_cm2"], calibration["slope_uncertainty_molec_cm2"]],
    }
    settings["processing"]["calibration"] = kept
    return settings_hash(settings)
