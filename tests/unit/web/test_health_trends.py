"""What the health page draws of health records, and the limits beside it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from so2cam.core.health import ClockHealth, DeviceHealth, DiskHealth, HealthRecord, Level
from so2cam.formats.sitefile import load_site
from so2cam.web.health_trends import RANGES, Limit, limits_of, plots, seconds_of, step_of

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BENCH = Path(__file__).parents[3] / "examples" / "bench" / "site.toml"


def record(volts: float | None, free: int | None) -> dict[str, object]:
    made = HealthRecord(
        time=T0,
        node="lead",
        site="etna",
        version="1",
        reason="minute",
        level=Level.OK,
        summary="well",
        activity="",
        devices=(
            DeviceHealth(name="camera-on", role="camera", exposure_s=0.25),
            DeviceHealth(name="power", role="power", readings={} if volts is None else {"input_voltage_v": volts}),
        ),
        disks=(DiskHealth(name="spool", path="/data", present=True, free_bytes=free, total_bytes=1000),),
        clock=ClockHealth(quality="ntp", offset_s=-0.002),
    )
    return json.loads(made.model_dump_json())  # type: ignore[no-any-return]


def test_numbers_come_in_their_unit_and_gaps_stay_gaps() -> None:
    records = [(T0, record(12.5, 500)), (T0 + timedelta(seconds=60), record(None, 250))]
    found = plots(records, [(T0, 1.25)], [])
    charts = {chart["key"]: chart for chart in found["charts"]}
    assert charts["supply"]["series"] == [
        {"label": "power", "points": [[T0.timestamp(), 12.5], [T0.timestamp() + 60, None]]}
    ]
    assert [value for _, value in charts["disk"]["series"][0]["points"]] == [50.0, 25.0]
    assert charts["exposure"]["series"][0]["label"] == "camera-on"
    assert charts["exposure"]["series"][0]["points"][0][1] == 250.0
    assert [one["label"] for one in charts["clock"]["series"]] == ["offset"]
    assert charts["clock"]["series"][0]["points"][0][1] == -2.0
    assert charts["delay"]["series"][0]["points"] == [[T0.timestamp(), 1.25]]
    assert "Temperatures" in found["missing"]
    assert "Supply voltage" not in found["missing"]


def test_nothing_is_drawn_of_nothing() -> None:
    found = plots([], [], [])
    assert found["charts"] == []
    assert len(found["missing"]) > 5


def test_a_limit_is_drawn_once_in_the_unit_of_its_chart() -> None:
    limit = Limit("disks.spool.free_fraction", 0.05, "below", "alarm", "disk nearly full")
    found = plots([(T0, record(12.5, 500))], [], [limit, limit, Limit("other.thing", 1.0, "above", "alarm", "other")])
    charts = {chart["key"]: chart for chart in found["charts"]}
    assert charts["disk"]["limits"] == [{"value": 5.0, "side": "below", "level": "alarm", "name": "disk nearly full"}]
    assert charts["supply"]["limits"] == []


def test_limits_are_those_of_the_site_file_for_the_node() -> None:
    site = load_site(BENCH).site
    found = {(limit.quantity, limit.value, limit.side) for limit in limits_of(site, "lead", record(12.5, 500))}
    assert ("devices.power.readings.input_voltage_v", 11.8, "below") in found
    assert ("disks.spool.free_fraction", 0.05, "below") in found
    assert ("clock.offset_s", 1.0, "above") in found


@pytest.mark.parametrize("name", [key for key, _, _ in RANGES])
def test_a_plot_has_some_hundred_points_at_most(name: str) -> None:
    seconds = seconds_of(name)
    assert seconds / step_of(seconds) <= 400
    assert step_of(seconds) >= 10


def test_an_unknown_range_is_the_first() -> None:
    assert seconds_of("for ever") == 3600
