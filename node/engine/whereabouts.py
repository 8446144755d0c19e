"""Where nodes can be found: our record into our rooms, members' records out of them (docs/protocol.md 7).

A small room is told once, after each change, and before the record of a week has run out; at most once a
day. Nothing is told where somebody reads along whom we have blocked: it says where we are. What strangers of
the mesh told is kept here as well, so that a start does not begin with nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from node.chat.people import CONTACT
from node.chat.records import take_record
from node.chat.room import SMALL, Room
from node.chat.turn import Turn, pack_row, unpack_row
from node.clock import DAY_MS, Instant
from node.crypto import noderec
from node.engine.state import State
from node.errors import PeerFault
from node.mesh.limits import TokenBucket
from node.mesh.mesh import Mesh
from node.mesh.ports import AddAddress, Outdated, Source
from node.store.records import Loaded
from node.tables import Table
from node.wire.payload import Payload, Type

TELL_AGAIN_MS = 5 * DAY_MS
"""Before a record that holds for 7 days has run out."""
SETTLE = 300.0
"""Seconds after a start in which nothing is told: who was away may not know yet who has left a room."""
AHEAD_S = 2 * 86_400
"""Seconds by which a member's record may be numbered ahead of our clock: none would ever replace it."""
TAKE_RATE, TAKE_BURST = 1 / 600, 4
"""Records a second that one member may replace its last by, and at once: it has one to tell a day."""
KEEP_VIEW = 600.0
"""Seconds between two times that the passive view is written, at least, but for a stop."""
FIRST_VIEW = 60.0
"""Seconds from a start to the first of them."""
VIEW_ROW = b"view"
_TOLD = b"where"
ViewRow = list[tuple[bytes, bytes, int, int]]


def remembered(loaded: Loaded) -> ViewRow:
    """Return the passive view as it was written last."""
    data = loaded.rows[Table.SETTINGS].get(VIEW_ROW)
    return [] if data is None else unpack_row(data, ViewRow)


class Whereabouts:
    """Tells rooms our record and takes theirs; `record` gives ours as it is now."""

    def __init__(
        self, state: State, mesh: Mesh, record: Callable[[], bytes], loaded: Loaded, now: float
    ) -> None:
        self.state, self.mesh, self._record = state, mesh, record
        rows = loaded.rows[Table.SETTINGS]
        self._told = {
            key[len(_TOLD) :]: unpack_row(data, tuple[int, bytes])
            for key, data in rows.items()
            if key.startswith(_TOLD)
        }
        self._allowances: dict[bytes, TokenBucket] = {}
        self._view = rows.get(VIEW_ROW)
        self._view_at = now + FIRST_VIEW
        self.deadline: float | None = now + SETTLE
        """When rooms are first looked at; after that it is done hourly, and when our address changes."""

    # -- ours -------------------------------------------------------------------------------------

    def look(self, turn: Turn) -> None:
        """Tell our record to each room that it is time to tell."""
        if self.deadline is not None and turn.now.mono < self.deadline:
            return
        self.deadline = None
        raw = self._record()
        ours = noderec.read_record(raw)
        if not ours.addresses:
            return
        says = pack_row([ours.addresses, sorted(ours.roles)])[:255]
        for inbox in self.state.rooms.inboxes.values():
            room = inbox.room
            at_ms, said = self._told.get(room.room_id, (0, b""))
            pause_ms = TELL_AGAIN_MS if said == says else DAY_MS
            if (not said or turn.mesh_ms - at_ms >= pause_ms) and self._may_tell(turn, room):
                self._told[room.room_id] = (turn.mesh_ms, says)
                turn.put(Table.SETTINGS, _TOLD + room.room_id, self._told[room.room_id])
                room.whisper(turn, Type.NODE_RECORD, raw)
        self._forget(turn)

    def _may_tell(self, turn: Turn, room: Room) -> bool:
        members, people = room.log.roster.members, self.state.people
        if not 1 < len(members) <= SMALL or not room.open or not room.epochs.held:
            return False
        if room.epochs.sending(room.roster_hash(), turn.mesh_ms) is None:
            return False  # there is no epoch yet for those who are members now
        return people.blocked.isdisjoint(members) and not people.kept_from(members)

    def _forget(self, turn: Turn) -> None:
        inboxes = self.state.rooms.inboxes
        stays = {room_id for room_id in self._told if room_id in inboxes and inboxes[room_id].room.open}
        for room_id in self._told.keys() - stays:
            del self._told[room_id]
            turn.delete(Table.SETTINGS, _TOLD + room_id)

    # -- theirs -----------------------------------------------------------------------------------

    def take(self, turn: Turn, room: Room, account: bytes, payload: Payload) -> None:
        """A member told where their node is: dial it, and tell newcomers; an older record changes nothing."""
        person = self.state.people.by_account.get(account)
        if person is None or account == self.state.me.account or self.state.people.hides(account):
            return
        try:
            theirs = noderec.parse_record(payload.body, Instant(turn.now.mono, turn.mesh_ms))
        except PeerFault:
            return
        newest = turn.mesh_ms // 1000 + AHEAD_S
        now = turn.now.mono
        allowance = self._allowances.setdefault(account, TokenBucket(TAKE_RATE, now=now, burst=TAKE_BURST))
        if theirs.seq > newest or theirs.seq <= _seq_of(person.node_record):
            return
        if not allowance.take(1, now=now):
            return
        self.state.people.save(turn, replace(person, node_record=payload.body))
        if not turn.again:
            take_record(turn, payload.body, "contact" if person.state == CONTACT else "room")
            self.state.joins.learn_addresses(turn, room.room_id, theirs.addresses)

    def known(self, now: Instant) -> list[AddAddress]:
        """Return the addresses of contacts and members of rooms whose records still hold, for a start."""
        found: list[AddAddress] = []
        for person in self.state.people.by_account.values():
            close = person.state == CONTACT
            if person.node_record is None or person.blocked:
                continue
            if not (close or self.state.rooms.shared(person.account)):
                continue
            record = noderec.read_record(person.node_record)  # it was checked when it came
            if not noderec.in_time(record, now):
                continue
            source: Source = "contact" if close else "room"
            found += [AddAddress(address, source, record.node_key) for address in record.addresses]
        return found

    def outdated(self, turn: Turn) -> list[Outdated]:
        """Return what of the records that count no more nobody else says of their node."""
        old = [noderec.read_record(raw) for raw in turn.outdated]
        turn.outdated.clear()
        if not old:
            return []
        known = self.known(Instant(turn.now.mono, turn.mesh_ms))
        said = {one.address for one in known} | set(self.state.contacts.addresses())
        keys = {one.node_key for one in known}
        addresses = dict.fromkeys(a for record in old for a in record.addresses if a not in said)
        gone = dict.fromkeys(record.node_key for record in old if record.node_key not in keys)
        self.state.joins.unlearn_addresses(turn, addresses)
        return [Outdated(tuple(addresses), tuple(gone))]

    # -- strangers' -------------------------------------------------------------------------------

    def keep_view(self, turn: Turn, *, stopping: bool = False) -> None:
        """Write down the passive view if it is another, at most each 10 minutes and at a stop."""
        if not stopping and turn.now.mono < self._view_at:
            return
        self._view_at = turn.now.mono + KEEP_VIEW
        row = self.mesh.remember(turn.now)
        packed = pack_row(row)
        if packed != self._view and (row or self._view is not None):
            self._view = packed
            turn.put(Table.SETTINGS, VIEW_ROW, row)


def _seq_of(record: bytes | None) -> int:
    try:
        return -1 if record is None else noderec.read_record(record).seq
    except PeerFault:
        return -1
