"""User, folders, journal, hardware watchdog: what every node needs of its operating system."""

from pathlib import PurePosixPath
from typing import Final

from so2cam.instrument.disks import MOUNT_SERVICE, mount_unit
from so2cam.instrument.install.files import HEADER, InstallFile, text_file
from so2cam.instrument.install.settings import CONFIGURATION, MEDIA, SITE_FILE, STATE, USER, InstallSettings
from so2cam.instrument.install.units import GROUPS

_MOUNTS: Final = mount_unit(PurePosixPath(MEDIA)).removesuffix(".mount")
_POLKIT: Final = rf"""// {HEADER.removeprefix("# ")}
// The agent may switch the computer off, on a weak battery and when it is asked to, and reboot it; it may unmount the
// external disk, and have it mounted again.
polkit.addRule(function (action, subject) {{
  var allowed = [
    "org.freedesktop.login1.power-off",
    "org.freedesktop.login1.power-off-multiple-sessions",
    "org.freedesktop.login1.power-off-ignore-inhibit",
    "org.freedesktop.login1.reboot",
    "org.freedesktop.login1.reboot-multiple-sessions",
    "org.freedesktop.login1.reboot-ignore-inhibit",
  ];
  if (subject.user === "{USER}" && allowed.indexOf(action.id) >= 0) {{
    return polkit.Result.YES;
  }}
  if (subject.user === "{USER}" && action.id === "org.freedesktop.systemd1.manage-units") {{
    var unit = action.lookup("unit"), verb = action.lookup("verb");
    var unmounts = verb === "stop" && /^{_MOUNTS}-[^\/]*\.mount$/.test(unit);
    if (unmounts || (verb === "start" && unit === "{MOUNT_SERVICE}")) {{
      return polkit.Result.YES;
    }}
  }}
  return polkit.Result.NOT_HANDLED;
}});
"""


def basic_files(settings: InstallSettings) -> list[InstallFile]:
    """Return the files of a node that do not depend on its network, clock or devices, and the site file itself."""
    folders = [
        f"d {STATE} 0750 {USER} {USER} -",
        f"d {CONFIGURATION} 0755 root root -",
        f"d {MEDIA} 0755 root root -",
    ]
    if not settings.data.startswith(f"{STATE}/"):
        folders.append(f"d {settings.data} 0750 {USER} {USER} -")
    return [
        text_file(
            "/etc/sysusers.d/so2cam.conf",
            [f'u {USER} - "so2cam instrument" {STATE}', *(f"m {USER} {group}" for group in GROUPS)],
        ),
        text_file("/etc/tmpfiles.d/so2cam.conf", folders),
        text_file(
            "/etc/systemd/journald.conf.d/so2cam.conf",
            [
                "[Journal]",
                "# The log survives a power cut (but for its last minute) and never fills the card.",
                "Storage=persistent",
                "SystemMaxUse=200M",
                "SystemKeepFree=1G",
                "SyncIntervalSec=1min",
            ],
        ),
        text_file(
            "/etc/systemd/system.conf.d/so2cam.conf",
            [
                "[Manager]",
                "# The board's own watchdog restarts a computer that hangs; it takes 15 s at most.",
                "RuntimeWatchdogSec=14",
                "RebootWatchdogSec=2min",
                "DefaultTimeoutStopSec=30",
            ],
        ),
        text_file(
            "/etc/sysctl.d/60-so2cam.conf",
            [
                "# A kernel that gives up restarts. Writes that are not forced to the disk wait for seconds only.",
                "kernel.panic = 10",
                "kernel.panic_on_oops = 1",
                "vm.dirty_expire_centisecs = 500",
                "vm.dirty_writeback_centisecs = 200",
            ],
        ),
        InstallFile("/etc/polkit-1/rules.d/70-so2cam.rules", _POLKIT.encode()),
        # Root's, so that only an installation changes them; everybody may read them.
        InstallFile(SITE_FILE, settings.site_bytes),
        *(InstallFile(f"{STATE}/{name}", content) for name, content in settings.site_files),
    ]
