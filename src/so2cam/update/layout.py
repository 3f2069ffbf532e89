"""Where versions stand: a folder of environments beside the link that leads to the one in use.

``/opt/so2cam`` leads to ``so2cam.d/0.2.0``, where an environment of Python's stands; services name the link alone. To
switch is to rename a link, which is whole at any moment. An environment that stands at the link's place itself, as it
was installed first, is moved into the folder when it is first switched. ``so2cam.d/update.json`` says what was last
done, so that an update that was cut off is seen, and given back.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from so2cam.store.atomic import atomic_write_bytes
from so2cam.update.errors import UpdateError

PLACE: Final = Path("/opt/so2cam")
_MARK: Final = "pyvenv.cfg"
_ROOT: Final = "run this as root: sudo"
State = Literal["switched", "done", "given back"]


@dataclass(frozen=True, slots=True)
class LastUpdate:
    """The last update: names of environments, and how far it came. ``switched``: it was cut off there."""

    before: str
    after: str
    state: State


@dataclass(frozen=True, slots=True)
class Layout:
    """The environments of one place. ``link``: what services name."""

    link: Path = PLACE

    @property
    def folder(self) -> Path:
        """Where the environments stand."""
        return self.link.with_name(f"{self.link.name}.d")

    @property
    def current(self) -> Path:
        """The environment in use. Raises UpdateError where there is none."""
        if self.link.is_symlink():
            found = self.link.parent / self.link.readlink()
            if not (found / _MARK).is_file():
                raise UpdateError(f"leads to {found}, where no environment of Python's is", file=self.link)
            return found
        if not (self.link / _MARK).is_file():
            raise UpdateError(
                "is no environment of Python's",
                file=self.link,
                remedy="install so2cam there, as the page Installation says, or name the place with --at",
            )
        return self.link

    @property
    def is_plain(self) -> bool:
        """Whether the environment stands at the place itself, as it was installed first."""
        return not self.link.is_symlink()

    def sees_system(self) -> bool:
        """Return whether the environment in use sees the packages of the system: a camera's library is one."""
        text = (self.current / _MARK).read_text(encoding="utf-8", errors="replace")
        return any(row.replace(" ", "").lower() == "include-system-site-packages=true" for row in text.splitlines())

    def new_name(self, version: str) -> str:
        """Return a name for an environment of ``version`` that is not taken."""
        name, count = version, 1
        while (self.folder / name).exists():
            count += 1
            name = f"{version}-{count}"
        return name

    def switch(self, name: str, *, old: str = "before") -> str:
        """Lead the link to the environment called ``name``; return the name of the one before.

        ``old``: what an environment is called that stands at the link's place itself. Raises UpdateError.
        """
        try:
            if not (self.folder / name / _MARK).is_file():
                raise UpdateError("is no environment of Python's", file=self.folder / name)
            before = self.new_name(old) if self.is_plain else self.current.name
            fresh = self.link.with_name(f".{self.link.name}.new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(Path(self.folder.name, name))
            if self.is_plain:
                self._move_away(before, fresh)
            else:
                fresh.replace(self.link)
            _force(self.link.parent)
        except OSError as error:
            raise UpdateError(f"cannot be switched: {error.strerror}", file=self.link, remedy=_ROOT) from None
        return before

    def _move_away(self, name: str, fresh: Path) -> None:
        """Move the environment at the link's place into the folder, and put the link ``fresh`` there.

        Its programs name the link's place, where it is found again when the link leads to it.
        """
        self.link.rename(self.folder / name)
        try:
            fresh.replace(self.link)
        except OSError:
            (self.folder / name).rename(self.link)
            raise

    def remove(self, name: str) -> None:
        """Remove an environment that is not in use."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def prune(self, keep: tuple[str, ...]) -> tuple[str, ...]:
        """Remove all environments but those named and the one in use; return their names."""
        kept = {*keep, self.current.name}
        gone = [one.name for one in sorted(self.folder.iterdir()) if (one / _MARK).is_file() and one.name not in kept]
        for name in gone:
            self.remove(name)
        return tuple(gone)

    def last(self) -> LastUpdate | None:
        """Return the last update; None where there was none."""
        try:
            return LastUpdate(**json.loads((self.folder / "update.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def note(self, last: LastUpdate) -> None:
        """Write down how far an update is. Raises UpdateError."""
        try:
            atomic_write_bytes(self.folder / "update.json", json.dumps(asdict(last)).encode())
        except OSError as error:
            raise UpdateError(f"cannot be written: {error.strerror}", file=self.folder, remedy=_ROOT) from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other updates of this place away. Raises UpdateError where one goes on, or this user may not."""
        try:
            self.folder.mkdir(mode=0o755, exist_ok=True)
            handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UpdateError(f"cannot be used: {error.strerror}", file=self.folder, remedy=_ROOT) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise UpdateError("another update goes on", file=self.folder, remedy="wait until it is over") from None
        try:
            yield
        finally:
            os.close(handle)


def _force(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
