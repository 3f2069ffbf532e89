"""Methods that share one optical flow: against a volcano of known emission rate, and where they disagree."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.records import PlumeLine
from so2cam.core.site import OpticalFlow, Site
from so2cam.core.status import EmissionStatus
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.pipeline import batch
from so2cam.pipeline.flow_speed import FLOW_METHODS, LineMotion, line_motions, main_motion
from so2cam.pipeline.geometry import lines_at_plume
from so2cam.pipeline.steps import AbsorbanceImage
from so2cam.science.imaging.background import SkySurface
from so2cam.science.motion.flow import Region, optical_flow
from so2cam.simulate import SimulationResult, load_scenario, simulate


@pytest.fixture(scope="module")
def volcano(tmp_path_factory: pytest.TempPathFactory) -> SimulationResult:
    return simulate(load_scenario("baseline"), tmp_path_factory.mktemp("volcano"), seed=5, pairs=5)


def loaded(result: SimulationResult, methods: tuple[str, ...]) -> LoadedSite:
    site = load_site(result.site)
    settings = site.settings
    settings["processing"]["speed"]["methods"] = list(methods)
    return replace(site, site=Site.model_validate(settings), settings=settings)


def test_every_flow_method_within_3_percent(volcano: SimulationResult, tmp_path: Path) -> None:
    report = batch.process_folders(loaded(volcano, FLOW_METHODS), [volcano.frames], tmp_path, command="test")
    truth = np.stack([line.emission_rate_kg_s for line in volcano.truth.lines], axis=1)[:-1]
    for index, method in enumerate(FLOW_METHODS):
        rate = report.series.emission_rate_kg_s[:-1, :, index]
        assert rate.mean() == pytest.approx(truth.mean(), rel=0.03), method
        sigma = np.hypot(
            report.series.random_uncertainty_kg_s[:-1, :, index],
            report.series.systematic_uncertainty_kg_s[:-1, :, index],
        )
        assert np.all(np.abs(rate - truth) < 3 * sigma), method


def test_raw_flow_does_not_depend_on_the_other_methods(volcano: SimulationResult, tmp_path: Path) -> None:
    alone = batch.process_folders(loaded(volcano, ("flow_raw",)), [volcano.frames], tmp_path / "1", command="test")
    among = batch.process_folders(loaded(volcano, FLOW_METHODS), [volcano.frames], tmp_path / "2", command="test")
    np.testing.assert_array_equal(alone.series.emission_rate_kg_s[..., 0], among.series.emission_rate_kg_s[..., 0])


def moving_plume(shift: tuple[float, float], seed: int = 1) -> tuple[AbsorbanceImage, AbsorbanceImage]:
    rng = np.random.default_rng(seed)
    size = 288
    frequency = 2 * np.pi * np.fft.fftfreq(size)
    kx, ky = frequency[None, :], frequency[:, None]
    spectrum = np.fft.fft2(rng.standard_normal((size, size))) * np.exp(-(kx**2 + ky**2) * 18)
    spectrum /= np.std(np.fft.ifft2(spectrum).real)
    section = 0.25 * np.exp(-(((np.arange(size) - 144) / 45.0) ** 2))[:, None]

    def image(dx: float, dy: float) -> AbsorbanceImage:
        texture = np.fft.ifft2(spectrum * np.exp(-1j * (kx * dx + ky * dy))).real
        values = section * (1 + 0.3 * texture) + 0.003 * rng.standard_normal((size, size))
        everywhere = np.ones((size, size), np.bool_)
        blocks = np.ones((size // 8, size // 8), np.bool_)
        return AbsorbanceImage(
            absorbance=values.astype(np.float32),
            valid=everywhere,
            in_sky=everywhere,
            background_level=0.0,
            noise=0.003,
            structure=0.001,
            sky_share=0.5,
            log_off=np.zeros((size, size), np.float32),
            surface=SkySurface(np.zeros(6), np.zeros(6), 2, blocks, blocks, 0.001),
            sky_off=np.zeros(blocks.shape),
        )

    return image(0, 0), image(*shift)


def test_hybrid_replaces_what_the_histogram_does_not_hold() -> None:
    first, second = moving_plume((-5.0, 0.0))
    # A patch of the plume that stands still, as terrain seen through it would.
    still = (slice(125, 165), slice(130, 158))
    frozen = second.absorbance.copy()
    frozen[still] = first.absorbance[still]
    flow = optical_flow(
        first.absorbance, frozen, first.valid, first.valid, Region(0, 288, 0, 288), window_px=24, levels=4, iterations=4
    )
    line = PlumeLine.straight("line", (144, 60), (144, 228), (-1.0, 0.0))
    template = lines_at_plume(load_site(Path(__file__).resolve().parents[3] / "examples/villarrica/site.toml").site)[0]
    count = 168
    y = 60.5 + np.arange(count)
    samples = replace(
        template,
        line=line,
        x=np.full(count, 144.0),
        y=y,
        piece_m=np.ones(count),
        normal=np.tile([-1.0, 0.0], (count, 1)),
    )
    column = 0.25 * np.exp(-(((y - 144) / 45.0) ** 2))
    motions = line_motions(FLOW_METHODS, flow, samples, column, main_motion(flow, first, samples, OpticalFlow()))
    mean = {}
    for method, motion in motions.items():
        assert isinstance(motion, LineMotion)
        mean[method] = float(np.average(-motion.vectors[:, 0], weights=column))
        assert motion.sum_uncertainty(column / column.sum(), 1.0) < 2.5
    assert mean["flow_raw"] < 4.8
    assert mean["flow_histogram"] == pytest.approx(5.0, rel=0.06)
    assert mean["flow_raw"] < mean["flow_hybrid"] <= 5.3


def test_no_motion_is_a_status_for_every_method() -> None:
    first, _ = moving_plume((0.0, 0.0))
    other, _ = moving_plume((0.0, 0.0), seed=2)
    blank = replace(first, absorbance=(other.absorbance * 0).astype(np.float32))
    flow = optical_flow(
        blank.absorbance, blank.absorbance, first.valid, first.valid, Region(0, 288, 0, 288),
        window_px=24, levels=4, iterations=4,
    )  # fmt: skip
    line = PlumeLine.straight("line", (144, 60), (144, 228), (-1.0, 0.0))
    template = lines_at_plume(load_site(Path(__file__).resolve().parents[3] / "examples/villarrica/site.toml").site)[0]
    y = 60.5 + np.arange(168)
    samples = replace(
        template, line=line, x=np.full(168, 144.0), y=y, piece_m=np.ones(168), normal=np.tile([-1.0, 0.0], (168, 1))
    )
    motions = line_motions(
        ("flow_histogram", "flow_hybrid"),
        flow,
        samples,
        np.ones(168),
        main_motion(flow, blank, samples, OpticalFlow()),
    )
    assert set(motions) == {"flow_histogram", "flow_hybrid"}
    assert all(isinstance(motion, EmissionStatus) and motion is not EmissionStatus.OK for motion in motions.values())
