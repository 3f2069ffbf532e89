"""Folders of spectra: real ones, every layout, and every file that is skipped, with the reason."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from so2cam.core.errors import InputError
from so2cam.core.spectra import SpectrumKind
from so2cam.core.spectrometer import SpectrumFiles
from so2cam.formats.folder import SkipCategory
from so2cam.formats.spectra.folder import SpectrumScan, scan_spectra

PICAM = SpectrumFiles()
IFIT = SpectrumFiles(format="ifit", dark_files=("dark*.txt",), utc_offset_hours=-6)
HEADER = "# Integration time (ms): {}\n# Number of coadds: 2\n# Timestamp: {}\n# lat: 11.9\n# lon: -86.2\n300 1\n"


def write(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def reasons(scan: SpectrumScan) -> dict[str, tuple[SkipCategory, str]]:
    return {item.path.name: (item.category, item.reason) for item in scan.skipped}


@pytest.mark.data
def test_a_real_folder_of_arrays(data_dir: Path) -> None:
    scan = scan_spectra([data_dir / "spectra_flame"], PICAM)
    kinds = [info.kind for info in scan.spectra]
    assert kinds == [SpectrumKind.DARK] + 12 * [SpectrumKind.PLUME]
    assert scan.skipped == ()
    assert scan.spectra[-1].time == datetime(2019, 5, 29, 12, 44, 12, 500000, UTC)


@pytest.mark.data
def test_a_real_folder_of_ifit(data_dir: Path) -> None:
    scan = scan_spectra([data_dir / "masaya"], IFIT)
    assert [info.kind for info in scan.spectra].count(SpectrumKind.PLUME) == 82
    assert [info.path.name for info in scan.spectra if info.kind is SpectrumKind.DARK] == ["dark.txt"]
    assert scan.spectra[0].time == datetime(2018, 1, 14, 15, 25, 53, tzinfo=UTC)
    assert scan.spectra[0].integration_time_s is None
    assert reasons(scan) == {
        "MasayaTraverseGPS.txt": (
            SkipCategory.UNREADABLE_NAME,
            "is no spectrum of iFit: its header has no time",
        )
    }


def test_any_depth_in_order_of_time(tmp_path: Path) -> None:
    late = write(tmp_path / "2019/05/29/13/2019-05-29T130000_100ss_1coadd_Plume.npy")
    early = write(tmp_path / "2019-05-29T120000_100ss_1coadd_Plume.npy")
    dark = write(tmp_path / "Cal_1/2019-05-29T110000_100ss_1coadd_Dark.npy")
    write(tmp_path / "2019-05-29T120000_100ss_1coadd_Plume.png")
    write(tmp_path / ".trash/2019-05-29T140000_100ss_1coadd_Plume.npy")
    write(tmp_path / ".2019-05-29T140000_100ss_1coadd_Plume.npy")
    scan = scan_spectra([tmp_path, tmp_path / "2019"], PICAM)
    assert [info.path for info in scan.spectra] == [dark, early, late]
    assert scan.skipped == ()


def test_every_file_that_is_skipped_has_its_reason(tmp_path: Path) -> None:
    first = write(tmp_path / "a/2019-05-29T120000_100ss_1coadd_Plume.npy")
    write(tmp_path / "b/2019-05-29T120000_100ss_1coadd_plume.npy")
    write(tmp_path / "2019-05-29T120001_100ss_1coadd_Plume.npy")
    write(tmp_path / "2019-05-29T120001_100ss_1coadd_Plume.lock")
    write(tmp_path / "2019-05-29T120002_100ss_1coadd_304ppmm.npy")
    write(tmp_path / "image_reg.npy")
    (tmp_path / "broken.npy").symlink_to(tmp_path / "nowhere")
    scan = scan_spectra([tmp_path], PICAM)
    assert [info.path for info in scan.spectra] == [first]
    found = reasons(scan)
    assert {name: category for name, (category, _) in found.items()} == {
        "2019-05-29T120000_100ss_1coadd_plume.npy": SkipCategory.DUPLICATE,
        "2019-05-29T120001_100ss_1coadd_Plume.npy": SkipCategory.LOCKED,
        "2019-05-29T120002_100ss_1coadd_304ppmm.npy": SkipCategory.UNREADABLE_NAME,
        "image_reg.npy": SkipCategory.UNREADABLE_NAME,
        "broken.npy": SkipCategory.NOT_A_FILE,
    }
    assert str(first) in found["2019-05-29T120000_100ss_1coadd_plume.npy"][1]
    assert "gas cell" in found["2019-05-29T120002_100ss_1coadd_304ppmm.npy"][1]


def test_ifit_headers_give_time_and_place(tmp_path: Path) -> None:
    write(tmp_path / "spectrum_00001.txt", HEADER.format(500, "2020-01-02 03:04:05.5"))
    write(tmp_path / "dark_00001.txt", HEADER.format(500, "2020-01-02 03:00:00"))
    scan = scan_spectra([tmp_path], IFIT)
    dark, plume = scan.spectra
    assert (dark.kind, plume.kind) == (SpectrumKind.DARK, SpectrumKind.PLUME)
    assert plume.time == datetime(2020, 1, 2, 9, 4, 5, tzinfo=UTC)
    assert (plume.integration_time_s, plume.coadds) == (0.5, 2)
    assert (plume.latitude_deg, plume.longitude_deg, plume.altitude_m) == (11.9, -86.2, None)


def test_ifit_spectra_of_one_second_are_all_kept_but_copies_are_not(tmp_path: Path) -> None:
    write(tmp_path / "spectrum_00001.txt", HEADER.format(50, "2020-01-02 03:04:05"))
    write(tmp_path / "spectrum_00002.txt", HEADER.format(50, "2020-01-02 03:04:05") + "301 2\n")
    write(tmp_path / "copy/spectrum_00001 (1).txt", HEADER.format(50, "2020-01-02 03:04:05"))
    scan = scan_spectra([tmp_path], IFIT)
    assert len(scan.spectra) == 2
    assert [item.category for item in scan.skipped] == [SkipCategory.DUPLICATE]


def test_what_the_header_does_not_tell_comes_from_the_name(tmp_path: Path) -> None:
    files = SpectrumFiles(format="ifit", name_pattern="{kind}_{time:%Y%m%d_%H%M%S}_{integration_ms}ms.txt")
    write(tmp_path / "Dark_20200102_030405_200ms.txt", "# Integration time: ????? (ms)\n300 1\n")
    write(tmp_path / "Clear_20200102_030405_200ms.txt", HEADER.format(500, "2020-01-02 04:00:00"))
    write(tmp_path / "empty_20200102_030405_200ms.txt", "")
    write(tmp_path / "notes.txt", "hello")
    write(tmp_path / "Odd_20200102_030405_200ms.txt", HEADER.format(500, "2020-01-02 04:00:00"))
    scan = scan_spectra([tmp_path], files)
    dark, clear = scan.spectra
    assert (dark.kind, dark.integration_time_s) == (SpectrumKind.DARK, 0.2)
    assert dark.time == datetime(2020, 1, 2, 3, 4, 4, 900000, UTC)
    assert (clear.kind, clear.integration_time_s) == (SpectrumKind.CLEAR, 0.5)
    assert clear.time == datetime(2020, 1, 2, 3, 59, 59, 500000, UTC)
    found = {name: reason for name, (_, reason) in reasons(scan).items()}
    assert found["empty_20200102_030405_200ms.txt"] == "is empty"
    assert "has no '_'" in found["notes.txt"]
    assert "type is unknown" in found["Odd_20200102_030405_200ms.txt"]


def test_columns_by_their_names(tmp_path: Path) -> None:
    files = SpectrumFiles(format="columns", name_pattern="s_{time:%Y%m%d_%H%M%S}.CSV")
    write(tmp_path / "s_20200102_030405.csv")
    write(tmp_path / "z/S_20200102_030405.csv")
    write(tmp_path / "other.csv")
    write(tmp_path / "other.txt")
    scan = scan_spectra([tmp_path], files)
    assert len(scan.spectra) == 1
    assert {name: category for name, (category, _) in reasons(scan).items()} == {
        "S_20200102_030405.csv": SkipCategory.DUPLICATE,
        "other.csv": SkipCategory.UNREADABLE_NAME,
    }


def test_a_pattern_without_an_ending_takes_any_file(tmp_path: Path) -> None:
    files = SpectrumFiles(format="columns", name_pattern="s_{time:%Y%m%d_%H%M%S}")
    write(tmp_path / "s_20200102_030405")
    write(tmp_path / "s_20200102_030406")
    (tmp_path / "s_20200102_030407").symlink_to(tmp_path / "s_20200102_030406")
    write(tmp_path / "s_20200102_030405.lock")
    scan = scan_spectra([tmp_path], files)
    assert [info.path.name for info in scan.spectra] == ["s_20200102_030406"]
    assert {item.category for item in scan.skipped} == {SkipCategory.LOCKED, SkipCategory.DUPLICATE}


def test_folders_and_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write(tmp_path / "spectrum_1.txt", HEADER.format(50, "2020-01-02 03:04:05"))
    write(tmp_path / "spectrum_2.txt", HEADER.format(50, "2020-01-02 03:04:06"))
    (tmp_path / "closed").mkdir()
    scandir, open_path = os.scandir, Path.open

    def scandir_or_refuse(path: Path) -> Any:
        if path.name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    def open_or_refuse(path: Path, *arguments: Any) -> Any:
        if path.name == "spectrum_2.txt":
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_path(path, *arguments)

    monkeypatch.setattr(os, "scandir", scandir_or_refuse)
    monkeypatch.setattr(Path, "open", open_or_refuse)
    scan = scan_spectra([tmp_path], IFIT)
    assert [info.path for info in scan.spectra] == [good]
    assert reasons(scan)["closed"][0] is SkipCategory.UNREADABLE_FOLDER
    assert "Permission denied" in reasons(scan)["spectrum_2.txt"][1]
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        scan_spectra([tmp_path / "closed"], IFIT)


def test_folders_that_are_no_folders_of_spectra(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of spectra"):
        scan_spectra([], PICAM)
    with pytest.raises(InputError, match="does not exist"):
        scan_spectra([tmp_path / "none"], PICAM)
    with pytest.raises(InputError, match="is not a folder"):
        scan_spectra([write(tmp_path / "file.txt")], PICAM)
    with pytest.raises(InputError, match=r"holds no \.npy file"):
        scan_spectra([tmp_path], PICAM)


def test_a_wrong_pattern_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown field") as caught:
        scan_spectra([tmp_path], SpectrumFiles(format="columns", name_pattern="{what}"))
    assert caught.value.key == "spectrometer.files.name_pattern"
