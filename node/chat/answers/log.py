"""Answers about the event log."""

from __future__ import annotations

from typing import Any, Final

from node.chat.answers.base import Answer, Row


class Acked(Answer):
    """Where the stored cursor of this session's consumer is now."""

    seq: int


class ConsumerRow(Row):
    """One consumer: how many events it is `behind`, and when it was last here, in UNIX seconds."""

    name: str
    seq: int
    behind: int
    last_seen: int


class ConsumerRows(Answer):
    """Consumers."""

    consumers: list[ConsumerRow]


class ConsumerNamed(Answer):
    """Which consumer it was."""

    name: str


class Results(Answer):
    """The answer to each command, in order: an `ok` or an `error`, with its `req`."""

    results: list[dict[str, Any]]


ANSWERS: Final[dict[str, type[Answer]]] = {
    "ack": Acked,
    "consumer_list": ConsumerRows,
    "consumer_remove": ConsumerNamed,
    "batch": Results,
}
