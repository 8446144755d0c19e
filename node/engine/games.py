"""Invites to a game: nobody comes into a room or leaves one, and each plays one at a time (docs/bridge.md 2).

The games themselves are the frontends'. A node brings two people together: it asks, keeps the 120 seconds,
gives both the same fresh id, and says at once that somebody is busy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from node import ids
from node.chat import options as options_
from node.chat.direct import Direct, direct_id
from node.chat.invites import ANSWER_SECONDS, BUSY, GAME, OFFER_MS, OFFERED, OPEN, Invite, game_id
from node.chat.room import MEMBER, Room
from node.chat.turn import Turn
from node.errors import Refused

if TYPE_CHECKING:
    from node.engine.inviting import Inviting

PATIENCE_MS = round(ANSWER_SECONDS * 1000) + 30_000
"""How long an invite of ours keeps us from others': its 120 seconds, and the time that an answer may take."""
BUSY_ANSWERS, BUSY_WITHIN = 20, 3600.0
"""Times in so many seconds that one person is told that we are busy; asking is free for them."""


class Games:
    """What differs where an invite is to a game."""

    def __init__(self, inviting: Inviting) -> None:
        self.inviting, self.state = inviting, inviting.state
        self._told: dict[bytes, tuple[float, int]] = {}

    # -- inviting somebody ------------------------------------------------------------------------

    def invite(
        self,
        turn: Turn,
        room: Room | Direct,
        account: bytes,
        options: dict[str, Any] | None,
        client_id: str | None,
        *,
        expires_in: int | None = None,
    ) -> Invite:
        """Ask somebody to play, once: the open invite is returned if it is the same; raises Refused."""
        book = self.state.invites
        self._check_place(room, account)
        standing = book.open_outgoing(room.room_id, account, GAME)
        if standing is not None:
            return standing
        text = options_.write(options, field="options")
        self._check_free(account)
        name = "" if isinstance(room, Direct) else room.name
        ends = turn.now.wall_ms + OFFER_MS
        what = (
            turn.new_id(),
            room.room_id,
            turn.entropy(32),
            False,
            account,
            name,
            GAME,
            text,
            ends,
            OFFERED,
        )
        return self.inviting.offer(turn, Invite(*what, client_id=client_id), expires_in)

    def _check_place(self, room: Room | Direct, account: bytes) -> None:
        state = self.state
        if account == state.me.account:
            raise Refused("invalid", "one plays with somebody else", field="target")
        here = room.peer == account if isinstance(room, Direct) else room.is_member(account)
        if not here:
            name = state.people.username(account)
            raise Refused("not_a_member", f"{name} is not in this room", field="target")
        self.inviting.check_person(account)
        if isinstance(room, Room):
            room.check_in()

    def _check_free(self, account: bytes) -> None:
        """Refuse `busy`: we play or have asked somebody, or one of the two has said to be busy."""
        for invite in self.state.invites.games():
            if not invite.incoming or invite.state == OPEN:
                who, ours = self.state.people.username(invite.account), not invite.incoming
                text = f"you have asked {who} already" if ours else f"{who} waits for your answer"
                raise Refused("busy", text, retryable=True, invite=ids.text(invite.invite_id))
        for one in (self.state.me.account, account):
            if self.state.is_busy(one):
                name = self.state.people.username(one)
                raise Refused("busy", f"{name} is busy", field="target", retryable=True)

    # -- being invited ----------------------------------------------------------------------------

    def takes(self, turn: Turn, account: bytes, room_id: bytes, invite_id: bytes) -> bool:
        """Say whether an offer is to be kept; who asks while we are busy is told so."""
        inbox = self.state.rooms.inboxes.get(room_id)
        direct = room_id == direct_id(self.state.me.account, account)
        shared = inbox is not None and inbox.room.state == MEMBER and inbox.room.is_member(account)
        if not (direct or shared):
            return False
        self._give_way(turn, account, invite_id)
        if self.engaged(turn):
            self._say_busy(turn, account, invite_id)
            return False
        return True

    def _give_way(self, turn: Turn, account: bytes, invite_id: bytes) -> None:
        """Two have asked each other at once: the invite with the smaller id stands, for both the same."""
        mine = [one for one in self.state.invites.games() if not one.incoming and one.account == account]
        for invite in mine:
            if invite_id < invite.invite_id:
                self.inviting.end(turn, invite, "cancelled", why=BUSY)
                self.inviting.result(turn, invite, "cancelled", None)

    def room_name(self, turn: Turn, account: bytes, room_id: bytes) -> str:
        """Return what the room of a game is called here; a direct one is made if there is none."""
        inbox = self.state.rooms.inboxes.get(room_id)
        return self.state.direct_with(turn, account).name if inbox is None else inbox.room.name

    def engaged(self, turn: Turn, but: bytes = b"") -> bool:
        """Say whether we have said to be busy, are asked to play, or wait for somebody's answer."""
        if self.state.is_busy(self.state.me.account):
            return True
        others = (one for one in self.state.invites.games() if one.invite_id != but)
        return any(self._engages(turn, one) for one in others)

    def _engages(self, turn: Turn, invite: Invite) -> bool:
        if invite.incoming:
            return invite.state == OPEN
        since = invite.opened_ms if invite.state == OPEN else invite.expires_ms - OFFER_MS
        return abs(turn.now.wall_ms - since) < PATIENCE_MS

    def refuses(self, turn: Turn, invite: Invite) -> bool:
        """End an offer that is about to be shown while we are busy; says whether it was."""
        if invite.kind != GAME or invite.state != OFFERED or not self.engaged(turn, invite.invite_id):
            return False
        self.inviting.end(turn, invite, "cancelled", why=BUSY)
        self._say_busy(turn, invite.account, invite.invite_id)
        return True

    def _say_busy(self, turn: Turn, account: bytes, invite_id: bytes) -> None:
        now = turn.now.mono
        since, count = self._told.get(account, (now, 0))
        since, count = (now, 0) if now - since >= BUSY_WITHIN else (since, count)
        self._told = {one: at for one, at in self._told.items() if now - at[0] < BUSY_WITHIN}
        self._told[account] = since, count + 1
        if count < BUSY_ANSWERS:
            self.inviting.answer(turn, account, invite_id, BUSY)

    def accept(self, turn: Turn, invite: Invite) -> dict[str, Any]:
        """Say that we play; returns what stands in `ok`."""
        self.inviting.end(turn, invite, "accept")
        self.inviting.result(turn, invite, "accept", None)
        room, name = ids.text(invite.room_id), ids.text(invite.invite_id)
        return {"invite": name, "room": room, "state": "accepted", "game_id": game_id(invite)}
