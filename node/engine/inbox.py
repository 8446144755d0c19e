"""What happens to an envelope that belongs to one of our channels: the way in (docs/architecture.md).

A PeerFault here changes nothing: the envelope is kept and passed on as everybody's is, what it holds is not
ours to believe.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from contextlib import suppress
from dataclasses import replace
from typing import assert_never

from node.chat import avatars, events
from node.chat.channels import Route
from node.chat.direct import Direct, direct_id
from node.chat.joining import Joining
from node.chat.people import CONTACT, Person
from node.chat.room import SMALL
from node.chat.room_inbox import RoomInbox
from node.chat.turn import Turn
from node.clock import DAY_MS, day_of
from node.crypto.channel import ChannelKind, Inner, presence_channel
from node.crypto.epoch import parse_announce
from node.crypto.welcome import Welcome
from node.engine import comebacks, parting
from node.engine.announcing import Announcing
from node.engine.beats import Beats
from node.engine.greeting import Greeting
from node.engine.inviting import Inviting
from node.engine.listings import Listings
from node.engine.newcomers import Newcomers
from node.engine.noticing import Noticing
from node.engine.reading import ReadingDesk
from node.engine.receipts import Receipts
from node.engine.signals import Signals
from node.engine.standing_in import StandingIn
from node.engine.state import State
from node.engine.upkeep import Upkeep
from node.engine.whereabouts import Whereabouts
from node.errors import CryptoFault, DecodeError, PeerFault
from node.tables import Table
from node.wire.envelope import EPHEMERAL, Envelope
from node.wire.payload import Payload, Type

INTRODUCE_AFTER = 0.5
INTRODUCE_SPREAD = 2.0
INTRODUCE_PATIENCE = 30.0
"""Seconds: after an add, spread over the members, and how long an epoch for the new roster is waited for."""
INTRODUCE_AGAIN = 1.0
"""Seconds between two looks whether there is one."""
PROFILE_AHEAD_MS = 2 * DAY_MS
"""How far ahead a profile may be of mesh time, which goes back by 36 hours at most when a clock is set right:
what is said after that counts more, though it has the earlier time, and a made-up time counts for so long."""


class Inbox:
    """Routes opened envelopes to rooms, sessions, joins and presence."""

    def __init__(
        self, state: State, inviting: Inviting, listings: Listings, whereabouts: Whereabouts
    ) -> None:
        self.state = state
        self.inviting = inviting
        self.whereabouts = whereabouts
        self.announcing = Announcing(state)
        self.noticing = Noticing(state)
        self.greeting = Greeting(state)
        self.newcomers = Newcomers(state)
        self.standing_in = StandingIn(state)
        self.signals = Signals(state)
        self.receipts = Receipts(state)
        self.reading = ReadingDesk(state)
        self.upkeep = Upkeep(state)
        self.beats = Beats(state, self.upkeep.met)
        self.listings, self.profiles = listings, listings.profiles
        self.greeting.changed = listings.look_at
        state.contacts.requests.parted = lambda turn, account: parting.part(self, turn, account)
        self._until: dict[bytes, float] = {}

    def take(self, turn: Turn, route: Route, envelope: Envelope) -> bytes | None:
        """Open an envelope of our channel and act on it; raises PeerFault with nothing changed.

        Returns the one room or direct room that it can have changed; empty if none, None if any.
        """
        inner = route.channel.open(envelope)
        turn.posted_ms = envelope.ts_ms
        if (envelope.kind == EPHEMERAL) != (inner[1] == Inner.EPHEMERAL):
            raise DecodeError("an ephemeral that is to be kept, or a message that is not")
        match route.channel.kind:
            case ChannelKind.ROOM:
                self._room(turn, route, inner)
                return route.owner
            case ChannelKind.DM:
                return self._dm(turn, route, inner, envelope.ts_ms)
            case ChannelKind.INBOX:
                self._first_contact(turn, inner)
            case ChannelKind.JOIN:
                self._join(turn, route, inner)
            case ChannelKind.PRESENCE:
                return self.beats.take(turn, route, inner)
            case ChannelKind.DIRECTORY:
                self.listings.take(turn, envelope, inner)
            case ChannelKind.ATTACHMENT:
                self.state.attachments.gossiped.take(turn, route.owner, inner)
            case _:
                assert_never(route.channel.kind)
        return None

    def _room(self, turn: Turn, route: Route, inner: bytes) -> None:
        inbox = self.state.rooms.inboxes.get(route.owner)
        if inbox is None or route.part not in inbox.room.epochs.held:
            raise CryptoFault("room or epoch is gone")
        if inner[1] == Inner.EPHEMERAL:
            self.signals.in_room(turn, inbox.room, route.part, inner)
            return
        before, over = inbox.room.log.roster, inbox.room.log.deleted
        inbox.receive(turn, route.part, inner)
        if inbox.room.log.deleted and not over:
            self.inviting.room_ended(turn, route.owner)
        if inbox.room.log.roster is not before:
            self._roster_changed(turn, inbox, before.members.keys())
        for account, payload in inbox.take_profiles():
            if payload.type is Type.ANNOUNCEMENT:
                self.announcing.in_room(turn, inbox.room, account, payload)
            if payload.type is Type.NODE_RECORD:
                self.whereabouts.take(turn, inbox.room, account, payload)
            self.on_profile(turn, account, payload)
        comebacks.look(self.state, turn, inbox.room)
        for member, payload in inbox.healing.take_overheard():
            self.standing_in.overheard(turn, inbox.room, member, payload)
        self.greeting.refresh(turn, inbox.room)

    def _roster_changed(self, turn: Turn, inbox: RoomInbox, before: Set[bytes]) -> None:
        room = inbox.room
        members = room.log.roster.members.keys()
        self.state.expect(room, members - before, turn.now.mono)
        gone = before - members
        if gone:
            self.somebody_left(turn, before if self.state.me.account in gone else gone)
        if members - before and room.is_member(self.state.me.account) and len(members) <= SMALL:
            self.introduce_later(turn, room.room_id)

    def introduce_later(self, turn: Turn, room_id: bytes) -> None:
        """Introduce ourselves once the epoch that the newcomer opens has surely come, one after another."""
        jitter = int.from_bytes(turn.entropy(2), "big") / 65_536 * INTRODUCE_SPREAD
        self.state.introductions.setdefault(room_id, turn.now.mono + INTRODUCE_AFTER + jitter)
        turn.put(Table.SETTINGS, b"introduce" + room_id, 1)

    def introductions_due(self, turn: Turn) -> None:
        """Introduce ourselves where it is time, if there is an epoch to do it under."""
        for room_id, due in list(self.state.introductions.items()):
            inbox = self.state.rooms.inboxes[room_id]
            ready = inbox.room.epochs.sending(inbox.room.roster_hash(), turn.mesh_ms) is not None
            until = self._until.setdefault(room_id, due + INTRODUCE_PATIENCE)
            if turn.now.mono < due:
                continue
            if not ready and turn.now.mono <= until:
                self.state.introductions[room_id] = turn.now.mono + INTRODUCE_AGAIN
                continue
            del self.state.introductions[room_id], self._until[room_id]
            turn.delete(Table.SETTINGS, b"introduce" + room_id)
            if inbox.room in self.state.rooms.rooms():
                self.introduce(turn, inbox)

    def introduce(self, turn: Turn, inbox: RoomInbox) -> None:
        """Tell a small room our nickname and presence channel; not one that has grown since."""
        if len(inbox.room.log.roster.members) > SMALL or not inbox.room.open:
            return
        people, members = self.state.people, inbox.room.log.roster.members
        if people.kept_from(members):
            return
        told = people.blocked.isdisjoint(members)  # whoever is blocked there is not to see when we are here
        if inbox.room.epochs.held and told:
            self.state.me.tell_presence(turn)
        profile = self.state.me.profile
        body = [profile.nickname, profile.avatar, profile.status, profile.presence_cs if told else None]
        inbox.room.whisper(turn, Type.PROFILE, body, ts_ms=self.state.me.profile_ms(turn))

    def introduce_to(self, turn: Turn, account: bytes) -> None:
        """Tell the small rooms that somebody is in with us what we kept from them."""
        for room in self.state.rooms.shared(account, small=True):
            self.introduce(turn, self.state.rooms.inboxes[room.room_id])

    def spread_profile(self, turn: Turn) -> None:
        """Tell contacts and small rooms what we show of ourselves now."""
        state = self.state
        for person in state.people.contacts():
            if person.state == CONTACT and not person.blocked and state.dms.of(person.account):
                state.dms.send(turn, person.account, state.contacts.profile_payload(turn))
        for room in state.rooms.rooms():
            self.introduce(turn, state.rooms.inboxes[room.room_id])

    def somebody_left(self, turn: Turn, gone: Iterable[bytes]) -> None:
        """Whoever left a small room still has our presence channel: it is to be renewed; theirs is let go."""
        for account in gone:
            parting.let_go(self.state, turn, account)
        profile = self.state.me.profile
        if not profile.presence_stale:
            self.state.me.set_profile(turn, replace(profile, presence_stale=True))

    def renew_presence(self, turn: Turn) -> None:
        """Renew the presence channel after somebody left, at most daily, and hand the new one out."""
        profile = self.state.me.profile
        if profile.presence_stale and turn.now.wall_ms - profile.presence_ms >= DAY_MS:
            fresh = replace(
                profile, presence_cs=turn.entropy(32), presence_ms=turn.now.wall_ms, presence_stale=False
            )
            self.state.me.set_profile(turn, fresh)
            self.spread_profile(turn)

    def _dm(self, turn: Turn, route: Route, inner: bytes, ts_ms: int) -> bytes | None:
        dms = self.state.dms
        if inner[1] == Inner.EPHEMERAL:
            self._direct_signal(turn, route, inner)
            return b""
        if inner[1] == Inner.OBJECT_PART:
            whole = dms.large.take(turn, route.part, inner)
            if whole is not None:
                self.on_large(turn, route.owner, whole)
            return None
        opened = self.state.mending.open(turn, route.part, inner)
        if opened is None:
            return None
        session, payload = opened
        if payload.type is Type.OBJECT:
            dms.large.expect(turn, (session.session_id, session.account), payload, ts_ms)
        else:
            self.on_dm(turn, session.account, payload)
        if payload.type is Type.RECEIPT:
            return b""
        return direct_id(self.state.me.account, session.account) if payload.type is Type.TEXT else None

    def _direct_signal(self, turn: Turn, route: Route, inner: bytes) -> None:
        direct = self.state.rooms.direct.get(direct_id(self.state.me.account, route.owner))
        if direct is not None and route.part in self.state.dms.sessions:
            self.signals.in_direct(turn, direct, route.part, inner)

    def on_dm(self, turn: Turn, account: bytes, payload: Payload) -> None:
        """Act on a payload that came in a direct session, unless it has come before."""
        mending = self.state.mending
        if not mending.heard.take(turn, account, payload):
            return
        if payload.type not in parting.KEPT and self.state.people.hides(account):
            return
        match payload.type:
            case Type.TEXT:
                if not parting.silenced(self, turn, account):
                    self.state.dms.outbox.acknowledged(turn, account, payload.refs)
                    self._told(turn, account, payload)
            case Type.EDIT | Type.DELETE | Type.REACTION:
                if not parting.silenced(self, turn, account):
                    self._changed(turn, account, payload)
            case Type.PROFILE:
                if self.state.may_talk(account):  # to who was removed, a status would be a way to go on
                    self.on_profile(turn, account, payload)
            case Type.INVITE:
                self.inviting.offered(turn, account, payload)
            case Type.INVITE_RESULT:
                self.inviting.answered(turn, account, payload)
            case Type.ANNOUNCEMENT:
                self.announcing.in_direct(turn, account, payload)
            case Type.EPOCH_WANT:
                self.upkeep.sharing.wanted(turn, account, payload)
            case Type.EPOCH_SHARE:
                self.upkeep.sharing.given(turn, account, payload)
            case Type.RECEIPT:
                self.receipts.take(turn, account, payload)
            case Type.HISTORY_WANT:
                self.newcomers.wanted(turn, account, payload)
            case Type.NACK:
                have = mending.asked(turn, account, payload)
                direct = self.state.rooms.direct.get(direct_id(self.state.me.account, account))
                if direct is not None:
                    direct.learn(turn, have)
            case _:
                return

    def _told(self, turn: Turn, account: bytes, payload: Payload) -> None:
        """Take a text; what it refers to that was dropped here is not waited for."""
        direct, heard = self.direct_with(turn, account), self.state.mending.heard
        line = direct.timeline
        gone = tuple(mid for mid in payload.refs if not line.seen(mid) and heard.has(account, mid))
        if gone:
            direct.learn(turn, gone)
        direct.receive(turn, payload)

    def _changed(self, turn: Turn, account: bytes, payload: Payload) -> None:
        """Take a change by the other of two; there only its author deletes a message."""
        both = {account, self.state.me.account}
        theirs = payload.type is Type.EDIT or payload.body[1] in both
        if theirs and (payload.type is not Type.DELETE or payload.body[1] == account):
            self.state.changing.take(turn, direct_id(self.state.me.account, account), account, payload)

    def on_large(self, turn: Turn, account: bytes, payload: Payload) -> None:
        """Act on a payload that came as an Object in a direct session."""
        match payload.type:
            case Type.HISTORY:
                self.standing_in.given(turn, account, payload)
                self.newcomers.given(turn, account, payload)
            case Type.EPOCH_SHARE:
                self.upkeep.sharing.given(turn, account, payload)
            case _:
                return

    def direct_with(self, turn: Turn, account: bytes) -> Direct:
        """Return the direct room with an account, made if there is none."""
        return self.state.direct_with(turn, account)

    def on_profile(self, turn: Turn, account: bytes, payload: Payload) -> None:
        """Take what a person says of themselves: nickname, avatar, status, presence channel."""
        if payload.type is not Type.PROFILE:
            return
        if self.state.people.hides(account):
            parting.keep_unseen(self.state, turn, account, payload)
            return
        nickname, avatar, status, presence_cs = payload.body
        avatar = avatars.of_peer(avatar)
        people = self.state.people
        person = people.meet(turn, account, nickname)
        said_ms = min(payload.ts_ms, turn.mesh_ms + PROFILE_AHEAD_MS)
        if said_ms < person.profile_ms:
            return
        person = replace(person, profile_ms=said_ms)
        presence_cs = presence_cs or person.presence_cs  # one that is not told stays what it was
        told = replace(person, nickname=nickname, avatar=avatar, status=status, presence_cs=presence_cs)
        people.save(turn, told)
        if told == person:
            return
        self._watch_presence(turn, person, told)
        turn.log(
            events.Profile(
                username=told.username,
                user_id=people.user_id(account),
                nickname=nickname,
                avatar=avatar,
                status=status,
            )
        )

    def _watch_presence(self, turn: Turn, before: Person, person: Person) -> None:
        if person.presence_cs == before.presence_cs or not person.presence_cs:
            return
        if before.presence_cs:
            turn.unwatch.append((int(ChannelKind.PRESENCE), person.account, before.presence_cs[:8]))
        route = Route(presence_channel(person.presence_cs), person.account, person.presence_cs[:8])
        turn.watch.append((route, day_of(turn.mesh_ms)))
        if person.state == CONTACT or self.state.rooms.shared(person.account, small=True):
            self.state.presence.watch(person.account, turn.now.mono)
            self.beats.soon(turn)

    def _first_contact(self, turn: Turn, inner: bytes) -> None:
        contacts = self.state.contacts
        if inner[1] == Inner.CONTACT_REQUEST:
            contacts.on_request(turn, inner)
        elif inner[1] == Inner.INTRO:
            answer = contacts.on_intro(turn, inner)
            if answer is not None:
                self.on_dm(turn, answer[0].account, answer[1])
        else:
            raise DecodeError("kind of inner that an inbox does not take yet")

    def _join(self, turn: Turn, route: Route, inner: bytes) -> None:
        state = self.state
        wish = state.joins.find(route.owner, route.part)
        if inner[1] == Inner.JOIN_REQUEST:
            inbox = state.rooms.inboxes.get(route.owner)
            if inbox is not None:
                self._asked(turn, inbox, route.part, inner)
        elif wish is not None:
            welcome = state.joins.welcome_of(wish, inner)
            if welcome is not None:
                self._welcome(turn, wish, welcome)
        else:
            self._shelf(turn, route.part, inner)

    def _welcome(self, turn: Turn, wish: Joining, welcome: Welcome) -> None:
        """A welcome came: enter, or wait for what it leaves on a shelf."""
        inbox = self.state.rooms.inboxes.get(wish.room_id)
        if inbox is not None and parse_announce(welcome.announce).epoch16 in inbox.room.epochs.held:
            raise CryptoFault("welcome's epoch was here before")
        whole = self.state.joins.arrivals.take(turn, wish.key, welcome, asked_ms=wish.asked_ms)
        if whole is not None:
            self._enter(turn, wish, whole)

    def _shelf(self, turn: Turn, part: bytes, inner: bytes) -> None:
        """Something for a welcome that waits; one that turns out to be bad was let go with its last part."""
        found = self.state.joins.arrivals.read(turn, part, inner)
        wish = None if found is None else self.state.joins.open.get(found[0])
        if found is not None and wish is not None:
            with suppress(PeerFault):
                self._enter(turn, wish, found[1])

    def _enter(self, turn: Turn, wish: Joining, welcome: Welcome) -> None:
        self.inviting.welcomed(turn, wish, welcome)
        inbox = self.state.rooms.inboxes[wish.room_id]
        self.listings.entered(turn, inbox.room, wish)
        self.greeting.refresh(turn, inbox.room)
        self.introduce(turn, inbox)

    def _asked(self, turn: Turn, inbox: RoomInbox, invite_id: bytes, inner: bytes) -> None:
        """Somebody asks to join: by an invite of ours to one person, or by a link."""
        if invite_id in self.state.invites.all:
            came = self.inviting.admit(turn, inbox, invite_id, inner)
        else:
            came = self.greeting.take(turn, inbox, invite_id, inner) is not None
        if came:
            self._greeted(turn, inbox)

    def _greeted(self, turn: Turn, inbox: RoomInbox) -> None:
        if len(inbox.room.log.roster.members) <= SMALL:
            self.introduce_later(turn, inbox.room.room_id)

    def greet_due(self, turn: Turn) -> None:
        """Let in those whom it is our turn to answer."""
        for inbox in self.greeting.due(turn):
            self._greeted(turn, inbox)
