"""`gossamer sim --bridge`: a node with scripted friends for who writes a frontend; no mesh, nothing kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

from node.bridge.listeners import bracketed
from node.commandline.app import App
from node.config import Endpoint
from node.errors import Fatal
from node.sim_bridge import SimBridge
from node.sim_friends import HELP

TRIES = 20
"""Ports tried after the default one; a port that was asked for is taken or refused."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be served: `pace` is virtual seconds a second, `origins` may attach pages."""

    seed: str
    at: Endpoint
    pace: float
    origins: tuple[str, ...]


def serve(app: App, wanted: Wanted) -> int:
    """Serve until Ctrl-C; the folder with the token is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="gossamer-sim-"))
    try:
        return asyncio.run(_serve(app, folder, wanted))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _serve(app: App, home: Path, wanted: Wanted) -> int:
    at = wanted.at
    bridge = SimBridge(home, seed=wanted.seed, host=at.host, pace=wanted.pace)
    running = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            running.add_signal_handler(number, bridge.stopping.set)
    try:
        host, port = await bridge.start(at.port, tries=1 if at.given else TRIES)
    except OSError as fault:
        text = f"the bridge cannot listen on {at}: {fault.strerror}"
        raise Fatal(text, code="port_taken", exit_code=7) from fault
    try:
        for origin in wanted.origins:
            bridge.allow(origin)
        _greet(app, home, host, port)
        await bridge.run()
    finally:
        await bridge.close()
    return 0


def _greet(app: App, home: Path, host: str, port: int) -> None:
    url = f"ws://{bracketed(host)}:{port}/"
    token = str(home / "token")
    if app.json:
        print(json.dumps({"url": url, "token_file": token, "home": str(home)}), flush=True)
        return
    for line in (
        "A simulated node, you, and its friends ann, bob and cleo. Ctrl-C ends it; nothing is kept.",
        f"  bridge  {url}",
        f"  token   {token}",
        f"  also    gossamer --home {home} chat lounge",
        f"Say in the lounge, or to a friend: {HELP}",
    ):
        app.say(line)
