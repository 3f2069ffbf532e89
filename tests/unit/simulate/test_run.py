import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.errors import InputError, OutputError
from so2cam.core.site import Site
from so2cam.core.spectra import SpectrumKind
from so2cam.core.spectrometer import SpectrumFiles
from so2cam.formats.png import read_png
from so2cam.formats.spectra.folder import scan_spectra
from so2cam.formats.spectra.readers import read_spectrum
from so2cam.simulate import SimulationResult, load_scenario, simulate


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> SimulationResult:
    return simulate(load_scenario("baseline"), tmp_path_factory.mktemp("a"), seed=11, pairs=3)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_frames_are_named_and_filed_as_by_the_instrument(result: SimulationResult) -> None:
    names = sorted(path.name for path in (result.frames / "2026-01-15" / "Seq_1").iterdir())
    assert names == [
        f"2026-01-15T1400{second:02d}_{tag}_Plume.{suffix}"
        for second in (0, 5, 10)
        for tag in ("fltrA_1.0_400000ss", "fltrB_1.0_100000ss")
        for suffix in ("json", "png")
    ]
    calibration = [path.name for path in (result.frames / "2026-01-15" / "Cal_1").glob("*.png")]
    for kind in ("Dark", "Clear", "0ppmm", "400ppmm", "1200ppmm"):
        for tag in ("fltrA", "fltrB"):
            assert sum(f"_{tag}_" in name and name.endswith(f"_{kind}.png") for name in calibration) == 3
    assert len(calibration) == 30
    assert max(calibration) < "2026-01-15T1355"
    assert result.frame_count == 36


def test_pixels_are_ten_bits_and_not_saturated(result: SimulationResult) -> None:
    for path in result.frames.rglob("*.png"):
        counts = read_png(path.read_bytes(), path)
        assert counts.shape == (486, 648)
        assert counts.max() < 1003
        low, high = (13, 18) if "Dark" in path.name else (300, 720)
        assert low < counts.mean() < high


def test_the_same_seed_gives_the_same_files(result: SimulationResult, tmp_path: Path) -> None:
    again = simulate(load_scenario("baseline"), tmp_path / "again", seed=11, pairs=3)
    assert contents(again.site.parent) == contents(result.site.parent)


def test_more_pairs_go_on_and_another_seed_differs(result: SimulationResult, tmp_path: Path) -> None:
    frames = contents(result.frames)
    longer = contents(simulate(load_scenario("baseline"), tmp_path / "longer", seed=11, pairs=4).frames)
    assert {name: longer[name] for name in frames} == frames
    assert len(longer) == len(frames) + 4
    other = contents(simulate(load_scenario("baseline"), tmp_path / "other", seed=12, pairs=3).frames)
    assert other.keys() == frames.keys()
    assert all(other[name] != frames[name] for name in frames if name.endswith(".png"))


def test_the_site_file_is_valid_and_says_what_was_simulated(result: SimulationResult) -> None:
    text = result.site.read_text()
    site = Site.model_validate(tomllib.loads(text))
    scenario = result.truth.scenario
    assert site.registration.matrix == result.truth.registration_matrix
    assert site.camera.optics == scenario.view.optics
    assert site.volcano.vent == scenario.view.vent
    assert site.camera.view.roll_deg == 0
    assert site.processing.speed.cross_correlation.lines == ("upstream", "downstream")
    assert site.processing.calibration.label_uncertainty == 0.02
    assert [line.name for line in site.plume_lines] == [line.name for line in result.truth.lines]
    assert site.total_lines == ("upstream",)
    assert text.count("#") > 15
    assert max(len(line) for line in text.splitlines()) <= 120
    assert site.spectrometer is not None
    assert site.spectrometer.line_shape.width_nm == scenario.spectrometer.width_nm
    assert site.spectrometer.references.so2.table == "so2-bogumil2003-293k"


def test_the_truth_file_holds_the_truth(result: SimulationResult) -> None:
    document = json.loads(result.truth_file.read_text())
    assert document["seed"] == 11
    assert document["scenario"]["name"] == "baseline"
    assert document["times"] == ["2026-01-15T14:00:00.200Z", "2026-01-15T14:00:05.200Z", "2026-01-15T14:00:10.200Z"]
    assert result.truth.times[0] == datetime(2026, 1, 15, 14, 0, 0, 200_000, tzinfo=UTC)
    for line in result.truth.lines:
        stored = document["lines"][line.name]
        np.testing.assert_array_equal(stored["emission_rate_kg_s"], line.emission_rate_kg_s)
        np.testing.assert_allclose(
            line.speed_m_s * line.integrated_column_amount_kg_m, line.emission_rate_kg_s, rtol=1e-12
        )
        assert result.truth.line(line.name) is line
    assert document["calibration_slope_molec_cm2"] == pytest.approx(6.24e18, rel=0.01)
    assert document["cells"][2]["column_molec_cm2"] == pytest.approx(3.004e18, rel=1e-3)
    assert document["field_of_view"] == {"x": 245.41, "y": 274.47, "radius_px": 11.6, "edge_exponent": 10.0}
    assert document["light_dilution"]["at_310_nm_at_plume"] == 0
    curve = document["band_curve"]
    assert curve["absorbance"][0] == pytest.approx(0, abs=1e-12)
    ten = curve["column_molec_cm2"].index(pytest.approx(1000 * 2.50348e15, rel=1e-4))
    assert 0.9 < curve["absorbance"][ten] / (curve["column_molec_cm2"][ten] / 6.24e18) < 1
    assert document["spectra"]["times"][0] == "2026-01-15T14:00:00.800Z"
    np.testing.assert_array_equal(document["spectra"]["column_molec_cm2"], result.truth.spectra.column_molec_cm2)


def test_progress_is_told_frame_by_frame(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    simulate(
        load_scenario("ideal"), tmp_path, seed=0, pairs=1, progress=lambda done, total: calls.append((done, total))
    )
    # 15 calibration frames and one plume frame of each band, 3 darks, 3 clear-sky spectra, one of the plume
    assert calls == [(number, 39) for number in range(1, 40)]


def test_frames_are_never_mixed(result: SimulationResult) -> None:
    before = contents(result.site.parent)
    with pytest.raises(OutputError, match="already holds frames"):
        simulate(load_scenario("ideal"), result.site.parent, seed=1, pairs=1)
    assert contents(result.site.parent) == before


def test_senseless_requests_are_refused(tmp_path: Path) -> None:
    scenario = load_scenario("baseline")
    with pytest.raises(InputError, match="number of pairs"):
        simulate(scenario, tmp_path, seed=1, pairs=0)
    with pytest.raises(InputError, match="seed"):
        simulate(scenario, tmp_path, seed=-1, pairs=1)
    high = scenario.view.model_copy(update={"elevation_deg": -20.0})
    with pytest.raises(InputError, match="outside the image"):
        simulate(scenario.model_copy(update={"view": high}), tmp_path, seed=1, pairs=1)
    assert not any(tmp_path.iterdir())


def test_an_output_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        simulate(load_scenario("ideal"), tmp_path / "file", seed=1, pairs=1)


# --- spectra -----------------------------------------------------------------------------------------------------


def test_spectra_are_named_and_filed_as_by_the_instrument(result: SimulationResult) -> None:
    plume = sorted(path.name for path in (result.spectra / "2026-01-15" / "Seq_1").iterdir())
    assert plume == [f"2026-01-15T1400{second:02d}_400ss_4coadd_Plume.npy" for second in (0, 5, 10)]
    calibration = sorted(path.name for path in (result.spectra / "2026-01-15" / "Cal_1").iterdir())
    assert [name.split("_")[-1] for name in calibration] == ["Dark.npy"] * 3 + ["Clear.npy"] * 3
    assert result.spectrum_count == 9
    scan = scan_spectra([result.spectra], SpectrumFiles())
    assert not scan.skipped
    for info in scan.spectra:
        spectrum = read_spectrum(info, SpectrumFiles())
        assert spectrum.counts.shape == (2048,)
        assert spectrum.counts.dtype == np.float64
        assert (spectrum.wavelengths_nm[0], spectrum.wavelengths_nm[-1]) == (242.0, 404.0)
        assert info.coadds == 4
    times = [info.time for info in scan.spectra if info.kind is SpectrumKind.PLUME]
    assert times == list(result.truth.spectra.times)


def test_spectra_have_their_own_cadence(tmp_path: Path) -> None:
    scenario = load_scenario("ideal")
    slow = scenario.spectrometer.model_copy(update={"cadence_s": 7})
    result = simulate(scenario.model_copy(update={"spectrometer": slow}), tmp_path, seed=1, pairs=5)
    seconds = [(time - scenario.start).total_seconds() for time in result.truth.spectra.times]
    assert seconds == pytest.approx([0.8, 7.8, 14.8, 21.8])
    names = sorted(path.name[15:17] for path in (result.spectra / "2026-01-15" / "Seq_1").iterdir())
    assert names == ["00", "07", "14", "21"]


# --- repeating ---------------------------------------------------------------------------------------------------


def test_a_repeated_run_is_the_short_one_again_and_again(result: SimulationResult, tmp_path: Path) -> None:
    long = simulate(load_scenario("baseline"), tmp_path, seed=11, pairs=8, repeat=3)
    assert long.frame_count == 46
    assert len(long.truth.times) == 8
    assert len(long.truth.spectra.times) == 8
    short, made = (
        sorted(path for path in folder.rglob("*_Plume.*") if path.suffix != ".json")
        for folder in (result.site.parent, long.site.parent)
    )
    frames = {path.name: path.read_bytes() for path in made}
    assert all(frames[path.name] == path.read_bytes() for path in short)
    assert len(made) == 24
    for pair in range(8):
        for tag in ("fltrA_1.0_400000ss_Plume.png", "fltrB_1.0_100000ss_Plume.png", "400ss_4coadd_Plume.npy"):
            name, source = (f"2026-01-15T1400{5 * number:02d}_{tag}" for number in (pair, pair % 3))
            assert frames[name] == frames[source]
    for line, other in zip(long.truth.lines, result.truth.lines, strict=True):
        np.testing.assert_array_equal(line.emission_rate_kg_s, np.resize(other.emission_rate_kg_s, 8))
    again = simulate(load_scenario("baseline"), tmp_path / "again", seed=11, pairs=8, repeat=3)
    assert contents(again.site.parent) == {k: v for k, v in contents(tmp_path).items() if not k.startswith("again")}


def test_repeating_must_fit_the_spectra(tmp_path: Path) -> None:
    scenario = load_scenario("ideal")
    odd = scenario.model_copy(update={"spectrometer": scenario.spectrometer.model_copy(update={"cadence_s": 7})})
    with pytest.raises(InputError, match="do not repeat together"):
        simulate(odd, tmp_path, seed=1, pairs=5, repeat=3)
    with pytest.raises(InputError, match="at least one"):
        simulate(scenario, tmp_path, seed=1, pairs=5, repeat=0)
    assert not any(tmp_path.iterdir())


# --- exposure control --------------------------------------------------------------------------------------------


def test_exposure_control_follows_the_light_and_has_its_darks(tmp_path: Path) -> None:
    scenario = load_scenario("bright-morning")
    sensor = scenario.sensor.model_copy(
        update={"exposure_on_s": 0.1, "sky_level_on_dn": 180.0, "exposure_off_s": 0.25, "sky_level_off_dn": 1700.0}
    )
    result = simulate(scenario.model_copy(update={"sensor": sensor}), tmp_path, seed=1, pairs=14)
    exposures = {
        tag: [int(path.name.split("_")[3][:-2]) for path in sorted(result.frames.rglob(f"*{tag}*_Plume.png"))]
        for tag in ("fltrA", "fltrB")
    }
    assert exposures["fltrA"][:4] == [100_000, 150_000, 200_000, 250_000]
    assert exposures["fltrB"][:3] == [250_000, 200_000, 150_000]
    for tag, used in exposures.items():
        assert len(set(used[-5:])) == 1
        darks = {int(path.name.split("_")[3][:-2]) for path in result.frames.rglob(f"*{tag}*_Dark.png")}
        assert set(used) <= darks
        last = read_png(sorted(result.frames.rglob(f"*{tag}*_Plume.png"))[-1].read_bytes(), tag)
        assert 0.65 < np.sort(last.ravel())[-100:].mean() / 1023 < 0.92
    middles = [(time - scenario.start).total_seconds() for time in result.truth.times]
    assert middles == pytest.approx([5 * pair + used / 2e6 for pair, used in enumerate(exposures["fltrA"])])


def test_a_sidecar_says_when_the_sensor_took_its_frame(result: SimulationResult) -> None:
    for path in result.frames.rglob("*.png"):
        sidecar = json.loads(path.with_suffix(".json").read_text())
        exposure = int(path.name.split("_")[3].removesuffix("ss"))
        start = datetime.strptime(path.name[:17], "%Y-%m-%dT%H%M%S").replace(tzinfo=UTC)
        since = (start - result.truth.scenario.start).total_seconds()
        assert sidecar["ExposureTime"] == exposure
        assert sidecar["AnalogueGain"] == 1.0
        assert sidecar["SensorTimestamp"] / 1e9 - since == pytest.approx(7200)
