"""What the simulator gives its users: entropy from a seed, frontends that remember, errors of commands."""

from __future__ import annotations

import base64
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from node.bridge.ports import GiveAttachment
from node.chat import events
from node.chat.filing import FileOrder, FileSealed
from node.store.attachments import QUOTA, AttachmentFiles
from node.store.folders import MemoryFolder
from node.store.held_blocks import HeldBlocks
from node.wire.manifest import Manifest


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


class SimFiles:
    """The attachments of a simulated node: the folder survives a crash."""

    def __init__(self, name: str) -> None:
        self.folder, self.others = MemoryFolder(), MemoryFolder()
        self.quota = QUOTA
        self._entropy = stream(f"{name} files")
        self.start()

    def start(self) -> None:
        """Open the folder, as a start does."""
        self._files = AttachmentFiles(self.folder, self._entropy, self.quota)
        self._files.open()
        self._files.held = HeldBlocks(self.others)

    def carry_out(self, order: FileOrder, now: Callable[[Any], None], later: Callable[[Any], None]) -> None:
        """Do what the engine asked of the folder; what a command waits for is answered at once."""
        answer = self._files.carry_out(order)
        if answer is not None:
            (now if isinstance(answer, FileSealed) else later)(answer)

    def seal(self, name: str, kind: str, data: bytes) -> Manifest:
        """Take a content in, as an upload does."""
        upload = self._files.upload()
        upload.add(data)
        return upload.finish(name, kind)

    def content(self, manifest: Manifest) -> bytes:
        """Return a whole attachment."""
        return b"".join(self._files.content(manifest))

    def give(self, order: GiveAttachment) -> dict[str, Any]:
        """Return what answers `attachment_get`, with the content whatever its size: there is no URL here."""
        if order.manifest is None:
            return order.fields
        return {**order.fields, "data": base64.b64encode(self.content(order.manifest)).decode()}


class CallError(Exception):
    """A command of a simulated frontend was refused."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
