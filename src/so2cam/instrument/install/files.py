"""What an installation consists of: files, links, and commands that make the system take note of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

OPEN: Final = "# so2cam: begin (written by so2cam instrument install; changes in here are lost)"
CLOSE: Final = "# so2cam: end"
HEADER: Final = "# Written by so2cam instrument install; change the site file and run it again."


@dataclass(frozen=True, slots=True)
class InstallFile:
    """One file: an absolute path on the node, its bytes, and who may read it.

    ``block``: only a marked part of a file that others write too; the rest stays. ``link``: a symbolic link to this
    path, instead of a file. ``needs``: the file is left alone where this folder is missing on the node itself.
    """

    path: str
    content: bytes = b""
    mode: int = 0o644
    secret: bool = False
    block: bool = False
    link: str | None = None
    needs: str | None = None

    def __post_init__(self) -> None:
        parts = self.path.split("/")
        if parts[0] or ".." in parts or "" in parts[1:]:
            raise ValueError(f"{self.path!r} is no clean absolute path")


@dataclass(frozen=True, slots=True)
class InstallCommand:
    """A program to run after files changed.

    ``after``: beginnings of the paths whose change makes it necessary; none: always. ``cuts_connection``: whoever is
    logged in over the network may lose the connection, so it comes last.
    """

    arguments: tuple[str, ...]
    purpose: str
    after: tuple[str, ...] = ()
    timeout_s: float = 60.0
    cuts_connection: bool = False

    def needed(self, changed: Sequence[str]) -> bool:
        """Whether one of the ``changed`` paths makes it necessary."""
        return not self.after or any(path.startswith(self.after) for path in changed)

    def words(self) -> str:
        """The command as a person would type it."""
        return " ".join(self.arguments)


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """Everything for one node."""

    node: str
    files: tuple[InstallFile, ...]
    commands: tuple[InstallCommand, ...] = ()
    packages: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        paths = [file.path for file in self.files]
        repeated = sorted({path for path in paths if paths.count(path) > 1})
        if repeated:
            raise ValueError(f"{repeated[0]} is planned twice")


def text_file(
    path: str, lines: Sequence[str], *, mode: int = 0o644, header: bool = True, secret: bool = False
) -> InstallFile:
    """Return a file of ``lines``, with a line that says who wrote it."""
    text = "\n".join([*([HEADER, ""] if header else []), *lines]) + "\n"
    return InstallFile(path, text.encode(), mode, secret=secret)


def block_file(path: str, lines: Sequence[str], *, needs: str | None = None) -> InstallFile:
    """Return a marked part of a file that others write too; without ``lines`` the part goes away."""
    text = "\n".join([OPEN, *lines, CLOSE]) + "\n" if lines else ""
    return InstallFile(path, text.encode(), block=True, needs=needs)


def merge_block(present: bytes, block: bytes) -> bytes:
    """Return ``present`` with its marked part replaced by ``block`` (or with ``block`` at its end)."""
    opening, closing = OPEN.encode() + b"\n", CLOSE.encode() + b"\n"
    start = present.find(opening)
    if start >= 0:
        end = present.find(closing, start)
        stop = len(present) if end < 0 else end + len(closing)
        return present[:start] + block + present[stop:]
    if not block:
        return present
    joint = b"" if not present or present.endswith(b"\n") else b"\n"
    return present + joint + block
