"""Two shells of discovery on this machine find each other by real multicast, where there is any."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_network

import pytest

from node.errors import Refused
from node.mesh import lan
from node.mesh.lan import Lan
from node.mesh.ports import AddAddress, AddressGone, MeshInput
from tests.multicast import here

pytestmark = pytest.mark.slow
WITHIN = 10.0


async def until_told(facts: list[MeshInput], fact: MeshInput) -> None:
    end = time.monotonic() + WITHIN
    while fact not in facts:
        assert time.monotonic() < end, facts
        await asyncio.sleep(0.02)


async def test_two_nodes_find_each_other_and_one_that_stops_is_taken_back() -> None:
    address = here()
    one_heard: list[MeshInput] = []
    two_heard: list[MeshInput] = []
    one, two = Lan(one_heard.append, (address, 17181)), Lan(two_heard.append, (address, 17182))
    one.start()
    two.start()
    try:
        await until_told(one_heard, AddAddress(f"ws://{address}:17182", "lan"))
        await until_told(two_heard, AddAddress(f"ws://{address}:17181", "lan"))
        await two.stop()
        await until_told(one_heard, AddressGone(f"ws://{address}:17182"))
        assert not [f for f in one_heard if isinstance(f, AddAddress) and f.address.endswith(":17181")]
    finally:
        await one.stop()
        await two.stop()
    assert len(asyncio.all_tasks()) == 1


async def test_one_that_listens_on_this_machine_alone_looks_and_says_nothing() -> None:
    address = here()
    one_heard: list[MeshInput] = []
    two_heard: list[MeshInput] = []
    one, two = Lan(one_heard.append, ("127.0.0.1", 17183)), Lan(two_heard.append, (address, 17184))
    one.start()
    two.start()
    try:
        await until_told(one_heard, AddAddress(f"ws://{address}:17184", "lan"))
        said = [
            fact for fact in two_heard if isinstance(fact, AddAddress) and fact.address.endswith(":17183")
        ]
        assert said == [], "others on this network may say what they like"
    finally:
        await one.stop()
        await two.stop()


async def test_on_another_network_all_is_announced_and_looked_for_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, real = here(), lan._interfaces
    monkeypatch.setattr(lan, "LOOK_AGAIN", 0.05)
    heard: list[MeshInput] = []
    one, two = Lan(heard.append, None), Lan(lambda _fact: None, (address, 17185))
    one.start()
    two.start()
    try:
        await until_told(heard, AddAddress(f"ws://{address}:17185", "lan"))
        monkeypatch.setattr(
            lan, "_interfaces", lambda: {**real(), "203.0.113.9": ip_network("203.0.113.0/24")}
        )
        await until_told(heard, AddressGone(f"ws://{address}:17185"))
        del heard[: heard.index(AddressGone(f"ws://{address}:17185"))]
        await until_told(heard, AddAddress(f"ws://{address}:17185", "lan"))
    finally:
        await one.stop()
        await two.stop()


def test_without_the_extra_the_node_says_which_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "zeroconf", None)
    with pytest.raises(Refused, match=r"-m pip install zeroconf$") as fault:
        lan.installed()
    assert fault.value.code == "lan_missing"
