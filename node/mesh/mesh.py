"""The mesh as one machine: links, gossip, sync and dialling behind one door (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from node.clock import Instant
from node.crypto.primitives import Entropy
from node.mesh.ports import Connectivity, MeshEffect, MeshInput, PeerInfo
from node.wire.envelope import Envelope


class Mesh:
    """All between the engine and the websockets: feed inputs, carry out effects, wake at `deadline`."""

    def __init__(
        self,
        *,
        node_seed: bytes,
        network_id: bytes,
        psk: bytes | None,
        roles: frozenset[str],
        listen: tuple[str, ...],
        boot_nonce: bytes,
        entropy: Entropy,
        verify: Callable[[Envelope], None],
        known: Iterable[tuple[bytes, int, int]],
        now: Instant,
    ) -> None:
        raise NotImplementedError

    @property
    def deadline(self) -> float | None:
        """When to be woken, on the monotonic clock."""
        raise NotImplementedError

    @property
    def connectivity(self) -> Connectivity:
        """How connected this node is."""
        raise NotImplementedError

    def handle(self, event: MeshInput, *, now: Instant) -> list[MeshEffect]:
        """Advance the machine; the only method that changes it, beside request_sync and forget."""
        raise NotImplementedError

    def mesh_time_ms(self, now: Instant) -> int:
        """Own clock and the correction that the peers suggest."""
        raise NotImplementedError

    def peers(self, now: Instant) -> list[PeerInfo]:
        """Live links."""
        raise NotImplementedError

    def addresses(self) -> list[str]:
        """Addresses that are dialled."""
        raise NotImplementedError

    def request_sync(self, now: Instant) -> None:
        """Sync with every linked peer at the next deadline, which is now: a predecessor is missing."""
        raise NotImplementedError

    def forget(self, eids: Iterable[bytes]) -> None:
        """Take expired envelopes out of the index."""
        raise NotImplementedError
