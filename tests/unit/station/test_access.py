"""Who may look at a station and change it."""

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from so2cam.link.protocol import Role
from so2cam.station.access import CONSOLE, LOCAL, Access, AccessRefusedError

PEER = "192.0.2.7"


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    with Access.of_station(tmp_path) as opened:
        yield opened


def test_a_token_has_a_role_until_it_is_revoked(access: Access) -> None:
    token = access.create("wall", Role.VIEWER)
    assert access.role_of(token) is Role.VIEWER
    who = access.admit(token, PEER)
    assert (who.name, who.role, access.still_valid(who)) == ("wall", Role.VIEWER, True)
    (record,) = access.list()
    assert (record.name, record.used_s is not None) == ("wall", True)
    assert access.revoke(record.id).revoked_s is not None
    assert access.role_of(token) is None
    assert not access.still_valid(who)
    with pytest.raises(AccessRefusedError) as refused:
        access.admit(token, PEER)
    assert refused.value.status == 401


def test_a_token_ends(tmp_path: Path) -> None:
    now = [1000.0]
    with Access(tmp_path / "a.sqlite", lambda: now[0]) as access:
        token = access.create("guest", Role.OPERATOR, valid_s=60)
        assert access.role_of(token) is Role.OPERATOR
        now[0] += 61
        assert access.role_of(token) is None


def test_what_is_kept_opens_nothing(access: Access, tmp_path: Path) -> None:
    token = access.create("secret", Role.ADMIN)
    folder = tmp_path / "access"
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.glob("*.sqlite"))
    assert all(token[13:].encode() not in path.read_bytes() for path in folder.iterdir())


def test_many_wrong_tokens_are_slowed_down_and_lock_nobody_out(access: Access) -> None:
    right = access.create("wall", Role.VIEWER)
    statuses = []
    for _ in range(30):
        with pytest.raises(AccessRefusedError) as refused:
            access.admit("so2_00000000_" + "x" * 43, PEER)
        statuses.append(refused.value.status)
    assert statuses[:10] == [401] * 10
    assert 429 in statuses[10:]
    assert access.admit(right, PEER).name == "wall"
    with pytest.raises(AccessRefusedError) as refused:
        access.admit("wrong", "192.0.2.8")
    assert refused.value.status == 401


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("least", Role)
def test_a_role_may_what_lower_ones_may(access: Access, role: Role, least: Role) -> None:
    who = access.admit(access.create("one", role), PEER)
    if role >= least:
        access.require(who, least)
        return
    with pytest.raises(AccessRefusedError) as refused:
        access.require(who, least)
    assert refused.value.status == 403


def test_the_first_admin_is_made_once_by_the_code(access: Access) -> None:
    access.create("wall", Role.VIEWER)
    assert access.first_run()
    code = access.setup_code()
    assert code is not None
    assert access.setup_code() == code
    with pytest.raises(AccessRefusedError) as refused:
        access.set_up("ABCDEF-ABCDE", "me", PEER)
    assert refused.value.status == 401
    token = access.set_up(f" {code.lower()} ", "me", PEER)
    assert access.role_of(token) is Role.ADMIN
    assert not access.first_run()
    assert access.setup_code() is None
    with pytest.raises(AccessRefusedError) as refused:
        access.set_up(code, "you", PEER)
    assert refused.value.status == 403


def test_codes_cannot_be_tried_out(access: Access) -> None:
    code = access.setup_code()
    assert code is not None
    statuses = []
    for _ in range(11):
        with pytest.raises(AccessRefusedError) as refused:
            access.set_up("ABCDEF-ABCDE", "me", PEER)
        statuses.append(refused.value.status)
    assert statuses == [401] * 10 + [429]
    assert access.first_run()


def test_without_a_code_shown_nobody_is_set_up(access: Access) -> None:
    for code in ("", "-", "None"):
        with pytest.raises(AccessRefusedError) as refused:
            access.set_up(code, "me", PEER)
        assert refused.value.status == 401


def test_one_of_many_at_once_becomes_the_first_admin(access: Access) -> None:
    code = access.setup_code()
    assert code is not None

    def attempt(number: int) -> bool:
        try:
            access.set_up(code, f"n{number}", PEER)
        except AccessRefusedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
    assert sum(record.role is Role.ADMIN for record in access.list()) == 1


def test_an_admin_made_at_the_console_ends_the_first_run(access: Access, tmp_path: Path) -> None:
    assert access.setup_code() is not None
    with Access.of_station(tmp_path) as other:
        other.create("me", Role.ADMIN)
    assert access.setup_code() is None


def test_the_account_says_who_did_what(access: Access) -> None:
    who = access.admit(access.create("op", Role.OPERATOR), PEER)
    access.note(who, PEER, "alarm.acknowledge", {"alarm": 7})
    access.note(LOCAL, "127.0.0.1", "settings", outcome="denied")
    denied, done, made = access.audit()
    assert (denied.name, denied.outcome) == ("this computer", "denied")
    assert (done.who, done.name, done.peer, done.action) == (who.id, "op", PEER, "alarm.acknowledge")
    assert json.loads(done.detail) == {"alarm": 7}
    assert (made.who, made.action, json.loads(made.detail)["role"]) == (CONSOLE.id, "token.create", "operator")
    assert len(access.audit(limit=1)) == 1


def test_the_account_is_bounded(access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("so2cam.station.access.KEPT", 5)
    for number in range(9):
        access.note(CONSOLE, "", "x", {"text": "y" * 5000, "number": number})
    entries = access.audit()
    assert [entry.number for entry in entries] == [9, 8, 7, 6, 5]
    assert all(list(json.loads(entry.detail)) == ["cut"] for entry in entries)
    with sqlite3.connect(tmp_path / "access" / "access.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM audit").fetchone() == (5,)
    connection.close()
