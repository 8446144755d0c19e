"""Only touched links are looked at, and nothing is missed by that."""

from __future__ import annotations

import random
from typing import Any

import pytest

from node.crypto.channel import network_id
from node.crypto.handshake import make_link_keys
from node.mesh.attention import Attention
from node.mesh.link import WINDOW, Link
from node.mesh.neighbour import Neighbour
from node.mesh.ports import Publish
from node.sim_mesh.messages import Author, Messages
from node.sim_mesh.network import Physics, SimMesh, World, address_of

KEYS = make_link_keys(bytes(32), network_id=network_id(None), psk=None, entropy=random.Random(1).randbytes)


def near_of(number: int) -> Neighbour:
    rng = random.Random(number)
    link = Link(
        number, outbound=False, address="", remote="8.8.8.8:1", keys=KEYS, entropy=rng.randbytes, now=0.0
    )
    return Neighbour(link)


def numbers(attention: Attention) -> list[int]:
    return [near.link.number for near in attention.touched()]


def test_a_new_link_is_looked_at_once_and_then_when_it_is_touched() -> None:
    attention = Attention()
    for number in (5, 3, 9):
        attention[number] = near_of(number)
    assert numbers(attention) == [3, 5, 9]
    assert numbers(attention) == []
    attention[9].link.send_control(b"frame")
    attention[3].announce(bytes(16), 1, now=0.0)
    assert numbers(attention) == [3, 9]
    attention.touch_all()
    assert numbers(attention) == [3, 5, 9]


def test_at_a_deadline_only_those_are_looked_at_whose_time_has_come() -> None:
    attention = Attention()
    for number in (1, 2, 3):
        attention[number] = near_of(number)
    list(attention.touched())
    attention[2].announce(bytes(16), 1, now=1.0)
    list(attention.touched())
    soon = attention[2].deadline
    assert [near.link.number for near in attention.due(now=soon)] == [2]
    attention[2].send_announcements(now=soon)
    assert numbers(attention) == [2]
    assert attention.deadline == 10.0, "when the links that were not looked at want to be"
    assert [near.link.number for near in attention.due(now=10.0)] == [1, 2, 3]


def test_what_is_touched_while_others_are_looked_at_is_looked_at_too() -> None:
    attention = Attention()
    for number in (1, 2):
        attention[number] = near_of(number)
    seen = []
    for near in attention.touched():
        seen.append(near.link.number)
        if seen == [1, 2]:
            attention[1].link.send_control(b"frame")
    assert seen == [1, 2, 1]


def test_a_link_that_is_gone_is_not_looked_at() -> None:
    attention = Attention()
    for number in (1, 2):
        attention[number] = near_of(number)
    del attention[2]
    assert numbers(attention) == [1]


def test_the_deadline_is_never_later_than_any_links() -> None:
    attention = Attention()
    assert attention.deadline is None
    attention[1] = near_of(1)
    assert attention.deadline == attention[1].deadline == 10.0
    list(attention.touched())
    assert attention.deadline == 10.0
    attention[1].announce(bytes(16), 1, now=2.0)
    assert attention.deadline == attention[1].deadline < 3.0


def test_in_a_whole_mesh_nothing_waits_unseen_and_nobody_oversleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every node is checked after each of its inputs, while nodes fail, sync and flood each other."""
    checked = 0
    feed = SimMesh.feed

    def careful(self: SimMesh, event: Any) -> None:
        nonlocal checked
        feed(self, event)
        if self.mesh is not None:
            checked += 1
            links = self.mesh._near.values()
            assert not [one for one in links if one.has_work and one.link._in_flight < WINDOW]
            soonest = min((one.deadline for one in links if one.deadline is not None), default=None)
            assert soonest is None or (self.mesh.deadline or 0) <= soonest

    monkeypatch.setattr(SimMesh, "feed", careful)
    world = World(Physics("1", 0.01, 0.05, 0.001, 0.02), Messages(8), real=False)
    for number in range(8):
        world.add([address_of((number + step) % 8) for step in (1, 3)], sybil=False)
    for node in world.nodes:
        node.start()
    author = Author("1", rooms=1, size=3_000)
    for step in range(120):
        world.clock.run(2.0 + step / 4)
        node = world.nodes[step % 3]
        envelope = author.write(world.clock.now.wall_ms)
        world.messages.add(envelope, node.number, world.clock.time, counted=True)
        node.feed(Publish((envelope,)))
        if step % 20 == 10:
            world.nodes[3 + step % 5].stop(silent=step % 40 == 10)
        elif step % 20 == 19:
            for other in world.nodes:
                if not other.up:
                    other.start()
    world.clock.run(60.0)
    assert checked > 3_000
    assert all(message.has(number) for message in world.messages.all for number in range(8))
