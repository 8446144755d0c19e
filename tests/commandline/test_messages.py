"""`gossamer message ...`, and how what was said and what changed is shown."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC
from typing import Any

import pytest

from node.commandline.chat import event_lines, message_lines
from node.errors import Refused

from .conftest import CLUB, Scripted

Exits = Callable[..., tuple[int, str, str]]
MID = "0d8b5f7e-4f5b-4d7c-9d0c-9a3d5c1b7e42"
OTHER = "0d8b5f7e-ffff-4d7c-9d0c-9a3d5c1b7e42"
EVIL = "\x1b]0;x\x07\u202e"


def test_a_message_is_edited_deleted_and_reacted_to(node: Scripted, gossamer_exits: Exits) -> None:
    node.answers["history_get"] = {"messages": [{"id": MID, "message": "x"}], "more": False}
    node.answers["message_edit"] = {"room": CLUB, "id": MID, "edited_ms": 7}
    code, out, _ = gossamer_exits("--json", "message", "edit", "club", MID[:8], "better")
    assert (code, json.loads(out)) == (0, {"room": CLUB, "id": MID, "edited_ms": 7})
    for words in (
        ("delete", "club", MID),
        ("react", "club", MID, "like"),
        ("react", "club", MID, "x", "--off"),
    ):
        code, out, _ = gossamer_exits("message", *words)
        assert (code, out) == (0, "")
    place = {"room": CLUB, "id": MID}
    asked = [pair for pair in node.asked if pair[0] not in {"room_list", "history_get"}]
    assert asked == [
        ("message_edit", {**place, "message": "better"}),
        ("message_delete", place),
        ("reaction_set", {**place, "emoji": "like", "on": True}),
        ("reaction_set", {**place, "emoji": "x", "on": False}),
    ]


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("forbidden", 4), ("message_not_found", 6), ("message_deleted", 7), ("invalid", 2)],
)
def test_a_refusal_has_its_exit_code(
    node: Scripted, gossamer_exits: Exits, code: str, exit_code: int
) -> None:
    node.answers["message_edit"] = Refused(code, "no")
    assert gossamer_exits("message", "edit", "club", MID, "x")[0] == exit_code


def test_the_beginning_of_an_id_means_one_of_the_newest_messages(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.answers["history_get"] = {"messages": [{"id": MID}, {"id": OTHER}], "more": False}
    assert gossamer_exits("message", "delete", "club", MID[:8])[0] == 7
    assert gossamer_exits("message", "delete", "club", "ffffffff")[0] == 6
    assert "message_delete" not in [command for command, _ in node.asked]


def test_send_says_what_it_answers_how_long_it_lives_and_of_what_kind_it_is(
    node: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n"))
    more = ("--reply-to", MID, "--ttl", "2h", "--kind", "gif")
    assert gossamer_exits("send", "club", "-", *more)[0] == 0
    sent = {"room": CLUB, "message": "hello", "reply_to": MID, "ttl": 7200, "kind": "gif"}
    assert node.asked[-1] == ("user_message", sent)
    assert gossamer_exits("send", "club", "x", "--ttl", "soon")[0] == 2


def test_history_shows_the_ids_that_commands_take(node: Scripted, gossamer_exits: Exits) -> None:
    told = {"id": MID, "username": "bob", "message": "one\ntwo", "timestamp": 0}
    node.answers["history_get"] = {"messages": [told], "more": False}
    _, out, _ = gossamer_exits("history", "club", "--ids")
    first, second = out.splitlines()
    assert first.startswith(MID[:8]) and second.startswith(" " * 8)


def test_what_became_of_a_message_is_seen_beside_it() -> None:
    event: dict[str, Any] = {"username": "bob", "timestamp": 1730736486, "message": "one\ntwo"}
    shown = {"emoji": "\N{CAT}", "count": 2}
    lines = message_lines({**event, "edited": True, "reply_to": MID, "reactions": [shown]}, UTC)
    assert lines == [
        "16:08  bob: (to 0d8b5f7e) one",
        "       two  (edited)",
        "       \N{CAT} 2",
    ]
    assert message_lines({**event, "message": "", "deleted": True}, UTC) == ["16:08  bob: (deleted)"]
    assert message_lines({**event, "kind": "image", "message": "a.png"}, UTC) == ["16:08  bob: [image] a.png"]


def test_changes_are_told_in_a_chat() -> None:
    about = {"id": MID, "username": "bob", "room": "r"}
    assert event_lines({**about, "event": "message_edited", "message": "new\nline"}, {}) == [
        "* bob edited 0d8b5f7e: new",
        "       line",
    ]
    gone = {**about, "event": "message_deleted"}
    assert event_lines({**gone, "reason": "moderated"}, {}) == ["* bob deleted message 0d8b5f7e"]
    assert event_lines({**gone, "reason": "expired"}, {}) == ["* message 0d8b5f7e has expired"]
    reaction = {**about, "event": "reaction", "emoji": "\N{CAT}"}
    assert event_lines({**reaction, "on": True}, {}) == ["* bob reacts to 0d8b5f7e: \N{CAT}"]
    assert event_lines({**reaction, "on": False}, {}) == ["* bob takes back \N{CAT}"]


def test_nothing_that_changes_a_message_puts_an_escape_on_the_screen() -> None:
    keys = ("username", "message", "id", "reason", "emoji", "kind", "reply_to")
    evil: dict[str, Any] = dict.fromkeys(keys, EVIL)
    for kind in ("user_message", "message_edited", "message_deleted", "reaction"):
        for on in (True, False):
            more = {"on": on, "deleted": on, "edited": True, "reactions": [{"emoji": EVIL, "count": 1}]}
            lines = event_lines({"event": kind, "room": "r", **evil, **more}, {})
            assert lines
            assert not any(char in line for line in lines for char in "\x1b\x07\u202e")
