"""What of a draft the instrument reads in its own file, and what is said of it."""

from pathlib import Path

import pytest

from so2cam.station.drafts import SiteDraft
from so2cam.station.own_file import COPY, OWN_FILE, SCHEDULE, SETTINGS, of_instrument, own_file, remedy_of

BENCH = Path(__file__).parents[3] / "examples" / "bench" / "site.toml"


@pytest.fixture
def draft(tmp_path: Path) -> SiteDraft:
    (tmp_path / "site.toml").write_text(BENCH.read_text(encoding="utf-8"), encoding="utf-8")
    return SiteDraft(tmp_path / "site.toml", tmp_path / "setup")


def test_a_draft_that_leaves_the_instrument_alone_says_nothing(draft: SiteDraft) -> None:
    assert own_file(draft.state()) is None
    draft.change({("processing", "background", "order"): 1}, by="somebody")
    assert own_file(draft.state()) is None


def test_keys_of_the_instrument_are_named_with_what_to_do(draft: SiteDraft) -> None:
    draft.change({("instrument", "storage", "minimum_free_fraction"): 0.2}, by="somebody")
    found = own_file(draft.state())
    assert found is not None
    assert (found.keys, found.remedy) == (("instrument.storage.minimum_free_fraction",), COPY)
    assert found.words.startswith(OWN_FILE)
    assert "Changed are instrument.storage.minimum_free_fraction." in found.words


def test_a_key_put_back_is_none_that_changed(draft: SiteDraft) -> None:
    key = ("instrument", "acquisition", "period_s")
    before = draft.state().value(key)
    draft.change({key: before + 1.0}, by="somebody")
    assert own_file(draft.state()) is not None
    draft.change({key: before}, by="somebody")
    assert own_file(draft.state()) is None


def test_many_keys_are_counted(draft: SiteDraft) -> None:
    keys = ["interval_s", "late_periods", "log_bytes", "log_files"]
    values = [30.0, 6.0, 1_000_000, 9]
    draft.change({("instrument", "health", key): value for key, value in zip(keys, values, strict=True)}, by="me")
    darks = {"repeats": 9, "maximum_exposures": 11, "tolerance": 0.07, "maximum_level": 0.09}
    draft.change({("instrument", "darks", key): value for key, value in darks.items()}, by="me")
    found = own_file(draft.state())
    assert found is not None
    assert len(found.keys) == 8
    assert " and 2 more. " in found.words


@pytest.mark.parametrize(
    ("path", "way"),
    [
        (("instrument", "nodes", "lead", "devices", "camera-on", "automatic", "rows"), SETTINGS),
        (("instrument", "nodes", "lead", "devices", "spectrometer", "integration_time_s"), SETTINGS),
        (("instrument", "acquisition", "period_s"), SETTINGS),
        (("instrument", "schedule", "capture"), SCHEDULE),
        (("instrument", "schedule", "power", "battery"), ""),
        (("instrument", "nodes", "lead", "devices", "camera-on", "serial"), ""),
        (("instrument", "nodes", "lead", "network", "address"), ""),
    ],
    ids=lambda one: ".".join(one) if isinstance(one, tuple) else "",
)
def test_what_can_be_sent_over_the_link_says_so(path: tuple[str, ...], way: str) -> None:
    assert of_instrument(path)
    assert remedy_of(path) == (f"{way}; or {COPY}" if way else COPY)


def test_keys_of_the_station_are_not_the_instruments() -> None:
    assert not of_instrument(("station", "listen"))
