"""Announces posted again: who was away when keys were renewed goes on with everybody."""

from __future__ import annotations

import pytest

from node.chat import commands as c
from node.chat.reposts import HUSH, JITTER
from node.crypto.channel import Inner
from node.sim import SimNode, Simulation
from node.store.records import DropEnvelopes
from node.wire import codec
from tests.engine.hostile import (
    engine_of,
    inbox_of,
    no_late_faults,
    post,
    release,
    room_inner,
    room_of,
    sending,
    still_talk,
    text,
    turn_of,
)
from tests.engine.test_missing_ops import Posted
from tests.engine.test_ruling import quartet
from tests.engine.worlds import texts

DAY = 86_400


def rekey(node: SimNode, times: int = 1) -> None:
    """Let a node renew its room's keys."""
    for _ in range(times):
        turn = turn_of(node)
        room_of(node).rekey(turn, 3)
        release(node, turn)


def evict(*nodes: SimNode) -> None:
    """Let nodes lose every envelope that they hold, as if short of room, and start again."""
    for node in nodes:
        node.crash()
        node.store.commit([DropEnvelopes(tuple(eid for eid, _, _ in node.store.load().envelopes))])
        node.start()


def away(world: Simulation, seed: str, days: int = 30) -> None:
    """Let bob be away for days; meanwhile the keys are renewed weekly, and no envelope of that is left."""
    ann, bob, cat = (world.nodes[name] for name in ("ann", "bob", "cat"))
    for week in range(4):
        for node in (ann, bob, cat):
            if node.up:
                node.crash()
        world.run(1)
        world.time += days * DAY / 4
        ann.start()
        cat.start()
        world.run(5)
        rekey((ann, cat)[week % 2])
        world.run(2)
    world.time += 3600
    evict(ann, cat)
    world.run(5)


def names(node: SimNode, member: SimNode) -> set[bytes]:
    """Return the epochs which a node holds and whose roster names a member."""
    device = member.setup.identity.device_id
    return {epoch16 for epoch16, held in room_of(node).epochs.held.items() if device in held.devices}


def newest(node: SimNode) -> bytes:
    return room_of(node).epochs.tips()[0].epoch16


def test_who_is_back_after_thirty_days_reads_on_though_no_envelope_is_left() -> None:
    world, ann, bob, cat, room = quartet("thirty days")
    away(world, "beat")
    assert newest(ann) == newest(cat)
    bob.start()
    hears = bob.attach()
    world.run(90)
    assert newest(bob) == newest(ann), "its beat was enough"
    assert names(bob, bob) >= names(ann, bob)
    ann.call(c.UserMessage(room=room, message="welcome back"))
    world.run(5)
    assert texts(hears) == ["welcome back"]
    still_talk(world, bob, cat, room)
    no_late_faults(ann, bob, cat)


def test_who_speaks_under_a_superseded_epoch_is_given_the_newer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.engine.upkeep.SILENCE_MS", 10**15)
    world, ann, bob, cat, room = quartet("speaks late")
    away(world, "speaks", days=6)
    posted = Posted(monkeypatch)
    bob.start()
    world.run(30)
    assert newest(bob) != newest(ann), "nothing told it"
    hears = ann.attach()
    bob.call(c.UserMessage(room=room, message="anybody?"))
    world.run(JITTER + 5)
    assert texts(hears) == ["anybody?"]
    assert newest(bob) == newest(ann)
    assert len(posted.of(Inner.ANNOUNCE)) == 4, "each of the four once"
    no_late_faults(ann, bob, cat)


def test_who_makes_new_keys_beside_newer_ones_that_it_lacks_is_given_those(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.engine.upkeep.SILENCE_MS", 10**15)
    world, ann, bob, cat, room = quartet("rekeys late")
    away(world, "rekeys")
    bob.start()
    world.run(30)
    bob.call(c.UserMessage(room=room, message="anybody?"))
    world.run(JITTER + 5)
    assert newest(bob) == newest(ann) == newest(cat)
    assert names(bob, bob) >= names(ann, bob)
    no_late_faults(ann, bob, cat)


def test_who_helps_may_be_killed_before_its_turn_and_helps_at_the_next_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.engine.upkeep.SILENCE_MS", 10**15)
    world, ann, bob, cat, room = quartet("killed")
    away(world, "killed", days=6)
    bob.start()
    world.run(5)
    bob.call(c.UserMessage(room=room, message="one"))
    holders = [inbox_of(node).reposts for node in (ann, cat)]
    assert world.run_until(lambda: all(h.deadline is not None for h in holders), 5)
    ann.crash()
    cat.crash()
    ann.start()
    cat.start()
    world.run(30)
    assert newest(bob) != newest(ann)
    bob.call(c.UserMessage(room=room, message="two"))
    world.run(JITTER + 5)
    assert newest(bob) == newest(ann)


def test_a_member_beyond_a_partition_of_two_days_is_not_forgotten() -> None:
    world, ann, bob, cat, room = quartet("parted")
    world.run(130)
    world.partition(["ann", "cat"], ["bob"])
    for _ in range(2):
        for node in (ann, bob, cat):
            node.crash()
        world.run(1)
        world.time += DAY
        for node in (ann, bob, cat):
            node.start()
        world.run(5)
        rekey(ann, 2)
    world.run(700)
    evict(ann, cat)
    world.heal()
    world.run(200)
    assert newest(bob) == newest(ann)
    still_talk(world, ann, bob, room)


# -- what a member can make of it ------------------------------------------------------------------


@pytest.mark.attack("A36")
def test_posting_under_old_keys_again_and_again_brings_each_announce_once_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, ann, bob, cat, room = quartet("provoked")
    old = sending(bob)
    rekey(ann, 3)
    world.run(100)
    posted = Posted(monkeypatch)
    for number in range(30):
        held = room_of(bob).epochs.held
        for epoch16 in [one for one in held if one != old.epoch16]:
            del held[epoch16]
        post(bob, old.channel, room_inner(bob, text(bob, f"m{number}")))
        world.run(60)
        for node in (ann, cat):
            inbox_of(node).reposts._helped.clear()
    assert 3 <= len(posted.of(Inner.ANNOUNCE)) <= 3 * (1 + int(30 * 60 / HUSH))
    world.run(2 * HUSH)


def test_a_copy_of_an_announce_with_other_slots_keeps_nobody_from_posting_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.engine.upkeep.SILENCE_MS", 10**15)
    world, ann, bob, cat, room = quartet("false copy")
    away(world, "copy", days=6)
    bob.start()
    world.run(5)
    first = next(e for e in room_of(ann).epochs.held.values() if sending(bob).epoch16 in e.announce.parents)
    inbox_of(cat).reposts.spoke = lambda *_: None  # type: ignore[method-assign]
    bob.call(c.UserMessage(room=room, message="anybody?"))
    post(cat, sending(bob).channel, codec.pack([2, first.row.announce, b"\x90"]))
    world.run(JITTER + 5)
    assert newest(bob) == newest(ann)


def test_a_copy_where_the_absent_do_not_read_keeps_nobody_from_posting_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.engine.upkeep.SILENCE_MS", 10**15)
    world, ann, bob, cat, room = quartet("copy elsewhere")
    away(world, "elsewhere", days=6)
    bob.start()
    world.run(5)
    first = next(e for e in room_of(ann).epochs.held.values() if sending(bob).epoch16 in e.announce.parents)
    slots = room_of(cat).epochs.slots.kept[first.epoch16]
    inbox_of(cat).reposts.spoke = lambda *_: None  # type: ignore[method-assign]
    post(cat, sending(cat).channel, codec.pack([2, first.row.announce, slots]))
    world.run(1)
    bob.call(c.UserMessage(room=room, message="anybody?"))
    world.run(JITTER + 5)
    assert newest(bob) == newest(ann)


def test_nobody_helps_who_is_out_of_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ann, bob, cat, room = quartet("out")
    old, inner = sending(cat), room_inner(cat, text(cat, "let me"))
    ann.call(c.MemberRemove(room=room, username="cat"))
    world.run(100)
    posted = Posted(monkeypatch)
    post(cat, old.channel, inner)
    world.run(30)
    assert posted.of(Inner.ANNOUNCE) == []


def test_slots_are_kept_bounded_and_gone_with_their_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chat.slots.MAX_BYTES", 700)
    world, ann, bob, cat, room = quartet("slots")
    rekey(ann, 8)
    world.run(2)
    for node in (ann, bob):
        stored = [key for key in node.store.load().rows["chains"] if key.startswith(b"slots")]
        assert [key[5:] for key in stored] == list(room_of(node).epochs.slots.kept)
        assert 2 <= len(stored) <= 5
        assert newest(node) in room_of(node).epochs.slots.kept
    before = list(room_of(ann).epochs.slots.kept)
    ann.crash()
    ann.start()
    assert list(room_of(ann).epochs.slots.kept) == before
    monkeypatch.setattr("node.chat.epochs.MAX_EPOCHS", 2)
    rekey(ann, 1)
    stored = [key[5:] for key in ann.store.load().rows["chains"] if key.startswith(b"slots")]
    assert set(stored) <= set(room_of(ann).epochs.held)
    assert engine_of(ann).late_faults == 0
