"""A store that was put back to an older copy, as of a virtual machine: what is said afterwards is read."""

from __future__ import annotations

import pytest

from node.chat import commands as c
from tests.engine.hostile import no_late_faults, room_of, sending
from tests.engine.test_erasure import all_texts, days_later
from tests.engine.worlds import trio


@pytest.mark.attack("A34")
@pytest.mark.attack("A12")
def test_who_was_put_back_goes_on_after_its_own_newer_messages() -> None:
    world, ann, bob, _, room = trio("put back")
    copy = bob.snapshot()
    for number in range(5):
        bob.call(c.UserMessage(room=room, message=f"soon forgotten {number}"))
    world.run(3)
    bob.rollback(copy)
    world.run(5)
    bob.call(c.UserMessage(room=room, message="later"))
    world.run(3)
    assert "later" in all_texts(ann, room)
    no_late_faults(ann, bob)
    bob.crash()
    bob.start()
    world.run(5)
    bob.call(c.UserMessage(room=room, message="and later"))
    world.run(3)
    assert all_texts(ann, room)[-1] == "and later"


@pytest.mark.attack("A34")
def test_who_was_put_back_has_its_op_again_and_signs_the_next_on_top_of_it() -> None:
    world, ann, bob, _, room = trio("put back op")
    copy = ann.snapshot()
    ann.call(c.RoomUpdate(room=room, topic="before"))
    world.run(3)
    ann.rollback(copy)
    world.run(5)
    assert room_of(ann).log.topic == "before"
    ann.call(c.RoomUpdate(room=room, topic="after"))
    world.run(3)
    assert room_of(bob).log.topic == room_of(ann).log.topic == "after"


@pytest.mark.attack("A34")
def test_a_leaf_that_was_lost_with_the_store_is_replaced_by_another_of_a_higher_number() -> None:
    world, ann, bob, cat, room = trio("put back leaf")
    days_later(world, 8, ann, bob, cat)
    copy = bob.snapshot()
    bob.call(c.UserMessage(room=room, message="with a new leaf"))
    world.run(3)
    lost = room_of(ann).leaves.newer[room_of(bob).me.device_id]
    bob.rollback(copy)
    world.run(5)
    bob.call(c.UserMessage(room=room, message="with another"))
    world.run(8)
    assert room_of(ann).leaves.newer[room_of(bob).me.device_id].leaf_id > lost.leaf_id
    ann.call(c.RoomRekey(room=room))
    ann.call(c.UserMessage(room=room, message="to it"))
    world.run(3)
    assert sending(bob).epoch16 == sending(ann).epoch16
    assert all_texts(bob, room)[-1] == "to it"
