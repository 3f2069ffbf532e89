"""The writer of image products: all of them whole, or nothing at all."""

import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
import xarray as xr

from so2cam.core.errors import OutputError
from so2cam.core.records import PlumeLine, Provenance
from so2cam.core.results import EmissionSeries
from so2cam.core.uncertainty import Term
from so2cam.formats.images import ImageRecord, ImageWriter, RateCurve, total_rates
from so2cam.formats.images import staging as staging_module
from so2cam.formats.images import video as video_module

START = datetime(2018, 3, 26, 14, 44, 8, 123000, tzinfo=UTC)
PROVENANCE = Provenance("1.2.3", "Etna", {"a": 1}, "f" * 64, (("on.png", "0" * 64),), "so2cam process", START)
LINE = PlumeLine("near", ((40.0, 5.0), (40.0, 55.0)))
ALL = {"absorbance", "columns", "flow"}


def records(count: int, shape: tuple[int, int] = (60, 80), *, flow: bool = True) -> Iterator[ImageRecord]:
    random = np.random.default_rng(3)
    y, x = np.mgrid[: shape[0], : shape[1]]
    plume = 0.4 * np.exp(-(((y - shape[0] / 2) / 8) ** 2)) * (x > 10)
    for number in range(count):
        absorbance = (plume + random.normal(0, 0.01, shape)).astype(np.float32)
        absorbance[-10:] = np.nan
        motion = np.zeros((*shape, 2), np.float32)
        motion[..., 0] = 2.5
        yield ImageRecord(
            START + timedelta(seconds=4 * number),
            absorbance,
            absorbance * np.float32(7e18),
            motion if flow and number < count - 1 else None,
            (LINE,),
        )


def write(out: Path, formats: set[str], quantities: set[str] = ALL, count: int = 4) -> tuple[Path, ...]:
    with ImageWriter(out, formats=formats, quantities=quantities) as writer:
        for record in records(count):
            writer.add(record)
        return writer.finish(PROVENANCE)


def test_all_products_of_a_run(tmp_path: Path) -> None:
    out = tmp_path / "a" / "results"
    steps: list[tuple[int, int]] = []
    times = tuple(record.time for record in records(4))
    rates = RateCurve(times, np.array([1.0, 2.0, 3.0, np.nan]), np.full(4, 0.1), "total")
    with ImageWriter(
        out, formats=("zarr", "netcdf", "png", "video"), quantities=ALL, metres_per_pixel=5.0, frames_per_second=4.0
    ) as writer:
        for record in records(4):
            writer.add(record)
        products = writer.finish(PROVENANCE, rates=rates, progress=lambda done, total: steps.append((done, total)))
    assert [path.name for path in products] == ["images.zarr", "images.nc", "pictures", "video.webm"]
    assert {path.name for path in out.iterdir()} == {path.name for path in products}
    assert steps == [(number + 1, 12) for number in range(12)]
    truth = np.array([record.absorbance for record in records(4)])
    with xr.open_zarr(products[0], chunks=None) as stack, xr.open_dataset(products[1]) as file:
        for data in (stack, file):
            np.testing.assert_allclose(data.absorbance.values, truth, atol=0.51e-4)
            np.testing.assert_allclose(data.column_density.values, truth * 7e18, atol=0.51e15)
            assert (data.flow_x.values[:3] == 2.5).all()
            assert np.isnan(data.flow_x.values[3]).all()
            assert (data.flow_y.values[:3] == 0.0).all()
    names = sorted(path.name for path in products[2].iterdir())
    assert len(names) == 8
    assert names[0] == "absorbance_2018-03-26T144408.123Z.png"
    assert names[4] == "columns_2018-03-26T144408.123Z.png"
    assert all(cv2.imread(str(products[2] / name)) is not None for name in names)
    capture = cv2.VideoCapture(str(products[3]))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 4
    capture.release()
    assert writer.notes == ()
    assert writer.images == 4


@pytest.mark.parametrize(
    ("formats", "quantities", "expected"),
    [
        ({"zarr"}, {"columns"}, ["column_density"]),
        ({"netcdf"}, {"flow"}, ["flow_x", "flow_y"]),
    ],
)
def test_stacks_hold_what_was_asked_for(
    tmp_path: Path, formats: set[str], quantities: set[str], expected: list[str]
) -> None:
    (product,) = write(tmp_path, formats, quantities)
    opened = xr.open_zarr(product, chunks=None) if product.suffix == ".zarr" else xr.open_dataset(product)
    with opened as data:
        assert [name for name in data.data_vars if data[name].ndim == 3] == expected


def test_pictures_of_motion_alone_are_drawn_over_the_absorbance(tmp_path: Path) -> None:
    products = write(tmp_path, {"png", "zarr"}, {"flow"}, count=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.zarr", "pictures"]
    assert sorted(path.name[:15] for path in products[1].iterdir()) == ["flow_2018-03-26"] * 2
    with xr.open_zarr(products[0], chunks=None) as data:
        assert "absorbance" not in data


def test_pictures_share_the_colours_of_the_run_or_those_given(tmp_path: Path) -> None:
    """A faint image after a strong one stays dark; fixed limits make it bright."""
    bright = []
    for limits in (None, {"absorbance": (0.0, 0.02)}):
        out = tmp_path / str(len(bright))
        with ImageWriter(out, formats={"png"}, quantities={"absorbance"}, limits=limits) as writer:  # type: ignore[arg-type]
            writer.add(ImageRecord(START, np.full((30, 620), 1.0, np.float32)))
            writer.add(ImageRecord(START + timedelta(seconds=1), np.full((30, 620), 0.02, np.float32)))
            (folder,) = writer.finish(PROVENANCE)
        image = cv2.imread(str(max(folder.iterdir())))
        assert image is not None
        bright.append(float(image[70:90, 100:600].mean()))
    assert bright[0] < 80 < bright[1]


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with ImageWriter(
            tmp_path / "new" / "out", formats={"zarr", "netcdf", "png", "video"}, quantities=ALL
        ) as writer:
            for record in records(3):
                writer.add(record)
            assert list((tmp_path / "new" / "out").iterdir())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_while_drawing_leaves_the_older_products(tmp_path: Path) -> None:
    write(tmp_path, {"zarr", "png", "video", "netcdf"}, count=2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def stop(done: int, total: int) -> None:
        if done == total - 1:
            raise KeyboardInterrupt

    def again() -> None:
        with ImageWriter(tmp_path, formats={"zarr", "png", "video", "netcdf"}, quantities=ALL) as writer:
            for record in records(3):
                writer.add(record)
            writer.finish(PROVENANCE, progress=stop)

    with pytest.raises(KeyboardInterrupt):
        again()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_without_commit_nothing_is_left(tmp_path: Path) -> None:
    with ImageWriter(tmp_path, formats={"netcdf"}, quantities={"columns"}) as writer:
        writer.add(next(records(1)))
        writer.complete(PROVENANCE)
        assert not (tmp_path / "images.nc").exists()
    assert list(tmp_path.iterdir()) == []


def test_newer_products_replace_older_ones(tmp_path: Path) -> None:
    write(tmp_path, {"zarr", "png", "netcdf"}, {"absorbance"}, count=3)
    write(tmp_path, {"zarr", "png", "netcdf"}, {"absorbance"}, count=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.nc", "images.zarr", "pictures"]
    assert len(list((tmp_path / "pictures").iterdir())) == 2
    with xr.open_zarr(tmp_path / "images.zarr", chunks=None) as data:
        assert data.sizes["time"] == 2


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "holiday.png").write_bytes(b"x")
    (tmp_path / "images.zarr").mkdir()
    (tmp_path / "images.zarr" / "zarr.json").write_text('{"attributes": {"source": "another program"}}')
    (tmp_path / "images.nc").mkdir()
    for kind in ("png", "zarr", "netcdf"):
        with pytest.raises(OutputError, match=r"would be replaced|is a folder"):
            ImageWriter(tmp_path, formats={kind}, quantities=ALL).__enter__()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.nc", "images.zarr", "pictures"]


def test_a_file_where_a_folder_of_products_belongs_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "pictures").write_text("notes")
    with pytest.raises(OutputError, match="is a file"):
        write(tmp_path, {"png"}, {"absorbance"})
    assert (tmp_path / "pictures").read_text() == "notes"


def test_a_commit_that_fails_puts_the_older_folders_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"zarr", "png"}, {"absorbance"}, count=2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    real = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if self.name == "pictures":
            raise PermissionError(13, "Permission denied")
        return real(self, target)

    monkeypatch.setattr(staging_module.Path, "replace", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        write(tmp_path, {"zarr", "png"}, {"absorbance"}, count=3)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_full_disk_is_explained_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("so2cam.formats.images.zarr_stack.ZarrStack._write", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        write(tmp_path, {"zarr"}, {"absorbance"})
    assert caught.value.remedy is not None
    assert "free space" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_no_codec_leaves_nothing_and_the_other_form_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "CODECS", ((".webm", "NONE"),))
    with pytest.raises(OutputError, match="no video"):
        write(tmp_path, {"video", "zarr"}, {"columns"})
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(video_module, "CODECS", ((".avi", "MJPG"),))
    with ImageWriter(tmp_path, formats={"video"}, quantities={"columns"}) as writer:
        for record in records(2):
            writer.add(record)
        assert [path.name for path in writer.finish(PROVENANCE)] == ["video.avi"]
    assert "browsers do not play" in writer.notes[0]


def test_what_a_crash_left_is_cleared_and_what_it_moved_aside_put_back(tmp_path: Path) -> None:
    old, new = tmp_path / ".images.0123456789abcdef.tmp", tmp_path / ".images.fedcba9876543210.tmp"
    (old / "replaced" / "pictures").mkdir(parents=True)
    new.mkdir()
    for path in (old / "replaced" / "pictures", old / "replaced", old):
        os.utime(path, (time.time() - 7200,) * 2)
    write(tmp_path, {"netcdf"}, {"columns"}, count=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, "images.nc", "pictures"]


def test_values_beyond_the_range_are_counted_and_noted(tmp_path: Path) -> None:
    with ImageWriter(tmp_path, formats={"netcdf"}, quantities={"absorbance"}) as writer:
        image = np.zeros((4, 5), np.float32)
        image[0, :3] = 7.0
        writer.add(ImageRecord(START, image))
        writer.finish(PROVENANCE)
    assert writer.out_of_range == {"absorbance": 3}
    assert writer.notes == ("images: 3 values of absorbance lie beyond -1 to 5.5534 and are missing",)


def test_a_run_without_images_writes_none_and_says_so(tmp_path: Path) -> None:
    with ImageWriter(tmp_path, formats={"zarr", "video"}, quantities=ALL) as writer:
        assert writer.finish(PROVENANCE) == ()
    assert writer.notes == ("no image could be made, so none was written",)
    assert list(tmp_path.iterdir()) == []


def test_an_image_without_any_value_is_drawn(tmp_path: Path) -> None:
    with ImageWriter(tmp_path, formats={"png", "video"}, quantities={"columns", "flow"}) as writer:
        writer.add(ImageRecord(START, np.full((40, 60), np.nan, np.float32)))
        products = writer.finish(PROVENANCE)
    assert [path.name for path in products] == ["pictures", "video.webm"]


def test_misuse_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="formats must be"):
        ImageWriter(tmp_path, formats={"tiff"}, quantities=ALL)
    with pytest.raises(ValueError, match="quantities must be"):
        ImageWriter(tmp_path, formats={"zarr"}, quantities=())
    first, second = list(records(2))
    with ImageWriter(tmp_path, formats={"netcdf"}, quantities=ALL) as writer:
        with pytest.raises(ValueError, match="needs complete"):
            writer.commit()
        writer.add(second)
        for late in (first, second):
            with pytest.raises(ValueError, match="not after"):
                writer.add(late)
        with pytest.raises(ValueError, match="among images"):
            writer.add(ImageRecord(START + timedelta(hours=1), np.zeros((3, 4), np.float32)))
        writer.complete(PROVENANCE)
        with pytest.raises(ValueError, match="before"):
            writer.complete(PROVENANCE)
    with pytest.raises(ValueError, match="closed"):
        writer.add(second)


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    code = (
        "import sys, so2cam.formats.images as i, pathlib; i.ImageWriter(pathlib.Path('x'), formats=i.FORMATS, "
        "quantities=i.QUANTITIES); print({'matplotlib', 'zarr', 'netCDF4', 'xarray'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_memory_stays_flat(tmp_path: Path) -> None:
    """What 200 images need at their most is what 50 need, to far less than the further images."""
    peaks = []
    tracemalloc.start()
    for count in (50, 200):
        with ImageWriter(tmp_path / str(count), formats={"zarr", "netcdf"}, quantities={"absorbance"}) as writer:
            tracemalloc.reset_peak()
            for record in records(count, (150, 200), flow=False):
                writer.add(record)
            writer.complete(PROVENANCE)
            peaks.append(tracemalloc.get_traced_memory()[1])
            writer.commit()
    tracemalloc.stop()
    assert peaks[1] < peaks[0] + 10 * 2 * 150 * 200
    assert peaks[1] < 12_000_000


def series(total: list[list[float]]) -> EmissionSeries:
    values = np.array(total)
    times, methods = values.shape
    empty, line = np.full((times, 1, methods), np.nan), np.full((times, 1), np.nan)
    one = np.full(times, np.nan)
    return EmissionSeries(
        times=tuple(START + timedelta(seconds=number) for number in range(times)),
        lines=("near",),
        speed_methods=("flow_raw", "cross_correlation")[:methods],
        emission_rate_kg_s=empty,
        random_uncertainty_kg_s=empty,
        systematic_uncertainty_kg_s=empty,
        status=np.zeros((times, 1, methods), np.int64),
        plume_speed_m_s=empty,
        plume_speed_uncertainty_m_s=empty,
        plume_direction_deg=empty,
        integrated_column_amount_kg_m=line,
        integrated_column_amount_uncertainty_kg_m=line,
        total_emission_rate_kg_s=values,
        total_random_uncertainty_kg_s=0.1 * values,
        total_systematic_uncertainty_kg_s=0.2 * values,
        total_status=np.zeros((times, methods), np.int64),
        background_level=one,
        background_noise=one,
        quality_flags=np.zeros(times, np.int64),
        pair_offset_s=one,
        calibration_slope_molec_cm2=one,
        calibration_slope_uncertainty_molec_cm2=one,
        calibration_offset_molec_cm2=one,
        calibration_offset_uncertainty_molec_cm2=one,
        calibration_number=np.full(times, -1, np.int64),
        extinction_per_m=np.full((times, 2), np.nan),
        extinction_uncertainty_per_m=np.full((times, 2), np.nan),
        uncertainty_terms_kg_s=np.full((times, 1, methods, len(Term)), np.nan),
    )


def test_the_rates_shown_are_of_the_method_with_most_values() -> None:
    run = series([[1.0, 5.0], [np.nan, 6.0], [3.0, 7.0]])
    best = total_rates(run)
    assert best is not None
    assert best.name == "total, cross correlation"
    assert best.rate_kg_s.tolist() == [5.0, 6.0, 7.0]
    np.testing.assert_allclose(best.uncertainty_kg_s, [0.5, 0.6, 0.7])
    named = total_rates(run, "flow_raw")
    assert named is not None
    assert named.rate_kg_s[2] == 3.0
    with pytest.raises(ValueError, match="no speed method"):
        total_rates(run, "guess")
    assert total_rates(series([[np.nan], [np.nan]])) is None
    with pytest.raises(ValueError, match="2 times"):
        RateCurve((START, START), np.zeros(3), np.zeros(2), "x")
