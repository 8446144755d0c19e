"""The gate behind the bridge: nothing that a frontend sends is lost between one who answers and the next."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from node.bridge.ports import CommandReceived, Deliver, SessionStarted
from node.chat import commands, events
from node.clock import Instant
from node.engine.effects import OpenVault
from node.engine.locked import Locked
from node.errors import Refused
from node.gate import Gate

NOW = Instant(0.0, 0)
ASKED = CommandReceived(1, commands.RoomList(req=7))


class Loop:
    """Takes inputs as the engine's loop does."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []

    def submit(self, event: Any) -> None:
        self.inputs.append(event)

    def backlog(self) -> int:
        return 41


class Store:
    async def events_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        return [(seq + 1, b"{}")]

    async def history(self, *_: Any) -> tuple[list[bytes], bool]:
        return [], False


def gated() -> tuple[Gate, list[Any], list[OpenVault]]:
    told: list[Any] = []
    orders: list[OpenVault] = []
    gate = Gate(lambda: NOW, asyncio.Event(), orders.append)
    gate.bridge = SimpleNamespace(perform=told.append)  # type: ignore[assignment]  # a stand-in
    return gate, told, orders


def opened(gate: Gate) -> Loop:
    loop = Loop()
    gate.open(loop, Store())  # type: ignore[arg-type]  # stand-ins
    return loop


async def test_what_comes_while_nobody_is_there_is_answered_by_who_is_next() -> None:
    gate, told, _ = gated()
    gate.submit(ASKED)
    assert (gate.backlog(), told) == (1, [])
    loop = opened(gate)
    assert loop.inputs == [ASKED]
    assert gate.backlog() == 41
    gate.hold()
    gate.submit(ASKED)
    gate.lock(Locked(NOW, sessions=[SessionStarted(1, "owner", "owner", plain=False)]))
    signs = [effect.event for effect in told if isinstance(effect, Deliver)]
    assert signs[0] == events.Connectivity(state="locked")
    assert isinstance(signs[1], events.Error)
    assert (signs[1].code, signs[1].req) == ("locked", 7)
    assert loop.inputs == [ASKED]


async def test_who_came_while_it_was_locked_is_started_by_the_next_engine() -> None:
    gate, _, orders = gated()
    gate.lock(Locked(NOW))
    came = SessionStarted(2, "chat", "bot", plain=True)
    gate.submit(came)
    gate.submit(CommandReceived(2, commands.VaultUnlock(passphrase="p")))
    assert orders == [OpenVault(2, None, "p")]
    assert opened(gate).inputs == [came]


async def test_a_replay_waits_for_the_store_and_a_page_of_history_is_refused() -> None:
    gate, _, _ = gated()
    assert gate.is_locked
    with pytest.raises(Refused) as fault:
        await gate.history(b"room", None, None, 1)
    assert fault.value.code == "locked"
    reading = asyncio.create_task(gate.events_after(5, 1))
    await asyncio.sleep(0)
    assert not reading.done()
    opened(gate)
    assert await reading == [(6, b"{}")]


async def test_a_locked_node_can_be_stopped() -> None:
    gate, _, _ = gated()
    gate.lock(Locked(NOW))
    gate.submit(CommandReceived(1, commands.NodeStop()))
    assert gate._stopping.is_set()
