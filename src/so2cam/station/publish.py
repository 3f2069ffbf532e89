"""Publication: files of a station to remotes of rclone, only what is new or changed, in order of use.

Each file is uploaded under a hidden name, verified and renamed; what was sent is in a ledger. So publishing may be cut
off at any moment, and goes on with the next file that is missing. The public page's ``index.html`` goes last: it never
names a picture that is not there.
"""

import hashlib
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from so2cam.core.errors import So2camError
from so2cam.core.site_publication import PUBLISHED, Publication, Published, Remote
from so2cam.station.publish_ledger import Copy, PublishLedger
from so2cam.station.publish_rclone import PublishError, PublishStoppedError, Rclone, part_path

_LOG = logging.getLogger(__name__)
_LARGEST_FAILURES: Final = 3
"""After so many files in a row that could not be sent, the rest waits for the next round."""
_LONGEST_WAIT_S: Final = 1800.0
INDEX: Final = "index.html"


@dataclass(frozen=True, slots=True)
class PublicFolders:
    """Where the station keeps what can be published; what is None is not there."""

    page: Path | None = None
    images: Path | None = None
    daily: Path | None = None
    videos: Path | None = None

    def folder(self, what: Published) -> Path | None:
        """Return the folder of one kind."""
        return {"page": self.page, "images": self.images, "daily": self.daily, "videos": self.videos}[what]


@dataclass(frozen=True, slots=True)
class PublicFile:
    """A file, and its path at the remote."""

    local: Path
    path: str


@dataclass(slots=True)
class PublishReport:
    """What a round did."""

    remote: str
    sent: list[str] = field(default_factory=list)
    unchanged: int = 0
    bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    postponed: int = 0
    """Files that were not tried, because several before them failed"""


def collect(folders: PublicFolders, what: Sequence[Published]) -> list[PublicFile]:
    """Return the files to be published, in order: the page (its index last), then images, daily files, videos.

    Of each kind the newest first. The page lies at the root of the remote, others in a folder of their kind. Names that
    begin with a dot, and links that lead out of the folder, are left out.
    """
    found: list[PublicFile] = []
    for kind in PUBLISHED:
        folder = folders.folder(kind)
        if kind not in what or folder is None or not folder.is_dir():
            continue
        root = folder.resolve()
        files = []
        for path in folder.rglob("*"):
            relative = path.relative_to(folder)
            hidden = any(part.startswith(".") for part in relative.parts)
            if hidden or not path.is_file() or not path.resolve().is_relative_to(root):
                continue
            files.append((path.stat().st_mtime_ns, relative.as_posix(), path))
        files.sort(key=lambda one: (kind == "page" and one[1] == INDEX, -one[0], one[1]))
        prefix = "" if kind == "page" else f"{kind}/"
        found += [PublicFile(path, prefix + name) for _, name, path in files]
    return found


class Publisher:
    """Publishes to remotes. ``staging`` is a folder for snapshots of files that are being sent."""

    def __init__(self, rclone: Rclone, ledger: PublishLedger, staging: Path) -> None:
        self._rclone, self._ledger, self._staging = rclone, ledger, staging

    def publish(
        self,
        remote: Remote,
        files: Sequence[PublicFile],
        *,
        stop: threading.Event | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> PublishReport:
        """Send what is new or changed. What fails is in the report, and is tried again by the next call.

        Raises InputError where rclone is not installed.
        """
        self._rclone.require()
        report, key, in_a_row = PublishReport(remote.name), key_of(remote), 0
        copies = self._ledger.copies(key)
        for number, file in enumerate(files):
            if stop is not None and stop.is_set():
                break
            if in_a_row >= _LARGEST_FAILURES:
                report.postponed += 1
                continue
            try:
                self._publish_one(remote, key, file, copies.get(file.path), report, stop)
            except PublishStoppedError:
                break
            except (So2camError, OSError) as error:
                text = error.message if isinstance(error, So2camError) else str(error.strerror or error)
                report.failed[file.path] = text
                in_a_row += 1
            else:
                in_a_row = 0
            if progress is not None:
                progress(number + 1, len(files))
        now = datetime.now(UTC)
        if report.failed:
            path, text = next(iter(report.failed.items()))
            self._ledger.note(key, now, f"{path}: {text}")
        else:
            self._ledger.note(key, now, None)
        return report

    def _publish_one(
        self,
        remote: Remote,
        key: str,
        file: PublicFile,
        copy: Copy | None,
        report: PublishReport,
        stop: threading.Event | None,
    ) -> None:
        try:
            status = file.local.stat()
        except FileNotFoundError:
            return
        if copy is not None and (copy.size, copy.mtime_ns) == (status.st_size, status.st_mtime_ns):
            report.unchanged += 1
            return
        with self._snapshot(file.local) as (taken, sha256):
            status = taken.stat()
            new = Copy(sha256, status.st_size, status.st_mtime_ns, datetime.now(UTC))
            if copy is not None and copy.sha256 == sha256:
                self._ledger.done(key, file.path, new)
                report.unchanged += 1
                return
            part = part_path(file.path, sha256)
            for old in self._ledger.parts(key, file.path):
                if old != part:
                    self._rclone.forget(remote.remote, old, stop)
                    self._ledger.forget_part(key, old)
            self._ledger.begin(key, file.path, part)
            self._rclone.upload(remote, taken, file.path, sha256, stop)
            self._ledger.done(key, file.path, new, part)
            report.sent.append(file.path)
            report.bytes += new.size

    @contextmanager
    def _snapshot(self, path: Path) -> Iterator[tuple[Path, str]]:
        """Give a file that stays as it is while it is sent, and its SHA-256: files are replaced at any time."""
        self._staging.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._staging, prefix=".sending-") as folder:
            taken = Path(folder) / path.name
            try:
                os.link(path, taken)
            except OSError:
                shutil.copy2(path, taken)
            with taken.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            yield taken, digest


class PublicationService:
    """Publishes to one remote for a supervisor: every ``every_s`` while its window is open, more rarely after failures.

    ``prepare`` is called before each round; it returns what there is to publish.
    """

    def __init__(
        self, publisher: Publisher, remote: Remote, prepare: Callable[[], PublicFolders], *, site: str = ""
    ) -> None:
        """``site`` tells apart the remotes of several sites."""
        self.name = f"publish/{site}/{remote.name}" if site else f"publish/{remote.name}"
        self._publisher, self._remote, self._prepare = publisher, remote, prepare

    def run(self, stop: threading.Event) -> None:
        """See ``Service``."""
        failures = 0
        while not stop.is_set():
            if self._remote.open_at(datetime.now(UTC).time()):
                report = self._publisher.publish(self._remote, collect(self._prepare(), self._remote.what), stop=stop)
                failures = failures + 1 if report.failed else 0
                for path, text in report.failed.items():
                    _LOG.warning("%s: %s was not published: %s", self._remote.name, path, text)
            stop.wait(min(self._remote.every_s * 2 ** min(failures, 12), max(_LONGEST_WAIT_S, self._remote.every_s)))


def key_of(remote: Remote) -> str:
    """Return how the ledger knows a remote: by name and destination."""
    return f"{remote.name} {remote.remote}"


def rclone_of(publication: Publication, folder: Path) -> Rclone:
    """Return rclone as a site file in ``folder`` wants it."""
    configuration = publication.configuration
    return Rclone(publication.rclone, None if configuration is None else folder / Path(configuration).expanduser())


__all__ = [
    "PublicFile",
    "PublicFolders",
    "PublicationService",
    "PublishError",
    "PublishReport",
    "Publisher",
    "collect",
    "key_of",
    "rclone_of",
]
