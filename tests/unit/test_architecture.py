"""What holds for the whole source: imports, dangerous calls, docstrings, and the layers that are checked."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import so2cam

PACKAGE = Path(so2cam.__file__).parent
SOURCES = sorted([*PACKAGE.rglob("*.py"), *PACKAGE.with_name("so2cam_power").rglob("*.py")])
PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
SCIENCE = [path for path in SOURCES if path.is_relative_to(PACKAGE / "science")]
SCIENCE_MAY_IMPORT = {"numpy", "scipy", "cv2", "numba", "pyproj"}
DANGEROUS_MODULES = {"pickle", "cPickle", "dill", "marshal", "shelve"}
DANGEROUS_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE.parent).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where things come from"
            assert node.module is not None
            yield node.module


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 30
    assert len(SCIENCE) > 12


@pytest.mark.parametrize("path", SCIENCE, ids=name_of)
def test_science_imports_arrays_and_nothing_that_reads_or_writes(path: Path) -> None:
    for module in imports(tree_of(path)):
        root = module.split(".")[0]
        if root == "so2cam":
            assert module.startswith(("so2cam.core", "so2cam.science")), module
        else:
            assert root in SCIENCE_MAY_IMPORT or root in sys.stdlib_module_names, module
            assert root not in {"os", "pathlib", "io", "logging", "time", "random", "subprocess", "socket"}, module


def handlers(tree: ast.Module) -> Iterator[ast.ExceptHandler]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_bare_or_broad_except(path: Path) -> None:
    # Whatever must go on in spite of any error enters a so2cam.core.supervision.SupervisionPoint with a name.
    for handler in handlers(tree_of(path)):
        assert handler.type is not None, f"bare except in line {handler.lineno}"
        caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        for kind in caught:
            assert dotted(kind).split(".")[-1] not in {"Exception", "BaseException"}, f"line {handler.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_dangerous_calls(path: Path) -> None:
    tree = tree_of(path)
    assert not DANGEROUS_MODULES & {module.split(".")[0] for module in imports(tree)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        assert dotted(node.func) not in DANGEROUS_CALLS, f"{dotted(node.func)} in line {node.lineno}"
        for keyword in node.keywords:
            on = not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
            assert not (keyword.arg in {"shell", "allow_pickle"} and on), f"{keyword.arg} in line {node.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_the_command_line_prints(path: Path) -> None:
    if path.is_relative_to(PACKAGE / "cli"):
        return
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            assert dotted(node.func) not in {"print", "pprint", "input", "breakpoint"}, f"line {node.lineno}"


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


@pytest.mark.parametrize("path", SCIENCE, ids=name_of)
def test_everything_public_in_science_is_described(path: Path) -> None:
    tree = tree_of(path)
    assert ast.get_docstring(tree), "the module has no docstring"
    for node in public(tree.body):
        assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_every_package_has_its_layer() -> None:
    contracts = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    named = {part.strip(" ()") for layer in layers for part in layer.split("|")}
    packages = {f"so2cam.{path.parent.name}" for path in PACKAGE.glob("*/__init__.py")}
    assert packages
    assert packages <= named
    optional = {part.strip() for layer in layers for part in layer.split("|") if "(" in part}
    required = named - {part.strip("()") for part in optional}
    assert required <= packages


def test_every_module_is_in_a_package() -> None:
    for path in SOURCES:
        assert (path.parent / "__init__.py").is_file(), f"{name_of(path)} is in no package"


@pytest.mark.xdist_group("grouped")
def test_tests_that_share_something_run_in_one_process(request: pytest.FixtureRequest) -> None:
    """Else every process of a run makes its own station and archive: pytest and pytest-xdist must fit together."""
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith("@grouped")
