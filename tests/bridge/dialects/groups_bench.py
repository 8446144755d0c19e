"""An adapter of the groups protocol without a node: who answers it is a table."""

from __future__ import annotations

from typing import Any

import msgspec

from node.bridge.dialects.adapter import Call, Frame, Last, Setting
from node.bridge.dialects.groups_001 import Groups
from node.chat import commands as c, events
from node.clock import Instant
from node.errors import Refused

ROOM = "fc3667cb-fe5b-4685-8ef7-f780deaa322e"
OTHER = "a3c1b2d4-0d53-8c3b-9c55-2f9b7a2d1e60"
ME, BOB = "8b0c4e55-04c4-8b1f-a9a1-1d7d31a1c7d2", "21b6e0a4-3c59-8d10-b2a4-7a2f6c0de9f1"
FILE = "00f43f4a-8e5e-8ff3-9eca-c2f940b1275b"
BASE = "http://localhost:3000"


def profile(user_id: str = ME, username: str = "ann") -> dict[str, Any]:
    return {
        "user_id": user_id, "username": username, "nickname": username.title(), "avatar": None,
        "status": None, "presence": "online", "busy": False, "listed": False,
        "blocked": False, "blocked_by": False,
    }  # fmt: skip


def row(room: str = ROOM, **more: Any) -> dict[str, Any]:
    known = {
        "room": room, "name": "tea", "visibility": "private", "members": 2, "history": "none", "unread": 0,
        "muted": False, "muted_until": None, "last_message": None, "direct": False, "deleted": False,
        "joined": True,
    }  # fmt: skip
    return {**known, **more}


def facts(room: str = ROOM, **more: Any) -> dict[str, Any]:
    known = {
        "room": room, "name": "tea", "topic": "", "visibility": "private", "deleted": False, "unread": 0,
        "members": [
            {"user_id": ME, "username": "ann", "role": "creator", "presence": "online", "blocked": False},
            {"user_id": BOB, "username": "bob", "role": "member", "presence": "offline", "blocked": False},
        ],
    }  # fmt: skip
    return {**known, **more}


def message(text: str = "Hello", ident: str = FILE, **more: Any) -> events.UserMessage:
    known = {
        "username": "bob", "timestamp": 5, "message": text, "room": ROOM, "id": ident, "user_id": BOB,
        "ts_ms": 5_001, "seq": 7,
    }  # fmt: skip
    return events.UserMessage(**{**known, **more})


def stored(event: events.UserMessage) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(event)
    return found


class Bench:
    """An adapter, and a node that answers by a table: a dict, a Refused, or a function of the command."""

    def __init__(self, *, rooms: str = "open", load: bool = True, **answers: Any) -> None:
        self.adapter = Groups(Setting(rooms=rooms, base=BASE))  # type: ignore[arg-type]  # of two words
        self.adapter.now = Instant(1.0, 1_730_736_486_123)
        self.answers: dict[str, Any] = {
            "profile_get": lambda asked: profile() if asked.username is None else profile(BOB, "bob"),
            "room_list": {"rooms": [row()]},
            "contact_list": {"contacts": [{"user_id": BOB, "nickname": "Bobby"}]},
            "room_get": facts(),
            "history_get": {"messages": [], "more": False},
            **answers,
        }
        self.asked: list[c.Command] = []
        self.lasts = 0
        if load:
            self.play(self.adapter.opened())
        self.asked.clear()

    def play(self, talk: Any) -> list[Frame]:
        frames: list[Frame] = []
        value: Any = None
        fault: Refused | None = None
        while True:
            try:
                step = talk.send(value) if fault is None else talk.throw(fault)
            except StopIteration:
                return frames
            value = fault = None
            if isinstance(step, Frame):
                frames.append(step)
                continue
            self.lasts += isinstance(step, Last)
            command = step.command if isinstance(step, Last) else step
            self.asked.append(command)
            answer = self.answers.get(c.name_of(command), {})
            value = answer(command) if callable(answer) else answer
            if isinstance(value, Refused):
                value, fault = None, value

    def say(self, name: str, data: Any = None) -> list[Frame]:
        """What a frame is answered by; one that is refused by what the adapter says of that."""
        call = Call(name, (data,))
        try:
            return self.play(self.adapter.said(call))
        except Refused as fault:
            return self.play(self.adapter.refused(call, fault))

    def show(self, event: events.Event) -> list[Frame]:
        return self.play(self.adapter.happened(event))


def told(frames: list[Frame]) -> list[tuple[str, Any]]:
    return [(frame.name.partition(":")[2] or frame.name, frame.args[0].get("text")) for frame in frames]
