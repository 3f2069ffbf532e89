import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from so2cam.core.errors import InputError, OutputError
from so2cam.store import atomic
from so2cam.store.atomic import atomic_new, atomic_write, atomic_write_bytes, remove_stale_temporaries


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_new_file_in_new_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.nc"
    atomic_write_bytes(path, b"one")
    atomic_write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["c.nc"]


def test_temporary_is_hidden_and_beside_the_file(tmp_path: Path) -> None:
    seen: list[Path] = []

    def write(temporary: Path) -> None:
        seen.append(temporary)
        temporary.write_bytes(b"x")

    atomic_write(tmp_path / "a.nc", write)
    atomic_write(tmp_path / "a.nc", write)
    assert seen[0] != seen[1]
    assert seen[0].parent == tmp_path
    assert seen[0].name.startswith(".a.nc.")
    assert seen[0].suffix == ".tmp"


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyboardInterrupt])
def test_failed_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.csv"
    atomic_write_bytes(path, b"old")

    def write(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise error

    with pytest.raises(error):
        atomic_write(path, write)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.csv"]


def test_refusals_of_the_file_system_are_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path, remedy in (
        (tmp_path / "file" / "a.csv", "is a file"),
        (tmp_path / "folder", "a folder has this name"),
        (tmp_path / ("n" * 300), "shorter name"),
    ):
        with pytest.raises(OutputError, match="cannot be written") as caught:
            atomic_write_bytes(path, b"x")
        assert caught.value.file == path
        assert remedy in str(caught.value.remedy)
    assert names(tmp_path) == ["file", "folder"]


def test_full_disk_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    def write(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left") as caught:
        atomic_write(path, write)
    assert "free space" in str(caught.value.remedy)
    assert names(tmp_path) == []


def test_writer_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        atomic_write(tmp_path / "a.csv", lambda temporary: None)
    assert names(tmp_path) == []


def test_a_new_file_takes_nothing_others_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atomic_new(tmp_path / "a.toml", b"one")
    for path in (tmp_path / "a.toml", tmp_path / "b.toml"):
        if path.name == "b.toml":  # a file system without links
            monkeypatch.setattr(atomic.os, "link", no_links)
            atomic_new(path, b"one")
        with pytest.raises(InputError, match="is there already"):
            atomic_new(path, b"two")
        assert path.read_bytes() == b"one"
    assert names(tmp_path) == ["a.toml", "b.toml"]


def test_a_new_file_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "_sync_file", full)
        with pytest.raises(OutputError, match="No space left"):
            atomic_new(tmp_path / "a.toml", b"half")
    assert names(tmp_path) == []
    atomic_new(tmp_path / "a.toml", b"whole")
    assert (tmp_path / "a.toml").read_bytes() == b"whole"


def no_links(source: Path, target: Path) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_killed_writer_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    atomic_write_bytes(path, b"old")
    code = """
import os, sys
from pathlib import Path
from so2cam.store.atomic import atomic_write

def write(temporary):
    temporary.write_bytes(b"half")
    os._exit(9)

atomic_write(Path(sys.argv[1]), write)
"""
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60).returncode == 9
    assert path.read_bytes() == b"old"
    left = [name for name in names(tmp_path) if name != "a.csv"]
    assert len(left) == 1

    assert remove_stale_temporaries(tmp_path) == 0
    old = time.time() - 7200
    os.utime(tmp_path / left[0], (old, old))
    assert remove_stale_temporaries(tmp_path) == 1
    assert names(tmp_path) == ["a.csv"]


def test_only_own_stale_temporaries_are_removed(tmp_path: Path) -> None:
    others = ["a.tmp", ".a.tmp", ".a.nc.0123.tmp", "a.nc.0123456789abcdef.tmp", ".a.nc.0123456789abcdef"]
    for name in [*others, ".a.nc.0123456789abcdef.tmp"]:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".dir.0123456789abcdef.tmp").mkdir()
    assert remove_stale_temporaries(tmp_path, older_than_s=-60) == 1
    assert names(tmp_path) == sorted([*others, ".dir.0123456789abcdef.tmp"])


def test_folder_that_cannot_be_cleared(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be cleared"):
        remove_stale_temporaries(tmp_path / "none")
