"""Services for systemd: the agent, and what root does at start, at shutdown and for the power board.

Each is confined as far as its work allows; ``systemd-analyze security`` measures it in the tests.
"""

from pathlib import PurePosixPath
from typing import Final

from so2cam.instrument.disks import MOUNT_SERVICE
from so2cam.instrument.install.devices import mirror_label
from so2cam.instrument.install.files import InstallFile, text_file
from so2cam.instrument.install.settings import (
    BOARD_SOFTWARE,
    BOARDS,
    HOOKS,
    MEDIA,
    SITE_FILE,
    STATE,
    USER,
    InstallSettings,
)
from so2cam.instrument.machine import RESTART_CODE

UNITS: Final = "/etc/systemd/system"
AGENT: Final = "so2cam-instrument.service"
FOLLOWER: Final = "so2cam-follower.service"
SHUTDOWN: Final = "so2cam-before-shutdown.service"
CLOCK: Final = "so2cam-clock.service"
BOARD: Final = "so2cam-board.service"
SCHEDULE_PATH: Final = "so2cam-schedule.path"
SCHEDULE: Final = "so2cam-schedule.service"
_HOOK: Final = f"/usr/bin/python3 -I -S {HOOKS}"
GROUPS: Final = ("video", "render", "i2c", "gpio", "plugdev", "dialout")

_CONFINED: Final = (
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "PrivateTmp=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectProc=invisible",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "RemoveIPC=yes",
    "KeyringMode=private",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @obsolete",
    "SystemCallErrorNumber=EPERM",
    "DevicePolicy=closed",
)


def unit_files(settings: InstallSettings) -> list[InstallFile]:
    """Return the units that the node needs."""
    units = {AGENT: _agent(settings), SHUTDOWN: _before_shutdown(settings)}
    if settings.follower is not None:
        units[FOLLOWER] = _follower()
    if _has_clock(settings):
        units[CLOCK] = _clock()
    if settings.drives_board:
        units[BOARD] = _board_up()
    label = mirror_label(settings)
    if label is not None:
        units[MOUNT_SERVICE] = _mount(label)
    board = _board_folder(settings)
    if board is not None:
        units[SCHEDULE_PATH] = _schedule_path(settings)
        units[SCHEDULE] = _schedule(settings, board)
    return [text_file(f"{UNITS}/{name}", lines) for name, lines in units.items()]


def enabled_units(settings: InstallSettings) -> tuple[str, ...]:
    """Return the units that start by themselves."""
    names = [AGENT, SHUTDOWN]
    if settings.follower is not None:
        names.append(FOLLOWER)
    if _has_clock(settings):
        names.append(CLOCK)
    if settings.drives_board:
        names.append(BOARD)
    if _board_folder(settings) is not None:
        names.append(SCHEDULE_PATH)
    return tuple(names)


def watchdog_s(settings: InstallSettings) -> int:
    """Return after how long without progress of capture the agent is restarted: two periods, a minute at least."""
    acquisition = settings.instrument.acquisition
    longest = max(acquisition.period_s, acquisition.spectrum_period_s or 0.0)
    return max(60, int(2 * longest + 30))


def _agent(settings: InstallSettings) -> list[str]:
    program = settings.program
    # ProtectHome hides the homes, and with them a program that stands in one.
    home = "read-only" if PurePosixPath(program).parts[1:2] in (("home",), ("root",)) else "yes"
    outside = [] if PurePosixPath(settings.data).is_relative_to(STATE) else [settings.data]
    writable = " ".join(f"-{path}" for path in (*outside, MEDIA))
    return [
        "[Unit]",
        f"Description=so2cam instrument, node {settings.node.name}",
        "Wants=chrony.service",
        "After=local-fs.target network.target chrony.service",
        # Nobody is there to start it again: it is tried for ever.
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={program} instrument run {SITE_FILE} --node {settings.node.name}",
        f"User={USER}",
        f"Group={USER}",
        f"SupplementaryGroups={' '.join(GROUPS)}",
        "Environment=PYTHONUNBUFFERED=1",
        f"WatchdogSec={watchdog_s(settings)}",
        "WatchdogSignal=SIGTERM",
        "Restart=on-failure",
        f"RestartForceExitStatus={RESTART_CODE}",
        "RestartSec=2",
        "TimeoutStartSec=120",
        "TimeoutStopSec=15",
        "TimeoutAbortSec=15",
        "KillMode=mixed",
        "OOMPolicy=continue",
        "OOMScoreAdjust=-500",
        "IOSchedulingClass=best-effort",
        "IOSchedulingPriority=1",
        f"StateDirectory={USER}",
        "StateDirectoryMode=0750",
        f"RuntimeDirectory={USER}",
        "RuntimeDirectoryMode=0750",
        f"WorkingDirectory={STATE}",
        "UMask=0027",
        "",
        f"ReadWritePaths={writable}",
        f"ProtectHome={home}",
        *_CONFINED,
        "DeviceAllow=char-video4linux rw",
        "DeviceAllow=char-media rw",
        "DeviceAllow=char-dma_heap rw",
        "DeviceAllow=char-i2c rw",
        "DeviceAllow=char-gpiochip rw",
        "DeviceAllow=char-usb_device rw",
        "DeviceAllow=/dev/vcio rw",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]


def _hook(*, writable: str, network: bool, capabilities: str = "", devices: tuple[str, ...] = ()) -> list[str]:
    families = "AF_UNIX AF_INET AF_INET6" if network else "AF_UNIX"
    return [
        f"ReadWritePaths={writable}",
        "ProtectHome=yes",
        *_CONFINED,
        *(f"DeviceAllow={device} rw" for device in devices),
        f"RestrictAddressFamilies={families}",
        *([] if network else ["PrivateNetwork=yes"]),
        f"CapabilityBoundingSet={capabilities}",
        "MemoryDenyWriteExecute=yes",
        "UMask=0022",
    ]


def _follower() -> list[str]:
    return [
        "[Unit]",
        "Description=so2cam: switch the follower on",
        "After=network.target NetworkManager.service",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        f"ExecStart={_HOOK} after-start",
        "TimeoutStartSec=180",
        "StateDirectory=so2cam-power",
        *_hook(writable="-/var/lib/so2cam-power", network=True, devices=("char-gpiochip",)),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]


def _before_shutdown(settings: InstallSettings) -> list[str]:
    devices = () if settings.follower is None else ("char-gpiochip",)
    return [
        "[Unit]",
        "Description=so2cam: stop the agent and the follower, and force everything to the disks",
        # Started after the agent, and so stopped before it, while it can still be asked.
        f"After={AGENT} network.target NetworkManager.service",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        "ExecStart=/bin/true",
        f"ExecStop={_HOOK} before-shutdown",
        "TimeoutStopSec=90",
        "StateDirectory=so2cam-power",
        # The agent's socket belongs to its own user.
        *_hook(
            writable="-/var/lib/so2cam-power -/run/so2cam",
            network=True,
            capabilities="CAP_DAC_OVERRIDE",
            devices=devices,
        ),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]


def _clock() -> list[str]:
    confined = [
        *(line for line in _CONFINED if not line.startswith(("ProtectClock", "SystemCallFilter"))),
        "SystemCallFilter=@system-service @clock",
    ]
    return [
        "[Unit]",
        "Description=so2cam: the time of the power board, where the system's is behind",
        "Before=chrony.service gpsd.service time-set.target " + AGENT,
        "Wants=time-set.target",
        "After=systemd-modules-load.service",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        f"ExecStart={_HOOK} set-clock",
        "TimeoutStartSec=20",
        "ProtectHome=yes",
        *confined,
        "DeviceAllow=char-i2c rw",
        "RestrictAddressFamilies=none",
        "PrivateNetwork=yes",
        "CapabilityBoundingSet=CAP_SYS_TIME",
        "MemoryDenyWriteExecute=yes",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]


def _board_up() -> list[str]:
    return [
        "[Unit]",
        "Description=so2cam: tell the power board that the computer is up",
        # Late, as the board's lamp, which shares the line with a Witty Pi 4, must be off again.
        f"After={AGENT} {FOLLOWER}",
        f"ConditionPathExists=!{BOARD_SOFTWARE}",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        "ExecStartPre=/bin/sleep 10",
        f"ExecStart={_HOOK} board-up",
        "TimeoutStartSec=40",
        *_hook(writable="-/var/lib/so2cam-power", network=False, devices=("char-gpiochip",)),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]


def _mount(label: str) -> list[str]:
    # udev is asked to look at the disk again, by the rule that mounts it: so its options are the same as ever.
    confined = [line for line in _CONFINED if not line.startswith("ProtectKernelTunables")]
    return [
        "[Unit]",
        "Description=so2cam: mount the external disk that was released",
        "",
        "[Service]",
        "Type=oneshot",
        f"ExecStart=/usr/bin/udevadm trigger --action=add --subsystem-match=block --property-match=ID_FS_LABEL={label}",
        "TimeoutStartSec=20",
        "ProtectHome=yes",
        *confined,
        "RestrictAddressFamilies=AF_UNIX AF_NETLINK",
        "PrivateNetwork=yes",
        "CapabilityBoundingSet=",
        "MemoryDenyWriteExecute=yes",
    ]


def _has_clock(settings: InstallSettings) -> bool:
    return settings.node.power is not None and settings.node.power.driver in BOARDS


def _schedule_path(settings: InstallSettings) -> list[str]:
    return [
        "[Unit]",
        "Description=so2cam: watch for a new power schedule",
        "",
        "[Path]",
        f"PathChanged={settings.state}/schedule.wpi",
        f"Unit={SCHEDULE}",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]


def _schedule(settings: InstallSettings, board: str) -> list[str]:
    return [
        "[Unit]",
        "Description=so2cam: give the power board its schedule",
        "",
        "[Service]",
        "Type=oneshot",
        f"ExecStart={_HOOK} apply-schedule",
        "TimeoutStartSec=90",
        # Reads the file of the agent's user; the board's own program sets its registers.
        *_hook(
            writable=f"-{board}",
            network=False,
            capabilities="CAP_DAC_READ_SEARCH",
            devices=("char-i2c", "char-gpiochip"),
        ),
    ]


def _board_folder(settings: InstallSettings) -> str | None:
    schedule = settings.instrument.schedule
    if schedule is None or settings.node.power is None:
        return None
    return schedule.power.board_folder
