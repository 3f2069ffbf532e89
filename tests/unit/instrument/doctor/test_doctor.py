import fnmatch
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from so2cam.core.health import ClockHealth, DeviceHealth, DeviceState, HealthRecord, Level
from so2cam.formats.sitefile import load_site
from so2cam.instrument.doctor.devices import cycle_follower
from so2cam.instrument.doctor.examine import examine
from so2cam.instrument.doctor.probes import Answer, ComputerProbes, FileStatus, Output, Usage
from so2cam.instrument.doctor.report import DoctorReport, Line, Verdict
from so2cam.instrument.install.applying import compare, write
from so2cam.instrument.install.planning import install_settings, packages, plan_install
from so2cam.instrument.install.settings import InstallSettings, ensure_password
from so2cam.instrument.install.units import enabled_units

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"
SITE = EXAMPLES / "two-computers" / "site.toml"
GROUPS = "so2cam dialout video plugdev render i2c gpio"
CAMERAS = """Available cameras
-----------------
0 : ov5647 [2592x1944 10-bit GBRG] (/base/soc/i2c0mux/i2c@1/ov5647@36)
    Modes: 'SGBRG10_CSI2P' : 640x480 [58.92 fps - (16, 0)/2560x1920 crop]
                             2592x1944 [15.63 fps - (0, 0)/2592x1944 crop]
"""
TRACKING = "4E4D4541,NMEA,1,1735689600.123,-0.000012,0.000034,0.00010,-12.3,0.001,0.05,0.0,0.0002,16.0,Normal\n"
SOURCES = "#,*,NMEA,0,4,377,11,0.000123,0.000123,0.000200\n^,?,192.168.5.9,0,6,0,4294967295,0,0,0\n"
ADDRESSES = json.dumps([{"ifname": "eth0", "addr_info": [{"local": "192.168.5.5", "prefixlen": 24}]}])


class FakePi:
    """A Raspberry Pi 4 on which a node is installed and everything is as it should be, until a test changes it."""

    def __init__(self, settings: InstallSettings) -> None:
        self.settings = settings
        self.architecture, self.bits = "aarch64", 64
        self.clock = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)
        self.files: dict[str, str] = {
            "/proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.5",
            "/sys/class/block/mmcblk0/size": "250000000",
            "/sys/class/block/mmcblk0p2/start": "1064960",
            "/sys/class/block/mmcblk0p2/size": "248900000",
            "/sys/class/net/eth0/carrier": "1\n",
            "/sys/bus/usb/devices/1-1.2/idVendor": "2457\n",
            "/sys/bus/usb/devices/1-1.2/product": "Flame-S\n",
            "/sys/bus/usb/devices/1-1.2/serial": "FLMS01234\n",
            "/sys/bus/usb/devices/1-1.2/busnum": "1\n",
            "/sys/bus/usb/devices/1-1.2/devnum": "4\n",
            "/sys/bus/usb/devices/usb1/idVendor": "1d6b\n",
            "/proc/mounts": "/dev/mmcblk0p2 / ext4 rw 0 0\n/dev/sda1 /media/so2cam/SO2CAM exfat rw,nosuid 0 0\n",
            "/proc/bus/input/devices": 'N: Name="shutdown_button"\n',
            "/boot/firmware/cmdline.txt": "console=tty1 root=PARTUUID=x",
            "/var/lib/so2cam-power/after-start.json": json.dumps({"done": True, "pulses": 1}),
            "/var/lib/so2cam-power/stop-follower.json": json.dumps(
                {"time": "2026-11-26T23:40:00Z", "done": True, "pulses": 1}
            ),
        }
        self.links = {
            "/etc/localtime": "/usr/share/zoneinfo/Etc/UTC",
            "/dev/serial0": "/dev/ttyAMA0",
            "/dev/disk/by-label/SO2CAM": "/dev/sda1",
            "/dev/disk/by-label/rootfs": "/dev/mmcblk0p2",
            "/dev/sda1": "/dev/sda1",
            "/dev/mmcblk0p2": "/dev/mmcblk0p2",
        }
        folder, program = FileStatus("root", 0o755, 4096, True), FileStatus("root", 0o755, 800, False)
        mine = FileStatus("so2cam", 0o750, 4096, True)
        self.statuses = {
            "/var/lib/so2cam": mine,
            "/var/lib/so2cam/data": mine,
            "/var/lib/so2cam/site.toml": FileStatus("root", 0o644, 5000, False),
            "/usr/lib/so2cam-power": folder,
            "/usr/lib/so2cam-power/__main__.py": program,
            "/opt/wittypi": folder,
            "/opt/wittypi/runScript.sh": program,
            "/media/so2cam/SO2CAM": mine,
            "/dev/bus/usb/001/004": FileStatus("root", 0o660, 0, False),
        }
        self.usages = {
            "/": Usage(125_000_000_000, 90_000_000_000),
            "/var/lib/so2cam/data": Usage(125_000_000_000, 90_000_000_000),
            "/media/so2cam/SO2CAM": Usage(1_000_000_000_000, 700_000_000_000),
        }
        installed = "".join(f"{name} install ok installed\n" for name in packages(settings))
        self.outputs: dict[str, Output] = {
            "findmnt": Output(0, "/dev/mmcblk0p2\n"),
            "vcgencmd": Output(0, "throttled=0x0\n"),
            "dpkg-query": Output(0, installed),
            "chronyc -c tracking": Output(0, TRACKING),
            "chronyc -c sources": Output(0, SOURCES),
            "rpicam-hello": Output(0, CAMERAS),
            "id": Output(0, GROUPS + "\n"),
            "/usr/bin/python3": Output(0, "usage: so2cam-power\n"),
            "ip": Output(0, ADDRESSES.replace("192.168.5.5", _address(settings))),
            "ping": Output(0, "1 received\n"),
            "systemctl is-active": Output(0, "active\n"),
            "systemctl is-enabled": Output(0, "enabled\n"),
        }
        self.devices: tuple[DeviceHealth, ...] | None = (
            DeviceHealth(name="camera-on", role="camera", band="on", state=DeviceState.CAPTURING, last_item_age_s=2.0),
            DeviceHealth(name="power", role="power", state=DeviceState.IDLE),
        )
        self.on_bus = {0x68, 0x69}
        self.bus_is_there = True
        self.levels: dict[int, bool | None] = {23: True}
        self.hosts: dict[str, Answer] = {"192.168.5.6": "accepted", "192.168.5.5": "accepted"}

    def machine(self) -> tuple[str, int]:
        return self.architecture, self.bits

    def now(self) -> datetime:
        return self.clock

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def names(self, pattern: str) -> tuple[str, ...]:
        return tuple(sorted(each for each in (*self.files, *self.links) if fnmatch.fnmatch(each, pattern)))

    def link(self, path: str) -> str | None:
        return self.links.get(path)

    def status(self, path: str) -> FileStatus | None:
        return self.statuses.get(path)

    def usage(self, path: str) -> Usage | None:
        return self.usages.get(path)

    def run(self, arguments: Sequence[str], timeout_s: float = 10.0) -> Output:
        assert timeout_s <= 300
        line = " ".join(arguments)
        matches = [key for key in self.outputs if line == key or line.startswith(f"{key} ")]
        return self.outputs[max(matches, key=len)] if matches else Output(127, "")

    def i2c(self, bus: int, address: int) -> bool | None:
        return address in self.on_bus if self.bus_is_there else None

    def gpio(self, number: int, *, pull_up: bool) -> bool | None:
        assert not pull_up, "a pull to the supply would hide an open line"
        return self.levels.get(number)

    def connect(self, host: str, port: int, timeout_s: float = 2.0) -> Answer:
        return self.hosts.get(host, "silent")

    def health(self, socket_path: str) -> HealthRecord | str:
        assert socket_path == f"/run/so2cam/{self.settings.node.name}.sock"
        if self.devices is None:
            return "the agent is not running"
        return HealthRecord(
            time=self.clock,
            node=self.settings.node.name,
            site="x",
            version="1",
            reason="asked",
            level=Level.OK,
            summary="",
            activity="",
            clock=ClockHealth(quality="gps"),
            devices=self.devices,
        )


def _address(settings: InstallSettings) -> str:
    return (settings.node.network.address or "").partition("/")[0]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture
def lead(root: Path) -> InstallSettings:
    password, _ = ensure_password(root / "etc/so2cam/secrets.toml", write=True)
    settings = install_settings(load_site(SITE), "lead", program="/bin/true")
    write(compare(plan_install(replace(settings, access_point_password=password)), root))
    return settings


def report_on(settings: InstallSettings, pi: FakePi, root: Path) -> DoctorReport:
    return examine(settings, pi, root=root)


def bad_lines(report: DoctorReport) -> list[Line]:
    return [line for line in report.lines if line.verdict is Verdict.BAD]


def test_a_node_as_it_should_be_is_all_good(lead: InstallSettings, root: Path) -> None:
    report = report_on(lead, FakePi(lead), root)
    assert bad_lines(report) == []
    assert report.good
    titles = {line.title for line in report.lines if line.verdict is Verdict.GOOD}
    assert {
        "64-bit system",
        "file system fills the card",
        "supply and temperature",
        "free space",
        "packages",
        "date",
        "time zone",
        "synchronised",
        "GPS",
        "camera-on (on band)",
        "power board",
        "start (GPIO 23 to GPIO 3)",
        "stop (GPIO 16 to GPIO 21)",
        "SO2CAM",
        "mounted",
        "files of the system",
        "user",
        "permissions",
        "power hooks",
        "so2cam-instrument.service",
        "cable",
        "address",
        "gateway",
        "name",
        "to follower",
    } <= titles


Change = Callable[[FakePi], None]


def entries(table: str) -> Callable[[dict[str, object]], Change]:
    """Return a way to set entries of one of the fake's tables; None takes an entry away."""

    def given(values: dict[str, object]) -> Change:
        def apply(pi: FakePi) -> None:
            for key, value in values.items():
                if value is None:
                    getattr(pi, table).pop(key)
                else:
                    getattr(pi, table)[key] = value

        return apply

    return given


files, links, outputs, statuses = (entries(name) for name in ("files", "links", "outputs", "statuses"))


def attribute(name: str, value: object) -> Change:
    return lambda pi: setattr(pi, name, value)


DEFECTS: list[tuple[str, Change, str]] = [
    ("64-bit system", attribute("bits", 32), "32 bits"),
    ("64-bit system", attribute("architecture", "armv7l"), "armv7l"),
    ("file system fills the card", files({"/sys/class/block/mmcblk0p2/size": "14000000"}), "of a card of 128.0 GB"),
    (
        "file system fills the card",
        attribute(
            "usages",
            {
                "/": Usage(8_000_000_000, 5_000_000_000),
                "/var/lib/so2cam/data": Usage(10**11, 9 * 10**10),
                "/media/so2cam/SO2CAM": Usage(10**12, 7 * 10**11),
            },
        ),
        "8.0 GB of a card",
    ),
    ("supply and temperature", outputs({"vcgencmd": Output(0, "throttled=0x1\n")}), "under-voltage"),
    ("supply and temperature", outputs({"vcgencmd": Output(0, "throttled=0x50000\n")}), "since the start"),
    ("free space", lambda pi: pi.usages.update({"/var/lib/so2cam/data": Usage(10**11, 10**9)}), "1.0 GB of 100.0 GB"),
    ("packages", outputs({"dpkg-query": Output(1, "chrony install ok installed\n")}), "exfatprogs"),
    ("date", attribute("clock", datetime(1970, 1, 1, 0, 5, tzinfo=UTC)), "1970-01-01"),
    ("time zone", links({"/etc/localtime": "/usr/share/zoneinfo/America/Santiago"}), "America/Santiago"),
    (
        "synchronised",
        outputs({"chronyc -c tracking": Output(0, TRACKING.replace("Normal", "Not synchronised"))}),
        "to nothing",
    ),
    ("synchronised", outputs({"chronyc -c tracking": Output(0, TRACKING.replace("-0.000012", "0.7"))}), "700.0 ms off"),
    ("synchronised", outputs({"chronyc -c tracking": Output(1, "506 Cannot talk to daemon")}), "does not answer"),
    ("GPS", links({"/dev/serial0": None}), "/dev/serial0 is not there"),
    ("GPS", outputs({"chronyc -c sources": Output(0, SOURCES.replace(",377,", ",0,"))}), "gives no time"),
    ("GPS", outputs({"chronyc -c sources": Output(0, "")}), "does not use it"),
    ("GPS", files({"/boot/firmware/cmdline.txt": "console=serial0,115200 root=x"}), "is a console"),
    ("camera-on (on band)", outputs({"rpicam-hello": Output(0, "No cameras available!\n")}), "there is no camera 0"),
    ("power board", attribute("on_bus", {0x68}), "no answer on I2C from 0x69"),
    ("power board", attribute("bus_is_there", False), "bus is not there"),
    ("stop (GPIO 16 to GPIO 21)", files({"/var/lib/so2cam-power/stop-follower.json": None}), "never been used"),
    (
        "stop (GPIO 16 to GPIO 21)",
        files(
            {"/var/lib/so2cam-power/stop-follower.json": json.dumps({"done": False, "pulses": 1, "text": "still on"})}
        ),
        "still on",
    ),
    ("SO2CAM", links({"/dev/disk/by-label/SO2CAM": None}), "found: rootfs"),
    ("mounted", files({"/proc/mounts": "/dev/mmcblk0p2 / ext4 rw 0 0\n"}), "it is not"),
    ("mounted", files({"/proc/mounts": "/dev/sda1 /media/so2cam/SO2CAM exfat ro 0 0\n"}), "read-only"),
    ("file system", files({"/proc/mounts": "/dev/sda1 /media/so2cam/SO2CAM btrfs rw 0 0\n"}), "btrfs"),
    ("writable", statuses({"/media/so2cam/SO2CAM": FileStatus("root", 0o755, 4096, True)}), "belongs to root"),
    ("user", outputs({"id": Output(1, "id: 'so2cam': no such user")}), "no user so2cam"),
    ("user", outputs({"id": Output(0, GROUPS.replace(" gpio", "") + "\n")}), "not in gpio"),
    ("permissions", statuses({"/var/lib/so2cam": FileStatus("root", 0o755, 4096, True)}), "belongs to root"),
    ("permissions", statuses({"/var/lib/so2cam/site.toml": FileStatus("root", 0o600, 9, False)}), "cannot be read"),
    ("power hooks", statuses({"/usr/lib/so2cam-power": None}), "is missing"),
    ("power hooks", statuses({"/opt/wittypi/runScript.sh": FileStatus("pi", 0o755, 9, False)}), "others than root"),
    ("power hooks", outputs({"/usr/bin/python3": Output(1, "")}), "do not run"),
    ("cable", files({"/sys/class/net/eth0/carrier": "0\n"}), "no connection"),
    (
        "address",
        outputs({"ip": Output(0, ADDRESSES.replace("192.168.5.5", "169.254.3.4"))}),
        "169.254.3.4/24 instead of",
    ),
    ("address", outputs({"ip": Output(1, "Device does not exist")}), "none instead of"),
    ("gateway", outputs({"ping": Output(1, "0 received")}), "is silent"),
]


@pytest.mark.parametrize(("title", "defect", "text"), DEFECTS, ids=[f"{i}-{d[0]}" for i, d in enumerate(DEFECTS)])
def test_one_defect_makes_one_line_bad_with_what_to_do(
    lead: InstallSettings, root: Path, title: str, defect: Change, text: str
) -> None:
    pi = FakePi(lead)
    defect(pi)
    (line,) = bad_lines(report_on(lead, pi, root))
    assert line.title == title
    assert text in line.text
    assert line.remedy


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"state": DeviceState.WAITING, "last_error": "no frame within 5 s"}, "no frame within 5 s"),
        ({"level": Level.ALARM, "last_error": "late"}, "capturing, last item 2 s ago: late"),
        ({"saturated_fraction": 0.4}, "40 % saturated"),
    ],
)
def test_a_device_that_the_agent_cannot_use_is_bad(
    lead: InstallSettings, root: Path, change: dict[str, object], text: str
) -> None:
    pi = FakePi(lead)
    assert pi.devices is not None
    pi.devices = (pi.devices[0].model_copy(update=change), pi.devices[1])
    (line,) = bad_lines(report_on(lead, pi, root))
    assert (line.topic, line.title, line.text) == ("agent", "camera-on", text)


def test_an_agent_that_does_not_answer_is_bad(lead: InstallSettings, root: Path) -> None:
    pi = FakePi(lead)
    pi.devices = None
    (line,) = bad_lines(report_on(lead, pi, root))
    assert line.text == "no: the agent is not running"


def test_services_that_do_not_run_or_start(lead: InstallSettings, root: Path) -> None:
    pi = FakePi(lead)
    pi.outputs["systemctl is-active so2cam-instrument.service"] = Output(3, "failed\n")
    pi.outputs["systemctl is-enabled so2cam-follower.service"] = Output(1, "disabled\n")
    found = {line.title: line.text for line in bad_lines(report_on(lead, pi, root))}
    assert found == {
        "so2cam-instrument.service": "is failed",
        "so2cam-follower.service": "does not start by itself (disabled)",
    }
    assert set(found) <= set(enabled_units(lead))


def test_a_follower_that_is_off_is_seen_at_both_ends(lead: InstallSettings, root: Path) -> None:
    pi = FakePi(lead)
    pi.hosts.clear()
    pi.files["/var/lib/so2cam-power/after-start.json"] = json.dumps({"done": False, "text": "no answer after 3 pulses"})
    found = {line.title: line.text for line in bad_lines(report_on(lead, pi, root))}
    assert found["start (GPIO 23 to GPIO 3)"] == "no answer after 3 pulses"
    assert "192.168.5.6 is silent" in found["to follower"]


@pytest.mark.parametrize(("level", "verdict"), [(True, Verdict.GOOD), (False, Verdict.BAD), (None, Verdict.NONE)])
def test_the_start_wire_is_felt_without_switching(
    lead: InstallSettings, root: Path, level: bool | None, verdict: Verdict
) -> None:
    pi = FakePi(lead)
    del pi.files["/var/lib/so2cam-power/after-start.json"]
    pi.levels[23] = level
    line = next(line for line in report_on(lead, pi, root).lines if line.title.startswith("start ("))
    assert line.verdict is verdict


def test_files_that_somebody_changed_are_told(lead: InstallSettings, root: Path) -> None:
    target = root / "etc/chrony/chrony.conf"
    before = target.read_bytes()
    target.write_text("pool example.org\n")
    try:
        (line,) = bad_lines(report_on(lead, FakePi(lead), root))
    finally:
        target.write_bytes(before)
    assert line.title == "files of the system"
    assert "/etc/chrony/chrony.conf" in line.text


def test_the_follower_has_its_own_lines(root: Path) -> None:
    settings = install_settings(load_site(SITE), "follower", program="/bin/true")
    own = root / "follower"
    write(compare(plan_install(settings), own))
    pi = FakePi(settings)
    report = report_on(settings, pi, own)
    assert bad_lines(report) == []
    lines = {line.title: line for line in report.lines}
    assert lines["spectrometer"].text == "Flame-S FLMS01234"
    assert lines["stop input"].verdict is Verdict.GOOD
    assert lines["power board"].verdict is Verdict.NONE
    pi.files["/proc/bus/input/devices"] = ""
    pi.statuses["/dev/bus/usb/001/004"] = FileStatus("root", 0o644, 0, False)
    found = {line.title: line.text for line in bad_lines(report_on(settings, pi, own))}
    assert found == {
        "stop input": "nothing listens on it",
        "spectrometer": "Flame-S is there, but only root may use it",
    }
    del pi.files["/sys/bus/usb/devices/1-1.2/idVendor"]
    assert any("no spectrometer on USB" in line.text for line in bad_lines(report_on(settings, pi, own)))


def test_the_wrong_spectrometer_or_camera_is_named(root: Path, tmp_path: Path) -> None:
    text = SITE.read_text().replace('driver = "seabreeze"', 'driver = "seabreeze"\nserial = "FLMS09999"')
    path = tmp_path / "site.toml"
    path.write_text(text.replace('band = "off"', 'band = "off"\nserial = "ov9281"'))
    settings = install_settings(load_site(path), "follower", program="/bin/true")
    found = {line.title: line for line in bad_lines(report_on(settings, FakePi(settings), root / "other"))}
    assert found["spectrometer"].text == "found FLMS01234, not FLMS09999"
    assert found["camera-off (off band)"].text == "no camera 'ov9281'"
    assert "0: ov5647 2592x1944, 10 bits" in (found["camera-off (off band)"].remedy or "")


def test_a_board_that_the_agent_drives_sees_halts_and_has_no_second_master(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(SITE.read_text().replace('board_folder = "/opt/wittypi"', ""))
    settings = install_settings(load_site(path), "lead", program="/bin/true")
    pi = FakePi(settings)
    assert "power board" not in {line.title for line in bad_lines(report_on(settings, pi, tmp_path))}
    pi.links["/etc/init.d/wittypi"] = "/etc/init.d/wittypi"
    found = {line.title: line.text for line in bad_lines(report_on(settings, pi, tmp_path))}
    assert found["power board"] == "its own software is installed and sets alarms too"
    del pi.links["/etc/init.d/wittypi"], pi.links["/dev/serial0"]
    found = {line.title: line.text for line in bad_lines(report_on(settings, pi, tmp_path))}
    assert found["power board"].startswith("it cannot see a halt")
    assert any("board_folder" in note for note in plan_install(replace(settings, access_point_password="x" * 9)).notes)


def test_a_bench_without_hardware_has_nothing_bad_of_a_mountain(tmp_path: Path) -> None:
    text = SITE.read_text()
    for driver in ("picamera2", "seabreeze", "wittypi3", "gpiozero"):
        text = text.replace(f'driver = "{driver}"', 'driver = "simulated"')
    path = tmp_path / "site.toml"
    path.write_text(text)
    settings = install_settings(load_site(path), "lead", program="/bin/true")
    report = report_on(settings, FakePi(settings), tmp_path)
    topics = {line.topic for line in bad_lines(report)}
    assert not topics & {"clock", "devices", "wires", "installation", "link"}


def test_the_report_as_json_round_trips(lead: InstallSettings, root: Path) -> None:
    pi = FakePi(lead)
    pi.bits = 32
    report = report_on(lead, pi, root)
    found = json.loads(json.dumps(report.as_json()))
    assert found["good"] is False
    assert found["time"] == "2026-11-27T12:00:00.000Z"
    assert len(found["lines"]) == len(report.lines)
    assert {line["verdict"] for line in found["lines"]} <= {"good", "bad", "none"}


def test_cycling_the_follower_says_how_it_went(lead: InstallSettings, root: Path) -> None:
    pi = FakePi(lead)
    pi.outputs["/usr/bin/python3 -I -S /usr/lib/so2cam-power test-follower"] = Output(0, "off\non after 31 s\n")
    assert cycle_follower(pi).text == "on after 31 s"
    pi.outputs["/usr/bin/python3 -I -S /usr/lib/so2cam-power test-follower"] = Output(1, "still answers\n")
    report = examine(lead, pi, root=root, cycle=True)
    assert [line.text for line in bad_lines(report)] == ["still answers"]


def test_the_real_probes_never_raise_for_what_is_missing(tmp_path: Path) -> None:
    probes = ComputerProbes()
    assert probes.read(str(tmp_path / "none")) is None
    assert probes.status(str(tmp_path / "none")) is None
    assert probes.link(str(tmp_path / "none")) is None
    assert probes.names(str(tmp_path / "*")) == ()
    assert probes.run(["no-such-program"]).code == 127
    assert probes.run(["sleep", "5"], 0.1).code == 124
    assert probes.run(["echo", "a"]) == Output(0, "a\n")
    assert probes.i2c(99, 0x68) is None
    usage = probes.usage(str(tmp_path / "not" / "yet"))
    assert usage is not None
    assert 0 < usage.free <= usage.total
    status = probes.status(str(tmp_path))
    assert status is not None
    assert status.is_folder
    assert probes.machine()[1] in (32, 64)
    assert abs((probes.now() - datetime.now(UTC)).total_seconds()) < 60


class StayingHere(ComputerProbes):
    """The real computer, without a word to others."""

    def connect(self, host: str, port: int, timeout_s: float = 2.0) -> Answer:
        return "silent"

    def run(self, arguments: Sequence[str], timeout_s: float = 10.0) -> Output:
        return Output(127, "") if arguments[0] == "ping" else super().run(arguments, timeout_s)


def test_this_computer_can_be_examined(lead: InstallSettings) -> None:
    report = examine(lead, StayingHere())
    assert len(report.lines) > 20
    assert all(line.remedy for line in bad_lines(report))
