"""A home that runs twice, with real nodes."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from tests.e2e.nodes import NodeProcess, running


async def test_whoever_attaches_to_a_copied_home_is_warned_and_the_first_one_stays_linked(
    tmp_path: Path,
) -> None:
    cat = NodeProcess(tmp_path / "cat", "cat")
    async with running(cat):
        ann = NodeProcess(tmp_path / "ann", "ann", "--peer", cat.address)
        async with running(ann):
            await ann.stop()
            shutil.copytree(ann.home, tmp_path / "copy")
            copy = NodeProcess(tmp_path / "copy", "ann2", "--peer", cat.address)
            await ann.start()
            async with ann.frontend({}) as first:
                while not (await first.call("peer_list"))["peers"][0]["peer"]:
                    await asyncio.sleep(0.05)
                async with running(copy), copy.frontend({}) as second:
                    warning = await second.event("warning", code="cloned", seconds=8)
                    assert "one machine" in warning["message"]
                    assert (await first.call("peer_list"))["peers"][0]["state"] in {"live", "syncing"}
                    assert not any(e.get("code") == "cloned" for e in first.events)
                    async with copy.frontend({}) as later:
                        await later.event("warning", code="cloned")
