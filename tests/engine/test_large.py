"""Direct payloads of megabytes between two nodes: over loss, either way round, through crashes."""

from __future__ import annotations

from typing import Any

import pytest

from node.chat.large import MAX_EXPECTED, MAX_READS
from node.sim import SimNode, Simulation, stream
from node.wire.payload import MAX_ITEM_BYTES, Payload, Type
from tests.engine.hostile import direct, engine_of, no_late_faults, release, turn_of
from tests.engine.worlds import trio

HALF = 46
"""Items of one Object: 1.5 MB."""


def large_body(seed: str) -> list[Any]:
    draw = stream(seed)
    return [bytes(16), [draw(MAX_ITEM_BYTES) for _ in range(HALF)]]


def send_large(node: SimNode, other: SimNode, body: list[Any]) -> None:
    turn = turn_of(node)
    assert engine_of(node).state.dms.send_large(turn, other.setup.identity.account, Type.HISTORY, body)
    release(node, turn)


@pytest.fixture
def came(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, Any]]:
    """What arrived whole anywhere, as the inbox is given it."""
    from node.engine.inbox import Inbox

    real = Inbox.on_large
    found: list[tuple[bytes, Any]] = []

    def noted(self: Inbox, turn: Any, account: bytes, payload: Payload) -> None:
        if payload.type is Type.HISTORY:
            found.append((account, payload.body))
        else:
            real(self, turn, account, payload)

    monkeypatch.setattr(Inbox, "on_large", noted)
    return found


def world_of_two(seed: str) -> tuple[Simulation, SimNode, SimNode]:
    world, ann, bob, _, _ = trio(seed)
    world.run(3)
    return world, ann, bob


def test_three_megabytes_in_two_objects_arrive_whole_and_once(came: list[tuple[bytes, Any]]) -> None:
    world, ann, bob = world_of_two("large")
    bodies = [large_body("one"), large_body("two")]
    for body in bodies:
        send_large(ann, bob, body)
    assert world.run_until(lambda: len(came) == 2, 60)
    world.run(70)
    assert came == [(ann.setup.identity.account, body) for body in bodies]
    assert engine_of(bob).state.dms.large.expected == {}
    no_late_faults(ann, bob)


def test_three_megabytes_arrive_over_links_that_break(came: list[tuple[bytes, Any]]) -> None:
    world, ann, bob = world_of_two("large loss")
    world.loss = 0.02
    bodies = [large_body("one"), large_body("two")]
    for body in bodies:
        send_large(ann, bob, body)
    world.run(30)
    world.loss = 0.0
    assert world.run_until(lambda: len(came) == 2, 300)
    assert sorted(body[1] for _, body in came) == sorted(body[1] for body in bodies)


@pytest.mark.parametrize("key_first", [True, False])
def test_key_and_parts_come_in_either_order(came: list[tuple[bytes, Any]], key_first: bool) -> None:
    world, ann, bob = world_of_two(f"large order {key_first}")
    turn = turn_of(ann)
    body = large_body("order")
    assert engine_of(ann).state.dms.send_large(turn, bob.setup.identity.account, Type.HISTORY, body)
    first, second = turn.posts[:1], turn.posts[1:]
    if not key_first:
        first, second = second, first
    turn.posts = first
    release(ann, turn)
    world.run(5)
    assert came == []
    later = turn_of(ann)
    later.posts = second
    release(ann, later)
    assert world.run_until(lambda: len(came) == 1, 90)
    assert came[0][1] == body


@pytest.mark.parametrize("parts_before", [0, 20, 60])
def test_a_receiver_that_crashes_in_between_goes_on_after_its_start(
    came: list[tuple[bytes, Any]], parts_before: int
) -> None:
    world, ann, bob = world_of_two(f"large crash {parts_before}")
    turn = turn_of(ann)
    body = large_body("crash")
    assert engine_of(ann).state.dms.send_large(turn, bob.setup.identity.account, Type.HISTORY, body)
    later = turn.posts[1 + parts_before :]
    del turn.posts[1 + parts_before :]
    release(ann, turn)
    world.run(5)
    bob.crash()
    world.run(1)
    bob.start()
    world.run(1)
    assert came == []
    again = turn_of(ann)
    again.posts = later
    release(ann, again)
    assert world.run_until(lambda: len(came) == 1, 90)
    assert came[0][1] == body


def test_a_sender_that_crashes_after_any_effect_sends_all_of_it_or_nothing(
    came: list[tuple[bytes, Any]],
) -> None:
    world, ann, bob = world_of_two("large sender")
    send = large_body("sender")
    ann.effects_left = 7
    send_large(ann, bob, send)
    assert not ann.up
    ann.start()
    assert world.run_until(lambda: len(came) == 1, 90)
    assert came[0][1] == send


@pytest.mark.attack("A36")
def test_keys_of_objects_that_never_come_do_not_make_a_channel_be_read_without_end() -> None:
    world, ann, bob = world_of_two("large keys")
    draw, orders = stream("keys"), list[Any]()
    replay = engine_of(bob).replay
    real = replay.orders
    replay.orders = lambda readings: orders.extend(readings) or real(readings)  # type: ignore
    for _ in range(3 * MAX_READS):
        direct(ann, bob, Type.OBJECT, [draw(32), draw(32), int(Type.HISTORY)])
        world.run(8)
    assert 1 <= len(orders) <= MAX_READS + 2
    assert len(engine_of(bob).state.dms.large.expected) == MAX_EXPECTED
    no_late_faults(ann, bob)
