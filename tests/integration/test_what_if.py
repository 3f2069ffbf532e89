"""A line that is tried gives what it gives in the site file, pair after pair."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.status import EmissionStatus
from so2cam.formats.sitefile import load_site
from so2cam.pipeline import batch
from so2cam.pipeline.batch import process_folders
from so2cam.pipeline.records import PairImages
from so2cam.pipeline.truth import CELLS, merged, with_settings
from so2cam.pipeline.what_if import WhatIfLine
from so2cam.simulate import load_scenario, simulate
from so2cam.simulate.scenario import Scenario

PAIRS = 6


@pytest.mark.timeout(300)
def test_a_line_that_is_tried_gives_what_the_run_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_scenario("gusting").model_dump(mode="json")
    settings["view"]["optics"].update(width_px=324, height_px=243, pixel_pitch_um=11.2)
    settings["lines"]["length_px"] = 115
    settings["spectrometer"]["radius_px"] = 5.8
    settings["misregistration"]["shift_px"] = [6.0, -4.5]
    made = simulate(Scenario.model_validate_json(json.dumps(settings)), tmp_path, seed=3, pairs=PAIRS)
    loaded = load_site(made.site)
    first = loaded.settings["lines"][0]
    methods = {
        "processing": {"speed": {"methods": ["flow_raw", "flow_histogram"], "cross_correlation": {"lines": None}}},
        "lines": [first],
    }
    loaded = with_settings(loaded, merged(CELLS.settings, methods))
    seen: list[PairImages] = []
    monkeypatch.setattr(batch, "observers", lambda *_: seen.append)
    monkeypatch.setattr(batch, "write_quicklook", lambda path, *_, **__: path.write_bytes(b"not drawn"))
    report = process_folders(loaded, [made.frames], tmp_path / "out", command="test")
    assert len(seen) == PAIRS
    tried = WhatIfLine(loaded.site, made.site.parent, loaded.site.lines[0])
    rates = []
    for images, later in pairwise(seen):
        found = tried.measure(images, later)
        assert found.status is EmissionStatus.OK
        rates.append([found.emissions[method].rate for method in report.series.speed_methods])
    np.testing.assert_array_equal(rates, report.series.emission_rate_kg_s[:-1, 0])
    # One that saw nothing before knows the motion after the pair alone: in gusts another value.
    fresh = WhatIfLine(loaded.site, made.site.parent, loaded.site.lines[0]).measure(*seen[2:4])
    assert abs(fresh.emissions["flow_raw"].rate / rates[2][0] - 1) > 0.01
