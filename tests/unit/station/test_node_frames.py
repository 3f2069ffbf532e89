"""Pictures of nodes for many who look: none comes over the link twice."""

from typing import Any

import pytest

from so2cam.link.errors import LinkLostError
from so2cam.link.messages import Refused
from so2cam.link.protocol import Answer, Data, Preview, Spoken
from so2cam.station.node_frames import KEPT, NodeFrame, NodeFrames


class Node:
    """Has the picture ``sequence`` of each camera; None: it has none; lost: it does not answer."""

    def __init__(self) -> None:
        self.sequence: int | None = 7
        self.lost = False
        self.asked: list[Preview] = []

    def call(self, name: str, say: Preview, *, key: str | None, patience_s: float) -> Spoken:
        assert (name, key, patience_s) == ("lead", None, 3.0)
        self.asked.append(say)
        if self.lost:
            raise LinkLostError("no answer came in time")
        if self.sequence is None:
            return Spoken(Answer(id=0, result=Refused(text="no picture yet"), code="refused"))
        if self.sequence <= say.after:
            return Spoken(Answer(id=0, result=Refused(text="there is no newer picture yet"), code="unknown"))
        message = f"{say.device} {self.sequence}".encode()
        data = Data(media="x", size=len(message), total=len(message), sequence=self.sequence)
        return Spoken(Answer(id=0, result=data), message)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def frames(node: Any) -> NodeFrames:
    return NodeFrames(node, patience_s=3.0)


def test_what_is_known_is_not_fetched_again(node: Node, frames: NodeFrames) -> None:
    first = frames.newest("lead", "camera-on", 648)
    assert first == NodeFrame("7", b"camera-on 7", "x")
    assert frames.newest("lead", "camera-on", 648) is first
    node.sequence = 9
    assert frames.newest("lead", "camera-on", 648) == NodeFrame("9", b"camera-on 9", "x")
    assert [one.after for one in node.asked] == [0, 7, 7]
    assert {one.form for one in node.asked} == {"frame"}
    frames.newest("lead", "camera-on", 324)
    assert node.asked[-1].after == 0


def test_a_node_without_pictures_says_so(node: Node, frames: NodeFrames) -> None:
    node.sequence = None
    found = frames.newest("lead", "camera-on", 648)
    assert isinstance(found, Refused)
    assert found.text == "no picture yet"


def test_a_node_that_was_lost_is_asked_anew_from_the_start(node: Node, frames: NodeFrames) -> None:
    frames.newest("lead", "camera-on", 648)
    node.lost = True
    with pytest.raises(LinkLostError):
        frames.newest("lead", "camera-on", 648)
    node.lost, node.sequence = False, 2
    assert frames.newest("lead", "camera-on", 648) == NodeFrame("2", b"camera-on 2", "x")


def test_only_so_many_are_kept(node: Node, frames: NodeFrames) -> None:
    for number in range(KEPT + 1):
        frames.newest("lead", f"camera-{number}", 648)
    frames.newest("lead", "camera-0", 648)
    assert node.asked[-1].after == 0
    frames.newest("lead", f"camera-{KEPT}", 648)
    assert node.asked[-1].after == 7
