"""Which envelopes are ours: the table from posting key to channel (docs/crypto.md 3.3).

Posting keys change every day, so a channel is known by one key a day, from the day it was made (at most 35
days ago) to tomorrow; the table rolls on at midnight of mesh time.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.clock import HORIZON_DAYS
from node.crypto.channel import Channel


@dataclass(frozen=True, slots=True)
class Route:
    """A channel and whose it is: `owner` an account, room or invite id, `part` a session or epoch id."""

    channel: Channel
    owner: bytes
    part: bytes = b""


class Channels:
    """Every channel this node can open, indexed by the posting keys its envelopes may carry."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Route] = {}
        self._keys: dict[tuple[int, bytes, bytes], list[tuple[int, bytes]]] = {}
        self._routes: dict[tuple[int, bytes, bytes], Route] = {}
        self._rolled_to = 0

    def find(self, rk: bytes) -> Route | None:
        """Return the channel an envelope with posting key `rk` belongs to, if it is ours."""
        return self._by_key.get(rk)

    def add(self, route: Route, created_day: int, today: int) -> list[bytes]:
        """Watch a channel; return its posting keys up to tomorrow (none if it was watched already)."""
        name = (int(route.channel.kind), route.owner, route.part)
        if name in self._routes:
            return []
        self._routes[name] = route
        keys = []
        for day in range(max(created_day, today - HORIZON_DAYS), today + 2):
            key = route.channel.rk(day)
            self._by_key[key] = route
            keys.append((day, key))
        self._keys[name] = keys
        self._rolled_to = max(self._rolled_to, today)
        return [key for _, key in keys]

    def remove(self, kind: int, owner: bytes, part: bytes = b"") -> None:
        """Stop to watch a channel."""
        name = (kind, owner, part)
        self._routes.pop(name, None)
        for _, key in self._keys.pop(name, []):
            self._by_key.pop(key, None)

    def roll(self, today: int) -> None:
        """Add tomorrow's posting keys and forget those beyond the horizon."""
        if today <= self._rolled_to:
            return
        for name, route in self._routes.items():
            keys = self._keys[name]
            for day in range(keys[-1][0] + 1 if keys else today, today + 2):
                key = route.channel.rk(day)
                self._by_key[key] = route
                keys.append((day, key))
            while keys and keys[0][0] < today - HORIZON_DAYS:
                self._by_key.pop(keys.pop(0)[1], None)
        self._rolled_to = today
