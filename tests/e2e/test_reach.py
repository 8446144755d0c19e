"""Real nodes reach each other by wss://, by discovery, inside a private network, or say why they do not."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.e2e.nodes import Frontend, NodeProcess, befriend, running
from tests.multicast import here

pytestmark = pytest.mark.slow
WITHIN = 20.0


async def row(node: NodeProcess, match: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the first row of a node's peer list that matches, waiting for it."""
    async with node.frontend({}) as frontend:
        return await row_at(frontend, match)


async def row_at(frontend: Frontend, match: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + WITHIN
    while True:
        rows = (await frontend.call("peer_list"))["peers"]
        found = next((row for row in rows if match(row)), None)
        if found is not None:
            return found
        assert time.monotonic() < end, rows
        await asyncio.sleep(0.05)


def is_live(row: dict[str, Any]) -> bool:
    return row["state"] != "down"


def has_failed(row: dict[str, Any]) -> bool:
    return row["state"] == "down" and row["last_error"] is not None


def setting(node: NodeProcess, **keys: str) -> None:
    node.home.mkdir(mode=0o700, exist_ok=True)
    (node.home / "config.toml").write_text("".join(f'{key} = "{value}"\n' for key, value in keys.items()))


async def test_nodes_talk_by_wss_where_the_certificate_is_trusted_and_say_so_where_not(
    tmp_path: Path,
) -> None:
    authority, other = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    authority.certify(tmp_path / "cert", tmp_path / "key")
    ann = NodeProcess(tmp_path / "ann", "ann")
    setting(ann, listen_cert=str(tmp_path / "cert"), listen_key=str(tmp_path / "key"))
    bob, eve = NodeProcess(tmp_path / "bob", "bob"), NodeProcess(tmp_path / "eve", "eve")
    setting(bob, peer_ca=str(authority.path))
    setting(eve, peer_ca=str(other.path))
    async with running(ann, bob, eve):
        address = ann.address.replace("ws://", "wss://")
        async with ann.frontend({}) as a, bob.frontend({}) as b, eve.frontend({}) as e:
            assert (await a.call("node_status"))["addresses"] == [address]  # its contact link says wss too
            link = (await a.call("contact_link_create"))["link"]
            await b.call("contact_add", link=link)
            await b.event("contact_added")
            for frontend in (b, e):
                await frontend.call("peer_add", address=address)
            stood = await row_at(b, is_live)
            assert address in (stood["address"], stood["known_as"])  # whoever of the two dialled first
            failed = await row_at(e, has_failed)
            assert "certificate is not trusted" in failed["last_error"] and failed["source"] == "configured"
            # the certificate is renewed, by eve's authority this time, and read again at SIGHUP
            other.certify(tmp_path / "cert", tmp_path / "key")
            assert ann.process is not None
            ann.process.send_signal(signal.SIGHUP)
            assert (await row_at(e, is_live))["last_error"] is None
            assert (await row_at(b, is_live))["age_s"] > stood["age_s"]  # what stood goes on


async def test_a_node_whose_certificate_is_of_no_use_does_not_start_and_says_why(tmp_path: Path) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    setting(ann, listen_cert=str(tmp_path / "nowhere"))
    with pytest.raises(AssertionError, match="cannot be read"):
        async with running(ann):
            pass


async def test_nodes_of_one_secret_meet_and_those_of_another_are_told_so(tmp_path: Path) -> None:
    for name, byte in (("ours", b"o"), ("theirs", b"t")):
        (tmp_path / name).write_bytes(byte * 32)
        (tmp_path / name).chmod(0o600)
    ann, bob = (
        NodeProcess(tmp_path / name, name, "--network-secret", str(tmp_path / "ours"))
        for name in ("ann", "bob")
    )
    eve = NodeProcess(tmp_path / "eve", "eve", "--network-secret", str(tmp_path / "theirs"))
    pat = NodeProcess(tmp_path / "pat", "pat")
    async with running(ann, bob, eve, pat):
        await befriend(ann, bob)
        for stranger in (eve, pat):
            async with stranger.frontend({}) as frontend:
                await frontend.call("peer_add", address=ann.address)
                failed = await row_at(frontend, has_failed)
                assert failed["last_error"] == "another network or secret"
                assert failed["retry_s"] is not None and failed["retry_s"] > 30


async def test_two_nodes_that_know_nothing_find_each_other_on_the_network(tmp_path: Path) -> None:
    ann, bob = NodeProcess(tmp_path / "ann", "ann", "--lan"), NodeProcess(tmp_path / "bob", "bob", "--lan")
    ann.mesh_host = bob.mesh_host = here()
    async with running(ann, bob):
        async with ann.frontend({}) as a, bob.frontend({}) as b:
            live = await row_at(a, is_live)
            assert {live["source"], (await row_at(b, is_live))["source"]} <= {"lan", None}
            room = (await a.call("room_create", name="club", visibility="open"))["room"]
            await b.wait(lambda e: e["event"] == "room_listed" or e.get("room") == room, WITHIN)
        assert await ann.stop() == 0
