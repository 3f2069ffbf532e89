"""A node with a link, for tests."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FAKE = Path(__file__).resolve().parents[2] / "fakes" / "linked.py"


@pytest.fixture(scope="session")
def linked() -> ModuleType:
    """The module ``tests/fakes/linked.py``."""
    name = "so2cam_test_linked"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FAKE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def make_node(linked: ModuleType, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that makes and starts a node; all are ended."""
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
    return make_node()
