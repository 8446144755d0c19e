"""Epochs that somebody cannot open come from another member; who is not entitled gets nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from node.chat import commands as c, epoch_shares, events
from node.chat.epoch_wants import NEWEST
from node.chat.epochs import Epoch
from node.crypto import epoch as epochs, ops
from node.crypto.keys import Identity
from node.sim import CallError, SimNode
from node.store.records import Delete
from node.wire.payload import Type
from tests.engine.hostile import (
    direct,
    engine_of,
    inbox_of,
    no_late_faults,
    release,
    room_of,
    sending,
    still_talk,
    turn_of,
)
from tests.engine.test_reposts import evict, rekey
from tests.engine.test_ruling import quartet
from tests.engine.worlds import befriend, invite, texts


def leave_out(maker: SimNode, *others: SimNode) -> Epoch:
    """Let a node make an epoch whose slots for the others do not open."""
    room, out = room_of(maker), {other.setup.identity.account for other in others}
    real, wrong = room.leaves.of, ops.Leaf(77, Identity.generate(bytes, 1).dik_pub)
    room.leaves.of = lambda m: wrong if m.account in out else real(m)  # type: ignore[method-assign]
    rekey(maker)
    room.leaves.of = real  # type: ignore[method-assign]
    return sending(maker)


def warned(node: SimNode, seen: Any) -> list[str]:
    return [w.code for w in seen.of(events.Warning)]


@pytest.mark.attack("A22")
@pytest.mark.parametrize("killed", [False, True])
def test_who_is_left_out_of_an_epoch_gets_it_from_another_member(killed: bool) -> None:
    world, ann, bob, cat, room = quartet(f"left out {killed}")
    seen = ann.attach()
    bad = leave_out(bob, ann)
    world.run(1)
    assert warned(ann, seen) == ["epoch_slot_omitted"]
    if killed:
        ann.crash()
        world.run(5)
        ann.start()
        seen = ann.attach()
    world.run(60)
    held = room_of(ann).epochs.held[bad.epoch16]
    assert held.send is None, "nothing is sealed under it here"
    bob.call(c.UserMessage(room=room, message="not for ann"))
    world.run(2)
    cat.call(c.UserMessage(room=room, message="nor this"))
    world.run(5)
    assert texts(seen) == ["not for ann", "nor this"]
    still_talk(world, ann, bob, room)
    still_talk(world, ann, cat, room)
    assert inbox_of(ann).wants.open == {}
    no_late_faults(ann, bob, cat)


@pytest.mark.attack("A22")
def test_who_is_given_another_secret_gets_that_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ann, bob, cat, room = quartet("split")
    seen, out = ann.attach(), ann.setup.identity.device_id
    real = epochs._slot

    def split(secret: bytes, ek: Any, salted: bytes, device_id: bytes, leaf: Any) -> bytes:
        return real(bytes(32) if device_id == out else secret, ek, salted, device_id, leaf)

    monkeypatch.setattr(epochs, "_slot", split)
    rekey(bob)
    monkeypatch.setattr(epochs, "_slot", real)
    world.run(40)
    assert warned(ann, seen) == ["epoch_split"]
    cat.call(c.UserMessage(room=room, message="whole"))
    world.run(3)
    assert texts(seen) == ["whole"]
    still_talk(world, ann, cat, room)
    no_late_faults(ann, bob, cat)


@pytest.mark.attack("A34")
def test_a_node_that_lost_its_rooms_keys_reads_on_and_speaks_again() -> None:
    world, ann, bob, cat, room = quartet("lost")
    cat.call(c.UserMessage(room=room, message="before"))
    world.run(2)
    ann.crash()
    rows = ann.store.load().rows
    ann.store.commit([Delete(table, key) for table in ("epochs", "chains", "leaves") for key in rows[table]])
    evict(bob, cat)
    ann.start()
    with pytest.raises(CallError, match="room_keys_lost"):
        ann.call(c.UserMessage(room=room, message="too early"))
    with pytest.raises(CallError, match="room_keys_lost"):
        ann.call(c.RoomRekey(room=room))
    world.run(90)
    seen = ann.attach(resume=None, plain=False)
    bob.call(c.UserMessage(room=room, message="do you read?"))
    world.run(2)
    cat.call(c.UserMessage(room=room, message="do you?"))
    world.run(5)
    assert texts(seen) == ["do you read?", "do you?"]
    still_talk(world, ann, bob, room)
    rekey(bob)
    world.run(2)
    assert sending(ann).epoch16 == sending(bob).epoch16, "its leaf was renewed with its first message"
    assert sending(ann).send is not None
    no_late_faults(ann, bob, cat)


@pytest.mark.attack("A34")
def test_a_node_that_was_rolled_back_reads_on() -> None:
    world, ann, bob, cat, room = quartet("rolled back")
    old = ann.snapshot()
    for _ in range(3):
        rekey(bob)
        world.run(2)
    ann.crash()
    ann.store.restore(old)
    world.time += 3600
    evict(bob, cat)
    ann.start()
    seen = ann.attach()
    world.run(90)
    bob.call(c.UserMessage(room=room, message="do you read?"))
    world.run(5)
    assert texts(seen) == ["do you read?"]
    no_late_faults(ann, bob, cat)


def test_a_large_share_goes_as_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.engine.sharing.MAX_SMALL", 100)
    world, ann, bob, cat, room = quartet("large")
    bad = leave_out(bob, ann)
    world.run(90)
    assert bad.epoch16 in room_of(ann).epochs.held
    seen = ann.attach()
    cat.call(c.UserMessage(room=room, message="in parts"))
    world.run(3)
    assert texts(seen) == ["in parts"]


def test_chains_are_given_from_where_they_stand_with_the_seeds_before() -> None:
    world, ann, bob, cat, room = quartet("standing")
    bob.call(c.UserMessage(room=room, message="one"))
    world.run(2)
    held = sending(cat)
    share = epoch_shares.share_of(held, cat.setup.identity.device_id, ann.setup.identity.device_id)
    given = {device: (index, key) for device, index, key in share[4]}
    own, bobs = cat.setup.identity.device_id, bob.setup.identity.device_id
    assert held.send is not None
    assert given[own] == (held.send.index, held.send.key)
    assert given[bobs] == (held.recv[bobs].next_index, held.recv[bobs].key)
    assert ann.setup.identity.device_id not in given


# -- who is given what -----------------------------------------------------------------------------


def asked(node: SimNode, other: SimNode, epoch16: bytes) -> None:
    direct(node, other, Type.EPOCH_WANT, [room_of(other).room_id, epoch16])


class Given:
    """The shares that nodes make from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.epochs: list[bytes] = []
        real = epoch_shares.share_of

        def watched(held: Epoch, own: bytes, asker: bytes) -> list[Any]:
            self.epochs.append(held.epoch16)
            return real(held, own, asker)

        monkeypatch.setattr(epoch_shares, "share_of", watched)


@pytest.mark.attack("A18")
def test_no_epoch_is_given_to_whom_its_roster_does_not_name(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ann, bob, cat, room = quartet("entitled")
    before = [held.epoch16 for held in room_of(ann).epochs.held.values() if len(held.devices) < 3]
    assert before
    given = Given(monkeypatch)
    for epoch16 in before:
        asked(cat, ann, epoch16)
    world.run(2)
    assert given.epochs == []
    asked(cat, ann, sending(ann).epoch16)
    asked(cat, ann, b"\x77" * 16)
    world.run(2)
    assert given.epochs == [sending(ann).epoch16]


@pytest.mark.attack("A18")
def test_who_was_removed_is_given_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ann, bob, cat, room = quartet("removed")
    old = sending(cat).epoch16
    ann.call(c.MemberRemove(room=room, username="cat"))
    world.run(3)
    given = Given(monkeypatch)
    for epoch16 in (old, sending(ann).epoch16, NEWEST):
        asked(cat, ann, epoch16)
    world.run(3)
    assert given.epochs == []
    no_late_faults(ann)


@pytest.mark.attack("A36")
def test_an_epoch_is_given_seldom_however_often_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ann, bob, cat, room = quartet("seldom")
    rekey(ann, 12)
    world.run(5)
    given = Given(monkeypatch)
    for _ in range(3):
        for epoch16 in room_of(ann).epochs.held:
            asked(cat, ann, epoch16)
        world.run(60)
    assert len(given.epochs) == len(set(given.epochs)) == 8


# -- who lies --------------------------------------------------------------------------------------


def test_who_was_given_a_false_channel_is_heard_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ann, bob, cat, room = quartet("false channel")
    real = epoch_shares.share_of
    monkeypatch.setattr(
        epoch_shares, "share_of", lambda *how: [*real(*how)[:2], b"\x13" * 32, *real(*how)[3:]]
    )
    bob.crash()
    maker = leave_out(cat, ann)
    assert world.run_until(lambda: maker.epoch16 in room_of(ann).epochs.held, 400)
    ann.call(c.RoomRekey(room=room))
    ann.call(c.UserMessage(room=room, message="do you hear me?"))
    bob.start()
    reads = [bob.attach(), cat.attach()]
    world.run(30)
    assert [texts(session)[-1:] for session in reads] == [["do you hear me?"]] * 2


def test_wrong_keys_open_nothing_and_give_way_to_right_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ann, bob, cat, room = quartet("liar")
    real = epoch_shares.share_of
    liar = cat.setup.identity.device_id

    def lying(held: Epoch, own: bytes, asker: bytes) -> list[Any]:
        share = real(held, own, asker)
        if own == liar:
            share[2] = b"\x13" * 32
        return share

    monkeypatch.setattr(epoch_shares, "share_of", lying)
    bob.crash()
    maker = leave_out(cat, ann)
    hears = ann.attach()
    assert world.run_until(lambda: maker.epoch16 in room_of(ann).epochs.held, 400)
    first = room_of(ann).epochs.held[maker.epoch16].row
    assert first.channel_secret != maker.row.channel_secret, "the liar was first"
    assert not first.proven
    bob.start()
    world.run(15)
    bob.call(c.UserMessage(room=room, message="true"))
    assert world.run_until(lambda: texts(hears) == ["true"], 1200)
    held = room_of(ann).epochs.held[maker.epoch16].row
    assert held.channel_secret == maker.row.channel_secret
    world.run(1200)
    stayed = room_of(ann).epochs.held[maker.epoch16].row
    assert replace(stayed, proven=True) == replace(held, proven=True), "what opens stays"
    still_talk(world, ann, bob, room)


def test_a_share_that_was_not_asked_for_or_is_forged_changes_nothing() -> None:
    world, ann, bob, cat, room = quartet("unasked")
    turn = turn_of(bob)
    strange = epochs.create_epoch(
        bob.setup.identity,
        room_id=room_of(bob).room_id,
        gen=9,
        parents=(b"\x01" * 16,),
        heads=room_of(bob).log.heads,
        members=[(m.device_id, m.leaf) for m in room_of(bob).log.roster.members.values()],
        now_ms=turn.mesh_ms,
        reason=3,
        entropy=turn.entropy,
    )
    release(bob, turn)
    before = dict(room_of(ann).epochs.held)
    direct(bob, ann, Type.EPOCH_SHARE, [1, strange.announce, bytes(32), bytes(32), [], []])
    world.run(2)
    assert room_of(ann).epochs.held == before
    forged = strange.announce[:-1] + bytes([strange.announce[-1] ^ 1])
    turn = turn_of(ann)
    for announce in (strange.announce, forged):
        inbox_of(ann).wants.note(turn, epochs.parse_announce(announce).epoch16, b"")
    release(ann, turn)
    ghost = [b"\x55" * 16, 0, bytes(32)]
    for announce, given in ((forged, []), (strange.announce, [ghost]), (strange.announce[:-70], [])):
        direct(bob, ann, Type.EPOCH_SHARE, [1, announce, bytes(32), bytes(32), given, []])
    world.run(2)
    assert room_of(ann).epochs.held == before
    no_late_faults(ann)
    still_talk(world, ann, bob, room)


def test_a_newcomer_does_not_go_on_asking_for_what_was_before_it() -> None:
    world, ann, bob, cat, room = quartet("hearsay")
    dan = world.add("dan", peers=["cat"])
    world.run(2)
    befriend(world, ann, dan)
    invite(world, ann, dan, room)
    world.run(10)
    rekey(bob)
    world.run(600)
    assert inbox_of(dan).wants.open == {}
    assert engine_of(dan).late_faults == 0
