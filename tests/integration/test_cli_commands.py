"""Help, version, ``check``, ``demo`` and ``simulate``, and the command as a program of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from so2cam import __version__
from so2cam.cli.main import run
from so2cam.formats.sitefile import load_site
from so2cam.pipeline import batch

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("check", "demo", "import-legacy", "process", "register", "simulate", "truth")


def python(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"so2cam {__version__}\n"


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_the_commands_with_examples_and_codes(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([option]) == 0
    text = capsys.readouterr().out
    for part in (*COMMANDS, "Examples:", "Exit codes: 0 done; 2 bad input", "130 interrupted"):
        assert part in text


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_of_each_command(command: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, option]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: so2cam {command}")
    assert f"  so2cam {command} " in text[text.index("Examples:") :]
    assert "Exit codes: 0" in text


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["check"], ["check", "a", "b"], ["simulate"]])
def test_wrong_usage_is_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert "Usage: so2cam" in captured.err
    assert "Traceback" not in captured.err


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) in (0, 2)
    captured = capsys.readouterr()
    assert "Commands:" in captured.out + captured.err


def test_starting_imports_nothing_heavy() -> None:
    code = (
        "import sys, so2cam.cli.main as m; m.run(['--help']); "
        "print(sorted({'cv2', 'scipy', 'matplotlib', 'netCDF4', 'pyproj', 'numpy'} & set(sys.modules)))"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_as_a_module() -> None:
    done = python("-m", "so2cam", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"so2cam {__version__}\n", "")
    done = python("-m", "so2cam", "check", "no such file.toml")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: no such file.toml: does not exist")
    assert done.stdout == ""


def test_the_whole_way_as_a_program(simulated: Path, tmp_path: Path) -> None:
    """One run with everything real, the quicklook too."""
    out = tmp_path / "out"
    done = python(
        "-W", "error", "-m", "so2cam", "process", simulated / "site.toml", "--frames", simulated, "--out", out
    )
    assert done.returncode == 0, done.stderr
    assert "7 pairs, 2026-01-15T14:00:00.200Z to 2026-01-15T14:00:30.200Z" in done.stdout
    assert sorted(path.name for path in out.iterdir()) == ["emission_rates.csv", "emission_rates.nc", "quicklook.png"]
    assert (out / "quicklook.png").read_bytes().startswith(b"\x89PNG")
    only_light_dilution(done.stderr)


def test_output_into_a_closed_pipe(simulated: Path) -> None:
    command = f"'{sys.executable}' -m so2cam check '{simulated / 'site.toml'}' | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


# --- check -------------------------------------------------------------------------------------------------------


def only_light_dilution(printed: str) -> None:
    """Nothing is wrong but that the plume is kilometres away and light dilution is not corrected."""
    assert printed.count("Warning: ") == 1
    assert printed.startswith("Warning: processing.light_dilution.mode: is")


def test_check_of_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(ROOT / "examples/villarrica/site.toml")]) == 0
    captured = capsys.readouterr()
    assert "site.toml is valid" in captured.out
    for part in ("line near: 191 px", "line far", "total: near"):
        assert part in captured.out
    only_light_dilution(captured.err)


def test_the_example_with_a_link_is_checked_and_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    example = ROOT / "examples/linked/site.toml"
    assert run(["check", str(example)]) == 0
    captured = capsys.readouterr()
    assert "site.toml is valid, with 1 warning\n" in captured.out
    only_light_dilution(captured.err)
    site = load_site(example).site
    assert site.instrument is not None
    assert site.instrument.link is not None
    assert None not in (site.spectrometer, site.station)
    shown = (ROOT / "docs/guide.md").read_text(encoding="utf-8")
    assert f"```toml\n{example.read_text(encoding='utf-8')}```\n" in shown


def test_check_prints_risks(case: Any) -> None:
    case.edit_site("azimuth_uncertainty_deg = 0.1", "azimuth_uncertainty_deg = 0")
    result = case.run("check", case.site)
    result.said("is valid, with 2 warnings", "Warning: camera.view.azimuth_uncertainty_deg: is 0")


def test_check_of_names_with_signs(case: Any) -> None:
    case.edit_site('name = "Simulated volcano"', 'name = "Fuego [/red] [bold] :fire:"')
    case.run("check", case.site).said("Fuego [/red] [bold] :fire:")
    case.process().said("7 pairs")


# --- demo --------------------------------------------------------------------------------------------------------


def test_demo_compares_and_replaces_an_earlier_demo(case: Any, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    result = case.run("demo", "--batch", "--out", out, "--pairs", 2)
    result.said("retrieved kg/s", "true kg/s", "upstream", "downstream", str(out / "results/emission_rates.nc"))
    (out / "notes.txt").write_text("mine")
    (out / "frames/old.png").touch()
    case.run("demo", "--batch", "--out", out, "--pairs", 1, "--seed", 2).said("0/1")
    assert not (out / "frames/old.png").exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_demo_refuses_a_foreign_folder(case: Any, tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.txt").write_text("all of it")
    case.run("demo", "--batch", "--out", out, "--pairs", 1).explained(str(out), "not an earlier demo", "--out")
    assert [path.name for path in out.iterdir()] == ["chapter.txt"]


@pytest.mark.parametrize("below", [False, True])
def test_demo_refuses_a_file(case: Any, below: bool) -> None:
    out = case.site / "deeper" if below else case.site
    before = case.site.read_bytes()
    case.run("demo", "--batch", "--out", out, "--pairs", 1).explained(str(out))
    assert case.site.read_bytes() == before


@pytest.mark.parametrize(
    "option", [("--pairs", "0"), ("--pairs", "x"), ("--seed", "-1"), ("--scenario", "wild"), ("--out", "")]
)
def test_demo_with_bad_options_leaves_an_earlier_demo(case: Any, option: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "demo"
    out.mkdir()
    for name in (".so2cam-demo", "site.toml"):
        (out / name).touch()
    result = case.run("demo", "--batch", "--out", out, *option)
    result.failed_with("Error:")
    assert sorted(path.name for path in out.iterdir()) == [".so2cam-demo", "site.toml"]


def test_demo_in_the_current_folder_and_through_a_link(
    case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "here"
    place.mkdir()
    (tmp_path / "link").symlink_to(place)
    monkeypatch.chdir(place)
    case.run("demo", "--batch", "--out", ".", "--pairs", 1).said("0/1")
    case.run("demo", "--batch", "--out", tmp_path / "link", "--pairs", 1).said("0/1")
    assert (place / "results/emission_rates.nc").exists()


def test_demo_interrupted(case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "plan_run", interrupt)
    out = tmp_path / "demo"
    result = case.run("demo", "--batch", "--out", out, "--pairs", 1)
    assert result.code == 130
    assert f"interrupted: {out} holds a part of a demo" in result.err
    monkeypatch.undo()


# --- simulate ----------------------------------------------------------------------------------------------------


def test_simulate_then_process(case: Any, tmp_path: Path) -> None:
    out = tmp_path / "new"
    case.run("simulate", "--out", out, "--pairs", 2, "--seed", 3).said("34 frames of scenario 'baseline'", "kg/s")
    done = case.run("process", out / "site.toml", "--frames", out / "frames", "--out", out / "results")
    done.said("2 pairs", "upstream", "flow_raw")


def test_simulate_refuses_existing_frames(case: Any) -> None:
    before = sorted(case.frames.rglob("*"))
    case.run("simulate", "--out", case.folder, "--pairs", 1).explained(str(case.frames), "already holds frames")
    assert sorted(case.frames.rglob("*")) == before


def test_simulate_into_a_file(case: Any) -> None:
    case.run("simulate", "--out", case.site, "--pairs", 1).failed_with(str(case.site))


def test_simulate_interrupted(case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from so2cam.cli import simulate as module

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "simulate", interrupt)
    result = case.run("simulate", "--out", tmp_path / "new")
    assert result.code == 130
    assert f"interrupted: {tmp_path / 'new'} holds a part of the frames" in result.err
