"""The envelopes of a simulation: who has which since when, and what a store would answer."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator

from node.crypto.channel import Channel, ChannelKind
from node.mesh.ports import ByIds, ByTime
from node.sim_mesh.dice import Dice
from node.wire.envelope import Envelope, parse

MISSING = -1.0
TTL_DAYS = 35
_A_MESSAGE = bytes([0x91, 1])
"""How the inner of a room's message begins."""


class Message:
    """One envelope on its way: `times` and `hops` of each node, when it had it first."""

    __slots__ = ("copies", "counted", "envelope", "hops", "published", "sender", "shortest", "times")

    def __init__(self, envelope: Envelope, sender: int, published: float, nodes: int, counted: bool) -> None:
        self.envelope, self.sender, self.published, self.counted = envelope, sender, published, counted
        self.times = array("d", [MISSING]) * nodes
        self.hops = bytearray(nodes)
        self.times[sender] = published
        self.copies = 0
        self.shortest = 0.0

    def has(self, node: int) -> bool:
        """Whether a node has it."""
        return self.times[node] != MISSING


class Messages:
    """All envelopes, in the order in which they were published."""

    def __init__(self, nodes: int) -> None:
        self.all: list[Message] = []
        self._nodes = nodes
        self._by_id: dict[bytes, Message] = {}
        self._by_prefix: dict[bytes, Message] = {}
        self._by_signature: dict[bytes, Message] = {}
        self._by_time: list[tuple[int, bytes]] = []

    def add(self, envelope: Envelope, sender: int, published: float, *, counted: bool) -> Message:
        """A node has made an envelope and stored it."""
        message = Message(envelope, sender, published, self._nodes, counted)
        self.all.append(message)
        self._by_id[envelope.eid] = message
        self._by_prefix[envelope.eid[:16]] = message
        self._by_signature[envelope.sig[:16]] = message
        entry = (envelope.ts_ms, envelope.eid)
        self._by_time.insert(bisect_left(self._by_time, entry), entry)
        return message

    def received(self, signature: bytes) -> None:
        """A node was sent an envelope, new to it or not."""
        self._by_signature[signature].copies += 1

    def arrived(self, eid: bytes, node: int, origin: int, time: float) -> None:
        """An envelope is new to a node, and came from another."""
        message = self._by_id[eid]
        assert not message.has(node), "an envelope that came to the application twice"
        message.times[node] = time
        message.hops[node] = min(255, message.hops[origin] + 1)

    def stored(self, node: int) -> list[tuple[bytes, int, int]]:
        """What a node's store has, as a starting mesh is told of it."""
        return [(m.envelope.eid, m.envelope.ts_ms, m.envelope.expires_ms) for m in self.all if m.has(node)]

    def read(self, node: int, spec: ByIds | ByTime) -> tuple[tuple[bytes, ...], bool]:
        """Answer a read of a node's store; True if there is more."""
        if isinstance(spec, ByIds):
            found = (self._by_prefix.get(prefix) for prefix in spec.ids16)
            return tuple(m.envelope.raw for m in found if m and m.has(node)), False
        page: list[bytes] = []
        used = 0
        for message in self._between(spec):
            if not message.has(node):
                continue
            raw = message.envelope.raw
            used += len(raw)
            if page and used > spec.max_bytes:
                return tuple(page), True
            page.append(raw)
        return tuple(page), False

    def _between(self, spec: ByTime) -> Iterator[Message]:
        low = bisect_left(self._by_time, (spec.t0_ms, b""))
        if spec.after is not None:
            low = max(low, bisect_left(self._by_time, (spec.after[0], spec.after[1] + b"\0")))
        for ts_ms, eid in self._by_time[low:]:
            if ts_ms >= spec.t1_ms:
                return
            yield self._by_id[eid]


class Author:
    """Makes genuine envelopes of some rooms."""

    def __init__(self, seed: str, *, rooms: int, size: int) -> None:
        self._dice = Dice(f"{seed} envelopes")
        self._channels = [Channel(ChannelKind.ROOM, self._dice(32)) for _ in range(rooms)]
        self._size = size

    def write(self, ts_ms: int) -> Envelope:
        """Make the next envelope, of any of the rooms."""
        channel = self._channels[self._dice.below(len(self._channels))]
        inner = _A_MESSAGE + self._dice(max(self._size - len(_A_MESSAGE), 0))
        return parse(channel.seal(inner, ts_ms=ts_ms, ttl_days=TTL_DAYS, ephemeral=False, entropy=self._dice))
