"""Write docs/reference/protocol.md and docs/reference/link-openapi.json from the messages of the link.

Usage: python tools/document_protocol.py [--check]
"""

import inspect
import json
import re
import sys
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from so2cam.link import messages, pairing, protocol
from so2cam.link.app import LinkApp
from so2cam.link.limits import Limits
from so2cam.link.protocol import CommandType, Question, changes, needs_receiver, required_role

SAID = (*get_args(CommandType), *get_args(Question))
DOCS = Path(__file__).resolve().parents[1] / "docs" / "reference"
EXAMPLES = {
    "shot": '{"type":"shot","devices":["camera-on"],"kind":"test"}',
    "set": '{"type":"set","changes":[{"devices":["camera-on"],"values":{"automatic":false,"exposure_s":0.02}}]}',
    "cells": '{"type":"cells","action":"take","ppm_m":1257.0}',
    "set-schedule": '{"type":"set-schedule","schedule":{"windows":[{"do":"capture","sun_above_deg":5.0}]}}',
    "logs": '{"type":"logs","limit":50,"level":"warning"}',
    "restart-device": '{"type":"restart-device","device":"spectrometer"}',
    "outcome": '{"type":"outcome","key":"k-00000001"}',
    "preview": '{"type":"preview","device":"camera-on","width":486}',
    "read": '{"type":"read","sequence":123,"part":"main","offset":0,"length":65536}',
    "confirm": '{"type":"confirm","confirmations":[{"sequence":123,"digest":"' + "0" * 64 + '"}]}',
}

HEAD = """# The protocol of the link

This page is written by `tools/document_protocol.py` from the messages themselves. How the link is used is in
[the link](../link.md).

## Connections

One port, TLS only. There are three WebSockets, and plain addresses that say the same
([OpenAPI](link-openapi.json); a running node serves it at `/openapi.json`).

| address | at | who dials | carries |
| --- | --- | --- | --- |
| `/v1/link` | the node | whoever asks | calls to the node, answers back |
| `/v1/node` | the station | the node, where it cannot be called | the same: calls to the node, answers back |
| `/v1/pair` | either | the one that joins | two messages of pairing; needs no token |

A browser signs in by `POST /v1/pair` with the code itself. That, and the page `/align` with its files, need no token.
Every other request needs `Authorization: Bearer TOKEN`. Without a valid token it is refused (401) before
anything but its head is read. A request has at most {request} bytes, its head 16384; a message of pairing
{pair}. A connection that says nothing for {silent:g} s is closed, and so is one beyond {connections}. One
token may say {commands:g} commands a second ({commands_once:g} at once) and {calls:g} calls ({calls_once:g}
at once); what is beyond is refused with the code `rate`.

## Calls and answers

Each call is one text message, a JSON object; at most 8 of a connection are answered at the same time, in any
order. Unknown keys and wrong types are refused, never guessed. Times are ISO 8601 in UTC.

{call}

{answer}

An answer with bytes (`data`) is one binary message: the length of its JSON in 4 bytes (big-endian), the JSON,
the bytes.

Codes: `ok`; `refused` (the node says why); `credential` (the token is not valid any more; the connection is
closed); `role` (it may not say this); `rate`; `message` (not understood, or a key is missing); `unknown` (no
such item, key or newer picture); `interrupted` (the agent ended while it carried a command out, and nobody
knows whether it took effect).

**Keys.** A command that changes something needs a key, 8 to 64 signs, made by the one that says it. The
ledger forces to the disk that a command begins, and then its result. The same key again gives the same result
and takes no effect again, after a break or a restart too; `outcome` asks for it. One that was interrupted by
the agent's end is gone on with after its start, by itself: the items that it asks for bear its id in the spool's
journal, and each of them is kept once; the other commands end in the same state when they are carried out again.
One that was begun more than an hour before the start is refused instead.

**Files.** Items are told with the SHA-256 of both files and fetched by parts. `confirm` gives back, for each
item, the SHA-256 of the two SHA-256 in hexadecimal (main file first), as read back from the disk where they
are kept. Only then is an item delivered, and may be deleted when room is needed.

**Events.** Numbers grow and are never used again. Ask with the last number you have; `wait_s` waits up to
{wait:g} s for more.

## What may be said

| type | lowest role | needs |
| --- | --- | --- |
{table}
"""


def main(arguments: list[str]) -> int:
    """Write the pages; with ``--check`` only say whether they are as they should be."""
    wanted = {DOCS / "protocol.md": page(), DOCS / "link-openapi.json": openapi()}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.name} is not as the messages are: run python tools/document_protocol.py")  # noqa: T201
        return 1 if stale else 0
    DOCS.mkdir(parents=True, exist_ok=True)
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


def page() -> str:
    """Return protocol.md."""
    limits = Limits()
    parts = [
        HEAD.format(
            request=messages.MAXIMUM_REQUEST_BYTES,
            pair=pairing.MAXIMUM_BYTES,
            silent=limits.first_request_s,
            connections=limits.connections,
            commands=limits.commands_per_s,
            commands_once=limits.commands_at_once,
            calls=limits.calls_per_s,
            calls_once=limits.calls_at_once,
            call=section(protocol.Call, "###"),
            answer=section(protocol.Answer, "###"),
            wait=protocol.LONGEST_WAIT_S,
            table="\n".join(_row(one) for one in SAID),
        )
    ]
    parts += ["## Commands\n", *(section(one, "###") for one in get_args(CommandType))]
    parts += ["## Questions\n", *(section(one, "###") for one in get_args(Question))]
    results = get_args(protocol.AnyResult)
    parts += ["## Results\n", *(section(one, "###") for one in results)]
    parts += ["## Parts of messages\n", *(section(one, "###") for one in _parts((*SAID, *results)))]
    paired = (pairing.PairRequest, pairing.PairReply, pairing.BrowserPairing)
    parts += ["## Pairing\n", *(section(one, "###") for one in paired)]
    return "\n".join(parts).rstrip() + "\n"


def openapi() -> str:
    """Return the OpenAPI description of the plain addresses."""
    nobody: Any = SimpleNamespace(limits=Limits())
    app = LinkApp(nobody, nobody, nobody, "")
    try:
        return json.dumps(app.api.openapi(), indent=1, sort_keys=True) + "\n"
    finally:
        app.close()


def _row(model: Any) -> str:
    example = model.model_construct(**{"action": "pause"} if model is messages.Schedule else {"waiting": False})
    needs = []
    if changes(example):
        needs.append("a key")
    if needs_receiver(example):
        needs.append("the token of a receiver")
    word = required_role(example).word
    kind = model.model_fields["type"].default
    if model is messages.Schedule:
        word = "operator; viewer to show"
        needs = ["a key, but to show"]
    if model is protocol.Items:
        needs = ["the token of a receiver, with waiting"]
    return f"| [`{kind}`](#{kind}) | {word} | {', '.join(needs)} |"


def section(model: type[BaseModel], level: str) -> str:
    """Return the section of one message."""
    kind = model.model_fields.get("type")
    named = kind is not None and isinstance(kind.default, str)
    title = f"`{kind.default}`" if named and kind is not None else model.__name__
    lines = [f"{level} {title}\n", f"{_plain(inspect.getdoc(model) or '')}\n"]
    rows = [
        f"| `{name}` | {_type(field.annotation, field.metadata)} | {_default(field)} |"
        for name, field in model.model_fields.items()
    ]
    lines += ["| key | value | default |", "| --- | --- | --- |", *rows, ""]
    if kind is not None and model in SAID and kind.default in EXAMPLES:
        lines += ["```json", EXAMPLES[kind.default], "```", ""]
    return "\n".join(lines)


def _parts(models: tuple[Any, ...]) -> list[type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}

    def look(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if annotation.__name__ not in found and annotation not in models:
                found[annotation.__name__] = annotation
                visit(annotation)
            return
        for one in get_args(annotation):
            look(one)

    def visit(model: Any) -> None:
        for field in model.model_fields.values():
            look(field.annotation)

    for model in models:
        visit(model)
    return [*found.values()]


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    value = field.default
    if isinstance(value, BaseModel):
        return "all defaults"
    return f"`{json.dumps(value if not isinstance(value, tuple) else list(value))}`"


def _type(annotation: Any, metadata: Any = ()) -> str:
    bounds = _bounds(metadata)
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        nested = [one for item in more for one in getattr(item, "metadata", [item])]
        return _type(inner, [*metadata, *nested])
    if origin in (Union, UnionType):
        named = [one for one in get_args(annotation) if one is not NoneType]
        words = list(dict.fromkeys(_type(one, metadata) for one in named))
        if len(words) > 6:
            return (
                "one of the results below" if any("Done" in word for word in words) else "a command or question below"
            )
        return " or ".join([*words, *(["null"] if NoneType in get_args(annotation) else [])])
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in get_args(annotation))
    if origin is tuple:
        return f"list of {_type(get_args(annotation)[0])}{bounds}"
    if origin is dict:
        return f"object of {_type(get_args(annotation)[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"{annotation.__name__}"
    words = {int: "integer", float: "number", str: "text", bool: "true or false"}
    if annotation in words:
        return words[annotation] + bounds
    name = getattr(annotation, "__name__", str(annotation))
    if hasattr(annotation, "__members__"):
        return ", ".join(f"`{one}`" for one in annotation)
    return "time" if name in ("datetime", "AwareDatetime") else name


def _bounds(metadata: Any) -> str:
    words = []
    for one in metadata:
        for key, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            value = getattr(one, key, None)
            if value is not None:
                words.append(f"{sign} {value:g}" if isinstance(value, float) else f"{sign} {value}")
        pattern = getattr(one, "pattern", None)
        if pattern:
            words.append(f"like `{pattern}`".replace("|", "\\|"))
    least = next((one.min_length for one in metadata if getattr(one, "min_length", None)), 0)
    most = next((one.max_length for one in metadata if getattr(one, "max_length", None)), None)
    if most:
        words.append(f"{least} to {most} long")
    return f", {', '.join(words)}" if words else ""


def _plain(text: str) -> str:
    return re.sub(r"``(.*?)``", r"`\1`", " ".join(text.split()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
