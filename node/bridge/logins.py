"""How a browser logs in: a link that works once, then a cookie (docs/bridge.md section 4, "credential").

The cookie is a date and a MAC under the admin token: it survives a restart, needs no table, and ends when
the admin token changes. It is named after node and port, since browsers share cookies between ports.
Link and cookie are good where the link was made for: `at` is a dialect's own port, 0 the bridge's, whichever.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from hashlib import blake2b

from node.bridge.ports import hash_token
from node.crypto.primitives import Entropy, same

LINK_MS = 5 * 60_000
"""A login link works for five minutes."""
COOKIE_SECONDS = 30 * 86_400
MAX_ENDED = 256
"""Cookies remembered that somebody has logged out with."""
MAX_LINKS = 16
"""Unused links at a time; the oldest gives way."""


class Logins:
    """Unused login codes, and the cookies they turn into."""

    def __init__(self, admin_token: str, entropy: Entropy) -> None:
        self._key = hash_token(admin_token)
        self._entropy = entropy
        self._codes: OrderedDict[bytes, int] = OrderedDict()
        self._links: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._ended: OrderedDict[bytes, None] = OrderedDict()

    def cookie_name(self, port: int) -> str:
        """Return the name of the cookie of this node on this port."""
        return f"gossamer_{self._mac('name')[:8]}_{port}"

    def create(self, now_ms: int, at: int = 0) -> str:
        """Return a new code, good once within LINK_MS."""
        code = base64.urlsafe_b64encode(self._entropy(32)).rstrip(b"=").decode()
        self._codes[hash_token(f"{code} {at}")] = now_ms + LINK_MS
        while len(self._codes) > MAX_LINKS:
            self._codes.popitem(last=False)
        return code

    def redeem(self, code: str, now_ms: int, at: int = 0) -> str | None:
        """Use a code up and return the cookie's value, or None if it is used, late or unknown there."""
        expires = self._codes.pop(hash_token(f"{code} {at}"), 0)
        if now_ms >= expires:
            return None
        until = str(now_ms // 1000 + COOKIE_SECONDS)
        return f"{until}.{self._bound(until, at)}"

    def valid(self, cookie: str, now_ms: int, at: int = 0) -> bool:
        """Say whether a cookie's value was made by `redeem` there and is not over."""
        until, _, mac = cookie.partition(".")
        genuine = same(mac.encode("utf-8", "surrogatepass"), self._bound(until, at).encode())
        over = hash_token(cookie) in self._ended
        return genuine and not over and until.isdecimal() and now_ms // 1000 < int(until)

    def end(self, cookie: str) -> None:
        """Take a cookie for over, until the node stops: it is in no table, and its browser has lost it."""
        self._ended[hash_token(cookie)] = None
        while len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    def link(self, address: str, nonce: str | None, now_ms: int, at: int = 0) -> tuple[str, int]:
        """Return a link at `http://HOST:PORT` and the second it ends; the same nonce gives the same again."""
        if nonce is not None and nonce in self._links:
            return self._links[nonce]
        made = f"{address}/api/v1/login?code={self.create(now_ms, at)}", (now_ms + LINK_MS) // 1000
        if nonce is not None:
            self._links[nonce] = made
            while len(self._links) > MAX_LINKS:
                self._links.popitem(last=False)
        return made

    def _bound(self, until: str, at: int) -> str:
        return self._mac(f"{until} {at}" if at else until)

    def _mac(self, text: str) -> str:
        data = text.encode("utf-8", "surrogatepass")
        return blake2b(data, digest_size=32, key=self._key, person=b"bridge-cookie").hexdigest()
