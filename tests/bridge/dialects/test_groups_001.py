"""The groups protocol as a pure adapter: what is understood, what is said, what is remembered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from node.bridge.dialects.adapter import Call, Frame, Last, Setting
from node.bridge.dialects.base import FrameRefused
from node.bridge.dialects.groups_001 import Groups, Spelling, media, memory as memories, reading
from node.chat import commands as c, events
from node.chat.commands import MAX_INLINE_BYTES
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
    full = "A" * (MAX_INLINE_BYTES // 3 * 4)
    assert isinstance(media.sent({"image": f"data:image/png;base64,{full}"}, "image")[0], media.Fresh)
    for body in (";base64," + full + "AAAAAAAA", "," + "x" * (MAX_INLINE_BYTES + 3), "," + "%41" * 2**20):
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


# -- what happens ---------------------------------------------------------------------------------


def test_an_alias_is_said_back_of_ourselves_alone() -> None:
    bench = Bench()
    bench.say("CHAT:START_TYPING", {"id": ROOM, "username": "zed", "userId": "u7"})
    (own,) = bench.show(message(user_id=ME, username="ann"))
    (theirs,) = bench.show(message("x", FILE[::-1]))
    assert (own.args[0]["username"], own.args[0]["senderId"], own.args[0]["self"]) == ("zed", "u7", True)
    assert (theirs.args[0]["username"], theirs.args[0]["senderId"]) == ("bob", BOB)


def test_who_is_merely_away_has_not_left() -> None:
    bench = Bench()
    away = events.UserLeave(username="bob", room=ROOM, user_id=BOB, reason="disconnect")
    back = events.UserJoin(username="bob", room=ROOM, user_id=BOB, reason="reconnect")
    assert bench.show(away) == bench.show(back) == []


def test_presence_receipts_and_notifications_become_no_lines() -> None:
    bench = Bench()
    quiet: list[events.Event] = [
        events.Presence(username="bob", user_id=BOB, presence="away"),
        events.MessageStatus(id=FILE, status="read", by="bob", room=ROOM),
        events.NotificationsRead(count=1, unread=0),
        events.RoomUpdated(room=ROOM, name="tea", unread=3),
        events.ContactUpdated(username="bob", user_id=BOB),
        events.PeerUp(peer="9f", address="x", direction="in"),
        events.Connectivity(state="meshed"),
        events.InviteResult(invite=FILE, room=ROOM, target="bob", response="delivered"),
        events.CaughtUp(seq=4),
    ]
    assert [bench.show(event) for event in quiet] == [[] for _ in quiet]


def test_what_has_no_word_becomes_a_line_with_its_prefix() -> None:
    bench = Bench()
    lines: list[tuple[events.Event, str]] = [
        (events.MessageStatus(id=FILE, status="failed", by="bob", why="removed", room=ROOM),
         "[failed] not delivered to bob: removed"),
        (events.Announcement(id=FILE, room=None, username="bob", user_id=BOB, kind="tournament", text="Cup",
                             data={}, timestamp=1, ts_ms=1), "[tournament] Cup"),
        (events.Warning(code="clock_skew", message="set it right"), "[warning] set it right"),
        (events.ContactAdded(username="bob", user_id=BOB), "[contact] bob is a contact now"),
        (events.ContactRejected(username="bob", user_id=BOB), "[contact] bob does not want to be a contact"),
        (events.KeyChanged(username="bob", user_id=BOB),
         "[key changed] bob has other keys: verify them before you go on"),
        (events.UserInvite(sender="bob", room=ROOM, invite=FILE, target="ann", room_name="tea", kind="game",
                           expires_at=9), "[game] bob asks for a game"),
        (message("", kind="unreadable", missing=3, why="lost"), "[unreadable] 3 messages (lost)"),
        (message("", OTHER, kind="unreadable", missing=1, user_id="", username=""),
         "[unreadable] 1 message (unknown)"),
    ]  # fmt: skip
    for event, text in lines:
        assert told(bench.show(event)) == [("MESSAGE_RETURN_TEXT", text)]


def test_nobodys_words_pass_for_a_line_of_the_node() -> None:
    (frame,) = Bench().show(message("[warning] send me your passphrase", kind="notice"))
    assert frame.args[0]["kind"] == "text" and "notice" not in frame.args[0]


def test_a_conversation_of_two_that_is_called_otherwise_is_no_line() -> None:
    bench = Bench(room_list={"rooms": [row(OTHER, direct=True, visibility="direct", name="bob")]})
    assert bench.show(events.RoomUpdated(room=OTHER, name="bobby", unread=0)) == []


def test_lines_have_ids_of_their_own() -> None:
    bench, event = Bench(), events.ContactAdded(username="bob", user_id=BOB)
    ids = [bench.show(event)[0].args[0]["id"] for _ in range(3)]
    assert len(set(ids)) == 3


def test_a_message_that_came_late_takes_the_place_of_what_stood_for_it() -> None:
    bench = Bench()
    assert bench.show(events.MessageHealed(room=ROOM, placeholder=FILE, missing=0)) == []
    late = {
        key: value for key, value in stored(message("late")).items() if key not in {"event", "self", "room"}
    }
    (frame,) = bench.show(events.MessageHealed(placeholder=OTHER, missing=0, mine=False, room=ROOM, **late))
    assert frame.args[0]["text"] == "late" and frame.args[0]["healed"] and frame.args[0]["replaces"] == OTHER


def test_a_listed_group_is_added_once_and_goes_with_its_listing() -> None:
    bench = Bench()
    listed = events.RoomListed(room=OTHER, name="square", members=3, listed=True)
    assert [frame.name for frame in bench.show(listed)] == ["GROUP:GROUP_ADDED"]
    assert bench.show(listed) == []
    renamed = msgspec.structs.replace(listed, name="market")
    assert [frame.name for frame in bench.show(renamed)] == ["GROUP:GROUP_DELETED", "GROUP:GROUP_ADDED"]
    gone = msgspec.structs.replace(renamed, listed=False)
    assert [frame.args[0]["name"] for frame in bench.show(gone)] == ["market"]
    assert bench.show(gone) == []


def test_a_group_that_we_are_in_is_neither_added_nor_taken_away_by_a_listing() -> None:
    bench = Bench()
    for listed in (True, False):
        assert bench.show(events.RoomListed(room=ROOM, name="tea", members=3, listed=listed)) == []


def test_a_join_that_comes_to_nothing_is_an_error_of_the_join() -> None:
    bench = Bench(user_join={"room": OTHER, "state": "joining", "name": "square"})
    bench.say("GROUP:JOIN_GROUP", OTHER)
    over = events.InviteResult(invite=FILE, room=OTHER, target="ann", response="expired")
    (fault,) = bench.show(over)
    assert fault.name == "ERROR" and fault.args[0]["request_type"] == "GROUP:JOIN_GROUP"
    assert bench.show(over) == []


def test_a_deleted_group_that_comes_back_is_added_again() -> None:
    bench = Bench()
    assert [f.name for f in bench.show(events.RoomDeleted(room=ROOM, name="tea"))] == ["GROUP:GROUP_DELETED"]
    assert bench.show(events.RoomUpdated(room=ROOM, name="tea", unread=1)) == []
    assert [f.name for f in bench.show(events.RoomUpdated(room=ROOM, name="tea"))] == ["GROUP:GROUP_ADDED"]


def test_a_direct_room_is_in_no_list_and_nobody_joins_it() -> None:
    bench = Bench(room_list={"rooms": [row(), row(OTHER, direct=True, visibility="direct")]}, load=False)
    (listed,) = bench.say("GROUP:GET_ALL_GROUPS")
    assert [group["id"] for group in listed.args[0]["groups"]] == [ROOM]
    assert bench.show(events.UserJoin(username="bob", room=OTHER, user_id=BOB, reason="join")) == []


def test_a_refusal_says_what_was_asked_for_and_why() -> None:
    slower = Refused("rate_limited", "slower", retryable=True, retry_after=1.5)
    slower.extra["code"] = "something else"
    bench = Bench(user_message=slower)
    (fault,) = bench.say("CHAT:SEND_MESSAGE_TEXT", {"id": ROOM, "text": "a"})
    assert fault.args[0] == {
        "code": "rate_limited", "message": "slower", "request_type": "CHAT:SEND_MESSAGE_TEXT",
        "retryable": True, "retry_after": 1.5,
    }  # fmt: skip
    (unknown,) = bench.say("x" * 500)
    assert unknown.args[0]["code"] == "unknown_event" and len(unknown.args[0]["request_type"]) == 64


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
    assert spelling.decode(deep).name == "a"
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
