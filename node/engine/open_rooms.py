"""Commands about open rooms: make one, list those that there are, join one (docs/bridge.md section 2).

An open room has one standing invite, whose seed is in its listing: whoever reads the directory, and that is
everybody in the network, may come in by whichever member is up. Every answer says so.
"""

from __future__ import annotations

from typing import Any, Final

from node import ids
from node.chat import commands as c
from node.chat.directory import MAX_EACH, Listed, matching
from node.chat.joining import Joining
from node.chat.records import take_record
from node.chat.room import Room
from node.chat.room_facts import history_text
from node.chat.turn import Turn
from node.crypto import ops
from node.crypto.channel import join_channel_secret
from node.crypto.listing import seed_invite
from node.crypto.ops import Inviting, Policy, Visibility
from node.engine.desk import Desk
from node.engine.ruling_commands import history_count
from node.errors import Refused

HISTORY = 200
"""Messages of an open room that a newcomer may read, unless it was made otherwise."""
MAX_JOINS = 64
"""Joins by link or to open rooms that can wait for an answer at once."""
NOTICE: Final = "an open room is confidential to nobody: all see it listed, and anybody can join and read"


def make(desk: Desk, turn: Turn, name: str, inviting: Inviting, history: int | str | None) -> Room:
    """Make an open room and its standing invite; its members list it."""
    kept = HISTORY if history is None else history_count(history)
    state, seed = desk.state, turn.entropy(32)
    invite_id, public = seed_invite(seed)
    policy = Policy(Visibility.OPEN, kept, inviting)
    room = Room.create(turn, state.me, state.people, name, policy, salt16=invite_id)
    body = ops.Invite(invite_id, public, join_channel_secret(seed), ops.MAX_USES, 0, policy.admits)
    room.act(turn, body, rekey=False)
    desk.inbox.listings.learn_seed(turn, room.room_id, seed)
    return room


def notice(desk: Desk) -> str:
    """Return what the maker of an open room is told."""
    if not desk.inbox.listings.crowded():
        return NOTICE
    return f"{NOTICE}; you have made more than {MAX_EACH} of them: others list {MAX_EACH} of one person"


def rows(desk: Desk, turn: Turn, command: c.RoomList) -> list[dict[str, Any]]:
    """Return the rows of `room_list`: our conversations, then open rooms of others, as far as asked for."""
    every = desk.state.rooms.listing()
    every += [_row(listed) for listed in desk.inbox.listings.others(turn.mesh_ms)]
    return [
        row
        for row in every
        if command.joined in {None, row["joined"]} and command.visibility in {None, row["visibility"]}
    ]


def _row(listed: Listed) -> dict[str, Any]:
    return {
        "room": ids.text(listed.room_id),
        "name": listed.name,
        "visibility": "open",
        "members": listed.count,
        "history": history_text(listed.history),
        "unread": 0,
        "muted": False,
        "muted_until": None,
        "last_message": None,
        "last_ms": None,
        "direct": False,
        "deleted": False,
        "joined": False,
    }


def join(desk: Desk, turn: Turn, text: str) -> dict[str, Any] | None:
    """Join the open room that `text` means, by id, name or first 8 characters; None if there is none.

    Raises:
        Refused: If it may mean several, or too many joins wait already.
    """
    mine = [room for room in desk.state.rooms.rooms() if _is_open(room)]
    listed = {room.room_id: room for room in desk.inbox.listings.others(turn.mesh_ms)}
    named = [(room.room_id, room.name) for room in mine]
    named += [(room.room_id, room.name) for room in listed.values()]
    found = matching(text, named)
    if len(found) > 1:
        names = dict(named)
        candidates = [{"room": ids.text(room), "name": names[room]} for room in found]
        raise Refused(
            "ambiguous_room", "several rooms are called so: use the id", field="room", candidates=candidates
        )
    if not found:
        return None
    if found[0] not in listed:
        room = desk.state.rooms.find(ids.text(found[0]))
        return {**desk.state.rooms.describe(room), "state": "joined", "notice": NOTICE}
    return _enter(desk, turn, listed[found[0]])


def _is_open(room: Room) -> bool:
    return room.log.policy.visibility is Visibility.OPEN


def _enter(desk: Desk, turn: Turn, listed: Listed) -> dict[str, Any]:
    for record in listed.node_records:
        take_record(turn, record, "room")
    invite_id, now = seed_invite(listed.seed)[0], turn.mesh_ms
    wish = Joining(listed.room_id, invite_id, listed.creator, listed.name, now, now, listed.seed)
    ask(desk, turn, wish, field="room")
    answer = joining(listed.name, is_open=True)
    return {**answer, "room": ids.text(listed.room_id), "invite": ids.text(invite_id), "state": "joining"}


def joining(name: str, *, is_open: bool) -> dict[str, Any]:
    """Return what `user_join` answers of a room that we are not in yet, `room` and `invite` aside."""
    known = {"name": name, "visibility": "open" if is_open else "private", "notice": NOTICE}
    unknown = {"history": "none", "history_note": "", "topic": "", "deleted": False, "members": []}
    if not is_open:
        del known["notice"]
    return {**known, **unknown, "unread": 0, "muted": False, "muted_until": None}


def ask(desk: Desk, turn: Turn, wish: Joining, *, field: str) -> None:
    """Ask to join by an invite that is for whoever has it, unless we wait for an answer already.

    Raises:
        Refused: `too_many`, if as many joins wait as can.
    """
    joins = desk.state.joins
    known = joins.find(wish.room_id, wish.invite_id)
    if known is not None and known.answered_ms is None:
        return
    if sum(one.answered_ms is None for one in joins.open.values()) >= MAX_JOINS:
        raise Refused("too_many", f"{MAX_JOINS} joins wait for an answer already", field=field)
    joins.ask(turn, wish)
