"""``so2cam instrument install``, ``doctor`` and ``preview`` as a person calls them."""

import json
from pathlib import Path

import pytest

from so2cam.cli.main import run

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SITE = EXAMPLES / "two-computers" / "site.toml"


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run(["instrument", *map(str, arguments)])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    return code, captured.out, captured.err


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", ["install", "doctor", "preview"])
def test_help_has_examples_and_exit_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, command, "--help")
    assert code == 0
    assert f"so2cam instrument {command}" in out[out.index("Examples:") :]
    assert "Exit codes: 0" in out


def test_a_dry_run_writes_nothing_and_shows_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "root"
    code, out, _ = call(capsys, "install", SITE, "--node", "lead", "--root", root, "--dry-run", "--full")
    assert code == 0
    assert not root.exists()
    assert "new       /etc/chrony/chrony.conf" in out
    assert "+allow 192.168.5.0/24" in out
    assert "nothing was written" in out
    assert "psk=(hidden" in out


def test_install_then_a_new_address_then_nothing_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, site = tmp_path / "root", tmp_path / "site.toml"
    site.write_text(SITE.read_text())
    code, out, _ = call(capsys, "install", site, "--node", "lead", "--root", root)
    assert code == 0
    assert "lead.local" in out
    assert "systemctl daemon-reload" in out
    password = (root / "etc/so2cam/secrets.toml").read_text().split('"')[1]
    assert password not in out
    site.write_text(SITE.read_text().replace("192.168.5.5/24", "192.168.5.7/24"))
    code, out, _ = call(capsys, "install", site, "--node", "lead", "--root", root)
    assert code == 0
    assert "-address1=192.168.5.5/24" in out
    assert "+address1=192.168.5.7/24" in out
    before = contents(root)
    code, out, _ = call(capsys, "install", site, "--node", "lead", "--root", root)
    assert code == 0
    assert "0 files changed" in out
    assert contents(root) == before


@pytest.mark.parametrize(
    ("change", "arguments", "parts"),
    [
        (("", ""), ["--node", "leed"], ["there is no node 'leed'", "--node lead or follower"]),
        (("", ""), ["--node", "lead", "--secrets", "none.toml"], ["none.toml", "does not exist"]),
        (
            ('end = "05:00"\nsun_below_deg = -12.0', 'end = "12:00"'),
            ["--node", "lead"],
            ["instrument.schedule.windows", "capture and darks are wanted at once"],
        ),
        (('start = "04:30"', 'start = "4h"'), ["--node", "lead"], ["instrument.schedule.windows[1].start", "09:30"]),
    ],
)
def test_what_cannot_be_is_one_clear_error_and_nothing_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    arguments: list[str],
    parts: list[str],
) -> None:
    root, site = tmp_path / "root", tmp_path / "site.toml"
    site.write_text(SITE.read_text().replace(*change))
    code, _, err = call(capsys, "install", site, "--root", root, *arguments)
    assert code == 2
    assert err.count("Error:") == 1
    assert "What to do:" in err
    for part in parts:
        assert part in err
    assert not root.exists()


def test_check_speaks_of_the_schedule_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = tmp_path / "site.toml"
    # Darks at 23:00 UTC, as an existing schedule has them: in the Chilean summer that is before sunset.
    text = SITE.read_text().replace('start = "04:30"', 'start = "23:00"').replace('end = "05:00"\n', 'end = "23:30"\n')
    site.write_text(
        text.replace("sun_below_deg = -12.0\n", "").replace("sun_above_deg = 8.0", 'start = "12:00"\nend = "20:00"')
    )
    assert run(["check", str(site)]) == 2
    assert "darks are wanted in daylight" in capsys.readouterr().err
    assert run(["check", str(SITE)]) == 0


def test_preview_shows_days_and_the_boards_file(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "preview", SITE, "--from", "2026-06-21", "--days", "2")
    assert code == 0
    rows = [line.split() for line in out.splitlines() if line.strip().startswith("2026-")]
    assert [row[0] for row in rows] == ["2026-06-21", "2026-06-22"]
    # Midwinter: capture begins about three hours later than in December.
    assert rows[0][1].startswith("13:")
    code, out, _ = call(capsys, "preview", SITE, "--from", "2026-06-21", "--power")
    assert code == 0
    assert out.startswith("# Raspberry Pi start-up/shut-down schedule script\n")
    assert "BEGIN 2026-06-2" in out


def test_doctor_says_what_is_bad_here_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    bench = EXAMPLES / "bench" / "site.toml"
    code, out, _ = call(capsys, "doctor", bench, "--node", "lead", "--json")
    found = json.loads(out)
    assert code == (0 if found["good"] else 1)
    assert found["node"] == "lead"
    assert all(line["remedy"] for line in found["lines"] if line["verdict"] == "bad")
    code, out, _ = call(capsys, "doctor", bench, "--node", "lead")
    assert code in (0, 1)
    assert "64-bit system" in out
    assert ("What to do:" in out) == (code == 1)


def test_doctor_on_a_computer_that_is_no_node_asks_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "doctor", SITE)
    assert code == 2
    assert "--node lead or follower" in err
