"""Gossamer: one person's node, its cryptography, its mesh, its bridge (docs/architecture.md)."""

__version__ = "0.1.0"
