"""What this node says of itself to peers, and the record that they pass on (docs/protocol.md section 7)."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.clock import Instant
from node.crypto import noderec
from node.crypto.handshake import LinkKeys
from node.crypto.primitives import Entropy
from node.mesh.limits import is_public

RENEW_AFTER = 86_400.0
"""Seconds after which our record is signed anew: those who keep it see that we are still here."""


@dataclass(slots=True)
class Ourselves:
    """What this node tells and proves of itself on every link; `boot_nonce` is new with every start.

    `listen`, the addresses that peers are told, changes when this machine moves to another network.
    """

    keys: LinkKeys = field(repr=False)
    entropy: Entropy
    roles: frozenset[str]
    listen: tuple[str, ...]
    boot_nonce: bytes


class OwnRecord:
    """Our record for strangers: public addresses alone; called with the time it returns it, or None."""

    def __init__(self, node_seed: bytes, own: Ourselves) -> None:
        self._seed = node_seed
        self._own = own
        self._listen: tuple[str, ...] = ()
        self._renew_at = float("-inf")
        self._raw: bytes | None = None

    def __call__(self, now: Instant) -> bytes | None:
        """Return the signed record, the same for a day unless the addresses change."""
        if self._own.listen != self._listen or now.mono >= self._renew_at:
            self._listen, self._renew_at = self._own.listen, now.mono + RENEW_AFTER
            public = tuple(address for address in self._listen if is_public(address))
            self._raw = self._sign(public, now) if public else None
        return self._raw

    def _sign(self, addresses: tuple[str, ...], now: Instant) -> bytes:
        return noderec.make_record(
            self._seed, addresses=addresses, roles=self._own.roles, seq=now.wall_ms // 1000, now=now
        )
