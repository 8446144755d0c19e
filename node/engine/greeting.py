"""Greeters: who lets in those who use a room link, and when (docs/crypto.md 3.10).

Every member who may invite watches the join channels, the doors, of the room's open links. The inviter
answers at once; the others wait their turn, and whoever sees the `add` first drops its own. Nothing of
this is stored: the doors follow from the log, and a start reads them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from node.chat.behind import Key
from node.chat.channels import Route
from node.chat.membership import InviteState
from node.chat.room import Room
from node.chat.room_facts import tell_joined
from node.chat.room_inbox import RoomInbox
from node.chat.roster import JOIN_WINDOW_MS
from node.chat.turn import Turn
from node.clock import DAY_MS, day_of, earliest
from node.crypto.channel import ChannelKind
from node.crypto.joining import join_rank, link_invite_id
from node.engine.state import State
from node.errors import CryptoFault, PeerFault

STEP = 0.2
"""Seconds from one greeter's turn to the next's: an `add` crosses a mesh in less."""
FRESH_MS = 5_000
LATE = 2.0
"""Seconds that everybody waits with a request older than that: the `add` it led to may be right behind it."""
MAX_WAITING = 256
"""Requests that wait for our turn; what is beyond is answered by others, or when it is asked again."""
DOORS_EACH = 16
"""Open links of one member and room that are watched, the newest: who makes more crowds nobody out."""
DOORS = 256
"""Doors watched a room; each costs a signing key a day."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    room_id: bytes
    invite_id: bytes
    inner: bytes
    due: float


def is_link(invite: InviteState) -> bool:
    """Say whether an invite is a room link's, for whoever has it, and not one person's."""
    return invite.invite_id == link_invite_id(invite.invite_pk)


def open_links(room: Room, at_ms: int) -> list[InviteState]:
    """Return the links that can still admit somebody at a time, oldest first, the open room's own aside."""
    every, standing = room.log.invites.values(), room.log.standing
    links = [i for i in every if is_link(i) and i.uses_left and not i.over(at_ms) and i is not standing]
    return sorted(links, key=lambda i: (i.opened, i.invite_id))


class Greeting:
    """The doors of every room, and the requests that wait for our turn."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._doors: dict[bytes, frozenset[bytes]] = {}
        self._heads: dict[bytes, tuple[bytes, ...]] = {}
        self._waiting: dict[bytes, _Waiting] = {}
        self._soon: float | None = None
        """The first turn of those that wait; every step asks."""
        self.changed: Callable[[Turn, Room], None] = lambda _turn, _room: None
        """Who else is told that a room's log has changed."""

    @property
    def deadline(self) -> float | None:
        """When our next turn is."""
        return self._soon

    # -- doors ------------------------------------------------------------------------------------

    def _wanted(self, room: Room, now_ms: int) -> dict[bytes, Route]:
        own = self.state.me.account
        if not room.open or all(member.account != own for member in room.log.greeters()):
            return {}
        standing = room.log.standing
        chosen = [standing] if standing is not None and standing.uses_left else []
        made: dict[bytes, int] = {}
        for invite in reversed(open_links(room, now_ms - JOIN_WINDOW_MS)):
            made[invite.author] = made.get(invite.author, 0) + 1
            if made[invite.author] <= DOORS_EACH and len(chosen) < DOORS:
                chosen.append(invite)
        return {i.invite_id: self.state.joins.door(room.room_id, i.invite_id, i.join_cs) for i in chosen}

    def watch_again(self, now_ms: int) -> list[Key]:
        """Watch every door after a start; returns the channels, for what came in before is to be read."""
        keys = []
        for room in self.state.rooms.rooms():
            wanted = self._wanted(room, now_ms)
            self._doors[room.room_id] = frozenset(wanted)
            self._heads[room.room_id] = room.log.heads
            for invite_id, route in wanted.items():
                self.state.channels.add(route, day_of(now_ms - DAY_MS), day_of(now_ms))
                keys.append((int(ChannelKind.JOIN), room.room_id, invite_id))
        return keys

    def refresh(self, turn: Turn, room: Room, *, anyhow: bool = False) -> None:
        """Watch the doors that the log now asks for; costs nothing if it has not changed."""
        heads = room.log.heads if room.open else ()
        if not anyhow and self._heads.get(room.room_id) == heads:
            return
        self._heads[room.room_id] = heads
        self.changed(turn, room)
        wanted = self._wanted(room, turn.mesh_ms)
        before = self._doors.get(room.room_id, frozenset())
        for invite_id in before - wanted.keys():
            if self.state.joins.find(room.room_id, invite_id) is None:
                turn.unwatch.append((int(ChannelKind.JOIN), room.room_id, invite_id))
        for invite_id, route in wanted.items():
            if anyhow or invite_id not in before:
                turn.watch.append((route, day_of(turn.mesh_ms - DAY_MS)))
        self._doors[room.room_id] = frozenset(wanted)

    # -- requests ---------------------------------------------------------------------------------

    def take(self, turn: Turn, inbox: RoomInbox, invite_id: bytes, inner: bytes) -> bytes | None:
        """Answer a join request by a link, now or at our turn; returns the new member if there is one now.

        Raises:
            PeerFault: If the request does not hold, the link admits nobody, or we are no greeter.
        """
        room, own = inbox.room, self.state.me
        request, invite = self.state.joins.judge(turn, room, invite_id, inner)
        if not is_link(invite):
            raise CryptoFault("an invite to one person is its inviter's to answer")
        wait = LATE if turn.mesh_ms - request.ts_ms > FRESH_MS else 0.0
        if invite.author != own.account:
            others = [m.device_id for m in room.log.greeters() if m.account != invite.author]
            wait += STEP * (1 + join_rank(request.req_hash, others, own.device_id))
        if not wait:
            return self._admit(turn, inbox, invite_id, inner)
        if request.req_hash in self._waiting or len(self._waiting) >= MAX_WAITING:
            return None
        due = turn.now.mono + wait
        self._waiting[request.req_hash] = _Waiting(room.room_id, invite_id, inner, due)
        self._soon = earliest(self._soon, due)
        return None

    def _admit(self, turn: Turn, inbox: RoomInbox, invite_id: bytes, inner: bytes) -> bytes | None:
        account = self.state.joins.on_request(turn, inbox.room, invite_id, inner, None)
        if account is None:  # the policy for that person keeps their device out
            return None
        tell_joined(turn, inbox.room, account)
        self.state.expect(inbox.room, [account], turn.now.mono)
        self.refresh(turn, inbox.room)
        return account

    def due(self, turn: Turn) -> Iterator[RoomInbox]:
        """Take our turns that have come; what others have answered meanwhile is not admitted again."""
        if self._soon is None or turn.now.mono < self._soon:
            return
        now = turn.now.mono
        ready = {req_hash: one for req_hash, one in self._waiting.items() if one.due <= now}
        self._waiting = {req_hash: one for req_hash, one in self._waiting.items() if req_hash not in ready}
        self._soon = earliest(*(waiting.due for waiting in self._waiting.values()))
        for waiting in ready.values():
            inbox = self.state.rooms.inboxes.get(waiting.room_id)
            try:
                if inbox is not None:
                    self._admit(turn, inbox, waiting.invite_id, waiting.inner)
                    yield inbox
            except PeerFault:
                continue
