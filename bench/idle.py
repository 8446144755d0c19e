"""A node that has nothing to do: how long it takes to be there, and what it costs to keep.

Beside a bare interpreter that imports the same libraries and waits: nothing of ours can be below it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import cpu_s
from node.client import Client
from node.commandline.processes import NodeProcess, end, start

STARTS = 5
SETTLE_S = 3.0
"""After a start: what it brings is done."""
WATCHED_S = 20.0
BARE = (
    "import asyncio, sqlite3, sys, time; import aiohttp.web, aiosqlite, click, msgpack, msgspec; "
    "import nacl.bindings, websockets; print('up', flush=True); time.sleep(600)"
)


@dataclass(frozen=True, slots=True)
class Cost:
    """One figure of ours beside the same of a bare interpreter; `goal` is what the project wants of it."""

    what: str
    ours: float
    bare: float
    unit: str
    goal: float

    def line(self) -> str:
        """Return the figure as a line of the report."""
        here = f"{self.ours:.2f} {self.unit}, bare interpreter {self.bare:.2f}"
        return f"{self.what:<38}{here}, goal {self.goal:g}"

    def row(self) -> dict[str, object]:
        """Return the figure as data."""
        return {"what": self.what, "ours": self.ours, "bare": self.bare, "unit": self.unit, "goal": self.goal}


def measure(
    folder: Path, starts: int = STARTS, settle: float = SETTLE_S, watched: float = WATCHED_S
) -> Iterator[Cost]:
    """Start nodes one after another in one home, then watch the last one do nothing."""
    home = folder / "idle"
    with _node(home):  # makes the identity, and the bytecode of every module
        pass
    times = [_timed(lambda: _node(home)) for _ in range(starts)]
    bares = [_timed(_bare) for _ in range(starts)]
    yield Cost("start to a bridge that answers", statistics.median(times), statistics.median(bares), "s", 0.7)
    with _node(home) as ours, _bare() as bare:
        time.sleep(settle)
        before = [cpu_s(pid) for pid in (ours, bare)]
        time.sleep(watched)
        busy = [(cpu_s(pid) - was) / watched * 100 for pid, was in zip((ours, bare), before, strict=True)]
        yield Cost("memory of an idle node", _rss_mib(ours), _rss_mib(bare), "MiB", 80)
        yield Cost("processor's time of an idle node", *busy, "%", 0.5)


def _timed(begin: Callable[[], AbstractContextManager[int]]) -> float:
    started = time.perf_counter()
    with begin():
        return time.perf_counter() - started


@contextmanager
def _node(home: Path) -> Iterator[int]:
    nodes: list[NodeProcess] = []
    try:
        nodes.append(start(home, "idle", ()))
        yield asyncio.run(_up(nodes[0], home))
    finally:
        end(nodes)


async def _up(node: NodeProcess, home: Path) -> int:
    await node.up()
    async with Client.connect(home=home, subscribe={"events": []}):
        return int(json.loads((home / "runtime.json").read_bytes())["pid"])


@contextmanager
def _bare() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", BARE], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
