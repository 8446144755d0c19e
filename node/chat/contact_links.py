"""Contact links of ours: which are still good (docs/crypto.md 3.4).

A link has a token of which we keep a record; the record decides, not the day in the link. There is one
standing link; one that is to be used once, or to end, has a token of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.chat.turn import Turn
from node.clock import DAY_MS, day_of
from node.crypto.keys import Identity
from node.crypto.links import ContactLink
from node.errors import Refused
from node.tables import Table

LINK_DAYS = 365
"""What a link says of its end if it has none: whoever holds it then asks for another."""
MAX_TOKENS = 256


@dataclass(frozen=True)
class LinkToken:
    """What a contact link of ours still allows; the owner's record decides, not the link's day."""

    token: bytes = field(repr=False)
    uses_left: int | None
    expires_ms: int | None


class ContactLinks:
    """The links given out, by token."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.tokens: dict[bytes, LinkToken] = {}

    def give(
        self, turn: Turn, addresses: tuple[str, ...], *, once: bool, expires_ms: int | None
    ) -> ContactLink:
        """Return a contact link: the standing one, or a new one if it is to be used once or to end."""
        standing = next(
            (t for t in self.tokens.values() if t.uses_left is None and t.expires_ms is None), None
        )
        if standing is None or once or expires_ms is not None:
            standing = self._new(turn, 1 if once else None, expires_ms)
        ends = expires_ms or turn.now.wall_ms + LINK_DAYS * DAY_MS
        identity = self.identity
        return ContactLink(identity.account, identity.intro_pub, standing.token, day_of(ends), addresses)

    def _new(self, turn: Turn, uses: int | None, expires_ms: int | None) -> LinkToken:
        if len(self.tokens) >= MAX_TOKENS:
            raise Refused("too_many", f"{MAX_TOKENS} contact links are open: reset them first")
        token = LinkToken(turn.entropy(16), uses, expires_ms)
        self.tokens[token.token] = token
        turn.put(Table.SETTINGS, b"token" + token.token, token)
        return token

    def reset(self, turn: Turn) -> int:
        """Revoke every link given out so far; returns how many there were."""
        closed = list(self.tokens)
        for token in closed:
            self._drop(turn, token)
        return len(closed)

    def live(self, token: bytes | None, now_ms: int) -> LinkToken | None:
        """Return the record of a token that somebody shows, None if it is not good, or not any more."""
        record = self.tokens.get(token or b"")
        if record is None or (record.expires_ms is not None and now_ms >= record.expires_ms):
            return None
        return record

    def use(self, turn: Turn, record: LinkToken) -> None:
        """Somebody came by a link: that was it, if it was to be used once."""
        if record.uses_left is not None:
            self._drop(turn, record.token)

    def _drop(self, turn: Turn, token: bytes) -> None:
        del self.tokens[token]
        turn.delete(Table.SETTINGS, b"token" + token)
