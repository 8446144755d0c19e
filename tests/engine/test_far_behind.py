"""More messages missed than a chain keeps seeds for, and live ones that overtake the catching up."""

from __future__ import annotations

import json

from node.chat import commands as c, events
from node.chat.behind import PATIENCE
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


def test_a_crash_between_ordering_a_reading_and_its_commit_loses_nothing() -> None:
    for effects in range(0, 40, 3):
        world, ann, bob, cat, room = trio(f"reading {effects}")
        bob.crash()
        for number in range(PATIENCE + 40):
            ann.call(c.UserMessage(room=room, message=str(number)))
        world.run(3)
        bob.start()
        for number in range(PATIENCE + 40, PATIENCE + 80):
            ann.call(c.UserMessage(room=room, message=str(number)))
            world.run(0.004)
            if number == PATIENCE + 60:
                bob.effects_left = effects
        bob.effects_left = None
        if bob.up:
            bob.crash()
        bob.start()
        world.run(90)
        logged = [json.loads(body) for _, body in bob.store.events_after(0, 10**6)]
        shown = [event["message"] for event in logged if event["event"] == "user_message"]
        assert shown == [str(number) for number in range(PATIENCE + 80)], effects
