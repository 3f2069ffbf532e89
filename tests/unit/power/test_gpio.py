import errno
import os
import struct
from pathlib import Path

import pytest

from so2cam_power import gpio
from so2cam_power.clock import Clock
from so2cam_power.errors import PowerError


class Kernel:
    """The kernel's side of the GPIO character device, as ``linux/gpio.h`` describes it, for one line at a time."""

    def __init__(self, folder: Path, labels: dict[str, str]) -> None:
        self.folder, self.labels = folder, labels
        self.driven: dict[int, int] = {}
        self.outside: dict[int, int] = {}
        self.log: list[tuple[int, str]] = []
        self.busy: set[int] = set()
        self.requested: dict[int, tuple[int, int]] = {}
        for name in labels:
            (folder / name).touch()

    def ioctl(self, descriptor: int, request: int, data: bytearray) -> int:
        if request == gpio.CHIP_INFO:
            name = Path(f"/proc/self/fd/{descriptor}").readlink().name
            data[:] = struct.pack("=32s32sI", name.encode(), self.labels[name].encode(), 54)
        elif request == gpio.GET_LINE:
            assert len(data) == 592
            (number,) = struct.unpack_from("=I", data, 0)
            flags, attributes = struct.unpack_from("=QI", data, 288)
            lines, _ = struct.unpack_from("=II", data, 288 + 272)
            assert lines == 1
            assert data[256:288].rstrip(b"\0") == b"so2cam"
            if number in self.busy:
                raise OSError(errno.EBUSY, "Device or resource busy")
            if flags & gpio.OUTPUT:
                kind, _, values, mask = struct.unpack_from("=IIQQ", data, 288 + 32)
                assert (attributes, kind, mask) == (1, 2, 1)
                self.driven[number] = values & 1
                self.log.append((number, "low" if not values & 1 else "high"))
            else:
                self.driven.pop(number, None)
                self.log.append((number, "let go"))
            line = os.open(os.devnull, os.O_RDWR)
            self.requested[line] = (number, flags)
            struct.pack_into("=i", data, 588, line)
        elif request == gpio.GET_VALUES:
            number, flags = self.requested[descriptor]
            pulled = 1 if flags & gpio.PULL_UP else 0
            struct.pack_into("=Q", data, 0, self.outside.get(number, pulled))
        else:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        return 0


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(
        tmp_path, {"gpiochip0": "brcmvirt-gpio", "gpiochip1": "pinctrl-bcm2711", "gpiochip2": "raspberrypi-exp"}
    )


def lines(kernel: Kernel, waits: list[float]) -> gpio.HeaderLines:
    return gpio.HeaderLines(kernel.folder, ioctl=kernel.ioctl, clock=Clock(lambda: 0.0, waits.append))


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the fake kernel asks /proc for names")


@needs_proc
def test_a_pulse_pulls_to_ground_waits_and_lets_go(kernel: Kernel) -> None:
    waits: list[float] = []
    lines(kernel, waits).pulse_low(23, 0.5)
    assert kernel.log == [(23, "low"), (23, "let go")]
    assert waits == [0.5]
    assert kernel.driven == {}


@needs_proc
def test_a_board_on_the_header_is_told_by_a_high_level(kernel: Kernel) -> None:
    waits: list[float] = []
    lines(kernel, waits).pulse_high(17, 0.5)
    assert kernel.log == [(17, "high"), (17, "let go")]
    assert waits == [0.5]
    assert kernel.driven == {}


@needs_proc
def test_reading_tells_a_wire_from_none(kernel: Kernel) -> None:
    header = lines(kernel, [])
    assert header.chip().name == "gpiochip1"
    assert header.read(23, gpio.PULL_DOWN) is False
    assert header.read(23, gpio.PULL_UP) is True
    kernel.outside[23] = 1
    assert header.read(23, gpio.PULL_DOWN) is True
    assert kernel.driven == {}


@needs_proc
def test_descriptors_are_closed_whatever_happens(kernel: Kernel) -> None:
    header = lines(kernel, [])
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(20):
        header.pulse_low(16, 0.1)
        header.read(16, gpio.PULL_UP)
    kernel.busy.add(16)
    for _ in range(20):
        with pytest.raises(PowerError, match=r"GPIO 16 cannot be used: .*another program holds it"):
            header.pulse_low(16, 0.1)
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


@needs_proc
def test_a_computer_without_header_is_told(tmp_path: Path) -> None:
    with pytest.raises(PowerError, match="no GPIO header"):
        lines(Kernel(tmp_path, {}), []).pulse_low(23, 0.1)
    with pytest.raises(PowerError, match="no GPIO header"):
        lines(Kernel(tmp_path, {"gpiochip0": "gpio-mockup"}), []).pulse_low(23, 0.1)


def test_the_layout_is_the_kernels() -> None:
    # sizeof(struct gpio_v2_line_request) and the request numbers that follow from it, from linux/gpio.h:
    # _IOWR(0xB4, 0x07, 592), _IOWR(0xB4, 0x0E, 16), _IOR(0xB4, 0x01, 68).
    def number(direction: int, command: int, size: int) -> int:
        return direction << 30 | size << 16 | 0xB4 << 8 | command

    assert gpio._REQUEST.size == 592
    assert number(3, 0x07, 592) == gpio.GET_LINE
    assert number(3, 0x0E, 16) == gpio.GET_VALUES
    assert number(2, 0x01, 68) == gpio.CHIP_INFO
