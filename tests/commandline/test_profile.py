"""`gossamer profile`, `presence` and `user`: what is asked of the node, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from node.commandline.chat import event_lines

from .conftest import ALICE, BOB, Scripted

Exits = Callable[..., tuple[int, str, str]]
MINE = {
    "user_id": ALICE, "username": "alice", "nickname": "Al\x1b[31mice",
    "avatar": "data:image/png;base64,AAAA",
    "status": "at tea", "presence": "away", "busy": True, "listed": False,
}  # fmt: skip


def test_a_profile_is_shown_harmless_and_a_picture_as_what_it_is(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.answers["profile_get"] = MINE
    code, out, _ = gossamer_exits("profile", "show")
    assert code == 0 and "\x1b" not in out and "AAAA" not in out
    assert "a picture of 26 characters" in out and "away" in out
    assert gossamer_exits("profile", "show", "bob")[0] == 0
    assert node.asked[-1] == ("profile_get", {"username": BOB})
    code, out, _ = gossamer_exits("profile", "show", "--json")
    assert json.loads(out)["avatar"] == MINE["avatar"]


def test_a_profile_is_changed_by_what_is_named_alone(node: Scripted, gossamer_exits: Exits) -> None:
    assert gossamer_exits("profile", "set", "--status", "")[0] == 0
    assert node.asked[-1] == ("profile_set", {"status": ""})
    code, _, err = gossamer_exits("profile", "set", "--listed", "on", "--avatar", "🦊")
    assert (code, node.asked[-1]) == (0, ("profile_set", {"avatar": "🦊", "listed": True}))
    assert "Everybody in the mesh" in err
    assert gossamer_exits("profile", "set", "--listed", "off")[0] == 0
    assert node.asked[-1] == ("profile_set", {"listed": False})
    assert gossamer_exits("profile", "set")[0] == 2


def test_a_sweep_prints_who_was_found_to_be_gone(node: Scripted, gossamer_exits: Exits) -> None:
    node.answers["presence_sweep"] = {"state": "online", "gone": ["bob", "mal\x1b[2Jlory"]}
    code, out, _ = gossamer_exits("presence", "sweep")
    assert code == 0 and "bob\n" in out and "\x1b" not in out
    code, out, _ = gossamer_exits("presence", "sweep", "--json")
    assert json.loads(out)["gone"][0] == "bob"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["away"], {"state": "away"}),
        (["offline", "--busy", "on"], {"state": "offline", "busy": True}),
        (["--status", "lunch", "--busy", "off"], {"status": "lunch", "busy": False}),
    ],
)
def test_presence_is_said(
    node: Scripted, gossamer_exits: Exits, words: list[str], asked: dict[str, object]
) -> None:
    node.answers["presence_set"] = {"state": "away", "status": "lunch", "busy": True}
    assert gossamer_exits("presence", "set", *words)[:2] == (0, "away busy\n")
    assert node.asked[-1] == ("presence_set", asked)


@pytest.mark.parametrize("words", [[], ["invisible"], ["--busy", "perhaps"]])
def test_presence_that_is_none_is_a_mistake_of_usage(
    node: Scripted, gossamer_exits: Exits, words: list[str]
) -> None:
    assert gossamer_exits("presence", "set", *words)[0] == 2 and node.asked == []


def test_people_are_found_and_shown_harmless(node: Scripted, gossamer_exits: Exits) -> None:
    row = {"user_id": BOB, "username": "bob", "nickname": "B\x1b[2Job", "avatar": None, "state": "none"}
    node.answers["user_search"] = {"users": [{**row, "status": "x\n" * 60, "presence": "offline"}]}
    code, out, _ = gossamer_exits("user", "search", "bo", "--limit", "5")
    assert code == 0 and "\x1b" not in out and len(out.splitlines()) == 2 and "…" in out
    assert node.asked[-1] == ("user_search", {"text": "bo", "limit": 5})
    assert gossamer_exits("user", "search", "bo", "--limit", "0")[0] == 2


def test_contacts_are_listed_with_how_they_are_seen(node: Scripted, gossamer_exits: Exits) -> None:
    row = node.answers["contact_list"]["contacts"][0]
    row.update(presence="away", busy=True, status="lu\x1bnch")
    _, out, _ = gossamer_exits("contact", "list")
    assert "away busy" in out and "lu\\x1bnch" in out and "\x1b" not in out


def test_a_chat_tells_who_is_away_on_one_line_whatever_they_write() -> None:
    event = {
        "event": "presence",
        "username": "bo\x1bb",
        "presence": "away",
        "busy": False,
        "status": "a\nb" * 60,
    }
    (line,) = event_lines(event, {})
    assert line.startswith("* bo\\x1bb is away: a b") and "\n" not in line and len(line) < 80
