"""What a connection is told, event by event, of the rooms joined on it (docs/dialects/rooms_004.md)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from node.bridge.close_codes import SLOW
from node.bridge.dialects.adapter import Call, Frame, Part, Talk, message_of
from node.bridge.dialects.rooms_004.errors import payload_of
from node.bridge.dialects.rooms_004.people import People
from node.bridge.dialects.rooms_004.words import NOBODY, Who, Words, moment
from node.chat import commands as c, events
from node.chat.events import Event
from node.errors import Refused

HISTORY: Final = 50
"""Messages that a joiner is given."""
MAX_HELD: Final = 1024
"""Events of a room that wait while its history is read, as many as an outbox holds."""
MAX_FILES, MAX_INVITES, MAX_ADDRESSES = 256, 64, 64
"""Files on their way, open invites and addresses said here that are remembered; of more, the first go."""
OVER: Final = frozenset({"cancelled", "expired", "ignore", "decline"})
"""How an invite, or a join that waits, ends without anybody coming in."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class View:
    """A room that was joined on this connection.

    `upto`: the `seq` that the given history has. `held`: what happened while it is read. `full`: it was the
    newest, so that what members still give of before is older.
    """

    name: str
    upto: int = 0
    held: deque[Event] | None = None
    full: bool = False
    leaving: bool = False


class Telling:
    """Shows events; `now_ms` is the time of the talk's step."""

    def __init__(self, people: People, base: str, now_ms: Callable[[], int]) -> None:
        self.views: dict[str, View] = {}
        self.expected: dict[str, Call] = {}
        """Rooms that somebody there has yet to let the node into, and what asked for it."""
        self.addresses: dict[str, None] = {}
        self._people, self._now_ms = people, now_ms
        self._words = Words(people, base, self.addresses)
        self._files: dict[tuple[str, str], events.UserMessage] = {}
        self._invites: dict[str, events.UserInvite] = {}

    # -- coming into a room -----------------------------------------------------------------------

    def introduce(self) -> Talk[None]:
        """Learn who the owner is."""
        self._people.introduce((yield c.ProfileGet()))

    def enter(self, room: str, name: str) -> Talk[None]:
        """Give the room's history, say that the owner is there, and then what has happened meanwhile."""
        fresh = room not in self.views
        view = self.views.setdefault(room, View(name))
        view.name, view.held = name, deque()
        try:
            given = yield from self._history(room, view)
        except Refused:
            if fresh:
                self.views.pop(room, None)
            else:
                yield from self._let_go(room, view, [])
            raise
        yield self._list(given)
        joined = {"userId": self._people.own_id, "username": self._people.own_name}
        yield Frame("user_joined", ({**joined, "roomId": room, "type": "join"},))
        yield from self._let_go(room, view, given)

    def _let_go(self, room: str, view: View, given: list[events.UserMessage]) -> Talk[None]:
        had = {message.id: message for message in given}
        while view.held:
            event = view.held.popleft()
            if self.views.get(room) is view and not _stands(event, had):
                had.pop(getattr(event, "id", ""), None)  # of one that was told whatever follows is told
                yield from self._in_room(view, event)
        view.held = None

    def _history(self, room: str, view: View) -> Talk[list[events.UserMessage]]:
        answer = yield c.HistoryGet(room=room, limit=HISTORY)
        messages = [message_of(stored) for stored in answer["messages"]]
        yield from self._meet(message.user_id for message in messages)
        view.upto = max([view.upto, *(one.seq for one in messages if isinstance(one.seq, int))])
        view.full = len(messages) == HISTORY
        for message in messages:
            self._expect_file(message)
        return messages

    def _list(self, messages: list[events.UserMessage]) -> Frame:
        """Return the history; words beside a picture are a line of their own, of which the newest stand."""
        lines = [line for one in messages for line in self._words.said(one)]
        return Frame("history", (lines[-HISTORY:],))

    def _older(self, room: str, view: View) -> Talk[None]:
        """Members have given earlier messages: show the history once more, unless it is full of newer."""
        if view.full:
            return
        yield self._list((yield from self._history(room, view)))

    def _meet(self, user_ids: Iterable[str]) -> Talk[None]:
        """Learn what people look like whom this connection has not seen; who is not known has no picture."""
        unknown = self._people.unknown(user_ids)
        if not unknown:
            return
        try:
            asked = [{"event": "profile_get", "username": one} for one in unknown]
            answer = yield c.Batch(commands=asked)
        except Refused:
            return
        for user_id, facts in zip(unknown, answer["results"], strict=True):
            self._people.learn(user_id, facts.get("avatar"))

    # -- what happens -----------------------------------------------------------------------------

    def show(self, event: Event) -> Talk[None]:
        """Show an event, if it is about a room that was joined here or about the owner."""
        room = getattr(event, "room", None)
        view = self.views.get(room) if isinstance(room, str) else None
        if view is None or isinstance(event, events.UserInvite | events.InviteResult):
            yield from self._beside(event)
        elif view.held is None:
            yield from self._in_room(view, event)
        elif len(view.held) < MAX_HELD:
            view.held.append(event)
        else:
            yield Part(SLOW, "too slow")

    def _in_room(self, view: View, event: Event) -> Talk[None]:
        match event:
            case events.UserMessage():
                yield from self._message(view, event)
            case events.MessageHealed() if isinstance(event.id, str):
                told = {**msgspec.to_builtins(event), "event": "user_message"}
                yield from self._tell(message_of(told))
            case events.MessageEdited() | events.MessageDeleted() | events.Reaction():
                yield from self._meet([event.user_id or ""])
                yield _message(self._words.changed(event, self._now_ms()))
            case events.Typing() if event.user_id != self._people.own:
                yield self._typing(event)
            case events.UserJoin() | events.UserLeave():
                yield from self._moved(view, event)
            case events.RoomUpdated() | events.RoomDeleted():
                for number, text in enumerate(_changes(view, event)):
                    ident = f"room:{event.room}:{event.seq}:{number}"
                    yield self._note(ident, event.room, "room", text)
            case events.Attachment():
                yield from self._file(event)
            case events.Announcement():
                yield from self._announced(event)
            case events.MessageStatus(status="failed"):
                text = f"[not delivered] to {event.by or 'anybody'}: {event.why or 'unknown'}"
                note = self._words.note(
                    f"{event.id}:failed:{event.seq}", event.room or None, "status", text, self._now_ms()
                )
                yield _message(note | {"target": event.id})
            case _:
                pass

    def _message(self, view: View, event: events.UserMessage) -> Talk[None]:
        if isinstance(event.seq, int) and event.seq <= view.upto:
            return
        if event.history is True:
            yield from self._older(event.room, view)
        else:
            yield from self._tell(event)

    def _tell(self, event: events.UserMessage) -> Talk[None]:
        yield from self._meet([event.user_id])
        self._expect_file(event)
        for line in self._words.said(event):
            yield _message(line)

    def _typing(self, event: events.Typing) -> Frame:
        told = {
            "userId": event.user_id,
            "isTyping": event.typing,
            "roomId": event.room,
            "type": "typing",
            "username": event.username,
        }
        return Frame("user_typing", (told,), key=f"user_typing {event.room} {event.user_id}")

    def _moved(self, view: View, event: events.UserJoin | events.UserLeave) -> Talk[None]:
        own = event.user_id == self._people.own
        told = {"userId": self._people.id_of(event.user_id), "roomId": event.room, "type": event.reason}
        name = self._people.own_name if own else event.username
        if isinstance(event, events.UserLeave):
            if not view.leaving:
                yield Frame("user_left", ({**told, "username": name},))
            if own and event.reason != "disconnect":
                self.views.pop(event.room, None)
        elif not own:
            yield Frame("user_joined", ({**told, "username": name},))

    # -- files ------------------------------------------------------------------------------------

    def _expect_file(self, event: events.UserMessage) -> None:
        file = event.attachment
        if isinstance(file, dict) and isinstance(file.get("id"), str) and file.get("state") == "pending":
            kept = msgspec.structs.replace(event, message="")
            remember(self._files, (event.room, file["id"]), kept, MAX_FILES)

    def _file(self, event: events.Attachment) -> Talk[None]:
        if event.state not in {"ready", "failed"}:
            return
        message = self._files.pop((event.room, event.id), None)
        if message is None:
            return
        file = {**message.attachment, "state": event.state, "url": event.url or None}
        why = (event.why or "it was not what its message said") if event.state == "failed" else ""
        yield from self._meet([message.user_id])
        yield _message(self._words.arrived(message, file, why))

    # -- what is about no joined room -------------------------------------------------------------

    def _beside(self, event: Event) -> Talk[None]:
        match event:
            case events.UserJoin() if event.room in self.expected and event.user_id == self._people.own:
                yield from self._let_in(event.room)
            case events.UserInvite():
                yield from self._invited(event)
            case events.InviteResult():
                yield from self._ended(event)
            case events.Announcement(room=None):
                yield from self._announced(event)
            case (
                events.ContactRequested()
                | events.ContactRequestCancelled()
                | events.ContactAdded()
                | events.ContactRejected()
                | events.ContactRemoved()
            ):
                ident = f"contact:{event.user_id}:{event.seq}"
                yield from self._meet([event.user_id])
                yield self._note(ident, None, "contact", _contact(event), who=(event.user_id, event.username))
            case events.KeyChanged():
                text = f"[keys changed] of {event.username}: verify them before going on"
                yield self._note(f"keys:{event.user_id}:{event.seq}", None, "keys", text)
            case events.Warning():
                ident = f"warning:{event.code}:{self._now_ms()}"
                yield self._note(ident, None, "warning", f"[warning] {event.message}")
            case events.Error():
                yield Frame("error", (payload_of(None, Refused(event.code, event.message)),))
            case events.Profile() if isinstance(event.avatar, str | None):
                self._people.learn(event.user_id, event.avatar)
            case events.Connectivity() if self._people.own is None and event.state != "locked":
                yield from self.introduce()
            case _:
                pass

    def _let_in(self, room: str) -> Talk[None]:
        """Somebody of the room has answered: the node is in it now."""
        call = self.expected.pop(room)
        try:
            facts = yield c.RoomGet(room=room)
            yield from self.enter(room, facts["name"])
        except Refused as fault:
            yield Frame("error", (payload_of(call, fault),))

    def _invited(self, event: events.UserInvite) -> Talk[None]:
        remember(self._invites, event.invite, event, MAX_INVITES)
        user_id = ""
        try:
            facts = yield c.ProfileGet(username=event.sender)
            user_id = facts["user_id"]
            self._people.learn(user_id, facts["avatar"])
        except Refused:
            pass
        if event.kind == "room":
            text = f"[invite] to {event.room_name}: join_room {event.room} accepts it"
        else:
            text = f"[game invite] in {event.room_name}: another frontend has to answer it"
        ident = f"invite:{event.invite}"
        note = self._words.note(
            ident, event.room, "invite", text, self._now_ms(), who=(user_id, event.sender)
        )
        yield _message(note | {"expiresAt": moment(event.expires_at * 1000)})

    def _ended(self, event: events.InviteResult) -> Talk[None]:
        known = self._invites.get(event.invite)
        if known is not None and event.response != "delivered":
            del self._invites[event.invite]
            if event.response in OVER:
                text = f"[invite over] to {known.room_name}: {event.response}"
                yield self._note(f"invite:{event.invite}:over", event.room, "invite", text)
        call = self.expected.get(event.room)
        if call is not None and known is None and event.response in OVER:
            del self.expected[event.room]
            fault = Refused("room_not_found", "nobody of this room has let you in: it is over")
            yield Frame("error", (payload_of(call, fault),))

    def _announced(self, event: events.Announcement) -> Talk[None]:
        yield from self._meet([event.user_id])
        text = f"[announcement] {event.text}"
        note = self._words.note(
            event.id, event.room, "announcement", text, event.ts_ms, who=(event.user_id, event.username)
        )
        yield _message(note)

    def _note(self, ident: str, room: str | None, kind: str, text: str, *, who: Who = NOBODY) -> Frame:
        return _message(self._words.note(ident, room, kind, text, self._now_ms(), who=who))


def _stands(event: Event, had: dict[str, events.UserMessage]) -> bool:
    """Say whether the history that was given has this change already."""
    match event:
        case events.MessageEdited() if (known := had.get(event.id)) is not None:
            at_ms = known.edited_ms if isinstance(known.edited_ms, int) else 0
            same = at_ms == event.edited_ms and known.message == event.message
            return known.deleted is True or at_ms > event.edited_ms or same
        case events.MessageDeleted():
            return event.id in had and had[event.id].deleted is True
        case events.MessageHealed():
            return event.id in had
        case _:
            return False


def _message(line: dict[str, Any]) -> Frame:
    return Frame("message_received", (line,))


def remember(kept: dict[K, V], key: K, value: V, most: int) -> None:
    """Keep a value; of too many the one that was kept first goes."""
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > most:
        del kept[next(iter(kept))]


def _changes(view: View, event: events.RoomUpdated | events.RoomDeleted) -> list[str]:
    """Return what to say of a room that has changed; what is about the owner's reading is said to nobody."""
    if isinstance(event, events.RoomDeleted):
        return [f"[room] {view.name} was deleted: nothing can be sent there any more"]
    said = []
    if isinstance(event.name, str) and event.name != view.name:
        view.name = event.name
        said.append(f"[room] is called {event.name} now")
    if isinstance(event.topic, str):
        said.append(f"[room] topic: {event.topic}")
    if isinstance(event.role, str):
        said.append(f"[room] {event.username} is {event.role} now")
    if isinstance(event.invite, str):
        said.append(f"[room] whom an invite lets invite: {event.invite}")
    if isinstance(event.history, str):
        said.append(f"[room] history for newcomers: {event.history}")
    return said


def _contact(
    event: events.ContactRequested
    | events.ContactRequestCancelled
    | events.ContactAdded
    | events.ContactRejected
    | events.ContactRemoved,
) -> str:
    match event:
        case events.ContactRequested():
            return f"[contact request] {event.message or ''}".rstrip()
        case events.ContactRequestCancelled():
            return "[contact request] taken back"
        case events.ContactAdded():
            return "[contact] is a contact now"
        case events.ContactRejected():
            return "[contact] does not want to be a contact"
        case _:
            return "[contact] is no contact any more"
