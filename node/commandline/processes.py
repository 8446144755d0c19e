"""Nodes as processes of this machine: started on free loopback ports, waited for, ended by their own ids."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.commandline.runtime import read_runtime
from node.errors import Refused

START_S = 30.0  # for a node to answer at its bridge; a cold start takes about one second
STOP_S = 8.0  # a clean stop flushes for at most 5 s
OUTPUT = "output.txt"


@dataclass(frozen=True, slots=True)
class NodeProcess:
    """One node that we started, and its home."""

    name: str
    home: Path
    process: subprocess.Popen[bytes]

    async def up(self) -> dict[str, Any]:
        """Wait until the node has written runtime.json and return it; raises Refused when it will not."""
        deadline = time.monotonic() + START_S
        while True:
            found = read_runtime(self.home)
            if found.get("pid") == self.process.pid:
                return found
            if self.process.poll() is not None:
                raise Refused("demo_failed", f"{self.name}'s node ended at once: {self.last_words()}")
            if time.monotonic() > deadline:
                raise Refused("timeout", f"{self.name}'s node was not up within {START_S:.0f} s")
            await asyncio.sleep(0.02)

    def last_words(self) -> str:
        """Return the last line of what the node has printed."""
        lines = (self.home / OUTPUT).read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def start(
    home: Path,
    name: str,
    peers: Iterable[str] = (),
    *,
    listen: str = "127.0.0.1:0",
    python: Sequence[str] = (),
) -> NodeProcess:
    """Start a node, on loopback ports that the system picks; `python` are options of the interpreter."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    words = [sys.executable, *python, "-m", "cli", "--home", str(home), "--quiet", "run", "--name", name]
    words += ["--bridge", "127.0.0.1:0", "--listen", listen, "--log-level", "warning"]
    for peer in peers:
        words += ["--peer", peer]
    with (home / OUTPUT).open("wb") as output:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # noqa: S603
    return NodeProcess(name, home, process)


def end(nodes: Iterable[NodeProcess]) -> None:
    """Stop these processes, and no others: cleanly, or by force after STOP_S."""
    processes = [node.process for node in nodes if node.process.poll() is None]
    for process in processes:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
