"""Files of the archive as one zip, made while it is read: nothing is gathered on the disk or in memory."""

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from so2cam.station.catalogue import ArchivedFile
from so2cam.station.context import StationSite

_PIECE: Final = 1 << 18
_OLDEST: Final = (1980, 1, 1, 0, 0, 0)
NOT_HERE: Final = "not-included.txt"
"""The file in a zip that says which files could not be read, or not to their end, where there are such."""


class _Outlet(io.RawIOBase):
    """A file that can only be written to, whose content is taken away piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def zip_of(sites: Mapping[str, StationSite], files: Iterable[ArchivedFile]) -> Iterator[bytes]:
    """Yield a zip of files with their sidecars, in folders of their hours; below the site's name with several sites.

    Images are stored as they are: they are compressed already. What cannot be read is named in ``NOT_HERE``, and so is
    what is in the zip but cut off, because reading broke off or the archive's file is shorter than it was.
    """
    outlet = _Outlet()
    missing: list[str] = []
    several = len(sites) > 1
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as made:
        for file in files:
            site = sites[file.site]
            parts = [(file.path, file.size, site.archive.path_of(file))]
            if file.sidecar_path is not None:
                parts.append((file.sidecar_path, file.sidecar_size or 0, site.archive.path_of(file, sidecar=True)))
            for name, size, path in parts:
                inside = f"{file.site}/{name}" if several else name
                info, why = zipfile.ZipInfo(inside, max(file.time.timetuple()[:6], _OLDEST)), ""
                try:
                    with path.open("rb") as source:
                        yield from _copied(made, info, source, outlet)
                except OSError as error:
                    why = error.strerror or str(error)
                if inside not in made.NameToInfo:
                    missing.append(f"{inside}: {why}")
                elif info.file_size < size:
                    short = f"is here, but cut off after {info.file_size} of {size} bytes"
                    missing.append(f"{inside}: {short}{f' ({why})' if why else ''}")
        if missing:
            made.writestr(NOT_HERE, "\n".join(missing) + "\n")
    yield outlet.take()


def _copied(
    made: zipfile.ZipFile, info: zipfile.ZipInfo, source: io.BufferedReader, outlet: _Outlet
) -> Iterator[bytes]:
    first = source.read(_PIECE)  # what cannot be read at all leaves no trace in the zip
    with made.open(info, "w") as target:
        while first:
            target.write(first)
            yield outlet.take()
            first = source.read(_PIECE)
    yield outlet.take()


def path_in(site: StationSite, file: ArchivedFile, part: str) -> Path | None:
    """Return where a part of a file is, ``main`` or ``sidecar``; None where there is none."""
    if part == "sidecar" and file.sidecar_path is None:
        return None
    found = site.archive.path_of(file, sidecar=part == "sidecar")
    return found if found.is_file() else None
