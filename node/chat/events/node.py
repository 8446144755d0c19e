"""How the node stands in the mesh: never logged (docs/bridge.md 2)."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import UNSET, UnsetType

from node.chat.events.base import Base


class PeerUp(Base, frozen=True, kw_only=True):
    """A link to another node stands; `peer` is its node key in hex."""

    peer: str
    address: str
    direction: Literal["in", "out"]


class PeerDown(Base, frozen=True, kw_only=True):
    """A link to another node is gone."""

    peer: str
    address: str | UnsetType = UNSET
    reason: str


class Connectivity(Base, frozen=True, kw_only=True):
    """How this node stands in the mesh; `locked`: it does not, until the vault is opened."""

    state: Literal["alone", "connecting", "meshed", "synced", "locked"]


NodeEvent: TypeAlias = PeerUp | PeerDown | Connectivity
