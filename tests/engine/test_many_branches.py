"""Epochs made at old heads, which any member can make: the next one reaches who came since all the same."""

from __future__ import annotations

import pytest

from node.chat import commands as c
from node.chat.epoch_wants import MAX_WANTS, NEWEST
from node.chat.epochs import MAX_PARENTS
from node.crypto.epoch import create_epoch
from node.sim import SimNode
from tests.engine.hostile import (
    engine_of,
    inbox_of,
    no_late_faults,
    post,
    release,
    room_of,
    sending,
    still_talk,
    turn_of,
)
from tests.engine.test_reposts import rekey
from tests.engine.test_ruling import quartet
from tests.engine.worlds import befriend, invite


def branch(maker: SimNode, heads: tuple[bytes, ...], gen: int) -> None:
    """Announce an epoch for those who were in the room at old heads, on the channel of an old epoch."""
    room, turn = room_of(maker), turn_of(maker)
    roster = room.log.roster_at(heads)
    under = next(h for h in room.epochs.held.values() if h.devices == frozenset(roster.devices))
    new = create_epoch(
        maker.setup.identity,
        room_id=room.room_id,
        gen=gen,
        parents=(under.epoch16, *(bytes([gen, n]) * 8 for n in range(3))),
        heads=heads,
        members=[(m.device_id, room.leaves.of(m)) for m in roster.members.values()],
        now_ms=turn.mesh_ms,
        reason=3,
        entropy=turn.entropy,
    )
    release(maker, turn)
    post(maker, under.channel, new.inner)


@pytest.mark.attack("A22")
def test_branches_at_old_heads_do_not_cut_a_newcomer_off() -> None:
    world, ann, bob, cat, room = quartet("branches")
    heads = room_of(cat).log.heads
    dan = world.add("dan", peers=["cat"])
    world.run(2)
    befriend(world, ann, dan)
    invite(world, ann, dan, room)
    world.run(4)
    for number in range(MAX_PARENTS + 1):
        branch(cat, heads, 100 + number)
    world.run(2)
    assert max(held.announce.gen for held in room_of(ann).epochs.held.values()) > 100
    rekey(ann)
    world.run(2)
    assert sending(dan).epoch16 == sending(ann).epoch16 == sending(bob).epoch16
    still_talk(world, ann, dan, room)
    ann.call(c.MemberRemove(room=room, username="cat"))
    world.run(2)
    still_talk(world, bob, dan, room)
    assert engine_of(dan).late_faults == 0
    no_late_faults(ann, bob)


@pytest.mark.attack("A36")
def test_nobody_brings_a_room_to_the_end_of_the_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chat.epoch_inbox.MAX_GENERATION", 50)
    world, ann, bob, cat, room = quartet("generations")
    branch(cat, room_of(cat).log.heads, 51)
    branch(cat, room_of(cat).log.heads, 49)
    world.run(2)
    rekey(ann, 3)
    world.run(2)
    assert sending(bob).announce.gen == sending(ann).announce.gen == 52
    branch(cat, room_of(cat).log.heads, 60)
    world.run(2)
    assert sending(bob).announce.gen == 52
    still_talk(world, ann, bob, room)


def test_however_much_is_asked_for_keys_that_are_lost_are_asked_for_as_well() -> None:
    _, ann, _, _, _ = quartet("crowded out")
    turn, wants = turn_of(ann), inbox_of(ann).wants
    for number in range(MAX_WANTS):
        wants.note(turn, bytes([number + 1]) * 16, b"", hearsay=True)
    wants.note(turn, NEWEST, b"")
    assert NEWEST in wants.open and len(wants.open) <= MAX_WANTS
