from pathlib import Path

import pytest

from so2cam.store.mounts import Mount, check_folder, encode_label, find_by_label, parse_mounts

TABLE = (
    "/dev/root / ext4 rw,noatime 0 0\n"
    "DEVICE /media/so2\\040data exfat rw,uid=1000,errors=remount-ro 0 0\n"
    "broken\n"
    "/dev/sdz1 /media/ro ntfs3 ro,relatime 0 0\n"
)


def test_the_table_of_mounts_is_read() -> None:
    mounts = parse_mounts(TABLE)
    assert mounts[1] == Mount("DEVICE", Path("/media/so2 data"), "exfat", False)
    assert [mount.read_only for mount in mounts] == [False, False, True]


@pytest.mark.parametrize(
    ("label", "name"),
    [("SO2-DATA", "SO2-DATA"), ("my disk", r"my\x20disk"), ("a/b\\", r"a\x2fb\x5c"), ("Vulkán", "Vulkán")],
)
def test_labels_are_written_as_udev_writes_them(label: str, name: str) -> None:
    assert encode_label(label) == name


def test_a_disk_is_found_by_its_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    device, folder, table = tmp_path / "sda1", tmp_path / "by-label", tmp_path / "mounts"
    device.write_bytes(b"")
    folder.mkdir()

    def find() -> tuple[Path | None, str]:
        found = find_by_label("my disk", by_label=folder, mounts=table)
        return found.path, found.problem

    assert "is there" in find()[1]
    (folder / r"my\x20disk").symlink_to(device)
    table.write_text("/dev/root / ext4 rw 0 0\n")
    assert "not mounted" in find()[1]
    table.write_text(TABLE.replace("DEVICE", str(device)).replace("exfat rw", "exfat ro"))
    assert "read-only" in find()[1]
    table.write_text(TABLE.replace("DEVICE", str(device)))
    assert find() == (Path("/media/so2 data"), "")


def test_a_folder_must_be_on_another_disk(tmp_path: Path) -> None:
    assert "same disk" in check_folder(tmp_path, other_than=tmp_path).problem
    assert check_folder(tmp_path, other_than=None).path == tmp_path
    assert "cannot be used" in check_folder(tmp_path / "x", other_than=None).problem
    (tmp_path / "file").write_bytes(b"")
    assert "no folder" in check_folder(tmp_path / "file", other_than=None).problem
