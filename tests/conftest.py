"""For every test: our loggers are at DEBUG, and what they were given has no secret in it; who runs them."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator

import pytest

from node.crypto import primitives
from tests.canaries import Canaries, watch

CANARIES = Canaries()
watch(CANARIES)


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Return what `-n auto` means: one more than there are processors, for real nodes are waited for."""
    return (yield) + 1


def pytest_collection_finish() -> None:
    """Take what was collected, which stays, out of the garbage collector's sight; it looks less often too."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture
def cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a guess at a passphrase cost nothing, whatever cost is written down beside it."""
    real = primitives.argon2id
    monkeypatch.setattr(
        primitives,
        "argon2id",
        lambda passphrase, salt, *, passes, memory_bytes: real(passphrase, salt, passes=1, memory_bytes=8192),
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test in which something secret was logged."""
    CANARIES.begin()
    yield
    found = CANARIES.found()
    assert not found, f"{item.name} logged {found}"
