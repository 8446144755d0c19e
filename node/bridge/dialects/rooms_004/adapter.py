"""The rooms protocol: a frontend joins rooms on its connection (docs/dialects/rooms_004.md).

The node may be in many rooms. A connection is told of those that were joined on it, which is when it is given
their newest messages, and may speak in those alone.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, assert_never

from node.bridge.dialects.adapter import Adapter, Call, Frame, Last, Setting, Talk, Wait
from node.bridge.dialects.rooms_004.errors import payload_of
from node.bridge.dialects.rooms_004.payloads import (
    CreateRoom,
    JoinRoom,
    LeaveRoom,
    SendMessage,
    TypingNow,
    picture_of,
    read,
    room_named,
    text_of,
)
from node.bridge.dialects.rooms_004.people import People
from node.bridge.dialects.rooms_004.telling import MAX_ADDRESSES, Telling, remember
from node.bridge.dialects.rooms_004.words import moment
from node.chat import commands as c
from node.chat.events import Event
from node.errors import Refused

MAX_ROOMS: Final = 1024
"""Rooms that a connection may have joined, or wait for: as many as open rooms are listed."""

LOOKS: Final = 2
"""Seconds that a room's listing has to arrive: within one, the maker's node has it on its way."""


class Rooms(Adapter):
    """One frontend of the rooms protocol."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._people = People()
        self._telling = Telling(self._people, setting.base, lambda: self.now.wall_ms)

    def opened(self) -> Talk[None]:
        """Learn who the owner is; while the vault is locked, later."""
        with suppress(Refused):
            yield from self._telling.introduce()

    def happened(self, event: Event) -> Talk[None]:
        """Show an event."""
        return self._telling.show(event)

    def shows(self, event: Event) -> bool:
        """Say whether it is in a room that was joined here: the messages of the others are told nobody."""
        return getattr(event, "room", None) in self._telling.views

    def refused(self, call: Call | None, fault: Refused) -> Talk[Any]:
        """Tell by the event `error`, and in the acknowledgement."""
        payload = payload_of(call, fault)
        yield Frame("error", (payload,))
        return {"ok": False, "error": payload}

    def said(self, call: Call) -> Talk[Any]:
        """Do what one of the five events asks for."""
        asked = read(call)
        self._people.claim(asked.user_id)
        if self._people.own is None:
            yield from self._telling.introduce()
        match asked:
            case CreateRoom():
                done = yield from self._create(asked)
            case JoinRoom():
                done = yield from self._join(call, asked)
            case SendMessage():
                done = yield from self._send(asked)
            case TypingNow():
                done = yield from self._type(asked)
            case LeaveRoom():
                done = yield from self._leave(asked)
            case _:
                assert_never(asked)
        return {"ok": True, **done}

    # -- rooms ------------------------------------------------------------------------------------

    def _create(self, asked: CreateRoom) -> Talk[dict[str, Any]]:
        facts = yield c.RoomCreate(name=asked.name, visibility=self.setting.rooms)
        made = {
            "id": facts["room"],
            "name": facts["name"],
            "createdAt": moment(self.now.wall_ms),
            "roomId": facts["room"],
            "type": facts["visibility"],
        }
        if "notice" in facts:
            made["notice"] = facts["notice"]
        yield Frame("room_created", (made,))
        return made

    def _join(self, call: Call, asked: JoinRoom) -> Talk[dict[str, Any]]:
        room, telling = room_named(asked), self._telling
        self._people.call(asked)
        known = room in telling.views or room in telling.expected
        if not known and len(telling.views) + len(telling.expected) >= MAX_ROOMS:
            raise Refused("too_many", f"a connection has at most {MAX_ROOMS} rooms")
        facts = yield from self._come(room)
        view = telling.views.get(room)
        if view is not None and view.held is not None:  # another has just come in, its history is being read
            return {"roomId": room, "state": "joined"}
        if facts.get("state") == "joining":
            telling.expected[room] = Call(call.name, ({"roomId": asked.room_id},))
            return {"roomId": room, "state": "joining"}
        if facts["deleted"]:
            raise Refused("room_deleted", "this room was deleted")
        telling.expected.pop(room, None)
        yield from telling.enter(room, facts["name"])
        here = [self._people.named(one["user_id"], one["username"]) for one in facts["members"]]
        return {"roomId": room, "state": "joined", "name": facts["name"], "members": here}

    def _come(self, room: str) -> Talk[dict[str, Any]]:
        """Describe the room if the node is in it; else have it come in, by an invite or an open door."""
        try:
            facts: dict[str, Any] = yield c.RoomGet(room=room)
        except Refused as fault:
            if fault.code not in {"room_not_found", "not_a_member"}:
                raise
            facts = yield from self._knock(room)
        return facts

    def _knock(self, room: str) -> Talk[dict[str, Any]]:
        """Come in; a room that somebody has just made elsewhere may not be on the list here yet."""
        looks = 0
        while True:
            try:
                facts: dict[str, Any] = yield c.UserJoin(room=room)
                return facts
            except Refused as fault:
                if fault.code != "room_not_found" or looks == LOOKS:
                    raise
            looks += 1
            yield Wait(1.0)

    def _leave(self, asked: LeaveRoom) -> Talk[dict[str, Any]]:
        """Go out: the others are told that the owner has left, where there are any and it can be left."""
        room, telling = room_named(asked), self._telling
        if telling.expected.pop(room, None) is not None:
            return {"roomId": room}
        view = telling.views.get(room) or (yield from self._stranger(room))
        view.leaving = True
        try:
            facts = yield c.RoomGet(room=room)
            if facts["visibility"] != "direct" and len(facts["members"]) > 1:
                yield c.UserLeave(room=room)
        except Refused:
            view.leaving = False
            raise
        telling.views.pop(room, None)
        return {"roomId": room}

    def _stranger(self, room: str) -> Talk[Any]:
        """Refuse a word in a room that was not joined on this connection."""
        if room in self._telling.expected:
            raise Refused("not_a_member", "nobody of this room has let you in yet")
        rooms = (yield c.RoomList(joined=None))["rooms"]
        if any(row["room"] == room for row in rooms):
            raise Refused("not_a_member", "join this room first: it was not joined on this connection")
        raise Refused("room_not_found", "there is no room with this id", field="roomId")

    # -- words ------------------------------------------------------------------------------------

    def _send(self, asked: SendMessage) -> Talk[dict[str, Any]]:
        room, kind = room_named(asked), asked.type or "text"
        if room not in self._telling.views:
            yield from self._stranger(room)
        attachment = None
        if kind == "text":
            words = text_of(asked.content)
        else:
            picture = picture_of(asked.content)
            words, attachment = picture.address or "", picture.attachment
            if picture.address is not None:
                remember(self._telling.addresses, picture.address, None, MAX_ADDRESSES)
            if picture.data is not None:
                put = c.AttachmentPut(data=picture.data, name=picture.name, type=picture.type)
                attachment = (yield put)["attachment"]
        message = c.UserMessage(
            room=room, message=words, kind=None if kind == "text" else kind, attachment=attachment
        )
        sent = yield Last(message)
        return {"id": sent["id"], "roomId": room, "type": kind, "createdAt": moment(sent["ts_ms"])}

    def _type(self, asked: TypingNow) -> Talk[dict[str, Any]]:
        room = room_named(asked)
        if room not in self._telling.views:
            yield from self._stranger(room)
        yield Last(c.TypingSet(room=room, typing=asked.is_typing))
        return {"roomId": room}
