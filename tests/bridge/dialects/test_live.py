"""The events protocol's socket: what becomes a command, what becomes a frame, and what closes it."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from node.bridge import adapted as m
from node.bridge.dialects.adapter import Call, Frame, Setting
from node.bridge.dialects.base import FrameRefused
from node.bridge.dialects.live_003 import frames, known
from node.bridge.dialects.live_003.frames import LiveText
from node.bridge.dialects.live_003.live import BAD_DATA, Live
from node.bridge.dialects.live_003.telling import Telling
from node.bridge.guard import Grant
from node.bridge.ports import CommandReceived, Scope
from node.chat import commands as c, events
from node.clock import Instant

NOW = Instant(100.0, 1_730_736_486_123)
CHAT = "fc3667cb-fe5b-4685-8ef7-f780deaa322e"
ROOM = "0d8b5f7e-4f5b-4d7c-9d0c-9a3d5c1b7e42"
MID = "3c9f84da-e6bd-42d4-9e46-c3e50b533837"
ANN = {"user_id": "u-ann", "username": "ann", "nickname": "Ann", "avatar": None}
ROOMS = [
    {"room": CHAT, "name": "bob", "visibility": "direct"},
    {"room": ROOM, "name": "tea", "visibility": "private"},
]
SILENT = {
    events.Hello, events.Ok, events.CaughtUp, events.Lagged, events.Typing, events.PeerUp, events.PeerDown,
    events.RoomCreated, events.RoomListed, events.ContactUpdated, events.ContactRemoved,
    events.ContactRejected, events.ContactRequestCancelled, events.Notification, events.NotificationsRead,
}  # fmt: skip
"""Events that say nothing there; docs/dialects/live_003.md has the reasons."""


class Page:
    """A connection whose node is played by the test."""

    def __init__(self, scope: Scope = "owner", *, locked: bool = False) -> None:
        self.machine = m.Adapted(
            7, adapter=Live(Setting(scope, base="http://h")), client="p", grant=Grant(scope, "page"), now=NOW
        )
        self.text = LiveText()
        self.done: list[m.Effect] = []
        self.now = NOW
        self.feed(m.Opened())
        self.show(
            events.Hello(
                req=0, protocol="gossamer/1", node_version="1", user_id="u-ann", username="ann",
                log_epoch="e", seq=1, features=[], deprecated=[], connectivity="alone",
            )
        )  # fmt: skip
        if locked:
            self.fail("locked")
        else:
            self.answer(**ANN)
            self.answer(rooms=ROOMS)
        self.done.clear()

    def feed(self, event: m.Input) -> None:
        self.done += self.machine.handle(event, now=self.now)

    def say(self, text: str) -> None:
        try:
            self.feed(m.Said(self.text.decode(text)))
        except FrameRefused as fault:
            self.feed(m.Garbled(fault))

    def act(self, action: str, **data: Any) -> None:
        self.say(json.dumps({"action": action, "data": data}))

    def show(self, event: events.Event) -> None:
        self.feed(m.Shown(event))

    def asked(self) -> list[c.Command]:
        inputs = [e.input for e in self.done if isinstance(e, m.Submit)]
        return [one.command for one in inputs if isinstance(one, CommandReceived)]

    def answer(self, **fields: Any) -> None:
        self.show(events.Ok(req=self.asked()[-1].req, fields=fields))

    def fail(self, code: str) -> None:
        self.show(events.Error(code=code, message="no", req=self.asked()[-1].req))

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """What came since, as it is on the wire."""
        came = [json.loads(self.text.encode(e.frame)) for e in self.done if isinstance(e, m.Write)]
        return [(one["action"], one["data"]) for one in came]

    def closed(self) -> int | None:
        codes = [e.code for e in self.done if isinstance(e, m.Close)]
        return codes[0] if codes else None


def message(**keys: Any) -> events.UserMessage:
    base = {
        "username": "bob", "timestamp": 1, "message": "hi", "room": CHAT, "id": MID, "user_id": "u-bob",
        "ts_ms": NOW.wall_ms, "seq": 9,
    }  # fmt: skip
    return events.UserMessage(**{**base, **keys})


# -- frames ---------------------------------------------------------------------------------------

GOOD = [
    ("new_message", {"chat_id": CHAT, "content": "hi", "timestamp": "1"}),
    ("like_message", {"chat_id": CHAT, "id": MID}),
    ("unlike_message", {"chat_id": CHAT, "id": MID}),
    ("read_message", {"chat_id": CHAT, "id": MID}),
    ("read_notification", {"id": MID}),
    ("game_invite", {"username": "bob", "options": {"ranked": True}, "client_id": "t"}),
    ("game_invitation", {"username": "bob", "settings": {"ranked": True}, "client_id": "t"}),
    ("reply_game_invite", {"username": "bob", "accept": True}),
    ("cancel_game_invite", {"username": "bob"}),
]


@pytest.mark.parametrize(("action", "data"), GOOD)
def test_every_action_is_read_and_what_it_has_more_is_ignored(action: str, data: dict[str, Any]) -> None:
    call = LiveText().decode(json.dumps({"action": action, "data": {**data, "more": [1]}, "v": 2}))
    said = msgspec.to_builtins(call.args[0])
    settings = data.get("settings")
    assert call.name == action
    assert said == ({**data, "options": settings} if settings else data) | {} or "settings" in data
    if settings:
        assert call.args[0].options == settings


@pytest.mark.parametrize("action", sorted(frames.ACTIONS))
@pytest.mark.parametrize("wrong", [None, 7, 1.5, True, [], ["x"], {}, {"a": "b"}])
def test_a_field_of_another_type_or_none_at_all_is_bad_data_and_closes(action: str, wrong: Any) -> None:
    data = dict(next(data for name, data in GOOD if name == action))
    for field in data:
        if field in {"options", "settings"} and (wrong is None or isinstance(wrong, dict)):
            continue
        if field == "accept" and wrong is True:
            continue
        page = Page()
        page.act(action, **{**data, field: wrong})
        assert page.closed() == BAD_DATA and not page.asked(), (field, wrong)
        if field not in {"options", "settings"}:
            page = Page()
            page.act(action, **{name: value for name, value in data.items() if name != field})
            assert page.closed() == BAD_DATA, field


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "[]", "null", '"new_message"', "{}", '{"action":"new_message"}', '{"action":7,"data":{}}',
        '{"data":{}}', '{"action":"new_message","data":[]}', '{"action":"","data":{}}',
        '{"action":"user_online","data":{"username":"ann"}}', "[" * 100_000, '{"a":' * 100_000,
        '{"action":"new_message","data":{"chat_id":"a","content":"\\ud800","timestamp":"1"}}',
        '{"action":"new_message","data":{"chat_id":"a","content":NaN,"timestamp":"1"}}',
        '{"action":"read_notification","data":' + "[" * 5_000 + "]" * 5_000 + "}",
        '{"action":"game_invite","data":{"username":"b","client_id":"c","options":' + '{"a":' * 5_000 + "1"
        + "}" * 5_000 + "}}",
        '{"action":"game_invite","data":{"username":"b","client_id":"c","options":{"a":' + "9" * 30 + "}}}",
        '{"action":"game_invite","data":{"username":"b","client_id":"c","settings":{"a":[' + "[]," * 300
        + "1]}}}",
        '{"action":"game_invite","data":{"username":"b","client_id":"c","options":{"a":1e999}}}',
    ],
)  # fmt: skip
def test_what_is_no_action_is_bad_data_and_closes(text: str) -> None:
    page = Page()
    page.say(text)
    assert page.closed() == BAD_DATA and not page.asked()


def test_a_binary_frame_is_bad_data() -> None:
    with pytest.raises(FrameRefused) as caught:
        LiveText().decode(b"{}")
    assert caught.value.malformed


def test_more_than_fifty_at_once_close_and_fifty_a_second_do_not() -> None:
    page = Page()
    for _ in range(200):
        page.act("read_message", chat_id=CHAT, id=MID)
        page.answer(room=CHAT, id=MID, unread=0)
        page.now = page.now.after(0.02)
    assert page.closed() is None
    page.now = page.now.after(10)
    for _ in range(50):
        page.act("read_message", chat_id=CHAT, id=MID)
        page.answer(room=CHAT, id=MID, unread=0)
    assert page.closed() is None
    page.act("read_message", chat_id=CHAT, id=MID)
    assert page.closed() == BAD_DATA


def mutated(rng: random.Random, text: str) -> str:
    """A frame with something wrong: bytes, or a value, or the shape of it."""
    if rng.random() < 0.5:
        raw = bytearray(text.encode())
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(raw))
            match rng.randrange(3):
                case 0:
                    raw[at] = rng.randrange(256)
                case 1:
                    del raw[at]
                case _:
                    raw[at:at] = rng.randbytes(rng.randrange(1, 4))
        return raw.decode("utf-8", rng.choice(["replace", "surrogateescape", "ignore"]))
    frame = json.loads(text)
    strange = [
        None, True, 0, -1, 2**63, 2**80, 1e308, "", "\x00", "\ud800", "x" * 20_000, [], [[]], {}, {"": {}},
        [None] * 300, "🫖", CHAT, "no-id", {"a": {"b": [1, {"c": None}]}}, "999999999999999999999",
    ]  # fmt: skip
    for _ in range(rng.randrange(1, 3)):
        place = frame["data"] if isinstance(frame.get("data"), dict) and rng.random() < 0.9 else frame
        key = rng.choice([*place, "more"])
        if rng.random() < 0.15:
            place.pop(key, None)
        else:
            place[key] = rng.choice(strange)
    return json.dumps(frame, ensure_ascii=rng.random() < 0.8)


def test_ten_thousand_mutated_frames_crash_nothing_and_disturb_no_other_connection() -> None:
    rng = random.Random(3)
    texts = [json.dumps({"action": action, "data": data}) for action, data in GOOD]
    other, page = Page(), Page()
    commands: set[str] = set()
    ends = {"closed": 0, "error": 0, "done": 0}
    for number in range(10_000):
        page.say(mutated(rng, rng.choice(texts)))
        for _ in range(8):
            if not page.machine._waiting:
                break
            commands.add(c.name_of(page.asked()[-1]))
            c.BY_NAME[c.name_of(page.asked()[-1])](**msgspec.structs.asdict(page.asked()[-1]))
            if rng.random() < 0.3:
                page.fail("internal")
            else:
                page.answer(messages=[], invites=[], room=CHAT, id=MID, ts_ms=1, **ANN)
        told = page.told()
        ends["closed" if page.closed() else "error" if told and told[0][0] == "error" else "done"] += 1
        assert page.closed() in {None, BAD_DATA}
        assert not any(isinstance(effect, m.Unshown) for effect in page.done), number
        page.done.clear()
        page.now = page.now.after(0.1)
        if page.machine.closed:
            page = Page()
    assert min(ends.values()) > 300, ends
    assert commands >= {"user_message", "message_read", "notification_read", "dm_open", "invite_list"}
    other.show(message())
    assert other.told()[0][1]["content"] == "hi"


# -- saying ---------------------------------------------------------------------------------------


def test_a_message_is_one_command_whose_nonce_is_chat_and_timestamp() -> None:
    page = Page()
    page.act("new_message", chat_id=CHAT, content="hi", timestamp="é 1")
    (asked,) = page.asked()
    assert isinstance(asked, c.UserMessage)
    assert (asked.room, asked.message, asked.nonce) == (CHAT, "hi", f"003 {CHAT} é 1")
    page.show(message(username="ann", mine=True, nonce=asked.nonce, message="hi"))
    page.answer(id=MID, ts_ms=NOW.wall_ms, status="sent")
    assert page.told() == [
        (
            "new_message",
            {
                "chat_id": CHAT, "id": MID, "content": "hi", "date": "2024-11-04T16:08:06.123Z",
                "sender": "ann", "timestamp": "é 1",
            },
        )
    ]  # fmt: skip


def test_fast_messages_do_not_wait_for_each_other() -> None:
    page = Page()
    for number in range(20):
        page.act("new_message", chat_id=CHAT, content="hi", timestamp=str(number))
    assert len(page.asked()) == 20


def test_a_repeated_message_is_confirmed_by_its_answer_and_not_twice_when_it_is_shown_late() -> None:
    page = Page()
    page.act("new_message", chat_id=CHAT, content="hi", timestamp="7")
    page.answer(id=MID, ts_ms=NOW.wall_ms, status="sent")
    assert [data["timestamp"] for _, data in page.told()] == ["7"]
    page.show(message(username="ann", mine=True, nonce=page.asked()[0].nonce))
    assert len(page.told()) == 1


@pytest.mark.parametrize("timestamp", ["é" * 65, "x" * frames.MAX_TIMESTAMP, '"\\\u0000\u2028😀\n' * 12])
def test_a_timestamp_of_any_length_comes_back_as_it_was_and_is_the_same_message_again(timestamp: str) -> None:
    page, again = Page(), Page()
    page.act("new_message", chat_id=CHAT, content="hi", timestamp=timestamp)
    (asked,) = page.asked()
    assert isinstance(asked, c.UserMessage) and asked.nonce is not None and len(asked.nonce) <= 128
    page.show(message(username="ann", mine=True, nonce=asked.nonce))
    page.answer(id=MID, ts_ms=NOW.wall_ms, status="sent")
    again.act("new_message", chat_id=CHAT, content="hi", timestamp=timestamp)
    assert again.asked()[0] == asked
    again.answer(id=MID, ts_ms=NOW.wall_ms, status="sent")
    for one in (page, again):
        assert [data["timestamp"] for _, data in one.told()] == [timestamp]
    page.act("new_message", chat_id=CHAT, content="hi", timestamp="y" + timestamp[1:])
    assert isinstance(other := page.asked()[-1], c.UserMessage) and other.nonce != asked.nonce


@pytest.mark.parametrize("timestamp", ["", "x" * (frames.MAX_TIMESTAMP + 1)])
def test_a_timestamp_that_is_no_nonce_is_refused_and_the_connection_stays(timestamp: str) -> None:
    page = Page()
    page.act("new_message", chat_id=CHAT, content="hi", timestamp=timestamp)
    assert page.told()[0][0] == "error" and page.told()[0][1]["code"] == "invalid" and not page.asked()


def test_what_a_token_may_not_do_is_an_error() -> None:
    page = Page("read")
    page.act("new_message", chat_id=CHAT, content="hi", timestamp="1")
    assert page.told() == [
        (
            "error",
            {
                "action": "new_message", "code": "forbidden", "chat_id": CHAT, "timestamp": "1",
                "message": "a token of scope read may not use user_message",
            },
        )
    ]  # fmt: skip


def test_a_refused_invite_says_so_even_while_nobody_knows_who_we_are() -> None:
    page = Page(locked=True)
    page.act("game_invite", username="bob", options={}, client_id="t")
    page.fail("locked")
    page.fail("locked")
    assert page.told() == [
        (
            "game_invite_canceled",
            {"username": None, "nickname": None, "message": "no", "code": "locked", "client_id": "t"},
        )
    ]


def test_an_invite_is_answered_by_any_name_of_who_asks() -> None:
    row = {"invite": MID, "kind": "game", "sender": "bob", "target": "ann", "state": "open", "room": CHAT}
    over = {**row, "invite": ROOM, "state": "ignore"}
    page = Page()
    page.act("reply_game_invite", username="u-bob", accept=False)
    page.answer(invites=[row, over])
    page.answer(username="bob", nickname=None, avatar=None)
    assert page.asked()[-1] == c.UserInviteResponse(req=page.asked()[-1].req, response="decline", invite=MID)


def test_the_newest_open_invite_to_a_game_is_the_one_that_is_meant() -> None:
    row = {"invite": MID, "kind": "game", "sender": "bob", "target": "ann", "state": "open", "room": CHAT}
    page = Page()
    page.act("reply_game_invite", username="bob", accept=True)
    page.answer(invites=[row, {**row, "invite": ROOM}, {**row, "kind": "room", "invite": CHAT}])
    asked = page.asked()[-1]
    assert isinstance(asked, c.UserInviteResponse) and asked.invite == ROOM


def test_to_open_a_chat_and_ask_for_a_game_takes_120_seconds_at_most_to_reach_somebody() -> None:
    page = Page()
    page.act("game_invite", username="bob", settings={"ranked": True}, client_id="t")
    page.answer(invites=[])
    page.answer(room=CHAT)
    asked = page.asked()[-1]
    assert isinstance(asked, c.UserInvite)
    assert (asked.target, asked.room, asked.kind, asked.expires_in) == ("bob", CHAT, "game", 120)
    assert (asked.options, asked.client_id) == ({"ranked": True}, "t")


# -- being told -----------------------------------------------------------------------------------


def test_a_message_is_shown_without_asking_anything() -> None:
    page = Page()
    for room in (CHAT, ROOM):
        page.show(message(room=room))
        page.show(message(room=room, username="ann", mine=True))
    assert [data["content"] for _, data in page.told()] == ["hi", "hi", "bob: hi", "hi"]
    assert not page.asked() and page.machine.idle


def test_a_conversation_that_is_new_is_asked_for_once() -> None:
    page, new = Page(), "11111111-cb1b-4685-8ef7-f780deaa322e"
    page.show(message(room=new))
    page.show(message(room=new))
    assert [type(one) for one in page.asked()] == [c.RoomGet]
    page.answer(room=new, name="club", visibility="open")
    assert len(page.told()) == 2 and len(page.asked()) == 1


def test_history_of_before_we_came_in_is_not_news() -> None:
    page = Page()
    page.show(message(history=True))
    assert not page.told()


def test_what_could_not_be_learned_while_the_vault_was_locked_is_learned_when_it_opens() -> None:
    page = Page(locked=True)
    page.show(events.Connectivity(state="locked"))
    assert not page.asked()
    page.show(events.Connectivity(state="alone"))
    page.answer(**ANN)
    page.answer(rooms=ROOMS)
    page.show(message())
    assert len(page.told()) == 1 and len(page.asked()) == 2
    page.show(events.Connectivity(state="meshed"))
    assert len(page.asked()) == 2


def test_every_event_has_words_there_or_is_said_to_have_none() -> None:
    told = set(Telling(known.Known(""))._by_event)
    assert told | SILENT == set(events.BY_NAME.values()) and not told & SILENT
    page = Page()
    page.show(events.Typing(username="bob", room=CHAT, user_id="u", typing=True))
    page.show(events.CaughtUp(seq=9))
    assert not page.told() and page.machine.idle


def test_presence_is_told_once_a_change_and_away_is_offline() -> None:
    page = Page()
    for presence in ("online", "online", "away", "offline", "online"):
        page.show(events.Presence(username="bob", user_id="u-bob", presence=presence))  # type: ignore[arg-type]
    names = [name for name, _ in page.told()]
    assert names == ["user_online", "user_offline", "user_online"]
    keys = {e.frame.key for e in page.done if isinstance(e, m.Write)}
    assert keys == {"presence u-bob"}


def test_what_a_chat_of_two_likes_is_known_without_asking_where_the_message_was_shown() -> None:
    page = Page()
    page.show(message())
    liked = {"room": CHAT, "id": MID, "username": "ann", "user_id": "u-ann", "emoji": "👍", "ts_ms": 1}
    page.show(events.Reaction(**liked, on=True, mine=True))
    page.show(events.Reaction(**liked, on=False, mine=True))
    assert [data["is_liked"] for _, data in page.told()[1:]] == [True, False] and not page.asked()


def test_a_like_of_an_older_message_is_looked_up_and_what_its_author_likes_does_not_count() -> None:
    page = Page()
    page.show(
        events.Reaction(
            room=CHAT, id=MID, username="bob", user_id="u-bob", emoji="👍", on=True, ts_ms=1, seq=2
        )
    )
    page.answer(messages=[{"id": ROOM}], more=False)
    by_author = {"emoji": "👍", "count": 1, "users": [{"user_id": "u-bob"}], "self": False}
    page.answer(messages=[msgspec.to_builtins(message(reactions=[by_author]))], more=False)
    first, second = page.asked()
    assert (first, second) == (
        c.HistoryGet(req=first.req, room=CHAT, after=MID, limit=1),
        c.HistoryGet(req=second.req, room=CHAT, before=ROOM, limit=1),
    )
    assert page.told() == [("like_message", {"chat_id": CHAT, "id": MID, "is_liked": False})]


def test_who_likes_and_unlikes_without_end_makes_nobody_read_the_history_more_than_once() -> None:
    page = Page()
    like = {"room": ROOM, "id": MID, "username": "eve", "user_id": "u-eve", "emoji": "👍", "ts_ms": 1}
    for number in range(100):
        page.show(events.Reaction(**like, on=number % 2 == 0))
        if number == 0:
            other = {"emoji": "👍", "count": 2, "users": [{"user_id": "u-eve"}, {"user_id": "u-cat"}]}
            page.answer(messages=[], more=False)
            page.answer(messages=[msgspec.to_builtins(message(room=ROOM, reactions=[other]))], more=False)
    assert len(page.asked()) == 2
    assert [data["is_liked"] for _, data in page.told()] == [True] * 100
    page.show(events.Reaction(**{**like, "user_id": "u-cat"}, on=False))
    assert page.told()[-1][1]["is_liked"] is False


def test_a_stored_like_that_is_only_counted_is_not_counted_twice() -> None:
    page = Page()
    like = {"room": ROOM, "id": MID, "username": "eve", "user_id": "u-eve", "emoji": "👍", "ts_ms": 1}
    page.show(events.Reaction(**like, on=True))
    stored = {"emoji": "👍", "count": 2, "users": [{"user_id": "u-cat"}]}
    page.answer(messages=[], more=False)
    page.answer(messages=[msgspec.to_builtins(message(room=ROOM, reactions=[stored]))], more=False)
    page.show(events.Reaction(**{**like, "user_id": "u-cat"}, on=False))
    page.show(events.Reaction(**like, on=False))
    assert [data["is_liked"] for _, data in page.told()] == [True, True, False]


def test_a_file_that_comes_later_is_said_again_with_its_address() -> None:
    page = Page()
    file = {"id": ROOM, "name": "cat.png", "type": "image/png", "size": 3, "state": "pending", "url": None}
    page.show(message(kind="image", message="my cat", attachment=file))
    came = {"id": ROOM, "room": CHAT, "name": "cat.png", "received": 3, "size": 3}
    page.show(events.Attachment(**came, state="progress"))
    page.show(events.Attachment(**came, state="ready", url="/api/v1/attachments/x?cap=y"))
    page.show(events.Attachment(**came, state="ready", url="/api/v1/attachments/x?cap=y"))
    assert [(data["id"], data["content"]) for _, data in page.told()] == [
        (MID, "[image] cat.png (pending) my cat"),
        (MID, "[image] cat.png http://h/api/v1/attachments/x?cap=y"),
    ]


def test_what_was_missing_and_came_is_said_with_a_prefix() -> None:
    page = Page()
    late = {
        key: getattr(message(), key)
        for key in ("username", "timestamp", "message", "room", "id", "user_id", "ts_ms")
    }
    page.show(events.MessageHealed(placeholder=ROOM, missing=0, **late))
    page.show(events.MessageHealed(placeholder=ROOM, missing=0, room=CHAT))
    assert [data["content"] for _, data in page.told()] == ["[late] hi"]


def test_what_will_not_come_and_what_the_node_warns_of_are_errors() -> None:
    page = Page()
    page.show(events.MessageStatus(id=MID, status="failed", by="bob", why="left", room=CHAT))
    page.show(events.MessageStatus(id=MID, status="delivered", by="bob", room=CHAT))
    page.show(events.Warning(code="clock_skew", message="late"))
    assert page.told() == [
        (
            "error",
            {
                "action": "new_message", "code": "failed", "message": "it will not come to bob: left",
                "chat_id": CHAT, "id": MID,
            },
        ),
        ("error", {"action": None, "code": "clock_skew", "message": "late"}),
    ]  # fmt: skip


def test_another_device_of_somebody_is_said_in_their_chat_or_else_as_an_error() -> None:
    page = Page()
    page.show(events.KeyChanged(username="bob", user_id="u-bob", seq=12))
    page.answer(room=CHAT)
    page.show(events.KeyChanged(username="eve", user_id="u-eve", seq=13))
    page.answer(room=None)
    page.show(events.KeyChanged(username="cid", user_id="u-cid", seq=14))
    page.fail("unknown_user")
    assert {type(asked) for asked in page.asked()} == {c.ProfileGet}, "nothing is opened by what happens"
    (first, told), (second, error), (third, _) = page.told()
    assert second == third
    assert (first, told["id"], told["content"]) == (
        "new_message", "notice-12", "[key changed] bob has another device",
    )  # fmt: skip
    assert (second, error["code"]) == ("error", "key_changed")


def test_an_invite_that_ended_and_was_not_seen_here_is_looked_up() -> None:
    page = Page()
    page.show(
        events.InviteResult(invite=MID, room=ROOM, target="ann", response="cancelled", kind="room", seq=3)
    )
    page.answer(invites=[{"invite": MID, "sender": "bob", "kind": "room", "room": ROOM, "room_name": "tea"}])
    page.answer(username="bob", nickname="Bob", avatar=None)
    assert page.told() == [
        (
            "game_invite_canceled",
            {"username": ROOM, "nickname": "[room tea] Bob", "message": None, "client_id": ""},
        )
    ]


def test_what_we_are_called_changes_with_our_profile() -> None:
    page = Page()
    page.show(events.Profile(username="anna", user_id="u-ann", nickname="Anna", seq=3))
    page.show(events.Profile(username="bobby", user_id="u-bob", nickname="Bobby", seq=4))
    page.show(events.InviteResult(invite=MID, room=CHAT, target="bob", response="ignore", kind="game", seq=5))
    assert page.told()[0][1]["username"] == "anna" and page.told()[0][1]["nickname"] == "Anna"


def test_a_room_that_changes_says_what_did() -> None:
    page = Page()
    for keys in (
        {"name": "coffee"},
        {"name": "coffee", "topic": "hot"},
        {"name": "coffee", "role": "admin", "username": "bob", "user_id": "u-bob"},
        {"name": "coffee", "invite": "admins"},
        {"name": "coffee", "unread": 0, "read_to": MID},
        {"name": "coffee", "muted": True},
    ):
        page.show(events.RoomUpdated(room=ROOM, seq=5, **keys))  # type: ignore[arg-type]
    page.show(events.RoomDeleted(room=ROOM, seq=6))
    page.show(events.UserLeave(username="bob", room=ROOM, user_id="u", reason="disconnect"))
    page.show(events.UserLeave(username="bob", room=ROOM, user_id="u", reason="removed", seq=8))
    said = [data["content"] for _, data in page.told()]
    assert said == [
        "[renamed] coffee", "[topic] hot", "[role] bob: admin", "[settings] invite: admins",
        "[room deleted]", "[removed] bob",
    ]  # fmt: skip


def test_what_is_remembered_has_an_end() -> None:
    kept: known.Newest[int, int] = known.Newest(3)
    for number in range(10):
        kept.put(number, number)
    kept.put(8, 80)
    kept.put(10, 10)
    assert (len(kept), kept.get(7), kept.get(8), kept.pop(10), kept.get(10)) == (3, None, 80, 10, None)
    page = Page()
    adapter = page.machine.adapter
    assert isinstance(adapter, Live)
    for number in range(known.MAX_AUTHORS + 50):
        page.show(message(id=str(number)))
        page.done.clear()
    assert len(adapter._known.authors) == known.MAX_AUTHORS
    for number in range(60):
        page.act("new_message", chat_id=CHAT, content="x", timestamp=str(number))
        page.fail("internal")
        page.now = page.now.after(1)
    assert not adapter._known.sending


def test_a_frame_is_an_action_and_its_data() -> None:
    text = LiveText().encode(Frame("user_online", ({"username": "<b>é"},)))
    assert text == '{"action":"user_online","data":{"username":"<b>é"}}'
    assert Call("x").args == ()
