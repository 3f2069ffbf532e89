"""``so2cam register``: how the off-band image lies on the on-band image."""

from pathlib import Path

import click
from rich.table import Table

from so2cam.cli.arguments import SeveralFolders
from so2cam.cli.console import console
from so2cam.core.records import FrameKind
from so2cam.core.times import format_utc
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.plan import plan_run
from so2cam.pipeline.registration import find_registration


@click.command(
    cls=SeveralFolders,
    epilog="""\b
Examples:
  so2cam register site.toml --frames 2018-03-26

\b
Terrain and skyline of up to seven pairs, spread over the frames, are aligned. Nothing is written: copy the
table into the site file, or let every run find its own with [registration] source = "automatic".

\b
Exit codes: 0 found; 2 bad input, or no terrain to align by.""",
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option(
    "--frames",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR [DIR ...]",
    help="Folders with plume frames and darks of both bands.",
)
def command(site: Path, frames: tuple[Path, ...]) -> None:
    """Find how the off-band image lies on the on-band image, from terrain and skyline.

    SITE is the site file; its own matrix is compared with what is found.
    """
    loaded = load_site(site).site
    plan = plan_run(loaded, frames)
    reader = FrameReader(loaded)
    darks = DarkLibrary([f for f in plan.frames if f.kind is FrameKind.DARK], loaded.processing, reader)
    found = find_registration(loaded, plan.pairs, darks, reader)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("pair", "status", "correlation", "with given matrix", "uncertainty px"):
        table.add_column(heading, justify="left" if heading in ("pair", "status") else "right")
    for pair in found.pairs:
        alignment = pair.alignment
        table.add_row(
            format_utc(pair.time),
            alignment.status.replace("_", " "),
            f"{alignment.correlation:.3f}",
            f"{pair.correlation_given:.3f}",
            f"{alignment.uncertainty_px:.2f}",
        )
    console.print(table)
    console.print(
        f"{len(found.used)} of {len(found.pairs)} pairs agree within {found.spread_px:.2f} px; first to last "
        f"{found.drift_px:.2f} px; the given matrix lies {found.from_given_px:.1f} px away (r.m.s. over the image)"
    )
    console.print("\n[registration]", markup=False)
    console.print("matrix = [", markup=False)
    for row in found.matrix:
        console.print(f"  [{', '.join(f'{value:.9g}' for value in row)}],", markup=False)
    console.print("]", markup=False)
