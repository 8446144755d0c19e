"""The groups protocol as a pure adapter: what is understood, what is asked for, what is remembered."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from node.bridge.dialects.adapter import Call, Frame
from node.bridge.dialects.base import FrameRefused
from node.bridge.dialects.groups_001 import Spelling, media, memory as memories, reading
from node.bridge.dialects.groups_001.asking import ASKED
from node.chat import commands as c, events
from node.chat.commands import MAX_INLINE_BYTES
from node.errors import Refused
from tests.bridge.dialects.groups_bench import (
    BASE,
    FILE,
    ME,
    OTHER,
    ROOM,
    Bench,
    facts,
    message,
    profile,
    row,
    stored,
    told,
)  # fmt: skip

# -- what is understood ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        ROOM, ROOM.upper(), {"id": ROOM}, {"groupId": ROOM}, {"group_id": ROOM}, {"chatId": ROOM},
        {"chat_id": ROOM}, {"group": ROOM}, {"group": {"id": ROOM}}, {"group": {"groupId": ROOM}},
        {"id": "the message's own", "groupId": ROOM}, {"groupId": None, "id": ROOM},
    ],
)  # fmt: skip
def test_a_group_is_named_by_whatever_a_frontend_calls_its_id(data: Any) -> None:
    assert reading.group_id(data) == ROOM


@pytest.mark.parametrize("data", [None, 7, [], {}, {"id": 7}, {"id": []}, {"group": {}}, "", "x" * 65, True])
def test_what_names_no_group_is_refused_and_names_the_key(data: Any) -> None:
    with pytest.raises(Refused) as caught:
        reading.group_id(data)
    assert caught.value.code == "invalid" and caught.value.field in {"id", "group"}


def test_a_group_is_named_by_its_id_save_where_it_is_joined() -> None:
    with pytest.raises(Refused, match="by the id"):
        reading.group_id("tea")
    assert reading.meant("tea") == "tea"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"username": "zed", "userId": 7}, ("zed", 7)),
        ({"user": {"name": "zed", "id": "u7"}}, ("zed", "u7")),
        ({"sender": "zed", "senderId": "u7"}, ("zed", "u7")),
        ({"user": "zed"}, ("zed", None)),
        ({"username": "z" * 64, "userId": "u" * 64}, ("z" * 64, "u" * 64)),
        ({"userId": 0.5}, None),
        ({"userId": 2**60}, None),
        ({"userId": True}, None),
        ({"username": ["zed"]}, None),
        ({"username": "z" * 65}, None),
        ("zed", (None, None)),
    ],
)
def test_who_somebody_says_to_be_is_read_and_judged(data: Any, said: Any) -> None:
    if said is None:
        with pytest.raises(Refused, match="user"):
            reading.claimed(data)
    else:
        assert reading.claimed(data) == said


def test_words_are_found_under_every_usual_key_and_inside_a_message() -> None:
    for data in (
        {"text": "a"},
        {"message": "a"},
        {"content": "a"},
        {"body": "a"},
        {"message": {"text": "a"}},
    ):
        assert reading.text_of(data) == "a"
    assert reading.text_of({}) is None
    with pytest.raises(Refused, match="a text"):
        reading.text_of({"message": {"text": 7}})


# -- media ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"attachment": FILE}, media.Stored(FILE)),
        ({"image": {"id": FILE}}, media.Stored(FILE)),
        ({"text": FILE}, media.Stored(FILE)),
        ({"url": f"{BASE}/api/v1/attachments/{FILE}?cap=secret"}, media.Stored(FILE)),
        ({"url": f"/api/v1/attachments/{FILE}"}, media.Stored(FILE)),
        ({"url": "HTTPS://example.org/a.png"}, media.Remote("https://example.org/a.png")),
        ({"image": "data:image/png;base64,AAAA"}, media.Fresh("AAAA", "image/png", "image.png")),
        ({"image": "data:IMAGE/JPEG;x=y;base64,AAAA"}, media.Fresh("AAAA", "image/jpeg", "image.jpg")),
        ({"image": "data:image/png,%00%01"}, media.Fresh("AAE=", "image/png", "image.png")),
        ({"image": "data:image/png;base64,AAA%3D"}, media.Fresh("AAA=", "image/png", "image.png")),
        (
            {"image": "data:;base64,AAAA", "mime": "image/webp"},
            media.Fresh("AAAA", "image/webp", "image.webp"),
        ),
        (
            {"file": {"data": "data:image/svg+xml,a", "fileName": "b.svg"}},
            media.Fresh("YQ==", "image/svg+xml", "b.svg"),
        ),
    ],
)
def test_a_picture_is_an_id_a_data_url_or_an_address(data: Any, found: media.Media) -> None:
    assert media.sent(data, "image")[0] == found


@pytest.mark.parametrize(
    "value",
    [
        "", "dot.png", "file:///etc/passwd", "blob:http://x/1", "javascript:alert(1)", "data:image/png",
        "data:text/html,<b>", "data:,x", "https://exa mple.org/", "https://x/\n", "ftp://x/y", 7, [], {},
        None, "https://" + "x" * 2_100, {"data": 7},
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused(value: Any) -> None:
    with pytest.raises(Refused) as caught:
        media.sent({"image": value}, "image")
    assert caught.value.code == "invalid"


def test_a_file_that_a_frame_cannot_carry_is_refused_with_the_limit() -> None:
    full = base64.b64encode(bytes(MAX_INLINE_BYTES)).decode()
    assert isinstance(media.sent({"image": f"data:image/png;base64,{full}"}, "image")[0], media.Fresh)
    for body in (";base64," + full + "AAAA", "," + "x" * (MAX_INLINE_BYTES + 3), "," + "%41" * 2**20):
        with pytest.raises(Refused) as caught:
            media.sent({"image": f"data:image/png{body}"}, "image")
        assert caught.value.code == "attachment_too_large" and caught.value.extra["limit"] == MAX_INLINE_BYTES


def test_a_data_url_is_stored_first_and_then_named_by_the_message() -> None:
    bench = Bench(attachment_put={"attachment": FILE})
    data = {"groupId": ROOM, "audio": "data:audio/webm;codecs=opus;base64,AAAA", "caption": "listen"}
    assert bench.say("CHAT:SEND_MESSAGE_AUDIO", data) == []
    put, said = bench.asked
    assert put == c.AttachmentPut(data="AAAA", name="audio.webm", type="audio/webm")
    assert said == c.UserMessage(room=ROOM, message="listen", kind="audio", attachment=FILE)
    assert bench.lasts == 1


def test_a_file_is_shown_by_its_capability_under_the_name_of_the_node() -> None:
    bench = Bench()
    file = {"id": FILE, "name": "a.png", "type": "image/png", "size": 9, "state": "ready", "url": "/f?cap=c"}
    (frame,) = bench.show(message("", kind="image", attachment=file))
    assert frame.name == "CHAT:MESSAGE_RETURN_IMAGE"
    shown = {key: frame.args[0][key] for key in ("url", "mime", "size", "fileName", "attachmentId", "state")}
    assert shown == {
        "url": f"{BASE}/f?cap=c", "mime": "image/png", "size": 9, "fileName": "a.png", "attachmentId": FILE,
        "state": "ready",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "type_", "word"),
    [
        ("file", "image/gif", "GIF"), ("text", "image/webp", "IMAGE"), ("file", "audio/ogg", "AUDIO"),
        ("gif", "video/mp4", "GIF"), ("file", "text/plain", "TEXT"), ("file", None, "TEXT"),
    ],
)  # fmt: skip
def test_a_file_of_another_dialect_is_shown_by_its_type(kind: str, type_: str | None, word: str) -> None:
    file = {"id": FILE, "name": "a", "type": type_, "size": 9, "state": "ready", "url": "/f"}
    (frame,) = Bench().show(message("see", kind=kind, attachment=file))
    assert frame.name == f"CHAT:MESSAGE_RETURN_{word}"
    assert frame.args[0]["text"] == ("[file] a (9 bytes) see" if word == "TEXT" else "see")


def test_a_picture_that_nobody_can_find_is_a_line() -> None:
    bench = Bench()
    assert told(bench.show(message("", kind="image"))) == [("MESSAGE_RETURN_TEXT", "[image]")]
    assert told(bench.show(message("a cat", FILE[::-1], kind="gif"))) == [("MESSAGE_RETURN_TEXT", "a cat")]


def test_an_address_elsewhere_is_a_picture_for_the_frontend_alone_that_sent_it() -> None:
    bench, address = Bench(), "https://example.org/a.gif"
    bench.say("CHAT:SEND_MESSAGE_GIF", {"groupId": ROOM, "gif": address})
    assert bench.asked == [c.UserMessage(room=ROOM, message=address, kind="gif")]
    own = msgspec.structs.replace(message(address, kind="gif", remote=True, user_id=ME), mine=True)
    assert bench.show(own)[0].name == "CHAT:MESSAGE_RETURN_GIF"
    (told_elsewhere,) = Bench().show(own)
    (theirs,) = bench.show(message(address, OTHER, kind="gif", remote=True))
    for frame in (told_elsewhere, theirs):
        assert frame.name == "CHAT:MESSAGE_RETURN_TEXT" and frame.args[0]["remote"]
        assert not {"url", "gif"} & frame.args[0].keys()


def test_a_message_comes_once_more_when_its_file_is_here() -> None:
    bench = Bench()
    file = {"id": FILE, "name": "a", "type": "image/png", "size": 9, "state": "pending", "url": "/f"}
    bench.show(message("", kind="image", attachment=file))
    ready = events.Attachment(id=FILE, room=ROOM, name="a", state="ready", received=9, size=9, url="/f2")
    assert bench.show(msgspec.structs.replace(ready, state="progress")) == []
    (again,) = bench.show(ready)
    assert (
        again.args[0]["updated"]
        and again.args[0]["url"] == f"{BASE}/f2"
        and again.args[0]["state"] == "ready"
    )
    assert bench.show(ready) == []


def test_a_file_that_a_page_shows_as_pending_comes_again_too() -> None:
    file = {"id": FILE, "name": "a", "type": "image/png", "size": 9, "state": "pending", "url": "/f"}
    page = [stored(message("", kind="image", attachment=file))]
    bench = Bench(history_get={"messages": page, "more": False})
    bench.say("CHAT:GET_INIT_MESSAGES", ROOM)
    failed = events.Attachment(id=FILE, room=ROOM, name="a", state="failed", received=0, size=9, why="lost")
    assert bench.show(failed)[0].args[0]["state"] == "failed"


# -- what is asked --------------------------------------------------------------------------------


def test_a_live_message_needs_no_command() -> None:
    bench = Bench()
    assert told(bench.show(message())) == [("MESSAGE_RETURN_TEXT", "Hello")]
    assert bench.asked == []


def test_a_stranger_is_asked_for_once_and_so_is_an_unknown_room() -> None:
    eve = "9" * 36
    bench = Bench(room_get=facts(OTHER, visibility="direct"))
    bench.answers["profile_get"] = profile(eve, "eve")
    first, second = (message("a", ident, user_id=eve, room=OTHER) for ident in (FILE, OTHER))
    (frame,) = bench.show(first)
    assert frame.args[0]["direct"] and frame.args[0]["user"]["name"] == "Eve"
    assert [c.name_of(one) for one in bench.asked] == ["profile_get", "room_get"]
    bench.show(second)
    assert len(bench.asked) == 2


def test_sends_are_last_commands_so_that_the_next_frame_need_not_wait() -> None:
    bench = Bench(user_join={"room": ROOM, "state": "joining", "name": "tea"})
    for name in (
        "CHAT:START_TYPING",
        "CHAT:STOP_TYPING",
        "GROUP:DELETE_GROUP",
        "GROUP:LEAVE_GROUP",
        "GROUP:JOIN_GROUP",
    ):
        assert bench.say(name, ROOM) == []
    bench.say("CHAT:SEND_MESSAGE_TEXT", {"id": ROOM, "text": "a", "nonce": "n"})
    bench.say("GROUP:ADD_GROUP", "tea")
    assert bench.lasts == len(bench.asked) == 7
    assert bench.asked[:2] == [c.TypingSet(room=ROOM), c.TypingSet(room=ROOM, typing=False)]
    assert bench.asked[-2:] == [
        c.UserMessage(room=ROOM, message="a", nonce="n"), c.RoomCreate(name="tea", visibility="open"),
    ]  # fmt: skip


def test_of_an_open_group_it_is_said_that_it_is_confidential_to_nobody() -> None:
    bench = Bench(room_create={"room": OTHER, "notice": "all see it"})
    assert told(bench.say("GROUP:ADD_GROUP", "tea")) == [("MESSAGE_RETURN_TEXT", "[notice] all see it")]
    bench.answers["user_join"] = {"room": OTHER, "state": "joining", "name": "tea", "notice": "all see it"}
    assert told(bench.say("GROUP:JOIN_GROUP", OTHER)) == [("MESSAGE_RETURN_TEXT", "[notice] all see it")]


def test_the_owner_says_what_rooms_are_made() -> None:
    bench = Bench(rooms="private")
    bench.say("GROUP:ADD_GROUP", {"group": {"name": "tea"}})
    assert bench.asked == [c.RoomCreate(name="tea", visibility="private")]


def test_what_comes_while_a_page_is_read_stands_on_it_and_is_not_told_twice() -> None:
    bench = Bench()
    late = message("late", OTHER, ts_ms=9_000)

    def history(_asked: c.Command) -> dict[str, Any]:
        bench.show(late)  # after the page was read, before it is given
        return {"messages": [stored(message())], "more": False}

    bench.answers["history_get"] = history
    (page,) = bench.say("CHAT:GET_INIT_MESSAGES", {"id": ROOM})
    assert [one["text"] for one in page.args[0]["messages"]] == ["Hello", "late"]
    assert bench.show(message()) == []
    assert len(bench.show(message())) == 1
    assert bench.adapter.memory.readings == []
    bench.answers["history_get"] = Refused("busy", "later")
    assert bench.say("CHAT:GET_INIT_MESSAGES", ROOM)[0].args[0]["code"] == "busy"
    assert bench.adapter.memory.readings == []


def test_a_page_of_a_conversation_of_two_says_so_and_one_of_a_group_does_not() -> None:
    page = {"messages": [stored(message())], "more": False}
    for visibility in ("direct", "private"):
        bench = Bench(room_list={"rooms": [row(visibility=visibility)]}, history_get=page)
        (told_of,) = bench.say("CHAT:GET_INIT_MESSAGES", ROOM)
        assert told_of.args[0]["messages"][0]["direct"] is (visibility == "direct")


def test_before_the_vault_is_open_it_asks_again_by_itself() -> None:
    locked = Refused("locked", "the vault is locked")
    bench = Bench(profile_get=locked)
    (fault,) = bench.say("USER:REFRESH_PROFILE")
    assert fault.args[0]["code"] == "locked" and fault.args[0]["request_type"] == "USER:REFRESH_PROFILE"
    bench.answers["profile_get"] = profile()
    bench.show(events.Connectivity(state="meshed"))
    assert bench.adapter.memory.loaded and bench.adapter.memory.user_id == ME
    assert bench.say("USER:REFRESH_PROFILE")[0].args[0]["userId"] == ME


def test_a_lock_is_told() -> None:
    assert Bench().show(events.Connectivity(state="locked"))[0].args[0]["code"] == "locked"


# -- bounds and spelling --------------------------------------------------------------------------


def test_what_is_remembered_is_bounded() -> None:
    bench, kept = Bench(), Bench().adapter.memory
    for number in range(memories.MAX_GROUPS + 50):
        room = f"{number:08x}{ROOM[8:]}"
        bench.show(events.RoomListed(room=room, name="n", members=1, listed=True))
        bench.show(events.Profile(username="x", user_id=room, nickname="x"))
    kept = bench.adapter.memory
    file = {"name": "a", "type": "image/png", "size": 9, "state": "pending", "url": "/f"}
    for number in range(memories.MAX_PENDING + 50):
        kept.await_file(message(attachment={**file, "id": str(number)}))
    for number in range(memories.MAX_ADDRESSES + 50):
        bench.say("CHAT:SEND_MESSAGE_GIF", {"id": ROOM, "gif": f"https://example.org/{number}"})
    assert len(kept.addresses) == memories.MAX_ADDRESSES
    kept.give(str(number) for number in range(memories.MAX_GIVEN + 50))
    assert len(kept.groups) == memories.MAX_GROUPS and len(kept.people) == memories.MAX_PEOPLE
    assert len(kept.pending) == memories.MAX_PENDING and len(kept.given) == memories.MAX_GIVEN
    reading = kept.begin(ROOM)
    for _ in range(memories.MAX_CAME + 50):
        kept.show(ROOM, {})
        kept.show(OTHER, {})
    assert len(reading.came) == memories.MAX_CAME


@pytest.mark.parametrize(
    "frame",
    [
        b"{}", "", "x", "[]", "7", "null", "{}", '{"type":null}', '{"type":7}', '{"type":["a"]}',
        "[" * 100_000, '{"type":"a","data":NaN}', '{"type":"a","data":1e999}', '{"type":"\\ud800"}',
        '{"type":"a\ud800"}',
        '{"type":"a","data":' + "[" * 32 + "]" * 32 + "}",
    ],
)  # fmt: skip
def test_what_is_no_frame_is_refused(frame: str | bytes) -> None:
    with pytest.raises(FrameRefused) as caught:
        Spelling().decode(frame)
    assert caught.value.code == "bad_frame" and caught.value.malformed


def test_a_frame_is_an_object_of_type_and_data() -> None:
    spelling = Spelling()
    assert spelling.decode('{"type":"A:B","data":{"id":1},"more":2}') == Call("A:B", ({"id": 1},))
    assert spelling.decode('{"type":"A:B"}') == Call("A:B", (None,))
    deep = '{"type":"a","data":' + "[" * 31 + "]" * 31 + "}"
    wide = '{"type":"a","data":[' + '[7,{"a":null}],' * 40 + "{}]}"
    assert spelling.decode(deep).name == spelling.decode(wide).name == "a"
    assert spelling.encode(Frame("A:B", ({"text": "é\x00"},))) == '{"type":"A:B","data":{"text":"é\\u0000"}}'


def test_a_time_that_no_calendar_has_is_no_fault() -> None:
    (frame,) = Bench().show(message(ts_ms=2**62))
    assert frame.args[0]["createdAt"] is None and frame.args[0]["ts_ms"] == 2**62


def test_optional_keys_are_there_where_they_apply() -> None:
    reacted = [events.Reacted(emoji="👍", count=1)]
    full = message(history=True, gap=True, mentioned=True, reactions=reacted, expires_ms=9, edited=True)
    (frame,) = Bench().show(full)
    data = frame.args[0]
    assert (
        data["history"] and data["gap"] and data["mentioned"] and data["expires_ms"] == 9 and data["edited"]
    )
    assert data["reactions"] == [{"emoji": "👍", "count": 1, "users": [], "self": False}]
    (bare,) = Bench().show(message())
    assert not {"history", "gap", "mentioned", "reactions", "expires_ms"} & bare.args[0].keys()
    assert UNSET not in bare.args[0].values()


def test_every_row_of_the_protocol_is_understood_played_and_described() -> None:
    root = Path(__file__).parents[3]
    folder = root / "tests" / "transcripts" / "groups_001"
    page = (root / "docs" / "dialects" / "groups_001.md").read_text("utf-8")
    rows = [line.split(" : ") for line in (folder / "rows.txt").read_text("utf-8").splitlines()]
    names = {"> ": set[str](), "< ": set[str]()}
    for row_of, file in rows:
        text = (folder / f"{file}.txt").read_text("utf-8")
        mark, name = row_of[:2], row_of[2:]
        if mark in names:
            names[mark].add(name)
            assert f'{mark}{{"type":"{name}"' in text and f"`{name}`" in page, name
    assert names["> "] == ASKED.keys() and len(names["< "]) == 14
