"""What a blocked person says in rooms: received and kept in order, and not shown (docs/bridge.md 2).

Others refer to it, so its id stays in the store, without its words, as a message of a room that is none: no
frontend can name it, and a look-up of references finds it there.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from node.chat import events
from node.chat.keeping import shown_as
from node.chat.messages import healed_event, message_event
from node.chat.people import People
from node.chat.timeline import Item
from node.chat.turn import Placed, Turn

if TYPE_CHECKING:
    from node.chat.room import Room

Lookup: TypeAlias = tuple[bytes, tuple[bytes, ...]]


def beside(room_id: bytes) -> bytes:
    """Return the id under which a room's hidden messages are kept; of that id, the room's own."""
    return bytes(byte ^ 0xFF for byte in room_id)


def keep(turn: Turn, people: People, room_id: bytes, item: Item) -> None:
    """Keep the id of a message that is not shown."""
    nothing: dict[str, Any] = {"reply_to": None, "ttl_s": None, "mentions": (), "attachment": None}
    bare = msgspec.structs.replace(item, text="", kind="hidden", **nothing)
    place = beside(room_id)
    turn.placed.append(Placed(place, item.mid, turn.seq, message_event(people, place, bare, mine=False)))


def hide(turn: Turn, room: Room, item: Item) -> None:
    """Show nothing of a message; of those that go by themselves newcomers are given nothing either."""
    keep(turn, room.people, room.room_id, item)
    if item.ttl_s is not None:
        withhold(turn, room, item.mid, item.account)


def withhold(turn: Turn, room: Room, mid: bytes, account: bytes) -> None:
    """Keep what somebody has said, shown or not, for newcomers no more."""
    room.kept.erase(turn, mid, partial(shown_as, room, mid, room.people.user_id(account)))


def also(people: People, lookups: Iterable[Lookup]) -> list[Lookup]:
    """Return what is to be looked up: the references given, and where something may be hidden, there too."""
    asked = list(lookups)
    return [*asked, *((beside(room_id), mids) for room_id, mids in asked)] if people.hid else asked


def heal(turn: Turn, room: Room, item: Item, event: events.MessageHealed, seq: int) -> None:
    """Tell what came in the place of a placeholder; of somebody blocked, that there is nothing to show."""
    if room.people.hides(item.account):
        hide(turn, room, item)
        turn.log(event)
        return
    plain = message_event(room.people, room.room_id, item, mine=False)
    turn.log(healed_event(event, plain), about=(room.room_id, item.mid))
    kept = msgspec.structs.replace(plain, seq=turn.seq)
    turn.placed.append(Placed(room.room_id, item.mid, seq, kept))
    room.unread += 1
