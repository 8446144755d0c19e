"""Mentions become notifications: once a message, whatever way it comes, and go with their message."""

from __future__ import annotations

from typing import Any

import pytest

from node.chat import commands as c, events
from node.sim import SimNode, SimSession
from node.wire import envelope
from node.wire.envelope import Envelope
from tests.engine.hostile import give, lost, no_late_faults
from tests.engine.worlds import invite, texts, trio


def mentions(session: SimSession) -> list[events.Notification]:
    return [event for event in session.of(events.Notification) if event.kind == "mention"]


def listed(node: SimNode) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = node.call(c.NotificationList(kind="mention"))["notifications"]
    return rows


def say(node: SimNode, room: str, text: str, **keys: Any) -> str:
    return str(node.call(c.UserMessage(room=room, message=text, **keys))["id"])


def test_who_is_mentioned_is_notified_at_every_frontend_and_nobody_else() -> None:
    world, ann, bob, _, room = trio("mention")
    ours, theirs = ann.attach(), [bob.attach(plain=False), bob.attach(plain=False)]
    said = say(ann, room, "@bob look here")
    say(ann, room, "nobody in particular")
    say(bob, room, "@bob I mention myself")
    world.run(2)
    for session in theirs:
        (told,) = mentions(session)
        assert (told.data["message"], told.data["room"], told.data["room_name"]) == (said, room, "club")
        assert (told.data["username"], "text" in told.data, told.is_read) == ("ann", False, False)
    assert mentions(ours) == []
    assert [row["data"]["text"] for row in listed(bob)] == ["@bob look here"]
    direct = ann.call(c.DmOpen(username="bob"))["room"]
    say(ann, direct, "and here, @bob")
    world.run(2)
    assert [told.data["room_name"] for told in mentions(theirs[0])] == ["club", "ann"]


def test_a_mention_goes_with_its_message_and_leaves_no_words_behind() -> None:
    world, ann, bob, _, room = trio("delete")
    seen = bob.attach()
    said = say(ann, room, "@bob the word is swordfish")
    world.run(2)
    ann.call(c.MessageDelete(room=room, id=said))
    world.run(2)
    assert [(told.withdrawn, told.is_read) for told in mentions(seen)] == [(False, False), (True, True)]
    assert [row["data"]["text"] for row in listed(bob)] == [""]
    stored = bob.store.load()
    assert not any(b"swordfish" in row for rows in stored.rows.values() for row in rows.values())
    assert not any(b"swordfish" in (body or b"") for _, body in bob.store.events_after(0, 10_000))


def test_an_edit_can_bring_a_mention_and_take_it_away() -> None:
    world, ann, bob, _, room = trio("edit")
    seen = bob.attach()
    first, second = say(ann, room, "hello"), say(ann, room, "hello @bob")
    world.run(2)
    ann.call(c.MessageEdit(room=room, id=first, message="hello you, @bob"))
    ann.call(c.MessageEdit(room=room, id=second, message="hello"))
    world.run(2)
    by_message = {told.data["message"]: told.withdrawn for told in mentions(seen)}
    assert by_message == {first: False, second: True}
    ann.call(c.MessageEdit(room=room, id=first, message="@bob once more"))
    world.run(2)
    assert [row["data"]["text"] for row in listed(bob)] == ["@bob once more", ""]


def test_a_mention_that_was_lost_is_notified_when_it_is_healed_and_once() -> None:
    world, ann, bob, cat, room = trio("healed")
    said = lost(world, lambda: say(ann, room, "@bob can you hear me?"), ann, bob, cat)
    seen = bob.attach()
    world.run(5)
    say(ann, room, "still there?")
    world.run(400)
    assert "still there?" in texts(seen)
    assert [told.data["message"] for told in mentions(seen)] == [said]
    assert len(seen.of(events.MessageHealed)) == 1
    world.run(600)
    assert len(listed(bob)) == 1
    no_late_faults(ann, bob)


@pytest.mark.parametrize("step", range(6))
def test_a_crash_while_a_mention_comes_neither_loses_nor_doubles_it(step: int) -> None:
    world, ann, bob, _, room = trio(f"crash {step}")
    bob.effects_left = step
    said = say(ann, room, "hey @bob")
    world.run(3)
    bob.effects_left = None
    if not bob.up:
        bob.start()
    world.run(20)
    assert [row["data"]["message"] for row in listed(bob)] == [said]


def test_what_newcomers_are_given_of_before_notifies_nobody() -> None:
    world, ann, bob, cat, _ = trio("history")
    room = ann.call(c.RoomCreate(name="tea", history=50))["room"]
    invite(world, ann, bob, room)
    say(ann, room, "@bob and @all")
    world.run(3)
    link = ann.call(c.RoomLinkCreate(room=room))["link"]
    guest = cat.attach()
    cat.call(c.RoomLinkUse(link=link))
    world.run(20)
    assert "@bob and @all" in texts(guest) and mentions(guest) == []


def posted(node: SimNode, before: set[bytes]) -> list[Envelope]:
    """Return what a node has posted since, in order."""
    return [envelope.parse(one.raw) for key, one in node.store._state.held.items() if key not in before]


@pytest.mark.parametrize("turns", [1, 2])
@pytest.mark.parametrize("change", ["delete", "edit"])
def test_a_mention_whose_message_is_shown_without_it_notifies_nobody(change: str, turns: int) -> None:
    world, ann, bob, _, room = trio(f"change first {change} {turns}")
    world.partition(["bob"], ["ann", "cat"])
    world.run(1)
    seen, before = bob.attach(), set(ann.store._state.held)
    said = say(ann, room, "@bob the word is swordfish")
    if change == "delete":
        ann.call(c.MessageDelete(room=room, id=said))
    else:
        ann.call(c.MessageEdit(room=room, id=said, message="hello"))
    text, made = [
        envelope.parse(ann.store._state.held[key].raw) for key in ann.store._state.held if key not in before
    ]
    for some in ([made, text],) if turns == 1 else ([made], [text]):
        give(bob, some)
    assert texts(seen) == [{"delete": "", "edit": "hello"}[change]]
    assert mentions(seen) == [] and listed(bob) == []
    rows = bob.store.load().rows.values()
    assert not any(b"swordfish" in row for table in rows for row in table.values())


def test_a_mention_that_an_edit_brought_before_its_message_is_notified_once() -> None:
    world, ann, bob, _, room = trio("edit first")
    world.partition(["bob"], ["ann", "cat"])
    world.run(1)
    seen, before = bob.attach(), set(ann.store._state.held)
    said = say(ann, room, "hello")
    ann.call(c.MessageEdit(room=room, id=said, message="hello @bob"))
    text, made = [
        envelope.parse(ann.store._state.held[key].raw) for key in ann.store._state.held if key not in before
    ]
    give(bob, [made])
    give(bob, [text])
    assert [told.data["message"] for told in mentions(seen)] == [said]
    assert [row["data"]["text"] for row in listed(bob)] == ["hello @bob"]


def test_a_mention_that_an_edit_took_away_and_another_brings_back_is_to_be_looked_at_again() -> None:
    world, ann, bob, _, room = trio("to and fro")
    seen = bob.attach()
    said = say(ann, room, "hello @bob")
    for words in ("hello", "hello again, @bob"):
        world.run(2)
        ann.call(c.MessageEdit(room=room, id=said, message=words))
    world.run(2)
    (row,) = listed(bob)
    assert (row["data"]["text"], row["withdrawn"], row["is_read"]) == ("hello again, @bob", False, False)
    assert [(told.withdrawn, told.is_read, told.unread) for told in mentions(seen)] == [
        (False, False, 2),
        (True, True, 1),
        (False, False, 2),
    ]
    assert len({told.id for told in mentions(seen)}) == 1
