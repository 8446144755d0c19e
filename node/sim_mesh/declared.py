"""Cryptography by declaration, and the count of what passes the links.

Ten thousand nodes cannot spend a processor's time on secrets that nobody is after. Declared handshakes and
boxes have the sizes of the real ones (docs/protocol.md section 3), so that every byte count stays true, and
carry keys and frames in the clear. `Watched` counts the frames of either kind before they are sealed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from node.crypto.handshake import TAG_BYTES, Handshake, LinkKeys
from node.crypto.primitives import KEY_BYTES, Entropy
from node.crypto.securing import Opening, Sealing, Secure, Securing
from node.errors import DecodeError
from node.wire.frame_bytes import decode, encode
from node.wire.frames import Batch, Days, Number, Unknown

_SIZES = (32, 192, 160)
"""Bytes of the three messages without a network secret."""
_TAG = bytes(TAG_BYTES)
_SIGNATURE = slice(6 + 43, 6 + 43 + 16)
"""Where a PUSH has the first bytes of the envelope's signature: they tell envelopes apart without a hash."""
_IGNORED = encode(Unknown(255))
_PUSH, _BATCH, _GRAFT = int(Number.PUSH), int(Number.BATCH), int(Number.GRAFT)
_ID_BYTES = {int(Number.IHAVE): 20, int(Number.WANT): 18}
"""Bytes of one entry in these frames; before the first are 3, or 5 from 16 entries on."""
_GRAFT_BYTES = 20
"""A GRAFT that names an envelope."""

Received: TypeAlias = Callable[[bytes], None]
"""Told the first 16 bytes of the signature of each envelope that came to a node, new or not."""


class Tally:
    """Frames and ids that were sent, by the frame's number."""

    def __init__(self) -> None:
        self.frames = [0] * 256
        self.ids = 0

    def clear(self) -> None:
        """Count from zero again."""
        self.frames = [0] * 256
        self.ids = 0

    def count(self, frame: bytes) -> None:
        """Count one frame."""
        number = frame[1]
        self.frames[number] += 1
        if number in _ID_BYTES:
            self.ids += (len(frame) - 3) // _ID_BYTES[number]
        elif number == _GRAFT:
            self.ids += len(frame) >= _GRAFT_BYTES


class _Declared:
    """A box that adds its 16 bytes and hides nothing."""

    __slots__ = ()

    def seal(self, plain: bytes) -> bytes:
        return plain + _TAG

    def open(self, boxed: bytes) -> bytes:
        return boxed[:-TAG_BYTES]


_DECLARED = _Declared()


class DeclaredHandshake:
    """Three messages of the real sizes, which name a node key and prove nothing."""

    __slots__ = ("_initiator", "_key", "_step", "peer")

    def __init__(self, keys: LinkKeys, *, initiator: bool, entropy: Entropy) -> None:
        entropy(KEY_BYTES)  # what the real one draws, so that both leave the same behind
        self._key, self._initiator, self._step = keys.node_pub, initiator, 0
        self.peer: bytes | None = None

    @property
    def done(self) -> bool:
        """Whether all three messages have passed."""
        return self._step == len(_SIZES)

    @property
    def writes_next(self) -> bool:
        """Whether the next message is ours."""
        return not self.done and (self._step % 2 == 0) == self._initiator

    def write(self) -> bytes:
        """Return our next message."""
        size, self._step = _SIZES[self._step], self._step + 1
        return self._key.ljust(size, b"\0")

    def read(self, message: bytes) -> None:
        """Take the peer's next message; raises DecodeError if it is of another size."""
        if len(message) != _SIZES[self._step]:
            raise DecodeError("a handshake message of another size")
        if self._step:
            self.peer = message[:KEY_BYTES]
        self._step += 1

    def split(self) -> tuple[Sealing, Opening]:
        """Return two boxes that hide nothing."""
        return _DECLARED, _DECLARED


class _Sent:
    """What leaves on a link, counted; a sybil's is emptied of what honest nodes are waiting for."""

    __slots__ = ("_box", "_drops", "_tally")

    def __init__(self, box: Sealing, tally: Tally, *, drops: bool) -> None:
        self._box, self._tally, self._drops = box, tally, drops

    def seal(self, plain: bytes) -> bytes:
        if self._drops:
            plain = emptied(plain)
        self._tally.count(plain)
        return self._box.seal(plain)


class _Heard:
    """What arrives on a link of an honest node: the envelopes are told one by one."""

    __slots__ = ("_box", "_received")

    def __init__(self, box: Opening, received: Received) -> None:
        self._box, self._received = box, received

    def open(self, boxed: bytes) -> bytes:
        plain = self._box.open(boxed)
        if plain[1] == _PUSH:
            self._received(plain[_SIGNATURE])
        elif plain[1] == _BATCH:
            frame = decode(plain)
            for raw in frame.envelopes if isinstance(frame, Batch) else ():
                self._received(raw[43:59])
        return plain


class Watched:
    """Begins handshakes whose links are counted; `drops` makes a sybil of the node."""

    def __init__(self, tally: Tally, received: Received | None, *, real: bool, drops: bool) -> None:
        self.tally, self.received, self.drops = tally, received, drops
        self.begin: Secure = Handshake if real else DeclaredHandshake

    def __call__(self, keys: LinkKeys, *, initiator: bool, entropy: Entropy) -> Securing:
        """Begin a handshake."""
        return _WatchedHandshake(self, self.begin(keys, initiator=initiator, entropy=entropy))


class _WatchedHandshake:
    """A handshake at whose end the boxes are put into counting ones."""

    __slots__ = ("_inner", "_of")

    def __init__(self, of: Watched, inner: Securing) -> None:
        self._of, self._inner = of, inner

    @property
    def peer(self) -> bytes | None:
        return self._inner.peer

    @property
    def done(self) -> bool:
        return self._inner.done

    @property
    def writes_next(self) -> bool:
        return self._inner.writes_next

    def write(self) -> bytes:
        return self._inner.write()

    def read(self, message: bytes) -> None:
        self._inner.read(message)

    def split(self) -> tuple[Sealing, Opening]:
        out, into = self._inner.split()
        sent = _Sent(out, self._of.tally, drops=self._of.drops)
        return sent, into if self._of.received is None else _Heard(into, self._of.received)


def emptied(frame: bytes) -> bytes:
    """Return what a sybil that takes and never passes on sends in place of a frame.

    It neither pushes nor announces, passes no beacon on, and says in a sync that it has nothing, so that
    nobody waits for it.
    """
    number = frame[1]
    if number in (Number.PUSH, Number.IHAVE, Number.BEACON):
        return _IGNORED
    if number == Number.DAYS:
        days = decode(frame)
        assert isinstance(days, Days)
        return encode(Days(days.session, ()))
    return frame
