"""Keys are renewed by age, by volume and by command: by one member, and not more than there is reason for."""

from __future__ import annotations

import pytest

from node.chat import commands as c, renewal
from node.chat.renewal import SPREAD_MS, spread
from node.crypto.channel import Inner
from node.sim import CallError, SimNode
from tests.engine.hostile import later_on, no_late_faults, post, room_of, sending, still_talk
from tests.engine.test_hostile_members import announce
from tests.engine.test_missing_ops import Posted
from tests.engine.test_ruling import quartet
from tests.engine.worlds import befriend, invite, texts, trio


def say(node: SimNode, room: str, times: int) -> None:
    for number in range(times):
        node.call(c.UserMessage(room=room, message=f"{node.name} {number}"))


@pytest.mark.parametrize("by", ["age", "messages", "bytes"])
def test_a_worn_epoch_is_renewed_once_by_who_comes_first(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world, ann, bob, cat, room = quartet(f"worn {by}")
    old = sending(ann)
    if by == "age":
        later_on(world, 8, ann, bob, cat)
        world.run(5)
    else:
        monkeypatch.setattr(renewal, "EPOCH_MESSAGES" if by == "messages" else "EPOCH_BYTES", 10)
    for node in (ann, bob, cat):
        say(node, room, 4)
    assert sending(ann).epoch16 == old.epoch16, "nothing is held up"
    world.run(2)
    posted = Posted(monkeypatch)
    monkeypatch.setattr(renewal, "EPOCH_MESSAGES", 10_000)
    monkeypatch.setattr(renewal, "EPOCH_BYTES", 1 << 30)
    world.run(10)
    new = {sending(node).epoch16 for node in (ann, bob, cat)}
    assert len(new) == 1
    if by == "age":
        assert new != {old.epoch16}
    assert len(posted.of(Inner.ANNOUNCE)) <= 1
    still_talk(world, ann, cat, room)
    no_late_faults(ann, bob, cat)


def test_messages_of_all_count_and_the_count_outlives_a_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chat.epochs.SAVE_MESSAGES", 4)
    monkeypatch.setattr(renewal, "EPOCH_MESSAGES", 20)
    world, ann, bob, cat, room = trio("count")
    world.run(5)
    old = sending(ann).epoch16
    before = sending(ann).messages
    say(ann, room, 4)
    say(bob, room, 4)
    world.run(2)
    assert sending(ann).messages == before + 8
    assert sending(ann).volume > 8 * 200
    ann.crash()
    ann.start()
    assert before + 4 < sending(ann).messages <= before + 8
    say(bob, room, 12)
    world.run(2)
    say(ann, room, 1)
    world.run(8)
    assert sending(ann).epoch16 == sending(bob).epoch16 != old
    assert sending(ann).messages < 20


def test_a_quiet_room_speaks_at_once_under_keys_that_are_being_renewed() -> None:
    world, ann, bob, cat, room = trio("quiet")
    later_on(world, 10, ann, bob, cat)
    world.run(5)
    seen = bob.attach()
    ann.call(c.UserMessage(room=room, message="good morning"))
    world.run(1)
    assert "good morning" in texts(seen)
    later_on(world, 15, ann, bob, cat)
    old = room_of(ann).epochs.tips()[0].epoch16
    ann.call(c.UserMessage(room=room, message="two weeks later"))
    assert sending(ann).epoch16 != old, "older than that nothing is sealed under"


def test_everybody_waits_a_moment_of_its_own() -> None:
    waits = [spread(bytes([epoch]) * 16, bytes([device]) * 16) for epoch in range(4) for device in range(64)]
    assert all(0 <= wait < SPREAD_MS / 1000 for wait in waits)
    assert len(set(waits)) > 50


def test_the_owner_renews_the_keys_once_a_minute() -> None:
    world, ann, bob, cat, room = trio("command")
    old = sending(ann).epoch16
    answer = bob.call(c.RoomRekey(room=room))
    assert answer == {"room": room, "epoch": sending(bob).epoch16.hex()}
    world.run(2)
    assert sending(ann).epoch16 == sending(bob).epoch16 != old
    with pytest.raises(CallError, match="rate_limited"):
        bob.call(c.RoomRekey(room=room))
    world.run(61)
    assert bob.call(c.RoomRekey(room=room))["epoch"] == sending(bob).epoch16.hex()
    still_talk(world, ann, bob, room)


def test_keys_are_renewed_by_command_only_where_one_is_a_member() -> None:
    world, ann, bob, cat, room = trio("refused")
    with pytest.raises(CallError, match="room_not_found"):
        cat.call(c.RoomRekey(room=room))
    direct = ann.call(c.DmOpen(username="bob"))["room"]
    with pytest.raises(CallError, match="direct_room"):
        ann.call(c.RoomRekey(room=direct))
    ann.call(c.RoomDelete(room=room))
    with pytest.raises(CallError, match="room_deleted"):
        ann.call(c.RoomRekey(room=room))


@pytest.mark.attack("A36")
def test_announces_at_old_heads_make_nobody_renew_keys_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, ann, bob, cat, room = quartet("old heads")
    dan = world.add("dan", peers=["cat"])
    world.run(2)
    befriend(world, ann, dan)
    invite(world, ann, dan, room)
    world.run(5)
    log = room_of(bob).log
    states = [op.op_id for op in log.ops_in_order() if op.type.name in {"CREATE", "ADD"}]
    base = next(h for h in room_of(bob).epochs.held.values() if len(h.devices) == 2)
    own = ann.setup.identity.device_id
    count = sum(h.announce.creator_device == own for h in room_of(ann).epochs.held.values())
    for _ in range(20):
        for head in states[1:]:
            members = log.roster_at((head,)).members.values()
            pairs = [(m.device_id, m.leaf) for m in members]
            beside = announce(
                bob, gen=base.announce.gen + 1, parents=(base.epoch16,), heads=(head,), members=pairs
            )
            post(bob, base.channel, beside.inner)
            world.run(1)
    made = sum(h.announce.creator_device == own for h in room_of(ann).epochs.held.values()) - count
    assert 1 <= made <= 2
    still_talk(world, ann, cat, room)
    no_late_faults(ann, cat)
