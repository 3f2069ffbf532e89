from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from so2cam.core.errors import FrameFileError
from so2cam.core.records import Band, FrameKind
from so2cam.core.site import Files
from so2cam.formats.names import build_image_name, is_derived_product, parse_image_name, parse_kind

FILES = Files()


def test_first_generation() -> None:
    info = parse_image_name(Path("a/2018-03-26T144408_fltrA_1ag_1399829ss_Plume.png"), FILES)
    assert info.band is Band.ON
    assert info.kind is FrameKind.PLUME
    assert info.gain == 1.0
    assert info.exposure_s == 1.399829
    assert info.start_time == datetime(2018, 3, 26, 14, 44, 8, tzinfo=UTC)
    assert info.time == datetime(2018, 3, 26, 14, 44, 8, 699914, tzinfo=UTC)
    assert info.time_resolution_s == 1.0
    assert info.cell_ppm_m is None


def test_second_generation_and_milliseconds() -> None:
    info = parse_image_name(Path("2024-11-01T090000.250_fltrB_1.5_9977ss_Clear.png"), FILES)
    assert info.band is Band.OFF
    assert info.kind is FrameKind.CLEAR
    assert info.gain == 1.5
    assert info.start_time == datetime(2024, 11, 1, 9, 0, 0, 250_000, tzinfo=UTC)
    assert info.time_resolution_s == 0.001


@pytest.mark.parametrize(
    ("text", "kind", "label"),
    [
        ("plume", FrameKind.PLUME, None),
        ("DARK", FrameKind.DARK, None),
        ("Test", FrameKind.TEST, None),
        ("0ppmm", FrameKind.CELL, 0.0),
        ("1257PPMM", FrameKind.CELL, 1257.0),
        ("94.5ppmm", FrameKind.CELL, 94.5),
    ],
)
def test_types(text: str, kind: FrameKind, label: float | None) -> None:
    info = parse_image_name(Path(f"2018-03-26T144408_FLTRB_1ag_99980ss_{text}.PNG"), FILES)
    assert (info.band, info.kind, info.cell_ppm_m) == (Band.OFF, kind, label)


@pytest.mark.parametrize(("stamp", "middle_s"), [("start", 0.5), ("middle", 0.0), ("end", -0.5)])
def test_what_the_stamp_marks(stamp: str, middle_s: float) -> None:
    files = Files.model_validate({"stamp": stamp, "utc_offset_hours": -3.5})
    info = parse_image_name(Path("2018-03-26T224408_fltrA_1ag_1000000ss_Plume.png"), files)
    assert info.time == datetime(2018, 3, 27, 2, 14, 8, tzinfo=UTC) + timedelta(seconds=middle_s)
    assert info.start_time == info.time - timedelta(seconds=0.5)


def test_words_of_kinds() -> None:
    assert parse_kind("CLEAR") == (FrameKind.CLEAR, None)
    assert parse_kind("304ppmm") == (FrameKind.CELL, 304.0)
    assert parse_kind("cell") is None


def test_own_tags_even_with_underscores() -> None:
    files = Files(on_band="on_310", off_band="fltr")
    assert parse_image_name(Path("2018-03-26T144408_on_310_1ag_9ss_Dark.png"), files).band is Band.ON
    assert parse_image_name(Path("2018-03-26T144408_fltr_1ag_9ss_Dark.png"), files).band is Band.OFF


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("2018-03-26T144408_fltrC_1ag_99980ss_Plume.png", "band tag"),
        ("2018-03-26T144408_fltrA_1ag_99980ss_Fog.png", "type is unknown"),
        ("2018-03-26T144408_fltrA_1ag_99980ss_cell.png", "type is unknown"),
        ("2018-03-26T144408_fltrA_1ag_99980ss_-5ppmm.png", "type is unknown"),
        ("2018-02-30T144408_fltrA_1ag_99980ss_Plume.png", "impossible time"),
        ("2018-03-26T246060_fltrA_1ag_99980ss_Plume.png", "impossible time"),
        ("0001-01-01T000000_fltrA_1ag_99980ss_Plume.png", "year"),
        ("9999-12-31T235959_fltrA_1ag_3600000000ss_Plume.png", "year"),
        ("20180326T144408_fltrA_1ag_99980ss_Plume.png", "does not begin with a time"),
        ("٢٠١٨-03-26T144408_fltrA_1ag_99980ss_Plume.png", "does not begin with a time"),
        ("2018-03-26T144408_fltrA_1ag_0ss_Plume.png", "exposure"),
        ("2018-03-26T144408_fltrA_1ag_999999999999ss_Plume.png", "exposure"),
        ("2018-03-26T144408_fltrA_1ag_99980_Plume.png", "exposure"),
        ("2018-03-26T144408_fltrA_0ag_99980ss_Plume.png", "gain"),
        ("2018-03-26T144408_fltrA_99999_99980ss_Plume.png", "gain"),
        ("2018-03-26T144408_fltrA_nan_99980ss_Plume.png", "no gain"),
        ("2018-03-26T144408_fltrA_1ag_" + "9" * 5000 + "ss_Plume.png", "no exposure"),
        ("quicklook.png", "not made of"),
        (".png", "not made of"),
        ("2018-03-26T144408_fltrA_1ag_99980ss_Plume.jpg", "PNG"),
        ("", "PNG"),
    ],
)
def test_what_is_no_name_is_refused_with_reason_and_remedy(name: str, reason: str) -> None:
    path = Path("folder") / name if name else Path()
    with pytest.raises(FrameFileError, match=reason) as caught:
        parse_image_name(path, FILES)
    assert caught.value.file == path
    assert caught.value.remedy


@pytest.mark.parametrize(
    "name",
    [
        "2018-03-26T143355_fltrA_1ag_1399829ss_1257ppmm_darkcorr.png",
        "2018-03-26T143355_fltrA_1ag_1399829ss_Clear_darkcorr.png",
        "2022-08-07T111111_fltr_1ag_1ss_onesmask.png",
    ],
)
def test_derived_products_are_told_from_frames(name: str) -> None:
    assert is_derived_product(name)
    with pytest.raises(FrameFileError, match="derived product"):
        parse_image_name(Path(name), FILES)


def test_frames_are_no_derived_products() -> None:
    assert not is_derived_product("2018-03-26T144408_fltrA_1ag_1399829ss_Plume.png")


def test_names_as_the_instruments_write_them() -> None:
    start = datetime(2018, 3, 26, 14, 44, 8, 999_000, tzinfo=UTC)
    first = build_image_name(
        start=start, tag="fltrA", gain=1.0, exposure_s=1.399829, kind=FrameKind.PLUME, generation=1
    )
    assert first == "2018-03-26T144408_fltrA_1ag_1399829ss_Plume.png"
    cell = build_image_name(
        start=start, tag="fltrB", gain=1.0, exposure_s=0.09998, kind=FrameKind.CELL, cell_ppm_m=304.0, generation=2
    )
    assert cell == "2018-03-26T144408_fltrB_1.0_99980ss_304ppmm.png"
    native = build_image_name(
        start=start.astimezone(timezone(timedelta(hours=-5))),
        tag="fltrB",
        gain=2.25,
        exposure_s=0.09998,
        kind=FrameKind.CELL,
        cell_ppm_m=94.5,
        generation=2,
        milliseconds=True,
    )
    assert native == "2018-03-26T144408.999_fltrB_2.25_99980ss_94.5ppmm.png"


@pytest.mark.parametrize(
    "change",
    [
        {"start": datetime(2018, 3, 26)},  # noqa: DTZ001
        {"start": datetime(1969, 3, 26, tzinfo=UTC)},
        {"tag": "a/b"},
        {"tag": ""},
        {"gain": 1.5},
        {"gain": float("nan")},
        {"gain": 0.0},
        {"exposure_s": 0.0},
        {"exposure_s": float("nan")},
        {"exposure_s": float("inf")},
        {"cell_ppm_m": 3.0},
        {"kind": FrameKind.CELL},
        {"kind": FrameKind.CELL, "cell_ppm_m": -1.0},
        {"generation": 3},
    ],
)
def test_what_no_name_can_carry_is_refused(change: dict[str, object]) -> None:
    values: dict[str, object] = {
        "start": datetime(2018, 3, 26, tzinfo=UTC),
        "tag": "fltrA",
        "gain": 1.0,
        "exposure_s": 0.1,
        "kind": FrameKind.DARK,
        "generation": 1,
    }
    with pytest.raises((ValueError, OverflowError)):
        build_image_name(**{**values, **change})  # type: ignore[arg-type]


@pytest.mark.data
def test_every_real_name(data_dir: Path) -> None:
    paths = sorted((data_dir / "villarrica").rglob("*.png"))
    assert len(paths) == 48
    for path in paths:
        info = parse_image_name(path, FILES)
        name = build_image_name(
            start=info.start_time,
            tag="fltrA" if info.band is Band.ON else "fltrB",
            gain=info.gain,
            exposure_s=info.exposure_s,
            kind=info.kind,
            cell_ppm_m=info.cell_ppm_m,
            generation=1,
        )
        assert name == path.name
        assert replace(info, path=Path()) == replace(parse_image_name(Path(name), FILES), path=Path())
