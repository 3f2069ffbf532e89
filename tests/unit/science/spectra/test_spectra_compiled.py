"""How compiled functions are known to numba's cache."""

from pathlib import Path

import numpy as np

from so2cam.science.spectra import compiled, dilution_kernel, kernel

FOLDER = Path(compiled.__file__).parent


def test_every_module_with_compiled_functions_is_followed() -> None:
    holding = {path.name for path in FOLDER.glob("*.py") if "import compiled" in path.read_text(encoding="utf-8")}
    assert holding >= {"kernel.py", "dilution_kernel.py"}
    assert holding <= set(compiled.SOURCES)
    assert all((FOLDER / name).is_file() for name in compiled.SOURCES)


def test_a_change_of_any_source_is_another_digest(tmp_path: Path) -> None:
    for name in compiled.SOURCES:
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    digests = {compiled.sources_digest(tmp_path)}
    assert digests == {compiled.sources_digest()}
    for name in compiled.SOURCES:
        with (tmp_path / name).open("ab") as file:
            file.write(b"#")
        digests.add(compiled.sources_digest(tmp_path))
    (tmp_path / "kernel.py").unlink()
    digests.add(compiled.sources_digest(tmp_path))
    assert len(digests) == len(compiled.SOURCES) + 2


def test_the_digest_goes_with_every_function() -> None:
    for function in (kernel.fit_batch, kernel._evaluate, dilution_kernel.dilution_batch):
        cells = function.py_func.__closure__  # type: ignore[attr-defined]
        assert cells[-1].cell_contents == compiled.sources_digest()
        assert function.__doc__


def test_functions_do_what_they_did() -> None:
    factor = 3.0

    @compiled.compiled
    def scaled(x: float, more: float = 1.0) -> float:
        return factor * x + more

    assert scaled(2.0) == 7.0
    assert scaled(2.0, 0.5) == 6.5
    assert np.isnan(scaled(np.nan))
