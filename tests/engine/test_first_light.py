"""The main job, whole, in the simulator: people on three nodes chat in a room."""

from __future__ import annotations

import pytest

from node.chat import commands as c, events
from node.engine.effects import Persist
from node.sim import CallError, Simulation
from tests.engine.worlds import befriend, invite, texts, trio


def test_two_people_become_contacts_through_a_node_that_only_carries() -> None:
    world = Simulation("contacts")
    world.add("cat")
    ann = world.add("ann", peers=["cat"])
    bob = world.add("bob", peers=["cat"])
    befriend(world, ann, bob)
    assert ann.call(c.ContactList())["contacts"][0]["username"] == "bob"
    assert bob.call(c.ContactList())["contacts"][0]["username"] == "ann"


def test_messages_go_both_ways_and_come_back_to_their_sender_marked_self() -> None:
    world, ann, bob, _, room = trio()
    seen_by_ann, seen_by_bob = ann.attach(), bob.attach()
    ann.call(c.UserMessage(room=room, message="hello bob"))
    world.run(2)
    bob.call(c.UserMessage(room=room, message="hello ann"))
    world.run(2)
    assert texts(seen_by_ann) == texts(seen_by_bob) == ["hello bob", "hello ann"]
    assert [m.mine for m in seen_by_ann.of(events.UserMessage)] == [True, False]
    assert [m.username for m in seen_by_bob.of(events.UserMessage)] == ["ann", "bob"]


def test_a_third_member_joins_and_reads_from_then_on() -> None:
    world, ann, bob, cat, room = trio()
    ann.call(c.UserMessage(room=room, message="before"))
    world.run(1)
    befriend(world, bob, cat)
    seen = invite(world, bob, cat, room)
    world.run(2)
    ann.call(c.UserMessage(room=room, message="after"))
    world.run(2)
    cat.call(c.UserMessage(room=room, message="thanks"))
    world.run(2)
    assert texts(seen) == ["after", "thanks"]
    assert {m["username"] for m in ann.call(c.RoomGet(room=room))["members"]} == {"ann", "bob", "cat"}


def test_who_was_removed_reads_nothing_more_and_is_told() -> None:
    world, ann, bob, _, room = trio()
    seen = bob.attach()
    ann.call(c.MemberRemove(room=room, username="bob"))
    ann.call(c.UserMessage(room=room, message="secret"))
    world.run(5)
    assert texts(seen) == []
    assert [e.reason for e in seen.of(events.UserLeave)] == ["removed"]
    with pytest.raises(CallError, match="room_not_found"):
        bob.call(c.UserMessage(room=room, message="let me in"))


def test_who_left_can_come_back_by_a_new_invite() -> None:
    world, ann, bob, _, room = trio()
    bob.call(c.UserLeave(room=room))
    world.run(3)
    ann.call(c.UserMessage(room=room, message="without bob"))
    world.run(1)
    seen = invite(world, ann, bob, room)
    ann.call(c.UserMessage(room=room, message="welcome back"))
    world.run(2)
    assert texts(seen) == ["welcome back"]


def test_a_member_that_was_down_gets_everything_in_order_from_one_holder() -> None:
    world, ann, bob, cat, room = trio()
    bob.crash()
    for number in range(40):
        ann.call(c.UserMessage(room=room, message=f"m{number}"))
        world.run(0.1)
    world.run(2)
    ann.crash()
    bob.start()
    seen = bob.attach(plain=False, resume=None)
    world.run(20)
    assert cat.up
    assert texts(seen) == [f"m{number}" for number in range(40)]


def test_direct_messages_travel_between_contacts() -> None:
    world, ann, bob, _, _ = trio()
    seen = bob.attach()
    direct = ann.call(c.DmOpen(username="bob"))
    assert direct["visibility"] == "direct"
    ann.call(c.UserMessage(room=direct["room"], message="psst"))
    world.run(2)
    assert texts(seen) == ["psst"]
    assert seen.of(events.UserMessage)[0].room == direct["room"]
    with pytest.raises(CallError, match="direct_room"):
        bob.call(c.UserLeave(room=direct["room"]))


def test_the_same_nonce_sends_once() -> None:
    world, ann, bob, _, room = trio()
    seen = bob.attach()
    first = ann.call(c.UserMessage(room=room, message="once", nonce="n1"))
    again = ann.call(c.UserMessage(room=room, message="once", nonce="n1"))
    world.run(2)
    assert first == again
    assert texts(seen) == ["once"]


def test_what_stores_something_persists_before_anything_leaves() -> None:
    world, ann, _, _, room = trio()
    from node.bridge.ports import CommandReceived, Deliver
    from node.mesh.ports import SendBytes

    assert ann.engine is not None
    effects = ann.engine.handle(CommandReceived(0, c.UserMessage(room=room, message="x")), now=ann.now())
    kinds = [type(effect) for effect in effects]
    assert isinstance(effects[0], Persist)
    assert kinds.count(Persist) == 1
    assert SendBytes in kinds
    assert Deliver in kinds


def test_the_same_seed_gives_the_same_run() -> None:
    def trace() -> list[bytes]:
        world, ann, bob, _, room = trio("again")
        ann.call(c.UserMessage(room=room, message="x"))
        world.run(3)
        return ann.sent_bytes + bob.sent_bytes

    assert trace() == trace()
