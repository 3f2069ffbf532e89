"""Arrays in NumPy's files: as NumPy reads them, without evaluating anything."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from so2cam.formats.npy import array_of, arrays_of, read_head

SOURCE = Path(__file__).parents[3] / "src"


def npy(values: npt.NDArray[Any], version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, values, version=version)
    return stream.getvalue()


KINDS = st.one_of(
    arrays.boolean_dtypes(), arrays.integer_dtypes(), arrays.unsigned_integer_dtypes(), arrays.floating_dtypes(),
    arrays.complex_number_dtypes(), arrays.unicode_string_dtypes(), arrays.byte_string_dtypes(),
)  # fmt: skip


@given(
    arrays.arrays(KINDS, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)),
    st.booleans(),
    st.sampled_from([None, (1, 0), (2, 0), (3, 0)]),
)
def test_what_numpy_writes_is_read_as_numpy_reads_it(
    values: npt.NDArray[Any], by_columns: bool, version: tuple[int, int] | None
) -> None:
    data = npy(values.copy(order="F") if by_columns else values, version)
    read = array_of(data)
    assert (read.dtype, read.shape) == (values.dtype, values.shape)
    np.testing.assert_array_equal(read, values)
    assert read.flags.writeable
    stream = io.BytesIO(data)
    head = read_head(stream)
    assert (head.shape, head.dtype) == (values.shape, values.dtype)
    assert stream.tell() + head.size_bytes == len(data)


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: b"\x93NUMPY\x01\x00" + tail))
def test_junk_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"NumPy array|version|cut short|plain values|unknown type|longer|pickled"):
        array_of(data)


WHOLE = npy(np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (WHOLE[:-1], "is cut short: 175 bytes, expected 176"),
        (WHOLE + b"x", "longer than it says"),
        (WHOLE[:60], "cut short within its header"),
        (WHOLE[:9], "cut short within its header"),
        (WHOLE.replace(b"\x93NUMPY\x01", b"\x93NUMPY\x09"), "version 9"),
        (WHOLE.replace(b"(2, 3)", b"(2, n)"), "not an array of plain values"),
        (WHOLE.replace(b"(2, 3)", b"(2,-3)"), "not an array of plain values"),
        (WHOLE.replace(b"'<f8'", b"'<f7'"), "unknown type, <f7"),
        (npy(np.array([{"a": 1}], object)), "pickled objects"),
        (npy(np.zeros(2, [("a", "<f8")])), "not an array of plain values"),
    ],
)
def test_damage_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        array_of(data)


def test_named_arrays(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    np.savez_compressed(path, name="upstream", sums=np.arange(5.0), number=3)
    found = arrays_of(path)
    assert sorted(found) == ["name", "number", "sums"]
    assert (str(found["name"]), int(found["number"]), found["sums"].tolist()) == ("upstream", 3, [0, 1, 2, 3, 4])
    whole = path.read_bytes()
    for damaged in (b"", b"PK", whole[: len(whole) // 2], whole[:60] + b"\xff\xff\xff\xff" + whole[64:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"damaged|cut short|NumPy array"):
            arrays_of(path)


def test_no_array_is_read_by_evaluating_its_head() -> None:
    evaluates = re.compile(r"\bnp\.load\(|\bnp\.lib\.format\b|\bnumpy\.load\(|literal_eval|open_memmap")
    found = [path.name for path in sorted(SOURCE.rglob("*.py")) if evaluates.search(path.read_text())]
    assert not found, "so2cam.formats.npy reads arrays in any thread"
