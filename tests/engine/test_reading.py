"""How far the owner has read, where messages do not stand where they came."""

from __future__ import annotations

import pytest

from node.bridge.ports import CommandReceived
from node.chat import commands as c, events
from node.engine.effects import FetchAfter
from node.sim import SimNode
from node.sim_shell import fetched
from tests.engine.hostile import engine_of, post, room_inner, sending, text
from tests.engine.test_blocking import friends
from tests.engine.test_receipts import ask, pair, say, statuses


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


@pytest.mark.parametrize("gone", [False, True])
def test_what_comes_while_the_store_is_asked_stays_unread(gone: bool) -> None:
    world, ann, bob, direct = pair()
    here = ann.attach()
    first, second = say(ann, direct, "first"), say(ann, direct, "second")
    world.run(7)
    session = bob.attach(plain=False)
    order = asked(bob, session.number, c.MessageRead(room=direct, id=second, req=1))
    came = fetched(bob.store, order)
    third = say(ann, direct, "third")
    if gone:
        ann.call(c.MessageDelete(room=direct, id=first))
    world.run(1)
    bob.feed(came)
    assert [ok.fields["unread"] for ok in session.of(events.Ok)] == [1]
    world.run(20)
    assert ("read", "bob") in statuses(here, second) and ("read", "bob") not in statuses(here, third)
    assert bob.call(c.RoomRead(room=direct))["unread"] == 0
    world.run(20)
    assert ("read", "bob") in statuses(here, third)


def asked(node: SimNode, session: int, command: c.MessageRead) -> FetchAfter:
    effects = engine_of(node).handle(CommandReceived(session, command), now=node.now())
    (order,) = [one for one in effects if isinstance(one, FetchAfter)]
    return order
