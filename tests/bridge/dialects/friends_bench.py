"""A connection of the friends protocol, with a node that answers as one might."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from node.bridge import adapted as a
from node.bridge.dialects.adapter import Call, Setting
from node.bridge.dialects.friends_002 import Friends
from node.bridge.guard import Grant
from node.bridge.ports import CommandReceived, Scope
from node.chat import commands as c, events
from node.clock import Instant
from node.errors import Refused

NOW = Instant(100.0, 1_700_000_000_000)
ROOM = "fc3667cb-fe5b-4685-8ef7-f780deaa322e"
DIRECT = "1c3667cb-fe5b-4685-8ef7-f780deaa322e"
ID = "0d8b5f7e-4f5b-4d7c-9d0c-9a3d5c1b7e42"
OLD = "1d8b5f7e-4f5b-4d7c-9d0c-9a3d5c1b7e42"
ANN, BOB, CAROL = (f"{n}b0c4e55-04c4-8b1f-a9a1-1d7d31a1c7d2" for n in (1, 2, 3))


def contact(user_id: str, username: str, state: str = "contact", **more: Any) -> dict[str, Any]:
    row = {
        "user_id": user_id, "username": username, "nickname": None, "state": state, "verified": "unverified",
        "blocked": False, "blocked_by": False, "message": "", "presence": "offline", "status": None,
        "busy": False,
    }  # fmt: skip
    return {**row, **more}


def stored(ident: str, text: str = "hello", **more: Any) -> dict[str, Any]:
    return {
        "event": "user_message", "username": "bob", "timestamp": 1, "message": text, "room": ROOM,
        "id": ident,
        "user_id": BOB, "ts_ms": 1_700_000_000_000, **more,
    }  # fmt: skip


class Node:
    """Answers commands as a node might; `refusals` says which it refuses, `asked` what it was asked."""

    def __init__(self) -> None:
        self.asked: list[c.Command] = []
        self.refusals: dict[type[Any], str] = {}
        self.contacts = [contact(BOB, "bob")]
        self.found: list[dict[str, Any]] = []
        self.history = [stored(ID)]
        self.rooms = [
            {"room": ROOM, "name": "tea", "direct": False, "last_message": "x"},
            {"room": DIRECT, "name": "bob", "direct": True, "last_message": None},
        ]
        self.presence = "online"

    def answer(self, command: c.Command) -> dict[str, Any]:
        self.asked.append(command)
        if type(command) in self.refusals:
            raise Refused(self.refusals[type(command)], "no")
        match command:
            case c.ProfileGet():
                return {"user_id": ANN, "username": "ann", "presence": self.presence, "status": None}
            case c.RoomList():
                return {"rooms": self.rooms}
            case c.ContactList():
                return {"contacts": self.contacts}
            case c.UserSearch():
                return {"users": self.found}
            case c.UserMessage():
                return {"id": ID, "ts_ms": 1, "status": "sent"}
            case c.MessageEdit():
                return {"edited_ms": 2}
            case c.HistoryGet():
                return {"messages": self._page(command), "more": False}
            case c.DmOpen() | c.UserJoin() | c.RoomGet():
                return {
                    "room": DIRECT if isinstance(command, c.DmOpen) else ROOM, "name": "tea", "unread": 0,
                    "members": [{"username": "ann", "user_id": ANN}], "state": "joined",
                }  # fmt: skip
            case c.UserInviteResponse():
                return {"invite": command.invite, "state": "declined"}
            case c.PresenceSet():
                return {"state": command.state or "online", "status": command.status, "busy": False}
            case c.MessageRead():
                return {"unread": 0}
            case _:
                return {"state": "contact", "unread": 0}

    def _page(self, asked: c.HistoryGet) -> list[dict[str, Any]]:
        ids = [one["id"] for one in self.history]
        if asked.after in ids:
            return self.history[ids.index(asked.after) + 1 :][: asked.limit]
        upto = self.history[: ids.index(asked.before)] if asked.before in ids else self.history
        return [] if asked.after else upto[-(asked.limit or 50) :]


class Bench:
    """One connection, its node, and what it was told."""

    def __init__(self, scope: Scope = "chat", *, node: Node | None = None, base: str = "http://here") -> None:
        self.node = node or Node()
        self.adapter = Friends(Setting(scope=scope, base=base))
        grant = Grant(scope, "page")
        self.machine = a.Adapted(7, adapter=self.adapter, client="p", grant=grant, now=NOW)
        self.frames: list[tuple[str, tuple[Any, ...]]] = []
        self.acks: list[Any] = []
        self.unshown: list[a.Unshown] = []
        self.held: list[c.Command] | None = None
        """Commands that are not answered yet, if it is a list."""
        self.feed(a.Opened())
        self.show(hello())

    def feed(self, event: a.Input) -> None:
        for effect in self.machine.handle(event, now=NOW):
            match effect:
                case a.Write(frame):
                    json.dumps(frame.args, allow_nan=False, ensure_ascii=False).encode()
                    self.frames.append((frame.name, frame.args))
                case a.Acknowledge(_, value):
                    self.acks.append(value)
                case a.Submit(CommandReceived(_, command)) if self.held is not None:
                    self.held.append(command)
                case a.Submit(CommandReceived(_, command)):
                    self._answer(command)
                case a.Unshown():
                    self.unshown.append(effect)
                case _:
                    pass

    def _answer(self, command: c.Command) -> None:
        try:
            self.show(events.Ok(req=command.req, fields=self.node.answer(command)))
        except Refused as fault:
            self.show(events.error_of(fault, command.req))

    def show(self, event: events.Event) -> None:
        self.feed(a.Shown(event))

    def say(self, name: Any, *args: Any, ack: bool = True) -> Any:
        before = len(self.acks)
        self.feed(a.Said(Call(name, args, ack), 1 if ack else None))
        return self.acks[-1] if len(self.acks) > before else None

    def told(self, event: events.Event) -> list[tuple[str, tuple[Any, ...]]]:
        self.frames.clear()
        self.show(event)
        assert not self.unshown
        return self.frames

    def text(self, event: events.Event) -> tuple[str, str]:
        """The chat and the words of the one message that an event becomes."""
        [(name, (message,))] = self.told(event)
        assert name == "new message"
        assert message["kind"] == "notice"
        return message["chat_id"], message["content"]


def hello() -> events.Hello:
    return events.Hello(
        req=0, protocol="gossamer/1", node_version="1", user_id=ANN, username="ann", log_epoch="e", seq=5,
        features=[], deprecated=[], connectivity="alone",
    )  # fmt: skip


def message(ident: str = ID, text: str = "hello", **more: Any) -> events.UserMessage:
    return msgspec.convert(stored(ident, text, seq=9, **more), events.UserMessage)


def presence(state: Any, status: str | None = None, who: tuple[str, str] = (BOB, "bob")) -> events.Presence:
    return events.Presence(username=who[1], user_id=who[0], presence=state, status=status)


def route(node: Node, kind: type[Any], does: Callable[[Any], dict[str, Any]]) -> None:
    """Let a node answer one kind of command otherwise."""
    usual = node.answer
    node.answer = lambda command: does(command) if isinstance(command, kind) else usual(command)  # type: ignore[method-assign]
