"""`make bench`: bridge to bridge beside the bare parts of the same run, and where the time goes.

Times are printed, never asserted: they are of this machine. Tests assert counts of operations instead, and
run every section `--tiny`, so that none stops working unseen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

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
from node.sim_mesh.scenario import PRESETS

Measured: TypeAlias = Beside | idle.Cost | dialects.Share | mesh.Whole | sim.Mesh | sync.Found | Figures


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted: `messages` of the throughput run, `seconds` at 100/s, whether to profile.

    `tiny` shows that everything runs; its figures say nothing.
    """

    messages: int = 5000
    seconds: float = 10
    profiled: bool = True
    tiny: bool = False


TINY = Asked(messages=64, seconds=0.2, tiny=True)
_SMALL_MESH = replace(PRESETS["w3"], nodes=20, messages=5, senders=3, warmup=2)
_SMALL_EFFORT = mesh.Effort(settle=0.5, last=0.5, warm_up=4, chain=4)


def main() -> None:
    """Measure and print; `--json` for data."""
    words = argparse.ArgumentParser(prog="make bench", description=__doc__)
    words.add_argument("--messages", type=int, default=5000, help="messages of the throughput run")
    words.add_argument("--seconds", type=int, default=10, help="length of the latency run at 100/s")
    words.add_argument("--no-profile", action="store_true", help="leave the profiled run out")
    words.add_argument(
        "--only",
        choices=tuple(SECTIONS),
        help="this section alone; mesh (of which w1, w2 and members are parts), sim and sync never with all",
    )
    words.add_argument("--tiny", action="store_true", help="as little as shows that everything runs")
    words.add_argument("--json", action="store_true", help="print one JSON object at the end")
    given = words.parse_args()
    asked = TINY if given.tiny else Asked(given.messages, given.seconds, not given.no_profile)
    names = [given.only] if given.only else [name for name in SECTIONS if name not in BY_NAME_ALONE]
    found = [figures for name in names for figures in run(name, asked)]
    if given.json:
        print(json.dumps({"python": platform.python_version(), "figures": [f.row() for f in found]}))


def run(name: str, asked: Asked) -> list[Measured]:
    """Run a section in a folder of its own, printing each figure as it is known; return them all."""
    with tempfile.TemporaryDirectory(prefix="gossamer-bench-") as folder:
        return SECTIONS[name](Path(folder), asked)


def _bridge(folder: Path, asked: Asked) -> list[Measured]:
    return asyncio.run(_one_by_one(_bridge_figures(folder, asked)))


async def _bridge_figures(folder: Path, asked: Asked) -> AsyncIterator[Measured]:
    yield await floors.echo(asked.messages)
    yield floors.commits(folder, 10 if asked.tiny else 1000)
    yield floors.commits(folder, 2 if asked.tiny else 200, rows=64)
    for rows in (0, floors.ROWS):
        yield await floors.chain(folder, round(100 * asked.seconds), 100.0, rows=rows)
    (folder / "plain").mkdir()
    async with bridge.pair(folder / "plain") as pair:
        yield await pair.latency(round(100 * asked.seconds), 100.0)
        yield await pair.throughput(asked.messages)
    if asked.profiled:
        (folder / "profiled").mkdir()
        async with bridge.pair(folder / "profiled", profiled=True) as pair:
            await pair.throughput(asked.messages)
        for name, role in (("alice", "sender"), ("bob", "receiver")):
            print(f"where {name}'s time went ({role}, under a profiler):")
            print("\n".join(bridge.profile(folder / "profiled", name)))


def _behind(folder: Path, asked: Asked) -> list[Measured]:
    return asyncio.run(_one_by_one(behind.measure(folder, 100 if asked.tiny else behind.EVENTS)))


def _files(folder: Path, asked: Asked) -> list[Measured]:
    return asyncio.run(_one_by_one(files.measure(folder, 2 if asked.tiny else files.SIZE)))


def _idle(folder: Path, asked: Asked) -> list[Measured]:
    measured = idle.measure(folder, 1, 0.2, 0.2) if asked.tiny else idle.measure(folder)
    return section("a node that has nothing to do:", measured)


def _cryptography(_folder: Path, asked: Asked) -> list[Measured]:
    measured = crypto.measure(3, 1) if asked.tiny else crypto.measure()
    return section("cryptography, apart from storing it:", measured)


def _rooms(_folder: Path, asked: Asked) -> list[Measured]:
    measured = rooms.measure((5, 9), 1) if asked.tiny else rooms.measure()
    return section("big rooms, apart from mesh and store, beside bare verifications:", measured)


def _many(_folder: Path, asked: Asked) -> list[Measured]:
    measured = many.measure(2, 3, 2) if asked.tiny else many.measure()
    return section("one input of a node in 200 rooms with 1,000 contacts, beside one room:", measured)


def _search(_folder: Path, asked: Asked) -> list[Measured]:
    print("search, beside a loop that ticks and commits:")
    return list(asyncio.run(search.measure(500, 0.1, 64) if asked.tiny else search.measure()))


def _dialects(folder: Path, asked: Asked) -> list[Measured]:
    rounds = 1 if asked.tiny else dialects.ROUNDS
    shares = asyncio.run(dialects.measure(folder, min(asked.messages, 2000), rounds))
    return section("bridge to bridge in other dialects, beside the native one:", shares)


def _shelves(folder: Path, asked: Asked) -> list[Measured]:
    found = asyncio.run(shelves.measure(folder, 5_000 if asked.tiny else shelves.HELD))
    return section("holding for others, 500 envelopes of 659 bytes a commit:", found)


def _sync(folder: Path, asked: Asked) -> list[Measured]:
    held = 500 if asked.tiny else sync.HELD
    found = section(f"finding out what is missing, {held:,} held:", sync.reconciliation(held))
    missing = 50 if asked.tiny else sync.BESIDE
    found += section("live envelopes meanwhile, on a virtual clock:", sync.beside(missing))
    taking = sync.taking_in(folder, held, 100, 1) if asked.tiny else sync.taking_in(folder)
    return found + asyncio.run(_one_by_one(taking))


def _mesh(folder: Path, asked: Asked, parts: Sequence[str] = ("w2", "w1", "members")) -> list[Measured]:
    print("the mesh of real nodes, beside bare websocket processes:")
    return asyncio.run(_one_by_one(_meshes(folder, asked, parts)))


async def _meshes(folder: Path, asked: Asked, parts: Sequence[str]) -> AsyncIterator[Measured]:
    effort = _SMALL_EFFORT if asked.tiny else mesh.Effort()
    sizes = {"w1": 30, "w2": 10, "members": 10}
    for part in parts:
        home, nodes = folder / part, 2 if asked.tiny else sizes[part]
        if part == "members":
            yield await mesh.people(home, asked.seconds, nodes=nodes, effort=effort)
        else:
            name = part.upper()
            yield await mesh.measure(home, asked.seconds, nodes=nodes, name=name, effort=effort)


def _sim(_folder: Path, asked: Asked) -> list[Measured]:
    measured = sim.measure({"tiny": _SMALL_MESH}) if asked.tiny else sim.measure()
    return section("meshes of a thousand nodes on a virtual clock:", measured)


SECTIONS: dict[str, Callable[[Path, Asked], list[Measured]]] = {
    "bridge": _bridge,
    "behind": _behind,
    "files": _files,
    "idle": _idle,
    "cryptography": _cryptography,
    "rooms": _rooms,
    "many": _many,
    "search": _search,
    "dialects": _dialects,
    "shelves": _shelves,
    "mesh": _mesh,
    "w1": partial(_mesh, parts=("w1",)),
    "w2": partial(_mesh, parts=("w2",)),
    "members": partial(_mesh, parts=("members",)),
    "sim": _sim,
    "sync": _sync,
}
BY_NAME_ALONE = frozenset({"mesh", "w1", "w2", "members", "sim", "sync"})
"""Sections that take minutes, or all of the machine."""


async def _one_by_one(measured: AsyncIterator[Measured]) -> list[Measured]:
    found = []
    async for figures in measured:
        found.append(figures)
        print(figures.line(), flush=True)
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
