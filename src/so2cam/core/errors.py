"""One small tree of errors. Each says what is wrong, where (file, key, value) and what to do."""

from pathlib import Path


class So2camError(Exception):
    """Base of all errors that so2cam explains to its user.

    ``message`` says what is wrong; ``file``, ``key`` and ``value`` say where; ``remedy`` says what to do.
    """

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        file: Path | str | None = None,
        key: str | None = None,
        value: object = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.key = key
        self.value = value
        self.remedy = remedy

    def __str__(self) -> str:
        where = []
        if self.file is not None:
            where.append(str(self.file))
        if self.key is not None:
            where.append(self.key)
        head = f"{': '.join(where)}: {self.message}" if where else self.message
        if self.value is not None:
            head += f" (found {_shorten(self.value)})"
        if self.remedy:
            head += f"\n  What to do: {self.remedy}"
        return head


def _shorten(value: object, limit: int = 120) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


class SiteFileError(So2camError):
    """The site file cannot be read, or a value in it is wrong."""


class FrameFileError(So2camError):
    """One image file cannot be used: truncated, of the wrong size or depth, or with a name that says nothing."""


class InputError(So2camError):
    """The data given cannot be processed: nothing found, a band, the darks or the clear sky missing."""


class OutputError(So2camError):
    """A product cannot be written."""
