"""Comparing a plan with what is there, and writing it: each file whole or not at all, nothing twice."""

import difflib
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from so2cam.core.errors import OutputError
from so2cam.instrument.install.files import InstallCommand, InstallFile, InstallPlan, merge_block
from so2cam.instrument.install.settings import InstallError
from so2cam.store.atomic import atomic_write, atomic_write_bytes

MANIFEST: Final = "/etc/so2cam/installed.json"
_SECRET_KEYS: Final = ("psk=", "password =")

State = Literal["new", "changed", "same", "obsolete", "kept", "skipped"]


@dataclass(frozen=True, slots=True)
class FileChange:
    """What is to become of one file. ``diff`` shows it to people, without secrets."""

    path: str
    state: State
    diff: str = ""
    file: InstallFile | None = None
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A plan held against the system below ``root``."""

    plan: InstallPlan
    root: Path
    changes: tuple[FileChange, ...]

    @property
    def pending(self) -> tuple[FileChange, ...]:
        """What writing would change."""
        return tuple(change for change in self.changes if change.state in ("new", "changed", "obsolete"))

    @property
    def commands(self) -> tuple[InstallCommand, ...]:
        """The commands that are needed afterwards, those that may cut the connection last."""
        paths = [change.path for change in self.pending]
        needed = [command for command in self.plan.commands if paths and command.needed(paths)]
        return tuple(sorted(needed, key=lambda command: command.cuts_connection))


def compare(plan: InstallPlan, root: Path) -> Comparison:
    """Return what of ``plan`` is new, changed, the same or obsolete below ``root``.

    Files that an earlier installation wrote and this plan does not have are obsolete where they are as they were
    written, and kept where somebody changed them since. Raises InstallError where a file cannot be read.
    """
    changes = [_compare_file(file, root) for file in plan.files]
    planned = {file.path for file in plan.files}
    for path, digest in sorted(_manifest(root).items()):
        present = None if path in planned else _read(_below(root, path))
        if present is not None:
            state: State = "obsolete" if hashlib.sha256(present).hexdigest() == digest else "kept"
            changes.append(FileChange(path, state, f"- {path}\n" if state == "obsolete" else ""))
    return Comparison(plan, root, tuple(changes))


def write(comparison: Comparison) -> None:
    """Write what is pending. Raises InstallError where the file system refuses; what is written then stays written.

    Every file is whole at any moment, its permissions are set before it has its name, and writing again what is
    there already changes nothing.
    """
    root = comparison.root
    for change in comparison.pending:
        target = _below(root, change.path)
        try:
            if change.file is None:
                target.unlink(missing_ok=True)
            elif change.file.link is not None:
                _write_link(target, change.file.link)
            else:
                _write_file(target, change.file, change.content)
        except (OSError, OutputError) as error:
            reason = error.message if isinstance(error, OutputError) else error.strerror
            raise InstallError(
                f"cannot be written: {reason}", file=target, remedy="run this as root, or give another --root"
            ) from error
    _write_manifest(comparison)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command went; ``text`` is what it said where it failed."""

    command: InstallCommand
    done: bool
    text: str = ""


Runner = Callable[[Sequence[str], float], tuple[int, str]]


def run_commands(commands: Sequence[InstallCommand], runner: Runner | None = None) -> tuple[CommandResult, ...]:
    """Run the commands one after the other; one that fails does not keep the next from being run."""
    run = runner or _run
    results = []
    for command in commands:
        code, text = run(command.arguments, command.timeout_s)
        results.append(CommandResult(command, code == 0, "" if code == 0 else text))
    return tuple(results)


def missing_packages(names: Sequence[str], runner: Runner | None = None) -> tuple[str, ...]:
    """Return which Debian packages are not installed; none where the system has no dpkg."""
    run = runner or _run
    if runner is None and shutil.which("dpkg-query") is None:
        return ()
    missing = []
    for name in names:
        code, text = run(("dpkg-query", "--show", "--showformat=${Status}", name), 20.0)
        if code or "ok installed" not in text:
            missing.append(name)
    return tuple(missing)


def _run(arguments: Sequence[str], timeout_s: float) -> tuple[int, str]:
    if shutil.which(arguments[0]) is None:
        return 127, f"{arguments[0]} is not installed"
    try:
        done = subprocess.run(  # noqa: S603 - no shell, arguments as planned
            list(arguments), capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout_s, check=False, text=True
        )
    except subprocess.TimeoutExpired:
        return 124, f"took longer than {timeout_s:g} s"
    except OSError as error:
        return 126, error.strerror or str(error)
    return done.returncode, (done.stdout + done.stderr).strip()


def _compare_file(file: InstallFile, root: Path) -> FileChange:
    target = _below(root, file.path)
    if file.needs is not None and root == Path("/") and not Path(file.needs).is_dir():
        return FileChange(file.path, "skipped", file=file)
    if file.link is not None:
        present_link = os.fspath(target.readlink()) if target.is_symlink() else None
        if present_link == file.link:
            return FileChange(file.path, "same", file=file)
        state: State = "new" if present_link is None and not target.exists() else "changed"
        old = f"-{file.path} -> {present_link}\n" if present_link else ""
        return FileChange(file.path, state, f"{old}+{file.path} -> {file.link}\n", file)
    present = _read(target)
    wanted = merge_block(present or b"", file.content) if file.block else file.content
    if present == wanted and (file.block or _mode_matches(target, file.mode)):
        return FileChange(file.path, "same", file=file, content=wanted)
    if present is None and not wanted:
        return FileChange(file.path, "same", file=file)
    diff = _diff(file, present, wanted) if present != wanted else f"mode of {file.path}: {file.mode:o}\n"
    return FileChange(file.path, "new" if present is None else "changed", diff, file, wanted)


def _mode_matches(path: Path, mode: int) -> bool:
    return path.stat().st_mode & 0o777 == mode


def _diff(file: InstallFile, present: bytes | None, wanted: bytes) -> str:
    before = [] if present is None else _lines(file, present, "as it is")
    after = _lines(file, wanted, "as the secrets file says")
    old = "/dev/null" if present is None else file.path
    return "".join(difflib.unified_diff(before, after, old, file.path))


def _lines(file: InstallFile, content: bytes, whose: str) -> list[str]:
    """Return the lines to show, with secrets struck out."""
    lines = content.decode("utf-8", "replace").splitlines(keepends=True)
    if not file.secret:
        return lines
    shown = []
    for line in lines:
        key = next((key for key in _SECRET_KEYS if line.startswith(key)), None)
        shown.append(line if key is None else f"{key}(hidden; {whose})\n")
    return shown


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InstallError(
            f"cannot be read: {error.strerror}", file=path, remedy="run this as root, or give another --root"
        ) from error


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _write_file(target: Path, file: InstallFile, content: bytes) -> None:
    def fill(temporary: Path) -> None:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        if file.block and target.exists():
            shutil.copymode(target, temporary)
        else:
            temporary.chmod(file.mode)

    # A file that others write too may be a link; what it leads to is what is meant.
    atomic_write(target.resolve() if file.block else target, fill)


def _write_link(target: Path, link: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.so2cam-link")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(link)
    temporary.replace(target)


def _manifest(root: Path) -> dict[str, str]:
    content = _read(_below(root, MANIFEST))
    if content is None:
        return {}
    try:
        found = json.loads(content)["files"]
    except (ValueError, KeyError, TypeError):
        return {}
    valid = isinstance(found, dict) and all(isinstance(each, str) for pair in found.items() for each in pair)
    return {path: digest for path, digest in found.items() if _is_clean(path)} if valid else {}


def _is_clean(path: str) -> bool:
    return path.startswith("/") and ".." not in path.split("/")


def _write_manifest(comparison: Comparison) -> None:
    files = {
        change.path: hashlib.sha256(change.content).hexdigest()
        for change in comparison.changes
        if change.file is not None and change.file.link is None and not change.file.block and change.state != "skipped"
    }
    content = json.dumps({"node": comparison.plan.node, "files": files}, indent=2, sort_keys=True).encode() + b"\n"
    target = _below(comparison.root, MANIFEST)
    if _read(target) != content:
        atomic_write_bytes(target, content)
