"""What a technician reads where a command cannot be carried out, and exit codes."""

from pathlib import Path

import pytest

from so2cam.cli.main import run
from so2cam.instrument.errors import SettingRefusedError
from so2cam.instrument.settings import parse_values

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "bench" / "site.toml"


def small_site(folder: Path, data: str) -> Path:
    """One node with one small camera, its data in ``data``."""
    head = EXAMPLE.read_text(encoding="utf-8").partition("[instrument.acquisition]")[0]
    site = folder / "site.toml"
    site.write_text(
        f'{head}[instrument.acquisition]\nperiod_s = 0.25\n[instrument.storage]\nfolder = "{data}"\n'
        '[[instrument.nodes]]\nname = "summit"\n[[instrument.nodes.devices]]\ntype = "camera"\nname = "camera-on"\n'
        'band = "on"\ndriver = "simulated"\nexposure_s = 0.02\nmaximum_exposure_s = 0.1\n'
        "options = { seed = 1, width_px = 64, height_px = 48 }\n",
        encoding="utf-8",
    )
    return site


def test_a_site_with_several_nodes_asks_which_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["instrument", "run", str(EXAMPLE)]) == 2
    assert "--node lead, follower, or all" in " ".join(capsys.readouterr().err.split())


def test_the_only_node_needs_no_name_and_what_is_not_kept_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    site = small_site(tmp_path, "file/data")
    assert run(["instrument", "run", str(site), "--for", "5", "--socket", str(tmp_path / "a.sock")]) == 1
    shown = capsys.readouterr()
    assert "node summit: stopped" in shown.out
    assert "could not be kept" in shown.out
    assert "Traceback" not in shown.err


@pytest.mark.parametrize("text", ["exposure=20ks", "exposure=soon", "period=1 h"])
def test_a_wrong_unit_is_answered_with_the_right_ones(text: str) -> None:
    with pytest.raises(SettingRefusedError, match="number of s, ms or us") as caught:
        parse_values([text])
    assert text.partition("=")[2] in str(caught.value)
