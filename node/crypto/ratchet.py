"""Decides which key seals and opens each direct message: a double ratchet (docs/crypto.md 3.5).

    KDF_RK(RK, dh) = KDF(root, RK, dh || dir, 64)          dir u8 = 0 from initiator to responder, 1 back
    CK' || seed    = KDF(chain, CK, 0x01, 64)
    hdr   = [1, kind, dh_pub, pn, n]
    mk    = KDF(mk, seed, H(hdr, T || dir || hdr), 32)     kc = KDF(kc, mk, "", 32)
    inner = [3, hdr, kc, nonce24, secretbox(payload, nonce24, mk)]

The Double Ratchet of Perrin and Marlinspike without header encryption: the channel's own key hides the
header. A changed header, session or direction changes the key, so a message sent back to its author opens
nothing. A fault leaves the caller holding the state it had.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from node.crypto import chain as chains
from node.crypto.chain import AlreadyConsumed, RecvChain, Skipped
from node.crypto.labels import Label
from node.crypto.primitives import (
    BOX_OVERHEAD,
    KEY_BYTES,
    NONCE_BYTES,
    box_open,
    box_seal,
    dh,
    digest,
    kdf,
    same,
    x25519_public,
)
from node.errors import CryptoFault, DecodeError
from node.wire import codec
from node.wire.codec import array, blob, blob_upto, literal, uint

__all__ = [
    "AlreadyConsumed",
    "Ratchet",
    "decrypt",
    "encrypt",
    "sort_key",
    "start_initiator",
    "start_responder",
]

TYPE = 3
"""First field of the inner structure."""
KIND = 1
"""The only kind of header there is."""
MAX_BYTES = 32 * 1024
"""The largest bucket of an envelope."""
MAX_HEADER_BYTES = 64
"""A key of 32 bytes and four numbers take at most 47."""
MAX_OLD_SKIPPED = 2_000
"""Seeds kept for all finished chains together, beside those of the current one: 64 KB a session."""
MAX_PAST = 32
"""Finished chains recognised by name; a replay from further back is refused by its commitment alone."""

_PAST_BYTES = 8
_HEADER = array(literal(1), literal(KIND), blob(KEY_BYTES), uint(32), uint(32))
_INNER = array(
    literal(TYPE),
    blob_upto(MAX_HEADER_BYTES, least=1),
    blob(KEY_BYTES),
    blob(NONCE_BYTES),
    blob_upto(MAX_BYTES, least=BOX_OVERHEAD),
)


@dataclass(frozen=True, slots=True)
class OldChain:
    """A finished chain of the peer that messages are still missing of, under its 32-byte `peer` key."""

    peer: bytes
    skipped: tuple[Skipped, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ratchet:
    """One side of a session; about 450 bytes when stored and nothing is skipped.

    `transcript` is T (64 bytes); keys are 32 bytes. `send_key` is empty until the responder has received
    something, `recv` None until this side has. `sent` counts our chain's messages, `previous` the last one's.
    """

    initiator: bool
    transcript: bytes = field(repr=False)
    root: bytes = field(repr=False)
    dh_secret: bytes = field(repr=False)
    dh_public: bytes
    peer: bytes = b""
    send_key: bytes = field(default=b"", repr=False)
    sent: int = 0
    previous: int = 0
    recv: RecvChain | None = field(default=None, repr=False)
    old: tuple[OldChain, ...] = field(default=(), repr=False)
    past: bytes = field(default=b"", repr=False)

    @property
    def session16(self) -> bytes:
        """The session's name: the first 16 bytes of its transcript."""
        return self.transcript[:16]

    @property
    def can_send(self) -> bool:
        """Whether there is a chain to send on: always, but for a responder before the first message."""
        return bool(self.send_key)

    @property
    def skipped_count(self) -> int:
        """Seeds kept for messages that have not come."""
        recent = 0 if self.recv is None else self.recv.skipped_count
        return recent + sum(chains.count(entry.skipped) for entry in self.old)


@dataclass(frozen=True, slots=True)
class _Message:
    header: bytes
    peer: bytes
    previous: int
    index: int
    kc: bytes
    nonce: bytes
    box: bytes


def start_initiator(
    rk0: bytes, transcript: bytes, peer_spk_pub: bytes, entropy: Callable[[int], bytes]
) -> Ratchet:
    """Return the state of the side that answers a request first and so sends first.

    Raises:
        CryptoFault: If the peer's prekey is not a usable point.
    """
    secret = entropy(KEY_BYTES)
    root, send_key = _root_step(rk0, dh(secret, peer_spk_pub), 0)
    return Ratchet(True, transcript, root, secret, x25519_public(secret), peer_spk_pub, send_key)


def start_responder(rk0: bytes, transcript: bytes, spk_secret: bytes) -> Ratchet:
    """Return the state of the side whose signed prekey was used; it can send after its first `decrypt`."""
    return Ratchet(False, transcript, rk0, spk_secret, x25519_public(spk_secret))


def encrypt(state: Ratchet, payload: bytes, entropy: Callable[[int], bytes]) -> tuple[Ratchet, bytes]:
    """Return (the state after this message, its inner bytes); the state is stored before they leave."""
    assert state.can_send, "nothing was received yet"
    header = codec.pack([1, KIND, state.dh_public, state.previous, state.sent])
    key, seed = chains.step(Label.CHAIN, state.send_key)
    mk = _message_key(state, seed, header, 0 if state.initiator else 1)
    nonce = entropy(NONCE_BYTES)
    box = box_seal(payload, nonce, mk)
    inner = codec.pack([TYPE, header, kdf(Label.KC, mk, b"", 32), nonce, box])
    return replace(state, send_key=key, sent=state.sent + 1), inner


def decrypt(
    state: Ratchet, inner: bytes, *, day: int, entropy: Callable[[int], bytes]
) -> tuple[Ratchet, bytes]:
    """Return (the state after this message, its payload). `day` dates skipped seeds.

    Raises:
        AlreadyConsumed: It was opened or given up before.
        CryptoFault: It is our own, jumps more than 25,000, or does not open.
        DecodeError: It is malformed.
    """
    msg = _parse(inner)
    if same(msg.peer, state.dh_public):
        raise CryptoFault("own message came back")
    if msg.peer == state.peer and state.recv is not None:
        recv, seed = chains.seek(Label.CHAIN, state.recv, msg.index, day=day)
        payload = _open(state, msg, seed)
        return replace(state, recv=recv, old=_expire(state.old, day)), payload
    for at, entry in enumerate(state.old):
        if entry.peer == msg.peer:
            return _open_old(state, at, msg, day)
    if msg.peer[:_PAST_BYTES] in _past(state):
        raise AlreadyConsumed("chain was finished before")
    return _turn(state, msg, day, entropy)


def sort_key(inner: bytes) -> tuple[bytes, int]:
    """Return what a catch-up batch is sorted by, (ratchet key, n); malformed messages come last."""
    try:
        msg = _parse(inner)
    except DecodeError:
        return b"\xff" * (KEY_BYTES + 1), 0
    return msg.peer, msg.index


def ahead(state: Ratchet, inner: bytes) -> int:
    """Return how many messages `inner` is ahead of the newest received in its chain; raises DecodeError."""
    msg = _parse(inner)
    if state.recv is None or msg.peer != state.peer:
        return msg.index
    return msg.index - state.recv.next_index


def position(inner: bytes) -> tuple[bytes, int]:
    """Return (ratchet key, n) of a message: its place in its session; raises DecodeError."""
    msg = _parse(inner)
    return msg.peer, msg.index


def sent_here(state: Ratchet, inner: bytes) -> bool:
    """Say whether a message is one that this very state has sent; raises DecodeError."""
    msg = _parse(inner)
    return same(msg.peer, state.dh_public) and msg.index < state.sent


def missing(state: Ratchet) -> tuple[tuple[bytes, int, int], ...]:
    """Return the places jumped over and not come, as (ratchet key, first, end), the oldest first."""
    chains_ = [(entry.peer, entry.skipped) for entry in state.old]
    if state.recv is not None:
        chains_.append((state.peer, state.recv.skipped))
    return tuple((peer, run.first, run.end) for peer, runs in chains_ for run in runs)


def _parse(inner: bytes) -> _Message:
    _, header, kc, nonce, box = codec.decode(inner, _INNER, max_bytes=MAX_BYTES)
    _, _, peer, previous, index = codec.decode(header, _HEADER, max_bytes=MAX_HEADER_BYTES)
    return _Message(header, peer, previous, index, kc, nonce, box)


def _open_old(state: Ratchet, at: int, msg: _Message, day: int) -> tuple[Ratchet, bytes]:
    entry = state.old[at]
    rest, seed = chains.take(chains.expire(entry.skipped, day), msg.index)
    payload = _open(state, msg, seed)
    old = (*state.old[:at], OldChain(entry.peer, rest), *state.old[at + 1 :])
    return replace(state, old=_expire(old, day)), payload


def _turn(state: Ratchet, msg: _Message, day: int, entropy: Callable[[int], bytes]) -> tuple[Ratchet, bytes]:
    """Take the peer's new ratchet key: open under the chain it begins, then begin our own next one."""
    received = 0 if state.recv is None else state.recv.next_index
    if msg.previous < received or msg.previous - received > chains.MAX_JUMP:
        raise CryptoFault("previous chain ends at an impossible index")
    if state.recv is None and msg.previous:
        raise CryptoFault("there was no previous chain")
    if msg.index > chains.MAX_JUMP:
        raise CryptoFault(f"index jumps more than {chains.MAX_JUMP}")
    ours = 0 if state.initiator else 1
    root, key = _root_step(state.root, dh(state.dh_secret, msg.peer), 1 - ours)
    recv, seed = chains.seek(Label.CHAIN, RecvChain(key), msg.index, day=day)
    payload = _open(state, msg, seed)
    secret = entropy(KEY_BYTES)
    root, send_key = _root_step(root, dh(secret, msg.peer), ours)
    turned = Ratchet(
        state.initiator,
        state.transcript,
        root,
        secret,
        x25519_public(secret),
        msg.peer,
        send_key,
        0,
        state.sent,
        recv,
        _finished(state, msg.previous, day),
        (state.past + state.peer[:_PAST_BYTES])[-MAX_PAST * _PAST_BYTES :],
    )
    return turned, payload


def _finished(state: Ratchet, end: int, day: int) -> tuple[OldChain, ...]:
    old = state.old
    if state.recv is not None:
        old = (*old, OldChain(state.peer, chains.close(Label.CHAIN, state.recv, end, day=day)))
    return _newest(_expire(old, day))


def _expire(old: tuple[OldChain, ...], day: int) -> tuple[OldChain, ...]:
    if not old:
        return old
    alive = (OldChain(entry.peer, chains.expire(entry.skipped, day)) for entry in old)
    return tuple(entry for entry in alive if entry.skipped)


def _newest(old: tuple[OldChain, ...]) -> tuple[OldChain, ...]:
    kept: list[OldChain] = []
    room = MAX_OLD_SKIPPED
    for entry in reversed(old):
        runs = chains.newest(entry.skipped, room)
        if runs:
            kept.append(OldChain(entry.peer, runs))
            room -= chains.count(runs)
    return tuple(reversed(kept))


def _past(state: Ratchet) -> set[bytes]:
    return {state.past[at : at + _PAST_BYTES] for at in range(0, len(state.past), _PAST_BYTES)}


def _open(state: Ratchet, msg: _Message, seed: bytes) -> bytes:
    mk = _message_key(state, seed, msg.header, 1 if state.initiator else 0)
    if not same(kdf(Label.KC, mk, b"", 32), msg.kc):
        raise CryptoFault("message key is not the one committed to")
    return box_open(msg.box, msg.nonce, mk)


def _root_step(root: bytes, shared: bytes, direction: int) -> tuple[bytes, bytes]:
    both = kdf(Label.ROOT, root, shared + bytes((direction,)), 64)
    return both[:32], both[32:]


def _message_key(state: Ratchet, seed: bytes, header: bytes, direction: int) -> bytes:
    bound = digest(Label.HDR, b"".join((state.transcript, bytes((direction,)), header)))
    return kdf(Label.MK, seed, bound, 32)
