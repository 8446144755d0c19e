"""More messages missed than a chain keeps seeds for, and live ones that overtake the catching up."""

from __future__ import annotations

from node.chat import commands as c
from node.chat import events
from node.crypto.chain import MAX_SKIPPED
from tests.engine.worlds import texts, trio

MISSED = MAX_SKIPPED + 300


def test_live_messages_that_overtake_a_long_catch_up_cost_nothing_of_it() -> None:
    world, ann, bob, cat, room = trio("overtaken")
    bob.crash()
    for number in range(MISSED):
        ann.call(c.UserMessage(room=room, message=str(number)))
        if number % 100 == 0:
            world.run(0.2)
    world.run(5)
    bob.start()
    seen = bob.attach()
    for number in range(MISSED, MISSED + 60):
        ann.call(c.UserMessage(room=room, message=str(number)))
        world.run(0.01)
    world.run(30)
    assert texts(seen) == [str(number) for number in range(MISSED + 60)]
    assert not any(message.gap for message in seen.of(events.UserMessage))


def test_the_same_holds_for_direct_messages() -> None:
    world, ann, bob, cat, _ = trio("overtaken direct")
    room = ann.call(c.DmOpen(username="bob"))["room"]
    ann.call(c.UserMessage(room=room, message="first"))
    world.run(2)
    bob.crash()
    for number in range(MISSED):
        ann.call(c.UserMessage(room=room, message=str(number)))
        if number % 100 == 0:
            world.run(0.2)
    world.run(5)
    bob.start()
    seen = bob.attach()
    for number in range(MISSED, MISSED + 20):
        ann.call(c.UserMessage(room=room, message=str(number)))
        world.run(0.01)
    world.run(30)
    assert texts(seen)[-MISSED - 20 :] == [str(number) for number in range(MISSED + 20)]
