"""What the commands share on a terminal: the console, progress bars, errors."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

console = Console(highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)
error_console = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


_NAMED = 5


class InterruptedRun(Exception):  # noqa: N818 - a person's wish, not an error
    """Ctrl-C in a command that knows what it leaves behind; the text says so."""


class FolderPath(click.Path):
    """The path of a folder, there or not. An empty text is refused: it would mean the current folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, readable=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fail where there is no name in it."""
        if value == "":
            self.fail('the name is empty; write "." for the current folder', param, ctx)
        return super().convert(value, param, ctx)


@contextmanager
def when_interrupted(text: str) -> Iterator[None]:
    """Say ``text`` where the user interrupts what runs inside."""
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRun(text) from None


def report_error(text: str) -> None:
    """Print one error message to standard error."""
    error_console.print("Error:", style="bold red", end=" ")
    error_console.print(text, markup=False)


def report_warning(text: str) -> None:
    """Print one warning to standard error."""
    error_console.print("Warning:", style="bold yellow", end=" ")
    error_console.print(text, markup=False)


@contextmanager
def progress_bar(title: str, *, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar with elapsed and remaining time on standard error; yields a callback (done, total).

    Nothing is shown where standard error is not a terminal, or ``shown`` is false.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=error_console, disable=not (shown and error_console.is_terminal)) as bar:
        task = bar.add_task(title, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update


def print_left_out(what: str, names: list[str], count: int | None = None) -> None:
    """Print how many things were left out, and the names of the first."""
    if not names:
        return
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    console.print(f"{count or len(names)} {what}: {shown}", markup=False)
