"""What the engine remembers, and how a start brings it back from the stored rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from node.bridge.intervals import Intervals
from node.bridge.ports import DialectRecord, SessionStarted, TokenRecord
from node.chat import expiring, sent_changes
from node.chat.announcements import Announcements
from node.chat.attachment_record import Record
from node.chat.attachments import Attachments
from node.chat.attendance import Attendance
from node.chat.batches import NewcomerRow
from node.chat.behind import Behind
from node.chat.changing import Changing, Waiting
from node.chat.channels import Channels, Route
from node.chat.contact_links import LinkToken
from node.chat.contacts import Asked, Contacts
from node.chat.direct import Direct, DirectRow, direct_id
from node.chat.direct_gaps import Gap
from node.chat.directory import Directory, Listed
from node.chat.dms import Dms, DmSession, Queued
from node.chat.epoch_wants import WantRow
from node.chat.epochs import ChainRow, EpochRow, IdleRow
from node.chat.history import Wanted
from node.chat.holes import Hole
from node.chat.invites import Invite, InviteBook
from node.chat.joining import Joining, Joins
from node.chat.keeping import Kept
from node.chat.large import Expected
from node.chat.ledger import ROWS as LEDGER_ROWS, Ledger
from node.chat.listed_people import Found, FoundPeople, ListedPeople, ListedPerson
from node.chat.me import LeafRow, Me, SelfRow
from node.chat.mending import Mending
from node.chat.notices import Notices
from node.chat.outbox import Sent
from node.chat.parked import Parked
from node.chat.people import CONTACT, KNOWN, People, Person, check_wanted
from node.chat.presence import NOT_SEEN, Presence, Seen
from node.chat.reading import Reading, Readings
from node.chat.receipting import Receipting
from node.chat.returning import HEARD, Returning
from node.chat.room import SMALL, Room, RoomRow
from node.chat.room_inbox import RoomInbox
from node.chat.rooms import Rooms
from node.chat.sent import SentRow
from node.chat.slots import SlotsRow
from node.chat.timeline import Item
from node.chat.turn import Turn, unpack_row
from node.clock import Instant, day_of
from node.crypto import ops
from node.crypto.channel import inbox_channel, presence_channel
from node.crypto.keys import Identity
from node.crypto.ops import Leaf
from node.crypto.prekeys import SignedPrekey
from node.engine.nonces import Nonces
from node.errors import Refused
from node.store.records import Loaded
from node.tables import Table

INTRODUCE_AFTER_START = 5.0
"""Seconds after a start before introductions that were due are made: a sync may have told us more by then."""


@dataclass(frozen=True)
class Consumer:
    """A frontend whose place in the log the node remembers: what it has handled, when it was last here."""

    seq: int
    seen_ms: int = 0


class State:
    """Everything the engine decides from; changed only inside a turn."""

    def __init__(self, identity: Identity, me: Me, loaded: Loaded, boot_id: str) -> None:
        self.identity, self.me = identity, me
        self.log_epoch, self.seq, self.first_seq = loaded.log_epoch, loaded.last_seq, loaded.first_seq
        self.read_only = False
        """While the disk is full: what is asked is answered, nothing is changed."""
        self.presence, self.attendance = Presence(), Attendance()
        self.people = People(me.account, me.profile.username)
        self.dms = Dms(me.account)
        self.readings = Readings()
        self.rooms = Rooms(me, self.people, self.readings, self.shown_presence)
        self.ledger = Ledger(self.people, self.rooms.direct.keys())
        self.changing = Changing(self.rooms, self.people)
        self.contacts = Contacts(me, self.people, self.dms, self.rooms.co_member)
        self.joins = Joins(me, self.people)
        self.directory = Directory(self.to_do_with)
        self.listed, self.found = ListedPeople(self.to_do_with), FoundPeople(self.people)
        self.remote_avatars: dict[int, str] = {}
        """Addresses that sessions gave as their avatar, and alone get back."""
        self.seeds: dict[bytes, bytes] = {}
        """Of the standing invites of our open rooms, by room."""
        self.people.moved = self.contacts.moved
        self.dms.kept_from = lambda account: self.people.kept_from((account,)) is not None
        self.mending = Mending(me.account, self.people, self.dms, self.contacts)
        self.contacts.room_with = self._room_with
        self.contacts.shares_small = lambda account: bool(self.rooms.shared(account, small=True))
        self.invites = InviteBook(boot_id)
        self.notices = Notices(self.people)
        self.announcements = Announcements(me.announced)
        self.channels = Channels()
        self.behind = Behind()
        self.returning = Returning(me)
        self.attachments = Attachments()
        self.sessions: dict[int, SessionStarted] = {}
        self.nonces = Nonces()
        self.tokens: dict[str, TokenRecord] = {}
        self.origins: dict[str, int] = {}
        self.dialects: dict[str, DialectRecord] = {}
        self.peers: dict[str, int] = {}
        self.consumers: dict[str, Consumer] = {}
        self.had: Intervals = ()
        self.heard: dict[bytes, int] = {}
        self.introductions: dict[bytes, float] = {}
        self.wanted_history: dict[bytes, Wanted] = {}
        self.lookups: list[tuple[bytes, tuple[bytes, ...]]] = []

    def _room_with(self, account: bytes) -> bytes | None:
        return next((room.room_id for room in self.rooms.shared(account)), None)

    def direct_with(self, turn: Turn, account: bytes) -> Direct:
        """Return the direct room with an account, made if there is none."""
        room_id = direct_id(self.me.account, account)
        direct = self.rooms.direct.get(room_id)
        if direct is None:
            direct = self.rooms.direct[room_id] = Direct(self.me, self.people, self.dms, account)
            direct.save(turn)
        return direct

    def reach(self, turn: Turn, account: bytes) -> None:
        """Ask somebody for a session whom we share a room with, or who is a contact."""
        person, shared = self.people.by_account[account], self.rooms.shared(account)
        if shared or person.state == CONTACT:
            self.contacts.reach(turn, person, shared[0].room_id if shared else None)

    def to_do_with(self) -> set[bytes]:
        """Return the accounts that are ours, a contact's, or of somebody with whom we share a room."""
        contacts = {p.account for p in self.people.by_account.values() if p.state == CONTACT}
        return contacts.union([self.me.account], *(room.log.roster.members for room in self.rooms.rooms()))

    def expect(self, room: Room, accounts: Iterable[bytes], now: float) -> None:
        """Expect beats of members, where members hear each other's: in small rooms (docs/bridge.md)."""
        if len(room.log.roster.members) <= SMALL:
            for account in accounts:
                if account != self.me.account:
                    self.presence.watch(account, now)

    def is_busy(self, account: bytes) -> bool:
        """Say whether somebody, or we, have said to be busy."""
        return self.busy if account == self.me.account else self.seen(account).busy

    def hears(self, account: bytes) -> bool:
        """Say whether we and somebody tell each other what we tell contacts."""
        person = self.people.get(account)
        return person is not None and person.state == CONTACT and not person.blocked and not person.blocked_by

    def is_hidden(self, account: bytes) -> bool:
        """Say whether nothing of somebody is shown here."""
        return self.people.hides(account)

    def is_muted(self, room_id: bytes, now: Instant) -> bool:
        """Say whether a conversation is muted."""
        return self.readings.is_muted(room_id, now)

    @property
    def busy(self) -> bool:
        """Whether the owner wants no games now."""
        return self.me.profile.busy

    def seen(self, account: bytes) -> Seen:
        """Return how somebody is seen, ourselves included."""
        if account != self.me.account:
            return NOT_SEEN if self.people.hides(account) else self.presence.seen(account)
        return Seen(self.attendance.shown, self.busy and not self.attendance.hidden)

    def shown_presence(self, account: bytes) -> Literal["online", "away", "offline"]:
        """Return how a person is shown: `online`, `away` or `offline`."""
        return self.seen(account).state.value

    def status(self, account: bytes) -> str | None:
        """Return the line that somebody shows beside their presence."""
        if account == self.me.account:
            return self.me.profile.status
        return self.people.by_account[account].status

    def may_talk(self, account: bytes) -> bool:
        """Say whether somebody and we may write to each other: contacts, those asked, and co-members."""
        return self.people.by_account[account].state != KNOWN or bool(self.rooms.shared(account))

    def check_direct(self, person: Person, field: str) -> None:
        """Refuse a direct message to somebody who is blocked, or no contact and in no room with us."""
        check_wanted(person, field)
        if not self.may_talk(person.account):
            text = f"{person.username} is no contact: send a contact_request first"
            raise Refused("not_a_contact", text, field=field)


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
            self.watch_presence(person)
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

    def watch_presence(self, person: Person) -> None:
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
