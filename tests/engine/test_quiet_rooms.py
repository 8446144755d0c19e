"""A room in which nobody spoke for weeks: its members find each other again."""

from __future__ import annotations

from node.chat import commands as c
from tests.engine.hostile import later_on, room_of
from tests.engine.worlds import texts, trio


def test_two_who_renew_the_keys_beside_each_other_after_a_long_silence_hear_each_other() -> None:
    world, ann, bob, cat, room = trio("quiet")
    later_on(world, 44, ann, bob, cat)
    world.run(1)
    world.partition(["ann"], ["bob"], ["cat"])
    for node in (ann, bob):
        node.call(c.UserMessage(room=room, message=f"{node.name} is back"))
    later_on(world, 1, ann, bob, cat)
    shown = {node.name: node.attach() for node in (ann, bob)}
    world.heal()
    assert world.run_until(lambda: all(len(texts(session)) == 1 for session in shown.values()), 120)
    ann.call(c.UserMessage(room=room, message="together again"))
    assert world.run_until(lambda: "together again" in texts(shown["bob"]), 60)


def test_an_epoch_is_forgotten_a_horizon_after_it_was_superseded() -> None:
    world, ann, bob, cat, room = trio("superseded")
    (old,) = (held.epoch16 for held in room_of(ann).epochs.tips())
    later_on(world, 44, ann, bob, cat)
    world.run(1)
    ann.call(c.UserMessage(room=room, message="new keys"))
    world.run(5)
    later_on(world, 34, ann, bob, cat)
    world.run(5)
    assert old in room_of(ann).epochs.held
    assert old in room_of(bob).epochs.held
    later_on(world, 2, ann, bob, cat)
    world.run(5)
    assert old not in room_of(ann).epochs.held
    assert old not in room_of(bob).epochs.held
