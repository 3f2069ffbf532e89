"""Names that a stranger would choose: whatever an instrument tells, nothing is written outside the archive."""

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from so2cam.core.errors import So2camError
from so2cam.station.archive import Archive, Arrival
from so2cam.station.catalogue import Catalogue

PARTS = (
    "..", ".", "/", "\\", "~", "a", "image", ".png", ".json", "\0", "\n", " ", "%2e%2e", "%2f", "..%c0%af",
    "C:", "CON", "NUL", "-rf", "$HOME", "`id`", "*", "?", "|", ";", "é", "\u202e", "\uff0f", "\u2215", "\ud800",
    "x" * 120, "x" * 300, "archive", "..\\..", "../..", "/etc/passwd", "//host/share", "file://",
    ".staging", ".lock", "catalogue.sqlite",
)  # fmt: skip
TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)


def hostile(rng: random.Random) -> str:
    """Return a name of some of the parts, or of any signs at all."""
    if rng.random() < 0.3:
        return "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randrange(30)))
    return "".join(rng.choice(PARTS) for _ in range(rng.randrange(1, 6))) + rng.choice(("", ".png", "/x.png"))


def test_hostile_names_lead_nowhere(tmp_path: Path, rounds: Callable[[int, int], int]) -> None:
    rng = random.Random(9)
    kept = refused = 0
    root = tmp_path / "station" / "root"
    with Catalogue.open(None, root / "catalogue") as catalogue:
        archive = Archive(root / "archive", catalogue, "etna")
        for number in range(rounds(300, 10_000)):
            main, sidecar = archive.staging / "main.tmp", archive.staging / "sidecar.tmp"
            main.write_bytes(b"image %d" % number)
            sidecar.write_bytes(b"{}")
            plain = number % 50 == 0
            arrival = Arrival(
                origin=f"lead/{number}",
                node="lead" if plain else hostile(rng),
                kind="frame",
                subject="plume",
                device="camera-on",
                time=TIME,
                name=f"good{number}.png" if plain else hostile(rng),
                sidecar_name=f"good{number}.json" if plain else rng.choice((None, hostile(rng))),
            )
            try:
                file, _ = archive.put(arrival, main, sidecar)
            except So2camError:
                refused += 1
                continue
            kept += 1
            paths = (archive.path_of(file), archive.path_of(file, sidecar=True))
            assert all(path.is_file() and not path.is_symlink() for path in paths)
            assert {path.resolve().parent for path in paths} == {(root / "archive" / "2026/03/01/12").resolve()}
        archive.close()
    assert kept >= rounds(300, 10_000) // 50
    assert refused > kept
    assert [path.name for path in tmp_path.iterdir()] == ["station"]
    assert [path.name for path in (tmp_path / "station").iterdir()] == ["root"]
    assert {path.name for path in root.iterdir()} == {"catalogue", "archive"}
    assert not os.path.lexists("/x.png")
