"""How ``so2cam station status`` asks a station: over plain HTTP on this computer, over TLS otherwise."""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from so2cam.core.errors import InputError, So2camError
from so2cam.core.site_station import Station
from so2cam.formats.sitefile import load_site

_TIMEOUT_S: Final = 10.0
_REMEDIES: Final = {
    401: "give a token: so2cam token create SITE --station > FILE, and --token-file FILE",
    429: "wait a minute",
}


def ask_status(site: Path, url: str | None, token_file: Path | None) -> dict[str, Any]:
    """Return what a station says of itself. Raises So2camError where it does not answer, or refuses."""
    settings = load_site(site).site.station
    if url is None:
        if settings is None:
            raise InputError("has no [station]", file=site, remedy="add the table, or name the station with --url")
        url = own_url(settings)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError("is no address of a station", key="--url", value=url, remedy="as http://127.0.0.1:8470")
    headers = {}
    if token_file is not None:
        headers["Authorization"] = f"Bearer {read_token(token_file)}"
    try:
        connection = _connect(parts, port, site, settings)
        try:
            connection.request("GET", f"{parts.path.rstrip('/')}/api/v1/status", headers=headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise InputError(
            f"the station does not answer: {error}", value=url, remedy="start it: so2cam station run SITE"
        ) from None
    if answer.status != 200:
        raise InputError(
            f"the station refuses: {answer.status} {answer.reason}", value=url, remedy=_REMEDIES.get(answer.status)
        )
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict) or "services" not in found:
        raise InputError("is no station of so2cam", value=url)
    return found


def read_token(path: Path) -> str:
    """Return the token in a file. Raises InputError where there is none."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the token cannot be read: {error}", file=path, remedy="write one into it") from None
    if not token or any(sign.isspace() for sign in token):
        raise InputError("holds no token, or more than one", file=path, remedy="so2cam token create SITE --station")
    return token


def own_url(settings: Station) -> str:
    """Return where the station of a site file answers, as seen from its own computer."""
    api = settings.api
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(api.address, api.address)  # noqa: S104 - compared
    return f"{'http' if api.is_open else 'https'}://{f'[{host}]' if ':' in host else host}:{api.port}"


def _connect(parts: SplitResult, port: int | None, site: Path, settings: Station | None) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    fingerprint = known_fingerprint(site, settings)
    if fingerprint is None:
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context())
    from so2cam.link.tls import connect_tls

    connection = http.client.HTTPConnection(host, port or 443, timeout=_TIMEOUT_S)
    connection.sock, _ = connect_tls(host, port or 443, fingerprint, _TIMEOUT_S)
    return connection


def known_fingerprint(site: Path, settings: Station | None) -> str | None:
    """Return that of the station's certificate, where it is on this computer."""
    if settings is None:
        return None
    from so2cam.station.api_server import known_certificate

    files = known_certificate(settings.api, site.parent, site.parent / settings.folder)
    try:
        return None if files is None else files.fingerprint()
    except So2camError:
        return None  # only the station may read it
