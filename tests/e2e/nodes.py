"""Real node processes on loopback, and frontends that know nothing of our code: bare websockets and JSON."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.leaks import Secrets, none_in, written
from tests.ports import free_port

START_SECONDS = 30.0
EVENT_SECONDS = 30.0
WRONG_CLOCK = """
import runpy, time
wall, nanoseconds = time.time, time.time_ns
time.time = lambda: wall() + {0}
time.time_ns = lambda: nanoseconds() + {0} * 10**9
runpy.run_module("cli", run_name="__main__", alter_sys=True)
"""


class NodeProcess:
    """One `gossamer run` with a home of its own; only processes started here are ever signalled, by pid."""

    def __init__(self, home: Path, name: str, *flags: str, clock_s: int = 0) -> None:
        self.home, self.name, self.clock_s = home, name, clock_s
        self.flags = flags if "--log-level" in flags else (*flags, "--log-level", "debug")
        self.secrets = Secrets()
        self.env: dict[str, str] = {}
        """Environment variables besides those of this process."""
        self.process: asyncio.subprocess.Process | None = None
        self.mesh_port = 0
        self.bridge_port = 0
        self.mesh_host = "127.0.0.1"

    @property
    def errors(self) -> Path:
        """Where its standard error goes."""
        return self.home.parent / f"{self.name}.err"

    async def start(self) -> None:
        """Start, and wait until bridge and mesh are ready; always on the same ports."""
        self.mesh_port, self.bridge_port = self.mesh_port or free_port(), self.bridge_port or free_port()
        listen = f"{self.mesh_host}:{self.mesh_port}"
        bridge = f"127.0.0.1:{self.bridge_port}"
        code = ("-c", WRONG_CLOCK.format(self.clock_s)) if self.clock_s else ("-m", "cli")
        with self.errors.open("ab") as stderr:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *code, "--home", str(self.home), "run",
                "--name", self.name, "--bridge", bridge, "--listen", listen, *self.flags,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=stderr,
                env={**os.environ, "XDG_RUNTIME_DIR": "", "PYTHONDONTWRITEBYTECODE": "1", **self.env},
            )  # fmt: skip
        pid = self.process.pid
        async with asyncio.timeout(START_SECONDS):
            while True:
                runtime = self._runtime()
                if runtime is not None and runtime["pid"] == pid:
                    break
                if self.process.returncode is not None:
                    raise AssertionError(self.errors.read_text()[-2000:])
                await asyncio.sleep(0.02)
        self.bridge_port = runtime["bridge"]["port"]
        if runtime["mesh"] is not None:  # null while the vault is locked
            self.mesh_port = runtime["mesh"]["port"]

    def _runtime(self) -> dict[str, Any] | None:
        try:
            return json.loads((self.home / "runtime.json").read_bytes())  # type: ignore[no-any-return]
        except (OSError, ValueError):
            return None

    @property
    def token(self) -> str:
        return (self.home / "token").read_text().strip()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.bridge_port}/?token={self.token}"

    @property
    def address(self) -> str:
        return f"ws://{self.mesh_host}:{self.mesh_port}"

    async def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        """Stop cleanly; returns the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            return await self.process.wait()

    @asynccontextmanager
    async def frontend(self, hello: dict[str, Any] | None = None, token: str = "") -> AsyncIterator[Frontend]:
        """Attach a frontend: plain, or with a hello; by a child token, or the admin token."""
        async with connect(self.url.replace(self.token, token or self.token), max_size=None) as ws:
            frontend = Frontend(ws, self.secrets)
            reading = asyncio.create_task(frontend.read())
            try:
                if hello is not None:
                    await frontend.send({"event": "hello", "req": "hi", **hello})
                    await frontend.wait(lambda e: e["event"] == "hello")
                yield frontend
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)


class Frontend:
    """A websocket client of a bridge, and everything it was sent."""

    def __init__(self, ws: ClientConnection, secrets: Secrets | None = None) -> None:
        self.ws = ws
        self._secrets = Secrets() if secrets is None else secrets
        self.events: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._req = 0

    async def read(self) -> None:
        async for frame in self.ws:
            self.events.append(json.loads(frame))
            self._secrets.note(self.events[-1])
            self._news.set()

    async def send(self, frame: dict[str, Any]) -> None:
        self._secrets.note(frame)
        await self.ws.send(json.dumps(frame))

    async def call(self, command: str, **keys: Any) -> dict[str, Any]:
        """Do a command; returns its `ok`, raises AssertionError with an `error`."""
        reply = await self.answer(command, **keys)
        assert reply["event"] == "ok", reply
        return reply

    async def answer(self, command: str, **keys: Any) -> dict[str, Any]:
        """Give a command; returns its `ok` or `error`."""
        self._req += 1
        req = f"r{self._req}"
        await self.send({"event": command, "req": req, **keys})
        return await self.wait(lambda e: e.get("req") == req)

    async def wait(
        self, match: Callable[[dict[str, Any]], bool], seconds: float = EVENT_SECONDS
    ) -> dict[str, Any]:
        """Return the first event that matches, waiting for it."""
        seen = 0
        async with asyncio.timeout(seconds):
            while True:
                for event in self.events[seen:]:
                    seen += 1
                    if match(event):
                        return event
                self._news.clear()
                await self._news.wait()

    async def event(self, /, name: str, seconds: float = EVENT_SECONDS, **keys: Any) -> dict[str, Any]:
        """Return the first event of a name with these keys."""
        return await self.wait(
            lambda e: e["event"] == name and all(e.get(k) == v for k, v in keys.items()), seconds
        )

    def texts(self) -> list[str]:
        """Return the messages it was sent, in order."""
        return [e["message"] for e in self.events if e["event"] == "user_message"]


@asynccontextmanager
async def running(*nodes: NodeProcess) -> AsyncIterator[None]:
    """Start nodes one after another; whatever happens, none of them outlives the test."""
    try:
        for node in nodes:
            await node.start()
        yield
        for node in nodes:
            none_in(shown_by(node), node.secrets.spelled(node.home))
    finally:
        for node in nodes:
            if node.process is not None:
                await node.kill()
    for node in nodes:
        none_in(written(node.home, node.errors), node.secrets.spelled(node.home))


def shown_by(node: NodeProcess) -> dict[str, bytes]:
    """Return what a running node shows to others on this machine: its command line."""
    if node.process is None or node.process.returncode is not None:
        return {}
    line = Path(f"/proc/{node.process.pid}/cmdline")
    return {"the process list": line.read_bytes()} if line.exists() else {}


async def befriend(one: NodeProcess, other: NodeProcess) -> None:
    """Make two nodes contacts by a contact link."""
    async with one.frontend({}) as a, other.frontend({}) as b:
        link = (await b.call("contact_link_create"))["link"]
        await a.call("contact_add", link=link)
        await a.event("contact_added")
        await b.event("contact_added")


async def make_room(host: NodeProcess, *guests: NodeProcess, name: str = "club") -> str:
    """Make a room at one node and bring contacts in."""
    async with host.frontend({}) as h:
        room: str = (await h.call("room_create", name=name))["room"]
        for guest in guests:
            async with guest.frontend({}) as g:
                await h.call("user_invite", target=guest.name, room=room)
                invite = await g.event("user_invite", room=room)
                await g.call("user_invite_response", response="accept", invite=invite["invite"])
                await g.event("user_join", username=guest.name, room=room)
                await h.event("user_join", username=guest.name, room=room)
    return room
