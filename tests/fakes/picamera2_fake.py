"""An imitation of picamera2 0.3 on Raspberry Pi OS, as far as the driver needs it.

After its documentation and source text: cameras are listed by ``global_camera_info``; a job hands over the next
request that completes; controls go with the next request that is queued and work some frames later; metadata tell
what each frame really had; a raw buffer is a flat array of bytes with padded rows; on a Raspberry Pi 5 unpacked raw
formats become 16 bits with the pixel at the high end. Time is that of a ``SteppedClock``, which it moves on.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

LINE_S = 28e-6
CONTROLS = {
    "AeEnable": (False, True, None),
    "AwbEnable": (False, True, None),
    "ExposureTime": (130, 3_066_979, 20_000),
    "AnalogueGain": (1.0, 63.9375, 1.0),
    "FrameDurationLimits": (63_965, 3_067_225, 33_333),
}


@dataclass
class World:
    """What the imitation shows, and what is wrong with it."""

    clock: object
    models: tuple[str, ...] = ("ov5647", "ov5647")
    size: tuple[int, int] = (256, 192)
    lag: int = 6
    pi5: bool = False
    rate_dn_s: float = 2000.0
    granted_format: str | None = None
    hang: bool = False
    gone: bool = False
    ignore_settings: bool = False
    busy: bool = False
    above_bits: bool = False
    without: tuple[str, ...] = ()
    open_cameras: set[int] = field(default_factory=set)
    released: int = 0
    taken: int = 0
    true_middles: list[float] = field(default_factory=list)


class Request:
    def __init__(self, camera, frame):
        self._camera, self.frame, self._released = camera, frame, False

    def get_metadata(self):
        frame = self.frame
        metadata = {
            "SensorTimestamp": round(frame["readout_s"] * 1e9),
            "ExposureTime": round(frame["exposure_s"] * 1e6),
            "AnalogueGain": frame["gain"],
            "DigitalGain": 1.0,
            "FrameDuration": round(frame["duration_s"] * 1e6),
            "ColourGains": (1.5, 1.2),
            "SensorTemperature": 31.0,
            "ScalerCrop": (0, 0, *self._camera.sensor_resolution),
        }
        return {key: value for key, value in metadata.items() if key not in self._camera.world.without}

    def make_buffer(self, name):
        if name != "raw":
            raise RuntimeError(f"Stream {name!r} is not defined")
        return self._camera.render(self.frame)

    def release(self):
        assert not self._released, "a request was released twice"
        self._released = True
        self._camera.world.released += 1


class Job:
    def __init__(self, request):
        self.request = request


class Picamera2:
    world: World

    @classmethod
    def global_camera_info(cls):
        place = "/base/soc/i2c0mux/i2c@{}/{}@36"
        return [
            {"Model": model, "Location": 2, "Rotation": 0, "Id": place.format(number, model), "Num": number}
            for number, model in enumerate(cls.world.models)
        ]

    @staticmethod
    def load_tuning_file(name):
        return {"file": name}

    def __init__(self, camera_num=0, verbose_console=None, tuning=None):
        if self.world.busy or camera_num in self.world.open_cameras:
            raise RuntimeError("Camera __init__ sequence did not complete.")
        if camera_num >= len(self.world.models):
            raise IndexError("list index out of range")
        self.number, self.tuning = camera_num, tuning
        self.world.open_cameras.add(camera_num)
        self.sensor_resolution = self.world.size
        self.camera_properties = {"Model": self.world.models[camera_num]}
        self._configuration = None
        self._log = []  # (from which frame, controls)
        self._state = {"ExposureTime": 20_000, "AnalogueGain": 1.0, "FrameDurationLimits": (63_965, 120_000)}
        self._number = 0
        self._started = False
        self._next_start = 0.0

    @property
    def camera_controls(self):
        return dict(CONTROLS)

    def create_still_configuration(self, main, raw, buffer_count, queue, display, encode, transform=None):
        assert queue is False, "a queued frame may be an old one"
        return {"main": dict(main), "raw": dict(raw), "buffer_count": buffer_count, "transform": transform}

    def configure(self, configuration):
        name = self.world.granted_format or configuration["raw"]["format"]
        if self.world.pi5 and self.world.granted_format is None:
            name = "PISP_COMP1" if name.endswith("_CSI2P") else name.replace("10", "16")
        width, height = configuration["raw"]["size"]
        row = width // 4 * 5 if name.endswith("_CSI2P") else 2 * width
        self._configuration = {
            "raw": {"format": name, "size": (width, height), "stride": (row + 63) // 64 * 64},
            "sensor": {"bit_depth": 10, "output_size": self.sensor_resolution},
        }

    def camera_configuration(self):
        return self._configuration

    def set_controls(self, controls):
        for key in controls:
            if key not in CONTROLS:
                raise RuntimeError(f"Control {key} is not advertised by libcamera")
        lag = self.world.lag if self._started else 0
        self._log.append((self._number + lag, dict(controls)))

    def start(self):
        assert self._configuration is not None
        self._started = True
        self._next_start = self.world.clock.monotonic_s() + 0.01

    def stop(self):
        self._started = False

    def close(self):
        self.world.open_cameras.discard(self.number)

    def capture_request(self, wait=None, signal_function=None):
        if self.world.gone:
            raise RuntimeError("Failed to queue request: No such device")
        job = Job(None)
        if self.world.hang:
            return job
        job.request = Request(self, self._next_frame())
        self.world.taken += 1
        if signal_function is not None:
            signal_function(job)
        return job

    def wait(self, job):
        return job.request

    def _next_frame(self):
        """The first frame that completes from now on; those before went to nobody."""
        while True:
            if not self.world.ignore_settings:
                for _, controls in [entry for entry in self._log if entry[0] <= self._number]:
                    self._state.update(controls)
                self._log = [entry for entry in self._log if entry[0] > self._number]
            lines = max(4, int(self._state["ExposureTime"] * 1e-6 / LINE_S))
            exposure = lines * LINE_S
            low, _ = self._state["FrameDurationLimits"]
            duration = max(low * 1e-6, exposure + 4 * LINE_S, CONTROLS["FrameDurationLimits"][0] * 1e-6)
            # The frame's readout begins when its period ends; the next frame is exposed meanwhile.
            readout_begins = self._next_start + duration
            readout = CONTROLS["FrameDurationLimits"][0] * 1e-6
            frame = {
                "number": self._number,
                "exposure_s": exposure,
                "gain": float(self._state["AnalogueGain"]),
                "duration_s": duration,
                "readout_s": readout_begins,
                "middle_s": readout_begins + readout / 2 - exposure / 2,
            }
            self._number += 1
            self._next_start = readout_begins
            done = readout_begins + readout + 0.004
            now = self.world.clock.monotonic_s()
            if done >= now:
                self.world.clock.advance(done - now)
                return frame

    def render(self, frame):
        raw = self._configuration["raw"]
        width, height = raw["size"]
        rng = np.random.default_rng(frame["number"])
        level = 16 + self.world.rate_dn_s * frame["exposure_s"] * frame["gain"]
        ramp = np.linspace(0.8, 1.0, width)[None, :] * np.linspace(1.0, 0.9, height)[:, None]
        counts = np.clip(np.rint(level * ramp + 2 * rng.standard_normal((height, width))), 0, 1023).astype(np.uint16)
        if self.world.above_bits:
            counts[5, 5] = 5000
        self.world.true_middles.append(frame["middle_s"])
        self.last_counts = counts
        return pack(counts, raw["format"], raw["stride"])


def pack(counts, name, stride):
    """Lay counts into bytes as the sensor's receiver does, with random bytes as padding."""
    height, width = counts.shape
    rows = np.random.default_rng(0).integers(0, 256, (height, stride), np.uint8)
    if name.endswith("_CSI2P"):
        groups = counts.reshape(height, width // 4, 4)
        packed = np.empty((height, width // 4, 5), np.uint8)
        packed[:, :, :4] = groups >> 2
        low = groups & 3
        packed[:, :, 4] = low[:, :, 0] | low[:, :, 1] << 2 | low[:, :, 2] << 4 | low[:, :, 3] << 6
        rows[:, : width // 4 * 5] = packed.reshape(height, -1)
    else:
        shifted = counts << 6 if name.endswith("16") else counts
        rows[:, : 2 * width] = shifted.astype("<u2").view(np.uint8)
    return rows.reshape(-1)


def make_vendor(world):
    """The module, looking at ``world``."""
    return SimpleNamespace(Picamera2=type("Picamera2", (Picamera2,), {"world": world}))
