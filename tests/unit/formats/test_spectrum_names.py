"""Names of spectra: the instruments' own, those of patterns, kinds, and the way to mid-exposure."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from so2cam.core.errors import FrameFileError
from so2cam.core.spectra import SpectrumKind
from so2cam.core.spectrometer import SpectrumFiles
from so2cam.formats.patterns import compile_pattern
from so2cam.formats.spectra.names import find_kind, parse_by_pattern, parse_spectrum_name

PICAM = SpectrumFiles()


def test_a_name_of_existing_instruments() -> None:
    info = parse_spectrum_name(Path("d/2019-05-29T124401_1000ss_1coadd_Plume.npy"), PICAM)
    assert info.kind is SpectrumKind.PLUME
    assert info.time == datetime(2019, 5, 29, 12, 44, 1, 500000, UTC)
    assert (info.integration_time_s, info.coadds, info.time_resolution_s) == (1.0, 1, 1.0)
    assert info.latitude_deg is None


def test_half_of_all_coadds_leads_to_mid_exposure() -> None:
    info = parse_spectrum_name(Path("2019-05-29T124401.25_200ss_10coadd_dark.NPY"), PICAM)
    assert info.kind is SpectrumKind.DARK
    assert info.time == datetime(2019, 5, 29, 12, 44, 2, 250000, UTC)
    assert info.time_resolution_s == 0.01


@pytest.mark.parametrize(
    ("stamp", "second", "microsecond"), [("start", 2, 500000), ("middle", 1, 0), ("end", 59, 500000)]
)
def test_the_stamp_can_mark_start_middle_and_end(stamp: str, second: int, microsecond: int) -> None:
    files = SpectrumFiles.model_validate({"stamp": stamp, "utc_offset_hours": -6})
    info = parse_spectrum_name(Path("2019-05-29T124401_1000ss_3coadd_Plume.npy"), files)
    assert (info.time.hour, info.time.second, info.time.microsecond) == (18, second, microsecond)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("2019-05-29T124401_1000ss_1coadd_Plume.txt", "not named as a .npy"),
        ("image_reg.npy", "not made of"),
        ("2019-05-29_1000ss_1coadd_Plume.npy", "does not begin with a time"),
        ("2019-02-29T124401_1000ss_1coadd_Plume.npy", "impossible time"),
        ("2019-05-29T124401_1000ms_1coadd_Plume.npy", "no integration time"),
        ("2019-05-29T124401_0ss_1coadd_Plume.npy", "no integration time"),
        ("2019-05-29T124401_3600001ss_1coadd_Plume.npy", "no integration time"),
        ("2019-05-29T124401_1000ss_0coadd_Plume.npy", "no number of coadds"),
        ("2019-05-29T124401_1000ss_coadd_Plume.npy", "no number of coadds"),
        ("2019-05-29T124401_1000ss_1coadd_304ppmm.npy", "behind a gas cell"),
        ("2019-05-29T124401_1000ss_1coadd_Sky.npy", "type is unknown"),
        ("2019-05-29T124401_1000ss_1coadd_.npy", "type is unknown"),
    ],
)
def test_other_names_are_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(FrameFileError, match=reason) as caught:
        parse_spectrum_name(Path(name), PICAM)
    assert caught.value.remedy
    assert name in str(caught.value)


def test_words_for_kinds() -> None:
    files = SpectrumFiles(kinds={"HgLamp": "calibration", "304ppmm": "test", "Plume": "clear"}, dark_files=("DARK/*",))
    expected = {
        "clear": SpectrumKind.CLEAR,
        "Test": SpectrumKind.TEST,
        "Lamp": SpectrumKind.LAMP,
        "CALIBRATION": SpectrumKind.LAMP,
        "hglamp": SpectrumKind.LAMP,
        "304ppmm": SpectrumKind.TEST,
        "plume": SpectrumKind.CLEAR,
        None: SpectrumKind.PLUME,
    }
    assert {word: find_kind(Path("a.txt"), word, files) for word in expected} == expected
    assert find_kind(Path("run/Dark/a.txt"), "Test", files) is SpectrumKind.DARK
    assert find_kind(Path("run/dark.txt"), None, files) is SpectrumKind.PLUME


def test_names_by_a_pattern() -> None:
    files = SpectrumFiles(
        format="columns", name_pattern="{time:%Y%m%d_%H%M%S}_{exposure_s}s_{kind}.csv", coadds=4, utc_offset_hours=2
    )
    pattern = compile_pattern(str(files.name_pattern))
    info = parse_by_pattern(Path("20190529_124401_0.5s_Clear.csv"), files, pattern)
    assert info.kind is SpectrumKind.CLEAR
    assert info.time == datetime(2019, 5, 29, 10, 44, 2, tzinfo=UTC)
    assert (info.integration_time_s, info.coadds) == (0.5, 4)
    with pytest.raises(FrameFileError, match="does not begin with"):
        parse_by_pattern(Path("other.csv"), files, pattern)


def test_without_an_integration_time_the_stamp_stays() -> None:
    files = SpectrumFiles(format="columns", name_pattern="{time:%Y%m%d_%H%M%S}.csv")
    info = parse_by_pattern(Path("20190529_124401.csv"), files, compile_pattern(str(files.name_pattern)))
    assert info.time == datetime(2019, 5, 29, 12, 44, 1, tzinfo=UTC)
    assert (info.kind, info.integration_time_s, info.coadds) == (SpectrumKind.PLUME, None, None)
