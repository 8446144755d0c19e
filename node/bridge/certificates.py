"""The certificate of this machine's own: made once, for TLS at a dialect's port (docs/bridge.md section 5).

Browsers take no Ed25519, so it is P-256 and made by `cryptography`, which is the extra `tls`. Nobody vouches
for it: the owner compares the fingerprint, once a browser.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from node.errors import Refused, extra_missing

if TYPE_CHECKING:
    from cryptography import x509

FILE: Final = "tls.pem"
"""Key and certificate, in the home."""
DAYS = 825
"""What Apple's systems take at most of a certificate that was added by hand."""
RENEW_DAYS = 30
"""One that ends sooner is made anew at the next start: then its fingerprint is another."""
Keep: TypeAlias = Callable[[str, Callable[[bytes], bool], Callable[[], bytes]], tuple[Path, bytes]]
"""Return path and content of a private file of the home, made where there is none that is valid; blocks."""


Loaded: TypeAlias = tuple[ssl.SSLContext, str]


def load(keep: Keep, names: tuple[str, ...]) -> Loaded:
    """Return what TLS needs and the SHA-256 fingerprint as browsers show it; blocks.

    Raises:
        Refused: `tls_missing` where the extra is not installed, `tls_damaged` where the file is,
            `storage_full` where none can be written.
    """
    try:
        path, data = keep(FILE, _lasts, lambda: _made(names))
    except ImportError as exc:
        raise extra_missing("tls_missing", "TLS", "cryptography", sys.executable, "tls") from exc
    except OSError as exc:
        raise Refused("storage_full", f"the certificate could not be written: {exc.strerror}") from exc
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(path)
        return context, fingerprint(data)
    except (ssl.SSLError, ValueError) as exc:
        text = f"{path} is damaged: remove it, and another is made"
        raise Refused("tls_damaged", text, field="tls") from exc


def fingerprint(pem: bytes) -> str:
    """Return the SHA-256 of a certificate in a PEM file, as `AB:CD:...`."""
    text = pem.decode("ascii")
    start = text.index("-----BEGIN CERTIFICATE-----")
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[start:].strip())).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def _lasts(pem: bytes) -> bool:
    """Say whether it is ours, whole, and lasts for a while."""
    whole = b"PRIVATE KEY" in pem and b"BEGIN CERTIFICATE" in pem
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        if whole:
            return True  # it was made when there was a way to, and goes on without
        raise
    try:
        found = x509.load_pem_x509_certificate(pem)
        load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        return False
    left = found.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return whole and left > datetime.timedelta(days=RENEW_DAYS)


def _host(text: str) -> x509.GeneralName | None:
    """Return a name of this machine as a certificate has it; None for what none can have."""
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return x509.DNSName(text) if text.isascii() else None


def _made(names: tuple[str, ...]) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gossamer on this machine")])
    now = datetime.datetime.now(datetime.UTC)
    hosts = [
        found for text in dict.fromkeys(("localhost", "127.0.0.1", "::1", *names)) if (found := _host(text))
    ]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=DAYS - 1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret + made.public_bytes(serialization.Encoding.PEM)
