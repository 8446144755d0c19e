"""Typing, on its way out and in: who may tell it to whom, and what of it is believed (docs/crypto.md 3.9).

An ephemeral changes no chain and is not stored. It is believed if its device is in the room now, its
signature holds (between two people: its box, and it names the other's device), and it is of the last two
minutes and the newest of its device.
"""

from __future__ import annotations

from node import ids
from node.chat.direct import Direct
from node.chat.people import CONTACT
from node.chat.room import SMALL, Room
from node.chat.turn import Turn
from node.chat.typing import NUMBER, STARTED, STOPPED, Typing
from node.crypto import ephemeral
from node.crypto.channel import Channel, ChannelKind
from node.crypto.keys import parse_cert
from node.engine.state import State
from node.errors import CryptoFault


class Signals:
    """What we tell others while we type, and what they tell us."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.typing = Typing(state.people)

    def tell(self, turn: Turn, room: str, *, typing: bool) -> bool:
        """Send it to a small room, or to a contact; says whether it was sent."""
        found = self.state.rooms.find(room)
        sendable = self._to_contact(found) if isinstance(found, Direct) else self._to_room(turn, found)
        name = ids.text(found.room_id)
        if self.state.attendance.hidden:  # who said to be offline tells nobody that they sit here
            return False
        if not sendable or not self.typing.may_send(name, typing=typing, now=turn.now.mono):
            return False
        body = STARTED if typing else STOPPED
        if isinstance(found, Direct):
            self._post_direct(turn, found, body)
        else:
            self._post_room(turn, found, body)
        return True

    def _to_contact(self, direct: Direct) -> bool:
        """A co-member who is no contact learns nothing of when we sit here."""
        dms, person = self.state.dms, self.state.people.get(direct.peer)
        contact = person is not None and person.state == CONTACT
        if person is None or person.blocked or person.blocked_by:
            return False
        return contact and dms.sending(direct.peer) is not None and not dms.kept_from(direct.peer)

    def _to_room(self, turn: Turn, room: Room) -> bool:
        """A small room that has keys for exactly its members: none are made for this."""
        members = room.log.roster.members
        return (
            room.open
            and len(members) <= SMALL
            and room.epochs.sending(room.roster_hash(), turn.mesh_ms) is not None
            and self.state.people.kept_from(members) is None
            and self.state.people.blocked.isdisjoint(members)
        )

    def _post_room(self, turn: Turn, room: Room, body: int) -> None:
        held, me = room.sending(turn), self.state.me
        inner = ephemeral.seal_room_ephemeral(
            held.row.ephemeral_key,
            held.epoch16,
            me.device_id,
            ts_ms=turn.mesh_ms,
            type=NUMBER,
            body=body,
            dsk_sk=me.identity.dsk_sk,
            entropy=turn.entropy,
        )
        turn.post(held.channel, inner, ephemeral=True)

    def _post_direct(self, turn: Turn, direct: Direct, body: int) -> None:
        session = self.state.dms.sending(direct.peer)
        assert session is not None
        inner = ephemeral.seal_dm_ephemeral(
            ephemeral.ephemeral_dm_key(session.channel_secret),
            self.state.me.device_id,
            ts_ms=turn.mesh_ms,
            type=NUMBER,
            body=body,
            entropy=turn.entropy,
        )
        turn.post(Channel(ChannelKind.DM, session.channel_secret), inner, ephemeral=True)

    # -- in ---------------------------------------------------------------------------------------

    def in_room(self, turn: Turn, room: Room, epoch16: bytes, inner: bytes) -> None:
        """Take an ephemeral that came on a room's channel; raises PeerFault with nothing changed."""
        msg = ephemeral.parse_ephemeral(inner)
        held = room.epochs.held[epoch16]
        member = room.log.roster.by_device(msg.device16)
        if msg.epoch16 != epoch16 or member is None or msg.device16 not in held.devices:
            raise CryptoFault("ephemeral of a device that is not in the room")
        if member.account == self.state.me.account:
            raise CryptoFault("own ephemeral came back")
        if self.state.people.hides(member.account):
            return
        said = ephemeral.open_room_ephemeral(held.row.ephemeral_key, msg, member.dsk)
        self._heard(turn, ids.text(room.room_id), member.account, msg.device16, said)

    def in_direct(self, turn: Turn, direct: Direct, session_id: bytes, inner: bytes) -> None:
        """Take an ephemeral that came on a direct session's channel; raises PeerFault."""
        session = self.state.dms.sessions[session_id]
        person = self.state.people.by_account[direct.peer]
        if person.blocked or person.state != CONTACT:
            return
        if person.cert is None:
            raise CryptoFault("ephemeral of somebody whose device is not known")
        msg = ephemeral.parse_ephemeral(inner)
        key = ephemeral.ephemeral_dm_key(session.channel_secret)
        said = ephemeral.open_dm_ephemeral(key, msg, parse_cert(person.cert).device_id)
        self._heard(turn, ids.text(direct.room_id), direct.peer, msg.device16, said)

    def _heard(self, turn: Turn, room: str, account: bytes, device: bytes, said: ephemeral.Ephemeral) -> None:
        if not ephemeral.is_timely(said.ts_ms, turn.mesh_ms):
            raise CryptoFault("ephemeral that is late")
        if said.type != NUMBER or said.body not in {STOPPED, STARTED}:
            return
        if not self.typing.is_news(room, device, said.ts_ms):
            raise CryptoFault("ephemeral that came before")
        self.typing.heard(turn, room, account, typing=said.body == STARTED)
