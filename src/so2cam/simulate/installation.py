"""A simulated installation that runs now: site file, calibration files of ten minutes ago, and simulated devices.

Two cameras and a spectrometer look at the volcano of ``simulate.live``, whose truth is known to whoever opens the same
scene. The gas cells calibrate until the spectrometer has seen enough; from then on both do, in one fit.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from so2cam.core.times import format_utc, require_utc
from so2cam.simulate.live import LiveScene
from so2cam.simulate.run import simulate
from so2cam.simulate.scenario import Scenario, load_scenario
from so2cam.simulate.scene import build_scene
from so2cam.store.atomic import atomic_write_bytes

NODE: Final = "demo"
_PAUSE_S: Final = 0.2
"""Least time between spectra [s]"""
_SOURCE: Final = re.compile(r'^source = "cells"$', re.MULTILINE)
_JOINT: Final = 'source = "joint"  # gas cells at first, then the spectrometer with them'
_CALIBRATION: Final = """
# ------------------------------------------------------------------------------- the calibration by the spectrometer

[processing.calibration.spectrometer]
policy = "rolling"
window_s = 300.0
refit_s = 5.0
minimum_points = 10

[processing.calibration.spectrometer.field_of_view]  # as a search over an earlier day found it
source = "given"
x = {x}
y = {y}
radius_px = {radius_px}
images = 300
minimum_images = 10
"""

_INSTRUMENT: Final = """
# ------------------------------------------------------------------------------------------------- the instrument

[instrument.acquisition]
period_s = {period_s}
spectrum_period_s = {spectrum_period_s}

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

[[station.watch]]  # and the dark spectra
name = "dark-spectra"
folder = "spectra"
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
_SPECTROMETER: Final = """
[[instrument.nodes.devices]]
type = "spectrometer"
name = "spectrometer"
driver = "simulated"
integration_time_s = {integration_time_s}
coadds = {coadds}
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
    site = _SOURCE.sub(_JOINT, made.site.read_text(encoding="utf-8"), count=1)
    model = loaded.spectrometer
    duration_s = model.integration_time_s * model.coadds
    spectrum_period_s = float(max(period_s, math.ceil(duration_s + _PAUSE_S)))
    view = build_scene(loaded, seed=seed).spectrometer.view
    text = site + _CALIBRATION.format(x=round(view.x, 2), y=round(view.y, 2), radius_px=round(view.radius_px, 2))
    text += _INSTRUMENT.format(period_s=period_s, spectrum_period_s=spectrum_period_s, node=NODE, port=port)
    for band, exposure_s in (("on", loaded.sensor.exposure_on_s), ("off", loaded.sensor.exposure_off_s)):
        text += _CAMERA.format(band=band, exposure_s=exposure_s, scenario=scenario, seed=seed, start=format_utc(begin))
    text += _SPECTROMETER.format(
        integration_time_s=model.integration_time_s,
        coadds=model.coadds,
        scenario=scenario,
        seed=seed,
        start=format_utc(begin),
    )
    text += _STATION.format()
    atomic_write_bytes(made.site, text.encode())
    return Installation(made.site, made.frames, loaded, seed, begin)
