"""What a computer knows of those it has paired with: address, certificate, token. Only its owner may read the file."""

import contextlib
import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from so2cam.link.channel import Peer, close_quietly, upgrade
from so2cam.link.errors import CertificateError, LinkError, LinkLostError
from so2cam.link.pairing import MAXIMUM_BYTES, PairReply, join
from so2cam.link.tls import connect_tls
from so2cam.link.websocket import WebSocketException

ENVIRONMENT: Final = "SO2CAM_PAIRINGS"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Pairing(BaseModel):
    """One that this computer has paired with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    site: str
    node: str
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    role: str
    receiver: str | None = None
    token: str = Field(repr=False)

    @property
    def peer(self) -> Peer:
        """Where and how to dial it."""
        return Peer(self.host, self.port, self.fingerprint, self.token)


@dataclass(frozen=True, slots=True)
class Pairings:
    """The pairings of a computer, in a file."""

    path: Path

    def all(self) -> dict[str, Pairing]:
        """Return them by name. Raises LinkError where the file cannot be read."""
        try:
            content = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise LinkError(
                f"the pairings cannot be read: {error}", file=self.path, remedy="check it, or remove it and pair again"
            ) from None
        try:
            found = [Pairing.model_validate(one) for one in content["pairings"]]
        except (KeyError, TypeError, ValidationError):
            raise LinkError(
                "the pairings cannot be understood", file=self.path, remedy="remove it and pair again"
            ) from None
        return {one.name: one for one in found}

    def find(self, name: str) -> Pairing:
        """Return the pairing of this name. Raises LinkError where there is none."""
        known = self.all()
        if name not in known:
            raise LinkError(
                "this computer has not paired with it",
                file=self.path,
                key="name",
                value=name,
                remedy=f"paired are {', '.join(known)}" if known else "pair first: so2cam pair join HOST",
            )
        return known[name]

    def add(self, pairing: Pairing) -> None:
        """Keep a pairing; one of the same name is replaced. Raises LinkError where it cannot be kept."""
        self._write(self.all() | {pairing.name: pairing})

    def forget(self, name: str) -> None:
        """Forget a pairing. Raises LinkError where there is none of this name."""
        self.find(name)
        self._write({key: one for key, one in self.all().items() if key != name})

    def _write(self, pairings: Mapping[str, Pairing]) -> None:
        content = {"pairings": [one.model_dump() for one in pairings.values()]}
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as stream:
                json.dump(content, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self.path)
        except OSError as error:
            raise LinkError(
                f"the pairing cannot be kept: {error.strerror or error}", file=self.path, remedy="check the folder"
            ) from None


def change_address(
    pairings: Pairings, name: str, host: str, port: int, *, unanswered: bool = False, timeout_s: float = 10.0
) -> Pairing:
    """Keep that the one paired as ``name`` is at another address now; its token and certificate stay.

    Whoever answers there must show the certificate of the pairing: CertificateError where it is another instrument.
    Where nobody answers nothing is changed either (LinkLostError), unless ``unanswered``: it will be there later.
    Nothing but its own certificate is ever accepted there.
    """
    pairing = pairings.find(name)
    try:
        connected, _ = connect_tls(host, port, pairing.fingerprint, timeout_s)
        close_quietly(connected)
    except CertificateError as error:
        raise CertificateError(
            f"another instrument answers at {host}:{port}: its certificate is not that of {name}; nothing was changed",
            value=error.value,
            remedy=f"check the address; if {name} itself was set up anew, pair with it again",
        ) from None
    except LinkLostError as error:
        if not unanswered:
            raise LinkLostError(
                f"{error.message}; nothing was changed",
                remedy=f"check address and network; or keep the address although {name} does not answer there yet",
            ) from None
    moved = Pairing.model_validate(pairing.model_dump() | {"host": host, "port": port})
    pairings.add(moved)
    return moved


def default_path(environment: Mapping[str, str] | None = None) -> Path:
    """Return where a user's pairings are: ``SO2CAM_PAIRINGS``, or the user's folder for settings."""
    known = os.environ if environment is None else environment
    if given := known.get(ENVIRONMENT):
        return Path(given)
    base = known.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "so2cam" / "pairings.json"


def pair(host: str, port: int, code: str, *, name: str | None = None, own: str | None = None) -> Pairing:
    """Pair with whoever answers at ``host``, by the code that is shown there.

    ``own`` is how this computer is called there (its host name), ``name`` how the other one is called here (its
    node's name). Raises LinkError where it does not answer, or refuses.
    """
    own = own or _own_name()
    connected, fingerprint = connect_tls(host, port, None, 20.0)
    channel = upgrade(connected, host, port, "/v1/pair", 20.0, MAXIMUM_BYTES, {})

    def exchange(message: str) -> str | bytes:
        try:
            channel.send(message)
            return channel.recv(timeout=20.0)
        except (OSError, EOFError, TimeoutError, WebSocketException) as error:
            raise LinkLostError(f"{host}:{port} ended the pairing: {error}", remedy="try again") from None

    try:
        reply = join(exchange, code, fingerprint, own)
    finally:
        close_quietly(channel)
    return _paired(reply, host, port, fingerprint, name)


def _paired(reply: PairReply, host: str, port: int, fingerprint: str, name: str | None) -> Pairing:
    node = reply.node or host
    return Pairing(
        name=name or (node if _NAME.fullmatch(node) else "instrument"),
        site=reply.site or "",
        node=node,
        host=host,
        port=port,
        fingerprint=fingerprint,
        role=reply.role or "viewer",
        receiver=reply.receiver,
        token=reply.token or "",
    )


def _own_name() -> str:
    found = socket.gethostname().split(".")[0][:64]
    return found if _NAME.fullmatch(found) else "computer"
