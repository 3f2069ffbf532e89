"""``so2cam import-legacy`` as a person would call it: what is written, what is refused, and that ``check`` agrees."""

import os
from pathlib import Path

import numpy as np
import pytest

from so2cam.cli.main import run
from so2cam.formats.sitefile import load_site

GEOMETRY = "volcano=Villarrica\nlat=-39.3774\nlon=-71.946386\naltitude=1170\nalt_offset=2\nelev=19.0\nazim=171.3\n"
NEAR = "x=273,408\ny=236,101\norientation=left\n"
FAR = "x=234,379\ny=214,66\norientation=left\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "pycam"
    (home / "cam_geom").mkdir(parents=True)
    (home / "cam_geom" / "home.txt").write_text(GEOMETRY, encoding="utf-8")
    (home / "processing_setting_defaults.yml").write_text("bg_mode: 99\nflow_raw: 1\nflow_glob: 1\n", encoding="utf-8")
    (home / "near.txt").write_text(NEAR, encoding="utf-8")
    (home / "far.txt").write_text(FAR, encoding="utf-8")
    (home / "config.txt").write_text("uname=pi\npwd=hunter2\n", encoding="utf-8")
    np.save(home / "reg.npy", np.array([[1, 0, -12.5], [0, 1, 87.6]]))
    return home


def call(*arguments: object) -> int:
    return run(["import-legacy", *map(str, arguments)])


def failed(capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    captured = capsys.readouterr()
    assert captured.err.count("Error:") == 1, captured.err
    assert "Traceback" not in captured.err + captured.out
    for part in (*parts, "What to do:"):
        assert part in captured.err


def test_import_and_check(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "site.toml"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert call(folder, "--out", out, "--vent", "-39.42,-71.93,2847") == 0
    captured = capsys.readouterr()
    assert "Villarrica: 6 setting files read" in captured.out
    assert "so2cam check" in captured.out
    assert "left out on purpose" in captured.out
    assert {path.name for path in out.parent.iterdir()} == {"site.toml", "site.import.md"}
    assert "hunter2" not in out.read_text(encoding="utf-8") + (out.parent / "site.import.md").read_text(
        encoding="utf-8"
    )
    site = load_site(out).site
    assert site.processing.background.mode == "clear-sky"
    assert site.processing.speed.methods == ("flow_raw", "cross_correlation")
    assert run(["check", str(out)]) == 0
    assert "is valid" in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_line_shape_goes_beside_the_site_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = folder / "processing_setting_defaults.yml"
    settings.write_text(f"{settings.read_text(encoding='utf-8')}ILS_path: ./cal/ils.txt\n", encoding="utf-8")
    shape = "# nm\n" + "".join(f"{row / 10} {1 + row % 5}\n" for row in range(20))
    (folder / "ils.txt").write_text(shape, encoding="utf-8")
    out = tmp_path / "new" / "site.toml"
    assert call(folder, "--out", out) == 0
    beside = out.with_name("ils.txt")
    assert beside.read_text(encoding="utf-8") == shape
    assert "ils.txt  named by the site file" in capsys.readouterr().out.replace("\n", " ")
    spectrometer = load_site(out).site.spectrometer
    assert spectrometer is not None
    assert spectrometer.line_shape.file == "ils.txt"
    assert run(["check", str(out)]) == 0
    # The same file may lie there; another one is not replaced.
    assert call(folder, "--out", out.with_name("again.toml")) == 0
    beside.write_text("mine", encoding="utf-8")
    capsys.readouterr()
    assert call(folder, "--out", out.with_name("third.toml")) == 2
    failed(capsys, "ils.txt", "--force")
    assert beside.read_text(encoding="utf-8") == "mine"
    assert not out.with_name("third.toml").exists()
    assert call(folder, "--out", out.with_name("third.toml"), "--force") == 0
    assert beside.read_text(encoding="utf-8") == shape


def test_what_is_there_is_not_replaced(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, report = tmp_path / "site.toml", tmp_path / "site.import.md"
    for path in (out, report):
        path.write_text("mine", encoding="utf-8")
        assert call(folder, "--out", out) == 2
        failed(capsys, str(path), "--force")
        assert path.read_text(encoding="utf-8") == "mine"
        assert sorted(tmp_path.iterdir()) == sorted([folder, path])
        path.unlink()
    out.write_text("mine", encoding="utf-8")
    assert call(folder, "--out", out, "--force") == 0
    assert load_site(out).site.name == "villarrica"


def test_report_elsewhere(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "site.toml"
    assert call(folder, "--out", out, "--report", out) == 2
    failed(capsys, "one name")
    assert call(folder, "--out", out, "--report", tmp_path / "r.md") == 0
    assert "# Import of pycam into site.toml" in (tmp_path / "r.md").read_text(encoding="utf-8")
    assert "r.md" in out.read_text(encoding="utf-8")
    assert not (tmp_path / "site.import.md").exists()


def test_lines_and_registration_of_the_user(folder: Path, tmp_path: Path) -> None:
    lines = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path, text in zip(lines, (FAR, NEAR), strict=True):
        path.write_text(text, encoding="utf-8")
    np.save(tmp_path / "other.npy", np.array([[1, 0, 3.5], [0, 1, 4.5]]))
    out = tmp_path / "site.toml"
    assert call("--lines", *lines, "--registration", tmp_path / "other.npy", "--out", out, folder) == 0
    site = load_site(out).site
    assert [line.name for line in site.lines] == ["a", "b"]
    assert site.processing.speed.cross_correlation.lines == ("b", "a")
    assert site.registration.matrix[0] == (1, 0, 3.5)
    assert call(folder, "--lines", lines[0], "--lines", lines[1], "--out", out, "--force") == 0
    assert call(folder, f"--lines={lines[1]}", "--out", out, "--force") == 0
    assert [line.name for line in load_site(out).site.lines] == ["b"]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--geometry", "away"], ["--geometry", "cam_geom/home.txt"]),
        (["--settings", "other.yml"], ["--settings", "processing_setting_defaults.yml"]),
        (["--vent", "here"], ["--vent"]),
        (["--lines", "none.txt"], ["none.txt", "no such file"]),
        (["--registration", "none.npy"], ["none.npy"]),
    ],
)
def test_wrong_choices(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], parts: list[str]
) -> None:
    assert call(folder, "--out", tmp_path / "site.toml", *arguments) == 2
    failed(capsys, *parts)
    assert list(tmp_path.iterdir()) == [folder]


def test_wrong_folders(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "site.toml"
    for wrong, part in (
        (tmp_path / "none", "does not exist"),
        (folder / "near.txt", "is not a folder"),
        (folder / "cam_geom" / "home.txt", "is not a folder"),
    ):
        assert call(wrong, "--out", out) == 2
        failed(capsys, part)
    assert call("", "--out", out) == 2
    assert call(folder, "--out", "") == 2
    assert call(folder) == 2
    assert call(folder, "extra", "--out", out) == 2
    assert not out.exists()


def test_camera_that_looks_away_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "cam_geom" / "home.txt").write_text(GEOMETRY.replace("171.3", "0"), encoding="utf-8")
    assert call(folder, "--out", tmp_path / "site.toml") == 2
    failed(capsys, "not in front of the camera")
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs permissions that count")
def test_folder_that_cannot_be_read(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.chmod(0)
    try:
        assert call(folder, "--out", tmp_path / "site.toml") == 2
        failed(capsys, "cannot be read")
    finally:
        folder.chmod(0o755)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import-legacy", "--help"]) == 0
    text = capsys.readouterr().out
    assert "  so2cam import-legacy pycam/conf --out site.toml" in text
    assert "Exit codes: 0" in text


@pytest.mark.data
def test_real_installation_gives_a_valid_site(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "site.toml"
    assert call(data_dir / "legacy_config", "--out", out) == 0
    captured = capsys.readouterr()
    assert "PLACEHOLDER - draw your own" in captured.err
    assert "No registration was found: each run finds" in captured.err
    assert run(["check", str(out)]) == 0
    said = capsys.readouterr()
    assert f"is valid, with {said.err.count('Warning: ')} warnings" in " ".join(said.out.split())  # the schedule's too
    assert "wanted by night" in said.err
    assert call(data_dir / "villarrica" / "setup", "--out", tmp_path / "setup.toml") == 0
    assert run(["check", str(tmp_path / "setup.toml")]) == 0
