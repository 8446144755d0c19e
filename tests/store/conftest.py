"""One store on disk, one in memory, behind the same awaitable methods."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from node.store.memory import MemoryStore
from node.store.sqlite import SqliteStore
from tests.store.samples import KEYS


class Awaitable:
    """A memory store whose methods are awaited like those of the one on disk."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not inspect.ismethod(found):
            return found

        async def call(*args: Any) -> Any:
            return found(*args)

        return call


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "gossamer.db", KEYS)
    yield store
    await store.close()


@pytest.fixture(params=["disk", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    if request.param == "memory":
        yield Awaitable(MemoryStore())
        return
    opened = await SqliteStore.open(tmp_path / "gossamer.db", KEYS)
    yield opened
    await opened.close()
