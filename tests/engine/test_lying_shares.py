"""Members who give an epoch that they know to be something else, and what it is worth to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from node.chat import commands as c, epoch_shares
from node.chat.epochs import Epoch
from node.crypto import roommsg
from node.crypto.chain import SendChain
from node.crypto.channel import Channel, ChannelKind
from node.crypto.roommsg import Kind
from node.sim import SimNode, Simulation
from node.wire.payload import Type
from tests.engine.hostile import direct, no_late_faults, post, release, room_of, still_talk, text, turn_of
from tests.engine.test_epoch_shares import leave_out
from tests.engine.test_ruling import quartet
from tests.engine.worlds import texts

FALSE = b"\x13" * 32
KEY = b"\x14" * 32


def false_share(held: Epoch, maker: SimNode, index: int = 0) -> list[Any]:
    """Return a share of a true announce with a channel of the maker's own and a chain of its own in it."""
    return [1, held.row.announce, FALSE, FALSE, [[maker.setup.identity.device_id, index, KEY]], []]


def say(node: SimNode, held: Epoch, words: str, index: int = 0) -> None:
    """Say something on the false channel."""
    room = room_of(node)
    inner = roommsg.seal(
        SendChain(KEY, index),
        kind=Kind.MESSAGE,
        room_id=room.room_id,
        epoch16=held.epoch16,
        device_id=room.me.device_id,
        view16=room.log.view16,
        payload=text(node, words).encode(),
        dsk_sk=room.me.identity.dsk_sk,
        entropy=node.setup.entropy,
    )[1]
    post(node, Channel(ChannelKind.ROOM, FALSE), inner)


def lied_to(world: Simulation, liar: SimNode, victim: SimNode, index: int = 0) -> Epoch:
    """Let a member leave another out of an epoch and give it false keys for that; nobody else is there."""
    maker = leave_out(liar, victim)
    world.run(1)
    direct(liar, victim, Type.EPOCH_SHARE, false_share(maker, liar, index))
    world.run(1)
    assert room_of(victim).epochs.held[maker.epoch16].row.channel_secret == FALSE
    return maker


@pytest.mark.attack("A22")
def test_who_speaks_on_a_channel_of_its_own_does_not_keep_the_true_one_out() -> None:
    world, ann, bob, cat, room = quartet("own channel")
    seen = ann.attach()
    bob.crash()
    maker = lied_to(world, cat, ann)
    say(cat, maker, "only here")
    world.run(2)
    assert texts(seen) == ["only here"]
    bob.start()
    world.run(15)
    bob.call(c.UserMessage(room=room, message="true"))
    assert world.run_until(lambda: texts(seen)[-1:] == ["true"], 1200)
    assert room_of(ann).epochs.held[maker.epoch16].row.channel_secret == maker.row.channel_secret
    still_talk(world, ann, bob, room)
    no_late_faults(ann, bob, cat)


@pytest.mark.attack("A18")
@pytest.mark.parametrize("speaks", [False, True])
def test_a_share_does_not_widen_the_cut_of_who_is_removed(speaks: bool) -> None:
    world, ann, bob, cat, room = quartet("cut")
    bob.crash()
    maker = lied_to(world, cat, ann, 19_000)
    if speaks:
        say(cat, maker, "far on", 19_000)
        world.run(1)
    ann.call(c.MemberRemove(room=room, username="cat"))
    device = cat.setup.identity.device_id
    cut = room_of(ann).log.cut_for(device)
    assert cut is not None and cut[maker.epoch16] == -1


def test_a_chain_that_nobody_can_have_come_so_far_with_is_refused() -> None:
    world, ann, bob, cat, _ = quartet("far")
    maker = leave_out(cat, ann)
    world.run(1)
    direct(cat, ann, Type.EPOCH_SHARE, false_share(maker, cat, (1 << 32) - 1))
    world.run(1)
    assert maker.epoch16 not in room_of(ann).epochs.held
    no_late_faults(ann, bob, cat)


@pytest.mark.attack("A22")
def test_two_liars_together_do_not_cut_anybody_off() -> None:
    world, ann, bob, cat, room = quartet("two liars")
    maker = leave_out(cat, ann)
    at_bob = bob.attach()
    world.partition({"ann", "cat"}, {"bob"})
    world.run(1)
    direct(cat, ann, Type.EPOCH_SHARE, false_share(maker, cat))
    world.run(1)
    held = room_of(ann).epochs.held[maker.epoch16]
    held.row = replace(held.row, proven=True)  # as if by a second account of cat's
    world.heal()
    world.run(10)
    ann.call(c.RoomRekey(room=room))
    ann.call(c.UserMessage(room=room, message="here I am"))
    at_ann = ann.attach()
    world.run(10)
    assert texts(at_bob) == ["here I am"]
    bob.call(c.UserMessage(room=room, message="and I"))
    world.run(10)
    assert texts(at_ann) == ["here I am", "and I"]


@pytest.mark.attack("A22")
def test_a_false_share_and_the_true_one_at_one_moment_leave_the_true_channel() -> None:
    world, ann, bob, cat, room = quartet("one moment")
    seen = ann.attach()
    maker = leave_out(cat, ann)
    world.run(0.5)
    turn, here = turn_of(ann), room_of(ann)
    cats, bobs = (node.setup.identity.device_id for node in (cat, bob))
    true = epoch_shares.share_of(room_of(bob).epochs.held[maker.epoch16], bobs, ann.setup.identity.device_id)
    for body, giver in ((false_share(maker, cat), cats), (true, bobs)):
        epoch_shares.take(turn, here, epoch_shares.judge(turn, here, body), giver)
    release(ann, turn)
    bob.call(c.UserMessage(room=room, message="true"))
    world.run(3)
    assert texts(seen) == ["true"]
