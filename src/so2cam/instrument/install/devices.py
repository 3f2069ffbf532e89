"""Devices: who may use them, the external disk, and the boot settings that they need."""

import re
from typing import Final

from so2cam.core.site_devices import CameraDevice
from so2cam.instrument.install.files import InstallFile, block_file, text_file
from so2cam.instrument.install.settings import BOARD_HALT_GPIO, MEDIA, USER, InstallError, InstallSettings

UDEV: Final = "/etc/udev/rules.d/70-so2cam.rules"
BOOT: Final = "/boot/firmware/config.txt"
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
# Nothing on the disk can run or become a device. The owner is the agent's user where the file system has no owners.
_COMMON: Final = "nosuid,nodev,noexec,noatime"
_MOUNTS: Final = (
    ("exfat", "exfat", f"uid={USER},gid={USER},umask=0027,errors=remount-ro"),
    ("ntfs", "ntfs3", f"uid={USER},gid={USER},umask=0027,windows_names"),
    ("vfat", "vfat", f"uid={USER},gid={USER},umask=0027,errors=remount-ro"),
    ("ext4", "ext4", f"X-mount.owner={USER},X-mount.group={USER}"),
)
_OCEAN_VENDORS: Final = ("2457", "0999")
"""USB vendor numbers of Ocean Insight, old and new"""


def mirror_label(settings: InstallSettings) -> str | None:
    """Return the label of the external disk, if the site file names one. Raises InstallError for an odd one."""
    mirror = settings.instrument.storage_of(settings.node).mirror
    if mirror is None or mirror.label is None:
        return None
    if not _LABEL.fullmatch(mirror.label):
        raise InstallError(
            "the label of a disk that is mounted by itself has only letters, digits and _ . -",
            key="instrument.storage.mirror.label",
            value=mirror.label,
            remedy="give the disk another label",
        )
    return mirror.label


def device_files(settings: InstallSettings) -> list[InstallFile]:
    """Return the udev rules."""
    lines = ["# Spectrometers: for the agent's group, and never put to sleep."]
    lines += [
        f'SUBSYSTEM=="usb", ENV{{DEVTYPE}}=="usb_device", ATTR{{idVendor}}=="{vendor}", MODE="0660", GROUP="plugdev", '
        'TEST=="power/control", ATTR{power/control}="on"'
        for vendor in _OCEAN_VENDORS
    ]
    label = mirror_label(settings)
    if label is not None:
        lines += ["", "# The external disk: mounted when it is plugged in, with options that its file system knows."]
        lines += [_mount_rule(label, *each) for each in _MOUNTS]
    return [text_file(UDEV, lines)]


def _mount_rule(label: str, kind: str, driver: str, options: str) -> str:
    # systemd-mount asks the service manager: what udev itself mounted, nobody else would see. The mount goes with the
    # disk when that is pulled out.
    command = (
        f"/usr/bin/systemd-mount --no-block --collect --fsck=no --type={driver} "
        f"--options={_COMMON},{options} $devnode {MEDIA}/{label}"
    )
    return (
        f'ACTION=="add", SUBSYSTEM=="block", ENV{{ID_FS_LABEL}}=="{label}", ENV{{ID_FS_TYPE}}=="{kind}", '
        f'RUN{{program}}+="{command}"'
    )


def boot_files(settings: InstallSettings) -> list[InstallFile]:
    """Return the part of the boot settings, and the kernel's modules, that the node's devices and wires need."""
    node = settings.node
    lines = ["[all]", "dtparam=watchdog=on"]
    if node.power is not None:
        lines.append("dtparam=i2c_arm=on")
    if settings.drives_board or (node.time.gps is not None and node.time.gps.startswith("/dev/serial")):
        lines.append("enable_uart=1")
    if settings.drives_board:
        # By the serial output the board sees that the computer has halted; a Raspberry Pi 5 has it off by itself.
        lines += ["[pi5]", "dtparam=uart0=on", "[all]"]
        lines.append(f"dtoverlay=gpio-shutdown,gpio_pin={BOARD_HALT_GPIO},active_low=1,gpio_pull=up,debounce=100")
    if node.role == "follower":
        inputs = {} if node.gpio is None else node.gpio.inputs
        if inputs.get("start", 3) == 3 and node.power is None:
            # GPIO 3 wakes a halted computer; as the clock of an I2C bus it would be pulled about.
            lines.append("dtparam=i2c_arm=off")
        stop = inputs.get("stop", 21)
        lines.append(f"dtoverlay=gpio-shutdown,gpio_pin={stop},active_low=1,gpio_pull=up,debounce=100")
    # Both ribbon cables are found by themselves unless the image was told otherwise.
    if any(isinstance(device, CameraDevice) and device.driver == "picamera2" for device in node.enabled):
        lines.append("camera_auto_detect=1")
    files = [block_file(BOOT, lines, needs="/boot/firmware")]
    if node.power is not None:
        # The bus alone is not enough: without this module there is no /dev/i2c-1.
        files.append(text_file("/etc/modules-load.d/so2cam.conf", ["i2c-dev"]))
    return files
