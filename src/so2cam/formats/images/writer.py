"""The writer of image products: records in, one at a time; stacks, pictures and a video out, whole or not at all."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

from so2cam.core.records import Provenance
from so2cam.formats.images.canvas import Labels
from so2cam.formats.images.colours import CodeCounts, colour_scale
from so2cam.formats.images.netcdf_stack import NetcdfStack
from so2cam.formats.images.packing import LAYERS, Layer, LayerName, layers_of, pack_record
from so2cam.formats.images.pictures import Gallery, write_pictures
from so2cam.formats.images.record import (
    ImageRecord,
    Quantity,
    RateCurve,
    chosen_formats,
    chosen_quantities,
)
from so2cam.formats.images.stack import LineHistory, Stack
from so2cam.formats.images.staging import PICTURE_FOLDER, STACK_FOLDER, Staging, explained, require_replaceable
from so2cam.formats.images.video import CODECS, write_video
from so2cam.formats.images.zarr_stack import ZarrStack, ZarrStackReader
from so2cam.formats.provenance import to_milliseconds

NETCDF_FILE: Final = "images.nc"
VIDEO_STEM: Final = "video"
_DRAWN_STACK: Final = "drawn.zarr"
"""A stack that pictures and video are drawn from, where none in zarr was asked for; it is no product."""

Progress = Callable[[int, int], None]
Drawn = Literal["absorbance", "columns"]
_DRAWN: Final[dict[Drawn, LayerName]] = {"absorbance": "absorbance", "columns": "column_density"}


class ImageWriter:
    """Writes ``formats`` (zarr, netcdf, png, video) of ``quantities`` (absorbance, columns, flow) into ``out``.

    Use it in a ``with`` statement: ``add`` every record in order of time, ``complete`` when the run is over, ``commit``
    to put the products in their places (``finish`` does both). If the statement ends without ``commit``, by an
    exception or not, nothing is left and older products are as they were.

    Products are ``images.zarr``, ``images.nc``, ``pictures/`` and ``video.webm``. Pictures are of absorbance and
    columns, with arrows where flow is among the quantities; the video is of the columns, or else of the absorbance.
    ``limits`` fixes the range of colours, absorbance or molecules cm-2; otherwise it is taken from the run.
    ``metres_per_pixel`` is that at the plume, for a scale of distance. Raises ValueError for unknown names,
    OutputError where ``out`` cannot be written or holds something else by the products' names.
    """

    def __init__(
        self,
        out: Path,
        *,
        formats: Collection[str],
        quantities: Collection[str],
        metres_per_pixel: float | None = None,
        limits: Mapping[Drawn, tuple[float, float]] | None = None,
        frames_per_second: float | None = None,
    ) -> None:
        self._out = out
        self._formats = chosen_formats(tuple(formats))
        self._quantities = chosen_quantities(tuple(quantities))
        self._metres_per_pixel = metres_per_pixel
        self._limits = dict(limits or {})
        self._frames_per_second = frames_per_second
        self._layers = layers_of(self._quantities)
        self._drawn: tuple[Drawn, ...] = ()
        if self._formats & {"png", "video"}:
            self._drawn = tuple(name for name in _DRAWN if name in self._quantities) or ("absorbance",)
        self._staging: Staging | None = None
        self._stacks: dict[str, Stack] = {}
        self._shape: tuple[int, int] | None = None
        self._last_ms: int | None = None
        self._lines = LineHistory()
        self._counts = {name: CodeCounts(_layer(_DRAWN[name])) for name in self._drawn}
        self._products: list[str] | None = None
        self.images = 0
        """Records added."""
        self.out_of_range: dict[LayerName, int] = {layer.name: 0 for layer in self._layers}
        """Pixels that are missing because their value lies beyond what a layer can hold."""

    def __enter__(self) -> "ImageWriter":
        for name in self._expected():
            require_replaceable(self._out / name)
        self._staging = Staging(self._out)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def add(self, record: ImageRecord) -> None:
        """Add the images of one pair.

        Raises ValueError for another size than that of the first, and for a time that is not after the one before
        (to the millisecond); OutputError where the disk refuses.
        """
        staging = self._require_open()
        shape = (record.absorbance.shape[0], record.absorbance.shape[1])
        time_ms = to_milliseconds(record.time)
        if self._shape is None:
            self._shape = shape
            self._open_stacks(staging, shape)
        if shape != self._shape:
            raise ValueError(f"an image of {shape} rows and columns among images of {self._shape}")
        if self._last_ms is not None and time_ms <= self._last_ms:
            raise ValueError(f"the time {record.time.isoformat()} is not after the one before")
        self._last_ms = time_ms
        packed = pack_record(record, self._all_layers())
        for name, stack in self._stacks.items():
            with explained(self._out / name):
                stack.append(record.time, packed)
        for layer in self._layers:
            self.out_of_range[layer.name] += packed[layer.name][1]
        for name, counts in self._counts.items():
            counts.add(packed[_DRAWN[name]][0])
        self._lines = self._lines.with_image(self.images, record.lines)
        self.images += 1

    def complete(
        self, provenance: Provenance, *, rates: RateCurve | None = None, progress: Progress | None = None
    ) -> None:
        """Finish the stacks, draw pictures and video, and force all to the disk; nothing is in its place yet.

        ``rates`` is drawn below the video; ``progress`` is called with pictures and frames done, and all to do.
        Without a single record there are no products. Raises OutputError.
        """
        staging = self._require_open()
        if self._products is not None:
            raise ValueError("complete was called before")
        self._products = []
        if not self.images:
            return
        for name, stack in self._stacks.items():
            with explained(self._out / name):
                stack.close(provenance, self._lines)
        self._products = [name for name in self._stacks if name != _DRAWN_STACK]
        if self._drawn:
            self._draw(staging, Labels(provenance.site_name, self._metres_per_pixel), rates, progress)
        staging.sync(self._products)

    def commit(self) -> tuple[Path, ...]:
        """Put the products in their places, and return those. Raises OutputError; then the old ones are there."""
        staging = self._require_open()
        if self._products is None:
            raise ValueError("commit needs complete before it")
        products = staging.commit(self._products)
        self.discard()
        return products

    def finish(
        self, provenance: Provenance, *, rates: RateCurve | None = None, progress: Progress | None = None
    ) -> tuple[Path, ...]:
        """``complete`` and ``commit``; return the products."""
        self.complete(provenance, rates=rates, progress=progress)
        return self.commit()

    def discard(self) -> None:
        """Delete what is not in its place. The writer cannot be used again."""
        if self._staging is not None:
            for stack in self._stacks.values():
                stack.abandon()
            self._staging.discard()
            self._staging = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the run's report should know of the images, in words."""
        found = []
        if self._products is not None and not self.images:
            found.append("no image could be made, so none was written")
        for layer in self._layers:
            beyond = self.out_of_range[layer.name]
            if beyond:
                found.append(
                    f"images: {beyond} values of {layer.name} lie beyond {layer.lowest:g} to {layer.highest:g} "
                    f"{layer.units if layer.units != '1' else ''}".rstrip()
                    + " and are missing"
                )
        if self._products and f"{VIDEO_STEM}.avi" in self._products:
            found.append("this OpenCV cannot write WebM: the video is Motion JPEG in AVI, which browsers do not play")
        return tuple(found)

    def _expected(self) -> tuple[str, ...]:
        names = {
            "zarr": (STACK_FOLDER,),
            "netcdf": (NETCDF_FILE,),
            "png": (PICTURE_FOLDER,),
            "video": tuple({f"{VIDEO_STEM}{ending}": None for ending, _ in CODECS}),
        }
        return tuple(name for kind in sorted(self._formats) for name in names[kind])

    def _require_open(self) -> Staging:
        if self._staging is None:
            raise ValueError("the writer is closed; use it in a with statement")
        return self._staging

    def _drawn_layers(self) -> tuple[Layer, ...]:
        """What pictures and video need."""
        wanted: set[Quantity] = set(self._drawn)
        if wanted and "flow" in self._quantities:
            wanted.add("flow")
        return layers_of(frozenset(wanted))

    def _all_layers(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in LAYERS if layer in self._layers or layer in self._drawn_layers())

    def _open_stacks(self, staging: Staging, shape: tuple[int, int]) -> None:
        drawn = self._drawn_layers()
        if "zarr" in self._formats:
            with explained(self._out / STACK_FOLDER):
                self._stacks[STACK_FOLDER] = ZarrStack(staging.path(STACK_FOLDER), self._layers, shape)
        if "netcdf" in self._formats:
            with explained(self._out / NETCDF_FILE):
                self._stacks[NETCDF_FILE] = NetcdfStack(staging.path(NETCDF_FILE), self._layers, shape)
        if drawn and not ("zarr" in self._formats and set(drawn) <= set(self._layers)):
            with explained(self._out):
                self._stacks[_DRAWN_STACK] = ZarrStack(staging.path(_DRAWN_STACK), drawn, shape)

    def _draw(self, staging: Staging, labels: Labels, rates: RateCurve | None, progress: Progress | None) -> None:
        source = _DRAWN_STACK if _DRAWN_STACK in self._stacks else STACK_FOLDER
        reader = ZarrStackReader(staging.path(source))
        with_flow = "flow" in self._quantities
        galleries = {}
        for name in self._drawn:
            limits = self._limits.get(name) or self._counts[name].limits()
            scale = colour_scale(_layer(_DRAWN[name]), limits)
            galleries[name] = Gallery(reader, scale, self._lines, labels, with_flow)
        films = int("video" in self._formats)
        total = self.images * (films + (len(self._drawn) if "png" in self._formats else 0))
        count = 0

        def done() -> None:
            nonlocal count
            count += 1
            if progress is not None:
                progress(count, total)

        if self._products is None:
            self._products = []
        if "png" in self._formats:
            folder = staging.path(PICTURE_FOLDER)
            with explained(self._out / PICTURE_FOLDER):
                folder.mkdir()
                for name, gallery in galleries.items():
                    write_pictures(folder, name if name in self._quantities else "flow", gallery, done)
            self._products.append(PICTURE_FOLDER)
        if films:
            name = "columns" if "columns" in galleries else "absorbance"
            with explained(self._out / VIDEO_STEM):
                path = write_video(
                    staging.path(VIDEO_STEM), galleries[name], rates, done, frames_per_second=self._frames_per_second
                )
            self._products.append(path.name)


def _layer(name: LayerName) -> Layer:
    return next(layer for layer in LAYERS if layer.name == name)
