"""Answers about the event log."""

from __future__ import annotations

from typing import Final

from node.chat.answers.base import Answer


class Acked(Answer):
    """Where the stored cursor of this session's consumer is now."""

    seq: int


ANSWERS: Final[dict[str, type[Answer]]] = {"ack": Acked}
