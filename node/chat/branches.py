"""Branches of one room: what somebody says and makes who has not seen an add of ours (docs/crypto.md 3.7).

Whom we add reads the epoch that we make on it. An op of somebody who had not seen the add comes under an
older one, so we hand it on; an epoch made beside ours leaves out whom we added, as ours leaves out whom they
added, so one of those who hold both makes an epoch on top of both. Either is done at once the first time and
then seldom: a member could make some on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping

from node.chat import returning
from node.chat.epochs import Epoch
from node.chat.membership import Member
from node.chat.renewal import spread
from node.chat.room import MEMBER, Room
from node.chat.turn import Turn
from node.crypto.epoch import REASON_ROSTER
from node.crypto.ops import Add, Op

HANDED, HANDED_EVERY = 32, 10.0
"""Ops handed on at once to those whom we added beside them, and seconds after which it may be one more."""
JOIN_EVERY = 60.0
"""Seconds between two epochs of ours that join branches."""


class Branches:
    """Brings together what was made beside our adds in one room; not stored, for the next epoch joins it."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._handed = self._joined = float("-inf")
        self._later: tuple[bytes, float] | None = None
        """The epoch to be looked at again, and when."""

    @property
    def deadline(self) -> float | None:
        """When branches that came soon after others are looked at again."""
        return None if self._later is None else self._later[1]

    def due(self, turn: Turn) -> None:
        """Join what it is time for, if nobody else has meanwhile."""
        room = self.room
        if self._later is None or self._later[1] > turn.now.mono:
            return
        new, self._later = room.epochs.held.get(self._later[0]), None
        if new is not None and room.epochs.sending(room.roster_hash(), turn.mesh_ms) is None:
            self.join(turn, new)

    # -- ops --------------------------------------------------------------------------------------

    def hand_on(self, turn: Turn, op: Op, before: Mapping[bytes, Member], view16: bytes) -> None:
        """Hand an op on to those whom we added beside it.

        It came under an epoch from before their add, which they cannot read. Whom it puts out, the invite
        having been used up, learns it so too: under its last epoch, as a removal goes. `before` are the
        members and `view16` the view before the op, all of which they know. Ops beyond a few at once are
        theirs to ask for: a member can make any number beside old adds, and every adder would send each.
        """
        room = self.room
        added = self._added(before)
        beside = [one for one in added if not room.log.is_strict_ancestor(one.added_by, op.op_id)]
        if not beside or room.state != MEMBER or returning.replaced(room):
            return
        readable = self._read_by(beside, frozenset(member.device_id for member in before.values()))
        out = any(not room.is_member(member.account) for member in beside)
        if not out and not (readable and self._may_hand_on(turn)):
            return
        for under in readable:
            room.carry(turn, op, under, view16)

    def _read_by(self, people: list[Member], here: frozenset[bytes]) -> list[Epoch]:
        """Return the newest epoch that each of them reads, and nobody whose device was not `here`."""
        newest: dict[bytes, Epoch] = {}
        for member in people:
            theirs = [
                held
                for held in self.room.epochs.held.values()
                if member.device_id in held.devices <= here and held.send
            ]
            best = max(theirs, key=lambda held: (held.announce.gen, held.row.epoch_id), default=None)
            if best is not None:
                newest[best.epoch16] = best
        return list(newest.values())

    def _may_hand_on(self, turn: Turn) -> bool:
        """Say whether an op may be handed on now, and count it."""
        earned = max(self._handed, turn.now.mono - HANDED * HANDED_EVERY) + HANDED_EVERY
        if earned > turn.now.mono:
            return False
        self._handed = earned
        return True

    # -- epochs -----------------------------------------------------------------------------------

    def join(self, turn: Turn, new: Epoch) -> None:
        """Make one epoch for all where two of us added people beside each other.

        Whom the other added holds `new` and not ours, whom we added ours and not `new`; who holds both
        announces an epoch on both.
        """
        room = self.room
        if not room.open or returning.away(room):
            return
        devices = room.log.roster.devices
        if all(m.device_id in new.devices for m in self._added(room.log.roster.members)):
            return
        tips = room.epochs.tips()
        theirs = any(d in devices and any(d not in tip.devices for tip in tips) for d in new.devices)
        if theirs and self._may_join(turn, new):
            room.rekey(turn, REASON_ROSTER)
            room.save(turn)

    def _may_join(self, turn: Turn, new: Epoch) -> bool:
        """Say whether branches may be joined now; else that is looked at again later."""
        if turn.now.mono >= self._joined + JOIN_EVERY:
            self._joined = turn.now.mono
            return True
        wait = spread(new.epoch16, self.room.me.device_id)
        self._later = self._later or (new.epoch16, self._joined + JOIN_EVERY + wait)
        return False

    def _added(self, members: Mapping[bytes, Member]) -> list[Member]:
        """Return who of these came in by an op of ours; costs what we did, not how many they are."""
        ours = self.room.log.ops_of(self.room.me.account)
        adds = {op.op_id: op.body.account for op in ours if isinstance(op.body, Add)}
        mine = ((members.get(account), op_id) for op_id, account in adds.items())
        return [member for member, op_id in mine if member is not None and member.added_by == op_id]
