"""Compilation of the cores of spectral fits by numba, kept on disk.

numba's cache follows changes of the file that a function stands in, but not of those that it calls in turn. Functions
here are therefore also known to it by a digest of their own code, of all compiled functions that they call, and of the
constants that they use.
"""

import hashlib
from collections.abc import Callable
from types import CellType, CodeType, FunctionType
from typing import Any, TypeVar, cast

import numba
import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])
Integer = int | np.int64
"""Of compiled functions: numba compiles a function anew for each literal, so constants are passed on as np.int64."""


def compiled(function: Function) -> Function:
    """Compile with numba, kept on disk where there is a place for it; sums may be reordered, NaN stay NaN."""
    return _compiled(function)


def compiled_part(function: Function) -> Function:
    """Compile a function for compiled callers only, which halves the time; a call from Python would crash."""
    return _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def code_digest(function: Callable[..., Any]) -> str:
    """Return the SHA-256 of a function's code, and of the compiled functions, constants and tuples it names."""
    if hasattr(function, "py_func"):
        return str(function.py_func.__closure__[-1].cell_contents)
    plain = cast(FunctionType, function)
    code = plain.__code__
    digest = hashlib.sha256(code.co_code)
    digest.update(repr([value for value in code.co_consts if not isinstance(value, CodeType)]).encode())
    for name in code.co_names:
        value: Any = plain.__globals__.get(name)
        digest.update(f"\0{name}\0".encode())
        if hasattr(value, "py_func"):
            digest.update(code_digest(value).encode())
        elif isinstance(value, (bool, int, float, str, tuple)):
            digest.update(repr(value).encode())
        elif hasattr(value, "_fields"):
            digest.update(repr(value._fields).encode())
    for annotation in plain.__annotations__.values():
        digest.update(repr(getattr(annotation, "_fields", "")).encode())
    return digest.hexdigest()


def _compiled(function: Function, **others: bool) -> Function:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", **others}
    options["fastmath"] = {"reassoc", "contract", "nsz", "arcp"}
    known = _known_by(function, code_digest(function))
    try:
        made: Function = numba.njit(cache=True, **options)(known)
    except RuntimeError:  # no folder that numba can write to
        made = numba.njit(**options)(known)
    return made


def _known_by(function: Function, text: str) -> Function:
    """Return the same function with ``text`` in its closure, by which numba's cache knows it."""
    plain = cast(FunctionType, function)
    code = plain.__code__.replace(co_freevars=(*plain.__code__.co_freevars, "_digest"))
    cells = (*(plain.__closure__ or ()), CellType(text))
    made = FunctionType(code, plain.__globals__, plain.__name__, plain.__defaults__, cells)
    made.__qualname__, made.__module__, made.__doc__ = plain.__qualname__, plain.__module__, plain.__doc__
    made.__annotations__ = dict(plain.__annotations__)
    return cast(Function, made)
