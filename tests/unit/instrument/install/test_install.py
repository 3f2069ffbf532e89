import configparser
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from so2cam.core.errors import So2camError
from so2cam.formats.sitefile import load_site
from so2cam.instrument.disks import MOUNT_SERVICE
from so2cam.instrument.errors import InstrumentError
from so2cam.instrument.install.applying import Comparison, compare, missing_packages, run_commands, write
from so2cam.instrument.install.files import (
    CLOSE,
    OPEN,
    InstallCommand,
    InstallFile,
    InstallPlan,
    merge_block,
)
from so2cam.instrument.install.planning import install_settings, plan_install, require_board_alone
from so2cam.instrument.install.settings import InstallError, ensure_password, read_password
from so2cam.instrument.install.units import UNITS
from so2cam.instrument.machine import RESTART_CODE

EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "two-computers" / "site.toml"
SECRET = 'open sesame \\ "9"'  # noqa: S105


def site_file(folder: Path, *changes: tuple[str, str]) -> Path:
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "site.toml"
    path.write_text(text, encoding="utf-8")
    return path


def plan_of(path: Path, node: str = "lead", **given: str) -> InstallPlan:
    return plan_install(
        install_settings(load_site(path), node, **{"password": SECRET, "program": "/bin/true", **given})
    )


def content(plan: InstallPlan, path: str) -> str:
    return next(file for file in plan.files if file.path == path).content.decode()


def profile(plan: InstallPlan, name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(content(plan, f"/etc/NetworkManager/system-connections/{name}.nmconnection"))
    return parser


def installed(root: Path) -> dict[str, bytes]:
    return {
        f"/{path.relative_to(root)}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


# --- what the files say ------------------------------------------------------------------------------------------


def test_the_fixed_address_and_a_link_local_one_beside_it(tmp_path: Path) -> None:
    lead = profile(plan_of(site_file(tmp_path)), "so2cam-eth0")
    assert dict(lead["ipv4"]) == {
        "method": "manual",
        "address1": "192.168.5.5/24",
        "gateway": "192.168.5.1",
        "link-local": "3",
    }
    assert lead["connection"]["interface-name"] == "eth0"
    follower = profile(plan_of(site_file(tmp_path), "follower"), "so2cam-eth0")
    assert follower["ipv4"]["address1"] == "192.168.5.6/24"
    assert follower["ipv4"]["never-default"] == "true"
    assert follower["connection"]["uuid"] != lead["connection"]["uuid"]


def test_without_an_address_it_asks_for_one_and_a_shared_port_gives_them(tmp_path: Path) -> None:
    path = site_file(tmp_path, ('network.address = "192.168.5.6/24"', ""))
    assert profile(plan_of(path, "follower"), "so2cam-eth0")["ipv4"]["method"] == "auto"
    path = site_file(
        tmp_path, ('network.address = "192.168.5.6/24"', 'network = { address = "192.168.5.6/24", service = "shared" }')
    )
    plan = plan_of(path, "follower")
    ipv4 = profile(plan, "so2cam-eth0")["ipv4"]
    assert (ipv4["method"], ipv4["address1"], ipv4["address2"]) == ("shared", "10.42.6.1/24", "192.168.5.6/24")
    assert any("DHCP server of its own" in note for note in plan.notes)
    assert "dnsmasq-base" in plan.packages


def test_the_access_point(tmp_path: Path) -> None:
    plan = plan_of(site_file(tmp_path))
    point = profile(plan, "so2cam-ap")
    # A name with a space is written as bytes, which cannot be misread; a backslash is doubled, as GLib's format wants.
    assert bytes(int(each) for each in point["wifi"]["ssid"].rstrip(";").split(";")) == b"SO2 camera"
    assert point["wifi-security"]["psk"] == SECRET.replace("\\", "\\\\")
    assert (point["wifi-security"]["key-mgmt"], point["wifi-security"]["proto"]) == ("wpa-psk", "rsn;")
    assert point["ipv4"]["method"] == "shared"
    modes = {file.path: file.mode for file in plan.files if file.path.endswith(".nmconnection")}
    assert set(modes.values()) == {0o600}
    assert "regdom=CL" in content(plan, "/etc/modprobe.d/so2cam-wifi.conf")
    with pytest.raises(InstallError, match="needs a password"):
        plan_install(replace(install_settings(load_site(site_file(tmp_path)), "lead"), access_point_password=None))


def test_the_password_is_in_no_other_file(tmp_path: Path) -> None:
    plan = plan_of(site_file(tmp_path))
    holders = [file.path for file in plan.files if b"open sesame" in file.content]
    assert holders == ["/etc/NetworkManager/system-connections/so2cam-ap.nmconnection"]


def test_the_lead_serves_time_and_the_follower_takes_it(tmp_path: Path) -> None:
    path = site_file(tmp_path)
    lead = content(plan_of(path), "/etc/chrony/chrony.conf").splitlines()
    assert "allow 192.168.5.0/24" in lead
    assert "local stratum 10" in lead
    assert any(line.startswith("refclock SHM 0") for line in lead)
    assert 'DEVICES="/dev/serial0"' in content(plan_of(path), "/etc/default/gpsd")
    follower = content(plan_of(path, "follower"), "/etc/chrony/chrony.conf").splitlines()
    assert any(line.startswith("server 192.168.5.5 iburst") for line in follower)
    assert not any(line.startswith(("allow", "local", "refclock")) for line in follower)
    for node in ("lead", "follower"):
        zone = next(file for file in plan_of(path, node).files if file.path == "/etc/localtime")
        assert zone.link == "/usr/share/zoneinfo/Etc/UTC"


def test_the_follower_can_be_woken_and_stopped_by_its_wires(tmp_path: Path) -> None:
    boot = content(plan_of(site_file(tmp_path), "follower"), "/boot/firmware/config.txt")
    assert "dtoverlay=gpio-shutdown,gpio_pin=21,active_low=1,gpio_pull=up" in boot
    assert "dtparam=i2c_arm=off" in boot
    lead = content(plan_of(site_file(tmp_path)), "/boot/firmware/config.txt")
    assert "dtparam=i2c_arm=on" in lead
    assert "gpio-shutdown" not in lead
    assert "i2c-dev" in content(plan_of(site_file(tmp_path)), "/etc/modules-load.d/so2cam.conf")


def test_the_hooks_know_the_follower_and_the_board(tmp_path: Path) -> None:
    from so2cam_power.settings import load_settings

    plan = plan_of(site_file(tmp_path))
    power = tmp_path / "power.json"
    power.write_text(content(plan, "/etc/so2cam/power.json"))
    power.chmod(0o644)
    settings = load_settings(power)
    assert settings.socket == "/run/so2cam/lead.sock"
    assert settings.follower is not None
    assert (settings.follower.address, settings.follower.start_gpio, settings.follower.stop_gpio) == (
        "192.168.5.6",
        23,
        16,
    )
    assert settings.schedule_file == "/var/lib/so2cam/data/lead/state/schedule.wpi"
    assert f"PathChanged={settings.schedule_file}" in content(plan, f"{UNITS}/so2cam-schedule.path")
    power.write_text(content(plan_of(site_file(tmp_path), "follower"), "/etc/so2cam/power.json"))
    assert load_settings(power).follower is None


def test_the_external_disk_is_mounted_by_label_with_fitting_options(tmp_path: Path) -> None:
    rules = content(plan_of(site_file(tmp_path)), "/etc/udev/rules.d/70-so2cam.rules")
    for kind, option in (("exfat", "uid=so2cam"), ("ntfs", "windows_names"), ("ext4", "X-mount.owner=so2cam")):
        (rule,) = [line for line in rules.splitlines() if f'ENV{{ID_FS_TYPE}}=="{kind}"' in line]
        assert 'ENV{ID_FS_LABEL}=="SO2CAM"' in rule
        assert option in rule
        assert "nosuid,nodev,noexec" in rule
        assert rule.endswith('$devnode /media/so2cam/SO2CAM"')
    again = content(plan_of(site_file(tmp_path)), f"{UNITS}/{MOUNT_SERVICE}")
    assert "udevadm trigger --action=add --subsystem-match=block --property-match=ID_FS_LABEL=SO2CAM\n" in again


def test_the_agent_is_watched_for_progress(tmp_path: Path) -> None:
    unit = content(plan_of(site_file(tmp_path)), f"{UNITS}/so2cam-instrument.service")
    assert "ExecStart=/bin/true instrument run /var/lib/so2cam/site.toml --node lead" in unit
    assert "WatchdogSec=60" in unit
    assert f"RestartForceExitStatus={RESTART_CODE}" in unit
    slow = plan_of(site_file(tmp_path, ("period_s = 4.0", "period_s = 120.0")))
    assert "WatchdogSec=270" in content(slow, f"{UNITS}/so2cam-instrument.service")
    at_home = plan_of(site_file(tmp_path), program="/home/pi/venv/bin/so2cam")
    assert "ProtectHome=read-only" in content(at_home, f"{UNITS}/so2cam-instrument.service")


def test_the_agent_may_switch_off_reboot_let_the_disk_go_and_nothing_else(tmp_path: Path) -> None:
    rule = content(plan_of(site_file(tmp_path)), "/etc/polkit-1/rules.d/70-so2cam.rules")
    assert 'subject.user === "so2cam"' in rule
    actions = re.findall(r'"(org\.[a-z0-9.-]+)"', rule)
    assert actions
    power = ("org.freedesktop.login1.power-off", "org.freedesktop.login1.reboot")
    others = [action for action in actions if not action.startswith(power)]
    assert others == ["org.freedesktop.systemd1.manage-units"]
    assert r'verb === "stop" && /^media-so2cam-[^\/]*\.mount$/.test(unit)' in rule
    assert 'verb === "start" && unit === "so2cam-mount.service"' in rule
    assert rule.count("polkit.Result.YES") == 2


def test_a_data_folder_elsewhere_is_writable_and_made(tmp_path: Path) -> None:
    plan = plan_of(site_file(tmp_path, ('folder = "data"', 'folder = "/srv/so2cam"')))
    assert "ReadWritePaths=-/srv/so2cam -/media/so2cam" in content(plan, f"{UNITS}/so2cam-instrument.service")
    assert "d /srv/so2cam 0750 so2cam so2cam -" in content(plan, "/etc/tmpfiles.d/so2cam.conf")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (('folder = "data"', 'folder = "da ta"'), "instrument.storage.folder"),
        (('folder = "data"', 'folder = "x\\nExecStartPre=/bin/sh"'), "instrument.storage.folder"),
        (('folder = "data"', 'folder = "../../etc"'), "instrument.storage.folder"),
        (('time.gps = "/dev/serial0"', "time.gps = '/dev/x\"; reboot'"), "instrument.nodes.time.gps"),
        (
            ("network.access_point", 'network.service_address = "fd00::1/64"\nnetwork.access_point'),
            "instrument.nodes.network.service_address",
        ),
        (('network.address = "192.168.5.5/24" ', ""), "instrument.nodes.network.gateway"),
        (('label = "SO2CAM"', "label = 'A\", RUN+=\"reboot'"), "instrument.storage.mirror.label"),
    ],
)
def test_nothing_odd_reaches_the_systems_files(tmp_path: Path, change: tuple[str, str], key: str) -> None:
    with pytest.raises(InstallError) as caught:
        plan_of(site_file(tmp_path, change))
    assert caught.value.key == key


def test_an_unknown_node_or_no_instrument_is_told(tmp_path: Path) -> None:
    with pytest.raises(InstrumentError, match="--node lead or follower"):
        plan_of(site_file(tmp_path), "leed")
    villarrica = EXAMPLE.parents[1] / "villarrica" / "site.toml"
    with pytest.raises(InstrumentError, match="is missing"):
        plan_of(villarrica)


# --- systemd's own opinion ---------------------------------------------------------------------------------------

UDEVADM = "/usr/bin/udevadm"
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@needs_systemd
@pytest.mark.parametrize(
    ("node", "change", "count"),
    [("lead", None, 7), ("follower", None, 3), ("lead", ('board_folder = "/opt/wittypi"', ""), 6)],
    ids=["lead", "follower", "board without software"],
)
def test_systemd_accepts_the_units_and_finds_them_confined(
    tmp_path: Path, node: str, change: tuple[str, str] | None, count: int
) -> None:
    plan = plan_of(site_file(tmp_path, *([] if change is None else [change])), node)
    units = tmp_path / "units"
    units.mkdir()
    for file in plan.files:
        if file.path.startswith(f"{UNITS}/"):
            # udev is not everywhere; a unit whose program is missing is no unit to systemd.
            there = file.content if Path(UDEVADM).exists() else file.content.replace(UDEVADM.encode(), b"/bin/true")
            (units / Path(file.path).name).write_bytes(there)
    paths = sorted(str(path) for path in units.iterdir())
    assert len(paths) == count
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, timeout=60, check=False
    )
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "so2cam" in line]
    assert done.returncode == 0, complaints
    assert complaints == []
    for path in paths:
        if not path.endswith(".service"):
            continue
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", "--no-pager", path],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        found = re.search(r"Overall exposure level for (\S+): ([0-9.]+)", done.stdout)
        assert found is not None, done.stdout + done.stderr
        assert float(found[2]) <= 2.5, f"{found[1]}: {found[2]}"


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="systemd-tmpfiles is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="making users and folders needs root")
def test_systemd_makes_the_user_and_the_folders(tmp_path: Path) -> None:
    root = tmp_path / "root"
    install_into(root, plan_of(site_file(tmp_path)))
    for name in ("passwd", "group", "shadow", "gshadow"):
        (root / "etc" / name).touch()
    for command in (["systemd-sysusers"], ["systemd-tmpfiles", "--create"]):
        kind = "sysusers.d" if "sysusers" in command[0] else "tmpfiles.d"
        done = subprocess.run(
            [*command, f"--root={root}", str(root / "etc" / kind / "so2cam.conf")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert "so2cam:" in (root / "etc/passwd").read_text()
    assert re.search("^gpio:.*:so2cam$", (root / "etc/group").read_text(), re.MULTILINE)
    folder = (root / "var/lib/so2cam").stat()
    assert folder.st_mode & 0o777 == 0o750
    assert folder.st_uid != 0
    assert (root / "var/lib/so2cam/site.toml").stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(shutil.which("chronyd") is None, reason="chronyd is not installed")
@pytest.mark.parametrize("node", ["lead", "follower"])
def test_chrony_accepts_its_settings(tmp_path: Path, node: str) -> None:
    path = site_file(tmp_path, ('time.gps = "/dev/serial0"', 'time = { gps = "/dev/serial0", pps = "/dev/pps0" }'))
    settings = tmp_path / "chrony.conf"
    settings.write_text(content(plan_of(path, node), "/etc/chrony/chrony.conf"))
    done = subprocess.run(["chronyd", "-p", "-f", str(settings)], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("nmcli") is None, reason="nmcli is not installed")
@pytest.mark.parametrize("name", ["so2cam-eth0", "so2cam-ap"])
def test_network_manager_reads_the_profiles(tmp_path: Path, name: str) -> None:
    text = content(plan_of(site_file(tmp_path)), f"/etc/NetworkManager/system-connections/{name}.nmconnection")
    done = subprocess.run(
        ["nmcli", "--offline", "connection", "modify", "connection.zone", ""],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"id={name}\n" in done.stdout
    escaped = SECRET.replace("\\", "\\\\")
    assert (f"psk={escaped}\n" in done.stdout) == (name == "so2cam-ap")
    assert "method=" in done.stdout


# --- writing -----------------------------------------------------------------------------------------------------


def install_into(root: Path, plan: InstallPlan) -> Comparison:
    comparison = compare(plan, root)
    write(comparison)
    return comparison


def test_installing_twice_changes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    first = install_into(root, plan_of(site_file(tmp_path)))
    assert all(change.state == "new" for change in first.changes)
    before = installed(root)
    times = {path: (root / path.lstrip("/")).stat().st_mtime_ns for path in before}
    second = install_into(root, plan_of(site_file(tmp_path)))
    assert second.pending == ()
    assert second.commands == ()
    assert installed(root) == before
    assert {path: (root / path.lstrip("/")).stat().st_mtime_ns for path in before} == times
    assert [path for path in before if path.endswith(".tmp")] == []


def test_a_new_address_is_one_line_and_one_command(tmp_path: Path) -> None:
    root = tmp_path / "root"
    install_into(root, plan_of(site_file(tmp_path)))
    changed = compare(
        plan_of(site_file(tmp_path, ("192.168.5.5/24", "10.7.0.2/16"), ("192.168.5.1", "10.7.0.1"))), root
    )
    states = {change.path: change.state for change in changed.pending}
    assert states == {
        "/etc/NetworkManager/system-connections/so2cam-eth0.nmconnection": "changed",
        "/etc/chrony/chrony.conf": "changed",
        "/var/lib/so2cam/site.toml": "changed",
    }
    diff = next(change.diff for change in changed.pending if "eth0" in change.path)
    assert {"-address1=192.168.5.5/24", "+address1=10.7.0.2/16"} <= set(diff.splitlines())
    assert changed.commands[-1].words() == "nmcli --wait 30 connection up so2cam-eth0"
    assert changed.commands[-1].cuts_connection


def test_secrets_are_never_shown_and_never_readable_by_others(tmp_path: Path) -> None:
    root = tmp_path / "root"
    first = install_into(root, plan_of(site_file(tmp_path)))
    second = compare(plan_of(site_file(tmp_path), password="another secret"), root)  # noqa: S106
    shown = "".join(change.diff for change in (*first.changes, *second.changes))
    assert "open sesame" not in shown
    assert "another secret" not in shown
    assert "psk=(hidden" in shown
    target = root / "etc/NetworkManager/system-connections/so2cam-ap.nmconnection"
    assert target.stat().st_mode & 0o777 == 0o600
    target.chmod(0o644)
    loose = compare(plan_of(site_file(tmp_path)), root)
    assert [change.path for change in loose.pending] == [f"/{target.relative_to(root)}"]
    write(loose)
    assert target.stat().st_mode & 0o777 == 0o600


def test_what_others_wrote_into_a_shared_file_stays(tmp_path: Path) -> None:
    root = tmp_path / "root"
    boot = root / "boot/firmware/config.txt"
    boot.parent.mkdir(parents=True)
    boot.write_text("arm_64bit=1\n[cm4]\notg_mode=1\n")
    install_into(root, plan_of(site_file(tmp_path)))
    text = boot.read_text()
    assert text.startswith(f"arm_64bit=1\n[cm4]\notg_mode=1\n{OPEN}\n[all]\n")
    boot.write_text(text + "gpu_mem=64\n")
    install_into(root, plan_of(site_file(tmp_path), "follower"))
    assert boot.read_text().endswith(f"{CLOSE}\ngpu_mem=64\n")
    assert boot.read_text().count(OPEN) == 1
    assert "gpio-shutdown" in boot.read_text()


def test_a_block_is_replaced_added_and_removed() -> None:
    block = f"{OPEN}\nx\n{CLOSE}\n".encode()
    assert merge_block(b"", block) == block
    assert merge_block(b"a", block) == b"a\n" + block
    assert (
        merge_block(b"a\n" + block + b"b\n", block.replace(b"x", b"y")) == b"a\n" + block.replace(b"x", b"y") + b"b\n"
    )
    assert merge_block(b"a\n" + block + b"b\n", b"") == b"a\nb\n"
    assert merge_block(b"a\n", b"") == b"a\n"
    assert merge_block(b"a\n" + OPEN.encode() + b"\ncut off", block) == b"a\n" + block


def test_files_that_are_no_longer_needed_go_unless_somebody_changed_them(tmp_path: Path) -> None:
    root = tmp_path / "root"
    install_into(root, plan_of(site_file(tmp_path)))
    gpsd = root / "etc/default/gpsd"
    wifi = root / "etc/modprobe.d/so2cam-wifi.conf"
    wifi.write_text("changed by hand\n")
    smaller = site_file(
        tmp_path, ('time.gps = "/dev/serial0"', ""), ('network.access_point = { ssid = "SO2 camera" }', "")
    )
    comparison = install_into(root, plan_of(smaller))
    states = {change.path: change.state for change in comparison.changes}
    assert states["/etc/default/gpsd"] == "obsolete"
    assert not gpsd.exists()
    assert states["/etc/modprobe.d/so2cam-wifi.conf"] == "kept"
    assert wifi.exists()
    assert compare(plan_of(smaller), root).pending == ()


@pytest.mark.parametrize("manifest", ["", "[]", '{"files": {"/../../x": "y"}}', '{"files": {"a": 1}}', '{"files": 3}'])
def test_a_damaged_list_of_what_was_installed_harms_nothing(tmp_path: Path, manifest: str) -> None:
    root = tmp_path / "root"
    install_into(root, plan_of(site_file(tmp_path)))
    (root / "etc/so2cam/installed.json").write_text(manifest)
    assert install_into(root, plan_of(site_file(tmp_path))).pending == ()
    assert json.loads((root / "etc/so2cam/installed.json").read_text())["node"] == "lead"


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "etc").write_text("a file where a folder should be")
    with pytest.raises(So2camError, match="cannot be written") as caught:
        install_into(root, plan_of(site_file(tmp_path)))
    assert caught.value.remedy is not None


def test_the_time_zone_is_a_link_that_is_corrected(tmp_path: Path) -> None:
    root = tmp_path / "root"
    zone = root / "etc/localtime"
    zone.parent.mkdir(parents=True)
    zone.symlink_to("/usr/share/zoneinfo/America/Santiago")
    comparison = install_into(root, plan_of(site_file(tmp_path)))
    change = next(change for change in comparison.changes if change.path == "/etc/localtime")
    assert "America/Santiago" in change.diff
    assert os.fspath(zone.readlink()) == "/usr/share/zoneinfo/Etc/UTC"


def test_line_files_come_along(tmp_path: Path) -> None:
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "near.txt").write_text("x=273,408\ny=236,101\norientation=left\n")
    text = EXAMPLE.read_text().replace(
        'start = [273, 236]\nend = [408, 101]\nnormal = "left"', 'file = "lines/near.txt"'
    )
    path = tmp_path / "site.toml"
    path.write_text(text)
    root = tmp_path / "root"
    install_into(root, plan_of(path))
    assert load_site(root / "var/lib/so2cam/site.toml").site.lines[0].start == (273, 236)


# --- secrets -----------------------------------------------------------------------------------------------------


def test_a_password_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "secrets.toml"
    unwritten, made = ensure_password(path, write=False)
    assert made
    assert not path.exists()
    password, made = ensure_password(path, write=True)
    assert made
    assert password != unwritten
    assert path.stat().st_mode & 0o777 == 0o600
    assert ensure_password(path, write=True) == (password, False)
    assert tomllib.loads(path.read_text())["access_point"]["password"] == password
    assert len(password) >= 12


@pytest.mark.parametrize(
    ("text", "mode", "complaint"),
    [
        ('[access_point]\npassword = "long enough"\n', 0o644, "others can read"),
        ('[access_point]\npassword = "short"\n', 0o600, "8 to 63"),
        ('[access_point]\npassword = " begins with a space"\n', 0o600, "8 to 63"),
        ('[access_point]\npassword = "new\\nline 123"\n', 0o600, "8 to 63"),
        ("[access_point]\npassword = 12345678\n", 0o600, "8 to 63"),
        ("[access_point\n", 0o600, "not valid TOML"),
    ],
)
def test_wrong_secrets_are_refused(tmp_path: Path, text: str, mode: int, complaint: str) -> None:
    path = tmp_path / "secrets.toml"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(InstallError, match=complaint) as caught:
        read_password(path)
    assert "short" not in str(caught.value)


# --- commands ----------------------------------------------------------------------------------------------------


def test_a_command_that_fails_does_not_stop_the_others() -> None:
    ran: list[Sequence[str]] = []

    def runner(arguments: Sequence[str], timeout_s: float) -> tuple[int, str]:
        ran.append(arguments)
        return (1, "no such service") if arguments[0] == "b" else (0, "")

    commands = [InstallCommand((name,), name) for name in "abc"]
    results = run_commands(commands, runner)
    assert ran == [("a",), ("b",), ("c",)]
    assert [result.done for result in results] == [True, False, True]
    assert results[1].text == "no such service"


def test_real_commands_are_bounded_and_explained() -> None:
    results = run_commands(
        [
            InstallCommand(("true",), "works"),
            InstallCommand(("no-such-program",), "is missing"),
            InstallCommand(("sleep", "5"), "takes too long", timeout_s=0.2),
        ]
    )
    assert [result.done for result in results] == [True, False, False]
    assert "not installed" in results[1].text
    assert "took longer" in results[2].text


def test_packages_that_are_missing_are_found() -> None:
    def runner(arguments: Sequence[str], timeout_s: float) -> tuple[int, str]:
        return {"chrony": (0, "install ok installed"), "gpsd": (0, "deinstall ok config-files")}.get(
            arguments[-1], (1, "no packages found")
        )

    assert missing_packages(["chrony", "gpsd", "exfatprogs"], runner) == ("gpsd", "exfatprogs")


def test_a_plan_has_each_file_once() -> None:
    with pytest.raises(ValueError, match="planned twice"):
        InstallPlan("a", (InstallFile("/x"), InstallFile("/x")))
    with pytest.raises(ValueError, match="no clean absolute path"):
        InstallFile("/a/../b")


def test_a_board_without_software_of_its_own_is_told_and_heard(tmp_path: Path) -> None:
    path = site_file(tmp_path, ('board_folder = "/opt/wittypi"', ""))
    plan = plan_of(path)
    assert json.loads(content(plan, "/etc/so2cam/power.json"))["board_up_gpio"] == 17
    boot = content(plan, "/boot/firmware/config.txt")
    assert "enable_uart=1" in boot
    assert "dtoverlay=gpio-shutdown,gpio_pin=4,active_low=1,gpio_pull=up" in boot
    assert "board-up" in content(plan, f"{UNITS}/so2cam-board.service")
    settings = install_settings(load_site(path), "lead", password=SECRET, program="/bin/true")
    require_board_alone(settings, tmp_path)
    (tmp_path / "etc/init.d").mkdir(parents=True)
    (tmp_path / "etc/init.d/wittypi").touch()
    with pytest.raises(InstallError, match="board's own software is installed"):
        require_board_alone(settings, tmp_path)
    theirs = plan_of(site_file(tmp_path))
    assert f"{UNITS}/so2cam-board.service" not in [file.path for file in theirs.files]
    assert "board_up_gpio" not in content(theirs, "/etc/so2cam/power.json")
    assert "gpio_pin=4" not in content(theirs, "/boot/firmware/config.txt")
