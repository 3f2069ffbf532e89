"""A site file from what somebody uploads: another site file, or the setting files of an existing installation."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Final

from so2cam.core.errors import InputError, SiteFileError
from so2cam.formats.legacy import Outcome, Wishes, format_report
from so2cam.formats.siteedit import carry_tables, get_value
from so2cam.pipeline.legacy_site import import_site

MOST_BYTES: Final = 20_000_000
"""Of all files together, unpacked. Setting files are a few kilobytes; images are not needed."""
_MOST_FILES: Final = 5000
_KEPT: Final = ("name", "spectrometer", "instrument", "alarms", "publication", "station")
"""What an existing installation has not, or not as whole: what the draft has of it is kept where that is wished."""


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """What became of one file: ``keys`` are (key, value or None, outcome, note)."""

    name: str
    what: str
    outcome: str
    note: str
    keys: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """A site file that was made, what must be known at once, and what became of everything."""

    text: str
    source: str
    notices: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    files: tuple[ImportedFile, ...] = ()
    report: str = ""
    """in Markdown; empty for a site file that was uploaded as such"""


def import_uploads(uploads: Mapping[str, bytes], wishes: Wishes | None = None) -> Imported:
    """Return the site file of what was uploaded: a zip, single setting files, or one site file.

    Raises InputError where nothing of use is in it or something must be chosen, SiteFileError where a file that is
    needed is damaged.
    """
    if len(uploads) == 1:
        name, data = next(iter(uploads.items()))
        if name.lower().endswith(".toml"):
            return Imported(_site_text(name, data), f"the site file {name}")
    with TemporaryDirectory(prefix="so2cam-import-") as folder:
        place = Path(folder) / "installation"
        place.mkdir()
        left = MOST_BYTES
        for name, data in uploads.items():
            if name.lower().endswith(".zip"):
                left = _unpack(name, data, place, left)
            else:
                left -= len(data)
                _put(place, PurePosixPath(PurePosixPath(name).name), data)
            if left < 0:
                raise _too_large()
        made = import_site(place, wishes)
        return Imported(
            made.text,
            ", ".join(uploads) if len(uploads) < 4 else f"{len(uploads)} files",
            made.notices,
            {str(outcome): count for outcome in Outcome if (count := made.count(outcome))},
            tuple(
                ImportedFile(
                    file.name,
                    file.what,
                    "" if file.outcome is None else str(file.outcome),
                    file.note,
                    tuple((one.key, one.value or "", str(one.outcome), one.note) for one in file.entries.values()),
                )
                for file in made.files
            ),
            format_report(made, site_name="site.toml"),
        )


def with_kept(imported: str, draft: str) -> str:
    """Return an imported site file with what the draft has of its own: station, alarms, spectrometer …

    Raises SiteFileError where they cannot be put together.
    """
    return carry_tables(draft, imported, _KEPT)


def _site_text(name: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SiteFileError("is not UTF-8 text", file=name, remedy="save the file as UTF-8") from None
    get_value(text, ("name",))
    return text


def _unpack(name: str, data: bytes, place: Path, left: int) -> int:
    """Unpack a zip below ``place``; return how many bytes are left. Nothing lands beside it, whatever it says."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            entries = [entry for entry in packed.infolist() if not entry.is_dir()]
            if len(entries) > _MOST_FILES:
                raise _too_large()
            for entry in entries:
                if entry.file_size > left:
                    raise _too_large()
                with packed.open(entry) as source:
                    content = source.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise _too_large()
                _put(place, PurePosixPath(entry.filename.replace("\\", "/")), content)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        raise InputError(f"cannot be unpacked: {error}", file=name, remedy="pack it anew, without a password") from None
    return left


def _put(place: Path, name: PurePosixPath, content: bytes) -> None:
    parts = [part for part in name.parts if part not in ("", ".", "..", "/") and "\0" not in part and ":" not in part]
    if not parts:
        return
    path = place.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _too_large() -> InputError:
    return InputError(
        f"is more than {MOST_BYTES // 1_000_000} MB unpacked",
        remedy="pack the folder with the settings (conf) only, without images and spectra",
    )
