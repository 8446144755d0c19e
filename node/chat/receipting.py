"""What the owner lets others know of what was delivered and read here (docs/bridge.md, "Receipts")."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Receipting:
    """`read`: authors are told that their messages were read, and we see it of others, or neither.

    `strangers`: people who are no contacts are told anything at all.
    """

    read: bool = True
    strangers: bool = False
