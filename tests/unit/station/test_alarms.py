"""Alarm rules: what begins an event, what ends it, and that each is kept and told once."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.core.errors import InputError, So2camError
from so2cam.core.health import ClockHealth, DeviceHealth, DiskHealth, HealthRecord, Level
from so2cam.core.site import Site
from so2cam.core.site_alarms import Alarms, AlarmTarget
from so2cam.formats.sitefile import load_site
from so2cam.station.alarms import AlarmKeeper, Notifier, Sender, compose, expected_since
from so2cam.station.alarms_observation import Observation, RateSeries, measure
from so2cam.station.alarms_state import RuleState, Step, advance
from so2cam.station.alarms_store import AlarmStore

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "bench" / "site.toml"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STRONG = {"type": "emission-rate", "name": "strong", "above": 10.0, "clear": 8.0, "for_s": 60.0, "average_s": 30.0}


def site(rules: Sequence[dict[str, Any]], targets: Sequence[str] = ("duty",), **more: Any) -> Site:
    settings = load_site(EXAMPLE).site.model_dump(mode="json")
    named = [{"name": name, "url_environment": "SO2CAM_TEST"} for name in targets]
    settings["alarms"] = {"standard": False, "rules": list(rules), "targets": named, **more}
    return Site.model_validate_json(json.dumps(settings))


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def rates(values: Sequence[float], *, end: datetime, step_s: float = 1.0) -> RateSeries:
    times = end.timestamp() - step_s * np.arange(len(values))[::-1]
    return RateSeries(times, np.asarray(values, float))


def health(
    time: datetime, *, level: Level = Level.OK, volts: float | None = 12.8, free: float = 0.5, **clock: Any
) -> HealthRecord:
    readings = {} if volts is None else {"input_voltage_v": volts}
    return HealthRecord(
        time=time,
        node="lead",
        site="bench",
        version="1",
        reason="minute",
        level=level,
        summary="all is as it should be",
        activity="capture",
        devices=(DeviceHealth(name="power", role="power", readings=readings),),
        disks=(DiskHealth(name="spool", path="/d", present=True, free_bytes=int(free * 1000), total_bytes=1000),),
        clock=ClockHealth(**{"quality": "ntp", "maximum_error_s": 0.01, **clock}),
    )


def seen(seconds: float, rate: float | None = None, **more: Any) -> Observation:
    series = {} if rate is None else {("total", "flow_raw"): rates([rate] * 40, end=at(seconds))}
    return Observation(at(seconds), since=NOON - timedelta(days=1), rates=series, **more)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AlarmStore]:
    with AlarmStore(tmp_path / "alarms.sqlite") as opened:
        yield opened


class Post(Sender):
    """Takes messages, or refuses them while ``broken``."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str]] = []
        self.broken = False

    def send(self, target: AlarmTarget, title: str, body: str) -> None:
        if self.broken:
            raise So2camError("no route to the post office")
        self.sent.append((target.name, title, body))


class TestEvents:
    def test_a_rate_must_be_high_for_so_long_and_ends_with_hysteresis(self, store: AlarmStore) -> None:
        keeper = AlarmKeeper(site([STRONG]), store)
        assert keeper.observe(seen(0, 11.0)) == []
        assert keeper.observe(seen(59, 11.0)) == []
        (begun,) = keeper.observe(seen(60, 11.0))
        assert begun.step is Step.BEGINS
        assert begun.event.value == 11.0
        assert "11 kg/s, above 10 for 60 s" in begun.event.text
        assert keeper.observe(seen(70, 25.0)) == []
        assert keeper.observe(seen(80, 9.0)) == [], "between clear and threshold it goes on"
        assert keeper.observe(seen(90, 11.0)) == []
        (ended,) = keeper.observe(seen(100, 7.9))
        assert ended.step is Step.ENDS
        assert ended.event.extreme == 25.0
        assert ended.event.ended == at(100)

    def test_a_short_rise_is_none(self, store: AlarmStore) -> None:
        keeper = AlarmKeeper(site([STRONG]), store)
        for second in range(0, 300, 50):
            assert keeper.observe(seen(second, 11.0)) == []
            assert keeper.observe(seen(second + 30, 9.9)) == []

    def test_a_new_program_goes_on_where_the_last_was(self, store: AlarmStore) -> None:
        AlarmKeeper(site([STRONG]), store).observe(seen(0, 11.0))
        (begun,) = AlarmKeeper(site([STRONG]), store).observe(seen(61, 11.0))
        assert AlarmKeeper(site([STRONG]), store).observe(seen(62, 12.0)) == []
        (ended,) = AlarmKeeper(site([STRONG]), store).observe(seen(63, 1.0))
        assert ended.event.id == begun.event.id
        assert len(store.events()) == 1

    def test_an_event_whose_rule_is_gone_ends_unsaid(self, store: AlarmStore) -> None:
        keeper = AlarmKeeper(site([STRONG]), store)
        keeper.observe(seen(0, 11.0))
        keeper.observe(seen(60, 11.0))
        (ended,) = AlarmKeeper(site([]), store).observe(seen(70, 11.0))
        assert ended.event.end_text == "the rule is no longer in the site file"
        assert [m.kind for m in store.messages()] == ["began"]

    def test_unknown_values_start_and_end_nothing(self, store: AlarmStore) -> None:
        keeper = AlarmKeeper(site([STRONG]), store)
        keeper.observe(seen(0, 11.0))
        keeper.observe(seen(60, 11.0))
        assert keeper.observe(seen(5000)) == []
        assert keeper.observe(seen(6000, float("nan"))) == []
        assert len(store.events(open_only=True)) == 1

    def test_two_subjects_are_two_events(self, store: AlarmStore) -> None:
        keeper = AlarmKeeper(site([{"type": "disk", "name": "disk", "for_s": 0.0}]), store)
        station = DiskHealth(name="archive", path="/a", present=True, free_bytes=1, total_bytes=1000)
        begun = keeper.observe(seen(0, health={"lead": health(NOON, free=0.01)}, disks=[station]))
        assert {change.event.subject for change in begun} == {"lead spool", "station archive"}
        (ended,) = keeper.observe(seen(1, health={"lead": health(NOON, free=0.5)}, disks=[station]))
        assert ended.event.subject == "lead spool"

    def test_acknowledgement_stays_with_the_first(self, store: AlarmStore) -> None:
        keeper = AlarmKeeper(site([{**STRONG, "for_s": 0.0}]), store)
        (begun,) = keeper.observe(seen(0, 11.0))
        first = store.acknowledge(begun.event.id, "Ana", at(5), "on my way")
        assert (first.acknowledged, first.acknowledged_by, first.note) == (at(5), "Ana", "on my way")
        assert store.acknowledge(begun.event.id, "Luis", at(9)) == first
        with pytest.raises(InputError, match="no such event"):
            store.acknowledge(99, "Ana", at(5))

    def test_history_is_kept_and_can_be_cut(self, store: AlarmStore) -> None:
        keeper = AlarmKeeper(site([{**STRONG, "for_s": 0.0}]), store)
        for second in range(0, 100, 10):
            keeper.observe(seen(second, 11.0))
            keeper.observe(seen(second + 5, 1.0))
        assert [event.began for event in store.events(limit=2)] == [at(90), at(80)]
        assert store.forget_before(at(50)) == 5
        assert len(store.events()) == 5
        assert len(store.messages()) == 10

    @given(
        values=st.lists(
            st.tuples(st.floats(0, 100), st.one_of(st.none(), st.floats(0, 20), st.just(float("nan")))), max_size=60
        )
    )
    def test_events_alternate_and_hold_their_time(self, values: list[tuple[float, float | None]]) -> None:
        (rule,) = Alarms.model_validate({"standard": False, "rules": [STRONG]}).rules
        state, now, open_since, high_since = RuleState(), NOON, None, None
        for wait, value in values:
            now += timedelta(seconds=wait)
            known = value is not None and value == value
            if known and value is not None:
                high_since = (high_since or now) if value > 10 else None
            state, step = advance(rule, state, value, now)
            if step is Step.BEGINS:
                assert open_since is None
                assert high_since is not None
                assert (now - high_since).total_seconds() >= 60
                open_since = now
            elif step is Step.ENDS:
                assert open_since is not None
                assert value is not None
                assert value <= 8
                open_since = None
            assert state.raised == (open_since is not None)


class TestMeasurements:
    def test_the_median_of_the_last_span_counts(self) -> None:
        (rule,) = Alarms.model_validate({"standard": False, "rules": [STRONG]}).rules
        values = [50.0] * 100 + [3.0] * 20 + [100.0, 4.0, 4.0, float("nan"), 3.0, 4.0, 4.0, 3.0, 4.0, 4.0]
        series = {("total", "a"): rates(values, end=NOON), ("total", "b"): rates([1.0], end=NOON)}
        (found,) = measure(rule, Observation(NOON, NOON, rates=series))
        assert found.value == pytest.approx(3.0, abs=1)

    @pytest.mark.parametrize(
        ("values", "late_s"), [([], 0), ([float("nan")] * 30, 0), ([5.0] + [float("nan")] * 20, 0), ([20.0], 901)]
    )
    def test_what_is_not_known_now_is_none(self, values: list[float], late_s: float) -> None:
        rule = {**STRONG, "average_s": 1000.0}
        (model,) = Alarms.model_validate({"standard": False, "rules": [rule]}).rules
        observation = Observation(at(late_s), NOON, rates={("total", "a"): rates(values, end=NOON)})
        if values and values[0] == 5.0:  # one value and then none: it is the newest that counts
            assert measure(model, observation)[0].value == 5.0
        else:
            assert measure(model, observation)[0].value is None

    @pytest.mark.parametrize(("relative", "expected"), [(False, 4.0), (True, 2.0)])
    def test_rate_of_change(self, relative: bool, expected: float) -> None:
        rule = {"type": "rate-of-change", "name": "rise", "above": 1.0, "window_s": 10.0, "relative": relative}
        (model,) = Alarms.model_validate({"standard": False, "rules": [rule]}).rules
        series = rates([2.0] * 10 + [6.0] * 10, end=NOON)
        (found,) = measure(model, Observation(NOON, NOON, rates={("total", "a"): series}))
        assert found.value == pytest.approx(expected)
        few = rates([2.0] * 4 + [6.0] * 10, end=NOON)
        assert measure(model, Observation(NOON, NOON, rates={("total", "a"): few}))[0].value is None

    def test_a_rise_from_nothing_has_no_ratio(self) -> None:
        rule = {"type": "rate-of-change", "name": "r", "above": 1.0, "window_s": 10.0, "relative": True}
        (model,) = Alarms.model_validate({"standard": False, "rules": [rule]}).rules
        series = rates([-0.1] * 10 + [6.0] * 10, end=NOON)
        assert measure(model, Observation(NOON, NOON, rates={("total", "a"): series}))[0].value is None

    def test_no_data_counts_only_while_some_is_expected(self) -> None:
        (rule,) = Alarms.model_validate({"standard": False, "rules": [{"type": "no-data", "name": "none"}]}).rules
        evening = Observation(at(8 * 3600), NOON, newest={"frames": at(6 * 3600)})
        assert measure(rule, evening)[0].value is None
        morning = Observation(at(20 * 3600 + 60), NOON, newest={"frames": at(6 * 3600)}, expected_since=at(20 * 3600))
        assert measure(rule, morning)[0].value == 60.0
        never = Observation(at(30), NOON, expected_since=NOON - timedelta(days=1))
        assert measure(rule, never)[0].value == 30.0

    @pytest.mark.parametrize(
        ("rule", "record", "value"),
        [
            ({"type": "instrument"}, {"level": Level.ALARM}, 2.0),
            ({"type": "battery"}, {"volts": 11.2}, 11.2),
            ({"type": "battery"}, {"volts": None}, None),
            ({"type": "clock"}, {"maximum_error_s": 3.0}, 3.0),
            ({"type": "clock"}, {"offset_s": -7.0}, 7.0),
            ({"type": "clock"}, {"quality": "unset"}, float("inf")),
            ({"type": "disk"}, {"free": 0.125}, 0.125),
            ({"type": "health", "quantity": "disks.spool.free_fraction", "below": 0.1}, {"free": 0.25}, 0.25),
        ],
    )
    def test_health(self, rule: dict[str, Any], record: dict[str, Any], value: float | None) -> None:
        (model,) = Alarms.model_validate({"standard": False, "rules": [{"name": "x", **rule}]}).rules
        (found,) = measure(model, Observation(at(60), NOON, health={"lead": health(NOON, **record)}))
        assert found.value == value
        assert measure(model, Observation(at(1000), NOON, health={"lead": health(NOON, **record)})) == ()

    def test_the_schedule_says_what_is_expected(self) -> None:
        settings = load_site(EXAMPLE).site.model_dump(mode="json")
        settings["instrument"]["schedule"] = {"windows": [{"do": "capture", "start": "08:00", "end": "16:00"}]}
        loaded = Site.model_validate_json(json.dumps(settings))
        assert expected_since(loaded, NOON) == NOON.replace(hour=8)
        assert expected_since(loaded, NOON.replace(hour=20)) is None
        assert expected_since(load_site(EXAMPLE).site, NOON) == NOON - timedelta(days=2)


class TestMessages:
    def raise_one(self, store: AlarmStore, **more: Any) -> Site:
        chosen = site([{**STRONG, "for_s": 0.0}], ["duty", "boss"], **more)
        AlarmKeeper(chosen, store).observe(seen(0, 11.0))
        return chosen

    def test_each_target_is_told_once(self, store: AlarmStore) -> None:
        chosen, post = self.raise_one(store, page="https://volcano.example"), Post()
        notifier = Notifier(chosen, store, post)
        assert notifier.send_due(at(1)) == 2
        for second in range(2, 100):
            AlarmKeeper(chosen, store).observe(seen(second, 11.0))
            assert notifier.send_due(at(second)) == 0
        assert sorted(name for name, _, _ in post.sent) == ["boss", "duty"]
        assert post.sent[0][1] == "[ALARM] bench: strong (total)"
        assert "https://volcano.example" in post.sent[0][2]
        assert "so2cam alarms acknowledge SITE 1" in post.sent[0][2]
        AlarmKeeper(chosen, store).observe(seen(100, 1.0))
        assert notifier.send_due(at(101)) == 2
        assert post.sent[-1][1] == "[over] bench: strong (total)"

    def test_what_fails_is_tried_again_later_and_given_up_in_the_end(self, store: AlarmStore) -> None:
        chosen, post = self.raise_one(store), Post()
        post.broken = True
        notifier = Notifier(chosen, store, post)
        assert notifier.send_due(at(0)) == 0
        assert {m.state for m in store.messages()} == {"waiting"}
        assert {m.error for m in store.messages()} == {"no route to the post office"}
        post.broken = False
        assert notifier.send_due(at(14)) == 0, "it waits before it tries again"
        assert notifier.send_due(at(15)) == 2
        AlarmKeeper(chosen, store).observe(seen(20, 1.0))
        post.broken = True
        for hour in range(30):
            notifier.send_due(at(20 + hour * 3600))
        assert [m.state for m in store.messages() if m.kind == "ended"] == ["given up"] * 2

    def test_the_end_is_not_told_before_the_beginning(self, store: AlarmStore) -> None:
        chosen, post = self.raise_one(store), Post()
        post.broken = True
        notifier = Notifier(chosen, store, post)
        notifier.send_due(at(1))
        AlarmKeeper(chosen, store).observe(seen(2, 1.0))
        post.broken = False
        assert notifier.send_due(at(3)) == 0
        assert notifier.send_due(at(20)) == 4
        assert [title.split("]")[0] for name, title, _ in post.sent if name == "duty"] == ["[ALARM", "[over"]

    def test_a_message_cut_off_in_sending_is_not_repeated(self, store: AlarmStore, tmp_path: Path) -> None:
        chosen, post = self.raise_one(store), Post()
        assert store.take("bench", at(1)) is not None, "and then the program is killed"
        with AlarmStore(tmp_path / "alarms.sqlite") as again:
            assert Notifier(chosen, again, post).send_due(at(2)) == 1
            assert sorted(m.state for m in again.messages()) == ["sent", "unknown"]

    def test_warnings_go_to_those_who_want_them(self, store: AlarmStore) -> None:
        settings = site([{**STRONG, "for_s": 0.0, "level": "warning"}], ["duty"]).model_dump(mode="json")
        settings["alarms"]["targets"].append(
            {"name": "all", "url_environment": "X", "minimum_level": "warning", "tell_end": False}
        )
        chosen = Site.model_validate_json(json.dumps(settings))
        keeper = AlarmKeeper(chosen, store)
        keeper.observe(seen(0, 11.0))
        keeper.observe(seen(1, 1.0))
        assert [(m.target, m.kind) for m in store.messages()] == [("all", "began")]

    def test_words_of_a_message(self, store: AlarmStore) -> None:
        self.raise_one(store)
        title, body = compose(store.messages()[0])
        assert "\n" not in title
        assert body.splitlines()[0].startswith("SO2 emission rate (total) 11 kg/s, above 10")


class TestSettings:
    @pytest.mark.parametrize(
        ("alarms", "words"),
        [
            ({"rules": [{**STRONG, "below": 1.0}]}, "either above or below"),
            ({"rules": [{**STRONG, "clear": 12.0}]}, "good side"),
            ({"rules": [STRONG, STRONG]}, "two are called 'strong'"),
            ({"rules": [{**STRONG, "targets": ["nobody"]}]}, "no such target"),
            ({"rules": [{**STRONG, "type": "noise"}]}, "type"),
            ({"targets": [{"name": "duty"}]}, "url_file or url_environment"),
            ({"targets": [{"name": "duty", "url_environment": "mailto://a:b@c"}]}, "environment variable"),
        ],
    )
    def test_what_is_wrong_is_said(self, alarms: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            Alarms.model_validate(alarms)

    def test_a_line_must_be_there(self) -> None:
        with pytest.raises(ValueError, match="there is no such line"):
            site([{**STRONG, "line": "elsewhere"}])

    def test_a_rule_replaces_the_standard_one_of_its_name(self) -> None:
        alarms = Alarms.model_validate(
            {"rules": [{"type": "battery", "name": "battery low", "below": 11.0, "clear": 11.5}]}
        )
        assert [rule.below for rule in alarms.effective if rule.name == "battery low"] == [11.0]
        assert len(alarms.effective) == len(Alarms().effective)


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "alarms.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(So2camError, match="newer so2cam"):
        AlarmStore(path)
