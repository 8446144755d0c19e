"""How a start brings back, from the stored rows, what the engine remembers (docs/architecture.md).

Every table's rows go to the machine that wrote them, in the order in which these lean on each other; a row's
key begins with what tells its kind.
"""

from __future__ import annotations

import msgspec

from node.bridge.intervals import Intervals
from node.bridge.ports import DialectRecord, TokenRecord
from node.chat import expiring, sent_changes
from node.chat.attachment_record import Record
from node.chat.batches import NewcomerRow
from node.chat.changing import Waiting
from node.chat.channels import Route
from node.chat.contact_links import LinkToken
from node.chat.contacts import Asked
from node.chat.direct import Direct, DirectRow
from node.chat.direct_gaps import Gap
from node.chat.directory import Listed
from node.chat.dms import DmSession, Queued
from node.chat.epoch_wants import WantRow
from node.chat.epochs import ChainRow, EpochRow, IdleRow
from node.chat.history import Wanted
from node.chat.holes import Hole
from node.chat.invites import Invite
from node.chat.joining import Joining
from node.chat.keeping import Kept
from node.chat.large import Expected
from node.chat.ledger import ROWS as LEDGER_ROWS
from node.chat.listed_people import Found, ListedPerson
from node.chat.me import LeafRow, Me, SelfRow
from node.chat.outbox import Sent
from node.chat.parked import Parked
from node.chat.people import CONTACT, Person
from node.chat.reading import Reading
from node.chat.receipting import Receipting
from node.chat.returning import HEARD
from node.chat.room import Room, RoomRow
from node.chat.room_inbox import RoomInbox
from node.chat.sent import SentRow
from node.chat.slots import SlotsRow
from node.chat.timeline import Item
from node.chat.turn import unpack_row
from node.clock import Instant, day_of
from node.crypto import ops
from node.crypto.channel import inbox_channel, presence_channel
from node.crypto.keys import Identity
from node.crypto.ops import Leaf
from node.crypto.prekeys import SignedPrekey
from node.engine.state import INTRODUCE_AFTER_START, Consumer, State
from node.store.records import Loaded
from node.tables import Table


def restore_me(identity: Identity, loaded: Loaded) -> Me | None:
    """Return the stored owner, or None in a new home."""
    row = loaded.rows[Table.SELF].get(b"me")
    if row is None:
        return None
    me = Me(identity, unpack_row(row, SelfRow))
    for data in loaded.rows[Table.PREKEYS].values():
        prekey = unpack_row(data, SignedPrekey)
        me.prekeys[prekey.spk_id] = prekey
    for data in loaded.rows[Table.LEAVES].values():
        leaf = unpack_row(data, LeafRow)
        me.leaves[leaf.leaf_id] = leaf
    return me


def _came_ms(invite: Invite) -> int:
    """Order invites as they came: by a clock of ours, for the offer's own end is its sender's word."""
    return invite.expires_ms if invite.deliver_by is None else invite.deliver_by.wall_ms


class Restorer:
    """Brings a state back from its rows, in the order in which they lean on each other."""

    def __init__(self, state: State, loaded: Loaded, now: Instant) -> None:
        self.state, self.rows, self.now = state, loaded.rows, now
        self.today = day_of(now.wall_ms)

    def run(self) -> None:
        """Bring everything back."""
        self._people()
        self._rooms()
        self._history()
        self._direct()
        self._waiting()
        self._ledger()
        self._healing()
        self._small_tables()
        self._inbox()
        for inbox in self.state.rooms.inboxes.values():
            self.state.returning.look(inbox.room, self.now.mono)
            if inbox.parked or inbox.ops.pending:
                inbox.exchange.look(self.now.mono + INTRODUCE_AFTER_START)

    def _add(self, route: Route, created_day: int) -> None:
        self.state.channels.add(route, created_day, self.today)

    def _people(self) -> None:
        state = self.state
        for data in self.rows[Table.PEOPLE].values():
            person = unpack_row(data, Person)
            state.people.restore(person)
            self._watch_presence(person)
        for data in self.rows[Table.RATCHETS].values():
            session = unpack_row(data, DmSession)
            self._add(state.dms.restore(session), session.watch_day)
        for data in self.rows[Table.OBJECT_KEYS].values():
            state.dms.large.restore(unpack_row(data, Expected))
        for key, data in self.rows[Table.REQUESTS].items():
            if key[:1] == b"a":
                asked = unpack_row(data, Asked)
                state.contacts.asked[asked.account] = asked
            elif key[:1] == b"r":
                state.contacts.replays.taken[key[1:]] = unpack_row(data, int)
            elif key[:1] == b"z":
                state.contacts.resets.last[key[1:]] = unpack_row(data, tuple[int, bool])
            elif key[:1] in {b"w", b"q"}:
                state.contacts.requests.restore(key, data)

    def _watch_presence(self, person: Person) -> None:
        """Expect beats of somebody whose presence channel we were given."""
        if person.presence_cs:
            channel = presence_channel(person.presence_cs)
            self._add(Route(channel, person.account, person.presence_cs[:8]), self.today)
            if person.state == CONTACT:
                self.state.presence.watch(person.account, self.now.mono)

    def _rooms(self) -> None:
        for key, data in self.rows[Table.ROOMS].items():
            if not key.startswith(b"direct"):
                self._room(unpack_row(data, RoomRow))
        for room_id, inbox in self.state.rooms.inboxes.items():
            self._log(inbox, room_id)
            self.state.expect(inbox.room, inbox.room.log.roster.members, self.now.mono)
        self._epochs()

    def _room(self, row: RoomRow) -> None:
        state = self.state
        room = Room(row.room_id, state.me, state.people)
        room.restore(row)
        state.rooms.inboxes[row.room_id] = RoomInbox(room)

    def _log(self, inbox: RoomInbox, room_id: bytes) -> None:
        rows = [data for key, data in self.rows[Table.OPS].items() if key.startswith(room_id)]
        stored = [ops.parse_op(unpack_row(data, bytes)) for data in rows]
        for op in sorted(stored, key=lambda op: op.lamport):
            inbox.ops.restore(op)

    def _epochs(self) -> None:
        inboxes = self.state.rooms.inboxes
        for data in self.rows[Table.EPOCHS].values():
            row = unpack_row(data, EpochRow)
            held = inboxes[row.room_id].room.epochs.restore(row)
            self._add(held.route, day_of(held.announce.created_ms))
        chains: dict[bytes, list[ChainRow]] = {}
        for key, data in self.rows[Table.CHAINS].items():
            if key.startswith(b"idle"):
                idle = unpack_row(data, IdleRow)
                inboxes[idle.room_id].room.epochs.restore_idle(key, idle)
            elif key.startswith(b"slots"):
                slots = unpack_row(data, SlotsRow)
                inboxes[slots.room_id].room.epochs.slots.restore(slots)
            else:
                chain = unpack_row(data, ChainRow)
                chains.setdefault(chain.room_id, []).append(chain)
        for room_id, rows in chains.items():
            inboxes[room_id].room.epochs.restore_chains(rows)
            for sent in [chain.sent for chain in rows if chain.sent is not None]:
                inboxes[room_id].room.sent.restore(sent)
        for key, data in self.rows[Table.OBJECTS].items():
            if key.startswith(HEARD):
                inboxes[key[5:21]].room.heard[key[21:]] = unpack_row(data, bytes)
            elif key.startswith(b"leaf"):
                leaf_id, public = unpack_row(data, tuple[int, bytes])
                inboxes[key[4:20]].room.leaves.newer[key[20:]] = Leaf(leaf_id, public)
            elif key.startswith(b"volume"):
                messages, volume = unpack_row(data, tuple[int, int])
                inboxes[key[6:22]].room.epochs.restore_count(key[22:], messages, volume)

    def _history(self) -> None:
        kept: dict[bytes, list[Kept]] = {}
        for key, data in self.rows[Table.HISTORY].items():
            if key.startswith(b"w"):
                want = unpack_row(data, Wanted)
                self.state.wanted_history[want.room_id] = want
            else:
                row = unpack_row(data, Kept)
                kept.setdefault(row.room_id, []).append(row)
        for room_id, rows in kept.items():
            self.state.rooms.inboxes[room_id].room.kept.restore(rows)

    def _direct(self) -> None:
        state = self.state
        for key, data in self.rows[Table.ROOMS].items():
            if key.startswith(b"direct"):
                row = unpack_row(data, DirectRow)
                direct = Direct(state.me, state.people, state.dms, row.peer)
                direct.restore(row)
                state.rooms.direct[row.room_id] = direct

    def _waiting(self) -> None:
        state = self.state
        changed: dict[bytes, list[bytes]] = {}
        for key, data in self.rows[Table.PENDING].items():
            if key[:1] == b"d":
                state.dms.restore_queued(unpack_row(data, Queued))
            elif key[:1] == b"p":
                parked = unpack_row(data, Parked)
                state.rooms.inboxes[parked.room_id].parked[key[1:]] = parked
            elif key[:1] == b"b":
                kind, owner, part, since_ms = unpack_row(data, tuple[int, bytes, bytes, int])
                state.behind.note((kind, owner, part), since_ms, self.now.mono)
            elif key[:1] == b"e":
                want = unpack_row(data, WantRow)
                state.rooms.inboxes[want.room_id].wants.restore(want, self.now.mono)
            elif key[:1] == b"n":
                added = unpack_row(data, NewcomerRow)
                room = state.rooms.inboxes[added.room_id].room
                state.joins.batch(room).restore(added, self.now.mono, self.now.wall_ms)
            elif key[:1] == b"t":
                self._held_back(key[1:17], unpack_row(data, Item))
            elif key[:1] == b"o":
                state.dms.outbox.restore(unpack_row(data, Sent))
            elif key[:1] == b"g":
                gap = unpack_row(data, Gap)
                state.rooms.direct[gap.room_id].gaps.restore(gap, self.now)
            elif key[:1] == b"s":
                state.dms.outbox.seen[key[1:]] = unpack_row(data, int)
            elif key[:1] == b"m":
                state.changing.restore(unpack_row(data, Waiting))
            elif key[:2] == expiring.ROW:
                state.changing.expiring.restore(key[2:], unpack_row(data, int), self.now.mono)
            elif key[:2] == sent_changes.ROW:
                changed.setdefault(key[2:18], []).append(unpack_row(data, bytes))
            elif key[:1] == b"u":
                state.found.restore(unpack_row(data, Found))
            elif key[:1] == b"U":
                state.listed.restore(unpack_row(data, ListedPerson))
            elif key[:1] == b"y":
                state.mending.heard.restore(key[1:], unpack_row(data, bytes))
            elif key[:1] == b"A":
                state.attachments.posting.left[key[1:]] = unpack_row(data, int)
        for room_id, rows in changed.items():
            state.rooms.inboxes[room_id].room.sent_changes.restore(rows)
        state.dms.outbox.sort()
        state.mending.heard.sort()

    def _ledger(self) -> None:
        """Bring back files, and what has become of messages."""
        for key, data in self.rows[Table.ATTACHMENTS].items():
            self.state.attachments.restore(key, unpack_row(data, Record))
        for key, data in self.rows[Table.LEDGER].items():
            if key[:1] == b"i":
                self.state.readings.restore(unpack_row(data, Reading), self.now)
            else:
                self.state.ledger.restore(unpack_row(data, LEDGER_ROWS[key[:1]]))

    def _healing(self) -> None:
        """Bring back what rooms lack, and what others may ask for again."""
        inboxes = self.state.rooms.inboxes
        for key, data in self.rows[Table.OBJECTS].items():
            if key.startswith(b"sent"):
                row = unpack_row(data, SentRow)
                inboxes[row.room_id].room.sent.restore(row)
        for key, data in self.rows[Table.PENDING].items():
            if key[:1] == b"h":
                hole = unpack_row(data, Hole)
                inboxes[hole.room_id].healing.restore(hole, self.now)
            elif key[:1] == b"x":
                names = unpack_row(data, dict[bytes, bool])
                inboxes[key[1:]].healing.references.restore(names, self.now)
                self.state.lookups.append((key[1:], tuple(names)))

    def _held_back(self, room_id: bytes, item: Item) -> None:
        rooms = self.state.rooms
        room = rooms.direct[room_id] if room_id in rooms.direct else rooms.inboxes[room_id].room
        room.timeline.hold(item)
        unknown = room.timeline.unknown(item)
        self.state.lookups.append((room_id, unknown))

    def _small_tables(self) -> None:
        state = self.state
        invites = [unpack_row(data, Invite) for data in self.rows[Table.INVITES].values()]
        for invite in sorted(invites, key=_came_ms):
            state.invites.restore(invite, self.now)
        self.state.announcements.restore(self.rows[Table.NOTICES])
        self.state.notices.restore(self.rows[Table.NOTICES])
        for data in self.rows[Table.JOINS].values():
            wish = unpack_row(data, Joining)
            state.joins.open[wish.key] = wish
            self._add(state.joins.route(wish), day_of(wish.since_ms))
        for key, data in self.rows[Table.OBJECTS].items():
            if key.startswith(b"list"):
                state.directory.restore(unpack_row(data, Listed))
        state.nonces.restore(self.rows[Table.NONCES])
        for data in self.rows[Table.TOKENS].values():
            token = unpack_row(data, TokenRecord)
            state.tokens[token.name] = token
        for key, data in self.rows[Table.ORIGINS].items():
            state.origins[key.decode()] = unpack_row(data, int)
        for data in self.rows[Table.DIALECTS].values():
            record = unpack_row(data, DialectRecord)
            state.dialects[record.name] = record
        for key, data in self.rows[Table.CONSUMERS].items():
            stored = msgspec.msgpack.decode(data)  # an earlier version kept the seq alone
            state.consumers[key.decode()] = Consumer(*(stored if isinstance(stored, list) else [stored]))
        for key, data in self.rows[Table.SETTINGS].items():
            self._setting(key, data)

    def _setting(self, key: bytes, data: bytes) -> None:
        if key.startswith(b"token"):
            token = unpack_row(data, LinkToken)
            self.state.contacts.links.tokens[token.token] = token
        elif key.startswith(b"introduce"):
            self.state.introductions[key[9:]] = self.now.mono + INTRODUCE_AFTER_START
        elif key.startswith(b"peer"):
            self.state.peers[key[4:].decode()] = unpack_row(data, int)
        elif key.startswith(b"seed"):
            self.state.seeds[key[4:]] = unpack_row(data, bytes)
        elif key.startswith(b"reach"):
            self.state.joins.reach[key[5:]] = unpack_row(data, tuple[str, ...])
        elif key.startswith(b"heard"):
            self.state.heard[key[5:]] = unpack_row(data, int)
        elif key == b"receipts":
            self.state.people.receipting = unpack_row(data, Receipting)
        elif key == b"shown":
            self.state.had = unpack_row(data, Intervals)

    def _inbox(self) -> None:
        me = self.state.me
        route = Route(inbox_channel(me.identity.intro_pub), me.account)
        self._add(route, day_of(me.row.created_ms))
        for invite in [i for i in self.state.invites.all.values() if not i.incoming]:
            inbox = self.state.rooms.inboxes.get(invite.room_id)
            known = None if inbox is None else inbox.room.log.invites.get(invite.invite_id)
            if known is not None:
                self._add(
                    self.state.joins.door(invite.room_id, invite.invite_id, known.join_cs), self.today - 35
                )
