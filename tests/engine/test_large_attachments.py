"""Attachments above 1 MiB between simulated nodes: block by block from whoever has them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node import ids
from node.chat import commands as c, events
from node.chat.fetched import MAX_FETCHED
from node.crypto.attachment import bids, object_of
from node.sim import CallError, SimNode, Simulation
from node.wire.manifest import Manifest, parse
from tests.engine.test_attachments import content, got, here, send, states, upload
from tests.engine.test_hostile_attachments import say
from tests.engine.worlds import befriend, invite, trio

MIB = 1024 * 1024


def around_a_relay(seed: str) -> tuple[Simulation, SimNode, SimNode, SimNode, str]:
    """Ann and bob in one room, and a relay, cat, that both dial; without it they cannot reach each other."""
    world = Simulation(seed)
    cat = world.add("cat", relay=True)
    ann = world.add("ann", peers=["cat"])
    bob = world.add("bob", peers=["cat"])
    world.partition({"ann", "cat"}, {"bob", "cat"})
    world.run(2)
    befriend(world, ann, bob)
    room = ann.call(c.RoomCreate(name="club"))["room"]
    invite(world, ann, bob, room)
    world.run(4)
    return world, ann, bob, cat, room


def manifest_of(node: SimNode, ident: str) -> Manifest:
    assert node.engine is not None
    return node.engine.state.attachments.find(ident, field="id")[1].parsed


def blocks_here(node: SimNode, ident: str) -> int:
    """Return how many blocks of one are on disk, whole or not."""
    assert node.engine is not None
    if ids.parse(ident) not in node.engine.state.attachments.records:
        return 0
    manifest = manifest_of(node, ident)
    name = object_of(manifest).hex()
    held = node.files.folder.held.get(name, node.files.folder.held.get(name + ".part", b""))
    spans = [manifest.span(index) for index in range(len(manifest.blocks))]
    return sum(any(held[at : at + size]) and len(held) >= at + size for at, size in spans)


def test_three_mib_go_from_node_to_node_and_no_more_than_once() -> None:
    world, ann, bob, cat, room = trio("three")
    session, data = bob.attach(), content(3 * MIB)
    ident = upload(ann, data)["attachment"]
    before = len(b"".join(ann.sent_bytes))
    send(ann, room, ident)
    assert world.run_until(lambda: "ready" in states(session, ident), 60)
    assert got(bob, ident) == data
    assert len(b"".join(ann.sent_bytes)) - before < 1.1 * len(data)
    assert cat.files.folder.held == cat.files.others.held == {}
    told = [e for e in session.of(events.Attachment) if e.state == "progress"]
    assert len(told) <= 5 and [e.received for e in told] == sorted(e.received for e in told)


def test_a_relay_that_both_use_brings_it_and_can_read_none_of_it() -> None:
    world, ann, bob, cat, room = around_a_relay("between")
    session, data = bob.attach(), content(2 * MIB)
    ident = upload(ann, data)["attachment"]
    send(ann, room, ident)
    assert world.run_until(lambda: "ready" in states(session, ident), 120)
    assert got(bob, ident) == data
    held = cat.files.others.held
    assert set(held) == {name.hex() for name in bids(manifest_of(ann, ident))}
    assert all(data[at : at + 64] not in block for block in held.values() for at in (0, MIB, 2 * MIB - 64))


def test_what_a_relay_has_comes_when_its_author_has_gone() -> None:
    world, ann, bob, cat, room = around_a_relay("gone")
    data = content(2 * MIB)
    bob.crash()
    ident = upload(ann, data)["attachment"]
    send(ann, room, ident)
    count = len(manifest_of(ann, ident).blocks)
    assert world.run_until(lambda: len(cat.files.others.held) == count, 60)
    ann.crash()
    cat.crash()
    cat.start()
    bob.start()
    session = bob.attach()
    assert world.run_until(lambda: "ready" in states(session, ident), 120)
    assert got(bob, ident) == data


def test_any_member_that_has_it_gives_it_when_its_author_has_gone() -> None:
    world, ann, bob, _, room = trio("members")
    dan = world.add("dan", peers=["cat"])
    world.run(2)
    befriend(world, ann, dan)
    invite(world, ann, dan, room)
    world.run(4)
    data = content(2 * MIB)
    ident = upload(ann, data)["attachment"]
    dan.crash()
    send(ann, room, ident)
    assert world.run_until(lambda: here(bob, ident), 60)
    ann.crash()
    dan.start()
    session = dan.attach()
    assert world.run_until(lambda: "ready" in states(session, ident), 300)
    assert got(dan, ident) == data


def test_both_sides_killed_again_and_again_go_on_where_they_stopped() -> None:
    world, ann, bob, _, room = trio("kills")
    data = content(5 * MIB)
    ident = upload(ann, data)["attachment"]
    send(ann, room, ident)
    counts = []
    for node in (bob, ann, bob, ann):
        before = blocks_here(bob, ident) if counts else 0
        assert world.run_until(lambda before=before: blocks_here(bob, ident) > before, 60)
        counts.append(blocks_here(bob, ident))
        node.crash()
        world.run(0.5)
        node.start()
        world.run(0.05)
        assert bob.engine is not None
    assert counts == sorted(set(counts)) and not here(bob, ident)
    sent = len(b"".join(ann.sent_bytes))
    assert world.run_until(lambda: here(bob, ident), 120)
    assert got(bob, ident) == data
    assert len(b"".join(ann.sent_bytes)) - sent < len(data) * (1 - counts[-1] / 64) + 2 * MIB


def test_nobody_there_is_told_as_pending_and_it_comes_when_somebody_is() -> None:
    world, ann, bob, cat, room = trio("pending")
    session, data = bob.attach(), content(2 * MIB)
    ident = upload(ann, data)["attachment"]
    sent = send(ann, room, ident)["id"]
    assert world.run_until(lambda: any(e.id == sent for e in session.of(events.UserMessage)), 10)
    ann.crash()
    assert world.run_until(lambda: "pending" in states(session, ident), 120)
    assert session.of(events.Attachment)[-1].why
    world.run(3_600)
    assert states(session, ident).count("pending") == 1
    ann.start()
    assert world.run_until(lambda: "ready" in states(session, ident), 120)
    assert got(bob, ident) == data


def test_a_large_one_waits_until_a_frontend_asks_for_it_also_across_a_kill() -> None:
    world, ann, bob, _, room = trio("asked")
    assert bob.engine is not None
    bob.engine.state.attachments.fetched.automatic = 2 * MIB
    session, data = bob.attach(), content(3 * MIB)
    ident = upload(ann, data)["attachment"]
    send(ann, room, ident)
    world.run(120)
    assert states(session, ident) == ["pending"]
    assert bob.call(c.AttachmentGet(id=ident))["state"] == "pending"
    world.run(0.05)
    bob.crash()
    bob.start()
    assert bob.engine is not None
    bob.engine.state.attachments.fetched.automatic = 2 * MIB
    session = bob.attach()
    assert world.run_until(lambda: "ready" in states(session, ident), 120)
    assert got(bob, ident) == data


@pytest.mark.attack("A30")
def test_a_holder_that_lies_is_caught_and_shut_out_and_the_next_one_brings_it() -> None:
    world, ann, bob, cat, room = around_a_relay("liar")
    session, data = bob.attach(), content(2 * MIB)
    ident = upload(ann, data)["attachment"]
    bob.crash()
    send(ann, room, ident)
    count = len(manifest_of(ann, ident).blocks)
    assert world.run_until(lambda: len(cat.files.others.held) == count, 60)
    for block in cat.files.others.held.values():
        block[100] ^= 1
    bob.start()
    session = bob.attach()
    world.run(120)
    assert "ready" not in states(session, ident) and blocks_here(bob, ident) == 0
    world.heal()
    assert world.run_until(lambda: "ready" in states(session, ident), 600)
    assert got(bob, ident) == data
    assert bob.engine is not None and not bob.engine.late_faults


def test_a_full_disk_is_told_and_the_rest_comes_when_there_is_room() -> None:
    world, ann, bob, _, room = trio("full")
    session, data = bob.attach(), content(3 * MIB)
    ident = upload(ann, data)["attachment"]
    bob.files.folder.room = MIB
    send(ann, room, ident)
    world.run(30)
    assert [e.code for e in session.of(events.Warning)] == ["storage_full"]
    bob.files.folder.room = None
    assert world.run_until(lambda: "ready" in states(session, ident), 200)
    assert got(bob, ident) == data


def test_deleting_the_message_ends_the_fetching_and_leaves_nothing() -> None:
    world, ann, bob, _, room = trio("deleted")
    data = content(5 * MIB)
    ident = upload(ann, data)["attachment"]
    sent = send(ann, room, ident)["id"]
    assert world.run_until(lambda: bool(bob.files.folder.held), 10)
    ann.call(c.MessageDelete(room=room, id=sent))
    world.run(60)
    assert ann.files.folder.held == bob.files.folder.held == {}
    assert bob.engine is not None and bob.engine.state.attachments.fetched.active == {}
    assert bob.engine.mesh._exchange.parts._fetching._errands == {}


def test_a_flood_of_what_nobody_has_keeps_nothing_from_coming_and_stays_bounded() -> None:
    world, ann, bob, _, room = trio("flood")
    session, data = bob.attach(), content(2 * MIB)
    ident = upload(ann, data)["attachment"]
    base = manifest_of(ann, ident)
    for number in range(40):
        key = number.to_bytes(32, "big")
        false = replace(base, key=key, channel=key, blocks=tuple(bytes([number, n]) * 16 for n in range(43)))
        say(ann, room, false.encode(), f"m{number}")
    world.run(30)
    assert bob.engine is not None
    book = bob.engine.state.attachments.fetched
    assert len(book.active) == MAX_FETCHED and len(book.waiting) == 40 - MAX_FETCHED
    assert len(bob.engine.mesh._exchange.parts._fetching._errands) == MAX_FETCHED
    send(ann, room, ident)
    assert world.run_until(lambda: "ready" in states(session, ident), 120)
    assert got(bob, ident) == data


def test_the_manifest_says_where_it_is_and_fits_whatever_is_known() -> None:
    _, ann, _, _, room = around_a_relay("manifest")
    ident = upload(ann, content(2 * MIB), name="n" * 255, kind="t/" + "t" * 125)["attachment"]
    assert ann.engine is not None
    told = ann.engine.desk.blocks.told(manifest_of(ann, ident))
    assert told.relays == ("ws://cat:1",) and len(told.holders) == 1
    assert parse(told.encode()) == told and object_of(told) == object_of(manifest_of(ann, ident))
    many = told.held_by((b"r" * 1_500,) * 2, ("ws://" + "x" * 250,) * 9)
    assert len(many.encode()) <= 4_096 and parse(many.encode()) == many
    small = manifest_of(ann, upload(ann, content(1_000))["attachment"])
    assert ann.engine.desk.blocks.told(small) == small


def test_it_comes_over_links_that_break_again_and_again() -> None:
    world, ann, bob, _, room = trio("loss")
    session, data = bob.attach(), content(2 * MIB)
    ident = upload(ann, data)["attachment"]
    send(ann, room, ident)
    world.run(0.2)
    world.loss = 0.03
    world.run_until(lambda: "ready" in states(session, ident), 30)
    world.loss = 0.0
    assert world.run_until(lambda: "ready" in states(session, ident), 120)
    assert got(bob, ident) == data


def test_a_relay_killed_at_any_effect_ends_with_the_blocks_that_it_says_it_has() -> None:
    world, ann, bob, cat, room = around_a_relay("relay kills")
    bob.crash()
    ident = upload(ann, content(MIB + 1))["attachment"]
    send(ann, room, ident)
    names = {name.hex() for name in bids(manifest_of(ann, ident))}
    for left in (2, 5, 9, 14, 20, 27, 35):
        world.run(0.02)
        cat.effects_left = left
        world.run(1)
        if cat.up:
            cat.crash()
        cat.effects_left = None
        cat.start()
    assert world.run_until(lambda: set(cat.files.others.held) == names, 200)
    assert cat.engine is not None
    assert {name.hex() for name in cat.engine.desk.blocks.depot.held} == names


def test_a_relay_forgets_after_a_day_also_what_it_held_before_a_start() -> None:
    world, ann, bob, cat, room = around_a_relay("a day")
    ident = upload(ann, content(2 * MIB))["attachment"]
    send(ann, room, ident)
    assert world.run_until(lambda: len(cat.files.others.held) == 43, 60)
    ann.crash()  # who would offer it again
    cat.crash()
    cat.skew_s = 25 * 3_600.0
    cat.start()
    world.run(1)
    assert cat.files.others.held == {}
    cat.crash()
    cat.start()
    assert cat.engine is not None and cat.engine.desk.blocks.depot.held == {}


def test_a_relay_that_is_none_any_more_gives_the_room_back() -> None:
    world, ann, bob, cat, room = around_a_relay("no relay")
    ident = upload(ann, content(2 * MIB))["attachment"]
    send(ann, room, ident)
    assert world.run_until(lambda: len(cat.files.others.held) == 43, 60)
    cat.crash()
    cat.setup = replace(cat.setup, roles=frozenset({"hold"}))
    cat.start()
    assert cat.files.others.held == {}


def test_with_a_full_store_one_that_is_pending_is_described_all_the_same() -> None:
    world, ann, bob, _, room = trio("read only")
    assert bob.engine is not None
    bob.engine.state.attachments.fetched.automatic = 0
    ident = upload(ann, content(2 * MIB))["attachment"]
    sent = send(ann, room, ident)
    session = bob.attach()
    world.run(5)
    bob.store.full = True
    with pytest.raises(CallError):
        send(bob, room, ident)
    assert bob.call(c.AttachmentGet(id=ident), session)["state"] == "pending"
    bob.make_room()
    assert bob.call(c.AttachmentGet(id=ident))["state"] == "pending"
    assert world.run_until(lambda: here(bob, ident), 120), sent
