"""What a big room costs its members: taking in an add, and opening the welcome to it.

A member's room is a real one, fed what the adder posts, without mesh and store; times are the processor's.
Beside it stand the bare verifications of signatures, without which nothing could be believed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from statistics import median

from bench.crypto import Beside
from node.chat.joining import Joining, Joins
from node.chat.me import Me
from node.chat.people import People
from node.chat.room import Room
from node.chat.room_inbox import RoomInbox
from node.chat.turn import Turn
from node.clock import DAY_MS, Instant
from node.crypto import keys
from node.crypto.channel import join_channel, join_channel_secret
from node.crypto.epoch import REASON_ROSTER
from node.crypto.joining import JoinRequest, invite_keypair, link_invite_id
from node.crypto.keys import Identity
from node.crypto.labels import Label
from node.crypto.ops import MAX_USES, Add, Invite, Leaf, Op, Policy, Role
from node.crypto.primitives import ed25519_keypair, sign, verify, x25519_public

DAY = 20_000
NOW = Instant(1000.0, DAY * DAY_MS + 1_000)
SIZES = (10, 100, 1_000)
ADDS = 5
PER_ADD = 6
"""Signatures behind an add: of the message, the op, two of the certificate, of the list, of the announce."""
PER_OP = 4
"""Signatures of an add in the log: of the op, two of the certificate, of the list."""


def turn() -> Turn:
    """Return a fresh turn; what it gathers is thrown away."""
    return Turn(NOW, NOW.wall_ms, os.urandom, 0)


class One:
    """Somebody's node, as far as a room needs it."""

    def __init__(self, name: str) -> None:
        self.me = Me.create(Identity.generate(os.urandom, DAY), name, name, NOW, os.urandom)
        self.people = People(self.me.account, name)
        self.joins = Joins(self.me, self.people)

    def wish(self, room: Room, seed: bytes) -> Joining:
        """Return a join of ours by a link."""
        link = link_invite_id(invite_keypair(seed)[0])
        now, leaf = NOW.wall_ms, self.me.new_leaf(turn())
        wish = Joining(room.room_id, link, room.me.account, "", now, now, seed, leaf_id=leaf.leaf_id)
        self.joins.open[wish.key] = wish
        return wish

    def request(self, wish: Joining) -> JoinRequest:
        """Return what a greeter has of our join request once it is read."""
        assert wish.leaf_id is not None
        leaf = Leaf(wish.leaf_id, self.me.leaves[wish.leaf_id].public)
        card = (self.me.cert, self.me.devices, self.me.bundle(turn()), b"")
        name = self.me.profile.nickname
        return JoinRequest(wish.room_id, wish.invite_id, *card, leaf, name, NOW.wall_ms, os.urandom(32))


class Crowd:
    """A room with its creator `ada` and a member `ben` who takes everything in."""

    def __init__(self, size: int) -> None:
        self.ada, self.ben, self.seed = One("ada"), One("ben"), os.urandom(32)
        self.room = Room.create(turn(), self.ada.me, self.ada.people, "crowd", Policy())
        public = invite_keypair(self.seed)[0]
        secret = join_channel_secret(self.seed)
        self._stands(Invite(link_invite_id(public), public, secret, MAX_USES, 0, Role.GREETER))
        for number in range(size - 2):
            self._stands(stranger(number))
        self.inbox, self.opening_s = self._let_in()

    def _stands(self, body: Invite | Add) -> None:
        self.room.log.add(self.room.signed(turn(), body))
        if isinstance(body, Add):
            self.ada.people.meet(turn(), body.account, body.name)

    def _let_in(self) -> tuple[RoomInbox, float]:
        """Let ben in by the link; returns his room and the seconds that it took him to enter."""
        wish = self.ben.wish(self.room, self.seed)
        posting = turn()
        request = self.ben.request(wish)
        self.ada.joins._admit(posting, self.room, request, self._signed(request))
        if self.ada.joins.batch(self.room).waiting:
            self.room.rekey(posting, REASON_ROSTER)
            self.ada.joins.welcome_named(posting, self.ada.joins.batch(self.room))
        sealed, reading = posting.posts, turn()
        started = time.process_time()
        door = join_channel(join_channel_secret(self.seed))
        inners = [door.open(one) for one in sealed if one.rk == door.rk(DAY)]
        welcome = next(w for w in (self.ben.joins.welcome_of(wish, inner) for inner in inners) if w)
        whole = self.ben.joins.arrivals.take(reading, wish.key, welcome, asked_ms=NOW.wall_ms)
        for route, _ in [] if whole is not None else reading.watch:
            for one in [one for one in sealed if one.rk == route.channel.rk(DAY)]:
                found = self.ben.joins.arrivals.read(reading, route.part, route.channel.open(one))
                whole = whole or (found and found[1])
        assert whole is not None
        room = self.ben.joins.enter(reading, wish, whole, None)
        return RoomInbox(room), time.process_time() - started

    def _signed(self, request: JoinRequest) -> Op:
        return self.room.signed(turn(), self.ada.joins._add_of(request, Role.GREETER))

    def add(self, number: int) -> float:
        """Let ada add somebody; returns the seconds that it takes ben to take it in."""
        body, posting = stranger(number), turn()
        under = self.room.sending(posting)
        self.room.author(posting, self.room.signed(posting, body), under)
        self.ada.people.meet(turn(), body.account, body.name)
        self.room.rekey(posting, REASON_ROSTER)
        inners = [under.channel.open(sealed) for sealed in posting.posts]
        before, taking = len(self.inbox.room.epochs.held), turn()
        started = time.process_time()
        for inner in inners:
            self.inbox.receive(taking, under.epoch16, inner)
        spent = time.process_time() - started
        assert len(self.inbox.room.epochs.held) == before + 1
        return spent


def measure(sizes: Sequence[int] = SIZES, adds: int = ADDS) -> Iterator[Beside]:
    """Measure rooms of each size, beside the bare verifications."""
    bare = checking()
    for size in sizes:
        crowd = Crowd(size)
        adding = crowd if size < sizes[-1] else Crowd(size - adds)  # the largest has no place for more
        took = [adding.add(number) for number in range(size, size + adds)]
        yield Beside(f"take in an add to a room of {size:,}", 1e6 * median(took), PER_ADD * bare, PER_ADD)
        checks = PER_OP * size
        yield Beside(f"open the welcome to a room of {size:,}", 1e6 * crowd.opening_s, checks * bare, checks)


def checking() -> float:
    """Return the microseconds of one bare verification."""
    public, secret = ed25519_keypair(os.urandom(32))
    signature = sign(Label.OP, secret, b"op")
    times = []
    for _ in range(300):
        started = time.process_time()
        verify(Label.OP, public, b"op", signature)
        times.append(time.process_time() - started)
    return 1e6 * median(times)


def stranger(number: int) -> Add:
    """Return the add of somebody who never runs."""
    who = Identity.generate(os.urandom, DAY)
    cert = keys.make_cert(who, DAY, DAY + 100)
    devices = keys.make_list(who, 1, bytes(32), (cert.cert_hash,), (), DAY)
    return Add(who.account, Role.GREETER, cert.raw, devices.raw, leaf(), f"p{number}")


def leaf() -> Leaf:
    """Return a leaf whose private half nobody has."""
    return Leaf(1, x25519_public(os.urandom(32)))
