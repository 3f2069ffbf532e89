"""A run shared among processes gives what one process gives, to the last bit, wherever time is cut."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.results import EmissionSeries
from so2cam.core.status import EmissionStatus
from so2cam.formats.png import read_png, write_png
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.pipeline import batch, shared_run
from so2cam.pipeline.batch import RunReport, process_folders
from so2cam.pipeline.image_chain import ImageChain
from so2cam.pipeline.records import PairRecord
from so2cam.pipeline.run_images import ImageRequest
from so2cam.pipeline.steps import AbsorbanceImage
from so2cam.pipeline.truth import Settings, with_settings
from so2cam.simulate import load_scenario, simulate
from so2cam.simulate.scenario import Scenario

PAIRS = 24
WINDOWS: Settings = {
    "processing": {
        "speed": {
            "methods": ["flow_raw", "flow_hybrid", "cross_correlation"],
            "cross_correlation": {
                "window_s": 40.0,
                "maximum_lag_s": 10.0,
                "minimum_samples": 6,
                "minimum_correlation": 0,
            },
        }
    }
}
FLOW: Settings = {"processing": {"speed": {"methods": ["flow_raw"]}}}
WHOLE: Settings = {
    "processing": {
        "calibration": {
            "source": "spectrometer",
            "spectrometer": {"minimum_points": 8, "field_of_view": {"minimum_images": 10, "minimum_correlation": 0}},
        }
    }
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quarter of the pixels; one frame unreadable, one saturated all over, one camera that hung for a frame."""
    settings = load_scenario().model_dump(mode="json")
    settings["view"]["optics"].update(width_px=324, height_px=243, pixel_pitch_um=11.2)
    settings["lines"]["length_px"] = 115
    settings["spectrometer"]["radius_px"] = 5.8
    settings["misregistration"]["shift_px"] = [6.0, -4.5]
    out = tmp_path_factory.mktemp("shared")
    simulate(Scenario.model_validate_json(json.dumps(settings)), out, seed=2, pairs=PAIRS)
    on = sorted(out.glob("frames/**/*fltrA*_Plume.png"))
    off = sorted(out.glob("frames/**/*fltrB*_Plume.png"))
    off[6].write_bytes(b"no picture")
    on[11].write_bytes(write_png(np.full_like(read_png(on[11].read_bytes(), on[11]), 1023)))
    on[17].write_bytes(on[16].read_bytes())
    return out


@pytest.fixture(autouse=True)
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all else here, and nobody looks."""
    monkeypatch.setattr(batch, "write_quicklook", lambda path, *_, **__: path.write_bytes(b"not drawn"))


@pytest.fixture(scope="module")
def loaded(folder: Path) -> LoadedSite:
    return load_site(folder / "site.toml")


def process(loaded: LoadedSite, folder: Path, out: str, *, jobs: int, images: ImageRequest | None = None) -> RunReport:
    spectra = [folder / "spectra"] if loaded.site.processing.calibration.by_spectrometer else []
    return process_folders(
        loaded, [folder / "frames"], folder / out, spectra=spectra, jobs=jobs, command="test", images=images
    )


def assert_same(shared: RunReport, plain: RunReport) -> None:
    assert shared.series.times == plain.series.times
    for name in EmissionSeries.__dataclass_fields__:
        one, other = getattr(shared.series, name), getattr(plain.series, name)
        if isinstance(other, np.ndarray):
            np.testing.assert_array_equal(one, other, err_msg=name, strict=True)
    assert shared.lost_pairs == plain.lost_pairs
    assert [str(error) for error in shared.failures] == [str(error) for error in plain.failures]
    assert shared.warnings == plain.warnings


@pytest.mark.parametrize("settings", [FLOW, WINDOWS], ids=["flow", "windows"])
@pytest.mark.parametrize("piece", [1, 2, 5])
def test_wherever_time_is_cut(
    loaded: LoadedSite, folder: Path, settings: Settings, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = with_settings(loaded, settings)
    plain = process(site, folder, f"plain-{'flow' if settings is FLOW else 'windows'}", jobs=1)
    assert len(plain.lost_pairs) == 1
    assert len(plain.series.times) == PAIRS - 1
    assert int(np.sum(plain.series.status[:, 0, 0] == EmissionStatus.OK)) > PAIRS / 2

    cut: list[int] = []

    def in_this_process(shared: shared_run.SharedRun, jobs: int, *rest: object) -> object:
        cut.append(len(shared.pieces))
        return run_shared(shared, 1, *rest)  # type: ignore[arg-type]

    run_shared = shared_run.run_shared
    monkeypatch.setattr(shared_run, "PIECE", piece)
    monkeypatch.setattr(batch, "run_shared", in_this_process)
    assert_same(process(site, folder, "shared", jobs=2), plain)
    assert cut[0] >= (3 if settings is WINDOWS else PAIRS // 5)


def test_fog_is_looked_at_once(loaded: LoadedSite, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a run grows with its pairs, however long none of them gives an image."""
    site = with_settings(loaded, FLOW)
    fog = process(site, folder, "clear", jobs=1).series.times[8:20]
    looked_at: list[object] = []
    image = ImageChain.image

    def foggy(chain: ImageChain, record: PairRecord, *frames: Any) -> AbsorbanceImage | EmissionStatus:
        looked_at.append(record.pair)
        return EmissionStatus.NO_SKY if record.time in fog else image(chain, record, *frames)

    monkeypatch.setattr(ImageChain, "image", foggy)
    plain = process(site, folder, "fog", jobs=1)
    assert len(looked_at) == PAIRS - 1
    looked_at.clear()
    run_shared = shared_run.run_shared
    monkeypatch.setattr(shared_run, "PIECE", 1)
    monkeypatch.setattr(batch, "run_shared", lambda shared, jobs, *rest: run_shared(shared, 1, *rest))
    assert_same(process(site, folder, "shared-fog", jobs=2), plain)
    # Each pair itself, as the lead and as the tail of a piece, and the fog once more before its end is found.
    assert PAIRS < len(looked_at) <= 4 * PAIRS


def test_two_processes_after_learning_from_the_whole(
    loaded: LoadedSite, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = with_settings(with_settings(loaded, WHOLE), FLOW)
    plain = process(site, folder, "one", jobs=1)
    monkeypatch.setattr(shared_run, "PIECE", 6)
    shared = process(site, folder, "two", jobs=2)
    assert_same(shared, plain)
    assert np.isfinite(plain.series.calibration_slope_molec_cm2).any()
    for name in ("emission_rates.csv", "calibration.csv"):
        assert (folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"processing": {"calibration": {"source": "spectrometer", "spectrometer": {"policy": "rolling"}}}},
        {"processing": {"speed": {"methods": ["nadeau"]}}},
    ],
    ids=["rolling", "nadeau"],
)
def test_what_is_learnt_on_the_way_is_not_shared(
    loaded: LoadedSite, folder: Path, changes: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> object:
        raise AssertionError("shared")

    monkeypatch.setattr(batch, "run_shared", never)
    site = with_settings(loaded, changes)
    assert len(process(site, folder, "serial", jobs=2).series.times) == PAIRS - 1


def test_images_are_made_by_one_process(loaded: LoadedSite, folder: Path) -> None:
    report = process(
        with_settings(loaded, FLOW), folder, "images", jobs=2, images=ImageRequest(("zarr",), ("absorbance",))
    )
    assert any("zarr" in path.name for path in report.products)
