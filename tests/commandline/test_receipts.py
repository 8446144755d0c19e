from __future__ import annotations

import json
import time
from collections.abc import Callable

from node.commandline.chat import event_lines
from node.commandline.receipts import marks, status_lines
from node.errors import Refused

from .conftest import CLUB, Scripted

Exits = Callable[..., tuple[int, str, str]]
MID = "0d8b5f7e-4f5b-4d7c-9d0c-9a3d5c1b7e42"


def test_why_says_it_of_everybody_and_escapes_their_names(node: Scripted, gossamer_exits: Exits) -> None:
    row = {"user_id": "u", "username": "b\x1b[2Job", "status": "held", "why": "held for them", "since": 0}
    node.answers["message_why"] = {"id": MID, "recipients": [row]}
    code, out, _ = gossamer_exits("why", MID)
    assert code == 0 and "held for them" in out and "\x1b" not in out
    assert node.asked[-1] == ("message_why", {"id": MID})
    code, out, _ = gossamer_exits("why", MID, "--room", "club", "--json")
    assert json.loads(out)["recipients"] == [row]
    assert node.asked[-1] == ("message_why", {"id": MID, "room": CLUB})
    node.answers["history_get"] = {"messages": [{"id": MID}], "more": False}
    assert gossamer_exits("why", MID[:8], "--room", "club")[0] == 0
    assert node.asked[-1] == ("message_why", {"id": MID, "room": CLUB})
    node.answers["message_why"] = Refused("message_not_found", "no message of yours has this id")
    assert gossamer_exits("why", MID)[0] == 6


def test_why_takes_the_beginning_of_an_id_where_the_room_is_said(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.answers["message_why"] = {"id": MID, "recipients": []}
    node.answers["history_get"] = {"messages": [{"id": MID}], "more": False}
    assert gossamer_exits("why", MID[:8], "--room", "club")[0] == 0
    assert node.asked[-1] == ("message_why", {"id": MID, "room": CLUB})
    code, _, err = gossamer_exits("why", MID[:8])
    assert code == 2 and "whole id" in err and "--room" in err


def test_who_writes_to_a_contact_without_a_conversation_is_told_how_to_begin_one(
    node: Scripted, gossamer_exits: Exits
) -> None:
    code, _, err = gossamer_exits("send", "bob", "hello")
    assert code == 6 and err.rstrip().endswith("room direct bob (room_not_found)")
    code, _, err = gossamer_exits("send", "carol", "hello")
    assert code == 6 and "no room is called 'carol'" in err


def test_the_status_of_a_locked_node_says_no_more_than_it_knows(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.hello = {"user_id": "", "username": ""}
    empty = dict.fromkeys(("links", "contacts", "rooms", "clients", "held_envelopes", "uptime_s"), 0)
    node.answers["node_status"] = {**empty, "connectivity": "locked", "db_bytes": 2048, "version": "1"}
    code, out, _ = gossamer_exits("status")
    assert code == 0 and "gossamer unlock" in out and "contacts" not in out
    node.answers["node_status"] |= {"connectivity": "synced", "links": 1}
    assert "synced, 1 link\n" in gossamer_exits("status")[1]


def test_reading_goes_up_to_a_message_or_to_the_end(node: Scripted, gossamer_exits: Exits) -> None:
    assert gossamer_exits("message", "read", "club", MID)[0] == 0
    assert node.asked[-1] == ("message_read", {"room": CLUB, "id": MID})
    assert gossamer_exits("room", "read", "club", MID)[0] == 0
    assert node.asked[-1] == ("room_read", {"room": CLUB, "id": MID})
    assert gossamer_exits("room", "read", "club")[0] == 0
    assert node.asked[-1] == ("room_read", {"room": CLUB})
    assert gossamer_exits("message", "read", "nowhere", MID)[0] == 6


def test_a_room_is_muted_for_good_for_a_time_or_no_longer(node: Scripted, gossamer_exits: Exits) -> None:
    assert gossamer_exits("room", "mute", "club")[0] == 0
    assert node.asked[-1] == ("room_mute", {"room": CLUB, "muted": True})
    assert gossamer_exits("room", "mute", "club", "--for", "2h")[0] == 0
    until = node.asked[-1][1]["until"]
    assert abs(until - time.time() - 7_200) < 60
    assert gossamer_exits("room", "mute", "club", "--off")[0] == 0
    assert node.asked[-1] == ("room_mute", {"room": CLUB, "muted": False})
    assert gossamer_exits("room", "mute", "club", "--off", "--for", "2h")[0] == 2


def test_receipts_are_shown_and_chosen(node: Scripted, gossamer_exits: Exits) -> None:
    node.answers["receipts_get"] = {"read": True, "strangers": False}
    node.answers["receipts_set"] = {"read": False, "strangers": True}
    code, out, _ = gossamer_exits("receipts")
    assert code == 0 and out.split() == ["read", "receipts", "on", "to", "strangers", "off"]
    assert "see none of others" in gossamer_exits("receipts", "--read", "off", "--strangers", "on")[1]
    assert node.asked[-1] == ("receipts_set", {"read": False, "strangers": True})


def test_the_history_says_how_far_own_messages_have_come(node: Scripted, gossamer_exits: Exits) -> None:
    said = {"username": "alice", "timestamp": 0, "self": True, "message": "hi"}
    messages = [{**said, "id": str(n), "seq": n} for n in (1, 2, 3, 4)]
    messages.append({**said, "id": "5", "seq": 3, "self": False, "username": "bob"})
    people = [{"user_id": "u", "username": "bob", "delivered": 2, "read": 1}]
    node.answers["history_get"] = {"messages": messages, "more": False}
    node.answers["ledger_get"] = {"room": CLUB, "held": 3, "recipients": people}
    _, out, _ = gossamer_exits("history", "club")
    ends = ["(read)", "(delivered)", "(held)", "(sent)", "hi"]
    assert all(line.endswith(end) for line, end in zip(out.splitlines(), ends, strict=True))
    several = {"held": 3, "recipients": [*people, {"delivered": 2, "read": 0}]}
    assert list(marks(messages, several).values()) == [
        "read by 1 of 2",
        "delivered to 2 of 2",
        "held",
        "sent",
    ]
    assert marks(messages, {}) == {}


def test_statuses_are_told_in_a_chat_where_they_say_something() -> None:
    event = {"event": "message_status", "id": MID, "room": CLUB, "by": "b\x1bob"}
    assert event_lines({**event, "status": "read"}, {}) == ["* read by b\\x1bob"]
    assert status_lines({**event, "status": "delivered"}) == ["* delivered to b\\x1bob"]
    assert status_lines({**event, "status": "failed", "why": "left"}) == ["! not delivered to b\\x1bob: left"]
    assert status_lines({"status": "failed", "why": "expired"}) == ["! not delivered: expired"]
    assert status_lines({"status": "held"}) == []
