"""The guided installation: it is safe to leave when no step is to do, and none is doubtful."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from so2cam.core.health import ClockHealth, DeviceHealth, DeviceState, HealthRecord, Level, SpoolHealth
from so2cam.core.spectrometer import Spectrometer
from so2cam.formats.starter import placeholders, starter_text, without_meaning
from so2cam.station.catalogue import TOTAL, Rate
from so2cam.station.drafts import SiteDraft
from so2cam.station.guide import Archived, Facts, Step, steps
from so2cam.station.spectrometer_choice import leaving_out

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "villarrica" / "site.toml"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def camera(band: str, signal: float = 0.6) -> DeviceHealth:
    return DeviceHealth(
        name=f"camera-{band}",
        role="camera",
        band=band,
        state=DeviceState.CAPTURING,
        kind="plume",
        signal_fraction=signal,
    )


def health(**other: object) -> HealthRecord:
    given = {
        "next_change": NOW,
        "devices": (camera("on"), camera("off")),
        "clock": ClockHealth(quality="gps"),
        "spool": SpoolHealth(undelivered=0),
        **other,
    }
    head = {"time": NOW, "node": "lead", "site": "villarrica", "version": "1", "reason": "minute", "level": Level.OK}
    return HealthRecord.model_validate({**head, "summary": "", "activity": "", **given})


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    path = tmp_path / "site.toml"
    path.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    state = SiteDraft(path, tmp_path / "draft").state()
    frames = Counter({"plume": 9, "dark": 9, "clear": 9, "cell": 9, "test": 1})
    rate = Rate(NOW, TOTAL, "flow", 4.0, 0.3, 0.4, None, None, None, None, 0)
    archived = Archived(frames, frames, Counter({"dark": 3}), frozenset({0.0, 500.0}))
    return Facts(state, 1, (("lead", True, health()),), archived, 0, 0, rate)


def leave(facts: Facts, record: HealthRecord) -> Step:
    return steps(replace(facts, nodes=(("lead", True, record),)))[-1]


def test_an_installation_is_safe_to_leave_when_all_is_done(facts: Facts) -> None:
    assert {step.key: step.words for step in steps(facts) if step.state != "done"} == {}
    assert leave(facts, health()).state == "done"


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (health(clock=ClockHealth(quality="unset")), "Clock: lead: was never set"),
        (health(devices=(camera("on", 0.99), camera("off"))), "Exposure: camera-on 99 % of full scale: too bright"),
        (health(next_change=None), "Schedule: Without a schedule it captures day and night"),
    ],
)
def test_it_is_not_while_a_step_says_look(facts: Facts, record: HealthRecord, words: str) -> None:
    step = leave(facts, record)
    assert step.state == "warn"
    assert words in step.words
    assert not step.words.endswith("..")


def test_whether_there_is_a_spectrometer_is_a_step_before_the_calibration(facts: Facts, tmp_path: Path) -> None:
    path = tmp_path / "new.toml"
    path.write_text(starter_text("villarrica"), encoding="utf-8")
    draft = SiteDraft(path, tmp_path / "new")
    seen = DeviceHealth(name="flame", role="spectrometer", band=None, state=DeviceState.CAPTURING)
    new = replace(facts, draft=draft.state(), nodes=(("lead", True, health(devices=(seen,))),))
    keys = [step.key for step in steps(new)]
    at = keys.index("spectrometer")
    assert keys[at : at + 2] == ["spectrometer", "calibration"]
    assert steps(new)[at].state == "todo"
    assert "flame" in steps(new)[at].words
    draft.change(leaving_out(draft.state()), by="anna")
    assert steps(replace(new, draft=draft.state()))[at].state == "done"


def test_a_place_is_to_do_while_one_of_its_numbers_is_a_placeholder(facts: Facts, tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    text = path.read_text(encoding="utf-8")
    assert "altitude_m = 2847" in text
    path.write_text(text.replace("altitude_m = 2847", "altitude_m = -500"), encoding="utf-8")
    step = steps(replace(facts, draft=SiteDraft(path, tmp_path / "again").state()))[0]
    assert (step.key, step.state, step.words) == ("volcano", "todo", "Still placeholders: altitude.")


def one(facts: Facts, key: str) -> Step:
    return next(step for step in steps(facts) if step.key == key)


def test_frames_that_come_by_themselves_do_not_tell_that_the_camera_was_aimed(facts: Facts) -> None:
    came = Counter({"plume": 900, "dark": 9, "clear": 9, "cell": 9})
    unseen = replace(facts, archived=replace(facts.archived, on=came))
    step = one(unseen, "frames")
    assert step.state == "todo"
    assert step.words == "37 frames of each band are in the archive. Aim, focus, and take a test frame."
    assert "Test frames, aim, focus" in steps(unseen)[-1].words
    assert steps(unseen)[-1].state == "todo"
    assert "1 of them test frames" in one(facts, "frames").words


def test_the_direction_of_the_starter_file_is_a_placeholder_until_somebody_stands_for_it(
    facts: Facts, tmp_path: Path
) -> None:
    path = tmp_path / "new.toml"
    path.write_text(starter_text("north"), encoding="utf-8")
    draft = SiteDraft(path, tmp_path / "new")
    places = {"latitude": 0.001, "longitude": 0.001, "altitude_m": 0.0}
    draft.change({("camera", "position", key): value for key, value in places.items()}, by="somebody")
    draft.change({("volcano", "vent", "altitude_m"): 1000.0}, by="somebody")
    new = replace(facts, draft=draft.state())
    assert (one(new, "geometry").state, one(new, "geometry").words) == (
        "todo",
        "The viewing direction is a placeholder.",
    )
    assert "camera.view" in {key for key, _ in placeholders(new.site)}
    assert "camera.view" not in without_meaning(new.site)
    for key, value in (("azimuth_uncertainty_deg", 0.5), ("elevation_deg", 12.0)):
        changed = draft.change({("camera", "view", key): value}, by="somebody")
        assert one(replace(facts, draft=changed), "geometry").state == "done"
        draft.undo(by="somebody")


def test_the_lens_is_told_with_the_direction(facts: Facts) -> None:
    optics = facts.site.camera.optics
    words = one(facts, "geometry").words
    assert f"through {1e3 * optics.focal_length_m:.3g} mm onto {optics.width_px} x {optics.height_px} pixels" in words


def test_an_empty_cell_alone_calibrates_nothing(facts: Facts) -> None:
    only_empty = replace(facts, archived=replace(facts.archived, cells=frozenset({0.0})))
    step = one(only_empty, "calibration")
    assert (step.state, step.words) == ("todo", "Missing: a gas cell that is not empty.")


@pytest.mark.parametrize(("source", "words"), [("joint", "gas cells and spectrometer"), ("cells", "gas cells")])
def test_what_calibrates_is_told_in_words(facts: Facts, source: str, words: str) -> None:
    calibration = facts.site.processing.calibration.model_copy(update={"source": source})
    processing = facts.site.processing.model_copy(update={"calibration": calibration})
    site = facts.site.model_copy(update={"processing": processing, "spectrometer": Spectrometer()})
    loaded = replace(facts.draft.loaded, site=site)
    step = one(replace(facts, draft=replace(facts.draft, loaded=loaded)), "calibration")
    assert step.words.startswith(f"Calibrated by {words}: ")
