"""One connection of the friends protocol: what it calls people and chats, and what it was shown of them."""

from __future__ import annotations

from typing import Any

from node.bridge.dialects.adapter import Frame, Setting, Talk, message_of
from node.bridge.dialects.friends_002 import memory as m, telling
from node.bridge.dialects.friends_002.reading import Given
from node.chat import commands as c, events
from node.clock import Instant
from node.errors import Refused


class Page:
    """What both directions share. `now` is the time of the present step."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.now = Instant(0.0, 0)
        self.loaded = False
        self.user_id = self.username = ""
        self.alias: str | None = None
        """What the frontend calls the owner; never anybody else."""
        self.messages: m.Recent[str, m.Known] = m.Recent(m.MAX_MESSAGES)
        self.rooms: m.Recent[str, str] = m.Recent(m.MAX_CHATS)
        """Names of rooms."""
        self.direct: m.Recent[str, str] = m.Recent(m.MAX_CHATS)
        """Rooms of two by what the other one is called here, or by what the frontend calls them."""
        self.called: m.Recent[str, str] = m.Recent(m.MAX_CHATS)
        """What the frontend calls a room, where that is not its id."""
        self.people: m.Recent[str, m.Person] = m.Recent(m.MAX_PEOPLE)
        self.invites: m.Recent[str, tuple[str, str]] = m.Recent(m.MAX_INVITES)
        """Who invited to which room, by invite."""
        self._one: dict[str, bool] = {}
        self._first: bool | None = None
        self._notices = 0

    def load(self) -> Talk[None]:
        """Learn who the owner is, the rooms of two and the people; raises Refused while that cannot be."""
        me = yield c.ProfileGet()
        rooms = yield c.RoomList(joined=True)
        contacts = yield c.ContactList()
        self.user_id, self.username = me["user_id"], me["username"]
        for row in rooms["rooms"][: m.MAX_CHATS]:
            self.rooms.put(row["room"], row["name"])
            if row["direct"]:
                self.direct.put(row["name"], row["room"])
        for row in contacts["contacts"][: m.MAX_PEOPLE]:
            status = telling.shown(row["presence"], row["status"])
            person = m.Person(row["username"], status, row["blocked"], row["blocked_by"])
            self.people.put(row["user_id"], self.people.get(row["user_id"], person))
        self.loaded = True

    # -- names ------------------------------------------------------------------------------------

    @property
    def me(self) -> str:
        """What the owner is called on this connection."""
        return self.alias or self.username

    def name(self, username: str, user_id: str) -> str:
        """Return what somebody is called on this connection."""
        return self.me if user_id == self.user_id else username

    def chat(self, room: str) -> str:
        """Return what the frontend calls a room: its id, unless it has used a name."""
        return self.called.get(room, room)

    def chat_with(self, username: str) -> str:
        """Return what the conversation with somebody is called, which there need not be yet."""
        room = self.direct.get(username)
        return username if room is None else self.chat(room)

    def call(self, room: str, chat: str) -> None:
        """Remember what the frontend calls a room."""
        if chat != room:
            self.called.put(room, chat)
        elif room in self.called:
            del self.called[room]

    def renamed(self, old: str) -> None:
        """Somebody is called otherwise now, and was `old`: what they were called stands for nobody."""
        room = self.direct.get(old)
        for name in [name for name, one in self.direct.items() if one == room]:
            self._forget(name)

    def met(self, user_id: str) -> Talk[None]:
        """Somebody of whom nothing was known may be called otherwise now: look whether their names hold."""
        room = (yield c.ProfileGet(username=user_id))["room"]
        for name in [name for name, one in self.direct.items() if one == room]:
            try:
                same = (yield c.ProfileGet(username=name))["user_id"] == user_id
            except Refused:
                same = False
            if not same:
                self._forget(name)

    def _forget(self, name: str) -> None:
        """Nobody is called so now; the chat with whoever was is called by its id again."""
        room = self.direct.pop(name)
        if self.called.get(room) == name:
            del self.called[room]

    # -- frames -----------------------------------------------------------------------------------

    def heard(self, name: str, given: Given) -> None:
        """Remember in which form the frontend says an event; the first says how it is told the others."""
        whole = name in {"new message", "edit message"}  # an object either way
        self._one["new message" if whole else name] = given.one
        if self._first is None and not whole:
            self._first = given.one

    def frame(self, name: str, /, *, key: str | None = None, **fields: Any) -> Frame:
        """Return an event in the form in which the frontend says it."""
        one = self._one.get(name, bool(self._first))
        return Frame(name, telling.arguments(name, fields, one=one), key)

    def said(self, name: str, message: dict[str, Any]) -> Frame:
        """Return a message, or one that was changed; under the key `message` too where it is said so."""
        one = self._one.get("new message", bool(self._first))
        return Frame(name, ({**message, "message": message} if one else message,))

    def notice(
        self,
        text: str,
        *,
        chat: str,
        sender: str = telling.NODE,
        room: str | None = None,
        ts_ms: int | None = None,
        seq: object = None,
        mine: bool = False,
        **more: Any,
    ) -> Frame:
        """Return what has no event of its own as a message."""
        self._notices += 1
        place = seq if isinstance(seq, int) else f"{self.now.wall_ms}-{self._notices}"
        told = telling.message(
            f"notice-{place}",
            text,
            chat=chat,
            room=room,
            sender=sender,
            ts_ms=self.now.wall_ms if ts_ms is None else ts_ms,
            mine=mine,
            status="delivered",
            kind="notice",
        )
        return self.said("new message", {**told, **more})

    # -- messages ---------------------------------------------------------------------------------

    def told(self, event: events.UserMessage) -> dict[str, Any]:
        """Return a message as an object, and remember it."""
        known = self.messages.get(event.id)
        fresh = m.known_of(event)
        known = fresh if known is None else fresh._replace(status=known.status)
        self.messages.put(event.id, known)
        told = telling.message(
            event.id,
            telling.words(event, self.setting.base),
            chat=self.chat(event.room),
            room=event.room,
            sender=self.me if event.mine else event.username,
            ts_ms=event.ts_ms,
            mine=event.mine,
            status=known.status,
            kind=event.kind,
            edited=event.edited is True,
            deleted=event.deleted is True,
        )
        if event.mine and event.nonce:
            told["client_id"] = event.nonce
        if event.reply_to:
            told["reply_to"] = event.reply_to
        if isinstance(event.attachment, dict):
            told["attachment"] = event.attachment
        if event.history is True or event.mentioned is True or isinstance(event.expires_ms, int):
            told |= telling.marks(event)
        return told

    def find(self, room: str, ident: str) -> Talk[events.UserMessage | None]:
        """Read one message: it stands right before the one after it, or is the newest."""
        try:
            later = yield c.HistoryGet(room=room, after=ident, limit=1)
            before = later["messages"][0]["id"] if later["messages"] else None
            page = yield c.HistoryGet(room=room, before=before, limit=1)
        except Refused as fault:
            if fault.code in {"message_not_found", "room_not_found"}:
                return None
            raise
        found = [message_of(one) for one in page["messages"]]
        if not found or found[0].id != ident:
            return None
        self.told(found[0])
        return found[0]
