"""Items for the spool, and a disk that fails where a test wants it to."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from so2cam.store.disk import Disk
from so2cam.store.items import StoreItem

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class FaultyDisk(Disk):
    """Fails at chosen calls: ``fail[name]`` has the errors that the next calls of ``name`` raise (None: none)."""

    def __init__(self) -> None:
        self.fail: dict[str, list[int | None]] = {}
        self.calls: list[str] = []
        self.free: int | None = None
        self.short = False
        self.at_step: Callable[[str], None] = lambda _: None

    def _call(self, name: str, path: object = None) -> None:
        self.calls.append(name)
        waiting = self.fail.get(name)
        if waiting:
            code = waiting.pop(0)
            if code is not None:
                raise OSError(code, os.strerror(code), str(path))

    def step(self, name: str) -> None:
        self.at_step(name)

    def write(self, descriptor: int, data: memoryview) -> int:
        self._call("write")
        return super().write(descriptor, data[: max(1, len(data) // 3)] if self.short else data)

    def sync(self, descriptor: int) -> None:
        self._call("sync")  # forcing things out takes time and shows nothing here

    def rename(self, source: Path, target: Path) -> None:
        self._call("rename", target)
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._call("remove", path)
        super().remove(path)

    def sync_folder(self, folder: Path) -> None:
        self._call("sync_folder", folder)
        super().sync_folder(folder)

    def make_folder(self, folder: Path) -> None:
        self._call("make_folder", folder)
        super().make_folder(folder)

    def read(self, path: Path) -> bytes:
        self._call("read", path)
        return super().read(path)

    def free_bytes(self, path: Path) -> int:
        self._call("free_bytes", path)
        return super().free_bytes(path) if self.free is None else self.free


@dataclass
class Items:
    """Makes items, each with other content, a second apart."""

    count: int = 0
    made: list[StoreItem] = field(default_factory=list)

    def __call__(self, **changes: Any) -> StoreItem:
        self.count += 1
        time = changes.pop("time", BEGIN + timedelta(seconds=self.count))
        stem = changes.pop("stem", f"{time:%Y-%m-%dT%H%M%S}_fltrA_1.0_9977ss_Plume")
        values: dict[str, Any] = {
            "kind": "frame",
            "subject": "plume",
            "device": "camera-on",
            "suffix": ".png",
            "data": self.count.to_bytes(4, "big") * 50,
            "metadata": {"ExposureTime": 9977},
        }
        self.made.append(StoreItem(time=time, stem=stem, **(values | changes)))
        return self.made[-1]


@pytest.fixture
def items() -> Items:
    return Items()


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def files() -> Callable[[Path], list[str]]:
    """Return all files below a spool's root but those of its journal and lock, and its marker."""

    def found(root: Path) -> list[str]:
        return sorted(
            path.relative_to(root).as_posix()
            for path in root.rglob("*")
            if path.is_file() and not path.name.startswith(("journal.sqlite", ".lock", "spool.json"))
        )

    return found
