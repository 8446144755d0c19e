"""What happens, in the friends protocol: its own events, or a message that begins with a word in brackets.

Every event of the vocabulary is either shown here or named in `UNSAID`, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from msgspec import UNSET

from node.bridge.dialects.adapter import Frame, Talk
from node.bridge.dialects.friends_002 import memory as m, telling
from node.bridge.dialects.friends_002.page import Page
from node.chat import events
from node.errors import Refused

UNSAID: Final[dict[str, str]] = {
    "hello": "it opens the connection",
    "ok": "it answers a command, not a frontend",
    "error": "it answers a command, not a frontend",
    "caught_up": "nothing is replayed",
    "lagged": "nothing is replayed",
    "room_created": "that we are in it follows, as `join room`",
    "room_listed": "a room that one is not in is no chat",
    "typing": "nobody wants it as a text",
    "notification": "what it is about has come itself",
    "notifications_read": "what was read has been seen",
    "peer_up": "it is about the node, and says nothing of people",
    "peer_down": "it is about the node, and says nothing of people",
}
"""Events that are not shown, and why."""
ENDED: Final = {
    "decline": "declined",
    "ignore": "not answered",
    "cancelled": "taken back",
    "expired": "expired",
}
"""How an invite ends otherwise than by being accepted."""
_MESSAGE: Final = events.UserMessage.__struct_fields__


class Showing:
    """The events that a frontend is shown."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._kinds: dict[type[events.Event], Callable[[Any], Talk[None]]] = {
            events.MessageEdited: self._edited,
            events.MessageDeleted: self._deleted,
            events.MessageHealed: self._healed,
            events.MessageStatus: self._status,
            events.Reaction: self._reaction,
            events.Attachment: self._attachment,
            events.UserJoin: self._join,
            events.UserLeave: self._leave,
            events.RoomUpdated: self._room,
            events.RoomDeleted: self._room_deleted,
            events.UserInvite: self._invite,
            events.InviteResult: self._invite_result,
            events.ContactRequested: self._requested,
            events.ContactRequestCancelled: lambda event: self._friend("cancel friend request", event),
            events.ContactAdded: lambda event: self._friend("accept friend request", event),
            events.ContactRejected: lambda event: self._friend("reject friend request", event),
            events.ContactRemoved: lambda event: self._friend("unfriend", event),
            events.ContactUpdated: self._contact,
            events.KeyChanged: self._key,
            events.Presence: self._presence,
            events.Profile: self._profile,
            events.Announcement: self._announcement,
            events.Warning: self._warning,
            events.Connectivity: self._connectivity,
        }

    @property
    def kinds(self) -> frozenset[type[events.Event]]:
        """What is shown."""
        return frozenset({events.UserMessage, *self._kinds})

    def show(self, event: events.Event) -> Talk[None]:
        """Show an event; what cannot be asked for it just now is left out."""
        page = self.page
        if isinstance(event, events.UserMessage) and page.loaded:
            yield page.said("new message", page.told(event))
            return
        if not page.loaded:
            yield from self._load()
        if isinstance(event, events.UserMessage):
            yield page.said("new message", page.told(event))
        elif (kind := self._kinds.get(type(event))) is not None:
            yield from kind(event)

    def _load(self) -> Talk[None]:
        try:
            yield from self.page.load()
        except Refused:  # the vault is locked: again with the next event, or the next word
            return

    def _connectivity(self, _event: events.Connectivity) -> Talk[None]:
        yield from ()

    # -- messages ---------------------------------------------------------------------------------

    def _edited(self, event: events.MessageEdited) -> Talk[None]:
        page, known = self.page, self.page.messages.get(event.id)
        whole = None
        if known is None or not known.plain:
            whole = yield from self._found(event.room, event.id)
        if whole is not None:
            told = page.told(whole)
        else:
            told = telling.message(
                event.id,
                event.message,
                chat=page.chat(event.room),
                room=event.room,
                sender=page.me if event.mine else event.username,
                ts_ms=None if known is None else known.ts_ms,
                mine=event.mine,
                status="delivered" if known is None else known.status,
            )
        told |= {"edited": True, "edited_at": telling.iso(event.edited_ms)}
        yield page.said("edit message", told)

    def _found(self, room: str, ident: str) -> Talk[events.UserMessage | None]:
        try:
            return (yield from self.page.find(room, ident))
        except Refused:
            return None

    def _deleted(self, event: events.MessageDeleted) -> Talk[None]:
        yield self.page.frame("delete message", message_id=event.id, chat_id=self.page.chat(event.room))

    def _healed(self, event: events.MessageHealed) -> Talk[None]:
        page = self.page
        if isinstance(event.id, str):
            those = ((name, getattr(event, name, UNSET)) for name in _MESSAGE)
            given: dict[str, Any] = {name: value for name, value in those if value is not UNSET}
            yield page.said("new message", page.told(events.UserMessage(**given)))
        if event.missing == 0:
            chat = page.chat(event.room)
            yield page.frame("delete message", message_id=event.placeholder, chat_id=chat)
            return
        left = yield from self._found(event.room, event.placeholder)
        if left is not None:
            told = {**page.told(left), "content": telling.unreadable(event.missing), "edited": True}
            yield page.said("edit message", {**told, "text": told["content"]})

    def _status(self, event: events.MessageStatus) -> Talk[None]:
        page, known = self.page, self.page.messages.get(event.id)
        if known is not None:
            page.messages[event.id] = known._replace(status=event.status)
        room = event.room if isinstance(event.room, str) else known.room if known is not None else None
        chat = None if room is None else page.chat(room)
        whom = event.by if isinstance(event.by, str) else None
        if event.status == "read" and whom is not None:
            yield page.frame("read message", message_id=event.id, username=whom, chat_id=chat)
        elif event.status == "failed":
            text = f"[not delivered] to {whom or 'anybody'}: {event.why or 'failed'}"
            yield page.notice(text, chat=chat or telling.NODE, room=room, seq=event.seq, reply_to=event.id)

    def _reaction(self, event: events.Reaction) -> Talk[None]:
        yield self._in_room(
            f"[reaction{'' if event.on else ' taken back'}] {event.emoji}",
            event.room,
            event,
            sender=self.page.me if event.mine else event.username,
            ts_ms=event.ts_ms,
            mine=event.mine,
            reply_to=event.id,
        )

    def _attachment(self, event: events.Attachment) -> Talk[None]:
        if event.state == "ready":
            url = f" {self.page.setting.base}{event.url}" if isinstance(event.url, str) else ""
            yield self._in_room(f"[file] {event.name} is here now{url}", event.room, event)
        elif event.state == "failed":
            text = f"[file] {event.name} did not come: {event.why or 'failed'}"
            yield self._in_room(text, event.room, event)

    def _in_room(self, text: str, room: str, event: Any, **more: Any) -> Frame:
        seq = getattr(event, "seq", None)
        return self.page.notice(text, chat=self.page.chat(room), room=room, seq=seq, **more)

    # -- rooms ------------------------------------------------------------------------------------

    def _join(self, event: events.UserJoin) -> Talk[None]:
        if event.reason != "join":  # that somebody is back is told by their status
            return
        page, mine = self.page, event.user_id == self.page.user_id
        if mine and event.room not in page.rooms:
            yield from self._load()
        chat, name = page.chat(event.room), page.rooms.get(event.room)
        yield page.frame(
            "join room", chat_id=chat, username=page.name(event.username, event.user_id), name=name
        )

    def _leave(self, event: events.UserLeave) -> Talk[None]:
        if event.reason in {"leave", "removed"}:
            text = "[left]" if event.reason == "leave" else "[removed]"
            mine = event.user_id == self.page.user_id
            sender = self.page.name(event.username, event.user_id)
            yield self._in_room(f"{text} {sender}", event.room, event, sender=sender, mine=mine)

    def _room(self, event: events.RoomUpdated) -> Talk[None]:
        page = self.page
        if isinstance(event.read_to, str):
            chat = page.chat(event.room)
            yield page.frame("read message", message_id=event.read_to, username=page.me, chat_id=chat)
        told = []
        if isinstance(event.name, str):
            if page.rooms.get(event.room, event.name) != event.name:
                told.append(f"[room] is called {event.name} now")
            page.rooms.put(event.room, event.name)
        if isinstance(event.topic, str):
            told.append(f"[room] topic: {event.topic}")
        if isinstance(event.role, str) and isinstance(event.username, str):
            told.append(f"[room] {event.username} is {event.role} now")
        if isinstance(event.invite, str):
            told.append(f"[room] those who come may invite: {event.invite}")
        if isinstance(event.history, str):
            told.append(f"[room] newcomers read of the history: {event.history}")
        for number, text in enumerate(told):
            yield self._in_room(text, event.room, event if number == 0 else None)

    def _room_deleted(self, event: events.RoomDeleted) -> Talk[None]:
        yield self._in_room("[room] was ended: nobody can write here any more", event.room, event)

    def _invite(self, event: events.UserInvite) -> Talk[None]:
        page = self.page
        page.invites.put(event.invite, (event.sender, event.room_name))
        what = "to a game" if event.kind == "game" else f"to the room {event.room_name}"
        text = f"[invite] {what}: to accept, join room {event.invite}"
        yield page.notice(
            text,
            chat=page.chat_with(event.sender),
            sender=event.sender,
            seq=event.seq,
            invite=event.invite,
            expires_at=telling.iso(event.expires_at * 1000),
        )

    def _invite_result(self, event: events.InviteResult) -> Talk[None]:
        page = self.page
        known = page.invites.get(event.invite)
        other = telling.NODE if event.target == page.username else event.target
        other, name = known or (other, page.rooms.get(event.room, "a room"))
        what = "to a game" if event.kind == "game" else f"to the room {name}"
        if event.response == "accept" and isinstance(event.game_id, str):
            text = f"[invite] {what}: accepted, the game is {event.game_id}"
        elif event.response in ENDED:
            why = " (busy)" if event.why == "busy" else ""
            text = f"[invite] {what}: {ENDED[event.response]}{why}"
        else:  # delivered; or accepted, and `join room` follows
            return
        yield page.notice(text, chat=page.chat_with(other), seq=event.seq, invite=event.invite)

    # -- people -----------------------------------------------------------------------------------

    def _friend(self, name: str, event: Any) -> Talk[None]:
        self._meet(event.user_id, event.username)
        yield self.page.frame(name, other_username=event.username)

    def _requested(self, event: events.ContactRequested) -> Talk[None]:
        self._meet(event.user_id, event.username)
        hello = event.message if isinstance(event.message, str) and event.message else None
        yield self.page.frame("new friend request", other_username=event.username, message=hello)

    def _meet(self, user_id: str, username: str) -> m.Person:
        """Remember somebody; returns how they were known before."""
        page = self.page
        before = page.people.get(user_id)
        if before is None:
            page.people.put(user_id, m.Person(username))
        elif before.username != username:
            page.people.put(user_id, before._replace(username=username))
            page.renamed(before.username)
        return before or m.Person(username)

    def _contact(self, event: events.ContactUpdated) -> Talk[None]:
        page = self.page
        if event.user_id not in page.people:  # it may be a name that is new
            with suppress(Refused):  # they have gone meanwhile
                yield from page.met(event.user_id)
        before, texts = self._meet(event.user_id, event.username), []
        if before.username != event.username:
            texts.append(f"[renamed] {before.username} is called {event.username} here now")
        if isinstance(event.state, str):
            now = page.people[event.user_id]._replace(
                blocked=event.blocked is True, blocked_by=event.blocked_by is True
            )
            page.people[event.user_id] = now
            if now.blocked != before.blocked:
                texts.append(f"[{'blocked' if now.blocked else 'unblocked'}] {event.username}")
            if now.blocked_by != before.blocked_by:
                texts.append(f"[{'blocked' if now.blocked_by else 'unblocked'}] by {event.username}")
            if not texts and event.state in {"requested", "pending"}:
                texts.append(f"[friend request] sent to {event.username}")
            elif not texts and event.state == "none":
                texts.append(f"[friend request] between you and {event.username} is over")
        for number, text in enumerate(texts):
            seq = event.seq if number == 0 else None
            yield page.notice(text, chat=page.chat_with(event.username), seq=seq)

    def _key(self, event: events.KeyChanged) -> Talk[None]:
        text = f"[keys changed] of {event.username}: compare safety numbers before you go on"
        yield self.page.notice(text, chat=self.page.chat_with(event.username), seq=event.seq)

    def _presence(self, event: events.Presence) -> Talk[None]:
        status = event.status if isinstance(event.status, str) else None
        yield from self._seen(event.user_id, event.username, telling.shown(event.presence, status))

    def _profile(self, event: events.Profile) -> Talk[None]:
        before = self._meet(event.user_id, event.username)
        status = event.status if isinstance(event.status, str) else ""
        if before.status not in {"", "offline", "away"} and event.status is not UNSET:
            yield from self._seen(event.user_id, event.username, status or "online")

    def _seen(self, user_id: str, username: str, status: str) -> Talk[None]:
        page, before = self.page, self._meet(user_id, username)
        if before.status == status:
            return
        page.people.put(user_id, page.people[user_id]._replace(status=status))
        name = page.name(username, user_id)
        if before.status in {"", "offline"} and status != "offline" and user_id != page.user_id:
            yield page.frame("user connect", username=name, key=f"connect {user_id}")
        yield page.frame("set status", status=status, friends=[name], key=f"status {user_id}")

    # -- everybody --------------------------------------------------------------------------------

    def _announcement(self, event: events.Announcement) -> Talk[None]:
        page, word = self.page, "announcement" if event.kind == "notice" else "tournament"
        chat = telling.NODE if event.mine else page.chat_with(event.username)
        yield page.notice(
            f"[{word}] {event.text}",
            chat=chat if event.room is None else page.chat(event.room),
            room=event.room,
            sender=page.me if event.mine else event.username,
            ts_ms=event.ts_ms,
            seq=event.seq,
            mine=event.mine,
            data=event.data,
        )

    def _warning(self, event: events.Warning) -> Talk[None]:
        yield self.page.notice(f"[warning] {event.message}", chat=telling.NODE, code=event.code)
