"""Beats cross the whole mesh, so who has handed its presence channel to nobody sends none."""

from __future__ import annotations

import pytest

from node.chat import commands as c, events
from node.chat.presence import BEAT_EVERY, GONE_AFTER
from node.sim import SimNode, Simulation
from node.wire.envelope import EPHEMERAL
from tests.engine.hostile import engine_of
from tests.engine.worlds import befriend, trio


def told(node: SimNode) -> list[int]:
    """Count the ephemerals that a node publishes from here on."""
    sent: list[int] = []
    publish = engine_of(node)._down

    def watch(turn, order):  # type: ignore[no-untyped-def]
        if type(order).__name__ == "Publish":
            sent.extend(len(one.raw) for one in order.envelopes if one.kind == EPHEMERAL)
        return publish(turn, order)

    engine_of(node)._down = watch  # type: ignore[method-assign]
    return sent


def test_beats_begin_with_the_first_contact_and_go_on_after_a_start() -> None:
    world = Simulation("beats")
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(1)
    before = told(ann), told(bob)
    world.run(5 * BEAT_EVERY)
    assert before == ([], [])
    befriend(world, ann, bob)
    world.run(BEAT_EVERY)
    assert 1 <= len(before[0]) <= 2 and 1 <= len(before[1]) <= 2  # one for who has just come, at most
    bob.crash()
    bob.start()
    after = told(bob)
    world.run(2 * BEAT_EVERY)
    assert len(after) >= 2


def test_a_small_room_is_told_and_beaten_to() -> None:
    world, ann, bob, cat, _ = trio("beaten")
    ann.attach()
    world.run(2 * BEAT_EVERY)
    ours, theirs, strangers = told(ann), told(bob), told(cat)
    world.run(2 * BEAT_EVERY)
    assert len(ours) == len(theirs) == 2 and strangers == []


def test_in_a_large_room_nobody_is_shown_as_there_nor_as_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("inbox", "state"):
        monkeypatch.setattr(f"node.engine.{module}.SMALL", 1)
    world = Simulation("large")
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(1)
    room = ann.call(c.RoomCreate(name="large"))["room"]
    bob.call(c.RoomLinkUse(link=ann.call(c.RoomLinkCreate(room=room))["link"]))
    world.run(5)
    session = bob.attach()
    world.run(2 * GONE_AFTER)
    shown = bob.call(c.RoomGet(room=room))["members"]
    assert {one["username"]: one["presence"] for one in shown} == {"ann": "offline", "bob": "online"}
    assert session.of(events.Presence) == []
    assert told(ann) == told(bob) == []
