"""Why addresses lead to no link, in words for their owner (docs/protocol.md section 7).

What a peer says of it in its own words is never kept: only what we saw, or one of the codes of GOODBYE.
"""

from __future__ import annotations

from collections import OrderedDict

from node.errors import PeerFault
from node.mesh.link import Link, Phase
from node.mesh.ports import OTHER_NETWORK

MAX_TROUBLES = 512
"""Addresses whose last trouble is remembered, as many as a book has; the oldest is forgotten first."""
MAX_TEXT = 200
"""Characters of one: an error of the system may quote a whole certificate."""
OTHER_NETWORK_RETRY = 60.0
"""Seconds until an address of another network is dialled again: only its owner or ours can change that."""


class Troubles:
    """The last trouble with each address, until a link to it is live."""

    def __init__(self) -> None:
        self._why: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._why)

    def note(self, address: str, why: str) -> None:
        """Remember why there is no link to an address; an inbound link has none and leaves no trace."""
        if not address:
            return
        self._why.pop(address, None)
        self._why[address] = why[:MAX_TEXT]
        if len(self._why) > MAX_TROUBLES:
            self._why.popitem(last=False)

    def over(self, address: str) -> None:
        """A link stands, or the address is dialled no more."""
        self._why.pop(address, None)

    def why(self, address: str) -> str | None:
        """Return the last trouble with an address, None if there was none since the last link."""
        return self._why.get(address)


def reason_of(link: Link, fault: PeerFault) -> str:
    """Return why a link ends by a fault: before the keys are agreed it is nearly always another network."""
    return OTHER_NETWORK if link.phase is Phase.SHAKING else str(fault)
