"""Pairing: how two computers that have never met come to trust each other, with a code that is used once.

The code is shown on the one that offers and typed on the one that joins. It is never sent. Both make a key of it
(scrypt), and prove with an HMAC over the certificate's fingerprint that they know it: the one that joins over the
fingerprint that it was shown, the one that offers over its own. Somebody in between shows a certificate of his own, so
that neither proof fits, and 50 random bits behind scrypt cannot be tried out within the ten minutes that a code lives.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from so2cam.link.database import Database
from so2cam.link.errors import LinkRefusedError
from so2cam.link.protocol import Role, role_of_word
from so2cam.link.tokens import TokenStore

MAXIMUM_BYTES: Final = 4096
VALID_S: Final = 600.0
ATTEMPTS: Final = 5
_ALPHABET: Final = "ABCDEFGHJKMNPQRSTVWXYZ23456789"  # nothing that is taken for something else
_LENGTH: Final = 11
_HALF: Final = 6
_SALT_BYTES: Final = 16

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


BROWSER_S: Final = 7 * 86400.0
"""How long the token of a browser is valid."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PairRequest(_Message):
    """First message of the one that joins: ask for the salt; then, with it, the proof."""

    type: Literal["begin", "prove"]
    nonce: Hex
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*$")]
    proof: Hex | None = None


class BrowserPairing(_Message):
    """What a browser sends to sign in: the code itself, over TLS."""

    code: Annotated[str, Field(min_length=1, max_length=64)]
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*$")] = "browser"


class PairReply(_Message):
    """What the one that offers answers: the salt; then its own proof and the token. ``error``: why not."""

    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    proof: Hex | None = None
    token: str | None = None
    role: str | None = None
    receiver: str | None = None
    site: str | None = None
    node: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A code, as it is shown, and when it ends (seconds since 1970)."""

    code: str
    expires_s: float


class PairingDesk:
    """The side that offers: makes codes, and gives a token to who knows one."""

    def __init__(
        self, database: Database, tokens: TokenStore, *, site: str, node: str, now_s: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._site, self._node = site, node
        self._now_s = now_s

    def offer(self, role: Role, receiver: str | None = None) -> Offer:
        """Make a code; only the newest is valid. It is not kept, only the key that is made of it."""
        code = new_code()
        salt = secrets.token_bytes(_SALT_BYTES)
        expires_s = self._now_s() + VALID_S
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM offer")
            connection.execute(
                "INSERT INTO offer (id, role, receiver, key, salt, expires, attempts) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (secrets.token_hex(4), role.word, receiver, key_of(code, salt), salt, expires_s, ATTEMPTS),
            )
        return Offer(code, expires_s)

    def answer(self, message: str | bytes, fingerprint: str) -> PairReply:
        """Answer one message of somebody who joins; ``fingerprint`` is of the own certificate."""
        if len(message) > MAXIMUM_BYTES:
            return PairReply(error="the message is too long")
        try:
            request = PairRequest.model_validate_json(message)
        except ValidationError:
            return PairReply(error="the message cannot be understood")
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT id, role, receiver, key, salt FROM offer WHERE expires > ? AND attempts > 0", (self._now_s(),)
            ).fetchone()
            if row is not None and request.type == "prove":
                connection.execute("UPDATE offer SET attempts = attempts - 1 WHERE id = ?", (row[0],))
        if request.type == "begin":
            # Where no code is open the salt leads nowhere, and the proof is refused like a wrong one.
            return PairReply(salt=(secrets.token_bytes(_SALT_BYTES) if row is None else row[4]).hex())
        if row is None or request.proof is None:
            return PairReply(error=_REFUSED)
        number, role, receiver, key, _ = row
        if not hmac.compare_digest(request.proof, proof_of(key, "joins", fingerprint, request.nonce, request.name)):
            return PairReply(error=_REFUSED)
        with self._database.transaction() as connection:
            if not connection.execute("DELETE FROM offer WHERE id = ?", (number,)).rowcount:
                return PairReply(error=_REFUSED)  # somebody was quicker
        token = self._tokens.create(request.name, role_of_word(role), receiver=receiver)
        return PairReply(
            proof=proof_of(key, "offers", fingerprint, request.nonce, token),
            token=token,
            role=role,
            receiver=receiver,
            site=self._site,
            node=self._node,
        )

    def admit(self, code: str, name: str) -> PairReply:
        """Give a browser that sends the code itself a token, valid for some days, of nobody who receives.

        A browser cannot see the certificate that it was shown, so that it cannot prove anything bound to it: that it
        speaks with the right computer is for its own check of the certificate, or for the person, to say.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT id, role, key, salt FROM offer WHERE expires > ? AND attempts > 0", (self._now_s(),)
            ).fetchone()
            if row is not None:
                connection.execute("UPDATE offer SET attempts = attempts - 1 WHERE id = ?", (row[0],))
        number, role, key, salt = row or ("", "", secrets.token_bytes(32), secrets.token_bytes(_SALT_BYTES))
        if not hmac.compare_digest(key, key_of(code, salt)) or row is None:
            return PairReply(error=_REFUSED)
        with self._database.transaction() as connection:
            if not connection.execute("DELETE FROM offer WHERE id = ?", (number,)).rowcount:
                return PairReply(error=_REFUSED)  # somebody was quicker
        token = self._tokens.create(name, role_of_word(role), valid_s=BROWSER_S)
        return PairReply(token=token, role=role, site=self._site, node=self._node)


_REFUSED: Final = "the code is wrong, used, or too old"


def join(exchange: Callable[[str], str | bytes], code: str, fingerprint: str, name: str) -> PairReply:
    """Join with ``code``; ``exchange`` sends a message and returns the answer, ``fingerprint`` is the one shown.

    Returns the reply with the token. Raises LinkRefusedError where the other side refuses, or does not know the code.
    """
    nonce = secrets.token_hex(32)
    begin = _parse(exchange(PairRequest(type="begin", nonce=nonce, name=name).model_dump_json()))
    if begin.salt is None:
        raise _refusal(begin)
    key = key_of(code, bytes.fromhex(begin.salt))
    proof = proof_of(key, "joins", fingerprint, nonce, name)
    reply = _parse(exchange(PairRequest(type="prove", nonce=nonce, name=name, proof=proof).model_dump_json()))
    if reply.token is None or reply.proof is None:
        raise _refusal(reply)
    if not hmac.compare_digest(reply.proof, proof_of(key, "offers", fingerprint, nonce, reply.token)):
        raise LinkRefusedError(
            "the other side does not know the code", remedy="somebody may sit in between: check the network"
        )
    return reply


def new_code() -> str:
    """Return a new code of 50 random bits, as it is shown."""
    code = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return f"{code[:_HALF]}-{code[_HALF:]}"


def plain_code(code: str) -> str:
    """Return a code as it is compared: whatever its case, blanks and dashes."""
    return "".join(sign for sign in code.upper() if sign.isalnum())


def key_of(code: str, salt: bytes) -> bytes:
    """Return the key that is made of a code."""
    return hashlib.scrypt(plain_code(code).encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)


def proof_of(key: bytes, side: str, *parts: str) -> str:
    """Return the proof of one side that it knows the key."""
    return hmac.new(key, "\n".join(("so2cam pairing 1", side, *parts)).encode(), hashlib.sha256).hexdigest()


def _parse(message: str | bytes) -> PairReply:
    try:
        return PairReply.model_validate_json(message)
    except ValidationError:
        raise LinkRefusedError(
            "the other side does not know how to pair", remedy="check the address, the port and the versions"
        ) from None


def _refusal(reply: PairReply) -> LinkRefusedError:
    return LinkRefusedError(
        reply.error or "the other side refuses",
        remedy="have a new code made (so2cam pair offer), and type it within ten minutes",
    )
