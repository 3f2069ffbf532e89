"""The ``so2cam`` command: its groups, and the one place where errors become messages and exit codes."""

import io
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from so2cam import __version__
from so2cam.cli.console import InterruptedRun, report_error
from so2cam.cli.threads import one_thread_for_algebra
from so2cam.core.errors import So2camError

_COMMANDS = {
    "alarms": ("so2cam.cli.alarms", "Show alarms of a station, acknowledge them, send a test."),
    "archive": ("so2cam.cli.archive", "Find, verify and copy what a station has archived."),
    "check": ("so2cam.cli.check", "Say what is wrong or risky in a site file."),
    "compile": ("so2cam.cli.compile", "Compile the fits of spectra now, not with the first spectrum."),
    "demo": ("so2cam.cli.demo", "Simulate a volcano, process it, and compare with the truth."),
    "import-legacy": ("so2cam.cli.import_legacy", "Write a site file from an existing installation's settings."),
    "instrument": ("so2cam.cli.instrument", "Run an instrument on the volcano, and speak to it."),
    "line-shape": ("so2cam.cli.line_shape", "Find the instrument's line shape from a calibration lamp."),
    "pair": ("so2cam.cli.pair", "Make two computers trust each other, with a code that is used once."),
    "process": ("so2cam.cli.process", "Turn folders of frames into SO2 emission rates."),
    "publish": ("so2cam.cli.publish", "Bring results, pictures and the public page to other computers."),
    "register": ("so2cam.cli.register", "Find how the off-band image lies on the on-band image."),
    "remote": ("so2cam.cli.remote", "Speak to an instrument over the network."),
    "spectra": ("so2cam.cli.spectra", "Turn UV spectra into SO2 column densities."),
    "spool": ("so2cam.cli.spool", "Show, verify and recover what an instrument has kept."),
    "station": ("so2cam.cli.station", "Run a base station: archive, live emission rates, alarms."),
    "simulate": ("so2cam.cli.simulate", "Write the frames of a simulated volcano whose emission rate is known."),
    "timelapse": ("so2cam.cli.timelapse", "Make a video of a day, and a keogram of a line."),
    "token": ("so2cam.cli.token", "List, make and revoke the tokens of a node, and see who commanded what."),
    "truth": ("so2cam.cli.truth", "Compare emission rates of simulated volcanoes with their truth."),
    "update": ("so2cam.cli.update", "Bring another version of so2cam to this computer, and back."),
    "watch": ("so2cam.cli.watch", "Archive and process what comes into a folder."),
    "wavelengths": ("so2cam.cli.wavelengths", "Find a spectrometer's wavelengths from the lines of sunlight."),
}


class _LazyGroup(click.Group):
    """A group that imports a command's module when the command is used: ``so2cam --help`` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(_COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  so2cam demo --batch                         see it work, without any data
  so2cam check site.toml                      is this site file right?
  so2cam process site.toml --frames DATA --out RESULTS
  so2cam spectra site.toml --spectra DATA --out RESULTS
  so2cam simulate --out volcano --seed 3      frames with known truth

\b
Exit codes: 0 done; 2 bad input or usage, nothing written; 3 done, but no valid
emission rate; 130 interrupted, products as they were.""",
)
@click.version_option(__version__, prog_name="so2cam", message="%(prog)s %(version)s")
def cli() -> None:
    """so2cam: from the raw frames of a volcanic SO2 camera to emission rates with honest uncertainties."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: see the epilog of ``so2cam --help``."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = cli.main(given, prog_name="so2cam", standalone_mode=False, obj=("so2cam", *given))
    except So2camError as error:
        report_error(str(error))
        return error.exit_code
    except click.UsageError as error:
        error.show()
        return 2
    except click.ClickException as error:
        report_error(error.format_message())
        return 2
    except InterruptedRun as interruption:
        report_error(f"interrupted: {interruption}")
        return 130
    except (KeyboardInterrupt, click.Abort):
        report_error("interrupted")
        return 130
    return code if isinstance(code, int) else 0


def main() -> None:
    """Entry point of the ``so2cam`` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names and signs that the terminal's encoding does not have are spelled out.
            stream.reconfigure(errors="backslashreplace")
    one_thread_for_algebra()
    sys.exit(run())
