"""What others sealed goes on before our disk has it; what we vouch for, and what is ours, waits."""

from __future__ import annotations

from typing import Any

from node.chat import commands as c
from node.engine.effects import Effect, Input, Persist
from node.engine.meshing import onward
from node.mesh.ports import CloseLink, LinkBytes, SendBytes
from node.sim import SimNode
from node.wire import frame_bytes
from node.wire.frames import Ping, Pong
from tests.engine.hostile import engine_of
from tests.engine.worlds import texts, trio


def recorded(node: SimNode, monkeypatch: Any) -> list[tuple[Input, list[Effect]]]:
    """Note what a node's engine makes of its inputs from now on."""
    engine, taken = engine_of(node), list[tuple[Input, list[Effect]]]()
    handle = engine.handle

    def noting(event: Input, *, now: Any) -> list[Effect]:
        effects = handle(event, now=now)
        taken.append((event, list(effects)))
        return effects

    monkeypatch.setattr(engine, "handle", noting)
    return taken


def of_persist(effects: list[Effect]) -> int:
    return next(at for at, effect in enumerate(effects) if isinstance(effect, Persist))


def make_eager(node: SimNode) -> None:
    """Let a node push over all of its links, whatever its tree has come to."""
    mesh = engine_of(node).mesh
    for near in mesh._near.values():
        mesh._exchange.spreading.tree.on_graft(near.link.number)


def test_a_member_passes_a_message_of_its_room_on_before_it_is_written(monkeypatch: Any) -> None:
    world, ann, bob, _, room = trio("passed on")
    seen, taken = bob.attach(), recorded(bob, monkeypatch)
    make_eager(bob)
    ann.call(c.UserMessage(room=room, message="onward"))
    world.run(2)
    assert texts(seen) == ["onward"]
    (came,) = [
        (event, effects) for event, effects in taken if any(isinstance(one, SendBytes) for one in effects)
        and any(isinstance(one, Persist) for one in effects) and isinstance(event, LinkBytes)
    ]  # fmt: skip
    event, effects = came
    assert isinstance(effects[0], SendBytes) and effects[0].link != event.link
    assert of_persist(effects) > 0


def test_a_pong_waits_for_the_commit_of_what_came_before_its_ping(monkeypatch: Any) -> None:
    world, ann, bob, _, room = trio("vouched for")
    taken = recorded(bob, monkeypatch)
    make_eager(ann)
    mesh = engine_of(ann).mesh
    near = next(near for near in mesh._near.values() if near.link.node_key == engine_of(bob).mesh.node_key)
    flush = near.link.flush

    def with_a_ping(*, now: float) -> list[bytes]:
        pushing = near.link.pushing
        messages = flush(now=now)
        if pushing:
            near.link.send_control(frame_bytes.encode(Ping(0)))
            messages = [b"".join(messages + flush(now=now))]
        return messages

    monkeypatch.setattr(near.link, "flush", with_a_ping)
    sealed: list[bytes] = []
    for link in engine_of(bob).mesh._near.values():
        send = link.link.send_control
        monkeypatch.setattr(
            link.link, "send_control", lambda frame, send=send: (sealed.append(frame), send(frame))
        )
    ann.call(c.UserMessage(room=room, message="have you got it?"))
    world.run(1)
    assert any(isinstance(frame_bytes.decode(frame), Pong) for frame in sealed)
    for event, effects in taken:
        if isinstance(event, LinkBytes) and any(isinstance(one, Persist) for one in effects):
            early = effects[: of_persist(effects)]
            assert all(isinstance(one, SendBytes) and one.link != event.link for one in early)
            assert any(isinstance(one, SendBytes) and one.link == event.link for one in effects)
            return
    raise AssertionError("nothing was written")


def test_what_is_our_own_waits_for_its_commit() -> None:
    world, ann, bob, _, room = trio("our own")
    make_eager(ann)
    from node.bridge.ports import CommandReceived

    effects = engine_of(ann).handle(CommandReceived(0, c.UserMessage(room=room, message="x")), now=ann.now())
    at = of_persist(effects)
    assert at == 0 and any(isinstance(one, SendBytes) and one.pushes for one in effects[at:])


def test_what_was_sealed_after_something_that_waits_on_the_same_link_waits_too() -> None:
    pong, later, other = SendBytes(1, b"pong"), SendBytes(1, b"push", True), SendBytes(2, b"push", True)
    close = CloseLink(3, "")
    assert onward([pong, later, close, other]) == ([other], [pong, later, close])
    assert onward([other, close, pong]) == ([other], [close, pong])
