"""What somebody can do who has real keys and no manners: post anything, in any order, to anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from node.chat import commands as c
from node.chat.dms import DmSession
from node.chat.epochs import Epoch
from node.chat.room import Room
from node.chat.room_inbox import RoomInbox
from node.chat.turn import Turn
from node.crypto import roommsg
from node.crypto.channel import Channel
from node.crypto.roommsg import Kind
from node.engine.engine import Engine
from node.mesh.ports import Arrived
from node.sim import SimNode, Simulation
from node.wire.envelope import Envelope
from node.wire.payload import Payload, Type
from tests.engine.worlds import texts

T = TypeVar("T")


def engine_of(node: SimNode) -> Engine:
    assert node.engine is not None, f"{node.name} is down"
    return node.engine


def room_of(node: SimNode) -> Room:
    return inbox_of(node).room


def inbox_of(node: SimNode) -> RoomInbox:
    return next(iter(engine_of(node).state.rooms.inboxes.values()))


def sending(node: SimNode) -> Epoch:
    room = room_of(node)
    held = room.epochs.sending(room.roster_hash(), node.now().wall_ms)
    assert held is not None
    return held


def turn_of(node: SimNode) -> Turn:
    return engine_of(node)._turn(node.now())


def release(node: SimNode, turn: Turn) -> None:
    node.perform(engine_of(node)._release(turn, []))


def post(node: SimNode, channel: Channel, inner: bytes, *, ephemeral: bool = False) -> Envelope:
    """Post any inner on a channel whose secret the node has."""
    turn = turn_of(node)
    sealed = turn.post(channel, inner, ephemeral=ephemeral)
    release(node, turn)
    return sealed


def give(node: SimNode, envelopes: Iterable[Envelope]) -> None:
    """Hand envelopes to a node in this order, past its mesh but not past its check of the signature."""
    engine = engine_of(node)
    turn = turn_of(node)
    arrived = list(envelopes)
    for sealed in arrived:
        engine._verify(sealed)
    node.perform(engine._release(turn, [Arrived(sealed, None) for sealed in arrived]))


def room_inner(node: SimNode, payload: Payload, **changes: Any) -> bytes:
    """Seal a payload as the node's next room message; `changes` replace fields of its core."""
    room, held = room_of(node), sending(node)
    assert held.send is not None
    fields: dict[str, Any] = {
        "kind": Kind.OP if payload.type is Type.OP else Kind.MESSAGE,
        "room_id": room.room_id,
        "epoch16": held.epoch16,
        "device_id": room.me.device_id,
        "view16": room.log.view16,
    }
    chain = changes.pop("chain", held.send)
    after, inner = roommsg.seal(
        chain,
        **{**fields, **changes},
        payload=payload.encode(),
        dsk_sk=room.me.identity.dsk_sk,
        entropy=node.setup.entropy,
    )
    held.send = after
    return inner


def text(node: SimNode, words: str, **changes: Any) -> Payload:
    """Return a text payload; `changes` replace its fields."""
    turn = turn_of(node)
    fields: dict[str, Any] = {"mid": turn.new_id(), "ts_ms": turn.mesh_ms, "lamport": 1}
    return Payload(**{**fields, "type": Type.TEXT, "body": [words, "text", None], **changes})


def session_of(node: SimNode, other: SimNode) -> DmSession:
    session = engine_of(node).state.dms.sending(other.setup.identity.account)
    assert session is not None
    return session


def direct(node: SimNode, other: SimNode, kind: Type, body: Any) -> None:
    """Send any payload in a direct session."""
    turn = turn_of(node)
    payload = Payload(turn.new_id(), turn.mesh_ms, 0, kind, body)
    assert engine_of(node).state.dms.send(turn, other.setup.identity.account, payload)
    release(node, turn)


def no_late_faults(*nodes: SimNode) -> None:
    """What peers got wrong was found before anything had changed."""
    assert [node.name for node in nodes if engine_of(node).late_faults] == []


def lost(world: Simulation, say: Callable[[], T], author: SimNode, *others: SimNode) -> T:
    """Let an author say something that no node holds the envelope of any more, and start everybody again."""
    for node in others:
        node.crash()
    said = say()
    author.store._state.held.clear()
    author.store._state.held_order.clear()
    author.store._state.held_by_rk.clear()
    author.crash()
    world.run(1)
    for node in (author, *others):
        node.start()
    return said


def later_on(world: Simulation, days: int, *nodes: SimNode) -> None:
    """Let days go by in which nobody runs, and start these nodes again."""
    for node in world.nodes.values():
        if node.up:
            node.crash()
    world.run(1)
    world.time += days * 86_400
    for node in nodes:
        node.start()


def still_talk(world: Simulation, one: SimNode, other: SimNode, room: str) -> None:
    """Both run, hear each other, and found every fault before it changed anything."""
    hears_one, hears_other = other.attach(), one.attach()
    one.call(c.UserMessage(room=room, message=f"from {one.name}"))
    other.call(c.UserMessage(room=room, message=f"from {other.name}"))

    def both_heard() -> bool:
        heard = f"from {one.name}" in texts(hears_one), f"from {other.name}" in texts(hears_other)
        return all(heard)

    assert world.run_until(both_heard, 90)
    no_late_faults(one, other)
