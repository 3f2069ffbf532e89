from pathlib import Path

import pytest

from so2cam.core.errors import SiteFileError
from so2cam.formats.lines import parse_pycam_line

GOOD = "x=273,408\ny=236,101\norientation=left\n"


def test_line() -> None:
    line = parse_pycam_line(GOOD, name="young", file="line.txt", plume="north")
    assert (line.name, line.plume, line.start, line.end, line.normal) == (
        "young",
        "north",
        (273, 236),
        (408, 101),
        "left",
    )
    normal = line.to_plume_line().normal
    assert normal[0] < 0
    assert normal == pytest.approx((-(0.5**0.5), -(0.5**0.5)))


def test_other_forms_of_text() -> None:
    text = "\ufeff# a note\r\n x = 273.5 , 408 # pixels\r\n\r\ny=236,101\r\norientation=RIGHT\r\ntype=old"
    line = parse_pycam_line(text, name="a", file="line.txt")
    assert (line.start, line.normal, line.plume) == ((273.5, 236), "right", "plume")


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("", "x", "is missing"),
        (GOOD.replace("orientation=left\n", ""), "orientation", "is missing"),
        (GOOD.replace("left", "up"), "orientation", "left or right"),
        (GOOD.replace("273,408", "273"), "x", "two numbers"),
        (GOOD.replace("273,408", "273,b"), "x", "two numbers"),
        (GOOD.replace("273,408", "273,nan"), "x", "two numbers"),
        (GOOD + "type=middle", "type", "young or old"),
        (GOOD + "x=1,2", "x", "twice"),
        (GOOD + "colour=red", "colour", "row 4"),
        (GOOD + "some words", None, "row 4"),
        ("x=10,400\ny=50,50\norientation=left", "orientation", "horizontal"),
        ("x=10,12\ny=50,50\norientation=left", None, "2.0 px long"),
    ],
)
def test_wrong_files_are_explained(text: str, key: str | None, reason: str) -> None:
    with pytest.raises(SiteFileError, match=reason) as caught:
        parse_pycam_line(text, name="a", file="line.txt")
    assert caught.value.file == "line.txt"
    assert caught.value.key == key
    assert caught.value.remedy


@pytest.mark.data
def test_real_files(data_dir: Path) -> None:
    for number in (1, 2):
        path = data_dir / "villarrica" / "setup" / f"plume_line_{number}.txt"
        line = parse_pycam_line(path.read_text(encoding="utf-8"), name="a", file=path)
        assert line.to_plume_line().length_px > 100
