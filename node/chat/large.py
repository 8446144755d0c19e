"""Direct payloads larger than one envelope: sealed once more and sent as Objects (docs/crypto.md 3.3).

    object payload = [object_id, k, what]        the Object's bytes = nonce24 || secretbox(body of `what`, k)

The key goes as an ordinary message of the ratchet, the parts beside it on the same session's channel, under
the channel's outer key alone. Parts whose key has not come are not kept: they are held as envelopes anyway,
and a key that comes makes the channel be read again from where it was sent. So parts and key may come in
either order, and a start goes on where the node stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from node.chat.objects import MAX_PARTS, PART_BYTES, Assembly, object_of, split
from node.chat.turn import Turn
from node.clock import DAY_MS, HORIZON_DAYS
from node.crypto.channel import ChannelKind
from node.crypto.labels import Label
from node.crypto.primitives import BOX_OVERHEAD, KEY_BYTES, NONCE_BYTES, box_open, box_seal, digest
from node.errors import DecodeError, PeerFault
from node.tables import Table
from node.wire import codec
from node.wire.payload import BODIES, LARGE, Payload, Type

MAX_CONTENT = MAX_PARTS * PART_BYTES - NONCE_BYTES - BOX_OVERHEAD
"""Bytes of one body: what 64 parts carry, 1.5 MiB."""
MAX_EXPECTED = 16
"""Unfinished Objects a session; of one more the oldest is given up."""
MAX_READS = 32
READS_IN = 3600.0
"""A session's channel is read again for so many keys in that many seconds, for more at the next start: who
shares it chooses how much there is to read."""
MAX_HELD = 32 * 1024 * 1024
"""Bytes of parts kept in all sessions; beyond it the session that has most waits for the next start."""


@dataclass(frozen=True)
class Expected:
    """An Object whose key has come and whose parts have not all; `since_ms`: when its key was sent."""

    session_id: bytes
    account: bytes
    object_id: bytes
    what: int
    since_ms: int
    k: bytes = field(repr=False)


def sealed(turn: Turn, body: bytes) -> tuple[bytes, bytes]:
    """Return (the Object's bytes, the fresh key they are sealed under)."""
    nonce, k = turn.entropy(NONCE_BYTES), turn.entropy(KEY_BYTES)
    return nonce + box_seal(body, nonce, k), k


class Large:
    """The Objects that direct sessions are waiting for, by session and Object."""

    def __init__(self) -> None:
        self.expected: dict[tuple[bytes, bytes], Expected] = {}
        self._parts: dict[bytes, Assembly] = {}
        self._reads: dict[bytes, tuple[float, int]] = {}
        self.early: Callable[[Payload], bool] = lambda _payload: False
        """Says whether a body is for what is not here yet: its key is kept, to be read again then."""

    def restore(self, expected: Expected) -> None:
        """Take a stored key back; its channel is to be read again for the parts."""
        self.expected[expected.session_id, expected.object_id] = expected

    # -- sending ----------------------------------------------------------------------------------

    def send(
        self,
        turn: Turn,
        kind: Type,
        body: object,
        say: Callable[[Payload], object],
        post: Callable[[bytes], object],
    ) -> None:
        """Send a body as an Object: `say` its key, then `post` its parts, which whoever hears it can open."""
        plain = codec.pack(body)  # type: ignore[arg-type]  # checked by the shape of its type
        assert kind in LARGE and len(plain) <= MAX_CONTENT
        content, k = sealed(turn, plain)
        named = [digest(Label.OBJ, content), k, int(kind)]
        say(Payload(turn.new_id(), turn.mesh_ms, 0, Type.OBJECT, named))
        for part in split(content):
            post(part)

    # -- receiving --------------------------------------------------------------------------------

    def expect(self, turn: Turn, session: tuple[bytes, bytes], payload: Payload, since_ms: int) -> None:
        """A key came in a session (its id and account): note it, and have the channel read for the parts."""
        session_id, account = session
        object_id, k, what = payload.body
        if what not in LARGE or (session_id, object_id) in self.expected:
            return
        row = Expected(session_id, account, object_id, what, since_ms, k)
        self.expected[session_id, object_id] = row
        turn.put(Table.OBJECT_KEYS, session_id + object_id, row)
        if self._may_read(session_id, turn.now.mono):
            turn.behind.append((int(ChannelKind.DM), account, session_id))
        mine = [name for name in self.expected if name[0] == session_id]
        for name in mine[:-MAX_EXPECTED]:
            self._forget(turn, name)

    def _may_read(self, session_id: bytes, now: float) -> bool:
        since, count = self._reads.get(session_id, (now, 0))
        if now - since >= READS_IN:
            since, count = now, 0
        self._reads[session_id] = since, count + 1
        return count < MAX_READS

    def take(self, turn: Turn, session_id: bytes, inner: bytes) -> Payload | None:
        """Take a part; return what the Object carried when it was the last one missing.

        Whatever turns out to be no body of its type is given up, for the same bytes would come again.

        Raises:
            PeerFault: If the part is malformed or contradicts its Object; nothing was changed.
        """
        name = session_id, object_of(inner)
        expected = self.expected.get(name)
        if expected is None:
            return None
        content = self._parts.setdefault(session_id, Assembly()).take(inner)
        self._bound()
        if content is None:
            return None
        try:
            body = _opened(expected, content)
        except PeerFault:
            self._forget(turn, name)
            return None
        payload = Payload(bytes(16), turn.mesh_ms, 0, Type(expected.what), body)
        if self.early(payload):
            return None
        self._forget(turn, name)
        return payload

    def _bound(self) -> None:
        while sum(assembly.size for assembly in self._parts.values()) > MAX_HELD:
            del self._parts[max(self._parts, key=lambda session_id: self._parts[session_id].size)]

    def _forget(self, turn: Turn, name: tuple[bytes, bytes]) -> None:
        del self.expected[name]
        turn.delete(Table.OBJECT_KEYS, name[0] + name[1])
        assembly = self._parts.get(name[0])
        if assembly is not None:
            assembly.forget(name[1])
            if not assembly.size:
                del self._parts[name[0]]

    def drop(self, turn: Turn, session_id: bytes) -> None:
        """A session is gone, and what was still to come in it."""
        self._reads.pop(session_id, None)
        for name in [name for name in self.expected if name[0] == session_id]:
            self._forget(turn, name)

    def expire(self, turn: Turn) -> None:
        """Give up what will not come any more: nobody holds an envelope for longer."""
        limit = turn.mesh_ms - HORIZON_DAYS * DAY_MS
        for name, expected in list(self.expected.items()):
            if expected.since_ms < limit:
                self._forget(turn, name)


def _opened(expected: Expected, content: bytes) -> list[object]:
    plain = box_open(content[NONCE_BYTES:], content[:NONCE_BYTES], expected.k)
    body = codec.unpack(plain, max_bytes=MAX_CONTENT)
    if not BODIES[Type(expected.what)](body):
        raise DecodeError("body of an Object is not of the shape of its type")
    return list(body)
