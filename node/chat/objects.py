"""Objects: what is larger than one envelope, in parts (docs/crypto.md 3.3).

part = [7, object_id, i, n, bytes <= 24,576]      object_id = H(obj, content)
"""

from __future__ import annotations

from node.crypto.labels import Label
from node.crypto.primitives import digest
from node.errors import CryptoFault, DecodeError
from node.wire import codec

PART_BYTES = 24_576
MAX_PARTS = 64
MAX_REASSEMBLY = 4 * 1024 * 1024
"""Bytes in reassembly a channel; over it the oldest unfinished Object is forgotten."""
MAX_UNFINISHED = 64
"""Objects in reassembly a channel: parts can be one byte long, and each Object costs memory of its own."""
INNER_MOST = 32 * 1024 - 64
"""What surely fits one envelope with its padding."""

_SHAPE = codec.array(
    codec.literal(7), codec.blob(32), codec.uint(8), codec.uint(8), codec.blob_upto(PART_BYTES, least=1)
)


def split(content: bytes) -> list[bytes]:
    """Return the inners that carry `content`, at most 64 parts."""
    object_id = digest(Label.OBJ, content)
    chunks = [content[at : at + PART_BYTES] for at in range(0, len(content), PART_BYTES)]
    assert 0 < len(chunks) <= MAX_PARTS
    return [codec.pack([7, object_id, i, len(chunks), chunk]) for i, chunk in enumerate(chunks)]


def object_of(inner: bytes) -> bytes:
    """Return the id of the Object that a part belongs to; raises DecodeError."""
    return bytes(codec.decode(inner, _SHAPE)[1])


class Assembly:
    """Objects of one channel that are still incomplete."""

    def __init__(self) -> None:
        self._parts: dict[bytes, dict[int, bytes]] = {}
        self._counts: dict[bytes, int] = {}
        self.size = 0
        """Bytes of all parts here."""

    def take(self, inner: bytes) -> bytes | None:
        """Take one part; return the content when it is the last one missing.

        Raises:
            DecodeError: If the part is malformed or contradicts its Object.
            CryptoFault: If the parts do not hash to the Object's id.
        """
        _, object_id, index, count, chunk = codec.decode(inner, _SHAPE)
        if not 0 < count <= MAX_PARTS or index >= count or self._counts.get(object_id, count) != count:
            raise DecodeError("part does not fit its Object")
        parts = self._parts.setdefault(object_id, {})
        self._counts[object_id] = count
        self.size += len(chunk) - len(parts.get(index, b""))
        parts[index] = chunk
        if len(parts) < count:
            self._bound()
            return None
        content = b"".join(parts[i] for i in range(count))
        self.forget(object_id)
        if digest(Label.OBJ, content) != object_id:
            raise CryptoFault("Object does not match its id")
        return content

    def _bound(self) -> None:
        while self.size > MAX_REASSEMBLY or len(self._parts) > MAX_UNFINISHED:
            self.forget(next(iter(self._parts)))

    def forget(self, object_id: bytes) -> None:
        """Let the parts of an Object go that nobody waits for any more."""
        self.size -= sum(len(chunk) for chunk in self._parts.pop(object_id, {}).values())
        self._counts.pop(object_id, None)
