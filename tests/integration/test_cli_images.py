"""``so2cam process --images``: the products, what they hold, interruption, and what stands in their way."""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import netCDF4
import numpy as np
import pytest
import xarray as xr

from so2cam.cli.main import run
from so2cam.core.records import FrameKind
from so2cam.formats.images import ImageWriter
from so2cam.formats.images.packing import LAYERS
from so2cam.formats.images.record import FORMATS
from so2cam.formats.sitefile import load_site
from so2cam.pipeline import batch
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.plan import plan_run
from so2cam.pipeline.references import build_references
from so2cam.simulate import load_scenario, simulate
from so2cam.simulate.scenario import Scenario

PAIRS = 4
LAYER_NAMES = ("absorbance", "column_density", "flow_x", "flow_y")
TABLES = {"emission_rates.csv", "emission_rates.nc", "quicklook.png"}
IMAGES = {"images.nc", "images.zarr", "pictures", "video.webm"}
EVERYTHING = ("--images", "zarr,netcdf,png,video", "--quantities", "absorbance,columns,flow")


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a quarter of the pixels, for speed."""
    settings = load_scenario().model_dump(mode="json")
    settings["view"]["optics"].update(width_px=324, height_px=243, pixel_pitch_um=11.2)
    settings["lines"]["length_px"] = 115
    settings["misregistration"]["shift_px"] = [6.0, -4.5]
    folder = tmp_path_factory.mktemp("images")
    simulate(Scenario.model_validate_json(json.dumps(settings)), folder, seed=1, pairs=PAIRS)
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def stack(case: Any, name: str) -> xr.Dataset:
    path = case.out / name
    opened = xr.open_zarr(path, chunks=None) if name.endswith(".zarr") else xr.open_dataset(path)
    with opened as data:
        return data.load()


# --- the products ------------------------------------------------------------------------------------------------


def test_all_formats_and_quantities(case: Any) -> None:
    case.process(*EVERYTHING).said(f"{PAIRS} pairs", *(f"{case.out / name}" for name in TABLES | IMAGES))
    assert names(case.out) == TABLES | IMAGES
    zarr, netcdf = stack(case, "images.zarr"), stack(case, "images.nc")
    rates = stack(case, "emission_rates.nc")
    for data in (zarr, netcdf):
        assert data.sizes["time"] == PAIRS
        assert np.array_equal(data.time.values, rates.time.values)
        for layer in LAYER_NAMES:
            assert data[layer].shape == (PAIRS, 243, 324)
            assert np.array_equal(data[layer].values, zarr[layer].values, equal_nan=True)
            assert not data[f"{layer}_out_of_range"].values.any()
    # Speed and lines of a run agree with its images: upward and to the left, as the plume of the simulation drifts.
    plume = zarr.absorbance.values[:-1] > 0.1
    assert np.isfinite(zarr.flow_x.values[:-1][plume]).mean() > 0.9
    assert np.nanmedian(zarr.flow_x.values[:-1][plume]) < -0.7
    assert np.nanmedian(zarr.flow_y.values[:-1][plume]) < -0.5
    assert np.isnan(zarr.flow_x.values[-1]).all(), "the last image has no next one"
    pictures = names(case.out / "pictures")
    assert {name.split("_")[0] for name in pictures} == {"absorbance", "columns"}
    assert len(pictures) == 2 * PAIRS
    for path in (case.out / "pictures").iterdir():
        picture = cv2.imread(str(path))
        assert picture is not None
        assert picture.shape[0] >= 243
    film = cv2.VideoCapture(str(case.out / "video.webm"))
    assert int(film.get(cv2.CAP_PROP_FRAME_COUNT)) == PAIRS
    film.release()


def test_columns_are_those_of_the_curve_without_its_offset(case: Any) -> None:
    case.process("--images", "zarr", "--quantities", "absorbance,columns").said("pairs")
    data = stack(case, "images.zarr")
    site = load_site(case.site).site
    plan, reader = plan_run(site, [case.frames]), FrameReader(site)
    darks = DarkLibrary([frame for frame in plan.frames if frame.kind is FrameKind.DARK], site.processing, reader)
    calibration = build_references(site, plan.frames, darks, reader).calibration
    assert calibration is not None
    curve = calibration.curve
    absorbance = data.absorbance.values.astype(np.float64)
    expected = curve.column(absorbance) - curve.column(np.zeros(1))
    slope = curve.slope_at_zero[0]
    assert np.array_equal(np.isnan(data.column_density.values), np.isnan(absorbance))
    # The steps in which the two are stored.
    np.testing.assert_allclose(data.column_density.values, expected, atol=0.55e15 + 0.55e-4 * slope)
    assert float(np.nanmax(data.column_density.values)) > 5e17
    assert "flow_x" not in data


def test_ground_and_what_one_band_does_not_see_are_missing(case: Any) -> None:
    text = case.site.read_text().replace(
        'mode = "sky-surface"', 'mode = "sky-surface"\nskyline = [[0, 200], [323, 200]]'
    )
    case.replace(case.site, text.encode())
    case.process("--images", "zarr", "--quantities", "absorbance").said("pairs")
    absorbance = stack(case, "images.zarr").absorbance.values
    assert np.isnan(absorbance[:, 202:]).all()
    assert np.isfinite(absorbance[:, 20:190, 10:300]).mean() > 0.99
    assert np.isnan(absorbance[:, 0, 0]).all(), "outside of the off band"


def test_provenance(case: Any) -> None:
    case.process(*EVERYTHING).said("pairs")
    rates = stack(case, "emission_rates.nc")
    for name in ("images.zarr", "images.nc"):
        data = stack(case, name)
        for key in ("settings", "settings_sha256", "software_version", "command", "site"):
            assert data.attrs[key] == rates.attrs[key], key
        assert "--images zarr,netcdf,png,video" in data.attrs["command"]
        hashes = dict(zip(data.input_file.values.tolist(), data.input_sha256.values.tolist(), strict=True))
        assert hashes == dict(zip(rates.input_file.values.tolist(), rates.input_sha256.values.tolist(), strict=True))
        for path in (case.site, *case.plume("A"), *case.plume("B")):
            assert hashes[str(path)] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_numbers_do_not_depend_on_images(case: Any) -> None:
    case.process().said("pairs")
    before = case.values()
    case.process("--images", "png").said("pairs")
    assert case.values() == before
    assert {name.split("_")[0] for name in names(case.out / "pictures")} == {"absorbance", "columns"}


@pytest.mark.parametrize("quantity", ["absorbance", "columns", "flow"])
def test_one_quantity_in_every_format(case: Any, quantity: str) -> None:
    case.process("--images", ",".join(FORMATS), "--quantities", quantity).said("pairs")
    assert names(case.out) == TABLES | IMAGES
    wanted = {layer.name for layer in LAYERS if layer.quantity == quantity}
    assert {name for name in stack(case, "images.zarr").data_vars if name in LAYER_NAMES} == wanted
    assert {name.split("_")[0] for name in names(case.out / "pictures")} == {quantity}


def test_images_without_a_speed_from_images(case: Any) -> None:
    """Without a method that needs it there is no flow to show, and the images say so by being empty."""
    case.edit_site("[processing.pairing]", "[wind]\nspeed_m_s = 12\ndirection_from_deg = 102\n\n[processing.pairing]")
    case.methods = "wind"
    case.process("--images", "zarr", "--quantities", "absorbance,flow").said("pairs")
    data = stack(case, "images.zarr")
    assert np.isfinite(data.absorbance.values).any()
    assert np.isnan(data.flow_x.values).all()


def test_pairs_without_an_image_are_left_out(case: Any) -> None:
    path = case.plume("A")[1]
    path.rename(path.with_name(path.name.replace("_1.0_", "_2.0_")))
    case.process("--images", "zarr").said("no dark frame")
    assert stack(case, "images.zarr").sizes["time"] == PAIRS - 1
    assert stack(case, "emission_rates.nc").sizes["time"] == PAIRS


def test_images_below_the_frames_do_not_disturb_the_next_run(case: Any) -> None:
    out = case.frames / "results"
    images = ("--images", "zarr,png", "--quantities", "columns", "--end", "2026-01-15T14:00:10Z")
    numbers = []
    for _ in range(2):
        case.run("process", case.site, "--frames", case.frames, "--out", out, "--methods", "flow_raw", *images).said(
            "2 pairs"
        )
        numbers.append((out / "emission_rates.csv").read_text())
    assert numbers[0] == numbers[1]


# --- wrong options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [
        ("--images", "tiff", "zarr, netcdf, png, video"),
        ("--images", "png,png", "each once"),
        ("--images", "", "zarr, netcdf, png, video"),
        ("--quantities", "column", "absorbance, columns, flow"),
        ("--quantities", "columns;flow", "absorbance, columns, flow"),
    ],
)
def test_unknown_names(case: Any, option: str, value: str, known: str) -> None:
    other = () if option == "--images" else ("--images", "png")
    case.process(*other, option, value).failed_with(option, known)
    assert not case.out.exists()


def test_quantities_go_with_images(case: Any) -> None:
    case.process("--quantities", "columns").failed_with("--quantities goes with --images")
    assert not case.out.exists()


# --- what stands in the way --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def earlier(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The products of an earlier run, of two pairs; not to be changed."""
    out = tmp_path_factory.mktemp("earlier") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "write_quicklook", lambda path, *_, **__: path.write_bytes(b"earlier"))
        arguments = ["process", simulated / "site.toml", "--frames", simulated / "frames", "--out", out, *EVERYTHING]
        assert run([*map(str, arguments), "--methods", "flow_raw", "--end", "2026-01-15T14:00:10Z"]) == 0
    return out


@pytest.fixture
def older(case: Any, earlier: Path) -> dict[str, bytes]:
    """All files of an earlier run, which stand where products go."""
    shutil.copytree(earlier, case.out)
    return contents(case.out)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (ImageWriter, "add"),
        (ImageWriter, "complete"),
        (ImageWriter, "commit"),
        (batch, "write_emission_netcdf"),
        (batch, "write_quicklook"),
    ],
)
def test_interrupted(
    case: Any, older: dict[str, bytes], place: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, name, interrupt)
    result = case.process(*EVERYTHING)
    assert result.code == 130
    assert "nothing was written, older products are as they were" in result.err
    assert contents(case.out) == older
    assert names(case.out) == TABLES | IMAGES


def test_interrupted_in_a_new_folder(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "write_quicklook", interrupt)
    assert case.process(*EVERYTHING).code == 130
    assert not case.out.exists() or not names(case.out)


def test_a_later_run_replaces_images_of_an_earlier_one(case: Any, older: dict[str, bytes]) -> None:
    case.process(*EVERYTHING).said(f"{PAIRS} pairs")
    assert names(case.out) == TABLES | IMAGES
    assert len(names(case.out / "pictures")) == 2 * PAIRS
    assert stack(case, "images.zarr").sizes["time"] == PAIRS


def test_a_full_disk(case: Any, older: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("so2cam.formats.images.writer.write_video", full)
    case.process(*EVERYTHING).explained("video", "No space left on device", "free space")
    assert contents(case.out) == older


def test_images_that_cannot_take_their_place_leave_all_as_it_was(
    case: Any, older: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name == "pictures":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    case.process(*EVERYTHING).explained("pictures", "Permission denied")
    assert contents(case.out) == older


@pytest.mark.parametrize(("name", "is_folder"), [("pictures", True), ("images.zarr", True), ("images.nc", True)])
def test_what_no_run_wrote_is_not_replaced(case: Any, name: str, is_folder: bool) -> None:
    mine = case.out / name / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    case.process(*EVERYTHING).explained(name, "move")
    assert mine.read_text() == "mine"
    assert names(case.out) == {name}


def test_a_folder_that_cannot_be_written(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    case.out.mkdir()
    access = os.access  # root may write everywhere
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != case.out and access(path, mode))
    case.process(*EVERYTHING).explained(str(case.out), "nothing can be written into this folder")
    assert not names(case.out)


def test_no_image_at_all_is_said(case: Any) -> None:
    """No sky to fit a background to in any pair: no images, and the tables say why."""
    text = case.site.read_text().replace('mode = "sky-surface"', 'mode = "sky-surface"\nskyline = [[0, 3], [323, 3]]')
    case.replace(case.site, text.encode())
    result = case.process(*EVERYTHING)
    assert result.code == 3
    assert "no image could be made, so none was written" in result.err
    assert names(case.out) == TABLES
    with netCDF4.Dataset(case.out / "emission_rates.nc") as data:
        assert data.dimensions["time"].size == PAIRS
