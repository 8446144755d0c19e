"""Announcements that were not kept: who said to have an envelope and did not send it (docs/protocol.md 8)."""

from __future__ import annotations

from collections import OrderedDict

PROMISED_FOR = 30.0
"""Seconds after the last GRAFT: a WANT was answered by then, or its answer given up."""
BLAME_EVERY = 8.0
"""Seconds between two promises held against one link: an honest node that a flood made forget is not
refused for it, and who never keeps one is within four minutes."""
MAX_DOUBTED = 1024
"""Ids watched at once; of more nobody is blamed."""


class Promises:
    """Ids that GRAFTs did not bring, with the links that were asked."""

    __slots__ = ("_blamed", "_doubted")

    def __init__(self) -> None:
        self._blamed: dict[int, float] = {}
        self._doubted: OrderedDict[bytes, tuple[float, tuple[int, ...]]] = OrderedDict()

    @property
    def deadline(self) -> float | None:
        """When the oldest doubt is certain."""
        return next(iter(self._doubted.values()))[0] + PROMISED_FOR if self._doubted else None

    def doubt(self, prefix: bytes, links: tuple[int, ...], *, now: float) -> None:
        """These announced an envelope, and did not send it when they were asked."""
        if links and len(self._doubted) < MAX_DOUBTED:
            self._doubted[prefix] = (now, links)

    def kept(self, prefix: bytes) -> None:
        """The envelope has come, whoever sent it."""
        self._doubted.pop(prefix, None)

    def broken(self, *, now: float) -> set[int]:
        """Return the links whose time is up, each once however much they did not keep."""
        blamed: set[int] = set()
        while self._doubted:
            since, links = next(iter(self._doubted.values()))
            if now < since + PROMISED_FOR:
                break
            self._doubted.popitem(last=False)
            blamed.update(links)
        if not blamed:
            return blamed
        self._blamed = {link: at for link, at in self._blamed.items() if now < at + BLAME_EVERY}
        blamed -= self._blamed.keys()
        self._blamed |= dict.fromkeys(blamed, now)
        return blamed
