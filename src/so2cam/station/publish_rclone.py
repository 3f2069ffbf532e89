"""One file to a remote of rclone: uploaded under a hidden name, verified, and then renamed. Nobody sees a half file."""

import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from so2cam.core.errors import InputError, So2camError
from so2cam.core.site_publication import Remote

PART: Final = ".so2cam-part-"
"""Names of files on their way begin so."""
_LOOK_S: Final = 0.1
_ASK_S: Final = 60.0
_STOP_S: Final = 5.0
_LONGEST_REASON: Final = 300


class PublishError(So2camError):
    """A file did not reach the remote."""


class PublishStoppedError(PublishError):
    """It was told to stop."""


@dataclass(frozen=True, slots=True)
class Rclone:
    """The program, and its configuration file (None: its own)."""

    program: str = "rclone"
    configuration: Path | None = None

    def require(self) -> None:
        """Raise InputError where the program, or its configuration file, is not there."""
        if shutil.which(self.program) is None:
            raise InputError(
                "the program is not there",
                key="publication.rclone",
                value=self.program,
                remedy="install rclone (Debian: apt install rclone), and set up a remote: rclone config",
            )
        if self.configuration is not None and not self.configuration.is_file():
            raise InputError(
                "rclone's configuration is not there",
                file=self.configuration,
                key="publication.configuration",
                remedy=f"make it: rclone config --config {self.configuration}",
            )

    def run(self, arguments: Sequence[str], *, timeout_s: float, stop: threading.Event | None = None) -> str:
        """Return what rclone prints. Raises PublishError where it fails or is too slow, PublishStoppedError on stop."""
        command = [self.program, *arguments, "--retries", "1", "--contimeout", "15s", "--timeout", "60s"]
        command += ["--low-level-retries", "3", "--ask-password=false"]
        if self.configuration is not None:
            command += ["--config", os.fspath(self.configuration)]
        try:
            process = subprocess.Popen(  # noqa: S603 - the site file's program, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise PublishError(f"rclone cannot be started: {error.strerror}", value=self.program) from error
        limit = time.monotonic() + timeout_s
        while True:
            try:
                output, errors = process.communicate(timeout=_LOOK_S)
                break
            except subprocess.TimeoutExpired:
                stopped = stop is not None and stop.is_set()
                if stopped or time.monotonic() > limit:
                    _end(process)
                    if stopped:
                        raise PublishStoppedError("told to stop") from None
                    raise PublishError(
                        f"took longer than {timeout_s:g} s", remedy="raise timeout_s, or check the connection"
                    ) from None
        if process.returncode != 0:
            raise PublishError(_reason(errors.decode("utf-8", "replace")) or f"rclone failed ({process.returncode})")
        return output.decode("utf-8", "replace")

    def size(self, remote: str, path: str, stop: threading.Event | None = None) -> int | None:
        """Return the size of a remote file; None where there is none. Raises PublishError."""
        folder, _, name = path.rpartition("/")
        try:
            listing = self.run(
                [
                    "lsjson",
                    join(remote, folder),
                    "--files-only",
                    "--no-modtime",
                    "--no-mimetype",
                    "--include",
                    f"/{_plain(name)}",
                ],
                timeout_s=_ASK_S,
                stop=stop,
            )
        except PublishStoppedError:
            raise
        except PublishError as error:
            if "directory not found" in error.message:
                return None
            raise
        try:
            found: Any = json.loads(listing or "[]")
            return next((int(entry["Size"]) for entry in found if entry["Name"] == name), None)
        except (ValueError, TypeError, KeyError) as error:
            raise PublishError("rclone's listing cannot be understood") from error

    def upload(self, remote: Remote, local: Path, path: str, sha256: str, stop: threading.Event | None = None) -> None:
        """Bring ``local`` to ``path`` (with forward slashes) of the remote: upload, verify, rename, verify.

        What an earlier, cut off attempt has uploaded whole is used. Raises PublishError; the file that was at
        ``path`` before is then as it was.
        """
        size = local.stat().st_size
        part = part_path(path, sha256)
        limits = [] if remote.bandwidth_kib_s is None else ["--bwlimit", f"{remote.bandwidth_kib_s:g}K"]
        if self.size(remote.remote, part, stop) != size:
            self.run(
                ["copyto", os.fspath(local), join(remote.remote, part), "--ignore-times", *limits],
                timeout_s=remote.timeout_s,
                stop=stop,
            )
            found = self.size(remote.remote, part, stop)
            if found != size:
                raise PublishError(f"{found or 0} of {size} bytes arrived", file=path)
        # Without --ignore-times an old file of the same size would be taken for the new one where times are not kept.
        self.run(
            ["moveto", join(remote.remote, part), join(remote.remote, path), "--ignore-times"],
            timeout_s=remote.timeout_s,
            stop=stop,
        )
        if self.size(remote.remote, path, stop) != size:
            raise PublishError("is not there after its renaming", file=path)

    def forget(self, remote: str, path: str, stop: threading.Event | None = None) -> None:
        """Delete a remote file of ours that is no longer wanted. Raises PublishError."""
        if self.size(remote, path, stop) is not None:
            self.run(["deletefile", join(remote, path)], timeout_s=_ASK_S, stop=stop)

    def check(self, remote: str, stop: threading.Event | None = None) -> None:
        """Raise PublishError where the remote cannot be written to: a small file is uploaded and deleted."""
        self.require()
        path = f"{PART}check"
        self.run(["touch", join(remote, path)], timeout_s=_ASK_S, stop=stop)
        self.run(["deletefile", join(remote, path)], timeout_s=_ASK_S, stop=stop)


def part_path(path: str, sha256: str) -> str:
    """Return the name under which a file with this content is uploaded: beside its final place."""
    folder, slash, name = path.rpartition("/")
    mark = hashlib.sha256(f"{sha256} {name}".encode()).hexdigest()[:16]
    return f"{folder}{slash}{PART}{mark}"


def join(remote: str, path: str) -> str:
    """Return rclone's name of ``path`` in the folder ``remote``."""
    if not path:
        return remote
    return f"{remote}{path}" if remote.endswith((":", "/")) else f"{remote}/{path}"


def _plain(name: str) -> str:
    """Return a name as a pattern of rclone that matches it alone."""
    return "".join(f"\\{sign}" if sign in "\\*?[]{}" else sign for sign in name)


def _reason(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    telling = [line for line in lines if "ERROR" in line or "Failed" in line or "CRITICAL" in line] or lines
    text = telling[-1] if telling else ""
    for mark in ("ERROR : ", "Failed to ", "NOTICE: "):
        _, found, rest = text.partition(mark)
        if found:
            text = rest if mark != "Failed to " else f"failed to {rest}"
            break
    return text[:_LONGEST_REASON]


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.communicate(timeout=_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate(timeout=_STOP_S)
