"""What every answer shares: its keys are exact, and one that does not always apply is UNSET where it is not."""

from __future__ import annotations

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in an `ok` beside `event` and `req`."""


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of a list inside an answer."""
