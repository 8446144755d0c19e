"""A bridge without a mesh behind it: one simulated node served to real frontends, as real time passes.

A shell around the simulator: it lets virtual time follow the wall's, hands what frontends say to the owner's
node, and keeps token and `runtime.json` in a folder, so that everything that finds a node finds this one.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from node.bridge.ports import BridgeEffect, BridgeInput, CredentialsChanged
from node.bridge.server import BridgeServer
from node.chat import commands
from node.engine.effects import Effect, OpenVault, StopNode
from node.engine.node_commands import credentials
from node.errors import Refused
from node.sim import EPOCH_MS, CallError, SimNode, Simulation
from node.sim_friends import Play
from node.sim_session import stream
from node.store import files
from node.store.attachments import Upload
from node.store.memory import MemoryStore
from node.wire.manifest import Manifest

TICK_SECONDS = 0.01
"""Between two looks at the clock: what friends do is at most so late."""
MOST_BEHIND_SECONDS = 0.25
"""Real time that passes in the world at one look at most: what the machine had no time for has not passed.

At any pace frontends get to speak then while an invite stands open, however busy the machine is.
"""
BEGINNING_SECONDS = 90.0
"""Virtual time that the beginning takes at most: its messages are so old when the bridge opens."""
YOU = "you"


class ServedNode(SimNode):
    """The owner's node: what goes to frontends goes to the bridge, unless a script attached them."""

    bridge: Callable[[BridgeEffect], None] | None = None
    stop: Callable[[], None] = staticmethod(lambda: None)

    def _one(self, effect: Effect | OpenVault) -> None:
        if isinstance(effect, StopNode):
            self.stop()
        elif self.bridge is not None and isinstance(effect, BridgeEffect) and self._outside(effect):
            self.bridge(effect)
        else:
            super()._one(effect)

    def _outside(self, effect: BridgeEffect) -> bool:
        """Whether it is for no frontend of a script."""
        return getattr(effect, "session", None) not in self.sessions


class _Reader:
    """What the bridge reads past the engine, from the store in memory."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def events_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        return self._store.events_after(seq, limit)

    async def history(
        self, room: bytes, before: bytes | None, after: bytes | None, limit: int, skip: int = 0
    ) -> tuple[list[bytes], bool]:
        return self._store.history(room, before, after, limit, skip)

    async def message_count(self, room: bytes) -> int:
        return self._store.message_count(room)

    async def search(
        self, text: str, room: bytes | None, before: tuple[bytes, Sequence[bytes]] | None, limit: int
    ) -> tuple[list[bytes], bool]:
        return self._store.search(text, room, before, limit)


class _Shelf:
    """The owner's attachments, in memory."""

    def __init__(self, node: SimNode) -> None:
        self._node = node

    def attachment(self, ident: bytes) -> tuple[Manifest, str] | None:
        engine = self._node.engine
        record = None if engine is None else engine.state.attachments.records.get(ident)
        return None if record is None else (record.parsed, record.state)

    def upload(self) -> Upload:
        return self._node.files.upload()

    def content(self, manifest: Manifest) -> Iterator[bytes]:
        yield self._node.files.content(manifest)


class SimBridge:
    """A play that is served: `start`, `run` until stopped, `close`. `pace` is virtual seconds a second."""

    def __init__(
        self,
        home: Path,
        *,
        seed: str,
        host: str,
        pace: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home, self._host, self._pace, self._clock = home, host, pace, clock
        self.world = Simulation(seed, latency=(0.02, 0.08))
        self.you = ServedNode(self.world, YOU, self.world.setup(YOU, stream(f"{seed} {YOU}"), ()))
        self.you.store = MemoryStore(str(uuid.uuid4()))  # no log of an earlier play goes on in this one
        self.world.place(self.you)
        self.play = Play(self.world, self.you)
        self.stopping = asyncio.Event()
        self._inputs: deque[BridgeInput] = deque()
        self._bridge: BridgeServer | None = None
        self._began = 0.0

    async def start(self, port: int = 0, *, tries: int = 1) -> tuple[str, int]:
        """Play the beginning, listen, and return (host, port); of `tries` ports the first free one.

        Raises:
            OSError: If there is none.
        """
        for node in self.world.nodes.values():
            node.skew_s = time.time() - EPOCH_MS / 1000 - BEGINNING_SECONDS
        self.play.begin()
        self.world.run(BEGINNING_SECONDS - self.world.time)
        self.play.live()
        token = os.urandom(32).hex()
        files.prepare_home(self._home)
        files.replace(self._home / "token", token.encode())
        self._bridge = BridgeServer(
            self._inputs.append,
            _Reader(self.you.store),
            admin_token=token,
            host=self._host,
            port=port,
            socket_path=None,
            entropy=os.urandom,
            clock=self.you.now,
            backlog=self._inputs.__len__,
            locked=lambda: self.you.engine is None,
            shelf=_Shelf(self.you),
            home=self._home,
            keep=partial(files.kept, self._home),
        )
        at = await self._bridge.start(tries=tries)
        self.you.bridge, self.you.stop = self._perform, self.stopping.set
        assert self.you.engine is not None
        self._perform(credentials(self.you.engine.desk))
        self._say_where(at)
        self._began = self._clock() - self.world.time / self._pace
        return at

    def allow(self, origin: str) -> None:
        """Let pages of an origin attach; raises Refused for what is none."""
        try:
            self.you.call(commands.OriginAllow(origin=origin))
        except CallError as fault:
            raise Refused(fault.code, str(fault)) from fault

    def _say_where(self, at: tuple[str, int]) -> None:
        runtime = {
            "pid": os.getpid(),
            "bridge": {"host": at[0], "port": at[1]},
            "mesh": None,
            "socket": None,
            "log_epoch": self.you.store.log_epoch,
        }
        files.replace(self._home / "runtime.json", json.dumps(runtime).encode())

    async def run(self) -> None:
        """Let time pass and frontends speak until told to stop."""
        while not self.stopping.is_set():
            self.advance()
            await asyncio.sleep(TICK_SECONDS)

    def advance(self) -> None:
        """Bring the world up to the clock, or nearer, then hand on what frontends have said meanwhile."""
        behind = self._clock() - self._began - self.world.time / self._pace
        if behind > MOST_BEHIND_SECONDS:
            self._began += behind - MOST_BEHIND_SECONDS
            behind = MOST_BEHIND_SECONDS
        if behind > 0:
            self.world.run(behind * self._pace)
        while self._inputs:
            self.you.feed(self._inputs.popleft())

    async def close(self) -> None:
        """Close every frontend, stop listening, and leave nothing that says otherwise."""
        if self._bridge is not None:
            await self._bridge.stop()
        (self._home / "runtime.json").unlink(missing_ok=True)

    def _perform(self, effect: BridgeEffect) -> None:
        assert self._bridge is not None
        if isinstance(effect, CredentialsChanged) and effect.admin_token is not None:
            files.replace(self._home / "token", effect.admin_token.encode())
        self._bridge.perform(effect)
