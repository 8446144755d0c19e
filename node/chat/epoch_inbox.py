"""The announces of others: which new epochs a room takes (docs/crypto.md 3.7).

One counts if its maker could read the epoch it is announced on, signed it, and was a member at the heads that
it names. What needs an op that is not here yet waits for it. Of one that leaves this node out the owner is
told, and other members are asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from node.chat import returning
from node.chat.branches import Branches
from node.chat.epoch_wants import EpochWants
from node.chat.epochs import MAX_GENERATION, Epoch
from node.chat.membership import Roster
from node.chat.parked import ANNOUNCE, HERE
from node.chat.reposts import Reposts
from node.chat.room import Room
from node.chat.turn import Turn
from node.crypto import epoch as epochs
from node.crypto.epoch import EpochAnnounce, SlotOmitted, SplitEpoch
from node.errors import CryptoFault
from node.wire import codec

MAX_AHEAD = 1_000
"""How far an epoch's generation may be above that of the parent it was announced to; only the next one beyond
MAX_GENERATION, so that no member brings a room to the end of the format."""


class EpochInbox:
    """Takes new epochs of one room; `accuse(turn, device_id, code, text)` tells the owner of who made one."""

    def __init__(
        self,
        room: Room,
        branches: Branches,
        reposts: Reposts,
        wants: EpochWants,
        accuse: Callable[[Turn, bytes, str, str], None],
    ) -> None:
        self.room, self.branches, self.reposts, self.wants = room, branches, reposts, wants
        self._accuse = accuse

    def take(self, turn: Turn, held: Epoch, inner: bytes) -> bytes:
        """Take a new epoch that was announced to `held`, one of its parents.

        Returns the first 16 bytes of an op that it needs and that is not here, or HERE; raises PeerFault.
        """
        _, raw, slots = codec.decode(inner, ANNOUNCE)
        room = self.room
        announce = epochs.parse_announce(raw)
        known = room.epochs.held.get(announce.epoch16)
        if known is not None and not known.row.shared_by:
            self.reposts.seen(turn, held, announce.epoch16, slots)
            return HERE
        self._check_place(held, announce)
        author = room.log.device(announce.creator_device)
        if author is None:
            raise CryptoFault("epoch by a device that is not known")
        if not returning.could_read(room.log, held, announce.creator_device, author.account):
            raise CryptoFault("epoch by a device that could not read its parent")
        epochs.verify_announce(announce, author.dsk)
        needs = next((head[:16] for head in announce.heads if not room.log.knows(head)), HERE)
        if needs:
            return needs
        roster = room.log.roster_at(announce.heads)
        if roster.by_device(announce.creator_device) is None:
            raise CryptoFault("epoch by somebody who was not a member")
        if not room.log.allows(announce.creator_device, announce.epoch16, -1, announce.heads):
            raise CryptoFault("epoch made after its author was removed or left")
        if room.me.device_id in roster.devices:
            self._open(turn, announce, slots, roster)
            self.reposts.spoke(turn, held, announce.creator_device, announce.created_ms)
        return HERE

    def _check_place(self, held: Epoch, announce: EpochAnnounce) -> None:
        if announce.room_id != self.room.room_id:
            raise CryptoFault("announce of another room")
        if held.epoch16 not in announce.parents:
            raise CryptoFault("epoch that was not announced to its parent")
        if announce.gen > held.announce.gen + (MAX_AHEAD if announce.gen <= MAX_GENERATION else 1):
            raise CryptoFault("epoch of a generation far ahead of its parent's")
        gens = {epoch16: held.announce.gen for epoch16, held in self.room.epochs.held.items()}
        epochs.check_generation(announce, gens)

    def _open(self, turn: Turn, announce: EpochAnnounce, slots: bytes, roster: Roster) -> None:
        room = self.room
        try:
            secrets = epochs.open_epoch(
                announce,
                slots,
                device_id=room.me.device_id,
                leaf_secrets=room.me.leaf_secrets(),
                device_ids=roster.devices,
            )
        except (SlotOmitted, SplitEpoch) as fault:
            text = f"a member of {room.name} made new keys that leave this node out: {fault}"
            self._accuse(turn, announce.creator_device, fault.code, text)
            if announce.epoch16 not in room.epochs.held:
                self.wants.note(turn, announce.epoch16, announce.creator_device)
            return
        if announce.epoch16 in room.epochs.held:  # a share of it is not needed any more
            room.epochs.disown(turn, room.epochs.held[announce.epoch16], secrets.channel_secret)
        self.wants.done(turn, announce.epoch16)
        new = room.epochs.add(turn, announce.raw, slots, secrets, first=begins(room.epochs.held, announce))
        room.save(turn)
        for parent in announce.parents:
            if parent not in room.epochs.held:
                self.wants.note(turn, parent, b"", hearsay=True)
        self.branches.join(turn, new)


def begins(held: Mapping[bytes, Epoch], announce: EpochAnnounce) -> bool:
    """Say whether an epoch is one where our reading of a room begins: it follows one from before our time.

    Who holds more than what it came with has been a member since. A parent that is not here may come yet, as
    after weeks of absence, and what was said on it goes before what was said on this one.
    """
    newcomer = all(epoch.row.first for epoch in held.values())
    return newcomer and any(parent not in held for parent in announce.parents)
