"""`message_why`: who has not got a message yet, and why, in plain words (docs/bridge.md section 2).

It is put together when it is asked for, from positions and from what is known of each recipient now; nothing
is kept for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from node import ids
from node.bridge.ports import CommandReceived
from node.chat import commands as c, trust
from node.chat.direct import Direct
from node.chat.events import UserMessage
from node.chat.ledger import LIFE_MS, Reached, at, since
from node.chat.people import CONTACT
from node.chat.reading import MAX_MEMBERS
from node.chat.room import Room
from node.chat.turn import Turn
from node.engine.desk import LATER, Answer, Desk
from node.engine.effects import FetchMessages
from node.engine.reading_commands import message_id
from node.engine.receipts import Found, number_of
from node.errors import Refused

MAX_SEARCHES = 64
"""Questions that wait for the store; each may look into every room."""


@dataclass
class _Search:
    """One `message_why` on its way through the rooms: answered by the first that has the message."""

    received: CommandReceived
    asked: str
    left: int


def message_why(desk: Desk, _turn: Turn, _session: int, command: c.MessageWhy) -> Answer:
    """Say of every recipient of an own message where it is with them."""
    mid = message_id(command.id)
    receipts = desk.inbox.receipts
    rooms = _candidates(desk, command, mid)
    if len(desk.searching) >= MAX_SEARCHES:
        raise Refused("too_many", "too much is being asked at once", retryable=True)
    if not rooms:
        raise _not_found()
    search = _Search(desk.doing, command.id, len(rooms))
    desk.searching.append(search.received)
    for room in rooms:
        if receipts.wait_for(room.room_id, mid, _answer(desk, search, room)):
            desk.after.append(FetchMessages(room.room_id, (mid,)))
    return LATER


def _candidates(desk: Desk, command: c.MessageWhy, mid: bytes) -> list[Room | Direct]:
    """Return the rooms that may have it: the one that is named or known to, else all."""
    if command.room is not None:
        return [desk.state.rooms.find(command.room)]
    rooms = desk.state.rooms
    every: list[Room | Direct] = [*rooms.direct.values(), *(one.room for one in rooms.inboxes.values())]
    known = [room for room in every if room.timeline.author_of(mid) == desk.state.me.account]
    return known[:1] or every


def _answer(desk: Desk, search: _Search, room: Room | Direct) -> Found:
    def found(turn: Turn, event: UserMessage | None) -> None:
        search.left -= 1
        if event is not None and search.left >= 0:
            search.left = -1
            desk.searching.remove(search.received)
            rows = recipients(desk, turn, room, event)
            desk.finish(turn, search.received, {"id": search.asked, "recipients": rows})
        elif search.left == 0:
            desk.searching.remove(search.received)
            desk.finish(turn, search.received, _not_found())

    return found


def _not_found() -> Refused:
    return Refused("message_not_found", "no message of yours has this id", field="id")


def ledger_get(desk: Desk, _turn: Turn, _session: int, command: c.LedgerGet) -> Answer:
    """Say up to which event of the log our messages have come to each recipient in a room."""
    state, room = desk.state, desk.state.rooms.find(command.room)
    held = state.ledger.held.get(room.room_id)
    rows = []
    for account in _accounts(desk, room):
        known = state.ledger.reached.get((room.room_id, account), Reached(room.room_id, account))
        rows.append(
            {
                "user_id": state.people.user_id(account),
                "username": state.people.username(account),
                "delivered": at(known.delivered),
                "read": at(known.read),
            }
        )
    held_to, read_to = 0 if held is None else held.seq, state.readings.of(room.room_id).seq
    return {
        "room": command.room,
        "held": held_to,
        "recipients": rows,
        "read_seq": read_to,
        "unread": room.unread,
    }


def _accounts(desk: Desk, room: Room | Direct) -> list[bytes]:
    """Return those to whom what we say there goes, by name."""
    me, people = desk.state.me.account, desk.state.people
    those = [room.peer] if isinstance(room, Direct) else [a for a in room.log.roster.members if a != me]
    return sorted(those, key=people.username)


def recipients(desk: Desk, turn: Turn, room: Room | Direct, event: UserMessage) -> list[dict[str, Any]]:
    """Return a row for each recipient: those still in the room, and who was when it was sent, by name."""
    state = desk.state
    rows = []
    for account in [one for one in _accounts(desk, room) if not _came_after(room, one, event.ts_ms)]:
        status, why, moment = _standing(desk, turn, room, event, account)
        rows.append(
            {
                "user_id": state.people.user_id(account),
                "username": state.people.username(account),
                "status": status,
                "why": why,
                "since": moment // 1000,
            }
        )
    return rows


def _came_after(room: Room | Direct, account: bytes, ts_ms: int) -> bool:
    """Say whether somebody was let in only after a message was sent, by the word of who let them in."""
    if isinstance(room, Direct):
        return False
    op = room.log.op(room.log.roster.members[account].added_by)
    return op is not None and op.ts_ms > ts_ms


def _standing(
    desk: Desk, turn: Turn, room: Room | Direct, event: UserMessage, account: bytes
) -> tuple[str, str, int]:
    """Return (status, why, since when in ms) of a message for one recipient."""
    ledger, seq = desk.state.ledger, number_of(event)
    known = ledger.reached.get((room.room_id, account), Reached(room.room_id, account))
    if at(known.read) >= seq:
        return "read", "they have read it", since(known.read, seq)
    if at(known.delivered) >= seq:
        return (
            "delivered",
            "it is on their device, and not read yet as far as they tell",
            since(known.delivered, seq),
        )
    if event.ts_ms < turn.mesh_ms - LIFE_MS:
        return "failed", "its 35 days are over, and nothing said that it came", event.ts_ms + LIFE_MS
    if desk.inbox.receipts.waits(room, ids.parse(event.id)):
        return "queued", _no_session(desk, account), event.ts_ms
    held = ledger.held.get(room.room_id)
    if held is not None and held.seq >= seq:
        return "held", _not_yet(desk, room, account), held.ms if held.seq == seq else event.ts_ms
    linked = desk.inbox.receipts.linked()
    why = "no other node is known to hold it yet" if linked else "this node has no link to any other"
    return ("sent" if linked else "queued"), why, event.ts_ms


def _no_session(desk: Desk, account: bytes) -> str:
    person = desk.state.people.by_account[account]
    if trust.blocked(person):
        return "their keys changed: nothing is sent until you have verified them again"
    return "there is no session with them yet: their node has to answer first"


def _not_yet(desk: Desk, room: Room | Direct, account: bytes) -> str:
    """Say why nothing is known beyond that others hold it."""
    state = desk.state
    person = state.people.by_account[account]
    if not isinstance(room, Direct) and len(room.log.roster.members) > MAX_MEMBERS:
        return f"held for them; a room of more than {MAX_MEMBERS} sends no receipts"
    if trust.blocked(person):
        return "held for them; their keys changed, verify them again"
    if person.blocked or person.blocked_by:
        whom = "you blocked them" if person.blocked else "they have blocked you"
        return f"held for them; {whom}, so nothing tells what becomes of it"
    heard = desk.inbox.upkeep.heard_of(account)
    if person.state != CONTACT:
        return "held for them; who is no contact of yours sends you no receipts"
    if state.shown_presence(account) == "offline":
        when = "" if not heard else f", last heard of at {heard // 1000}"
        return f"held for them; their node is offline{when}"
    return "held for them; their node has not told that it came, or its owner sends no receipts"
