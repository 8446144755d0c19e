"""In large rooms one epoch is made for all who come in one go, and everybody is welcomed into it."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest

from node.chat import batches, commands as c, events
from node.chat.room import Room
from node.crypto import keys
from node.crypto.channel import Channel, Inner
from node.crypto.keys import Identity
from node.crypto.ops import Device, Leaf
from node.sim import SimNode, SimSession, Simulation
from node.store.records import Delete
from node.wire import codec
from tests.engine.hostile import engine_of, no_late_faults, post, room_of, sending, turn_of
from tests.engine.worlds import joined, texts, trio


def crowd(
    seed: str, monkeypatch: pytest.MonkeyPatch, guests: int = 4
) -> tuple[Simulation, str, list[SimNode]]:
    """Ann and bob in a room that counts as large, and guests with a link to it."""
    world, ann, bob, cat, room = trio(seed)
    monkeypatch.setattr(batches, "SMALL", 1)
    monkeypatch.setattr("node.engine.inbox.SMALL", 1)
    people = [world.add(f"g{number}", peers=["cat"]) for number in range(guests)]
    world.run(3)
    return world, room, people


def enter(world: Simulation, room: str, people: list[SimNode], link: str = "") -> list[SimSession]:
    link = link or world.nodes["ann"].call(c.RoomLinkCreate(room=room, uses=50))["link"]
    seen = [guest.attach() for guest in people]
    for guest in people:
        guest.call(c.RoomLinkUse(link=link))
    return seen


def inside(seen: list[SimSession], people: list[SimNode], room: str) -> int:
    return sum(joined(session, room, guest.name) for session, guest in zip(seen, people, strict=True))


def test_those_who_come_together_get_one_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    world, room, people = crowd("together", monkeypatch)
    ann = world.nodes["ann"]
    before = set(room_of(ann).epochs.held)
    seen = enter(world, room, people)
    world.run(batches.WAIT_MIDDLE - 2)
    assert inside(seen, people, room) == 0
    assert len(room_of(ann).log.roster.members) == 6
    assert set(room_of(ann).epochs.held) == before
    world.run(4)
    assert inside(seen, people, room) == 4
    assert len(set(room_of(ann).epochs.held) - before) == 1
    people[0].call(c.UserMessage(room=room, message="hello all"))
    world.run(3)
    assert all("hello all" in texts(session) for session in seen[1:])
    no_late_faults(ann, world.nodes["bob"], *people)


def test_a_message_in_between_makes_the_epoch_and_lets_everybody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    world, room, people = crowd("in between", monkeypatch)
    ann, bob = world.nodes["ann"], world.nodes["bob"]
    before = set(room_of(ann).epochs.held)
    seen = enter(world, room, people)
    world.run(5)
    bob.call(c.UserMessage(room=room, message="is somebody there?"))
    world.run(3)
    assert inside(seen, people, room) == 4
    assert len(set(room_of(ann).epochs.held) - before) == 1
    assert all(texts(session) == ["is somebody there?"] for session in seen)
    world.run(60)
    assert len(set(room_of(ann).epochs.held) - before) == 1


def test_a_batch_outlives_a_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    world, room, people = crowd("kill", monkeypatch)
    ann = world.nodes["ann"]
    seen = enter(world, room, people)
    world.run(5)
    ann.crash()
    world.run(60)
    assert inside(seen, people, room) == 0
    ann.start()
    world.run(10)
    assert inside(seen, people, room) == 4
    assert not [key for key in ann.store.load().rows["pending"] if key[:1] == b"n"]
    ann.crash()
    ann.start()
    world.run(10)
    assert sending(ann).devices == set(room_of(ann).log.roster.devices)


def test_two_adders_make_one_epoch_and_each_welcomes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    world, room, people = crowd("two adders", monkeypatch)
    ann, bob = world.nodes["ann"], world.nodes["bob"]
    before = set(room_of(ann).epochs.held)
    links = [node.call(c.RoomLinkCreate(room=room, uses=5))["link"] for node in (ann, bob)]
    world.run(2)
    seen = enter(world, room, people[:2], link=links[0])
    world.run(10)
    seen += enter(world, room, people[2:], link=links[1])
    world.run(10)
    assert len(room_of(ann).log.roster.members) == 6
    world.run(23)
    assert inside(seen, people, room) == 4
    assert len(set(room_of(ann).epochs.held) - before) == 1
    no_late_faults(ann, bob, *people)


def test_who_is_removed_while_it_waits_is_not_welcomed(monkeypatch: pytest.MonkeyPatch) -> None:
    world, room, people = crowd("removed", monkeypatch, guests=2)
    ann = world.nodes["ann"]
    seen = enter(world, room, people)
    world.run(5)
    ann.call(c.MemberRemove(room=room, username="g0"))
    world.run(40)
    assert inside(seen, people, room) == 1
    assert seen[0].of(events.UserJoin) == []
    assert engine_of(ann).state.joins.batches[room_of(ann).room_id].waiting == {}


def test_small_rooms_do_not_wait() -> None:
    world, ann, bob, cat, room = trio("small")
    seen = enter(world, room, [cat])
    world.run(2)
    assert inside(seen, [cat], room) == 1


@pytest.mark.parametrize(("members", "wait"), [(64, 0.0), (65, 30.0), (256, 30.0), (257, 120.0)])
def test_how_long_an_add_waits_goes_by_the_size_of_the_room(members: int, wait: float) -> None:
    roster = SimpleNamespace(members=range(members))
    batch = batches.Batch(cast(Room, SimpleNamespace(log=SimpleNamespace(roster=roster))))
    assert batch.wait() == wait


def test_a_batch_whose_room_has_no_keys_waits_and_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    world, room, people = crowd("no keys", monkeypatch, guests=2)
    ann = world.nodes["ann"]
    seen = enter(world, room, people)
    world.run(5)
    ann.crash()
    rows = ann.store.load().rows
    ann.store.commit([Delete(table, key) for table in ("epochs", "chains") for key in rows[table]])
    ann.start()
    world.run(100)
    assert inside(seen, people, room) == 2
    assert not engine_of(ann).state.joins.batches[room_of(ann).room_id].waiting


def test_a_newcomer_whose_invite_turned_out_void_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another greeter has added it too, by an invite that counts; ours was beside its author's removal."""
    world, room, people = crowd("void invite", monkeypatch)
    ann = world.nodes["ann"]
    seen = enter(world, room, people)
    world.run(5)
    waiting = engine_of(ann).state.joins.batches[room_of(ann).room_id].waiting
    assert len(waiting) == 4
    lost = people[0].setup.identity.account
    waiting[lost] = replace(waiting[lost], invite_id=b"\x01" * 16)
    world.run(batches.WAIT_MIDDLE + 5)
    assert waiting == {}
    assert inside(seen[1:], people[1:], room) == 3
    no_late_faults(ann)


@pytest.mark.attack("A36")
def test_who_is_at_another_device_before_its_welcome_does_not_make_us_renew_the_keys_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its account and any member who posts its `device` op can do that."""
    world, room, people = crowd("elsewhere", monkeypatch, guests=2)
    ann = world.nodes["ann"]
    seen = enter(world, room, people)
    world.run(5)
    waiting = engine_of(ann).state.joins.batches[room_of(ann).room_id].waiting
    gone = people[0].setup.identity
    assert gone.account in waiting
    elsewhere = Identity.generate(Random(7).randbytes, gone.created_day)
    identity = replace(elsewhere, account_seed=gone.account_seed)
    cert = keys.make_cert(identity, gone.created_day, gone.created_day + 30)
    devices = keys.make_list(identity, 1_000, bytes([1]) * 32, [cert.cert_hash], [], gone.created_day)
    turn = turn_of(ann)
    op = room_of(ann).log.next_op(
        identity, Device(cert.raw, devices.raw, Leaf(1, identity.dik_pub)), ts_ms=turn.mesh_ms
    )
    bob = world.nodes["bob"]
    post(bob, sending_of(bob), codec.pack([int(Inner.OPS), [op.raw]]))
    world.run(3)
    assert room_of(ann).log.roster.by_device(identity.device_id) is not None
    world.run(batches.WAIT_MIDDLE + 5)
    made = room_of(ann).epochs.made
    world.run(10 * batches.WAIT_MIDDLE)
    assert waiting == {} and room_of(ann).epochs.made <= made + 2
    assert inside(seen[1:], people[1:], room) == 1


def sending_of(node: SimNode) -> Channel:
    """Return the channel of the newest epoch that a node holds, whether it still seals there or not."""
    return room_of(node).epochs.tips()[0].channel
