"""What a file of a watched folder is: a frame or a spectrum of the site, by its name and what stands beside it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from so2cam.core.errors import FrameFileError
from so2cam.core.records import FrameInfo
from so2cam.core.site import Site
from so2cam.core.spectra import SpectrumInfo
from so2cam.formats.one_file import frame_suffixes, frames_of_file, spectrum_of_file

FRAME = "frame"
SPECTRUM = "spectrum"


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a file is. ``time`` is mid-exposure, UTC."""

    kind: str
    subject: str
    device: str
    time: datetime


class Recogniser:
    """Tells frames and spectra of one site from other files."""

    def __init__(self, site: Site) -> None:
        """Raises SiteFileError where ``files.pattern`` is no pattern."""
        self._site = site
        self._frames = frame_suffixes(site.files)
        self._spectra: str | None = None
        if site.spectrometer is not None:
            files = site.spectrometer.files
            if files.format == "picam":
                self._spectra = ".npy"
            else:
                pattern = files.name_pattern
                self._spectra = f".{pattern.rpartition('.')[2].lower()}" if pattern and "." in pattern else ".txt"

    def may_be(self, name: str) -> bool:
        """Return whether a file of this name may be a frame or spectrum, by its ending alone."""
        lower = name.lower()
        if lower.endswith((".lock", ".tmp", ".part", ".filepart", ".json")):
            return False
        return lower.rpartition(".")[2] in self._frames or (self._spectra is not None and lower.endswith(self._spectra))

    def recognise(self, path: Path) -> Recognised:
        """Return what a file is. Raises FrameFileError with the reason for one that is neither, or is locked."""
        infos = self.infos(path)
        if isinstance(infos, SpectrumInfo):
            return Recognised(SPECTRUM, infos.kind.value, "spectrometer", infos.time)
        first = infos[0]
        device = f"camera-{first.band.value}" if len(infos) == 1 else "camera"
        return Recognised(FRAME, first.kind.value, device, first.time)

    def infos(self, path: Path) -> tuple[FrameInfo, ...] | SpectrumInfo:
        """Return what the pipeline wants to know of a file. Raises FrameFileError as ``recognise`` does."""
        if path.name.lower().rpartition(".")[2] in self._frames:
            return frames_of_file(path, self._site.files)
        if self._site.spectrometer is None:
            raise FrameFileError("is no frame, and the site file has no [spectrometer]", file=path)
        return spectrum_of_file(path, self._site.spectrometer.files)
