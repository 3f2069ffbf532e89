"""The newest images of a site, as the viewer in a browser takes them: both bands, absorbance, column density."""

import math
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args

from so2cam.core.errors import FrameFileError
from so2cam.core.records import Band, FrameInfo
from so2cam.core.spectra import SpectrumInfo
from so2cam.core.status import QUALITY_TEXT, QualityFlag
from so2cam.pages import FrameHeader, encode_frame, encode_values
from so2cam.pipeline.frames import FrameReader
from so2cam.pipeline.records import PairImages
from so2cam.station.api_images import values_of
from so2cam.station.arrivals import FRAME, Recogniser
from so2cam.station.catalogue import ArchivedFile
from so2cam.station.context import StationContext, StationSite

Quantity = Literal["on", "off", "absorbance", "column"]
QUANTITIES: Final = get_args(Quantity)
_LOOK_AT: Final = 12
_OLD: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class ImageMessage:
    """An image with its tag: another tag, another image. ``why`` says why there is none.

    ``number``: that of ``LiveImages.number`` when it was looked for.
    """

    tag: str
    message: bytes | None
    why: str = ""
    number: int = -1


class LiveImages:
    """The newest images of one site; each is encoded once, however many look. Safe for threads."""

    def __init__(
        self, context: StationContext, site: StationSite, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._context, self._site, self._clock = context, site, clock
        self._recogniser = Recogniser(site.loaded.site)
        self._boot = secrets.token_hex(3)
        self._locks = {quantity: threading.Lock() for quantity in QUANTITIES}
        self._kept: dict[Quantity, ImageMessage] = {}
        self._infos: dict[int, tuple[FrameInfo, ...]] = {}
        self._newest: tuple[int, dict[Band, tuple[int, FrameInfo]]] = (-1, {})
        self._look = threading.Lock()

    def number(self, quantity: Quantity) -> int:
        """Return a number that changes when there may be another image: asking costs nothing."""
        board = self._context.board
        return board.arrivals if quantity in ("on", "off") else board.images_number(self._site.name)

    def newest(self, quantity: Quantity) -> ImageMessage:
        """Return the newest image. Raises CatalogueError where the catalogue refuses."""
        with self._locks[quantity]:
            number = self.number(quantity)
            if quantity in ("on", "off"):
                found = self._frame(quantity, Band.ON if quantity == "on" else Band.OFF)
            else:
                found = self._processed("absorbance" if quantity == "absorbance" else "column")
            return replace(found, number=number)

    # --- what the pipeline made ------------------------------------------------------------------------------------

    def _processed(self, quantity: Literal["absorbance", "column"]) -> ImageMessage:
        name = self._site.name
        tag = f"{self._boot}-{self._context.board.images_number(name)}"
        kept = self._kept.get(quantity)
        if kept is not None and kept.tag == tag:
            return kept
        images = self._context.board.images(name)
        if images is None:
            shown = self._context.board.live(name)
            why = "no pair was processed yet" if shown is None or not shown.message else shown.message
            return ImageMessage(tag, None, why)
        made = self._encode(tag, quantity, images)
        self._kept[quantity] = made
        return made

    def _encode(self, tag: str, quantity: Literal["absorbance", "column"], images: PairImages) -> ImageMessage:
        values = values_of(images, quantity)
        if values is None:
            return ImageMessage(tag, None, "there is no calibration at this time: look at the absorbance")
        flags = QualityFlag.NONE if images.calibration is None else images.calibration.flags
        doubts = [text for flag, text in QUALITY_TEXT.items() if flag & flags] if quantity == "column" else []
        header = FrameHeader(
            label="SO2 column density" if quantity == "column" else "absorbance",
            unit="ppm m" if quantity == "column" else "",
            time=images.time,
            stale=self._clock() - images.time > _OLD,
            why="; ".join(doubts) or None,
        )
        return ImageMessage(tag, encode_values(values, header))

    # --- frames as the cameras took them ---------------------------------------------------------------------------

    def _frame(self, quantity: Quantity, band: Band) -> ImageMessage:
        found = self._newest_frames().get(band)
        if found is None:
            return ImageMessage(f"{self._boot}-none", None, "no frame of this band has come yet")
        file, info = found
        tag = f"{self._boot}-f{file}"
        kept = self._kept.get(quantity)
        if kept is not None and kept.tag == tag:
            return kept
        reader = FrameReader(self._site.loaded.site)
        frame = reader.read(info)
        if frame is None:
            error = reader.failures[str(info.path)]
            return ImageMessage(tag, None, f"the newest frame cannot be read: {error.message}")
        header = FrameHeader(
            label=f"{band.value} band",
            unit="DN",
            time=info.time,
            saturation=math.ceil(self._site.loaded.site.camera.sensor.saturation_dn),
            stale=self._clock() - info.time > _OLD,
        )
        made = ImageMessage(tag, encode_frame(frame.counts.astype("uint16", copy=False), header))
        self._kept[quantity] = made
        return made

    def _newest_frames(self) -> dict[Band, tuple[int, FrameInfo]]:
        """Return the newest plume frame of each band, with its number; looked up once for each arrival."""
        with self._look:
            arrivals = self._context.board.arrivals
            if self._newest[0] != arrivals:
                self._newest = (arrivals, self._look_up())
            return self._newest[1]

    def _look_up(self) -> dict[Band, tuple[int, FrameInfo]]:
        files = self._context.catalogue.find_files(
            self._site.name, kind=FRAME, subject="plume", newest=True, limit=_LOOK_AT
        )
        found: dict[Band, tuple[int, FrameInfo]] = {}
        infos: dict[int, tuple[FrameInfo, ...]] = {}
        for file in sorted(files, key=lambda file: (file.time, file.id), reverse=True):
            infos[file.id] = self._infos[file.id] if file.id in self._infos else self._infos_of(file)
            for info in reversed(infos[file.id]):
                found.setdefault(info.band, (file.id, info))
        self._infos = infos
        return found

    def _infos_of(self, file: ArchivedFile) -> tuple[FrameInfo, ...]:
        try:
            infos = self._recogniser.infos(self._site.archive.path_of(file))
        except FrameFileError:
            return ()
        return () if isinstance(infos, SpectrumInfo) else infos
