"""The whole instrument on the Instrument page: which nodes are meant, and which node gets which devices."""

from types import SimpleNamespace
from typing import Any

import pytest

from so2cam.link.errors import LinkError, LinkLostError, LinkRefusedError
from so2cam.link.messages import Done, Start, Stop
from so2cam.station.nodes import NodeInfo
from so2cam.web.instrument.desk import Desk
from so2cam.web.pages.instrument import chosen_nodes

DEVICES = {"lead": ("camera-on",), "follower": ("camera-off", "spectrometer")}


def info(name: str, way: str = "dialled") -> NodeInfo:
    return NodeInfo(name, "etna", way)


@pytest.mark.parametrize(
    ("ways", "wanted", "names"),
    [
        (("dialled", "dialled"), None, ["lead", "follower"]),
        (("dialled", "none"), None, ["lead", "follower"]),
        (("dialled", "dialled"), "all", ["lead", "follower"]),
        (("dialled", "dialled"), "follower", ["follower"]),
        (("dialled", "dialled"), "gone", ["lead", "follower"]),
        (("none", "none"), None, ["lead"]),
    ],
)
def test_the_whole_instrument_is_shown_unless_a_node_is_wanted(
    ways: tuple[str, str], wanted: str | None, names: list[str]
) -> None:
    nodes = tuple(info(name, way) for name, way in zip(DEVICES, ways, strict=True))
    assert [node.name for node in chosen_nodes(nodes, nodes, wanted)] == names


def test_one_node_with_devices_is_shown_alone() -> None:
    nodes = (info("lead"), info("power"))
    assert [node.name for node in chosen_nodes(nodes, nodes[:1], None)] == ["lead"]


class Told:
    """What each node was told, and by which the node refuses."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}
        self.lost: set[str] = set()

    def command(self, name: str, command: Any, who: object, note: object) -> Done:
        self.said[name] = command
        if name in self.lost:
            raise LinkLostError("no answer came in time")
        return Done(text="started")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def desk(told: Told) -> Desk:
    pages = SimpleNamespace(nodes=told, note=lambda *_: None)
    view: Any = SimpleNamespace(pages=pages, visitor=SimpleNamespace(principal=None))
    made = Desk(view, tuple(map(info, DEVICES)), {})
    for name, devices in DEVICES.items():
        found = tuple(SimpleNamespace(name=device, role=device.partition("-")[0]) for device in devices)
        look: Any = SimpleNamespace(health=SimpleNamespace(devices=found), error=None)
        made.show(name, look)
    return made


def test_what_names_no_device_goes_to_all_nodes(desk: Desk, told: Told) -> None:
    assert desk.say(Start()) == "started"
    assert told.said == {"lead": Start(), "follower": Start()}


def test_each_node_is_told_of_its_own_devices_only(desk: Desk, told: Told) -> None:
    desk.say(Stop(devices=("camera-on", "camera-off")))
    assert told.said == {"lead": Stop(devices=("camera-on",)), "follower": Stop(devices=("camera-off",))}
    told.said.clear()
    desk.say(Stop(devices=("spectrometer",)))
    assert told.said == {"follower": Stop(devices=("spectrometer",))}
    with pytest.raises(LinkRefusedError, match="no node has camera-uv"):
        desk.say(Stop(devices=("camera-on", "camera-uv")))


def test_a_node_that_did_not_do_it_is_named(desk: Desk, told: Told) -> None:
    told.lost.add("follower")
    with pytest.raises(LinkError, match="not at follower: no answer came in time; done at lead: started"):
        desk.say(Start())
