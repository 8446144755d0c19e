"""An attachment: one sealed stream, cut into Objects, named by what its manifest says (docs/crypto.md 3.14).

Nobody without the manifest can tell that a stream is an attachment, find its parts, or open it; whoever has
it can post on its channel, so a part counts only if it hashes to what the manifest, signed in the message,
says of it. The stream's own end says once more how many chunks there are, how long they are, and their hash.
"""

from __future__ import annotations

from collections.abc import Iterator

from node import ids
from node.crypto.channel import Channel, ChannelKind
from node.crypto.labels import Label
from node.crypto.primitives import Entropy, LongDigest, digest
from node.crypto.stream import CHUNK_BYTES, HEAD_BYTES, Opener, Sealer
from node.errors import CryptoFault, DecodeError
from node.wire import codec, manifest as manifests
from node.wire.manifest import PART_BYTES, Manifest

CONTEXT = b"attachment"
"""Keeps these streams apart from every other kind."""
READ_BYTES = 256 * 1024
"""Read from a stored stream at a time."""

_PART = codec.array(
    codec.literal(7), codec.blob(32), codec.uint(8), codec.uint(8), codec.blob_upto(PART_BYTES, least=1)
)

assert manifests.CHUNK_BYTES == CHUNK_BYTES


def object_of(manifest: Manifest) -> bytes:
    """Return the 32 bytes that name an attachment: its file here, its parts on their channel."""
    return digest(Label.OBJ, manifest.core())


def id_of(manifest: Manifest) -> bytes:
    """Return the 16 bytes by which frontends know an attachment: a UUIDv8."""
    return ids.uuid8(object_of(manifest))


def channel_of(manifest: Manifest) -> Channel:
    """Return the channel on which its parts are posted."""
    return Channel(ChannelKind.ATTACHMENT, manifest.channel)


class AttachmentSealer:
    """Seals a content that comes in pieces of any length; `add` and `finish` return what to store."""

    def __init__(self, entropy: Entropy) -> None:
        self._key, self._channel = entropy(32), entropy(32)
        self._sealer = Sealer(self._key, CONTEXT, entropy)
        self._waiting = bytearray(b"")
        self._head = self._sealer.head
        self.sealed = 0

    def add(self, piece: bytes) -> bytes:
        """Take the next piece; return the sealed bytes that are ready."""
        self._waiting += piece
        out, self._head = bytearray(self._head), b""
        while len(self._waiting) >= CHUNK_BYTES:
            out += self._sealer.add(bytes(self._waiting[:CHUNK_BYTES]))
            del self._waiting[:CHUNK_BYTES]
        self.sealed += len(out)
        return bytes(out)

    def finish(self) -> bytes:
        """Return the rest of the stream."""
        out, self._head = bytearray(self._head), b""
        if self._waiting:
            out += self._sealer.add(bytes(self._waiting))
            self._waiting.clear()
        out += self._sealer.finish()
        self.sealed += len(out)
        return bytes(out)

    def manifest(self, name: str, kind: str, blocks: tuple[bytes, ...]) -> Manifest:
        """Return the manifest, once the stream is finished; `blocks` are the names of its blocks."""
        said = self._sealer
        return Manifest(
            name,
            kind,
            said.size,
            said.chunks,
            said.hash,
            key=self._key,
            channel=self._channel,
            sealed=self.sealed,
            blocks=blocks,
        )


def block_names(sealed: int, pieces: Iterator[bytes]) -> tuple[bytes, ...]:
    """Return the names of the blocks of a stream of `sealed` bytes that comes in pieces of any length."""
    block, names = manifests.block_bytes(sealed), list[bytes]()
    count, left = LongDigest(Label.OBJ), block
    for piece in pieces:
        at = 0
        while at < len(piece):
            taken = piece[at : at + left]
            count.add(taken)
            at, left = at + len(taken), left - len(taken)
            if not left:
                names.append(count.value())
                count, left = LongDigest(Label.OBJ), block
    if left < block:
        names.append(count.value())
    return tuple(names)


def bid_of(name: bytes, size: int) -> bytes:
    """Return the name by which a block is asked of peers: of its name in the manifest and its length.

    With the length in it, whoever sends something else under it has lied, whatever a manifest claims.
    """
    return digest(Label.OBJ, codec.pack([name, size]))


def bid(block: bytes) -> bytes:
    """Return the name by which a block is asked of peers."""
    return bid_of(digest(Label.OBJ, block), len(block))


def bids(manifest: Manifest) -> tuple[bytes, ...]:
    """Return those names of all blocks of an attachment, in their order."""
    return tuple(bid_of(name, manifest.span(index)[1]) for index, name in enumerate(manifest.blocks))


def part(manifest: Manifest, index: int, data: bytes) -> bytes:
    """Return the inner that carries one block of a gossiped attachment."""
    return codec.pack([7, object_of(manifest), index, len(manifest.blocks), data])


def read_part(manifest: Manifest, inner: bytes) -> tuple[int, bytes]:
    """Return (index, bytes) of a part that came on the attachment's channel.

    Raises:
        PeerFault: If it is malformed, of another Object, or not what the manifest says of it.
    """
    _, name, index, count, data = codec.decode(inner, _PART)
    if name != object_of(manifest) or count != len(manifest.blocks) or index >= count:
        raise DecodeError("a part of something else")
    check_block(manifest, index, data)
    return index, data


def check_block(manifest: Manifest, index: int, data: bytes) -> None:
    """Raise CryptoFault unless these are the bytes of a block."""
    if len(data) != manifest.span(index)[1] or digest(Label.OBJ, data) != manifest.blocks[index]:
        raise CryptoFault("a block that is not what the manifest says")


def opened(manifest: Manifest, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Give out the content of a stream piece by piece.

    Raises:
        PeerFault: At the piece that does not open, or at the end if the whole is not what the manifest says;
            what was given out before is then part of nothing.
    """
    head, rest = b"", b""
    opener: Opener | None = None
    for piece in pieces:
        rest = piece
        if opener is None:
            head += piece
            if len(head) < HEAD_BYTES:
                continue
            opener, rest = Opener(manifest.key, CONTEXT, head[:HEAD_BYTES]), head[HEAD_BYTES:]
        yield from opener.feed(rest)
    if opener is None:
        raise DecodeError("a stream that ends in its head")
    opener.close()
    if (opener.size, opener.chunks, opener.hash) != (manifest.size, manifest.chunks, manifest.hash):
        raise CryptoFault("an attachment that is not what its manifest says")
