"""Ops that are missing are asked for by name, and whoever has them answers (docs/crypto.md 3.6).

    op_want = [11, [op16, ...]]          ops = [12, [op || sig, ...]]          on a room epoch's channel

Both are sealed under the channel's outer key alone: an op needs no carrier's signature. So an op is given out
only where everybody who can read there was entitled to it, and taken only by who needs it: its hash is named
by a message or op that a member signed. Everything waits a little, at random, and is not done if somebody
else has done it meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from node.chat.epochs import Epoch
from node.chat.room import MEMBER, Room
from node.chat.turn import Turn
from node.clock import earliest
from node.crypto import ops
from node.crypto.channel import MAX_INNER_BYTES, Inner
from node.crypto.ops import Op
from node.errors import CryptoFault
from node.wire import codec
from node.wire.payload import MAX_OP_BYTES

MAX_NAMES = 64
"""Ops named in one `op_want`, and at most in one answer."""
MAX_ASKED = 256
"""Ops a room asks for at a time; the rest follows when these are here."""
MAX_ANSWERS = 256
"""Answers a room has waiting: what is asked beyond that is asked again."""
ASK_AFTER = 2.0
"""Seconds: what was only overtaken is here by then. Also the least time between two questions of ours."""
JITTER = 2.0
"""Seconds over which askers and answerers spread, so that mostly one of them speaks."""
ASK_AGAIN = 60.0
MAX_WAIT = 6 * 3600.0
MAX_TRIES = 10
"""The wait doubles up to MAX_WAIT; after the last, about a day on, the next start begins anew."""
HUSH = 30.0
"""Seconds in which an op is not given again on one channel: less than anybody waits before asking again."""
MAX_HUSHED = 4_096
BETWEEN = 1.0
"""Seconds between two answers of ours: whoever asks for much cannot make us send more than that."""
MAX_BYTES = MAX_INNER_BYTES - 1024
"""Bytes of ops in one answer, which fits one envelope."""
BESIDE_BYTES = 8 * 1024
"""An answer below this size brings the nearest ops before those asked for along: who lacks one often lacks
those before as well."""
_WANT = codec.array(codec.literal(11), codec.many(codec.blob(16), MAX_NAMES, least=1))
_OPS = codec.array(codec.literal(12), codec.many(codec.blob_upto(MAX_OP_BYTES, least=64), MAX_NAMES, least=1))


@dataclass(slots=True)
class _Ask:
    due: float
    tries: int = 0

    def again(self, now: float) -> None:
        self.due = now + min(MAX_WAIT, ASK_AGAIN * 2.0**self.tries)
        self.tries += 1


class OpExchange:
    """Asks for one room's missing ops, and answers for others."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._asks: dict[bytes, _Ask] = {}
        self._look: float | None = None
        self._answers: dict[tuple[bytes, bytes], float] = {}
        self._hushed: OrderedDict[tuple[bytes, bytes], float] = OrderedDict()

    @property
    def deadline(self) -> float | None:
        """When there is next something to ask or to answer."""
        return earliest(self._look, *self._answers.values())

    def lacking(self, turn: Turn) -> None:
        """Something waits for an op: look in a moment whether it still does."""
        self.look(turn.now.mono + ASK_AFTER + _jitter(turn))

    def look(self, moment: float) -> None:
        """Look at a moment what is missing, or before if that was so."""
        self._look = moment if self._look is None else min(self._look, moment)

    # -- asking -----------------------------------------------------------------------------------

    def is_due(self, now: float) -> bool:
        """Say whether it is time for `ask`."""
        return self._look is not None and self._look <= now

    def ask(self, turn: Turn, needed: Mapping[bytes, bytes]) -> None:
        """Ask for what is needed, op16 to the epoch in which it was named, as far as its time has come.

        The first question goes to those who can read what named the op; later ones also to the newest epoch.
        """
        now, self._look = turn.now.mono, None
        if self.room.state != MEMBER:
            return
        self._note(needed, now)
        due = [op16 for op16, ask in self._asks.items() if ask.due <= now and ask.tries < MAX_TRIES]
        names: dict[bytes, list[bytes]] = {}
        for op16 in due[:MAX_NAMES]:
            held = self._where(needed[op16], self._asks[op16].tries)
            self._asks[op16].again(now)
            if held is not None:
                names.setdefault(held.epoch16, []).append(op16)
        for epoch16, wanted in names.items():
            held = self.room.epochs.held[epoch16]
            turn.post(held.channel, codec.pack([int(Inner.OP_WANT), sorted(wanted)]))
        waiting = [ask.due for ask in self._asks.values() if ask.tries < MAX_TRIES]
        if waiting:
            self.look(max(min(waiting), now + ASK_AFTER))

    def _note(self, needed: Mapping[bytes, bytes], now: float) -> None:
        first = islice(needed, MAX_ASKED)
        self._asks = {op16: self._asks.get(op16) or _Ask(now) for op16 in first}

    def _where(self, epoch16: bytes, tries: int) -> Epoch | None:
        held = self.room.epochs.held.get(epoch16)
        if held is not None and tries % 2 == 0:
            return held
        return next(iter(self.room.epochs.tips()), held)

    # -- answering --------------------------------------------------------------------------------

    def wanted(self, turn: Turn, held: Epoch, inner: bytes) -> None:
        """Somebody asks: prepare to answer with what we have, and leave to them what we would ask too."""
        _, names = codec.decode(inner, _WANT)
        if self.room.state != MEMBER:
            return
        now = turn.now.mono
        moment = now + _jitter(turn)
        for op16 in names:
            self._leave(op16, now)
            self._prepare(held, op16, now, moment)

    def _leave(self, op16: bytes, now: float) -> None:
        """Somebody else asks for an op: if we are about to, that was our turn."""
        if self._look is None or self.room.log.knows16(op16):
            return
        if op16 not in self._asks and len(self._asks) < MAX_ASKED:
            self._asks[op16] = _Ask(now)
        ask = self._asks.get(op16)
        if ask is not None and ask.due <= now + ASK_AGAIN / 2:
            ask.again(now)

    def _prepare(self, held: Epoch, op16: bytes, now: float, moment: float) -> None:
        key, op = (held.epoch16, op16), self.room.log.op(op16)
        quiet = self._hushed.get(key, now) > now
        if op is None or quiet or key in self._answers or len(self._answers) >= MAX_ANSWERS:
            return
        if self._may_read(held, op):
            self._answers[key] = moment

    def _may_read(self, held: Epoch, op: Op) -> bool:
        """Say whether everybody in an epoch was entitled to an op: it is of before it, or none had gone."""
        log = self.room.log
        return log.includes(held.announce.heads, op.op_id) or log.was_open_to(held.devices, op.op_id)

    def answer(self, turn: Turn) -> None:
        """Answer on one channel what it is time for; the rest follows after a pause."""
        now = turn.now.mono
        due = [key for key, moment in self._answers.items() if moment <= now]
        if self.room.state != MEMBER:
            self._answers.clear()
        if not due or self.room.state != MEMBER:
            return
        epoch16 = due[0][0]
        held = self.room.epochs.held.get(epoch16)
        found = [self.room.log.op(op16) for epoch, op16 in due if epoch == epoch16]
        chosen = [] if held is None else self._fitting(held, [op for op in found if op is not None])
        for key in due:
            if held is None and key[0] == epoch16:
                del self._answers[key]
            else:
                self._answers[key] = now + BETWEEN
        if held is not None:
            self._hush(epoch16, chosen, now)
            turn.post(held.channel, codec.pack([int(Inner.OPS), [op.raw for op in chosen]]))

    def _fitting(self, held: Epoch, asked: list[Op]) -> list[Op]:
        """Return the ops asked for as far as they fit one envelope, and some before them in a small one."""
        chosen: dict[bytes, Op] = {}
        size = 0
        for op in asked[:MAX_NAMES]:
            if size + len(op.raw) <= MAX_BYTES:
                chosen[op.op_id] = op
                size += len(op.raw)
        queue = [parent for op in chosen.values() for parent in op.parents]
        for parent in queue:
            before = self.room.log.op(parent)
            if before is None or parent in chosen or not self._may_read(held, before):
                continue
            size += len(before.raw)
            if size > BESIDE_BYTES or len(chosen) >= MAX_NAMES:
                break
            chosen[parent] = before
            queue.extend(before.parents)
        return list(chosen.values())

    def _hush(self, epoch16: bytes, given: list[Op], now: float) -> None:
        for op in given:
            self._answers.pop((epoch16, op.op16), None)
            self._hushed.pop((epoch16, op.op16), None)
            self._hushed[(epoch16, op.op16)] = now + HUSH
        while len(self._hushed) > MAX_HUSHED:
            self._hushed.popitem(last=False)

    def read(self, turn: Turn, held: Epoch, inner: bytes) -> list[Op]:
        """Read an answer, by whomever; what it gives need not be given again.

        Raises:
            PeerFault: If it is malformed, or has an op of another room.
        """
        _, raws = codec.decode(inner, _OPS)
        given = [ops.parse_op(raw) for raw in raws]
        if any(op.room_id != self.room.room_id for op in given):
            raise CryptoFault("ops of another room")
        self._hush(held.epoch16, [op for op in given if self.room.log.knows(op.op_id)], turn.now.mono)
        return given


def _jitter(turn: Turn) -> float:
    return int.from_bytes(turn.entropy(2), "big") / 65_536 * JITTER
