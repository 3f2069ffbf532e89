"""Messages: what is understood, what is refused, and that both sides agree."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.link.messages import (
    MAXIMUM_REQUEST_BYTES,
    Cells,
    Command,
    Darks,
    DeviceChange,
    DeviceOutcome,
    DeviceValues,
    Done,
    FreeSpace,
    MessageError,
    MirrorDisk,
    Refused,
    Reply,
    Request,
    Restart,
    RestartDevice,
    Schedule,
    ScheduleEntry,
    ScheduleResult,
    Set,
    Shot,
    Shutdown,
    Start,
    Status,
    Stop,
    encode,
    parse_reply,
    parse_request,
)

COMMANDS: list[Command] = [
    Status(),
    Start(devices=("camera-on",), kind="clear", count=3),
    Stop(force=True),
    Shot(kind="cell", cell_ppm_m=304.0),
    Shot(kind="dark", exposure_s=1.0),
    Set(changes=(DeviceChange(values=DeviceValues(automatic=False, exposure_s=0.02)),)),
    Darks(repeats=3, exposures_s=(0.1, 0.5)),
    Cells(action="take", ppm_m=0.0),
    Schedule(action="pause", for_s=60.0),
    RestartDevice(device="spectrometer"),
    Set(changes=(DeviceChange(values=DeviceValues(first_row=0, last_row=242, window_to_nm=340.0)),)),
    MirrorDisk(action="release"),
    FreeSpace(),
    Restart(computer=True),
    Shutdown(power_off=True),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.type)
def test_commands_come_back_as_they_were_sent(command: Command) -> None:
    request = Request(id=7, node="lead", command=command)
    line = encode(request)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert parse_request(line) == request


def test_every_kind_of_command_is_tried_above() -> None:
    assert {command.type for command in COMMANDS} == {
        "status", "start", "stop", "shot", "set", "darks", "cells", "schedule", "restart-device", "mirror-disk",
        "free-space", "restart", "shutdown",
    }  # fmt: skip


def test_replies_come_back_as_they_were_sent() -> None:
    results = [
        Done(text="taken", outcomes=(DeviceOutcome(device="a", done=True, text="1 kept", values={"n": 1, "x": None}),)),
        Refused(text="no", key="a.b", remedy="do c"),
        ScheduleResult(
            activity="captures",
            paused=False,
            coming=(ScheduleEntry(time=datetime(2026, 3, 1, tzinfo=UTC), activity="darks begins"),),
        ),
    ]
    for result in results:
        reply = Reply(id=3, result=result)
        assert parse_reply(encode(reply)) == reply


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "understood"),
        (b"hello", "understood"),
        (b"[]", "understood"),
        (b'{"id":1}', "Field required"),
        (b'{"id":1,"command":{"type":"reboot"}}', "does not match"),
        (b'{"id":1,"command":{"type":"status","more":1}}', "not permitted"),
        (b'{"id":1,"command":{"type":"start","count":"5"}}', "valid integer"),
        (b'{"id":1,"command":{"type":"start","count":0}}', "greater than"),
        (b'{"id":1,"command":{"type":"shot","kind":"cell"}}', "cell_ppm_m"),
        (b'{"id":1,"command":{"type":"cells","action":"take"}}', "ppm_m"),
        (b'{"id":1,"command":{"type":"set","changes":[]}}', "at least 1"),
        (b'{"id":1,"command":{"type":"set","changes":[{"values":{"exposure_s":NaN}}]}}', "understood"),
        (b'{"id":1,"command":{"type":"set","changes":[{"values":{"exposure_s":-1.0}}]}}', "greater than"),
        (b'{"id":1,"command":{"type":"restart-device","device":"../../etc"}}', "match pattern"),
        (b'{"id":1,"command":{"type":"status"}}' + b" " * MAXIMUM_REQUEST_BYTES, "longer than"),
    ],
)
def test_anything_else_is_refused_in_words(line: bytes, words: str) -> None:
    with pytest.raises(MessageError, match=words):
        parse_request(line)


@given(st.binary(max_size=300))
def test_no_bytes_do_harm(line: bytes) -> None:
    with pytest.raises(MessageError):
        parse_request(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(COMMANDS), st.text(max_size=12), json_values)
def test_changed_commands_are_understood_or_refused(command: Command, key: str, value: object) -> None:
    content = json.loads(encode(Request(id=1, command=command)))
    keys = [*content["command"], key]
    content["command"][keys[len(key) % len(keys)]] = value
    try:
        found = parse_request(json.dumps(content).encode())
    except MessageError:
        return
    assert parse_request(encode(found)) == found
