"""The rooms protocol as a pure adapter: what is held back, remembered, drawn and refused."""

from __future__ import annotations

import base64
import json
import random
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.bridge import adapted as m
from node.bridge.dialects.adapter import Call, Setting
from node.bridge.dialects.rooms_004 import NAMES, Rooms, people, telling
from node.bridge.dialects.rooms_004.adapter import LOOKS
from node.bridge.dialects.rooms_004.errors import CODES, payload_of
from node.bridge.dialects.rooms_004.payloads import KINDS, picture_of, read, text_of
from node.bridge.dialects.rooms_004.words import moment
from node.bridge.guard import Grant
from node.bridge.ports import CommandReceived
from node.chat import commands as c, events
from node.chat.names import clean
from node.clock import Instant
from node.errors import Refused
from node.sim import Simulation
from tests.transcripts.adapted import SimFrontend

NOW = Instant(100.0, 1_700_000_000_123)
ROOM = "fc3667cb-fe5b-4685-8ef7-f780deaa322e"
OTHER = "00000000-0000-4000-8000-000000000000"
ANN, BOB = "8b0c4e55-04c4-8b1f-a9a1-1d7d31a1c7d2", "21b6e0a4-3c59-8d10-b2a4-7a2f6c0de9f1"
DOCS = Path(__file__).parents[3] / "docs"
FACTS: dict[str, Any] = {
    "room": ROOM, "name": "tea", "visibility": "private", "deleted": False,
    "members": [{"user_id": ANN, "username": "ann"}, {"user_id": BOB, "username": "bob"}],
}  # fmt: skip
PROFILE = {"user_id": ANN, "username": "ann", "avatar": None}
JOIN = {"roomId": ROOM, "userId": "u", "username": "Ann"}


class Bench:
    """A connection beside an engine that is played by hand."""

    def __init__(self, *, joined: bool = True, locked: bool = False, base: str = "http://here") -> None:
        self.adapter = Rooms(Setting(base=base))
        grant = Grant("owner", "page", limited=False)
        self.machine = m.Adapted(7, adapter=self.adapter, client="p", grant=grant, now=NOW)
        self.done: list[m.Effect] = []
        self.now = NOW
        self.feed(m.Opened())
        self.greet()
        if locked:
            self.fail("locked")
            return
        self.answer(**PROFILE)
        if joined:
            self.join([])
        self.done.clear()

    def greet(self) -> None:
        hello = events.Hello(
            req=0, protocol="gossamer/1", node_version="1", user_id=ANN, username="ann", log_epoch="e", seq=5,
            features=[], deprecated=[], connectivity="alone",
        )  # fmt: skip
        self.show(hello)

    def join(self, history: list[events.UserMessage]) -> None:
        self.say("join_room", JOIN)
        self.answer(**FACTS)
        self.give(history)

    def give(self, history: list[events.UserMessage]) -> None:
        self.answer(messages=[json.loads(events.encode_json(one)) for one in history], more=False)
        if isinstance(self.waiting(), c.Batch):
            self.known()

    def known(self, avatar: str | None = None) -> None:
        asked = self.waiting()
        assert isinstance(asked, c.Batch)
        self.answer(results=[{"event": "ok", "avatar": avatar} for _ in asked.commands])

    def feed(self, event: m.Input) -> None:
        self.done += self.machine.handle(event, now=self.now)

    def say(self, name: str, *args: Any, mark: int | None = None) -> None:
        self.feed(m.Said(Call(name, args, mark is not None), mark))

    def pass_on(self, seconds: float) -> None:
        self.now = self.now.after(seconds)
        self.feed(m.Ticked())

    def show(self, *shown: events.Event) -> None:
        for event in shown:
            self.feed(m.Shown(event))

    def asked(self) -> list[c.Command]:
        submitted = [e.input for e in self.done if isinstance(e, m.Submit)]
        return [one.command for one in submitted if isinstance(one, CommandReceived)]

    def waiting(self) -> c.Command | None:
        return self.asked()[-1] if self.machine._waiting else None

    def answer(self, **fields: Any) -> None:
        self.show(events.Ok(req=self.asked()[-1].req, fields=fields))

    def fail(self, code: str) -> None:
        self.show(events.Error(code=code, message="no", req=self.asked()[-1].req))

    def told(self, name: str = "message_received") -> list[Any]:
        frames = [e.frame for e in self.done if isinstance(e, m.Write)]
        return [frame.args[0] for frame in frames if frame.name == name]

    def order(self) -> list[str]:
        return [e.frame.name for e in self.done if isinstance(e, m.Write)]


def message(text: str, seq: int, *, user_id: str = BOB, **more: Any) -> events.UserMessage:
    given = {"username": "bob", "room": ROOM, "id": f"m{seq}", "mine": user_id == ANN, **more}
    return events.UserMessage(
        timestamp=1, message=text, user_id=user_id, ts_ms=1_700_000_000_123, seq=seq, **given
    )


# -- what is told, and when -------------------------------------------------------------------------


def test_what_happens_while_history_is_read_follows_it_and_nothing_comes_twice() -> None:
    bench = Bench(joined=False)
    bench.say("join_room", JOIN)
    bench.answer(**FACTS)
    bench.show(message("in the list", 8), message("after it", 9))
    asked = bench.waiting()
    assert bench.order() == [] and isinstance(asked, c.HistoryGet) and asked.limit == 50
    bench.give([message("older", 7), message("in the list", 8)])
    assert bench.order() == ["history", "user_joined", "message_received"]
    assert [line["content"] for line in bench.told("history")[0]] == ["older", "in the list"]
    assert [line["content"] for line in bench.told()] == ["after it"]
    bench.show(message("live", 10))
    assert bench.told()[-1]["content"] == "live"


def test_a_room_whose_events_pile_up_while_its_history_is_read_closes_the_connection() -> None:
    bench = Bench(joined=False)
    bench.say("join_room", JOIN)
    bench.answer(**FACTS)
    bench.show(*(message("word", seq) for seq in range(8, 8 + telling.MAX_HELD)))
    assert not bench.machine.closed
    bench.show(message("one more", 9_999))
    assert bench.done[-1] == m.Close(4008, "too slow")


def test_a_history_that_cannot_be_read_is_no_joining() -> None:
    bench = Bench(joined=False)
    bench.say("join_room", JOIN, mark=1)
    bench.answer(**FACTS)
    bench.fail("storage_full")
    assert bench.told("error")[0]["code"] == "ERR_INTERNAL" and bench.order() == ["error"]
    bench.show(message("not for here", 9))
    assert bench.order() == ["error"]
    bench.say("send_message", {"roomId": ROOM, "userId": "u", "content": "am I in?"})
    bench.answer(rooms=[{"room": ROOM}])
    assert bench.told("error")[-1]["code"] == "ERR_NOT_MEMBER"


def test_a_second_joining_that_fails_keeps_the_room_and_what_happened_in_it() -> None:
    bench = Bench()
    bench.say("join_room", JOIN)
    bench.answer(**FACTS)
    bench.show(message("meanwhile", 9))
    bench.fail("storage_full")
    bench.known()
    assert set(bench.order()) == {"error", "message_received"}
    assert bench.told()[0]["content"] == "meanwhile"


def test_only_an_author_whom_the_connection_has_not_seen_is_asked_about() -> None:
    bench = Bench()
    bench.show(message("one", 9))
    assert bench.order() == [] and isinstance(bench.waiting(), c.Batch)
    bench.known("🦊")
    asked = len(bench.asked())
    bench.show(message("two", 10), message("three", 11))
    assert [line["content"] for line in bench.told()] == ["one", "two", "three"]
    assert len(bench.asked()) == asked
    bench.show(events.Profile(username="bob", user_id=BOB, avatar=None), message("four", 12))
    assert bench.told()[-1]["user"] == {"username": "bob", "avatar": None}


def test_an_author_nobody_can_tell_of_is_shown_without_a_picture() -> None:
    bench = Bench()
    bench.show(message("one", 9))
    bench.fail("rate_limited")
    assert bench.told()[0]["user"] == {"username": "bob", "avatar": None}


def test_earlier_messages_that_members_give_come_as_one_list_and_not_one_by_one() -> None:
    bench = Bench()
    given = [message(f"old {seq}", seq, history=True) for seq in range(20, 80)]
    bench.show(given[0])
    bench.give(given[-50:])
    bench.show(*given[1:])
    assert [len(told) for told in bench.told("history")] == [50] and bench.told() == []
    bench.show(message("older still", 99, history=True))
    assert len(bench.told("history")) == 1 and bench.waiting() is None


def test_what_is_said_is_sent_before_the_last_is_answered() -> None:
    bench = Bench()
    for number in range(3):
        bench.say("send_message", {"roomId": ROOM, "userId": "u", "content": f"word {number}"}, mark=number)
    assert [one.message for one in bench.asked() if isinstance(one, c.UserMessage)] == [
        "word 0", "word 1", "word 2",
    ]  # fmt: skip


def test_a_vault_that_was_locked_at_the_start_needs_no_new_connection() -> None:
    bench = Bench(locked=True)
    assert not [one for one in bench.done if isinstance(one, m.Unshown)]
    bench.say("join_room", JOIN)
    bench.fail("locked")
    assert bench.told("error")[0]["reason"] == "locked"
    bench.show(events.Connectivity(state="alone"))
    bench.answer(**PROFILE)
    bench.join([message("mine", 3, user_id=ANN)])
    assert bench.told("history")[0][0]["userId"] == "u"


def test_a_join_that_waited_in_vain_fails_with_what_asked_for_it() -> None:
    bench = Bench(joined=False)
    bench.say("join_room", JOIN, mark=1)
    bench.fail("room_not_found")
    bench.answer(**FACTS, state="joining", invite=OTHER)
    assert bench.done[-1] == m.Acknowledge(1, {"ok": True, "roomId": ROOM, "state": "joining"})
    bench.say("send_message", {"roomId": ROOM, "userId": "u", "content": "in yet?"})
    assert bench.told("error")[-1]["code"] == "ERR_NOT_MEMBER"
    bench.show(events.InviteResult(invite=OTHER, room=ROOM, target="ann", response="expired"))
    told = bench.told("error")[-1]
    assert (told["code"], told["event"], told["roomId"]) == ("ERR_ROOM_NOT_FOUND", "join_room", ROOM)
    bench.show(events.InviteResult(invite=OTHER, room=ROOM, target="ann", response="expired"))
    assert len(bench.told("error")) == 2


def test_a_room_that_is_not_listed_yet_is_looked_for_again_and_nothing_waits_for_that() -> None:
    bench = Bench()
    bench.say("join_room", {**JOIN, "roomId": OTHER}, mark=1)
    bench.fail("room_not_found")
    for _ in range(LOOKS):
        bench.fail("room_not_found")
        bench.say("send_message", {"roomId": ROOM, "userId": "u", "content": "meanwhile"})
        assert bench.asked()[-1] == c.UserMessage(req=bench.asked()[-1].req, room=ROOM, message="meanwhile")
        bench.answer(id="i", ts_ms=1)
        bench.pass_on(0.9)
        assert isinstance(bench.asked()[-1], c.UserMessage) and bench.order() == []
        bench.pass_on(0.2)
        assert isinstance(bench.asked()[-1], c.UserJoin)
    bench.fail("room_not_found")
    assert bench.told("error")[0]["roomId"] == OTHER and not bench.machine.resting


def test_two_joinings_of_one_room_at_once_are_one() -> None:
    bench = Bench(joined=False)
    for mark in (1, 2):
        bench.say("join_room", JOIN, mark=mark)
        bench.fail("room_not_found")
        bench.fail("room_not_found")
    bench.pass_on(2.0)
    first, second = [one for one in bench.asked() if isinstance(one, c.UserJoin)][-2:]
    bench.show(events.Ok(req=first.req, fields=FACTS | {"state": "joined"}))
    bench.show(message("meanwhile", 9))
    bench.show(events.Ok(req=second.req, fields=FACTS | {"state": "joined"}))
    reads = [one for one in bench.asked() if isinstance(one, c.HistoryGet)]
    bench.show(events.Ok(req=reads[0].req, fields={"messages": [], "more": False}))
    bench.known()
    assert len(reads) == 1 and bench.order() == ["history", "user_joined", "message_received"]


def test_leaving_while_one_waits_to_be_let_in_is_waiting_no_more() -> None:
    bench = Bench(joined=False)
    bench.say("join_room", JOIN)
    bench.fail("room_not_found")
    bench.answer(**FACTS, state="joining", invite=OTHER)
    bench.say("leave_room", {"roomId": ROOM, "userId": "u"}, mark=2)
    bench.show(events.UserJoin(username="ann", room=ROOM, user_id=ANN, reason="join", seq=9))
    assert bench.order() == [] and bench.waiting() is None


def test_a_room_that_cannot_be_left_stays_joined() -> None:
    bench = Bench()
    bench.say("leave_room", {"roomId": ROOM, "userId": "u"})
    bench.answer(**FACTS)
    bench.fail("storage_full")
    bench.show(message("still here", 9, user_id=ANN))
    assert bench.told()[-1]["content"] == "still here"
    bench.show(events.UserLeave(username="ann", room=ROOM, user_id=ANN, reason="removed", seq=10))
    assert bench.told("user_left")[0]["userId"] == "u"
    bench.show(message("not for us", 11, user_id=ANN))
    assert bench.told()[-1]["content"] == "still here"


def test_a_deleted_room_is_not_joined() -> None:
    bench = Bench(joined=False)
    bench.say("join_room", JOIN)
    bench.answer(**FACTS | {"deleted": True})
    assert bench.told("error")[0]["code"] == "ERR_ROOM_NOT_FOUND" and bench.order() == ["error"]


def test_the_typer_is_not_told_that_it_types() -> None:
    bench = Bench()
    bench.show(events.Typing(username="ann", room=ROOM, user_id=ANN, typing=True))
    bench.show(events.Typing(username="bob", room=ROOM, user_id=BOB, typing=True))
    assert [told["userId"] for told in bench.told("user_typing")] == [BOB]


def test_an_invite_that_was_accepted_elsewhere_is_not_said_to_be_over() -> None:
    bench = Bench()
    for response in ("delivered", "accept", "cancelled"):
        bench.show(
            events.UserInvite(
                sender="bob", room=OTHER, invite="i", target="ann", room_name="x", kind="room", expires_at=1
            )
        )
        bench.fail("unknown_user")
        bench.show(events.InviteResult(invite="i", room=OTHER, target="ann", response=response))
    contents = [line["content"].split("]")[0] for line in bench.told()]
    assert contents == ["[invite", "[invite", "[invite", "[invite over"]


# -- files ------------------------------------------------------------------------------------------


def with_file(
    state: str, seq: int = 9, kind: str = "image", url: str | None = "/f?cap=c"
) -> events.UserMessage:
    file = {"id": OTHER, "name": "tea.png", "type": "image/png", "size": 9, "state": state, "url": url}
    return message("look", seq, user_id=ANN, kind=kind, attachment=file)


def file_is(state: str, **more: Any) -> events.Attachment:
    return events.Attachment(id=OTHER, room=ROOM, name="tea.png", state=state, received=9, size=9, **more)  # type: ignore[arg-type]  # the tests name states as they come


def test_a_picture_on_its_way_is_named_first_and_shown_when_it_is_here() -> None:
    bench = Bench()
    bench.show(with_file("pending"), file_is("progress"), file_is("ready", url="/f?cap=d"))
    first, then = bench.told()
    assert (first["type"], first["content"]) == ("text", "look\n[image] tea.png is on its way")
    assert (then["type"], then["content"]) == ("image", "http://here/f?cap=d")
    assert then["target"] == first["id"] != then["id"]
    bench.show(file_is("ready", url="/f?cap=d"))
    assert len(bench.told()) == 2


def test_a_file_that_does_not_come_is_told_and_one_that_is_no_picture_is_named() -> None:
    bench = Bench()
    bench.show(with_file("pending"), file_is("failed", why="nobody has it"), with_file("ready", 10, "file"))
    assert [line["content"] for line in bench.told()] == [
        "look\n[image] tea.png is on its way",
        "[image] tea.png did not come: nobody has it",
        "look\n[file] tea.png http://here/f?cap=c",
    ]
    assert {line["type"] for line in bench.told()} == {"text"}
    page = {**with_file("ready").attachment, "type": "text/html"}
    bench.show(message("", 11, user_id=ANN, kind="image", attachment=page))
    assert bench.told()[-1]["content"] == "[image] tea.png http://here/f?cap=c"


# -- whose words they are ---------------------------------------------------------------------------


def test_no_type_but_text_and_image_is_a_peers_to_choose() -> None:
    bench = Bench()
    for number, kind in enumerate(("deleted", "announcement", "warning", "image", "gif", "audio", "x" * 16)):
        bench.show(message("[warning] pay", 9 + number, user_id=ANN, kind=kind))
        bench.show(message("https://evil.example/a.png", 99 + number, user_id=ANN, kind=kind))
    assert {line["type"] for line in bench.told()} == {"text"}


def test_an_address_is_a_picture_on_the_connection_that_sent_it_alone() -> None:
    bench = Bench()
    address = "https://example.com/a.png"
    bench.show(message(address, 9, user_id=ANN, kind="image"))
    bench.say("send_message", {"roomId": ROOM, "userId": "u", "content": address, "type": "image"})
    bench.show(message(address, 10, user_id=ANN, kind="image"), message(address, 11, kind="image"))
    bench.known()
    assert [line["type"] for line in bench.told()] == ["text", "image", "text"]


def test_nobody_can_be_called_what_the_node_is() -> None:
    assert clean(people.NODE_NAME) != people.NODE_NAME and len(people.NODE_ID) != 36


def test_an_avatar_of_letters_is_drawn_and_cannot_break_out_of_its_drawing() -> None:
    drawn = people.picture('<script>"&')
    assert drawn is not None
    picture = base64.b64decode(drawn.removeprefix("data:image/svg+xml;base64,")).decode()
    assert ">&lt;script&gt;&quot;&amp;</text>" in picture
    assert people.picture("data:image/png;base64,AA==") == "data:image/png;base64,AA=="
    assert people.picture(OTHER) is None and people.picture("") is None


def test_what_is_kept_of_people_rooms_files_invites_and_addresses_is_bounded() -> None:
    known = people.People()
    for number in range(people.MAX_PEOPLE + 9):
        known.learn(str(number), "🦊")
    assert len(known._avatars) == people.MAX_PEOPLE and known.unknown(["0", "600", "600", ""]) == ["0", "600"]
    bench = Bench()
    inside = bench.adapter._telling
    for number in range(300):
        file = {**with_file("pending").attachment, "id": str(number)}
        bench.show(message("words", 9 + number, user_id=ANN, attachment=file))
        content = f"https://example.com/{number}"
        bench.say("send_message", {"roomId": ROOM, "userId": "u", "content": content, "type": "image"})
        bench.answer(id="i", ts_ms=1)
        invite = events.UserInvite(
            sender="bob",
            room=OTHER,
            invite=str(number),
            target="ann",
            room_name="x",
            kind="game",
            expires_at=1,
        )
        bench.show(invite)
        bench.fail("unknown_user")
    assert {one.message for one in inside._files.values()} == {""}
    assert len(inside._files) == telling.MAX_FILES and len(inside._invites) == telling.MAX_INVITES
    assert len(inside.addresses) == telling.MAX_ADDRESSES


def test_a_connection_has_only_so_many_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.bridge.dialects.rooms_004.adapter.MAX_ROOMS", 1)
    bench = Bench()
    bench.say("join_room", {**JOIN, "roomId": OTHER})
    assert bench.told("error")[0]["code"] == "ERR_FORBIDDEN"
    bench.join([])
    assert bench.told("history")


@pytest.mark.parametrize(
    ("ts_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_730_736_486_007, "2024-11-04T16:08:06.007Z"),
        (-5, "1970-01-01T00:00:00.000Z"),
        (2**63, "9999-12-31T23:59:59.808Z"),
    ],
)
def test_a_moment_is_iso_8601_whatever_it_is(ts_ms: int, text: str) -> None:
    assert moment(ts_ms) == text


# -- what is refused --------------------------------------------------------------------------------


def documented_codes() -> set[str]:
    rows = re.findall(r"^\| (`[^|]*) \|", (DOCS / "errors.md").read_text("utf-8"), re.MULTILINE)
    return {code for row in rows for code in re.findall(r"`([a-z_]+)`", row)}


def test_every_code_of_ours_has_one_of_the_protocols() -> None:
    assert len(documented_codes()) > 90
    assert documented_codes() - CODES.keys() == set()
    assert set(CODES.values()) == {
        "ERR_VALIDATION", "ERR_ROOM_NOT_FOUND", "ERR_NOT_MEMBER", "ERR_FORBIDDEN", "ERR_RATE_LIMIT",
        "ERR_INTERNAL",
    }  # fmt: skip


def test_an_error_repeats_no_more_of_a_call_than_it_has_to() -> None:
    fault = Refused("rate_limited", "slowly", field="roomId", retry_after=1.5)
    told = payload_of(Call("x" * 999, ({"roomId": "y" * 999},)), fault)
    assert told == {
        "code": "ERR_RATE_LIMIT", "message": "slowly", "type": "error", "reason": "rate_limited",
        "field": "roomId", "retryAfter": 1.5, "event": "x" * 64, "roomId": "y" * 64,
    }  # fmt: skip


def test_the_page_names_every_event_and_says_what_becomes_of_it() -> None:
    page = (DOCS / "dialects" / "rooms_004.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z_]+)`", page))
    assert (events.BY_NAME.keys() | NAMES) - named == set()
    assert [code for code in set(CODES.values()) if f"`{code}`" not in page] == []


def test_what_could_not_be_written_again_and_what_is_too_long_is_refused_at_once() -> None:
    typing = {"roomId": ROOM, "userId": "\ud800", "isTyping": True}
    with pytest.raises(Refused, match="no text") as refused:
        read(Call("typing", (typing,)))
    assert (refused.value.code, refused.value.field) == ("invalid", "userId")
    with pytest.raises(Refused, match="16384 bytes"):
        text_of("é" * 8_193)
    assert text_of("é" * 8_192)
    with pytest.raises(Refused) as large:
        picture_of("data:image/png;base64," + "A" * 700_000)
    assert large.value.code == "attachment_too_large"


HOSTILE: list[Any] = [
    None, True, False, 0, -1, 2**200, 1e308, float("nan"), float("inf"), "", "\x00", "\ud800", "x" * 200_000,
    [], {}, [[[]]], {"a": {"b": {}}}, b"bytes", ["text"], {"roomId": {}}, ROOM, OTHER, "🙂", "image", "text",
    "data:image/png;base64,", "data:image/png;base64,!", "https://example.com", "../../etc/passwd",
]  # fmt: skip
VALID: dict[str, dict[str, Any]] = {
    "create_room": {"name": "tea", "userId": "u"},
    "join_room": JOIN | {"avatar": "https://example.com/a.png"},
    "send_message": {"roomId": ROOM, "userId": "u", "content": "Hello world!", "type": "text"},
    "typing": {"roomId": ROOM, "userId": "u", "isTyping": True},
    "leave_room": {"roomId": ROOM, "userId": "u"},
}


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


def mutated(dice: random.Random, room: str) -> tuple[str, tuple[Any, ...]]:
    """A call with something wrong, or not even that."""
    name = dice.choice(list(VALID))
    payload: Any = {key: room if value == ROOM else value for key, value in VALID[name].items()}
    match dice.randrange(8):
        case 0:
            payload.pop(dice.choice(list(payload)))
        case 1:
            payload[dice.choice(list(payload))] = dice.choice(HOSTILE)
        case 2:
            payload = dice.choice(HOSTILE)
        case 3:
            name = dice.choice([name[:-1], name.upper(), "", "\ud800", "connect", "history"])
        case 4:
            payload[dice.choice(["x", "roomid", "__proto__"])] = nested(dice.randrange(2_000))
        case 5:
            payload = {dice.choice([1, None, "roomId"]): payload}
        case 6:
            raw = bytearray(json.dumps(payload).encode())
            raw[dice.randrange(len(raw))] = dice.randrange(256)
            try:
                payload = json.loads(raw)
            except ValueError:
                payload = raw.decode("latin-1")
        case _:
            return name, dice.choice([(), (None,), (payload, payload), ([payload],)])
    return name, (payload,)


def test_ten_thousand_calls_gone_wrong_are_answered_and_disturb_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.bridge.dialects.rooms_004.adapter.LOOKS", 0)
    world = Simulation("mutations")
    ann = world.add("ann")
    world.run(1)
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    rogue, quiet = (SimFrontend(ann, "004", Setting()) for _ in range(2))
    quiet._feed(m.Said(Call("join_room", ({**JOIN, "roomId": room},))))
    dice = random.Random(4)
    made = 0
    for number in range(10_000):
        name, args = mutated(dice, room)
        if name == "create_room" and (made := made + 1) > 40:  # a room costs the node milliseconds
            name = "join_room"
        rogue.came.clear()
        rogue._feed(m.Said(Call(name, args, True), number))
        assert rogue.closed is None, (name, args)
        answers = [one for one in rogue.came if isinstance(one, str) and one.startswith(f"{number}[")]
        assert len(answers) == 1, (name, args)
        errors = [one[1] for one in rogue.came if one[0] == "error"]
        assert ('"ok": false' in answers[0]) == bool(errors), (name, args)
        assert all(error["code"] in CODES.values() for error in errors)
        assert not [error for error in errors if error["code"] == "ERR_INTERNAL"], (name, args, errors)
    quiet.pump()
    quiet.came.clear()
    quiet._feed(m.Said(Call("send_message", ({"roomId": room, "userId": "u", "content": "calm"},))))
    assert [one[1]["content"] for one in quiet.came if one[0] == "message_received"] == ["calm"]


def test_the_names_are_those_of_the_published_document() -> None:
    assert {"create_room", "join_room", "send_message", "typing", "leave_room"} == NAMES == KINDS.keys()


def test_messages_of_rooms_that_were_not_joined_here_have_not_been_had() -> None:
    bench = Bench()
    bench.show(message("here", 6), msgspec.structs.replace(message("there", 7), room=OTHER))
    assert isinstance(bench.waiting(), c.Batch)
    bench.known()
    assert [one for one in bench.done if isinstance(one, m.Passed | m.Missed)] == [m.Passed(6), m.Missed(7)]
