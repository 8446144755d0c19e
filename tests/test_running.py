"""What an open node tells others of where it is, now and when this machine comes to another network."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node import addresses, running
from node.chat.filing import SweepBlocks
from node.config import Settings
from node.mesh.certificates import Certificates
from node.mesh.ports import ListensAt, Resumed
from node.running import Running


def opened(
    home: Path, monkeypatch: pytest.MonkeyPatch, *, announce: tuple[str, ...] = (), tls: bool = False
) -> Running:
    certificates = Certificates()
    certificates.listening = SimpleNamespace() if tls else None  # type: ignore[assignment] # whether, not what
    given: Any = SimpleNamespace(store=SimpleNamespace(), owner=None)
    node = Running(Settings(home=home, announce=announce), given, asyncio.Event(), certificates)
    node.mesh_at = ("::", 7118)
    node.engine = SimpleNamespace(addresses=node._addresses())  # type: ignore[assignment] # all that is asked of it
    monkeypatch.setattr(running, "WATCH_SECONDS", 0.0)
    return node


async def told(node: Running, monkeypatch: pytest.MonkeyPatch, now_at: str) -> list[object]:
    """Move to another network; return what the mesh is told of it."""
    facts: list[object] = []
    node.loop.submit = facts.append  # type: ignore[method-assign,assignment]
    monkeypatch.setattr(addresses, "_own_address", lambda _family, _probe: now_at)
    watch = asyncio.create_task(node._watch_network())
    await asyncio.sleep(0.1)
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    return facts


async def test_on_another_network_the_mesh_is_told_our_new_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tls, scheme in ((False, "ws"), (True, "wss")):
        node = opened(tmp_path, monkeypatch, tls=tls)
        facts = await told(node, monkeypatch, f"192.168.{1 + tls}.2")
        assert facts == [ListensAt((f"{scheme}://192.168.{1 + tls}.2:7118",)), Resumed()]


async def test_what_the_owner_announces_stays_whatever_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = opened(tmp_path, monkeypatch, announce=("wss://chat.example/mesh",))
    assert await told(node, monkeypatch, "192.168.9.2") == []


def test_what_a_node_held_as_a_relay_is_erased_when_it_is_none_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = opened(tmp_path, monkeypatch)
    assert node._open_folder().held is None  # an ordinary node has no such folder
    node.others.prepare()
    node.others.write("a" * 64, 0, b"held")
    files = node._open_folder()
    files.carry_out(SweepBlocks(frozenset()))
    assert node.others.sizes() == {}
