"""Finding what was said: in one conversation or all, whatever its case and accents, the newest first."""

from __future__ import annotations

import pytest

from node.chat import commands as c, events
from node.sim import CallError, SimNode
from tests.engine.worlds import texts, trio


def found(node: SimNode, text: str, **keys: object) -> list[str]:
    return [row["message"] for row in node.call(c.Search(text=text, **keys))["messages"]]  # type: ignore[arg-type]


def test_a_search_finds_what_both_have_said_in_every_room_newest_first() -> None:
    world, ann, bob, _, room = trio("search")
    there = bob.attach()
    other = ann.call(c.RoomCreate(name="alone"))["room"]
    ann.call(c.UserMessage(room=room, message="Tea at nine?"))
    assert world.run_until(lambda: "Tea at nine?" in texts(there), 10)
    bob.call(c.UserMessage(room=room, message="no TEA for me"))
    world.run(2)
    ann.call(c.UserMessage(room=other, message="note: buy téa"))
    assert found(ann, "tea") == ["note: buy téa", "no TEA for me", "Tea at nine?"]
    assert found(ann, "TÉA", room=room) == ["no TEA for me", "Tea at nine?"]
    assert found(bob, "tea") == ["no TEA for me", "Tea at nine?"]
    assert found(bob, "coffee") == []


def test_what_is_found_is_the_whole_message_and_pages_go_on_before_the_last_one() -> None:
    _, ann, _, _, room = trio("pages")
    here = ann.attach()
    for number in range(7):
        ann.call(c.UserMessage(room=room, message=f"tea {number}"))
    page = ann.call(c.Search(text="tea", limit=3))
    assert page["more"]
    shown = {event.id: event for event in here.of(events.UserMessage)}
    assert page["messages"] == [events.builtins(shown[row["id"]]) for row in page["messages"]]
    rest = ann.call(c.Search(text="tea", limit=9, before=page["messages"][-1]["id"]))
    assert [row["message"] for row in rest["messages"]] == ["tea 3", "tea 2", "tea 1", "tea 0"]
    assert not rest["more"]
    assert found(ann, "tea", before=page["messages"][-1]["id"], room=room, limit=1) == ["tea 3"]


@pytest.mark.parametrize(
    ("keys", "code", "field"),
    [
        ({"text": "\u0301"}, "invalid", "text"),
        ({"text": "x", "room": "0d8b5f7e-4f5b-4d7c-9d0c-9a3d5c1b7e42"}, "room_not_found", "room"),
        ({"text": "x", "room": "0" * 35 + "g"}, "invalid", "room"),
        ({"text": "x", "before": "0d8b5f7e-4f5b-4d7c-9d0c-9a3d5c1b7e42"}, "message_not_found", "before"),
    ],
)
def test_a_search_for_nothing_or_nowhere_is_refused(keys: dict[str, str], code: str, field: str) -> None:
    _, ann, _, _, _ = trio("nowhere")
    with pytest.raises(CallError) as refused:
        ann.call(c.Search(**keys))
    assert refused.value.code == code


def test_history_is_read_in_both_directions() -> None:
    _, ann, _, _, room = trio("both ways")
    for number in range(6):
        ann.call(c.UserMessage(room=room, message=str(number)))
    whole = ann.call(c.HistoryGet(room=room))["messages"]
    ids = {row["message"]: row["id"] for row in whole}
    before = ann.call(c.HistoryGet(room=room, before=ids["4"], limit=2))
    after = ann.call(c.HistoryGet(room=room, after=ids["1"], limit=2))
    assert ([row["message"] for row in before["messages"]], before["more"]) == (["2", "3"], True)
    assert ([row["message"] for row in after["messages"]], after["more"]) == (["2", "3"], True)
