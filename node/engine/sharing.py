"""Epochs that a member could not open: asked of the others, given to those who are entitled to them.

    EPOCH_WANT = [room_id, epoch16]          EPOCH_SHARE = what `node.chat.epoch_shares` makes

Both go in direct sessions. Given is only what the signed roster of the epoch names the asker's device for,
while it is a member, and seldom (docs/crypto.md 3.7).
"""

from __future__ import annotations

from node.chat import epoch_shares
from node.chat.epoch_shares import UnknownHeads
from node.chat.epoch_wants import HEARSAY_TRIES, NEWEST, WantRow
from node.chat.epochs import Epoch
from node.chat.room import Room
from node.chat.room_inbox import RoomInbox
from node.chat.turn import Turn
from node.clock import DAY_MS, HORIZON_DAYS
from node.crypto.epoch import parse_announce
from node.crypto.keys import parse_cert
from node.engine.state import State
from node.errors import PeerFault
from node.wire import codec
from node.wire.payload import MAX_SMALL, Payload, Type

GIVEN_AGAIN = 600.0
"""Seconds in which one account is not given an epoch again."""
GIVEN_AN_HOUR = 8
"""Shares one account gets in an hour: up to 170 KB each."""
MAX_REMEMBERED = 4_096
"""Shares remembered for that; beyond it nobody gets any until an hour has passed."""


class Sharing:
    """Both sides of `epoch_want`."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._given: dict[tuple[bytes, bytes, bytes], float] = {}

    # -- asking -----------------------------------------------------------------------------------

    def starting(self, turn: Turn) -> None:
        """Ask for the newest keys of rooms of which none are left, or none of the last 35 days."""
        limit = turn.now.wall_ms - HORIZON_DAYS * DAY_MS
        for room in self.state.rooms.rooms():
            newest = max((held.row.received_ms for held in room.epochs.held.values()), default=0)
            if newest < limit and room.open and len(room.log.roster.members) > 1:
                self.state.rooms.inboxes[room.room_id].wants.note(turn, NEWEST, b"")

    def due(self, turn: Turn) -> None:
        """Ask for what it is time for."""
        for inbox in self.state.rooms.inboxes.values():
            self._settle(turn, inbox)
            for want in inbox.wants.take_due(turn):
                self._ask(turn, inbox.room, want)

    def _settle(self, turn: Turn, inbox: RoomInbox) -> None:
        """Ask no more for what is sure by now."""
        wants, held = inbox.wants, inbox.room.epochs.held
        if not inbox.room.open:
            wants.clear(turn)
        for epoch16 in list(wants.open):
            known = [held[epoch16]] if epoch16 in held else []
            newest = held.values() if epoch16 == NEWEST else known
            if any(one.row.proven and (one.row.shared_by or one in known) for one in newest):
                wants.done(turn, epoch16)

    def _ask(self, turn: Turn, room: Room, want: WantRow) -> None:
        """Ask one member, at each try another; the maker of the epoch last."""
        dms, presence = self.state.dms, self.state.presence
        members = [m for m in room.log.roster.members.values() if m.account != self.state.me.account]
        members.sort(
            key=lambda m: (
                m.device_id == want.maker,
                dms.sending(m.account) is None,
                not presence.here(m.account),
                bytes(a ^ b for a, b in zip(m.device_id, room.me.device_id, strict=True)),
            )
        )
        if want.hearsay:
            members = [m for m in members if dms.sending(m.account) is not None][:HEARSAY_TRIES]
        if members:
            account = members[want.tries % len(members)].account
            body = [room.room_id, want.epoch16]
            if not dms.send(turn, account, Payload(turn.new_id(), turn.mesh_ms, 0, Type.EPOCH_WANT, body)):
                self.state.reach(turn, account)

    # -- answering --------------------------------------------------------------------------------

    def wanted(self, turn: Turn, account: bytes, payload: Payload) -> None:
        """A member asks for an epoch: give it, if the epoch's roster names the device that we answer to."""
        room_id, epoch16 = payload.body
        inbox, person = self.state.rooms.inboxes.get(room_id), self.state.people.get(account)
        if inbox is None or person is None or person.cert is None or not inbox.room.open:
            return
        member = inbox.room.log.roster.members.get(account)
        if member is None or parse_cert(person.cert).device_id != member.device_id:
            return
        held = _newest(inbox.room, member.device_id) if epoch16 == NEWEST else None
        held = held or inbox.room.epochs.held.get(epoch16)
        if held is None or member.device_id not in held.devices or not held.row.proven:
            return
        if self._may_give(turn, (account, room_id, held.epoch16)):
            self._give(turn, account, epoch_shares.share_of(held, inbox.room.me.device_id, member.device_id))

    def _may_give(self, turn: Turn, name: tuple[bytes, bytes, bytes]) -> bool:
        """Say whether a share may go now, and count it."""
        now = turn.now.mono
        self._given = {one: when for one, when in self._given.items() if when > now - 3600.0}
        recent = [one for one in self._given if one[0] == name[0]]
        again = self._given.get(name, now - GIVEN_AGAIN) > now - GIVEN_AGAIN
        if again or len(recent) >= GIVEN_AN_HOUR or len(self._given) >= MAX_REMEMBERED:
            return False
        self._given[name] = now
        return True

    def _give(self, turn: Turn, account: bytes, share: list[object]) -> None:
        dms = self.state.dms
        if len(codec.pack(share)) > MAX_SMALL:
            dms.send_large(turn, account, Type.EPOCH_SHARE, share)
        elif dms.sending(account) is not None:
            dms.send(turn, account, Payload(turn.new_id(), turn.mesh_ms, 0, Type.EPOCH_SHARE, share))

    # -- being given ------------------------------------------------------------------------------

    def given(self, turn: Turn, account: bytes, payload: Payload) -> None:
        """A member gives what we asked for; what does not hold, or was not asked for, changes nothing."""
        for inbox in self.state.rooms.inboxes.values():
            member = inbox.room.log.roster.members.get(account)
            if member is None or not inbox.wants.open or not inbox.room.open:
                continue
            try:
                if _is_wanted(inbox, parse_announce(payload.body[1]).epoch16):
                    share = epoch_shares.judge(turn, inbox.room, payload.body)
                    self._take(turn, inbox, share, member.device_id)
            except UnknownHeads as lack:
                inbox.wants.lack(lack.heads)
                inbox.exchange.lacking(turn)
            except PeerFault:
                continue

    def _take(self, turn: Turn, inbox: RoomInbox, share: epoch_shares.Share, giver: bytes) -> None:
        epoch16, held = share.announce.epoch16, inbox.room.epochs.held
        before = held.get(epoch16)
        sure = epoch_shares.take(turn, inbox.room, share, giver)
        if held[epoch16] is not before:
            inbox.healing.shared(turn, held[epoch16])
        if sure:
            inbox.wants.done(turn, epoch16)
            inbox.wants.done(turn, NEWEST)
        inbox.room.save(turn)
        inbox.retry(turn)


def _newest(room: Room, device_id: bytes) -> Epoch | None:
    """Return the newest epoch of ours that names a device."""
    named = [held for held in room.epochs.tips() if device_id in held.devices]
    return named[0] if named else None


def _is_wanted(inbox: RoomInbox, epoch16: bytes) -> bool:
    return epoch16 in inbox.wants.open or NEWEST in inbox.wants.open
