"""Addresses and fingerprints as people write and compare them."""

from so2cam.core.errors import InputError
from so2cam.core.site_link import DEFAULT_PORT


def parse_host(text: str) -> tuple[str, int]:
    """Return host and port of HOST, HOST:PORT or [ADDRESS]:PORT. Raises InputError."""
    host, port = text, str(DEFAULT_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise InputError("this is no address", value=text, remedy="give HOST or HOST:PORT, as 192.168.5.5:8443")
    return host, int(port)


def host_text(host: str, port: int) -> str:
    """Return host and port as ``parse_host`` reads them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def spaced(fingerprint: str) -> str:
    """Return a fingerprint in groups of eight, to be compared by eye."""
    return " ".join(fingerprint[index : index + 8] for index in range(0, len(fingerprint), 8))
