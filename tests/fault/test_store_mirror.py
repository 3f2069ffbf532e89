"""A real disk of its own that is plugged in, pulled out, filled up and plugged in again."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from so2cam.store.items import StoreItem, from_microseconds
from so2cam.store.mirror import Mirror, MirrorPlace, MirrorState
from so2cam.store.spool import Spool


def put(spool: Spool, number: int, size: int = 5000) -> None:
    time = from_microseconds(1_772_000_000_000_000 + 4_000_000 * number)
    data = number.to_bytes(4, "big") * (size // 4)
    spool.put(StoreItem("frame", "plume", "camera-on", time, f"frame{number}", ".png", data))


def test_a_disk_that_is_pulled_out_filled_and_plugged_in_again(tmp_path: Path, loop_image: Callable[..., Path]) -> None:
    image, ssd = tmp_path / "ssd.img", tmp_path / "ssd"
    with image.open("wb") as stream:
        stream.truncate(8_000_000)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)
    with Spool(tmp_path / "spool", node="lead", receivers=["station", "mirror"]) as spool:
        mirror = Mirror(spool, MirrorPlace(path=ssd, reserve_bytes=500_000), batch=10)
        put(spool, 1)
        assert mirror.step().state is MirrorState.ABSENT
        loop_image(image, ssd)
        assert mirror.step().state is MirrorState.CURRENT

        subprocess.run(["umount", str(ssd)], check=True)
        put(spool, 2)
        status = mirror.step()
        assert (status.state, "mounted" in status.detail) == (MirrorState.ABSENT, True)
        assert list(ssd.iterdir()) == []  # nothing went to the folder behind the disk
        loop_image(image, ssd)
        assert mirror.step().items == 1

        ballast = ssd / "ballast"
        free = spool.disk.free_bytes(ssd)
        ballast.write_bytes(bytes(free - 510_000))
        put(spool, 3, size=20_000)
        assert mirror.step().state is MirrorState.FULL
        ballast.unlink()
        assert mirror.step().state is MirrorState.CURRENT

        subprocess.run(["mount", "-o", "remount,ro", str(ssd)], check=True)
        put(spool, 4)
        status = mirror.step()
        assert (status.state, "Read-only" in status.detail) == (MirrorState.ERROR, True)
        subprocess.run(["mount", "-o", "remount,rw", str(ssd)], check=True)
        assert mirror.step().state is MirrorState.CURRENT
        for item in spool.find():
            assert (ssd / "so2cam" / "lead" / item.path).read_bytes() == spool.read(item)
        assert spool.undelivered("mirror") == []
