"""How compiled functions are known to numba's cache."""

from collections.abc import Callable
from typing import Any

import numpy as np

from so2cam.science.spectra import dilution_joint, dilution_kernel, kernel
from so2cam.science.spectra.compiled import code_digest, compiled


def made(text: str, **names: Any) -> Callable[..., Any]:
    space = dict(names)
    exec(f"def f(x):\n    return {text}\n", space)  # noqa: S102 - functions that differ in their globals only
    return space["f"]  # type: ignore[no-any-return]


def test_a_digest_follows_code_constants_and_what_is_called() -> None:
    inner, other = compiled(made("x + 1")), compiled(made("x + 2"))
    functions = [
        made("g(x) * C", g=inner, C=2.0),
        made("g(x) * C", g=inner, C=3.0),
        made("g(x) * C", g=other, C=2.0),
        made("g(x) / C", g=inner, C=2.0),
    ]
    assert len({code_digest(function) for function in functions}) == 4
    assert code_digest(functions[0]) == code_digest(made("g(x) * C", g=inner, C=2.0))
    # Through a function in between as well
    outer = [made("h(x)", h=compiled(function)) for function in functions]
    assert len({code_digest(function) for function in outer}) == 4


def test_a_digest_follows_the_kernel_into_the_joint_fit() -> None:
    """A change of what _evaluate calls would be one of all that is built on it."""
    assert kernel._evaluate.__name__ in dilution_joint.assemble.py_func.__code__.co_names  # type: ignore[attr-defined]
    for function in (kernel.fit_batch, kernel._evaluate, dilution_kernel.dilution_batch):
        cells = function.py_func.__closure__  # type: ignore[attr-defined]
        assert cells[-1].cell_contents == code_digest(function)
        assert len(code_digest(function)) == 64
        assert function.__doc__


def test_functions_do_what_they_did() -> None:
    factor = 3.0

    @compiled
    def scaled(x: float, more: float = 1.0) -> float:
        return factor * x + more

    assert scaled(2.0) == 7.0
    assert scaled(2.0, 0.5) == 6.5
    assert np.isnan(scaled(np.nan))
