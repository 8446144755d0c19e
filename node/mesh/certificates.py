"""What `wss://` needs: our certificate and key for those who dial us, whom we trust for those we dial.

The certificate is the owner's business (their authority's or their own); the handshake inside proves who a
peer is either way. TLS is for passing proxies, and networks that let nothing else through (operations.md).
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NoReturn

from node.errors import Refused


class Certificates:
    """The contexts of one node; raises Refused `invalid_config` for files that are of no use."""

    def __init__(
        self, *, cert: Path | None = None, key: Path | None = None, authority: Path | None = None
    ) -> None:
        self._cert, self._key = cert, key
        self.dialling = None if authority is None else _trusting(authority)
        """None: the system's authorities alone, whose store is read when something is first dialled."""
        self.listening = None if cert is None else _listening(cert, key)

    def reload(self) -> bool:
        """Read our certificate again, for those who dial from now on; False if there is none.

        What is of no use is refused, and the one in force stays.
        """
        if self.listening is None or self._cert is None:
            return False
        _listening(self._cert, self._key)  # a context that took only half of a pair would serve nobody
        _load(self.listening, self._cert, self._key)
        return True


def _listening(cert: Path, key: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, cert, key)
    return context


def _load(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as exc:
        where = str(cert) if key is None else f"{cert} and {key}"
        text = f"{where}: no certificate with its key, both in PEM ({exc.reason or 'unreadable'})"
        raise _invalid("listen_cert", text) from exc
    except OSError as exc:
        raise _invalid("listen_cert", f"{exc.filename or cert} cannot be read: {exc.strerror}") from exc


def _no_password() -> NoReturn:
    raise _invalid("listen_key", "the key is sealed by a passphrase: openssl pkey writes one that is not")


def _trusting(authority: Path) -> ssl.SSLContext:
    """Trust an authority, or one certificate, beside those of the system."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as exc:
        text = f"{authority} has no certificate in PEM ({exc.reason or 'unreadable'})"
        raise _invalid("peer_ca", text) from exc
    except OSError as exc:
        raise _invalid("peer_ca", f"{authority} cannot be read: {exc.strerror}") from exc
    return context


def _invalid(field: str, text: str) -> Refused:
    return Refused("invalid_config", text, field=field)
