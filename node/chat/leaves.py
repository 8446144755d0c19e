"""The leaves of one room: which key each member's slot of a new epoch is made for (docs/crypto.md 3.7).

A member brings a leaf with the op that adds it, and a newer one with a later message. Ours is renewed with
the first message after a week; who came since knows the leaf of the log alone, so a message names the one in
use once for each roster.
"""

from __future__ import annotations

from node.chat.me import Me
from node.chat.membership import Member, RoomLog
from node.chat.turn import Turn
from node.crypto.ops import Leaf
from node.tables import Table

Named = tuple[int, bytes] | None
"""A leaf as a message names it, number and public key; None if it names none."""


class Leaves:
    """The newest leaf of each member; `newer` are those that later messages brought, by device."""

    def __init__(self, room_id: bytes, me: Me, log: RoomLog) -> None:
        self.room_id, self.me, self.log = room_id, me, log
        self.newer: dict[bytes, Leaf] = {}
        self._told = b""
        """The hash of the roster that was last told of our leaf in use."""

    def of(self, member: Member) -> Leaf:
        """Return the newest leaf of a member: of the log, or of one of its later messages."""
        renewed = self.newer.get(member.device_id)
        return member.leaf if renewed is None or renewed.leaf_id < member.leaf.leaf_id else renewed

    def save(self, turn: Turn, device_id: bytes, leaf: Leaf) -> None:
        """Use and store another leaf of a member's device."""
        self.newer[device_id] = leaf
        turn.put(Table.OBJECTS, b"leaf" + self.room_id + device_id, [leaf.leaf_id, leaf.public])

    def renewed(self, turn: Turn, device_id: bytes, leaf: Leaf) -> None:
        """Take a newer leaf; messages may come out of order, the numbers of a device's leaves only rise."""
        held = self.newer.get(device_id)
        if held is None or leaf.leaf_id > held.leaf_id:
            self.save(turn, device_id, leaf)

    def fresh(self, turn: Turn) -> Named:
        """Return a leaf of ours for the message about to go: a new one, if that in use is a week old."""
        current = self.of(self.log.roster.members[self.me.account])
        if current.leaf_id in self.me.leaves and not self.me.leaf_is_old(turn, current.leaf_id):
            return self.for_newcomers()
        fresh = self.me.new_leaf(turn)
        self.me.retire_leaf(turn, current.leaf_id)
        self.save(turn, self.me.device_id, fresh)
        return fresh.leaf_id, fresh.public

    def for_newcomers(self) -> Named:
        """Return our leaf in use, once a roster, if it is not that of the log, all that they know."""
        roster = self.log.roster
        member = roster.members[self.me.account]
        current = self.of(member)
        if current == member.leaf or self._told == roster.roster_hash:
            return None
        self._told = roster.roster_hash
        return current.leaf_id, current.public

    def retire(self, turn: Turn) -> None:
        """We are out: what is sealed to ours is of no more use once the last envelopes have come."""
        member = self.log.device(self.me.device_id)
        if member is not None:
            self.me.retire_leaf(turn, self.of(member).leaf_id)
