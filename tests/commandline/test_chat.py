from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC

import pytest

from node.commandline.chat import event_lines, message_lines

from .conftest import CLUB, OFFER, Scripted

Exits = Callable[..., tuple[int, str, str]]


def test_what_cannot_be_read_is_told_and_so_is_what_came_late() -> None:
    event = {"event": "user_message", "timestamp": 1730736486, "username": "b\x1b[2Job", "message": ""}
    missing = {**event, "kind": "unreadable", "missing": 3, "why": "lost", "gap": True}
    assert event_lines(missing, {}, UTC) == ["16:08  (3 messages of b\\x1b[2Job cannot be read yet)"]
    unknown = {**missing, "missing": 1, "username": "", "why": "unknown"}
    assert message_lines(unknown, UTC) == ["16:08  (a message that others had seen cannot be read yet)"]
    late = {**event, "event": "message_healed", "id": "x", "message": "hi\x1b[2J", "missing": 0}
    assert event_lines(late, {}, UTC) == ["* came late: 16:08  b\\x1b[2Job: hi\\x1b[2J"]
    assert event_lines({"event": "message_healed", "room": "r", "missing": 0}, {}) == []


def test_a_message_is_shown_with_time_name_and_indented_lines() -> None:
    event = {"username": "bob", "timestamp": 1730736486, "message": "one\ntwo"}
    assert message_lines(event, UTC) == ["16:08  bob: one", "       two"]
    assert message_lines({**event, "gap": True}, UTC)[0] == "(something before this is missing)"


def test_no_event_puts_a_peer_s_escape_on_the_screen() -> None:
    evil = "\x1b]0;x\x07\u202e"
    keys = ("username", "message", "sender", "room_name", "response", "invite", "reason", "state")
    for kind in (
        "user_message",
        "user_join",
        "user_leave",
        "user_invite",
        "invite_result",
        "contact_added",
        "contact_requested",
        "contact_request_cancelled",
        "contact_rejected",
        "contact_removed",
        "warning",
    ):
        lines = event_lines({"event": kind, "room": "r", **dict.fromkeys(keys, evil)}, {"r": evil})
        assert lines
        assert not any(char in line for line in lines for char in "\x1b\x07\u202e")


def test_events_that_say_nothing_to_a_person_are_not_shown() -> None:
    assert event_lines({"event": "caught_up", "seq": 4}, {}) == []
    assert event_lines({"event": "from_the_future"}, {}) == []


def test_chat_shows_history_then_sends_each_line_and_obeys_slash_commands(
    node: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.answers["history_get"] = {
        "messages": [{"id": "m", "username": "bob", "message": "old"}],
        "more": False,
    }
    monkeypatch.setattr(
        "sys.stdin", io.StringIO("hello\n\n//slash\n/accept\n/who\n/nonsense\n/quit\nnever\n")
    )
    monkeypatch.setattr(Scripted, "events", silent)
    code, out, err = gossamer_exits("chat", "club")
    assert code == 0
    assert "bob: old" in out
    assert "  bob  offline" in out
    assert "/quit" in err
    said = [keys["message"] for command, keys in node.asked if command == "user_message"]
    assert said == ["hello", "/slash"]
    assert ("user_invite_response", {"response": "accept", "invite": OFFER}) in node.asked


async def silent(self: Scripted):  # type: ignore[no-untyped-def]
    """No event ever comes."""
    import asyncio

    await asyncio.Event().wait()
    yield {}


def test_chat_without_a_room_takes_the_only_one(
    node: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert gossamer_exits("chat")[0] == 7
    del node.answers["room_list"]["rooms"][1]
    node.answers["history_get"] = {"messages": []}
    assert gossamer_exits("chat")[0] == 0
    assert ("history_get", {"room": CLUB, "limit": 20}) in node.asked
    node.answers["room_list"]["rooms"].clear()
    code, _, err = gossamer_exits("chat")
    assert code == 6 and "invite accept" in err
    node.answers["invite_list"]["invites"].clear()
    code, _, err = gossamer_exits("chat")
    assert code == 6 and "room create NAME" in err


def test_tail_prints_one_object_a_line(node: Scripted, gossamer_exits: Exits) -> None:
    node.events_to_give = [
        {"event": "user_join", "seq": 1},
        {"event": "user_message", "message": "a\x9bb", "seq": 2},
    ]
    code, out, _ = gossamer_exits("tail")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == node.events_to_give
    assert "\x9b" not in out
