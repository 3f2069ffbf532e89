"""The station's commands as a person uses them."""

import json
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from so2cam.cli.main import run
from so2cam.simulate import load_scenario, simulate
from so2cam.simulate.scenario import Scenario

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "bench" / "site.toml"


@pytest.fixture(scope="module")
def volcano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small simulated run."""
    settings = load_scenario("ideal").model_dump(mode="json")
    settings["view"]["optics"].update(width_px=162, height_px=122, pixel_pitch_um=22.4)
    settings["lines"]["length_px"] = 55
    folder = tmp_path_factory.mktemp("volcano")
    simulate(Scenario.model_validate_json(json.dumps(settings)), folder, seed=1, pairs=5)
    return folder


def test_watch_once_then_find_verify_and_export(
    volcano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, out = str(volcano / "site.toml"), tmp_path / "station"
    assert run(["watch", str(volcano / "frames"), "--site", site, "--once", "--out", str(out)]) == 0
    (netcdf,) = (out / "results").rglob("*.nc")
    assert netcdf.with_suffix(".csv").is_file()
    assert str(netcdf) in "".join(capsys.readouterr().out.split("\n"))
    where = ["--folder", str(out)]
    assert run(["archive", "find", site, *where, "--subject", "plume", "--json"]) == 0
    found: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == 10
    assert run(["archive", "verify", site, *where]) == 0
    target = tmp_path / "copy"
    assert run(["archive", "export", site, str(target), *where, "--subject", "plume", "--flat"]) == 0
    assert len(list(target.glob("*.png"))) == 10
    capsys.readouterr()
    (damaged,) = (out / "archive").rglob(Path(found[0]["path"]).name)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    assert run(["archive", "verify", site, *where, "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["faults"] == [{"path": found[0]["path"], "state": "damaged"}]
    assert run(["archive", "find", site, *where, "--limit", "1"]) == 0
    # What is begun again has nothing to do.
    assert run(["watch", str(volcano / "frames"), "--site", site, "--once", "--out", str(out)]) == 0


def test_watch_explains_what_it_cannot_do(volcano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = str(volcano / "site.toml")
    inside = ["--out", str(volcano / "frames" / "station")]
    assert run(["watch", str(volcano / "frames"), "--site", site, "--once", *inside]) == 2
    assert "watch itself" in capsys.readouterr().err
    only = tmp_path / "only"
    only.mkdir()
    for path in (volcano / "frames").rglob("*Plume.*"):
        shutil.copy(path, only / path.name)
    assert run(["watch", str(only), "--site", site, "--once", "--out", str(tmp_path / "out")]) == 2
    assert "--calibration" in capsys.readouterr().err
    both = ["--calibration", str(volcano / "frames")]
    assert run(["watch", str(only), "--site", site, "--once", "--out", str(tmp_path / "out"), *both]) == 0
    (only / "nonsense.png").write_bytes((next(only.glob("*.png"))).read_bytes())
    assert run(["watch", str(only), "--site", site, "--once", "--out", str(tmp_path / "out")]) == 3
    assert "nonsense.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["station", "run", "missing.toml"],
        ["station", "status", "missing.toml"],
        ["archive", "find", "missing.toml"],
        ["archive", "verify", str(EXAMPLE), "--folder", "nowhere"],
        ["watch", "nowhere", "--site", "missing.toml", "--once"],
        ["station", "status", str(EXAMPLE), "--url", "http://127.0.0.1:9"],
        ["station", "status", str(EXAMPLE), "--url", "file:///etc/passwd"],
    ],
)
def test_what_is_not_there_is_one_clear_message(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_station_runs_answers_and_stops_on_ctrl_c(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = tmp_path / "site.toml"
    arriving = tmp_path / "arriving"
    arriving.mkdir()
    table = '\n[station]\napi = { port = 0 }\n[[station.watch]]\nname = "ftp"\nfolder = "arriving"\n'
    site.write_text(EXAMPLE.read_text(encoding="utf-8") + table, encoding="utf-8")
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "so2cam", "station", "run", str(site)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        url = _address(log, process, "http")
        assert "the code to make the first one is" in log.read_text(encoding="utf-8")
        found = _status(url, process)
        assert {"daily-files", "api", "link"} <= {service["name"] for service in found["services"]}
        assert run(["station", "status", str(site), "--url", url]) == 0
        assert run(["station", "status", str(site), "--url", url, "--json"]) == 0
        assert "free_bytes" in capsys.readouterr().out
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
    assert code == 0
    text = log.read_text(encoding="utf-8")
    assert "everything that came is kept" in text
    assert "Traceback" not in text


def test_one_station_of_two_volcanoes_keeps_them_apart(volcano: Path, tmp_path: Path) -> None:
    text = (volcano / "site.toml").read_text(encoding="utf-8")
    name = tomllib.loads(text)["name"]
    sites = []
    for number, (own, count) in enumerate((("north", 10), ("south", 6))):
        folder = tmp_path / own
        folder.mkdir()
        table = f'\n[station]\napi = {{ port = 0 }}\n[[station.watch]]\nname = "ftp{number}"\nfolder = "frames"\n'
        (folder / "site.toml").write_text(text.replace(f'name = "{name}"', f'name = "{own}"', 1) + table, "utf-8")
        plume = sorted((volcano / "frames").rglob("*Plume*.png"))
        assert len(plume) == 10
        (folder / "frames").mkdir()
        for path in (volcano / "frames").rglob("*"):
            if path.is_file() and path.with_suffix(".png") not in plume[count:]:
                shutil.copy(path, folder / "frames" / path.name)
        sites.append(str(folder / "site.toml"))
    log, out = tmp_path / "log", tmp_path / "station"
    command = [sys.executable, "-u", "-m", "so2cam", "station", "run", *sites, "--folder", str(out)]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    try:
        url = _address(log, process, "http")
        for own, pairs in (("north", 4), ("south", 2)):  # the last pair of each waits for its next
            limit = time.monotonic() + 90
            rates = f"{url}/api/v1/sites/{own}/rates?speed_method=flow_raw&line=upstream&start=2000-01-01T00:00:00Z"
            while len(_get(rates)) < pairs:
                assert time.monotonic() < limit, log.read_text(encoding="utf-8")
                time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
    assert code == 0, log.read_text(encoding="utf-8")
    for own, frames in (("north", 10), ("south", 6)):
        assert len(list((out / "archive" / own).rglob("*Plume*.png"))) == frames
        assert len(list((out / "results" / own).rglob("*.nc"))) == 1


def test_two_sites_of_one_name_or_folder_are_refused(
    volcano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (volcano / "site.toml").read_text(encoding="utf-8")
    name = tomllib.loads(text)["name"]
    for first, second in (("Etna north", "Etna north"), ("Etna north", "etna-North")):
        paths = []
        for number, own in enumerate((first, second)):
            path = tmp_path / f"{number}.toml"
            path.write_text(text.replace(f'name = "{name}"', f'name = "{own}"', 1), encoding="utf-8")
            paths.append(str(path))
        assert run(["station", "run", *paths, "--folder", str(tmp_path / "station")]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "two site files have one name" in said
        assert "give each site its own name" in said
        assert not (tmp_path / "station").exists()


def test_a_closed_station_asks_for_a_token_and_shows_its_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, log = tmp_path / "site.toml", tmp_path / "log"
    table = '\n[station]\nlive = false\napi = { port = 0, loopback = "closed" }\n'
    site.write_text(EXAMPLE.read_text(encoding="utf-8") + table, encoding="utf-8")
    own = ["--station", "--name"]
    assert run(["token", "create", str(site), *own, "chief", "--role", "admin"]) == 0
    assert run(["token", "create", str(site), *own, "wall"]) == 0
    token = next(word for word in reversed(capsys.readouterr().out.split()) if word.startswith("so2_"))
    kept = tmp_path / "token"
    kept.write_text(token, encoding="utf-8")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "so2cam", "station", "run", str(site)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        url = _address(log, process, "https")
        said = log.read_text(encoding="utf-8")
        assert "certificate, SHA-256" in said
        assert "no admin yet" not in said
        asking = ["station", "status", str(site), "--url", url]
        limit = time.monotonic() + 60
        while run([*asking, "--token-file", str(kept)]) != 0:
            assert time.monotonic() < limit, capsys.readouterr().err
            time.sleep(0.05)
        capsys.readouterr()
        assert run(asking) == 2
        assert "--token-file" in capsys.readouterr().err
        assert run(["token", "revoke", str(site), token[4:12], "--station"]) == 0
        assert run([*asking, "--token-file", str(kept)]) == 2
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
    assert code == 0
    capsys.readouterr()
    assert run(["token", "list", str(site), "--station", "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["name"], one["kind"], one["revoked_s"] is None) for one in listed] == [
        ("chief", "station", True),
        ("wall", "station", False),
    ]
    assert run(["token", "audit", str(site), "--station"]) == 0
    assert "token.revoke" in capsys.readouterr().out
    assert run(["token", "revoke", str(site), "00000000", "--station"]) == 2


def test_a_token_file_must_hold_a_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "token"
    asking = ["station", "status", str(EXAMPLE), "--url", "http://127.0.0.1:9", "--token-file", str(path)]
    for content in (None, "", "two words", "é"):
        if content is not None:
            path.write_text(content, encoding="utf-8")
        assert run(asking) == 2
        assert str(path) in "".join(capsys.readouterr().err.split("\n"))


def _address(log: Path, process: "subprocess.Popen[bytes]", scheme: str) -> str:
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        for word in log.read_text(encoding="utf-8").split():
            if word.startswith(f"{scheme}://") and word.endswith("/docs"):
                return word.removesuffix("/docs")
        assert process.poll() is None, log.read_text(encoding="utf-8")
        time.sleep(0.05)
    raise AssertionError(log.read_text(encoding="utf-8"))


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - own address
        return json.loads(answer.read())


def _status(url: str, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """Return the status when all services run."""
    limit = time.monotonic() + 60
    found: dict[str, Any] = {}
    while time.monotonic() < limit:
        try:
            found = _get(f"{url}/api/v1/status")
        except OSError:
            time.sleep(0.05)
            continue
        if found["ok"]:
            return found
        assert process.poll() is None
        time.sleep(0.05)
    raise AssertionError(found)
