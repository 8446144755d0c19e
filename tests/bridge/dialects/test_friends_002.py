"""The friends protocol as a pure translation: every event has its place, nothing said breaks it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from node.bridge import adapted as a
from node.bridge.dialects.adapter import Call, Setting
from node.bridge.dialects.friends_002 import NAMES, Friends, memory, showing, words
from node.bridge.dialects.friends_002.page import Page
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
                return {"messages": [] if command.after else self.history, "more": False}
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


# -- what is shown --------------------------------------------------------------------------------


def test_every_event_of_the_vocabulary_is_shown_or_has_a_reason_not_to_be() -> None:
    shown = {events.snake(kind.__name__) for kind in showing.Showing(Page(Setting())).kinds}
    assert events.BY_NAME.keys() - shown <= showing.UNSAID.keys()
    assert not shown & showing.UNSAID.keys()


def test_a_live_message_asks_the_node_nothing() -> None:
    bench = Bench()
    before = len(bench.node.asked)
    [(name, (told,))] = bench.told(message())
    assert (name, told["content"], told["sender"], told["chat_id"]) == ("new message", "hello", "bob", ROOM)
    assert len(bench.node.asked) == before


def test_friends_who_come_and_go_are_told_once_each() -> None:
    bench = Bench()
    assert bench.told(presence("online")) == [("user connect", ("bob",)), ("set status", ("online", ["bob"]))]
    assert bench.told(presence("online")) == []
    assert bench.told(presence("away")) == [("set status", ("away", ["bob"]))]
    profile = events.Profile(username="bob", user_id=BOB, status="lunch", seq=1)
    assert bench.told(presence("online", "at tea")) == [("set status", ("at tea", ["bob"]))]
    assert bench.told(profile) == [("set status", ("lunch", ["bob"]))]
    assert bench.told(presence("offline", "lunch")) == [("set status", ("offline", ["bob"]))]
    assert bench.told(events.Profile(username="bob", user_id=BOB, status="back", seq=2)) == []


def test_ones_own_status_is_told_by_ones_own_name_and_is_no_coming() -> None:
    bench = Bench()
    bench.say("user connect", "Ann!")
    assert bench.told(presence("away", "tea", (ANN, "ann"))) == [("set status", ("tea", ["Ann!"]))]


@pytest.mark.parametrize(
    ("event", "chat", "words"),
    [
        (
            events.Warning(code="clock_skew", message="set the clock"),
            "[node]",
            "[warning] set the clock",
        ),
        (
            events.KeyChanged(username="bob", user_id=BOB, seq=1),
            DIRECT,
            "[keys changed] of bob: compare safety numbers before you go on",
        ),
        (
            events.MessageStatus(id=ID, status="failed", by="bob", why="removed", room=ROOM, seq=1),
            ROOM,
            "[not delivered] to bob: removed",
        ),
        (
            events.Attachment(id=ID, room=ROOM, name="a.png", state="ready", received=1, size=1, url="/x"),
            ROOM,
            "[file] a.png is here now http://here/x",
        ),
        (
            events.Attachment(id=ID, room=ROOM, name="a.png", state="failed", received=0, size=1, why="gone"),
            ROOM,
            "[file] a.png did not come: gone",
        ),
        (
            events.UserLeave(username="bob", room=ROOM, user_id=BOB, reason="removed", seq=1),
            ROOM,
            "[removed] bob",
        ),
        (
            events.ContactUpdated(username="bob", user_id=BOB, state="none", seq=1),
            DIRECT,
            "[friend request] between you and bob is over",
        ),
        (
            events.InviteResult(invite=ID, room=ROOM, target="bob", response="cancelled", kind="game",
                                why="busy", seq=1),
            DIRECT,
            "[invite] to a game: taken back (busy)",
        ),
        (
            events.RoomUpdated(room=ROOM, name="tea", history="none", seq=1),
            ROOM,
            "[room] newcomers read of the history: none",
        ),
    ],
)  # fmt: skip
def test_what_has_no_event_is_a_message_in_its_place(event: events.Event, chat: str, words: str) -> None:
    assert Bench().text(event) == (chat, words)


@pytest.mark.parametrize(
    "event",
    [
        events.MessageStatus(id=ID, status="delivered", by="bob", room=ROOM, seq=1),
        events.Typing(username="bob", room=ROOM, user_id=BOB, typing=True),
        events.UserJoin(username="bob", room=ROOM, user_id=BOB, reason="reconnect"),
        events.UserLeave(username="bob", room=ROOM, user_id=BOB, reason="disconnect"),
        events.RoomUpdated(room=ROOM, name="tea", muted=True, seq=1),
        events.InviteResult(invite=ID, room=ROOM, target="bob", response="delivered", seq=1),
        events.ContactUpdated(username="bob", user_id=BOB, seq=1),
        events.Attachment(id=ID, room=ROOM, name="a.png", state="progress", received=0, size=1),
    ],
)
def test_what_nobody_wants_as_a_text_is_not_told(event: events.Event) -> None:
    assert Bench().told(event) == []


def test_a_file_stands_in_the_words_with_where_it_is() -> None:
    file = {
        "id": OLD,
        "name": "cat.png",
        "type": "image/png",
        "size": 9,
        "state": "ready",
        "url": "/api/a?cap=c",
    }
    [(_, (told,))] = Bench().told(message(kind="image", attachment=file))
    assert told["content"] == "hello\n[image] cat.png http://here/api/a?cap=c"
    assert told["attachment"] == file


def test_an_edit_of_a_message_with_a_file_is_read_again_so_that_the_file_stays() -> None:
    bench = Bench()
    file = {"id": OLD, "name": "cat.png", "url": "/c"}
    bench.show(message(kind="image", attachment=file))
    bench.node.history = [stored(ID, "changed", kind="image", attachment=file, edited=True)]
    edited = events.MessageEdited(
        room=ROOM, id=ID, username="bob", user_id=BOB, message="changed", edited_ms=5, seq=1
    )
    [(name, (told,))] = bench.told(edited)
    assert (name, told["content"], told["edited"]) == (
        "edit message",
        "changed\n[image] cat.png http://here/c",
        True,
    )


def test_an_edit_is_shown_though_the_message_cannot_be_read() -> None:
    bench = Bench()
    bench.node.refusals[c.HistoryGet] = "locked"
    edited = events.MessageEdited(
        room=ROOM, id=OLD, username="bob", user_id=BOB, message="new", edited_ms=5, seq=1
    )
    [(name, (told,))] = bench.told(edited)
    assert (name, told["content"], told["created_at"], told["sender"]) == ("edit message", "new", None, "bob")


def test_a_placeholder_stands_for_fewer_and_goes_in_the_end() -> None:
    bench = Bench()
    bench.node.history = [stored(OLD, "", kind="unreadable", missing=2)]
    given = stored(ID, "found", placeholder=OLD, missing=1, seq=3)
    del given["event"]
    first, last = bench.told(msgspec.convert({"event": "message_healed", **given}, events.MessageHealed))
    assert (first[0], first[1][0]["content"]) == ("new message", "found")
    assert last[1][0]["content"] == "[unreadable] 1 message cannot be read here yet"
    gone = events.MessageHealed(room=ROOM, placeholder=OLD, missing=0, seq=4)
    assert bench.told(gone) == [("delete message", (OLD, ROOM))]


def test_times_that_no_calendar_has_are_no_times() -> None:
    bench = Bench()
    [(_, (told,))] = bench.told(message(ts_ms=2**62))
    assert told["created_at"] is None
    invite = events.UserInvite(
        sender="bob", room=ROOM, invite=ID, target="ann", room_name="x", kind="room", expires_at=2**60, seq=1
    )
    assert bench.text(invite)[1] == f"[invite] to the room x: to accept, join room {ID}"


def test_a_page_that_was_opened_while_the_vault_was_locked_comes_right_by_itself() -> None:
    node = Node()
    node.refusals[c.ProfileGet] = "locked"
    bench = Bench(node=node)
    assert not bench.unshown
    assert bench.say("user connect", "ann") == {"ok": False, "error": "locked", "message": "no"}
    node.refusals.clear()
    bench.show(events.Connectivity(state="meshed"))
    [(_, (told,))] = bench.told(message())
    assert told["content"] == "hello"
    assert bench.say("new message", {"chat_id": "bob", "content": "hi"})["ok"] is True


# -- what is said ---------------------------------------------------------------------------------


def test_there_are_eleven_names_of_the_table_and_one_of_ours() -> None:
    assert len(NAMES) == 12
    assert "read message" in NAMES


def test_messages_are_handed_on_before_the_ones_before_them_are_answered() -> None:
    bench = Bench()
    bench.held = []
    for number in range(3):
        bench.say("new message", {"chat_id": ROOM, "content": str(number)})
    assert [command.message for command in bench.held if isinstance(command, c.UserMessage)] == list("012")


def test_a_name_that_is_claimed_goes_nowhere() -> None:
    bench = Bench()
    bench.say("user connect", "Carol of the page")
    bench.say("new message", {"chat_id": ROOM, "content": "hi", "sender": "bob", "username": "bob"})
    bench.say("join room", "bob")
    assert "Carol" not in repr([msgspec.to_builtins(one) for one in bench.node.asked])
    [(_, (told,))] = bench.told(message(OLD, self=True))
    assert (told["sender"], told["username"]) == ("Carol of the page", "Carol of the page")


def test_after_somebody_is_renamed_their_old_name_is_asked_for_anew() -> None:
    bench = Bench()
    bench.say("new message", {"chat_id": "bob", "content": "hi"})
    assert not [one for one in bench.node.asked if isinstance(one, c.DmOpen)]
    bench.show(events.ContactUpdated(username="robert", user_id=BOB, seq=1))
    bench.node.refusals[c.DmOpen] = "unknown_user"
    assert bench.say("new message", {"chat_id": "bob", "content": "hi"})["error"] == "unknown_user"


def test_a_chat_is_called_as_the_frontend_called_it_last() -> None:
    bench = Bench()
    for chat in ("bob", DIRECT.upper(), DIRECT):
        assert bench.say("new message", {"chat_id": chat, "content": "hi"})["chat_id"] == chat
        [(_, (told,))] = bench.told(message(OLD, room=DIRECT))
        assert (told["chat_id"], told["room"]) == (chat, DIRECT)


def test_a_page_of_history_stays_under_what_may_wait_for_a_frontend() -> None:
    bench = Bench("owner")
    bench.node.history = [stored(f"{n:08}{ID[8:]}", "\x01" * 16_384) for n in range(words.HISTORY)]
    _route(bench.node, c.UserJoin, lambda _asked: {
        "room": ROOM, "name": "tea", "unread": 50, "members": [], "state": "joined",
    })  # fmt: skip
    told = bench.say("join room", {"chat_id": ROOM})
    size = len(json.dumps(told)) + sum(len(json.dumps(args)) for _, args in bench.frames)
    assert [one["id"] for one in told["messages"]] == [f"{n:08}{ID[8:]}" for n in range(46, 50)]
    assert [args[0]["id"] for _, args in bench.frames] == [one["id"] for one in told["messages"]]
    assert size < 4 * 1024 * 1024


def test_a_message_says_whether_it_is_of_before_or_mentions_its_owner_or_goes() -> None:
    [(_, (told,))] = Bench().told(message(history=True, mentioned=True, expires_ms=1_700_000_000_000))
    assert told["history"] is told["mentioned"] is True
    assert told["expires_at"] == "2023-11-14T22:13:20.000Z"


def test_somebody_who_is_listed_in_the_mesh_is_found_by_name() -> None:
    bench = Bench()
    bench.node.found = [{"username": "Carol", "nickname": "carol", "user_id": CAROL}]
    asked: list[str] = []

    def request(command: c.ContactRequest) -> dict[str, Any]:
        asked.append(command.username)
        if command.username != CAROL:
            raise Refused("unknown_user", "nobody")
        return {"state": "requested"}

    _route(bench.node, c.ContactRequest, request)
    told = bench.say("new friend request", "carol")
    assert told == {"ok": True, "other_username": "carol", "state": "requested"}
    assert asked == ["carol", CAROL]
    bench.node.found.append({"username": "carol", "nickname": None, "user_id": BOB})
    both = bench.say("new friend request", "carol")
    assert both["error"] == "ambiguous_user"
    assert [row["user_id"] for row in both["candidates"]] == [CAROL, BOB]
    bench.node.found.clear()
    assert bench.say("new friend request", "carol")["error"] == "unknown_user"


def _route(node: Node, kind: type[Any], does: Callable[[Any], dict[str, Any]]) -> None:
    usual = node.answer
    node.answer = lambda command: does(command) if isinstance(command, kind) else usual(command)  # type: ignore[method-assign]


def test_a_contact_link_is_a_request_too() -> None:
    bench = Bench()
    assert bench.say("new friend request", {"other_username": "gossamer:c/abc"})["ok"] is True
    assert isinstance(bench.node.asked[-1], c.ContactAdd)


def test_a_page_that_may_only_read_changes_nothing_by_coming() -> None:
    node = Node()
    node.presence = "offline"
    assert Bench("read", node=node).say("user connect", "ann")["status"] == "offline"
    assert Bench("chat", node=node).say("user connect", "ann")["status"] == "online"


def test_a_greeting_is_bounded_and_comes_once() -> None:
    bench = Bench()
    bench.node.contacts = [contact(f"{n:036}", f"p{n}", presence="online") for n in range(2 * words.LISTED)]
    bench.say("user connect", "ann")
    assert len(bench.frames) == words.LISTED
    bench.say("user connect", "ann")
    assert len(bench.frames) == words.LISTED


def test_a_message_nothing_is_known_of_is_looked_for_in_a_bounded_number_of_rooms() -> None:
    bench = Bench()
    bench.node.rooms = [{"room": f"{n:08}{ROOM[8:]}", "name": "r", "direct": False} for n in range(200)]
    _route(bench.node, c.HistoryGet, lambda _asked: {"messages": [], "more": False})
    looked: list[str] = []

    def history(asked: c.HistoryGet) -> dict[str, Any]:
        looked.append(asked.room)
        raise Refused("message_not_found", "no")

    _route(bench.node, c.HistoryGet, history)
    assert bench.say("delete message", OLD)["error"] == "message_not_found"
    assert len(looked) == words.MAX_SOUGHT


def test_memory_is_bounded() -> None:
    bench = Bench()
    page = bench.adapter._page
    for number in range(memory.MAX_MESSAGES + 10):
        page.told(message(f"{number:08}{ID[8:]}"))
        page.call(f"{number:08}{ROOM[8:]}", f"chat {number}")
        page.invites.put(str(number), ("bob", "tea"))
    assert (len(page.messages), len(page.called)) == (memory.MAX_MESSAGES, memory.MAX_CHATS)
    assert len(page.invites) == memory.MAX_INVITES


# -- what is no good ------------------------------------------------------------------------------

VALID: list[tuple[str, tuple[Any, ...]]] = [
    ("user connect", ("ann",)),
    ("user connect", ({"username": "ann"},)),
    ("join room", (ROOM,)),
    ("join room", ({"chat_id": "bob"},)),
    ("set status", ("at tea", ["bob"])),
    ("set status", ({"status": "offline", "friends": ["bob", "carol"]},)),
    ("new friend request", ("bob", "hello")),
    ("cancel friend request", ("bob",)),
    ("accept friend request", ({"other_username": "bob"},)),
    ("reject friend request", ("bob",)),
    ("unfriend", ("bob",)),
    ("new message", ({"chat_id": ROOM, "content": "hello", "id": "abc"},)),
    ("new message", ({"message": {"chat_id": ROOM, "text": "hello", "reply_to": ID}, "chat_id": ROOM},)),
    ("edit message", ({"message_id": ID, "content": "changed"},)),
    ("delete message", (ID, ROOM)),
    ("read message", ({"message_id": ID},)),
]
ODD: list[Any] = [
    None, True, 0, -1, 1e308, float("nan"), float("inf"), 10**5000, "", "\x00", "\ud800", "x" * 70_000, [],
    {}, [[]], ["\ud800"], {"a": 1}, {"message": {"message": {}}}, b"\xff", "bob", ROOM, ROOM.upper(), ID,
    [1, "bob"],
    {"chat_id": "\udfff", "content": "hi"}, {"id": 10**40}, {"content": ["hi"]}, {"username": {}},
    {"other_username": None}, {"friends": "bob"}, {"friends": ["bob"] * 5000, "status": "x"}, "__proto__",
]  # fmt: skip


def _deep() -> Any:
    value: Any = []
    for _ in range(2_000):
        value = [value]
    return {"message": value, "content": value}


DEEP = _deep()


def mutated(chance: random.Random) -> tuple[Any, tuple[Any, ...]]:
    """A valid call with something wrong in it."""
    name, args = chance.choice(VALID)
    odd = chance.choice([*ODD, DEEP]) if chance.random() < 0.9 else chance.choice(VALID)[1]
    match chance.randrange(6):
        case 0:
            return chance.choice(
                ["", "connect", "New Message", "new message ", name.upper(), 7, None, []]
            ), args
        case 1:
            return name, ()
        case 2:
            return name, (odd, *args[1:])
        case 3:
            return name, (*args, odd, odd)
        case 4 if isinstance(args[0], dict):
            key = chance.choice([*args[0], "chat_id", "id", "message", "content", "__proto__"])
            return name, ({**args[0], key: odd},)
        case _:
            text = list(json.dumps(args))
            for _ in range(chance.randrange(1, 4)):
                text[chance.randrange(len(text))] = chance.choice('[]{}",:0123456789abcdefnul\\ ')
            try:
                value = json.loads("".join(text))
            except ValueError:
                value = "".join(text)
            return name, tuple(value) if isinstance(value, list) else (value,)


def test_ten_thousand_malformed_calls_are_answered_and_disturb_nobody() -> None:
    chance = random.Random(2)  # the same mutations on every run
    node = Node()
    bench, other = Bench(node=node), Bench(node=node)
    refused = 0
    for number in range(10_000):
        name, args = mutated(chance)
        if number % 7 == 0:
            bench.say(name, *args, ack=False)
            continue
        told = bench.say(name, *args)
        assert told["ok"] is True or (isinstance(told["error"], str) and isinstance(told["message"], str))
        json.dumps(told, allow_nan=False, ensure_ascii=False).encode()
        refused += not told["ok"]
        bench.frames.clear()
        if number % 1_000 == 0:
            assert other.say("new message", {"chat_id": ROOM, "content": "well"})["ok"] is True
    assert refused > 4_000
    assert bench.machine.idle
    assert not bench.machine.closed
    assert not bench.unshown
    assert bench.say("new message", {"chat_id": ROOM, "content": "well"})["ok"] is True


@pytest.mark.parametrize(("name", "args"), VALID)
def test_what_was_mutated_is_good_without_it(name: str, args: tuple[Any, ...]) -> None:
    bench = Bench()
    bench.show(message(self=True))
    assert bench.say(name, *args)["ok"] is True


def test_a_failure_that_nobody_waits_for_is_told_by_an_event() -> None:
    bench = Bench()
    bench.say("new message", {}, ack=False)
    [(name, (told,))] = bench.frames
    assert (name, told["ok"], told["event"], told["error"]) == ("error", False, "new message", "invalid")
    bench.frames.clear()
    bench.say("x" * 1_000_000, ack=False)
    [(_, (told,))] = bench.frames
    assert told["event"] is None
