"""What the doctor found: lines, each good, bad with what to do, or not of this node."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from so2cam.core.times import format_utc


class Verdict(StrEnum):
    """How a line is."""

    GOOD = "good"
    BAD = "bad"
    NONE = "none"
    """Not of this node, or not to be seen from here; the text says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at. ``remedy`` says what to do where it is bad."""

    topic: str
    title: str
    verdict: Verdict
    text: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All lines of a node."""

    node: str
    time: datetime
    lines: tuple[Line, ...]

    @property
    def good(self) -> bool:
        """Whether nothing is bad."""
        return all(line.verdict is not Verdict.BAD for line in self.lines)

    def as_json(self) -> dict[str, Any]:
        """Return plain data, for a program or a page."""
        return {
            "node": self.node,
            "time": format_utc(self.time),
            "good": self.good,
            "lines": [
                {
                    "topic": line.topic,
                    "title": line.title,
                    "verdict": line.verdict.value,
                    "text": line.text,
                    "remedy": line.remedy,
                }
                for line in self.lines
            ],
        }


Check = Callable[[], Iterator[Line]]


def good(topic: str, title: str, text: str) -> Line:
    """A line that is as it should be."""
    return Line(topic, title, Verdict.GOOD, text)


def bad(topic: str, title: str, text: str, remedy: str) -> Line:
    """A line that is not, with what to do."""
    return Line(topic, title, Verdict.BAD, text, remedy)


def none(topic: str, title: str, text: str) -> Line:
    """A line that says nothing about this node."""
    return Line(topic, title, Verdict.NONE, text)
