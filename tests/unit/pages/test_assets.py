"""Static files of the pages are read by plain names, and by no other."""

import pytest

from so2cam.pages import read_asset


@pytest.mark.parametrize(
    "name", ["", ".js", "../assets.py", "static/x.js", "nothing.js", "x\\y.js", "assets.py", "\0.js"]
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(KeyError):
        read_asset(name)
