"""Open rooms in the directory: what others list, and listing our own, once a day (docs/crypto.md 3.10).

Everybody in the network reads the directory and may write there, so what comes is refused as cheaply as can
be, and signatures are checked at a limited rate. Of a room's members one lists it: the creator's node if it
is up, else whoever's turn comes first; the others see it and keep still. Nothing of the turns is stored: they
follow from what is listed.
"""

from __future__ import annotations

from node import ids
from node.chat import events
from node.chat.channels import Route
from node.chat.directory import AGAIN_MS, GAP_MS, MAX_EACH, TTL_DAYS, Directory, Listed
from node.chat.joining import Joining
from node.chat.room import MEMBER, Room
from node.chat.turn import Turn
from node.clock import earliest
from node.crypto.channel import Inner, directory_channel
from node.crypto.listing import Listing, make_listing, parse_listing, verify_listing
from node.crypto.ops import Visibility
from node.engine.profiles import Profiles
from node.engine.state import State
from node.errors import CryptoFault, DecodeError
from node.mesh.limits import TokenBucket
from node.tables import Table
from node.wire.envelope import Envelope

SOON = 0.1
"""Seconds that the creator's node waits, and a lister that has listed the room before: others may be told the
id of a room as soon as it is made."""
WAIT, WAIT_EACH, WAIT_MOST = 30.0, 2.0, 1_800.0
"""Seconds after which others list, at random, more of them over a longer time: one is enough."""
PAUSE = 1.0
"""Seconds between two listings of ours."""
CHECKS = 50.0
"""Listings whose signatures are checked in a second: 4 % of a core."""
BURST = 1_000.0
"""The same at once, after some quiet: what a whole directory has."""
TOLD, TOLD_AT_ONCE = 5.0, 50.0
"""Changes of the list that frontends are told of in a second, and at once: whoever makes up rooms fills the
list, not the frontends' queues. `room_list` has all of it."""


class Listings:
    """The directory channel of the network, and whose turn it is to list our rooms."""

    def __init__(self, state: State, network_id: bytes, now: float) -> None:
        self.state = state
        self.route = Route(directory_channel(network_id), network_id)
        self._checks = TokenBucket(CHECKS, now=now, burst=BURST)
        self._tells = TokenBucket(TOLD, now=now, burst=TOLD_AT_ONCE)
        self._due: dict[bytes, float] = {}
        self._last = now - PAUSE
        self.profiles = Profiles(state, self.route, now)

    @property
    def directory(self) -> Directory:
        """What is kept."""
        return self.state.directory

    @property
    def deadline(self) -> float | None:
        """When it is our turn to list a room."""
        return earliest(self.profiles.deadline, *self._due.values())

    # -- what others list -------------------------------------------------------------------------

    def take(self, turn: Turn, envelope: Envelope, inner: bytes) -> None:
        """Take a listing; raises PeerFault with nothing changed if it is not to be kept."""
        if inner[1] == Inner.PROFILE_LISTING:
            self.profiles.take(turn, envelope, inner)
            return
        if inner[1] != Inner.LISTING or envelope.ttl_days > TTL_DAYS:
            raise DecodeError("something else than a listing, or one that is to be held for too long")
        listing = parse_listing(inner)
        if abs(envelope.ts_ms - listing.ts_ms) > TTL_DAYS * 86_400_000:
            raise DecodeError("a listing in an envelope of another time")
        room = self._room(listing.room_id)
        self.directory.judge(listing, turn.mesh_ms, ours=room is not None)
        if not self._checks.take(1, now=turn.now.mono):
            raise CryptoFault("more listings than are looked at")
        cert = verify_listing(listing)
        if room is not None and room.log.roster.by_device(cert.device_id) is None:
            raise CryptoFault("a listing of our room by somebody who is not in it")
        before = self.directory.listed(listing.room_id, turn.mesh_ms)
        kept = self.directory.keep(turn, listing, cert.account, ours=room is not None)
        if room is not None:
            self.look_at(turn, room)
            return
        if not listing.count:
            self._ended(turn, listing)
        shown = self.directory.listed(listing.room_id, turn.mesh_ms)
        if (before is None) != (shown is None) or (before and shown and before.name != shown.name):
            self._tell(turn, kept, listed_now=shown is not None)

    def _tell(self, turn: Turn, listed: Listed, *, listed_now: bool) -> None:
        """Tell frontends of a change of the list, unless they were told of very many just now."""
        if self._tells.take(1, now=turn.now.mono):
            room, count = ids.text(listed.room_id), listed.count
            turn.tell(events.RoomListed(room=room, name=listed.name, members=count, listed=listed_now))

    def _room(self, room_id: bytes) -> Room | None:
        inbox = self.state.rooms.inboxes.get(room_id)
        return None if inbox is None or inbox.room.state != MEMBER else inbox.room

    def learn_seed(self, turn: Turn, room_id: bytes, seed: bytes) -> None:
        """Keep the seed of an open room's standing invite, so that we can list it."""
        if room_id not in self.state.seeds:
            self.state.seeds[room_id] = seed
            turn.put(Table.SETTINGS, b"seed" + room_id, seed)

    def entered(self, turn: Turn, room: Room, wish: Joining) -> None:
        """We are in a room: by its standing invite, whose seed we then have, or otherwise."""
        standing = room.log.standing
        if standing is not None and standing.invite_id == wish.invite_id:
            self.learn_seed(turn, room.room_id, wish.seed)

    def _ended(self, turn: Turn, listing: Listing) -> None:
        """The room that we wait to join is over, says who had listed it or made it."""
        for wish in self.state.joins.waiting(listing.room_id):
            if wish.invite_id == listing.invite_id:
                self.state.joins.give_up(turn, wish, "cancelled")

    # -- listing our own --------------------------------------------------------------------------

    def look(self, turn: Turn) -> None:
        """Look, hourly, what has expired and which rooms are to be listed again."""
        for listed in self.directory.expire(turn):
            if listed.count and self._room(listed.room_id) is None:
                self._tell(turn, listed, listed_now=False)
        self.profiles.look(turn)
        for room in self.state.rooms.rooms():
            self.look_at(turn, room)

    def look_at(self, turn: Turn, room: Room) -> None:
        """A room of ours, or its listing, has changed: wait for our turn to list it, if it needs to be."""
        if room.log.policy.visibility is not Visibility.OPEN:
            return
        held = self.directory.rooms.get(room.room_id)
        if held is not None:  # who came by a private invite learns the seed so
            self.learn_seed(turn, room.room_id, held.seed)
        if room.log.deleted:
            self._over(turn, room)
        if not self._needed(turn, room):
            self._due.pop(room.room_id, None)
        elif room.room_id not in self._due:
            self._due[room.room_id] = turn.now.mono + self._wait(turn, room)

    def _needed(self, turn: Turn, room: Room) -> bool:
        if not room.open or not self._can_list(room):
            return False
        held = self.directory.rooms.get(room.room_id)
        if held is None or held.name != room.name or not held.count or not room.is_member(held.lister):
            return True
        return turn.mesh_ms - held.ts_ms >= AGAIN_MS

    def _can_list(self, room: Room) -> bool:
        door = room.log.standing
        return (
            room.room_id in self.state.seeds and bool(room.name) and door is not None and door.uses_left > 0
        )

    def _wait(self, turn: Turn, room: Room) -> float:
        me, held = self.state.me.account, self.directory.rooms.get(room.room_id)
        wait = SOON
        if room.log.creator != me and (held is None or held.lister != me):
            span = min(WAIT_EACH * len(room.log.roster.members), WAIT_MOST)
            wait = WAIT + int.from_bytes(turn.entropy(2), "big") / 65_536 * span
        return wait + self._gap(turn, room.room_id)

    def _gap(self, turn: Turn, room_id: bytes) -> float:
        """Return the seconds for which nobody would take another listing of a room."""
        held = self.directory.rooms.get(room_id)
        return 0.0 if held is None else max(0, held.ts_ms + GAP_MS - turn.mesh_ms) / 1000

    def due(self, turn: Turn) -> None:
        """List one room whose turn has come; the next one a moment later."""
        self.profiles.due(turn)
        for room_id, at in sorted(self._due.items(), key=lambda entry: entry[1]):
            if turn.now.mono < max(at, self._last + PAUSE):
                break
            del self._due[room_id]
            room = self._room(room_id)
            if room is None or not self._needed(turn, room):
                continue
            early = self._gap(turn, room_id)
            if early > 0:
                self._due[room_id] = turn.now.mono + early
                continue
            self._last = turn.now.mono
            self._list(turn, room, len(room.log.roster.members))
        for room_id in [r for r, at in self._due.items() if at <= turn.now.mono]:
            self._due[room_id] = self._last + PAUSE

    def _list(self, turn: Turn, room: Room, count: int) -> None:
        """Post a listing. Where its maker can be reached only the creator's says, who chose to be found."""
        me = self.state.me
        held = self.directory.rooms.get(room.room_id)
        inner = make_listing(
            me.identity,
            create=room.log.create.raw,
            seed=self.state.seeds[room.room_id],
            name=room.name,
            count=count,
            node_records=[self.state.joins.node_record()] if room.log.creator == me.account else [],
            ts_ms=turn.mesh_ms if held is None else max(turn.mesh_ms, held.ts_ms + 1),
            cert=me.cert,
        )
        self.directory.keep(turn, parse_listing(inner), me.account, ours=True)
        turn.post(self.route.channel, inner, ttl_days=TTL_DAYS)

    def _over(self, turn: Turn, room: Room) -> None:
        """A room was deleted: its creator's node, or who listed it last, takes it off everybody's list."""
        held = self.directory.rooms.get(room.room_id)
        if held is None or not held.count:
            return
        if self.state.me.account in {held.lister, room.log.creator} and self._can_list(room):
            self._list(turn, room, 0)
        else:
            self.directory.end(turn, room.room_id)

    # -- what frontends see -----------------------------------------------------------------------

    def crowded(self) -> bool:
        """Say whether we made as many open rooms as others keep of one creator."""
        me = self.state.me.account
        mine = [room for room in self.state.rooms.rooms() if room.open and room.log.creator == me]
        return sum(room.log.policy.visibility is Visibility.OPEN for room in mine) > MAX_EACH

    def others(self, now_ms: int) -> list[Listed]:
        """Return the open rooms that we are not in."""
        return [listed for listed in self.directory.shown(now_ms) if self._room(listed.room_id) is None]
