"""Who is out reads nothing new, who is new reads nothing old: proven by trying every key of their state."""

from __future__ import annotations

from node.chat import commands as c
from node.crypto.channel import Channel
from node.sim import SimNode
from tests.engine.oracle import opened
from tests.engine.worlds import befriend, invite, texts, trio


def channels(node: SimNode) -> list[Channel]:
    assert node.engine is not None
    inboxes = node.engine.state.rooms.inboxes.values()
    return [held.channel for inbox in inboxes for held in inbox.room.epochs.held.values()]


def devices(node: SimNode) -> set[bytes]:
    assert node.engine is not None
    inboxes = node.engine.state.rooms.inboxes.values()
    return {d for inbox in inboxes for held in inbox.room.epochs.held.values() for d in held.devices}


def envelopes(node: SimNode) -> set[bytes]:
    return set(node.store.envelopes_by_time(0, 1 << 62, None, 1 << 40)[0])


def test_the_oracle_opens_what_a_member_may_read_so_that_its_silence_means_something() -> None:
    world, ann, bob, _, room = trio("oracle")
    before = envelopes(ann)
    bob.crash()
    ann.call(c.UserMessage(room=room, message="readable"))
    bob.start()
    sent = envelopes(ann) - before
    assert any(b"readable" in plain for plain in opened(bob, sent, channels(ann), devices(ann)))


def test_the_oracle_opens_the_slot_of_an_epoch_made_while_a_member_was_down() -> None:
    world, ann, bob, cat, room = trio("oracle slots")
    befriend(world, ann, cat)
    before = envelopes(ann)
    bob.crash()
    invite(world, ann, cat, room)
    sent = envelopes(ann) - before
    bob.start()
    assert any(len(plain) == 32 for plain in opened(bob, sent, channels(ann), devices(ann)))


def test_the_whole_state_of_who_was_removed_opens_nothing_sent_after() -> None:
    world, ann, bob, _, room = trio("removed")
    ann.call(c.UserMessage(room=room, message="while in"))
    world.run(2)
    before = envelopes(ann)
    ann.call(c.MemberRemove(room=room, username="bob"))
    for number in range(5):
        ann.call(c.UserMessage(room=room, message=f"secret {number}"))
    world.run(5)
    sent = envelopes(ann) - before
    assert len(sent) >= 7
    plains = opened(bob, sent, channels(ann), devices(ann))
    assert not any(b"secret" in plain for plain in plains)


def test_the_whole_state_of_who_left_opens_nothing_sent_after_the_others_saw_it() -> None:
    world, ann, bob, cat, room = trio("left")
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(3)
    bob.call(c.UserLeave(room=room))
    world.run(3)
    before = envelopes(ann)
    seen = ann.attach()
    cat.call(c.UserMessage(room=room, message="secret of cat"))
    ann.call(c.UserMessage(room=room, message="secret of ann"))
    world.run(3)
    sent = envelopes(ann) - before
    assert sorted(texts(seen)) == ["secret of ann", "secret of cat"]
    assert opened(bob, sent, channels(ann), devices(ann)) == []


def test_the_whole_state_of_a_newcomer_opens_nothing_sent_before() -> None:
    world, ann, bob, cat, room = trio("newcomer")
    for number in range(5):
        ann.call(c.UserMessage(room=room, message=f"old {number}"))
        bob.call(c.UserMessage(room=room, message=f"older {number}"))
        world.run(1)
    before = envelopes(ann)
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(3)
    assert opened(cat, before, channels(ann), devices(ann)) == []


def test_what_a_member_has_read_cannot_be_opened_again_with_what_is_left_of_its_keys() -> None:
    world, ann, bob, _, room = trio("forward")
    before = envelopes(ann)
    ann.call(c.UserMessage(room=room, message="read and gone"))
    world.run(2)
    sent = envelopes(ann) - before
    assert opened(bob, sent, channels(ann), devices(ann)) == []
    assert opened(ann, sent, channels(ann), devices(ann)) == []
