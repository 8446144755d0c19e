"""What happens, as a frontend of 003 is told of it (docs/dialects/live_003.md).

What the dialect has no word for becomes a message in its chat, with a prefix that stays the same. It bears
the id of the message that it is about; one that is about none has an id which no message has.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from msgspec import UNSET

from node.bridge.dialects.adapter import Frame, Talk, message_of
from node.bridge.dialects.live_003.frames import timestamp_of
from node.bridge.dialects.live_003.known import Invited, Known
from node.bridge.dialects.live_003.likes import Likes, likes_of
from node.bridge.dialects.live_003.shapes import (
    LIKE,
    Chat,
    avatar_url,
    content_of,
    file_of,
    invite_data,
    is_liked,
    iso,
    notice_of,
)
from node.chat import commands as c, events
from node.errors import Refused

NOTICE: Final = "notice-"
"""Before the number of an event: the id of what is shown as a message and is none."""
_ENDS: Final = {"ignore": "nobody answered within 120 seconds", "expired": "it has reached nobody"}
_LEAVES: Final = {"leave": "[left]", "removed": "[removed]"}


class Telling:
    """Turns events into frames; `now_ms` is the time, for what has none of its own."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.now_ms = 0
        self._by_event: dict[type, Callable[[Any], Talk[None]]] = {
            events.UserMessage: self._said,
            events.MessageHealed: self._healed,
            events.MessageEdited: self._edited,
            events.MessageDeleted: self._deleted,
            events.Reaction: self._reacted,
            events.MessageStatus: self._status,
            events.Attachment: self._file,
            events.UserInvite: self._invited,
            events.InviteResult: self._invite_result,
            events.UserJoin: self._joined,
            events.UserLeave: self._left,
            events.RoomUpdated: self._room_updated,
            events.RoomDeleted: self._room_deleted,
            events.ContactAdded: self._added,
            events.ContactRequested: self._requested,
            events.Announcement: self._announced,
            events.Presence: self._presence,
            events.Profile: self._profile,
            events.KeyChanged: self._key_changed,
            events.Connectivity: self._connectivity,
            events.Warning: self._warned,
            events.Error: self._warned,
        }

    def tell(self, event: events.Event) -> Talk[None]:
        """Show an event; those that are not in the table say nothing there."""
        act = self._by_event.get(type(event))
        if act is not None:
            yield from act(event)

    # -- messages ---------------------------------------------------------------------------------

    def _said(self, event: events.UserMessage) -> Talk[None]:
        if event.history is True:  # said before we came in: the list of messages has it
            return
        timestamp = timestamp_of(event.nonce, event.room)
        for sending in self.known.sending:
            if sending.nonce == event.nonce:
                sending.echoed, timestamp = True, sending.timestamp
        chat = self.known.chats.get(event.room) or (yield from self.known.chat(event.room))
        if event.reactions is UNSET:
            self.known.authors.put(event.id, event.user_id)
        if event.mine and self.known.confirmed.pop(event.id) is not None:
            return
        data = self._message(
            chat, event.id, content_of(event, chat, self.known.base), event.ts_ms, event.username
        )
        if timestamp is not None:
            data["timestamp"] = timestamp
        if isinstance(event.attachment, dict) and event.attachment.get("state") == "pending":
            self.known.files.put(event.attachment["id"], {**data, "kind": event.kind})
        yield Frame("new_message", (data,))

    def _message(self, chat: Chat, ident: str, content: str, ts_ms: int, sender: str) -> dict[str, Any]:
        return {
            "chat_id": chat.chat_id,
            "id": ident,
            "content": content,
            "date": iso(ts_ms),
            "sender": sender,
            "timestamp": str(ts_ms),
        }

    def _about(self, event: Any, words: str, *, ident: str | None = None, sender: str = "") -> Talk[None]:
        """Show words as a message in the event's chat: about a message, or about none."""
        chat = yield from self.known.chat(event.room)
        number = event.seq if isinstance(event.seq, int) else self.now_ms
        data = self._message(chat, ident or f"{NOTICE}{number}", words, self.now_ms, sender)
        yield Frame("new_message", (data,))

    def _by(self, event: Any, words: str) -> Talk[None]:
        """Show what somebody did to a message; in a group their name comes first, as with their words."""
        chat = yield from self.known.chat(event.room)
        name = event.username if isinstance(event.username, str) else ""
        begin = "" if chat.direct or event.mine or not name else f"{name}: "
        yield from self._about(event, begin + words, ident=event.id, sender=name)

    def _healed(self, event: events.MessageHealed) -> Talk[None]:
        if not isinstance(event.id, str):
            return
        fields = {
            key: getattr(event, key) for key in event.__struct_fields__ if key not in {"placeholder", "seq"}
        }
        fields = {key: value for key, value in fields.items() if value is not UNSET}
        del fields["missing"]
        message = events.UserMessage(**fields)
        chat = yield from self.known.chat(event.room)
        words = "[late] " + content_of(message, chat, self.known.base)
        data = self._message(chat, message.id, words, message.ts_ms, message.username)
        yield Frame("new_message", (data,))

    def _edited(self, event: events.MessageEdited) -> Talk[None]:
        yield from self._by(event, f"[edited] {event.message}")

    def _deleted(self, event: events.MessageDeleted) -> Talk[None]:
        yield from self._by(event, "[expired]" if event.reason == "expired" else "[deleted]")

    def message(self, room: str, ident: str) -> Talk[events.UserMessage]:
        """Return a message of a room as it is; raises Refused `message_not_found`.

        It is the one before the one after it; the newest, where none is after it.
        """
        after = yield c.HistoryGet(room=room, after=ident, limit=1)
        next_one = after["messages"][0]["id"] if after["messages"] else None
        found = yield c.HistoryGet(room=room, before=next_one, limit=1)
        for stored in found["messages"]:
            if stored["id"] == ident:
                return message_of(stored)
        raise Refused("message_not_found", "this chat has no such message", field="id")

    def like(self, message: events.UserMessage, room: str) -> Frame:
        """Return the frame that says whether a message is liked."""
        return _like(room, message.id, liked=is_liked(message))

    def _reacted(self, event: events.Reaction) -> Talk[None]:
        if event.emoji != LIKE:
            if event.on:
                yield from self._by(event, f"[reaction] {event.emoji}")
            return
        likes = yield from self._likes(event)
        likes.take(event.user_id, on=event.on)
        yield _like(event.room, event.id, liked=likes.liked)

    def _likes(self, event: events.Reaction) -> Talk[Likes]:
        """Return who likes a message: as counted so far, or as it is stored, where it was not shown here."""
        likes, author = self.known.likes.get(event.id), self.known.authors.get(event.id)
        if likes is None and author is not None:
            likes = Likes(author)
        if likes is None:
            try:
                likes = likes_of((yield from self.message(event.room, event.id)))
            except Refused:
                likes = Likes("")  # it has gone meanwhile
            likes.take(event.user_id, on=not event.on)  # the stored one has this very change in it
        self.known.likes.put(event.id, likes)
        return likes

    def _status(self, event: events.MessageStatus) -> Talk[None]:
        if event.status == "failed":
            to = f" to {event.by}" if isinstance(event.by, str) else ""
            data = {
                "action": "new_message",
                "code": "failed",
                "message": f"it will not come{to}: {event.why}",
            }
            yield Frame("error", ({**data, "chat_id": event.room or None, "id": event.id},))

    def _file(self, event: events.Attachment) -> Talk[None]:
        """A file of a message that was shown has come, or will not."""
        if event.state not in {"ready", "failed"}:
            return
        shown = self.known.files.pop(event.id)
        if shown is not None:
            kind = shown.pop("kind")
            file = {"name": event.name, "state": event.state, "url": event.url}
            yield Frame("new_message", ({**shown, "content": file_of(kind, file, self.known.base)},))

    # -- games and invites ------------------------------------------------------------------------

    def _invited(self, event: events.UserInvite) -> Talk[None]:
        who = yield from self.known.who(event.sender)
        asked = {"kind": event.kind, "room": event.room, "room_name": event.room_name}
        shown = invite_data(asked, who["username"], who["nickname"])
        self.known.invites.put(event.invite, Invited(shown["username"], shown["nickname"], event.kind))
        more = {"options": event.options or {}, "expires_at": iso(event.expires_at * 1000)}
        yield Frame("game_invite", ({**shown, "avatar": who["avatar"], **more},))

    def _invite_result(self, event: events.InviteResult) -> Talk[None]:
        if event.response == "delivered":
            return
        me = yield from self.known.myself()
        incoming = event.target == me["username"]
        if event.kind == "game" and event.response == "accept":
            who = me if incoming else (yield from self.known.who(event.target))
            yield Frame("game_accepted", ({"game_id": event.game_id or "", **who},))
        elif incoming and event.response not in {"accept", "decline"}:
            yield from self._taken_back(event)
        elif not incoming and event.kind == "game":
            yield from self._not_played(event, me)
        elif not incoming and event.response != "accept":
            yield from self._about(event, f"[invite] {event.target}: {event.response}", sender=me["username"])

    def _not_played(self, event: events.InviteResult, me: dict[str, Any]) -> Talk[None]:
        """An own invite to a game came to nothing."""
        if event.response == "decline":
            who = yield from self.known.who(event.target)
            yield Frame("game_declined", ({"username": who["username"], "nickname": who["nickname"]},))
            return
        why = f"{event.target} is busy" if event.why == "busy" else _ENDS.get(event.response)
        client_id = event.client_id if isinstance(event.client_id, str) else ""
        yield _canceled(me["username"], me["nickname"], why, client_id)

    def _taken_back(self, event: events.InviteResult) -> Talk[None]:
        """An invite of somebody else's is over, without an answer."""
        known = self.known.invites.pop(event.invite)
        if known is None:
            known = yield from self._look_up(event)
        yield _canceled(known.username, known.nickname, _ENDS.get(event.response), "")

    def _look_up(self, event: events.InviteResult) -> Talk[Invited]:
        for row in (yield c.InviteList())["invites"]:
            if row["invite"] == event.invite:
                who = yield from self.known.who(row["sender"])
                shown = invite_data(row, who["username"], who["nickname"])
                return Invited(shown["username"], shown["nickname"], event.kind)
        raise Refused("invite_unknown", "there is no such invite any more", field="invite")

    # -- rooms ------------------------------------------------------------------------------------

    def _joined(self, event: events.UserJoin) -> Talk[None]:
        if event.reason == "join":
            yield from self._about(event, f"[joined] {event.username}", sender=event.username)

    def _left(self, event: events.UserLeave) -> Talk[None]:
        if event.reason in _LEAVES and self.known.chats.get(event.room) is not None:
            yield from self._about(event, f"{_LEAVES[event.reason]} {event.username}", sender=event.username)

    def _room_updated(self, event: events.RoomUpdated) -> Talk[None]:
        """Say what changed of a group; what the owner has read or muted is nobody else's news."""
        said = []
        if isinstance(event.role, str):
            said.append(f"[role] {event.username}: {event.role}")
        elif isinstance(event.topic, str):
            said.append(f"[topic] {event.topic}")
        elif isinstance(event.invite, str) or isinstance(event.history, str):
            both = ("invite", event.invite), ("history", event.history)
            said.append(
                "[settings] " + ", ".join(f"{key}: {value}" for key, value in both if value is not UNSET)
            )
        elif event.unread is UNSET and event.muted is UNSET and isinstance(event.name, str):
            self.known.chats.put(event.room, Chat(event.room, event.name, direct=False))
            said.append(f"[renamed] {event.name}")
        for words in said:
            yield from self._about(event, words)

    def _room_deleted(self, event: events.RoomDeleted) -> Talk[None]:
        yield from self._about(event, "[room deleted]")

    # -- people -----------------------------------------------------------------------------------

    def _added(self, event: events.ContactAdded) -> Talk[None]:
        yield from self._friend(event.username, "added")

    def _requested(self, event: events.ContactRequested) -> Talk[None]:
        yield from self._friend(event.username, "requested")

    def _friend(self, username: str, state: str) -> Talk[None]:
        who = yield from self.known.who(username)
        action, data = notice_of("contact", {**who, "state": state})
        yield Frame(action, (data,))

    def _announced(self, event: events.Announcement) -> Talk[None]:
        if event.mine:
            return
        who = yield from self.known.who(event.username)
        kind = "tournament" if event.kind == "tournament" else "announcement"
        told = {"announcement": event.id, "room": event.room, "text": event.text, "data": event.data}
        action, data = notice_of(kind, {**told, "username": who["username"], "nickname": who["nickname"]})
        yield Frame(action, (data,))

    def _presence(self, event: events.Presence) -> Talk[None]:
        online = event.presence == "online"
        if self.known.online.get(event.user_id) is not online:
            self.known.online.put(event.user_id, online)
            name = "user_online" if online else "user_offline"
            yield Frame(name, ({"username": event.username},), key=f"presence {event.user_id}")

    def _profile(self, event: events.Profile) -> Talk[None]:
        """We are called otherwise; how others are called is asked when it is said."""
        if self.known.me is not None and event.user_id == self.known.user_id:
            if isinstance(event.avatar, str) or event.avatar is None:
                self.known.me["avatar"] = avatar_url(event.avatar, self.known.base)
            self.known.me["username"] = event.username
            self.known.me["nickname"] = event.nickname or event.username
        yield from ()

    def _key_changed(self, event: events.KeyChanged) -> Talk[None]:
        words = f"[key changed] {event.username} has another device"
        room = None
        with suppress(Refused):
            room = (yield c.ProfileGet(username=event.user_id))["room"]
        if room is None:  # there is no chat with them, and this is nothing to open one for
            yield _error(None, "key_changed", words)
            return
        number = event.seq if isinstance(event.seq, int) else self.now_ms
        chat = Chat(room, event.username, direct=True)
        data = self._message(chat, f"{NOTICE}{number}", words, self.now_ms, event.username)
        yield Frame("new_message", (data,))

    # -- the node ---------------------------------------------------------------------------------

    def _connectivity(self, event: events.Connectivity) -> Talk[None]:
        if event.state != "locked" and self.known.me is None:
            yield from self.known.learn()

    def _warned(self, event: events.Warning | events.Error) -> Talk[None]:
        yield _error(None, event.code, event.message)


def liked_by_me(message: events.UserMessage) -> bool:
    """Say whether the owner likes a message."""
    reactions = message.reactions if isinstance(message.reactions, list) else []
    return any(one.emoji == LIKE and one.mine for one in reactions)


def _like(room: str, ident: str, *, liked: bool) -> Frame:
    return Frame("like_message", ({"chat_id": room, "id": ident, "is_liked": liked},))


def _canceled(username: str, nickname: str, why: str | None, client_id: str) -> Frame:
    data = {"username": username, "nickname": nickname, "message": why, "client_id": client_id}
    return Frame("game_invite_canceled", (data,))


def _error(action: str | None, code: str, message: str) -> Frame:
    return Frame("error", ({"action": action, "code": code, "message": message},))
