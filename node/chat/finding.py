"""What it means that a message holds a text: neither case nor accents count (docs/bridge.md, "Search").

No index is kept and nothing is stored: each message is opened, looked at and let go. The cheap look is at the
stored bytes: a message of ASCII alone, and most are, can hold an ASCII text only where its JSON does.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

PAGE_BYTES = 2 * 1024 * 1024
"""Of messages in one answer: half of what a frontend may have waiting."""
_encode = msgspec.json.Encoder().encode


class _Said(msgspec.Struct):
    event: str = ""
    message: str = ""


_said = msgspec.json.Decoder(_Said)


def fold(text: str) -> str:
    """Return a text as it is compared: letters without case, accents and width."""
    if text.isascii():
        return text.lower()
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return unicodedata.normalize("NFKC", bare.casefold())


@dataclass(frozen=True, slots=True)
class Needle:
    """A text to be found in messages, folded; `in_json` is how it stands in the JSON of ASCII."""

    folded: str = field(repr=False)
    in_json: bytes | None = field(repr=False)

    @classmethod
    def of(cls, text: str) -> Needle:
        """Fold a text; what folds to nothing, accents alone, is in no message."""
        folded = fold(text)
        return cls(folded, _encode(folded)[1:-1] if folded.isascii() else None)

    def found(self, body: bytes) -> bool:
        """Say whether a stored message, the JSON of its event, holds the text."""
        if body.isascii() and (self.in_json is None or self.in_json not in body.lower()):
            return False
        said = _said.decode(body)
        return said.event == "user_message" and bool(self.folded) and self.folded in fold(said.message)


def page(found: Sequence[bytes], limit: int) -> tuple[list[bytes], bool]:
    """Return as many of what was found as go into one answer, one at least, and whether there are more."""
    kept: list[bytes] = []
    size = 0
    for body in found[:limit]:
        size += len(body)
        if kept and size > PAGE_BYTES:
            break
        kept.append(body)
    return kept, len(found) > len(kept)
