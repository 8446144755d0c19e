"""What people are called on this node (docs/bridge.md section 2).

A username is fixed when a person is first seen, from the name they give: NFC, 1 to 32 of letters, digits,
`_ . -`, anything else becomes `_`; when taken, `~` and the first letters of the account's fingerprint follow.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container

from node.crypto.keys import fingerprint

MAX_USERNAME = 32
_EXTRA = frozenset("_.-")


def clean(name: str) -> str:
    """Return `name` as a username could be spelt, or an empty string if nothing of it is left."""
    normal = unicodedata.normalize("NFC", name.strip())[:MAX_USERNAME]
    return "".join(c if c.isalnum() or c in _EXTRA else "_" for c in normal)


def assign(name: str, account: bytes, taken: Container[str]) -> str:
    """Return the username of a newly seen person: their cleaned name, made unique with `~xxxx`."""
    mark = fingerprint(account)
    base = clean(name)
    if not base:
        base = "new"
    elif base not in taken:
        return base
    for letters in range(4, len(mark) + 1):
        tail = "~" + mark[:letters]
        candidate = base[: MAX_USERNAME - len(tail)] + tail
        if candidate not in taken:
            return candidate
    raise AssertionError("two accounts cannot share a whole fingerprint")
