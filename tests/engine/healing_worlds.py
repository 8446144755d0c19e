"""Worlds in which messages get lost for good, and how to look at what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from node.chat import commands as c, events
from node.chat.epochs import Epoch
from node.chat.messages import UNREADABLE
from node.chat.turn import Turn
from node.sim import SimNode, SimSession, Simulation
from node.store.records import DropEnvelopes
from node.wire.payload import Payload, Type
from tests.engine.hostile import release, room_of, turn_of
from tests.engine.worlds import trio

PATIENCE = 75
"""Seconds after which a hole is shown, whatever the peers say."""


def lost(world: Simulation, node: SimNode, act: Callable[[], Any]) -> None:
    """Let a node do something of which no envelope ever reaches anybody, or stays with itself."""
    others = [name for name in world.nodes if name != node.name]
    world.partition([node.name], others)
    world.run(1)
    before = {eid for eid, _, _ in node.store.load().envelopes}
    act()
    node.crash()
    gone = [eid for eid, _, _ in node.store.load().envelopes if eid not in before]
    node.store.commit([DropEnvelopes(tuple(gone))])
    node.start()
    world.heal()
    world.run(3)


def say(node: SimNode, room: str, text: str) -> None:
    node.call(c.UserMessage(room=room, message=text))


def history(node: SimNode, room: str) -> list[events.UserMessage]:
    room_id = room_of(node).room_id
    bodies, _ = node.store.history(room_id, None, None, 200)
    found = [events.decode_json(body) for body in bodies]
    return [event for event in found if isinstance(event, events.UserMessage)]


def read(node: SimNode, room: str) -> list[str]:
    """Return a room's history, placeholders as `?` and how many they stand for."""
    shown = history(node, room)
    return [f"?{event.missing}" if event.kind == UNREADABLE else event.message for event in shown]


def placeholders(session: SimSession) -> list[events.UserMessage]:
    return [event for event in session.of(events.UserMessage) if event.kind == UNREADABLE]


def watch(node: SimNode) -> SimSession:
    """Attach a frontend that has seen everything so far."""
    session = node.attach()
    session.seen.clear()
    return session


def whispers(node: SimNode) -> list[Type]:
    """Return a list that grows with what a node says in its room without showing it."""
    room, said = room_of(node), list[Type]()
    real = room.whisper

    def counted(turn: Turn, kind: Type, body: object, *, ts_ms: int | None = None) -> None:
        said.append(kind)
        real(turn, kind, body, ts_ms=ts_ms)

    room.whisper = counted  # type: ignore[method-assign]
    return said


def club(seed: str) -> tuple[Simulation, SimNode, SimNode, SimNode, str, SimSession]:
    """The trio after a first message each, with bob's frontend attached."""
    world, ann, bob, cat, room = trio(seed)
    say(ann, room, "one")
    world.run(1)
    say(bob, room, "hello")
    world.run(3)
    return world, ann, bob, cat, room, watch(bob)


def resent(node: SimNode) -> list[Payload]:
    """Return a list that grows with what a node seals again for others."""
    room, given = room_of(node), list[Payload]()
    real = room.resend

    def counted(turn: Turn, under: Epoch, payload: Payload) -> None:
        given.append(payload)
        real(turn, under, payload)

    room.resend = counted  # type: ignore[method-assign]
    return given


def whisper(node: SimNode, kind: Type, body: Any, **changes: Any) -> None:
    """Say anything in a node's room that is not shown; `changes` replace fields of the payload."""
    turn, room = turn_of(node), room_of(node)
    fields: dict[str, Any] = {"mid": turn.new_id(), "ts_ms": turn.mesh_ms, "lamport": 0}
    room.resend(turn, room.sending(turn), Payload(**{**fields, "type": kind, "body": body, **changes}))
    release(node, turn)
