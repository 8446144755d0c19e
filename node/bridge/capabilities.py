"""Capabilities: URLs that open one attachment, to be read, for a day (docs/bridge.md section 4, "media").

A page's image or audio element can send no token. So it is given a date and a MAC under the hash of the token
that its session rests on: it survives a restart, needs no table, and ends when that token does.
"""

from __future__ import annotations

from hashlib import blake2b

from node.bridge.guard import Credentials, Grant
from node.crypto.primitives import same

PREFIX = "/api/v1/attachments/"
SECONDS = 24 * 3600
"""How long one lasts."""


def url(ident: str, grant: Grant, credentials: Credentials, now_ms: int) -> str:
    """Return where a session with this grant finds an attachment, for SECONDS."""
    path, until = PREFIX + ident, str(now_ms // 1000 + SECONDS)
    return f"{path}?cap={until}.{_mac(path, until, grant.mark or credentials.admin_hash)}"


def opened(path: str, capability: str, credentials: Credentials, now_ms: int) -> Grant | None:
    """Return what a capability opens at a path; None if it is not good for exactly this one, now."""
    until, _, mac = capability.partition(".")
    if not path.startswith(PREFIX) or not (until.isascii() and until.isdecimal() and len(until) <= 12):
        return None
    late = now_ms // 1000 >= int(until)
    found = None
    alive = [t for t in credentials.tokens if t.expires_ms is None or now_ms < t.expires_ms]
    for mark, name in ((credentials.admin_hash, "owner"), *((t.token_hash, t.name) for t in alive)):
        genuine = same(mac.encode("utf-8", "surrogatepass"), _mac(path, until, mark).encode())
        if genuine and not late:
            found = Grant("read", name, limited=True, mark=mark)
    return found


def _mac(path: str, until: str, mark: bytes) -> str:
    data = f"{path} {until}".encode("utf-8", "surrogatepass")
    return blake2b(data, digest_size=32, key=mark, person=b"attachment-cap").hexdigest()
