"""Cuts: what still counts of who was removed or left (docs/crypto.md 3.6).

A cut bounds the epochs that the going did not know: an epoch made at heads which include a `remove` or
`leave` is not touched by it. So whoever was put out and later added again speaks in every epoch since, and in
the older ones up to the cut.
"""

from __future__ import annotations

from collections.abc import Iterable

from node.chat.resolver import Graph
from node.crypto.ops import Leave, Op, Remove


class Goings:
    """The ops by which people went from a room, of those that count; `of` has them by account."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.of: dict[bytes, list[Op]] = {}

    def note(self, op: Op) -> None:
        """An op counts; it may be a going."""
        match op.body:
            case Leave():
                self.of.setdefault(op.author, []).append(op)
            case Remove(account=account):
                self.of.setdefault(account, []).append(op)
            case _:
                pass

    def cut(self, account: bytes, device_id: bytes, heads: Iterable[bytes]) -> dict[bytes, int] | None:
        """Return what counts of a device in epochs made at `heads`; None if no going concerns such epochs.

        Of goings beside each other the higher index counts; a later one reopens nothing.
        """
        named, precedes = tuple(heads), self._graph.precedes
        open_ = [op for op in self.of[account] if not self._graph.includes(named, op.op_id)]
        first = [op for op in open_ if not any(precedes(other.op_id, op.op_id) for other in open_)]
        return _merged(first, device_id) if first else None

    def follows(self, op_id: bytes, account: bytes) -> bool:
        """Say whether an op follows a going of an account: its author knew that they were out."""
        return any(self._graph.precedes(op.op_id, op_id) for op in self.of.get(account, ()))


def _merged(goings: Iterable[Op], device_id: bytes) -> dict[bytes, int]:
    merged: dict[bytes, int] = {}
    for op in goings:
        assert isinstance(op.body, Leave | Remove)
        for device, epoch16, index in op.body.cut:
            if device == device_id:
                merged[epoch16] = max(index, merged.get(epoch16, -1))
    return merged
