"""What a frontend of the friends protocol says, as commands; what each returns acknowledges it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from node.bridge.dialects.adapter import Call, Last, Talk, message_of
from node.bridge.dialects.friends_002.memory import MAX_CHATS, Known, Recent
from node.bridge.dialects.friends_002.page import Page
from node.bridge.dialects.friends_002.reading import MAX_FRIENDS, MAX_NAME, Given, as_uuid
from node.bridge.dialects.friends_002.telling import iso, shown, without_file
from node.chat import commands as c
from node.chat.commands import Command
from node.chat.events import UserMessage
from node.errors import Refused

HISTORY: Final = 50
"""Messages that the answer to `join room` has, and at most so many unread ones come as events."""
PAGE_CHARS: Final = 64 * 1024
"""Characters of these: as JSON, twice in the answer and in each event, they stay under what may wait."""
LISTED: Final = 256
"""People who are told of at once: of a `user connect` or a room."""
MAX_SOUGHT: Final = 64
"""Rooms that are looked through for a message of which nothing is known here but its id."""
MAX_OWN: Final = 1024
"""Ids that the frontend gave to messages itself."""
OWN_ID: Final = 16
"""Characters from which on an id of the frontend's is taken to be given once: shorter ones come again."""


class Words:
    """The events that a frontend may say."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._chat: str | None = None
        """The room that was joined last: where a message goes that names none."""
        self._entered: Recent[str, bool] = Recent(MAX_CHATS)
        self._own: Recent[str, str] = Recent(MAX_OWN)
        self._greeted = False
        self.owed = False
        """The frontend has said `user connect` while the vault was locked, and nothing came of it yet."""
        self._words: dict[str, Callable[[Given], Talk[dict[str, Any]]]] = {
            "user connect": self._connect,
            "join room": self._join,
            "set status": self._status,
            "new friend request": self._ask,
            "cancel friend request": lambda given: self._friend(given, c.ContactCancel),
            "accept friend request": lambda given: self._friend(given, c.ContactAccept),
            "reject friend request": lambda given: self._friend(given, c.ContactReject),
            "unfriend": lambda given: self._friend(given, c.ContactRemove),
            "new message": self._send,
            "delete message": self._delete,
            "edit message": self._edit,
            "read message": self._read,
        }

    def say(self, call: Call) -> Talk[dict[str, Any]]:
        """Do what was said; raises Refused."""
        word = self._words.get(call.name) if isinstance(call.name, str) else None
        if word is None:
            raise Refused("unknown_event", "there is no event of this name", field="event")
        given = Given(call)
        self.page.heard(call.name, given)
        if call.name == "user connect":
            self.page.alias = given.text("username", most=MAX_NAME) or None
            self.owed = not self.page.loaded
        if not self.page.loaded:
            yield from self.page.load()
        return {"ok": True, **(yield from word(given))}

    # -- being there ------------------------------------------------------------------------------

    def connect_late(self) -> Talk[None]:
        """Do what `user connect` asked for: a frontend says it once, and the vault is open now."""
        yield from self._connect(None)

    def _connect(self, _given: Given | None) -> Talk[dict[str, Any]]:
        page = self.page
        self.owed = False
        me = yield c.ProfileGet()
        page.username = me["username"]
        if me["presence"] == "offline" and page.setting.scope != "read":
            me = {**me, **self._seen((yield c.PresenceSet(state="online")))}
        rows = (yield c.ContactList())["contacts"]
        if not self._greeted:
            self._greeted = True
            yield from self._greet(rows)
        friends = [row["username"] for row in rows if row["state"] == "contact"]
        return {
            "username": page.me,
            "status": shown(me["presence"], me["status"]),
            "friends": friends[:MAX_FRIENDS],
        }

    @staticmethod
    def _seen(facts: dict[str, Any]) -> dict[str, Any]:
        return {"presence": facts["state"], "status": facts["status"]}

    def _greet(self, rows: list[dict[str, Any]]) -> Talk[None]:
        """Tell of friends who are there, and of who asks to be one: once a connection."""
        here = [row for row in rows if row["state"] == "contact" and row["presence"] != "offline"]
        for row in here[:LISTED]:
            name, status = row["username"], shown(row["presence"], row["status"])
            yield self.page.frame("set status", status=status, friends=[name], key=f"status {row['user_id']}")
        for row in [row for row in rows if row["state"] == "incoming"][:LISTED]:
            yield self.page.frame(
                "new friend request", other_username=row["username"], message=row["message"] or None
            )

    def _status(self, given: Given) -> Talk[dict[str, Any]]:
        status, friends = given.text("status", most=128), given.texts("friends")
        rows = (yield c.ContactList())["contacts"]
        rows = [row for row in rows if row["state"] == "contact" and not row["blocked"]]
        told = [row["username"] for row in rows]
        if friends is not None:
            named = set(friends)
            left_out = [
                row["username"] for row in rows if named.isdisjoint((row["username"], row["user_id"]))
            ]
            if left_out and (now := (yield from self._so_already(status))) is not None:
                return {"status": now, "told": []}
            if left_out and friends:
                text = "a status is told to all friends or to nobody: name all of them, none, or no list"
                raise Refused("not_supported", text, field="friends", left_out=left_out[:LISTED])
            if left_out:
                return {"status": status, "told": []}
        facts = yield Last(wish(status))
        return {"status": shown(facts["state"], facts["status"]), "told": told[:MAX_FRIENDS]}

    @staticmethod
    def _so_already(status: str) -> Talk[str | None]:
        """Return how we are seen if that is what is asked for: then there is nothing to tell, to nobody."""
        me, asked = (yield c.ProfileGet()), wish(status)
        now, state = shown(me["presence"], me["status"]), str(asked.state)
        same = now == (state if state != "online" else asked.status or state)
        return now if same else None

    # -- friends ----------------------------------------------------------------------------------

    def _friend(self, given: Given, kind: Callable[..., Command]) -> Talk[dict[str, Any]]:
        name = given.text("other_username", most=MAX_NAME)
        answer = yield Last(kind(username=name))
        return {"other_username": name, "state": answer["state"]}

    def _ask(self, given: Given) -> Talk[dict[str, Any]]:
        name, message = given.text("other_username"), given.maybe("message")
        if name.startswith("gossamer:"):
            answer = yield Last(c.ContactAdd(link=name))
            return {"other_username": name, "state": answer["state"]}
        try:
            answer = yield c.ContactRequest(username=name, message=message)
        except Refused as fault:
            if fault.code != "unknown_user" or not 0 < len(name) <= MAX_NAME:
                raise
            who = yield from self._listed(name, fault)
            answer = yield Last(c.ContactRequest(username=who, message=message))
        return {"other_username": name, "state": answer["state"]}

    def _listed(self, name: str, unknown: Refused) -> Talk[str]:
        """Return the id of the one person who is listed in the mesh under a name."""
        found = (yield c.UserSearch(text=name, limit=20))["users"]
        exact = [row for row in found if name in {row["username"], row["nickname"]}]
        if not exact:
            raise unknown
        if len(exact) > 1:
            candidates = [{"username": row["username"], "user_id": row["user_id"]} for row in exact]
            text = "several people are called so: name one by an id"
            raise Refused("ambiguous_user", text, field="other_username", candidates=candidates)
        return str(exact[0]["user_id"])

    # -- chats ------------------------------------------------------------------------------------

    def _join(self, given: Given) -> Talk[dict[str, Any]]:
        page, chat = self.page, given.text("chat_id", most=MAX_NAME)
        ident = as_uuid(chat)
        if ident is None:
            facts = yield c.DmOpen(username=chat)
            page.direct.put(chat, facts["room"])
        else:
            facts = yield from self._enter(ident)
        room, state = facts.get("room"), facts.get("state", "joined")
        answer = {"chat_id": chat, "room": room, "state": state}
        self._chat = room or self._chat
        if state == "accepted":
            return {**answer, "game_id": facts.get("game_id")}
        if state != "joined":
            return answer
        if "members" not in facts:
            facts = {**facts, **(yield c.RoomGet(room=room))}
        page.call(facts["room"], chat)
        page.rooms.put(facts["room"], facts["name"])
        members = [page.name(row["username"], row["user_id"]) for row in facts["members"][:LISTED]]
        messages = yield from self._history(facts["room"], facts["unread"])
        about = {"name": facts["name"], "members": members, "unread": facts["unread"]}
        return {**answer, **about, "messages": messages}

    def _enter(self, ident: str) -> Talk[dict[str, Any]]:
        """Come into the room of this id, accept the invite of this id, or open the chat with this person."""
        try:
            return (yield c.UserJoin(room=ident))  # type: ignore[no-any-return]  # answers are plain objects
        except Refused as fault:
            if fault.code != "room_not_found":
                raise
            missing = fault
        try:
            return (yield c.UserInviteResponse(response="accept", invite=ident))  # type: ignore[no-any-return]  # the same
        except Refused as fault:
            if fault.code != "invite_unknown":
                raise
        try:
            return (yield c.DmOpen(username=ident))  # type: ignore[no-any-return]  # the same
        except Refused:
            raise missing from None

    def _history(self, room: str, unread: int) -> Talk[list[dict[str, Any]]]:
        """Read the newest messages; those that are unread, and were not told, come as events too."""
        page, found = self.page, (yield c.HistoryGet(room=room, limit=HISTORY))["messages"]
        messages = _fitting([message_of(one) for one in found])
        new = [one.id for one in messages if not one.mine and one.kind != "unreadable"]
        new = [ident for ident in new[-unread:] if ident not in page.messages] if unread else []
        told = [page.told(one) for one in messages]
        self._entered.put(room, True)
        for one in told:
            if one["id"] in new:
                yield page.said("new message", {**one, "history": True})
        return told

    # -- messages ---------------------------------------------------------------------------------

    def _send(self, given: Given) -> Talk[dict[str, Any]]:
        chat, own = given.maybe("chat_id", most=MAX_NAME), given.number_or_text("message_id")
        room = yield from self._room(chat)
        command = c.UserMessage(
            room=room,
            message=given.maybe("content") or "",
            attachment=given.maybe("attachment", most=MAX_NAME),
            reply_to=self._meant(given.maybe("reply_to", most=128)),
            nonce=own if own and len(own) >= OWN_ID else None,
        )
        if not command.message and command.attachment is None:
            raise Refused("invalid", "`content` is missing", field="content")
        sent = yield Last(command)
        ident = sent["id"]
        if ident not in self.page.messages:  # its event may have come before
            known = Known(room, True, sent["ts_ms"], command.attachment is None, sent["status"])
            self.page.messages.put(ident, known)
        done = {"id": ident, "_id": ident, "message_id": ident, "chat_id": self.page.chat(room), "room": room}
        if own:
            self._own.put(own, ident)
            done["client_id"] = own
        return {**done, "status": sent["status"], "created_at": iso(sent["ts_ms"])}

    def _room(self, chat: str | None) -> Talk[str]:
        """Return the room that the frontend means; without a word the one it has joined last."""
        page = self.page
        if chat is None:
            if self._chat is None:
                raise Refused("invalid", "`chat_id` is missing, and no room was joined", field="chat_id")
            return self._chat
        ident = as_uuid(chat)
        room = page.direct.get(chat) if ident is None else ident
        if room is None:
            room = str((yield c.DmOpen(username=chat))["room"])
            page.direct.put(chat, room)
        page.call(room, chat)
        return room

    def _meant(self, ident: str | None) -> str | None:
        """Return the id of a message that the frontend may call by an id of its own."""
        return None if ident is None else self._own.get(ident) or as_uuid(ident) or ident

    def _message(self, given: Given) -> Talk[tuple[str, Known]]:
        """Return which message is meant; raises Refused `message_not_found`."""
        ident = self._meant(given.number_or_text("message_id"))
        if ident is None:
            raise Refused("invalid", "`message_id` is missing", field="message_id")
        known = self.page.messages.get(ident)
        if known is None and as_uuid(ident) is not None:
            chat = given.maybe("chat_id", most=MAX_NAME)
            rooms = (yield from self._rooms()) if chat is None else [(yield from self._room(chat))]
            for room in rooms:
                if (yield from self.page.find(room, ident)) is not None:
                    known = self.page.messages[ident]
                    break
        if known is None:
            raise Refused("message_not_found", "no message is known by this id", field="message_id")
        return ident, known

    def _rooms(self) -> Talk[list[str]]:
        """Return the rooms that a message may be in, those that were joined here first."""
        rooms = [row["room"] for row in (yield c.RoomList(joined=True))["rooms"]]
        rooms.sort(key=lambda room: room not in self._entered)
        return rooms[:MAX_SOUGHT]

    def _delete(self, given: Given) -> Talk[dict[str, Any]]:
        ident, known = yield from self._message(given)
        if not known.mine:
            raise Refused("forbidden", "only its author deletes a message", field="message_id")
        yield Last(c.MessageDelete(room=known.room, id=ident))
        return {"message_id": ident, "chat_id": self.page.chat(known.room)}

    def _edit(self, given: Given) -> Talk[dict[str, Any]]:
        given.text("content")
        ident, known = yield from self._message(given)
        content = yield from self._changed(given, ident, known)
        done = yield Last(c.MessageEdit(room=known.room, id=ident, message=content))
        chat = self.page.chat(known.room)
        return {"message_id": ident, "chat_id": chat, "edited_at": iso(done["edited_ms"])}

    def _changed(self, given: Given, ident: str, known: Known) -> Talk[str]:
        """Return the new words: a whole message comes back as it was told, but for the one key that changed.

        The line that stands for its file is ours, with an address that is for this frontend alone.
        """
        spelled = given.spellings("content")
        if len(spelled) == 1 and known.plain:
            return spelled[0]
        found = yield from self.page.find(known.room, ident)
        if found is None:
            return spelled[0]
        spelled = [without_file(one, found) for one in spelled]
        return next((one for one in spelled if one != found.message), spelled[0])

    def _read(self, given: Given) -> Talk[dict[str, Any]]:
        ident, known = yield from self._message(given)
        done = yield Last(c.MessageRead(room=known.room, id=ident))
        chat = self.page.chat(known.room)
        return {"message_id": ident, "chat_id": chat, "unread": done["unread"]}


def _fitting(messages: list[UserMessage]) -> list[UserMessage]:
    """Return the newest of these messages that go into one answer, one at least."""
    size = 0
    for place, message in enumerate(reversed(messages)):
        size += len(message.message)
        if size > PAGE_CHARS and place:
            return messages[-place:]
    return messages


def wish(status: str) -> c.PresenceSet:
    """Return what a status asks for: words of one's own are kept while one is offline."""
    match status.strip().lower():
        case "online":
            return c.PresenceSet(state="online", status="")
        case "offline":
            return c.PresenceSet(state="offline")
        case "away":
            return c.PresenceSet(state="away", status="")
        case _:
            return c.PresenceSet(state="online", status=status)
