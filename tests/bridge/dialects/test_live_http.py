"""The dialect 003 over HTTP, request by request, with a node that answers from a table."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from node.bridge.dialects.adapter import Ask, Reply, Setting
from node.bridge.dialects.live_003.http import PATHS, answer
from node.bridge.dialects.live_003.http_pages import MAX_PAGE, PAGE, STATUS
from node.bridge.guard import Grant
from node.bridge.one_talk import Asker, OneTalk
from node.bridge.ports import CommandReceived
from node.chat import answers, commands as c, events
from node.clock import Instant

NOW = Instant(100.0, 1_700_000_000_000)
ROOM, DIRECT, BOB, ANN = (f"{n}c3667cb-fe5b-4685-8ef7-f780deaa322e" for n in "1234")
BASE = "http://localhost:7117"


def person(name: str, user_id: str, **more: Any) -> dict[str, Any]:
    fixed = {"nickname": name.title(), "avatar": None, "status": None, "presence": "online", "busy": False,
             "listed": False, "blocked": False, "blocked_by": False, "link": None, "room": None,
             "state": "none"}  # fmt: skip
    return {"user_id": user_id, "username": name, **fixed, **more}


def message(text: str, seq: int, **more: Any) -> dict[str, Any]:
    mine = more.pop("self", False)
    who = {"username": "ann", "user_id": ANN} if mine else {"username": "bob", "user_id": BOB}
    fixed = {"event": "user_message", "timestamp": 1, "room": DIRECT, "id": f"id {seq}", "ts_ms": 1_000}
    return {**fixed, **who, "message": text, "seq": seq, "self": mine, **more}


def row(room: str, name: str, *, last_ms: int | None, **more: Any) -> dict[str, Any]:
    fixed = {"members": 2, "history": "all", "unread": 0, "muted": False, "muted_until": None,
             "last_message": None, "deleted": False, "joined": True}  # fmt: skip
    kind = "direct" if room == DIRECT else "private"
    shown = {"room": room, "name": name, "visibility": kind, "direct": room == DIRECT, "last_ms": last_ms}
    return {**fixed, **shown, **more}


class Desk:
    """Answers commands from what it is told; `asked` is what came."""

    def __init__(self) -> None:
        self.people = {"ann": person("ann", ANN), "bob": person("bob", BOB, room=DIRECT, state="contact")}
        self.rooms = [row(DIRECT, "bob", last_ms=5_000, unread=1), row(ROOM, "tea", last_ms=9_000, unread=2)]
        self.said = [message("one", 3, self=True), message("two", 6)]
        self.notices: list[dict[str, Any]] = []
        self.read, self.read_by_bob, self.unread = 0, 0, 1
        self.asked: list[c.Command] = []

    def do(self, command: c.Command) -> events.Ok | events.Error:
        self.asked.append(command)
        fields = self._fields(command)
        if isinstance(fields, str):
            return events.Error(code=fields, message="no", req=command.req)
        return events.Ok(req=command.req, fields=fields)

    def _fields(self, command: c.Command) -> dict[str, Any] | str:
        match command:
            case c.Batch():
                some = [self._one(fields) for fields in command.commands]
                return {"results": some}
            case c.ProfileGet(username=None):
                return self.people["ann"]
            case c.ProfileGet(username=name):
                known = [one for one in self.people.values() if name in {one["username"], one["user_id"]}]
                return known[0] if known else "unknown_user"
            case c.RoomList():
                return {"rooms": list(self.rooms)}
            case c.RoomGet(room=room):
                found = [one for one in self.rooms if one["room"] == room]
                return {**found[0], "members": []} if found else "room_not_found"
            case c.LedgerGet():
                bob = {"user_id": BOB, "username": "bob", "delivered": 9, "read": self.read_by_bob}
                return {"held": 0, "recipients": [bob], "read_seq": self.read, "unread": self.unread}
            case c.HistoryGet(limit=limit, skip=skip):
                newest = self.said[::-1][skip or 0 :][: limit or 50][::-1]
                return {"messages": newest, "more": False, "count": len(self.said)}
            case c.NotificationList(limit=limit, skip=skip):
                some = self.notices[skip or 0 :][: limit or 50]
                return {"notifications": some, "unread": 1, "more": False, "count": len(self.notices)}
            case c.NotificationReadAll():
                return {"count": 4, "unread": 0}
            case c.UserSearch() | c.ContactList():
                return {"users": [self.people["bob"]], "contacts": [self.people["bob"]]}
            case c.DmOpen():
                return {"room": DIRECT}
            case c.PresenceSweep():
                return {"state": "online", "gone": ["bob"]}
            case _:
                return self.people["bob"]

    def _one(self, fields: dict[str, Any]) -> dict[str, Any]:
        command = msgspec.convert(fields, c.BY_NAME[fields["event"]])
        found = self.do(command)
        return events.builtins(found)


def asked(desk: Desk, method: str, path: str, body: Any = None, **query: str) -> Reply:
    """Make a request; nothing may come of it but a reply."""
    one = OneTalk(
        1, answer(Ask(method, path, query, body), Setting(base=BASE)), Asker(Grant("chat", "p"), "p"), None
    )
    todo = one.begin(NOW)
    while received := [event for event in todo if isinstance(event, CommandReceived)]:
        todo = one.answered(desk.do(received[0].command), NOW)
    assert one.reply is not None
    return one.reply


def test_the_table_answers_as_the_node_does() -> None:
    desk = Desk()
    ledger = desk._fields(c.LedgerGet(room=DIRECT))
    assert isinstance(ledger, dict)
    msgspec.convert({"room": DIRECT, **ledger}, answers.BY_COMMAND["ledger_get"])
    msgspec.convert(desk.people["bob"], answers.BY_COMMAND["profile_get"])
    msgspec.convert({"rooms": desk.rooms}, answers.BY_COMMAND["room_list"])
    msgspec.convert({"messages": desk.said, "more": False}, answers.BY_COMMAND["history_get"])


def test_the_chat_with_the_newest_message_comes_first_and_an_empty_one_last() -> None:
    desk = Desk()
    desk.rooms.append(row("5" + ROOM[1:], "new", last_ms=None))
    reply = asked(desk, "GET", "/api/chats")
    assert [one["nickname"] for one in reply.body["items"]] == ["tea", "Bob", "new"]
    assert [one["last_message"] is None for one in reply.body["items"]] == [False, False, True]


@pytest.mark.parametrize(
    ("read", "read_by_bob", "unread", "shown"),
    [(0, 0, 1, [False, False]), (6, 0, 1, [True, False]), (0, 3, 1, [False, True]), (0, 2, 0, [True, False])],
)
def test_a_message_is_read_by_whom_it_went_to(
    read: int, read_by_bob: int, unread: int, shown: list[bool]
) -> None:
    desk = Desk()
    desk.read, desk.read_by_bob, desk.unread = read, read_by_bob, unread
    reply = asked(desk, "GET", "/api/chats/bob/messages")
    assert [one["is_read"] for one in reply.body["items"]] == shown


def test_a_page_takes_few_commands_however_many_chats_there_are() -> None:
    desk = Desk()
    desk.rooms = [row(DIRECT, "bob", last_ms=n) for n in range(1, 5_001)]
    reply = asked(desk, "GET", "/api/chats")
    assert reply.body["count"] == 5_000 and len(reply.body["items"]) == PAGE
    outer = [one for one in desk.asked if one.req is not None]
    assert len(outer) == 1 + 1 + PAGE
    desk.asked.clear()
    asked(desk, "GET", "/api/chats", limit=str(MAX_PAGE))
    assert len([one for one in desk.asked if one.req is not None]) == 1 + 4 + MAX_PAGE


def test_what_vanishes_between_two_commands_is_shown_without_it() -> None:
    desk = Desk()
    desk.rooms[0]["name"] = "gone"
    reply = asked(desk, "GET", "/api/chats")
    assert reply.body["items"][1]["username"] == "gone" and reply.body["items"][1]["avatar"] == ""
    desk.said = []
    assert asked(desk, "GET", "/api/chats").body["items"][0]["last_message"] is None


def test_a_picture_is_an_address_at_this_node() -> None:
    desk = Desk()
    desk.people["bob"]["avatar"] = ROOM
    data = {"username": "bob", "user_id": BOB, "state": "added", "nickname": "Bob"}
    shown = {"id": ROOM, "kind": "contact", "data": data, "date": 1, "is_read": False, "withdrawn": False}
    desk.notices = [shown]
    where = f"{BASE}/api/v1/attachments/{ROOM}"
    assert asked(desk, "GET", "/api/users/bob").body["avatar"] == where
    assert asked(desk, "GET", "/api/notifications/").body["items"][0]["data"]["avatar"] == where


def test_every_path_is_there_with_and_without_its_slash_and_for_its_methods_alone() -> None:
    for path, methods in PATHS.items():
        for method in ("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "get", ""):
            for end in ("", "/"):
                reply = asked(Desk(), method, path.replace("{}", "bob") + end)
                assert (reply.status == 405) == (method not in methods), (method, path)


@pytest.mark.parametrize(
    "path", ["", "/", "/api", "/api/chats/bob/messages/more", "/api/chats//messages", "//", "/api/%63hat"]
)
def test_other_paths_are_not_there(path: str) -> None:
    assert asked(Desk(), "GET", path).status == 404


def test_a_name_may_be_written_as_urls_write_it() -> None:
    desk = Desk()
    desk.people["z\u00fc~ab cd"] = person("z\u00fc~ab cd", BOB)
    assert asked(desk, "GET", "/api/users/z%C3%BC~ab%20cd").body["username"] == "z\u00fc~ab cd"
    assert asked(desk, "GET", "/api/users/%").status == 404


def test_every_refusal_has_a_message_a_code_and_a_status_of_its_kind() -> None:
    for code, status in STATUS.items():
        desk = Desk()
        desk._fields = lambda command, code=code: code  # type: ignore[method-assign, assignment, misc]
        reply = asked(desk, "GET", "/api/users/bob")
        assert (reply.status, reply.body["error"]["code"], reply.body["msg"]) == (status, code, "no")


VALID: list[tuple[str, str, dict[str, str], Any]] = [
    ("GET", "/api/chats", {"limit": "5", "offset": "10"}, None),
    ("PUT", "/api/chats/bob", {}, {"username": "bob"}),
    ("GET", f"/api/chats/{DIRECT}/messages/", {"limit": "30"}, None),
    ("GET", "/api/self", {}, None),
    ("GET", "/api/notifications/", {"is_read": "false", "limit": "1"}, None),
    ("POST", "/api/notifications/mark_all_as_read", {}, {}),
    ("GET", "/api/users/", {"search": "bo"}, None),
    ("POST", "/api/users/bob/friends", {}, {"username": "bob"}),
    ("DELETE", "/api/users/ann/blocked_users", {}, {"username": "bob"}),
    ("POST", "/api/logout", {}, None),
]
ODD: list[Any] = [
    None, True, 0, -1, 2**70, 1.5, "", "\0", "\ud800", "bob\n", "x" * 100_000, [], {}, [[]], {"username": []},
    {"username": None}, {"username": 2**64}, {"username": "\0"}, {"username": {"username": "bob"}}, "\u0663",
]  # fmt: skip


ODD_PARTS = ["/", "%", "%00", "%2F", "..", "\ud800", "%ff", "é"]


def mutated(chance: random.Random) -> tuple[str, str, dict[str, str], Any]:
    method, path, query, body = chance.choice(VALID)
    query = dict(query)
    for _ in range(chance.randint(1, 3)):
        match chance.randrange(5):
            case 0:
                method = chance.choice(["GET", "PUT", "POST", "DELETE", "HEAD", "TRACE", method.lower()])
            case 1:
                at = chance.randrange(len(path) + 1)
                path = path[:at] + chance.choice(ODD_PARTS) + path[at:]
            case 2:
                key = chance.choice(["limit", "offset", "is_read", "search", "x"])
                odd = chance.choice(ODD)
                query[key] = odd if isinstance(odd, str) else str(odd)
            case 3:
                body = chance.choice(ODD)
            case _:
                path = path.replace("bob", chance.choice(["nobody", "b" * 70, DIRECT, ROOM, BOB, "", "%"]))
    return method, path, query, body


def test_ten_thousand_malformed_requests_are_answered_and_disturb_nothing() -> None:
    chance, seen = random.Random(3), set[int]()
    desk = Desk()
    for _ in range(10_000):
        method, path, query, body = mutated(chance)
        reply = asked(desk, method, path, body, **query)
        seen.add(reply.status)
        assert reply.status < 500, (method, path, query, body)
        assert reply.status < 400 or {"msg", "error"} <= reply.body.keys()
        desk.asked.clear()
    assert {200, 404, 405, 422} <= seen
    assert asked(Desk(), "GET", "/api/self").status == 200
