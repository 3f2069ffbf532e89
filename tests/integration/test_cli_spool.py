"""``so2cam spool`` as a person calls it, and the processing of what a spool holds."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.cli.main import run
from so2cam.core.records import Band, FrameKind
from so2cam.core.site_camera import Files
from so2cam.core.spectra import SpectrumKind
from so2cam.core.spectrometer import SpectrumFiles
from so2cam.formats.folder import scan_frames
from so2cam.formats.native import FrameRecord, SpectrumRecord
from so2cam.formats.png import read_png
from so2cam.formats.spectra.folder import scan_spectra
from so2cam.store.captures import frame_item, spectrum_item
from so2cam.store.spool import Spool

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAGS = {Band.ON: "fltrA", Band.OFF: "fltrB"}


def put_pair(spool: Spool, time: datetime, *, whole_seconds: bool, value: int = 500) -> None:
    """Put a frame of either band, the off band 3 ms later, and a spectrum."""
    for band, tag in TAGS.items():
        counts = np.full((6, 8), 16 * value + 5, np.uint16)
        middle = time + timedelta(milliseconds=3 * (band is Band.OFF))
        record = FrameRecord(band, FrameKind.PLUME, middle, exposure_s=0.02, scale=16)
        spool.put(frame_item(counts, record, device=f"camera-{band.value}", tag=tag, whole_seconds=whole_seconds))
    spectrum = SpectrumRecord(SpectrumKind.PLUME, time, integration_time_s=0.1)
    spool.put(
        spectrum_item(np.linspace(280, 400, 64), np.ones(64), spectrum, device="flame", whole_seconds=whole_seconds)
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "lead"
    with Spool(root, node="lead") as spool:
        for number in range(4):
            put_pair(spool, BEGIN + timedelta(seconds=4 * number), whole_seconds=True)
    return root


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def called(*arguments: object) -> tuple[int, str, str]:
        code = run(["spool", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out, captured.err

    return called


def test_status_says_what_there_is(root: Path, call: Any) -> None:
    code, out, _ = call("status", root)
    assert code == 0
    assert "node lead" in out
    assert "12 items" in out
    assert "station" in out
    code, out, _ = call("status", root, "--json")
    content = json.loads(out)
    assert (code, content["items"], content["backlog"][0]["items"], content["node"]) == (0, 12, 12, "lead")


def test_list_selects(root: Path, call: Any) -> None:
    code, out, _ = call("list", root, "--kind", "spectrum")
    assert code == 0
    assert out.count("\n") == 4
    assert "_1coadd_Plume.npy" in out
    _, out, _ = call("list", root, "--from", "2026-03-01T12:00:04", "--to", "2026-03-01T12:00:08", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["device"] for row in rows] == ["camera-on", "camera-off", "flame"]
    assert (root / rows[0]["path"]).is_file()
    _, out, err = call("list", root, "--limit", 5)
    assert out.count("\n") == 5
    assert "more than 5" in err
    _, out, _ = call("list", root, "--undelivered", "station", "--device", "camera-off", "--kind", "frame")
    assert out.count("\n") == 4
    code, _, err = call("list", root, "--undelivered", "nobody")
    assert code == 2
    assert "receivers are station" in err


def test_verify_and_recover_say_what_is_wrong(root: Path, call: Any, tmp_path: Path) -> None:
    assert call("verify", root)[0] == 0
    with Spool(root) as spool:
        first, second = spool.find(limit=2)
    data = (root / first.path).read_bytes()
    (root / first.path).write_bytes(data[:-1] + b"x")
    code, out, _ = call("verify", root)
    assert code == 3
    assert f"{first.path}: has another SHA-256" in out
    assert "1 files are damaged or missing" in out
    assert call("status", root)[0] == 3
    copy = tmp_path / "copy"
    (copy / first.path).parent.mkdir(parents=True)
    (copy / first.path).write_bytes(data)
    code, out, _ = call("verify", root, "--mirror", copy)
    assert code == 0
    assert "put back" in out
    (root / second.path).unlink()
    code, out, _ = call("recover", root)
    assert code == 3
    assert f"missing {second.path}" in out
    assert json.loads(call("verify", root, "--json")[1])["items"] == 11
    assert json.loads(call("recover", root, "--json")[1])["clean"]


def test_a_lost_journal_is_built_anew(root: Path, call: Any) -> None:
    (root / "journal.sqlite").unlink()
    assert call("status", root)[0] == 2
    code, out, _ = call("recover", root)
    assert (code, "12 items adopted" in out) == (0, True)
    assert "12 items" in call("status", root)[1]


@pytest.mark.parametrize("command", ["status", "list", "verify", "recover"])
def test_a_folder_that_is_no_spool_stays_as_it_is(tmp_path: Path, call: Any, command: str) -> None:
    code, _, err = call(command, tmp_path)
    assert code == 2
    assert "holds no spool" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("whole_seconds", [True, False])
def test_processing_reads_what_a_spool_holds(tmp_path: Path, whole_seconds: bool) -> None:
    with Spool(tmp_path / "lead", node="lead") as spool:
        step = timedelta(seconds=4 if whole_seconds else 0.25)
        for number in range(6):
            put_pair(spool, BEGIN + number * step, whole_seconds=whole_seconds)
        put_pair(spool, BEGIN, whole_seconds=whole_seconds)  # the clock was set back: the same names once more
    (tmp_path / "lead" / "quarantine").mkdir()
    (tmp_path / "lead" / "quarantine" / "2026-03-01T120000_fltrA_1.0_20000ss_Plume.png.x.damaged").write_bytes(b"")
    scan = scan_frames([tmp_path / "lead"], Files())
    assert [info.time for info in scan.frames if info.band is Band.ON] == [BEGIN + n * step for n in range(6)]
    assert all(info.exposure_s == 0.02 and info.time_resolution_s == 1e-6 for info in scan.frames)
    assert [item.category.value for item in scan.skipped] == ["duplicate"] * 2  # of the very same time
    spectra = scan_spectra([tmp_path / "lead"], SpectrumFiles())
    assert [info.time for info in spectra.spectra] == [BEGIN + n * step for n in range(6)]


def test_a_run_that_went_through_the_spool_gives_the_same_emission_rates(case: Any, tmp_path: Path) -> None:
    assert case.process().code == 0
    expected = case.rows()
    with Spool(tmp_path / "lead", node="lead") as spool:
        for info in scan_frames([case.frames], Files()).frames:
            record = FrameRecord(info.band, info.kind, info.time, info.exposure_s, info.gain, info.cell_ppm_m, scale=16)
            counts = 16 * read_png(info.path.read_bytes(), info.path)
            device = f"camera-{info.band.value}"
            spool.put(frame_item(counts, record, device=device, tag=TAGS[info.band], whole_seconds=False))
    assert case.process(frames=[tmp_path / "lead"]).code == 0
    uncertain = ("random_uncertainty_kg_s", "plume_speed_uncertainty_m_s")
    for row, old in zip(case.rows(), expected, strict=True):
        assert {key: row[key] for key in row if key not in uncertain} == {
            key: old[key] for key in old if key not in uncertain
        }
        # times to the microsecond instead of the second: only the speed becomes more certain
        assert all(float(row[key]) < float(old[key]) for key in uncertain if row[key] and old[key])
