"""Faults that are real: processes killed, disks that refuse, power that goes. Small counts, or all of them.

``SO2CAM_FAULT=full`` runs as many as the project's claims name; otherwise so few that every change can wait for them.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

FULL = os.environ.get("SO2CAM_FAULT") == "full"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the full counts the time they need."""
    if FULL:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(scope="session")
def rounds() -> Callable[[int, int], int]:
    """Return how many rounds: the first number, or the second in full."""
    return lambda few, full: full if FULL else few


@pytest.fixture(scope="session")
def store_faults() -> ModuleType:
    """Return the module beside this file that the fault tests of the store share."""
    spec = importlib.util.spec_from_file_location("store_faults", Path(__file__).with_name("store_faults.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["store_faults"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def loop_image(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return ``mount(image, folder, *options)``, which mounts an ext4 image; everything is unmounted at the end."""
    missing = [name for name in ("mkfs.ext4", "mount", "umount") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and e2fsprogs: missing {', '.join(missing) or 'root'}")
    mounted: list[Path] = []

    def mount(image: Path, folder: Path, *options: str) -> Path:
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-o", ",".join(("loop", *options)), str(image), str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"loop devices cannot be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", str(folder)], capture_output=True, check=False)
