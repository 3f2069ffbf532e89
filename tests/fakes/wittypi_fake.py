"""An imitation of the I2C registers of Witty Pi 3 and Witty Pi 4, behind the calls of ``smbus2.SMBus``.

After the vendor's register tables and the data sheets: Witty Pi 3 has a DS3231 at 0x68 and a microcontroller at 0x69,
Witty Pi 4 everything at 0x08. Nothing else answers: errno 121.
"""

from datetime import UTC, datetime


def bcd(number):
    return number // 10 << 4 | number % 10


class Bus:
    def __init__(self, version, now=None):
        self.version = version
        self.now = now or (lambda: datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC))
        self.failures = 0  # so many transfers fail, then all is well
        self.error = 121
        self.deaf = set()  # registers that do not take a value
        self.closed = False
        self.set_at = None
        if version == 3:
            self.chips = {0x68: dict.fromkeys(range(0x13), 0), 0x69: dict.fromkeys(range(20), 0)}
            controller = self.chips[0x69]
            controller[0] = 0x22
            controller[12], controller[15] = 255, 255
            self.chips[0x68][0x11], self.chips[0x68][0x12] = 0xE7, 0x40  # -24.75 C
            self.clock_address, self.clock = (
                0x68,
                {"second": 0, "minute": 1, "hour": 2, "weekday": 3, "day": 4, "month": 5, "year": 6},
            )
        else:
            self.chips = {0x08: dict.fromkeys(range(72), 0)}
            controller = self.chips[0x08]
            controller[0], controller[11], controller[12] = 0x26, 1, 7
            controller[19], controller[22] = 255, 255
            controller[50], controller[51] = 0x19, 0x20  # 25.125 C, high byte first
            self.clock_address = 0x08
            self.clock = {"second": 58, "minute": 59, "hour": 60, "day": 61, "weekday": 62, "month": 63, "year": 64}
        controller[1], controller[2] = 12, 34
        controller[3], controller[4] = 5, 12
        controller[5], controller[6] = 0, 76
        controller[7] = 1
        self.keep(self.now())

    def keep(self, time):
        chip = self.chips[self.clock_address]
        values = {"second": time.second, "minute": time.minute, "hour": time.hour, "day": time.day, "month": time.month}
        values |= {"weekday": time.isoweekday(), "year": time.year % 100}
        for key, register in self.clock.items():
            chip[register] = bcd(values[key])

    def _transfer(self, address):
        assert not self.closed
        if self.failures > 0:
            self.failures -= 1
            raise OSError(self.error, "Remote I/O error")
        if address not in self.chips:
            raise OSError(121, "Remote I/O error")
        return self.chips[address]

    def read_byte_data(self, address, register):
        return self._transfer(address)[register]

    def read_word_data(self, address, register):
        chip = self._transfer(address)
        return chip[register] | chip[register + 1] << 8

    def write_byte_data(self, address, register, value):
        assert 0 <= value <= 255
        chip = self._transfer(address)
        if register not in self.deaf:
            chip[register] = value

    def close(self):
        self.closed = True
