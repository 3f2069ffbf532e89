"""Compilation of the cores of spectral fits by numba, kept on disk.

numba's cache follows changes of the file that a function stands in, but not of those that it calls in turn. Functions
here are therefore also known to it by the text of all modules that hold compiled ones.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import CellType, FunctionType
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])
Integer = int | np.int64
"""Of compiled functions: numba compiles a function anew for each literal, so constants are passed on as np.int64."""

SOURCES: Final = ("compiled.py", "dilution_joint.py", "dilution_kernel.py", "kernel.py", "model.py")
"""Modules beside this one that hold compiled functions, or what these are given."""


def sources_digest(folder: Path = Path(__file__).parent) -> str:
    """Return the SHA-256 of the modules' text; files that are not there count as empty."""
    digest = hashlib.sha256()
    for name in SOURCES:
        path = folder / name
        digest.update(path.read_bytes() if path.is_file() else b"")
        digest.update(b"\0")
    return digest.hexdigest()


_DIGEST: Final = sources_digest()


def compiled(function: Function) -> Function:
    """Compile with numba, kept on disk where there is a place for it; sums may be reordered, NaN stay NaN."""
    return _compiled(function)


def compiled_part(function: Function) -> Function:
    """Compile a function for compiled callers only, which halves the time; a call from Python would crash."""
    return _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def _compiled(function: Function, **others: bool) -> Function:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", **others}
    options["fastmath"] = {"reassoc", "contract", "nsz", "arcp"}
    known = _known_by(function, _DIGEST)
    try:
        made: Function = numba.njit(cache=True, **options)(known)
    except RuntimeError:  # no folder that numba can write to
        made = numba.njit(**options)(known)
    return made


def _known_by(function: Function, text: str) -> Function:
    """Return the same function with ``text`` in its closure, by which numba's cache knows it."""
    plain = cast(FunctionType, function)
    code = plain.__code__.replace(co_freevars=(*plain.__code__.co_freevars, "_sources"))
    cells = (*(plain.__closure__ or ()), CellType(text))
    made = FunctionType(code, plain.__globals__, plain.__name__, plain.__defaults__, cells)
    made.__qualname__, made.__module__, made.__doc__ = plain.__qualname__, plain.__module__, plain.__doc__
    made.__annotations__ = dict(plain.__annotations__)
    return cast(Function, made)
