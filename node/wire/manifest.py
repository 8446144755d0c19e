"""What a message says of its attachment: enough to find it, to know it when it comes, and to open it.

    manifest = [1, name, type, size, chunks, hash, k, channel, sealed, block, [object_id, ...]]

    manifest = [2, the same ..., [node_record, ...], [address, ...]]

The second form, of what is too large for gossip, says who has it: node records, and addresses of relays.
It travels inside the message, so it is signed and sealed as its text is (docs/crypto.md 3.14). `size`,
`chunks` and `hash` are of the content, `sealed` is the length of the stream that travels and is stored; that
one is cut into blocks of `block` bytes, each an Object of its own name. `name` and `type` are a sender's
words: data, never a path and never believed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from node.errors import DecodeError
from node.wire import codec
from node.wire.codec import array, blob, blob_upto, literal, many, string, uint

PART_BYTES = 24_576
"""What one envelope carries of an Object."""
CHUNK_BYTES = 64 * 1024
"""Content of one sealed chunk: all but the last are full."""
MAX_SIZE = 64 * 1024 * 1024
"""Bytes of content."""
MAX_BLOCKS = 64
"""Names of blocks that a manifest has: 2 KiB."""
MAX_MORE = 64 * 1024
"""What the sealed stream has more than the content: 21 bytes a chunk, and its head and end."""
MAX_SEALED = MAX_SIZE + MAX_MORE
MAX_GOSSIPED = 1024 * 1024
"""Content that travels by gossip; its blocks are single parts."""
MAX_FILE_NAME_BYTES = 255
MAX_TYPE_BYTES = 127
MAX_BYTES = 4 * 1024
MAX_HOLDERS = 2
"""Node records: who sends it, and who wrote it."""
MAX_RELAYS = 4
MAX_RECORD_BYTES = 1_536
MAX_ADDRESS_BYTES = 255

_FIELDS = (
    string(MAX_FILE_NAME_BYTES, least=1),
    string(MAX_TYPE_BYTES, least=1),
    uint(32),
    uint(32),
    blob(32),
    blob(32),
    blob(32),
    uint(32),
    uint(32),
    many(blob(32), MAX_BLOCKS, least=1),
)
_SHAPE = array(literal(1), *_FIELDS)
_LARGE = array(
    literal(2),
    *_FIELDS,
    many(blob_upto(MAX_RECORD_BYTES, least=1), MAX_HOLDERS),
    many(string(MAX_ADDRESS_BYTES, least=1), MAX_RELAYS),
)


def block_bytes(sealed: int) -> int:
    """Return how long the blocks of a stream are: so many whole parts that there are at most MAX_BLOCKS."""
    parts = -(-sealed // PART_BYTES)
    return PART_BYTES * -(-parts // MAX_BLOCKS)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One attachment as a message names it; `key` opens it, `channel` is where its parts are posted.

    `holders` are node records, unchecked, of those who have it; `relays` addresses where they may leave it.
    """

    name: str
    type: str
    size: int
    chunks: int
    hash: bytes
    key: bytes = field(repr=False)
    channel: bytes = field(repr=False)
    sealed: int
    blocks: tuple[bytes, ...]
    holders: tuple[bytes, ...] = field(default=(), repr=False)
    relays: tuple[str, ...] = ()

    def held_by(self, records: tuple[bytes, ...], relays: tuple[str, ...]) -> Manifest:
        """Return it with who has it, as far as that fits; what travels by gossip needs no such thing."""
        if self.gossiped:
            return self
        told = replace(self, holders=records[:MAX_HOLDERS], relays=relays[:MAX_RELAYS])
        while len(told.encode()) > MAX_BYTES and (told.relays or told.holders):
            shorter = {"relays": told.relays[:-1]} if told.relays else {"holders": told.holders[:-1]}
            told = replace(told, **shorter)
        return told

    def named_again(self, newer: Manifest) -> Manifest:
        """Return it with who has it by another message as well, of the same attachment.

        What was said first may be out of date; and nobody who names it once more can have it forgotten.
        """
        holders = dict.fromkeys((*self.holders[:1], *newer.holders, *self.holders[1:]))
        relays = dict.fromkeys((*self.relays[:2], *newer.relays, *self.relays[2:]))
        return self.held_by(tuple(holders), tuple(relays))

    @property
    def block(self) -> int:
        """Bytes of each block but the last."""
        return block_bytes(self.sealed)

    @property
    def gossiped(self) -> bool:
        """Say whether it travels by gossip: it is small, and every block is one part."""
        return self.size <= MAX_GOSSIPED and self.block == PART_BYTES

    def span(self, index: int) -> tuple[int, int]:
        """Return (offset, length) of a block in the stream."""
        start = index * self.block
        return start, min(self.block, self.sealed - start)

    def encode(self) -> bytes:
        """Return the canonical bytes that stand in a message."""
        if self.holders or self.relays:
            holders = [list(self.holders), list(self.relays)]
            return codec.pack([2, self.name, self.type, *self._core(), *holders])
        return codec.pack([1, self.name, self.type, *self._core()])

    def core(self) -> bytes:
        """Return what makes it this attachment, whatever a message calls it: what its id is made of."""
        return codec.pack(self._core())

    def _core(self) -> list[codec.Value]:
        told: list[codec.Value] = [
            self.size,
            self.chunks,
            self.hash,
            self.key,
            self.channel,
            self.sealed,
            self.block,
        ]
        return [*told, list(self.blocks)]


def parse(raw: bytes) -> Manifest:
    """Read a manifest; raises DecodeError if it is malformed or its numbers do not belong together."""
    _, name, kind, size, chunks, digest, key, channel, sealed, block, blocks, *more = codec.decode(
        raw, lambda value: _SHAPE(value) or _LARGE(value), max_bytes=MAX_BYTES
    )
    holders, relays = more or ((), ())
    found = Manifest(
        name, kind, size, chunks, digest, key, channel, sealed, tuple(blocks), tuple(holders), tuple(relays)
    )
    if more and (found.gossiped or not (holders or relays)):
        raise DecodeError("an attachment of the second form that needs none")
    fits = size <= MAX_SIZE and size < sealed <= size + MAX_MORE and chunks == -(-size // CHUNK_BYTES)
    if not fits or block != found.block or len(blocks) != -(-sealed // block):
        raise DecodeError("an attachment whose numbers contradict each other")
    return found
