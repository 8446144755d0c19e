"""Invites between two nodes: offer, delivery, answer, join, and how each learns of it (docs/bridge.md 2)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec

from node import ids
from node.chat import events, options as options_, trust
from node.chat.invites import (
    ANSWER_SECONDS,
    BUSY,
    GAME,
    OFFER_MS,
    OFFERED,
    OPEN,
    RESPONSES,
    ROOM,
    Invite,
    game_id,
    start_clock,
)
from node.chat.joining import Joining
from node.chat.people import CONTACT, check_wanted
from node.chat.room import MEMBER, Room
from node.chat.room_facts import tell_joined
from node.chat.room_inbox import RoomInbox
from node.chat.turn import Turn
from node.crypto import ops
from node.crypto.channel import ChannelKind, join_channel_secret
from node.crypto.joining import invite_keypair
from node.crypto.welcome import Welcome
from node.engine.games import Games
from node.engine.state import State
from node.errors import CryptoFault, Refused
from node.tables import Table
from node.wire.payload import Payload, Type

REFUSING = frozenset({"decline", "ignore", "cancelled"})
"""Ends after which nobody is admitted by an invite any more, whatever its seed could still sign."""


class Inviting:
    """Both sides of every invite."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.shown: dict[int, list[bytes]] = {}
        self.games = Games(self)
        state.mending.stale = self._stale

    # -- inviting somebody ------------------------------------------------------------------------

    def invite(
        self,
        turn: Turn,
        room: Room,
        account: bytes,
        options: dict[str, Any] | None,
        client_id: str | None = None,
        *,
        expires_in: int | None = None,
    ) -> Invite:
        """Offer a room to somebody, once: the open invite is returned if there is one."""
        state = self.state
        if account == state.me.account:
            raise Refused("invalid", "you are in the room already", field="target")
        if room.is_member(account):
            raise Refused("already_member", "they are in the room already", field="target")
        standing = state.invites.open_outgoing(room.room_id, account, ROOM)
        if standing is not None:
            return standing
        self.check_person(account)
        text = options_.write(options, field="options")
        invite_id, seed = turn.new_id(), turn.entropy(32)
        expires = turn.now.wall_ms + OFFER_MS
        body = ops.Invite(
            invite_id,
            invite_keypair(seed)[0],
            join_channel_secret(seed),
            1,
            turn.mesh_ms + OFFER_MS + 86_400_000,
            room.log.policy.admits,
        )
        room.act(turn, body, rekey=False)
        turn.watch.append(
            (state.joins.door(room.room_id, invite_id, body.join_cs), turn.mesh_ms // 86_400_000)
        )
        invite = Invite(
            invite_id, room.room_id, seed, False, account, room.name, ROOM, text, expires, OFFERED
        )
        return self.offer(turn, replace(invite, client_id=client_id), expires_in)

    def check_person(self, account: bytes) -> None:
        """Refuse to invite somebody with whom we have nothing to do, or whose keys changed."""
        person = self.state.people.by_account[account]
        check_wanted(person, "target")
        if not self.state.may_talk(account):
            raise Refused("not_a_contact", f"add {person.username} as a contact first", field="target")
        if trust.blocked(person):
            raise trust.refusal(person, "target")

    def offer(self, turn: Turn, invite: Invite, expires_in: int | None = None) -> Invite:
        """Keep an invite of ours and send it; it has so many seconds to reach somebody."""
        if expires_in is not None:
            clock = start_clock(expires_in, turn.now, self.state.invites.boot_id)
            invite = replace(invite, deliver_by=clock)
        self.save(turn, invite)
        what = [invite.invite_id, invite.room_id, invite.seed, invite.room_name, invite.kind, invite.options]
        self.send(
            turn, invite.account, Type.INVITE, [*what, turn.mesh_ms + invite.ends_ms - turn.now.wall_ms]
        )
        return invite

    def cancel(self, turn: Turn, invite_id: bytes) -> None:
        """Take an own open invite back."""
        invite = self.state.invites.all.get(invite_id)
        if invite is None or invite.incoming:
            raise Refused("invite_unknown", "there is no invite of yours with this id", field="invite")
        if not invite.live:
            raise over(invite)
        self._revoke(turn, invite)
        self.end(turn, invite, "cancelled")
        self.result(turn, invite, "cancelled", None)

    def _revoke(self, turn: Turn, invite: Invite) -> None:
        inbox = self.state.rooms.inboxes.get(invite.room_id)
        if inbox is not None and inbox.room.open and invite.invite_id in inbox.room.log.invites:
            inbox.room.act(turn, ops.InviteRevoke(invite.invite_id), rekey=False)

    def room_ended(self, turn: Turn, room_id: bytes) -> None:
        """A room was deleted: whoever has an open invite of ours to it can join no more."""
        for invite in list(self.state.invites.all.values()):
            if invite.room_id == room_id and not invite.incoming and invite.live:
                self.end(turn, invite, "cancelled")
                self.result(turn, invite, "cancelled", None)

    def answered(self, turn: Turn, account: bytes, payload: Payload) -> None:
        """The other side says what became of an invite."""
        invite_id, number, expires_ms = payload.body
        invite = self.state.invites.all.get(invite_id)
        if not 1 <= number <= len(RESPONSES):
            return
        if invite is None and RESPONSES[number - 1] == "cancelled":
            self.state.invites.taken_back(account, invite_id)
        if invite is None or invite.account != account:
            return
        response = RESPONSES[number - 1]
        if invite.incoming:
            self._taken_back(turn, invite, response)
        elif response == "delivered" and invite.state == OFFERED:
            self.save(turn, replace(invite, state=OPEN, opened_ms=turn.now.wall_ms))
            self.tell(turn, invite, "delivered", _here(turn, expires_ms))
        elif response == BUSY and invite.kind == GAME:
            self.end(turn, invite, "cancelled", why=BUSY)
        elif response in {"accept", "decline", "ignore"}:
            self.end(turn, invite, response)

    def _stale(self, payload: Payload) -> bool:
        """Say whether an offer of ours that the other lacks is over, so that it is not sent again."""
        invite = self.state.invites.all.get(payload.body[0]) if payload.type is Type.INVITE else None
        return payload.type is Type.INVITE and (invite is None or not invite.live)

    def _taken_back(self, turn: Turn, invite: Invite, response: str) -> None:
        if response != "cancelled":
            return
        if invite.live:
            self.end(turn, invite, "cancelled")
            return
        if invite.kind == GAME and invite.state == "accept":
            self.save(turn, replace(invite, state="cancelled"))
            self.tell(turn, self.state.invites.all[invite.invite_id], "cancelled", None)
            return
        wish = self.state.joins.find(invite.room_id, invite.invite_id)
        if invite.state == "accept" and wish is not None and wish.answered_ms is None:
            self.state.joins.drop(turn, wish)
            self.tell(turn, invite, "cancelled", None)

    def admit(self, turn: Turn, inbox: RoomInbox, invite_id: bytes, inner: bytes) -> bool:
        """Somebody used an invite of ours: add them, and count it as accepted; says if they are in."""
        invite = self.state.invites.all.get(invite_id)
        if invite is None or invite.incoming or invite.state in REFUSING:
            raise CryptoFault("join request for an invite that is over")
        account = self.state.joins.on_request(turn, inbox.room, invite_id, inner, invite.account)
        if account is None:
            return False
        tell_joined(turn, inbox.room, account)
        self.state.expect(inbox.room, [account], turn.now.mono)
        self.end(turn, invite, "accept")
        return True

    # -- being invited ----------------------------------------------------------------------------

    def offered(self, turn: Turn, account: bytes, payload: Payload) -> None:
        """An offer came in: show it as soon as somebody could answer."""
        invite_id, room_id, seed, name, kind, options, expires_ms = payload.body
        state = self.state
        if invite_id in state.invites.all or turn.mesh_ms >= expires_ms:
            return
        if state.invites.was_taken_back(account, invite_id):
            return
        if not self._may_offer(account) or options_.read(options) is None:
            return
        expires_ms = min(expires_ms - turn.mesh_ms, OFFER_MS) + turn.now.wall_ms
        inbox = state.rooms.inboxes.get(room_id)
        if kind == GAME:
            if not self.games.takes(turn, account, room_id, invite_id):
                return
            name = self.games.room_name(turn, account, room_id)
        elif inbox is not None and inbox.room.state == MEMBER:
            return
        offer = Invite(invite_id, room_id, seed, True, account, name, kind, options, expires_ms, OFFERED)
        self.save(turn, state.invites.arrived(offer, turn.now))
        if any(session.can_answer for session in state.sessions.values()):
            self.deliver(turn, invite_id)

    def _may_offer(self, account: bytes) -> bool:
        """Contacts and co-members may invite; a session outlives what made somebody one."""
        state = self.state
        person = state.people.get(account)
        friend = person is not None and person.state == CONTACT
        if state.people.hides(account):
            return False
        return (friend or bool(state.rooms.shared(account))) and state.invites.has_room_for(account)

    def deliver(self, turn: Turn, invite_id: bytes) -> None:
        """Log the invite, start its 120 seconds, tell the inviter; nothing if they run already."""
        offered = self.state.invites.all[invite_id]
        if offered.state == OFFERED and turn.now.wall_ms >= offered.expires_ms:
            self.end(turn, offered, "expired")
            return
        if self.games.refuses(turn, offered):
            return
        invite = self.state.invites.delivered(invite_id, turn.now)
        if invite is None:
            return
        assert invite.answer_by is not None
        turn.log(self.event(invite))
        self.save(turn, replace(invite, seq=turn.seq))
        for session, started in self.state.sessions.items():
            if started.can_answer:
                self.shown.setdefault(session, []).append(invite_id)
        ends_ms = invite.answer_by.wall_ms - turn.now.wall_ms + turn.mesh_ms
        self.result(turn, invite, "delivered", max(0, ends_ms))

    def event(self, invite: Invite) -> events.UserInvite:
        """Return the `user_invite` of an open invite."""
        assert invite.answer_by is not None
        return events.UserInvite(
            sender=self.state.people.username(invite.account),
            room=ids.text(invite.room_id),
            invite=ids.text(invite.invite_id),
            target=self.state.me.profile.username,
            room_name=invite.room_name,
            kind=invite.kind,
            options=options_.read(invite.options) or {},
            expires_at=invite.answer_by.wall_ms // 1000,
            seq=invite.seq or msgspec.UNSET,
        )

    def attach(self, turn: Turn, session: int) -> None:
        """A session that could answer came without `resume`: show it every open invite."""
        for invite in self.state.invites.open_incoming():
            if invite.state == OPEN:
                self.shown.setdefault(session, []).append(invite.invite_id)
                turn.reply(session, self.event(invite))
            else:
                self.deliver(turn, invite.invite_id)

    def resumed(self, turn: Turn, session: int, invite: Invite) -> None:
        """A resuming session may answer what it sees in the log; an offer still to be shown is logged now."""
        if invite.state == OPEN:
            self.shown.setdefault(session, []).append(invite.invite_id)
        else:
            self.deliver(turn, invite.invite_id)

    def respond(self, turn: Turn, session: int, response: str, invite: str | None) -> dict[str, Any]:
        """Answer an invite from a frontend; returns what stands in `ok`."""
        chosen = self._chosen(session, invite)
        if response == "ignore":
            self.shown[session] = [i for i in self.shown.get(session, []) if i != chosen.invite_id]
            return {"invite": ids.text(chosen.invite_id), "state": "open"}
        if response == "decline":
            self.end(turn, chosen, "decline")
            self.result(turn, chosen, "decline", None)
            return {"invite": ids.text(chosen.invite_id), "state": "declined"}
        return self.accept(turn, chosen)

    def accept(self, turn: Turn, invite: Invite) -> dict[str, Any]:
        """Accept an open invite: ask to join, and the welcome completes it; or say that we play."""
        if invite.kind == GAME:
            return self.games.accept(turn, invite)
        wish = Joining(
            invite.room_id,
            invite.invite_id,
            invite.account,
            invite.room_name,
            since_ms=turn.mesh_ms,
            asked_ms=turn.mesh_ms,
            seed=invite.seed,
        )
        self.end(turn, invite, "accept")
        self.state.joins.ask(turn, wish)  # ahead of the answer: what is said upon that is for us then
        self.result(turn, invite, "accept", None)
        return {"invite": ids.text(invite.invite_id), "room": ids.text(invite.room_id), "state": "joining"}

    def _chosen(self, session: int, invite: str | None) -> Invite:
        book = self.state.invites
        if invite is not None:
            try:
                found = book.all.get(ids.parse(invite))
            except ValueError:
                found = None
            if found is None or not found.incoming:
                raise Refused("invite_unknown", "there is no invite with this id", field="invite")
            if not found.live:
                raise over(found)
            return found
        mine = [book.all[i] for i in self.shown.get(session, []) if i in book.all]
        live = [i for i in mine if i.live]
        if live:
            return live[-1]
        ended = f"; the last one ended: {mine[-1].state}" if mine else ""
        raise Refused("no_open_invite", "no invite is open on this connection" + ended)

    def welcomed(self, turn: Turn, wish: Joining, welcome: Welcome) -> None:
        """The whole welcome came: we are in; a second greeter's adds what only it knew."""
        state = self.state
        old = state.rooms.inboxes.get(wish.room_id)
        if old is not None and old.room.open:
            state.joins.enter_again(turn, old, welcome)
            return
        room = state.joins.enter(turn, wish, welcome, None if old is None else old.room)
        inbox = RoomInbox(room)
        state.rooms.inboxes[room.room_id] = inbox
        state.expect(room, room.log.roster.members, turn.now.mono)
        tell_joined(turn, inbox.room, state.me.account)

    # -- ends -------------------------------------------------------------------------------------

    def due(self, turn: Turn) -> None:
        """Act on the clocks: deliver at the latest, ignore after 120 s, expire after a week."""
        for invite, what in self.state.invites.due(turn.now):
            if what == "deliver":
                self.deliver(turn, invite.invite_id)
            elif what == "ignore":
                self.end(turn, invite, "ignore")
                self.result(turn, invite, "ignore", None)
            else:
                self.end(turn, invite, "expired")
            if what == "unheard":  # it may be shown there in this moment: then it is taken back
                with suppress(Refused):
                    self._revoke(turn, invite)
                self.result(turn, invite, "cancelled", None)

    def end(self, turn: Turn, invite: Invite, how: str, *, why: str | None = None) -> None:
        """End an invite and tell every session, once; `why` it did so by itself."""
        ended = self.state.invites.ended(invite.invite_id, how, turn.now)
        if ended is not None:
            self.save(turn, ended)
            self.tell(turn, ended, how, None, why=why)

    def forget(self, turn: Turn) -> None:
        """Forget what ended long ago; nobody is admitted by it any more."""
        for invite in self.state.invites.crowded_out():
            turn.delete(Table.INVITES, invite.invite_id)
            if not invite.incoming:
                turn.unwatch.append((int(ChannelKind.JOIN), invite.room_id, invite.invite_id))

    def blocked(self, turn: Turn, account: bytes) -> None:
        """The owner has blocked somebody: our open invites to them are taken back, theirs are ignored."""
        for invite in [i for i in self.state.invites.all.values() if i.account == account and i.live]:
            if invite.incoming:
                self.end(turn, invite, "ignore")
            else:
                with suppress(Refused):  # where it cannot be revoked, we still let nobody in by it
                    self._revoke(turn, invite)
                self.end(turn, invite, "cancelled")
                self.result(turn, invite, "cancelled", None)

    def tell(
        self, turn: Turn, invite: Invite, response: str, expires_ms: int | None, *, why: str | None = None
    ) -> None:
        """Log what became of an invite."""
        target = self.state.me.account if invite.incoming else invite.account
        event = events.InviteResult(
            invite=ids.text(invite.invite_id),
            room=ids.text(invite.room_id),
            target=self.state.people.username(target),
            response=response,
            kind=invite.kind,
            expires_at=msgspec.UNSET if expires_ms is None else expires_ms // 1000,
            client_id=invite.client_id or msgspec.UNSET,
            game_id=(game_id(invite) if response == "accept" else None) or msgspec.UNSET,
            why=why or msgspec.UNSET,
        )
        turn.log(event)

    def result(self, turn: Turn, invite: Invite, response: str, expires_ms: int | None) -> None:
        """Tell the other side what became of an invite."""
        self.answer(turn, invite.account, invite.invite_id, response, expires_ms)

    def answer(
        self, turn: Turn, account: bytes, invite_id: bytes, response: str, expires_ms: int | None = None
    ) -> None:
        """Tell somebody what became of the invite with this id."""
        number = RESPONSES.index(response) + 1
        self.send(turn, account, Type.INVITE_RESULT, [invite_id, number, expires_ms])

    def send(self, turn: Turn, account: bytes, kind: Type, body: object) -> None:
        """Send somebody a payload of ours, or let it wait for them."""
        state = self.state
        if not state.dms.send(turn, account, Payload(turn.new_id(), turn.mesh_ms, 0, kind, body)):
            state.reach(turn, account)

    def save(self, turn: Turn, invite: Invite) -> None:
        """Keep an invite as it is now."""
        self.state.invites.all[invite.invite_id] = invite
        turn.put(Table.INVITES, invite.invite_id, invite)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `invite_list`, newest last."""
        return [self._row(invite) for invite in self.state.invites.all.values()]

    def _row(self, invite: Invite) -> dict[str, Any]:
        me, other = self.state.me.profile.username, self.state.people.username(invite.account)
        return {
            "invite": ids.text(invite.invite_id),
            "room": ids.text(invite.room_id),
            "room_name": invite.room_name,
            "sender": other if invite.incoming else me,
            "target": me if invite.incoming else other,
            "kind": invite.kind,
            "state": invite.state,
            "expires_at": invite.ends_ms // 1000,
            "client_id": invite.client_id,
            "game_id": game_id(invite) if invite.state == "accept" else None,
        }


def over(invite: Invite) -> Refused:
    """Return the refusal of an answer that comes after the end."""
    if invite.state in {"ignore", "expired"}:
        return Refused("invite_expired", "the 120 seconds are over", field="invite")
    return Refused(
        "invite_resolved", f"this invite has ended: {invite.state}", field="invite", outcome=invite.state
    )


def _here(turn: Turn, mesh_ms: int | None) -> int | None:
    """Return when the 120 seconds end by this machine's clock, as frontends read it; the other said when."""
    if mesh_ms is None:
        return None
    left_ms = min(mesh_ms - turn.mesh_ms, round(ANSWER_SECONDS * 1000))
    return turn.now.wall_ms + max(0, left_ms)
