"""Where a node keeps things: data, state, logs, and the socket for commands."""

import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from so2cam.core.site_instrument import Instrument, Node
from so2cam.instrument.errors import InstrumentError

SYSTEM_RUN: Final = Path("/run/so2cam")
"""Where systemd makes room for the sockets of installed agents"""


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of a node. ``root`` is the spool; state and logs lie beside its data."""

    root: Path

    @property
    def state(self) -> Path:
        """What the agent remembers from start to start."""
        return self.root / "state"

    @property
    def logs(self) -> Path:
        """Its log files."""
        return self.root / "logs"

    @property
    def overrides(self) -> Path:
        """Settings changed while running."""
        return self.state / "settings.json"

    @property
    def memory(self) -> Path:
        """Counts of starts, exposures used since the last darks, the last dark set."""
        return self.state / "memory.json"


def places_of(instrument: Instrument, node: Node, site_path: Path) -> Places:
    """Return the folders of ``node``: ``NODE`` below the storage folder, which is relative to the site file."""
    folder = site_path.parent / Path(instrument.storage_of(node).folder).expanduser()
    return Places(folder.resolve() / node.name)


def socket_to_serve(site_path: Path, node: str, environment: Mapping[str, str] | None = None) -> Path:
    """Return where an agent listens: below systemd's RUNTIME_DIRECTORY, or a folder of the user's own.

    The folder is made. Raises InstrumentError where it belongs to somebody else.
    """
    given = (os.environ if environment is None else environment).get("RUNTIME_DIRECTORY", "")
    if given:
        return Path(given.split(":")[0]) / f"{node}.sock"
    folder = _own_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise InstrumentError(
            "the folder for the socket belongs to somebody else, or others may write to it",
            file=folder,
            remedy="remove it, or give --socket",
        )
    return _own_socket(site_path, node)


def socket_to_ask(site_path: Path, node: str) -> Path:
    """Return where the agent of ``node`` is to be found: that of this user, or the installed one."""
    own = _own_socket(site_path, node)
    installed = SYSTEM_RUN / f"{node}.sock"
    return own if _there(own) or not _there(installed) else installed


def _there(path: Path) -> bool:
    """Return whether something is there; what may not be looked at is: who asks is told so when connecting."""
    try:
        return path.exists()
    except OSError:
        return True


def _own_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"so2cam-{os.getuid()}"


def _own_socket(site_path: Path, node: str) -> Path:
    # The site's path in the name: agents of several installations on one computer do not meet.
    mark = hashlib.sha256(os.fsencode(site_path.resolve())).hexdigest()[:12]
    return _own_folder() / f"{mark}-{node}.sock"
