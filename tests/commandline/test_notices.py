"""`gossamer notification`, `announce` and invites to a game: what is asked of the node, and what is shown."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from node.commandline.chat import event_lines
from node.commandline.notices import KINDS, announcement_lines, notice_lines, said
from node.errors import Refused

from .conftest import BOB, CLUB, Scripted

Exits = Callable[..., tuple[int, str, str]]
EVIL = "\x1b]0;x\x07\u202e"
TEXT = f"a{EVIL}\nb"
ONE, TWO = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"


def row(id_: str, what: str = "mention", **data: Any) -> dict[str, Any]:
    data = {"username": "bob", "text": "look", "room": CLUB, "room_name": "club", **data}
    return {"id": id_, "kind": what, "data": data, "date": 0, "is_read": False, "withdrawn": False}


def test_notifications_are_listed_with_what_they_say_made_harmless(
    node: Scripted, gossamer_exits: Exits
) -> None:
    rows = [row(ONE, text=f"hi{EVIL}\n\nthere"), {**row(TWO, "contact", state="added"), "is_read": True}]
    node.answers["notification_list"] = {"notifications": rows, "unread": 1, "more": False}
    code, out, _ = gossamer_exits("notification", "list", "--unread", "--kind", "mention", "--limit", "2")
    assert code == 0 and "\x1b" not in out and "\u202e" not in out
    assert "new" in out and "bob mentions you in club: hi\\x1b]0;x\\x07\\u202e there" in out
    assert "bob is a contact now" in out
    assert node.asked[-1] == ("notification_list", {"limit": 2, "is_read": False, "kind": "mention"})
    code, out, _ = gossamer_exits("--json", "notification", "list", "--before", ONE)
    assert json.loads(out)["unread"] == 1 and node.asked[-1][1] == {"limit": 50, "before": ONE}
    assert gossamer_exits("notification", "list", "--kind", "letters")[0] == 2


def test_one_is_read_by_its_beginning_and_all_by_the_option(node: Scripted, gossamer_exits: Exits) -> None:
    rows = [row(ONE), row(TWO)]
    node.answers["notification_list"] = {"notifications": rows, "unread": 2, "more": False}
    node.answers |= {"notification_read": {"id": ONE, "unread": 1}, "notification_read_all": {"unread": 0}}
    assert gossamer_exits("notification", "read", ONE[:8])[:2] == (0, "")
    assert node.asked[-1] == ("notification_read", {"id": ONE})
    gossamer_exits("notification", "read", "--all")
    assert node.asked[-1] == ("notification_read_all", {})
    assert gossamer_exits("notification", "read")[0] == 2
    assert gossamer_exits("notification", "read", ONE, "--all")[0] == 2
    node.answers["notification_read"] = Refused("notification_not_found", "none")
    assert gossamer_exits("notification", "read", "cccccccc")[0] == 6


def test_an_announcement_goes_to_a_room_or_to_contacts(
    node: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.answers["announcement_send"] = {"id": "m", "ts_ms": 1, "recipients": 3}
    code, out, err = gossamer_exits("announce", "club", "hello", "--kind", "tournament", "--data", '{"a": 1}')
    assert (code, out) == (0, "m\n") and "3" in err
    asked = {"room": CLUB, "text": "hello", "kind": "tournament", "data": {"a": 1}}
    assert node.asked[-1] == ("announcement_send", asked)
    monkeypatch.setattr("sys.stdin", io.StringIO("by pipe\n"))
    assert gossamer_exits("announce", "contacts", "-")[0] == 0
    assert node.asked[-1] == ("announcement_send", {"contacts": True, "text": "by pipe"})
    assert gossamer_exits("announce", "nowhere", "hello")[0] == 6
    assert gossamer_exits("announce", "club", "hello", "--data", "[]")[0] == 2
    node.answers["announcement_send"] = Refused("forbidden", "not you")
    assert gossamer_exits("announce", "club", "hello")[0] == 4


def test_an_invite_to_a_game_carries_its_options(node: Scripted, gossamer_exits: Exits) -> None:
    node.answers["user_invite"] = {"invite": ONE}
    words = ("invite", "send", "club", "bob", "--kind", "game")
    assert gossamer_exits(*words, "--options", '{"speed": "slow"}')[0] == 0
    asked = {"target": BOB, "room": CLUB, "kind": "game", "options": {"speed": "slow"}}
    assert node.asked[-1] == ("user_invite", asked)
    assert gossamer_exits(*words, "--options", "{")[0] == 2
    node.answers["dm_open"] = {"room": TWO}
    assert gossamer_exits("invite", "send", "bob", "bob", "--kind", "game")[0] == 0
    assert node.asked[-2:] == [
        ("dm_open", {"username": BOB}),
        ("user_invite", {"target": BOB, "room": TWO, "kind": "game"}),
    ]
    node.answers["invite_list"]["invites"][0]["kind"] = "game"
    assert "a game (opera)" in gossamer_exits("invite", "list")[1]
    node.answers["invite_list"]["invites"][0]["room_name"] = ""
    assert "a game (" not in gossamer_exits("invite", "list")[1]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_notification_reaches_the_terminal_raw(kind: str) -> None:
    keys = ("username", "text", "room_name", "state", "kind", "nickname")
    event = row(EVIL, kind, **dict.fromkeys(keys, EVIL))
    (line,) = notice_lines({**event, "kind": "mention"}, "elsewhere")
    assert not set(line) & set(EVIL[:1] + "\x07\u202e")
    assert said({**event, "withdrawn": True}).startswith("(withdrawn) ")


def test_chat_shows_mentions_from_elsewhere_announcements_and_games() -> None:
    assert notice_lines(row(ONE), CLUB) == []
    assert notice_lines(row(ONE), "another") == ["* bob mentions you in club: look"]
    assert notice_lines({**row(ONE), "is_read": True}, "another") == []
    assert notice_lines(row(ONE, "invite"), "another") == []
    event = {
        "event": "announcement",
        "room": CLUB,
        "username": f"bob{EVIL}",
        "kind": "notice",
        "text": TEXT,
    }
    lines = event_lines(event, {CLUB: "club"})
    assert lines == [
        "* announcement of bob\\x1b]0;x\\x07\\u202e in club: a\\x1b]0;x\\x07\\u202e",
        "  b",
    ]
    assert announcement_lines({**event, "room": None, "text": "t", "username": "b"}, "")[0].endswith(
        "of b: t"
    )
    invited = {"event": "user_invite", "sender": "bob", "room": CLUB, "invite": ONE, "kind": "game"}
    assert event_lines(invited, {CLUB: "club"})[0].startswith("* bob invites you to a game (club):  /accept")
    ended = {"event": "invite_result", "room": CLUB, "kind": "game", "response": "cancelled", "why": "busy"}
    assert event_lines(ended, {CLUB: "club"}) == ["* invite to a game (club): cancelled (busy)"]
