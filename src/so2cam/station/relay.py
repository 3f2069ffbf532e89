"""What a person says to an instrument through the station, in the messages of the link: also to one that calls in.

The station knows the person by a token of its own; the node knows the station. What the person may say is decided
here, by that token's role, and commands are written down. A command keeps its key, so that it takes effect once
however often it is sent: made one of the person's own, it meets no key of somebody else.
"""

import hashlib
import logging
from typing import Any, Final, Protocol

from so2cam.core.errors import So2camError
from so2cam.link.errors import LinkLostError
from so2cam.link.messages import Done, Refused, Set
from so2cam.link.protocol import (
    Answer,
    Call,
    Code,
    Outcome,
    Spoken,
    changes,
    needs_receiver,
    required_role,
)
from so2cam.link.tokens import Principal
from so2cam.station.nodes import Nodes

QUESTION_S: Final = 25.0
COMMAND_S: Final = 660.0
"""A node may take so long for a question, and for a command, its breaks included [s]."""
_LOG = logging.getLogger(__name__)


class Account(Protocol):
    """Knows whose word counts still, and keeps what they did (``station.access.Access``)."""

    def still_valid(self, principal: Principal) -> bool:
        """Return whether one who was let in may still be here, with the same role."""

    def note(self, who: Principal, peer: str, action: str, detail: dict[str, Any], outcome: str) -> None:
        """Write down that ``who`` did something. Raises So2camError where that cannot be."""


class NodeRelay:
    """Hands calls to nodes and their answers back; for all threads."""

    def __init__(
        self, nodes: Nodes, access: Account, *, question_s: float = QUESTION_S, command_s: float = COMMAND_S
    ) -> None:
        """Prepare. A node may take ``question_s`` for a question and ``command_s`` for a command, breaks included."""
        self._nodes = nodes
        self._access = access
        self._question_s, self._command_s = question_s, command_s

    def answer(self, who: Principal, peer: str, node: str, call: Call) -> Spoken:
        """Return what ``node`` answers to ``call`` of ``who``, or why it was not asked."""
        said = call.say
        try:
            if not self._access.still_valid(who):
                return _refusal(call, "credential", "the token is not valid any more", "sign in with another token")
            needed = required_role(said)
            if who.role < needed:
                self._note(who, peer, node, call, "denied")
                text = f"{said.type} needs the role {needed.word}; this token is a {who.role.word}'s"
                return _refusal(call, "role", text, "ask an admin for a token")
            if needs_receiver(said):
                return _refusal(call, "role", f"{said.type} is the station's own to say", "leave it out")
            if changes(said) and call.key is None:
                return _refusal(call, "message", f"{said.type} needs a key", "give each command a key of its own")
            spoken = self._ask(who, peer, node, call)
        except LinkLostError as error:
            remedy = (
                "ask later what became of it, or give it again with the same key" if changes(said) else error.remedy
            )
            return _refusal(call, "refused", f"{node} does not answer: {error.message}", remedy)
        except So2camError as error:
            return _refusal(call, "refused", error.message, error.remedy)
        return Spoken(spoken.answer.model_copy(update={"id": call.id}), spoken.payload)

    def _ask(self, who: Principal, peer: str, node: str, call: Call) -> Spoken:
        said = call.say
        if isinstance(said, Outcome):
            said = Outcome(key=own_key(who, said.key))
        if not changes(said):
            return self._nodes.call(node, said, key=None, patience_s=self._question_s + getattr(said, "wait_s", 0.0))
        try:
            spoken = self._nodes.call(node, said, key=own_key(who, call.key or ""), patience_s=self._command_s)
        except So2camError:
            self._note(who, peer, node, call, "failed")
            raise
        result = spoken.answer.result
        self._note(who, peer, node, call, "refused" if isinstance(result, Refused) else "done")
        if isinstance(said, Set) and isinstance(result, Done):
            self._nodes.remember(node, said, result, who)
        return spoken

    def _note(self, who: Principal, peer: str, node: str, call: Call, outcome: str) -> None:
        if not changes(call.say):
            return
        detail = {"node": node, **call.say.model_dump(mode="json", exclude_defaults=True)}
        try:
            self._access.note(who, peer, f"instrument.{call.say.type}", detail, outcome)
        except So2camError as error:
            _LOG.warning("the account cannot be kept: %s", " ".join(str(error).split()))


def own_key(who: Principal, key: str) -> str:
    """Return the key of a person's command as the node gets it."""
    return f"relay-{hashlib.sha256(f'{who.id} {key}'.encode()).hexdigest()[:40]}"


def _refusal(call: Call, code: Code, text: str, remedy: str | None) -> Spoken:
    return Spoken(Answer(id=call.id, result=Refused(text=text, remedy=remedy), code=code))
