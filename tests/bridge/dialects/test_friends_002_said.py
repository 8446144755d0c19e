"""What a frontend of the friends protocol says, as commands."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from node.bridge.dialects.friends_002 import NAMES, memory, words
from node.chat import commands as c, events
from node.errors import Refused
from tests.bridge.dialects.friends_bench import (
    BOB,
    CAROL,
    DIRECT,
    ID,
    OLD,
    ROOM,
    Bench,
    Node,
    contact,
    message,
    route,
    stored,
)


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


def met(bench: Bench, **others: Any) -> None:
    """Show that a room is somebody's of whom nothing was known, and who is found under which name."""
    people = {CAROL: {"user_id": CAROL, "room": DIRECT}, **others}

    def profile(asked: c.ProfileGet) -> dict[str, Any]:
        if asked.username not in people:
            raise Refused("unknown_user", "no")
        return people[asked.username]

    route(bench.node, c.ProfileGet, profile)
    bench.show(events.ContactUpdated(username="dan", user_id=CAROL, seq=1))


def test_a_name_that_is_new_for_somebody_unknown_ends_what_their_old_one_stood_for() -> None:
    for others in ({}, {"bob": {"user_id": BOB, "room": None}}):
        bench = Bench()
        bench.say("new message", {"chat_id": "bob", "content": "hi"})
        met(bench, **others)
        [(_, (told,))] = bench.told(message(OLD, room=DIRECT))
        assert told["chat_id"] == DIRECT
        bench.say("new message", {"chat_id": "bob", "content": "hi"})
        assert [one.username for one in bench.node.asked if isinstance(one, c.DmOpen)] == ["bob"]


def test_whoever_is_met_takes_no_name_from_a_chat_that_is_not_theirs_or_theirs_by_another_name() -> None:
    for others in ({"bob": {"user_id": CAROL}}, {CAROL: {"user_id": CAROL, "room": None}}):
        bench = Bench()
        bench.say("new message", {"chat_id": "bob", "content": "hi"})
        met(bench, **others)
        [(_, (told,))] = bench.told(message(OLD, room=DIRECT))
        assert told["chat_id"] == "bob"


def test_only_an_id_that_looks_unique_keeps_a_message_from_being_sent_twice() -> None:
    bench = Bench()
    for own in ("1", "x" * 15, "y" * 16, 7):
        bench.say("new message", {"chat_id": ROOM, "content": "hi", "id": own})
    sent = [one.nonce for one in bench.node.asked if isinstance(one, c.UserMessage)]
    assert sent == [None, None, "y" * 16, None]


def test_a_status_is_for_friends_who_are_not_blocked() -> None:
    bench = Bench()
    bench.node.contacts.append(contact(CAROL, "carol", blocked=True))
    assert bench.say("set status", "tea", ["bob"])["told"] == ["bob"]
    assert bench.say("set status", "tea", [BOB, "nobody"])["told"] == ["bob"]
    assert bench.say("set status", "tea", ["carol"])["left_out"] == ["bob"]
    assert bench.say("set status", "tea", ["bob"] * 4_097)["error"] == "invalid"


def test_a_status_that_is_so_already_is_fine_whoever_is_named_for_nobody_has_to_be_told() -> None:
    bench = Bench()
    for friends in (["carol"], []):
        assert bench.say("set status", "online", friends) == {"ok": True, "status": "online", "told": []}
    assert bench.say("set status", "tea", ["carol"])["error"] == "not_supported"
    assert bench.say("set status", "away", ["carol"])["error"] == "not_supported"
    bench.node.presence = "offline"
    assert bench.say("set status", "offline", ["carol"])["ok"]
    assert not [one for one in bench.node.asked if isinstance(one, c.PresenceSet)]


def test_whoever_names_the_friends_that_connecting_was_answered_with_names_all() -> None:
    bench = Bench()
    bench.node.contacts = [contact(f"{n:036}", f"p{n}") for n in range(3 * words.LISTED)]
    friends = bench.say("user connect", "ann")["friends"]
    assert bench.say("set status", "tea", friends)["told"] == friends


def test_unread_messages_that_were_told_are_not_told_again_on_joining() -> None:
    bench = Bench()
    bench.node.history = [stored(OLD, "one"), stored(ID, "two")]
    route(bench.node, c.UserJoin, lambda _asked: {
        "room": ROOM, "name": "tea", "unread": 2, "members": [], "state": "joined",
    })  # fmt: skip
    bench.show(message(ID, "two"))
    bench.frames.clear()
    assert len(bench.say("join room", ROOM)["messages"]) == 2
    assert [args[0]["content"] for _, args in bench.frames] == ["one"]
    bench.frames.clear()
    bench.say("join room", ROOM)
    assert not bench.frames


def test_a_chat_is_called_as_the_frontend_called_it_last() -> None:
    bench = Bench()
    for chat in ("bob", DIRECT.upper(), DIRECT):
        assert bench.say("new message", {"chat_id": chat, "content": "hi"})["chat_id"] == chat
        [(_, (told,))] = bench.told(message(OLD, room=DIRECT))
        assert (told["chat_id"], told["room"]) == (chat, DIRECT)


def test_a_page_of_history_stays_under_what_may_wait_for_a_frontend() -> None:
    bench = Bench("owner")
    bench.node.history = [stored(f"{n:08}{ID[8:]}", "\x01" * 16_384) for n in range(words.HISTORY)]
    route(bench.node, c.UserJoin, lambda _asked: {
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

    route(bench.node, c.ContactRequest, request)
    told = bench.say("new friend request", "carol")
    assert told == {"ok": True, "other_username": "carol", "state": "requested"}
    assert asked == ["carol", CAROL]
    bench.node.found.append({"username": "carol", "nickname": None, "user_id": BOB})
    both = bench.say("new friend request", "carol")
    assert both["error"] == "ambiguous_user"
    assert [row["user_id"] for row in both["candidates"]] == [CAROL, BOB]
    bench.node.found.clear()
    assert bench.say("new friend request", "carol")["error"] == "unknown_user"


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
    route(bench.node, c.HistoryGet, lambda _asked: {"messages": [], "more": False})
    looked: list[str] = []

    def history(asked: c.HistoryGet) -> dict[str, Any]:
        looked.append(asked.room)
        raise Refused("message_not_found", "no")

    route(bench.node, c.HistoryGet, history)
    assert bench.say("delete message", OLD)["error"] == "message_not_found"
    assert len(looked) == words.MAX_SOUGHT
    last = bench.node.rooms[-1]["room"]
    route(bench.node, c.UserJoin, lambda _asked: {
        "room": last, "name": "r", "unread": 0, "members": [], "state": "joined",
    })  # fmt: skip
    route(bench.node, c.HistoryGet, lambda _asked: {"messages": [], "more": False})
    bench.say("join room", last)
    route(bench.node, c.HistoryGet, history)
    looked.clear()
    bench.say("delete message", OLD)
    assert looked[0] == last


def test_memory_is_bounded() -> None:
    bench = Bench()
    page = bench.adapter._page
    for number in range(memory.MAX_MESSAGES + 10):
        page.told(message(f"{number:08}{ID[8:]}"))
        page.call(f"{number:08}{ROOM[8:]}", f"chat {number}")
        page.invites.put(str(number), ("bob", "tea"))
    assert (len(page.messages), len(page.called)) == (memory.MAX_MESSAGES, memory.MAX_CHATS)
    assert len(page.invites) == memory.MAX_INVITES
