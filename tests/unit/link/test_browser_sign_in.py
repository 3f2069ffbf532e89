"""Browsers sign in by a code: once, within its time, with few tries, and never as a receiver of data."""

from typing import Any

import pytest

from so2cam.link.pairing import ATTEMPTS, BROWSER_S, VALID_S, PairingDesk
from so2cam.link.protocol import Role
from so2cam.link.tokens import TokenStore


@pytest.fixture
def clock() -> list[float]:
    return [1e9]


@pytest.fixture
def desk(node: Any, clock: list[float]) -> PairingDesk:
    tokens = TokenStore(node.database, now_s=lambda: clock[0])
    return PairingDesk(node.database, tokens, site="test", node="lead", now_s=lambda: clock[0])


def test_a_code_gives_a_token_once(desk: PairingDesk, node: Any, clock: list[float]) -> None:
    code = desk.offer(Role.OPERATOR, receiver="station").code
    reply = desk.admit(code.lower().replace("-", " "), "browser")
    assert (reply.role, reply.site, reply.node, reply.error) == ("operator", "test", "lead", None)
    tokens = TokenStore(node.database, now_s=lambda: clock[0])
    who = tokens.find(reply.token or "")
    assert who is not None
    assert (who.role, who.receiver) == (Role.OPERATOR, None)
    again = desk.admit(code, "browser")
    assert (again.token, again.error) == (None, "the code is wrong, used, or too old")
    clock[0] += BROWSER_S + 1
    assert tokens.find(reply.token or "") is None


def test_a_code_ends_with_its_time(desk: PairingDesk, clock: list[float]) -> None:
    code = desk.offer(Role.VIEWER).code
    clock[0] += VALID_S + 1
    assert desk.admit(code, "browser").token is None


def test_a_code_ends_after_some_tries(desk: PairingDesk) -> None:
    code = desk.offer(Role.ADMIN).code
    for _ in range(ATTEMPTS):
        assert desk.admit("AAAAAA-AAAAA", "browser").token is None
    assert desk.admit(code, "browser").token is None


def test_without_an_offer_nobody_comes_in(desk: PairingDesk) -> None:
    assert desk.admit("", "browser").token is None
