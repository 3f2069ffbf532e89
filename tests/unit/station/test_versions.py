"""Whether a node and the station fit: by their protocol first; and what the health page says of it."""

from typing import Any

import pytest

from so2cam import __version__
from so2cam.link.protocol import PROTOCOL
from so2cam.station.nodes import NodeLook
from so2cam.station.versions import fit_of
from so2cam.web.health_versions import fit_with, versions_html


@pytest.mark.parametrize(
    ("version", "protocol", "state", "words"),
    [
        (None, None, "unknown", "has not said"),
        ("1.0", 3, "same", "the same"),
        ("1.0", None, "same", "the same"),
        ("2.0", 3, "fits", "2.0 there, 1.0 here: they fit"),
        ("2.0", None, "unknown", "not known yet"),
        ("2.0", 4, "differs", "update this station"),
        ("0.9", 2, "differs", "update the node"),
        ("1.0", 2, "differs", "update the node"),
    ],
)
def test_versions_fit_by_their_protocol(version: str | None, protocol: int | None, state: str, words: str) -> None:
    fit = fit_of(version, protocol, own="1.0", spoken=3)
    assert fit.state == state
    assert words in fit.words


def test_the_table_has_station_and_nodes_and_says_what_does_not_fit() -> None:
    health: Any = type("Health", (), {"version": "<9>"})
    looks = {"lead": NodeLook(health, protocol=PROTOCOL + 1), "follower": NodeLook(error="no answer")}
    html = versions_html(looks, ["lead", "follower"])
    assert f"so2cam {__version__}" in html
    assert "so2cam &lt;9&gt;" in html
    assert "do not fit" in html
    assert html.index("do not fit") < html.index("not known")
    assert fit_with(None)[0] is None
