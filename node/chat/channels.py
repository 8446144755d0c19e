"""Which envelopes are ours: the table from posting key to channel (docs/crypto.md 3.3).

Posting keys change every day, so a channel is known by one key a day, from the day it was made (at most 35
days ago) to tomorrow; the table rolls on at midnight of mesh time. Others tell us the secrets of channels and
may name one that is not theirs: a key leads to every channel that has it, so nobody takes one away from us.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from node.clock import HORIZON_DAYS
from node.crypto.channel import Channel


@dataclass(frozen=True, slots=True)
class Route:
    """A channel and whose it is: `owner` an account, room or invite id, `part` a session or epoch id."""

    channel: Channel
    owner: bytes
    part: bytes = b""

    @property
    def key(self) -> tuple[int, bytes, bytes]:
        """The name of the channel: kind, owner, part."""
        return int(self.channel.kind), self.owner, self.part


SET_BACK_DAYS = 2
"""Mesh time goes back by up to 36 hours when a clock is set right: what is then posted has the key of an
earlier day than the one on which a channel began."""


class Channels:
    """Every channel this node can open, indexed by the posting keys its envelopes may carry."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, list[Route]] = {}
        self._keys: dict[tuple[int, bytes, bytes], list[tuple[int, bytes]]] = {}
        self._routes: dict[tuple[int, bytes, bytes], Route] = {}
        self._rolled_to = 0

    def find(self, rk: bytes) -> Route | None:
        """Return the channel an envelope with posting key `rk` belongs to, if it is ours."""
        routes = self._by_key.get(rk)
        return None if routes is None else routes[0]

    def find_all(self, rk: bytes) -> tuple[Route, ...]:
        """Return every channel with this posting key, the longest known first."""
        return tuple(self._by_key.get(rk, ()))

    def key_of(self, rk: bytes) -> tuple[int, bytes, bytes] | None:
        """Return the name of the channel that a posting key is of, if it is ours."""
        route = self.find(rk)
        return None if route is None else route.key

    def all(self) -> Iterable[tuple[tuple[int, bytes, bytes], list[tuple[int, bytes]]]]:
        """Return the name of each channel, and its posting keys with their days."""
        return self._keys.items()

    def add(self, route: Route, created_day: int, today: int) -> list[bytes]:
        """Watch a channel; return its posting keys up to tomorrow (none if it was watched already)."""
        name = (int(route.channel.kind), route.owner, route.part)
        if name in self._routes:
            return []
        self._routes[name] = route
        keys = []
        for day in range(max(created_day - SET_BACK_DAYS, today - HORIZON_DAYS), today + 2):
            key = route.channel.rk(day)
            self._by_key.setdefault(key, []).append(route)
            keys.append((day, key))
        self._keys[name] = keys
        return [key for _, key in keys]

    def keys(self, name: tuple[int, bytes, bytes]) -> tuple[bytes, ...]:
        """Return the posting keys of a watched channel, by (kind, owner, part)."""
        return tuple(key for _, key in self._keys.get(name, ()))

    def dated(self, name: tuple[int, bytes, bytes]) -> tuple[tuple[int, bytes], ...]:
        """Return the (day, posting key)s of a watched channel."""
        return tuple(self._keys.get(name, ()))

    def remove(self, kind: int, owner: bytes, part: bytes = b"") -> None:
        """Stop to watch a channel."""
        name = (kind, owner, part)
        route = self._routes.pop(name, None)
        for _, key in self._keys.pop(name, []):
            self._drop(key, route)

    def roll(self, today: int) -> None:
        """Add tomorrow's posting keys and forget those beyond the horizon."""
        if today <= self._rolled_to:
            return
        for name, route in self._routes.items():
            keys = self._keys[name]
            for day in range(keys[-1][0] + 1 if keys else today, today + 2):
                key = route.channel.rk(day)
                self._by_key.setdefault(key, []).append(route)
                keys.append((day, key))
            while keys and keys[0][0] < today - HORIZON_DAYS:
                self._drop(keys.pop(0)[1], route)
        self._rolled_to = today

    def _drop(self, key: bytes, route: Route | None) -> None:
        left = [other for other in self._by_key.pop(key, []) if other is not route]
        if left:
            self._by_key[key] = left
