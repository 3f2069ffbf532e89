"""Alarm rules in words, and their thresholds drawn."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from so2cam.core.site_alarms import (
    STANDARD_RULES,
    AlarmRule,
    BatteryRule,
    ClockRule,
    DiskRule,
    EmissionRateRule,
    HealthRule,
    InstrumentRule,
    NoDataRule,
    RateOfChangeRule,
)
from so2cam.station.alarms_observation import Measurement
from so2cam.station.alarms_store import Event
from so2cam.web.alarm_words import gauge_html, history_html, now_words, rule_words, scale_of, value_words
from so2cam.web.tables import ago_words, count, duration, size

RULES: list[tuple[AlarmRule, str]] = [
    (
        EmissionRateRule(type="emission-rate", name="a", above=10.0, for_s=300.0),
        "Emission rate in total: median of the last 2 min above 10 kg/s, for 5 min.",
    ),
    (
        EmissionRateRule(type="emission-rate", name="a", line="upstream", method="flow_raw", below=0.5),
        "Emission rate through upstream, by optical flow: median of the last 2 min below 0.5 kg/s.",
    ),
    (
        RateOfChangeRule(type="rate-of-change", name="a", relative=True, above=1.0),
        "Change of the emission rate in total within 10 min above +100 %.",
    ),
    (NoDataRule(type="no-data", name="a"), "Time without a new image, while the schedule wants some, above 15 min."),
    (
        NoDataRule(type="no-data", name="a", of="health", always=True, above=3600.0),
        "Time without news of the instrument, at any time, above 60 min.",
    ),
    (InstrumentRule(type="instrument", name="a"), "What the instrument says of itself is alarm, for 2 min."),
    (DiskRule(type="disk", name="a"), "Free share of any disk, of the instrument or the station, below 5 %, for 60 s."),
    (ClockRule(type="clock", name="a"), "How far the instrument's clock can be wrong above 1 s, for 5 min."),
    (BatteryRule(type="battery", name="a"), "Voltage of the supply below 11.8 V, for 2 min."),
    (
        HealthRule(type="health", name="a", quantity="system.load", node="lead", above=3.5),
        "system.load in the health record of lead above 3.5.",
    ),
    (
        HealthRule(type="health", name="a", quantity="system.cpu_temperature_c", above=75.0),
        "system.cpu_temperature_c in the health record above 75 °C.",
    ),
]


@pytest.mark.parametrize(("rule", "words"), RULES, ids=lambda value: getattr(value, "type", ""))
def test_a_rule_in_words(rule: AlarmRule, words: str) -> None:
    assert rule_words(rule) == words


@pytest.mark.parametrize("rule", [rule for rule, _ in RULES] + list(STANDARD_RULES), ids=lambda rule: rule.type)
@pytest.mark.parametrize("value", [None, 0.0, 1e-6, 0.5, 11.79, 5000.0, float("inf"), -3.0])
def test_everything_drawn_lies_on_the_bar(rule: AlarmRule, value: float | None) -> None:
    found = [Measurement("lead", value, "words")]
    html = gauge_html(rule, found)
    places = [float(text) for text in re.findall(r"left:([\d.]+)%", html)]
    assert all(0 <= place <= 100 for place in places)
    assert ('class="now"' in html) == (value is not None)
    scale = scale_of(rule, [] if value is None else [value])
    assert scale.low < rule.threshold < scale.high or rule.threshold in (scale.low, scale.high)
    assert scale.place(rule.threshold) != scale.place(rule.clears_at)
    assert now_words(rule, found)


def test_numbers_have_sensible_digits_and_units() -> None:
    battery, clock, instrument = RULES[8][0], RULES[7][0], RULES[5][0]
    assert value_words(battery, 12.6) == "12.60 V"
    assert value_words(clock, float("inf")) == "never set"
    assert value_words(clock, 0.00412) == "0.0041 s"
    assert value_words(instrument, 1.0) == "warning"
    assert value_words(RULES[0][0], 5.04) == "5.0 kg/s"
    assert value_words(RULES[2][0], -0.126) == "−13 %"
    assert value_words(battery, None) == "not known now"


def test_the_history_escapes_what_people_wrote() -> None:
    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    event = Event(
        1, "etna", "battery low", "<lead>", "alarm", "text", now, now + timedelta(minutes=5), "over", 11.7, 11.42, now,
        "<Ana>", "<script>x</script>",
    )  # fmt: skip
    html = history_html([event], {"battery low": RULES[8][0]}, {})
    assert "<script>" not in html
    assert "<Ana>" not in html
    assert "&lt;lead&gt;" in html
    assert "11.42 V" in html
    assert "5 min" in html


def test_amounts_and_times_in_words() -> None:
    assert [ago_words(value) for value in (-4, 3.2, 89, 120, 7300, 200_000)] == [
        "0 s ago", "3 s ago", "89 s ago", "2 min ago", "2 h ago", "2 d ago",
    ]  # fmt: skip
    assert [duration(value) for value in (0.25, 15, 90, 450, 7300, 400_000, 1e9, float("inf"), None)] == [
        "0.2 s", "15 s", "90 s", "7.5 min", "2 h", "4.6 days", "32 years", "for ever", "–",
    ]  # fmt: skip
    assert [size(value) for value in (0, 999, 1500, 2_100_000, 5.5e10, 7e13, None)] == [
        "0 B", "999 B", "1.50 kB", "2.10 MB", "55.0 GB", "70.0 TB", "–",
    ]  # fmt: skip
    assert [count(value) for value in (None, 0, 1234567)] == ["–", "0", "1\u202f234\u202f567"]
