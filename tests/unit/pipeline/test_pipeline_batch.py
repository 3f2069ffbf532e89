"""Parts of the batch runner: totals, disagreement of methods, darks, safe names."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.errors import OutputError
from so2cam.core.records import Band, FrameInfo, FrameKind, FramePair
from so2cam.core.site import Processing, Site
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.core.uncertainty import Term
from so2cam.formats.png import write_png
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.method_agreement import method_disagreement
from so2cam.pipeline.output import as_text, write_together
from so2cam.pipeline.processor import Emission, PairRecord
from so2cam.pipeline.series import assemble, flag_counts
from so2cam.pipeline.steps import LineMeasurement
from so2cam.science.emission.rate import Estimate

START = datetime(2026, 1, 15, 14, tzinfo=UTC)
OK = EmissionStatus.OK
NAN = float("nan")


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(Path(__file__).resolve().parents[3] / "examples/villarrica/site.toml").site


def info(seconds: float, band: Band, kind: FrameKind = FrameKind.PLUME, **changes: Any) -> FrameInfo:
    path = Path(f"{kind}{band}{seconds}.png")
    return replace(FrameInfo(path, band, kind, START + timedelta(seconds=seconds), 0.1, 1.0), **changes)


def record(seconds: float, flow: dict[str, Emission], lag: dict[str, Emission] | None = None) -> PairRecord:
    made = PairRecord(
        FramePair(info(seconds, Band.ON), info(seconds + 0.5, Band.OFF)), background_level=0.01, noise=0.002
    )
    for line, emission in flow.items():
        good = emission.status is OK
        made.lines[line] = LineMeasurement(
            emission.status,
            QualityFlag.NONE,
            None,
            Estimate(0.3, {Term.PIXEL_NOISE: 0.01, Term.DISTANCE: 0.02}) if good else None,
        )
        made.emissions[line, "flow_raw"] = emission
        made.emissions[line, "cross_correlation"] = (lag or flow)[line]
    return made


def emission(rate: float, random: float = 0.3, systematic: float = 0.5) -> Emission:
    return Emission(OK, rate, {Term.SPEED: random, Term.DISTANCE: systematic}, 5.0, 0.5, 270.0)


def missing(status: EmissionStatus) -> Emission:
    return Emission(status)


def series(site: Site, *records: PairRecord) -> Any:
    return assemble(site, records)


def total_of(site: Site, *names: str) -> Site:
    emission_settings = site.processing.emission.model_copy(update={"total_lines": names or None})
    return site.model_copy(update={"processing": site.processing.model_copy(update={"emission": emission_settings})})


def plumes(site: Site, *names: str) -> Site:
    lines = tuple(line.model_copy(update={"plume": name}) for line, name in zip(site.lines, names, strict=True))
    return site.model_copy(update={"lines": lines})


def test_the_total_is_the_first_line_of_one_plume(site: Site) -> None:
    found = series(site, record(0, {"near": emission(2.0), "far": emission(9.0)}))
    assert found.total_emission_rate_kg_s.tolist() == [[2.0, 2.0]]
    assert found.total_random_uncertainty_kg_s[0, 0] == pytest.approx(0.3)
    assert found.pair_offset_s.tolist() == [0.5]


def test_the_total_of_two_plumes_adds_their_first_lines(site: Site) -> None:
    found = series(plumes(site, "north", "south"), record(0, {"near": emission(2.0), "far": emission(9.0)}))
    assert found.total_emission_rate_kg_s[0, 0] == pytest.approx(11.0)
    assert found.total_random_uncertainty_kg_s[0, 0] == pytest.approx(0.3 * np.sqrt(2)), "random parts in quadrature"
    assert found.total_systematic_uncertainty_kg_s[0, 0] == pytest.approx(1.0), "what is common adds up"


@pytest.mark.parametrize(("names", "expected"), [(("far",), 9.0), (("near", "far"), 11.0), (("far", "near"), 11.0)])
def test_explicit_total_lines(site: Site, names: tuple[str, ...], expected: float) -> None:
    found = series(total_of(site, *names), record(0, {"near": emission(2.0), "far": emission(9.0)}))
    assert found.total_emission_rate_kg_s[0, 0] == pytest.approx(expected)


def test_a_missing_part_makes_the_total_missing(site: Site) -> None:
    both = plumes(site, "north", "south")
    lost = missing(EmissionStatus.LINE_MASKED)
    found = series(
        both,
        record(0, {"near": emission(2.0), "far": lost}),
        record(5, {"near": lost, "far": lost}),
        record(9, {"near": emission(2.0), "far": emission(1.0)}),
    )
    assert np.isnan(found.total_emission_rate_kg_s[:2]).all()
    assert found.total_emission_rate_kg_s[2].tolist() == [3.0, 3.0]
    assert found.total_status.tolist() == [[EmissionStatus.PART_MISSING] * 2] * 2 + [[OK] * 2]


def test_a_total_of_one_line_has_that_lines_reason(site: Site) -> None:
    found = series(site, record(0, {"near": missing(EmissionStatus.NO_DARK), "far": emission(1.0)}))
    assert found.total_status.tolist() == [[EmissionStatus.NO_DARK] * 2]
    assert np.isnan(found.total_emission_rate_kg_s).all()


def test_methods_are_kept_apart(site: Site) -> None:
    lag = {"near": missing(EmissionStatus.NO_CORRELATION), "far": missing(EmissionStatus.NO_CORRELATION)}
    found = series(site, record(0, {"near": emission(2.0), "far": emission(3.0)}, lag))
    assert found.emission_rate_kg_s[0, :, 0].tolist() == [2.0, 3.0]
    assert np.isnan(found.emission_rate_kg_s[0, :, 1]).all()
    assert found.total_status.tolist() == [[OK, EmissionStatus.NO_CORRELATION]]


@pytest.mark.parametrize(("other", "warned"), [(5.0, False), (5.9, False), (7.5, True), (2.0, True), (-5.0, True)])
def test_disagreement_of_methods(site: Site, other: float, warned: bool) -> None:
    flow = {"near": emission(5.0), "far": emission(5.0)}
    lag = {"near": emission(other), "far": emission(other)}
    warnings = method_disagreement(series(site, *(record(5 * i, flow, lag) for i in range(6))))
    assert bool(warnings) is warned
    if warned:
        assert warnings == (
            f"flow_raw (5.00 kg/s) and cross_correlation ({other:.2f} kg/s) disagree beyond their uncertainties",
        )


def test_no_disagreement_where_the_methods_never_meet(site: Site) -> None:
    lost = {name: missing(EmissionStatus.NO_CORRELATION) for name in ("near", "far")}
    flow = {"near": emission(5.0), "far": emission(5.0)}
    assert method_disagreement(series(site, record(0, flow, lost), record(5, lost, flow))) == ()


def test_flags_are_counted_in_words(site: Site) -> None:
    one = record(0, {"near": emission(5.0), "far": emission(5.0)})
    one.flags = QualityFlag.SATURATED_PIXELS | QualityFlag.LARGE_PAIR_OFFSET
    other = record(5, {"near": emission(5.0), "far": emission(5.0)})
    other.flags = QualityFlag.SATURATED_PIXELS
    assert [count for _, count in flag_counts(series(site, one, other))] == [2, 1]


# --- darks -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(site: Site) -> Site:
    optics = site.camera.optics.model_copy(update={"width_px": 8, "height_px": 6})
    return site.model_copy(update={"camera": site.camera.model_copy(update={"optics": optics})})


def dark(folder: Path, seconds: float, level: int | None, **changes: Any) -> FrameInfo:
    path = folder / f"{seconds}.png"
    path.write_bytes(b"" if level is None else write_png(np.full((6, 8), level, np.uint16)))
    return info(seconds, Band.ON, FrameKind.DARK, path=path, **changes)


def library(site: Site, *darks: FrameInfo) -> tuple[DarkLibrary, FrameReader]:
    reader = FrameReader(site)
    return DarkLibrary(darks, Processing(), reader), reader


def test_darks_near_each_other_are_averaged(small: Site, tmp_path: Path) -> None:
    darks, reader = library(small, dark(tmp_path, 0, 10), dark(tmp_path, 5, 20), dark(tmp_path, 9000, 90))
    found = darks.dark_for(info(60, Band.ON))
    assert found is not None
    assert np.unique(found.counts).tolist() == [15.0]
    later = darks.dark_for(info(8000, Band.ON))
    assert later is not None
    assert np.unique(later.counts).tolist() == [90.0]
    assert len(reader.hashes) == 3


def test_unreadable_darks_are_passed_over_once_and_for_all(small: Site, tmp_path: Path) -> None:
    darks, reader = library(small, dark(tmp_path, 0, 10), dark(tmp_path, 5, None), dark(tmp_path, 9000, None))
    for _ in range(2):
        for seconds in (60, 9001):
            found = darks.dark_for(info(seconds, Band.ON))
            assert found is not None
            assert np.unique(found.counts).tolist() == [10.0]
    assert len(reader.failures) == 2


@pytest.mark.parametrize("change", [{"gain": 2.0}, {"exposure_s": 0.12}, {"band": Band.OFF}])
def test_no_dark_is_never_another_dark(small: Site, tmp_path: Path, change: dict[str, Any]) -> None:
    darks, _ = library(small, dark(tmp_path, 0, 10))
    assert darks.dark_for(replace(info(1, Band.ON), **change)) is None


def test_all_darks_unreadable(small: Site, tmp_path: Path) -> None:
    darks, _ = library(small, *(dark(tmp_path, number, None) for number in range(20)))
    assert darks.dark_for(info(1, Band.ON)) is None


def test_means_of_many_settings_stay_right(small: Site, tmp_path: Path) -> None:
    """More exposures than means are kept."""
    exposures = [0.1 * 1.5**n for n in range(12)]
    made = [dark(tmp_path, float(n), 10 + n, exposure_s=exposure) for n, exposure in enumerate(exposures)]
    darks, _ = library(small, *made)
    for _ in range(2):
        for n, exposure in enumerate(exposures):
            found = darks.dark_for(info(50, Band.ON, exposure_s=exposure))
            assert found is not None
            assert np.unique(found.counts).tolist() == [10.0 + n]


# --- writing -----------------------------------------------------------------------------------------------------


def test_files_are_replaced_together(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text("old")
    seen: list[list[str]] = []

    def write(path: Path) -> None:
        path.write_text("new")
        seen.append([other.read_text() for other in paths])

    write_together([(path, write) for path in paths])
    assert seen == [["old"] * 3] * 3, "nothing is in place before all of it is written"
    assert [path.read_text() for path in paths] == ["new"] * 3
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("failing", "abc")
def test_no_file_is_replaced_where_one_fails(tmp_path: Path, failing: str) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text("old")

    def write(path: Path) -> None:
        path.write_text("new")
        if path.name.startswith(f".{failing}."):
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=rf"{failing}: cannot be written: No space left"):
        write_together([(path, write) for path in paths])
    assert [path.read_text() for path in paths] == ["old"] * 3
    assert len(list(tmp_path.iterdir())) == 3


def test_names_of_any_bytes_become_text() -> None:
    assert as_text("Volcán/日本") == "Volcán/日本"
    assert as_text("fr\udcffmes") == "fr\\udcffmes"
