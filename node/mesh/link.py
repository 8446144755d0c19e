"""One link: from the first byte to sealed frames both ways (docs/protocol.md section 3).

Decides what is read from a peer before its key is proven, in what order waiting frames leave, and how much
may wait. Frames wait unsealed, so that something urgent can still overtake; a frame that is sealed has left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum

from node.crypto.handshake import LinkKeys
from node.crypto.primitives import Entropy
from node.crypto.securing import Opening, Sealing
from node.errors import DecodeError
from node.mesh.limits import BUDGET_STRANGER, EPHEMERAL_SHARE, TokenBucket, envelope_cost
from node.mesh.policing import Meter, Shares
from node.wire.frame_bytes import pushed_ms
from node.wire.frames import Hello

MAX_MESSAGE_BYTES = 131_072
"""One websocket message: the limit of both shells."""
FILLED_BYTES = 32_768
"""Of frames that share one: of a flood, a peer handles some while it stores those before."""
MAX_EARLY_BYTES = 2_048
"""One websocket message before the peer has proven its key: its last handshake message and its HELLO."""
MAX_EARLY_FRAME = 1_024
MAX_EARLY_MESSAGES = 3
OPEN_WITHIN = 10.0
"""Seconds from the first byte to the peer's HELLO."""
WINDOW = 262_144
"""Bytes handed to the shell and not yet written: a fast link never runs dry, a slow one shows early."""
BULK_WINDOW = 32_768
"""Of these, what a catch-up may fill: a live frame waits behind that and one BATCH, 25 ms at 16 Mbit/s."""
BULK_AHEAD = 65_536
"""Frames of a catch-up made and not handed over yet, and of answers to WANTs: a page of the store each."""
MAX_CONTROL = 256
"""Control frames waiting; a peer that reads none of them is not there."""
MAX_LIVE_BYTES = 786_432
"""Live frames waiting; what does not fit is announced instead. Those of 64 links are 48 MiB at most."""
CONGESTED_BYTES = MAX_LIVE_BYTES // 3
"""Of these, from which on frontends say less: what is being handled, and what others say, still fits in."""
BLOCKED_AFTER = 20.0
"""Seconds without a byte written before a link is given up."""
PING_AFTER = 15.0
"""Seconds of silence before a peer is asked whether it is there."""
PING_EVERY = 60.0
"""Seconds between two measurements of round trip and clock on a busy link."""
DROP_AFTER = 10.0
"""Seconds a silent peer has to answer."""
HURRY = 0.8
"""Seconds that it has after this machine slept, or four round trips if these are more."""
STALE_AFTER = 30.0
"""Seconds of silence after which a link counts for less than a new one."""
MAX_MALFORMED = 3
"""Malformed frames before a link is closed: an honest peer of a later version may send one."""


class Phase(Enum):
    """How far a link has come: keys unproven, keys proven but no HELLO yet, in use."""

    SHAKING = "shaking"
    GREETING = "greeting"
    LIVE = "live"


class Link:
    """State of one websocket: `receive` bytes, queue frames, `flush` what may leave now."""

    def __init__(
        self, number: int, *, outbound: bool, address: str, remote: str,
        keys: LinkKeys, entropy: Entropy, now: float,
    ) -> None:  # fmt: skip
        self.number = number
        self.touch: Callable[[], None] = _untouched
        self.outbound = outbound
        self.address = address
        self.remote = remote
        self.phase = Phase.SHAKING
        self.live = False
        """Whether both HELLOs have passed: asked of every link for every envelope."""
        self.node_key = b""
        self.hello: Hello | None = None
        self.opened = self.heard = now
        self.copies = 0
        self.malformed = 0
        self.deaf = False
        self.pushes_left = False
        """Whether what the last `flush` let go was nothing but PUSHes."""
        self.rtt_ms: float | None = None
        self.ping_sent: float | None = None
        self.next_ping = now + PING_EVERY
        self._hurried_at = self._hurry_until = float("-inf")
        self._handshake = keys.begin(initiator=outbound, entropy=entropy)
        self._ciphers: tuple[Sealing, Opening] | None = None
        self._early = 0
        self._handshake_out: list[bytes] = []
        self._control: deque[bytes] = deque()
        self._live: deque[bytes] = deque()
        self._live_bytes = 0
        self._bulk: deque[bytes] = deque()
        self._bulk_bytes = 0
        self._asked: deque[tuple[int, bytes]] = deque()
        self._asked_bytes = 0
        self._bulk_turn = False
        self._left_out = 0  # bytes that could not be queued, since this link had nothing to do
        self._in_flight = 0
        self._written_at = now
        self._budget = TokenBucket(BUDGET_STRANGER, now=now)
        self._ephemeral_budget = TokenBucket(BUDGET_STRANGER / EPHEMERAL_SHARE, now=now)
        self._shares = Shares(BUDGET_STRANGER, now=now)
        self._meter = Meter(BUDGET_STRANGER, now=now)
        if outbound:
            self._handshake_out.append(self._handshake.write())

    def greeted(self, hello: Hello, *, now: float, granted: int = BUDGET_STRANGER) -> None:
        """The peer's HELLO has come and is accepted: the link is in use from here. `granted`: its budget."""
        self.hello = hello
        self.phase, self.live = Phase.LIVE, True
        self.touch()
        self._budget = TokenBucket(hello.budget, now=now)
        self._ephemeral_budget = TokenBucket(hello.budget / EPHEMERAL_SHARE, now=now)
        self._shares = Shares(hello.budget, now=now)
        self._meter = Meter(granted, now=now)
        self.next_ping = now

    def receive(self, data: bytes, *, now: float) -> Iterator[bytes]:
        """Yield the frames in one websocket message; the last handshake message yields an empty one.

        Raises:
            DecodeError: If the message is not Noise messages of the sizes allowed at this point.
            CryptoFault: If one of them does not open; the link is of no use any more.
        """
        self.heard = now
        if self.phase is Phase.SHAKING:
            self.touch()
            self._early += 1
            if len(data) > MAX_EARLY_BYTES or self._early > MAX_EARLY_MESSAGES:
                raise DecodeError("too much before the handshake")
        spot, end = 0, len(data)
        while spot < end:
            size = int.from_bytes(data[spot : spot + 2], "big")
            message = data[spot + 2 : spot + 2 + size]
            spot += 2 + size
            if spot > end or not size:
                raise DecodeError("a websocket message that is cut short")
            if self._ciphers is not None:
                frame = self._ciphers[1].open(message)
                if not frame:
                    raise DecodeError("an empty frame")
                self._meter.took(frame)
                yield frame
            elif self._shake(message):
                yield b""

    def _shake(self, message: bytes) -> bool:
        """Take a handshake message; True when the peer's key is proven and both can talk."""
        if len(message) > MAX_EARLY_FRAME:
            raise DecodeError("an oversized handshake message")
        self._handshake.read(message)
        if self._handshake.writes_next:
            self._handshake_out.append(self._handshake.write())
        if not self._handshake.done:
            return False
        self._ciphers = self._handshake.split()
        self.node_key = self._handshake.peer or b""
        self.phase = Phase.GREETING
        return True

    def send_control(self, frame: bytes) -> None:
        """Queue a short frame ahead of all others; the link is `deaf` when the peer reads none of them."""
        self.touch()
        if len(self._control) >= MAX_CONTROL:
            self.deaf = True
        else:
            self._control.append(frame)

    @property
    def control_room(self) -> bool:
        """Whether control frames that can wait should be queued now."""
        return len(self._control) < MAX_CONTROL // 4

    def pause(self, *, now: float) -> float:
        """Return for how many seconds not to read on: the peer sends more than it was granted."""
        return self._meter.pause(now=now)

    def send_live(self, frame: bytes, *, ephemeral: bool, now: float, origin: bytes = b"") -> bool:
        """Queue a PUSH of what came from the node `origin`; False if the queue is full or it had its part."""
        if self._may_push(len(frame), ephemeral, origin, now):
            self._queue_live(frame)
            return True
        self._left_out += 0 if ephemeral else len(frame)
        return False

    def _may_push(self, size: int, ephemeral: bool, origin: bytes, now: float) -> bool:
        if self._live_bytes + size > MAX_LIVE_BYTES:
            return False
        cost = envelope_cost(size)
        if ephemeral and not self._ephemeral_budget.take(cost, now=now):
            return False
        left = self._budget.left(now=now)
        if left < cost or not self._shares.may(origin, cost, left=left, now=now):
            return False
        self._budget.take(cost, now=now)
        return True

    def may_tell_ephemeral(self, size: int, *, now: float) -> bool:
        """Say whether to announce an ephemeral, and count it as if it were pushed: it will be asked for."""
        return self._ephemeral_budget.take(envelope_cost(size), now=now)

    def send_promised(self, frame: bytes) -> bool:
        """Queue a PUSH that was paid for when it was announced; False if the queue is full."""
        if self._live_bytes + len(frame) > MAX_LIVE_BYTES:
            return False
        self._queue_live(frame)
        return True

    def _queue_live(self, frame: bytes) -> None:
        self.touch()
        self._live.append(frame)
        self._live_bytes += len(frame)

    def send_bulk(self, frame: bytes) -> None:
        """Queue a frame of a catch-up; ask `bulk_room` first."""
        self.touch()
        self._bulk.append(frame)
        self._bulk_bytes += len(frame)

    def send_asked(self, frame: bytes, *, ts_ms: int) -> None:
        """Queue a frame that answers a WANT, with envelopes from `ts_ms` on; ask `asked_room` first."""
        self.touch()
        self._asked.append((ts_ms, frame))
        self._asked_bytes += len(frame)

    @property
    def bulk_room(self) -> bool:
        """Whether another frame of a catch-up should be made now."""
        return self._bulk_bytes < BULK_AHEAD

    @property
    def asked_room(self) -> bool:
        """Whether another answer to a WANT should be made now."""
        return self._asked_bytes < BULK_AHEAD

    @property
    def waits(self) -> bool:
        """Whether anything is left to send."""
        return bool(self._handshake_out or self._control or self._live or self._asked or self._bulk)

    @property
    def congested(self) -> bool:
        """Whether more live frames wait than the peer can be expected to take at once."""
        return self._live_bytes > CONGESTED_BYTES

    @property
    def pushing(self) -> bool:
        """Whether a PUSH waits to leave: what is sent as control now would overtake it."""
        return bool(self._live)

    def flush(self, *, now: float) -> list[bytes]:
        """Seal what may leave now; each item is one websocket message or part of one.

        New envelopes go before a catch-up. But what could not be queued with them is asked for by id, and
        nobody can show what is newer before it. So as many bytes of answers to WANTs as were left out go
        before live frames that are newer, or they would wait for as long as a flood goes on.
        """
        if not self._in_flight:
            self._written_at = now  # an idle link was not blocked
            if not self.waits:
                self._left_out = 0
        messages: list[bytes] = []
        parts: list[bytes] = []
        size, self.pushes_left = 0, not self._handshake_out
        for message in self._leaving():
            if parts and size + len(message) + 2 > FILLED_BYTES:
                messages.append(b"".join(parts))
                parts, size = [], 0
            parts += (len(message).to_bytes(2, "big"), message)
            size += len(message) + 2
        if parts:
            messages.append(b"".join(parts))
        return messages

    def _leaving(self) -> Iterator[bytes]:
        while self._handshake_out:
            yield self._count(self._handshake_out.pop(0))
        while self._ciphers is not None and (frame := self._next()) is not None:
            yield self._count(self._ciphers[0].seal(frame))

    def _next(self) -> bytes | None:
        if self._in_flight >= WINDOW:
            return None
        if self._control:
            self.pushes_left = False
            return self._control.popleft()
        if self._live and not self._owes:
            frame = self._live.popleft()
            self._live_bytes -= len(frame)
            return frame
        if not (self._asked or self._bulk) or (not self._live and self._in_flight >= BULK_WINDOW):
            return None
        self.pushes_left = False
        return self._next_asked() if self._live or self._asked_next else self._next_bulk()

    @property
    def _owes(self) -> bool:
        """Whether something that was left out goes before the live frames that wait."""
        return bool(self._asked) and self._left_out > 0 and self._asked[0][0] <= pushed_ms(self._live[0])

    @property
    def _asked_next(self) -> bool:
        """Whether it is the turn of an answer to a WANT: these and other frames of a catch-up take turns."""
        return bool(self._asked) and not (self._bulk and self._bulk_turn)

    def _next_asked(self) -> bytes:
        _, frame = self._asked.popleft()
        self._asked_bytes -= len(frame)
        self._left_out = max(0, self._left_out - len(frame))
        self._bulk_turn = True
        return frame

    def _next_bulk(self) -> bytes:
        frame = self._bulk.popleft()
        self._bulk_bytes -= len(frame)
        self._bulk_turn = False
        return frame

    def _count(self, message: bytes) -> bytes:
        self._in_flight += len(message) + 2
        return message

    def drained(self, nbytes: int, *, now: float) -> None:
        """The shell has written `nbytes`."""
        self._in_flight = max(0, self._in_flight - nbytes)
        self._written_at = now
        if self.waits:
            self.touch()

    def blocked(self, *, now: float) -> bool:
        """Whether the peer has read nothing for too long."""
        return self._in_flight > 0 and now >= self._written_at + BLOCKED_AFTER

    def stale(self, *, now: float) -> bool:
        """Whether the peer has been silent so long that a new link to it is worth more."""
        return now >= self.heard + STALE_AFTER

    def silent_too_long(self, *, now: float) -> bool:
        """Whether a ping went unanswered, or the link did not open in time."""
        if not self.live:
            return now >= self.opened + OPEN_WITHIN
        return self.ping_sent is not None and now >= self._drop_at(self.ping_sent)

    def _drop_at(self, ping_sent: float) -> float:
        if self.heard < self._hurried_at:
            return self._hurry_until
        return max(ping_sent, self.heard) + DROP_AFTER

    def hurry(self, *, now: float) -> None:
        """Give the peer little time to show that it is there: this machine slept, the link may be dead."""
        self._written_at = now  # what was written before is told of within a second, which may be after it
        self._hurried_at, self._hurry_until = now, now + max(HURRY, 4 * (self.rtt_ms or 0) / 1000)

    def ponged(self, *, now: float) -> float | None:
        """The peer has answered a ping; return the round trip in ms, None if there was no ping."""
        if self.ping_sent is None:
            return None
        self.rtt_ms = (now - self.ping_sent) * 1000
        self.ping_sent, self.next_ping = None, now + PING_EVERY
        return self.rtt_ms

    def ping_due(self, *, now: float) -> bool:
        """Whether to ask the peer whether it is there."""
        return self.live and self.ping_sent is None and now >= min(self.heard + PING_AFTER, self.next_ping)

    @property
    def deadline(self) -> float:
        """When this link wants to be looked at."""
        if not self.live:
            soon = self.opened + OPEN_WITHIN
        elif self.ping_sent is None:
            soon = min(self.heard + PING_AFTER, self.next_ping)
        else:
            soon = self._drop_at(self.ping_sent)
        return min(soon, self._written_at + BLOCKED_AFTER) if self._in_flight else soon


def _untouched() -> None:
    """Do nothing: nobody looks after this link."""
