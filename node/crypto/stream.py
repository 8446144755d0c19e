"""A long content sealed in chunks, so that nobody has to hold it whole: backups, and what is as large.

    stream = header24 || commitment32 || chunk...        chunk = u32 length || secretstream push

libsodium's secretstream_xchacha20poly1305 keeps the chunks in order and marks the last one with TAG_FINAL;
that one holds `[1, chunks, bytes, hash]` of all before it, and nothing may follow it. The cipher alone could
be made to open under two keys, so the key it gets and the commitment come of one KDF (docs/crypto.md 3.11).
What a reader is given before the end is not known to be whole: nothing may be done with it that cannot be
undone.
"""

from __future__ import annotations

from collections.abc import Iterator

from node.crypto import primitives
from node.crypto.labels import Label
from node.crypto.primitives import KEY_BYTES, Entropy
from node.errors import CryptoFault, DecodeError
from node.wire import codec

CHUNK_BYTES = 64 * 1024
"""Content of one chunk at most: what a reader has to hold."""
HEADER_BYTES = 24
HEAD_BYTES = HEADER_BYTES + KEY_BYTES
_LENGTH_BYTES = 4
_LONGEST = CHUNK_BYTES + primitives.STREAM_OVERHEAD
_TRAILER = codec.array(codec.literal(1), codec.uint(63), codec.uint(63), codec.blob(32))


def _keys(key: bytes, header: bytes, context: bytes) -> tuple[bytes, bytes]:
    both = primitives.kdf(Label.FILEKEY, key, header + context, 2 * KEY_BYTES)
    return both[:KEY_BYTES], both[KEY_BYTES:]


class _Count:
    """How much went by, and its hash: what the last chunk says of all others."""

    def __init__(self) -> None:
        self.chunks = self.size = 0
        self._hash = primitives.LongDigest(Label.FILE)

    def add(self, piece: bytes) -> None:
        self.chunks += 1
        self.size += len(piece)
        self._hash.add(piece)

    def value(self) -> bytes:
        return self._hash.value()

    def trailer(self) -> bytes:
        return codec.pack([1, self.chunks, self.size, self._hash.value()])


class Sealer:
    """Seals one content: write `head`, then what `add` returns, then what `finish` returns.

    `key` is 32 bytes, `context` what the reader must know too (it is not written). No key and header twice.
    """

    def __init__(self, key: bytes, context: bytes, entropy: Entropy) -> None:
        header = entropy(HEADER_BYTES)
        stream_key, commitment = _keys(key, header, context)
        self.head = header + commitment
        self._push = primitives.StreamSeal(stream_key, header)
        self._count = _Count()

    @property
    def size(self) -> int:
        """Bytes of content so far."""
        return self._count.size

    @property
    def chunks(self) -> int:
        """Pieces so far."""
        return self._count.chunks

    @property
    def hash(self) -> bytes:
        """The hash of the content so far."""
        return self._count.value()

    def add(self, piece: bytes) -> bytes:
        """Seal the next piece of the content, 1 to CHUNK_BYTES."""
        assert 0 < len(piece) <= CHUNK_BYTES
        self._count.add(piece)
        return _framed(self._push.seal(piece, last=False))

    def finish(self) -> bytes:
        """Seal the end; nothing can be added after it."""
        return _framed(self._push.seal(self._count.trailer(), last=True))


def _framed(sealed: bytes) -> bytes:
    return len(sealed).to_bytes(_LENGTH_BYTES, "big") + sealed


class Opener:
    """Opens what a Sealer made: `feed` the bytes after the head as they come, and `close` at their end."""

    def __init__(self, key: bytes, context: bytes, head: bytes) -> None:
        """Take the head; raises CryptoFault if it was not made with this key and context."""
        if len(head) != HEAD_BYTES:
            raise DecodeError("a stream that ends in its head")
        header, commitment = head[:HEADER_BYTES], head[HEADER_BYTES:]
        stream_key, expected = _keys(key, header, context)
        if not primitives.same(commitment, expected):
            raise CryptoFault("a stream under another key")
        self._pull = primitives.StreamOpen(stream_key, header)
        self._count = _Count()
        self._waiting = bytearray()
        self._ended = False

    @property
    def size(self) -> int:
        """Bytes of content given out so far."""
        return self._count.size

    @property
    def chunks(self) -> int:
        """Pieces given out so far."""
        return self._count.chunks

    @property
    def hash(self) -> bytes:
        """The hash of the content given out so far."""
        return self._count.value()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give out the pieces that are whole now; raises PeerFault, and then nothing of it is to be used."""
        self._waiting += data
        while self._waiting:
            if self._ended:
                raise CryptoFault("something follows the end of a stream")
            length = int.from_bytes(self._waiting[:_LENGTH_BYTES], "big")
            if len(self._waiting) < _LENGTH_BYTES:
                return
            if not primitives.STREAM_OVERHEAD <= length <= _LONGEST:
                raise DecodeError("a chunk of an impossible length")
            end = _LENGTH_BYTES + length
            if len(self._waiting) < end:
                return
            sealed = bytes(self._waiting[_LENGTH_BYTES:end])
            del self._waiting[:end]
            piece = self._open(sealed)
            if piece is not None:
                yield piece

    def _open(self, sealed: bytes) -> bytes | None:
        piece, last = self._pull.open(sealed)
        if not last:
            if not piece:
                raise DecodeError("an empty chunk")
            self._count.add(piece)
            return piece
        codec.decode(piece, _TRAILER)
        if not primitives.same(piece, self._count.trailer()):
            raise CryptoFault("a stream that does not say what it holds")
        self._ended = True
        return None

    def close(self) -> None:
        """Say that no more bytes come; raises CryptoFault if the end has not."""
        if not self._ended or self._waiting:
            raise CryptoFault("a stream that was cut off")
