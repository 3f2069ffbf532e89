"""Arguments that several commands take: folders, times."""

from datetime import datetime

import click

from so2cam.core.times import parse_utc


class SeveralFolders(click.Command):
    """A command whose ``options`` take one or more folders: ``--frames A B`` is ``--frames A --frames B``."""

    options: tuple[str, ...] = ("--frames",)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split the names that follow the option."""
        expanded: list[str] = []
        folders: list[str] = []
        option, taken = "", False
        for argument in args:
            if argument.startswith("-") and argument != "-":
                name = argument.partition("=")[0]
                option = name if name in self.options else ""
                taken = bool(option) and argument != name
            elif option:
                if taken:
                    expanded.append(option)
                taken = True
                folders.append(argument)
            expanded.append(argument)
        try:
            return super().parse_args(ctx, expanded)
        except click.MissingParameter as error:
            if isinstance(error.param, click.Argument):
                first = self.options[0]
                swallowed = next((name for name in folders if name.lower().endswith(".toml")), None)
                hint = (
                    f"write the site file before {first}, which takes all names that follow it"
                    if swallowed is None
                    else f"{swallowed!r} stands after {first}, which takes all names that follow; write it first"
                )
                example = f"so2cam {self.name} site.toml {first} DATA --out RESULTS"
                raise click.UsageError(f"the site file (SITE) is missing: {hint}, like: {example}", ctx) from None
            raise


def parse_time(ctx: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """Return an option's text as a time in UTC."""
    if value is None:
        return None
    try:
        return parse_utc(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None
    except OverflowError:
        raise click.BadParameter(f"{value!r} is beyond the calendar's end", ctx, parameter) from None


def choose_names(
    ctx: click.Context, parameter: click.Parameter, value: str | None, known: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Return the names in a text that separates them by commas; each must be known, and stand there once."""
    if value is None:
        return None
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) != len(names):
        raise click.BadParameter(
            f"{value!r}: give one or more of {', '.join(known)}, separated by commas, each once", ctx, parameter
        )
    return names


class SeveralFiles(click.Command):
    """A command whose ``options`` take one or more files: ``--lamp A B`` is ``--lamp A --lamp B``."""

    options: tuple[str, ...] = ()
    example = ""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split the names that follow the options."""
        expanded: list[str] = []
        names: list[str] = []
        option: str | None = None
        taken = False
        for argument in args:
            if argument.startswith("-") and argument != "-":
                option = next((o for o in self.options if argument == o or argument.startswith(f"{o}=")), None)
                taken = option is not None and argument != option
            elif option is not None:
                if taken:
                    expanded.append(option)
                taken = True
                names.append(argument)
            expanded.append(argument)
        try:
            return super().parse_args(ctx, expanded)
        except click.MissingParameter as error:
            if not isinstance(error.param, click.Argument):
                raise
            swallowed = next((repr(name) for name in names if name.lower().endswith(".toml")), "it")
            raise click.UsageError(
                f"the site file (SITE) is missing: write {swallowed} before {' and '.join(self.options)}, which take "
                f"all names that follow, like: {self.example}",
                ctx,
            ) from None
