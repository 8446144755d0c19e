"""How people, chats, messages and notices look in the events protocol."""

from __future__ import annotations

from typing import Any

import pytest

from node.bridge.dialects.live_003 import shapes
from node.bridge.dialects.live_003.shapes import Chat
from node.chat import events

ROOM = "0d8b5f7e-4f5b-4d7c-9d0c-9a3d5c1b7e42"
PAIR = Chat("c", "bob", direct=True)
GROUP = Chat(ROOM, "tea", direct=False)
FILE = {"name": "a.png", "state": "ready", "url": "/api/v1/attachments/x?cap=y"}


def message(**keys: Any) -> events.UserMessage:
    base = {
        "username": "bob", "timestamp": 1, "message": "hi", "room": "c", "id": "i", "user_id": "u-bob",
        "ts_ms": 1_730_736_486_123,
    }  # fmt: skip
    return events.UserMessage(**{**base, **keys})


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (1_730_736_486_123, "2024-11-04T16:08:06.123Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (-5, "1970-01-01T00:00:00.000Z"),
        (2**62, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_iso_8601_and_no_time_breaks_anything(ms: int, text: str) -> None:
    assert shapes.iso(ms) == text


@pytest.mark.parametrize(
    ("avatar", "url"),
    [
        (None, ""),
        ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
        (ROOM, f"http://h/api/v1/attachments/{ROOM}"),
        ("🫖", ""),
        ("https://cats.example/1.png", ""),
        ("javascript:alert(1)", ""),
        ("----" + "x" * 32, "http://h/api/v1/attachments/----" + "x" * 32),
        ("data:text/html,<script>", ""),
    ],
)
def test_a_picture_is_a_data_url_or_one_of_this_node(avatar: str | None, url: str) -> None:
    assert shapes.avatar_url(avatar, "http://h") == url


@pytest.mark.parametrize(
    ("keys", "chat", "content"),
    [
        ({}, PAIR, "hi"),
        ({}, GROUP, "bob: hi"),
        ({"mine": True}, GROUP, "hi"),
        ({"deleted": True, "message": ""}, GROUP, "bob: [deleted]"),
        ({"edited": True, "reply_to": "x", "gap": True}, PAIR, "[gap] [edited] [reply] hi"),
        ({"ttl": 60}, PAIR, "[disappears] hi"),
        ({"kind": "gif", "message": "https://g"}, PAIR, "[gif] https://g"),
        ({"kind": "unreadable", "message": "", "missing": 3, "why": "x"}, PAIR, "[unreadable] 3"),
        ({"kind": "file", "attachment": FILE}, PAIR, "[file] a.png http://h/api/v1/attachments/x?cap=y hi"),
        ({"attachment": FILE, "message": ""}, PAIR, "[file] a.png http://h/api/v1/attachments/x?cap=y"),
        (
            {"kind": "audio", "message": "", "attachment": {**FILE, "url": None, "state": "failed"}},
            PAIR,
            "[audio] a.png (failed)",
        ),
    ],
)
def test_what_a_message_has_beyond_words_stands_before_them(
    keys: dict[str, Any], chat: Chat, content: str
) -> None:
    assert shapes.content_of(message(**keys), chat, "http://h") == content


@pytest.mark.parametrize(
    ("count", "users", "liked"),
    [(0, [], False), (1, ["u-bob"], False), (2, ["u-bob"], True), (1, ["u"], True)],
)
def test_a_message_is_liked_when_anybody_but_its_author_likes_it(
    count: int, users: list[str], liked: bool
) -> None:
    who = [events.Mention(user_id=user) for user in users]
    likes = events.Reacted(emoji="👍", count=count, users=who)
    other = events.Reacted(emoji="😂", count=5)
    assert shapes.is_liked(message(reactions=[other, likes])) is liked
    item = shapes.message_item(message(reactions=[other, likes]), PAIR, "", is_read=True)
    assert item == {
        "id": "i", "content": "hi", "date": "2024-11-04T16:08:06.123Z", "sender": "bob", "is_read": True,
        "is_liked": liked,
    }  # fmt: skip
    assert shapes.is_liked(message()) is False


def test_a_group_stands_for_a_person_whose_username_is_its_id() -> None:
    row = {"room": ROOM, "name": "tea", "visibility": "open"}
    assert shapes.chat_of(row) == GROUP and GROUP.username == ROOM and PAIR.username == "bob"


@pytest.mark.parametrize(
    ("kind", "data", "action", "shown"),
    [
        ("contact", {"state": "added", "nickname": "Bob"}, "new_friend", {"nickname": "Bob"}),
        (
            "contact",
            {"state": "requested", "nickname": None},
            "new_friend",
            {"nickname": "[friend request] bob"},
        ),
        ("mention", {"text": "hey", "nickname": "Bob"}, "new_friend", {"nickname": "[mention] Bob: hey"}),
        (
            "invite",
            {"kind": "game", "state": "open", "nickname": "Bob"},
            "game_invite",
            {"username": "bob", "nickname": "Bob", "status": "pending"},
        ),
        (
            "invite",
            {"kind": "room", "room": ROOM, "room_name": "tea", "state": "decline"},
            "game_invite",
            {"username": ROOM, "nickname": "[room tea] bob", "status": "declined"},
        ),
        (
            "announcement",
            {"announcement": "a", "text": "moved", "data": {"tournament_id": "x", "alias": "eve"}},
            "new_tournament",
            {"tournament_id": "a", "tournament_name": "[announcement] moved", "alias": "bob"},
        ),
        (
            "tournament",
            {
                "announcement": "a",
                "text": "The cup",
                "data": {"tournament_id": 7, "creator": "c", "status": []},
            },
            "new_tournament",
            {"tournament_id": "7", "tournament_name": "The cup", "creator": "c", "alias": "c"},
        ),
    ],
)
def test_a_notification_is_one_of_three_actions(
    kind: str, data: dict[str, Any], action: str, shown: dict[str, Any]
) -> None:
    row = {"id": "n", "kind": kind, "data": {"username": "bob", **data}, "date": 1, "is_read": False}
    item = shapes.notification_item(row, "pic")
    assert (item["action"], item["date"]) == (action, "1970-01-01T00:00:01.000Z")
    assert {key: item["data"][key] for key in shown} == shown
    assert ("avatar" in item["data"]) is (action != "new_tournament")


@pytest.mark.parametrize("strange", [None, [], {}, True, 1.5, {"tournament_name": ["x"]}, "x"])
def test_what_a_peer_puts_beside_a_tournament_breaks_nothing_and_has_an_end(strange: Any) -> None:
    told = {"announcement": "a", "text": "t", "data": strange}
    assert shapes.tournament(told, "Bob")["tournament_name"] == "t"
    inside = {"announcement": "a", "text": "t", "data": {"tournament_name": "x" * 5000, "alias": strange}}
    shown = shapes.tournament(inside, "Bob")
    assert len(shown["tournament_name"]) == shapes.MAX_WORD
    assert shown["alias"] == ("x" if strange == "x" else "Bob")


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("open", "pending"),
        ("accept", "accepted"),
        ("ignore", "cancelled"),
        ("expired", "cancelled"),
        (None, "cancelled"),
    ],
)
def test_an_invite_stands_in_one_of_four_ways(state: object, status: str) -> None:
    assert shapes.status_of(state) == status
