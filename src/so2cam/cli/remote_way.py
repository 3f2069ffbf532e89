"""How ``so2cam remote`` reaches an instrument: dialled as it was paired, or through a station that runs."""

import functools
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click

from so2cam.cli.link_places import user_pairings
from so2cam.cli.pair import pairings_option
from so2cam.cli.station_status import known_fingerprint, own_url, read_token
from so2cam.core.errors import InputError
from so2cam.formats.sitefile import load_site
from so2cam.link.errors import LinkLostError

_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Way:
    """Which instrument is meant, and how it is reached, as it was given."""

    at: str | None
    pairings: Path | None
    through: str | None
    token_file: Path | None
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Reached:
    """An instrument: its name, whose receiver one is there, a client, and the options that reach it again."""

    name: str
    receiver: str | None
    client: Any
    options: str


def way_options(function: Callable[..., Any]) -> Any:
    """Add the options by which an instrument is reached; ``function`` gets them as its argument ``way``."""

    @functools.wraps(function)
    def call(
        at: str | None,
        pairings: Path | None,
        through: str | None,
        token_file: Path | None,
        fingerprint: str | None,
        **others: Any,
    ) -> Any:
        return function(way=Way(at, pairings, through, token_file, fingerprint), **others)

    found: Any = pairings_option(call)
    for option in (
        click.option("--fingerprint", metavar="SHA256", help="With --through: that of the station's certificate."),
        click.option(
            "--token-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            envvar="SO2CAM_TOKEN_FILE",
            show_envvar=True,
            help="With --through: holds a token of the station (so2cam token create SITE --station).",
        ),
        click.option(
            "--through",
            metavar="STATION",
            help="Through a station that runs, also to an instrument that calls it: its site file or https address.",
        ),
        click.option("--at", metavar="NAME", help="An instrument of so2cam pair list; without it, the only one."),
    ):
        found = option(found)
    return found


@contextmanager
def reach(way: Way) -> Iterator[Reached]:
    """Give the instrument that is meant. Raises InputError or LinkError where it is not known."""
    from so2cam.link.client import LinkClient, dial

    if way.through is not None:
        if way.at is None:
            raise InputError("which instrument is meant?", remedy="give --at NAME, a node of the station")
        options = f"--at {way.at} --through {way.through}"
        with LinkClient(_station_dial(way, way.through)) as client:
            yield Reached(way.at, None, client, options)
        return
    store, at = user_pairings(way.pairings), way.at
    if at is None:
        known = store.all()
        if len(known) > 1:
            raise InputError("which instrument is meant?", remedy=f"give --at: {', '.join(known)}")
        at = next(iter(known), "")
    pairing = store.find(at)
    with LinkClient(dial(pairing.peer)) as client:
        yield Reached(pairing.name, pairing.receiver, client, f"--at {pairing.name}")


def _station_dial(way: Way, through: str) -> Callable[[float], Any]:
    """Return how to connect to a node by way of a station."""
    url, fingerprint = through, way.fingerprint
    if "://" not in through:
        site = Path(through)
        settings = load_site(site).site.station
        if settings is None:
            raise InputError("has no [station]", file=site, remedy="name the station's address: https://HOST:PORT")
        url, fingerprint = own_url(settings), fingerprint or known_fingerprint(site, settings)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        host, port = "", 0
    if not host or not port:
        raise InputError("is no address of a station", key="--through", value=url, remedy="as https://192.168.5.1:8470")
    if parts.scheme == "http" and not _is_this_computer(host):
        raise InputError(
            "a token is not sent without TLS to another computer", key="--through", value=url, remedy="give https://"
        )
    if way.token_file is None:
        raise InputError(
            "the station asks for a token",
            key="--token-file",
            remedy="so2cam token create SITE --station --role operator > FILE",
        )
    headers = {"Authorization": f"Bearer {read_token(way.token_file)}"}
    pin = None if fingerprint is None else fingerprint.replace(":", "").replace(" ", "").lower()

    def connect(timeout_s: float) -> Any:
        from so2cam.link.channel import MAXIMUM_ANSWER_BYTES, upgrade

        connected = _connect(parts.scheme, host, port, pin, timeout_s)
        path = f"/api/v1/nodes/{way.at}/link"
        return upgrade(connected, host, port, path, timeout_s, MAXIMUM_ANSWER_BYTES, headers)

    return connect


def _connect(scheme: str, host: str, port: int, pin: str | None, timeout_s: float) -> socket.socket:
    from so2cam.link.tls import connect_tls

    if scheme == "https" and pin is not None:
        return connect_tls(host, port, pin, timeout_s)[0]
    try:
        plain = socket.create_connection((host, port), timeout=timeout_s)
        if scheme == "http":
            return plain
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except (OSError, ValueError) as error:
        raise LinkLostError(
            f"the station at {host}:{port} cannot be reached: {error}",
            remedy="check that it runs; for a certificate that it made itself give --fingerprint",
        ) from None


def _is_this_computer(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
