"""Never silent: what a room's members cannot open is shown, asked for, and put in its place when it comes.

A jump of a chain makes a hole, and so does a message that refers to one which nobody brings
(`references.py`). A hole is waited for as a held-back message is; then it is a placeholder of the history and
asked for at growing intervals (`nacks.py`) until its author has answered (`resending.py`) or 35 days are over
(docs/crypto.md 3.8).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from node import ids
from node.chat import events, hidden
from node.chat.behind import PATIENCE
from node.chat.epochs import MAX_MESSAGES, Epoch
from node.chat.holes import GONE, LOST, Hole, Holes, run_of
from node.chat.membership import Member
from node.chat.messages import placeholder_event, stored_message
from node.chat.nacks import Nacks
from node.chat.references import References
from node.chat.resending import Resending
from node.chat.room import MEMBER, Room
from node.chat.timeline import GAP_AFTER_LINK, Item, Patience, copy_of, shown_ms
from node.chat.turn import Placed, Turn
from node.clock import Instant, earliest
from node.crypto import chain as chains
from node.errors import CryptoFault
from node.wire.payload import Payload, Type, Words

TYPES: Final = frozenset({Type.NACK, Type.RESENT})
"""The payloads that are this module's."""
MAX_RUNS = 16
"""Placeholders that one jump makes; what is missing beyond is all in the last."""
MAX_COMING = 256
"""Answers that wait for the store to say whether we have them; of more, none is taken: it comes again."""
MAX_BEFORE = 64
"""Messages of each device asked for of an epoch that another gave; the giver says how many there were."""


@dataclass(frozen=True)
class _Coming:
    author: Member
    payload: Payload


class Healing:
    """The holes of one room; `offer` and `show` are its inbox's ways to the frontends."""

    def __init__(
        self,
        room: Room,
        offer: Callable[[Turn, Item], None],
        show: Callable[[Turn, list[Item]], None],
    ) -> None:
        self.room, self._offer, self._show = room, offer, show
        self.holes = Holes(room.room_id)
        self.nacks = Nacks(room, self.holes)
        self.references = References(room, self.holes, self._placeholder, self.nacks.soon)
        self.resending = Resending(room)
        self.overheard: list[tuple[Member, Payload]] = []
        """What members asked for and gave in this turn: others may have it too."""
        self._coming: dict[tuple[bytes, bytes], _Coming] = {}

    def restore(self, hole: Hole, now: Instant) -> None:
        """Take a stored hole back after a start."""
        self.holes.restore(hole)
        if hole.placeholder or hole.quiet:
            self.nacks.restore(hole, now)

    # -- time -------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When there is next something to show, to ask or to answer."""
        progress = self.room.timeline.progress
        patience = (waiting.moment(progress) for waiting in self.holes.waiting.values())
        asks, named = self.nacks.moments.values(), self.references
        return earliest(*patience, *asks, self.resending.deadline, named.look, named.doubt)

    def link_up(self, now: float) -> None:
        """There is a link again: what was waited for without one has its minute from now."""
        for waiting in self.holes.waiting.values():
            waiting.link_up(now)

    def peer_finished(self, link: int, *, linked: int, now: float) -> None:
        """A sync with one peer ended without more to give."""
        for waiting in self.holes.waiting.values():
            waiting.peer_finished(link, linked=linked, now=now)

    def due(self, turn: Turn) -> None:
        """Show, ask and answer what it is time for; who is out of the room does none of it."""
        if self.room.state != MEMBER:
            for hole in list(self.holes.all.values()):
                self.holes.forget(turn, hole)
            self.nacks.moments.clear()
        now, progress = turn.now.mono, self.room.timeline.progress
        for key, waiting in list(self.holes.waiting.items()):
            moment = waiting.moment(progress)
            if moment is not None and moment <= now:
                self._decide(turn, self.holes.all[key])
        self.references.due(turn)
        self.nacks.due(turn)
        self.resending.answer(turn)

    def expire(self, turn: Turn) -> None:
        """Show what was held back long enough, after what it shows to be missing; erase old keys."""
        shown = self.room.timeline.expire(turn.now.mono)
        for item in shown:
            self.references.note(turn, item)
        self._show(turn, shown)
        self.room.epochs.retire(turn)

    # -- finding holes ----------------------------------------------------------------------------

    def moved(self, turn: Turn, held: Epoch, author: Member, expected: int, index: int) -> Hole | None:
        """A chain took an index where it expected another: note a new hole, or that one was filled.

        Returns the hole that is shown and has just lost this index.
        """
        if index > expected:
            self._jumped(turn, held, author, range(expected, index))
        elif index < expected:
            found = self.holes.at(held.epoch16, author.device_id, index)
            return None if found is None else self._filled(turn, found, index)
        return None

    def shared(self, turn: Turn, held: Epoch) -> None:
        """An epoch came from a member, who has no keys of what it has read: the newest of that is missing."""
        for device_id, chain in held.recv.items():
            author = self.room.log.device(device_id)
            if author is not None:
                self._jumped(
                    turn, held, author, range(max(0, chain.next_index - MAX_BEFORE), chain.next_index)
                )

    def _jumped(self, turn: Turn, held: Epoch, author: Member, over: range) -> None:
        device_id, wall_ms = author.device_id, turn.now.wall_ms
        room_id, lacking = self.room.room_id, run_of(over.start, over.stop)
        hole = Hole(room_id, held.epoch16, device_id, author.account, over.start, lacking, (), wall_ms)
        hole = hole.beside(self.holes.of(held.epoch16, device_id))
        if hole.missing and hole.key not in self.holes.all:
            self.holes.waiting[hole.key] = Patience(long=turn.now.mono + GAP_AFTER_LINK)
            self.holes.save(turn, hole)

    def awaited(self, turn: Turn, mid: bytes) -> Hole | None:
        """A message came by itself; returns the hole that named it."""
        hole = self.holes.named(mid)
        return None if hole is None else self._less(turn, hole.unnamed(mid))

    def _filled(self, turn: Turn, hole: Hole, index: int) -> Hole | None:
        return self._less(turn, hole.without(index))

    def _less(self, turn: Turn, hole: Hole) -> Hole | None:
        """Keep a hole that has become smaller; returns it if it is shown."""
        if (hole.placeholder or hole.quiet) and hole.missing:
            hole = self.nacks.anew(turn, hole)
        self.holes.save(turn, hole)
        self.references.filled(turn.now.mono)
        if not hole.missing:
            self.nacks.drop(hole)
        return hole if hole.placeholder else None

    # -- placeholders -----------------------------------------------------------------------------

    def _decide(self, turn: Turn, hole: Hole) -> None:
        """What has not come by now is shown as missing, one placeholder a run, as far as it counts at all."""
        self.holes.forget(turn, hole)
        held = self.room.epochs.held.get(hole.epoch16)
        author = self.room.log.device(hole.device_id)
        if held is None or author is None or self.room.people.hides(author.account):
            return
        self.room.people.meet(turn, author.account, author.name)
        runs = list(self._counting(hole, held).runs())
        for first, last in runs[: MAX_RUNS - 1]:
            self._place(turn, held, replace(hole, first=first, lacking=run_of(first, last + 1)))
        if len(runs) >= MAX_RUNS:
            first, rest = runs[MAX_RUNS - 1][0], self._counting(hole, held)
            bits = rest.bits >> (first - hole.first)
            lacking = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
            self._place(turn, held, replace(hole, first=first, lacking=lacking))

    def _counting(self, hole: Hole, held: Epoch) -> Hole:
        """Return a hole without what its author sent after being removed or leaving."""
        cut = self.room.log.cut_for(hole.device_id, held.announce.heads)
        if cut is None:
            return hole
        allowed = max(0, cut.get(hole.epoch16, -2) + 1 - hole.first)
        bits = hole.bits & ((1 << min(allowed, len(hole.lacking) * 8)) - 1)
        return replace(hole, lacking=bits.to_bytes(len(hole.lacking), "little"))

    def _place(self, turn: Turn, held: Epoch, hole: Hole) -> None:
        chain = held.chain_of(hole.device_id)
        try:
            if chain is not None:
                chains.check(chain, hole.first)
            self._placeholder(turn, replace(hole, why=LOST))
        except CryptoFault:
            self._placeholder(turn, replace(hole, why=GONE))

    def _placeholder(self, turn: Turn, hole: Hole) -> None:
        """Log the placeholder, with a body of its own in the log, for it can leave the history; then ask."""
        hole = replace(hole, placeholder=turn.new_id(), seq=turn.seq + 1)
        event = self._shown(hole)
        turn.log(event)
        assert turn.seq == hole.seq
        self._redraw(turn, hole)
        self.nacks.soon(turn, hole)

    def _shown(self, hole: Hole) -> events.UserMessage:
        people, who = self.room.people, ("", "")
        if hole.author:
            who = (people.username(hole.author), people.user_id(hole.author))
        place = (self.room.room_id, hole.placeholder, hole.since_ms)
        return placeholder_event(*place, why=hole.why, missing=hole.missing, author=who)

    def _redraw(self, turn: Turn, hole: Hole) -> None:
        event = msgspec.structs.replace(self._shown(hole), seq=hole.seq) if hole.missing else None
        turn.placed.append(Placed(self.room.room_id, hole.placeholder, hole.seq, event, edit=True))

    # -- answers ----------------------------------------------------------------------------------

    def take(self, turn: Turn, author: Member, payload: Payload) -> None:
        """Take a `nack` or an answer to one."""
        self.overheard.append((author, payload))
        if payload.type is Type.RESENT and len(payload.body) == 3:
            self._resent(turn, author, payload)
        elif payload.type is Type.NACK and len(payload.body) != 3:  # that would be one of a direct session
            self.resending.asked(turn, author, payload.body)
            self.nacks.heard(turn, author, payload.body)

    def take_overheard(self) -> list[tuple[Member, Payload]]:
        """Return who asked for something, or answered, since the last call."""
        overheard, self.overheard = self.overheard, []
        return overheard

    def _resent(self, turn: Turn, author: Member, payload: Payload) -> None:
        """An author gives something again: it counts where it is missing, and nowhere else."""
        epoch16, index, content = payload.body
        if not self._allowed(author, epoch16, index):
            return
        hole = self.holes.at(epoch16, author.device_id, index)
        if content is None:
            if hole is not None:
                self.closed(turn, self._filled(turn, hole, index))
        elif (hole or self.holes.named(payload.mid)) and len(self._coming) < MAX_COMING:
            self._coming[payload.mid, author.account] = _Coming(author, payload)
            turn.fetches.append((self.room.room_id, (payload.mid,)))

    def _allowed(self, author: Member, epoch16: bytes, index: int) -> bool:
        held = self.room.epochs.held.get(epoch16)
        if held is None or author.device_id not in held.devices:
            return False
        return self.room.log.allows(author.device_id, epoch16, index, held.announce.heads)

    def fetched(self, turn: Turn, found: Sequence[tuple[bytes, bytes | None]]) -> None:
        """The store says what it has under these ids: for answers of ours, and of others."""
        for mid, body in found:
            self.resending.fetched(turn, mid, body)
            for key in [key for key in self._coming if key[0] == mid]:
                coming = self._coming.pop(key)
                theirs = self._theirs(coming.author, mid, body)
                if theirs:
                    self._had(turn, coming)
                else:
                    self._take_back(turn, coming, mid if theirs is None else copy_of(mid, key[1]))

    def _theirs(self, author: Member, mid: bytes, body: bytes | None) -> bool | None:
        """Say whether a message that we have is of this author; None if we have none of this id."""
        known = self.room.timeline.author_of(mid)
        if body is None:
            return None if known is None else known == author.account
        event = stored_message(body)
        return event is not None and event.user_id == self.room.people.user_id(author.account)

    def _had(self, turn: Turn, coming: _Coming) -> None:
        """The message is here under another index or by another way: nothing is missing there."""
        epoch16, index, _ = coming.payload.body
        self.came(turn, coming.author, epoch16, index)
        self.closed(turn, self.awaited(turn, coming.payload.mid))

    def came(self, turn: Turn, author: Member, epoch16: bytes, index: int) -> bool:
        """What stands at an index has come otherwise; says whether it was missing."""
        if not self._allowed(author, epoch16, index):
            return False
        hole = self.holes.at(epoch16, author.device_id, index)
        self.closed(turn, None if hole is None else self._filled(turn, hole, index))
        self._consume(turn, author, epoch16, index)
        return hole is not None

    def _take_back(self, turn: Turn, coming: _Coming, mid: bytes) -> None:
        author, payload = coming.author, coming.payload
        epoch16, index, words = payload.body
        hole = self.holes.at(epoch16, author.device_id, index)
        if not self._allowed(author, epoch16, index) or not (hole or self.holes.named(mid)):
            return
        ts_ms = shown_ms(payload.ts_ms, turn.mesh_ms)
        item = Item.of(mid, epoch16, author.account, payload, (), words=Words.of(words), ts_ms=ts_ms)
        late = None if hole is None else self._filled(turn, hole, index)
        if hole is None:
            self._ended(turn, author, epoch16, index)
        self._consume(turn, author, epoch16, index)
        self.room.people.meet(turn, author.account, author.name)
        if not self.said(turn, late, item):
            self._offer(turn, item)

    def _consume(self, turn: Turn, author: Member, epoch16: bytes, index: int) -> None:
        """The message itself may still come: it has been given, unless its chain has far to go to it."""
        held = self.room.epochs.held.get(epoch16)
        if held is not None and index - held.highest(author.device_id) <= PATIENCE:
            self.room.epochs.consume(turn, held, author.device_id, index)

    def _ended(self, turn: Turn, author: Member, epoch16: bytes, index: int) -> None:
        """An answer to a name says how far its author's chain went: what is before it is missing too."""
        held = self.room.epochs.held[epoch16]
        first = held.highest(author.device_id) + 1
        if first < index < MAX_MESSAGES:
            self._jumped(turn, held, author, range(first, index))

    def said(self, turn: Turn, late: Hole | None, item: Item) -> bool:
        """Put a message where a placeholder stood for it; False if there was none."""
        named = self.awaited(turn, item.mid)
        if late is None:
            late = named
        else:
            self.closed(turn, named)
        if late is None:
            return False
        room = self.room
        freed = room.timeline.healed(item)
        hidden.heal(turn, room, item, self._event(late), late.seq)
        self._redraw(turn, late)
        room.marks.came_late(turn, item)
        self._show(turn, freed)
        room.save(turn)
        return True

    def closed(self, turn: Turn, late: Hole | None) -> None:
        """What was missing there turned out to be nothing to show."""
        if late is not None:
            turn.log(self._event(late))
            self._redraw(turn, late)

    def _event(self, hole: Hole) -> events.MessageHealed:
        return events.MessageHealed(
            room=self.room.uuid, placeholder=ids.text(hole.placeholder), missing=hole.missing
        )
