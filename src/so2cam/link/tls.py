"""TLS with pinned certificates: made at first start, compared by its SHA-256 by whoever connects.

There is no authority that vouches for an instrument on a volcano. The fingerprint that was seen at pairing is what
counts: neither the name nor the dates in the certificate, so that a wrong clock locks nobody out.
"""

import contextlib
import hashlib
import ipaddress
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from so2cam.link.errors import CertificateError, LinkError, LinkLostError

_FIRST: Final = datetime(2020, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2099, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate and its private key, PEM."""

    certificate: Path
    key: Path

    def fingerprint(self) -> str:
        """Return the SHA-256 of the certificate in hexadecimal. Raises LinkError where it cannot be read."""
        try:
            return fingerprint_of(ssl.PEM_cert_to_DER_cert(_first_certificate(self.certificate.read_text())))
        except (OSError, ValueError) as error:
            raise LinkError(
                f"the certificate cannot be read: {error}", file=self.certificate, remedy="give a PEM file"
            ) from None

    def server_context(self) -> ssl.SSLContext:
        """Return the settings of a server with this certificate. Raises LinkError where it cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Clients read and write in two threads. A ticket, which comes beside the first answer, makes a reader handshake
        # while the request is being written, and that now and then breaks the connection.
        context.num_tickets = 0
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise LinkError(
                f"the certificate and its key cannot be used: {error}",
                file=self.certificate,
                remedy="give a certificate and its own key, as PEM, without a password",
            ) from None
        return context


def made_files(folder: Path) -> TlsFiles:
    """Return where the self-signed certificate in ``folder`` is, or will be."""
    return TlsFiles(folder / "link-certificate.pem", folder / "link-key.pem")


def ensure_certificate(folder: Path, name: str, addresses: Sequence[str] = ()) -> TlsFiles:
    """Return the self-signed certificate in ``folder``, made where there is none yet. Raises LinkError."""
    files = made_files(folder)
    if files.certificate.exists() and files.key.exists():
        return files
    certificate, key = _make(name, addresses)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_private(files.key, key)
        _write_private(files.certificate, certificate, mode=0o644)
    except OSError as error:
        raise LinkError(
            f"the certificate cannot be written: {error.strerror or error}", file=folder, remedy="check the folder"
        ) from error
    return files


def _make(name: str, addresses: Sequence[str]) -> tuple[bytes, bytes]:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
    except ImportError:
        raise LinkError(
            "the package cryptography is missing", remedy="pip install 'so2cam[instrument]', or give a certificate"
        ) from None
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    known: list[x509.GeneralName] = [x509.DNSName(name), x509.DNSName(f"{name}.local")]
    known += [x509.IPAddress(ipaddress.ip_address(address)) for address in dict.fromkeys(addresses)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FIRST)
        .not_valid_after(_LAST)
        .add_extension(x509.SubjectAlternativeName(known), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def connect_tls(host: str, port: int, fingerprint: str | None, timeout_s: float) -> tuple[ssl.SSLSocket, str]:
    """Connect, and return the socket and the fingerprint of the other side, before anything is sent.

    ``fingerprint`` is the one that must be shown; None takes any (at pairing only). Raises CertificateError for
    another one, LinkLostError where no connection comes about.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the fingerprint is compared below, before anything is sent
    try:
        plain = socket.create_connection((host, port), timeout=timeout_s)
    except OSError as error:
        raise LinkLostError(
            f"{host}:{port} cannot be reached: {error.strerror or error}",
            remedy="check its address and the network, and that it runs",
        ) from None
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected = context.wrap_socket(plain, server_hostname=None)
    except (OSError, ValueError) as error:
        plain.close()
        raise LinkLostError(
            f"{host}:{port} does not speak TLS: {error}", remedy="check the port; the link's own is 8443 as a rule"
        ) from None
    shown = fingerprint_of(connected.getpeercert(binary_form=True) or b"")
    if fingerprint is not None and shown != fingerprint:
        with contextlib.suppress(OSError):
            connected.close()
        raise CertificateError(
            f"{host}:{port} shows another certificate than at pairing",
            value=shown,
            remedy="if the instrument was set up anew, pair again; otherwise somebody else answers at that address",
        )
    return connected, shown


def fingerprint_of(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate (DER) in hexadecimal."""
    return hashlib.sha256(certificate).hexdigest()


def _first_certificate(text: str) -> str:
    end = "-----END CERTIFICATE-----"
    start = text.index("-----BEGIN CERTIFICATE-----")
    return text[start : text.index(end, start) + len(end)] + "\n"


def _no_password() -> str:
    raise ValueError("the key has a password")


def _write_private(path: Path, data: bytes, mode: int = 0o600) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
