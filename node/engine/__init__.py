"""The node as one machine; it marries chat, crypto, wire, mesh, bridge and store (docs/architecture.md)."""

from node.engine.engine import Engine

__all__ = ["Engine"]
