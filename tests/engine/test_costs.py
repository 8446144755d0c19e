"""What a message costs, counted: the same in a room of two and of two hundred (docs/crypto.md, I10)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from node.bridge.ports import CommandReceived, Deliver
from node.chat import commands as c
from node.chat.room import Room
from node.chat.turn import Turn
from node.crypto import keys, primitives
from node.crypto.keys import Identity
from node.crypto.ops import Add, Leaf, Role
from node.engine.effects import Effect, Persist
from node.mesh.ports import SendBytes
from node.sim import SimNode, stream
from tests.engine.worlds import trio

DIRECT = ("secretbox", "secretbox_open", "sign", "sign_open")
"""What `primitives` asks of libsodium itself, without its binding."""
SENT = ["AppendEvent", "Put chains", "Put rooms", "PutEnvelope", "PutMessage"]
"""What a message writes: where it is said, and where it is shown."""


def written(effects: Iterable[Effect]) -> list[str]:
    """Return what effects write, each with the table of a row."""
    writes = [write for effect in effects if isinstance(effect, Persist) for write in effect.writes]
    return sorted(f"{type(one).__name__} {getattr(one, 'table', '')}".strip() for one in writes)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counter: Counter[str] = Counter()

    def counted(name: str, real: Any) -> Any:
        def call(*args: Any) -> Any:
            counter[name] += 1
            return real(*args)

        return call

    for name in DIRECT:
        real = getattr(primitives, f"_{name}")
        monkeypatch.setattr(primitives, f"_{name}", counted(f"crypto_{name}", real))
    bound = primitives.sodium
    monkeypatch.setattr(bound, "crypto_scalarmult", counted("crypto_scalarmult", bound.crypto_scalarmult))
    return counter


def fill(node: SimNode, room_id: bytes, members: int) -> None:
    """Let the creator add people who never run: what counts is the roster's size."""
    assert node.engine is not None
    room: Room = node.engine.state.rooms.inboxes[room_id].room
    turn = Turn(node.now(), node.now().wall_ms, node.setup.entropy, node.engine.state.seq)
    day = node.now().wall_ms // 86_400_000
    for number in range(members - len(room.log.roster.members)):
        entropy = stream(f"extra {number}")
        who = Identity.generate(entropy, day)
        cert = keys.make_cert(who, day, day + 100)
        devices = keys.make_list(who, 1, bytes(32), (cert.cert_hash,), (), day)
        leaf = Leaf(1, primitives.x25519_public(entropy(32)))
        body = Add(who.account, Role.MEMBER, cert.raw, devices.raw, leaf, f"extra{number}")
        room.people.meet(turn, who.account, f"extra{number}")
        op = room.log.next_op(room.me.identity, body, ts_ms=turn.mesh_ms)
        room.author(turn, op, room.sending(turn) if number == 0 else next(iter(room.epochs.held.values())))
    room.rekey(turn, 2)


@pytest.mark.parametrize("members", [2, 200])
def test_sending_costs_two_secretboxes_and_two_signatures_whatever_the_size(
    members: int, calls: Counter[str]
) -> None:
    world, ann, _, _, room = trio(f"cost {members}")
    room_id = next(iter(ann.engine.state.rooms.inboxes))  # type: ignore[union-attr]
    if members > 2:
        fill(ann, room_id, members)
    ann.call(c.UserMessage(room=room, message="warm up"))
    calls.clear()
    assert ann.engine is not None
    effects = ann.engine.handle(
        CommandReceived(0, c.UserMessage(room=room, message="x" * 900)), now=ann.now()
    )
    assert calls == {"crypto_secretbox": 2, "crypto_sign": 2}
    persist = effects[0]
    assert isinstance(persist, Persist)
    assert written(effects) == SENT
    assert any(isinstance(effect, SendBytes) for effect in effects)


def test_receiving_costs_two_openings_one_verification_and_one_signature(calls: Counter[str]) -> None:
    world, ann, bob, cat, room = trio("receive")
    ann.call(c.UserMessage(room=room, message="warm up"))
    world.run(2)
    bob.sent_bytes.clear()
    calls.clear()
    ann.call(c.UserMessage(room=room, message="hello"))
    ann_calls = Counter(calls)
    calls.clear()
    world.run(0.5)
    assert ann_calls == {"crypto_secretbox": 2, "crypto_sign": 2}
    # cat relays with one verification; bob opens two boxes, verifies one signature and signs again to compare
    assert calls == {"crypto_secretbox_open": 2, "crypto_sign_open": 2, "crypto_sign": 1}


def test_a_message_writes_five_rows_at_either_end_and_tells_one_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, ann, bob, _, room = trio("rows")
    ann.call(c.UserMessage(room=room, message="warm up"))
    world.run(30)
    took: list[tuple[str, list[Effect]]] = []
    for node in (ann, bob):
        assert node.engine is not None
        monkeypatch.setattr(node.engine, "handle", recorded(node, took))
    for _ in range(20):
        ann.call(c.UserMessage(room=room, message="hello"))
        world.run(0.01)
    world.run(0.1)
    said = [effects for name, effects in took if name == "ann CommandReceived"]
    shown = [effects for name, effects in took if name == "bob LinkBytes" and written(effects)]
    assert [written(effects) for effects in said] == [SENT] * 20
    assert shown and all(set(written(effects)) == set(SENT) for effects in shown)
    assert sum(delivered(effects)["UserMessage"] for effects in shown) == 20
    assert all(set(delivered(effects)) == {"UserMessage"} for effects in shown)
    # what tells ann that others have them is gathered: it costs no commit for each
    news = [effects for name, effects in took if name == "ann LinkBytes" and written(effects)]
    assert len(news) <= 4


def recorded(node: SimNode, took: list[tuple[str, list[Effect]]]) -> Any:
    """Return an engine's door that notes what came of each input."""
    assert node.engine is not None
    real = node.engine.handle

    def handle(event: Any, *, now: Any) -> list[Effect]:
        effects = real(event, now=now)
        took.append((f"{node.name} {type(event).__name__}", effects))
        return effects

    return handle


def delivered(effects: Iterable[Effect]) -> Counter[str]:
    """Count the events that frontends are given, by name."""
    return Counter(type(effect.event).__name__ for effect in effects if isinstance(effect, Deliver))
