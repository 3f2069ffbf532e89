"""Properties of the readers: nothing but their own errors, and no other pixels or names than were written."""

import random
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.core.errors import FrameFileError, SiteFileError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.core.site import Files
from so2cam.formats.folder import natural_key
from so2cam.formats.lines import parse_pycam_line
from so2cam.formats.names import build_image_name, is_derived_product, parse_image_name
from so2cam.formats.png import read_png, write_png

FILES = Files()
FIELDS = st.sampled_from(
    ["2018-03-26T144408", "2018-13-26T144408.5", "fltrA", "fltrB", "fltr", "1ag", "1.0", "9ss", "Plume", "0ppmm", ""]
)
FIELD = st.one_of(FIELDS, st.text(max_size=12), st.text(string.digits + ".", max_size=30))


@settings(max_examples=500, deadline=None)
@given(st.lists(FIELD, max_size=7), st.sampled_from([".png", ".PNG", "", ".png.png", "_darkcorr.png"]))
def test_names_give_a_frame_or_a_frame_file_error(fields: list[str], suffix: str) -> None:
    name = "_".join(fields) + suffix
    is_derived_product(name)
    natural_key(name)
    try:
        info = parse_image_name(Path(name), FILES)
    except FrameFileError:
        return
    assert info.exposure_s > 0
    assert info.time.tzinfo is UTC


def test_ten_thousand_hostile_names() -> None:
    rng = random.Random(1)
    good = "2024-11-01T090000.250_fltrA_1.0_9977ss_304ppmm.png"
    alphabet = good + '\0\n\r\t\x1b\udcff٣²/\\:*?"<>|$`;&%~ éK'
    frames_found = 0
    for _ in range(10_000):
        characters = list(good)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(characters))
            characters[place : place + rng.choice((0, 1, 1, 9))] = rng.choices(alphabet, k=rng.choice((0, 1, 1, 40)))
        path = Path("".join(characters))
        is_derived_product(path.name)
        natural_key(path.name)
        try:
            info = parse_image_name(path, FILES)
        except FrameFileError as error:
            str(error).encode("utf-8", "surrogateescape")
        else:
            frames_found += 1
            assert 0 < info.exposure_s <= 3600
    assert frames_found > 100


@st.composite
def frames(draw: st.DrawFn) -> tuple[FrameInfo, bool, int]:
    milliseconds, generation = draw(st.booleans()), draw(st.sampled_from([1, 2]))
    kind = draw(st.sampled_from(FrameKind))
    labels = st.one_of(st.just(0.0), st.floats(1e-3, 9_999_999.0), st.integers(0, 5000).map(float))
    gains = st.integers(1, 64).map(float) if generation == 1 else st.floats(0.01, 64)
    exposure_s = draw(st.integers(1, 6_000_001)) / 1e6
    start = draw(st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
    start = start.replace(microsecond=draw(st.integers(0, 999)) * 1000 if milliseconds else 0)
    info = FrameInfo(
        path=Path(),
        band=draw(st.sampled_from(Band)),
        kind=kind,
        time=start + timedelta(seconds=exposure_s / 2),
        exposure_s=exposure_s,
        gain=draw(gains),
        cell_ppm_m=draw(labels) if kind is FrameKind.CELL else None,
        time_resolution_s=0.001 if milliseconds else 1.0,
    )
    return info, milliseconds, generation


@settings(deadline=None)
@given(frames())
def test_names_come_back_as_they_went(case: tuple[FrameInfo, bool, int]) -> None:
    info, milliseconds, generation = case
    name = build_image_name(
        start=info.start_time,
        tag=FILES.on_band if info.band is Band.ON else FILES.off_band,
        gain=info.gain,
        exposure_s=info.exposure_s,
        kind=info.kind,
        cell_ppm_m=info.cell_ppm_m,
        generation=generation,
        milliseconds=milliseconds,
    )
    assert not is_derived_product(name)
    assert replace(parse_image_name(Path("x") / name, FILES), path=Path()) == info


@st.composite
def images(draw: st.DrawFn) -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
    shape = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    highest = draw(st.sampled_from([1, 1023, 65535]))
    return np.random.default_rng(draw(st.integers(0, 1000))).integers(0, highest, shape, np.uint16, endpoint=True)


@settings(deadline=None)
@given(images())
def test_pixels_come_back_as_they_went(image: np.ndarray[tuple[int, int], np.dtype[np.uint16]]) -> None:
    np.testing.assert_array_equal(read_png(write_png(image), "x.png"), image)


@settings(deadline=None)
@given(images(), st.data())
def test_damage_never_goes_unseen(image: np.ndarray[tuple[int, int], np.dtype[np.uint16]], data: st.DataObject) -> None:
    whole = write_png(image, {"Comment": "text"})
    position = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(FrameFileError):
        read_png(whole[:position], "x.png")
    flipped = bytearray(whole)
    flipped[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(FrameFileError):
        read_png(bytes(flipped), "x.png")


@settings(deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_give_a_frame_file_error(data: bytes, signed: bool) -> None:
    with pytest.raises(FrameFileError):
        read_png((b"\x89PNG\r\n\x1a\n" if signed else b"") + data, "x.png")


@settings(deadline=None)
@given(st.one_of(st.text(), st.text("xy=orientalfgh0123456789,.\n-e")))
def test_line_files_give_a_line_or_a_site_file_error(text: str) -> None:
    try:
        line = parse_pycam_line(text, name="a", file="line.txt")
    except SiteFileError:
        return
    assert line.to_plume_line().length_px >= 4
