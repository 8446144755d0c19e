"""Where in a turn a peer's fault takes it back to: nothing changes by bad bytes (docs/crypto.md, I2).

Only what the turn gathers is taken back. Memory is not: the domain checks everything first and changes after,
and `changed` tells the tests where it did not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from node.chat.turn import Turn


@dataclass
class Mark:
    """A turn's place, to go back to when a peer's bytes turn out to be wrong half way.

    Rows from here on go on a sheet of their own: as many envelopes can come in one turn as a catch-up
    brings, and none of them copies what the others wrote.
    """

    rows: dict[tuple[str, bytes], bytes | None]
    lengths: tuple[int, ...]
    seq: int

    @classmethod
    def of(cls, turn: Turn) -> Mark:
        """Mark the place where a turn is now."""
        rows, turn.rows = turn.rows, {}
        return cls(rows, tuple(map(len, _lists(turn))), turn.seq)

    def changed(self, turn: Turn) -> bool:
        """Say whether something was written since: a fault should have been found before."""
        return bool(turn.rows) or self.lengths != tuple(map(len, _lists(turn)))

    def keep(self, turn: Turn) -> None:
        """Let what was written since stand."""
        self.rows.update(turn.rows)
        turn.rows = self.rows

    def back(self, turn: Turn) -> None:
        """Take back what was written since."""
        for entries, length in zip(_lists(turn), self.lengths, strict=True):
            del entries[length:]
        turn.rows, turn.seq = self.rows, self.seq


def _lists(turn: Turn) -> tuple[list[Any], ...]:
    gathered = turn.posts, turn.out, turn.watch, turn.unwatch, turn.addresses, turn.lookups
    more = turn.fetches, turn.placed, turn.reads, turn.rewrites
    return *gathered, *more, turn.changed, turn.files, turn.of_peers
