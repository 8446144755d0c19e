"""The names of the stored tables: what the domain writes by and the store seals by.

A row is (table, key) and a sealed value. Tables that hold chain, ratchet and other forward-secret keys
are sealed under the shred key, so that one shred round erases what they held (docs/crypto.md 3.11).
"""

from __future__ import annotations

from typing import Final


class Table:
    """Table names; each is one kind of row."""

    SELF: Final = "self"
    PEOPLE: Final = "people"
    ROOMS: Final = "rooms"
    OPS: Final = "ops"
    EPOCHS: Final = "epochs"
    CHAINS: Final = "chains"
    RATCHETS: Final = "ratchets"
    INVITES: Final = "invites"
    TOKENS: Final = "tokens"
    ORIGINS: Final = "origins"
    NONCES: Final = "nonces"
    SETTINGS: Final = "settings"
    REQUESTS: Final = "requests"
    PENDING: Final = "pending"
    CONSUMERS: Final = "consumers"
    PREKEYS: Final = "prekeys"
    LEAVES: Final = "leaves"
    OBJECTS: Final = "objects"
    JOINS: Final = "joins"
    HISTORY: Final = "history"
    OBJECT_KEYS: Final = "objectkeys"
    NOTICES: Final = "notices"
    ATTACHMENTS: Final = "attachments"
    LEDGER: Final = "ledger"
    DIALECTS: Final = "dialects"


ALL: Final[frozenset[str]] = frozenset(
    value for name, value in vars(Table).items() if not name.startswith("_") and isinstance(value, str)
)
SHREDDED: Final[frozenset[str]] = frozenset(
    {Table.CHAINS, Table.RATCHETS, Table.PREKEYS, Table.LEAVES, Table.OBJECT_KEYS}
)
