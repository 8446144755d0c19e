"""How far the owner has read, where messages do not stand where they came."""

from __future__ import annotations

from node.chat import commands as c, events
from node.sim import SimNode
from tests.engine.hostile import post, room_inner, sending, text
from tests.engine.test_blocking import friends
from tests.engine.test_receipts import ask, say


def unread(node: SimNode, room: str) -> int:
    return int(next(row["unread"] for row in node.call(c.RoomList())["rooms"] if row["room"] == room))


def test_reading_goes_on_after_a_message_that_came_late_and_stands_before_others() -> None:
    world, ann, bob, cat, room = friends("late reading")
    session = ann.attach(plain=False)
    held = sending(bob)
    withheld = room_inner(bob, text(bob, "came late"))
    post(bob, held.channel, room_inner(bob, text(bob, "after it")))
    world.run(100)
    after, last = say(cat, room, "then"), say(cat, room, "last")
    world.run(5)
    post(bob, held.channel, withheld)
    world.run(20)
    (healed,) = session.of(events.MessageHealed)
    assert unread(ann, room) == 4
    assert ask(world, ann, c.MessageRead(room=room, id=str(healed.id)))["unread"] == 2
    assert ask(world, ann, c.MessageRead(room=room, id=after))["unread"] == 1
    assert ask(world, ann, c.MessageRead(room=room, id=str(healed.id)))["unread"] == 1
    ask(world, cat, c.MessageDelete(room=room, id=last))
    world.run(5)
    assert unread(ann, room) == 0


def test_reading_all_names_the_newest_message_and_none_that_is_hidden() -> None:
    world, ann, bob, cat, room = friends("newest")
    session = ann.attach(plain=False)
    for blocked in (False, True):
        last = [say(cat, room, f"m{n}") for n in range(3)][-1]
        world.run(5)
        if blocked:
            ann.call(c.ContactBlock(username="bob", silent=True))
            world.run(1)
            say(bob, room, "hidden")
            world.run(5)
        ann.call(c.RoomRead(room=room))
        (told,) = [e for e in session.of(events.RoomUpdated) if e.unread == 0 and e.room == room]
        assert told.read_to == last
        session = ann.attach(plain=False)
