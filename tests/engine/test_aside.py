"""What came for others is passed on at once and put on a shelf a little later, many in one turn."""

from __future__ import annotations

import random
from typing import Any

import pytest

from node.bridge.ports import CommandReceived
from node.chat import commands as c
from node.clock import Instant
from node.crypto.channel import Channel, ChannelKind
from node.engine.aside import ASIDE_SECONDS, MAX_ASIDE
from node.engine.effects import Hold, Woke
from node.engine.engine import Engine
from node.mesh.ports import Arrived, Dial, LinkBytes, PeerDown, SendBytes
from node.sim import SimNode
from node.store.records import PutEnvelope, Shelf
from node.wire.envelope import Envelope, parse
from tests.engine.hostile import engine_of
from tests.engine.worlds import trio

CHANNEL = Channel(ChannelKind.ROOM, b"somebody else's".ljust(32, b"."))
ONWARD = SendBytes(7, b"sealed", pushes=True)


def sealed(node: SimNode, number: int) -> Envelope:
    rng, now_ms = random.Random(number), node.now().wall_ms
    inner = bytes([0x91, 1]) + rng.randbytes(50)
    return parse(CHANNEL.seal(inner, ts_ms=now_ms, ttl_days=1, ephemeral=False, entropy=rng.randbytes))


def bringing(monkeypatch: pytest.MonkeyPatch, engine: Engine, brought: list[list[Any]]) -> list[int]:
    """Let each LinkBytes bring the next of these; return what each turn of the engine was about."""
    turns: list[int] = []
    handle, release = engine.mesh.handle, engine._release

    def bring(event: Any, *, now: Instant) -> list[Any]:
        return brought.pop(0) if isinstance(event, LinkBytes) else handle(event, now=now)

    def noting(turn: Any, mesh_effects: list[Any]) -> Any:
        turns.append(len(mesh_effects))
        return release(turn, mesh_effects)

    monkeypatch.setattr(engine.mesh, "handle", bring)
    monkeypatch.setattr(engine, "_release", noting)
    return turns


def held(effects: list[Any]) -> list[bytes]:
    orders = [effect.write for effect in effects if isinstance(effect, Hold)]
    return [order.eid for order in orders if isinstance(order, PutEnvelope)]


def test_ten_for_others_are_passed_on_one_by_one_and_held_in_one_turn(monkeypatch: Any) -> None:
    _, __, bob, ___, ____ = trio("aside")
    engine, now = engine_of(bob), bob.now()
    came = [sealed(bob, number) for number in range(10)]
    turns = bringing(monkeypatch, engine, [[Arrived(one, 1), ONWARD] for one in came])
    for number in range(10):
        assert engine.handle(LinkBytes(1, b"x"), now=now.after(number / 1000)) == [ONWARD]
    assert turns == []
    assert (engine.deadline or 0) <= now.mono + ASIDE_SECONDS
    assert held(engine.handle(Woke(), now=now.after(ASIDE_SECONDS))) == [one.eid for one in came]
    assert turns[0] == 10
    assert not held(engine.handle(Woke(), now=now.after(1.0)))


def test_they_are_held_before_whatever_else_happens(monkeypatch: Any) -> None:
    _, __, bob, ___, room = trio("before")
    engine, came = engine_of(bob), sealed(bob, 1)
    session = bob.attach()
    bringing(monkeypatch, engine, [[Arrived(came, 1), ONWARD], [Dial("ws://9.9.9.9:1")]])
    engine.handle(LinkBytes(1, b"x"), now=bob.now())
    assert held(engine.handle(LinkBytes(1, b"x"), now=bob.now())) == [came.eid]
    bringing(monkeypatch, engine, [[Arrived(sealed(bob, 2), 1), ONWARD]])
    engine.handle(LinkBytes(1, b"x"), now=bob.now())
    command = c.UserMessage(room=room, message="mine")
    effects = engine.handle(CommandReceived(session.number, command), now=bob.now())
    assert isinstance(effects[0], Hold)


def test_what_is_set_aside_counts_as_its_bringers_though_their_link_ends_before(monkeypatch: Any) -> None:
    """Else who says goodbye at once fills what is nobody's portion, and a friend's lies among strangers'."""
    _, __, bob, ___, ____ = trio("goodbye")
    engine, came, links = engine_of(bob), sealed(bob, 1), {1: (b"k" * 32, True)}
    gone = [PeerDown(1, b"k" * 32, "goodbye")]
    bringing(monkeypatch, engine, [[Arrived(came, 1), ONWARD], gone])
    monkeypatch.setattr(engine.mesh, "brought_by", lambda link: links.get(link, (b"", False)))
    engine.handle(LinkBytes(1, b"x"), now=bob.now())
    links.clear()
    effects = engine.handle(LinkBytes(1, b"x"), now=bob.now())
    puts = [effect.write for effect in effects if isinstance(effect, Hold)]
    assert [(one.shelf, one.source) for one in puts if isinstance(one, PutEnvelope)] == [
        (Shelf.KNOWN, engine.shelving.number(b"k" * 32))
    ]


def test_of_a_flood_no_more_than_so_many_wait(monkeypatch: Any) -> None:
    _, __, bob, ___, ____ = trio("flood")
    engine, now = engine_of(bob), bob.now()
    came = [sealed(bob, number) for number in range(MAX_ASIDE + 1)]
    turns = bringing(monkeypatch, engine, [[Arrived(one, 1), ONWARD] for one in came])
    for _ in range(MAX_ASIDE):
        assert engine.handle(LinkBytes(1, b"x"), now=now) == [ONWARD]
    effects = engine.handle(LinkBytes(1, b"x"), now=now)
    assert effects[0] == ONWARD and held(effects) == [one.eid for one in came]
    assert turns == [MAX_ASIDE + 2]
    assert engine.meshing.aside.deadline is None


def test_what_is_ours_does_not_wait() -> None:
    world, ann, bob, _, room = trio("ours")
    ann.call(c.UserMessage(room=room, message="for bob"))
    world.run(2)
    assert engine_of(bob).meshing.aside.deadline is None


def test_what_wakes_the_mesh_alone_does_no_chores(monkeypatch: Any) -> None:
    world, _, bob, __, ___ = trio("chores")
    world.run(5)
    engine, done = engine_of(bob), list[float]()
    due = engine.chores.due
    monkeypatch.setattr(engine.chores, "due", lambda turn: (done.append(turn.now.mono), due(turn)))
    now = bob.now()
    engine.chores._looked = now.mono
    assert engine.chores.deadline is not None and engine.chores.deadline > now.mono
    engine.handle(Woke(), now=now)
    assert done == []
    later = Instant(engine.chores.deadline, now.wall_ms)
    engine.handle(Woke(), now=later)
    assert done == [later.mono]


def test_what_no_deadline_tells_is_looked_at_once_a_second(monkeypatch: Any) -> None:
    """As offers that expire by the wall clock are."""
    world, _, bob, __, ___ = trio("looks")
    world.run(5)
    chores, done = engine_of(bob).chores, list[float]()
    monkeypatch.setattr(chores, "due", lambda turn: done.append(turn.now.mono))
    monkeypatch.setattr(type(chores), "is_due", lambda _self, _now: False)
    start = chores._looked = bob.now().mono
    for step in range(1, 41):
        engine_of(bob).handle(Woke(), now=Instant(start + step / 10, bob.now().wall_ms))
    assert len(done) == 4
