"""Pages show; they compute no science: nothing of arrays, images or the pipeline is imported by them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import so2cam.pages
import so2cam.web

SOURCES = sorted(path for module in (so2cam.web, so2cam.pages) for path in Path(module.__path__[0]).rglob("*.py"))
FORBIDDEN = ("so2cam.science", "so2cam.pipeline", "so2cam.simulate", "numpy", "scipy", "cv2", "numba", "matplotlib")
FRAMES = "frames.py"
"""Images are arrays: what packs them into messages may know that."""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_page_imports_no_science(path: Path) -> None:
    found = [name for name in imports(path) if name.startswith(FORBIDDEN)]
    if path.name == FRAMES:
        found = [name for name in found if not name.startswith("numpy")]
    assert found == []
