"""Mounting the external disk where the agent looks for it, with options that its file system knows."""

import os
import re
import shutil
from pathlib import Path

from so2cam_power.commands import Runner, run
from so2cam_power.errors import PowerError
from so2cam_power.settings import Settings

# Common: nothing on the disk may run or become a device. Written data reaches the disk soon after it is asked to.
_COMMON = ("nosuid", "nodev", "noexec", "noatime")
_KINDS = {
    "ext4": ("ext4", ("commit=5",)),
    "exfat": ("exfat", ("uid={uid}", "gid={gid}", "umask=0027", "errors=remount-ro")),
    "ntfs": ("ntfs3", ("uid={uid}", "gid={gid}", "umask=0027", "windows_names")),
    "vfat": ("vfat", ("uid={uid}", "gid={gid}", "umask=0027", "errors=remount-ro")),
}
_DEVICE = re.compile(r"/dev/[A-Za-z0-9]+")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def mount_disk(settings: Settings, device: str, runner: Runner = run) -> str:
    """Mount ``device`` at ``mount_folder``/label and return what was done.

    Raises PowerError where its label is none of the site file's, its file system is unknown, or the mount fails.
    """
    require_device(device)
    label, kind = _probe(device, runner)
    if label not in settings.disk_labels:
        raise PowerError(f"{device} is labelled {label!r}, which the site file does not name; it is left alone")
    if kind not in _KINDS:
        raise PowerError(f"{device} has a file system {kind!r}; use ext4, exFAT or NTFS")
    target = Path(settings.mount_folder) / label
    target.mkdir(parents=True, exist_ok=True)
    if os.path.ismount(target):
        return f"something is mounted on {target} already"
    user, group = _owner(settings.owner)
    name, extra = _KINDS[kind]
    options = ",".join([*_COMMON, *(each.format(uid=user, gid=group) for each in extra)])
    runner(["mount", "-t", name, "-o", options, device, str(target)], 30.0)
    if kind == "ext4":
        shutil.chown(target, settings.owner, settings.owner)
    return f"{device} ({label}, {kind}) is mounted on {target}"


def unmount_disk(settings: Settings, device: str, runner: Runner = run) -> str:
    """Unmount ``device``, which may be gone already; what is still open on it ends with an error there."""
    require_device(device)
    runner(["umount", "--lazy", device], 30.0)
    return f"{device} is unmounted"


def require_device(device: str) -> None:
    """Raise PowerError for anything but a plain name in /dev."""
    if not _DEVICE.fullmatch(device):
        raise PowerError(f"{device!r} is no disk, like /dev/sda1")


def _probe(device: str, runner: Runner) -> tuple[str, str]:
    """Return label and file system. The label is used in a path: anything but plain names is refused."""
    values = {}
    for line in runner(["blkid", "--probe", "--output", "export", device], 20.0).splitlines():
        key, _, value = line.partition("=")
        values[key] = value
    label = values.get("LABEL", "")
    if not _LABEL.fullmatch(label):
        raise PowerError(f"{device} has no label, or one with other signs than letters, digits, - and _: {label!r}")
    return label, values.get("TYPE", "")


def _owner(name: str) -> tuple[int, int]:
    import grp
    import pwd

    try:
        return pwd.getpwnam(name).pw_uid, grp.getgrnam(name).gr_gid
    except KeyError:
        raise PowerError(f"there is no user {name}; run `so2cam instrument install` again") from None
