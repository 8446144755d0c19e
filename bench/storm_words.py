"""What the foes of a storm say: frames of every kind, true, lying and damaged (`bench/storm.py`)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

from node.clock import DAY_MS
from node.wire import frame_bytes, frames as f
from node.wire.envelope import EPHEMERAL, KEPT, Envelope, head, parse

START_MS = 20_000 * DAY_MS + DAY_MS // 2
GENUINE = 10_000
"""Envelopes that the foes have between them; all else that they push is damaged."""
MOST_FRAME = 65_519
_MARKS = b"\x00\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xc4\xc5\xc6\xca\xcc\xcd\xce\xcf\xd9\xdc\xdd\xde\xff"

Heard: TypeAlias = Sequence[bytes]
"""Frames that the machine has lately sent to who speaks."""


def genuine(raw: bytes) -> bool:
    """Say whether an envelope carries what stands for a signature here."""
    return raw[43:59] == blake2b(raw[:43] + raw[107:], digest_size=16).digest()


class Words:
    """Draws what frames are made of; `now_ms` is the wall clock."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now_ms = START_MS
        self._pool: list[Envelope] = []
        self._known = [chance.randbytes(16) for _ in range(64)]

    def write(self, kind: int) -> Envelope:
        now_ms = self.now_ms
        start = head(kind, now_ms, 35 if kind == KEPT else 0, self.chance.randbytes(32))
        body = self.chance.randbytes(552)
        mark = blake2b(start + body, digest_size=16).digest()
        env = parse(start + mark.ljust(64, b"\0") + body)
        self._known[self.chance.randrange(len(self._known))] = env.eid[:16]
        return env

    def envelope(self) -> bytes:
        """Return one of the foes' envelopes: old, new, of another time, or not genuine."""
        chance = self.chance
        if len(self._pool) < GENUINE and chance.random() < 0.05:
            self._pool.append(self.write(chance.choice((KEPT, KEPT, KEPT, EPHEMERAL))))
        if not self._pool or chance.random() < 0.04:
            raw = bytearray(self.write(KEPT).raw)
            raw[chance.randrange(2, len(raw))] ^= 4
            return bytes(raw)
        return chance.choice(self._pool).raw

    def prefix(self) -> bytes:
        """Return the first bytes of an id: of an envelope, or of nothing."""
        chance = self.chance
        return chance.choice(self._known) if chance.random() < 0.7 else chance.randbytes(16)

    def prefixes(self) -> tuple[bytes, ...]:
        """Return some of them, each once."""
        return tuple({self.prefix() for _ in range(self.chance.choice((1, 1, 1, 2, 3, 8, 30, 256)))})

    def day(self) -> int:
        """Return a day, mostly today."""
        return START_MS // DAY_MS - self.chance.choice((0, 0, 0, 1, 30, -1, 40))

    def session(self) -> int:
        """Return the number of a round."""
        return self.chance.choice((1, 2, 3, 4, 5, 1 << 20))

    def damaged(self, frame: bytes) -> bytes:
        """Return a frame with something wrong in it."""
        chance = self.chance
        raw, spot = bytearray(frame), chance.randrange(len(frame)) if frame else 0
        match chance.randrange(7):
            case 0 if raw:
                raw[min(spot, chance.randrange(64))] ^= 1 << chance.randrange(8)
            case 1:
                del raw[spot:]
            case 2:
                raw += chance.randbytes(chance.choice((1, 16, 4_000)))
            case 3 if raw:
                raw[min(spot, chance.randrange(64))] = chance.choice(_MARKS)
            case 4:
                other = KINDS[chance.choice(NAMES)](self, ())
                raw[spot:] = other[chance.randrange(len(other)) :]
            case 5:
                raw = bytearray(chance.randbytes(chance.choice((1, 30, 700))))
            case _:
                raw = raw.ljust(MOST_FRAME, b"\0")
        return bytes(raw[:MOST_FRAME])


def _days(words: Words, _: Heard) -> f.Days:
    first = words.day() - 3
    some = range(first, first + words.chance.randrange(8))
    return f.Days(
        words.session(), tuple((day, words.chance.randrange(1, 99), words.prefix()) for day in some)
    )


def _tail(words: Words, _: Heard) -> f.Tail:
    day = words.day()
    return f.Tail(words.session(), day, day * DAY_MS + words.chance.randrange(DAY_MS), words.prefix())


def _compared(words: Words) -> bytes:
    chance = words.chance
    few = b"".join(
        bytes((chance.randrange(4),)) + bytes((chance.randrange(3),)) + words.prefix() for _ in range(3)
    )
    return chance.choice(
        (b"", b"a", b"a" + few, b"a\0\0\1" + words.prefix(), chance.randbytes(chance.randrange(200)))
    )


def _again(words: Words, heard: Heard) -> bytes:
    """Return what the machine itself has said: it knows the sessions."""
    return (words.chance.choice(heard) if heard else b"") or frame_bytes.encode(f.Unknown(255))


def _batch(words: Words, _: Heard) -> f.Batch:
    some = tuple(words.envelope() for _ in range(words.chance.randrange(1, 5)))
    return f.Batch(words.chance.choice((0, words.session())), some, words.chance.random() < 0.5)


_FRAMES: dict[str, Callable[[Words, Heard], Any]] = {
    "PUSH": lambda s, _: f.Push(s.chance.randrange(128), s.envelope()),
    "IHAVE": lambda s, _: f.IHave(tuple((one, s.chance.randrange(128)) for one in s.prefixes())),
    "GRAFT": lambda s, _: f.Graft(s.chance.choice((None, s.prefix()))),
    "PRUNE": lambda s, _: f.Prune(s.chance.choice((0, 10, 60, 3_600))),
    "WANT": lambda s, _: f.Want(s.prefixes()),
    "DAYS": _days,
    "TAIL": _tail,
    "NEG_OPEN": lambda s, _: f.NegOpen(s.session(), s.day(), _compared(s) or b"a"),
    "NEG_MSG": lambda s, _: f.NegMsg(s.session(), s.day(), _compared(s) or b"a"),
    "NEG_END": lambda s, _: f.NegEnd(s.session(), s.day(), _compared(s)),
    "BATCH": _batch,
    "CREDIT": lambda s, _: f.Credit(s.chance.choice((0, s.session())), s.chance.randrange(1, 1 << 20)),
    "GONE": lambda s, _: f.Gone(s.prefixes()),
    "PX": lambda s, _: f.PeerExchange(s.chance.choice((None, (), (s.chance.randbytes(150),)))),
    "FETCH": lambda s, _: f.Fetch(s.chance.randbytes(32), s.chance.randrange(43)),
    "PART": lambda s, _: f.Part(s.chance.randbytes(32), s.chance.randrange(43), bytes(99)),
    "OFFER": lambda s, _: f.Offer(((s.chance.randbytes(32), s.chance.randrange(1, 99_999)),)),
    "PING": lambda s, _: f.Ping(s.now_ms),
    "PONG": lambda s, _: f.Pong(s.now_ms + s.chance.choice((0, 0, 86_400_000))),
    "HELLO": lambda s, _: f.Hello(0, bytes(8), (), frozenset(), 65_519, 0, s.now_ms, 200),
    "UNKNOWN": lambda s, _: f.Unknown(s.chance.choice((99, 255))),
    "GOODBYE": lambda s, _: f.Goodbye(s.chance.choice(list(f.Leave)), s.chance.randrange(3_600)),
}
KINDS: dict[str, Callable[[Words, Heard], bytes]] = {
    name: (lambda words, heard, make=make: frame_bytes.encode(make(words, heard)))  # type: ignore[misc] # a default
    for name, make in _FRAMES.items()
} | {"ECHO": _again}
_RARE = ("HELLO", "GOODBYE")
_OFTEN = ("PUSH", "IHAVE", "PUSH", "WANT", "PUSH", "GRAFT")
NAMES = [name for name in KINDS if name not in _RARE for _ in range(40)] + [*(_RARE * 5), *(_OFTEN * 40)]
