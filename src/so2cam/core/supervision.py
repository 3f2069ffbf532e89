"""The one way to catch whatever goes wrong: at a named point that goes on, whatever becomes of a piece of its work."""

from typing import Self


class SupervisionPoint:
    """Catches every error of the block below it, but not what ends the program: ``error`` is what it was, or None.

    ``name`` says what goes on. Whoever enters one looks at ``error`` after it and says what happened: it hides nothing.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        self.error = error if isinstance(error, Exception) else None
        return self.error is not None
