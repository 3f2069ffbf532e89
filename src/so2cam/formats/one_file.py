"""One file at a time: what a frame's or a spectrum's file says of itself, without looking at others of its folder."""

from pathlib import Path

from so2cam.core.errors import FrameFileError
from so2cam.core.records import FrameInfo
from so2cam.core.site import Files
from so2cam.core.spectra import SpectrumInfo
from so2cam.core.spectrometer import SpectrumFiles
from so2cam.formats.folder import examine_frame
from so2cam.formats.listing import SkippedFile
from so2cam.formats.naming import frame_naming
from so2cam.formats.spectra.folder import examine_spectrum


def frame_suffixes(files: Files) -> frozenset[str]:
    """Return the endings (lower case, no dot) of files that may be frames."""
    return frame_naming(files).suffixes


def frames_of_file(path: Path, files: Files) -> tuple[FrameInfo, ...]:
    """Return the frame of a file (two of a dark without a band), with its sidecar's values where that stands beside it.

    Pixels are not read. Raises FrameFileError, with the reason, for a file that is no frame or is not whole yet.
    """
    skipped: list[SkippedFile] = []
    found = examine_frame(path, _companions(path), frame_naming(files), skipped)
    if not found:
        raise FrameFileError(skipped[-1].reason if skipped else "is no frame", file=path)
    return found


def spectrum_of_file(path: Path, files: SpectrumFiles) -> SpectrumInfo:
    """Return the spectrum of a file. Raises FrameFileError, with the reason, for any other or one not whole yet."""
    found = examine_spectrum(path, _companions(path), files)
    if isinstance(found, SkippedFile):
        raise FrameFileError(found.reason, file=path)
    return found


def _companions(path: Path) -> frozenset[str]:
    """Return which of the files that may stand beside ``path`` do."""
    stem = path.name.rpartition(".")[0] or path.name
    return frozenset(name for name in (f"{stem}.lock", f"{stem}.json") if path.with_name(name).exists())
