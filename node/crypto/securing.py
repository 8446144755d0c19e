"""What a link needs of its handshake: the seam at which a simulation puts keys and ciphers of its own.

A node uses `node.crypto.handshake.Handshake`, which is one of these; thousands of simulated ones use what
passes the same number of bytes in the clear (node/sim_mesh/declared.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from node.crypto.primitives import Entropy

if TYPE_CHECKING:
    from node.crypto.handshake import LinkKeys


class Sealing(Protocol):
    """The direction out of a link."""

    def seal(self, plain: bytes) -> bytes:
        """Seal the next frame; 16 bytes longer."""


class Opening(Protocol):
    """The direction in."""

    def open(self, boxed: bytes) -> bytes:
        """Open the next frame; raises CryptoFault."""


class Securing(Protocol):
    """One side of a handshake; see node.crypto.handshake.Handshake."""

    @property
    def peer(self) -> bytes | None:
        """The proven node key of the other side, once it is known."""

    @property
    def done(self) -> bool:
        """Whether the link's keys are agreed and the peer's key is proven."""

    @property
    def writes_next(self) -> bool:
        """Whether the next message is ours."""

    def write(self) -> bytes:
        """Return our next message."""

    def read(self, message: bytes) -> None:
        """Take the peer's next message; raises PeerFault."""

    def split(self) -> tuple[Sealing, Opening]:
        """Return what our frames are sealed with, and what theirs are opened with."""


class Secure(Protocol):
    """Begins a handshake on a new link."""

    def __call__(self, keys: LinkKeys, *, initiator: bool, entropy: Entropy) -> Securing:
        """Return our side of it; the initiator writes first."""
