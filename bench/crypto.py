"""The cryptography of a message, apart from storing it, beside the very calls to libsodium it is made of.

Each piece of work runs once under recording; the recorded calls, with their arguments, are the bare side. The
two sides are timed in turn, so that a busy machine slows both, and the medians are set beside each other.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from types import ModuleType
from typing import Any

from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from bench.people import DAY, NOW, Member, Room, member
from node.crypto import chain, channel, epoch, prekeys, primitives, ratchet, roommsg
from node.crypto.chain import RecvChain, SendChain
from node.crypto.channel import Channel, ChannelKind
from node.errors import PeerFault
from node.wire import envelope
from node.wire.payload import Payload, Type

BODY = 1024
ROUNDS = 21
ROUND_S = 0.004  # about as long as a round of either side takes
LARGE = 1_000
_HASHING = (primitives, chain, envelope)  # the modules that call hashlib themselves

Call = Callable[[], object]
Work = tuple[str, Call]
"""A piece of work, and what it is."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Medians in microseconds of a piece of work and of its bare calls; `calls` is how many those are."""

    what: str
    ours: float
    bare: float
    calls: int

    def line(self) -> str:
        """Return the measurement as a line of the report."""
        beside = f"{self.bare:>12,.1f} us bare, {self.calls:>4} calls" if self.calls else " " * 30
        ratio = f"   x {self.ours / self.bare:.2f}" if self.calls else ""
        return f"{self.what:<46}{self.ours:>10,.1f} us{beside}{ratio}"

    def row(self) -> dict[str, object]:
        """Return the measurement as data."""
        bare = self.bare if self.calls else None
        return {"what": self.what, "us": self.ours, "bare_us": bare, "bare_calls": self.calls}


def measure(large: int = LARGE, rounds: int = ROUNDS) -> Iterator[Beside]:
    """Measure everything in turn, rooms of two and `large`."""
    for what, work in _work(large):
        yield _beside(what, work, rounds)


def _work(large: int) -> Iterator[Work]:
    for size in (2, large):
        yield from _room(Room(size), size)
    yield from _epochs(Room(large), large)
    yield from _direct()
    yield from _first_contact()
    yield from _junk()


def _room(room: Room, size: int) -> Iterator[Work]:
    ch = Channel(ChannelKind.ROOM, room.new.epoch.channel_secret)
    author = room.members[0]
    key = room.new.epoch.chains[author.keys.device_id]
    text = _payload()

    def seal() -> bytes:
        _, inner = roommsg.seal(
            SendChain(key),
            kind=roommsg.Kind.MESSAGE,
            room_id=room.room_id,
            epoch16=room.new.epoch.epoch16,
            device_id=author.keys.device_id,
            view16=bytes(16),
            payload=text,
            dsk_sk=author.keys.dsk_sk,
            entropy=os.urandom,
        )
        return ch.seal(inner, ts_ms=NOW, ttl_days=35, entropy=os.urandom)

    raw = seal()

    def receive() -> bytes:
        env = envelope.parse(raw)
        ch.verify(env)
        msg = roommsg.parse(ch.open(env))
        roommsg.verify(msg, author.keys.dsk_pub)
        return roommsg.open_message(RecvChain(key), msg, day=DAY)[1]

    assert receive() == text
    yield f"room message of 1 KiB, {size:,} members: send", seal
    yield f"room message of 1 KiB, {size:,} members: receive", receive
    if size == 2:
        yield "relay: check an envelope of 1 KiB", lambda: _relay(raw)


def _relay(raw: bytes) -> None:
    channel.verify_envelope(envelope.parse(raw))


def _epochs(room: Room, large: int) -> Iterator[Work]:
    last = room.members[-1]

    def opened() -> epoch.EpochSecrets:
        announce, slots = epoch.parse_announce_inner(room.new.inner)
        epoch.verify_announce(announce, room.members[0].keys.dsk_pub)
        return epoch.open_epoch(
            announce,
            slots,
            device_id=last.keys.device_id,
            leaf_secrets={1: last.leaf_secret},
            device_ids=room.devices,
        )

    assert opened() == room.new.epoch
    yield f"rekey of {large:,}: make", room.rekey
    yield f"rekey of {large:,}: take in", opened


def _direct() -> Iterator[Work]:
    secret, transcript, text = os.urandom(32), os.urandom(64), _payload()
    ann = ratchet.start_initiator(bytes(32), transcript, primitives.x25519_public(secret), os.urandom)
    bob = ratchet.start_responder(bytes(32), transcript, secret)
    for _ in range(2):  # a message each way, so that neither side turns its ratchet any more
        ann, inner = ratchet.encrypt(ann, b"", os.urandom)
        bob, _plain = ratchet.decrypt(bob, inner, day=DAY, entropy=os.urandom)
        bob, inner = ratchet.encrypt(bob, b"", os.urandom)
        ann, _plain = ratchet.decrypt(ann, inner, day=DAY, entropy=os.urandom)
    ann, inner = ratchet.encrypt(ann, b"", os.urandom)
    bob, _plain = ratchet.decrypt(bob, inner, day=DAY, entropy=os.urandom)
    ch = channel.dm_channel(bytes(32), transcript)

    def seal() -> bytes:
        inner = ratchet.encrypt(ann, text, os.urandom)[1]
        return ch.seal(inner, ts_ms=NOW, ttl_days=35, entropy=os.urandom)

    raw = seal()

    def receive() -> bytes:
        env = envelope.parse(raw)
        ch.verify(env)
        return ratchet.decrypt(bob, ch.open(env), day=DAY, entropy=os.urandom)[1]

    assert receive() == text
    yield "direct message of 1 KiB: send", seal
    yield "direct message of 1 KiB: receive", receive


def _first_contact() -> Iterator[Work]:
    ann, bob = member(1), member(2)
    ask = partial(_ask, ann, bob)
    asked = ask()
    answer = partial(_answer, bob, asked)
    answered = answer()
    yield "first contact: ask", ask
    yield "first contact: read the question and answer", answer
    yield "first contact: read the answer", lambda: _read_answer(ann, answered)


def _ask(ann: Member, bob: Member) -> bytes:
    return prekeys.seal_request(
        ann.keys,
        cert=ann.cert,
        devices=ann.devices,
        bundle=ann.bundle,
        node_record=bytes(115),
        name="ann",
        token=bytes(16),
        ts_ms=NOW,
        hello="it is me",
        to_account=bob.keys.account,
        to_intro=bob.keys.intro_pub,
        entropy=os.urandom,
    )


def _answer(bob: Member, asked: bytes) -> bytes:
    request, ek = prekeys.open_request(bob.keys, asked, DAY), os.urandom(32)
    made = prekeys.agree_as_initiator(
        bob.keys, ek_seed=ek, peer_cert=request.cert, peer_bundle=request.bundle, old_session=None
    )
    state = ratchet.start_initiator(made.rk0, made.transcript, request.bundle.spk_pub, os.urandom)
    return prekeys.seal_intro(
        bob.keys,
        cert=bob.cert,
        devices=bob.devices,
        bundle=bob.bundle,
        node_record=bytes(115),
        ek_seed=ek,
        spk_id=request.bundle.spk_id,
        old_session=None,
        first_message=ratchet.encrypt(state, bytes(100), os.urandom)[1],
        to_intro=request.cert.intro,
        entropy=os.urandom,
    )


def _read_answer(ann: Member, answered: bytes) -> bytes:
    intro = prekeys.open_intro(ann.keys, answered, DAY)
    made = prekeys.agree_as_responder(ann.keys, intro, ann.spk)
    state = ratchet.start_responder(made.rk0, made.transcript, ann.spk.secret)
    return ratchet.decrypt(state, intro.first_message, day=DAY, entropy=os.urandom)[1]


def _junk() -> Iterator[Work]:
    ch = Channel(ChannelKind.ROOM, bytes(32))
    inner = bytes([0x91, roommsg.TYPE]) + bytes(BODY)
    raw = ch.seal(inner, ts_ms=NOW, ttl_days=35, entropy=os.urandom)
    spoilt = raw[:-1] + bytes([raw[-1] ^ 1])
    for what, junk in (
        ("a bad signature", spoilt),
        ("a size that is none", raw + b"x"),
        ("an unknown version", b"\x02" + raw[1:]),
    ):
        yield f"refuse {what}", partial(_refuse, junk)


def _refuse(raw: bytes) -> None:
    with suppress(PeerFault):
        _relay(raw)
        raise AssertionError("junk was taken")


def _payload() -> bytes:
    return Payload(bytes(16), NOW, 1, Type.TEXT, ["x" * BODY, "text", None]).encode()


def _beside(what: str, work: Call, rounds: int) -> Beside:
    """Time `work` and the calls that it makes in turn."""
    calls = _recorded(work)
    replay = partial(_replay, calls)
    times = max(1, int(ROUND_S / min(_timed(work, 1) for _ in range(3))))
    ours, bare = [], []
    for _ in range(rounds):
        ours.append(_timed(work, times))
        bare.append(_timed(replay, times))
    return Beside(what, statistics.median(ours) * 1e6, statistics.median(bare) * 1e6, len(calls))


def _timed(work: Call, times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times


def _replay(calls: list[Call]) -> None:
    for call in calls:
        with suppress(CryptoError):
            call()


def _recorded(work: Call) -> list[Call]:
    """Return the calls to libsodium and hashlib that `work` makes, with their arguments."""
    calls: list[Call] = []
    places: list[tuple[ModuleType, str]] = [(module, "blake2b") for module in _HASHING]
    names = (name for name in dir(sodium) if name.startswith("crypto_"))
    places += [(sodium, name) for name in names if callable(getattr(sodium, name))]
    with _replaced(places, calls):
        work()
    return calls


@contextmanager
def _replaced(places: list[tuple[ModuleType, str]], calls: list[Call]) -> Iterator[None]:
    real = [getattr(module, name) for module, name in places]
    for (module, name), function in zip(places, real, strict=True):
        setattr(module, name, _noting(function, calls))
    try:
        yield
    finally:
        for (module, name), function in zip(places, real, strict=True):
            setattr(module, name, function)


def _noting(function: Any, calls: list[Call]) -> Any:
    def call(*args: Any, **words: Any) -> Any:
        bare = partial(function, *args, **words)
        calls.append((lambda: bare().digest()) if function is blake2b else bare)
        return bare()

    return call
