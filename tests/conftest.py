"""Fixtures that several test modules share."""

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings

from so2cam.station.context import StationContext, open_station

settings.register_profile("so2cam", deadline=None)  # how long an example takes never decides a test
settings.load_profile("so2cam")


_SHARED = ("archive", "place", "station")
"""Session fixtures of the browser's tests that take long to make."""


@pytest.hookimpl(tryfirst=True)  # before the runner of processes reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that share something which takes long to make in one process (``--dist loadgroup``)."""
    here = Path(__file__).parent
    for item in items:
        kind = item.path.relative_to(here).parts[0]
        shared = next((name for name in _SHARED if name in getattr(item, "fixturenames", ())), None)
        if kind == "browser" and shared is not None and not _own(item, shared):
            item.add_marker(pytest.mark.xdist_group(shared))
        elif kind in ("browser", "integration", "reference"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a long text by its length: the name of a test is a line, not a page."""
    return f"{argname} of {len(val)}" if isinstance(val, str | bytes) and len(val) > 200 else None


_INSTALLED = re.compile(
    r"needs (strace|a C compiler)|missing .*(mkfs|mount)"
    r"|(PostgreSQL's server|rclone|ffmpeg|systemd-\w+) is not installed"
    r"|could not import '(psycopg|schemathesis|paramiko|playwright)'"
)
"""What ``.ci/run`` installs: there, a test that skips for want of it is an error."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, have a test fail which would skip for want of a program that is to be there."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if _INSTALLED.search(reason):
            report.outcome, report.longrepr = "failed", f"{item.nodeid} may not skip here: {reason}"
    return report


def _own(item: pytest.Item, name: str) -> bool:
    """Tell whether a test's module has a fixture of this name of its own."""
    return hasattr(getattr(item, "module", None), name)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real measurements; tests skip where it is absent, except in CI, where that is an error."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the real measurements are missing: {folder}")
        pytest.skip(f"the real measurements are not there: {folder}")
    return folder


@pytest.fixture(scope="session")
def benches() -> ModuleType:
    """The module ``tests/fakes/bench.py``: simulated installations and their agents."""
    name = "so2cam_test_bench"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "fakes" / "bench.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def bench(benches: ModuleType, tmp_path: Path) -> Iterator[Any]:
    """An installation in a folder of its own; whatever runs of it at the end is ended."""
    made = benches.Bench(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="session")
def linked() -> ModuleType:
    """The module ``tests/fakes/linked.py``: nodes with a link, and bad networks."""
    name = "so2cam_test_linked"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "fakes" / "linked.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def make_node(linked: ModuleType, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """A function that makes and starts a node with a link; all are ended."""
    made: list[Any] = []

    def make(**more: Any) -> Any:
        node = linked.Linked(tmp_path / f"node{len(made)}", **more)
        made.append(node)
        return node.start()

    yield make
    for node in made:
        node.end()


@pytest.fixture
def node(make_node: Callable[..., Any]) -> Any:
    """A node with a link, in this process."""
    return make_node()


@pytest.fixture
def bench_station(tmp_path: Path) -> Iterator[StationContext]:
    """The station of the example of the bench, in a folder of its own."""
    site = tmp_path / "site.toml"
    site.write_bytes((Path(__file__).resolve().parents[1] / "examples" / "bench" / "site.toml").read_bytes())
    opened = open_station([site], folder=tmp_path / "station")
    yield opened
    opened.close()
