"""What the engine remembers; how a start brings it back is `restoring.py`'s part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from node.bridge.intervals import Intervals
from node.bridge.ports import DialectRecord, SessionStarted, TokenRecord
from node.chat.announcements import Announcements
from node.chat.attachments import Attachments
from node.chat.attendance import Attendance
from node.chat.behind import Behind
from node.chat.changing import Changing
from node.chat.channels import Channels
from node.chat.contacts import Contacts
from node.chat.direct import Direct, direct_id
from node.chat.directory import Directory
from node.chat.dms import Dms
from node.chat.history import Wanted
from node.chat.invites import InviteBook
from node.chat.joining import Joins
from node.chat.ledger import Ledger
from node.chat.listed_people import FoundPeople, ListedPeople
from node.chat.me import Me
from node.chat.mending import Mending
from node.chat.notices import Notices
from node.chat.people import CONTACT, KNOWN, People, Person, check_wanted
from node.chat.presence import NOT_SEEN, Presence, Seen
from node.chat.reading import Readings
from node.chat.returning import Returning
from node.chat.room import SMALL, Room
from node.chat.rooms import Rooms
from node.chat.turn import Turn
from node.clock import Instant
from node.crypto.keys import Identity
from node.engine.nonces import Nonces
from node.errors import Refused
from node.store.records import Loaded

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
