"""What every answer shares: its keys are exact; one that does not always apply is UNSET where it is not."""

from __future__ import annotations

import msgspec


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    """What stands in an `ok` beside `event` and `req`."""


class Row(msgspec.Struct, forbid_unknown_fields=True):
    """One of a list inside an answer."""
