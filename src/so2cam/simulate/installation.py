"""A simulated installation that runs now: site file, calibration frames of ten minutes ago, and simulated devices.

The devices look at the volcano of ``simulate.live``, whose truth is known to whoever opens the same scene.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from so2cam.core.times import format_utc, require_utc
from so2cam.simulate.live import LiveScene
from so2cam.simulate.run import simulate
from so2cam.simulate.scenario import Scenario, load_scenario
from so2cam.store.atomic import atomic_write_bytes

NODE: Final = "demo"
_METHODS: Final = re.compile(r"^methods = \[.*\]$", re.MULTILINE)
_AT_ONCE: Final = 'methods = ["flow_raw"]  # at once; cross-correlation waits until its window is over'

_INSTRUMENT: Final = """
# ------------------------------------------------------------------------------------------------- the instrument

[instrument.acquisition]
period_s = {period_s}

[instrument.storage]
folder = "instrument"

[instrument.link]
address = "127.0.0.1"
port = {port}

[instrument.health]
interval_s = 5.0

[[instrument.nodes]]
name = "{node}"
"""
_STATION: Final = """
# ---------------------------------------------------------------------------------------------------- the station

[station]
folder = "station"
hold_back_s = 1.0  # on one machine nothing comes late
products_every_s = 10.0
api = {{ port = 0 }}  # any free one

[station.transfer]
poll_s = 0.1

[[station.watch]]  # the calibration frames of ten minutes ago
name = "calibration"
folder = "frames"
settle_s = 0.0
every_s = 0.2
"""
_CAMERA: Final = """
[[instrument.nodes.devices]]
type = "camera"
name = "camera-{band}"
driver = "simulated"
band = "{band}"
exposure_s = {exposure_s}  # that of the calibration frames
automatic = {{ enabled = false }}
options = {{ scene = "live", scenario = "{scenario}", seed = {seed}, start = "{start}" }}
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """A simulated installation: its site file, the folder of its calibration frames, and the volcano that it sees."""

    site: Path
    calibration: Path
    scenario: Scenario
    seed: int
    start: datetime

    def open_scene(self) -> LiveScene:
        """Return the volcano, whose emission rates are the truth."""
        return LiveScene(self.scenario, self.seed, self.start)


def write_installation(
    out: Path, scenario: str, *, seed: int, start: datetime, period_s: float = 1.0, port: int = 8443
) -> Installation:
    """Write an installation into ``out`` whose scenario starts at ``start`` (aware).

    The devices capture on the grid of ``period_s``; the instrument's link listens on ``port`` of this computer, and a
    station is to fetch from it. Raises InputError for a scenario that is not known, OutputError where ``out`` holds
    frames already.
    """
    begin = require_utc(start).replace(microsecond=0)
    loaded = load_scenario(scenario).model_copy(update={"start": begin})
    made = simulate(loaded, out, seed=seed, pairs=1)
    site = _METHODS.sub(_AT_ONCE, made.site.read_text(encoding="utf-8"), count=1)
    text = site + _INSTRUMENT.format(period_s=period_s, node=NODE, port=port)
    for band, exposure_s in (("on", loaded.sensor.exposure_on_s), ("off", loaded.sensor.exposure_off_s)):
        text += _CAMERA.format(band=band, exposure_s=exposure_s, scenario=scenario, seed=seed, start=format_utc(begin))
    text += _STATION.format()
    atomic_write_bytes(made.site, text.encode())
    return Installation(made.site, made.frames, loaded, seed, begin)
