"""Whether a node and this station fit together: by the protocol of the link first, then by their versions."""

from dataclasses import dataclass
from typing import Literal

from so2cam import __version__
from so2cam.link.protocol import PROTOCOL


@dataclass(frozen=True, slots=True)
class Fit:
    """How the versions of a node and of this station go together. ``words`` says it, and what to do.

    ``state``: ``same``; ``fits``, another version that speaks the same protocol; ``differs``, another protocol;
    ``unknown``, the node did not say.
    """

    state: Literal["same", "fits", "differs", "unknown"]
    words: str


def fit_of(version: str | None, protocol: int | None, *, own: str = __version__, spoken: int = PROTOCOL) -> Fit:
    """Return how a node's ``version`` and ``protocol`` go with ``own`` and ``spoken``; None for what is not known."""
    if version is None:
        return Fit("unknown", "the node has not said its version yet")
    if protocol is not None and protocol != spoken:
        older = "the node" if protocol < spoken else "this station"
        return Fit("differs", f"protocol {protocol} there, {spoken} here: update {older}")
    if version == own:
        return Fit("same", "the same version")
    if protocol is None:
        return Fit("unknown", f"{version} there, {own} here; the protocol is not known yet")
    return Fit("fits", f"{version} there, {own} here: they fit, for both speak protocol {spoken}")
