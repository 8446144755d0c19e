"""A batch: several commands in one commit, each judged as if it had come alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from node.chat import commands as c, events
from node.engine import batch
from node.engine.batch import NOT_INSIDE
from node.sim import CallError, SimNode
from tests.engine.worlds import texts, trio


def say(room: str, text: str, **keys: Any) -> dict[str, Any]:
    return {"event": "user_message", "room": room, "message": text, **keys}


def results(node: SimNode, *commands: dict[str, Any], **keys: Any) -> list[dict[str, Any]]:
    answer = node.call(c.Batch(commands=list(commands), **keys))
    return list(answer["results"])


def codes(rows: list[dict[str, Any]]) -> list[str]:
    return [row.get("code", row["event"]) for row in rows]


def test_a_batch_is_done_in_order_and_answered_in_order_in_one_commit() -> None:
    world, ann, bob, _, room = trio("batch")
    here, there = ann.attach(), bob.attach()
    commits = []
    commit, ann.store.commit = ann.store.commit, lambda writes: (commits.append(writes), commit(writes))[1]  # type: ignore[func-returns-value,method-assign]
    done = results(ann, *(say(room, f"m{n}", req=n) for n in range(c.MAX_BATCH)))
    assert len(commits) == 1
    assert [(row["event"], row["req"]) for row in done] == [("ok", n) for n in range(c.MAX_BATCH)]
    wanted = [f"m{n}" for n in range(c.MAX_BATCH)]
    assert world.run_until(lambda: texts(there) == wanted, 20)
    assert texts(here) == wanted


def test_what_is_refused_in_a_batch_has_its_error_in_its_place_and_the_others_are_done() -> None:
    _, ann, _, _, room = trio("refused")
    done = results(
        ann,
        say(room, "one", req="a"),
        {"event": "user_message", "req": "b", "message": "no room"},
        {"event": "no_such"},
        {"event": 5},
        say(room, "two"),
    )
    assert codes(done) == [
        "ok",
        "invalid",
        "unknown_event",
        "invalid",
        "ok",
    ]
    assert [row.get("req") for row in done] == ["a", "b", None, None, None]
    assert [row["message"] for row in ann.call(c.HistoryGet(room=room))["messages"]] == ["one", "two"]


def test_a_batch_that_halts_does_nothing_after_the_first_refusal() -> None:
    _, ann, _, _, room = trio("halted")
    done = results(ann, say(room, "one"), {"event": "no_such"}, say(room, "two"), halt_on_error=True)
    assert codes(done) == ["ok", "unknown_event", "halted"]
    assert [row["message"] for row in ann.call(c.HistoryGet(room=room))["messages"]] == ["one"]


def test_scopes_are_those_of_each_command() -> None:
    _, ann, _, _, room = trio("scopes")
    reader = ann.attach(plain=False, scope="read")
    answer = ann.call(
        c.Batch(commands=[say(room, "x"), {"event": "room_list"}, {"event": "node_stop"}]), reader
    )
    assert codes(answer["results"]) == ["forbidden", "ok", "forbidden"]


def test_nonces_count_inside_a_batch_and_for_the_whole_of_it() -> None:
    _, ann, _, _, room = trio("nonces inside")
    first = results(ann, say(room, "once", nonce="n"), say(room, "once", nonce="n"))
    assert first[0]["id"] == first[1]["id"]
    assert ann.call(c.UserMessage(room=room, message="once", nonce="n"))["id"] == first[0]["id"]
    again = [results(ann, say(room, "twice"), nonce="whole") for _ in range(2)]
    assert again[0] == again[1]
    assert len(ann.call(c.HistoryGet(room=room))["messages"]) == 2


def test_what_is_answered_later_may_not_be_inside() -> None:
    _, ann, _, _, room = trio("later")
    keys = {
        "room": room,
        "text": "x",
        "passphrase": "x" * 8,
        "commands": [{}],
        "id": room,
        "data": "",
        "name": "x",
        "dialect": "001",
    }
    late = [{"event": name, **keys} for name in sorted(NOT_INSIDE)]
    assert {row["code"] for row in results(ann, *late)} == {"not_in_batch"}


def test_a_command_that_turns_out_to_be_answered_later_is_refused_and_orders_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, ann, _, _, room = trio("turns out")
    monkeypatch.setattr(batch, "NOT_INSIDE", frozenset())
    asked = ann.attach(plain=False)
    answer = ann.call(c.Batch(commands=[{"event": "search", "text": "x"}, say(room, "two")]), asked)
    assert codes(answer["results"]) == ["not_in_batch", "ok"]
    assert len(asked.of(events.Ok)) == 1


@pytest.mark.parametrize("commands", [[], [{}] * (c.MAX_BATCH + 1)])
def test_a_batch_has_a_size(commands: list[dict[str, Any]]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"event": "batch", "commands": commands}, c.Batch)


def test_a_refusal_of_the_whole_batch_leaves_nothing_done() -> None:
    _, ann, _, _, room = trio("reused")
    results(ann, say(room, "one"), nonce="same")
    with pytest.raises(CallError) as refused:
        results(ann, say(room, "two"), nonce="same")
    assert refused.value.code == "nonce_reused"


def test_what_names_a_message_that_has_to_be_read_is_refused_and_not_done_later_either() -> None:
    world, ann, _, _, room = trio("names a message")
    mid = ann.call(c.UserMessage(room=room, message="one"))["id"]
    for _ in range(2):
        ann.call(c.UserMessage(room=room, message="more"))
    ann.crash()
    ann.start()
    session = ann.attach(plain=False)
    named = {"room": room, "id": mid}
    inside = [
        {"event": "message_edit", "message": "two", "nonce": "n", **named},
        {"event": "message_delete", **named},
        {"event": "reaction_set", "emoji": "like", **named},
        {"event": "message_read", **named},
        {"event": "room_read", **named},
        say(room, "three", reply_to=mid),
    ]
    answer = ann.call(c.Batch(commands=inside), session)
    assert codes(answer["results"]) == ["not_in_batch"] * len(inside)
    assert ann.engine is not None and ann.engine.desk.unanswered() == []
    world.run(5)
    assert len(session.of(events.Ok)) == 1 and session.of(events.Error) == []
    late = (events.MessageEdited, events.MessageDeleted, events.Reaction, events.RoomUpdated)
    assert not [event for event in session.seen if isinstance(event, late)]
    assert [row["message"] for row in ann.call(c.HistoryGet(room=room))["messages"]] == [
        "one",
        "more",
        "more",
    ]
    ann.call(c.MessageEdit(room=room, id=mid, message="two", nonce="n"))
    assert ann.call(c.HistoryGet(room=room))["messages"][0]["message"] == "two"
