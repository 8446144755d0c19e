"""What goes when its time is over, and what has to be there again after a start."""

from __future__ import annotations

import pytest

from node.chat import commands as c, events
from node.chat.dms import Dms
from node.errors import CryptoFault
from node.sim import SimNode, Simulation
from tests.engine.hostile import (
    engine_of,
    inbox_of,
    post,
    release,
    room_inner,
    room_of,
    sending,
    session_of,
    text,
    turn_of,
)
from tests.engine.worlds import befriend, invite, texts, trio

DAY = 86_400


def days_later(world: Simulation, days: float, *nodes: SimNode) -> None:
    """Let days go by in which nobody runs, and start these nodes again."""
    for node in world.nodes.values():
        if node.up:
            node.crash()
    world.run(1)
    world.time += days * DAY
    for node in nodes:
        node.start()
    world.run(3)


def leaf_secrets(node: SimNode) -> set[bytes]:
    return {row.secret for row in engine_of(node).state.me.leaves.values()}


def test_a_leaf_is_renewed_by_a_message_after_a_week_and_its_secret_gone_a_horizon_later() -> None:
    world, ann, bob, cat, room = trio("leaf")
    before = leaf_secrets(bob)
    days_later(world, 8, ann, bob, cat)
    bob.call(c.UserMessage(room=room, message="with a new leaf"))
    device = room_of(bob).me.device_id
    assert world.run_until(lambda: device in room_of(ann).leaves.newer, 90)
    assert room_of(ann).leaves.newer[device] == room_of(bob).leaves.newer[device]
    seen = bob.attach()
    days_later(world, 8, ann, bob, cat)
    seen = bob.attach()
    ann.call(c.UserMessage(room=room, message="to the new leaf"))
    world.run(3)
    assert texts(seen)[-1] == "to the new leaf"
    assert leaf_secrets(bob) >= before
    days_later(world, 36, ann, bob, cat)
    world.run(3700)
    assert not leaf_secrets(bob) & before
    stored = b"".join(bob.store.load().rows["leaves"].values())
    assert not any(secret in stored for secret in before)
    ann.call(c.UserMessage(room=room, message="weeks later"))
    assert world.run_until(lambda: "weeks later" in all_texts(bob, room), 90)


def all_texts(node: SimNode, room: str) -> list[str]:
    return [e.message for _, raw in node.store.events_after(0, 10_000) if (e := message(raw)) is not None]


def message(raw: bytes) -> events.UserMessage | None:
    event = events.decode_json(raw)
    return event if isinstance(event, events.UserMessage) else None


def test_an_older_leaf_that_comes_late_does_not_replace_the_newer() -> None:
    world, ann, bob, _, _ = trio("late leaf")
    usable = room_of(bob).me.identity.dik_pub
    device = room_of(bob).me.device_id
    for leaf_id in (900, 899, 901, 1):
        post(bob, sending(bob).channel, room_inner(bob, text(bob, "x", leaf=(leaf_id, usable))))
        world.run(1)
    assert room_of(ann).leaves.newer[device].leaf_id == 901


@pytest.mark.parametrize("introduced", [True, False])
def test_who_comes_later_learns_the_leaves_in_use_and_makes_an_epoch_that_all_can_open(
    introduced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log names the first leaf of each; its private half may be long gone."""
    world, ann, bob, cat, room = trio("newcomers leaf")
    befriend(world, ann, cat)
    days_later(world, 8, ann, bob, cat)
    for days in (38, 0):
        for node in (ann, bob):
            node.call(c.UserMessage(room=room, message=f"{node.name} with a new leaf"))
            world.run(3)
        days_later(world, days, ann, bob, cat)
    world.run(3700)
    if not introduced:  # as in rooms of more than 64
        monkeypatch.setattr("node.engine.inbox.SMALL", 0)
    invite(world, ann, cat, room)
    world.run(10)
    if not introduced:
        for node in (ann, bob):
            node.call(c.UserMessage(room=room, message=f"{node.name} welcomes cat"))
        world.run(3)
    cat.call(c.RoomRekey(room=room))
    cat.call(c.UserMessage(room=room, message="under an epoch of mine"))
    world.run(90)
    assert sending(ann).announce.creator_device == room_of(cat).me.device_id
    assert all("under an epoch of mine" in all_texts(node, room) for node in (ann, bob))


def test_who_left_gives_its_leaf_up() -> None:
    world, ann, bob, _, room = trio("left leaf")
    bob.call(c.UserLeave(room=room))
    world.run(2)
    assert all(row.replaced_day is not None for row in engine_of(bob).state.me.leaves.values())
    ann.call(c.UserMessage(room=room, message="alone"))
    assert any(row.replaced_day is None for row in engine_of(ann).state.me.leaves.values())


def test_an_epoch_that_is_over_leaves_no_key_in_any_row() -> None:
    world, ann, bob, cat, room = trio("retired")
    held = sending(bob)
    inners = [room_inner(bob, text(bob, f"m{n}")) for n in range(5)]
    for inner in (inners[4], inners[1]):
        post(bob, held.channel, inner)
    world.run(1)
    old = held.epoch16
    assert sum(key.startswith(old) for key in ann.store.load().rows["chains"]) > 2
    for _ in range(2):
        days_later(world, 22, ann, bob, cat)
        ann.call(c.UserMessage(room=room, message="still here"))
        world.run(3)
    days_later(world, 22, ann, bob, cat)
    world.run(3700)
    rows = ann.store.load().rows
    assert not [key for key in rows["chains"] if key.startswith((old, b"idle" + old))]
    assert old not in room_of(ann).epochs.held
    assert room_of(ann).epochs.skipped == 0


def test_skipped_seeds_are_bounded_for_a_whole_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chat.epochs.MAX_SKIPPED", 10)
    world, ann, bob, _, _ = trio("skipped")
    inners = [room_inner(bob, text(bob, f"m{n}")) for n in range(40)]
    for inner in (inners[20], inners[39], inners[30]):
        post(bob, sending(bob).channel, inner)
    world.run(1)
    chain = sending(ann).recv[room_of(bob).me.device_id]
    assert room_of(ann).epochs.skipped == chain.skipped_count <= 10


def test_an_introduction_that_was_due_at_a_crash_is_made_after_the_start() -> None:
    world, ann, bob, cat, room = trio("introduction")
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    assert world.run_until(lambda: bool(engine_of(bob).state.introductions), 2)
    bob.crash()
    bob.start()
    assert engine_of(bob).state.introductions
    account = bob.setup.identity.account

    def introduced() -> bool:
        person = engine_of(cat).state.people.get(account)
        return person is not None and person.presence_cs is not None

    assert world.run_until(introduced, 60)
    world.run(10)
    assert not [key for key in bob.store.load().rows["settings"] if key.startswith(b"introduce")]


def test_nonces_are_forgotten_after_a_week_with_their_rows() -> None:
    world, ann, bob, cat, room = trio("nonces")
    for number in range(4):
        ann.call(c.UserMessage(room=room, message="x", nonce=f"n{number}"))
    assert len(ann.store.load().rows["nonces"]) == 4
    days_later(world, 8, ann)
    world.run(5)
    assert not ann.store.load().rows["nonces"]
    assert not engine_of(ann).state.nonces.all


def test_invites_keep_their_order_over_a_start() -> None:
    world, ann, bob, cat, _ = trio("order")
    bob.attach()
    rooms = [ann.call(c.RoomCreate(name=f"room{n}"))["room"] for n in range(6)]
    for room in rooms:
        ann.call(c.UserInvite(target="bob", room=room))
        world.run(1)
    bob.crash()
    rows = bob.store._state.rows
    bob.store._state.rows = dict(reversed(rows.items()))
    bob.start()
    open_now = engine_of(bob).state.invites.open_incoming()
    assert [invite_.room_name for invite_ in open_now] == [f"room{n}" for n in range(6)]


def test_a_session_that_gave_way_to_newer_ones_is_a_fault_of_the_peer_and_no_more() -> None:
    _, ann, bob, _, _ = trio("gone session")
    turn = turn_of(ann)
    with pytest.raises(CryptoFault):
        Dms(b"").open(turn, session_of(bob, ann).session_id, b"\x95\x03")
    release(ann, turn)
    assert inbox_of(ann).parked == {}
