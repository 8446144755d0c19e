"""What the simulator gives its users: entropy from a seed, frontends that remember, errors of commands."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from node.chat import events


def stream(seed: str) -> Callable[[int], bytes]:
    """Return an entropy source that is the same for the same seed."""
    state = {"counter": 0, "pool": b""}
    key = blake2b(seed.encode(), digest_size=32).digest()

    def draw(size: int) -> bytes:
        pool: bytes = state["pool"]  # type: ignore[assignment]
        while len(pool) < size:
            counter: int = state["counter"]  # type: ignore[assignment]
            pool += blake2b(counter.to_bytes(8, "big"), key=key).digest()
            state["counter"] = counter + 1
        state["pool"] = pool[size:]
        return pool[:size]

    return draw


class SimSession:
    """A frontend of a simulated node: what it was shown, in order."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen: list[events.Event] = []

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the events of one kind."""
        return [event for event in self.seen if isinstance(event, kind)]


class CallError(Exception):
    """A command of a simulated frontend was refused."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
