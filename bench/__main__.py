"""`make bench`: bridge to bridge beside the bare parts of the same run, and where the time goes.

Times are printed, never asserted: they are of this machine. Tests assert counts of operations instead.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TypeVar

from bench import (
    behind,
    bridge,
    crypto,
    dialects,
    files,
    floors,
    idle,
    many,
    mesh,
    rooms,
    search,
    shelves,
    sim,
    sync,
)
from bench.crypto import Beside
from bench.figures import Figures

Measured = TypeVar("Measured", Beside, idle.Cost, dialects.Share, sim.Mesh, sync.Found, Figures)


def main() -> None:
    """Measure and print; `--json` for data."""
    words = argparse.ArgumentParser(prog="make bench", description=__doc__)
    words.add_argument("--messages", type=int, default=5000, help="messages of the throughput run")
    words.add_argument("--seconds", type=int, default=10, help="length of the latency run at 100/s")
    words.add_argument("--no-profile", action="store_true", help="leave the profiled run out")
    words.add_argument(
        "--only",
        choices=(
            "bridge", "behind", "files", "idle", "cryptography", "rooms", "many", "search", "dialects",
            "shelves", "mesh", "sim", "sync",
        ),
        help="this section alone; mesh, sim and sync are never part of the whole",
    )  # fmt: skip
    words.add_argument("--json", action="store_true", help="print one JSON object at the end")
    asked = words.parse_args()
    found: list[Figures | Beside | idle.Cost | dialects.Share | mesh.Whole | sim.Mesh | sync.Found] = []
    if asked.only in (None, "bridge"):
        with tempfile.TemporaryDirectory(prefix="gossamer-bench-") as name:
            whole = measure(Path(name), asked.messages, asked.seconds, profiled=not asked.no_profile)
            found += asyncio.run(whole)
    if asked.only in (None, "behind"):
        with tempfile.TemporaryDirectory(prefix="gossamer-bench-") as name:
            found += asyncio.run(_one_by_one(behind.measure(Path(name))))
    if asked.only in (None, "files"):
        with tempfile.TemporaryDirectory(prefix="gossamer-bench-") as name:
            found += asyncio.run(_one_by_one(files.measure(Path(name))))
    if asked.only in (None, "idle"):
        with tempfile.TemporaryDirectory(prefix="gossamer-bench-") as name:
            found += section("a node that has nothing to do:", idle.measure(Path(name)))
    if asked.only in (None, "cryptography"):
        found += section("cryptography, apart from storing it:", crypto.measure())
    if asked.only in (None, "rooms"):
        found += section("big rooms, apart from mesh and store, beside bare verifications:", rooms.measure())
    if asked.only in (None, "many"):
        found += section(
            "one input of a node in 200 rooms with 1,000 contacts, beside one room:", many.measure()
        )
    if asked.only in (None, "search"):
        print("search, beside a loop that ticks and commits:")
        found += asyncio.run(search.measure())
    if asked.only in (None, "dialects"):
        with tempfile.TemporaryDirectory(prefix="gossamer-bench-") as name:
            shares = asyncio.run(dialects.measure(Path(name), min(asked.messages, 2000)))
            found += section("bridge to bridge in other dialects, beside the native one:", shares)
    if asked.only in (None, "shelves"):
        with tempfile.TemporaryDirectory(prefix="gossamer-bench-") as name:
            print("holding for others, 500 envelopes of 659 bytes a commit:")
            for figures in asyncio.run(shelves.measure(Path(name))):
                print(figures.line(), flush=True)
                found.append(figures)
    if asked.only == "sync":
        found += section("finding out what is missing, 100,000 held:", sync.reconciliation())
        found += section("live envelopes meanwhile, on a virtual clock:", sync.beside())
        with tempfile.TemporaryDirectory(prefix="gossamer-bench-") as name:
            found += asyncio.run(_one_by_one(sync.taking_in(Path(name))))
    if asked.only == "mesh":
        print("the mesh of real nodes, beside bare websocket processes:")
        with tempfile.TemporaryDirectory(prefix="gossamer-bench-") as name:
            found += asyncio.run(_mesh(Path(name), asked.seconds))
    if asked.only == "sim":
        found += section("meshes of a thousand nodes on a virtual clock:", sim.measure())
    if asked.json:
        print(json.dumps({"python": platform.python_version(), "figures": [f.row() for f in found]}))


async def measure(folder: Path, messages: int, seconds: int, *, profiled: bool) -> list[Figures]:
    """Run everything in turn, printing each figure as it is known."""
    found: list[Figures] = []

    def keep(figures: Figures) -> None:
        found.append(figures)
        print(figures.line(), flush=True)

    keep(await floors.echo(messages))
    keep(floors.commits(folder, 1000))
    keep(floors.commits(folder, 200, rows=64))
    for rows in (0, floors.ROWS):
        keep(await floors.chain(folder, 100 * seconds, 100.0, rows=rows))
    (folder / "plain").mkdir()
    async with bridge.pair(folder / "plain") as pair:
        keep(await pair.latency(100 * seconds, 100.0))
        keep(await pair.throughput(messages))
    if profiled:
        (folder / "profiled").mkdir()
        async with bridge.pair(folder / "profiled", profiled=True) as pair:
            await pair.throughput(messages)
        for name in ("alice", "bob"):
            print(
                f"where {name}'s time went ({'sender' if name == 'alice' else 'receiver'}, under a profiler):"
            )
            print("\n".join(bridge.profile(folder / "profiled", name)))
    return found


async def _one_by_one(measured: AsyncIterator[Figures]) -> list[Figures]:
    found = []
    async for figures in measured:
        found.append(figures)
        print(figures.line(), flush=True)
    return found


async def _mesh(folder: Path, seconds: int) -> list[mesh.Whole | Figures]:
    found: list[mesh.Whole | Figures] = []
    for name, nodes in (("W2", 10), ("W1", 30)):
        found.append(await mesh.measure(folder / name, seconds, nodes=nodes, name=name))
        print(f"  {found[-1].line()}", flush=True)
    found.append(await mesh.people(folder / "room", seconds, nodes=10))
    print(f"  {found[-1].line()}", flush=True)
    return found


def section(title: str, measured: Iterable[Measured]) -> list[Measured]:
    """Print a title, and each figure as it is known; returns them all."""
    print(title)
    found: list[Measured] = []
    for beside in measured:
        found.append(beside)
        print(f"  {beside.line()}", flush=True)
    return found


if __name__ == "__main__":
    main()
