"""The instrument in the site file: what is wrong is named by its key, what is risky is said."""

from pathlib import Path

import pytest

from so2cam.core.errors import SiteFileError
from so2cam.formats.sitefile import check_site, load_site

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "bench" / "site.toml"
TEXT = EXAMPLE.read_text(encoding="utf-8")
CAMERA = 'driver = "simulated"\nband = "on"'


def changed(folder: Path, old: str, new: str) -> Path:
    assert old in TEXT
    path = folder / "site.toml"
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    return path


def test_the_example_is_valid_and_has_every_kind_of_node() -> None:
    site = load_site(EXAMPLE).site
    assert site.instrument is not None
    assert [node.role for node in site.instrument.nodes] == ["lead", "follower"]
    assert site.instrument.node("lead").power is not None
    assert [device.name for device in site.instrument.node("follower").instruments] == ["camera-off", "spectrometer"]
    with pytest.raises(KeyError):
        site.instrument.node("base")


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ('band = "on"\n', 'band = "om"\n', "instrument.nodes[0].devices[0].band", "'on' or 'off'"),
        ("exposure_s = 0.1 ", "exposure_s = 2.0 ", "instrument.nodes[0].devices[0]", "0.0001 to 0.4"),
        ('type = "camera"', 'type = "kamera"', "instrument.nodes[0].devices[0].type", "'camera'"),
        ('type = "camera"\n', "", "instrument.nodes[0].devices[0].type", "is missing"),
        (CAMERA, f'{CAMERA}\nbant = "on"', "instrument.nodes[0].devices[0].bant", "unknown key"),
        ('name = "camera-off"', 'name = "camera-on"', "instrument.nodes", "two devices are called"),
        ('name = "camera-on"', 'name = "camera on"', "instrument.nodes[0].devices", "letters"),
        ('role = "follower"', 'role = "lead"', "instrument.nodes", "only one"),
        ('role = "lead"', 'role = "follower"', "instrument.nodes", "no node is the lead"),
        ('name = "follower"', 'name = "lead"', "instrument.nodes", "two nodes"),
        ('name = "follower"', 'name = "all"', "instrument.nodes", "every node"),
        ("192.168.5.6/24", "192.168.5.6", "instrument.nodes[1].network.address", "prefix length"),
        ("192.168.5.6/24", "192.168.5.5/24", "instrument.nodes", "two nodes have the address"),
        ("192.168.5.6/24", "192.168.5.0/24", "instrument.nodes[1].network.address", "the network itself"),
        ("period_s = 0.5", "period_s = 0.1", "instrument.acquisition.period_s", "0.25"),
        ("clear = 12.2", "clear = 11.2", "instrument.alarms[1]", "good side"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, key: str, words: str) -> None:
    with pytest.raises(SiteFileError) as caught:
        load_site(changed(tmp_path, old, new))
    assert caught.value.key == key, str(caught.value)
    assert words in str(caught.value)


def test_a_near_miss_of_a_key_gets_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(SiteFileError) as caught:
        load_site(changed(tmp_path, "maximum_integration_time_s = 0.3", "maximum_integration_time = 0.3"))
    assert "did you mean maximum_integration_time_s?" in str(caught.value)
    assert caught.value.key == "instrument.nodes[1].devices[1].maximum_integration_time"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("maximum_exposure_s = 0.4 ", "maximum_exposure_s = 1.0 ", "passes grid times over"),
        ("maximum_integration_time_s = 0.3", "maximum_integration_time_s = 3.0", "passes grid times over"),
        ('band = "off"', 'band = "on"', "no off-band camera"),
        ('layout = "hour" ', 'delete_undelivered = true\nlayout = "hour" ', "nobody has"),
        ("disks.spool.", "disks.spol.", "never rings"),
        ("devices.power.", "devices.pover.", "never rings"),
    ],
)
def test_what_is_risky_is_said(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert not any(words in risk for risk in check_site(load_site(EXAMPLE).site))
    risks = check_site(load_site(changed(tmp_path, old, new)).site)
    assert any(words in risk for risk in risks), risks
    assert all(": " in risk and risk.endswith(".") for risk in risks)
