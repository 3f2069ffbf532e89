"""``so2cam timelapse``: a day as a video, and as a keogram."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from so2cam.cli.arguments import SeveralFolders
from so2cam.cli.console import FolderPath, console, progress_bar, report_warning, when_interrupted
from so2cam.core.errors import InputError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.formats.folder import scan_frames
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.pipeline.live import LiveRun
from so2cam.pipeline.records import PairImages
from so2cam.station.keogram import Keogram, draw_keogram
from so2cam.station.timelapse import TimelapseOptions, write_timelapse
from so2cam.station.timelapse_service import counts_reader, film_title
from so2cam.store.atomic import atomic_write_bytes

_DAY = timedelta(days=1)


@click.command(
    cls=SeveralFolders,
    epilog="""\b
Examples:
  so2cam timelapse site.toml --frames DATA --out day.mp4
  so2cam timelapse site.toml --frames DATA --day 2026-03-01 --band off --out off.webm
  so2cam timelapse site.toml --frames DATA --keogram upstream.png --line upstream

\b
A video needs ffmpeg. A keogram needs calibration frames in DATA too (darks, clear sky,
cells), as `so2cam process` does. A running station makes both by itself.
Exit codes: 0 done; 2 bad input; 130 interrupted.""",
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option(
    "--frames", "folders", required=True, multiple=True, type=FolderPath(), metavar="DIR...", help="Folders of frames."
)
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="UTC; without it, the newest day that has frames.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="The video: .mp4 or .webm.")
@click.option("--band", type=click.Choice(["on", "off"]), default="on", show_default=True, help="Of the video.")
@click.option("--rate", type=click.FloatRange(1, 120), default=25.0, show_default=True, help="Images per second.")
@click.option(
    "--longest", type=click.FloatRange(1, 3600), default=60.0, show_default=True, metavar="S", help="Of the video."
)
@click.option("--width", type=click.IntRange(64, 4096), default=1280, show_default=True, help="Largest, in pixels.")
@click.option(
    "--keogram", type=click.Path(path_type=Path), metavar="FILE", help="A picture of the line's columns: .png"
)
@click.option("--line", metavar="NAME", help="Of the keogram; without it, the first line.")
def command(
    site: Path,
    folders: tuple[Path, ...],
    day: datetime | None,
    out: Path | None,
    band: str,
    rate: float,
    longest: float,
    width: int,
    keogram: Path | None,
    line: str | None,
) -> None:
    """Make a time-lapse video of a day's frames, and a keogram: how the columns along a line change."""
    if out is None and keogram is None:
        raise click.UsageError("give --out for a video, --keogram for a keogram, or both")
    loaded = load_site(site)
    name = _line(loaded, line)
    if keogram is not None and keogram.suffix.lower() != ".png":
        raise InputError("a keogram is a PNG", file=keogram, remedy="end the name with .png")
    found = scan_frames(list(folders), loaded.site.files).frames
    chosen = _of_day(found, day, folders)
    if out is not None:
        options = TimelapseOptions(frames_per_second=rate, longest_s=longest, width_px=width)
        with when_interrupted("no video was written"), progress_bar("Frames of the video") as progress:
            report = write_timelapse(
                [frame for frame in chosen.plume if frame.band is Band(band)],
                out,
                counts_reader(loaded.site),
                title=film_title(loaded.site, Band(band)),
                options=options,
                progress=progress,
            )
        console.print(
            f"{out}: {report.frames} images, {report.seconds:.1f} s, of {chosen.start:%Y-%m-%d}", markup=False
        )
        if report.unreadable:
            report_warning(f"{report.unreadable} frames could not be read")
    if keogram is not None:
        with when_interrupted("no keogram was written"):
            made, pairs = _keogram(loaded, found, chosen, name)
        if not pairs:
            raise InputError(
                "no pair gave columns on the line",
                key="--line",
                value=name,
                remedy="see `so2cam process` on these frames",
            )
        atomic_write_bytes(keogram, draw_keogram(made, site=loaded.site.name))
        console.print(f"{keogram}: {pairs} pairs of {chosen.start:%Y-%m-%d} on {name}", markup=False)


@dataclass(frozen=True, slots=True)
class _Day:
    start: datetime
    plume: list[FrameInfo]


def _line(loaded: LoadedSite, line: str | None) -> str:
    lines = [one.name for one in loaded.site.lines]
    if line is not None and line not in lines:
        raise InputError("there is no such line", key="--line", value=line, remedy=f"lines are {', '.join(lines)}")
    return line or lines[0]


def _of_day(frames: Sequence[FrameInfo], day: datetime | None, folders: tuple[Path, ...]) -> _Day:
    plume = [frame for frame in frames if frame.kind is FrameKind.PLUME]
    if not plume:
        raise InputError("there are no plume frames", file=folders[0], remedy="name the folder of a day's frames")
    newest = max(frame.time for frame in plume)
    start = (newest if day is None else day).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)
    chosen = [frame for frame in plume if start <= frame.time < start + _DAY]
    if not chosen:
        days = sorted({f"{frame.time:%Y-%m-%d}" for frame in plume})
        raise InputError(
            "there are no frames of this day",
            key="--day",
            value=f"{start:%Y-%m-%d}",
            remedy=f"there are frames of {', '.join(days[:5])}{' and more' if len(days) > 5 else ''}",
        )
    return _Day(start, chosen)


def _keogram(loaded: LoadedSite, frames: Sequence[FrameInfo], day: _Day, line: str) -> tuple[Keogram, int]:
    keogram, pairs = Keogram.empty(line, day.start, day.start + _DAY), 0

    def observe(images: PairImages) -> None:
        nonlocal pairs
        pairs += keogram.add_images(loaded.site, images)

    references = [frame for frame in frames if frame.kind is not FrameKind.PLUME]
    run = LiveRun(loaded, references, observer=observe)
    ordered = sorted(day.plume, key=lambda frame: frame.time + timedelta(seconds=frame.exposure_s / 2))
    with progress_bar("Frames of the keogram") as progress:
        for number, frame in enumerate(ordered):
            run.add(frame)
            progress(number + 1, len(ordered))
    run.finish()
    return keogram, pairs
