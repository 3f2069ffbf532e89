"""The link in the site file: what is right, what is wrong, and what is risky."""

from typing import Any

import pytest
from pydantic import ValidationError

from so2cam.core.site_instrument import Instrument, Network, Node
from so2cam.core.site_link import Link, StationAddress
from so2cam.formats.instrument_risks import _link_risks


def instrument(*nodes: Node, **link: Any) -> Instrument:
    return Instrument(nodes=nodes, link=Link(**link))


def test_a_node_listens_on_its_own_address() -> None:
    fixed = Node(name="lead", network=Network(address="192.168.5.5/24"))
    assert instrument(fixed).link_address_of(fixed) == "192.168.5.5"
    assert instrument(fixed, address="10.0.0.1").link_address_of(fixed) == "10.0.0.1"
    plain = Node(name="lead")
    assert instrument(plain).link_address_of(plain) == "127.0.0.1"
    assert Instrument(nodes=(plain,)).link_of(plain) is None


def test_a_node_s_own_link_goes_before_that_of_all() -> None:
    own = Node(name="lead", link=Link(port=9000))
    found = instrument(own).link_of(own)
    assert found is not None
    assert found.port == 9000


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"address": "everywhere"}, "no IP address"),
        ({"certificate": "a.pem"}, "go together"),
        ({"dial": "instrument"}, "station: its address is needed"),
        ({"port": 0}, "greater than or equal to 1"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Link(**values)
    with pytest.raises(ValidationError, match="no host name"):
        StationAddress(address="a b")


def test_two_nodes_do_not_listen_on_one_port() -> None:
    with pytest.raises(ValidationError, match=r"two nodes listen on 127\.0\.0\.1, port 8443"):
        instrument(Node(name="a"), Node(name="b"))


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ({"address": "0.0.0.0"}, "every network"),  # noqa: S104 - that is the risk
        ({}, "programs of its own only"),
        ({"address": "8.8.8.8"}, "whole internet"),
        ({"address": "192.168.5.5"}, None),
        ({"address": "127.0.0.1"}, None),
    ],
)
def test_what_is_risky_is_said(link: dict[str, Any], words: str | None) -> None:
    found = list(_link_risks(instrument(Node(name="lead"), **link)))
    assert [words in one for one in found] == ([] if words is None else [True])
