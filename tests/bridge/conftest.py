"""The bridge on real loopback sockets, around a fake engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.bridge.server import BridgeServer
from tests.bridge.fake_engine import ADMIN, Bridge, FakeEngine, clock, counted_entropy


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Bridge]:
    engine = FakeEngine()
    path = tmp_path / "b.sock"
    server = BridgeServer(
        engine.submit, engine,
        admin_token=ADMIN, host="127.0.0.1", port=0, socket_path=path,
        entropy=counted_entropy(), clock=clock, backlog=lambda: engine.queued,
    )  # fmt: skip
    engine.server = server
    made = Bridge(server, engine, path)
    _host, made.port = await server.start()
    yield made
    await server.stop()
